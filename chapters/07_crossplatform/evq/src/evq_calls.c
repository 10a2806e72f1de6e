/*
 * evq_calls.c: see evq_calls.h. Linux, FreeBSD, NetBSD and OpenBSD have accept4(), pipe2() and
 * MSG_NOSIGNAL: flags are set before another thread's fork() can see the descriptor.
 */
#include "evq_calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int evq_call_accept(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

ssize_t evq_call_send(int fd, const void *buf, size_t len)
{
    return send(fd, buf, len, MSG_NOSIGNAL);
}

#ifdef TCP_INQ

/* Linux 4.18 tells it along with the data (man 7 tcp is silent, the kernel's
 * tools/testing/selftests/ net/tcp_inq.c shows it). The end of the stream counts as one byte. */
ssize_t evq_call_recv(int fd, void *buf, size_t len, unsigned *left)
{
    union {
        struct cmsghdr head; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec space = {.iov_base = buf, .iov_len = len};
    struct msghdr message = {.msg_iov = &space,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    *left = EVQ_LEFT_UNKNOWN;
    ssize_t n = recvmsg(fd, &message, 0);
    const struct cmsghdr *found = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (found != NULL && found->cmsg_level == IPPROTO_TCP && found->cmsg_type == TCP_CM_INQ) {
        int bytes;
        memcpy(&bytes, CMSG_DATA(found), sizeof bytes);
        *left = (unsigned)bytes;
    }
    return n;
}

int evq_call_tell_left(int fd)
{
    int on = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
}

#else

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

#endif

int evq_call_quiet(int fd)
{
    (void)fd;
    return 0;
}

int evq_call_pipe(int fds[2])
{
    return pipe2(fds, O_NONBLOCK | O_CLOEXEC);
}
