/*
 * wrap_posix.c: the calls that the steps make on every system, as calls.h has them.
 *
 * Two things are as they would not be elsewhere, so that a run is short and still has everything:
 * an accepted socket gets a small send buffer, so that short counts and EAGAIN come by themselves;
 * and sleep() is shortened to a twentieth, as a signal may shorten it.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { SMALL_BUFFER = 4096, SLEEP_PART_MS = 50 };

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
int __real_socket(int family, int type, int protocol);
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __real_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __real_listen(int fd, int backlog);
int __real_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __real_accept(int fd, struct sockaddr *addr, socklen_t *len);
ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
int __real_shutdown(int fd, int how);
int __real_close(int fd);
int __real_fcntl(int fd, int command, ...);
int __real_pipe(int fds[2]);
ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __real_write(int fd, const void *buf, size_t len);
int __real_fflush(FILE *stream);
int __real_select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
pid_t __real_fork(void);
pid_t __real_waitpid(pid_t pid, int *status, int options);
int __real_mkstemp(char *path);
int __real_unlink(const char *path);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);
int __wrap_socket(int family, int type, int protocol);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_listen(int fd, int backlog);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_accept(int fd, struct sockaddr *addr, socklen_t *len);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_close(int fd);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_pipe(int fds[2]);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __wrap_fflush(FILE *stream);
int __wrap_select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
unsigned __wrap_sleep(unsigned seconds);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
pid_t __wrap_fork(void);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_mkstemp(char *path);
int __wrap_unlink(const char *path);

/* ---- memory ---------------------------------------------------------------------------------- */

void *__wrap_malloc(size_t size)
{
    void *block = shim_fails(CALL_MALLOC) ? NULL : __real_malloc(size);
    shim_note_block(block != NULL);
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = shim_fails(CALL_CALLOC) ? NULL : __real_calloc(count, size);
    shim_note_block(block != NULL);
    return block;
}

void __wrap_free(void *block)
{
    shim_note_block(block != NULL ? -1 : 0);
    __real_free(block);
}

/* ---- listening ------------------------------------------------------------------------------- */

int __wrap_socket(int family, int type, int protocol)
{
    return shim_fails(CALL_SOCKET) ? -1 : __real_socket(family, type, protocol);
}

static enum call option_call(int level, int option)
{
    if (level == IPPROTO_TCP)
        return CALL_SET_NODELAY;
    return option == SO_REUSEADDR ? CALL_SET_REUSEADDR : CALL_SET_REUSEPORT;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    if (shim_fails(option_call(level, option)))
        return -1;
    return __real_setsockopt(fd, level, option, value, len);
}

int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return shim_fails(CALL_BIND) ? -1 : __real_bind(fd, addr, len);
}

int __wrap_listen(int fd, int backlog)
{
    return shim_fails(CALL_LISTEN) ? -1 : __real_listen(fd, backlog);
}

int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    return shim_fails(CALL_GETSOCKNAME) ? -1 : __real_getsockname(fd, addr, len);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void tell_if_it_lied(int fd, struct verdict verdict)
{
    if (verdict.hit && verdict.err == EAGAIN)
        shim_tell_again(fd);
}

/* True when the call fails instead; errno is set. */
static bool accept_fails(int fd)
{
    struct verdict verdict = shim_judge(CALL_ACCEPT);
    tell_if_it_lied(fd, verdict);
    if (verdict.hit)
        errno = verdict.err;
    return verdict.hit;
}

static int with_small_buffer(int fd)
{
    int size = SMALL_BUFFER;
    if (fd >= 0)
        (void)__real_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

int __wrap_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    return accept_fails(fd) ? -1 : with_small_buffer(__real_accept(fd, addr, len));
}

#ifdef SOCK_CLOEXEC
int __real_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return accept_fails(fd) ? -1 : with_small_buffer(__real_accept4(fd, addr, len, flags));
}
#endif

/* With less bytes than there are, or EAGAIN, an edge is owed; at a true EAGAIN it is not. */
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
    struct verdict verdict = shim_judge(CALL_RECV);
    if (verdict.hit && verdict.manner == BY_ONE && len > 1) {
        ssize_t got = __real_recv(fd, buf, 1, flags);
        if (got > 0)
            shim_tell_again(fd);
        return got;
    }
    if (!verdict.hit || verdict.manner == BY_ONE)
        return __real_recv(fd, buf, len, flags);
    tell_if_it_lied(fd, verdict);
    errno = verdict.err;
    return -1;
}

/* A short send owes nothing: only EAGAIN makes the kernel take note of who waits. */
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
    struct verdict verdict = shim_judge(CALL_SEND);
    if (!verdict.hit || verdict.manner == BY_ONE)
        return __real_send(fd, buf, verdict.hit && len > 1 ? 1 : len, flags);
    tell_if_it_lied(fd, verdict);
    errno = verdict.err;
    return -1;
}

int __wrap_shutdown(int fd, int how)
{
    return shim_fails(CALL_SHUTDOWN) ? -1 : __real_shutdown(fd, how);
}

/* Closed it is in either case (Linux close(2), and the BSDs). */
int __wrap_close(int fd)
{
    struct verdict verdict = shim_judge(CALL_CLOSE);
    int result = __real_close(fd);
    shim_goes_on(verdict);
    return shim_refuses(verdict) ? -1 : result;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static enum call command_call(int command)
{
    switch (command) {
    case F_GETFL:
        return CALL_GET_FLAGS;
    case F_SETFL:
        return CALL_SET_FLAGS;
    default:
        return CALL_SET_CLOEXEC;
    }
}

/* Each command that is used here takes a number or nothing. */
int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int value = command != F_GETFL ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return shim_fails(command_call(command)) ? -1 : __real_fcntl(fd, command, value);
}

int __wrap_pipe(int fds[2])
{
    return shim_fails(CALL_PIPE) ? -1 : __real_pipe(fds);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
    return shim_fails(CALL_READ) ? -1 : __real_read(fd, buf, len);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    struct verdict verdict = shim_judge(fd == STDOUT_FILENO ? CALL_TOTALS : CALL_WRITE);
    if (!verdict.hit || verdict.manner == BY_ONE)
        return __real_write(fd, buf, verdict.hit && len > 1 ? 1 : len);
    errno = verdict.err;
    return -1;
}

int __wrap_fflush(FILE *stream)
{
    return shim_fails(CALL_FFLUSH) ? EOF : __real_fflush(stream);
}

/* ---- waiting --------------------------------------------------------------------------------- */

int __wrap_select(int count, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout)
{
    return shim_fails(CALL_SELECT) ? -1 : __real_select(count, in, out, other, timeout);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return shim_fails(CALL_POLL) ? -1 : __real_poll(fds, count, timeout_ms);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    return shim_fails(CALL_NANOSLEEP) ? -1 : __real_nanosleep(time, left);
}

unsigned __wrap_sleep(unsigned seconds)
{
    struct timespec part = {.tv_nsec = SLEEP_PART_MS * 1000 * 1000};
    if (!shim_judge(CALL_SLEEP).hit)
        (void)__real_nanosleep(&part, NULL);
    return seconds;
}

/* ---- threads and processes ------------------------------------------------------------------- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    struct verdict verdict = shim_judge(CALL_THREAD);
    return verdict.hit ? verdict.err : __real_pthread_create(thread, attributes, run, arg);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    struct verdict verdict = shim_judge(CALL_MUTEX);
    return verdict.hit ? verdict.err : __real_pthread_mutex_init(mutex, attributes);
}

/* What the child does is not counted: it ends at once, and the board is its parent's, too. */
pid_t __wrap_fork(void)
{
    if (shim_fails(CALL_FORK))
        return -1;
    shim_leave_alone(true);
    pid_t child = __real_fork();
    if (child != 0)
        shim_leave_alone(false);
    return child;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    return shim_fails(CALL_WAITPID) ? -1 : __real_waitpid(pid, status, options);
}

int __wrap_mkstemp(char *path)
{
    return shim_fails(CALL_MKSTEMP) ? -1 : __real_mkstemp(path);
}

int __wrap_unlink(const char *path)
{
    return shim_fails(CALL_UNLINK) ? -1 : __real_unlink(path);
}
