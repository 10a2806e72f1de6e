/*
 * wrap_linux.c: epoll and eventfd.
 *
 * Registrations for edges are remembered, so that an edge that a fault has taken from the step can
 * be asked for again: EPOLL_CTL_MOD looks at the socket as it is (man 2 epoll_ctl). A registration
 * with EPOLLONESHOT is the step's own to switch on again, and it does so after each EAGAIN.
 */
#include "shim.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

int __real_epoll_create1(int flags);
int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __real_eventfd(unsigned value, int flags);
int __real_eventfd_write(int fd, eventfd_t value);

int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd_write(int fd, eventfd_t value);

enum { WATCHED_MAX = 256 };

static struct {
    bool is;
    int epoll;
    struct epoll_event event;
} watched[WATCHED_MAX]; /* by descriptor; only of the steps with edges, which have one thread */

static void tell(int fd)
{
    if (fd >= 0 && fd < WATCHED_MAX && watched[fd].is)
        (void)__real_epoll_ctl(watched[fd].epoll, EPOLL_CTL_MOD, fd, &watched[fd].event);
}

static void remember(int epoll, int op, int fd, const struct epoll_event *event)
{
    if (fd < 0 || fd >= WATCHED_MAX || op != EPOLL_CTL_ADD || (event->events & EPOLLET) == 0)
        return;
    watched[fd].is = true;
    watched[fd].epoll = epoll;
    watched[fd].event = *event;
    shim_teller(tell);
}

int __wrap_epoll_create1(int flags)
{
    return shim_fails(CALL_EPOLL_CREATE) ? -1 : __real_epoll_create1(flags);
}

static bool listens(int fd)
{
    int does = 0;
    socklen_t len = sizeof does;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &does, &len) == 0 && does != 0;
}

/* See table.c for what is not told. */
static struct verdict judge_control(int op, int fd)
{
    if (op == EPOLL_CTL_ADD)
        return shim_judge(CALL_EPOLL_ADD);
    if (op == EPOLL_CTL_MOD && !listens(fd))
        return shim_judge(CALL_EPOLL_MOD);
    return (struct verdict){.hit = false};
}

int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    struct verdict verdict = judge_control(op, fd);
    if (shim_refuses(verdict))
        return -1;
    int result = __real_epoll_ctl(epoll, op, fd, event);
    if (result == 0)
        remember(epoll, op, fd, event);
    shim_goes_on(verdict);
    return result;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    return shim_fails(CALL_EPOLL_WAIT) ? -1 : __real_epoll_wait(epoll, events, max, timeout_ms);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return shim_fails(CALL_EVENTFD) ? -1 : __real_eventfd(value, flags);
}

int __wrap_eventfd_write(int fd, eventfd_t value)
{
    return shim_fails(CALL_EVENTFD_WRITE) ? -1 : __real_eventfd_write(fd, value);
}
