/*
 * shared_conn: a connection that several threads may hold on to. The last one closes and frees it.
 *
 * One worker at a time owns a connection: the one that has the packet of its operation. But the
 * thread that cancels looks at it as well, whenever it likes. So references are counted:
 *
 *     held by                                   from                until
 *     the ring of all connections               conn_open()         conn_end()
 *     an operation in flight, then its packet   conn_submit()       conn_release()
 *     whoever looks at it meanwhile             conn_open(), or     conn_release()
 *                                               inside this module
 *
 * So nothing is freed that an operation has borrowed. And a rule of Winsock is kept: never
 * closesocket() while another thread is in a call with that socket (Microsoft, "closesocket
 * function", remarks).
 *
 * To cancel is to ask. The operation ends with its packet as always, cancelled or done, and the
 * worker that gets it ends the connection.
 *
 * Born in chapter 06, step 6.
 */
#ifndef SHARED_CONN_H
#define SHARED_CONN_H

#include "op.h"

#include <stdbool.h>
#include <stdint.h>
#include <winsock2.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CONN_BUF_SIZE = 16384 };

//! [conn]
/* For its owner alone. What the other threads look at stands around it, in shared_conn.c. */
struct conn {
    SOCKET socket;
    struct op op;      /* the one that is in flight, and buf is lent with it */
    size_t start, end; /* buf[start..end) waits to be sent                   */
    char buf[CONN_BUF_SIZE];
};
//! [conn]

/**
 * Takes the socket over, and puts the connection into the ring. The caller holds a reference, too.
 *
 * @return NULL where memory has run out; then the socket is still the caller's
 */
struct conn *conn_open(SOCKET socket);

/**
 * Submits OP_RECV into buf, or OP_SEND of buf[start..end). The operation holds a reference.
 *
 * After true, another worker may have the packet already: the caller may call conn_release(), and
 * touch nothing else. After false it still owns the connection, and has to end it.
 */
bool conn_submit(struct conn *conn, enum op_kind kind);

/** Notes that something has moved. @return false when it was cancelled: then its owner ends it */
bool conn_is_active(struct conn *conn);

/** Takes it out of the ring. Only its owner does that, and only once. */
void conn_end(struct conn *conn);

/** One reference fewer. */
void conn_release(struct conn *conn);

/**
 * Cancels all connections that have not been active since `then_ms` (of GetTickCount64()).
 *
 * @param then_ms  UINT64_MAX: all of them
 * @return since when the most silent of the others has been so; UINT64_MAX when there are none
 */
uint64_t conns_cancel_silent(uint64_t then_ms);

/** Begins the count of what must come back before the program can end. The program itself counts
 *  as one. @return 0, or -1 with the reason in GetLastError() */
int conns_start(void);

/** Counts something else that is lent: an AcceptEx in flight. */
void conns_hold(void);
void conns_let_go(void);

/** Lets go of the program's own hold, and waits until all the others are gone. */
void conns_drain(void);

#ifdef __cplusplus
}
#endif

#endif
