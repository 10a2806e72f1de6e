/*
 * filter_timer: EVFILT_TIMER, over a timerfd for each timer.
 *
 * A timerfd counts its expirations, and a read takes the count: that is EV_CLEAR by nature, and a
 * relative timer is always so. A timer with NOTE_ABSTIME fires once and, without EV_CLEAR, goes on
 * to say so: its timerfd is not read.
 */
#include "emulation.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static const int64_t NS_PER_S = 1000000000;

/* Nanoseconds in `data` units, as many as fit; -1: not one unit, but several. */
static int64_t in_ns(int64_t data, unsigned int unit)
{
    int64_t unit_ns = -1;
    switch (unit) {
    case NOTE_SECONDS:
        unit_ns = NS_PER_S;
        break;
    case 0: /* the default */
    case NOTE_MSECONDS:
        unit_ns = 1000000;
        break;
    case NOTE_USECONDS:
        unit_ns = 1000;
        break;
    case NOTE_NSECONDS:
        unit_ns = 1;
        break;
    default:
        return -1;
    }
    return data > INT64_MAX / unit_ns ? INT64_MAX : data * unit_ns;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static bool is_absolute(const struct emu_knote *knote)
{
    return (knote->fflags & NOTE_ABSTIME) != 0;
}

static int start(struct emu_queue *queue, struct emu_knote *knote, int64_t ns)
{
    struct itimerspec when = {.it_value = timespec_of(ns > 0 ? ns : 1)}; /* 0 would disarm it */
    if (!is_absolute(knote) && (knote->flags & EV_ONESHOT) == 0)
        when.it_interval = when.it_value;
    clockid_t clock = is_absolute(knote) ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    knote->fd = emu_out_of_the_way(timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC));
    if (knote->fd == -1)
        return emu_error_of_open();
    knote->is_side = true;
    knote->set = EMU_READERS;
    knote->bits = EPOLLIN;
    if (timerfd_settime(knote->fd, is_absolute(knote) ? TFD_TIMER_ABSTIME : 0, &when, NULL) == -1)
        return errno;
    return emu_arm(queue, knote);
}

static int attach(struct emu_queue *queue, struct emu_knote *knote)
{
    int64_t ns = in_ns(knote->data, knote->fflags & ~(unsigned int)NOTE_ABSTIME);
    if (knote->data < 0 || ns < 0)
        return EINVAL;
    if (knote->data == 0 && (knote->flags & EV_ONESHOT) == 0 && !is_absolute(knote))
        ns = in_ns(1, knote->fflags); /* kqueue(2): one unit */
    if (!is_absolute(knote))
        knote->flags |= EV_CLEAR;
    return start(queue, knote, ns);
}

/* EV_ADD starts it anew, and forgets what it has counted; other changes leave the time alone. */
static int change(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *wanted)
{
    if ((wanted->flags & EV_ADD) == 0)
        return emu_arm(queue, knote);
    if (wanted->data < 0 || in_ns(wanted->data, wanted->fflags & ~(unsigned int)NOTE_ABSTIME) < 0)
        return EINVAL; /* and the old time stays */
    emu_disarm(queue, knote);
    knote->fflags = wanted->fflags;
    knote->data = wanted->data;
    return attach(queue, knote);
}

static bool report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                   struct kevent *event)
{
    uint64_t expirations = 1;
    (void)queue;
    (void)bits;
    if ((knote->flags & EV_CLEAR) != 0 &&
        read(knote->fd, &expirations, sizeof expirations) != (ssize_t)sizeof expirations)
        return false; /* EAGAIN: started anew since epoll said so */
    event->data = (int64_t)expirations;
    return true;
}

const struct emu_filter emu_filter_timer = {
    .filter = EVFILT_TIMER, .attach = attach, .change = change, .report = report};
