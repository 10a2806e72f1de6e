/*
 * system_posix.c: see system.h.
 */
#include "system.h"

#include <evq_platform.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *system_emulates(const char *backend)
{
#ifdef __linux__
    if (strcmp(backend, "kqueue") == 0)
        return "over epoll";
#endif
    (void)backend;
    return NULL;
}

int system_descriptors(void)
{
    DIR *dir = opendir("/dev/fd");
    int count = 0;
    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static struct rlimit limit_before;
static bool limit_is_set;

bool system_wants_descriptors(int n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (rlim_t)n) {
        limit.rlim_cur = (rlim_t)n;
        return setrlimit(RLIMIT_NOFILE, &limit) == 0;
    }
    return true;
}

/* The limit is one of numbers: those that are free below it are filled up. */
bool system_leaves_descriptors(int n)
{
    if (n < 0)
        return limit_is_set && setrlimit(RLIMIT_NOFILE, &limit_before) == 0;
    int next = dup(0);
    if (next < 0 || close(next) < 0 || getrlimit(RLIMIT_NOFILE, &limit_before) < 0)
        return false;
    struct rlimit limit = limit_before;
    limit.rlim_cur = (rlim_t)next + (rlim_t)n;
    limit_is_set = true;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

bool system_counts_what_was_sent(void)
{
    return true;
}

int64_t system_cpu_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* ---- children ------------------------------------------------------------------------------- */

static int child__wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

bool system_asserts(void (*run)(void), bool *able)
{
    *able = true;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(null, 2);
        (void)signal(SIGABRT, SIG_DFL);
        run();
        _exit(0);
    }
    int status = pid > 0 ? child__wait(pid) : 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

int system_child(int (*run)(void), bool *able)
{
    *able = true;
    pid_t pid = fork();
    if (pid == 0)
        _exit(run());
    int status = pid > 0 ? child__wait(pid) : -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- signals -------------------------------------------------------------------------------- */

static void (*signal_runs)(void);

static void on_alarm(int number)
{
    (void)number;
    signal_runs();
}

bool system_signal_every_ms(int ms, void (*run)(void))
{
    struct sigaction action;
    struct itimerval every;
    memset(&action, 0, sizeof action);
    memset(&every, 0, sizeof every);
    action.sa_handler = on_alarm;
    signal_runs = run;
    every.it_value.tv_sec = every.it_interval.tv_sec = ms / 1000;
    every.it_value.tv_usec = every.it_interval.tv_usec = ms % 1000 * 1000;
    return sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &every, NULL) == 0;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

int system_is_nonblocking(evq_fd fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

int system_is_close_on_exec(evq_fd fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

bool system_is_open(evq_fd fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

bool system_dup(evq_fd fd, evq_fd *copy)
{
    *copy = dup(fd);
    return *copy >= 0;
}

bool system_no_socket(evq_fd *fd)
{
    *fd = open("/dev/null", O_RDWR);
    return *fd >= 0;
}

void system_setenv(const char *name, const char *value)
{
    if (value != NULL)
        (void)setenv(name, value, 1);
    else
        (void)unsetenv(name);
}

/* ---- errors --------------------------------------------------------------------------------- */

/* By meaning, as the words in evq.h have it. */
static const struct evq_os_error expected_errors[] = {
    {ECANCELED, EVQ_ECANCELED},   {EPIPE, EVQ_ECONNRESET},
    {ECONNRESET, EVQ_ECONNRESET}, {ECONNABORTED, EVQ_ECONNRESET},
    {ENETRESET, EVQ_ECONNRESET},  {ECONNREFUSED, EVQ_ECONNREFUSED},
    {ENOENT, EVQ_ECONNREFUSED},   {ETIMEDOUT, EVQ_ETIMEDOUT},
    {ENETDOWN, EVQ_EUNREACH},     {ENETUNREACH, EVQ_EUNREACH},
    {EHOSTDOWN, EVQ_EUNREACH},    {EHOSTUNREACH, EVQ_EUNREACH},
#ifdef ENONET
    {ENONET, EVQ_EUNREACH},
#endif
    {ENOTCONN, EVQ_ENOTCONN},     {EADDRINUSE, EVQ_EADDR},
    {EADDRNOTAVAIL, EVQ_EADDR},   {EMFILE, EVQ_EMFILE},
    {ENFILE, EVQ_EMFILE},         {ENOMEM, EVQ_ENOMEM},
    {ENOBUFS, EVQ_ENOMEM},        {ENOSPC, EVQ_ENOMEM},
    {EACCES, EVQ_EACCES},         {EPERM, EVQ_EACCES},
    {EINVAL, EVQ_EINVAL},         {EBADF, EVQ_EINVAL},
    {EFAULT, EVQ_EINVAL},         {EISCONN, EVQ_EINVAL},
    {EALREADY, EVQ_EINVAL},       {EDESTADDRREQ, EVQ_EINVAL},
    {ENOTSOCK, EVQ_ENOTSUP},      {EOPNOTSUPP, EVQ_ENOTSUP},
    {EAFNOSUPPORT, EVQ_ENOTSUP},  {EPROTONOSUPPORT, EVQ_ENOTSUP},
    {EPROTOTYPE, EVQ_ENOTSUP},    {ENOPROTOOPT, EVQ_ENOTSUP},
    {ENOSYS, EVQ_ENOTSUP},        {EEXIST, EVQ_EBUSY},
    {EBUSY, EVQ_EBUSY},           {EIO, EVQ_EIO},
};

const struct evq_os_error *system_expected_errors(size_t *count)
{
    *count = sizeof expected_errors / sizeof expected_errors[0];
    return expected_errors;
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *thread__main(void *argument)
{
    const struct system_thread *thread = argument;
    thread->run(thread->argument);
    return NULL;
}

void system_thread_start(struct system_thread *thread, void (*run)(void *), void *argument)
{
    pthread_t made;
    thread->run = run;
    thread->argument = argument;
    if (pthread_create(&made, NULL, thread__main, thread) != 0)
        abort();
    thread->handle = (uintptr_t)made;
}

void system_thread_join(struct system_thread *thread)
{
    (void)pthread_join((pthread_t)thread->handle, NULL);
}
