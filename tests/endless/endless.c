/*
 * endless: lets a peer have something to say for ever. Linked between a step and the kernel.
 *
 * A client that says "endless", and gets it back, is from then on faster than any server: recv()
 * always fills the buffer, send() always takes all, and EAGAIN never comes. A real peer on the same
 * machine seldom stays ahead for long, and so hardly shows what a server does then.
 *
 * Only for servers with one thread, and for descriptors that are not used again.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_FD = 1024 };

static const char word[] = "endless";
static bool endless[MAX_FD];

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);

static bool is_endless(int fd)
{
    return fd >= 0 && fd < MAX_FD && endless[fd];
}

//! [endless]
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
    if (!is_endless(fd))
        return __real_recv(fd, buf, len, flags);
    memset(buf, 'x', len);
    return (ssize_t)len;
}
//! [endless]

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
    if (is_endless(fd))
        return (ssize_t)len;
    if (fd >= 0 && fd < MAX_FD && len == sizeof word - 1 && memcmp(buf, word, len) == 0)
        endless[fd] = true;
    return __real_send(fd, buf, len, flags);
}
