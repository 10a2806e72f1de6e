/*
 * count_calls: stands between a program and the kernel, and counts. For Linux: its linker can do
 * that, and it has epoll.
 *
 * With PEERS_ARE_FAST=1 in the environment it also makes sure that a client who floods is faster
 * than the program, on any machine: after a recv() that brought much, the next one on the same
 * descriptor is held until more has come, or HOLD_MS have passed. The kernel keeps all its
 * promises; only time is changed.
 */
#include "count_calls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FDS = 4096, MUCH = 1024, HOLD_MS = 1000 };

static struct call_counts nobody_reads, *counts = &nobody_reads;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool peers_are_fast;
static atomic_bool brought_much[MOST_FDS]; /* the last recv() on this descriptor */

static void find_file(void)
{
    const char *path = getenv("COUNT_CALLS");
    peers_are_fast = getenv("PEERS_ARE_FAST") != NULL;
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED)
        counts = shared;
    (void)close(fd);
}

static void count(enum counted_call call)
{
    (void)pthread_once(&once, find_file);
    atomic_fetch_add(&counts->of[call], 1);
}

/* The linker gives us each call of NAME as __wrap_NAME, and the real one as __real_NAME.
 * tools/exercise.sh reads the names from these lines. */
#define COUNTED(call, result, name, parameters, arguments) \
    result __real_##name parameters;                       \
    result __wrap_##name parameters;                       \
    result __wrap_##name parameters                        \
    {                                                      \
        count(call);                                       \
        return __real_##name arguments;                    \
    }

/* clang-format off */
COUNTED(CALLS_EPOLL_WAIT, int, epoll_wait, (int fd, struct epoll_event *events, int most, int ms),
        (fd, events, most, ms))
COUNTED(CALLS_EPOLL_WAIT, int, epoll_pwait,
        (int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask),
        (fd, events, most, ms, mask))
COUNTED(CALLS_EPOLL_CTL, int, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event),
        (epoll, what, fd, event))
COUNTED(CALLS_POLL, int, poll, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
COUNTED(CALLS_POLL, int, select,
        (int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *time),
        (n, in, out, except, time))
COUNTED(CALLS_MOVE, ssize_t, send, (int fd, const void *buf, size_t len, int flags),
        (fd, buf, len, flags))
COUNTED(CALLS_MOVE, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags),
        (fd, message, flags))
COUNTED(CALLS_MOVE, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
        (fd, message, flags))
COUNTED(CALLS_MOVE, ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len))
COUNTED(CALLS_MOVE, ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
COUNTED(CALLS_MOVE, ssize_t, readv, (int fd, const struct iovec *parts, int n), (fd, parts, n))
COUNTED(CALLS_MOVE, ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
/* clang-format on */

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
    count(CALLS_MOVE);
    if (!peers_are_fast || fd < 0 || fd >= MOST_FDS)
        return __real_recv(fd, buf, len, flags);
    struct pollfd more = {.fd = fd, .events = POLLIN};
    if (atomic_load(&brought_much[fd]))
        (void)__real_poll(&more, 1, HOLD_MS); /* EINTR: held for less long */
    ssize_t got = __real_recv(fd, buf, len, flags);
    atomic_store(&brought_much[fd], got >= MUCH);
    return got;
}
