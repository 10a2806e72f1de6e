/*
 * emulation: what the files of the emulation share. Programs include <sys/event.h>, not this.
 *
 *     kqueue.c              the queues of this process: opening, finding, sweeping, fork
 *     kevent.c              kevent(): changes, then a wait, then the harvest
 *     knotes.c              the table of a queue: (ident, filter) leads to a knote
 *     sets.c                the two epoll sets, and what close() did behind our back
 *     ready.c               the list of those knotes that epoll cannot report by itself
 *     filter_descriptor.c   EVFILT_READ, EVFILT_WRITE
 *     filter_file.c         EVFILT_VNODE, and EVFILT_READ of a regular file
 *     filter_timer.c, filter_signal.c, filter_proc.c, filter_user.c
 *
 * Life of a knote:
 *
 *     (none) --EV_ADD--> enabled --EV_DISABLE, or reported with EV_DISPATCH--> disabled
 *                        enabled <--EV_ENABLE, EV_ADD------------------------- disabled
 *     either --EV_DELETE, close of the ident, or reported with EV_ONESHOT--> (none)
 *
 * Locks, in the order in which they are taken: that of all queues (kqueue.c), that of one queue,
 * that of the signals (filter_signal.c). Nobody sleeps while holding one. All functions that take a
 * queue want it locked, unless they say otherwise. All names begin with emu_, for they are linked
 * into somebody else's program.
 */
#ifndef KQUEUE_EMULATION_H
#define KQUEUE_EMULATION_H

#include "sys/event.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct emu_queue;
struct emu_knote;

/** What a filter is. Each returns 0 or an errno; a report says whether there is something. */
struct emu_filter {
    short filter;
    bool is_descriptor; /* ident is one, and close() removes the knote */
    /** A new knote: opens what it needs, and watches. On failure the knote is dropped. */
    int (*attach)(struct emu_queue *queue, struct emu_knote *knote);
    /** A later change: takes over fflags and data. */
    int (*change)(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *change);
    /** Runs the filter: `bits` is what epoll said. Fills in fflags, data and EV_EOF. */
    bool (*report)(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                   struct kevent *event);
    /** Takes back what attach did, beyond the descriptor `fd`; may be NULL. */
    void (*detach)(struct emu_queue *queue, struct emu_knote *knote);
};

/** Which of the two epoll sets; the third, the bell, rings for the ready list. */
enum emu_set { EMU_READERS, EMU_WRITERS, EMU_SETS, EMU_BELL = EMU_SETS, EMU_SOURCES };

struct emu_knote {
    /* what the program said */
    uintptr_t ident;
    short filter;
    unsigned short flags; /* EV_CLEAR, EV_ONESHOT, EV_DISPATCH: as first added */
    unsigned int fflags;
    int64_t data;
    void *udata;
    uint64_t ext[4];
    bool enabled;

    /* its place in the table (knotes.c) */
    const struct emu_filter *ops;
    struct emu_knote *next; /* in the same bucket */
    uint32_t slot;

    /* its item in an epoll set (sets.c) */
    int fd;         /* what epoll watches: the ident itself, or a side descriptor; -1: nothing */
    bool is_side;   /* fd was opened by us, and is closed by us */
    bool is_in_set; /* there is an item */
    bool is_edge;   /* EPOLLET */
    bool is_judged; /* epoll's word is only a hint: the filter runs from the ready list */
    enum emu_set set;
    uint32_t bits; /* EPOLLIN ... */

    /* its place in the ready list (ready.c) */
    bool is_ready;
    struct emu_knote *ready_before, *ready_after;

    /* what its filter remembers */
    unsigned int seen;         /* NOTE_... that have happened and were not reported */
    int watch;                 /* inotify's number; -1: none                        */
    struct emu_knote *sibling; /* the next one that watches a file, or a signal     */
    struct emu_queue *owner;   /* of a signal                                       */
    unsigned long sent;        /* how many signals it has reported                  */
    dev_t device;              /* which file the ident was when it was added        */
    ino_t inode;
    off_t size;
    nlink_t links;
};

struct emu_slot {
    struct emu_knote *knote; /* NULL: free */
    uint32_t generation;     /* counts its tenants, so that old events find nobody */
    uint32_t next_free;
};

struct emu_queue {
    /* guarded by the lock of all queues */
    struct emu_queue *next;
    int users; /* threads that are in kevent()              */
    int fd;    /* the outer epoll: the program's descriptor; written under both locks */

    int bell; /* an eventfd, readable while the ready list is not empty; never changes */

    /* guarded by this */
    pthread_mutex_t lock;
    int sets[EMU_SETS]; /* the inner epolls */
    struct emu_slot *slots;
    uint32_t slots_count, slots_room, first_free;
    struct emu_knote **buckets;
    uint32_t buckets_count; /* a power of two */
    uint32_t knotes_count;
    struct emu_knote *ready_first, *ready_last;
    size_t ready_count;
    uint64_t happening;      /* a bit for each signal that was reported and not yet delivered */
    unsigned int turn;       /* which source is asked first */
    int inotify;             /* -1 until a file is watched  */
    struct emu_knote *files; /* the knotes that watch one   */
};

/* ---- kqueue.c: called without any lock ------------------------------------------------------- */

/** The queue behind a descriptor, kept alive until emu_release(). NULL with errno. */
struct emu_queue *emu_acquire(int fd);
void emu_release(struct emu_queue *queue);
/** Moves a new descriptor of ours to a high number; -1 stays -1, with its errno. */
int emu_out_of_the_way(int fd);

/* ---- knotes.c -------------------------------------------------------------------------------- */

struct emu_knote *emu_knote_find(struct emu_queue *queue, uintptr_t ident, short filter);
/** A new one, enabled unless EV_DISABLE, watching nothing yet. NULL: no memory. */
struct emu_knote *emu_knote_new(struct emu_queue *queue, const struct kevent *change,
                                const struct emu_filter *ops);
/** Removes it and all that belongs to it. */
void emu_knote_drop(struct emu_queue *queue, struct emu_knote *knote);
/** What stands in an epoll item, and back again; NULL for the tag of one that is gone. */
uint64_t emu_knote_tag(const struct emu_queue *queue, const struct emu_knote *knote);
struct emu_knote *emu_knote_by_tag(const struct emu_queue *queue, uint64_t tag);
/** Frees table and knotes, and closes their side descriptors; touches no epoll, no inotify. */
void emu_knotes_free(struct emu_queue *queue);

#define EMU_TAG_NOBODY  UINT64_MAX       /* an item that only asks a question   */
#define EMU_TAG_INOTIFY (UINT64_MAX - 1) /* the inotify instance of the queue   */

/* ---- sets.c ---------------------------------------------------------------------------------- */

/** epoll_ctl(), as a question that may be asked of a number that another thread is closing. */
struct epoll_event;
int emu_epoll_ctl(int epoll, int op, int fd, struct epoll_event *item);

/** Makes the item in the epoll set what the knote says. 0 or an errno. */
int emu_arm(struct emu_queue *queue, struct emu_knote *knote);
/** Takes the item away; closes a side descriptor. */
void emu_disarm(struct emu_queue *queue, struct emu_knote *knote);
/** False: the program has closed the ident since it was added. */
bool emu_is_open(struct emu_queue *queue, struct emu_knote *knote);
/** Drops those knotes of this descriptor that were closed. */
void emu_forget_closed(struct emu_queue *queue, uintptr_t ident);
/** Puts all items into a new epoll, because the old one holds some that nobody can remove. */
void emu_rebuild(struct emu_queue *queue, enum emu_set set);

/* ---- ready.c --------------------------------------------------------------------------------- */

/** Its filter is to be run at the next harvest. */
void emu_ready_add(struct emu_queue *queue, struct emu_knote *knote);
void emu_ready_remove(struct emu_queue *queue, struct emu_knote *knote);

/* ---- filters --------------------------------------------------------------------------------- */

extern const struct emu_filter emu_filter_read, emu_filter_write, emu_filter_vnode, emu_filter_proc,
    emu_filter_signal, emu_filter_timer, emu_filter_user;

/** What every change does that has no better idea. */
int emu_change_plainly(struct emu_queue *queue, struct emu_knote *knote,
                       const struct kevent *change);
/** The errno of a failed call that opens something; too many of them: ENOMEM, as in kqueue(2). */
int emu_error_of_open(void);

/** Delivers these signals to this thread, now: handlers run. Without any lock. */
void emu_signals_let_happen(uint64_t happening);
/** Puts those that watch a signal which another queue has taken into the ready list. */
void emu_signals_collect(struct emu_queue *queue);

/** EVFILT_READ of a regular file: epoll refuses it, inotify does not. */
int emu_file_read_attach(struct emu_queue *queue, struct emu_knote *knote);
bool emu_file_read_report(struct emu_knote *knote, struct kevent *event);
void emu_file_detach(struct emu_queue *queue, struct emu_knote *knote);
/** Reads what inotify has to say, and puts those it concerns into the ready list. */
void emu_files_collect(struct emu_queue *queue);
/** True while the ident is still the file that it was. */
bool emu_file_is_same(const struct emu_knote *knote);

#endif
