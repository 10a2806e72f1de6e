/*
 * Exercise 07.4, Your own back end: the answer that looks right, and is not.
 *
 * What poll() has found is noted in a list. wait() hands the list to the reactor, and comes back as
 * soon as an operation is finished: why should the program wait for the others? They are kept, and
 * come next time, before poll() is asked again.
 */
#include "evq_pipe.h"
#include "evq_platform.h"
#include "evq_reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64, WAKE_PLACE = 0, FIRST_PLACE = 1 };

/* What poll() has said of a socket. */
struct ready {
    evq_sock *sock;
    unsigned what;
};

struct poll {
    int wake_fds[2];
    size_t count, room; /* of all arrays */
    struct pollfd *fds;
    evq_sock **socks;
    struct ready *ready; /* what was found, and which of it comes next */
    size_t ready_count, ready_next;
};

static struct poll *poll_of(evq *q)
{
    return q->native;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int poll__grow(struct poll *poll)
{
    size_t room = poll->room > 0 ? poll->room * 2 : FIRST_ROOM;
    struct pollfd *fds = realloc(poll->fds, room * sizeof *fds);
    if (fds == NULL)
        return EVQ_ENOMEM;
    poll->fds = fds; /* the old one is gone, whatever happens next */
    evq_sock **socks = realloc(poll->socks, room * sizeof(evq_sock *));
    if (socks == NULL)
        return EVQ_ENOMEM;
    poll->socks = socks;
    struct ready *ready = realloc(poll->ready, room * sizeof *ready);
    if (ready == NULL)
        return EVQ_ENOMEM;
    poll->ready = ready;
    poll->room = room;
    return EVQ_OK;
}

static void poll__free(struct poll *poll)
{
    free(poll->fds);
    free(poll->socks);
    free(poll->ready);
    free(poll);
}

static void poll_destroy(evq *q)
{
    evq_pipe_close(poll_of(q)->wake_fds);
    poll__free(poll_of(q));
}

static int poll_open(evq *q)
{
    struct poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL)
        return EVQ_ENOMEM;
    int err = poll__grow(poll);
    if (err == EVQ_OK && evq_pipe_open(poll->wake_fds) < 0)
        err = evq_error_of(errno);
    if (err != EVQ_OK) {
        poll__free(poll);
        return err;
    }
    poll->fds[WAKE_PLACE] = (struct pollfd){.fd = poll->wake_fds[0], .events = POLLIN};
    poll->count = FIRST_PLACE;
    q->native = poll;
    return EVQ_OK;
}

/* ---- sockets -------------------------------------------------------------------------------- */

static int poll_attach(evq *q, evq_sock *s)
{
    struct poll *poll = poll_of(q);
    if (poll->count == poll->room && poll__grow(poll) != EVQ_OK)
        return EVQ_ENOMEM;
    evq_reactor_attach(s);
    s->priv.slot = (unsigned)poll->count;
    poll->socks[poll->count++] = s;
    return EVQ_OK;
}

/* Nothing of an op is in the kernel: it was only waiting for an event. */
static enum evq_progress poll_cancel(evq *q, evq_op *op)
{
    (void)q;
    (void)op;
    return EVQ_FINISHED;
}

/* The last one takes the place that becomes free, and has to be told. */
static enum evq_progress poll_close(evq *q, evq_sock *s)
{
    struct poll *poll = poll_of(q);
    evq_sock *last = poll->socks[--poll->count];
    poll->socks[s->priv.slot] = last;
    last->priv.slot = s->priv.slot;
    s->priv.close_op->os_err = evq_platform_close(s->fd);
    return EVQ_FINISHED;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool poll__is_wanted(const evq_sock *s, int direction)
{
    const evq_op *head = s->priv.fifo[direction].first;
    return head != NULL && head->priv.state == EVQ_STARTED;
}

static void poll__ask_for_all(struct poll *poll)
{
    for (size_t place = FIRST_PLACE; place < poll->count; place++) {
        const evq_sock *s = poll->socks[place];
        int events =
            (poll__is_wanted(s, EVQ_IN) ? POLLIN : 0) | (poll__is_wanted(s, EVQ_OUT) ? POLLOUT : 0);
        poll->fds[place] = (struct pollfd){.fd = events != 0 ? s->fd : -1, .events = (short)events};
    }
}

/* The end and an error are for both directions: only the call itself can tell which it is. */
static unsigned poll__what(int revents)
{
    unsigned what = 0;
    if ((revents & ~POLLOUT) != 0)
        what |= EVQ_EVENT_READ;
    if ((revents & ~POLLIN) != 0)
        what |= EVQ_EVENT_WRITE;
    return what;
}

static int poll__look(evq *q, int64_t timeout_ns)
{
    struct poll *poll_ = poll_of(q);
    poll__ask_for_all(poll_);
    poll_->ready_count = poll_->ready_next = 0;
    int n = poll(poll_->fds, (nfds_t)poll_->count, evq_timeout_ms(timeout_ns));
    if (n < 0)
        return errno == EINTR ? EVQ_INTERRUPTED : evq_error_of(errno);
    if (n > 0 && poll_->fds[WAKE_PLACE].revents != 0) {
        evq_pipe_drain(poll_->wake_fds);
        evq_woken(q);
    }
    for (size_t place = FIRST_PLACE; n > 0 && place < poll_->count; place++)
        if (poll_->fds[place].revents != 0)
            poll_->ready[poll_->ready_count++] = (struct ready){
                .sock = poll_->socks[place], .what = poll__what(poll_->fds[place].revents)};
    return EVQ_WAITED;
}

/* As soon as there is something for the program, it gets it. */
static int poll_wait(evq *q, int64_t timeout_ns)
{
    struct poll *poll_ = poll_of(q);
    int how = EVQ_WAITED;
    if (poll_->ready_next == poll_->ready_count)
        how = poll__look(q, timeout_ns);
    while (poll_->ready_next < poll_->ready_count && q->done.first == NULL) {
        const struct ready *ready = &poll_->ready[poll_->ready_next++];
        evq_reactor_event(ready->sock, ready->what);
    }
    return how;
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
