/*
 * client_socket: see client_socket.h.
 *
 * The tests of names such as SO_NOSIGPIPE ask what the system has, not which system it is.
 */
#include "client_socket.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h> /* SIOCOUTQ */
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* then there is SO_NOSIGPIPE */
#endif

/* ---- Opening ----------------------------------------------------------------------------- */

static void set_int(int fd, int level, int name, int value)
{
    /* The socket works without the option too, only not as well: an error is no reason to stop. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

int socket_open(int family, int receive_buffer)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0) {
        return -1;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
#ifdef SO_NOSIGPIPE
    set_int(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    if (receive_buffer > 0) { /* before connect: it decides the window that is offered */
        set_int(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    }
    return fd;
}

void socket_limit_segment(int fd, int bytes)
{
    if (bytes > 0) {
        set_int(fd, IPPROTO_TCP, TCP_MAXSEG, bytes);
    }
}

socklen_t socket_address(struct sockaddr_storage *to, const char *address, unsigned port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    memset(to, 0, sizeof *to);
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        if (v4->sin_addr.s_addr == htonl(INADDR_ANY)) { /* it listens on all: take the nearest */
            v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        }
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) {
            v6->sin6_addr = in6addr_loopback;
        }
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return sizeof *v6;
    }
    return 0;
}

bool socket_met_itself(int fd)
{
    /* Where nobody listens, and the kernel happens to pick the very port as our own, the two SYNs
     * of one socket meet, and TCP calls that a connection ("simultaneous open"): a perfect echo. */
    struct sockaddr_storage here;
    struct sockaddr_storage there;
    socklen_t here_len = sizeof here;
    socklen_t there_len = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 && here_len == there_len &&
           memcmp(&here, &there, here_len) == 0;
}

/* ---- Moving bytes ------------------------------------------------------------------------ */

ssize_t socket_send(int fd, const void *buf, size_t len)
{
    ssize_t n;
    do {
        n = send(fd, buf, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

ssize_t socket_receive(int fd, void *buf, size_t len)
{
    ssize_t n;
    do {
        n = recv(fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    return n;
}

int socket_unacknowledged(int fd)
{
    int bytes = -1;
#if defined(SIOCOUTQ) /* Linux, man 7 tcp */
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : -1;
#elif defined(FIONWRITE) /* FreeBSD, NetBSD */
    return ioctl(fd, FIONWRITE, &bytes) == 0 ? bytes : -1;
#elif defined(SO_NWRITE) /* macOS */
    socklen_t len = sizeof bytes;
    return getsockopt(fd, SOL_SOCKET, SO_NWRITE, &bytes, &len) == 0 ? bytes : -1;
#else
    (void)fd;
    return bytes;
#endif
}

/* ---- Errors and waiting ------------------------------------------------------------------ */

bool socket_would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK;
}

enum outcome outcome_of_errno(int err)
{
    switch (err) {
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:    /* on send(): the reset was already told by an earlier call */
    case ENOTCONN: /* the BSDs, after a reset */
        return CLIENT_RESET;
    case ETIMEDOUT:
        return CLIENT_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case EADDRNOTAVAIL: /* no free port on our side */
    case EAGAIN:        /* Linux: the same, or no room in the routing cache */
    case ENOBUFS:
    case ENOMEM:
        return CLIENT_LOCAL_LIMIT;
    default: /* ECONNREFUSED; and an unreachable host has nobody who listens either */
        return CLIENT_REFUSED;
    }
}

enum outcome socket_wait(int fd, short events, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd one = {.fd = fd, .events = events};
        int left_ms = deadline_left_ms(deadline_ns);
        int n = poll(&one, 1, left_ms);
        if (n > 0) {
            return CLIENT_OK; /* an error counts as ready: the next call will tell it */
        }
        if (n < 0 && errno != EINTR) {
            return outcome_of_errno(errno);
        }
        if (n == 0 && left_ms == 0) {
            return CLIENT_TIMEOUT;
        }
    }
}
