/*
 * evq_kqueue.c: the backend over kqueue (macOS and the BSDs; on Linux over the kqueue of chapter
 * 05).
 *
 * A socket is registered once: two knotes, READ and WRITE, with EV_CLEAR, and never changed. That
 * is what epoll's EPOLLET is: an event tells of something new. evq_reactor.c settles what it may be
 * relied on for.
 *
 * Facts that shape it (man 2 kqueue of the four systems):
 *
 *   - close() removes the knotes, silently. So the library finishes operations itself, before the
 *     close.
 *   - READ and WRITE of one socket are two events, and one batch may hold both. Nothing is freed
 *     while a batch is translated.
 *   - EV_EOF may come with data still there. So it is taken for "readable"; the recv finds the end.
 *   - Nothing tells of urgent data, and it cuts a read short: so a short read proves nothing here,
 *     and each socket is read to EAGAIN.
 *   - kevent() with room for events may return some while it registers. So registering gives no
 *     room.
 *   - After EINTR the changes may have been made or not. EV_ADD may be repeated, and EV_DELETE: a
 *     knote that stayed would point to a socket that is gone.
 *   - The types of struct kevent differ between the systems: all casts are in kqueue__add() and
 *     kqueue__sock_of().
 */
#include "evq_pipe.h"
#include "evq_platform.h"
#include "evq_reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h> /* before sys/event.h: older BSDs need it */
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

enum { LONGEST_WAIT_S = 1 << 20, CHANGE_TRIES = 16 };

/* Older versions of NetBSD keep udata as a number. */
#if defined(__NetBSD__) && __NetBSD_Version__ < 999001400
typedef intptr_t kqueue_udata;
#else
typedef void *kqueue_udata;
#endif

struct kqueue {
    int fd;
    int wake_fds[2];
};

static struct kqueue *kqueue_of(evq *q)
{
    return q->native;
}

/* Waits for nothing, and takes no events. */
static int kqueue__change(const struct kqueue *kq, const struct kevent *change)
{
    for (int i = 0; i < CHANGE_TRIES; i++)
        if (kevent(kq->fd, change, 1, NULL, 0, NULL) == 0)
            return 0;
        else if (errno != EINTR)
            return -1;
    return -1;
}

/* A NULL socket is the pipe. */
static int kqueue__add(const struct kqueue *kq, int fd, int filter, evq_sock *s)
{
    struct kevent change;
    EV_SET(&change, (uintptr_t)fd, filter, EV_ADD | EV_CLEAR, 0, 0, (kqueue_udata)s);
    return kqueue__change(kq, &change);
}

static evq_sock *kqueue__sock_of(const struct kevent *event)
{
    return (evq_sock *)event->udata;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void kqueue_destroy(evq *q)
{
    struct kqueue *kq = kqueue_of(q);
    evq_pipe_close(kq->wake_fds);
    (void)close(kq->fd); /* whatever it says: it is gone */
    free(kq);
}

static int kqueue__open_in(struct kqueue *kq)
{
    kq->wake_fds[0] = -1;
    kq->fd = kqueue();
    if (kq->fd < 0 || fcntl(kq->fd, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    if (evq_pipe_open(kq->wake_fds) < 0) {
        kq->wake_fds[0] = -1;
        return -1;
    }
    return kqueue__add(kq, kq->wake_fds[0], EVFILT_READ, NULL);
}

static int kqueue_open(evq *q)
{
    struct kqueue *kq = calloc(1, sizeof *kq);
    if (kq == NULL)
        return EVQ_ENOMEM;
    if (kqueue__open_in(kq) == 0) {
        q->native = kq;
        return EVQ_OK;
    }
    int err = evq_error_of(errno);
    if (kq->wake_fds[0] >= 0)
        evq_pipe_close(kq->wake_fds);
    if (kq->fd >= 0)
        (void)close(kq->fd);
    free(kq);
    return err;
}

/* ---- sockets -------------------------------------------------------------------------------- */

static void kqueue__remove(const struct kqueue *kq, int fd, int filter)
{
    struct kevent change;
    EV_SET(&change, (uintptr_t)fd, filter, EV_DELETE, 0, 0, (kqueue_udata)0);
    (void)kqueue__change(kq, &change); /* it is there, or nothing is lost */
}

//! [attach]
static int kqueue_attach(evq *q, evq_sock *s)
{
    const struct kqueue *kq = kqueue_of(q);
    evq_reactor_attach(s);
    s->priv.more = 1;
    if (kqueue__add(kq, s->fd, EVFILT_READ, s) < 0)
        return evq_error_of(errno);
    if ((s->priv.flags & EVQ_SOCK_LISTENS) != 0 || kqueue__add(kq, s->fd, EVFILT_WRITE, s) == 0)
        return EVQ_OK;
    int err = evq_error_of(errno);
    kqueue__remove(kq, s->fd, EVFILT_READ); /* the socket stays the caller's */
    return err;
}
//! [attach]

/* Nothing of an op is in the kernel: it was only waiting for an event. */
static enum evq_progress kqueue_cancel(evq *q, evq_op *op)
{
    (void)q;
    (void)op;
    return EVQ_FINISHED;
}

static enum evq_progress kqueue_close(evq *q, evq_sock *s)
{
    (void)q;
    s->priv.close_op->os_err = evq_platform_close(s->fd); /* and the knotes are gone */
    return EVQ_FINISHED;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static const struct timespec *kqueue__timeout(struct timespec *time, int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return NULL;
    int64_t seconds = timeout_ns / NS_PER_S;
    time->tv_sec = (time_t)(seconds < LONGEST_WAIT_S ? seconds : LONGEST_WAIT_S);
    time->tv_nsec = (long)(timeout_ns % NS_PER_S);
    return time;
}

//! [translate]
static void kqueue__translate(evq *q, const struct kevent *event)
{
    evq_sock *s = kqueue__sock_of(event);
    if (s == NULL) {
        evq_pipe_drain(kqueue_of(q)->wake_fds);
        evq_woken(q);
    } else if (event->filter == EVFILT_READ) {
        evq_reactor_event(s, EVQ_EVENT_READ | EVQ_EVENT_MORE);
    } else {
        evq_reactor_event(s, EVQ_EVENT_WRITE);
    }
}
//! [translate]

static int kqueue_wait(evq *q, int64_t timeout_ns)
{
    struct kevent events[EVQ_BATCH];
    struct timespec time;
    int n =
        kevent(kqueue_of(q)->fd, NULL, 0, events, EVQ_BATCH, kqueue__timeout(&time, timeout_ns));
    if (n < 0)
        return errno == EINTR ? EVQ_INTERRUPTED : evq_error_of(errno);
    for (int i = 0; i < n; i++)
        kqueue__translate(q, &events[i]);
    return EVQ_WAITED;
}

static void kqueue_wake(evq *q)
{
    evq_pipe_write(kqueue_of(q)->wake_fds);
}

const struct evq_backend evq_backend_kqueue = {
    .name = "kqueue",
    .open = kqueue_open,
    .destroy = kqueue_destroy,
    .attach = kqueue_attach,
    .start = evq_reactor_start,
    .cancel = kqueue_cancel,
    .close = kqueue_close,
    .wait = kqueue_wait,
    .wake = kqueue_wake,
};
