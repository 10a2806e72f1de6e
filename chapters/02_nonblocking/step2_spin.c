/*
 * step2_spin: one thread serves everybody, by asking everybody, over and over.
 *
 * No call blocks, so no client can hold up another one: the first server of the course that serves
 * thousands with one thread. It pays with a whole processor, busy even when nobody says a word,
 * because it never knows who has something to say.
 *
 * One round of the loop is a turn for the listener and one for each client. A client that sends as
 * fast as it can gets one buffer per round, like everybody else.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CLIENTS = 16384, ACCEPTS_PER_ROUND = 64 };

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

/* A flag is enough here: the loop never blocks, so it always comes round to look at it. */
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
static void accept_some(struct loop *loop)
{
    for (int i = 0; i < ACCEPTS_PER_ROUND && loop->count < MAX_CLIENTS; i++) {
        int fd = tcp_accept(loop->listener);
        if (fd < 0)
            return; /* EAGAIN: nobody waits. EMFILE and its like: whoever waits can wait a round */
        loop_add(loop, fd);
    }
}
//! [accept]

/* ---- the loop ---- */

//! [round]
static void loop_round(struct loop *loop)
{
    accept_some(loop);
    for (size_t i = 0; i < loop->count;) {
        if (conn_turn(loop->conns[i]) == CONN_OVER)
            loop_remove(loop, i); /* another client stands at i now */
        else
            i++;
    }
}
//! [round]

static void loop_run(struct loop *loop)
{
    while (!stop_requested)
        loop_round(loop);
    while (loop->count > 0)
        loop_remove(loop, loop->count - 1);
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that asks all clients in turn.", NULL);
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
