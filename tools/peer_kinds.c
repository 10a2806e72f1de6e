/*
 * peer_kinds: the tempers. Each is two short functions: what a peer waits for, what it does then.
 *
 * All sockets are non-blocking. A turn does what goes without waiting, with a bound, so that a
 * crowd of a thousand gets its turns too. The bytes are a pattern in which each one's value follows
 * from its place, so every byte that comes back is checked.
 */
#include "peer.h"

#include "../tests/harness/clock.h"
#include "../tests/harness/pattern.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PIECE = 64 * 1024, PIECES_PER_TURN = 8 };

static const double NS_PER_MS = 1e6, NS_PER_S = 1e9;

/* ---- sending and receiving ------------------------------------------------------------------- */

static void ends(struct peer *p, enum outcome how)
{
    p->how = how;
    p->done = true;
}

/* An error of send() or recv(): true when it only means "not now". */
static bool is_not_now(struct peer *p)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return true;
    ends(p, CLIENT_RESET); /* ECONNRESET, EPIPE: the other side threw the connection away */
    return false;
}

/* Sends until `most` bytes are sent in all, the kernel takes no more, or the turn is over. */
static void give(struct peer *p, uint64_t most)
{
    unsigned char buf[PIECE];
    for (int i = 0; i < PIECES_PER_TURN && p->c.sent < most; i++) {
        uint64_t left = most - p->c.sent;
        size_t len = left < sizeof buf ? (size_t)left : sizeof buf;
        pattern_fill(buf, len, p->c.sent, p->c.seed);
        ssize_t n = send(p->c.fd, buf, len, 0);
        if (n < 0) {
            (void)is_not_now(p); /* either way this turn is over */
            return;
        }
        p->c.sent += (uint64_t)n; /* a short count is fine: the next piece goes on from here */
    }
}

/* Reads and checks what is there. A clean end of the stream ends the peer as CLIENT_CLOSED. */
static void take(struct peer *p)
{
    unsigned char buf[PIECE];
    for (int i = 0; i < PIECES_PER_TURN && !p->done; i++) {
        ssize_t n = recv(p->c.fd, buf, sizeof buf, 0);
        if (n < 0) {
            (void)is_not_now(p);
            return;
        }
        if (n == 0) {
            ends(p, CLIENT_CLOSED);
            return;
        }
        size_t good = pattern_mismatch(buf, (size_t)n, p->c.received, p->c.seed);
        p->c.received += good;
        if (good < (size_t)n || p->c.received > p->c.sent)
            ends(p, CLIENT_WRONG_BYTES);
    }
}

static double seconds_since(int64_t ns)
{
    return (double)(clock_now_ns() - ns) / NS_PER_S;
}

/* ---- silent ---------------------------------------------------------------------------------- */

static short wants_news(const struct peer *p)
{
    (void)p;
    return POLLIN;
}

static void silent_ready(struct crowd *crowd, struct peer *p)
{
    (void)crowd;
    take(p); /* nothing should come but the end: we have asked for nothing */
}

/* ---- flood: sends, never reads --------------------------------------------------------------- */

/* The server's first look at it is to find nothing, on a busy machine too. */
enum { FLOOD_BREATH_MS = 100 };

static short wants_room(const struct peer *p)
{
    (void)p;
    return POLLOUT;
}

static void flood_ready(struct crowd *crowd, struct peer *p)
{
    (void)crowd;
    give(p, UINT64_MAX);
}

/* A good server stops reading from one who does not fetch its answers: then nothing goes. */
static void flood_tick(struct crowd *crowd)
{
    uint64_t sent = crowd_sent(crowd);
    bool stuck = sent == crowd->sent_before;
    if (!stuck)
        say(crowd, "sent %s and read nothing; more still goes\n", in_words(sent));
    else if (!crowd->told_stuck)
        say(crowd,
            "sent %s, and now nothing goes any more: the server has stopped reading from us\n",
            in_words(sent));
    crowd->told_stuck = stuck;
    crowd->sent_before = sent;
}

/* ---- fast: sends and reads as fast as it can ------------------------------------------------- */

static bool has_room_in_flight(const struct peer *p)
{
    return p->c.sent - p->c.received < FAST_IN_FLIGHT;
}

static short fast_wants(const struct peer *p)
{
    return has_room_in_flight(p) ? POLLIN | POLLOUT : POLLIN;
}

static void fast_ready(struct crowd *crowd, struct peer *p)
{
    (void)crowd;
    take(p);
    if (!p->done && has_room_in_flight(p))
        give(p, p->c.received + FAST_IN_FLIGHT);
}

static void fast_tick(struct crowd *crowd)
{
    uint64_t received = crowd_received(crowd);
    say(crowd, "%s came back so far, %s per second, every byte right\n", in_words(received),
        in_words((uint64_t)((double)received / seconds_since(crowd->started_ns))));
}

/* ---- rst: sends, then aborts ----------------------------------------------------------------- */

static void rst_ready(struct crowd *crowd, struct peer *p)
{
    (void)crowd;
    give(p, RST_BYTES);
    client_abort(
        &p->c); /* what it would have got back is thrown away, and the server sees a reset */
    p->done = true;
}

/* The server must have lost these connections only: does it serve the next one? */
static bool rst_verdict(struct crowd *crowd)
{
    const struct options *o = crowd->options;
    struct client newcomer = {.fd = -1, .seed = o->count};
    int64_t ns = 0, deadline = deadline_in_ms(PATIENCE_MS);
    enum outcome how = client_connect_to(&newcomer, o->address, o->port, deadline);
    if (how == CLIENT_OK)
        how = client_ping(&newcomer, PING_BYTES, deadline, &ns);
    client_close(&newcomer);
    if (how == CLIENT_OK)
        printf("a newcomer is served in %.3f ms: the server lives\n", (double)ns / NS_PER_MS);
    else
        printf("a newcomer is NOT served: %s\n", outcome_in_words(how));
    return how == CLIENT_OK;
}

/* ---- half: sends, shuts its writing side, reads to the end ----------------------------------- */

static short half_wants(const struct peer *p)
{
    return p->half_closed ? POLLIN : POLLIN | POLLOUT;
}

static void half_ready(struct crowd *crowd, struct peer *p)
{
    (void)crowd;
    p->asked_ns = clock_now_ns(); /* a sign of life: patience begins anew */
    if (!p->half_closed)
        give(p, HALF_BYTES);
    if (!p->done && !p->half_closed && p->c.sent == HALF_BYTES) {
        p->half_closed = true;
        client_shut_writing(&p->c);
    }
    if (!p->done)
        take(p);
    if (p->done && p->how == CLIENT_CLOSED && p->c.received == HALF_BYTES)
        p->how = CLIENT_OK; /* the end came where it should: after the last byte */
}

static bool half_verdict(struct crowd *crowd)
{
    unsigned good = 0;
    for (unsigned i = 0; i < crowd->connected; i++)
        good += crowd->peers[i].done && crowd->peers[i].how == CLIENT_OK;
    printf("%u of %u got all of it back after their half-close, then a clean end\n", good,
           crowd->connected);
    return good == crowd->connected;
}

/* ---- ping and drip: a question, and the wait for its answer ---------------------------------- */

static bool asks_enough(const struct crowd *crowd, const struct peer *p)
{
    return crowd->options->seconds == 0 && p->trips == TRIPS;
}

static void ask(const struct crowd *crowd, struct peer *p)
{
    p->trips++;
    p->asked_ns = clock_now_ns();
    give(p, p->c.sent + crowd->kind->question);
}

/* Reads; true when the whole answer is there. */
static bool is_answered(struct crowd *crowd, struct peer *p)
{
    take(p);
    if (p->done || p->asked_ns == 0 || p->c.received < p->c.sent)
        return false;
    if (crowd->trip_count < TRIPS_KEPT)
        crowd->trip_ns[crowd->trip_count++] = clock_now_ns() - p->asked_ns;
    p->asked_ns = 0;
    return true;
}

static short wants_answer(const struct peer *p)
{
    return p->trips == 0 ? POLLOUT : POLLIN;
}

static void ping_ready(struct crowd *crowd, struct peer *p)
{
    if (p->trips > 0 && !is_answered(crowd, p))
        return;
    if (asks_enough(crowd, p))
        ends(p, CLIENT_OK);
    else
        ask(crowd, p);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool ping_verdict(struct crowd *crowd)
{
    size_t n = crowd->trip_count;
    const int64_t *ns = crowd->trip_ns;
    if (n == 0) {
        printf("no answer came back\n");
        return false;
    }
    qsort(crowd->trip_ns, n, sizeof *ns, by_size);
    printf("%zu round trips of %zu bytes: min %.3f ms, median %.3f ms, max %.3f ms\n", n,
           crowd->kind->question, (double)ns[0] / NS_PER_MS, (double)ns[n / 2] / NS_PER_MS,
           (double)ns[n - 1] / NS_PER_MS);
    return true;
}

static void drip_ready(struct crowd *crowd, struct peer *p)
{
    bool answered = is_answered(crowd, p);
    if (p->trips == 0)
        ask(crowd, p); /* the first one at once, the others at the ticks */
    if (answered && crowd->options->count == 1)
        say(crowd, "byte %u came back after %.3f ms\n", p->trips,
            (double)crowd->trip_ns[crowd->trip_count - 1] / NS_PER_MS);
    if (answered && asks_enough(crowd, p))
        ends(p, CLIENT_OK);
}

static void drip_tick(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->connected; i++) {
        struct peer *p = &crowd->peers[i];
        if (p->c.fd >= 0 && !p->done && p->asked_ns == 0)
            ask(crowd, p);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct kind kinds[] = {
    {.name = "silent",
     .does = "connects and never says a word",
     .for_ever = true,
     .wants = wants_news,
     .ready = silent_ready},
    {.name = "flood",
     .does = "sends without end and never reads",
     .for_ever = true,
     .breath_ms = FLOOD_BREATH_MS,
     .wants = wants_room,
     .ready = flood_ready,
     .tick = flood_tick},
    {.name = "fast",
     .does = "sends and reads as fast as it can",
     .for_ever = true,
     .answer_is_due = true,
     .wants = fast_wants,
     .ready = fast_ready,
     .tick = fast_tick},
    {.name = "rst",
     .does = "sends, then aborts: the server sees a reset",
     .wants = wants_room,
     .ready = rst_ready,
     .verdict = rst_verdict},
    {.name = "half",
     .does = "sends, shuts its writing side, reads to the end",
     .answer_is_due = true,
     .wants = half_wants,
     .ready = half_ready,
     .verdict = half_verdict},
    {.name = "drip",
     .does = "sends one byte per second and waits for each",
     .answer_is_due = true,
     .question = 1,
     .wants = wants_answer,
     .ready = drip_ready,
     .tick = drip_tick,
     .verdict = ping_verdict},
    {.name = "ping",
     .does = "sends, waits for the answer, sends again",
     .answer_is_due = true,
     .question = PING_BYTES,
     .wants = wants_answer,
     .ready = ping_ready,
     .verdict = ping_verdict},
};

const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

void kinds_print(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        fprintf(stderr, "  %-8s %s\n", kinds[i].name, kinds[i].does);
    fprintf(stderr, "  %-8s %s\n", "talk", "sends what you type, prints what comes back");
}
