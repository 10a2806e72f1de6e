/*
 * deadline: a moment that moves.
 *
 * Nearly every byte moves the moment at which a client has been silent for too long. To cancel a
 * timer and submit it again each time would cost as much as the byte. So the timer is left where it
 * is. When it comes back it looks at the moment that counts now, and if that has moved, sleeps for
 * the rest. Only a moment that has come nearer makes it worth a cancel.
 */
#ifndef DEADLINE_H
#define DEADLINE_H

#include "evq.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Set to zero to begin with. */
struct deadline {
    evq_op timer;      /* set timer.user: it comes back from evq_wait()                      */
    uint64_t at_ns;    /* what counts; 0: nothing                                            */
    uint64_t armed_ns; /* where the timer stands                                             */
    bool is_pending;   /* the timer is in the queue: its memory must stay until it comes back */
};

/** From now on this moment counts (on the clock of evq_now(), not 0). */
void deadline_set(struct deadline *deadline, evq *queue, uint64_t at_ns);

/** `after_ms` milliseconds from now. */
void deadline_set_ms(struct deadline *deadline, evq *queue, uint64_t after_ms);

/** No moment counts; a pending timer comes back soon, and is not set again. */
void deadline_clear(struct deadline *deadline, evq *queue);

/** Its timer has come back. True: the time is over (then nothing is pending). False: not yet, or no
 *  moment counts any more. */
bool deadline_done(struct deadline *deadline, evq *queue);

#ifdef __cplusplus
}
#endif

#endif
