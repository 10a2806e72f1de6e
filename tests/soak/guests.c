/*
 * guests: see guests.h.
 */
#include "guests.h"

#include "harness/client_socket.h"
#include "harness/clock.h"
#include "harness/pattern.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * PIECE is what one call moves at most, PIECES what one guest moves in its turn. LOOK is what a
 * slow one reads at a time; STUCK_BEATS: so long without a byte going out, and it begins to read.
 * PATIENCE: so long without a byte is no answer. ROUND_MS: between two rounds; a round looks at
 * everybody, and the server wants the processor, too.
 */
enum {
    PIECE = 65536,
    PIECES = 4,
    LOOK = 16384,
    SLOW_BUFFER = 8192,
    SLOW_SEGMENT = 1400,
    STUCK_BEATS = 4,
    SLOW_PART = 8,
    LINE = 64,
    ARRIVALS_PER_ROUND = 64,
    PATIENCE_MS = 30000,
    PUT_OFF_MS = 1000,
    ROUND_MS = 1
};
enum { BEAT_US_PER_GUEST = 200, BEAT_US_LEAST = 2000 };

static const char *const temper_names[TEMPERS] = {"steady", "bursty", "slow",
                                                  "reset",  "half",   "vanish"};
static char piece[PIECE];

/* The reason, with what is known about the guest. */
static bool fails(struct guests *guests, const struct guest *guest, const char *format, ...)
{
    va_list words;
    int n = snprintf(guests->why, sizeof guests->why,
                     "a guest (%s; %" PRIu64 " bytes sent, %" PRIu64 " came back right): ",
                     temper_names[guest->temper], guest->client.sent, guest->client.received);
    va_start(words, format);
    (void)vsnprintf(guests->why + n, sizeof guests->why - (size_t)n, format, words);
    va_end(words);
    return false;
}

/* ---- chance ---------------------------------------------------------------------------------- */

static uint32_t chance(struct guests *guests)
{
    uint32_t x = guests->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return guests->random = x;
}

/* Those who make the server hold bytes have places of their own, so they are never more. */
static bool is_slow_place(const struct guests *guests, const struct guest *guest)
{
    return guests->count >= SLOW_PART && (guest - guests->all) % SLOW_PART == 0;
}

static enum temper some_temper(struct guests *guests, const struct guest *guest)
{
    static const unsigned of_all[TEMPERS] = {45, 20, 10, 10, 8, 7};
    static const unsigned of_slow_places[TEMPERS] = {0, 0, 60, 0, 0, 40};
    static const unsigned of_others[TEMPERS] = {55, 22, 0, 13, 10, 0};
    const bool is_slow = is_slow_place(guests, guest);
    const unsigned *percent = guests->count < SLOW_PART ? of_all
                              : is_slow                 ? of_slow_places
                                                        : of_others;
    unsigned drawn = chance(guests) % 100;
    int temper = 0;
    if (guests->gathering)
        return is_slow ? SLOW : BURSTY;
    while (drawn >= percent[temper])
        drawn -= percent[temper++];
    return (enum temper)temper;
}

/* From half of it to one and a half. */
static int64_t about(struct guests *guests, int64_t beats)
{
    int64_t ns = beats * guests->beat_ns;
    return ns / 2 + ns / 1000 * (int64_t)(chance(guests) % 1000);
}

static uint64_t message_size(struct guests *guests, const struct guest *guest)
{
    bool last = guest->turns == 1;
    switch (guest->temper) {
    case STEADY:
        return 1 + chance(guests) % 512;
    case RESET:
        return 1 + chance(guests) % (last ? 32768 : 512);
    case BURSTY:
        return 16384 + chance(guests) % 49152;
    case SLOW:
        return 524288;
    case VANISH:
        return 131072 + chance(guests) % 65536;
    default:
        return 1 + chance(guests) % 32768;
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void fill(const struct guests *guests, char *buf, size_t len, uint64_t offset, uint32_t seed)
{
    pattern_fill(buf, len, offset, seed);
    for (size_t i = 0; guests->lines && i < len; i++)
        buf[i] = (offset + i + 1) % LINE == 0 ? '\n' : (char)('A' + (unsigned char)buf[i] % 26);
}

static bool is_right(const struct guests *guests, const struct client *c, size_t len)
{
    static char expected[PIECE];
    if (!guests->lines)
        return pattern_mismatch(piece, len, c->received, c->seed) == len;
    fill(guests, expected, len, c->received, c->seed);
    return memcmp(piece, expected, len) == 0;
}

static void is_in_time(struct guest *guest)
{
    guest->late_ns = deadline_in_ms(PATIENCE_MS);
}

/* Sends what it has to say, as far as it goes without waiting. */
static bool push(struct guests *guests, struct guest *guest)
{
    struct client *c = &guest->client;
    for (int i = 0; i < PIECES && c->sent < guest->goal; i++) {
        uint64_t left = guest->goal - c->sent;
        size_t len = left < PIECE ? (size_t)left : PIECE;
        fill(guests, piece, len, c->sent, c->seed);
        ssize_t n = socket_send(c->fd, piece, len);
        if (n < 0 && socket_would_block(errno))
            return true;
        if (n < 0)
            return fails(guests, guest, "send: %s", strerror(errno));
        c->sent += (uint64_t)n;
        is_in_time(guest);
    }
    return true;
}

/* Reads and checks what is there. *ended: the server has closed, when it might. */
static bool pull(struct guests *guests, struct guest *guest, size_t most, bool *ended)
{
    struct client *c = &guest->client;
    for (int i = 0; i < PIECES && !*ended; i++) {
        ssize_t n = socket_receive(c->fd, piece, most);
        if (n < 0 && socket_would_block(errno))
            return true;
        if (n < 0)
            return fails(guests, guest, "recv: %s", strerror(errno));
        *ended = n == 0;
        if (*ended && (guest->phase != LEAVING || c->received != c->sent))
            return fails(guests, guest, "the server closed its connection");
        if (c->received + (uint64_t)n > c->sent)
            return fails(guests, guest, "more came back than was sent");
        if (!is_right(guests, c, (size_t)n))
            return fails(guests, guest, "a byte came back that does not belong there");
        c->received += (uint64_t)n;
        is_in_time(guest);
        if (most < PIECE)
            break; /* a slow one has had its look */
    }
    return true;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static void begins_to_talk(struct guests *guests, struct guest *guest)
{
    guest->phase = TALKING;
    guest->goal = guest->client.sent + message_size(guests, guest);
    if (guests->lines && guest->temper != HALF) /* whole lines: only those are answered at once */
        guest->goal += LINE - guest->goal % LINE;
    guest->reads = guest->temper != SLOW;
    guest->act_ns = clock_now_ns();
    is_in_time(guest);
}

static bool arrives(struct guests *guests, struct guest *guest)
{
    static const int turns[TEMPERS] = {8, 3, 1, 4, 1, 1};
    guest->temper = some_temper(guests, guest);
    guest->turns = turns[guest->temper];
    guest->client.seed = chance(guests);
    const bool is_slow = guest->temper == SLOW || guest->temper == VANISH;
    guest->client.receive_buffer = is_slow ? SLOW_BUFFER : 0;
    guest->client.max_segment = is_slow ? SLOW_SEGMENT : 0;
    enum outcome o = client_connect(&guest->client, guests->server, deadline_in_ms(PATIENCE_MS));
    if (o == CLIENT_LOCAL_LIMIT) { /* ports that rest: there will be some again */
        guest->act_ns = clock_now_ns() + PUT_OFF_MS * INT64_C(1000000);
        guests->put_off++;
        return true;
    }
    if (o != CLIENT_OK)
        return fails(guests, guest, "connect: %s", outcome_in_words(o));
    guests->arrived++;
    guests->present++;
    begins_to_talk(guests, guest);
    return true;
}

/* Its last call has been made: the place is free. */
static void is_gone(struct guests *guests, struct guest *guest)
{
    guests->sent += guest->client.sent;
    guests->received += guest->client.received;
    guests->whole += guest->client.received == guest->client.sent;
    guests->present--;
    guest->phase = AWAY;
    guest->act_ns = clock_now_ns() + about(guests, 1) / 16;
}

static bool leaves_rudely(struct guests *guests, struct guest *guest)
{
    if (guest->temper == RESET)
        client_abort(&guest->client);
    else
        client_close(&guest->client); /* with answers unread: the kernel resets it */
    is_gone(guests, guest);
    return true;
}

/* Everything has come back: either it simply closes, or it half-closes and waits for the end. */
static bool leaves(struct guests *guests, struct guest *guest)
{
    if (guest->temper != SLOW && guest->temper != HALF && !guests->closing) {
        client_close(&guest->client);
        is_gone(guests, guest);
        return true;
    }
    if (client_shut_writing(&guest->client) < 0)
        return fails(guests, guest, "shutdown: %s", strerror(errno));
    guest->phase = LEAVING;
    is_in_time(guest);
    return true;
}

/* ---- one guest's turn ------------------------------------------------------------------------ */

static bool is_done(struct guests *guests, struct guest *guest)
{
    if (--guest->turns == 0 || guests->closing)
        return leaves(guests, guest);
    guest->phase = RESTING;
    guest->act_ns = clock_now_ns() + about(guests, guest->temper == BURSTY ? 4 : 1);
    return true;
}

static bool talks_rudely(struct guests *guests, struct guest *guest, int64_t now_ns)
{
    if (!push(guests, guest))
        return false;
    if (guest->temper == RESET)
        return leaves_rudely(guests, guest);
    guest->phase = SILENT;
    guest->act_ns = now_ns + about(guests, 5);
    return true;
}

/* A half-close right behind the bytes: what comes back is looked at while it leaves. */
static bool talks_and_shuts(struct guests *guests, struct guest *guest)
{
    if (!push(guests, guest))
        return false;
    return guest->client.sent < guest->goal || leaves(guests, guest);
}

static bool talks(struct guests *guests, struct guest *guest, int64_t now_ns)
{
    const bool is_slow = guest->temper == SLOW;
    const uint64_t sent = guest->client.sent;
    bool ended = false;
    if (guest->temper == VANISH || (guest->temper == RESET && guest->turns == 1))
        return talks_rudely(guests, guest, now_ns);
    if (guest->temper == HALF && guest->client.sent < guest->goal)
        return talks_and_shuts(guests, guest);
    if (!push(guests, guest))
        return false;
    if (!guest->reads && guest->client.sent > sent)
        guest->act_ns = now_ns + STUCK_BEATS * guests->beat_ns;
    if (is_slow && now_ns < guest->act_ns)
        return true;
    if (!guest->reads && guests->gathering) { /* stuck, and it stays so until all have come */
        is_in_time(guest);
        return true;
    }
    guest->reads = true;
    guest->act_ns = is_slow ? now_ns + guests->beat_ns / 4 : INT64_MAX; /* the others: at events */
    if (!pull(guests, guest, is_slow ? LOOK : PIECE, &ended))
        return false;
    return guest->client.received < guest->goal || is_done(guests, guest);
}

static bool takes_its_leave(struct guests *guests, struct guest *guest)
{
    bool ended = false;
    if (!pull(guests, guest, PIECE, &ended))
        return false;
    if (ended) {
        client_close(&guest->client);
        is_gone(guests, guest);
    }
    return true;
}

/* Nothing is owed: whatever comes now is wrong, and pull() says so. */
static bool rests(struct guests *guests, struct guest *guest, bool is_ready, int64_t now_ns)
{
    bool ended = false;
    if (is_ready && !pull(guests, guest, PIECE, &ended))
        return false;
    if (guests->closing)
        return leaves(guests, guest);
    if (now_ns >= guest->act_ns && !guests->gathering)
        begins_to_talk(guests, guest);
    return true;
}

static bool has_turn(struct guests *guests, struct guest *guest, bool is_ready, int64_t now_ns)
{
    const bool is_due = now_ns >= guest->act_ns;
    if ((guest->phase == TALKING || guest->phase == LEAVING) && now_ns >= guest->late_ns)
        return fails(guests, guest, "no byte for %d s", PATIENCE_MS / 1000);
    switch (guest->phase) {
    case AWAY:
        return guests->closing || !is_due || arrives(guests, guest);
    case TALKING:
        return (!is_ready && !is_due) || talks(guests, guest, now_ns);
    case RESTING:
        return rests(guests, guest, is_ready, now_ns);
    case LEAVING:
        return !is_ready || takes_its_leave(guests, guest);
    case SILENT:
        return (!is_due && !guests->closing) || leaves_rudely(guests, guest);
    }
    return true;
}

/* ---- everybody ------------------------------------------------------------------------------- */

/* What poll() looks for. A negative descriptor is passed over (man 2 poll). */
static struct pollfd watched(const struct guest *guest)
{
    const struct client *c = &guest->client;
    struct pollfd one = {.fd = c->fd, .events = POLLIN};
    if (guest->phase == AWAY || guest->phase == SILENT)
        one.fd = -1;
    else if (guest->phase == TALKING && guest->temper == SLOW)
        one.events = 0; /* reads when it is due */
    if (guest->phase == TALKING && c->sent < guest->goal)
        one.events |= POLLOUT;
    return one;
}

static bool live_a_round(struct guests *guests)
{
    int arrivals = ARRIVALS_PER_ROUND;
    for (int i = 0; i < guests->count; i++)
        guests->polled[i] = watched(&guests->all[i]);
    if (poll(guests->polled, (nfds_t)guests->count, ROUND_MS) < 0 && errno != EINTR)
        return fails(guests, &guests->all[0], "poll: %s", strerror(errno));
    const int64_t now_ns = clock_now_ns();
    for (int i = 0; i < guests->count; i++) {
        struct guest *guest = &guests->all[i];
        const bool comes = guest->phase == AWAY && !guests->closing && now_ns >= guest->act_ns;
        if (comes && arrivals-- <= 0)
            continue;
        if (!has_turn(guests, guest, guests->polled[i].revents != 0, now_ns))
            return false;
    }
    return true;
}

int guests_open(struct guests *guests, const struct server *server, int count, bool lines)
{
    const int64_t beat_us = (int64_t)count * BEAT_US_PER_GUEST;
    *guests =
        (struct guests){.server = server, .count = count, .lines = lines, .random = 2463534242};
    guests->beat_ns = 1000 * (beat_us < BEAT_US_LEAST ? BEAT_US_LEAST : beat_us);
    guests->all = calloc((size_t)count, sizeof *guests->all);
    guests->polled = calloc((size_t)count, sizeof *guests->polled);
    if (guests->all == NULL || guests->polled == NULL)
        return -1;
    for (int i = 0; i < count; i++)
        guests->all[i].client.fd = -1;
    return 0;
}

int guests_live(struct guests *guests, int64_t until_ns, uint64_t arrived)
{
    while (clock_now_ns() < until_ns || guests->arrived < arrived) {
        if (!live_a_round(guests))
            return -1;
        clock_pause_ms(ROUND_MS);
    }
    return 0;
}

static bool is_stuck(const struct guest *guest)
{
    return guest->phase == TALKING && !guest->reads && clock_now_ns() >= guest->act_ns;
}

static bool all_rest(const struct guests *guests)
{
    for (int i = 0; i < guests->count; i++)
        if (guests->all[i].phase != RESTING && !is_stuck(&guests->all[i]))
            return false;
    return true;
}

int guests_gather(struct guests *guests)
{
    guests->gathering = true;
    while (!all_rest(guests)) /* each has its own deadline */
        if (!live_a_round(guests))
            return -1;
    guests->gathering = false;
    for (int i = 0; i < guests->count; i++) /* not all in the same moment */
        guests->all[i].act_ns = clock_now_ns() + about(guests, 1);
    return 0;
}

int guests_leave(struct guests *guests)
{
    guests->closing = true;
    while (guests->present > 0) /* each has its own deadline */
        if (!live_a_round(guests))
            return -1;
    return 0;
}

void guests_close(struct guests *guests)
{
    for (int i = 0; guests->all != NULL && i < guests->count; i++)
        client_close(&guests->all[i].client);
    free(guests->all);
    free(guests->polled);
    guests->all = NULL;
    guests->polled = NULL;
}
