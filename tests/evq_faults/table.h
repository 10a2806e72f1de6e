/*
 * table: call by call and error by error, what the contract of evq.h says must come of it.
 */
#ifndef EVQ_FAULTS_TABLE_H
#define EVQ_FAULTS_TABLE_H

#include "faults.h"

enum outcome {
    UNSEEN,  /* nobody notices: every op and every call comes out as without the fault          */
    FAILS,   /* one op, or one call that does not submit, reports `result`; nothing else does   */
    MAY_FAIL /* not at each place: an evq_wait() with something in hand returns that instead    */
};

struct row {
    enum call call;
    int err; /* the errno that is injected */
    enum manner manner;
    enum outcome outcome;
    int result; /* an evq_error */
};
extern const struct row table[];
extern const size_t table_rows;

/** The name of a call, as it stands in the names of the tests. */
const char *call_name(enum call call);

/** What the library calls and what nobody lets fail: the symbol, and why. Ends with NULL. */
struct left_out {
    const char *symbol, *why;
};
extern const struct left_out left_out[];

#endif
