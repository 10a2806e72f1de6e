/*
 * timers: the measurement. Inserts COUNT timers (usually a million) in random order, cancels every
 * second one, waits until all are due, and lets them fire. Prints what each of the three cost, in
 * ns of CPU time for each timer inserted, and the sum. Fails if one fires that was cancelled, or
 * one fires twice.
 *
 *     timers_libuv [COUNT]
 */
#include "timers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* SOON: all are due within this time, so that the waiting is short and the heap is deep. */
enum { COUNT = 1000000, COUNT_MAX = 10000000, SOON_MS = 1000, LATE_MS = 50 };
enum state { PENDING, CANCELLED, FIRED };

static unsigned char *states;
static long fired;

void timers_must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "timers_%s: %s failed\n", library_name, what);
    exit(1);
}

void timers_fired(int which)
{
    timers_must(states[which] == PENDING, "firing each timer once, and no cancelled one,");
    states[which] = FIRED;
    fired++;
}

/* ---- time ------------------------------------------------------------------------------------ */

static int64_t cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used); /* cannot fail with this clock */
    return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static struct timespec when_all_are_due(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time); /* cannot fail with this clock */
    time.tv_sec += (SOON_MS + LATE_MS) / 1000;
    time.tv_nsec += (SOON_MS + LATE_MS) % 1000 * 1000000L;
    time.tv_sec += time.tv_nsec / 1000000000L;
    time.tv_nsec %= 1000000000L;
    return time;
}

/* Small, and the same on every machine. */
static uint32_t next_random(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}

static int64_t show(const char *name, int64_t since_ns, int count)
{
    int64_t now_ns = cpu_ns();
    (void)printf("%s_ns %.1f\n", name, (double)(now_ns - since_ns) / count);
    return now_ns;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : COUNT;
    if (count < 1 || count > COUNT_MAX) {
        (void)fprintf(stderr, "usage: timers_%s [COUNT]\n", library_name);
        return 2;
    }
    states = calloc((size_t)count, 1);
    timers_must(states != NULL && library_open(count), "opening");
    int64_t began_ns = cpu_ns(), at_ns = began_ns;
    for (int i = 0; i < count; i++)
        library_insert(i, (int)(1 + next_random() % SOON_MS));
    at_ns = show("insert", at_ns, count);
    const struct timespec due = when_all_are_due();
    for (int i = 0; i < count; i += 2) {
        library_cancel(i);
        states[i] = CANCELLED;
    }
    at_ns = show("cancel", at_ns, count);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) != 0)
        continue; /* a signal */
    while (fired < count / 2)
        library_run();
    (void)show("fire", at_ns, count);
    (void)show("all", began_ns, count);
    return 0;
}
