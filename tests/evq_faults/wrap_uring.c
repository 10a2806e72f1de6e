/*
 * wrap_uring.c: the calls of liburing that the library makes, and completions to order.
 *
 * liburing makes its system calls by itself, where no linker reaches. So what fails here is
 * liburing's function, with the number that it would hand on. And a request is made to fail in the
 * ring: before it is submitted it becomes a NOP, and when the completion of that is there its
 * result becomes the one that was ordered. The kernel has then done nothing, as the error says
 * (INSTEAD); or the request is left as it is and only the result changes (AFTER). A request that
 * moves 1 byte (SHORT) asks for 1.
 *
 * The library takes completions out of the ring by itself, without a call. They stand in memory
 * that is shared with the kernel; that is where they are changed, after each call that may have
 * brought new ones.
 */
#include "faults.h"

#include <errno.h>
#include <liburing.h>
#include <stdint.h>
#include <string.h>

int __real_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __real_io_uring_register_ring_fd(struct io_uring *ring);
int __real_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned n, struct __kernel_timespec *timeout,
                                            sigset_t *mask);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_register_ring_fd(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned n, struct __kernel_timespec *timeout,
                                            sigset_t *mask);

/* As evq_uring.c has it: what a completion carries. */
enum { DATA_CANCEL = 1, DATA_WAKE = 2 };
enum { ORDERS_MAX = 64 };

static struct {
    uint64_t data;
    int res;
} ordered[ORDERS_MAX];
static size_t ordered_count;
static unsigned sqes_seen, cqes_seen;

/* ---- requests -------------------------------------------------------------------------------- */

static enum call request_of(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_ACCEPT:
        return CALL_CQE_ACCEPT;
    case IORING_OP_CONNECT:
        return CALL_CQE_CONNECT;
    case IORING_OP_RECV:
        return CALL_CQE_RECV;
    case IORING_OP_SEND:
        return CALL_CQE_SEND;
    case IORING_OP_ASYNC_CANCEL:
        return CALL_CQE_CANCEL;
    default:
        return sqe->user_data == DATA_WAKE ? CALL_CQE_WAKE : CALL_CQE_POLL;
    }
}

static void request_becomes_nop(struct io_uring_sqe *sqe)
{
    uint64_t data = sqe->user_data;
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_NOP;
    sqe->fd = -1;
    sqe->user_data = data;
}

static void request_judge(struct io_uring_sqe *sqe)
{
    enum call call = request_of(sqe);
    struct verdict verdict = faults_judge(call);
    faults_note_asked(call, sqe->len);
    if (!verdict.hit)
        return;
    if (verdict.manner == SHORT) {
        sqe->len = 1;
        sqe->msg_flags &= ~(unsigned)MSG_WAITALL;
        return;
    }
    if (ordered_count == ORDERS_MAX)
        return;
    ordered[ordered_count].data = sqe->user_data;
    ordered[ordered_count++].res = -verdict.err;
    if (verdict.manner == INSTEAD)
        request_becomes_nop(sqe);
}

/* Each request once, however often it has to be submitted until the kernel takes it. */
static void requests_judge(struct io_uring *ring)
{
    for (; sqes_seen != ring->sq.sqe_tail; sqes_seen++)
        request_judge(&ring->sq.sqes[sqes_seen & ring->sq.ring_mask]);
}

/* ---- completions ----------------------------------------------------------------------------- */

static struct io_uring_cqe *cqe_at(struct io_uring *ring, unsigned place)
{
    return &ring->cq.cqes[place & ring->cq.ring_mask];
}

static void completion_gets_its_result(struct io_uring_cqe *cqe)
{
    for (size_t i = 0; i < ordered_count; i++) {
        if (ordered[i].data == cqe->user_data) {
            if (cqe->res >= 0) /* a real error was first, and is used up */
                cqe->res = ordered[i].res;
            ordered[i] = ordered[--ordered_count];
            return;
        }
    }
}

/* One batch may hold an op and its cancel: which comes first is left to the kernel. */
static void completions_put_in_order(struct io_uring *ring, unsigned from, unsigned to)
{
    for (unsigned i = from; i != to; i++) {
        for (unsigned j = i + 1; j != to; j++) {
            struct io_uring_cqe *first = cqe_at(ring, i), *second = cqe_at(ring, j), swap;
            if ((first->user_data ^ second->user_data) != DATA_CANCEL)
                continue;
            if (!faults_swaps((first->user_data & DATA_CANCEL) != 0))
                continue;
            swap = *first;
            *first = *second;
            *second = swap;
        }
    }
}

static void completions_judge(struct io_uring *ring)
{
    unsigned to = __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE), from = cqes_seen;
    for (; cqes_seen != to; cqes_seen++)
        completion_gets_its_result(cqe_at(ring, cqes_seen));
    completions_put_in_order(ring, from, to);
}

/* ---- liburing -------------------------------------------------------------------------------- */

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    struct verdict verdict = faults_judge(CALL_RING_SETUP);
    ordered_count = 0;
    sqes_seen = cqes_seen = 0;
    return verdict.hit ? -verdict.err : __real_io_uring_queue_init(entries, ring, flags);
}

int __wrap_io_uring_register_ring_fd(struct io_uring *ring)
{
    struct verdict verdict = faults_judge(CALL_RING_REGISTER);
    return verdict.hit ? -verdict.err : __real_io_uring_register_ring_fd(ring);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    struct verdict verdict = faults_judge(CALL_RING_SUBMIT);
    if (verdict.hit)
        return -verdict.err;
    requests_judge(ring);
    int result = __real_io_uring_submit(ring);
    completions_judge(ring);
    return result;
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    struct verdict verdict = faults_judge(CALL_RING_LOOK);
    if (verdict.hit)
        return -verdict.err;
    requests_judge(ring);
    int result = __real_io_uring_submit_and_get_events(ring);
    completions_judge(ring);
    return result;
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned n, struct __kernel_timespec *timeout,
                                            sigset_t *mask)
{
    struct verdict verdict = faults_judge(CALL_RING_WAIT);
    if (verdict.hit)
        return -verdict.err;
    requests_judge(ring);
    int result = __real_io_uring_submit_and_wait_timeout(ring, cqe, n, timeout, mask);
    completions_judge(ring);
    return result;
}
