/*
 * step6_iocp: the same queue, the same server, and the kernel of Windows does the work.
 *
 * It grows out of step 5. An engine is what works while the program waits. There are three:
 *
 *     epoll, kqueue    say who is ready; the engine tries, and parks what has to wait
 *     IOCP             does the operation by itself; the engine hands over, and collects
 *
 * Each has the same functions in the same order: engine_open, engine_attach, engine_start,
 * engine_cancel, engine_wait, queue_wake. What stands above and below knows nothing of them.
 */
#include "queue.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

//! [selector]
#ifdef _WIN32
#include "wintcp.h"
#include <mswsock.h>
#define close_fd closesocket
#else
#include "nonblocking.h"
#include "tcp.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#define close_fd close
#if defined __linux__ && !defined MINI_KQUEUE
#include <sys/epoll.h>
#define engine_fd_open()  epoll_create1(EPOLL_CLOEXEC)
#define engine_announce() 0
#else
#include "kq.h"
#define engine_fd_open  kq_open
#define engine_announce kq_announce
#endif
#endif
//! [selector]

enum { BATCH = 64 }; /* events that are taken in one call */

/* ---- what is finished ---- */

static enum direction direction_of(const struct op *op)
{
    return op->kind == OP_SEND ? WRITING : READING;
}

static void close_when_idle(struct sock *sock)
{
    if (sock->close == NULL || sock->pending[READING] != NULL || sock->pending[WRITING] != NULL)
        return;
    close_fd(sock->fd);
    op_list_put(&sock->queue->done, sock->close); /* behind every other op of the socket */
}

static void finish(struct op *op, int err)
{
    op->err = err;
    op->sock->pending[direction_of(op)] = NULL;
    op_list_put(&op->sock->queue->done, op);
    close_when_idle(op->sock);
}

#ifdef _WIN32
/* ---- the engine: the kernel does it ---- */

static int engine_open(struct queue *queue)
{
    queue->engine = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    return queue->engine != NULL ? 0 : -1;
}

static int engine_attach(struct sock *sock)
{
    return CreateIoCompletionPort((HANDLE)sock->fd, sock->queue->engine, 0, 0) != NULL ? 0 : -1;
}

//! [iocp_accept]
/* Nobody reads the addresses that AcceptEx writes, so all listeners share the room for them. */
static BOOL start_accept(struct op *op)
{
    static char addresses[2 * (sizeof(struct sockaddr_storage) + 16)];
    static LPFN_ACCEPTEX accept_ex;
    GUID guid = WSAID_ACCEPTEX;
    SOCKET listener = op->sock->fd;
    struct sockaddr_storage own;
    int len = sizeof own;
    DWORD bytes;
    op->accepted = INVALID_SOCKET;
    if (getsockname(listener, (struct sockaddr *)&own, &len) != 0 ||
        (accept_ex == NULL &&
         WSAIoctl(listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof guid, &accept_ex,
                  sizeof accept_ex, &bytes, NULL, NULL) != 0))
        return FALSE;
    op->accepted = socket(own.ss_family, SOCK_STREAM, 0);
    return op->accepted != INVALID_SOCKET &&
           accept_ex(listener, op->accepted, addresses, 0, sizeof addresses / 2,
                     sizeof addresses / 2, &bytes, &op->native);
}

/* The connection inherits from its listener, and becomes one like any other. */
static int end_accept(struct op *op, int err)
{
    SOCKET listener = op->sock->fd;
    if (err == 0 && setsockopt(op->accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                               (const char *)&listener, sizeof listener) != 0)
        err = WSAECONNRESET; /* it is gone already */
    if (err == 0)
        wintcp_make_ready(op->accepted);
    else if (op->accepted != INVALID_SOCKET)
        closesocket(op->accepted);
    return err;
}
//! [iocp_accept]

//! [iocp_start]
/* Done at once or later: a packet will come. On any other error none will. */
static void engine_start(struct op *op)
{
    WSABUF lent = {(ULONG)(op->len - op->nbytes), op->buf + op->nbytes};
    DWORD flags = 0;
    SOCKET fd = op->sock->fd;
    memset(&op->native, 0, sizeof op->native);
    BOOL ok = op->kind == OP_ACCEPT ? start_accept(op)
              : op->kind == OP_RECV ? !WSARecv(fd, &lent, 1, NULL, &flags, &op->native, NULL)
                                    : !WSASend(fd, &lent, 1, NULL, 0, &op->native, NULL);
    int err = ok ? 0 : WSAGetLastError();
    if (err != 0 && err != WSA_IO_PENDING)
        finish(op, op->kind == OP_ACCEPT ? end_accept(op, err) : err);
}

static void engine_cancel(struct op *op)
{
    (void)CancelIoEx((HANDLE)op->sock->fd, &op->native); /* ERROR_NOT_FOUND: done just now */
}
//! [iocp_start]

//! [iocp_wait]
static void collect(struct op *op)
{
    DWORD bytes = 0, flags;
    BOOL ok = WSAGetOverlappedResult(op->sock->fd, &op->native, &bytes, FALSE, &flags);
    int err = ok ? 0 : WSAGetLastError();
    op->nbytes += bytes;
    if (op->kind == OP_ACCEPT)
        err = end_accept(op, err);
    bool again = op->kind == OP_ACCEPT ? err == WSAECONNRESET
                                       : op->kind == OP_SEND && err == 0 && op->nbytes < op->len;
    if (again && !op->canceled) /* a client came, and has gone: the next one; a part: the rest */
        engine_start(op);
    else
        finish(op, again || err == WSA_OPERATION_ABORTED ? ECANCELED : err);
}

static void engine_wait(struct queue *queue, int64_t timeout_ns)
{
    OVERLAPPED_ENTRY entries[BATCH];
    ULONG count = 0;
    DWORD timeout_ms = (DWORD)timers_round_up_ms(timeout_ns);
    if (!GetQueuedCompletionStatusEx(queue->engine, entries, BATCH, &count, timeout_ms, FALSE))
        return; /* the time is over */
    for (ULONG i = 0; i < count; i++)
        if (entries[i].lpOverlapped != NULL) /* NULL: queue_wake() */
            collect(CONTAINING_RECORD(entries[i].lpOverlapped, struct op, native));
}

void queue_wake(struct queue *queue)
{
    while (!PostQueuedCompletionStatus(queue->engine, 0, 0, NULL)) /* no memory, just now */
        Sleep(1);
}
//! [iocp_wait]

#else
/* ---- the engine: the kernel says who is ready ---- */

//! [go_on]
/* Something has happened: what is parked here may go on. */
static void go_on(struct sock *sock, enum direction direction)
{
    struct op *op = sock->pending[direction];
    sock->ready[direction] = true;
    if (op != NULL && op->native)
        op_list_put(&sock->queue->tries, op);
    if (op != NULL)
        op->native = false;
}

static void drain_wake(const struct queue *queue)
{
    char bytes[64];
    while (read(queue->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue; /* a short count or EAGAIN: it is empty, or a new byte makes a new event */
}
//! [go_on]

//! [watch]
#ifdef EPOLLIN
static int watch(const struct queue *queue, int fd, struct sock *sock)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = sock};
    return epoll_ctl(queue->engine, EPOLL_CTL_ADD, fd, &event);
}

/* EPOLLERR and EPOLLHUP concern both directions: the call will tell what it is. */
static void take_events(struct queue *queue, int64_t timeout_ns)
{
    struct epoll_event events[BATCH];
    int count = epoll_wait(queue->engine, events, BATCH, timers_round_up_ms(timeout_ns));
    for (int i = 0; i < count; i++) {
        struct sock *sock = events[i].data.ptr;
        if (sock == NULL)
            drain_wake(queue);
        if (sock != NULL && (events[i].events & ~(unsigned)EPOLLOUT) != 0)
            go_on(sock, READING);
        if (sock != NULL && (events[i].events & ~(unsigned)EPOLLIN) != 0)
            go_on(sock, WRITING);
    }
}
#else
/* A listener and the pipe are never written to: they need the first change only. */
static int watch(const struct queue *queue, int fd, struct sock *sock)
{
    struct kevent changes[2];
    kq_set(&changes[0], (uintptr_t)fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, sock);
    kq_set(&changes[1], (uintptr_t)fd, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, sock);
    return kevent(queue->engine, changes, sock == NULL || sock->listens ? 1 : 2, NULL, 0, NULL);
}

static void take_events(struct queue *queue, int64_t timeout_ns)
{
    struct kevent events[BATCH];
    struct timespec room;
    int64_t wait_ns = timeout_ns == TIMERS_NEVER ? -1 : timeout_ns;
    int count = kevent(queue->engine, NULL, 0, events, BATCH, kq_timeout(wait_ns, &room));
    for (int i = 0; i < count; i++) {
        struct sock *sock = kq_udata(&events[i]);
        if (sock == NULL)
            drain_wake(queue);
        else
            go_on(sock, events[i].filter == EVFILT_WRITE ? WRITING : READING);
    }
}
#endif
//! [watch]

//! [open]
static int engine_open(struct queue *queue)
{
    queue->tries.end = &queue->tries.first;
    queue->engine = engine_fd_open();
    if (queue->engine < 0 || pipe(queue->wake) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (fcntl(queue->wake[i], F_SETFD, FD_CLOEXEC) < 0 || nonblocking_set(queue->wake[i]) < 0)
            return -1;
    return watch(queue, queue->wake[0], NULL);
}

static int engine_attach(struct sock *sock)
{
    sock->ready[READING] = sock->ready[WRITING] = true; /* nobody knows yet: it is tried */
    if (sock->listens && engine_announce() < 0)         /* the second line that the server prints */
        return -1;
    return nonblocking_set(sock->fd) < 0 ? -1 : watch(sock->queue, sock->fd, sock);
}
//! [open]

//! [start]
static void engine_start(struct op *op)
{
    op->native = !op->sock->ready[direction_of(op)];
    if (!op->native)
        op_list_put(&op->sock->queue->tries, op);
}

static void engine_cancel(struct op *op)
{
    go_on(op->sock, direction_of(op)); /* perform() will see that it is canceled */
}
//! [start]

//! [perform]
static ssize_t call(struct op *op)
{
    switch (op->kind) {
    case OP_ACCEPT:
        return op->accepted = tcp_accept(op->sock->fd);
    case OP_RECV:
        return recv(op->sock->fd, op->buf, op->len, 0);
    default:
        return tcp_send(op->sock->fd, op->buf + op->nbytes, op->len - op->nbytes);
    }
}

static void perform(struct op *op)
{
    ssize_t result = op->canceled ? -1 : call(op);
    int err = op->canceled ? ECANCELED : result < 0 ? errno : 0;
    if (err == 0 && op->kind != OP_ACCEPT)
        op->nbytes += (size_t)result;
    if (err == EAGAIN || err == EWOULDBLOCK) {
        op->native = true; /* from here on the next edge is to be relied on */
        op->sock->ready[direction_of(op)] = false;
    } else if (err == EINTR || (err == 0 && op->kind == OP_SEND && op->nbytes < op->len)) {
        op_list_put(&op->sock->queue->tries, op); /* in the next round */
    } else {
        finish(op, err);
    }
}
//! [perform]

//! [wait]
/* Events first, and all of them. Then those that stand in the list now: who is put back waits. */
static void engine_wait(struct queue *queue, int64_t timeout_ns)
{
    take_events(queue, queue->tries.first != NULL ? 0 : timeout_ns);
    struct op *op = queue->tries.first;
    queue->tries = (struct op_list){NULL, &queue->tries.first};
    while (op != NULL) {
        struct op *next = op->next;
        perform(op);
        op = next;
    }
}

void queue_wake(struct queue *queue)
{
    int err = errno; /* a signal handler may be calling */
    ssize_t written;
    do /* EAGAIN: it is full of earlier ones */
        written = write(queue->wake[1], "", 1);
    while (written < 0 && errno == EINTR);
    errno = err;
}
//! [wait]
#endif

/* ---- the queue ---- */

//! [queue]
int queue_open(struct queue *queue)
{
    queue->done.end = &queue->done.first;
    queue->now_ns = timers_now_ns();
    return engine_open(queue);
}

int queue_attach(struct queue *queue, struct sock *sock, socket_fd fd, bool listens)
{
    *sock = (struct sock){.fd = fd, .queue = queue, .listens = listens};
    return engine_attach(sock);
}

void queue_submit(struct op *op)
{
    assert(op->sock->close == NULL && op->sock->pending[direction_of(op)] == NULL);
    op->sock->pending[direction_of(op)] = op;
    op->nbytes = 0;
    op->canceled = false;
    engine_start(op);
}

void queue_cancel(struct op *op)
{
    if (op->sock->pending[direction_of(op)] != op || op->canceled)
        return; /* it is finished, or has been asked already */
    op->canceled = true;
    engine_cancel(op);
}

void queue_close(struct sock *sock, struct op *op)
{
    op->kind = OP_CLOSE;
    op->sock = sock;
    sock->close = op;
    for (int direction = READING; direction <= WRITING; direction++)
        if (sock->pending[direction] != NULL)
            queue_cancel(sock->pending[direction]);
    close_when_idle(sock);
}
//! [queue]

//! [wait_for_one]
/* As long as something is finished, the kernel is not asked. */
struct op *queue_wait(struct queue *queue)
{
    if (queue->done.first == NULL) {
        engine_wait(queue, timers_wait_ns(queue));
        timers_finish(queue);
    }
    struct op *op = queue->done.first;
    if (op != NULL && (queue->done.first = op->next) == NULL)
        queue->done.end = &queue->done.first;
    return op;
}
//! [wait_for_one]
