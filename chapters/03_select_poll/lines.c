#include "lines.h"

#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char refusal[] = "error: a line has at most 1024 bytes\n";
enum { REFUSAL_LEN = sizeof refusal - 1 };

/* ---- spans ---- */

static size_t span_len(const struct lines_span *span)
{
    return span->end - span->start;
}

/* Moves the bytes to the front of their buffer, so that all free room is behind them. */
static void span_compact(struct lines_span *span, char *buf)
{
    if (span->start == 0)
        return;
    memmove(buf, buf + span->start, span_len(span));
    span->end -= span->start;
    span->start = 0;
}

static size_t out_room(const struct lines *lines)
{
    return LINES_OUT_SIZE - span_len(&lines->out);
}

//! [append]
/* Copies bytes behind the answers that wait already. The caller has looked for room. */
static char *out_append(struct lines *lines, const char *bytes, size_t len)
{
    assert(len <= out_room(lines));
    span_compact(&lines->out, lines->out_buf);
    char *place = memcpy(lines->out_buf + lines->out.end, bytes, len);
    lines->out.end += len;
    return place;
}
//! [append]

/* ---- the protocol ---- */

static void upper_case(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) /* toupper() would depend on the locale */
        if (bytes[i] >= 'a' && bytes[i] <= 'z')
            bytes[i] = (char)(bytes[i] - 'a' + 'A');
}

//! [refuse]
static void refuse(struct lines *lines)
{
    out_append(lines, refusal, REFUSAL_LEN);
    lines->in = (struct lines_span){0, 0};
    lines->state = LINES_REFUSED;
}
//! [refuse]

//! [answer]
/* Answers one line. False when no line is whole, or when there is no room for its answer. */
static bool answer_line(struct lines *lines)
{
    const char *line = lines->in_buf + lines->in.start;
    size_t have = span_len(&lines->in);
    const char *newline = memchr(line, '\n', have);
    size_t text = newline != NULL ? (size_t)(newline - line) : have;
    size_t whole = newline != NULL ? text + 1 : text;

    if (text > LINES_LONGEST) {
        if (out_room(lines) >= REFUSAL_LEN)
            refuse(lines);
        return false;
    }
    bool is_whole = newline != NULL || (lines->state == LINES_ENDING && have > 0);
    if (!is_whole || out_room(lines) < whole)
        return false;
    upper_case(out_append(lines, line, whole), whole);
    lines->in.start += whole;
    return true;
}
//! [answer]

static void answer_lines(struct lines *lines)
{
    while ((lines->state == LINES_OPEN || lines->state == LINES_ENDING) && answer_line(lines)) {
    }
}

/* ---- the socket ---- */

static bool is_would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK;
}

//! [receive]
static void receive(struct lines *lines)
{
    span_compact(&lines->in, lines->in_buf);
    ssize_t got;
    do
        got = recv(lines->fd, lines->in_buf + lines->in.end, LINES_IN_SIZE - lines->in.end, 0);
    while (got < 0 && errno == EINTR);

    if (got > 0 && lines->state == LINES_OPEN)
        lines->in.end += (size_t)got; /* of a refused peer it is thrown away */
    else if (got == 0 && lines->state == LINES_OPEN)
        lines->state = LINES_ENDING;
    else if (got == 0)
        lines->peer_is_done = true;
    else if (got < 0 && !is_would_block(errno))
        lines->state = LINES_GONE; /* ECONNRESET, ETIMEDOUT: this client only */
}
//! [receive]

static void transmit(struct lines *lines)
{
    ssize_t sent;
    do
        sent = tcp_send(lines->fd, lines->out_buf + lines->out.start, span_len(&lines->out));
    while (sent < 0 && errno == EINTR);

    if (sent >= 0) {
        lines->out.start += (size_t)sent;
        lines->bytes_sent += (size_t)sent;
    } else if (!is_would_block(errno)) {
        lines->state = LINES_GONE; /* EPIPE, ECONNRESET: this client only */
    }
}

//! [finish]
/* What follows when everything that the peer was owed is on its way. */
static void finish(struct lines *lines)
{
    if (span_len(&lines->out) > 0)
        return;
    if (lines->state == LINES_ENDING && span_len(&lines->in) == 0)
        lines->state = LINES_GONE;
    if (lines->state == LINES_REFUSED && !lines->shut) {
        (void)shutdown(lines->fd, SHUT_WR); /* fails when the peer is gone: recv() will tell */
        lines->shut = true;
    }
    if (lines->state == LINES_REFUSED && lines->peer_is_done)
        lines->state = LINES_GONE;
}
//! [finish]

/* ---- the public functions ---- */

void lines_init(struct lines *lines, int fd)
{
    lines->fd = fd;
    lines->state = LINES_OPEN;
    lines->shut = false;
    lines->peer_is_done = false;
    lines->in = lines->out = (struct lines_span){0, 0};
    lines->bytes_sent = 0;
}

bool lines_wants_in(const struct lines *lines)
{
    if (lines->state == LINES_OPEN)
        return span_len(&lines->in) < LINES_IN_SIZE;
    return lines->state == LINES_REFUSED && !lines->peer_is_done;
}

bool lines_wants_out(const struct lines *lines)
{
    return span_len(&lines->out) > 0;
}

bool lines_is_refused(const struct lines *lines)
{
    return lines->state == LINES_REFUSED;
}

//! [turn]
bool lines_turn(struct lines *lines)
{
    assert(lines->state != LINES_GONE);
    if (lines_wants_in(lines))
        receive(lines);
    answer_lines(lines);
    if (lines->state != LINES_GONE && lines_wants_out(lines)) {
        transmit(lines);
        answer_lines(lines); /* the room that has become free may hold the next answer */
    }
    finish(lines);
    return lines->state != LINES_GONE;
}
//! [turn]

void lines_close(struct lines *lines)
{
    close(lines->fd);
    lines->fd = -1;
    lines->state = LINES_GONE;
}
