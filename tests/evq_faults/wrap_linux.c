/*
 * wrap_linux.c: epoll and eventfd.
 *
 * Registrations are remembered, so that an edge that a fault has taken from the library can be
 * asked for again: EPOLL_CTL_MOD looks at the socket as it is (man 2 epoll_ctl).
 */
#include "faults.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

int __real_epoll_create1(int flags);
int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __real_eventfd(unsigned value, int flags);
long __real_syscall(long number, ...);

int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __wrap_eventfd(unsigned value, int flags);
long __wrap_syscall(long number, ...);

enum { WATCHED_MAX = 1024 };

static struct {
    bool is;
    int epoll;
    struct epoll_event event;
} watched[WATCHED_MAX]; /* by descriptor */

static void tell(int fd)
{
    if (fd >= 0 && fd < WATCHED_MAX && watched[fd].is)
        (void)__real_epoll_ctl(watched[fd].epoll, EPOLL_CTL_MOD, fd, &watched[fd].event);
}

static void remember(int epoll, int op, int fd, const struct epoll_event *event)
{
    if (fd < 0 || fd >= WATCHED_MAX)
        return;
    watched[fd].is = op == EPOLL_CTL_ADD;
    watched[fd].epoll = epoll;
    watched[fd].event = *event;
    faults_teller(tell);
}

int __wrap_epoll_create1(int flags)
{
    return faults_fails(CALL_EPOLL_CREATE) ? -1 : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (faults_fails(op == EPOLL_CTL_ADD ? CALL_EPOLL_ADD : CALL_EPOLL_DEL))
        return -1;
    int result = __real_epoll_ctl(epoll, op, fd, event);
    if (result == 0)
        remember(epoll, op, fd, event);
    return result;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    return faults_fails(CALL_EPOLL_WAIT) ? -1 : __real_epoll_wait(epoll, events, max, timeout_ms);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return faults_fails(CALL_EVENTFD) ? -1 : __real_eventfd(value, flags);
}

/* Six arguments, whatever was given: that is what syscall() itself takes, and the kernel looks at
 * as many as the call has. */
long __wrap_syscall(long number, ...)
{
    long given[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
#ifdef SYS_epoll_pwait2
    if (number == SYS_epoll_pwait2 && faults_fails(CALL_EPOLL_PWAIT2))
        return -1;
#endif
    return __real_syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
