#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- what differs between systems ---- */

/* SIGPIPE: Linux and the BSDs take a flag per send(), macOS an option per socket. */
#ifdef MSG_NOSIGNAL
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0
#endif

static int silence_sigpipe(int fd)
{
#ifdef SO_NOSIGPIPE
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#else
    (void)fd; /* SEND_FLAGS does it */
    return 0;
#endif
}

static int set_cloexec(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Close-on-exec in one call where accept4() exists; on macOS in two. */
static int accept_cloexec(int listener)
{
#ifdef SOCK_CLOEXEC
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
#else
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        (void)set_cloexec(fd); /* F_SETFD on a fresh socket cannot fail */
    return fd;
#endif
}

/* ---- listening ---- */

static int bind_and_listen(int fd, const struct addrinfo *where)
{
    int on = 1;
    if (set_cloexec(fd) < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return -1;
    if (bind(fd, where->ai_addr, where->ai_addrlen) < 0)
        return -1;
    return listen(fd, SOMAXCONN);
}

static void close_keeping_errno(int fd)
{
    int err = errno;
    close(fd);
    errno = err;
}

int tcp_listen(const char *address, unsigned port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *where;
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    if (port > 65535 || getaddrinfo(address, service, &hints, &where) != 0) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(where->ai_family, SOCK_STREAM, 0);
    if (fd >= 0 && bind_and_listen(fd, where) < 0) {
        close_keeping_errno(fd);
        fd = -1;
    }
    int err = errno;
    freeaddrinfo(where);
    errno = err;
    return fd;
}

int tcp_local_name(int fd, char *buf, size_t len)
{
    struct sockaddr_storage address;
    socklen_t address_len = sizeof address;
    char host[46], port[6]; /* the longest IPv6 address; 65535 */
    if (getsockname(fd, (struct sockaddr *)&address, &address_len) < 0)
        return -1;
    if (getnameinfo((struct sockaddr *)&address, address_len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        errno = EINVAL;
        return -1;
    }
    (void)snprintf(buf, len, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

/* ---- accepting ---- */

bool tcp_is_out_of_resources(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/*
 * Linux hands errors of the network that are already pending on the new connection to the caller of
 * accept(); they are to be treated like EAGAIN by retrying (man 2 accept). They concern a client
 * that is gone, so the next one in the queue is taken at once.
 */
//! [dead_connection]
static bool is_a_dead_connection(int err)
{
    switch (err) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
#ifdef ENONET /* Linux only */
    case ENONET:
#endif
        return true;
    default:
        return false;
    }
}
//! [dead_connection]

/* Neither option is worth losing a client for: a peer that has already reset makes them fail on
 * some systems (EINVAL on macOS), and the first recv() then tells the same. */
static int make_ready(int fd)
{
    int on = 1;
    (void)silence_sigpipe(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

//! [accept]
int tcp_accept(int listener)
{
    for (int tries = 0; tries < TCP_ACCEPT_TRIES; tries++) {
        int fd = accept_cloexec(listener);
        if (fd >= 0)
            return make_ready(fd);
        assert(errno != EBADF && errno != ENOTSOCK); /* the caller's mistake, not the world's */
        if (errno != EINTR && !is_a_dead_connection(errno))
            return -1;
    }
    return -1;
}
//! [accept]

void tcp_rest(void)
{
    struct timespec time = {.tv_nsec = TCP_REST_MS * 1000 * 1000};
    (void)nanosleep(&time, NULL); /* EINTR makes the rest shorter, which does no harm */
}

/* ---- sending ---- */

ssize_t tcp_send(int fd, const void *buf, size_t len)
{
    return send(fd, buf, len, SEND_FLAGS);
}
