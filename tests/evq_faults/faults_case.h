/*
 * faults_case: the groups of tests of test_evq_faults, and what they share.
 */
#ifndef EVQ_FAULTS_CASE_H
#define EVQ_FAULTS_CASE_H

#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/** The backend that it is the turn of. */
extern const char *backend;

/** Says once what is behind it, where that is no kernel. A group's setup. */
int announce(void **state);
const char *group_title(const char *name);
#define RUN(name, list) cmocka_run_group_tests_name(group_title(name), list, announce, NULL)

/** Which calls some backend has been seen to make. */
extern bool call_was_made[CALLS];

/** The backend does not work here. */
int run_not_here(void);
/** Each row of the table; see table.h. */
int run_table(void);
/** Limits, each at its bound and beyond. */
int run_bounds(void);
/** Bugs that were found, named after their causes. */
int run_causes(void);
/** What only a ring can do. */
int run_ring(void);
/** Whether anything was forgotten. */
int run_whole(const char *program, int backends_ran);

#endif
