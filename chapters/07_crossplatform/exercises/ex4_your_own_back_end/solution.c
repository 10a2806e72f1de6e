/*
 * Exercise 07.4, Your own back end: a solution.
 *
 * poll() is given an array at each call. Place 0 is the pipe that wakes; the others belong to a
 * socket each, and `slot` of a socket says which one. Before each call every place is asked what
 * its socket waits for: poll() walks the array anyway, so one more walk changes nothing of its
 * cost. Who waits for nothing gets a negative number, which poll() skips; else HUP and ERR, which
 * nobody can switch off, would end each wait at once.
 *
 * After the call all that is ready is handed to the reactor, down to the last place, before wait()
 * returns. While that goes on no code of the program runs, so nothing can be closed or freed, and
 * what stands in the array is true of the socket beside it.
 */
#include "evq_pipe.h"
#include "evq_platform.h"
#include "evq_reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64, WAKE_PLACE = 0, FIRST_PLACE = 1 };

struct poll {
    int wake_fds[2];
    size_t count, room; /* of both arrays */
    struct pollfd *fds;
    evq_sock **socks;
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
    poll->room = room;
    return EVQ_OK;
}

static void poll__free(struct poll *poll)
{
    free(poll->fds);
    free(poll->socks);
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

static int poll_wait(evq *q, int64_t timeout_ns)
{
    struct poll *poll_ = poll_of(q);
    poll__ask_for_all(poll_);
    int n = poll(poll_->fds, (nfds_t)poll_->count, evq_timeout_ms(timeout_ns));
    if (n < 0)
        return errno == EINTR ? EVQ_INTERRUPTED : evq_error_of(errno);
    if (n > 0 && poll_->fds[WAKE_PLACE].revents != 0) {
        evq_pipe_drain(poll_->wake_fds);
        evq_woken(q);
    }
    for (size_t place = FIRST_PLACE; n > 0 && place < poll_->count; place++)
        if (poll_->fds[place].revents != 0)
            evq_reactor_event(poll_->socks[place], poll__what(poll_->fds[place].revents));
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
