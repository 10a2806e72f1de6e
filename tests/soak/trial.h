/*
 * trial: one server, its guests, and what is watched meanwhile.
 *
 *     start   a visitor has come and gone: what is open now must be open at the end, and no more
 *     gather  all come, each with a burst: tables grow, buffers are touched
 *     warm    a quarter of the time
 *     watch   memory: the most, when all had come or in the second quarter, is the measure. The
 *             most of the second half may be greater by TRIAL_GROWTH_PART and TRIAL_SPARE_KIB.
 *             Descriptors: one for each guest, and for those who have left and whose end is still
 *             to be noticed as many more as TRIAL_LAG_PART and TRIAL_SPARE_FDS allow
 *             (However short the time is: each place has TRIAL_PER_PLACE guests after the first)
 *     leave   all guests leave, each with its bytes; then the descriptors are counted, and an idle
 *             server must cost no processor time (but where a step burns it by design)
 *     stop    SIGTERM: status 0, and totals that fit what the guests have counted
 */
#ifndef SOAK_TRIAL_H
#define SOAK_TRIAL_H

#include "guests.h"
#include "subject.h"

#include <stdint.h>

enum {
    TRIAL_PER_PLACE = 2,
    TRIAL_GROWTH_PART = 16, /* a sixteenth of it */
    TRIAL_SPARE_KIB = 1024,
    TRIAL_LAG_PART = 4, /* a quarter of the guests */
    TRIAL_SPARE_FDS = 16,
    TRIAL_READY_PERCENT = 75, /* running, or ready to run */
    TRIAL_IDLE_PERCENT = 10,  /* of one processor          */
    TRIAL_SETTLE_MS = 10000   /* for the last descriptors  */
};

enum trial_result { TRIAL_HOLDS, TRIAL_FAILS, TRIAL_SKIPPED };

/* What the system told at one moment; -1: it does not tell. */
struct trial_figures {
    int fds;
    int64_t resident_kib;
};

struct trial {
    /* Filled in by the caller. */
    const struct subject *subject;
    int count; /* guests     */
    int64_t duration_ns;
    bool sanitized; /* its memory means nothing      */
    bool live;      /* a line of progress, on stderr */

    /* What came of it. */
    enum trial_result result;
    char why[512];
    struct trial_figures at_start, measure, held, at_end; /* measure, held: the most of each */
    int64_t cpu_ns, talked_ns;
    uint64_t arrived, received, put_off;

    /* Used while it runs. */
    struct server server;
    struct guests guests;
};

void trial_run(struct trial *trial);

#endif
