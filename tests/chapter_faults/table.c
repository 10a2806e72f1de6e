/*
 * table.c: see table.h. The errors are those of the man pages of Linux and of POSIX.
 *
 * Left out are the errors that only a mistake of the program can bring: EBADF, EFAULT, ENOTSOCK,
 * and EINVAL where no row has it; a second bind; datagrams; other protocols than TCP.
 *
 * EINTR stands at the calls that can wait, and at write(): there two signals may meet. EAGAIN is
 * the usual answer, and each run meets the kernel's own; the rows that have it are lies, and the
 * edge that was lost is asked for again.
 *
 * Not told either: what needs no memory once it is registered, EPOLL_CTL_DEL, and EPOLL_CTL_MOD or
 * EV_ENABLE of the listener (Linux: ep_modify() in fs/eventpoll.c allocates nothing for it); a full
 * eventfd, which has room for more than 2^64 - 2 wakes.
 *
 * The errors of Windows are those of Microsoft's pages. Left out are there, in the same way, what
 * only a mistake can bring (WSANOTINITIALISED, WSAEFAULT, WSAENOTSOCK, WSAEINVAL, WSAEISCONN,
 * WSAESHUTDOWN, WSA_INVALID_HANDLE), what belongs to datagrams, and WSAEINTR and WSAEINPROGRESS,
 * which are of Winsock 1.1. Where a page names no error (ports, AcceptEx but for WSAECONNRESET,
 * CreateEvent) it is the lack of memory, as the system's own codes have it. WSAEWOULDBLOCK of
 * accept() is what each run of step 3 meets; a false one would owe an event that never comes.
 */
#include "table.h"

#include "scenario.h"
#include "windows_errors.h"

#include <errno.h>

#define AS_CONSTANT(name, number) name = (int)(number),
enum windows_error { WINDOWS_ERRORS(AS_CONSTANT) WINDOWS_STATUSES(AS_CONSTANT) };

/* Columns: the call, the error, what may come of it. */
#define ROW(call, err, may)                        \
    {                                              \
        call, err, #err, INSTEAD, 1, ANYWHERE, may \
    }
#define ROW_AFTER(call, err, may)                \
    {                                            \
        call, err, #err, AFTER, 1, ANYWHERE, may \
    }
#define ROW_WHERE(call, err, needs, may)        \
    {                                           \
        call, err, #err, INSTEAD, 1, needs, may \
    }
#define ROW_SHORT(call, may)                                         \
    {                                                                \
        call, 0, "1 byte each time", BY_ONE, FOR_EVER, ANYWHERE, may \
    }
/* The status that an operation ends with, and its name at a port. */
#define ROW_ENDS(call, status, err, may)            \
    {                                               \
        call, status, #err, AFTER, 1, ANYWHERE, may \
    }

enum {
    START = NO_START | ENDS, /* the first line may be out already when it gives up */
    REFUSED = UNSEEN | ONE_LOST
};

const struct row table[] = {
    /* Whatever is short or interrupted. */
    ROW_SHORT(CALL_RECV, UNSEEN),
    ROW_SHORT(CALL_SEND, UNSEEN),
    ROW_SHORT(CALL_TOTALS, UNSEEN | TELLS),
    ROW(CALL_RECV, EINTR, UNSEEN),
    ROW(CALL_SEND, EINTR, UNSEEN),
    ROW(CALL_ACCEPT, EINTR, UNSEEN),
    ROW(CALL_SELECT, EINTR, UNSEEN),
    ROW(CALL_POLL, EINTR, UNSEEN),
    ROW(CALL_EPOLL_WAIT, EINTR, UNSEEN),
    ROW(CALL_KEVENT_WAIT, EINTR, UNSEEN),
    ROW(CALL_NANOSLEEP, EINTR, UNSEEN),
    ROW(CALL_WAITPID, EINTR, UNSEEN),
    ROW(CALL_WRITE, EINTR, UNSEEN),
    ROW(CALL_TOTALS, EINTR, UNSEEN | TELLS),
    ROW_AFTER(CALL_CLOSE, EINTR, UNSEEN),

    /* Starting. */
    ROW(CALL_SOCKET, EACCES, START),
    ROW(CALL_SOCKET, EAFNOSUPPORT, START),
    ROW(CALL_SOCKET, EMFILE, START),
    ROW(CALL_SOCKET, ENFILE, START),
    ROW(CALL_SOCKET, ENOBUFS, START),
    ROW(CALL_SOCKET, ENOMEM, START),
    ROW(CALL_SOCKET, EPROTONOSUPPORT, START),
    ROW(CALL_SET_REUSEADDR, ENOPROTOOPT, START),
    ROW(CALL_SET_REUSEADDR, ENOBUFS, START),
    ROW(CALL_SET_REUSEADDR, ENOMEM, START),
    ROW(CALL_SET_REUSEPORT, ENOPROTOOPT, START),
    ROW(CALL_SET_REUSEPORT, ENOMEM, START),
    ROW(CALL_BIND, EACCES, START),
    ROW(CALL_BIND, EADDRINUSE, START),
    ROW(CALL_BIND, EADDRNOTAVAIL, START),
    ROW(CALL_BIND, ENOBUFS, START),
    ROW(CALL_BIND, ENOMEM, START),
    ROW(CALL_LISTEN, EADDRINUSE, START),
    ROW(CALL_LISTEN, EOPNOTSUPP, START),
    ROW(CALL_LISTEN, ENOBUFS, START),
    ROW(CALL_GETSOCKNAME, ENOBUFS, START),
    ROW(CALL_FFLUSH, EIO, START | UNSEEN),
    ROW(CALL_FFLUSH, ENOSPC, START | UNSEEN),
    ROW(CALL_FFLUSH, EPIPE, START | UNSEEN),
    ROW(CALL_PIPE, EMFILE, START),
    ROW(CALL_PIPE, ENFILE, START),
    ROW(CALL_EPOLL_CREATE, EMFILE, START),
    ROW(CALL_EPOLL_CREATE, ENFILE, START),
    ROW(CALL_EPOLL_CREATE, ENOMEM, START),
    ROW(CALL_EVENTFD, EMFILE, START),
    ROW(CALL_EVENTFD, ENFILE, START),
    ROW(CALL_EVENTFD, ENODEV, START),
    ROW(CALL_EVENTFD, ENOMEM, START),
    ROW(CALL_KQUEUE, EMFILE, START),
    ROW(CALL_KQUEUE, ENFILE, START),
    ROW(CALL_KQUEUE, ENOMEM, START),

    /* Starting, or one client: a filter of the container, or a security module, says EPERM. */
    ROW(CALL_SET_CLOEXEC, EPERM, START | UNSEEN),
    ROW(CALL_GET_FLAGS, EPERM, START | ONE_LOST),
    ROW(CALL_SET_FLAGS, EPERM, START | ONE_LOST),
    ROW(CALL_EPOLL_ADD, ENOMEM, START | ONE_LOST),
    ROW(CALL_EPOLL_ADD, ENOSPC, START | ONE_LOST),
    ROW(CALL_EPOLL_ADD, EPERM, START | ONE_LOST),
    ROW(CALL_KEVENT_NOW, ENOMEM, START | REFUSED),
    ROW(CALL_KEVENT_NOW, EACCES, START | REFUSED),
    ROW(CALL_MALLOC, ENOMEM, START | ONE_LOST),
    ROW(CALL_CALLOC, ENOMEM, START | ONE_LOST),
    ROW(CALL_THREAD, EAGAIN, START | REFUSED),
    ROW(CALL_MUTEX, ENOMEM, START | ONE_LOST),
    ROW(CALL_MUTEX, EAGAIN, START | ONE_LOST),

    /* Accepting: what belongs to one connection, or to the network, is stepped over; where a
     * resource has run out, the client is served a little later. */
    ROW_WHERE(CALL_ACCEPT, EAGAIN, NO_BLOCKING_ACCEPT, UNSEEN),
    ROW(CALL_ACCEPT, ECONNABORTED, UNSEEN),
    ROW(CALL_ACCEPT, EPROTO, UNSEEN),
    ROW(CALL_ACCEPT, ENOPROTOOPT, UNSEEN),
    ROW(CALL_ACCEPT, ENETDOWN, UNSEEN),
    ROW(CALL_ACCEPT, ENETUNREACH, UNSEEN),
    ROW(CALL_ACCEPT, EHOSTDOWN, UNSEEN),
    ROW(CALL_ACCEPT, EHOSTUNREACH, UNSEEN),
#ifdef ENONET
    ROW(CALL_ACCEPT, ENONET, UNSEEN),
#endif
    ROW(CALL_ACCEPT, EOPNOTSUPP, UNSEEN),
    ROW(CALL_ACCEPT, ETIMEDOUT, UNSEEN),
    ROW(CALL_ACCEPT, EPERM, UNSEEN),
    ROW(CALL_ACCEPT, EMFILE, UNSEEN),
    ROW(CALL_ACCEPT, ENFILE, UNSEEN),
    ROW(CALL_ACCEPT, ENOBUFS, UNSEEN),
    ROW(CALL_ACCEPT, ENOMEM, UNSEEN),
    ROW(CALL_SET_NODELAY, EINVAL, UNSEEN), /* macOS: the peer has reset it already */
    ROW(CALL_SET_NODELAY, ENOPROTOOPT, UNSEEN),
    ROW(CALL_SET_NODELAY, ENOBUFS, UNSEEN),
    ROW(CALL_SET_NODELAY, ENOMEM, UNSEEN),

    /* One connection fails. */
    ROW_WHERE(CALL_RECV, EAGAIN, NO_BLOCKING_RECV, UNSEEN),
    ROW(CALL_RECV, ECONNRESET, ONE_LOST),
    ROW(CALL_RECV, ETIMEDOUT, ONE_LOST),
    ROW(CALL_RECV, EHOSTUNREACH, ONE_LOST),
    ROW(CALL_RECV, ENOTCONN, ONE_LOST),
    ROW(CALL_RECV, EIO, ONE_LOST),
    ROW(CALL_RECV, ENOBUFS, ONE_LOST),
    ROW(CALL_RECV, ENOMEM, ONE_LOST),
    ROW_WHERE(CALL_SEND, EAGAIN, NO_BLOCKING_RECV, UNSEEN),
    ROW(CALL_SEND, ECONNRESET, ONE_LOST),
    ROW(CALL_SEND, EPIPE, ONE_LOST),
    ROW(CALL_SEND, ETIMEDOUT, ONE_LOST),
    ROW(CALL_SEND, EHOSTUNREACH, ONE_LOST),
    ROW(CALL_SEND, ENETDOWN, ONE_LOST),
    ROW(CALL_SEND, ENETUNREACH, ONE_LOST),
    ROW(CALL_SEND, EACCES, ONE_LOST),
    ROW(CALL_SEND, EIO, ONE_LOST),
    ROW(CALL_SEND, ENOBUFS, ONE_LOST),
    ROW(CALL_SEND, ENOMEM, ONE_LOST),
    ROW(CALL_SHUTDOWN, ENOTCONN, UNSEEN),
    ROW(CALL_SHUTDOWN, ENOBUFS, UNSEEN),
    ROW(CALL_EPOLL_MOD, ENOMEM, REFUSED),
    ROW(CALL_KEVENT_CHANGE, ENOMEM, ONE_LOST),
    ROW_AFTER(CALL_CLOSE, EIO, UNSEEN),

    /* Waiting. */
    ROW(CALL_SELECT, ENOMEM, ENDS),
    ROW(CALL_POLL, ENOMEM, ENDS | UNSEEN | TELLS), /* SIGTERM, and then it fails */

    /* While the listener rests. */
    ROW_WHERE(CALL_POLL, EINTR, AFTER_EMFILE, UNSEEN),
    ROW_WHERE(CALL_EPOLL_WAIT, EINTR, AFTER_EMFILE, UNSEEN),
    ROW_WHERE(CALL_KEVENT_WAIT, EINTR, AFTER_EMFILE, UNSEEN),
    ROW_WHERE(CALL_NANOSLEEP, EINTR, AFTER_EMFILE, UNSEEN),

    /* What 05/4 watches besides: it says that it is not here, and goes on. */
    ROW(CALL_FORK, EAGAIN, UNSEEN),
    ROW(CALL_FORK, ENOMEM, UNSEEN),
    ROW(CALL_MKSTEMP, EACCES, UNSEEN),
    ROW(CALL_MKSTEMP, EMFILE, UNSEEN),
    ROW(CALL_MKSTEMP, ENOSPC, UNSEEN),

    /* Waking, and stopping: what cannot be written is told. */
    ROW(CALL_READ, EINTR, UNSEEN),
    ROW(CALL_TOTALS, EIO, TELLS),
    ROW(CALL_TOTALS, ENOSPC, TELLS),
    ROW(CALL_TOTALS, EPIPE, TELLS),
    ROW(CALL_TOTALS, EAGAIN, TELLS),

    /* Windows. An operation was submitted, and has failed: that connection is lost. */
    ROW_ENDS(WIN_RECV_ENDS, STATUS_CONNECTION_RESET, ERROR_NETNAME_DELETED, ONE_LOST),
    ROW_ENDS(WIN_SEND_ENDS, STATUS_CONNECTION_RESET, ERROR_NETNAME_DELETED, ONE_LOST),
    ROW_ENDS(WIN_ACCEPT_ENDS, STATUS_CONNECTION_RESET, ERROR_NETNAME_DELETED, ONE_LOST),
    ROW_ENDS(WIN_ACCEPT_ENDS, STATUS_INSUFFICIENT_RESOURCES, ERROR_NO_SYSTEM_RESOURCES, ONE_LOST),
    ROW_ENDS(WIN_RECV_ENDS, STATUS_CANCELLED, ERROR_OPERATION_ABORTED, ONE_LOST),
    ROW_ENDS(WIN_SEND_ENDS, STATUS_CANCELLED, ERROR_OPERATION_ABORTED, ONE_LOST),
    ROW_ENDS(WIN_ACCEPT_ENDS, STATUS_CANCELLED, ERROR_OPERATION_ABORTED, ONE_LOST),
    ROW_ENDS(WIN_RECV_ENDS, STATUS_CONNECTION_ABORTED, ERROR_CONNECTION_ABORTED, ONE_LOST),
    ROW_ENDS(WIN_SEND_ENDS, STATUS_CONNECTION_ABORTED, ERROR_CONNECTION_ABORTED, ONE_LOST),
    ROW_ENDS(WIN_ACCEPT_ENDS, STATUS_CONNECTION_ABORTED, ERROR_CONNECTION_ABORTED, ONE_LOST),
    ROW_ENDS(WIN_RECV_ENDS, STATUS_IO_TIMEOUT, ERROR_SEM_TIMEOUT, ONE_LOST),
    ROW_ENDS(WIN_SEND_ENDS, STATUS_IO_TIMEOUT, ERROR_SEM_TIMEOUT, ONE_LOST),
    ROW_ENDS(WIN_RECV_ENDS, STATUS_HOST_UNREACHABLE, ERROR_HOST_UNREACHABLE, ONE_LOST),
    ROW_ENDS(WIN_SEND_ENDS, STATUS_HOST_UNREACHABLE, ERROR_HOST_UNREACHABLE, ONE_LOST),
    ROW_ENDS(WIN_RECV_ENDS, STATUS_INSUFFICIENT_RESOURCES, ERROR_NO_SYSTEM_RESOURCES, ONE_LOST),
    ROW_ENDS(WIN_SEND_ENDS, STATUS_INSUFFICIENT_RESOURCES, ERROR_NO_SYSTEM_RESOURCES, ONE_LOST),
    ROW(WIN_RESULT, WSAENETDOWN, REFUSED),

    /* ... it moves 1 byte, or comes alone */
    ROW_SHORT(WIN_RECV_SUBMIT, UNSEEN),
    ROW_SHORT(WIN_SEND_SUBMIT, UNSEEN),
    ROW_SHORT(WIN_RECV, UNSEEN),
    ROW_SHORT(WIN_SEND, UNSEEN),
    {WIN_GET_MANY, 0, "1 packet each time", BY_ONE, FOR_EVER, ANYWHERE, UNSEEN},

    /* ... it was not submitted at all: WSAEWOULDBLOCK is "too many of them in flight" */
    ROW(WIN_RECV_SUBMIT, WSAEWOULDBLOCK, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAEWOULDBLOCK, ONE_LOST),
    ROW(WIN_ACCEPT_SUBMIT, WSAECONNRESET, UNSEEN),
    ROW(WIN_ACCEPT_SUBMIT, WSAENOBUFS, UNSEEN),
    ROW(WIN_RECV_SUBMIT, WSAECONNRESET, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAECONNRESET, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAENOBUFS, ONE_LOST),
    ROW(WIN_RECV_SUBMIT, WSAECONNABORTED, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAECONNABORTED, ONE_LOST),
    ROW(WIN_RECV_SUBMIT, WSAENETRESET, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAENETRESET, ONE_LOST),
    ROW(WIN_RECV_SUBMIT, WSAENOTCONN, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAENOTCONN, ONE_LOST),
    ROW(WIN_RECV_SUBMIT, WSAENETDOWN, ONE_LOST),
    ROW(WIN_SEND_SUBMIT, WSAENETDOWN, ONE_LOST),
    ROW(WIN_RECV_SUBMIT, WSAETIMEDOUT, ONE_LOST),

    /* Windows: resources run out. A packet that cannot be posted may be the one that says stop;
     * then the system ends the program. */
    ROW(WIN_PORT_ATTACH, ERROR_NOT_ENOUGH_MEMORY, START | ONE_LOST),
    ROW(WIN_POST, ERROR_NOT_ENOUGH_MEMORY, ONE_LOST | UNSEEN | TELLS),
    ROW(WIN_SOCKET, WSAEMFILE, START | UNSEEN),
    ROW(WIN_SOCKET, WSAENOBUFS, START | UNSEEN),
    ROW(WIN_THREAD, EAGAIN, START | UNSEEN),
    ROW(WIN_THREAD, EACCES, START | UNSEEN),

    /* Windows: accepting, and one connection in calls that block. */
    ROW(WIN_ACCEPT, WSAECONNRESET, UNSEEN),
    ROW(WIN_ACCEPT, WSAEMFILE, UNSEEN),
    ROW(WIN_ACCEPT, WSAENOBUFS, UNSEEN),
    ROW(WIN_ACCEPT, WSAENETDOWN, UNSEEN),
    ROW(WIN_SET_CONTEXT, WSAENETDOWN, ONE_LOST),
    ROW(WIN_SET_CONTEXT, WSAENOTCONN, ONE_LOST),
    ROW(WIN_SET_NODELAY, WSAENETDOWN, UNSEEN),
    ROW(WIN_SET_NODELAY, WSAENETRESET, UNSEEN),
    ROW(WIN_SET_NODELAY, WSAENOPROTOOPT, UNSEEN),
    ROW(WIN_SET_NODELAY, WSAENOTCONN, UNSEEN),
    ROW(WIN_RECV, WSAECONNRESET, ONE_LOST),
    ROW(WIN_RECV, WSAECONNABORTED, ONE_LOST),
    ROW(WIN_RECV, WSAETIMEDOUT, ONE_LOST),
    ROW(WIN_RECV, WSAENETRESET, ONE_LOST),
    ROW(WIN_RECV, WSAENOTCONN, ONE_LOST),
    ROW(WIN_RECV, WSAENETDOWN, ONE_LOST),
    ROW(WIN_SEND, WSAECONNRESET, ONE_LOST),
    ROW(WIN_SEND, WSAECONNABORTED, ONE_LOST),
    ROW(WIN_SEND, WSAETIMEDOUT, ONE_LOST),
    ROW(WIN_SEND, WSAENETRESET, ONE_LOST),
    ROW(WIN_SEND, WSAEHOSTUNREACH, ONE_LOST),
    ROW(WIN_SEND, WSAENOTCONN, ONE_LOST),
    ROW(WIN_SEND, WSAENETDOWN, ONE_LOST),
    ROW(WIN_SEND, WSAENOBUFS, ONE_LOST),
    ROW_AFTER(WIN_CLOSE, WSAENETDOWN, UNSEEN),

    /* Windows: events, and the end. */
    ROW(WIN_EVENT_WAIT, WSA_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_EVENT_WAIT, WSAENETDOWN, START),
    ROW(WIN_EVENT_RESET, WSAENETDOWN, UNSEEN),
    ROW(WIN_EVENT_SELECT, WSAENETDOWN, START | UNSEEN),
    ROW(WIN_EVENT_SET, WSAENETDOWN, TELLS),
    ROW_AFTER(WIN_CANCEL, ERROR_NOT_FOUND, UNSEEN),
    ROW_SHORT(WIN_TOTALS, UNSEEN | TELLS),
    ROW(WIN_TOTALS, ENOSPC, TELLS),

    /* Windows: starting. */
    ROW(WIN_STARTUP, WSASYSNOTREADY, START),
    ROW(WIN_STARTUP, WSAVERNOTSUPPORTED, START),
    ROW(WIN_STARTUP, WSAEPROCLIM, START),
    ROW(WIN_CONSOLE, ERROR_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_PORT, ERROR_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_EVENT, ERROR_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_EVENT_CREATE, WSA_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_EVENT_CREATE, WSAENETDOWN, START),
    ROW(WIN_GETADDRINFO, WSA_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_GETADDRINFO, WSATRY_AGAIN, START),
    ROW(WIN_GETADDRINFO, WSANO_RECOVERY, START),
    ROW(WIN_SOCKET, WSAENETDOWN, START | UNSEEN),
    ROW(WIN_SOCKET, WSAEAFNOSUPPORT, START | UNSEEN),
    ROW(WIN_SOCKET, WSAEPROTONOSUPPORT, START | UNSEEN),
    ROW(WIN_SOCKET, WSAEPROTOTYPE, START | UNSEEN),
    ROW(WIN_SOCKET, WSAESOCKTNOSUPPORT, START | UNSEEN),
    ROW(WIN_SOCKET, WSAEINVALIDPROCTABLE, START | UNSEEN),
    ROW(WIN_SOCKET, WSAEINVALIDPROVIDER, START | UNSEEN),
    ROW(WIN_SOCKET, WSAEPROVIDERFAILEDINIT, START | UNSEEN),
    ROW(WIN_SET_EXCLUSIVE, WSAENETDOWN, START),
    ROW(WIN_SET_EXCLUSIVE, WSAENOPROTOOPT, START),
    ROW(WIN_BIND, WSAEACCES, START),
    ROW(WIN_BIND, WSAEADDRINUSE, START),
    ROW(WIN_BIND, WSAEADDRNOTAVAIL, START),
    ROW(WIN_BIND, WSAENETDOWN, START),
    ROW(WIN_BIND, WSAENOBUFS, START),
    ROW(WIN_LISTEN, WSAEADDRINUSE, START),
    ROW(WIN_LISTEN, WSAEMFILE, START),
    ROW(WIN_LISTEN, WSAENETDOWN, START),
    ROW(WIN_LISTEN, WSAENOBUFS, START),
    ROW(WIN_GETSOCKNAME, WSAENETDOWN, START | UNSEEN),
    ROW(WIN_GETNAMEINFO, WSA_NOT_ENOUGH_MEMORY, START),
    ROW(WIN_GETNAMEINFO, WSATRY_AGAIN, START),
    ROW(WIN_GETNAMEINFO, WSANO_RECOVERY, START),
    ROW(WIN_IOCTL, WSAENETDOWN, START | UNSEEN),
    ROW(WIN_IOCTL, WSAEOPNOTSUPP, START | UNSEEN),
    ROW(WIN_IOCTL, WSAENOPROTOOPT, START | UNSEEN),
};
const size_t table_rows = sizeof table / sizeof table[0];

static const char *const names[CALLS] = {
    [CALL_SOCKET] = "socket",
    [CALL_SET_REUSEADDR] = "setsockopt SO_REUSEADDR",
    [CALL_SET_REUSEPORT] = "setsockopt SO_REUSEPORT",
    [CALL_BIND] = "bind",
    [CALL_LISTEN] = "listen",
    [CALL_GETSOCKNAME] = "getsockname",
    [CALL_SET_CLOEXEC] = "fcntl F_SETFD",
    [CALL_GET_FLAGS] = "fcntl F_GETFL",
    [CALL_SET_FLAGS] = "fcntl F_SETFL",
    [CALL_FFLUSH] = "fflush",
    [CALL_PIPE] = "pipe",
    [CALL_ACCEPT] = "accept",
    [CALL_SET_NODELAY] = "setsockopt TCP_NODELAY",
    [CALL_MALLOC] = "malloc",
    [CALL_CALLOC] = "calloc",
    [CALL_THREAD] = "pthread_create",
    [CALL_MUTEX] = "pthread_mutex_init",
    [CALL_RECV] = "recv",
    [CALL_SEND] = "send",
    [CALL_SHUTDOWN] = "shutdown",
    [CALL_CLOSE] = "close",
    [CALL_SELECT] = "select",
    [CALL_POLL] = "poll",
    [CALL_EPOLL_CREATE] = "epoll_create1",
    [CALL_EPOLL_ADD] = "epoll_ctl ADD",
    [CALL_EPOLL_MOD] = "epoll_ctl MOD",
    [CALL_EPOLL_WAIT] = "epoll_wait",
    [CALL_EVENTFD] = "eventfd",
    [CALL_EVENTFD_WRITE] = "eventfd_write",
    [CALL_KQUEUE] = "kqueue",
    [CALL_KEVENT_NOW] = "kevent, changes alone",
    [CALL_KEVENT_CHANGE] = "kevent, a change of many",
    [CALL_KEVENT_WAIT] = "kevent, waiting",
    [CALL_FORK] = "fork",
    [CALL_WAITPID] = "waitpid",
    [CALL_MKSTEMP] = "mkstemp",
    [CALL_UNLINK] = "unlink",
    [CALL_NANOSLEEP] = "nanosleep",
    [CALL_SLEEP] = "sleep",
    [CALL_READ] = "read",
    [CALL_WRITE] = "write to a pipe or file",
    [CALL_TOTALS] = "write of the totals",
    [WIN_STARTUP] = "WSAStartup",
    [WIN_CONSOLE] = "SetConsoleCtrlHandler",
    [WIN_GETADDRINFO] = "getaddrinfo",
    [WIN_SOCKET] = "socket",
    [WIN_SET_EXCLUSIVE] = "setsockopt SO_EXCLUSIVEADDRUSE",
    [WIN_BIND] = "bind",
    [WIN_LISTEN] = "listen",
    [WIN_GETSOCKNAME] = "getsockname",
    [WIN_GETNAMEINFO] = "getnameinfo",
    [WIN_ACCEPT] = "accept",
    [WIN_SET_NODELAY] = "setsockopt TCP_NODELAY",
    [WIN_SET_CONTEXT] = "setsockopt SO_UPDATE_ACCEPT_CONTEXT",
    [WIN_RECV] = "recv",
    [WIN_SEND] = "send",
    [WIN_CLOSE] = "closesocket",
    [WIN_SLEEP] = "Sleep",
    [WIN_EVENT] = "CreateEvent",
    [WIN_EVENT_CREATE] = "WSACreateEvent",
    [WIN_EVENT_RESET] = "WSAResetEvent",
    [WIN_EVENT_SET] = "WSASetEvent",
    [WIN_EVENT_SELECT] = "WSAEventSelect",
    [WIN_EVENT_WAIT] = "WSAWaitForMultipleEvents",
    [WIN_RECV_SUBMIT] = "WSARecv",
    [WIN_SEND_SUBMIT] = "WSASend",
    [WIN_ACCEPT_SUBMIT] = "AcceptEx",
    [WIN_RECV_ENDS] = "WSARecv, when it ends",
    [WIN_SEND_ENDS] = "WSASend, when it ends",
    [WIN_ACCEPT_ENDS] = "AcceptEx, when it ends",
    [WIN_RESULT] = "WSAGetOverlappedResult",
    [WIN_CANCEL] = "CancelIoEx",
    [WIN_IOCTL] = "WSAIoctl",
    [WIN_PORT] = "CreateIoCompletionPort",
    [WIN_PORT_ATTACH] = "CreateIoCompletionPort, a socket",
    [WIN_POST] = "PostQueuedCompletionStatus",
    [WIN_GET] = "GetQueuedCompletionStatus",
    [WIN_GET_MANY] = "GetQueuedCompletionStatusEx",
    [WIN_WAIT] = "WaitForSingleObject",
    [WIN_THREAD] = "_beginthreadex",
    [WIN_TOTALS] = "_write of the totals",
};

const char *call_name(enum call call)
{
    return names[call];
}

const struct left_out left_out[] = {
    {"_exit", "does not return"},
    {"exit", "does not return"},
    {"err", "does not return"},
    {"errx", "does not return"},
    {"atoi", "no system call"},
    {"strtol", "no system call"},
    {"strchr", "no system call"},
    {"strerror", "no system call"},
    {"strlen", "no system call"},
    {"strspn", "no system call"},
    {"strcmp", "no system call"},
    {"strrchr", "no system call"},
    {"memchr", "no system call"},
    {"memcpy", "no system call"},
    {"memmove", "no system call"},
    {"memset", "no system call"},
    {"htons", "no system call"},
    {"ntohs", "no system call"},
    {"inet_pton", "no system call"},
    {"snprintf", "no system call"},
    {"vsnprintf", "no system call"},
    {"getenv", "no system call"},
    {"getopt", "no system call but to complain"},
    {"optarg", "no call"},
    {"optind", "no call"},
    {"optopt", "no call"},
    {"stdout", "no call"},
    {"stderr", "no call"},
    {"printf", "into the buffer of stdout: fflush() tells what became of it"},
    {"vprintf", "the same"},
    {"puts", "the same"},
    {"fprintf", "to stderr: nobody is left to be told"},
    {"fputc", "the same"},
    {"fwrite", "the same"},
    {"getaddrinfo", "of numbers only: it asks nobody"},
    {"freeaddrinfo", "gives no result"},
    {"getnameinfo", "of numbers only: it asks nobody"},
    {"clock_gettime", "the monotonic clock is always there"},
    {"getpid", "always succeeds"},
    {"kill", "to the program itself: it may"},
    {"sigaction", "fails for wrong arguments only"},
    {"sigemptyset", "the same"},
    {"sigfillset", "the same"},
    {"signal", "the same"},
    {"pthread_attr_init", "not yet: POSIX has ENOMEM for it, and 01/2 does not look"},
    {"pthread_attr_destroy", "fails for wrong arguments only"},
    {"pthread_attr_setdetachstate", "the same"},
    {"pthread_cond_signal", "the same"},
    {"pthread_cond_wait", "the same"},
    {"pthread_join", "the same"},
    {"pthread_mutex_destroy", "the same"},
    {"pthread_mutex_lock", "the same"},
    {"pthread_mutex_unlock", "the same"},
    {"AcquireSRWLockExclusive", "gives no result"},
    {"ReleaseSRWLockExclusive", "gives no result"},
    {"CloseHandle", "fails for wrong handles only"},
    {"SetEvent", "the same"},
    {"FormatMessageA", "words about an error: where there are none, its number is told"},
    {"GetCurrentProcess", "always succeeds"},
    {"GetLastError", "always succeeds"},
    {"WSAGetLastError", "always succeeds"},
    {"GetTickCount64", "always succeeds"},
    {"GetModuleHandleA", "of a library that every program has"},
    {"GetProcAddress", "NULL is an answer here: it is not Wine"},
    {"QueryPerformanceCounter", "always succeeds"},
    {"QueryPerformanceFrequency", "always succeeds"},
    {NULL, NULL},
};
