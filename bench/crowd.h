/*
 * crowd: the clients of one measurement, in one thread, on one epoll.
 *
 * A client that talks has up to `depth` messages of `size` bytes on their way. Each byte that comes
 * back is compared with the one that belongs at its place (tests/harness/pattern.h). A message that
 * is back whole is one round trip. What happens then is the mode:
 *     closed   the client sends its next message at once
 *     burst    nobody sends until every client has all its messages back; then all send again
 * Idle clients are connected, and that is all.
 *
 * With `lines` each message is a line of small letters, which comes back in upper case: that is the
 * protocol of chapter 03, step 3. Each letter depends on its place, too.
 *
 * More clients than the 28,000 ports of one address: the next ones come from 127.0.0.2, and so on.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CROWD_DEPTH_MAX = 64, CROWD_SIZE_MAX = 1 << 20, CROWD_TURNS = 4 };

/** How the clients talk. */
struct crowd_plan {
    int clients, idle, depth;
    size_t size;
    int receive_buffer; /* SO_RCVBUF of the clients; a small one makes sends short. 0: as usual */
    bool burst, lines;
};

struct talker;

struct crowd {
    struct crowd_plan plan;
    unsigned port;
    int epoll;

    struct talker *talkers;
    int *idle_fds;
    int idle_count;

    /* As of now. */
    uint64_t trips;
    int waiting;                  /* burst: how many clients have not got all back yet */
    struct histogram *latency_ns; /* NULL: nobody wants to know */
    char why[160];                /* what went wrong, in words  */
};

/** Connects all clients. 0, or -1 with the reason in crowd->why. */
int crowd_open(struct crowd *crowd, const struct crowd_plan *plan, unsigned port);

/**
 * Lets them talk until `trips` more messages came back, or until_ns (as clock_now_ns()) has passed;
 * but not before each has had CROWD_TURNS times all its messages back, on the average.
 * 0, or -1 with the reason in crowd->why.
 */
int crowd_talk(struct crowd *crowd, uint64_t trips, int64_t until_ns);

/** Each idle client sends one message and reads its echo: from now on it is a used one. */
int crowd_use_idle(struct crowd *crowd);

/** One short visit: connects, sends a byte, reads it back, and leaves by a reset, so that no port
 *  has to rest. */
int crowd_visit(struct crowd *crowd);

void crowd_close(struct crowd *crowd);

#endif
