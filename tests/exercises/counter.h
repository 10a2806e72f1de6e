/*
 * counter: the calls of a server, counted while it runs. See counted/count_calls.h.
 */
#ifndef COUNTER_H
#define COUNTER_H

#include "../contract/contract.h"
#include "counted/count_calls.h"

/** The file that the server shares with us while it runs. */
struct counter {
    char path[256];
    struct call_counts *counts;
};

/** Before the server starts. False, and the row is skipped, where there is no such file. */
bool counter_open(struct contract_run *run, struct counter *counter);
/** Also after counter_open() has failed. */
void counter_close(struct counter *counter);

unsigned long calls_of(const struct counter *counter, enum counted_call call);
unsigned long all_calls(const struct counter *counter);

#endif
