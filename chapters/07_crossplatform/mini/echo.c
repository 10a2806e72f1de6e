/*
 * echo: the echo server on the queue, the same on every system. Steps 4, 5 and 6 share this file.
 *
 *     accept --> conn_add --> receive --> send it, and receive into the other half --> ...
 *                                |
 *                 the end, an error, idle for too long --> conn_end --> all ops are back --> free
 *
 * A connection has two halves of memory: one is being sent while the other one is received into.
 * So a client that does not read costs two buffers, and no more. What a connection has lent, it
 * counts; only when everything is back it is freed.
 */
#include "cli.h"
#include "queue.h"
#include "totals.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include "console_stop.h"
#include "wintcp.h"
#else
#include <signal.h>
#include "tcp.h"
#include <unistd.h>
#endif

enum { CONN_BUF_SIZE = 16384, REST_MS = 100 }; /* REST_MS: when descriptors have run out */
static const int64_t NS_PER_MS = 1000000;

static struct queue queue;
static atomic_bool stopping; /* written by a signal handler, on Windows by another thread */

/* ---- what the systems have of their own ---- */

static void stop(void)
{
    atomic_store(&stopping, true);
    queue_wake(&queue); /* what was written before it is seen after it */
}

//! [systems]
#ifdef _WIN32
static bool on_console_event(void *unused)
{
    (void)unused;
    stop();
    return true;
}

static int stop_open(void)
{
    return console_stop_open(on_console_event, NULL);
}

#define cannot_start(c) wintcp_die(c, "cannot start", (int)GetLastError())
#define net_start()     wintcp_start()
#define net_listen(cli) wintcp_listen(cli)
#define net_discard(fd) closesocket(fd)
#else
static void on_signal(int signo)
{
    (void)signo;
    stop();
}

static int stop_open(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGINT, &action, NULL) < 0 ? -1 : sigaction(SIGTERM, &action, NULL);
}

#define cannot_start(c) (cli_log(c, "cannot start: %s", strerror(errno)), exit(1))
#define net_start()     (void)0
#define net_listen(cli) cli_listen(cli)
#define net_discard(fd) close(fd)
#endif
//! [systems]

//! [conn]
struct loop {
    const struct cli *cli;
    int64_t idle_ns; /* -t: how long a client may be silent; 0: for ever */
    struct sock listener;
    struct op accept, rest, close;
    struct conn *conns;
    size_t alive; /* connections, and the listener */
};

struct conn {
    struct sock sock;
    struct op recv, send, idle, close;
    struct loop *loop;
    struct conn *next, **at; /* *at, in loop->conns, points here   */
    unsigned lent;           /* ops that have not come back        */
    bool at_end, sending;    /* at_end: nothing more is received   */
    int64_t active_ns;
    size_t filled; /* bytes in buf[half] that wait for the last send to be over */
    int half;
    char buf[2][CONN_BUF_SIZE]; /* one is received into, the other one is sent */
};
//! [conn]

//! [life]
static void conn_submit(struct conn *conn, struct op *op, enum op_kind kind, size_t len)
{
    *op = (struct op){.kind = kind, .sock = &conn->sock, .owner = conn, .len = len};
    op->buf = conn->buf[conn->half];
    conn->lent++;
    queue_submit(op);
}

static void conn_watch(struct conn *conn)
{
    if (conn->loop->idle_ns == 0)
        return;
    conn->idle.owner = conn;
    conn->lent++;
    queue_timer(&queue, &conn->idle, conn->active_ns + conn->loop->idle_ns);
}

static void conn_add(struct loop *loop, socket_fd fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || queue_attach(&queue, &conn->sock, fd, false) < 0) {
        cli_log(loop->cli, "one more client refused");
        totals_add_refused();
        free(conn);
        net_discard(fd);
        return;
    }
    totals_add_client();
    loop->alive++;
    conn->loop = loop;
    conn->active_ns = queue.now_ns;
    conn->at = &loop->conns;
    if ((conn->next = loop->conns) != NULL)
        conn->next->at = &conn->next;
    loop->conns = conn;
    conn_watch(conn);
    conn_submit(conn, &conn->recv, OP_RECV, CONN_BUF_SIZE);
}

static void conn_end(struct conn *conn)
{
    if (conn->sock.close != NULL)
        return; /* it has begun */
    conn->close.owner = conn;
    conn->lent++;
    queue_close(&conn->sock, &conn->close);
    queue_cancel_timer(&queue, &conn->idle);
}

/* Everything that was lent is back. */
static void conn_free(struct conn *conn)
{
    if ((*conn->at = conn->next) != NULL)
        conn->next->at = conn->at;
    conn->loop->alive--;
    free(conn);
}
//! [life]

//! [echo]
/* What was received is sent, and meanwhile the other half receives. */
static void conn_go_on(struct conn *conn)
{
    if (conn->sock.close != NULL || conn->sending)
        return;
    if (conn->filled > 0) {
        conn->sending = true;
        conn_submit(conn, &conn->send, OP_SEND, conn->filled);
        conn->half = !conn->half;
        conn->filled = 0;
        conn_submit(conn, &conn->recv, OP_RECV, CONN_BUF_SIZE);
    } else if (conn->at_end) {
        conn_end(conn);
    }
}

static void on_moved(struct conn *conn, const struct op *op)
{
    conn->active_ns = queue.now_ns;
    if (op->kind == OP_SEND) {
        totals_add_bytes(op->nbytes);
        conn->sending = false;
    } else {
        conn->filled = op->nbytes;
        conn->at_end = op->nbytes == 0;
    }
    if (op->err != 0)
        conn_end(conn); /* ECONNRESET, EPIPE, canceled ...: this one only */
    conn_go_on(conn);
}

static void on_idle(struct conn *conn)
{
    if (queue.now_ns - conn->active_ns >= conn->loop->idle_ns)
        conn_end(conn);
    else if (conn->sock.close == NULL)
        conn_watch(conn); /* it was active meanwhile */
}

static void on_conn_op(struct conn *conn, const struct op *op)
{
    conn->lent--;
    if (op->kind == OP_RECV || op->kind == OP_SEND)
        on_moved(conn, op);
    else if (op->kind == OP_TIMER && op->err == 0)
        on_idle(conn);
    if (conn->lent == 0)
        conn_free(conn);
}
//! [echo]

/* ---- the server: accepting, and its end ---- */

//! [accept]
static void accept_next(struct loop *loop)
{
    loop->accept = (struct op){.kind = OP_ACCEPT, .sock = &loop->listener};
    queue_submit(&loop->accept);
}

/* EMFILE and its like: the client stays in the backlog, and to ask for it at once would spin. */
static void on_accepted(struct loop *loop, const struct op *op)
{
    if (op->err == 0) {
        conn_add(loop, op->accepted);
        accept_next(loop);
    } else {
        queue_timer(&queue, &loop->rest, queue.now_ns + REST_MS * NS_PER_MS);
    }
}

/* It is the end: nothing begins any more. But an accept may have won before it was canceled. */
static void on_listener_closing(struct loop *loop, const struct op *op)
{
    if (op->kind == OP_ACCEPT && op->err == 0)
        net_discard(op->accepted);
    if (op->kind == OP_CLOSE)
        loop->alive--;
}

static void on_loop_op(struct loop *loop, const struct op *op)
{
    if (loop->listener.close != NULL)
        on_listener_closing(loop, op);
    else if (op->kind == OP_ACCEPT)
        on_accepted(loop, op);
    else
        accept_next(loop); /* rested */
}
//! [accept]

//! [run]
static void loop_step(struct loop *loop)
{
    struct op *op = queue_wait(&queue);
    if (op != NULL && op->owner != NULL)
        on_conn_op(op->owner, op);
    else if (op != NULL)
        on_loop_op(loop, op);
}

static void loop_run(struct loop *loop)
{
    while (!atomic_load(&stopping))
        loop_step(loop);
    queue_cancel_timer(&queue, &loop->rest);
    queue_close(&loop->listener, &loop->close);
    for (struct conn *conn = loop->conns; conn != NULL; conn = conn->next)
        conn_end(conn);
    while (loop->alive > 0) /* nothing is freed that is still lent */
        loop_step(loop);
}
//! [run]

int main(int argc, char **argv)
{
    static struct loop loop;
    long idle_s = 0;
    const struct cli_option options[] = {
        {'t', "SECONDS", "close clients that are idle so long; 0: never", 0, 86400, &idle_s},
        {0, NULL, NULL, 0, 0, NULL},
    };
    net_start();
    struct cli cli = cli_parse(argc, argv, "An echo server over one queue.", options);
    loop.cli = &cli;
    loop.idle_ns = idle_s * 1000 * NS_PER_MS;
    loop.alive = 1;
    if (queue_open(&queue) < 0 || stop_open() < 0 ||
        queue_attach(&queue, &loop.listener, net_listen(&cli), true) < 0)
        cannot_start(&cli);
    accept_next(&loop);
    loop_run(&loop);
    return totals_write() == 0 ? 0 : 1;
}
