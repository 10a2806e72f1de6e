/*
 * evq_reactor.h: completion over readiness, for epoll, kqueue and poll.
 *
 * The backend's start() is evq_reactor_start(); its wait() translates each event of the kernel into
 * one call of evq_reactor_event().
 */
#ifndef EVQ_REACTOR_H
#define EVQ_REACTOR_H

#include "evq_backend.h"

/** sock->priv.ready[direction]: what is known. */
enum {
    EVQ_READY_NO,    /* EAGAIN was seen, or as good as that: an event will come             */
    EVQ_READY_MAYBE, /* it has to be tried                                                  */
    EVQ_READY_YES    /* an event said so, and nothing was moved since                       */
};

/** What an event says. */
enum {
    EVQ_EVENT_READ =
        1, /* a recv or an accept would not wait: data, end, error                    */
    EVQ_EVENT_WRITE =
        2, /* so for send and connect                                                 */
    EVQ_EVENT_MORE =
        4 /* there may be more than a short read shows: the end, an error, urgent data */
};

/** Called by attach(): both directions have to be tried. */
void evq_reactor_attach(evq_sock *s);

/** Tries op; PENDING: it waits for an event. */
enum evq_progress evq_reactor_start(evq *q, evq_op *op);

/** Takes note, and tries again what waits for this. */
void evq_reactor_event(evq_sock *s, unsigned what);

#endif
