/*
 * evq_epoll.c: the backend over epoll (Linux).
 *
 * A socket is registered once, for both directions, edge-triggered, and never changed: EPOLLET with
 * IN, OUT, RDHUP and PRI. What an edge may be relied on for is settled in evq_reactor.c.
 *
 * Facts that shape it (man 7 epoll, man 2 epoll_ctl):
 *
 *   - A registration belongs to the open file description, not to the number. While a dup() or a
 *     child keeps that open, close() removes nothing. So EPOLL_CTL_DEL comes first.
 *   - After EPOLL_CTL_DEL no event of that socket can come any more; and a batch is translated
 *     before anybody can close something. So no event points to a socket that is gone.
 *   - Each event carries all that is true of the socket at that moment, not what has changed.
 *   - A socket that is not connected yet reports OUT and HUP. The reactor asks for the peer's name.
 *   - An eventfd that is watched edge-triggered makes a new edge with each write: it is never read.
 */
#include "evq_platform.h"
#include "evq_reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct epoll {
    int fd;
    int wake_fd;
    bool only_ms; /* epoll_pwait2() is not there */
};

static struct epoll *epoll_of(evq *q)
{
    return q->native;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void epoll_destroy(evq *q)
{
    struct epoll *epoll = epoll_of(q);
    (void)close(epoll->wake_fd); /* whatever it says: they are gone */
    (void)close(epoll->fd);
    free(epoll);
}

static int epoll__open_in(struct epoll *epoll)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    epoll->wake_fd = -1;
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0)
        return -1;
    epoll->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll->wake_fd < 0)
        return -1;
    return epoll_ctl(epoll->fd, EPOLL_CTL_ADD, epoll->wake_fd, &event);
}

static int epoll_open(evq *q)
{
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL)
        return EVQ_ENOMEM;
    if (epoll__open_in(epoll) == 0) {
        q->native = epoll;
        return EVQ_OK;
    }
    int err = evq_error_of(errno);
    if (epoll->wake_fd >= 0)
        (void)close(epoll->wake_fd);
    if (epoll->fd >= 0)
        (void)close(epoll->fd);
    free(epoll);
    return err;
}

/* ---- sockets -------------------------------------------------------------------------------- */

//! [attach]
static int epoll_attach(evq *q, evq_sock *s)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                                .data.ptr = s};
    evq_reactor_attach(s);
    if (epoll_ctl(epoll_of(q)->fd, EPOLL_CTL_ADD, s->fd, &event) < 0)
        return evq_error_of(errno);
    return EVQ_OK;
}

/* Nothing of an op is in the kernel: it was only waiting for an event. */
static enum evq_progress epoll_cancel(evq *q, evq_op *op)
{
    (void)q;
    (void)op;
    return EVQ_FINISHED;
}
//! [attach]

static enum evq_progress epoll_close(evq *q, evq_sock *s)
{
    struct epoll_event unused = {.events = 0}; /* before Linux 2.6.9 it could not be NULL */
    (void)epoll_ctl(epoll_of(q)->fd, EPOLL_CTL_DEL, s->fd, &unused); /* it is registered */
    s->priv.close_op->os_err = evq_platform_close(s->fd);
    return EVQ_FINISHED;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* epoll_pwait2() (Linux 5.11) takes nanoseconds. The C library may be too old for it, so it is
 * called by its number; where the kernel is, ENOSYS says so and milliseconds have to do. So they
 * have with EPERM: a container's filter that is older than the call forbids what it does not know
 * (runc issue 2151). */
static int epoll__wait_ns(struct epoll *epoll, struct epoll_event *events, int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    struct timespec time = {.tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S};
    long n = syscall(SYS_epoll_pwait2, epoll->fd, events, EVQ_BATCH, &time, NULL, (size_t)0);
    if (n >= 0 || (errno != ENOSYS && errno != EPERM))
        return (int)n;
#endif
    epoll->only_ms = true;
    return epoll_wait(epoll->fd, events, EVQ_BATCH, evq_timeout_ms(timeout_ns));
}

static int epoll__wait(struct epoll *epoll, struct epoll_event *events, int64_t timeout_ns)
{
    if (timeout_ns > 0 && timeout_ns % NS_PER_MS != 0 && !epoll->only_ms)
        return epoll__wait_ns(epoll, events, timeout_ns);
    return epoll_wait(epoll->fd, events, EVQ_BATCH, evq_timeout_ms(timeout_ns));
}

static unsigned epoll__what(uint32_t events)
{
    unsigned what = 0;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        what |= EVQ_EVENT_READ;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
        what |= EVQ_EVENT_MORE;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        what |= EVQ_EVENT_WRITE;
    return what;
}

//! [wait]
static int epoll_wait_for(evq *q, int64_t timeout_ns)
{
    struct epoll_event events[EVQ_BATCH];
    int n = epoll__wait(epoll_of(q), events, timeout_ns);
    if (n < 0)
        return errno == EINTR ? EVQ_INTERRUPTED : evq_error_of(errno);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == NULL)
            evq_woken(q);
        else
            evq_reactor_event(events[i].data.ptr, epoll__what(events[i].events));
    }
    return EVQ_WAITED;
}
//! [wait]

/* EAGAIN would mean that 2^64 wakes lie there unseen: then the queue is awake. */
static void epoll_wake(evq *q)
{
    const uint64_t one = 1;
    while (write(epoll_of(q)->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ; /* nothing was written, and no later wake would do it instead */
}

const struct evq_backend evq_backend_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .destroy = epoll_destroy,
    .attach = epoll_attach,
    .start = evq_reactor_start,
    .cancel = epoll_cancel,
    .close = epoll_close,
    .wait = epoll_wait_for,
    .wake = epoll_wake,
};
