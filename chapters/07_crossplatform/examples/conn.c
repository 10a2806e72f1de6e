#include "conn.h"

#include <assert.h>
#include <stdlib.h>

enum { BUFFERS_KEPT = 2 * CONN_RECEIVING }; /* for those who receive, and those who send */

/* ---- the set ---- */

void conns_init(struct conns *conns, evq *queue)
{
    *conns = (struct conns){.queue = queue};
    conns->waiting_end = &conns->waiting;
    pool_init(&conns->pool, CONN_BUF_SIZE, BUFFERS_KEPT);
}

static void conns_link(struct conns *conns, struct conn *conn)
{
    conn->prev = NULL;
    conn->next = conns->first;
    if (conns->first != NULL)
        conns->first->prev = conn;
    conns->first = conn;
}

static void conns_unlink(struct conns *conns, struct conn *conn)
{
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conns->first = conn->next;
}

void conns_free(struct conns *conns)
{
    assert(conns->first == NULL);
    pool_free(&conns->pool);
}

/* ---- one client ---- */

//! [add]
bool conns_add(struct conns *conns, evq_fd fd)
{
    struct conn *conn = conns->closing ? NULL : calloc(1, sizeof *conn);
    if (conn == NULL || evq_attach(conns->queue, &conn->sock, fd) != EVQ_OK) {
        free(conn);
        evq_tcp_close(fd); /* what could not be attached is still ours */
        conns->refused++;
        return false;
    }
    conn->op.user = conn;
    conns_link(conns, conn);
    conns->clients++;
    evq_readable(&conn->sock, &conn->op);
    return true;
}
//! [add]

/* Only when its op is idle: one op serves for everything, and for this at last. */
static void conn_close(struct conns *conns, struct conn *conn)
{
    pool_give(&conns->pool, conn->buf);
    conn->buf = NULL;
    evq_close(&conn->sock, &conn->op);
}

//! [waiting]
static void conn_receive(struct conns *conns, struct conn *conn)
{
    if (conns->receiving == CONN_RECEIVING) {
        conn->next_waiting = NULL;
        *conns->waiting_end = conn;
        conns->waiting_end = &conn->next_waiting;
        return;
    }
    conn->buf = pool_take(&conns->pool);
    if (conn->buf == NULL) {
        conn_close(conns, conn); /* out of memory costs this client, and nobody else */
        return;
    }
    conns->receiving++;
    evq_recv(&conn->sock, &conn->op, conn->buf, CONN_BUF_SIZE);
}

static struct conn *waiting_take(struct conns *conns)
{
    struct conn *conn = conns->waiting;
    if (conn != NULL && (conns->waiting = conn->next_waiting) == NULL)
        conns->waiting_end = &conns->waiting;
    return conn;
}
//! [waiting]

static void conn_rest(struct conns *conns, struct conn *conn)
{
    pool_give(&conns->pool, conn->buf);
    conn->buf = NULL;
    evq_readable(&conn->sock, &conn->op);
}

static void conn_free(struct conns *conns, struct conn *conn)
{
    conns_unlink(conns, conn);
    free(conn);
}

/* ---- what has come back ---- */

/* One receives less: the next one may. */
static void conn_received(struct conns *conns)
{
    struct conn *next = waiting_take(conns);
    conns->receiving--;
    if (next != NULL)
        conn_receive(conns, next);
}

//! [done]
bool conns_done(struct conns *conns, evq_op *op)
{
    struct conn *conn = op->user;
    if (op->kind == EVQ_CLOSE) {
        conn_free(conns, conn);
        return true;
    }
    if (op->kind == EVQ_SEND)
        conns->bytes += op->nbytes; /* of a failed one, too: so many the kernel has taken */
    if (op->kind == EVQ_RECV)
        conn_received(conns);
    bool is_end = op->kind == EVQ_RECV && op->nbytes == 0;
    if (op->err != EVQ_OK || is_end || conns->closing)
        conn_close(conns,
                   conn); /* ECONNRESET, ETIMEDOUT, ECANCELED ...: the end of this client only */
    else if (op->kind == EVQ_RECV)
        evq_send(&conn->sock, op, conn->buf, op->nbytes);
    else if (op->kind == EVQ_READABLE)
        conn_receive(conns, conn);
    else
        conn_rest(conns, conn);
    return false;
}
//! [done]

//! [close]
/* Outside the waiting room every op is pending just now. Each is cancelled and comes back, and
 * conns_done() closes its client. Some are closing already: a close cannot be cancelled, and does
 * not mind (evq.h, line 12). */
void conns_close(struct conns *conns)
{
    conns->closing = true;
    for (struct conn *conn; (conn = waiting_take(conns)) != NULL;)
        conn_close(conns, conn);
    for (struct conn *conn = conns->first; conn != NULL; conn = conn->next)
        (void)evq_cancel(conns->queue, &conn->op);
}
//! [close]
