/*
 * growth: what does one wake-up cost, with ever more idle descriptors beside the active ones?
 *
 * Each program in this folder is growth.c with one mechanism, the functions below. All mechanisms
 * are asked the same: watch a descriptor for reading, for ever; wait until some are readable. The
 * Makefile chooses which of them there are on this system.
 */
#ifndef BENCH_GROWTH_H
#define BENCH_GROWTH_H

#include <stdbool.h>

enum { GROWTH_FDS_MAX = 1 << 20 };

extern const char mechanism_name[];

/** Before all others. False, with a reason in words on stderr, where it does not work here. */
bool mechanism_open(void);

/** From now on `fd` is watched: one end of a pair of sockets, or an eventfd; non-blocking. */
void mechanism_add(int fd);

/** Waits until at least one is readable and tells growth.c of each that is. */
void mechanism_wait(void);

/** growth.c: `fd` is readable. It takes out what is there. */
void growth_ready(int fd);

/** growth.c: instead, when what was there was taken out already. */
void growth_received(void);

/** growth_eventfd_*.c: a new eventfd, non-blocking; -1 with errno where there are none. */
int growth_eventfd(void);

/** Ends the program with a line, unless `ok`. */
void growth_must(bool ok, const char *what);

#endif
