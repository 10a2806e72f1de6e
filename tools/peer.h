/*
 * peer: what its files share. Private to this tool; peer.c has the essay.
 */
#ifndef PEER_H
#define PEER_H

#include "../tests/harness/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SAYS_LIKE_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define SAYS_LIKE_PRINTF
#endif

enum {
    PEERS_MOST = 100000,  /* more than any machine has descriptors for */
    TRIPS = 10,           /* round trips of ping and drip without -s */
    TRIPS_KEPT = 1000000, /* how many of them are timed */
    PING_BYTES = 64,
    HALF_BYTES = 64 * 1024, /* more than one read of most servers */
    RST_BYTES = 64 * 1024,  /* so that the abort finds the server at work */
    FAST_IN_FLIGHT = 1024 * 1024,
    PATIENCE_MS = 5000 /* an answer that takes longer on one machine is none */
};

struct options {
    const char *kind;
    const char *address;
    unsigned port;
    unsigned count;   /* how many such peers at once */
    unsigned seconds; /* 0: as the kind likes */
    bool quiet;       /* only the last line */
};

/** One of the crowd. */
struct peer {
    struct client c;  /* its fd is -1 when it is over */
    enum outcome how; /* how it ended; CLIENT_OK: as it wanted */
    bool done;        /* it wants to end; the crowd closes it */
    bool half_closed;
    unsigned trips;   /* questions asked */
    int64_t asked_ns; /* when the last one was; 0: no answer is awaited */
};

struct crowd {
    const struct options *options;
    const struct kind *kind;
    struct peer *peers;
    struct pollfd *polled; /* one per peer, and the interrupt behind them */
    unsigned connected;    /* how many were, at the start */
    int64_t started_ns;
    uint64_t sent_before; /* at the last tick, over all peers */
    bool told_stuck;      /* flood: has said that nothing goes any more */
    int64_t *trip_ns;     /* ping, drip: how long the round trips took */
    size_t trip_count;
};

/** A temper. What is not set is not so, or not done. */
struct kind {
    const char *name;
    const char *does;                               /* in plain words */
    bool for_ever;                                  /* without -s it lives until Ctrl-C */
    bool answer_is_due;                             /* a server that closes does wrong */
    unsigned breath_ms;                             /* between connecting and the first byte */
    size_t question;                                /* ping, drip: bytes per round trip */
    short (*wants)(const struct peer *p);           /* events for poll() */
    void (*ready)(struct crowd *c, struct peer *p); /* called when there are such events */
    void (*tick)(struct crowd *c);                  /* called once a second */
    bool (*verdict)(struct crowd *c);               /* at the end: did the server do right? */
};

/** The temper of that name, or NULL. */
const struct kind *kind_find(const char *name);
/** Prints "silent, flood, ..." to stderr, and what each does. */
void kinds_print(void);

/** Connects the crowd, lets it live, prints its totals. Returns the exit status. */
int crowd_run(const struct options *options, const struct kind *kind);

/** The client for the keyboard. Returns the exit status. */
int talk_run(const struct options *options);

/** Says on stderr why there is no connection, and what helps. */
void say_why_not(const struct options *o, enum outcome how);

/** From now on Ctrl-C and SIGTERM no longer end the program: this descriptor becomes readable. */
int interrupt_open(void);

/** A size for people: "812 bytes", "64.0 KiB", "2.5 MiB". Good until the fourth call after it. */
const char *in_words(uint64_t bytes);

/** printf() for what the peer says while it lives; nothing with -q. */
void say(const struct crowd *crowd, const char *format, ...) SAYS_LIKE_PRINTF;

/** What all peers of the crowd have sent and got back. */
uint64_t crowd_sent(const struct crowd *crowd);
uint64_t crowd_received(const struct crowd *crowd);

#endif
