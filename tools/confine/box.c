/*
 * box: what a confined command finds itself in. From outside to inside:
 *
 *     the supervisor's child   gives up being root: it becomes `nobody`; then it enters fresh
 *                              namespaces of users, processes, mounts, network and IPC
 *     process 1 in there       mounts a /proc of its own, puts nothing over what is hidden, makes
 *                              every file system read-only but the one folder, lays an empty one
 *                              where that is asked for, switches the loopback on, sets the limits.
 *                              It reaps orphans; when it ends the kernel kills everybody in the
 *                              namespace
 *     the command              in a session of its own, without any privilege
 *
 * Namespaces of users need no root (man 7 user_namespaces); some systems forbid them all the same.
 * There the command is not started, unless the limits are `loose`: then there is no namespace, the
 * command has all rights of who has called (but root's), and the supervisor hunts what is left.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* <sys/mount.h> cannot stand beside <linux/mount.h> with every libc: this is all we need of it. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "confine: %s: %s\n", what, strerror(errno));
    _exit(BOX_FAILED);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0)
        fail(path);
}

/** Root's processes are not counted by RLIMIT_NPROC, and may do anything. */
static void stop_being_root(void)
{
    if (geteuid() != 0)
        return;
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0)
        fail("cannot become nobody");
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* else /proc/self belongs to root */
        fail("PR_SET_DUMPABLE");
}

static void enter_namespaces(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0)
        fail("this system allows no namespaces");
    write_file("/proc/self/setgroups", "deny");
    (void)snprintf(map, sizeof map, "%u %u 1", uid, uid);
    write_file("/proc/self/uid_map", map);
    (void)snprintf(map, sizeof map, "%u %u 1", gid, gid);
    write_file("/proc/self/gid_map", map);
}

static int set_mount(const char *path, unsigned flags, unsigned long long set,
                     unsigned long long clear)
{
    struct mount_attr change = {.attr_set = set, .attr_clr = clear};
    return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &change, sizeof change);
}

/** An empty folder over a folder, /dev/null over anything else. What is mounted by one who has more
 *  rights cannot be taken away again by who has fewer (man 7 mount_namespaces). */
static void hide(const char *path)
{
    struct stat what;
    if (stat(path, &what) != 0)
        fail(path);
    int result = S_ISDIR(what.st_mode)
                     ? mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k")
                     : mount("/dev/null", path, NULL, MS_BIND, NULL);
    if (result != 0)
        fail(path);
}

static bool is_shut_already(const char *path)
{
    return access(path, F_OK) != 0 && errno == EACCES;
}

/** What is mounted here is for this namespace alone. */
static void hide_all(const struct limits *limits)
{
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        fail("cannot have mounts of our own");
    for (int i = 0; i < limits->hidden_count; i++)
        if (!is_shut_already(limits->hidden[i]))
            hide(limits->hidden[i]);
}

/** Everything is read-only, but the folder; /proc shows the processes in here and no others. */
static void shut_file_systems(const char *folder)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0 ||
        mount(folder, folder, NULL, MS_BIND, NULL) != 0 ||
        set_mount("/", AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0) != 0 ||
        set_mount(folder, 0, 0, MOUNT_ATTR_RDONLY) != 0)
        fail("cannot shut the file systems");
}

/** It lies in memory, for nobody but those in here, and ends with them. */
static void lay_fresh_folder(const char *path)
{
    if (path != NULL &&
        mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=256m") != 0)
        fail(path);
}

/** A fresh network has a loopback that is down, and nothing else. */
static void switch_loopback_on(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        fail("no loopback");
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP | IFF_RUNNING);
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        fail("cannot switch the loopback on");
    (void)close(fd); /* the flag stays */
}

/** Soft and hard, so that nobody raises it again; never above what we were given. */
static void lower(struct rlimit *limit, long value)
{
    if (limit->rlim_max == RLIM_INFINITY || limit->rlim_max > (rlim_t)value)
        limit->rlim_max = (rlim_t)value;
    limit->rlim_cur = limit->rlim_max;
}

/** RLIMIT_NPROC counts all processes of a user, in this namespace of users. Where it is not ours,
 *  those that are there already must not count: at most all threads of the system. */
static long processes_allowed(const struct limits *limits)
{
    static struct tree everybody;
    bool known =
        limits->loose && tree_look(&everybody, 0) == 0; /* 0: the parent of the first one */
    return limits->processes + (known ? everybody.threads : 0);
}

static void set_limits(const struct limits *limits)
{
    struct rlimit core, cpu, file, processes;
    if (getrlimit(RLIMIT_CORE, &core) != 0 || getrlimit(RLIMIT_CPU, &cpu) != 0 ||
        getrlimit(RLIMIT_FSIZE, &file) != 0 || getrlimit(RLIMIT_NPROC, &processes) != 0)
        fail("getrlimit");
    lower(&core, 0);
    lower(&cpu, limits->cpu_seconds + 1); /* of one process; the watch sees the sum */
    lower(&file, limits->file_mib * 1024 * 1024);
    lower(&processes, processes_allowed(limits));
    if (setrlimit(RLIMIT_CORE, &core) != 0 || setrlimit(RLIMIT_CPU, &cpu) != 0 ||
        setrlimit(RLIMIT_FSIZE, &file) != 0 || setrlimit(RLIMIT_NPROC, &processes) != 0)
        fail("setrlimit");
}

static _Noreturn void become(char *const *command)
{
    (void)setsid(); /* a fresh child leads no group: it cannot fail */
    /* Without capabilities after exec(), and no program gives any back (man 2 prctl). */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        fail("PR_SET_NO_NEW_PRIVS");
    (void)execvp(command[0], command);
    (void)fprintf(stderr, "confine: %s: %s\n", command[0], strerror(errno));
    _exit(BOX_CANNOT_EXEC);
}

static int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/** Waits for one child; other processes that come to us as orphans are only reaped. */
static int wait_for(pid_t child)
{
    for (;;) {
        int status;
        pid_t ended = waitpid(-1, &status, 0);
        if (ended == child)
            return exit_status(status);
        if (ended < 0 && errno != EINTR)
            fail("waitpid");
    }
}

/** A child that dies with its parent. */
static pid_t fork_bound(void)
{
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        fail("PR_SET_PDEATHSIG");
    return child;
}

static _Noreturn void be_first(const struct limits *limits, char *const *command)
{
    if (!limits->loose) {
        hide_all(limits);
        shut_file_systems(limits->folder);
        lay_fresh_folder(limits->fresh);
        switch_loopback_on();
    }
    set_limits(limits);
    if (chdir(limits->folder) != 0)
        fail(limits->folder);
    pid_t child = fork_bound();
    if (child == 0)
        become(command);
    _exit(wait_for(child));
}

void box_run(const struct limits *limits, char *const *command, int out)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(out, STDERR_FILENO) < 0)
        fail("dup2");
    stop_being_root();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) /* becoming somebody else clears it */
        fail("PR_SET_PDEATHSIG");
    if (!limits->loose)
        enter_namespaces();
    pid_t first = fork_bound();
    if (first == 0)
        be_first(limits, command);
    _exit(wait_for(first));
}
