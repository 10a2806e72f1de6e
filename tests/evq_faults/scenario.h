/*
 * scenario: everything that evq can do, once, on one backend, while one call fails.
 *
 * A run opens a queue and plays the scenario: listen, connect, accept, send and receive in both
 * directions, wait for readable, timers, wake, cancel, shutdown, close. Where something reports an
 * error that the scenario does not ask for, that is noted, and the play ends there. Then all that
 * is pending is cancelled, and everything is closed. If the play did not come to its end, it is
 * played once more on the same queue, and now it must. At last the queue is destroyed.
 *
 * Whatever fails, this must hold, or the report names the trouble: each op came back once; the
 * bytes that came are those that were sent, in order, and as many as the sends have told; what was
 * not attached is still the caller's; nothing waits for ever; no descriptor and no memory is left.
 */
#ifndef EVQ_FAULTS_SCENARIO_H
#define EVQ_FAULTS_SCENARIO_H

#include "faults.h"

struct report {
    int seen;          /* errors that were reported                     */
    int err, os_err;   /* the first of them                             */
    const char *where; /* what reported it                              */
    bool complete;     /* the first play came to its end                */
    long calls;        /* how many the library made                     */
    int hits;          /* how often a fault was told of                 */
    int counts[CALLS]; /* how often each call was made in the whole run */
    char trouble[256]; /* "" or what is wrong                           */
};

/** `bytes` are sent in the long transfer: enough to fill a socket's buffers, or few. */
enum { MANY_BYTES = 200000, FEW_BYTES = 600 };

void scenario_run(struct report *report, const char *backend, const struct fault *faults,
                  size_t fault_count, size_t bytes);

#endif
