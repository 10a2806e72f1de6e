/*
 * client_traffic: see client.h. The bytes between a connection's beginning and its end.
 *
 * Two functions move bytes and touch the counts: push() sends a piece of the pattern, pull()
 * reads a piece of the echo and checks it. Everything else decides when to call them.
 *
 * A reset does not wait its turn: it may arrive while good echo bytes lie unread in the receive
 * buffer, and send() tells it first. So whoever sends and reads reads on after a failed send,
 * until the receive side ends too: the counts and the verdict on the bytes stay exact.
 */
#include "client.h"

#include "client_socket.h"
#include "clock.h"
#include "pattern.h"

#include <errno.h>
#include <poll.h>

enum { PIECE = 65536, PUMP_TURNS = 16, LOOK_MS = 1 };

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* ---- The two that move bytes ------------------------------------------------------------- */

/**
 * The kernel tells a reset once, to whichever call comes first (on Linux it may be a send() while
 * echo bytes are still unread); whoever reads to the end after that sees a clean one. So the client
 * remembers it.
 */
static enum outcome failed(struct client *c, int err)
{
    enum outcome o = socket_would_block(err) ? CLIENT_OK : outcome_of_errno(err);
    c->was_reset = c->was_reset || o == CLIENT_RESET;
    return o;
}

static enum outcome ended(const struct client *c)
{
    return c->was_reset ? CLIENT_RESET : CLIENT_CLOSED;
}

/**
 * How one attempt went: *moved says whether any byte did. "Would block" is CLIENT_OK, not moved.
 */
static enum outcome push(struct client *c, size_t n, bool *moved)
{
    unsigned char piece[PIECE];
    size_t len = n < PIECE ? n : PIECE;
    pattern_fill(piece, len, c->sent, c->seed);
    ssize_t taken = socket_send(c->fd, piece, len);
    *moved = taken > 0;
    if (taken < 0) {
        return failed(c, errno);
    }
    c->sent += (uint64_t)taken;
    return CLIENT_OK;
}

static enum outcome pull(struct client *c, size_t n, bool *moved)
{
    unsigned char piece[PIECE];
    ssize_t len = socket_receive(c->fd, piece, n < PIECE ? n : PIECE);
    *moved = len > 0;
    if (len < 0) {
        return failed(c, errno);
    }
    if (len == 0) {
        return ended(c);
    }
    size_t right = pattern_mismatch(piece, (size_t)len, c->received, c->seed);
    c->received += right;
    return right == (size_t)len ? CLIENT_OK : CLIENT_WRONG_BYTES;
}

/**
 * Between two attempts: waits where the last one moved nothing. Where it did, only the deadline
 * is looked at, so that a server which sends a byte now and then cannot hold us for ever.
 */
static enum outcome before_next(struct client *c, bool moved, short events, int64_t deadline_ns)
{
    if (!moved) {
        return socket_wait(c->fd, events, deadline_ns);
    }
    return deadline_left_ms(deadline_ns) > 0 ? CLIENT_OK : CLIENT_TIMEOUT;
}

/* ---- One direction ----------------------------------------------------------------------- */

enum outcome client_send(struct client *c, size_t n, int64_t deadline_ns)
{
    const uint64_t goal = c->sent + n;
    enum outcome o = CLIENT_OK;
    while (o == CLIENT_OK && c->sent < goal) {
        bool moved;
        o = push(c, smaller(goal - c->sent, PIECE), &moved);
        if (o == CLIENT_OK && c->sent < goal) {
            o = before_next(c, moved, POLLOUT, deadline_ns);
        }
    }
    return o;
}

enum outcome client_expect(struct client *c, size_t n, int64_t deadline_ns)
{
    const uint64_t goal = c->received + n;
    enum outcome o = CLIENT_OK;
    while (o == CLIENT_OK && c->received < goal) {
        bool moved;
        o = pull(c, smaller(goal - c->received, PIECE), &moved);
        if (o == CLIENT_OK && c->received < goal) {
            o = before_next(c, moved, POLLIN, deadline_ns);
        }
    }
    return o;
}

enum outcome client_flood(struct client *c, uint64_t most, int quiet_ms, int64_t deadline_ns)
{
    const uint64_t goal = c->sent + most;
    int64_t quiet_ns = deadline_in_ms(quiet_ms);
    while (c->sent < goal) {
        bool moved;
        enum outcome o = push(c, smaller(goal - c->sent, PIECE), &moved);
        if (o != CLIENT_OK) {
            return o;
        }
        if (moved) {
            quiet_ns = deadline_in_ms(quiet_ms);
        }
        bool quiet_first = quiet_ns <= deadline_ns;
        o = before_next(c, moved, POLLOUT, quiet_first ? quiet_ns : deadline_ns);
        if (o != CLIENT_OK && c->sent < goal) {
            return o == CLIENT_TIMEOUT && quiet_first ? CLIENT_OK : o;
        }
    }
    return CLIENT_OK;
}

enum outcome client_wait_delivered(struct client *c, int64_t deadline_ns)
{
    /* No event tells of an acknowledgement, so this looks again every millisecond. */
    while (socket_unacknowledged(c->fd) > 0) {
        if (deadline_left_ms(deadline_ns) == 0) {
            return CLIENT_TIMEOUT;
        }
        clock_pause_ms(LOOK_MS);
    }
    return CLIENT_OK;
}

enum outcome client_expect_end(struct client *c, int64_t deadline_ns)
{
    for (;;) {
        bool moved;
        enum outcome o = pull(c, PIECE, &moved);
        if (c->received > c->sent) { /* a byte too many, even if it happens to fit */
            return CLIENT_WRONG_BYTES;
        }
        if (o == CLIENT_CLOSED && c->received == c->sent) {
            return CLIENT_OK;
        }
        if (o == CLIENT_OK) {
            o = before_next(c, moved, POLLIN, deadline_ns);
        }
        if (o != CLIENT_OK) {
            return o;
        }
    }
}

/* ---- Both directions --------------------------------------------------------------------- */

/** Lengths of pieces: repeatable from run to run, different from client to client. */
static size_t next_piece(uint32_t *state, size_t max_piece)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return 1 + x % max_piece;
}

/** An exchange on its way. */
struct exchange {
    uint64_t send_goal, receive_goal;
    size_t piece; /* what is left of the piece that is being sent  */
    uint32_t random;
    enum outcome send_outcome; /* the first failure of a send                   */
};

/** One attempt to send and one to read. *moved: whether either did something. */
static enum outcome exchange_turn(struct client *c, struct exchange *x, size_t max_piece,
                                  bool *moved)
{
    bool pushed = false;
    if (c->sent < x->send_goal && x->send_outcome == CLIENT_OK) {
        if (x->piece == 0) {
            x->piece = smaller(x->send_goal - c->sent, next_piece(&x->random, max_piece));
        }
        const uint64_t before = c->sent;
        x->send_outcome = push(c, x->piece, &pushed);
        x->piece -= (size_t)(c->sent - before);
    }
    enum outcome o = pull(c, smaller(x->receive_goal - c->received, PIECE), moved);
    *moved = *moved || pushed;
    return o;
}

enum outcome client_exchange(struct client *c, size_t n, size_t max_piece, int64_t deadline_ns)
{
    struct exchange x = {.send_goal = c->sent + n,
                         .receive_goal = c->received + n,
                         .random = c->seed * 2654435761u + 1 + (uint32_t)c->sent,
                         .send_outcome = CLIENT_OK};
    x.random = x.random != 0 ? x.random : 1;
    max_piece = max_piece == 0 || max_piece > PIECE ? PIECE : max_piece;

    while (c->received < x.receive_goal) {
        bool moved;
        enum outcome o = exchange_turn(c, &x, max_piece, &moved);
        if (o == CLIENT_OK && !moved && x.send_outcome != CLIENT_OK) {
            return x.send_outcome; /* and nothing more to read */
        }
        if (o == CLIENT_OK && c->received < x.receive_goal) {
            bool sending = c->sent < x.send_goal && x.send_outcome == CLIENT_OK;
            o = before_next(c, moved, sending ? POLLIN | POLLOUT : POLLIN, deadline_ns);
        }
        if (o != CLIENT_OK) {
            return o;
        }
    }
    return x.send_outcome;
}

enum outcome client_ping(struct client *c, size_t n, int64_t deadline_ns, int64_t *ns)
{
    int64_t start = clock_now_ns();
    enum outcome o = client_exchange(c, n, 0, deadline_ns);
    if (ns != NULL) {
        *ns = clock_now_ns() - start;
    }
    return o;
}

enum outcome client_pump(struct client *c, uint64_t most_in_flight)
{
    enum outcome sent = CLIENT_OK;
    for (int turn = 0; turn < PUMP_TURNS;
         turn++) { /* a bound, or a fast server keeps us for ever */
        bool pulled;
        bool pushed = false;
        enum outcome o = pull(c, PIECE, &pulled);
        if (o != CLIENT_OK) {
            return o;
        }
        if (c->sent - c->received < most_in_flight && sent == CLIENT_OK) {
            sent = push(c, smaller(most_in_flight - (c->sent - c->received), PIECE), &pushed);
        }
        if (!pulled && !pushed) {
            break;
        }
    }
    return sent;
}

/* ---- Raw bytes --------------------------------------------------------------------------- */

enum outcome client_send_raw(struct client *c, const void *buf, size_t len, int64_t deadline_ns)
{
    const char *from = buf;
    while (len > 0) {
        ssize_t n = socket_send(c->fd, from, len);
        if (n >= 0) {
            from += n;
            len -= (size_t)n;
            continue;
        }
        enum outcome o = failed(c, errno);
        if (o == CLIENT_OK) {
            o = socket_wait(c->fd, POLLOUT, deadline_ns);
        }
        if (o != CLIENT_OK) {
            return o;
        }
    }
    return CLIENT_OK;
}

enum outcome client_expect_raw(struct client *c, void *buf, size_t len, int64_t deadline_ns)
{
    char *to = buf;
    while (len > 0) {
        ssize_t n = socket_receive(c->fd, to, len);
        if (n == 0) {
            return ended(c);
        }
        if (n > 0) {
            to += n;
            len -= (size_t)n;
            continue;
        }
        enum outcome o = failed(c, errno);
        if (o == CLIENT_OK) {
            o = socket_wait(c->fd, POLLIN, deadline_ns);
        }
        if (o != CLIENT_OK) {
            return o;
        }
    }
    return CLIENT_OK;
}
