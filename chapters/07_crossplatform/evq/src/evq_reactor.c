/*
 * evq_reactor.c: completion over readiness. Try; on EAGAIN wait for an event; then try again.
 *
 * That is the whole of it. What makes it cheap is to know when not to try. For each direction of a
 * socket `ready` holds what is known:
 *
 *                     event
 *          +-------------------------> YES ----+
 *          |                                   |  a full read, the end, an error
 *          NO <-------- EAGAIN ------ MAYBE <--+
 *          ^                                   |
 *          +------------ a short read ---------+
 *
 * An edge-triggered event may only be waited for when the kernel owes one: after EAGAIN. A read
 * that returned less than asked for proves the same, and saves the call that would have said so:
 * whatever comes later makes a new edge (man 7 epoll, Q9). There are exceptions. The end of the
 * stream and an error stand behind the data, and urgent data cuts a read short; where an event has
 * shown one of these (EVQ_EVENT_MORE), only EAGAIN counts. For sends only EAGAIN ever counts: a
 * short one says that there was no room, but not that the kernel has taken note of our waiting for
 * some.
 */
#include "evq_reactor.h"
#include "evq_calls.h"
#include "evq_platform.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* How many calls an op may make in one turn. A peer that reads as fast as we send must not keep the
 * others waiting, nor may signals. */
enum { TRIES_PER_TURN = 16 };

/* evq_sock.priv.flags */
enum {
    EVQ_SOCK_WAS_FULL = EVQ_SOCK_NATIVE,  /* the last read filled its buffer                */
    EVQ_SOCK_ASKED = EVQ_SOCK_NATIVE << 1 /* the system was asked to tell what is left */
};

static bool would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK;
}

static enum evq_progress reactor__waits(evq_sock *s, int direction)
{
    s->priv.ready[direction] = EVQ_READY_NO;
    return EVQ_PENDING;
}

static enum evq_progress reactor__fails(evq_op *op, int os_err)
{
    op->sock->priv.ready[evq_direction(op)] = EVQ_READY_MAYBE;
    evq_op_fail(op, os_err);
    return EVQ_FINISHED;
}

static enum evq_progress reactor__goes_on_later(evq_sock *s)
{
    evq_sock_again(s);
    return EVQ_PENDING;
}

/* ---- in ------------------------------------------------------------------------------------- */

/* What a read proves. A short one: there is no more. A full one proves nothing by itself; but when
 * it is known how many bytes were left before it, the last of them is known, too. */
static bool recv__drains(evq_sock *s, size_t asked, size_t n)
{
    if (n < asked)
        return true;
    if (s->priv.left > n) {
        s->priv.left -= (unsigned)n;
        return false;
    }
    if (s->priv.left == n)
        return true;
    s->priv.left = 0;
    s->priv.flags |= EVQ_SOCK_WAS_FULL;
    return false;
}

static enum evq_progress reactor__received(evq_op *op, size_t asked, size_t n)
{
    evq_sock *s = op->sock;
    op->nbytes = n;
    s->priv.ready[EVQ_IN] = EVQ_READY_MAYBE;
    if (recv__drains(s, asked, n)) {
        s->priv.left = 0;
        if (n > 0 && !s->priv.more)
            s->priv.ready[EVQ_IN] = EVQ_READY_NO;
    }
    return EVQ_FINISHED;
}

/* After a full read it is worth asking how many bytes are left: it costs little more than a recv(),
 * and saves the one that would have found nothing. */
static ssize_t recv__asking(evq_sock *s, void *buf, size_t len)
{
    unsigned left;
    if ((s->priv.flags & EVQ_SOCK_ASKED) == 0) {
        s->priv.flags |= EVQ_SOCK_ASKED;
        (void)evq_call_tell_left(s->fd); /* if it does not, it stays unknown */
    }
    s->priv.flags &= (unsigned char)~EVQ_SOCK_WAS_FULL;
    ssize_t n = evq_call_recv(s->fd, buf, len, &left);
    if (n > 0 && left != EVQ_LEFT_UNKNOWN && left <= UINT_MAX - (size_t)n)
        s->priv.left = left + (unsigned)n; /* before this read */
    return n;
}

//! [recv]
static enum evq_progress reactor__recv(evq_op *op)
{
    evq_sock *s = op->sock;
    void *buf = op->priv.arg.in.buf;
    size_t len = op->priv.arg.in.len;
    if (len > EVQ_RECV_MAX)
        len = EVQ_RECV_MAX;
    for (int i = 0; i < TRIES_PER_TURN; i++) {
        bool asks = (s->priv.flags & EVQ_SOCK_WAS_FULL) != 0;
        ssize_t n = asks ? recv__asking(s, buf, len) : recv(s->fd, buf, len, 0);
        if (n >= 0)
            return reactor__received(op, len, (size_t)n);
        s->priv.left = 0;
        if (would_block(errno))
            return reactor__waits(s, EVQ_IN);
        if (errno != EINTR)
            return reactor__fails(op, errno);
    }
    return reactor__goes_on_later(s);
}
//! [recv]

/* The one call that consumes nothing: MSG_PEEK would take a pending error away. It does not block.
 * */
static enum evq_progress reactor__readable(evq_op *op)
{
    evq_sock *s = op->sock;
    struct pollfd look = {.fd = s->fd, .events = POLLIN};
    if (s->priv.ready[EVQ_IN] == EVQ_READY_YES)
        return EVQ_FINISHED;
    for (int i = 0; i < TRIES_PER_TURN; i++) {
        int n = poll(&look, 1, 0);
        if (n == 0)
            return reactor__waits(s, EVQ_IN);
        if (n > 0) {
            s->priv.ready[EVQ_IN] = EVQ_READY_YES;
            return EVQ_FINISHED;
        }
        if (errno != EINTR)
            return reactor__fails(op, errno); /* ENOMEM */
    }
    return reactor__goes_on_later(s);
}

static enum evq_progress reactor__accept(evq_op *op)
{
    evq_sock *s = op->sock;
    for (int i = 0; i <= EVQ_ACCEPT_RETRIES; i++) {
        op->accepted = evq_call_accept(s->fd);
        if (op->accepted >= 0) {
            s->priv.ready[EVQ_IN] = EVQ_READY_MAYBE; /* there may be more: only EAGAIN tells */
            return EVQ_FINISHED;
        }
        if (would_block(errno))
            return reactor__waits(s, EVQ_IN);
        if (!evq_accept_skips(errno))
            return reactor__fails(op, errno);
    }
    return errno == EINTR ? reactor__goes_on_later(s) : reactor__fails(op, errno);
}

/* ---- out ------------------------------------------------------------------------------------ */

static enum evq_progress reactor__send(evq_op *op)
{
    evq_sock *s = op->sock;
    const char *buf = op->priv.arg.out.buf;
    size_t len = op->priv.arg.out.len;
    for (int i = 0; i < TRIES_PER_TURN; i++) {
        ssize_t n = evq_call_send(s->fd, buf + op->nbytes, len - op->nbytes);
        if (n >= 0) {
            s->priv.ready[EVQ_OUT] = EVQ_READY_MAYBE;
            op->nbytes += (size_t)n;
            if (op->nbytes == len)
                return EVQ_FINISHED;
        } else if (would_block(errno)) {
            return reactor__waits(s, EVQ_OUT);
        } else if (errno != EINTR) {
            return reactor__fails(op, evq_send_os_err(s->fd, errno));
        }
    }
    return reactor__goes_on_later(s);
}

static enum evq_progress reactor__connected(evq_op *op)
{
    int os_err = evq_connect_result(op->sock->fd);
    if (os_err == EINPROGRESS)
        return reactor__waits(op->sock, EVQ_OUT); /* a spurious wake-up */
    return os_err == 0 ? EVQ_FINISHED : reactor__fails(op, os_err);
}

/* What was said of the socket's readiness before is about one that is not connected. EINTR: the
 * connect goes on in the background, and is not to be called again (POSIX connect()). */
static enum evq_progress reactor__connect(evq_op *op)
{
    evq_sock *s = op->sock;
    if ((op->priv.flags & EVQ_OP_UNDER_WAY) != 0)
        return reactor__connected(op);
    op->priv.flags |= EVQ_OP_UNDER_WAY;
    s->priv.ready[EVQ_IN] = EVQ_READY_NO;
    s->priv.ready[EVQ_OUT] = EVQ_READY_NO;
    if (connect(s->fd, op->priv.arg.to.addr, (socklen_t)op->priv.arg.to.len) == 0) {
        s->priv.ready[EVQ_OUT] = EVQ_READY_MAYBE;
        return EVQ_FINISHED;
    }
    return errno == EINPROGRESS || errno == EINTR ? EVQ_PENDING : reactor__fails(op, errno);
}

/* ---- what the backends call ----------------------------------------------------------------- */

void evq_reactor_attach(evq_sock *s)
{
    s->priv.ready[EVQ_IN] = s->priv.ready[EVQ_OUT] = EVQ_READY_MAYBE;
}

static enum evq_progress (*const tries[])(evq_op *) = {
    [EVQ_ACCEPT] = reactor__accept, [EVQ_CONNECT] = reactor__connect,
    [EVQ_RECV] = reactor__recv,     [EVQ_READABLE] = reactor__readable,
    [EVQ_SEND] = reactor__send,
};

//! [start]
enum evq_progress evq_reactor_start(evq *q, evq_op *op)
{
    (void)q;
    if (op->sock->priv.ready[evq_direction(op)] == EVQ_READY_NO)
        return EVQ_PENDING;
    return tries[op->kind](op);
}
//! [start]

//! [event]
static inline void reactor__retry(evq_sock *s, int direction)
{
    evq_op *op = s->priv.fifo[direction].first;
    if (op != NULL && op->priv.state == EVQ_STARTED && tries[op->kind](op) == EVQ_FINISHED)
        evq_op_finish(op);
}

void evq_reactor_event(evq_sock *s, unsigned what)
{
    unsigned char *ready = s->priv.ready;
    if ((what & (EVQ_EVENT_READ | EVQ_EVENT_MORE)) != 0) {
        s->priv.more = (what & EVQ_EVENT_MORE) != 0;
        s->priv.left = 0; /* there may be more by now */
        if ((what & EVQ_EVENT_READ) != 0)
            ready[EVQ_IN] = EVQ_READY_YES;
        else if (ready[EVQ_IN] == EVQ_READY_NO)
            ready[EVQ_IN] = EVQ_READY_MAYBE; /* urgent data, and perhaps nothing else */
        reactor__retry(s, EVQ_IN);
    }
    if ((what & EVQ_EVENT_WRITE) != 0) {
        ready[EVQ_OUT] = EVQ_READY_YES;
        reactor__retry(s, EVQ_OUT);
    }
}
//! [event]
