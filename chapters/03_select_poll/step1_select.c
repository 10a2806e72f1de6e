/*
 * step1_select: one thread, many clients, and a call that sleeps until one of them has something.
 *
 * select() takes three sets of descriptors, sleeps, and leaves in the sets those that are ready.
 * A set is a fixed array of bits: FD_SETSIZE of them, 1,024 almost everywhere. A descriptor with a
 * higher number cannot be watched, and FD_SET() on it would write past the end of the array
 * (man 2 select). So this server refuses such a client, in words, before that can happen.
 *
 * One round: fill the sets, sleep, serve whoever is ready, accept. Clients are accepted last, so
 * that a new descriptor can never be mistaken for an old one with the same number.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { ACCEPTS_PER_ROUND = 64 };

struct loop {
    const struct cli *cli;
    int listener;
    int64_t accept_after_ns;        /* descriptors have run out: accepting rests until then  */
    struct conn *conns[FD_SETSIZE]; /* the first count of them, in no order                  */
    size_t count;
};

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* ---- clients ---- */

//! [refuse]
static void refuse(struct loop *loop, int fd, const char *why)
{
    static bool told; /* one line: a crowd must not fill the log */
    if (!told)
        cli_log(loop->cli, "a client refused, and more may follow: %s", why);
    told = true;
    totals_add_refused();
    close(fd);
}

static void loop_add(struct loop *loop, int fd)
{
    if (fd >= FD_SETSIZE) {
        refuse(loop, fd, "select() cannot watch a descriptor beyond FD_SETSIZE");
        return;
    }
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL || nonblocking_set(fd) < 0) {
        free(conn);
        refuse(loop, fd, strerror(errno));
        return;
    }
    conn_init(conn, fd);
    loop->conns[loop->count++] = conn; /* fits: fewer descriptors than FD_SETSIZE are below it */
    totals_add_client();
}
//! [refuse]

static void loop_remove(struct loop *loop, size_t i)
{
    struct conn *conn = loop->conns[i];
    loop->conns[i] = loop->conns[--loop->count]; /* the last one fills the gap */
    conn_close(conn);
    free(conn);
}

/* The totals must be right at every moment, because a signal may end the program at any moment. */
static enum conn_result serve(struct conn *conn)
{
    uint64_t before = conn->bytes_sent;
    enum conn_result result = conn_turn(conn);
    totals_add_bytes((size_t)(conn->bytes_sent - before));
    return result;
}

//! [accept]
static void accept_some(struct loop *loop)
{
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        int fd = tcp_accept(loop->listener);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) /* EMFILE and its like */
                loop->accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
            return;
        }
        loop_add(loop, fd);
    }
}
//! [accept]

/* ---- the loop ---- */

/* What select() is asked, and what it leaves of it. */
struct sets {
    fd_set readable, writable;
    int highest;
};

//! [watch]
static void watch(struct sets *sets, int fd, fd_set *set)
{
    assert(fd < FD_SETSIZE); /* beyond the end of the array: undefined behaviour */
    FD_SET(fd, set);
    if (fd > sets->highest)
        sets->highest = fd;
}
//! [watch]

//! [fill]
static void fill(const struct loop *loop, bool accepting, struct sets *sets)
{
    FD_ZERO(&sets->readable);
    FD_ZERO(&sets->writable);
    sets->highest = -1;
    if (accepting)
        watch(sets, loop->listener, &sets->readable);
    for (size_t i = 0; i < loop->count; i++) {
        const struct conn *conn = loop->conns[i];
        bool reads = conn_waits_for(conn) == CONN_READABLE;
        watch(sets, conn->fd, reads ? &sets->readable : &sets->writable);
    }
}
//! [fill]

//! [wait]
/* Sleeps until something is ready, or until accepting has rested. True when there is work. */
static bool loop_wait(struct loop *loop, struct sets *sets)
{
    bool accepting = now_ns() >= loop->accept_after_ns;
    struct timeval rest = {.tv_usec = TCP_REST_MS * 1000};
    fill(loop, accepting, sets);
    int ready =
        select(sets->highest + 1, &sets->readable, &sets->writable, NULL, accepting ? NULL : &rest);
    if (ready < 0 && errno != EINTR) {
        cli_log(loop->cli, "select: %s", strerror(errno));
        exit(1);
    }
    return ready > 0;
}
//! [wait]

//! [round]
static void loop_round(struct loop *loop)
{
    struct sets sets;
    if (!loop_wait(loop, &sets))
        return;
    for (size_t i = 0; i < loop->count;) {
        struct conn *conn = loop->conns[i];
        bool ready = FD_ISSET(conn->fd, &sets.readable) || FD_ISSET(conn->fd, &sets.writable);
        if (ready && serve(conn) == CONN_OVER)
            loop_remove(loop, i); /* another client stands at i now */
        else
            i++;
    }
    if (FD_ISSET(loop->listener, &sets.readable))
        accept_some(loop);
}
//! [round]

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that waits in select().", NULL);
    static struct loop loop; /* static: too large for the stack */
    totals_exit_on_signal();
    loop.cli = &cli;
    loop.listener = cli_listen(&cli);
    if (loop.listener >= FD_SETSIZE || nonblocking_set(loop.listener) < 0) {
        cli_log(&cli, "the listener cannot be watched: too many descriptors were open already");
        return 1;
    }
    for (;;)
        loop_round(&loop);
}
