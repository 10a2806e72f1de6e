/*
 * step3_nap: step 2, but a round in which nothing moved is followed by a nap.
 *
 * An idle server now costs next to nothing. But whatever arrives during a nap waits until its end:
 * a nap of 20 ms adds up to 20 ms to an answer. A shorter nap costs more processor time, a longer
 * one more patience; there is no length that is right. What is missing is a call that sleeps until
 * something happens.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 16384, ACCEPTS_PER_ROUND = 64, NAP_MS = 20 };

struct loop {
    const struct cli *cli;
    int listener;
    struct conn *conns[MAX_CLIENTS]; /* the first count of them, in no order */
    size_t count;
};

/* ---- stopping ---- */

//! [stop]
static volatile sig_atomic_t stop_requested;

static void on_stop_signal(int signo)
{
    (void)signo;
    stop_requested = 1;
}

/* A flag is enough here: the loop never sleeps longer than NAP_MS, so it soon comes round to it. */
static void catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
//! [stop]

/* ---- clients ---- */

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
    loop->conns[loop->count++] = conn;
    totals_add_client();
    if (loop->count == MAX_CLIENTS)
        cli_log(loop->cli, "full with %d clients: the next ones wait in the backlog", MAX_CLIENTS);
}

static void loop_remove(struct loop *loop, size_t i)
{
    struct conn *conn = loop->conns[i];
    loop->conns[i] = loop->conns[--loop->count]; /* the last one fills the gap */
    totals_add_bytes((size_t)conn->bytes_sent);
    conn_close(conn);
    free(conn);
}

//! [accept]
static bool accept_some(struct loop *loop)
{
    bool moved = false;
    for (int i = 0; i < ACCEPTS_PER_ROUND && loop->count < MAX_CLIENTS; i++) {
        int fd = tcp_accept(loop->listener);
        if (fd < 0)
            break; /* EAGAIN: nobody waits. EMFILE and its like: whoever waits can wait a round */
        loop_add(loop, fd);
        moved = true;
    }
    return moved;
}
//! [accept]

/* ---- the loop ---- */

//! [round]
/* True when anything moved. */
static bool loop_round(struct loop *loop)
{
    bool moved = accept_some(loop);
    for (size_t i = 0; i < loop->count;) {
        enum conn_result result = conn_turn(loop->conns[i]);
        moved = moved || result != CONN_WOULD_BLOCK;
        if (result == CONN_OVER)
            loop_remove(loop, i); /* another client stands at i now */
        else
            i++;
    }
    return moved;
}
//! [round]

//! [nap]
static void nap(void)
{
    struct timespec time = {.tv_nsec = NAP_MS * 1000 * 1000};
    (void)nanosleep(&time, NULL); /* EINTR: awake early, and the flag is looked at */
}
//! [nap]

static void loop_run(struct loop *loop)
{
    while (!stop_requested) {
        if (!loop_round(loop))
            nap();
    }
    while (loop->count > 0)
        loop_remove(loop, loop->count - 1);
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that naps between its questions.", NULL);
    static struct loop loop; /* static: too large for the stack */
    catch_stop_signals();
    loop.cli = &cli;
    loop.listener = cli_listen(&cli);
    if (nonblocking_set(loop.listener) < 0) {
        cli_log(&cli, "cannot make the listener non-blocking: %s", strerror(errno));
        return 1;
    }
    loop_run(&loop);
    close(loop.listener);
    return totals_write() == 0 ? 0 : 1;
}
