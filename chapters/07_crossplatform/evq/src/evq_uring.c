/*
 * evq_uring.c: io_uring, the completion queue of Linux.
 *
 * Two rings are shared with the kernel. A submission (SQE) says what is to be done, a completion
 * (CQE) how it came out; both carry 64 bits of ours, here the address of the op. So one system call
 * hands over what was collected since the last one, waits, and brings back what is finished.
 *
 *     start()    writes an SQE. No system call, unless the ring is full.
 *     wait()     io_uring_enter(): submits all of them, waits, then CQE for CQE:
 *
 *         STARTED ---- result ----> over:  evq_op_finish()
 *            ^            |
 *            |            +-------> again: the rest of a send, an accept that is to be skipped
 *            |            |
 *            +-- ready ---+-------> poll:  EAGAIN, or a connect that is still under way
 *
 * Facts that shape the file (man 7 io_uring, man 2 io_uring_enter, man 3 of each
 * io_uring_prep_...):
 *   - To close a descriptor cancels nothing: a request holds the file, not the number. close()
 *     comes when each request of the socket has been completed.
 *   - A cancel is a request like any other, with a completion of its own, before or after the one
 *     of the op. The op is reported when both have come: so neither can meet an op that was freed
 *     or used anew.
 *   - A cancel that finds nothing (ENOENT) does not prove that the op is over. A request that was
 *     found ready, and waits for its next try, is in no list that a cancel looks at. It is
 *     cancelled again.
 *   - An SQE names a buffer and does not copy it. Nor does the kernel look at it before it is
 *     submitted.
 *   - MSG_WAITALL lets the kernel go on with a short send. It gives up at some point: so do not
 *     rely on it.
 *   - More may be finished than are taken at once; the rest stays in the ring.
 *
 * The ring is set up with IORING_SETUP_DEFER_TASKRUN: completions are worked off inside our wait
 * and at no other time, so the kernel never interrupts the program for them. That came with Linux
 * 6.1. On an older kernel, and where io_uring is forbidden (kernel.io_uring_disabled, the seccomp
 * filters of many containers), open() says EVQ_ENOTSUP, and evq_open() takes the next backend.
 */
#include "evq_backend.h"
#include "evq_calls.h"
#include "evq_platform.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* Submissions that are collected at most, 64 bytes each. A full ring costs one call more. */
    URING_ENTRIES = 512,

    URING_SETUP = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                  IORING_SETUP_SUBMIT_ALL, /* a bad SQE must not hold up those behind it */
};

/* What a completion carries: the address of an op, or that and 1 for a cancel of it, or only
 * this. */
enum { URING_CANCEL = 1, URING_WAKE = 2 };

/* op->priv.native.words */
enum {
    WORD_NEXT = 0,   /* the next one whose cancel is missing; as a pointer      */
    WORD_TRIES = 1,  /* how often an accept was skipped, a connect looked at    */
    WORD_STAGE = 2,  /* the bits below                                          */
    WORD_RESULT = 3, /* of an op that waits for its cancel                      */
};
enum {
    STAGE_POLLING = 1,        /* the request in the kernel only waits for readiness           */
    STAGE_CANCEL_MISSING = 2, /* the ring had no room for its cancel: it is in `uncancelled`  */
    STAGE_CANCEL_ASKED = 4,   /* a cancel of it is in the ring                                */
    STAGE_OVER = 8            /* its completion came, and waits for that of the cancel        */
};

/* "For ever" as a time: 146 years, which the kernel can still add to the time of day. See
 * uring__enter(). */
#define URING_FOREVER_NS ((int64_t)1 << 62)

/* The longest piece that one send asks for: the length of an SQE has 32 bits, its result 31. */
enum { URING_SEND_MAX = 0x40000000 };

struct uring {
    struct io_uring ring;
    int wake_fd;         /* an eventfd: evq_wake() writes to it            */
    bool wake_armed;     /* the ring watches it                            */
    evq_op *uncancelled; /* cancels that found no room in the ring         */
};

/* ---- opening -------------------------------------------------------------------------------- */

/* All the ways in which a kernel, a container or a sandbox says that there is no io_uring. */
static int uring__open_error(int os_err)
{
    switch (os_err) {
    case ENOSYS: /* not built in, or a seccomp filter */
    case EPERM:  /* kernel.io_uring_disabled, or a seccomp filter */
    case EACCES:
    case EINVAL: /* a kernel before 6.1 does not know our flags */
        return EVQ_ENOTSUP;
    default:
        return evq_error_of(os_err);
    }
}

static int uring__open_in(struct uring *u)
{
    u->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (u->wake_fd < 0)
        return evq_error_of(errno);
    int err = io_uring_queue_init(URING_ENTRIES, &u->ring, URING_SETUP);
    if (err == 0)
        return EVQ_OK;
    (void)close(u->wake_fd); /* the error before it is the one that counts */
    return uring__open_error(-err);
}

static int uring_open(evq *q)
{
    struct uring *u = calloc(1, sizeof *u);
    int err = u != NULL ? uring__open_in(u) : EVQ_ENOMEM;
    if (err != EVQ_OK) {
        free(u);
        return err;
    }
    (void)io_uring_register_ring_fd(&u->ring); /* saves a look-up at each call; goes without, too */
    q->native = u;
    return EVQ_OK;
}

/* The watch on wake_fd is the one request that is left. It lends the kernel no memory. */
static void uring_destroy(evq *q)
{
    struct uring *u = q->native;
    io_uring_queue_exit(&u->ring);
    (void)close(u->wake_fd); /* nothing was written that close could fail to write */
    free(u);
}

/* ---- sockets -------------------------------------------------------------------------------- */

/* A request names its descriptor; nothing needs to be registered. */
static int uring_attach(evq *q, evq_sock *s)
{
    (void)q;
    s->priv.ready[EVQ_IN] = true; /* perhaps */
    return EVQ_OK;
}

static enum evq_progress uring_close(evq *q, evq_sock *s)
{
    (void)q;
    s->priv.close_op->os_err = evq_platform_close(s->fd);
    return EVQ_FINISHED;
}

/* ---- submitting ----------------------------------------------------------------------------- */

static bool op__is(const evq_op *op, unsigned stage)
{
    return (op->priv.native.words[WORD_STAGE] & stage) != 0;
}

static void op__set(evq_op *op, unsigned stage, bool on)
{
    uint64_t others = op->priv.native.words[WORD_STAGE] & ~(uint64_t)stage;
    op->priv.native.words[WORD_STAGE] = on ? others | stage : others;
}

/* An empty SQE, or NULL: the ring is full, and the kernel has no memory to take anything from
 * it. */
static struct io_uring_sqe *uring__sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe == NULL) {
        (void)io_uring_submit(&u->ring); /* if it fails there still is no SQE, and that is seen */
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

//! [prepare_recv]
/* Without IORING_RECVSEND_POLL_FIRST the kernel tries to receive first: a wasted try, unless the
 * last completion said that there is more. */
static void uring__prepare_recv(struct io_uring_sqe *sqe, const evq_op *op)
{
    size_t len = op->priv.arg.in.len;
    io_uring_prep_recv(sqe, op->sock->fd, op->priv.arg.in.buf,
                       len < EVQ_RECV_MAX ? len : EVQ_RECV_MAX, 0);
    if (!op->sock->priv.ready[EVQ_IN])
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}
//! [prepare_recv]

static void uring__prepare_send(struct io_uring_sqe *sqe, const evq_op *op)
{
    const char *rest = (const char *)op->priv.arg.out.buf + op->nbytes;
    size_t len = op->priv.arg.out.len - op->nbytes;
    io_uring_prep_send(sqe, op->sock->fd, rest, len < URING_SEND_MAX ? len : URING_SEND_MAX,
                       MSG_NOSIGNAL | MSG_WAITALL);
}

static void uring__prepare(struct io_uring_sqe *sqe, const evq_op *op)
{
    int fd = op->sock->fd;
    if (op__is(op, STAGE_POLLING)) {
        io_uring_prep_poll_add(sqe, fd, evq_direction(op) == EVQ_OUT ? POLLOUT : POLLIN);
        return;
    }
    switch (op->kind) {
    case EVQ_ACCEPT:
        io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        break;
    case EVQ_CONNECT:
        io_uring_prep_connect(sqe, fd, op->priv.arg.to.addr, (socklen_t)op->priv.arg.to.len);
        break;
    case EVQ_RECV:
        uring__prepare_recv(sqe, op);
        break;
    case EVQ_SEND:
        uring__prepare_send(sqe, op);
        break;
    default: /* EVQ_READABLE: the end and errors are reported whether asked for or not */
        io_uring_prep_poll_add(sqe, fd, POLLIN);
        break;
    }
}

//! [submit]
static enum evq_progress uring__submit(evq *q, evq_op *op)
{
    struct io_uring_sqe *sqe = uring__sqe(q->native);
    if (sqe == NULL) {
        evq_op_fail(op, ENOMEM);
        return EVQ_FINISHED;
    }
    uring__prepare(sqe, op);
    io_uring_sqe_set_data(sqe, op);
    return EVQ_PENDING;
}
//! [submit]

static enum evq_progress uring_start(evq *q, evq_op *op)
{
    op->priv.native.words[WORD_TRIES] = 0;
    op->priv.native.words[WORD_STAGE] = 0;
    return uring__submit(q, op);
}

/* ---- cancelling ----------------------------------------------------------------------------- */

//! [cancel]
static bool uring__submit_cancel(struct uring *u, evq_op *op)
{
    struct io_uring_sqe *sqe = uring__sqe(u);
    if (sqe == NULL)
        return false;
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data64(sqe, (uintptr_t)op | URING_CANCEL);
    op__set(op, STAGE_CANCEL_ASKED, true);
    return true;
}
//! [cancel]

/* The op may be in the ring still, not submitted: its SQE is in front of the cancel. */
static void uring__cancel(struct uring *u, evq_op *op)
{
    if (uring__submit_cancel(u, op))
        return;
    op__set(op, STAGE_CANCEL_MISSING, true);
    op->priv.native.pointers[WORD_NEXT] = u->uncancelled;
    u->uncancelled = op;
}

static enum evq_progress uring_cancel(evq *q, evq_op *op)
{
    uring__cancel(q->native, op);
    return EVQ_PENDING;
}

static void uring__cancel_missing(struct uring *u)
{
    evq_op *op;
    while ((op = u->uncancelled) != NULL && uring__submit_cancel(u, op)) {
        u->uncancelled = op->priv.native.pointers[WORD_NEXT];
        op__set(op, STAGE_CANCEL_MISSING, false);
    }
}

/* It is over before its cancel found room. Rare, so the list is short. */
static void uring__forget_missing(struct uring *u, evq_op *op)
{
    evq_op *before = NULL, *at = u->uncancelled;
    while (at != op) {
        before = at;
        at = at->priv.native.pointers[WORD_NEXT];
    }
    if (before == NULL)
        u->uncancelled = op->priv.native.pointers[WORD_NEXT];
    else
        before->priv.native.pointers[WORD_NEXT] = op->priv.native.pointers[WORD_NEXT];
    op__set(op, STAGE_CANCEL_MISSING, false);
}

/* ---- completions: what a result means ------------------------------------------------------- */

/* FINISHED: the op is over. PENDING: it is to be submitted once more. */

static enum evq_progress result__again(evq_op *op, bool polling)
{
    op__set(op, STAGE_POLLING, polling);
    if ((op->priv.flags & EVQ_OP_CANCELLING) == 0)
        return EVQ_PENDING;
    op->err = EVQ_ECANCELED;
    return EVQ_FINISHED;
}

static enum evq_progress result__retry(evq_op *op, int os_err, bool polling)
{
    if (++op->priv.native.words[WORD_TRIES] <= EVQ_ACCEPT_RETRIES)
        return result__again(op, polling);
    evq_op_fail(op, os_err);
    return EVQ_FINISHED;
}

/* A 0 is not proof enough: up to Linux 6.9 it may mean that a spurious wake-up found no error
 * (commit "handle EINPROGRESS correct"; later kernels call connect() again). And a connect that
 * goes on is not to be called again, it is to be waited for. */
static enum evq_progress result__connect(evq_op *op, int os_err)
{
    bool look = os_err == 0 || os_err == EINPROGRESS || os_err == EALREADY || os_err == EINTR;
    if (look)
        os_err = evq_connect_result(op->sock->fd);
    if (os_err == EINPROGRESS)
        return result__retry(op, ENOTCONN, true);
    evq_op_fail(op, os_err);
    return EVQ_FINISHED;
}

static enum evq_progress result__error(evq_op *op, int os_err)
{
    switch (os_err) {
    case ECANCELED:
        op->err = EVQ_ECANCELED;
        return EVQ_FINISHED;
    case EINTR: /* also how a cancel ends what a worker of the kernel had begun */
        return result__again(op, false);
    case EAGAIN:
        return result__again(op, true);
    default:
        if (op->kind == EVQ_ACCEPT && evq_accept_skips(os_err))
            return result__retry(op, os_err, false);
        if (op->kind == EVQ_SEND)
            os_err = evq_send_os_err(op->sock->fd, os_err);
        evq_op_fail(op, os_err);
        return EVQ_FINISHED;
    }
}

static enum evq_progress result__sent(evq_op *op, size_t n)
{
    op->nbytes += n;
    return op->nbytes < op->priv.arg.out.len ? result__again(op, false) : EVQ_FINISHED;
}

/* What woke the request is no state: bytes and urgent data wake it in one way, so urgent data alone
 * ends a wait for POLLIN (liburing issue 100). So the state is looked at. */
static enum evq_progress result__readable(evq_op *op)
{
    struct pollfd look = {.fd = op->sock->fd, .events = POLLIN};
    int n = poll(&look, 1, 0);
    if (n == 0 || (n < 0 && errno == EINTR))
        return result__again(op, false);
    if (n > 0)
        op->sock->priv.ready[EVQ_IN] = true;
    else
        evq_op_fail(op, errno); /* ENOMEM */
    return EVQ_FINISHED;
}

static enum evq_progress result__of(evq_op *op, int res, unsigned flags)
{
    if (op->kind == EVQ_CONNECT && res != -ECANCELED)
        return result__connect(op, res < 0 ? -res : 0);
    if (res < 0)
        return result__error(op, -res);
    if (op__is(op, STAGE_POLLING))
        return result__again(op, false);
    switch (op->kind) {
    case EVQ_ACCEPT:
        op->accepted = res;
        return EVQ_FINISHED;
    case EVQ_RECV:
        op->nbytes = (size_t)res;
        op->sock->priv.ready[EVQ_IN] = (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
        return EVQ_FINISHED;
    case EVQ_SEND:
        return result__sent(op, (size_t)res);
    default: /* EVQ_READABLE: which of the events it was, the recv will tell */
        return result__readable(op);
    }
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void uring__arm_wake(struct uring *u)
{
    struct io_uring_sqe *sqe = u->wake_armed ? NULL : uring__sqe(u);
    if (sqe == NULL)
        return;
    io_uring_prep_poll_add(sqe, u->wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, URING_WAKE);
    u->wake_armed = true;
}

/* The number is how many wakes there were; one is enough. */
static void uring__woken(evq *q)
{
    struct uring *u = q->native;
    uint64_t wakes;
    u->wake_armed = false;
    while (read(u->wake_fd, &wakes, sizeof wakes) < 0 && errno == EINTR)
        ; /* an eventfd is read at once: no loop in practice */
    evq_woken(q);
}

//! [complete]
static void uring__translate(evq *q, evq_op *op, int res, unsigned flags)
{
    if (result__of(op, res, flags) == EVQ_FINISHED || uring__submit(q, op) == EVQ_FINISHED)
        evq_op_finish(op);
}
//! [complete]

//! [cancelled]
/* The op's own completion. */
static void uring__complete(evq *q, evq_op *op, const struct io_uring_cqe *cqe)
{
    if (op__is(op, STAGE_CANCEL_MISSING))
        uring__forget_missing(q->native, op);
    if (!op__is(op, STAGE_CANCEL_ASKED)) {
        uring__translate(q, op, cqe->res, cqe->flags);
        return;
    }
    op__set(op, STAGE_OVER, true);
    op->priv.native.words[WORD_RESULT] = (uint64_t)cqe->flags << 32 | (uint32_t)cqe->res;
}

/* The completion of its cancel. 0: the op's own will say so. An error says that the kernel did
 * not find it; if it is not over, it was between two of the kernel's lists. */
static void uring__cancelled(evq *q, evq_op *op, int res)
{
    uint64_t result = op->priv.native.words[WORD_RESULT];
    op__set(op, STAGE_CANCEL_ASKED, false);
    if (op__is(op, STAGE_OVER))
        uring__translate(q, op, (int)(uint32_t)result, (unsigned)(result >> 32));
    else if (res < 0)
        uring__cancel(q->native, op);
}
//! [cancelled]

static void uring__completion(evq *q, const struct io_uring_cqe *cqe)
{
    uint64_t data = io_uring_cqe_get_data64(cqe);
    evq_op *op = (evq_op *)(uintptr_t)(data & ~(uint64_t)URING_CANCEL);
    if (data == URING_WAKE)
        uring__woken(q);
    else if ((data & URING_CANCEL) != 0)
        uring__cancelled(q, op, cqe->res);
    else
        uring__complete(q, op, cqe);
}

/* One batch. The CQEs are given back when all are translated: submitting does not touch them. */
static unsigned uring__take(evq *q)
{
    struct uring *u = q->native;
    struct io_uring_cqe *cqe;
    unsigned head, taken = 0;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        uring__completion(q, cqe);
        if (++taken == EVQ_BATCH)
            break;
    }
    io_uring_cq_advance(&u->ring, taken);
    return taken;
}

//! [enter]
/* One call: submits, and waits for one completion. There always is a time, since without one
 * liburing would go on waiting after a signal if that very call had submitted something. */
static int uring__enter(struct uring *u, int64_t timeout_ns)
{
    if (timeout_ns == 0)
        return io_uring_submit_and_get_events(&u->ring);
    if (timeout_ns < 0 || timeout_ns > URING_FOREVER_NS)
        timeout_ns = URING_FOREVER_NS;
    struct __kernel_timespec span = {.tv_sec = timeout_ns / 1000000000,
                                     .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_cqe *first;
    return io_uring_submit_and_wait_timeout(&u->ring, &first, 1, &span, NULL);
}
//! [enter]

static int uring_wait(evq *q, int64_t timeout_ns)
{
    struct uring *u = q->native;
    uring__cancel_missing(u);
    uring__arm_wake(u);
    if (!u->wake_armed || u->uncancelled != NULL)
        timeout_ns = 0; /* no room in the ring: who sleeps now, sleeps through wakes and cancels */
    int ret = uring__enter(u, timeout_ns);
    unsigned taken = uring__take(q);
    if (taken > 0 || ret == -ETIME || (timeout_ns == 0 && ret >= 0))
        return EVQ_WAITED;
    switch (ret) {
    case -EAGAIN: /* no memory for a request, or too many completions not taken yet: try again */
    case -EBUSY:
    case -EINTR:
        return EVQ_INTERRUPTED;
    default: /* a count, nothing came: a signal, too. The call prefers to tell what it submitted. */
        return ret >= 0 ? EVQ_INTERRUPTED : evq_error_of(-ret);
    }
}

/* write() is async-signal-safe, a submission is not: it would race with the one that was
 * interrupted. */
static void uring_wake(evq *q)
{
    const struct uring *u = q->native;
    const uint64_t one = 1;
    while (write(u->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ; /* EAGAIN: it is at its maximum, and will be read */
}

const struct evq_backend evq_backend_uring = {
    .name = "io_uring",
    .open = uring_open,
    .destroy = uring_destroy,
    .attach = uring_attach,
    .start = uring_start,
    .cancel = uring_cancel,
    .close = uring_close,
    .wait = uring_wait,
    .wake = uring_wake,
};
