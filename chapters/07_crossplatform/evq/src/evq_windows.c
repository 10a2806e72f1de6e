/*
 * evq_windows.c: see evq_platform.h; and the functions evq_tcp_... of evq.h, on Windows.
 *
 * A SOCKET is a handle, not a small number; its errors are in WSAGetLastError(), not in errno; and
 * nothing works before WSAStartup(). Each WSAStartup() wants its WSACleanup(), and with the last of
 * them Winsock closes what is open: so evq_open() and evq_destroy() are such a pair, and the
 * evq_tcp_ functions, whose sockets may live longer than any queue, start it once and for good.
 */
#include "evq_platform.h"

#include <string.h>
#include <windows.h>

/* ---- errors --------------------------------------------------------------------------------- */

/* Winsock's own, and those of Windows that a completed operation may show instead. */
const struct evq_os_error evq_os_errors[] = {
    {WSA_OPERATION_ABORTED, EVQ_ECANCELED},
    {WSAESHUTDOWN, EVQ_ECLOSED},
    {WSAECONNRESET, EVQ_ECONNRESET},
    {WSAECONNABORTED, EVQ_ECONNRESET},
    {WSAENETRESET, EVQ_ECONNRESET},
    {WSAEDISCON, EVQ_ECONNRESET},
    {ERROR_NETNAME_DELETED, EVQ_ECONNRESET},
    {ERROR_CONNECTION_ABORTED, EVQ_ECONNRESET},
    {WSAECONNREFUSED, EVQ_ECONNREFUSED},
    {ERROR_CONNECTION_REFUSED, EVQ_ECONNREFUSED},
    {WSAETIMEDOUT, EVQ_ETIMEDOUT},
    {ERROR_SEM_TIMEOUT, EVQ_ETIMEDOUT},
    {WSAENETUNREACH, EVQ_EUNREACH},
    {WSAEHOSTUNREACH, EVQ_EUNREACH},
    {WSAENETDOWN, EVQ_EUNREACH},
    {WSAEHOSTDOWN, EVQ_EUNREACH},
    {ERROR_NETWORK_UNREACHABLE, EVQ_EUNREACH},
    {ERROR_HOST_UNREACHABLE, EVQ_EUNREACH},
    {WSAENOTCONN, EVQ_ENOTCONN},
    {WSAEADDRINUSE, EVQ_EADDR},
    {WSAEADDRNOTAVAIL, EVQ_EADDR},
    {WSAEMFILE, EVQ_EMFILE},
    {ERROR_TOO_MANY_OPEN_FILES, EVQ_EMFILE},
    {WSAENOBUFS, EVQ_ENOMEM},
    {WSA_NOT_ENOUGH_MEMORY, EVQ_ENOMEM},
    {ERROR_OUTOFMEMORY, EVQ_ENOMEM},
    {ERROR_NO_SYSTEM_RESOURCES, EVQ_ENOMEM},
    {ERROR_WORKING_SET_QUOTA, EVQ_ENOMEM}, /* too much memory lent and locked */
    {WSAEWOULDBLOCK, EVQ_ENOMEM},          /* overlapped: too many requests outstanding */
    {WSAEACCES, EVQ_EACCES},
    {ERROR_ACCESS_DENIED, EVQ_EACCES},
    {WSAEINVAL, EVQ_EINVAL},
    {WSAEBADF, EVQ_EINVAL},
    {WSAEFAULT, EVQ_EINVAL},
    {WSAEISCONN, EVQ_EINVAL},
    {WSAEALREADY, EVQ_EINVAL},
    {WSAEDESTADDRREQ, EVQ_EINVAL},
    {WSA_INVALID_PARAMETER, EVQ_EINVAL},
    {WSA_INVALID_HANDLE, EVQ_EINVAL},
    {WSAENOTSOCK, EVQ_ENOTSUP},
    {WSAEOPNOTSUPP, EVQ_ENOTSUP},
    {WSAEAFNOSUPPORT, EVQ_ENOTSUP},
    {WSAEPROTONOSUPPORT, EVQ_ENOTSUP},
    {WSAESOCKTNOSUPPORT, EVQ_ENOTSUP},
    {WSAEPROTOTYPE, EVQ_ENOTSUP},
    {WSAENOPROTOOPT, EVQ_ENOTSUP},
    {WSASYSNOTREADY, EVQ_ENOTSUP},
    {WSAVERNOTSUPPORTED, EVQ_ENOTSUP},
};
const size_t evq_os_errors_count = sizeof evq_os_errors / sizeof evq_os_errors[0];

/* ---- the platform --------------------------------------------------------------------------- */

int evq_platform_start(void)
{
    WSADATA data;
    return evq_error_of(WSAStartup(MAKEWORD(2, 2), &data));
}

void evq_platform_stop(void)
{
    (void)WSACleanup(); /* it was started: there is no way to fail */
}

/* The counter never fails and never goes back (Windows XP and later). Seconds and the rest
 * apart: the product of the counter and 10^9 would not fit. */
uint64_t evq_platform_now(void)
{
    LARGE_INTEGER frequency, counter;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    uint64_t per_s = (uint64_t)frequency.QuadPart, ticks = (uint64_t)counter.QuadPart;
    return ticks / per_s * UINT64_C(1000000000) + ticks % per_s * UINT64_C(1000000000) / per_s;
}

uintptr_t evq_platform_thread(void)
{
    return GetCurrentThreadId();
}

/* ---- sockets that are attached -------------------------------------------------------------- */

/* Close-on-exec is called "not inherited" here. Some providers' sockets are no real handles: those
 * cannot be inherited anyway. */
static int socket__set_flags(SOCKET fd)
{
    u_long on = 1;
    (void)SetHandleInformation((HANDLE)fd, HANDLE_FLAG_INHERIT, 0);
    return ioctlsocket(fd, (long)FIONBIO, &on);
}

int evq_platform_prepare(evq_fd fd, bool *listens)
{
    int type = 0, listening = 0, len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, (char *)&type, &len) != 0)
        return evq_error_of(WSAGetLastError());
    if (type != SOCK_STREAM)
        return EVQ_ENOTSUP;
    len = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, (char *)&listening, &len) != 0)
        listening = 0; /* a kind of socket that cannot listen */
    *listens = listening != 0;
    return socket__set_flags(fd) != 0 ? evq_error_of(WSAGetLastError()) : EVQ_OK;
}

int evq_platform_shutdown(evq_fd fd)
{
    return shutdown(fd, SD_SEND) != 0 ? WSAGetLastError() : 0;
}

/* With SO_LINGER and a time, closesocket() on a non-blocking socket fails with WSAEWOULDBLOCK
 * and closes nothing. A time of 0 resets the connection, and stays as the caller wants it. */
static void socket__do_not_linger(SOCKET fd)
{
    struct linger linger;
    int len = sizeof linger;
    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, (char *)&linger, &len) != 0 || linger.l_onoff == 0 ||
        linger.l_linger == 0)
        return;
    linger.l_onoff = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof linger);
}

int evq_platform_close(evq_fd fd)
{
    socket__do_not_linger(fd);
    return closesocket(fd) != 0 ? WSAGetLastError() : 0;
}

/* ---- sockets of the caller ------------------------------------------------------------------ */

static BOOL CALLBACK winsock__start(PINIT_ONCE once, PVOID err, PVOID *context)
{
    (void)once;
    (void)context;
    *(int *)err = evq_platform_start();
    return *(int *)err == EVQ_OK; /* after a failure the next caller tries again */
}

static int winsock__started(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    int err = EVQ_OK;
    (void)InitOnceExecuteOnce(&once, winsock__start, &err, NULL);
    return err;
}

/* A numeric address: its length, or 0 for none. */
static int address__parse(struct sockaddr_storage *storage, const char *text, uint16_t port)
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

static int socket__close_failing(SOCKET fd, int os_err)
{
    (void)closesocket(fd); /* the error before it is the one that counts */
    return evq_error_of(os_err);
}

int evq_tcp_socket(evq_fd *fd, int family)
{
    int err = winsock__started();
    if (err != EVQ_OK)
        return err;
    SOCKET made = WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);
    if (made == INVALID_SOCKET)
        return evq_error_of(WSAGetLastError());
    if (socket__set_flags(made) != 0)
        return socket__close_failing(made, WSAGetLastError());
    *fd = made;
    return EVQ_OK;
}

/* SO_REUSEADDR would let a second server take the port of the first (Microsoft, "Using
 * SO_REUSEADDR and SO_EXCLUSIVEADDRUSE"). What it is for elsewhere, to restart at once, works
 * here without. */
static int socket__listen(SOCKET fd, const struct sockaddr_storage *addr, int len, int backlog)
{
    const DWORD on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on) != 0)
        return SOCKET_ERROR;
    if (addr->ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, (const char *)&on, sizeof on) != 0)
        return SOCKET_ERROR;
    if (bind(fd, (const struct sockaddr *)addr, len) != 0)
        return SOCKET_ERROR;
    return listen(fd, backlog > 0 ? backlog : SOMAXCONN);
}

int evq_tcp_listen(evq_fd *fd, const char *address, uint16_t port, int backlog)
{
    struct sockaddr_storage addr;
    evq_fd made;
    int err = winsock__started(); /* inet_pton() wants it, too */
    if (err != EVQ_OK)
        return err;
    int len = address__parse(&addr, address, port);
    if (len == 0)
        return EVQ_EINVAL;
    err = evq_tcp_socket(&made, addr.ss_family);
    if (err != EVQ_OK)
        return err;
    if (socket__listen(made, &addr, len, backlog) != 0)
        return socket__close_failing(made, WSAGetLastError());
    *fd = made;
    return EVQ_OK;
}

int evq_tcp_port(evq_fd fd, uint16_t *port)
{
    struct sockaddr_storage addr;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    int len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return evq_error_of(WSAGetLastError());
    if (addr.ss_family != AF_INET && addr.ss_family != AF_INET6)
        return EVQ_ENOTSUP;
    memcpy(&in, &addr, sizeof in);
    memcpy(&in6, &addr, sizeof in6);
    *port = ntohs(addr.ss_family == AF_INET ? in.sin_port : in6.sin6_port);
    return EVQ_OK;
}

int evq_tcp_nodelay(evq_fd fd)
{
    const DWORD on = 1;
    int failed = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on);
    return failed != 0 ? evq_error_of(WSAGetLastError()) : EVQ_OK;
}

void evq_tcp_close(evq_fd fd)
{
    (void)evq_platform_close(fd); /* closed it is in either case */
}
