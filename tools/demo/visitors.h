/*
 * visitors: polite clients. One comes every now and then, says a few bytes, wants them back, and
 * leaves. While the server has no time for them they wait; when too many wait, nobody else comes.
 */
#ifndef DEMO_VISITORS_H
#define DEMO_VISITORS_H

#include "client.h"
#include "lane.h"

#include <stdbool.h>
#include <stdint.h>

enum { VISITORS_MOST = 10, VISIT_BYTES = 64 };

struct visitors {
    struct client guest[VISITORS_MOST]; /* fd -1: this place is free */
    int64_t every_ns, next_ns;          /* when the next one comes   */
    uint32_t seed;
    uint32_t first_seed; /* of the first one who came in this era */
    int served_in_era;   /* of those who came in it, too          */
};

/** One visitor every `every_ns`. */
void visitors_open(struct visitors *v, int64_t every_ns);

/** From now on another era is counted: who comes in it, and is served in it, tells what the server
 *  can do as things stand now. (The others were perhaps in front of what has changed.) */
void visitors_new_era(struct visitors *v);

/** Visitors come and are served until until_ns. The news count them. False: there is trouble. */
bool visitors_spend(struct visitors *v, struct clients *c, int64_t until_ns);

/** Nobody else comes; those who wait get a last chance until until_ns, then all leave. */
void visitors_close(struct visitors *v, struct clients *c, int64_t until_ns);

#endif
