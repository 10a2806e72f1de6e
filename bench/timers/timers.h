/*
 * timers: what a million timers cost. Each program in this folder is timers.c with one library, the
 * functions below. The library owns what it allocates; nothing is freed.
 */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include <stdbool.h>

extern const char library_name[];

/** Room for `count` timers. False where the library does not work here. */
bool library_open(int count);

/** Timer `which` shall fire in `delay_ms`. Nothing fires until library_run(). */
void library_insert(int which, int delay_ms);

void library_cancel(int which);

/** Lets fire what is due, and calls timers_fired() for each; may return at any time. */
void library_run(void);

/** timers.c: timer `which` has fired. */
void timers_fired(int which);

/** Ends the program with a line, unless `ok`. */
void timers_must(bool ok, const char *what);

#endif
