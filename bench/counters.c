#include "counters.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where they stand in tracefs, and what lets an event through. */
static const struct {
    const char *event, *filter;
} tracepoints[COUNTERS] = {{"raw_syscalls/sys_enter", NULL},
                           {"raw_syscalls/sys_exit", "ret < 0"},
                           {"syscalls/sys_enter_epoll_ctl", NULL}};

/* ---- one tracepoint, one thread -------------------------------------------------------------- */

/* The kernel's number for a tracepoint; -1 if it may not be read. */
static long number_of(const char *event)
{
    static const char *const folders[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
    char path[128];
    long number = -1;
    for (int i = 0; i < 2 && number < 0; i++) {
        (void)snprintf(path, sizeof path, "%s/events/%s/id", folders[i], event);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fscanf(file, "%ld", &number) != 1)
            number = -1;
        (void)fclose(file); /* it was only read */
    }
    return number;
}

/* No wrapper of libc's: man 2 perf_event_open. */
static int tracepoint_open(enum counter which, pid_t thread)
{
    long number = number_of(tracepoints[which].event);
    struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof attr};
    if (number < 0)
        return -1;
    attr.config = (uint64_t)number;
    int fd = (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd >= 0 && tracepoints[which].filter != NULL &&
        ioctl(fd, PERF_EVENT_IOC_SET_FILTER, tracepoints[which].filter) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool thread_open(struct counters *counters, pid_t thread)
{
    int *fd = counters->fd[counters->threads++];
    bool all = true;
    for (int i = 0; i < COUNTERS; i++) {
        fd[i] = tracepoint_open((enum counter)i, thread);
        all = all && fd[i] >= 0;
    }
    return all;
}

/* ---- all threads ----------------------------------------------------------------------------- */

bool counters_open(struct counters *counters, pid_t pid)
{
    char path[64];
    struct dirent *entry;
    bool all = true;
    counters->threads = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    while (all && counters->threads < COUNTED_THREADS_MAX && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            all = thread_open(counters, (pid_t)atol(entry->d_name));
    int saved_errno = errno;
    (void)closedir(folder); /* it was only read */
    if (!all)
        counters_close(counters);
    errno = saved_errno;
    return all;
}

void counters_read(const struct counters *counters, uint64_t value[COUNTERS])
{
    uint64_t one;
    memset(value, 0, COUNTERS * sizeof *value);
    for (int t = 0; t < counters->threads; t++)
        for (int i = 0; i < COUNTERS; i++)
            if (read(counters->fd[t][i], &one, sizeof one) == sizeof one)
                value[i] += one;
}

void counters_close(struct counters *counters)
{
    for (int t = 0; t < counters->threads; t++)
        for (int i = 0; i < COUNTERS; i++)
            if (counters->fd[t][i] >= 0)
                close(counters->fd[t][i]);
    counters->threads = 0;
}

/* ---- context switches ------------------------------------------------------------------------ */

/* Both kinds of one thread: man 5 proc, voluntary_ctxt_switches and nonvoluntary_ctxt_switches. */
static int64_t switches_of_thread(const char *path)
{
    char line[256];
    long long sum = 0, one;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0; /* the thread has just ended */
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %lld", &one) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %lld", &one) == 1)
            sum += one;
    (void)fclose(file); /* it was only read */
    return sum;
}

int64_t switches_of(pid_t pid)
{
    char folder_path[64], path[512];
    struct dirent *entry;
    int64_t sum = 0;
    (void)snprintf(folder_path, sizeof folder_path, "/proc/%ld/task", (long)pid);
    DIR *folder = opendir(folder_path);
    if (folder == NULL)
        return -1;
    while ((entry = readdir(folder)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s/status", folder_path, entry->d_name);
        if (entry->d_name[0] != '.')
            sum += switches_of_thread(path);
    }
    (void)closedir(folder); /* it was only read */
    return sum;
}
