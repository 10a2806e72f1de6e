/*
 * spawn: see spawn.h.
 *
 * Between fork and exec a child has its parent's memory as it was, perhaps in the middle of
 * another thread's malloc(): only async-signal-safe calls there (man 7 signal-safety). The one
 * exception is process_close_from(), which on Linux lists a folder and so allocates memory: the C
 * libraries there make malloc() usable after a fork.
 */
#include "spawn.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef RLIMIT_AS
#define RLIMIT_AS RLIMIT_DATA /* OpenBSD: the nearest that it has */
#endif

/* ---- Pipes ------------------------------------------------------------------------------- */

enum { READ_END = 0, WRITE_END = 1 };

enum pipe_name { OUT, ERR, FAILED, GUARD, PIPES };

struct pipes {
    int end[PIPES][2];
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void pipes_close(struct pipes *p)
{
    for (int i = 0; i < PIPES; i++) {
        close_fd(&p->end[i][READ_END]);
        close_fd(&p->end[i][WRITE_END]);
    }
}

/** All are close-on-exec; dup2() makes the server's own copies, which are not. 0, or an errno. */
static int pipes_open(struct pipes *p)
{
    memset(p->end, -1, sizeof p->end);
    for (int i = 0; i < PIPES; i++) {
        if (pipe(p->end[i]) != 0) {
            int err = errno;
            pipes_close(p);
            return err;
        }
        (void)fcntl(p->end[i][READ_END], F_SETFD, FD_CLOEXEC);
        (void)fcntl(p->end[i][WRITE_END], F_SETFD, FD_CLOEXEC);
    }
    (void)fcntl(p->end[OUT][READ_END], F_SETFL, O_NONBLOCK);
    (void)fcntl(p->end[ERR][READ_END], F_SETFL, O_NONBLOCK);
    return 0;
}

/** Reads what is there or will come, until len bytes or the end. How many bytes. */
static size_t read_fully(int fd, void *buf, size_t len)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = read(fd, (char *)buf + have, len - have);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            break;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return have;
}

/* ---- The guard --------------------------------------------------------------------------- */

/** Runs in the guard: learns the group, waits for the end of the test, kills. */
static _Noreturn void guard_main(int fd)
{
    /*
     * A group of its own, so that Ctrl-C or a time-out that ends the test's whole group spares it.
     */
    (void)setpgid(0, 0);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGQUIT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    process_close_from(0, fd);

    pid_t group = 0;
    if (read_fully(fd, &group, sizeof group) == sizeof group && group > 1) {
        char nothing;
        (void)read_fully(fd, &nothing, sizeof nothing); /* returns when the last writer is gone */
        (void)kill(-group, SIGKILL);
    }
    _exit(0);
}

static pid_t guard_start(struct pipes *p)
{
    pid_t guard = fork();
    if (guard == 0) {
        guard_main(p->end[GUARD][READ_END]);
    }
    if (guard > 0) {
        (void)setpgid(guard, guard); /* in both processes: whoever comes first */
        close_fd(&p->end[GUARD][READ_END]);
    }
    return guard;
}

static void wait_for(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

void spawn_kill_group(pid_t child, pid_t guard, int guard_fd)
{
    /* The child has not been waited for, so its number cannot belong to a stranger yet. */
    if (child > 1) {
        (void)kill(-child, SIGKILL);
    }
    (void)close(guard_fd);
    wait_for(guard);
}

/* ---- The child --------------------------------------------------------------------------- */

/** The server starts with signals as a shell would give them, not as this test has them. */
static void signals_as_usual(void)
{
    static const int usual[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGTERM,
                                SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2};
    sigset_t none;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        (void)signal(usual[i], SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/** Both limits, so that a server which raises its own gets no further; never above ours. */
static struct rlimit lowered(struct rlimit ours, rlim_t most)
{
    rlim_t n = most < ours.rlim_max ? most : ours.rlim_max;
    return (struct rlimit){.rlim_cur = n, .rlim_max = n};
}

static int limit_resources(const struct server_spec *spec)
{
    struct rlimit now;
    if (spec->max_fds != 0) {
        if (getrlimit(RLIMIT_NOFILE, &now) != 0)
            return -1;
        now = lowered(now, spec->max_fds);
        if (setrlimit(RLIMIT_NOFILE, &now) != 0)
            return -1;
    }
    if (spec->max_address_space != 0) {
        if (getrlimit(RLIMIT_AS, &now) != 0)
            return -1;
        now = lowered(now, spec->max_address_space);
        if (setrlimit(RLIMIT_AS, &now) != 0)
            return -1;
    }
    return 0;
}

/** Becomes the server. Returns only if it cannot. */
static void child_become(struct pipes *p, const struct server_spec *spec, char **argv)
{
    pid_t self = getpid();
    (void)setpgid(0, 0);
    if (write(p->end[GUARD][WRITE_END], &self, sizeof self) != sizeof self) {
        return;
    }
    int in = open("/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(p->end[OUT][WRITE_END], STDOUT_FILENO) < 0 ||
        dup2(p->end[ERR][WRITE_END], STDERR_FILENO) < 0) {
        return;
    }
    /* Whatever else this test has inherited or opened: the server's count of descriptors begins
     * at three on every machine. */
    process_close_from(STDERR_FILENO + 1, p->end[FAILED][WRITE_END]);
    signals_as_usual();
    if (limit_resources(spec) == 0) {
        (void)execvp(argv[0], argv);
    }
}

static _Noreturn void child_main(struct pipes *p, const struct server_spec *spec, char **argv)
{
    child_become(p, spec, argv);
    /* Still here: say why. If even that fails, the parent takes us for a program that ended. */
    int err = errno;
    ssize_t n = write(p->end[FAILED][WRITE_END], &err, sizeof err);
    _exit(n == sizeof err ? 127 : 126);
}

/** The errno of a failed exec; 0 when the pipe was closed by an exec that worked. */
static int failure_of_exec(struct pipes *p)
{
    int err = 0;
    close_fd(&p->end[FAILED][WRITE_END]);
    return read_fully(p->end[FAILED][READ_END], &err, sizeof err) == sizeof err ? err : 0;
}

/* ---- Both -------------------------------------------------------------------------------- */

/** argv with "-p 0" at its end unless the spec is bare; the caller frees it. NULL: no memory. */
static char **complete_argv(const struct server_spec *spec)
{
    static const char *const free_port[] = {"-p", "0"};
    size_t n = 0;
    while (spec->argv[n] != NULL) {
        n++;
    }
    char **argv = calloc(n + 3, sizeof *argv);
    if (argv == NULL) {
        return NULL;
    }
    memcpy(argv, spec->argv, n * sizeof *argv);
    if (!spec->bare) {
        memcpy(argv + n, free_port, sizeof free_port);
    }
    return argv;
}

static int spawn_with(struct spawned *p, struct pipes *pipes, const struct server_spec *spec)
{
    p->guard = guard_start(pipes);
    if (p->guard < 0) {
        return errno;
    }
    char **argv = complete_argv(spec); /* not before: the guard would inherit it */
    p->child = argv != NULL ? fork() : -1;
    if (p->child == 0) {
        child_main(pipes, spec, argv);
    }
    int err = p->child < 0 ? errno : failure_of_exec(pipes);
    free(argv);
    if (err != 0) {
        spawn_kill_group(p->child, p->guard, pipes->end[GUARD][WRITE_END]);
        pipes->end[GUARD][WRITE_END] = -1;
        if (p->child > 0) {
            wait_for(p->child);
        }
        return err;
    }
    return 0;
}

int spawn(struct spawned *p, const struct server_spec *spec, char *why, size_t why_len)
{
    struct pipes pipes;
    int err = pipes_open(&pipes);
    if (err == 0) {
        err = spawn_with(p, &pipes, spec);
        if (err == 0) { /* these three are the caller's now, the other ends are closed below */
            p->guard_fd = pipes.end[GUARD][WRITE_END];
            p->out_fd = pipes.end[OUT][READ_END];
            p->err_fd = pipes.end[ERR][READ_END];
            pipes.end[GUARD][WRITE_END] = pipes.end[OUT][READ_END] = pipes.end[ERR][READ_END] = -1;
        }
        pipes_close(&pipes);
    }
    if (err != 0) {
        (void)snprintf(why, why_len, "cannot run %s: %s", spec->argv[0], strerror(err));
    }
    return err == 0 ? 0 : -1;
}
