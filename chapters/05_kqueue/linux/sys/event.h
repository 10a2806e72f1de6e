/*
 * sys/event.h: kqueue for Linux, over epoll. What a program includes.
 *
 * The names, the numbers and the fields are those of FreeBSD's kqueue(2), so that a program that
 * was written for it compiles unchanged:
 *
 *     cc -D_GNU_SOURCE -Ilinux program.c linux/[a-z]*.c -pthread
 *
 * README.md beside this folder says how it works and in what it differs. KQUEUE_EMULATED is the
 * only thing that a program can tell it by: no real kernel's header defines it.
 */
#ifndef SYS_EVENT_H
#define SYS_EVENT_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define KQUEUE_EMULATED 1

/** A change that a program asks for, or an event that it gets. */
struct kevent {
    uintptr_t ident;      /* a descriptor, a signal, a pid, or any number: the filter says */
    short filter;         /* EVFILT_...: with ident, the identity of an event              */
    unsigned short flags; /* EV_...                                                        */
    unsigned int fflags;  /* NOTE_...: flags of the filter                                 */
    int64_t data;         /* a value of the filter                                         */
    void *udata;          /* the program's own, handed back                                */
    uint64_t ext[4];      /* the program's own as well, handed back                        */
};

/* ---- filters -------------------------------------------------------------------------------- */

#define EVFILT_READ   (-1)  /* a descriptor can be read                    */
#define EVFILT_WRITE  (-2)  /* a descriptor can be written                 */
#define EVFILT_VNODE  (-4)  /* a file was written, renamed, deleted ...    */
#define EVFILT_PROC   (-5)  /* a process has ended                         */
#define EVFILT_SIGNAL (-6)  /* a signal was sent to this process           */
#define EVFILT_TIMER  (-7)  /* a time has come                             */
#define EVFILT_USER   (-11) /* the program itself has said so             */

/* ---- flags: what to do ---------------------------------------------------------------------- */

#define EV_ADD     0x0001 /* add, or change what is there; enables                    */
#define EV_DELETE  0x0002 /* remove                                                   */
#define EV_ENABLE  0x0004 /* report it                                                */
#define EV_DISABLE 0x0008 /* keep it, do not report it                                */

/* ---- flags: how it behaves, from its first EV_ADD on ----------------------------------------- */

#define EV_ONESHOT   0x0010 /* report once, then remove                                 */
#define EV_CLEAR     0x0020 /* report what happens, not what is: an edge                */
#define EV_RECEIPT   0x0040 /* answer this change with an EV_ERROR entry, data 0 = done */
#define EV_DISPATCH  0x0080 /* report once, then disable                                */
#define EV_KEEPUDATA 0x0200 /* leave udata as it is (not with EV_ADD)                   */

/* ---- flags: what comes back ------------------------------------------------------------------ */

#define EV_ERROR 0x4000 /* a change failed: data is its errno */
#define EV_EOF   0x8000 /* the other side is done             */

/* ---- fflags, filter by filter ---------------------------------------------------------------- */

#define NOTE_LOWAT     0x0001 /* READ: from `data` bytes on                 */
#define NOTE_FILE_POLL 0x0002 /* READ of a file: at its end, too, as poll() */

#define NOTE_DELETE      0x0001 /* VNODE: unlinked                              */
#define NOTE_WRITE       0x0002 /* VNODE: written, or an entry came or went     */
#define NOTE_EXTEND      0x0004 /* VNODE: grew                                  */
#define NOTE_ATTRIB      0x0008 /* VNODE: mode, owner, times ...                */
#define NOTE_LINK        0x0010 /* VNODE: the number of its links changed       */
#define NOTE_RENAME      0x0020 /* VNODE: got another name                      */
#define NOTE_REVOKE      0x0040 /* VNODE: its file system is gone               */
#define NOTE_OPEN        0x0080 /* VNODE: opened                                */
#define NOTE_CLOSE       0x0100 /* VNODE: closed, was open for reading only     */
#define NOTE_CLOSE_WRITE 0x0200 /* VNODE: closed, was open for writing          */
#define NOTE_READ        0x0400 /* VNODE: read                                  */

#define NOTE_EXIT     0x80000000U /* PROC: ended; data is the status of wait(2) */
#define NOTE_FORK     0x40000000U /* PROC: not here: ENOTSUP                    */
#define NOTE_EXEC     0x20000000U /* PROC: not here: ENOTSUP                    */
#define NOTE_TRACK    0x00000001U /* PROC: not here: ENOTSUP                    */
#define NOTE_TRACKERR 0x00000002U
#define NOTE_CHILD    0x00000004U

#define NOTE_SECONDS  0x0001 /* TIMER: data is in seconds; without a unit: milliseconds */
#define NOTE_MSECONDS 0x0002
#define NOTE_USECONDS 0x0004
#define NOTE_NSECONDS 0x0008
#define NOTE_ABSTIME  0x0010 /* TIMER: data is a moment, since 1970, not a span         */

#define NOTE_FFNOP      0x00000000U /* USER: leave the 24 flags as they are             */
#define NOTE_FFAND      0x40000000U /* USER: and them with these                        */
#define NOTE_FFOR       0x80000000U /* USER: or them with these                         */
#define NOTE_FFCOPY     0xc0000000U /* USER: replace them by these                      */
#define NOTE_FFCTRLMASK 0xc0000000U
#define NOTE_FFLAGSMASK 0x00ffffffU
#define NOTE_TRIGGER    0x01000000U /* USER: it has happened                            */

#define KQUEUE_CLOEXEC 0x00000001U /* kqueuex(): close on exec; here it always is       */

/* ---- functions ------------------------------------------------------------------------------- */

/** Fills in all of *kevp; ext becomes 0. kevp is evaluated once. */
#define EV_SET(kevp, ident_, filter_, flags_, fflags_, data_, udata_) \
    do {                                                              \
        struct kevent *ev_set_ = (kevp);                              \
        ev_set_->ident = (uintptr_t)(ident_);                         \
        ev_set_->filter = (short)(filter_);                           \
        ev_set_->flags = (unsigned short)(flags_);                    \
        ev_set_->fflags = (unsigned int)(fflags_);                    \
        ev_set_->data = (int64_t)(data_);                             \
        ev_set_->udata = (void *)(udata_);                            \
        ev_set_->ext[0] = ev_set_->ext[1] = 0;                        \
        ev_set_->ext[2] = ev_set_->ext[3] = 0;                        \
    } while (0)

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* a function and a struct of one name */
extern "C" {
#endif

/** A new, empty queue: a descriptor, close-on-exec; -1 with errno. */
int kqueue(void);
int kqueue1(int flags);          /* NetBSD's: 0 or O_CLOEXEC         */
int kqueuex(unsigned int flags); /* FreeBSD's: 0 or KQUEUE_CLOEXEC   */

/**
 * Applies the changes in order, then takes up to nevents events and waits for the first one until
 * the timeout ends (NULL: for ever; ignored when nevents is 0). Returns the number of entries that
 * it has filled in, or -1 with errno. Any number of threads may be in it at once.
 */
int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist,
           int nevents, const struct timespec *timeout);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif
