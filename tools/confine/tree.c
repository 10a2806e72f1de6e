/*
 * tree: who descends from a process. Each entry of /proc names its parent; whoever has a parent in
 * the tree is in the tree. An orphan's new parent is the first process of its namespace, or the
 * supervisor (PR_SET_CHILD_SUBREAPER), so nobody leaves the tree by outliving his parent.
 */
#include "confine.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROCESSES_MAX = 32768, STAT_LEN = 1024 };

struct entry {
    pid_t pid, parent;
    long threads, cpu_ticks, pages;
    bool inside;
};

static struct entry entries[PROCESSES_MAX]; /* the supervisor has one thread */

/** Reads /proc/PID/stat (man 5 proc). False when the process has gone meanwhile. */
static bool read_entry(struct entry *e, const char *pid)
{
    char path[64], text[STAT_LEN];
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd); /* only read */
    if (len <= 0)
        return false;
    text[len] = '\0';
    const char *behind = strrchr(text, ')'); /* the name may hold blanks and brackets */
    unsigned long used[2];
    long reaped[2];
    if (behind == NULL ||
        sscanf(behind + 1,
               " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %ld %*d %*u"
               " %*u %ld",
               &e->parent, &used[0], &used[1], &reaped[0], &reaped[1], &e->threads, &e->pages) != 7)
        return false;
    e->pid = (pid_t)strtol(pid, NULL, 10);
    e->cpu_ticks = (long)(used[0] + used[1]) + reaped[0] + reaped[1];
    e->inside = false;
    return true;
}

static size_t read_all(void)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    for (struct dirent *d; count < PROCESSES_MAX && (d = readdir(proc)) != NULL;)
        if (strspn(d->d_name, "0123456789") == strlen(d->d_name) &&
            read_entry(&entries[count], d->d_name))
            count++;
    (void)closedir(proc); /* only read */
    return count;
}

static bool is_inside(pid_t pid, pid_t root, size_t count)
{
    for (size_t i = 0; pid != root && i < count; i++)
        if (entries[i].pid == pid)
            return entries[i].inside;
    return pid == root;
}

int tree_look(struct tree *tree, pid_t root)
{
    size_t count = read_all();
    bool grown = count > 0;
    *tree = (struct tree){.count = 0};
    while (grown) { /* children may stand before their parents */
        grown = false;
        for (size_t i = 0; i < count; i++)
            if (!entries[i].inside && is_inside(entries[i].parent, root, count))
                entries[i].inside = grown = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].inside)
            continue;
        if (tree->count < (int)(sizeof tree->pids / sizeof tree->pids[0]))
            tree->pids[tree->count++] = entries[i].pid;
        tree->threads += entries[i].threads;
        tree->cpu_ticks += entries[i].cpu_ticks;
        tree->pages += entries[i].pages;
    }
    return count > 0 ? 0 : -1;
}
