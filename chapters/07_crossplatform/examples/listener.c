#include "listener.h"

#include <assert.h>

static const uint64_t NS_PER_MS = 1000000;

int listener_open(struct listener *listener, evq *queue, evq_fd fd)
{
    *listener = (struct listener){.state = LISTENER_ACCEPTING, .queue = queue};
    int err = evq_attach(queue, &listener->sock, fd);
    for (int i = 0; err == EVQ_OK && i < LISTENER_ACCEPTS; i++)
        evq_accept(&listener->sock, &listener->accept[i]);
    return err;
}

bool listener_owns(const struct listener *listener, const evq_op *op)
{
    return op->sock == &listener->sock || op == &listener->rest;
}

/* ---- accepting, and resting ---- */

//! [failed]
/* Out of descriptors, most likely. Those that wait behind this one will fail, too: one rest for
 * all. */
static void accept_failed(struct listener *listener, const evq_op *op)
{
    assert(op->err != EVQ_EINVAL); /* it does listen: a mistake of ours */
    if (listener->state == LISTENER_CLOSING)
        return;
    listener->is_idle[op - listener->accept] = true;
    if (listener->state == LISTENER_RESTING)
        return;
    listener->state = LISTENER_RESTING;
    evq_timer(listener->queue, &listener->rest,
              evq_now(listener->queue) + LISTENER_REST_MS * NS_PER_MS);
}

static void rest_is_over(struct listener *listener)
{
    if (listener->state != LISTENER_RESTING)
        return;
    listener->state = LISTENER_ACCEPTING;
    for (int i = 0; i < LISTENER_ACCEPTS; i++) {
        if (listener->is_idle[i])
            evq_accept(&listener->sock, &listener->accept[i]);
        listener->is_idle[i] = false;
    }
}
//! [failed]

//! [accepted]
static evq_fd accepted(struct listener *listener, evq_op *op)
{
    evq_fd fd = op->accepted;
    if (listener->state == LISTENER_CLOSING) { /* it was faster than the close */
        evq_tcp_close(fd);
        return EVQ_NO_FD;
    }
    evq_accept(&listener->sock, op); /* from here on op is the queue's again */
    (void)evq_tcp_nodelay(fd);       /* fails for a peer that is gone: the first recv will tell */
    return fd;
}
//! [accepted]

evq_fd listener_done(struct listener *listener, evq_op *op)
{
    if (op->kind == EVQ_ACCEPT && op->err == EVQ_OK)
        return accepted(listener, op);
    if (op->kind == EVQ_ACCEPT)
        accept_failed(listener, op);
    else if (op->kind == EVQ_TIMER)
        rest_is_over(listener);
    return EVQ_NO_FD;
}

void listener_go_on(struct listener *listener)
{
    if (listener->state == LISTENER_RESTING)
        (void)evq_cancel(listener->queue, &listener->rest); /* it comes back at once: that is all */
}

void listener_close(struct listener *listener)
{
    if (listener->state == LISTENER_RESTING)
        (void)evq_cancel(listener->queue, &listener->rest);
    listener->state = LISTENER_CLOSING;
    evq_close(&listener->sock, &listener->close);
}
