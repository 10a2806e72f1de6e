/*
 * step1_completion: the other way to ask. Not "tell me when I can receive", but "receive, and tell
 * me when it is done". It grows out of chapter 03, step 2: completion is built out of poll() here,
 * to see what it is without a new system.
 *
 *     submit     an operation is handed over: what to do, and the buffer to do it with
 *     perform    poll() says that it can go on, so it is done, behind the program's back
 *     harvest    what is done is taken out of a queue, and the program goes on from there
 *
 * From submit to harvest the operation and its buffer are lent: the program does not touch them.
 * Each client has one operation in flight at any time, a receive or a send, and what is harvested
 * decides what is submitted next. So a client that does not read costs one buffer.
 */
#include "cli.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_OPS = 16384, CONN_BUF_SIZE = 16384 }; /* one op for each client, and one that accepts */

//! [op]
enum op_kind { OP_ACCEPT, OP_RECV, OP_SEND };

struct op {
    enum op_kind kind;
    int fd;
    char *buf; /* lent, as the op itself, until it is harvested */
    size_t len;
    ssize_t result;    /* the bytes that moved, or the new connection; -1: it failed, */
    int err;           /* and this is why                                            */
    struct conn *conn; /* its owner                                                  */
    struct op *next;   /* in the queue of those that are done                        */
};
//! [op]

struct conn {
    struct op op;
    size_t start, end; /* buf[start..end) waits to be sent */
    char buf[CONN_BUF_SIZE];
};

//! [queue]
struct queue {
    size_t count; /* in flight: op i waits for fds[1 + i]; fds[0] is the self-pipe */
    struct op *in_flight[MAX_OPS];
    struct pollfd fds[1 + MAX_OPS];
    struct op *done, **done_end; /* first done, first harvested */
};
//! [queue]

struct loop {
    const struct cli *cli;
    struct queue queue;
    struct op accept; /* its fd is the listener                           */
    bool accepting;   /* it is in flight; else it rests, until then, at least: */
    int64_t accept_after_ns;
};

/* ---- the queue ---- */

//! [submit]
/* Nothing is done yet, and nobody is called back from here. */
static void submit(struct queue *queue, struct op *op)
{
    short events = op->kind == OP_SEND ? POLLOUT : POLLIN;
    queue->in_flight[queue->count] = op;
    queue->fds[1 + queue->count++] = (struct pollfd){.fd = op->fd, .events = events};
}
//! [submit]

//! [perform]
static ssize_t call(const struct op *op)
{
    switch (op->kind) {
    case OP_ACCEPT:
        return tcp_accept(op->fd);
    case OP_RECV:
        return recv(op->fd, op->buf, op->len, 0);
    default:
        return tcp_send(op->fd, op->buf, op->len);
    }
}

/* False: it would have to wait after all (man 2 select, "BUGS"), and stays in flight. */
static bool perform(struct op *op)
{
    do
        op->result = call(op);
    while (op->result < 0 && errno == EINTR);
    op->err = op->result < 0 ? errno : 0;
    return op->err != EAGAIN && op->err != EWOULDBLOCK;
}
//! [perform]

/* The last one in flight moves into the gap. */
static void move_to_done(struct queue *queue, size_t i)
{
    struct op *op = queue->in_flight[i];
    size_t last = --queue->count;
    queue->in_flight[i] = queue->in_flight[last];
    queue->fds[1 + i] = queue->fds[1 + last];
    op->next = NULL;
    *queue->done_end = op;
    queue->done_end = &op->next;
}

//! [wait]
/* Sleeps until something can be done, and does it. False when the program shall stop. */
static bool queue_wait(struct queue *queue, const struct cli *cli, int timeout_ms)
{
    int ready = poll(queue->fds, (nfds_t)(1 + queue->count), timeout_ms);
    if (ready < 0 && errno != EINTR) {
        cli_log(cli, "poll: %s", strerror(errno));
        exit(1);
    }
    if (ready <= 0)
        return true; /* and revents has nothing new */
    for (size_t i = 0; i < queue->count;)
        if (queue->fds[1 + i].revents != 0 && perform(queue->in_flight[i]))
            move_to_done(queue, i); /* and another one stands at i now */
        else
            i++;
    return queue->fds[0].revents == 0;
}
//! [wait]

//! [harvest]
/* One op that is done, and with it all that it has borrowed; NULL where there is none. */
static struct op *harvest(struct queue *queue)
{
    struct op *op = queue->done;
    if (op != NULL && (queue->done = op->next) == NULL)
        queue->done_end = &queue->done;
    return op;
}
//! [harvest]

/* ---- connections ---- */

static void conn_submit(struct loop *loop, struct conn *conn, enum op_kind kind)
{
    conn->op.kind = kind;
    conn->op.buf = kind == OP_RECV ? conn->buf : conn->buf + conn->start;
    conn->op.len = kind == OP_RECV ? sizeof conn->buf : conn->end - conn->start;
    submit(&loop->queue, &conn->op);
}

static void conn_remove(struct conn *conn)
{
    close(conn->op.fd);
    free(conn);
}

static void conn_add(struct loop *loop, int fd)
{
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL || nonblocking_set(fd) < 0) {
        cli_log(loop->cli, "one more client refused: %s", strerror(errno));
        totals_add_refused();
        free(conn);
        close(fd);
        return;
    }
    totals_add_client();
    conn->op.fd = fd;
    conn->op.conn = conn;
    conn_submit(loop, conn, OP_RECV);
}

//! [on_received]
/* The bytes are in the buffer already. 0 of them: no more come, and all echo has been sent. */
static void on_received(struct loop *loop, struct conn *conn, size_t bytes)
{
    conn->start = 0;
    conn->end = bytes;
    if (bytes > 0)
        conn_submit(loop, conn, OP_SEND);
    else
        conn_remove(conn);
}

static void on_sent(struct loop *loop, struct conn *conn, size_t bytes)
{
    conn->start += bytes;
    totals_add_bytes(bytes);
    conn_submit(loop, conn, conn->start < conn->end ? OP_SEND : OP_RECV); /* a part: the rest */
}
//! [on_received]

/* ---- accepting, and resting ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

//! [accept]
static void accept_goes_on(struct loop *loop)
{
    if (loop->accepting || loop->queue.count == MAX_OPS || now_ns() < loop->accept_after_ns)
        return;
    submit(&loop->queue, &loop->accept);
    loop->accepting = true;
}

/* EMFILE and its like: the client stays in the backlog, and to ask for it at once would spin. */
static void on_accepted(struct loop *loop, const struct op *op)
{
    loop->accepting = false;
    if (op->err == 0)
        conn_add(loop, (int)op->result);
    else
        loop->accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
}
//! [accept]

/* ---- the loop ---- */

//! [dispatch]
/* By the operation: it knows what has been done, and whose it is. */
static void dispatch(struct loop *loop, struct op *op)
{
    if (op->kind == OP_ACCEPT)
        on_accepted(loop, op);
    else if (op->err != 0)
        conn_remove(op->conn); /* ECONNRESET, EPIPE ...: this one only */
    else if (op->kind == OP_RECV)
        on_received(loop, op->conn, (size_t)op->result);
    else
        on_sent(loop, op->conn, (size_t)op->result);
}
//! [dispatch]

//! [run]
static void loop_run(struct loop *loop)
{
    bool goes_on = true;
    while (goes_on) {
        accept_goes_on(loop);
        goes_on = queue_wait(&loop->queue, loop->cli, loop->accepting ? -1 : TCP_REST_MS);
        for (struct op *op; (op = harvest(&loop->queue)) != NULL;)
            dispatch(loop, op);
    }
    while (loop->queue.count > 0) { /* nobody works on these now: taken back at once */
        struct op *op = loop->queue.in_flight[--loop->queue.count];
        if (op->kind != OP_ACCEPT)
            conn_remove(op->conn);
    }
}
//! [run]

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server by completion, over poll().", NULL);
    static struct loop loop; /* static: too large for the stack */
    int stop = stop_open();
    loop.cli = &cli;
    loop.queue.done_end = &loop.queue.done;
    loop.queue.fds[0] = (struct pollfd){.fd = stop, .events = POLLIN};
    loop.accept = (struct op){.kind = OP_ACCEPT, .fd = stop < 0 ? -1 : cli_listen(&cli)};
    if (stop < 0 || nonblocking_set(loop.accept.fd) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    loop_run(&loop);
    close(loop.accept.fd);
    return totals_write() == 0 ? 0 : 1;
}
