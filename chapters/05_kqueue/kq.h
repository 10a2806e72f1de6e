/*
 * kq: what FreeBSD, NetBSD, OpenBSD and macOS do not have in common, in one place.
 *
 * kqueue is nearly the same on the four systems. What differs:
 *
 *     the fields of struct kevent    their types: filter is short or uint32_t, data is int64_t or
 *                                    intptr_t, udata is void * or intptr_t; some have more fields
 *     nchanges and nevents           int, on NetBSD size_t
 *     close-on-exec                  kqueue1() and kqueuex() exist on some: fcntl() on all
 *     EVFILT_USER                    absent on older NetBSD and OpenBSD: a pipe does its work
 *     units of EVFILT_TIMER          NOTE_SECONDS and the like are absent on some, and macOS has no
 *                                    NOTE_MSECONDS; with fflags 0 it is milliseconds everywhere
 *     EVFILT_PROC, NOTE_EXIT         whether `data` holds the status: waitpid() tells it everywhere
 *     an EV_DELETE that is too late  EBADF where the descriptor is closed; macOS says ENOENT
 *
 * Where a program runs over an emulation, the header <sys/event.h> of that says so; kq_announce()
 * tells the user. Nothing else here or in the steps knows of it.
 *
 * Born in chapter 05.
 */
#ifndef KQ_H
#define KQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* before sys/event.h: older BSDs need it */

#include <sys/event.h>
#include <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The type in which kevent() takes numbers of changes and of events. */
#ifdef __NetBSD__
typedef size_t kq_count;
#else
typedef int kq_count;
#endif

/**
 * Makes a kqueue, close-on-exec.
 *
 * @return the queue, which the caller closes; or -1 with errno set: EMFILE, ENFILE, ENOMEM.
 * A child made by fork() does not have it (man 2 kqueue). Thread: any. Blocks: no.
 */
int kq_open(void);

/**
 * EV_SET, with each value in the type that its field has on this system.
 *
 * FreeBSD, NetBSD (since 10) and macOS replace udata at every change of a knote, OpenBSD only at an
 * EV_ADD; and fflags and data likewise, filter by filter. So every change repeats all three.
 */
void kq_set(struct kevent *change, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
            int64_t data, void *udata);

/** What the knote's udata holds, as a pointer on every system. */
void *kq_udata(const struct kevent *event);

/**
 * A time-out as kevent() takes it.
 *
 * @param ns    how long; a negative number is for ever
 * @param room  where it is put
 * @return room, or NULL, which is for ever
 */
const struct timespec *kq_timeout(int64_t ns, struct timespec *room);

/**
 * Prints one line, flushed: "kqueue: native", or "kqueue: emulated over epoll". It is the second
 * line of every program here, right behind "listening on ...".
 *
 * @return 0, or -1 with errno: ENOSPC, EPIPE, ...
 */
int kq_announce(void);

/** An event that the program makes itself: EVFILT_USER, or a pipe where that is absent. */
struct kq_user {
    int queue;
    void *udata;
    int ends[2]; /* of the pipe; unused with EVFILT_USER */
};

/**
 * Watches for it. The event comes with this udata; its ident and filter differ between systems, so
 * do not look at them.
 *
 * @param user  must not move; kq_user_close() before the queue is closed
 * @return 0, or -1 with errno set. Thread: any. Blocks: no.
 */
int kq_user_open(struct kq_user *user, int queue, void *udata);

/**
 * Makes the event happen. Several calls before it is taken may be one event.
 *
 * @return 0, or -1 with errno set. Thread: any. Blocks: no.
 */
int kq_user_trigger(const struct kq_user *user);

/** To be called when the event has come; else a pipe stays readable. Thread: any. Blocks: no. */
void kq_user_take(const struct kq_user *user);

/** Watches no longer. Thread: any, when no other one uses it any more. */
void kq_user_close(struct kq_user *user);

#ifdef __cplusplus
}
#endif

#endif
