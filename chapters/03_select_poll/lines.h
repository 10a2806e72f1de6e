/*
 * lines: one client of a server that answers each line in upper case.
 *
 * TCP is a stream of bytes and knows no messages: one recv() may bring half a line, or three lines
 * and a half. So a client has two buffers: in one a line becomes whole, in the other answers wait
 * until the kernel takes them. Both are bounded, and each bound has an answer:
 *
 *     a line of more than LINES_LONGEST bytes   refused with one line, then the end
 *     answers that nobody reads                 no more is read until there is room (back-pressure)
 *
 * A line ends with '\n'. Every other byte may stand in it, zeros too; only a to z are changed. A
 * last line without '\n', before the end of the stream, is answered as it is.
 *
 *     OPEN ------ recv = 0 ------> ENDING ----- all answers sent -----> GONE
 *      |                                                                 ^
 *      +--- a line is too long --> REFUSED --- recv = 0, or too late ----+
 *
 * OPEN     reads, answers, sends.
 * ENDING   the peer will send nothing more; the answers that it is owed are sent.
 * REFUSED  the refusal is sent, then our writing side is shut. What still comes is read and thrown
 *          away: a close() with bytes unread makes the kernel send a reset, which may destroy the
 *          refusal before the peer has read it (RFC 1122, 4.2.2.13). The driver ends this state at
 *          the latest when lines_is_refused() has been true for LINES_LINGER_MS.
 * GONE     nothing more will happen here; also after any error of the connection.
 */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LINES_LONGEST = 1024,  /**< bytes in a line, without its '\n'                   */
    LINES_IN_SIZE = 4096,  /**< more than one line, so that a whole one always fits */
    LINES_OUT_SIZE = 8192, /**< more than one answer, or a refusal                  */
    LINES_LINGER_MS = 2000 /**< how long a refused peer may take to leave           */
};

enum lines_state { LINES_OPEN, LINES_ENDING, LINES_REFUSED, LINES_GONE };

/** Bytes on their way: data[start..end) of a buffer. */
struct lines_span {
    size_t start, end;
};

/** Read the fields, leave the writing to the functions. */
struct lines {
    int fd; /**< non-blocking; owned from lines_init() to lines_close() */
    enum lines_state state;
    bool shut;                 /**< REFUSED: our writing side is closed      */
    bool peer_is_done;         /**< REFUSED: recv() has said 0               */
    struct lines_span in, out; /**< what has come / what waits to be sent    */
    size_t bytes_sent;
    char in_buf[LINES_IN_SIZE];
    char out_buf[LINES_OUT_SIZE];
};

/** Takes over a connected, non-blocking socket. */
void lines_init(struct lines *lines, int fd);

/** Does what can be done without waiting: at most one recv() and one send(). False when GONE. */
bool lines_turn(struct lines *lines);

/** What a wait should watch for: bytes to read / room to write. At least one is true before
 *  GONE. */
bool lines_wants_in(const struct lines *lines);
bool lines_wants_out(const struct lines *lines);

/** True once a line was too long. */
bool lines_is_refused(const struct lines *lines);

/** Closes the socket. Call it once. */
void lines_close(struct lines *lines);

#ifdef __cplusplus
}
#endif

#endif
