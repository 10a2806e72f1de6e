/*
 * queue: one event queue for every system, in its smallest form. Steps 4, 5 and 6 are three ways to
 * make it; echo.c is a server on it that knows none of them.
 *
 *     idle --submit--> pending --done, failed or canceled--> finished --queue_wait--> idle
 *
 * From submit to queue_wait() an operation is lent: the op, its buffer and its socket must stay
 * where they are, and nobody touches them. Each comes back once. The caller owns all memory, and
 * sets it to zero before its first use. Everything but queue_wake() belongs to one thread.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//! [selector]
#ifdef _WIN32
#include <winsock2.h>
typedef SOCKET socket_fd;
typedef OVERLAPPED op_native; /* the kernel's part of an operation */
typedef HANDLE engine_fd;
#else
typedef int socket_fd;
typedef bool op_native; /* parked: it waits for an event */
typedef int engine_fd;
#endif
//! [selector]

#ifdef __cplusplus
extern "C" {
#endif

//! [types]
enum op_kind { OP_ACCEPT, OP_RECV, OP_SEND, OP_TIMER, OP_CLOSE };
enum direction { READING, WRITING };

struct op {
    enum op_kind kind;
    struct sock *sock;
    void *owner; /* the program's own */
    char *buf;
    size_t len;

    int err;            /* 0, ECANCELED, or the system's number */
    size_t nbytes;      /* how many have been moved             */
    socket_fd accepted; /* the program's from now on            */

    bool canceled;
    int64_t deadline_ns;
    op_native native;
    struct op *next;
};

struct op_list {
    struct op *first, **end;
};

struct sock {
    socket_fd fd;
    struct queue *queue;
    struct op *pending[2], *close; /* one for each direction, at most            */
    bool listens, ready[2];        /* ready: no EAGAIN since the last event      */
    size_t place;                  /* in the array of poll(): that is step 4's   */
};

struct queue {
    int64_t now_ns; /* as of the last wait */
    engine_fd engine;
    socket_fd wake[2];
    struct op_list done, tries; /* tries: they may go on, as far as we know */
    struct op *timers;          /* the nearest deadline first               */
};
//! [types]

/** @return 0, or -1 with errno set (Windows: GetLastError()). It lives as long as the process. */
int queue_open(struct queue *queue);

/** Takes fd over until sock_close() is done; on failure, -1, it stays the caller's. */
int queue_attach(struct queue *queue, struct sock *sock, socket_fd fd, bool listens);

/**
 * Hands an accept, a recv or a send over; one for each direction at a time. A recv is done with
 * some bytes, 0 of them at the end of the stream; a send with all of them. Never blocks.
 */
void queue_submit(struct op *op);

/** Asks for its end: it comes back with ECANCELED, or with its result if that was first. */
void queue_cancel(struct op *op);

/** Cancels what is pending. op comes back behind all others; the descriptor is closed then. */
void queue_close(struct sock *sock, struct op *op);

/** op comes back when the time has come, on the clock of queue->now_ns; never early. */
void queue_timer(struct queue *queue, struct op *op, int64_t deadline_ns);

/** The timer comes back with ECANCELED; one that is not pending is left alone. */
void queue_cancel_timer(struct queue *queue, struct op *op);

/** Waits. @return the next op that is finished; NULL after a wake or a signal: look around */
struct op *queue_wait(struct queue *queue);

/** Ends the queue_wait() that runs, or the next one. Thread: any; also in a signal handler. */
void queue_wake(struct queue *queue);

/* ---- used inside, by the steps ---- */

/** Puts op behind all others of the list. */
static inline void op_list_put(struct op_list *list, struct op *op)
{
    op->next = NULL;
    *list->end = op;
    list->end = &op->next;
}

#define TIMERS_NEVER INT64_MAX

/** Monotonic time. @return nanoseconds */
int64_t timers_now_ns(void);

/** @return how long until the nearest deadline: 0 when it has come, TIMERS_NEVER without one */
int64_t timers_wait_ns(const struct queue *queue);

/** In milliseconds, never early; -1 for TIMERS_NEVER, which is INFINITE on Windows, too. */
int timers_round_up_ms(int64_t ns);

/** Refreshes queue->now_ns; all timers that are due are finished. */
void timers_finish(struct queue *queue);

#ifdef __cplusplus
}
#endif

#endif
