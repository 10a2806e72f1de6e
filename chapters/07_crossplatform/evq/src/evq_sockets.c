/*
 * evq_sockets.c: in which order the operations of one socket run, which are refused, and how a
 * socket closes. It is the same for all backends.
 *
 * Each direction of a socket has a FIFO. Its head is with the backend, the others wait:
 *
 *     in    recv* -> recv -> readable        * started
 *     out   connect* -> send -> send
 *
 * Whenever a head is gone, sock__run() starts the next one; those that are finished at once leave
 * at once. `refuses` is 0 for a socket to which nothing special has happened. So the usual op, that
 * is alone in its direction, pays one test for all of it, and if it is finished at once it never
 * enters the FIFO.
 *
 * How a socket closes:
 *
 *     evq_close()      both heads are cancelled; what is behind them is not started any more, but
 *                      leaves with EVQ_ECANCELED, in its order, once the head has left
 *     both are empty   the backend's close(): the descriptor is closed
 *     then             the close op is finished. It is the socket's last: what was submitted in the
 *                      meantime is put before it.
 */
#include "evq_backend.h"
#include "evq_platform.h"

#include <assert.h>

/* ---- one op leaves -------------------------------------------------------------------------- */

void evq_op_fail(evq_op *op, int os_err)
{
    op->os_err = os_err;
    op->err = evq_error_of(os_err);
}

/* What the end of an op means for those behind it. */
static void sock__learn(evq_sock *s, const evq_op *op)
{
    if ((op->priv.flags & EVQ_OP_CONNECTS) != 0) {
        s->priv.refuses &= (unsigned char)~EVQ_REFUSES_CONNECTING;
        if (op->err != EVQ_OK)
            s->priv.refuses |= EVQ_REFUSES_UNCONNECTED;
    }
    if (op->kind == EVQ_SEND && op->err != EVQ_OK && op->nbytes > 0)
        s->priv.refuses |= EVQ_REFUSES_TORN; /* what follows would not fit what has been sent */
}

static void sock__retire(evq_sock *s, evq_op *op)
{
    evq_fifo_remove(&s->priv.fifo[evq_direction(op)], op);
    if (op->err != EVQ_OK || op->kind == EVQ_CONNECT)
        sock__learn(s, op);
    evq_op_done(s->priv.queue, op);
}

/* ---- the next one starts -------------------------------------------------------------------- */

/* Why an op must not run: an error, or EVQ_OK. */
static int sock__refusal(const evq_sock *s, const evq_op *op)
{
    unsigned refuses = s->priv.refuses;
    if ((refuses & EVQ_REFUSES_CLOSING) != 0)
        return EVQ_ECANCELED;
    if ((refuses & EVQ_REFUSES_LISTENS) != 0 && op->kind != EVQ_ACCEPT)
        return EVQ_EINVAL;
    if ((refuses & EVQ_REFUSES_UNCONNECTED) != 0 && op->kind != EVQ_CONNECT)
        return EVQ_ENOTCONN;
    if ((refuses & (EVQ_REFUSES_TORN | EVQ_REFUSES_SHUT)) != 0 && op->kind == EVQ_SEND)
        return EVQ_ECLOSED;
    return EVQ_OK;
}

static bool sock__refuses(const evq_sock *s, evq_op *op)
{
    if (op->err == EVQ_OK && s->priv.refuses != 0)
        op->err = sock__refusal(s, op);
    return op->err != EVQ_OK;
}

/* Reads wait for a connect. When the socket closes they do not: they are about to be cancelled. */
static bool sock__holds(const evq_sock *s, int direction)
{
    return direction == EVQ_IN && (s->priv.refuses & EVQ_REFUSES_CONNECTING) != 0 &&
           (s->priv.refuses & EVQ_REFUSES_CLOSING) == 0;
}

/* Starts what heads the FIFO, until something stays with the backend. */
static void sock__run(evq_sock *s, int direction)
{
    struct evq_fifo *fifo = &s->priv.fifo[direction];
    evq *q = s->priv.queue;
    evq_op *op;
    while ((op = fifo->first) != NULL && op->priv.state == EVQ_QUEUED) {
        if (sock__holds(s, direction))
            return;
        if (!sock__refuses(s, op)) {
            op->priv.state = EVQ_STARTED;
            if (q->backend->start(q, op) == EVQ_PENDING)
                return;
        }
        bool connect = op->kind == EVQ_CONNECT;
        sock__retire(s, op);
        if (connect)
            sock__run(s, EVQ_IN); /* no deeper: there are no connects in that direction */
    }
}

/* ---- submit --------------------------------------------------------------------------------- */

/* Between evq_close() and the return of its op. That op may be in the list of finished ones
 * already, and is to stay the socket's last. */
static void sock__submit_closing(evq_sock *s, evq_op *op)
{
    struct evq_fifo *done = &s->priv.queue->done;
    evq_op *close_op = s->priv.close_op;
    op->err = EVQ_ECLOSED;
    evq_op_done(s->priv.queue, op);
    if (close_op->priv.state == EVQ_DONE) {
        evq_fifo_remove(done, close_op);
        evq_fifo_push(done, close_op);
    }
}

static void sock__submit_special(evq_sock *s, evq_op *op, int direction)
{
    struct evq_fifo *fifo = &s->priv.fifo[direction];
    if ((s->priv.refuses & EVQ_REFUSES_CLOSING) != 0) {
        sock__submit_closing(s, op);
        return;
    }
    op->priv.state = EVQ_QUEUED;
    evq_fifo_push(fifo, op);
    if (fifo->first == op)
        sock__run(s, direction);
}

//! [submit]
/* The usual op is alone in its direction and meets nothing special: then it need not enter the FIFO
 * before it is tried, and need not leave it when that is all. */
static inline void sock__submit(evq_sock *s, evq_op *op, int direction)
{
    struct evq_fifo *fifo = &s->priv.fifo[direction];
    evq *q = s->priv.queue;
    if (fifo->first != NULL || s->priv.refuses != 0 || op->err != EVQ_OK) {
        sock__submit_special(s, op, direction);
        return;
    }
    op->priv.state = EVQ_STARTED;
    if (q->backend->start(q, op) == EVQ_PENDING) {
        evq_fifo_push(fifo, op);
        return;
    }
    if (op->err != EVQ_OK)
        sock__learn(s, op);
    evq_op_done(q, op);
}
//! [submit]

static void sock__begin(evq_sock *s, evq_op *op, enum evq_kind kind)
{
    assert(s->priv.queue != NULL && "the socket is not attached, or its close has come back");
    evq_op_begin(s->priv.queue, s, op, kind);
}

void evq_accept(evq_sock *s, evq_op *op)
{
    sock__begin(s, op, EVQ_ACCEPT);
    if ((s->priv.flags & EVQ_SOCK_LISTENS) == 0)
        op->err = EVQ_EINVAL;
    sock__submit_special(s, op, EVQ_IN);
}

void evq_connect(evq_sock *s, evq_op *op, const struct sockaddr *addr, socklen_t addrlen)
{
    sock__begin(s, op, EVQ_CONNECT);
    op->priv.arg.to.addr = addr;
    op->priv.arg.to.len = (size_t)addrlen;
    if ((s->priv.flags & (EVQ_SOCK_CONNECTED_ONCE | EVQ_SOCK_LISTENS)) != 0) {
        op->err = EVQ_EINVAL;
    } else {
        s->priv.flags |= EVQ_SOCK_CONNECTED_ONCE;
        s->priv.refuses |= EVQ_REFUSES_CONNECTING;
        op->priv.flags |= EVQ_OP_CONNECTS;
    }
    sock__submit_special(s, op, EVQ_OUT);
}

void evq_recv(evq_sock *s, evq_op *op, void *buf, size_t len)
{
    sock__begin(s, op, EVQ_RECV);
    op->priv.arg.in.buf = buf;
    op->priv.arg.in.len = len;
    if (len == 0)
        op->err = EVQ_EINVAL;
    sock__submit(s, op, EVQ_IN);
}

void evq_readable(evq_sock *s, evq_op *op)
{
    sock__begin(s, op, EVQ_READABLE);
    sock__submit(s, op, EVQ_IN);
}

void evq_send(evq_sock *s, evq_op *op, const void *buf, size_t len)
{
    sock__begin(s, op, EVQ_SEND);
    op->priv.arg.out.buf = buf;
    op->priv.arg.out.len = len;
    if (len == 0)
        op->err = EVQ_EINVAL;
    sock__submit(s, op, EVQ_OUT);
}

/* ---- close, and what the backend reports ----------------------------------------------------- */

void evq_sock_closed(evq_sock *s)
{
    evq_op_done(s->priv.queue, s->priv.close_op);
}

static void sock__forget_again(evq_sock *s)
{
    evq_sock **link = &s->priv.queue->again;
    if ((s->priv.flags & EVQ_SOCK_AGAIN) == 0)
        return;
    while (*link != s)
        link = &(*link)->priv.next_again;
    *link = s->priv.next_again;
    s->priv.flags &= (unsigned char)~EVQ_SOCK_AGAIN;
}

static void sock__close_when_empty(evq_sock *s)
{
    if (s->priv.fifo[EVQ_IN].first != NULL || s->priv.fifo[EVQ_OUT].first != NULL ||
        (s->priv.flags & EVQ_SOCK_CLOSE_BEGUN) != 0)
        return;
    s->priv.flags |= EVQ_SOCK_CLOSE_BEGUN;
    sock__forget_again(s);
    if (s->priv.queue->backend->close(s->priv.queue, s) == EVQ_FINISHED)
        evq_sock_closed(s);
}

//! [finish]
void evq_op_finish(evq_op *op)
{
    evq_sock *s = op->sock;
    int direction = evq_direction(op);
    struct evq_fifo *fifo = &s->priv.fifo[direction];
    assert(op->priv.state == EVQ_STARTED && fifo->first == op);
    (void)evq_fifo_pop(fifo);
    if (op->err != EVQ_OK || op->kind == EVQ_CONNECT)
        sock__learn(s, op);
    evq_op_done(s->priv.queue, op);
    if (op->kind == EVQ_CONNECT)
        sock__run(s, EVQ_IN);
    if (fifo->first != NULL)
        sock__run(s, direction);
    if ((s->priv.refuses & EVQ_REFUSES_CLOSING) != 0)
        sock__close_when_empty(s);
}
//! [finish]

//! [cancel]
/* The backend is asked once; if it cannot end the op at once, it will report it. */
static void sock__cancel_started(evq_sock *s, evq_op *op)
{
    if ((op->priv.flags & EVQ_OP_CANCELLING) != 0)
        return;
    if (s->priv.queue->backend->cancel(s->priv.queue, op) == EVQ_PENDING) {
        op->priv.flags |= EVQ_OP_CANCELLING;
        return;
    }
    op->err = EVQ_ECANCELED;
    evq_op_finish(op);
}

void evq_sock_cancel(evq_sock *s, evq_op *op)
{
    if (op->priv.state == EVQ_STARTED) {
        sock__cancel_started(s, op);
        return;
    }
    op->err = EVQ_ECANCELED;
    sock__retire(s, op);
    if (op->kind == EVQ_CONNECT)
        sock__run(s, EVQ_IN);
}
//! [cancel]

void evq_close(evq_sock *s, evq_op *op)
{
    sock__begin(s, op, EVQ_CLOSE);
    assert((s->priv.refuses & EVQ_REFUSES_CLOSING) == 0 && "the socket is being closed already");
    s->priv.refuses |= EVQ_REFUSES_CLOSING;
    s->priv.close_op = op;
    op->priv.state = EVQ_STARTED;
    for (int direction = EVQ_IN; direction < EVQ_DIRECTIONS; direction++) {
        evq_op *head = s->priv.fifo[direction].first;
        if (head != NULL && head->priv.state == EVQ_STARTED)
            sock__cancel_started(s, head);
        else
            sock__run(s, direction); /* they were held back, and are all refused now */
    }
    sock__close_when_empty(s);
}

int evq_shutdown(evq_sock *s)
{
    assert(s->priv.queue != NULL && "the socket is not attached, or its close has come back");
    if ((s->priv.refuses & EVQ_REFUSES_CLOSING) != 0)
        return EVQ_ECLOSED;
    if (s->priv.fifo[EVQ_OUT].first != NULL)
        return EVQ_EBUSY;
    if ((s->priv.refuses & EVQ_REFUSES_SHUT) != 0)
        return EVQ_OK;
    int err = evq_error_of(evq_platform_shutdown(s->fd));
    if (err == EVQ_OK)
        s->priv.refuses |= EVQ_REFUSES_SHUT;
    return err;
}

/* ---- more to do ----------------------------------------------------------------------------- */

void evq_sock_again(evq_sock *s)
{
    if ((s->priv.flags & EVQ_SOCK_AGAIN) != 0)
        return;
    s->priv.flags |= EVQ_SOCK_AGAIN;
    s->priv.next_again = s->priv.queue->again;
    s->priv.queue->again = s;
}

static void sock__start_again(evq_sock *s)
{
    evq *q = s->priv.queue;
    for (int direction = EVQ_IN; direction < EVQ_DIRECTIONS; direction++) {
        evq_op *op = s->priv.fifo[direction].first;
        if (op != NULL && op->priv.state == EVQ_STARTED && q->backend->start(q, op) == EVQ_FINISHED)
            evq_op_finish(op);
    }
}

/* Those that are in the list now; whoever is put back waits for the next time. */
void evq_socks_again(evq *q)
{
    evq_sock *list = q->again;
    q->again = NULL;
    while (list != NULL) {
        evq_sock *s = list;
        list = s->priv.next_again;
        s->priv.flags &= (unsigned char)~EVQ_SOCK_AGAIN;
        sock__start_again(s);
    }
}

/* ---- attach --------------------------------------------------------------------------------- */

int evq_attach(evq *q, evq_sock *s, evq_fd fd)
{
    assert(q->owner == evq_platform_thread() && "a queue belongs to the thread that opened it");
    bool listens = false;
    int err = evq_platform_prepare(fd, &listens);
    if (err != EVQ_OK)
        return err;
    evq_sock fresh = {.user = s->user, .fd = fd};
    fresh.priv.queue = q;
    fresh.priv.flags = listens ? EVQ_SOCK_LISTENS : 0;
    fresh.priv.refuses = listens ? EVQ_REFUSES_LISTENS : 0;
    *s = fresh;
    err = q->backend->attach(q, s);
    if (err != EVQ_OK)
        s->priv.queue = NULL;
    else
        q->attached++;
    return err;
}
