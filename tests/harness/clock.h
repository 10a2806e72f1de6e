/*
 * clock: monotonic time and deadlines.
 *
 * A test never sleeps and hopes. It waits for an event until a deadline, and one variable scales
 * every deadline: TEST_SLOWDOWN=3 makes them three times as long, for slow or busy machines.
 */
#ifndef HARNESS_CLOCK_H
#define HARNESS_CLOCK_H

#include <stdint.h>

/** Monotonic time in nanoseconds. */
int64_t clock_now_ns(void);

/** The factor TEST_SLOWDOWN, 1.0 where it is not set or is no number in (0, CLOCK_SLOWDOWN_MAX]. */
double clock_slowdown(void);
enum { CLOCK_SLOWDOWN_MAX = 1000 };

/** The moment `ms` milliseconds (times the slowdown) from now. */
int64_t deadline_in_ms(int ms);

/** What poll() wants: milliseconds until the deadline, rounded up; 0 when it has passed. */
int deadline_left_ms(int64_t deadline_ns);

/** Lets `ms` milliseconds pass, unscaled and whatever signals come: for windows in which
 *  something is measured, and between two looks at something that sends no event. */
void clock_pause_ms(int ms);

#endif
