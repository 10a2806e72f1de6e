/*
 * kq_lab: what the labs about kqueue have in common, beside lab.h.
 *
 *     kq_queue()      a new queue
 *     kq_change()     EV_SET as a value
 *     kq_try()        applies one change, returns 0 or the error
 *     kq_must()       applies one change that has to succeed
 *     kq_wait()       waits for events; kq_next() for one
 *     kq_finding()    the last line: a finding of this kernel, or of an emulation of it
 *
 * The four systems agree on what kqueue does, but not on the types of struct kevent, and not on
 * every filter. This header is the only place in the labs that knows. The labs apply a change and
 * wait for events in two calls, so that each line of them shows one thing; a server does both in
 * one call (lab many_changes, and the steps of this chapter).
 */
#ifndef KQ_LAB_H
#define KQ_LAB_H

#include <sys/types.h>

#include <sys/event.h>
#include <sys/time.h>

#include "lab.h"

/* ---- what differs between the systems -------------------------------------------------------- */

#ifdef __NetBSD__
typedef uint32_t kq_filter, kq_flags;
typedef size_t kq_count;
#else
typedef short kq_filter;
typedef unsigned short kq_flags;
typedef int kq_count;
#endif

/* Absent on old NetBSD and OpenBSD. The zeros are only there to compile; nobody uses them. */
#ifdef EVFILT_USER
enum { KQ_HAS_USER = 1 };
#else
enum { KQ_HAS_USER = 0 };
#define EVFILT_USER     0
#define NOTE_TRIGGER    0U
#define NOTE_FFOR       0U
#define NOTE_FFLAGSMASK 0U
#endif

/* macOS tells the status of a child only to those who ask for it. */
#ifndef NOTE_EXITSTATUS
#define NOTE_EXITSTATUS 0U
#endif

/**
 * The last line of a lab, like lab_finding(). Where kqueue is an emulation, it says so.
 *
 * @param real  what a real kernel showed, with system and version; NULL: nobody has seen it yet
 */
#ifdef KQUEUE_EMULATED
#define kq_finding(real, ...) lab_finding_emulated(real, __VA_ARGS__)
#else
#define kq_finding(real, ...) ((void)(real), lab_finding(__VA_ARGS__))
#endif

/* ---- changes --------------------------------------------------------------------------------- */

static inline int kq_queue(void)
{
    return lab_must(kqueue(), "kqueue");
}

static inline struct kevent kq_change(uintptr_t ident, kq_filter filter, kq_flags flags,
                                      unsigned fflags, int64_t data)
{
    struct kevent change;
    EV_SET(&change, ident, filter, flags, fflags, data, 0);
    return change;
}

/** The change for a descriptor, with nothing in fflags and data. */
static inline struct kevent kq_change_fd(int fd, kq_filter filter, kq_flags flags)
{
    return kq_change((uintptr_t)fd, filter, flags, 0, 0);
}

/** Puts a number into udata, which is a pointer on most systems and an integer on old NetBSD. */
static inline void kq_set_udata_number(struct kevent *change, uintptr_t number)
{
    memcpy(&change->udata, &number, sizeof change->udata);
}

static inline uintptr_t kq_udata_number(const struct kevent *event)
{
    uintptr_t number = 0;
    memcpy(&number, &event->udata, sizeof event->udata);
    return number;
}

/** Applies one change; 0 or the error. No room for events: so it never waits, and errno tells. */
static inline int kq_try(int kq, struct kevent change)
{
    struct timespec at_once = {0, 0};
    return kevent(kq, &change, 1, NULL, 0, &at_once) == -1 ? errno : 0;
}

/** The same for a change that has to succeed; else the lab ends in words. */
static inline void kq_must(int kq, struct kevent change)
{
    int err = kq_try(kq, change);
    errno = err;
    (void)lab_must(err == 0 ? 0 : -1, "kevent");
}

/** The outcome of kq_try() as a word. */
static inline const char *kq_word(int err)
{
    switch (err) {
    case 0:
        return "done";
    case EBADF:
        return "EBADF";
    case EINVAL:
        return "EINVAL";
    case ENOENT:
        return "ENOENT";
    case ESRCH:
        return "ESRCH";
    default:
        return "another error";
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

/** Waits for events, at most `wait_ms`, whatever signals come; returns how many there are. */
static inline int kq_wait(int kq, struct kevent *events, kq_count room, int wait_ms)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)wait_ms * 1000000;
    for (;;) {
        int64_t left_ns = deadline_ns - lab_now_ns();
        struct timespec left = {0, 0};
        if (left_ns > 0) {
            left.tv_sec = (time_t)(left_ns / 1000000000);
            left.tv_nsec = (long)(left_ns % 1000000000);
        }
        int n = kevent(kq, NULL, 0, events, room, &left);
        if (n != -1 || errno != EINTR)
            return lab_must(n, "kevent");
    }
}

/** The next event; false when none comes in `wait_ms`. */
static inline bool kq_next(int kq, struct kevent *event, int wait_ms)
{
    return kq_wait(kq, event, 1, wait_ms) == 1;
}

/** The word for a figure that is yes or no. */
static inline const char *kq_yes(bool is_so)
{
    return is_so ? "yes" : "no";
}

#endif
