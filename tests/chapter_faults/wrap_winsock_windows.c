/*
 * wrap_winsock_windows.c: Winsock, as calls.h has it.
 *
 * An operation that fails at once has not been submitted, and no packet comes. One that fails later
 * has been submitted: a receive that has taken its bytes, a send that has moved one of them; and
 * its packet has come (wrap_kernel_windows.c). It is then for the step to end that connection: a
 * client that it forgets would wait for ever.
 *
 * One byte each time is right for a receive: there is no promise of more ("WSARecv function"). So
 * it is for send(), whose result may be less than what it was asked for ("send function"). Of an
 * overlapped WSASend() the page says neither that it takes all nor that it may take less: partial
 * sends are told of there for non-blocking sockets in calls that are not overlapped. So no program
 * should rely on either, and the steps send the rest.
 *
 * As in wrap_posix.c, an accepted socket gets a small send buffer, so that sends have to wait.
 */
#include "shim_windows.h"

#include <mswsock.h>
#include <ws2tcpip.h>

#include <string.h>

enum { SMALL_BUFFER = 4096 };

/* ---- start ----------------------------------------------------------------------------------- */

OURS(int, WSAStartup, WORD, WSADATA *);
OURS(INT, getaddrinfo, PCSTR, PCSTR, const ADDRINFOA *, PADDRINFOA *);
OURS(SOCKET, socket, int, int, int);
OURS(int, setsockopt, SOCKET, int, int, const char *, int);
OURS(int, bind, SOCKET, const struct sockaddr *, int);
OURS(int, listen, SOCKET, int);
OURS(int, getsockname, SOCKET, struct sockaddr *, int *);
OURS(INT, getnameinfo, const SOCKADDR *, socklen_t, PCHAR, DWORD, PCHAR, DWORD, INT);

/* The first call that a step makes. It returns its error. */
static int WSAAPI our_WSAStartup(WORD version, WSADATA *data)
{
    shim_open();
    struct verdict verdict = shim_judge(WIN_STARTUP);
    return verdict.hit ? verdict.err : REAL(WSAStartup)(version, data);
}

static INT WSAAPI our_getaddrinfo(PCSTR node, PCSTR service, const ADDRINFOA *hints,
                                  PADDRINFOA *result)
{
    struct verdict verdict = shim_judge(WIN_GETADDRINFO);
    return verdict.hit ? verdict.err : REAL(getaddrinfo)(node, service, hints, result);
}

static SOCKET WSAAPI our_socket(int family, int type, int protocol)
{
    SOCKET made = shim_fails(WIN_SOCKET) ? INVALID_SOCKET : REAL(socket)(family, type, protocol);
    shim_note_handle(made != INVALID_SOCKET);
    return made;
}

static enum call option_call(int level, int option)
{
    if (level == IPPROTO_TCP)
        return WIN_SET_NODELAY;
    return option == SO_UPDATE_ACCEPT_CONTEXT ? WIN_SET_CONTEXT : WIN_SET_EXCLUSIVE;
}

/* Each accepted socket comes by here, with TCP_NODELAY. */
static int WSAAPI our_setsockopt(SOCKET socket, int level, int option, const char *value, int len)
{
    int size = SMALL_BUFFER;
    if (level == IPPROTO_TCP)
        (void)REAL(setsockopt)(socket, SOL_SOCKET, SO_SNDBUF, (const char *)&size, sizeof size);
    if (shim_fails(option_call(level, option)))
        return SOCKET_ERROR;
    return REAL(setsockopt)(socket, level, option, value, len);
}

static int WSAAPI our_bind(SOCKET socket, const struct sockaddr *addr, int len)
{
    return shim_fails(WIN_BIND) ? SOCKET_ERROR : REAL(bind)(socket, addr, len);
}

static int WSAAPI our_listen(SOCKET socket, int backlog)
{
    return shim_fails(WIN_LISTEN) ? SOCKET_ERROR : REAL(listen)(socket, backlog);
}

static int WSAAPI our_getsockname(SOCKET socket, struct sockaddr *addr, int *len)
{
    return shim_fails(WIN_GETSOCKNAME) ? SOCKET_ERROR : REAL(getsockname)(socket, addr, len);
}

static INT WSAAPI our_getnameinfo(const SOCKADDR *addr, socklen_t addr_len, PCHAR node,
                                  DWORD node_len, PCHAR service, DWORD service_len, INT flags)
{
    if (shim_fails(WIN_GETNAMEINFO))
        return WSAGetLastError();
    return REAL(getnameinfo)(addr, addr_len, node, node_len, service, service_len, flags);
}

/* ---- calls that block ------------------------------------------------------------------------ */

OURS(SOCKET, accept, SOCKET, struct sockaddr *, int *);
OURS(int, recv, SOCKET, char *, int, int);
OURS(int, send, SOCKET, const char *, int, int);
OURS(int, closesocket, SOCKET);

static SOCKET WSAAPI our_accept(SOCKET socket, struct sockaddr *addr, int *len)
{
    if (shim_fails(WIN_ACCEPT))
        return INVALID_SOCKET;
    SOCKET made = REAL(accept)(socket, addr, len);
    if (made != INVALID_SOCKET)
        shim_note_handle(1);
    else if (WSAGetLastError() == WSAEWOULDBLOCK)
        shim_note_early();
    return made;
}

static int WSAAPI our_recv(SOCKET socket, char *buf, int len, int flags)
{
    struct verdict verdict = shim_judge(WIN_RECV);
    if (!verdict.hit || verdict.manner == BY_ONE)
        return REAL(recv)(socket, buf, verdict.hit && len > 1 ? 1 : len, flags);
    WSASetLastError(verdict.err);
    return SOCKET_ERROR;
}

static int WSAAPI our_send(SOCKET socket, const char *buf, int len, int flags)
{
    struct verdict verdict = shim_judge(WIN_SEND);
    if (!verdict.hit || verdict.manner == BY_ONE)
        return REAL(send)(socket, buf, verdict.hit && len > 1 ? 1 : len, flags);
    WSASetLastError(verdict.err);
    return SOCKET_ERROR;
}

/* Closed it is in either case. */
static int WSAAPI our_closesocket(SOCKET socket)
{
    struct verdict verdict = shim_judge(WIN_CLOSE);
    int result = REAL(closesocket)(socket);
    shim_note_handle(result == 0 ? -1 : 0);
    if (!verdict.hit)
        return result;
    WSASetLastError(verdict.err);
    return SOCKET_ERROR;
}

/* ---- events ---------------------------------------------------------------------------------- */

OURS(WSAEVENT, WSACreateEvent, void);
OURS(BOOL, WSAResetEvent, WSAEVENT);
OURS(BOOL, WSASetEvent, WSAEVENT);
OURS(int, WSAEventSelect, SOCKET, WSAEVENT, LONG);
OURS(DWORD, WSAWaitForMultipleEvents, DWORD, const WSAEVENT *, BOOL, DWORD, BOOL);

static WSAEVENT WSAAPI our_WSACreateEvent(void)
{
    WSAEVENT made = shim_fails(WIN_EVENT_CREATE) ? WSA_INVALID_EVENT : REAL(WSACreateEvent)();
    shim_note_handle(made != WSA_INVALID_EVENT);
    return made;
}

static BOOL WSAAPI our_WSAResetEvent(WSAEVENT event)
{
    return shim_fails(WIN_EVENT_RESET) ? FALSE : REAL(WSAResetEvent)(event);
}

static BOOL WSAAPI our_WSASetEvent(WSAEVENT event)
{
    return shim_fails(WIN_EVENT_SET) ? FALSE : REAL(WSASetEvent)(event);
}

static int WSAAPI our_WSAEventSelect(SOCKET socket, WSAEVENT event, LONG events)
{
    return shim_fails(WIN_EVENT_SELECT) ? SOCKET_ERROR
                                        : REAL(WSAEventSelect)(socket, event, events);
}

static DWORD WSAAPI our_WSAWaitForMultipleEvents(DWORD count, const WSAEVENT *events, BOOL all,
                                                 DWORD timeout_ms, BOOL alertable)
{
    if (shim_fails(WIN_EVENT_WAIT))
        return WSA_WAIT_FAILED;
    return REAL(WSAWaitForMultipleEvents)(count, events, all, timeout_ms, alertable);
}

/* ---- operations ------------------------------------------------------------------------------ */

OURS(int, WSARecv, SOCKET, WSABUF *, DWORD, DWORD *, DWORD *, OVERLAPPED *,
     LPWSAOVERLAPPED_COMPLETION_ROUTINE);
OURS(int, WSASend, SOCKET, WSABUF *, DWORD, DWORD *, DWORD, OVERLAPPED *,
     LPWSAOVERLAPPED_COMPLETION_ROUTINE);
OURS(BOOL, WSAGetOverlappedResult, SOCKET, OVERLAPPED *, DWORD *, BOOL, DWORD *);
OURS(int, WSAIoctl, SOCKET, DWORD, void *, DWORD, void *, DWORD, DWORD *, OVERLAPPED *,
     LPWSAOVERLAPPED_COMPLETION_ROUTINE);

static LPFN_ACCEPTEX real_accept_ex;

/* Any error but this one says that nothing was begun ("WSARecv function"). */
static void unless_submitted(bool done, const OVERLAPPED *overlapped)
{
    int err = WSAGetLastError();
    if (!done && err != WSA_IO_PENDING)
        ops_forget(overlapped);
    WSASetLastError(err);
}

/* The servers of this course lend one buffer. */
static WSABUF lent_part(const WSABUF *buf, bool is_short)
{
    return (WSABUF){is_short && buf->len > 1 ? 1 : buf->len, buf->buf};
}

static int WSAAPI our_WSARecv(SOCKET socket, WSABUF *bufs, DWORD count, DWORD *bytes, DWORD *flags,
                              OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    struct verdict verdict = shim_judge(WIN_RECV_SUBMIT);
    WSABUF part = lent_part(bufs, verdict.hit);
    if (verdict.hit && verdict.manner != BY_ONE) {
        WSASetLastError(verdict.err);
        return SOCKET_ERROR;
    }
    (void)ops_lend(overlapped, WIN_RECV_ENDS);
    int result = REAL(WSARecv)(socket, &part, count, bytes, flags, overlapped, routine);
    unless_submitted(result == 0, overlapped);
    return result;
}

static int WSAAPI our_WSASend(SOCKET socket, WSABUF *bufs, DWORD count, DWORD *bytes, DWORD flags,
                              OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    struct verdict verdict = shim_judge(WIN_SEND_SUBMIT);
    if (verdict.hit && verdict.manner != BY_ONE) {
        WSASetLastError(verdict.err);
        return SOCKET_ERROR;
    }
    bool will_fail = ops_lend(overlapped, WIN_SEND_ENDS);
    WSABUF part = lent_part(bufs, verdict.hit || will_fail);
    int result = REAL(WSASend)(socket, &part, count, bytes, flags, overlapped, routine);
    unless_submitted(result == 0, overlapped);
    return result;
}

static BOOL WINAPI our_accept_ex(SOCKET listener, SOCKET socket, void *buf, DWORD data_len,
                                 DWORD local_len, DWORD remote_len, DWORD *bytes,
                                 OVERLAPPED *overlapped)
{
    if (shim_fails(WIN_ACCEPT_SUBMIT))
        return FALSE;
    (void)ops_lend(overlapped, WIN_ACCEPT_ENDS);
    BOOL done =
        real_accept_ex(listener, socket, buf, data_len, local_len, remote_len, bytes, overlapped);
    unless_submitted(done, overlapped);
    return done;
}

/* What has an event is asked for its end here, and not at a port: it comes back by this call. */
static BOOL WSAAPI our_WSAGetOverlappedResult(SOCKET socket, OVERLAPPED *overlapped, DWORD *bytes,
                                              BOOL wait, DWORD *flags)
{
    if (shim_fails(WIN_RESULT))
        return FALSE;
    BOOL done = REAL(WSAGetOverlappedResult)(socket, overlapped, bytes, wait, flags);
    if (done && ops_come_back(overlapped))
        done = REAL(WSAGetOverlappedResult)(socket, overlapped, bytes, wait, flags);
    return done;
}

/* AcceptEx is no function of a library: the program asks for its address, and gets ours. */
static int WSAAPI our_WSAIoctl(SOCKET socket, DWORD code, void *in, DWORD in_len, void *out,
                               DWORD out_len, DWORD *bytes, OVERLAPPED *overlapped,
                               LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    LPFN_ACCEPTEX ours = our_accept_ex;
    if (shim_fails(WIN_IOCTL))
        return SOCKET_ERROR;
    int result = REAL(WSAIoctl)(socket, code, in, in_len, out, out_len, bytes, overlapped, routine);
    if (result == 0 && code == SIO_GET_EXTENSION_FUNCTION_POINTER && out_len == sizeof ours) {
        memcpy(&real_accept_ex, out, sizeof real_accept_ex);
        memcpy(out, &ours, sizeof ours);
    }
    return result;
}
