/*
 * Exercise 05.4, Two knotes: the answer that looks right, and is not.
 *
 * Before a client is freed, both of its knotes are deleted. Then the kernel has forgotten it, and
 * no event can come for it any more.
 */
#include "cli.h"
#include "conn.h"
#include "kq.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CLIENTS = 65536,
    ACCEPTS_PER_ROUND = 64,
    CHANGES = 2 * ACCEPTS_PER_ROUND, /* two knotes for each new client                     */
    EVENTS_PER_ROUND = 2 * CHANGES   /* room, too, for the error that each change may make */
};

struct client {
    struct conn conn;
    size_t place; /* it is loop->clients[place] */
};

struct loop {
    const struct cli *cli;
    int queue, listener;
    bool stopping;
    bool accept_ready;       /* an edge of the listener that is not used up yet       */
    int64_t accept_after_ns; /* descriptors have run out: rests until then; 0: no rest */
    kq_count change_count;   /* collected, and not handed over yet */
    struct kevent changes[CHANGES];
    size_t count;
    struct client *clients[MAX_CLIENTS]; /* all of them, to be closed at the end */
};

/* What a knote's udata points to where it is no client. */
static char listener_mark, stop_mark;

/* ---- changes ---- */

/* At once, for those that are no client's. It has no room for events, so it does not wait (man 2
 * kqueue). */
static int watch_now(struct loop *loop, int fd, unsigned flags, void *mark)
{
    struct kevent change;
    kq_set(&change, (uintptr_t)fd, EVFILT_READ, EV_ADD | flags, 0, 0, mark);
    return kevent(loop->queue, &change, 1, NULL, 0, NULL);
}

/* With the next kevent(). */
static void watch_later(struct loop *loop, int fd, int filter, struct client *client)
{
    assert(loop->change_count < CHANGES);
    kq_set(&loop->changes[loop->change_count++], (uintptr_t)fd, filter, EV_ADD | EV_CLEAR, 0, 0,
           client);
}

/* ---- accepting, and resting ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* EMFILE leaves clients in the backlog, and no new edge will tell of them. So the old edge is kept,
 * and used again when a descriptor becomes free, or after TCP_REST_MS. */
static void accept_rests(struct loop *loop)
{
    loop->accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
}

static bool accept_is_due(const struct loop *loop)
{
    return loop->accept_ready && (loop->accept_after_ns == 0 || now_ns() >= loop->accept_after_ns);
}

/* ---- clients ---- */

/* Both directions, once and for all. */
static bool client_watch(struct loop *loop, struct client *client, int fd)
{
    if (client == NULL || nonblocking_set(fd) < 0)
        return false;
    conn_init(&client->conn, fd);
    watch_later(loop, fd, EVFILT_READ, client);
    watch_later(loop, fd, EVFILT_WRITE, client);
    return true;
}

static void client_add(struct loop *loop, int fd)
{
    struct client *client = malloc(sizeof *client);
    if (!client_watch(loop, client, fd)) {
        cli_log(loop->cli, "one more client refused: %s", strerror(errno));
        totals_add_refused();
        free(client);
        close(fd);
        return;
    }
    client->place = loop->count;
    loop->clients[loop->count++] = client;
    totals_add_client();
}

/* With room for no event it does not wait; it takes both knotes away. */
static void client_forget(struct loop *loop, struct client *client)
{
    struct kevent changes[2];
    kq_set(&changes[0], (uintptr_t)client->conn.fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
    kq_set(&changes[1], (uintptr_t)client->conn.fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    (void)kevent(loop->queue, changes, 2, NULL, 0, NULL);
}

static void client_remove(struct loop *loop, struct client *client)
{
    client_forget(loop, client); /* first of all: from here on no event can name it */
    loop->clients[client->place] = loop->clients[--loop->count];
    loop->clients[client->place]->place = client->place;
    totals_add_bytes((size_t)client->conn.bytes_sent);
    conn_close(&client->conn); /* and its knotes are gone, without an event (man 2 kqueue) */
    free(client);
    loop->accept_after_ns = 0; /* a descriptor has become free */
}

/* One accept per edge would leave the others in the backlog, so: until EAGAIN, or the budget. */
static void accept_some(struct loop *loop)
{
    loop->accept_after_ns = 0;
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        int fd = loop->count < MAX_CLIENTS ? tcp_accept(loop->listener) : -1;
        if (fd >= 0) {
            client_add(loop, fd);
            continue;
        }
        if (loop->count < MAX_CLIENTS && (errno == EAGAIN || errno == EWOULDBLOCK))
            loop->accept_ready = false; /* used up: the next edge will come */
        else
            accept_rests(loop);
        return;
    }
}

/* ---- the loop ---- */

/* Both directions make edges, and an edge is told once: so until EAGAIN. */
static void client_serve(struct loop *loop, struct client *client)
{
    enum conn_result result;
    do
        result = conn_turn(&client->conn);
    while (result == CONN_PROGRESS);
    if (result == CONN_OVER)
        client_remove(loop, client);
}

static int64_t timeout_ns(const struct loop *loop)
{
    if (accept_is_due(loop))
        return 0; /* there is work: only look what else has come */
    if (!loop->accept_ready)
        return -1;
    int64_t left_ns = loop->accept_after_ns - now_ns();
    return left_ns < 0 ? 0 : left_ns;
}

static void on_event(struct loop *loop, const struct kevent *event)
{
    void *mark = kq_udata(event);
    if (mark == &stop_mark) {
        loop->stopping = true;
    } else if (mark == &listener_mark) {
        loop->accept_ready = true;
    } else if ((event->flags & EV_ERROR) != 0) {
        cli_log(loop->cli, "a client is lost: %s", strerror((int)event->data)); /* ENOMEM */
        client_remove(loop, mark);
    } else {
        client_serve(loop, mark);
    }
}

static void loop_round(struct loop *loop)
{
    struct kevent events[EVENTS_PER_ROUND];
    struct timespec time;
    int n = kevent(loop->queue, loop->changes, loop->change_count, events, EVENTS_PER_ROUND,
                   kq_timeout(timeout_ns(loop), &time));
    if (n < 0 && errno != EINTR) {
        cli_log(loop->cli, "kevent: %s", strerror(errno));
        exit(1);
    }
    loop->change_count = 0; /* after EINTR, too: changes come first (man 2 kqueue) */
    for (int i = 0; i < n; i++)
        on_event(loop, &events[i]);
    if (accept_is_due(loop))
        accept_some(loop);
}

static int loop_open(struct loop *loop)
{
    int stop = stop_open();
    if (stop < 0 || (loop->queue = kq_open()) < 0 || watch_now(loop, stop, 0, &stop_mark) < 0)
        return -1;
    loop->listener = cli_listen(loop->cli);
    if (kq_announce() < 0 || nonblocking_set(loop->listener) < 0)
        return -1;
    return watch_now(loop, loop->listener, EV_CLEAR, &listener_mark);
}

int main(int argc, char **argv)
{
    struct cli cli =
        cli_parse(argc, argv, "An echo server on kqueue, with two knotes for each client.", NULL);
    static struct loop loop; /* static: too large for the stack */
    loop.cli = &cli;
    if (loop_open(&loop) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    while (!loop.stopping)
        loop_round(&loop);
    while (loop.count > 0)
        client_remove(&loop, loop.clients[loop.count - 1]);
    close(loop.listener);
    close(loop.queue);
    return totals_write() == 0 ? 0 : 1;
}
