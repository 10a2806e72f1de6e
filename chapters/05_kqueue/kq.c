#include "kq.h"

#include "nonblocking.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the queue ---- */

int kq_open(void)
{
    int queue = kqueue();
    if (queue >= 0)
        (void)fcntl(queue, F_SETFD, FD_CLOEXEC); /* cannot fail on a fresh descriptor */
    return queue;
}

int kq_announce(void)
{
#ifdef KQUEUE_EMULATED
    printf("kqueue: emulated over epoll\n");
#else
    printf("kqueue: native\n");
#endif
    return fflush(stdout) == 0 ? 0 : -1;
}

/* ---- struct kevent ---- */

//! [set]
/* _Generic picks by the type of the field: the value is cast to what stands on this system. */
void kq_set(struct kevent *change, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
            int64_t data, void *udata)
{
    *change = (struct kevent){.ident = ident, .fflags = fflags}; /* and 0 in fields of one system */
    /* clang-format off */
    change->filter = _Generic(change->filter, short: (short)filter, default: (uint32_t)filter);
    change->flags  = _Generic(change->flags, unsigned short: (unsigned short)flags, default: flags);
    change->data   = _Generic(change->data, int64_t: data, default: (intptr_t)data);
    change->udata  = _Generic(change->udata, void *: udata, default: (intptr_t)udata);
    /* clang-format on */
}

void *kq_udata(const struct kevent *event)
{
    return (void *)event->udata; /* void * already, but on older NetBSD */
}
//! [set]

const struct timespec *kq_timeout(int64_t ns, struct timespec *room)
{
    static const int64_t NS_PER_S = 1000000000;
    if (ns < 0)
        return NULL;
    *room = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return room;
}

/* ---- an event of one's own ---- */

//! [user]
#ifdef EVFILT_USER

/* The address makes the ident unlike that of any other one. */
static int user_change(const struct kq_user *user, unsigned flags, unsigned fflags)
{
    struct kevent change;
    kq_set(&change, (uintptr_t)user, EVFILT_USER, flags, fflags, 0, user->udata);
    return kevent(user->queue, &change, 1, NULL, 0, NULL);
}

int kq_user_open(struct kq_user *user, int queue, void *udata)
{
    *user = (struct kq_user){.queue = queue, .udata = udata, .ends = {-1, -1}};
    return user_change(user, EV_ADD | EV_CLEAR, NOTE_FFNOP);
}

int kq_user_trigger(const struct kq_user *user)
{
    return user_change(user, 0, NOTE_TRIGGER);
}

void kq_user_take(const struct kq_user *user)
{
    (void)user; /* EV_CLEAR has done it */
}

void kq_user_close(struct kq_user *user)
{
    (void)user_change(user, EV_DELETE, 0); /* ENOENT: it was never watched */
}

#else /* a pipe: a byte in it is the event */

static int prepare(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : nonblocking_set(fd);
}

int kq_user_open(struct kq_user *user, int queue, void *udata)
{
    struct kevent change;
    *user = (struct kq_user){.queue = queue, .udata = udata, .ends = {-1, -1}};
    if (pipe(user->ends) < 0)
        return -1;
    kq_set(&change, (uintptr_t)user->ends[0], EVFILT_READ, EV_ADD, 0, 0, udata);
    if (prepare(user->ends[0]) == 0 && prepare(user->ends[1]) == 0 &&
        kevent(queue, &change, 1, NULL, 0, NULL) == 0)
        return 0;
    int err = errno;
    kq_user_close(user);
    errno = err;
    return -1;
}

int kq_user_trigger(const struct kq_user *user)
{
    ssize_t written;
    do
        written = write(user->ends[1], "", 1);
    while (written < 0 && errno == EINTR);
    /* EAGAIN: the pipe is full of events that nobody has taken yet, so one will come. */
    return written < 0 && errno != EAGAIN && errno != EWOULDBLOCK ? -1 : 0;
}

void kq_user_take(const struct kq_user *user)
{
    char bytes[64];
    ssize_t got;
    do
        got = read(user->ends[0], bytes, sizeof bytes);
    while (got == (ssize_t)sizeof bytes || (got < 0 && errno == EINTR));
    /* A short count or EAGAIN: it is empty, or a new byte makes a new event. */
}

void kq_user_close(struct kq_user *user)
{
    for (int i = 0; i < 2; i++)
        if (user->ends[i] >= 0)
            (void)close(user->ends[i]); /* takes the knote with it */
}

#endif
//! [user]
