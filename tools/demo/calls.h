/*
 * calls: how many system calls a server makes for each answer, counted by strace.
 *
 * A number that does not depend on the machine's speed: that strace slows the server down many
 * times over does not change it. (A server that naps is the exception: its naps count, too.)
 */
#ifndef DEMO_CALLS_H
#define DEMO_CALLS_H

#include "steps.h"

#include <stdbool.h>

enum { CALLS_WORDS = 256 };

struct calls {
    double each;             /* for one answer; UNKNOWN when they could not be counted       */
    char which[CALLS_WORDS]; /* "2 recvfrom, sendto": the most frequent first; or why not */
};

/** Is strace here, and may it trace? Tried once, on a program that does nothing. If not, why_not
 *  says so in a sentence, with what would be needed. */
bool calls_can_be_counted(char why_not[CALLS_WORDS]);

/** Counts for one step. Takes up to a second at scale 1: a server that naps answers so slowly. */
void calls_count(struct calls *calls, const struct step *step, const char *build, double scale);

#endif
