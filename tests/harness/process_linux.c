/*
 * process_linux: see process.h. What Linux tells about a process, mostly by files in /proc
 * (man 5 proc). A process may end between any two lines here: then a file is missing, and the
 * figure is -1.
 */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_LEN = 300 };

/* ---- Small files ------------------------------------------------------------------------- */

/** Reads /proc/PID/NAME into buf, NUL-terminated. Its length, or -1. */
static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t len)
{
    char path[PATH_LEN];
    (void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t n;
    do {
        n = read(fd, buf, len - 1);
    } while (n < 0 && errno == EINTR);
    (void)close(fd);
    if (n >= 0) {
        buf[n] = '\0';
    }
    return n;
}

/**
 * The text of a stat file from its third field, the state, on. The second field is the program's
 * name in brackets, which may itself hold blanks and brackets: hence the search from the end.
 */
static const char *fields_from_state(const char *stat)
{
    const char *bracket = strrchr(stat, ')');
    return bracket != NULL && bracket[1] == ' ' ? bracket + 2 : NULL;
}

/** The state of a process or of one of its threads ("task/TID/stat"): a letter, or 0. */
static char state_in(pid_t pid, const char *name)
{
    char stat[1024];
    if (read_proc(pid, name, stat, sizeof stat) <= 0) {
        return 0;
    }
    const char *fields = fields_from_state(stat);
    return fields != NULL ? *fields : (char)0;
}

/** Calls visit for each entry of /proc/PID/NAME (for "." itself: pid 0) until it returns false. */
static bool for_each_entry(pid_t pid, const char *name, bool (*visit)(const char *, void *),
                           void *arg)
{
    char path[PATH_LEN] = "/proc";
    if (pid != 0) {
        (void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return false;
    }
    bool going_on = true;
    for (struct dirent *e = readdir(dir); e != NULL && going_on; e = readdir(dir)) {
        if (isdigit((unsigned char)e->d_name[0])) {
            going_on = visit(e->d_name, arg);
        }
    }
    (void)closedir(dir);
    return true;
}

/* ---- Figures ----------------------------------------------------------------------------- */

/** Fields 14 and 15 of /proc/PID/stat, in ticks of usually 10 ms: coarse, but always there. */
static int64_t cpu_ns_from_stat(pid_t pid)
{
    char stat[1024];
    if (read_proc(pid, "stat", stat, sizeof stat) <= 0) {
        return -1;
    }
    const char *fields = fields_from_state(stat);
    unsigned long long user = 0;
    unsigned long long kernel = 0;
    if (fields == NULL || sscanf(fields, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                                 &user, &kernel) != 2) {
        return -1;
    }
    return (int64_t)(user + kernel) * (1000000000 / sysconf(_SC_CLK_TCK));
}

int64_t process_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    /* The process' own CPU clock counts nanoseconds; no permission is needed to read it. */
    if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &used) == 0) {
        return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
    }
    return cpu_ns_from_stat(pid);
}

/**
 * /proc/PID/statm counts pages: the first number is the address space, the second what is in RAM.
 */
static int64_t statm_kib(pid_t pid, bool resident)
{
    char statm[256];
    long long pages[2];
    if (read_proc(pid, "statm", statm, sizeof statm) <= 0 ||
        sscanf(statm, "%lld %lld", &pages[0], &pages[1]) != 2) {
        return -1;
    }
    return (int64_t)pages[resident ? 1 : 0] * (sysconf(_SC_PAGESIZE) / 1024);
}

int64_t process_resident_kib(pid_t pid)
{
    return statm_kib(pid, true);
}

int64_t process_virtual_kib(pid_t pid)
{
    return statm_kib(pid, false);
}

int process_threads(pid_t pid)
{
    char status[4096];
    if (read_proc(pid, "status", status, sizeof status) <= 0) {
        return -1;
    }
    const char *line = strstr(status, "\nThreads:");
    return line != NULL ? atoi(line + strlen("\nThreads:")) : -1;
}

static bool count_one(const char *name, void *count)
{
    (void)name;
    ++*(int *)count;
    return true;
}

int process_fds(pid_t pid)
{
    int count = 0;
    if (!for_each_entry(pid, "fd", count_one, &count)) {
        return -1;
    }
    /* Who counts its own descriptors has one more open, for the folder. */
    return pid == getpid() ? count - 1 : count;
}

struct waited {
    pid_t pid;
    int64_t ns;
};

/* The second number of schedstat: time spent waiting on a run queue (sched-stats in the kernel's
 * documentation). A wait that still lasts is not in it yet. */
static bool add_waited(const char *tid, void *arg)
{
    struct waited *waited = arg;
    char path[PATH_LEN];
    int64_t ran_ns = 0, waited_ns = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", (long)waited->pid, tid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return true; /* the thread has just ended, or this kernel keeps no such statistics */
    }
    if (fscanf(file, "%" SCNd64 " %" SCNd64, &ran_ns, &waited_ns) == 2) {
        waited->ns += waited_ns;
    }
    (void)fclose(file);
    return true;
}

int64_t process_waited_ns(pid_t pid)
{
    struct waited waited = {.pid = pid, .ns = 0};
    return for_each_entry(pid, "task", add_waited, &waited) ? waited.ns : -1;
}

/* ---- States ------------------------------------------------------------------------------ */

struct task_search {
    pid_t pid;
    bool all_stopped;
};

static bool task_is_stopped(const char *tid, void *arg)
{
    struct task_search *search = arg;
    char name[48];
    (void)snprintf(name, sizeof name, "task/%.20s/stat", tid);
    char state = state_in(search->pid, name);
    search->all_stopped = state == 'T' || state == 't'; /* 't': stopped under a debugger */
    return search->all_stopped;
}

bool process_is_stopped(pid_t pid)
{
    struct task_search search = {.pid = pid, .all_stopped = false};
    return for_each_entry(pid, "task", task_is_stopped, &search) && search.all_stopped;
}

bool process_exists(pid_t pid)
{
    char state = state_in(pid, "stat");
    return state != 0 && state != 'Z' && state != 'X'; /* Z, X: dead, and not yet waited for */
}

/* ---- Who listens on a port? -------------------------------------------------------------- */

/*
 * /proc/net/tcp and tcp6 list each socket with its inode number; /proc/PID/fd lists each
 * descriptor of a process as a link named "socket:[INODE]". Several sockets may listen on one
 * port (another address, SO_REUSEPORT), and several processes may hold one socket (after a fork).
 */
enum { INODES_MAX = 64, TCP_LISTENING = 0x0A };

struct listener_search {
    unsigned long inode[INODES_MAX];
    int inodes;
    pid_t candidate; /* the process that is being looked at                             */
    pid_t group;     /* only members of this group; 0: anybody                          */
    pid_t found;
};

/** Adds the inodes of the listening sockets that one table has for `port`. */
static void collect_inodes(const char *path, unsigned port, struct listener_search *search)
{
    FILE *table = fopen(path, "re");
    if (table == NULL) {
        return; /* no IPv6 here, perhaps */
    }
    char line[512];
    while (search->inodes < INODES_MAX && fgets(line, sizeof line, table) != NULL) {
        unsigned local_port = 0;
        unsigned state = 0;
        unsigned long inode = 0;
        int n = sscanf(
            line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*d %*d %lu",
            &local_port, &state, &inode);
        if (n == 3 && local_port == port && state == TCP_LISTENING && inode != 0) {
            search->inode[search->inodes++] = inode;
        }
    }
    (void)fclose(table);
}

/**
 * Looks at one descriptor of the candidate. False, which ends the search, when it is the socket.
 */
static bool is_other_descriptor(const char *fd, void *arg)
{
    struct listener_search *search = arg;
    char path[PATH_LEN];
    char target[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/fd/%.20s", (long)search->candidate, fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0) {
        return true;
    }
    target[n] = '\0';
    unsigned long inode = 0;
    if (sscanf(target, "socket:[%lu]", &inode) != 1) {
        return true;
    }
    for (int i = 0; i < search->inodes; i++) {
        if (search->inode[i] == inode) {
            search->found = search->candidate;
            return false;
        }
    }
    return true;
}

/** Looks at one process. False, which ends the search, when it holds the socket. */
static bool is_other_process(const char *pid, void *arg)
{
    struct listener_search *search = arg;
    search->candidate = (pid_t)strtol(pid, NULL, 10);
    if (search->group == 0 || getpgid(search->candidate) == search->group) {
        /* A process of another user does not let us look; it is passed over. */
        (void)for_each_entry(search->candidate, "fd", is_other_descriptor, search);
    }
    return search->found < 0;
}

pid_t process_listening_in_group(unsigned port, pid_t group)
{
    struct listener_search search = {.group = group, .found = -1};
    collect_inodes("/proc/net/tcp", port, &search);
    collect_inodes("/proc/net/tcp6", port, &search);
    if (search.inodes > 0 && group != 0) { /* most often the leader itself: no need to search */
        search.candidate = group;
        (void)for_each_entry(group, "fd", is_other_descriptor, &search);
    }
    if (search.inodes > 0 && search.found < 0) {
        (void)for_each_entry(0, ".", is_other_process, &search);
    }
    return search.found;
}

pid_t process_listening_on(unsigned port)
{
    return process_listening_in_group(port, 0);
}

/* ---- Wine -------------------------------------------------------------------------------- */

/*
 * A Windows program under Wine is a process whose executable is Wine's loader: "wine64",
 * "wine64-preloader" or "wine". Wine's server is another process with the same WINEPREFIX.
 */
enum { PREFIX_LEN = 1024, ENVIRONMENT_LEN = 65536 };

static bool executable_begins_with(pid_t pid, const char *name)
{
    char link[PATH_LEN], path[PATH_LEN];
    (void)snprintf(link, sizeof link, "/proc/%ld/exe", (long)pid);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) {
        return false;
    }
    path[n] = '\0';
    const char *slash = strrchr(path, '/');
    return slash != NULL && strncmp(slash + 1, name, strlen(name)) == 0;
}

/** The value of WINEPREFIX in the environment that a process was started with; "" without. */
static void prefix_of(pid_t pid, char *prefix, size_t len)
{
    static char environment[ENVIRONMENT_LEN]; /* used by one thread: the one that starts servers */
    static const char name[] = "WINEPREFIX=";
    ssize_t n = read_proc(pid, "environ", environment, sizeof environment);
    prefix[0] = '\0';
    for (const char *at = environment; n > 0 && at < environment + n; at += strlen(at) + 1) {
        if (strncmp(at, name, sizeof name - 1) == 0) {
            (void)snprintf(prefix, len, "%s", at + sizeof name - 1);
        }
    }
}

struct wine_search {
    char prefix[PREFIX_LEN];
    pid_t found;
};

/** False, which ends the search, when it is the server of that prefix. */
static bool is_other_than_wineserver(const char *name, void *arg)
{
    struct wine_search *search = arg;
    char prefix[PREFIX_LEN];
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    if (!executable_begins_with(pid, "wineserver")) {
        return true;
    }
    prefix_of(pid, prefix, sizeof prefix);
    if (strcmp(prefix, search->prefix) == 0) {
        search->found = pid;
    }
    return search->found == 0;
}

pid_t process_wineserver_of(pid_t pid)
{
    struct wine_search search = {.found = 0};
    if (!executable_begins_with(pid, "wine") || executable_begins_with(pid, "wineserver")) {
        return 0;
    }
    prefix_of(pid, search.prefix, sizeof search.prefix);
    (void)for_each_entry(0, ".", is_other_than_wineserver, &search);
    return search.found;
}

/* ---- Processors -------------------------------------------------------------------------- */

void process_share_one_processor(bool on)
{
    static cpu_set_t before;
    cpu_set_t one;
    if (!on) {
        (void)sched_setaffinity(0, sizeof before, &before);
        return;
    }
    size_t first = 0;
    if (sched_getaffinity(0, sizeof before, &before) != 0) {
        return;
    }
    while (!CPU_ISSET(first, &before)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
}

/* ---- Descriptors of this process --------------------------------------------------------- */

void process_close_from(int first, int keep)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        int fd = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : -1;
        if (fd >= first && fd != keep && fd != dirfd(dir)) {
            (void)close(fd);
        }
    }
    (void)closedir(dir);
}
