/*
 * Exercise 03.1, Compact: a solution.
 *
 * The array has no holes: when a client leaves, the last one moves into its place, in both arrays,
 * because the two entries with the same number are one client. The walk does not go on then: at
 * place i stands somebody else now, who has not been looked at.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 256, ACCEPTS_PER_ROUND = 64 };
enum { STOP, LISTENER, FIRST_CLIENT }; /* places in the array of poll() */

static const int64_t NS_PER_MS = 1000000, NEVER = INT64_MAX;

struct loop {
    const struct cli *cli;
    int64_t accept_after_ns; /* descriptors have run out: accepting rests until then        */

    /* Client i is conns[i] and fds[FIRST_CLIENT + i], for i < count. */
    size_t count;
    struct conn *conns[MAX_CLIENTS];
    struct pollfd fds[FIRST_CLIENT + MAX_CLIENTS];
};

/* ---- time ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 * NS_PER_MS + time.tv_nsec;
}

/* What poll() wants: -1 for ever; else milliseconds, rounded up, so that it never wakes too early
 * and then spins until the deadline has really passed. */
static int timeout_ms(int64_t now, int64_t deadline)
{
    if (deadline == NEVER)
        return -1;
    int64_t left_ms = deadline <= now ? 0 : (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* ---- clients ---- */

static short poll_events(const struct conn *conn)
{
    return conn_waits_for(conn) == CONN_READABLE ? POLLIN : POLLOUT;
}

static void loop_add(struct loop *loop, int fd)
{
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL || nonblocking_set(fd) < 0) {
        cli_log(loop->cli, "one more client refused: %s", strerror(errno));
        totals_add_refused();
        free(conn);
        close(fd);
        return;
    }
    conn_init(conn, fd);
    size_t i = loop->count++;
    loop->conns[i] = conn;
    loop->fds[FIRST_CLIENT + i] = (struct pollfd){.fd = fd, .events = poll_events(conn)};
    totals_add_client();
    if (loop->count == MAX_CLIENTS)
        cli_log(loop->cli, "full with %d clients: the next ones wait in the backlog", MAX_CLIENTS);
}

/* The last client moves into the gap, with all that belongs to it. */
static void loop_remove(struct loop *loop, size_t i)
{
    struct conn *conn = loop->conns[i];
    size_t last = --loop->count;
    loop->conns[i] = loop->conns[last];
    loop->fds[FIRST_CLIENT + i] = loop->fds[FIRST_CLIENT + last];
    totals_add_bytes((size_t)conn->bytes_sent);
    conn_close(conn);
    free(conn);
}

static void accept_some(struct loop *loop, int64_t now)
{
    for (int i = 0; i < ACCEPTS_PER_ROUND && loop->count < MAX_CLIENTS; i++) {
        int fd = tcp_accept(loop->fds[LISTENER].fd);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) /* EMFILE and its like */
                loop->accept_after_ns = now + TCP_REST_MS * NS_PER_MS;
            return;
        }
        loop_add(loop, fd);
    }
}

/* ---- the loop ---- */

static void loop_wait(struct loop *loop)
{
    int64_t now = now_ns();
    bool accepting = now >= loop->accept_after_ns && loop->count < MAX_CLIENTS;
    int64_t wake_ns = now < loop->accept_after_ns ? loop->accept_after_ns : NEVER;
    loop->fds[LISTENER].events = accepting ? POLLIN : 0;
    int ready = poll(loop->fds, (nfds_t)(FIRST_CLIENT + loop->count), timeout_ms(now, wake_ns));
    if (ready >= 0)
        return;
    if (errno != EINTR) {
        cli_log(loop->cli, "poll: %s", strerror(errno));
        exit(1);
    }
    for (size_t i = 0; i < FIRST_CLIENT + loop->count; i++)
        loop->fds[i].revents = 0; /* EINTR: poll() has not written them */
}

/* Any bit is a reason to look: POLLHUP and POLLERR come unasked, and conn_turn() finds out what
 * they mean, after it has read what came before them. False when client i has been removed. */
static bool serve(struct loop *loop, size_t i)
{
    struct pollfd *fd = &loop->fds[FIRST_CLIENT + i];
    if (fd->revents == 0)
        return true;
    if (conn_turn(loop->conns[i]) == CONN_OVER) {
        loop_remove(loop, i);
        return false;
    }
    fd->events = poll_events(loop->conns[i]);
    return true;
}

/* Clients first, then the listener: whoever is new has no revents yet. */
static void loop_round(struct loop *loop)
{
    loop_wait(loop);
    for (size_t i = 0; i < loop->count;)
        if (serve(loop, i))
            i++; /* else another client stands at i now, with its own revents */
    if (loop->fds[LISTENER].revents != 0)
        accept_some(loop, now_ns());
}

static void loop_run(struct loop *loop)
{
    while (loop->fds[STOP].revents == 0)
        loop_round(loop);
    while (loop->count > 0)
        loop_remove(loop, loop->count - 1);
}

/* ---- start and end ---- */

static int loop_open(struct loop *loop)
{
    loop->fds[STOP] = (struct pollfd){.fd = stop_open(), .events = POLLIN};
    if (loop->fds[STOP].fd < 0)
        return -1;
    loop->fds[LISTENER] = (struct pollfd){.fd = cli_listen(loop->cli), .events = POLLIN};
    return nonblocking_set(loop->fds[LISTENER].fd);
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server for 256 clients, in poll().", NULL);
    static struct loop loop; /* static: too large for the stack */
    loop.cli = &cli;
    if (loop_open(&loop) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    loop_run(&loop);
    close(loop.fds[LISTENER].fd);
    return totals_write() == 0 ? 0 : 1;
}
