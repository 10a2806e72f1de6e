/*
 * scenario: one short life of a step, while one of its calls fails.
 *
 *     start    it says where it listens
 *     three    one client with a short message, one with a long one, one who sends and does not
 *              read for a while; all at once, or, where a step serves one, one after the other
 *     leave    each shuts its writing side down, has the rest of its bytes, and sees the end
 *     one more is served, whatever has happened before, while a fifth one is there and silent;
 *              and then as many as the script wants, one after the other
 *     look     what the step holds now: descriptors, memory, calls while nobody says anything
 *     stop     SIGTERM, to a Windows program Ctrl-C: status 0 and the totals
 *
 * Whatever fails, this must hold, or the report names the trouble: each byte that came is the right
 * one; at most one client has lost its connection, and nobody waits for ever; nothing is left open;
 * nothing spins; a step that ends by itself says why, in one line, and its status is 1.
 */
#ifndef CHAPTER_FAULTS_SCENARIO_H
#define CHAPTER_FAULTS_SCENARIO_H

#include "calls.h"
#include "subject.h"

#include <stddef.h>

/** What came of it. Bits, so that a cell of the table can hold several. */
enum outcome_bit {
    UNSEEN = 1,   /* nobody notices                                          */
    ONE_LOST = 2, /* one client has lost its connection, all others are served */
    NO_START = 4, /* it does not start: one line, status 1                   */
    ENDS = 8,     /* it ends while it serves: one line, status 1             */
    TELLS = 16    /* stopped, it ends with status 1, or Windows ends it: something is incomplete */
};

/** What a step holds, and how much it calls, when the same has happened without a fault. */
struct baseline {
    bool known;
    int fds; /* of a Windows program: handles */
    long blocks, calls;
};

struct report {
    int hits;            /* how often the fault had its turn; 0: there is no such place */
    int outcome;         /* one of outcome_bit; 0 when there is trouble                 */
    char trouble[512];   /* "" or what is wrong                                         */
    int counts[CALLS];   /* how often each call was made                                */
    struct baseline had; /* as of this run                                              */
};

/** How much of it there is. */
struct script {
    size_t bytes; /* of the long messages; few of them when every call moves but one */
    int more;     /* clients at the end, MORE_MAX at most                            */
};
enum { MANY_BYTES = 60000, FEW_BYTES = 600, MORE_MAX = 24 };

/** Plays it once. Without faults, it fills in the baseline. 0, or -1: nothing can be started. */
int scenario_run(const struct subject *subject, const struct fault *faults, size_t fault_count,
                 const struct script *script, const struct baseline *baseline,
                 struct report *report);

/** Makes the board; to be called once, and at the end. 0, or -1 with errno. */
int scenario_open(void);
void scenario_close(void);

#endif
