/*
 * Lab: what does it cost to go from one thread to another?
 *
 * Two threads share one processor and pass one byte to and fro through two pipes. A read() of an
 * empty pipe blocks, so each hand-over makes the kernel put one thread to sleep and run the other.
 * A round trip has two hand-overs, and in each thread one write() and one read().
 *
 * To know what the switch alone costs, the same calls are made by one thread that never has to
 * wait: it writes a byte and reads it back from its own pipe.
 *
 *     round trip  =  2 x (write + read)  +  2 x switch
 *
 * Each measurement is short and repeated ROUNDS times, and the least is taken: a longer one has
 * been disturbed by other programs on the same processor.
 *
 * For comparison there is the cheapest system call, getppid(), which does nearly nothing in
 * the kernel. How the two compare depends on the machine: where entering the kernel is dear, as in
 * some virtual machines, a switch costs hardly more. So the lab prints the ratio and judges what
 * holds everywhere. Not seen here: after a switch the caches hold the other thread's data, which
 * slows real programs more than the switch itself.
 *
 * Pinning both threads to one processor is Linux' business (man 2 sched_setaffinity).
 * Elsewhere they may run on two, and a hand-over then is a message between processors.
 */
#include <pthread.h>
#ifdef __linux__
#include <sched.h>
#endif

#include "lab.h"

enum { ROUNDS = 51, CALLS = 1000, TRIPS = 300, MARGIN_PERCENT = 120 };

/* Keeps this thread, and those it makes, on one processor. False where that cannot be done. */
static bool pin_to_one_processor(void)
{
#ifdef __linux__
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == -1)
        return false;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0;
    }
#endif
    return false;
}

/* ---- passing a byte -------------------------------------------------------------------------- */

static void pass(int to)
{
    while (write(to, "x", 1) == -1) /* one byte into an empty pipe: it does not block */
        if (errno != EINTR)
            exit(LAB_NOT_REPRODUCED);
}

/* Blocks until the byte is there; false at the end. */
static bool take(int from)
{
    char byte;
    ssize_t n;
    while ((n = read(from, &byte, 1)) == -1 && errno == EINTR)
        continue;
    return n == 1;
}

struct partner {
    int from, to;
};

static void *hand_back(void *arg)
{
    struct partner *partner = arg;
    while (take(partner->from))
        pass(partner->to);
    return NULL;
}

/* ---- three measurements, each in ns for one -------------------------------------------------- */

static double plain_call_ns(void)
{
    int64_t start_ns = lab_now_ns();
    for (int i = 0; i < CALLS; i++)
        (void)getppid();
    return (double)(lab_now_ns() - start_ns) / (double)CALLS;
}

static double write_and_read_ns(const int own[2])
{
    int64_t start_ns = lab_now_ns();
    for (int i = 0; i < CALLS; i++) {
        pass(own[1]);
        (void)take(own[0]);
    }
    return (double)(lab_now_ns() - start_ns) / (double)CALLS;
}

static double round_trip_ns(int to, int from)
{
    int64_t start_ns = lab_now_ns();
    for (int i = 0; i < TRIPS; i++) {
        pass(to);
        (void)take(from);
    }
    return (double)(lab_now_ns() - start_ns) / (double)TRIPS;
}

/* How often a thread of this process has left its processor: to wait, or for one that woke. */
static long switches_so_far(void)
{
    struct rusage usage;
    (void)lab_must(getrusage(RUSAGE_SELF, &usage), "getrusage");
    return usage.ru_nvcsw + usage.ru_nivcsw;
}

/* ---- the experiment -------------------------------------------------------------------------- */

struct costs {
    double call_ns, pair_ns, trip_ns, switches_per_trip;
};

static struct costs measure(void)
{
    double call[ROUNDS], pair[ROUNDS], trip[ROUNDS];
    int own[2], there[2], back[2];
    pthread_t thread;

    (void)lab_must(pipe(own), "pipe");
    (void)lab_must(pipe(there), "pipe");
    (void)lab_must(pipe(back), "pipe");
    struct partner partner = {.from = there[0], .to = back[1]};
    lab_must_zero(pthread_create(&thread, NULL, hand_back, &partner), "pthread_create");

    long switches = 0;
    for (int i = 0; i < ROUNDS; i++) { /* in turn, so that a disturbance meets all three alike */
        call[i] = plain_call_ns();
        pair[i] = write_and_read_ns(own);
        switches -= switches_so_far();
        trip[i] = round_trip_ns(there[1], back[0]);
        switches += switches_so_far();
    }
    (void)close(there[1]); /* the partner reads the end, and ends */
    lab_must_zero(pthread_join(thread, NULL), "pthread_join");
    int rest[] = {own[0], own[1], there[0], back[0], back[1]};
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        (void)close(rest[i]);
    return (struct costs){lab_least(call, ROUNDS), lab_least(pair, ROUNDS), lab_least(trip, ROUNDS),
                          (double)switches / (ROUNDS * TRIPS)};
}

int main(void)
{
    lab_question(
        "A thread hands a byte to another one on the same processor, and sleeps. What does "
        "the switch add to the price of the calls that pass the byte?",
        "Nothing that can be measured: the kernel is entered anyway.",
        "About as much as a few system calls: microseconds.",
        "A few milliseconds: the other waits for the next tick of the clock.", 'b',
        "Is the machine very busy? Then the processor is shared with strangers.");
    bool pinned = pin_to_one_processor();
    if (!pinned)
        lab_say("This system gives no way to pin threads here, so they may run on two processors.");

    struct costs costs = measure();
    double switch_ns = (costs.trip_ns - 2 * costs.pair_ns) / 2;
    lab_figure("plain_system_call_ns", costs.call_ns, "ns");
    lab_figure("write_and_read_ns", costs.pair_ns, "ns");
    lab_figure("round_trip_ns", costs.trip_ns, "ns");
    lab_figure("switch_ns", switch_ns, "ns");
    lab_figure("switch_in_plain_calls", switch_ns / costs.call_ns, "");
    lab_figure("switches_per_round_trip", costs.switches_per_trip, "");
    if (pinned)
        lab_expect(costs.switches_per_trip > 1.9, "each round trip takes two switches");
    lab_expect_measured(costs.trip_ns * 100 > 2 * costs.pair_ns * (double)MARGIN_PERCENT,
                        "with the switches the same calls take longer");
    lab_expect_measured(switch_ns < 1e6, "a switch costs less than a millisecond");
    return lab_finding("a switch adds microseconds, like some system calls: not milliseconds");
}
