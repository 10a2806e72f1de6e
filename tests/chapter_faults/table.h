/*
 * table: call by call and error by error, what may come of it.
 */
#ifndef CHAPTER_FAULTS_TABLE_H
#define CHAPTER_FAULTS_TABLE_H

#include "calls.h"

#include <stdbool.h>
#include <stddef.h>

/** In which steps a fault can be told without breaking a promise of the kernel. */
enum needs {
    ANYWHERE,
    NO_BLOCKING_RECV,   /* EAGAIN of recv and send: where the sockets block it cannot come */
    NO_BLOCKING_ACCEPT, /* the same of the listener                                        */
    AFTER_EMFILE        /* the second accept has failed with EMFILE before                 */
};

struct row {
    enum call call;
    int err;
    const char *name; /* of the error, as the table has it */
    enum manner manner;
    int times;
    enum needs needs;
    int may; /* what may come of it: enum outcome_bit, as many as are right */
};
extern const struct row table[];
extern const size_t table_rows;

/** What the steps call and what nobody lets fail: the symbol, and why. Ends with NULL. */
struct left_out {
    const char *symbol, *why;
};
extern const struct left_out left_out[];

#endif
