/*
 * client: a peer of any temper.
 *
 * Every call has a deadline and says in one word how it went. A client counts the bytes that it has
 * sent and received and checks every byte of the echo against its own pattern (pattern.h).
 * All sockets are non-blocking inside; a call waits by poll() until its deadline.
 */
#ifndef HARNESS_CLIENT_H
#define HARNESS_CLIENT_H

#include "server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How a client's call went. */
enum outcome {
    CLIENT_OK,
    CLIENT_TIMEOUT,     /* the deadline passed first                                 */
    CLIENT_CLOSED,      /* the server closed (a clean end of stream)                 */
    CLIENT_RESET,       /* the server reset the connection                           */
    CLIENT_REFUSED,     /* nobody listens                                            */
    CLIENT_WRONG_BYTES, /* a byte came back that does not belong at this place       */
    CLIENT_LOCAL_LIMIT  /* this process ran out of descriptors or ports              */
};
const char *outcome_in_words(enum outcome o);

struct client {
    int fd;             /* -1 when closed                                            */
    uint32_t seed;      /* its own pattern                                           */
    uint64_t sent;      /* pattern bytes that the kernel has taken                   */
    uint64_t received;  /* echoed bytes that came back and were right                */
    bool was_reset;     /* some call has seen a reset: a later end is no clean one   */
    int receive_buffer; /* SO_RCVBUF, for slow readers: set before connect; 0 = usual */
    int max_segment;    /* TCP_MAXSEG: as on a real network, where buffers are smaller; 0 = usual */
};

enum outcome client_connect(struct client *c, const struct server *s, int64_t deadline_ns);
enum outcome client_connect_to(struct client *c, const char *address, unsigned port,
                               int64_t deadline_ns);

/** Sends the next n bytes of the pattern; reads nothing. */
enum outcome client_send(struct client *c, size_t n, int64_t deadline_ns);
/** Reads and checks until `received` has grown by n. */
enum outcome client_expect(struct client *c, size_t n, int64_t deadline_ns);
/** Sends n and reads n at the same time, in pieces of random size up to max_piece. */
enum outcome client_exchange(struct client *c, size_t n, size_t max_piece, int64_t deadline_ns);
/** One round trip of n bytes; *ns (may be NULL) tells how long it took. */
enum outcome client_ping(struct client *c, size_t n, int64_t deadline_ns, int64_t *ns);
/**
 * Sends until the kernel has taken nothing more for quiet_ms (scaled), or `most` bytes are sent.
 * Reads nothing.
 */
enum outcome client_flood(struct client *c, uint64_t most, int quiet_ms, int64_t deadline_ns);
/** Sends and reads as much as goes through without waiting; returns at once. For fast peers. */
enum outcome client_pump(struct client *c, uint64_t most_in_flight);
/** Sends raw bytes (no pattern; `sent` does not count them) / reads exactly len raw bytes. */
enum outcome client_send_raw(struct client *c, const void *buf, size_t len, int64_t deadline_ns);
enum outcome client_expect_raw(struct client *c, void *buf, size_t len, int64_t deadline_ns);
/**
 * Waits until the server's machine has acknowledged all that was sent (where the system tells;
 * else at once).
 */
enum outcome client_wait_delivered(struct client *c, int64_t deadline_ns);
/** Waits for the end of the stream: CLIENT_OK at a clean end right after the last expected byte. */
enum outcome client_expect_end(struct client *c, int64_t deadline_ns);

int client_shut_writing(
    struct client *c);               /* half-close                                            */
void client_close(struct client *c); /* politely                                              */
void client_abort(struct client *c); /* SO_LINGER 0: the server sees a reset                  */
/**
 * Raises this process' descriptor limit as far as it may; returns how many more clients it can
 * open.
 */
long client_raise_limit(void);

#endif
