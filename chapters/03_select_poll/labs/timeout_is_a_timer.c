/*
 * Lab: the time-out of poll() as a timer.
 *
 * poll() sleeps until something is ready, or until its time-out is over. So a loop that knows its
 * nearest deadline needs no other timer: it sleeps at most until then. Two questions decide
 * whether that works.
 *
 * - May poll() wake too early? It promises not to: the time-out is rounded up to what the clock of
 *   the system can do, and the scheduler may add to it (man 2 poll). It is always a little late.
 * - poll() counts in milliseconds. What becomes of the 900 us that are left until a deadline?
 *   Rounded down they are 0, and poll() with 0 does not sleep: the loop asks again and again until
 *   the deadline is there. Rounded up they are 1: one call, and it ends up to 1 ms later. pselect()
 *   and ppoll() count in nanoseconds and need no rounding.
 *
 * A deadline that has passed must become 0. A negative time-out would mean: for ever.
 */
#include "lab.h"

#include <poll.h>
#include <sys/select.h>

enum { ASKED_MS = 10, SLEEPS = 15, LEFT_US = 900, DEADLINES = 20, TIMERS = 5, SPINS = 10 };
enum {
    NAME_LEN = 64,
    CLOCKS_DIFFER_NS = 10000
}; /* the kernel's timer may tick by another clock than ours */

static const int64_t NS_PER_MS = 1000000;

/* ---- 1. never too early ---------------------------------------------------------------------- */

static void sleep_in_poll(void)
{
    double slept_ms[SLEEPS];
    lab_say("1. poll() without descriptors, time-out %d ms, %d times.", ASKED_MS, SLEEPS);
    for (int i = 0; i < SLEEPS; i++) {
        int64_t start_ns = lab_now_ns();
        (void)lab_must(poll(NULL, 0, ASKED_MS), "poll");
        slept_ms[i] = (double)(lab_now_ns() - start_ns) / 1e6;
    }
    double shortest_ms = lab_least(slept_ms, SLEEPS);
    lab_figure("asked_ms", ASKED_MS, "ms");
    lab_figure("shortest_late_us", (shortest_ms - (double)ASKED_MS) * 1e3, "us");
    lab_figure("median_late_us", (lab_median(slept_ms, SLEEPS) - (double)ASKED_MS) * 1e3, "us");
    lab_expect(shortest_ms >= (double)ASKED_MS - (double)CLOCKS_DIFFER_NS / 1e6, "never too early");
}

/* ---- 2. less than a millisecond -------------------------------------------------------------- */

/* Each sleeps once, for `left_ns` or as near to it as it can. */
static void sleep_rounded_down(int64_t left_ns)
{
    (void)lab_must(poll(NULL, 0, (int)(left_ns / NS_PER_MS)), "poll");
}

static void sleep_rounded_up(int64_t left_ns)
{
    (void)lab_must(poll(NULL, 0, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS)), "poll");
}

static void sleep_exactly(int64_t left_ns)
{
    struct timespec left = {0, (long)left_ns}; /* less than a second */
    (void)lab_must(pselect(0, NULL, NULL, NULL, &left, NULL), "pselect");
}

struct waits {
    int calls;
    double late_us; /* the median   */
};

static struct waits wait_for_deadlines(void (*sleep_for)(int64_t left_ns))
{
    struct waits waits = {0};
    double late_us[DEADLINES];
    for (int i = 0; i < DEADLINES; i++) {
        int64_t deadline_ns = lab_now_ns() + INT64_C(1000) * LEFT_US, left_ns;
        while ((left_ns = deadline_ns - lab_now_ns()) > 0) {
            sleep_for(left_ns);
            waits.calls++;
        }
        late_us[i] = (double)-left_ns / 1e3;
    }
    waits.late_us = lab_median(late_us, DEADLINES);
    return waits;
}

static void round_it(void)
{
    lab_say("2. %d deadlines, one after the other, each %d us ahead.", DEADLINES, LEFT_US);
    struct waits down = wait_for_deadlines(sleep_rounded_down);
    struct waits up = wait_for_deadlines(sleep_rounded_up);
    struct waits exact = wait_for_deadlines(sleep_exactly);
    lab_figure("rounded_down_calls", down.calls, "calls");
    lab_figure("rounded_down_late_us", down.late_us, "us");
    lab_figure("rounded_up_calls", up.calls, "calls");
    lab_figure("rounded_up_late_us", up.late_us, "us");
    lab_figure("pselect_calls", exact.calls, "calls");
    lab_figure("pselect_late_us", exact.late_us, "us");
    lab_expect(up.calls <= 2 * DEADLINES, "rounded up: one call for each deadline");
    lab_expect(down.calls >= SPINS * up.calls, "rounded down: it spins until the deadline");
    lab_expect(exact.calls <= 2 * DEADLINES, "pselect() in nanoseconds: one call, too");
}

/* ---- 3. many deadlines ----------------------------------------------------------------------- */

struct timer {
    int after_ms;
    bool rang;
};

/* The one with the nearest deadline of those that have not rung; NULL when all have. */
static struct timer *nearest(struct timer *timers)
{
    struct timer *found = NULL;
    for (int i = 0; i < TIMERS; i++)
        if (!timers[i].rang && (found == NULL || timers[i].after_ms < found->after_ms))
            found = &timers[i];
    return found;
}

static void show_ring(struct timer *timer, int64_t after_ns)
{
    char name[NAME_LEN];
    timer->rang = true;
    (void)snprintf(name, sizeof name, "timer_%d_rang_after_ms", timer->after_ms);
    lab_figure(name, (double)after_ns / 1e6, "ms");
}

/* Returns how many calls of poll() it took. Timers that become due in one sleep ring together. */
static int run_timers(struct timer *timers)
{
    int64_t start_ns = lab_now_ns();
    struct timer *timer;
    int calls = 0;
    while ((timer = nearest(timers)) != NULL) {
        int64_t after_ns = lab_now_ns() - start_ns;
        int64_t left_ns = timer->after_ms * NS_PER_MS - after_ns;
        if (left_ns > 0) { /* never hand on a negative one: that means for ever */
            sleep_rounded_up(left_ns);
            calls++;
        } else {
            show_ring(timer, after_ns);
        }
    }
    return calls;
}

static void serve_many(void)
{
    struct timer timers[TIMERS] = {{30, false}, {10, false}, {50, false}, {20, false}, {40, false}};
    lab_say("3. %d timers at once, and one poll() that sleeps until the nearest.", TIMERS);
    int calls = run_timers(timers);
    lab_figure("timers", TIMERS, "");
    lab_figure("timers_poll_calls", calls, "calls");
    lab_expect(calls <= 2 * TIMERS, "one call for each timer");
}

int main(void)
{
    lab_question("A loop has a deadline in 900 us, and poll() counts in milliseconds. The loop "
                 "rounds down. What happens in these 900 us?",
                 "poll() sleeps for 1 ms: it rounds up by itself.",
                 "poll() returns at once, hundreds of times: the loop spins.",
                 "poll() sleeps for ever: 0 means no time-out.", 'b',
                 "Is the machine very busy? Then a deadline may pass before the loop has looked.");
    sleep_in_poll();
    round_it();
    serve_many();
    return lab_finding("a time-out is a timer, never too early: round it up to whole ms");
}
