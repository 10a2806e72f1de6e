/*
 * conn: clients who get back what they send, over one queue. `echo` has one such set of clients,
 * `multicore` one in each thread.
 *
 * Each client has one operation, and is always waiting for exactly one thing. So there is no state
 * to be kept beside it: what the operation is *is* the state.
 *
 *                      there is something
 *         READABLE ------------------------> RECV
 *          ^  no buffer                       |  a buffer from the pool
 *          |                                  | n bytes
 *          |        all n are sent            v
 *          +-------------------------------- SEND
 *
 *     from each of them:  the end of the stream, an error, or conns_close()  -->  CLOSE  -->  freed
 *
 * One place more is there between READABLE and RECV: the *waiting room*. When ten thousand clients
 * speak in the same moment, ten thousand buffers would be lent at once. So at most CONN_RECEIVING
 * of them receive at the same time. The others wait, first in, first out, with an op that is idle.
 *
 * While a send is pending nothing is received: that is *back-pressure*. The peer who does not read
 * cannot make us hold more than one buffer. And when recv says 0 (the peer will send no more)
 * nothing is owed, so *half-close* comes out right by itself.
 */
#ifndef CONN_H
#define CONN_H

#include "evq.h"
#include "pool.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes that a client can hold, while it is doing something. No power of two, because messages
 *  often are: a recv that brings less than it could have also tells evq that nothing is left, and
 *  saves the call that would have found out. */
enum { CONN_BUF_SIZE = 20480 };

/** How many clients receive at the same time. A recv comes back soon, for it is known that there is
 *  something: so the waiting room empties itself, and nobody can hold a place in it up. */
enum { CONN_RECEIVING = 32 };

/** One client. */
struct conn {
    evq_sock sock;
    evq_op op;
    char *buf; /* from the pool; NULL while it is idle */
    struct conn *next, *prev;
    struct conn *next_waiting;
};

/** The clients of one queue. One thread's. */
struct conns {
    evq *queue;
    struct pool pool;
    struct conn *first;        /* all of them, to be closed in the end             */
    struct conn *waiting;      /* the first in the waiting room                    */
    struct conn **waiting_end; /* where the next one goes                          */
    size_t receiving;          /* how many receive at this moment                  */
    bool closing;
    uint64_t clients, bytes, refused; /* totals */
};

void conns_init(struct conns *conns, evq *queue);

/** Takes over a connected socket. False: there was no memory, the socket is closed. */
bool conns_add(struct conns *conns, evq_fd fd);

/** A client's op has come back. True: the client is gone, its descriptor is free again. */
bool conns_done(struct conns *conns, evq_op *op);

/** Closes all clients, now and from now on; their ops still come back. */
void conns_close(struct conns *conns);

/** Frees the pool, once all ops have come back. */
void conns_free(struct conns *conns);

#ifdef __cplusplus
}
#endif

#endif
