/*
 * evq_posix.c: see evq_platform.h; and the functions evq_tcp_... of evq.h, on POSIX systems.
 *
 * None of the calls here blocks. Sockets are close-on-exec from the start where the system can do
 * that (SOCK_CLOEXEC), else a moment later.
 */
#include "evq_calls.h"
#include "evq_platform.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- errors --------------------------------------------------------------------------------- */

const struct evq_os_error evq_os_errors[] = {
    {ECANCELED, EVQ_ECANCELED},
    {ECONNRESET, EVQ_ECONNRESET},
    {ECONNABORTED, EVQ_ECONNRESET},
    {ENETRESET, EVQ_ECONNRESET},
    {EPIPE, EVQ_ECONNRESET}, /* after a reset that was reported already */
    {ECONNREFUSED, EVQ_ECONNREFUSED},
    {ENOENT, EVQ_ECONNREFUSED}, /* connect to the name of a UNIX socket that is not there */
    {ETIMEDOUT, EVQ_ETIMEDOUT},
    {ENETUNREACH, EVQ_EUNREACH},
    {EHOSTUNREACH, EVQ_EUNREACH},
    {ENETDOWN, EVQ_EUNREACH},
    {EHOSTDOWN, EVQ_EUNREACH},
#ifdef ENONET
    {ENONET, EVQ_EUNREACH},
#endif
    {ENOTCONN, EVQ_ENOTCONN},
    {EADDRINUSE, EVQ_EADDR},
    {EADDRNOTAVAIL, EVQ_EADDR},
    {EMFILE, EVQ_EMFILE},
    {ENFILE, EVQ_EMFILE},
    {ENOMEM, EVQ_ENOMEM},
    {ENOBUFS, EVQ_ENOMEM},
    {ENOSPC, EVQ_ENOMEM}, /* epoll: fs.epoll.max_user_watches */
    {EACCES, EVQ_EACCES},
    {EPERM, EVQ_EACCES},
    {EINVAL, EVQ_EINVAL},
    {EBADF, EVQ_EINVAL},
    {EFAULT, EVQ_EINVAL},
    {EISCONN, EVQ_EINVAL},
    {EALREADY, EVQ_EINVAL},
    {EDESTADDRREQ, EVQ_EINVAL},
    {ENOTSOCK, EVQ_ENOTSUP},
    {EOPNOTSUPP, EVQ_ENOTSUP},
    {EAFNOSUPPORT, EVQ_ENOTSUP},
    {EPROTONOSUPPORT, EVQ_ENOTSUP},
    {EPROTOTYPE, EVQ_ENOTSUP},
    {ENOPROTOOPT, EVQ_ENOTSUP},
    {ENOSYS, EVQ_ENOTSUP},
    {EEXIST, EVQ_EBUSY},
    {EBUSY, EVQ_EBUSY},
    {EIO, EVQ_EIO},
};
const size_t evq_os_errors_count = sizeof evq_os_errors / sizeof evq_os_errors[0];

/* ---- the platform --------------------------------------------------------------------------- */

int evq_platform_start(void)
{
    return EVQ_OK;
}

void evq_platform_stop(void)
{
}

uint64_t evq_platform_now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time); /* cannot fail with this clock */
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

uintptr_t evq_platform_thread(void)
{
    return (uintptr_t)pthread_self(); /* a number or a pointer, and alive as long as the thread */
}

/* ---- sockets that are attached -------------------------------------------------------------- */

static int socket__set_flags(int fd)
{
    int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
    if (status < 0 || flags < 0)
        return -1;
    if ((status & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
        return -1;
    if ((flags & FD_CLOEXEC) == 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
        return -1;
    return evq_call_quiet(fd);
}

int evq_platform_prepare(evq_fd fd, bool *listens)
{
    int type = 0, listening = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return evq_error_of(errno);
    if (type != SOCK_STREAM)
        return EVQ_ENOTSUP;
    len = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
        if (errno != ENOPROTOOPT && errno != EINVAL)
            return evq_error_of(errno);
        listening = 0; /* a kind of socket that cannot listen */
    }
    *listens = listening != 0;
    return socket__set_flags(fd) < 0 ? evq_error_of(errno) : EVQ_OK;
}

int evq_platform_shutdown(evq_fd fd)
{
    return shutdown(fd, SHUT_WR) < 0 ? errno : 0;
}

/* With SO_LINGER and a time, close() sleeps even on a non-blocking socket. A time of 0 does not: it
 * resets the connection, and stays as the caller wants it. */
static void socket__do_not_linger(int fd)
{
    struct linger linger;
    socklen_t len = sizeof linger;
    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) < 0 || linger.l_onoff == 0 ||
        linger.l_linger == 0)
        return;
    linger.l_onoff = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger); /* then it lingers */
}

/* Not tried again after EINTR: the descriptor is gone, and its number may be another's already
 * (Linux close(2), and the BSDs). */
int evq_platform_close(evq_fd fd)
{
    socket__do_not_linger(fd);
    return close(fd) < 0 ? errno : 0;
}

/* ---- what came of a call --------------------------------------------------------------------- */

bool evq_accept_skips(int os_err)
{
    switch (os_err) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP: /* of the new connection: the listener is a stream socket, attach() has seen */
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
#ifdef ENONET
    case ENONET:
#endif
        return true;
    default:
        return false;
    }
}

static int socket__peek_err(int fd)
{
    char byte;
    ssize_t n;
    do
        n = recv(fd, &byte, 1, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}

int evq_send_os_err(int fd, int os_err)
{
    return os_err == EPIPE && socket__peek_err(fd) == ENOTCONN ? ENOTCONN : os_err;
}

int evq_connect_result(int fd)
{
    struct sockaddr_storage peer;
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return errno;
    if (err != 0)
        return err;
    len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        return 0;
    return errno == ENOTCONN ? EINPROGRESS : errno;
}

/* ---- sockets of the caller ------------------------------------------------------------------ */

/* A numeric address: its length, or 0 for none. */
static socklen_t address__parse(struct sockaddr_storage *storage, const char *text, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(storage, &in, sizeof in);
        return sizeof in;
    }
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
        memcpy(storage, &in6, sizeof in6);
        return sizeof in6;
    }
    return 0;
}

static int socket__close_failing(int fd, int os_err)
{
    (void)close(fd); /* the error before it is the one that counts */
    return evq_error_of(os_err);
}

int evq_tcp_socket(evq_fd *fd, int family)
{
    int made = socket(family, SOCK_STREAM, IPPROTO_TCP);
    if (made < 0)
        return evq_error_of(errno);
    if (socket__set_flags(made) < 0)
        return socket__close_failing(made, errno);
    *fd = made;
    return EVQ_OK;
}

/* SO_REUSEADDR: a server that is started again need not wait for the old one's connections. */
static int socket__listen(int fd, const struct sockaddr_storage *addr, socklen_t len, int backlog)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return -1;
    if (addr->ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)addr, len) < 0)
        return -1;
    return listen(fd, backlog > 0 ? backlog : SOMAXCONN);
}

int evq_tcp_listen(evq_fd *fd, const char *address, uint16_t port, int backlog)
{
    struct sockaddr_storage addr;
    socklen_t len = address__parse(&addr, address, port);
    if (len == 0)
        return EVQ_EINVAL;
    int made = -1, err = evq_tcp_socket(&made, addr.ss_family);
    if (err != EVQ_OK)
        return err;
    if (socket__listen(made, &addr, len, backlog) < 0)
        return socket__close_failing(made, errno);
    *fd = made;
    return EVQ_OK;
}

int evq_tcp_port(evq_fd fd, uint16_t *port)
{
    struct sockaddr_storage addr;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return evq_error_of(errno);
    if (addr.ss_family != AF_INET && addr.ss_family != AF_INET6)
        return EVQ_ENOTSUP;
    memcpy(&in, &addr, sizeof in);
    memcpy(&in6, &addr, sizeof in6);
    *port = ntohs(addr.ss_family == AF_INET ? in.sin_port : in6.sin6_port);
    return EVQ_OK;
}

int evq_tcp_nodelay(evq_fd fd)
{
    int on = 1;
    int failed = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return failed < 0 ? evq_error_of(errno) : EVQ_OK;
}

void evq_tcp_close(evq_fd fd)
{
    (void)evq_platform_close(fd); /* closed it is in either case */
}
