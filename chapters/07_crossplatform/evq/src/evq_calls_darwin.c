/*
 * evq_calls_darwin.c: see evq_calls.h. macOS has neither accept4() nor pipe2(), so a fork() of
 * another thread may come between; and SIGPIPE is switched off for a socket, not for a send.
 */
#include "evq_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int descriptor__set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int descriptor__close_failing(int fd)
{
    int saved = errno;
    (void)close(fd); /* the error before it is the one that counts */
    errno = saved;
    return -1;
}

int evq_call_accept(int fd)
{
    int accepted = accept(fd, NULL, NULL);
    if (accepted >= 0 && descriptor__set_flags(accepted) < 0)
        return descriptor__close_failing(accepted);
    return accepted;
}

ssize_t evq_call_send(int fd, const void *buf, size_t len)
{
    return send(fd, buf, len, 0);
}

ssize_t evq_call_recv(int fd, void *buf, size_t len, unsigned *left)
{
    *left = EVQ_LEFT_UNKNOWN;
    return recv(fd, buf, len, 0);
}

int evq_call_tell_left(int fd)
{
    (void)fd;
    return -1;
}

int evq_call_quiet(int fd)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
}

int evq_call_pipe(int fds[2])
{
    if (pipe(fds) < 0)
        return -1;
    if (descriptor__set_flags(fds[0]) == 0 && descriptor__set_flags(fds[1]) == 0)
        return 0;
    (void)descriptor__close_failing(fds[0]);
    return descriptor__close_failing(fds[1]);
}
