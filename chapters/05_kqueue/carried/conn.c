#include "conn.h"

#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

void conn_init(struct conn *conn, int fd)
{
    conn->fd = fd;
    conn->state = CONN_READING;
    conn->start = 0;
    conn->end = 0;
    conn->bytes_sent = 0;
}

static bool is_would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK; /* POSIX lets the two differ (man 3 errno) */
}

static enum conn_result ended(struct conn *conn)
{
    conn->state = CONN_ENDED;
    return CONN_OVER;
}

//! [write]
static enum conn_result turn_writing(struct conn *conn)
{
    ssize_t sent;
    do
        sent = tcp_send(conn->fd, conn->buf + conn->start, conn->end - conn->start);
    while (sent < 0 && errno == EINTR);

    if (sent < 0 && is_would_block(errno))
        return CONN_WOULD_BLOCK;
    if (sent < 0)
        return ended(conn); /* EPIPE, ECONNRESET, ETIMEDOUT ...: it cannot be written to any more */
    conn->start += (size_t)sent; /* a short count: the rest waits for the next turn */
    conn->bytes_sent += (uint64_t)sent;
    if (conn->start == conn->end)
        conn->state = CONN_READING;
    return CONN_PROGRESS;
}
//! [write]

//! [read]
static enum conn_result turn_reading(struct conn *conn)
{
    ssize_t got;
    do
        got = recv(conn->fd, conn->buf, sizeof conn->buf, 0);
    while (got < 0 && errno == EINTR);

    if (got < 0 && is_would_block(errno))
        return CONN_WOULD_BLOCK;
    if (got <= 0)
        return ended(conn); /* 0: the peer is done, and has all its bytes; else ECONNRESET ... */
    conn->start = 0;
    conn->end = (size_t)got;
    conn->state = CONN_WRITING;
    /* Most often there is room to answer at once. Where there is none, bytes have moved all the
     * same: the next turn will hear EAGAIN itself. */
    return turn_writing(conn) == CONN_OVER ? CONN_OVER : CONN_PROGRESS;
}
//! [read]

//! [turn]
enum conn_result conn_turn(struct conn *conn)
{
    assert(conn->state != CONN_ENDED);
    return conn->state == CONN_READING ? turn_reading(conn) : turn_writing(conn);
}
//! [turn]

enum conn_event conn_waits_for(const struct conn *conn)
{
    assert(conn->state != CONN_ENDED);
    return conn->state == CONN_READING ? CONN_READABLE : CONN_WRITABLE;
}

void conn_close(struct conn *conn)
{
    /* After EINTR the descriptor is gone too on Linux and the BSDs: close() is never repeated. */
    close(conn->fd);
    conn->fd = -1;
    conn->state = CONN_ENDED;
}
