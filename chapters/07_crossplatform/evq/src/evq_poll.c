/*
 * evq_poll.c: the backend over poll(), for every POSIX system.
 *
 * poll() is given an array at each call. It grows in attach() and nowhere else; a socket's `slot`
 * says where it stands. Place 0 is the pipe that wakes.
 *
 * poll() is level-triggered: it repeats what is true for as long as it is true, and reports HUP,
 * ERR and NVAL whether they were asked for or not. So a socket must be in the array only while an
 * operation waits for it; otherwise its place holds a negative number, which poll() skips (POSIX
 * poll()). An op that is parked puts its bit in, and takes it out when it is finished or cancelled:
 * two writes to memory, no call.
 *
 * NVAL, a descriptor that somebody else has closed, would be reported for ever. It counts as ready:
 * the operation then fails with EBADF, and with it goes the interest.
 */
#include "evq_pipe.h"
#include "evq_platform.h"
#include "evq_reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64 };

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
    poll->fds = fds;
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
    struct poll *poll = poll_of(q);
    evq_pipe_close(poll->wake_fds);
    poll__free(poll);
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
    poll->fds[0] = (struct pollfd){.fd = poll->wake_fds[0], .events = POLLIN};
    poll->count = 1;
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
    poll->fds[poll->count] = (struct pollfd){.fd = -1, .events = 0};
    poll->socks[poll->count++] = s;
    return EVQ_OK;
}

static void poll__watch(evq *q, const evq_sock *s, int events)
{
    struct pollfd *fd = &poll_of(q)->fds[s->priv.slot];
    fd->events = (short)events;
    fd->fd = events != 0 ? s->fd : -1;
}

static int poll__bit(int direction)
{
    return direction == EVQ_IN ? POLLIN : POLLOUT;
}

static int poll__events(evq *q, const evq_sock *s)
{
    return poll_of(q)->fds[s->priv.slot].events;
}

//! [start]
static enum evq_progress poll_start(evq *q, evq_op *op)
{
    evq_sock *s = op->sock;
    int bit = poll__bit(evq_direction(op));
    enum evq_progress progress = evq_reactor_start(q, op);
    int events = poll__events(q, s);
    int wanted = progress == EVQ_PENDING ? events | bit : events & ~bit;
    if (wanted != events)
        poll__watch(q, s, wanted);
    return progress;
}

static enum evq_progress poll_cancel(evq *q, evq_op *op)
{
    poll__watch(q, op->sock, poll__events(q, op->sock) & ~poll__bit(evq_direction(op)));
    return EVQ_FINISHED;
}
//! [start]

static enum evq_progress poll_close(evq *q, evq_sock *s)
{
    struct poll *poll = poll_of(q);
    size_t last = --poll->count;
    poll->fds[s->priv.slot] = poll->fds[last];
    poll->socks[s->priv.slot] = poll->socks[last];
    poll->socks[s->priv.slot]->priv.slot = s->priv.slot;
    s->priv.close_op->os_err = evq_platform_close(s->fd);
    return EVQ_FINISHED;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static unsigned poll__what(int events)
{
    unsigned what = 0;
    if ((events & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0)
        what |= EVQ_EVENT_READ;
    if ((events & (POLLOUT | POLLHUP | POLLERR | POLLNVAL)) != 0)
        what |= EVQ_EVENT_WRITE;
    return what;
}

/* Where an op waits on is where the head of a FIFO is started. */
static int poll__wanted(const evq_sock *s)
{
    int events = 0;
    for (int direction = EVQ_IN; direction < EVQ_DIRECTIONS; direction++) {
        const evq_op *head = s->priv.fifo[direction].first;
        if (head != NULL && head->priv.state == EVQ_STARTED)
            events |= poll__bit(direction);
    }
    return events;
}

//! [translate]
static void poll__translate(evq *q, size_t place)
{
    struct poll *poll = poll_of(q);
    evq_sock *s = poll->socks[place];
    evq_reactor_event(s, poll__what(poll->fds[place].revents));
    poll__watch(q, s, poll__wanted(s));
}
//! [translate]

/* All that is ready, however much: the next poll() would begin at the front again, and those at the
 * end of the array would starve. */
static int poll_wait(evq *q, int64_t timeout_ns)
{
    struct poll *poll_ = poll_of(q);
    int n = poll(poll_->fds, (nfds_t)poll_->count, evq_timeout_ms(timeout_ns));
    if (n < 0)
        return errno == EINTR ? EVQ_INTERRUPTED : evq_error_of(errno);
    if (n > 0 && poll_->fds[0].revents != 0) {
        evq_pipe_drain(poll_->wake_fds);
        evq_woken(q);
        n--;
    }
    for (size_t place = 1; n > 0 && place < poll_->count; place++) {
        if (poll_->fds[place].revents != 0) {
            poll__translate(q, place);
            n--;
        }
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
    .start = poll_start,
    .cancel = poll_cancel,
    .close = poll_close,
    .wait = poll_wait,
    .wake = poll_wake,
};
