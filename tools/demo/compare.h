/*
 * compare: the steps side by side in figures, for `make compare`.
 */
#ifndef DEMO_COMPARE_H
#define DEMO_COMPARE_H

#include "acts.h"

enum { ROUNDS_MOST = 9 };

/** Measures in interleaved rounds, prints the medians. PLAY_OVER, PLAY_FAILED or PLAY_STOPPED. */
int compare(struct play *play);

#endif
