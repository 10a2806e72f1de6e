/*
 * endless: lets a peer have something to say for ever. Linked between a step and the kernel.
 *
 * A client that says "endless", and gets it back, is from then on faster than any server: recv()
 * always fills the buffer, send() always takes all, and EAGAIN never comes. A real peer on the same
 * machine seldom stays ahead for long, and so hardly shows what a server does then.
 *
 * A server that naps when nothing moved has no reason to, as long as there is such a peer: if it
 * does, it is ended with status 3.
 *
 * Only for servers with one thread, and for descriptors that are not used again.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 1024, STATUS_OF_A_NAP = 3 };

static const char word[] = "endless";
static bool endless[MAX_FD];

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
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

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    for (int fd = 0; fd < MAX_FD; fd++)
        if (endless[fd])
            _exit(STATUS_OF_A_NAP);
    return __real_nanosleep(time, left);
}
