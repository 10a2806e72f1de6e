/*
 * evq_iocp.c: I/O completion ports, the completion queue of Windows.
 *
 * An operation is begun with an OVERLAPPED, which lies in the op, and the kernel works on it. When
 * it is over, one packet with the address of that OVERLAPPED is queued to the port, and wait()
 * takes it.
 *
 *     start()    WSARecv, WSASend, AcceptEx, ConnectEx
 *                  0 or WSA_IO_PENDING    a packet will come, even if it is finished already
 *                  any other error        no packet will come: EVQ_FINISHED
 *     cancel()   CancelIoEx: a request. In any case one packet comes, as it would have without.
 *     wait()     GetQueuedCompletionStatusEx, then for each packet:
 *
 *         STARTED ---- result ----> over:  evq_op_finish()
 *            ^            |
 *            +------------+-------> again: the rest of a send, an accept that is to be skipped
 *
 * Facts that shape the file (Microsoft Learn, the pages of these functions):
 *   - The buffer and the OVERLAPPED are lent until the packet has been taken, also after a cancel
 *     and after closesocket(). So close() comes when each operation of the socket has been
 *     reported.
 *   - Immediate success queues a packet, too, unless FILE_SKIP_COMPLETION_PORT_ON_SUCCESS is set.
 *     It is not: then each operation has one way to end, and is not reported twice.
 *   - A socket belongs to one port, for life.
 *   - AcceptEx wants the new socket beforehand, and a block for two addresses. The new socket does
 *     not know that it is connected before SO_UPDATE_ACCEPT_CONTEXT, whose value is the listener.
 *   - ConnectEx wants a socket that is bound, and then SO_UPDATE_CONNECT_CONTEXT.
 *   - A receive of 0 bytes is finished when there is something to receive: that is evq_readable().
 *   - What an error says is in WSAGetOverlappedResult(); the packet itself only has bytes.
 *   - How much of a cancelled or failed send has been taken is not said. Such a send tears the
 *     stream.
 */
#include "evq_backend.h"
#include "evq_platform.h"

#include <mswsock.h>
#include <stdlib.h>
#include <windows.h>

/* An address, and what AcceptEx wants on top of it. */
enum { ADDRESS_ROOM = sizeof(struct sockaddr_storage) + 16 };

struct iocp {
    HANDLE port;
    LPFN_ACCEPTEX accept_ex;
    LPFN_CONNECTEX connect_ex;
    OVERLAPPED_ENTRY packets[EVQ_BATCH];
};

/* What a listener needs for its one AcceptEx. */
struct listener {
    SOCKET next; /* what the connection will be; or EVQ_NO_FD   */
    int family;
    int skipped; /* connections in a row that were gone         */
    char addresses[2 * ADDRESS_ROOM];
};

_Static_assert(sizeof(OVERLAPPED) <= sizeof((evq_op *)0)->priv.native,
               "an OVERLAPPED lies in an op");

static OVERLAPPED *op__overlapped(evq_op *op)
{
    return (OVERLAPPED *)(void *)&op->priv.native;
}

static evq_op *op__of(OVERLAPPED *overlapped)
{
    return (evq_op *)(void *)((char *)overlapped - offsetof(evq_op, priv.native));
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The two are not exported by name: a provider is asked for its own. */
static int iocp__find(SOCKET fd, GUID id, void *function, DWORD len)
{
    DWORD got = 0;
    int failed = WSAIoctl(fd, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, function, len,
                          &got, NULL, NULL);
    return failed != 0 ? evq_error_of(WSAGetLastError()) : EVQ_OK;
}

static int iocp__find_all(struct iocp *p)
{
    evq_fd fd;
    int err = evq_tcp_socket(&fd, AF_INET);
    if (err != EVQ_OK)
        return err;
    err = iocp__find(fd, (GUID)WSAID_ACCEPTEX, &p->accept_ex, sizeof p->accept_ex);
    if (err == EVQ_OK)
        err = iocp__find(fd, (GUID)WSAID_CONNECTEX, &p->connect_ex, sizeof p->connect_ex);
    evq_tcp_close(fd);
    return err;
}

static int iocp__open_in(struct iocp *p)
{
    int err = iocp__find_all(p);
    if (err != EVQ_OK)
        return err;
    p->port =
        CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1); /* one thread takes packets */
    return p->port != NULL ? EVQ_OK : evq_error_of((int)GetLastError());
}

static int iocp_open(evq *q)
{
    struct iocp *p = calloc(1, sizeof *p);
    int err = p != NULL ? iocp__open_in(p) : EVQ_ENOMEM;
    if (err != EVQ_OK) {
        free(p);
        return err;
    }
    q->native = p;
    return EVQ_OK;
}

static void iocp_destroy(evq *q)
{
    struct iocp *p = q->native;
    (void)CloseHandle(p->port); /* a wake that nobody waited for goes with it */
    free(p);
}

/* ---- sockets -------------------------------------------------------------------------------- */

/* A listener's block. NULL: no memory. */
static struct listener *listener__new(SOCKET fd)
{
    struct sockaddr_storage addr = {.ss_family = AF_INET};
    int len = sizeof addr;
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return NULL;
    (void)getsockname(fd, (struct sockaddr *)&addr, &len); /* it listens, so it has a name */
    listener->family = addr.ss_family;
    listener->next = EVQ_NO_FD;
    return listener;
}

static void listener__drop_next(struct listener *listener)
{
    if (listener->next != EVQ_NO_FD)
        evq_tcp_close(listener->next);
    listener->next = EVQ_NO_FD;
}

static int iocp_attach(evq *q, evq_sock *s)
{
    const struct iocp *p = q->native;
    if ((s->priv.flags & EVQ_SOCK_LISTENS) != 0 && (s->priv.native = listener__new(s->fd)) == NULL)
        return EVQ_ENOMEM;
    if (CreateIoCompletionPort((HANDLE)s->fd, p->port, (ULONG_PTR)s, 0) == p->port)
        return EVQ_OK;
    int err = evq_error_of((int)GetLastError()); /* 87: it has a port already */
    free(s->priv.native);
    return err;
}

static enum evq_progress iocp_close(evq *q, evq_sock *s)
{
    (void)q;
    struct listener *listener = s->priv.native;
    s->priv.close_op->os_err = evq_platform_close(s->fd);
    if (listener != NULL)
        listener__drop_next(listener);
    free(listener);
    return EVQ_FINISHED;
}

/* ---- starting ------------------------------------------------------------------------------- */

//! [begun]
/* What the start of an overlapped call means. 0, or the error of the call. */
static enum evq_progress op__begun(evq_op *op, int os_err)
{
    if (os_err == 0 || os_err == WSA_IO_PENDING)
        return EVQ_PENDING;
    evq_op_fail(op, os_err);
    return EVQ_FINISHED;
}
//! [begun]

static OVERLAPPED *op__fresh_overlapped(evq_op *op)
{
    OVERLAPPED *overlapped = op__overlapped(op);
    *overlapped = (OVERLAPPED){0};
    return overlapped;
}

//! [receive]
/* The kernel takes a copy of the WSABUF, and never looks at flags again. */
static int op__receive(evq_op *op, void *buf, size_t len)
{
    WSABUF part = {.len = (ULONG)(len < EVQ_RECV_MAX ? len : EVQ_RECV_MAX), .buf = buf};
    DWORD flags = 0;
    int failed = WSARecv(op->sock->fd, &part, 1, NULL, &flags, op__fresh_overlapped(op), NULL);
    return failed != 0 ? WSAGetLastError() : 0;
}
//! [receive]

/* An error that a readable has met, and kept for the recv that follows it. */
static int sock__take_error(evq_sock *s)
{
    int os_err = (int)s->priv.slot;
    s->priv.slot = 0;
    return os_err;
}

static enum evq_progress iocp__start_recv(evq_op *op)
{
    int os_err = sock__take_error(op->sock);
    if (os_err == 0)
        os_err = op__receive(op, op->priv.arg.in.buf, op->priv.arg.in.len);
    return op__begun(op, os_err);
}

/* A recv would come back with this error, so the socket is readable. */
static enum evq_progress readable__ends(evq_op *op, int os_err)
{
    op->sock->priv.slot = (unsigned)os_err;
    return EVQ_FINISHED;
}

static enum evq_progress iocp__start_readable(evq_op *op)
{
    char nothing;
    if (op->sock->priv.slot != 0)
        return EVQ_FINISHED;
    int os_err = op__receive(op, &nothing, 0);
    if (os_err == 0 || os_err == WSA_IO_PENDING)
        return EVQ_PENDING;
    if (evq_error_of(os_err) == EVQ_ENOMEM) {
        evq_op_fail(op, os_err);
        return EVQ_FINISHED;
    }
    return readable__ends(op, os_err);
}

static enum evq_progress iocp__start_send(evq_op *op)
{
    size_t rest = op->priv.arg.out.len - op->nbytes;
    WSABUF part = {.len = (ULONG)(rest < EVQ_RECV_MAX ? rest : EVQ_RECV_MAX),
                   .buf = (char *)(uintptr_t)op->priv.arg.out.buf + op->nbytes};
    int failed = WSASend(op->sock->fd, &part, 1, NULL, 0, op__fresh_overlapped(op), NULL);
    return op__begun(op, failed != 0 ? WSAGetLastError() : 0);
}

/* Bound it must be; if the caller has done that already, bind() says WSAEINVAL. */
static int sock__bind_any(const evq_op *op)
{
    struct sockaddr_storage any = {.ss_family = (short)op->priv.arg.to.addr->sa_family};
    int len = any.ss_family == AF_INET ? (int)sizeof(struct sockaddr_in)
                                       : (int)sizeof(struct sockaddr_in6);
    if (bind(op->sock->fd, (const struct sockaddr *)&any, len) == 0)
        return 0;
    int os_err = WSAGetLastError();
    return os_err == WSAEINVAL ? 0 : os_err;
}

static enum evq_progress iocp__start_connect(const struct iocp *p, evq_op *op)
{
    op->sock->priv.slot = 0; /* what a readable met before was about a socket without a peer */
    int os_err = sock__bind_any(op);
    if (os_err == 0 && !p->connect_ex(op->sock->fd, op->priv.arg.to.addr, (int)op->priv.arg.to.len,
                                      NULL, 0, NULL, op__fresh_overlapped(op)))
        os_err = WSAGetLastError();
    return op__begun(op, os_err);
}

/* The connection was there and is gone: it says nothing about the listener (AcceptEx, "Return
 * value"). */
static bool accept__skips(const struct listener *listener, int os_err)
{
    return listener->skipped < EVQ_ACCEPT_RETRIES && evq_error_of(os_err) == EVQ_ECONNRESET;
}

/* Posts AcceptEx, once for each connection that is gone before it is accepted. */
static enum evq_progress iocp__post_accept(const struct iocp *p, evq_op *op)
{
    struct listener *listener = op->sock->priv.native;
    DWORD got;
    for (;; listener->skipped++) {
        if (listener->next == EVQ_NO_FD) {
            op->err = evq_tcp_socket(&listener->next, listener->family);
            if (op->err != EVQ_OK)
                return EVQ_FINISHED;
        }
        if (p->accept_ex(op->sock->fd, listener->next, listener->addresses, 0, ADDRESS_ROOM,
                         ADDRESS_ROOM, &got, op__fresh_overlapped(op)))
            return EVQ_PENDING;
        int os_err = WSAGetLastError();
        if (os_err == WSA_IO_PENDING)
            return EVQ_PENDING;
        listener__drop_next(listener);
        if (!accept__skips(listener, os_err))
            return op__begun(op, os_err);
    }
}

static enum evq_progress iocp__start_accept(const struct iocp *p, evq_op *op)
{
    struct listener *listener = op->sock->priv.native;
    listener->skipped = 0;
    return iocp__post_accept(p, op);
}

static enum evq_progress iocp_start(evq *q, evq_op *op)
{
    switch (op->kind) {
    case EVQ_ACCEPT:
        return iocp__start_accept(q->native, op);
    case EVQ_CONNECT:
        return iocp__start_connect(q->native, op);
    case EVQ_RECV:
        return iocp__start_recv(op);
    case EVQ_SEND:
        return iocp__start_send(op);
    default:
        return iocp__start_readable(op);
    }
}

//! [cancel]
/* ERROR_NOT_FOUND: it is over already, its packet is on the way. Whatever else it may be: the
 * packet says how the op ended. */
static enum evq_progress iocp_cancel(evq *q, evq_op *op)
{
    (void)q;
    (void)CancelIoEx((HANDLE)op->sock->fd, op__overlapped(op));
    return EVQ_PENDING;
}
//! [cancel]

/* ---- packets: what a result means ----------------------------------------------------------- */

/* FINISHED: the op is over. PENDING: it was begun once more, or goes on. */

static enum evq_progress result__canceled(evq_op *op)
{
    op->err = EVQ_ECANCELED;
    return EVQ_FINISHED;
}

/* A connection that has been reset meanwhile has no peer: the accept may fail then, or this may. */
static int accept__update(evq_sock *s, SOCKET accepted, int os_err)
{
    if (os_err == 0 && setsockopt(accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                                  (const char *)&s->fd, sizeof s->fd) != 0)
        os_err = WSAGetLastError();
    return os_err == WSAENOTCONN ? WSAECONNABORTED : os_err;
}

static enum evq_progress result__accept(const struct iocp *p, evq_op *op, int os_err)
{
    struct listener *listener = op->sock->priv.native;
    os_err = accept__update(op->sock, listener->next, os_err);
    if (os_err == 0) {
        op->accepted = listener->next;
        listener->next = EVQ_NO_FD;
        return EVQ_FINISHED;
    }
    listener__drop_next(listener);
    if (!accept__skips(listener, os_err)) {
        evq_op_fail(op, os_err);
        return EVQ_FINISHED;
    }
    listener->skipped++;
    if ((op->priv.flags & EVQ_OP_CANCELLING) != 0)
        return result__canceled(op);
    return iocp__post_accept(p, op);
}

/* Without the update the socket is connected and does not know: shutdown() and getpeername()
 * fail. */
static enum evq_progress result__connect(evq_op *op, int os_err)
{
    if (os_err == 0 &&
        setsockopt(op->sock->fd, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) != 0)
        os_err = WSAGetLastError();
    evq_op_fail(op, os_err);
    return EVQ_FINISHED;
}

static enum evq_progress result__send(evq_op *op, int os_err, size_t n)
{
    if (os_err != 0) {
        op->sock->priv.refuses |= EVQ_REFUSES_TORN;
        evq_op_fail(op, os_err);
        return EVQ_FINISHED;
    }
    op->nbytes += n;
    if (op->nbytes == op->priv.arg.out.len)
        return EVQ_FINISHED;
    if ((op->priv.flags & EVQ_OP_CANCELLING) != 0)
        return result__canceled(op);
    return iocp__start_send(op);
}

static enum evq_progress result__readable(evq_op *op, int os_err)
{
    if (os_err == WSA_OPERATION_ABORTED)
        return result__canceled(op);
    return os_err != 0 ? readable__ends(op, os_err) : EVQ_FINISHED;
}

static enum evq_progress result__of(const struct iocp *p, evq_op *op, int os_err, size_t n)
{
    switch (op->kind) {
    case EVQ_ACCEPT:
        return result__accept(p, op, os_err);
    case EVQ_CONNECT:
        return result__connect(op, os_err);
    case EVQ_SEND:
        return result__send(op, os_err, n);
    case EVQ_RECV:
        op->nbytes = os_err == 0 ? n : 0;
        evq_op_fail(op, os_err);
        return EVQ_FINISHED;
    default:
        return result__readable(op, os_err);
    }
}

/* ---- waiting -------------------------------------------------------------------------------- */

//! [packet]
static void iocp__packet(evq *q, OVERLAPPED *overlapped)
{
    if (overlapped == NULL) {
        evq_woken(q);
        return;
    }
    evq_op *op = op__of(overlapped);
    DWORD n = 0, flags;
    int os_err = 0;
    if (!WSAGetOverlappedResult(op->sock->fd, overlapped, &n, FALSE, &flags))
        os_err = WSAGetLastError();
    if (result__of(q->native, op, os_err, n) == EVQ_FINISHED)
        evq_op_finish(op);
}
//! [packet]

static DWORD iocp__timeout_ms(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return INFINITE;
    int64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return ms < INFINITE ? (DWORD)ms : INFINITE - 1;
}

/* FALSE is a failed wait here, not a failed operation: those come as packets like all others. */
static int iocp_wait(evq *q, int64_t timeout_ns)
{
    struct iocp *p = q->native;
    ULONG taken = 0;
    if (!GetQueuedCompletionStatusEx(p->port, p->packets, EVQ_BATCH, &taken,
                                     iocp__timeout_ms(timeout_ns), FALSE)) {
        DWORD os_err = GetLastError();
        return os_err == WAIT_TIMEOUT ? EVQ_WAITED : evq_error_of((int)os_err);
    }
    for (ULONG i = 0; i < taken; i++)
        iocp__packet(q, p->packets[i].lpOverlapped);
    return EVQ_WAITED;
}

/* A packet without an OVERLAPPED. It can only fail when the kernel is out of memory: then the
 * flag goes down again, and the next evq_wake() tries. */
static void iocp_wake(evq *q)
{
    const struct iocp *p = q->native;
    DWORD saved = GetLastError();
    if (!PostQueuedCompletionStatus(p->port, 0, 0, NULL))
        atomic_store(&q->wake_asked, false);
    SetLastError(saved);
}

const struct evq_backend evq_backend_iocp = {
    .name = "iocp",
    .open = iocp_open,
    .destroy = iocp_destroy,
    .attach = iocp_attach,
    .start = iocp_start,
    .cancel = iocp_cancel,
    .close = iocp_close,
    .wait = iocp_wait,
    .wake = iocp_wake,
};
