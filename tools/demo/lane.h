/*
 * lane: one step in one act. A server, and its clients in a process of their own.
 *
 *     display ── orders ──> clients <══ TCP ══> server
 *        └────── news <───────┘
 *
 * The clients' process is a fork of this program. It does what the act's story says, by calls of
 * the harness that wait, and now and then it tells the display how things stand: one struct that
 * holds everything, so the display keeps only the last one.
 *
 * Life of a lane: lane_fork(), while this program has one thread; lane_start() starts the server,
 * and lane_order() its clients; lane_listen() takes their news, until they have finished;
 * lane_end() stops the server politely, and lane_kill() ends everything in whatever state it is.
 *
 * Nobody is left behind: the clients ignore Ctrl-C, are ended by the display, and end by
 * themselves when it is gone (their news find no reader); the servers have the harness' guard.
 */
#ifndef DEMO_LANE_H
#define DEMO_LANE_H

#include "server.h"
#include "steps.h"

#include <stdbool.h>
#include <stdint.h>

enum { LANES_MOST = 64, WHY = 256, STRIP = 18, TROUBLE = 96 };

/** What the clients have to know. */
struct orders {
    char address[64];
    unsigned port;
    pid_t server;  /* whose processor time they measure                     */
    double scale;  /* of all times: 1 is the demo of 45 seconds             */
    int idle;      /* an idle crowd: how many                               */
    bool emulated; /* no times are to be taken                              */
};

/** How things stand in a lane. Figures that are not there (yet) are UNKNOWN. */
struct news {
    int phase; /* of the act's story; 0: to come                        */
    bool finished;
    char trouble[TROUBLE]; /* what should never happen, in words; "" is fine     */
    uint64_t bytes;        /* came back, and every one was right                    */

    /* polite visitors, in every act that has them */
    int served, waiting;

    /* silent clients */
    int silent;
    char strip[STRIP + 1]; /* one character for each piece of the act's time    */
    int starved_by;        /* as many silent clients stop everybody else; 0: none do */

    /* an idle crowd */
    int idle, threads;
    bool emulated; /* no times were taken */
    double idle_percent;
    int64_t answer_ns, cpu_per_answer_ns;
    bool not_served;

    /* rude ones */
    int flood_served, resets, half_closes;

    /* compare only */
    int64_t answer_p99_ns;
    double switches_per_trip, kib_per_client, trips_per_second;
    int busy_served;
};

/** The clients' side of a lane. */
struct clients {
    int link;
    struct orders orders;
    struct news news;
};
typedef void clients_story(struct clients *);

/** Sends the news to the display. */
void clients_tell(struct clients *c);
/** Notes the first trouble, printf-like. Always false. */
bool clients_trouble(struct clients *c, const char *format, ...);
/** `ms` milliseconds of the demo of 45 seconds, in nanoseconds of this one. */
int64_t clients_time_ns(const struct clients *c, int ms);

struct lane {
    const struct step *step;
    struct server server;
    pid_t clients; /* 0: none                                               */
    int link;
    struct news news;
    struct news incoming; /* half-read, `have` bytes of it                      */
    size_t have;
};

/** "01/2 thread per client" */
const char *lane_name(const struct step *step, char *buf, size_t len);

/** All four: 0, or -1 with the reason, in words, in why. */
int lane_fork(struct lane *lane, const struct step *step, clients_story *story, char *why);
int lane_start(struct lane *lane, const char *build, char *why);
int lane_order(struct lane *lane, const struct orders *orders, char *why);
int lane_listen(struct lane *lane, char *why);

/** Stops the server and the clients. 0, or -1 with the reason why it did not end as it should. */
int lane_end(struct lane *lane, char *why);
void lane_kill(struct lane *lane);

#endif
