/*
 * evq_backend.h: what stands between the portable half of the library and its backends.
 *
 * The portable half (evq.c, evq_sockets.c, evq_timers.c) knows operations, their order and their
 * owners. A backend knows one kernel interface. A backend is a table of eight functions, and gives
 * back no more than this: "this operation is finished". It never touches a list.
 *
 * The states of an operation:
 *
 *     IDLE ----submit----> QUEUED ----start()----> STARTED ----finished----> DONE ----+
 *      ^                     |                        |                       ^      |
 *      |                     +------- cancelled ------+-----------------------+      |
 *      +------------------------------ evq_wait() returns it -----------------------+
 *
 *   QUEUED   in the FIFO of its socket and direction, behind another one; the backend has not
 *            seen it
 *   STARTED  the head of that FIFO: the backend works on it (it is in the kernel, or parked until
 *            the socket is ready). There is at most one for each direction of a socket: two
 *            receives in one ring may finish in any order, and a short send would be overtaken by
 *            the next one.
 *   DONE     in the queue's list of finished ones, until evq_wait() hands it out
 *
 * How a backend reports. start(), cancel() and close() return EVQ_FINISHED when the thing is over
 * at once, with the op's result filled in; then the caller does the rest. Else they return
 * EVQ_PENDING, and later, from its wait() and from nowhere else, the backend fills in the result
 * and calls evq_op_finish() or evq_sock_closed(). Those may call start() of the next op, never more
 * than that: no recursion. Results are: err and os_err (by evq_op_fail()), nbytes, accepted. At
 * start() err, os_err and nbytes are 0 and accepted is EVQ_NO_FD.
 */
#ifndef EVQ_BACKEND_H
#define EVQ_BACKEND_H

#include "evq.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

/* ---- words ---------------------------------------------------------------------------------- */

enum evq_state { EVQ_IDLE, EVQ_QUEUED, EVQ_STARTED, EVQ_DONE };

/** The directions of a socket. IN: accept, recv, readable. OUT: connect, send. */
enum { EVQ_IN, EVQ_OUT, EVQ_DIRECTIONS };

enum evq_progress { EVQ_PENDING, EVQ_FINISHED };

/** What a wait() came back with, where it is no error: nothing special, or a signal. */
enum { EVQ_WAITED = 0, EVQ_INTERRUPTED = 1 };

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000, LONGEST_WAIT_MS = 1 << 30 };

/** How many events or packets a backend takes from the kernel at once. */
enum { EVQ_BATCH = 256 };

/** evq_op.priv.flags */
enum {
    EVQ_OP_CANCELLING = 1, /* the backend was asked to cancel it, and said EVQ_PENDING */
    EVQ_OP_CONNECTS = 2,   /* it is the one connect of its socket                      */
    EVQ_OP_UNDER_WAY = 4,  /* reactor: connect(2) was called. Others: the backend's own */
    EVQ_OP_NATIVE = 8      /* this and what is above it: the backend's own             */
};

/** evq_sock.priv.flags */
enum {
    EVQ_SOCK_LISTENS = 1,
    EVQ_SOCK_CONNECTED_ONCE = 2, /* a connect was submitted                     */
    EVQ_SOCK_AGAIN = 4,          /* is in the queue's list `again`              */
    EVQ_SOCK_CLOSE_BEGUN = 8,    /* the backend's close() was called            */
    EVQ_SOCK_NATIVE = 16         /* this and what is above it: the backend's    */
};

/** evq_sock.priv.refuses: why an op is not simply started. 0 is the usual case. */
enum {
    EVQ_REFUSES_CLOSING = 1,
    EVQ_REFUSES_CONNECTING = 2,  /* what reads must wait                                 */
    EVQ_REFUSES_UNCONNECTED = 4, /* the connect failed                                   */
    EVQ_REFUSES_TORN = 8,        /* a send was cut in the middle; a backend may set it   */
    EVQ_REFUSES_SHUT = 16,       /* evq_shutdown() was called                            */
    EVQ_REFUSES_LISTENS = 32     /* it is a listener: anything but accept                */
};

struct evq_backend;

struct evq {
    const struct evq_backend *backend;
    void *native;            /* the backend's own                                   */
    struct evq_fifo done;    /* finished, not returned yet                          */
    evq_op *timers;          /* the root of the heap: the one that is due first     */
    evq_sock *again;         /* sockets that have more to do, whatever events say   */
    uint64_t timers_started; /* number of the last one                              */
    uint64_t now_ns;
    size_t pending;  /* operations, of every state but IDLE */
    size_t attached; /* sockets                             */
    int waits_in_hand;
    bool woken;             /* the backend has seen the wake                        */
    atomic_bool wake_asked; /* a wake is under way: no second one is needed         */
    uintptr_t owner;        /* the thread                                           */
};

/* ---- the table ------------------------------------------------------------------------------ */

/** All functions are called by the queue's thread, but wake(). The same order in each backend's
 *  file. */
struct evq_backend {
    const char *name;

    /** Allocates and opens what it needs, into q->native. 0 or an error, with nothing left behind;
     *  EVQ_ENOTSUP: this system does not have or allow it. */
    int (*open)(evq *q);

    /** Frees all of it. Nothing is pending or attached. */
    void (*destroy)(evq *q);

    /** Registers s->fd, which is a non-blocking stream socket. s is filled in (EVQ_SOCK_LISTENS
     *  too). 0 or an error. May allocate; may use priv.native, slot, ready and more. */
    int (*attach)(evq *q, evq_sock *s);

    /** Begins op, the only one of its direction that is started. Its len is not 0. It enters its
     *  FIFO when this says PENDING. */
    enum evq_progress (*start)(evq *q, evq_op *op);

    /** Ends op, which is started. FINISHED: the backend and the kernel have let go of it; the
     *  caller sets EVQ_ECANCELED. PENDING: the request was made (or could not be, then it is made
     *  later), and the op will be reported as always, with whatever was first. Asked once for each
     *  op. */
    enum evq_progress (*cancel)(evq *q, evq_op *op);

    /** Unregisters and closes s->fd. No op of the socket is with the backend any more. May set
     *  os_err of s->priv.close_op. PENDING: evq_sock_closed() follows. */
    enum evq_progress (*close)(evq *q, evq_sock *s);

    /** Waits for the kernel, up to timeout_ns (rounded up; negative: for ever), takes one batch of
     *  at most EVQ_BATCH and translates all of it. EVQ_WAITED, EVQ_INTERRUPTED, or an error: the
     *  queue is broken. Also the place where collected submissions are handed over: it is called
     *  with 0 when only that and a look are wanted. */
    int (*wait)(evq *q, int64_t timeout_ns);

    /** Makes the current or the next wait() come back at once and call evq_woken(). Any thread, and
     *  in signal handlers: nothing but calls that are async-signal-safe. errno is saved by the
     *  caller. */
    void (*wake)(evq *q);
};

/** Those that this build has, the best first, then NULL; and their names. From evq_backends.c. */
extern const struct evq_backend *const evq_backend_list[];
extern const char *const evq_backend_names[];

extern const struct evq_backend evq_backend_epoll, evq_backend_uring, evq_backend_kqueue,
    evq_backend_poll, evq_backend_iocp;

/* ---- what a backend calls ------------------------------------------------------------------- */

/** A started op has come to its end; its result is filled in. From wait() only. */
void evq_op_finish(evq_op *op);

/** The descriptor of a socket is closed, after close() has said EVQ_PENDING. From wait() only. */
void evq_sock_closed(evq_sock *s);

/** The backend has seen what its wake() did. From wait() only. */
void evq_woken(evq *q);

/** Sets os_err, and err by the table of the platform. */
void evq_op_fail(evq_op *op, int os_err);

/** The socket's op has used up its turn without being finished or told to wait: go on with it at
 *  the next evq_wait(), whatever events say. By calling start() once more. From start() only. */
void evq_sock_again(evq_sock *s);

/** A time-out for calls that take milliseconds: rounded up, so that a short one is no busy loop; -1
 *  for ever. A wait may be shorter than asked for, and is then simply begun again. */
static inline int evq_timeout_ms(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    int64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    return ms < LONGEST_WAIT_MS ? (int)ms : LONGEST_WAIT_MS;
}

static inline int evq_direction(const evq_op *op)
{
    return op->kind >= EVQ_CONNECT ? EVQ_OUT : EVQ_IN; /* timers and closes have none */
}

/* ---- sockets (evq_sockets.c): the order of what is submitted on one -------------------------- */

/** Takes an op, which is not done, out of its FIFO. */
void evq_sock_cancel(evq_sock *s, evq_op *op);
/** Calls start() again for the sockets of which evq_sock_again() was said. */
void evq_socks_again(evq *q);

/* ---- timers (evq_timers.c) ------------------------------------------------------------------ */

void evq_timers_add(evq *q, evq_op *op);
void evq_timers_remove(evq *q, evq_op *op);
/** Finishes those that are due at q->now_ns, in their order. */
void evq_timers_expire(evq *q);

/* ---- lists ---------------------------------------------------------------------------------- */

static inline void evq_fifo_push(struct evq_fifo *fifo, evq_op *op)
{
    op->priv.next = NULL;
    op->priv.prev = fifo->last;
    if (fifo->last != NULL)
        fifo->last->priv.next = op;
    else
        fifo->first = op;
    fifo->last = op;
}

static inline evq_op *evq_fifo_pop(struct evq_fifo *fifo)
{
    evq_op *op = fifo->first, *next = op->priv.next;
    fifo->first = next;
    if (next != NULL)
        next->priv.prev = NULL;
    else
        fifo->last = NULL;
    return op;
}

static inline void evq_fifo_remove(struct evq_fifo *fifo, evq_op *op)
{
    evq_op *next = op->priv.next, *prev = op->priv.prev;
    if (prev != NULL)
        prev->priv.next = next;
    else
        fifo->first = next;
    if (next != NULL)
        next->priv.prev = prev;
    else
        fifo->last = prev;
}

/* ---- operations ----------------------------------------------------------------------------- */

/** From idle to pending: all but its arguments and its place. */
static inline void evq_op_begin(evq *q, evq_sock *s, evq_op *op, enum evq_kind kind)
{
    assert(op->priv.state == EVQ_IDLE && "the operation is pending, or was never set to zero");
    op->kind = kind;
    op->err = EVQ_OK;
    op->os_err = 0;
    op->accepted = EVQ_NO_FD;
    op->nbytes = 0;
    op->sock = s;
    op->priv.flags = 0;
    q->pending++;
}

/** Into the list of finished ones. */
static inline void evq_op_done(evq *q, evq_op *op)
{
    op->priv.state = EVQ_DONE;
    evq_fifo_push(&q->done, op);
}

#endif
