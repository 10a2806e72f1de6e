/*
 * conn: one client's connection in a program that must never block.
 *
 * conn_turn() does as much as can be done without waiting, but at most one recv() and one send(),
 * and says how it went. Who calls it, how often, and how the program waits in between is the
 * driver's business: a loop that spins, a nap, poll(), epoll or kqueue. So the same file serves
 * them all, level-triggered or edge-triggered.
 *
 * Born in chapter 02, step 2; later chapters carry this file unchanged.
 *
 *                            recv > 0, and all of it sent
 *                                  +-------+
 *                                  v       |
 *          conn_init() --------> READING --+
 *                                |  |  ^
 *                                |  |  | the last byte is sent
 *              recv > 0, and not |  |  |
 *              all of it sent    |  |  |
 *                        +-------+  |  |
 *                        v          |  |
 *                 +-- WRITING ---------+
 *    some bytes   |    ^   |        |
 *    sent, not    +----+   |        | recv = 0, or recv or send
 *    all                   |        | has failed
 *             send failed  |        v
 *                          +----> ENDED --------> conn_close()
 *
 * READING  the buffer is empty; waits for the peer's bytes.
 * WRITING  the buffer holds bytes that the kernel has not taken yet; waits for room, and reads
 *          nothing meanwhile. That is *back-pressure*: the peer who does not read cannot make us
 *          hold more than one buffer, because soon its own send() finds no room.
 * ENDED    nothing more will happen here; the driver closes it.
 *
 * *Half-close* comes out right by itself: recv() is called only when everything has been echoed, so
 * when it says 0 (the peer will send no more) nothing is owed, and the connection can be closed.
 */
#ifndef CONN_H
#define CONN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes that one connection can hold: its whole claim on the program's memory. */
#define CONN_BUF_SIZE 16384

enum conn_state { CONN_READING, CONN_WRITING, CONN_ENDED };

/** How a turn went. */
enum conn_result {
    CONN_PROGRESS,    /**< bytes moved: another turn may move more at once             */
    CONN_WOULD_BLOCK, /**< the kernel said EAGAIN: nothing to do until conn_waits_for() */
    CONN_OVER         /**< the peer has left or the connection has failed: close it    */
};

/** What must become possible before another turn makes sense. */
enum conn_event { CONN_READABLE, CONN_WRITABLE };

/** Read the fields, leave the writing to the functions. */
struct conn {
    int fd; /**< non-blocking; owned by the conn from conn_init() to conn_close() */
    enum conn_state state;
    size_t start, end;   /**< buf[start..end) waits to be sent; empty unless WRITING */
    uint64_t bytes_sent; /**< echoed so far                                         */
    char buf[CONN_BUF_SIZE];
};

/** Takes over a connected, non-blocking socket. Thread: any. */
void conn_init(struct conn *conn, int fd);

/**
 * One turn: at most one recv() and one send().
 *
 * After CONN_WOULD_BLOCK the kernel has answered EAGAIN to the very call that conn_waits_for()
 * names, and nothing has moved since. That is what an edge-triggered driver must know before it
 * relies on the next edge. After CONN_PROGRESS it must call again, now or later.
 *
 * Errors of the connection (ECONNRESET, EPIPE, ETIMEDOUT and the rest) end this connection only:
 * CONN_OVER. EINTR is tried again at once. Blocks: never. Thread: one at a time per conn.
 */
enum conn_result conn_turn(struct conn *conn);

/** What a conn that has not ended waits for. */
enum conn_event conn_waits_for(const struct conn *conn);

/** Closes the socket. Bytes that were not sent yet are lost. Call it once. */
void conn_close(struct conn *conn);

#ifdef __cplusplus
}
#endif

#endif
