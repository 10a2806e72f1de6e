/*
 * shim_orders: what is to fail, and whether this call is the one. The same on every system.
 */
#ifndef CHAPTER_FAULTS_SHIM_ORDERS_H
#define CHAPTER_FAULTS_SHIM_ORDERS_H

#include "calls.h"

#include <stdbool.h>

struct verdict {
    bool hit;
    enum manner manner;
    int err;
};

/** Reads what stands in FAULTS_VARIABLE; NULL: nothing fails. Once, before all others. */
void orders_read(const char *text);

/** Counts the call on the board, and judges it. Thread: any. */
struct verdict orders_judge(struct board *board, enum call call);

#endif
