/*
 * step2_both_directions: a socket receives and sends at the same time, and accepts like any other.
 *
 * It grows out of step 1. There an operation stood in the array of poll() for itself, so each
 * client had one. Now sockets stand there, and each has room for two operations:
 *
 *     pending[READING]   an accept or a recv
 *     pending[WRITING]   a send; it is done when all is sent
 *
 * A client has two halves of memory: while one is being sent, the other one is received into. That
 * is called double buffering, and where memory is lent there is no other way to do both at once.
 *
 * But now a client can be lost while one of its operations is still pending. So it counts what it
 * has lent; its socket is shut down, which makes the others end; the last one that is harvested
 * frees it.
 */
#include "cli.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SOCKS = 16384, CONN_BUF_SIZE = 16384 };

//! [types]
enum op_kind { OP_ACCEPT, OP_RECV, OP_SEND };
enum direction { READING, WRITING };

struct op {
    enum op_kind kind;
    struct sock *sock;
    struct conn *conn; /* its owner; NULL: the loop */
    char *buf;
    size_t len, nbytes;
    int err, accepted;
    struct op *next;
};

struct sock {
    int fd;
    size_t place;          /* it is socks[place]              */
    struct op *pending[2]; /* one for each direction, at most */
};
//! [types]

//! [queue]
/* socks[i] waits for fds[1 + i]; fds[0] is the self-pipe. */
static struct queue {
    struct op *done, **done_end;
    size_t count;
    struct sock *socks[MAX_SOCKS];
    struct pollfd fds[1 + MAX_SOCKS];
} queue;
//! [queue]

/* ---- the queue: what is finished ---- */

static void put_done(struct op *op)
{
    op->next = NULL;
    *queue.done_end = op;
    queue.done_end = &op->next;
}

/* poll() reports POLLHUP to everybody, asked or not: so who waits for nothing is left out. */
static void watch(const struct sock *sock)
{
    int reading = sock->pending[READING] != NULL ? POLLIN : 0;
    int writing = sock->pending[WRITING] != NULL ? POLLOUT : 0;
    struct pollfd *entry = &queue.fds[1 + sock->place];
    *entry = (struct pollfd){.fd = sock->fd, .events = (short)(reading | writing)};
    if (entry->events == 0)
        entry->fd = -1;
}

static enum direction direction_of(const struct op *op)
{
    return op->kind == OP_SEND ? WRITING : READING;
}

static void finish(struct op *op, int err)
{
    op->err = err;
    op->sock->pending[direction_of(op)] = NULL;
    watch(op->sock);
    put_done(op);
}

/* ---- the queue: sockets ---- */

//! [attach]
static int queue_attach(struct sock *sock, int fd)
{
    if (queue.count == MAX_SOCKS || nonblocking_set(fd) < 0)
        return -1;
    *sock = (struct sock){.fd = fd, .place = queue.count};
    queue.socks[queue.count++] = sock;
    watch(sock);
    return 0;
}

/* Hands an accept, a recv or a send over. It comes back by harvest(). */
static void submit(struct op *op)
{
    struct op **pending = &op->sock->pending[direction_of(op)];
    assert(*pending == NULL);
    *pending = op;
    op->nbytes = 0;
    watch(op->sock);
}
//! [attach]

//! [perform]
static ssize_t call(struct op *op)
{
    switch (op->kind) {
    case OP_ACCEPT:
        return op->accepted = tcp_accept(op->sock->fd);
    case OP_RECV:
        return recv(op->sock->fd, op->buf, op->len, 0);
    default:
        return tcp_send(op->sock->fd, op->buf + op->nbytes, op->len - op->nbytes);
    }
}

/* What has to wait after all stays pending, and so does a send until all is sent. */
static void perform(struct op *op)
{
    ssize_t result;
    do
        result = call(op);
    while (result < 0 && errno == EINTR);
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (result > 0 && op->kind != OP_ACCEPT)
        op->nbytes += (size_t)result;
    if (result < 0 || op->kind != OP_SEND || op->nbytes == op->len)
        finish(op, result < 0 ? errno : 0);
}
//! [perform]

/* Only where nothing is pending. The last socket moves into the gap. */
static void queue_detach(struct sock *sock)
{
    struct sock *last = queue.socks[--queue.count];
    last->place = sock->place;
    queue.socks[last->place] = last;
    watch(last);
    close(sock->fd);
    sock->fd = -1;
}

/* ---- the queue: waiting ---- */

//! [wait]
/* Sleeps until something can be done, and does it. False when the program shall stop. */
static bool queue_wait(const struct cli *cli, int timeout_ms)
{
    int ready = poll(queue.fds, (nfds_t)(1 + queue.count), timeout_ms);
    if (ready < 0 && errno != EINTR) {
        cli_log(cli, "poll: %s", strerror(errno));
        exit(1);
    }
    for (size_t i = 0; ready > 0 && i < queue.count; i++) {
        struct sock *sock = queue.socks[i];
        int events = queue.fds[1 + i].revents; /* before perform() writes there */
        if ((events & ~POLLOUT) != 0 && sock->pending[READING] != NULL)
            perform(sock->pending[READING]);
        if ((events & ~POLLIN) != 0 && sock->pending[WRITING] != NULL)
            perform(sock->pending[WRITING]);
    }
    return ready <= 0 || queue.fds[0].revents == 0;
}

static struct op *harvest(void)
{
    struct op *op = queue.done;
    if (op != NULL && (queue.done = op->next) == NULL)
        queue.done_end = &queue.done;
    return op;
}
//! [wait]

/* ---- the server: connections ---- */

//! [conn]
struct conn {
    struct sock sock;
    struct op recv, send;
    unsigned lent; /* recv and send, until they are harvested */
    bool over, at_end, sending;
    size_t filled; /* bytes in buf[half] that wait for the last send to be over */
    int half;
    char buf[2][CONN_BUF_SIZE]; /* one is received into, the other one is sent */
};

static struct {
    const struct cli *cli;
    struct sock listener;
    struct op accept;
    bool accepting; /* it is pending; else it rests, until then, at least: */
    int64_t accept_after_ns;
} loop;
//! [conn]

static void conn_submit(struct conn *conn, struct op *op, enum op_kind kind, size_t len)
{
    *op = (struct op){.kind = kind, .sock = &conn->sock, .conn = conn, .len = len};
    op->buf = conn->buf[conn->half];
    conn->lent++;
    submit(op);
}

//! [end]
/* Whatever is pending comes back soon: with the end of the stream, or with an error. */
static void conn_end(struct conn *conn)
{
    conn->over = true;
    (void)shutdown(conn->sock.fd, SHUT_RDWR); /* ENOTCONN: it has been reset */
}

static void conn_release(struct conn *conn)
{
    if (conn->lent > 0)
        return;
    queue_detach(&conn->sock);
    free(conn);
}
//! [end]

//! [echo]
/* What was received is sent, and meanwhile the other half receives. */
static void conn_go_on(struct conn *conn)
{
    if (conn->sending || conn->over)
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
    conn->lent--;
    if (op->kind == OP_SEND) {
        totals_add_bytes(op->nbytes);
        conn->sending = false;
    } else {
        conn->filled = op->nbytes;
        conn->at_end = op->nbytes == 0;
    }
    if (op->err != 0)
        conn_end(conn); /* ECONNRESET, EPIPE ...: this one only */
    conn_go_on(conn);
}
//! [echo]

static void conn_add(int fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || queue_attach(&conn->sock, fd) < 0) {
        cli_log(loop.cli, "one more client refused");
        totals_add_refused();
        free(conn);
        close(fd);
        return;
    }
    totals_add_client();
    conn_submit(conn, &conn->recv, OP_RECV, CONN_BUF_SIZE);
}

/* ---- the server: accepting, and the loop ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

//! [accept]
static void accept_goes_on(void)
{
    if (loop.accepting || now_ns() < loop.accept_after_ns)
        return;
    loop.accept = (struct op){.kind = OP_ACCEPT, .sock = &loop.listener};
    submit(&loop.accept);
    loop.accepting = true;
}

/* EMFILE and its like: the client stays in the backlog, and to ask for it at once would spin. */
static void on_accepted(const struct op *op)
{
    loop.accepting = false;
    if (op->err == 0)
        conn_add(op->accepted);
    else
        loop.accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
}

static void dispatch(struct op *op)
{
    struct conn *conn = op->conn;
    if (conn == NULL)
        on_accepted(op);
    else
        on_moved(conn, op);
    if (conn != NULL && conn->over)
        conn_release(conn);
}
//! [accept]

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that moves both ways at once.", NULL);
    int stop = stop_open();
    loop.cli = &cli;
    queue.done_end = &queue.done;
    queue.fds[0] = (struct pollfd){.fd = stop, .events = POLLIN};
    if (stop < 0 || queue_attach(&loop.listener, cli_listen(&cli)) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    bool goes_on = true;
    while (goes_on) {
        accept_goes_on();
        goes_on = queue_wait(&cli, loop.accepting ? -1 : TCP_REST_MS);
        for (struct op *op; (op = harvest()) != NULL;)
            dispatch(op);
    }
    return totals_write() == 0 ? 0 : 1; /* the end of the process takes everything back */
}
