/*
 * listener: accepts for as long as the program runs, and rests where descriptors have run out.
 *
 *                    EVQ_EMFILE and its like
 *      ACCEPTING ------------------------------> RESTING
 *          |     <------------------------------    |
 *          |       LISTENER_REST_MS have passed,    |
 *          |       or listener_go_on()              |
 *          +-----------> CLOSING <------------------+     listener_close()
 *
 * Several accepts are submitted at the same time, so that one wait brings many new clients. With a
 * single one each client would cost a wait of its own, and where a wait looks at everybody (poll)
 * the tenth thousand would take its time.
 *
 * When no descriptor is left the client stays in the backlog, and evq tries nothing by itself
 * (evq.h, line 8). To submit the next accept at once would fail at once, and so on: a whole
 * processor for nothing. So the listener rests for a moment, or until the program has closed
 * something.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "evq.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LISTENER_REST_MS = 100, LISTENER_ACCEPTS = 16 };

enum listener_state { LISTENER_ACCEPTING, LISTENER_RESTING, LISTENER_CLOSING };

struct listener {
    enum listener_state state;
    evq *queue;
    evq_sock sock;
    evq_op accept[LISTENER_ACCEPTS], rest, close;
    bool is_idle[LISTENER_ACCEPTS]; /* RESTING: these have failed, and will be submitted again */
};

/** Attaches a listening socket and begins to accept. 0, or evq's error: fd stays the caller's. */
int listener_open(struct listener *listener, evq *queue, evq_fd fd);

/** Does this op, which has come back, belong to the listener? Then hand it to listener_done(). */
bool listener_owns(const struct listener *listener, const evq_op *op);

/**
 * Looks at an op that has come back, and goes on accepting.
 *
 * @return a new connection, the caller's: non-blocking, close-on-exec, TCP_NODELAY; or EVQ_NO_FD
 */
evq_fd listener_done(struct listener *listener, evq_op *op);

/** The program has closed a socket: a resting listener tries again at once. */
void listener_go_on(struct listener *listener);

/** Accepts nobody any more, and closes the socket. Its ops still come back: see listener_done(). */
void listener_close(struct listener *listener);

#ifdef __cplusplus
}
#endif

#endif
