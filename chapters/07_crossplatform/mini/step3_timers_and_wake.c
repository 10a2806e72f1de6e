/*
 * step3_timers_and_wake: time, and a nudge from outside, as operations of the queue.
 *
 * It grows out of step 2. Two things were still done beside the queue: to rest when descriptors
 * have run out, and to hear of a signal. Now
 *
 *     a timer   is an operation: it is done when its time has come
 *     a wake    ends the wait: the only function that a signal handler or a thread may call
 *
 * and with timers a client that has been idle for too long can be closed (-t). An active client
 * costs nothing for it: its timer runs, and only then somebody looks when it was active last.
 *
 * A timer cannot be taken back yet. So a client that leaves early still owns one that runs, and its
 * memory has to stay until that is over.
 */
#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SOCKS = 16384, CONN_BUF_SIZE = 16384 };
static const int64_t NS_PER_MS = 1000000;

//! [types]
enum op_kind { OP_ACCEPT, OP_RECV, OP_SEND, OP_TIMER };
enum direction { READING, WRITING };

struct op {
    enum op_kind kind;
    struct sock *sock;
    struct conn *conn; /* its owner; NULL: the loop */
    char *buf;
    size_t len, nbytes;
    int err, accepted;
    int64_t deadline_ns;
    struct op *next;
};

struct sock {
    int fd;
    size_t place;          /* it is socks[place]              */
    struct op *pending[2]; /* one for each direction, at most */
};
//! [types]

//! [queue]
/* socks[i] waits for fds[1 + i]; fds[0] is the wake pipe. */
static struct queue {
    int64_t now_ns; /* as of the last wait */
    struct op *done, **done_end;
    struct op *timers; /* the nearest deadline first */
    int wake[2];
    size_t count;
    struct sock *socks[MAX_SOCKS];
    struct pollfd fds[1 + MAX_SOCKS];
} queue;
//! [queue]

static atomic_bool stopping; /* written by the signal handler */

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

/* Hands an accept, a recv or a send over. A send is done when all is sent. */
static void queue_submit(struct op *op)
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

/* ---- the queue: timers ---- */

//! [timers]
static int64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void queue_timer(struct op *op, int64_t deadline_ns)
{
    struct op **at = &queue.timers;
    while (*at != NULL && (*at)->deadline_ns <= deadline_ns)
        at = &(*at)->next;
    op->kind = OP_TIMER;
    op->deadline_ns = deadline_ns;
    op->next = *at;
    *at = op;
}

static void finish_first_timer(void)
{
    struct op *op = queue.timers;
    queue.timers = op->next;
    op->err = 0;
    put_done(op);
}

/* Rounded up: never early, and a short one never makes a busy loop. -1: for ever. */
static int timeout_ms(void)
{
    if (queue.timers == NULL)
        return -1;
    int64_t left_ns = queue.timers->deadline_ns - clock_ns();
    int64_t ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms <= 0 ? 0 : ms < INT_MAX ? (int)ms : INT_MAX;
}
//! [timers]

/* ---- the queue: waiting, and waking ---- */

//! [wake]
static int queue_open(void)
{
    queue.done_end = &queue.done;
    queue.now_ns = clock_ns();
    if (pipe(queue.wake) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (fcntl(queue.wake[i], F_SETFD, FD_CLOEXEC) < 0 || nonblocking_set(queue.wake[i]) < 0)
            return -1;
    queue.fds[0] = (struct pollfd){.fd = queue.wake[0], .events = POLLIN};
    return 0;
}

/* The one function for signal handlers and other threads. */
static void queue_wake(void)
{
    int err = errno;
    ssize_t written;
    do /* EAGAIN: it is full of earlier ones */
        written = write(queue.wake[1], "", 1);
    while (written < 0 && errno == EINTR);
    errno = err;
}

static void drain_wake(void)
{
    char bytes[64];
    while (read(queue.wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue; /* a short count or EAGAIN: it is empty */
}
//! [wake]

//! [wait]
/* Everything that poll() tells is done, before anything of it is returned. */
static void look(void)
{
    int ready = poll(queue.fds, (nfds_t)(1 + queue.count), timeout_ms());
    for (size_t i = 0; ready > 0 && i < queue.count; i++) {
        struct sock *sock = queue.socks[i];
        int events = queue.fds[1 + i].revents; /* before perform() writes there */
        if ((events & ~POLLOUT) != 0 && sock->pending[READING] != NULL)
            perform(sock->pending[READING]);
        if ((events & ~POLLIN) != 0 && sock->pending[WRITING] != NULL)
            perform(sock->pending[WRITING]);
    }
    if (ready > 0 && queue.fds[0].revents != 0)
        drain_wake();
    queue.now_ns = clock_ns();
    while (queue.timers != NULL && queue.timers->deadline_ns <= queue.now_ns)
        finish_first_timer();
}

/* The next op that is finished; NULL after a wake or a signal: look around, and wait again. */
static struct op *queue_wait(void)
{
    if (queue.done == NULL)
        look();
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
    struct op recv, send, idle;
    unsigned lent; /* recv and send, until they come back */
    bool idle_runs, over, at_end, sending;
    int64_t active_ns;
    size_t filled; /* bytes in buf[half] that wait for the last send to be over */
    int half;
    char buf[2][CONN_BUF_SIZE]; /* one is received into, the other one is sent */
};

static struct {
    const struct cli *cli;
    int64_t idle_ns; /* -t: how long a client may be silent; 0: for ever */
    struct sock listener;
    struct op accept, rest;
} loop;
//! [conn]

static void conn_submit(struct conn *conn, struct op *op, enum op_kind kind, size_t len)
{
    *op = (struct op){.kind = kind, .sock = &conn->sock, .conn = conn, .len = len};
    op->buf = conn->buf[conn->half];
    conn->lent++;
    queue_submit(op);
}

//! [idle]
static void conn_watch(struct conn *conn)
{
    if (loop.idle_ns == 0)
        return;
    conn->idle.conn = conn;
    conn->idle_runs = true;
    queue_timer(&conn->idle, conn->active_ns + loop.idle_ns);
}

/* Whatever is pending comes back soon: with the end of the stream, or with an error. */
static void conn_end(struct conn *conn)
{
    conn->over = true;
    (void)shutdown(conn->sock.fd, SHUT_RDWR); /* ENOTCONN: it has been reset */
}

static void on_idle(struct conn *conn)
{
    conn->idle_runs = false;
    if (conn->over)
        return; /* and now it can be freed */
    if (queue.now_ns - conn->active_ns >= loop.idle_ns)
        conn_end(conn);
    else
        conn_watch(conn); /* it was active meanwhile */
}

/* The descriptor needs the two others only; the memory needs the timer, too. */
static void conn_release(struct conn *conn)
{
    if (conn->lent == 0 && conn->sock.fd >= 0)
        queue_detach(&conn->sock);
    if (conn->lent == 0 && !conn->idle_runs)
        free(conn);
}
//! [idle]

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
    conn->active_ns = queue.now_ns;
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
    conn->active_ns = queue.now_ns;
    conn_watch(conn);
    conn_submit(conn, &conn->recv, OP_RECV, CONN_BUF_SIZE);
}

/* ---- the server: accepting, and the loop ---- */

//! [accept]
static void accept_next(void)
{
    loop.accept = (struct op){.kind = OP_ACCEPT, .sock = &loop.listener};
    queue_submit(&loop.accept);
}

/* EMFILE and its like: the client stays in the backlog, and to ask for it at once would spin. */
static void on_accepted(const struct op *op)
{
    if (op->err != 0) {
        queue_timer(&loop.rest, queue.now_ns + TCP_REST_MS * NS_PER_MS);
        return;
    }
    conn_add(op->accepted);
    accept_next();
}

static void dispatch(struct op *op)
{
    struct conn *conn = op->conn;
    if (conn == NULL && op->kind == OP_ACCEPT)
        on_accepted(op);
    else if (conn == NULL)
        accept_next(); /* rested */
    else if (op->kind == OP_TIMER)
        on_idle(conn);
    else
        on_moved(conn, op);
    if (conn != NULL && conn->over)
        conn_release(conn);
}
//! [accept]

//! [stop]
static void on_signal(int signo)
{
    (void)signo;
    atomic_store(&stopping, true);
    queue_wake(); /* what was written before it is seen after the wait */
}

static int stop_open(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGINT, &action, NULL) < 0 ? -1 : sigaction(SIGTERM, &action, NULL);
}
//! [stop]

int main(int argc, char **argv)
{
    long idle_s = 0;
    const struct cli_option options[] = {
        {'t', "SECONDS", "close clients that are idle so long; 0: never", 0, 86400, &idle_s},
        {0, NULL, NULL, 0, 0, NULL},
    };
    struct cli cli = cli_parse(argc, argv, "An echo server by completion, with timers.", options);
    loop.cli = &cli;
    loop.idle_ns = idle_s * 1000 * NS_PER_MS;
    if (queue_open() < 0 || stop_open() < 0 || queue_attach(&loop.listener, cli_listen(&cli)) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    accept_next();
    while (!atomic_load(&stopping)) {
        struct op *op = queue_wait();
        if (op != NULL)
            dispatch(op);
    }
    return totals_write() == 0 ? 0 : 1; /* the end of the process takes everything back */
}
