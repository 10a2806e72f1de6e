/*
 * Exercise 07.4, Your own back end: where you begin.
 *
 * A backend is a table of eight functions; evq_backend.h says what each one promises. This one
 * opens, wakes and ends as it should, but it knows no socket: whatever has to wait for one waits
 * for ever. It takes the place of the library's own evq_poll.c.
 */
#include "evq_pipe.h"
#include "evq_platform.h"
#include "evq_reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct poll {
    int wake_fds[2];
};

static struct poll *poll_of(evq *q)
{
    return q->native;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void poll_destroy(evq *q)
{
    evq_pipe_close(poll_of(q)->wake_fds);
    free(poll_of(q));
}

static int poll_open(evq *q)
{
    struct poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL)
        return EVQ_ENOMEM;
    if (evq_pipe_open(poll->wake_fds) < 0) {
        int err = evq_error_of(errno);
        free(poll);
        return err;
    }
    q->native = poll;
    return EVQ_OK;
}

/* ---- sockets -------------------------------------------------------------------------------- */

static int poll_attach(evq *q, evq_sock *s)
{
    (void)q;
    evq_reactor_attach(s);
    return EVQ_OK;
}

static enum evq_progress poll_cancel(evq *q, evq_op *op)
{
    (void)q;
    (void)op;
    return EVQ_FINISHED;
}

static enum evq_progress poll_close(evq *q, evq_sock *s)
{
    (void)q;
    s->priv.close_op->os_err = evq_platform_close(s->fd);
    return EVQ_FINISHED;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* It waits for the pipe, and for nobody else. */
static int poll_wait(evq *q, int64_t timeout_ns)
{
    struct poll *poll_ = poll_of(q);
    struct pollfd wake = {.fd = poll_->wake_fds[0], .events = POLLIN};
    int n = poll(&wake, 1, evq_timeout_ms(timeout_ns));
    if (n < 0)
        return errno == EINTR ? EVQ_INTERRUPTED : evq_error_of(errno);
    if (n > 0) {
        evq_pipe_drain(poll_->wake_fds);
        evq_woken(q);
    }
    return EVQ_WAITED;
}

static void poll_wake(evq *q)
{
    evq_pipe_write(poll_of(q)->wake_fds);
}

const struct evq_backend evq_backend_poll = {
    .name = "poll",
    .open = poll_open,
    .destroy = poll_destroy,
    .attach = poll_attach,
    .start = evq_reactor_start,
    .cancel = poll_cancel,
    .close = poll_close,
    .wait = poll_wait,
    .wake = poll_wake,
};
