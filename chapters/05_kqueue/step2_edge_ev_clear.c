/*
 * step2_edge_ev_clear: kqueue reports changes, and the program remembers the rest.
 *
 * It grows out of chapter 04, step 2: EV_CLEAR is to kqueue what EPOLLET is to epoll. Once an event
 * has been taken, the state of its knote is reset, and the next one comes when something new has
 * happened. So a client that was not drained to EAGAIN has to be remembered: that is the ready
 * list. And so that a fast client keeps nobody waiting, each has a budget of turns in each round.
 *
 * What is gained: each descriptor is registered once, for both directions, and never changed again.
 * And that goes along with the next kevent(): in all its life a client costs no call for it.
 *
 * READ and WRITE of one client are two knotes, so one batch may name it twice. Events only put
 * clients into the ready list, though, and nobody is freed while a batch is being read. Nor can a
 * change that waits to be handed over name a client that is gone: only new clients have any, and
 * nobody is served before the kevent() that hands them over.
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
    EVENTS_PER_ROUND = 2 * CHANGES,  /* room, too, for the error that each change may make */
    TURNS_PER_ROUND = 4
};

//! [client]
struct client {
    struct conn conn;
    size_t place;        /* it is loop->clients[place]                    */
    bool in_ready_list;  /* it may have more to do, whatever kqueue says  */
    bool failed;         /* it could not be watched: to be removed        */
    struct client *next; /* in the ready list                             */
};

/* First in, first out, so that everybody's turn comes. */
struct ready_list {
    struct client *first, **end; /* *end is where the next one goes */
};
//! [client]

struct loop {
    const struct cli *cli;
    int queue, listener;
    bool stopping;
    bool accept_ready;       /* an edge of the listener that is not used up yet       */
    int64_t accept_after_ns; /* descriptors have run out: rests until then; 0: no rest */
    struct ready_list ready;
    kq_count change_count; /* collected, and not handed over yet */
    struct kevent changes[CHANGES];
    size_t count;
    struct client *clients[MAX_CLIENTS]; /* all of them, to be closed at the end */
};

/* What a knote's udata points to where it is no client. */
static char listener_mark, stop_mark;

/* ---- changes ---- */

//! [change]
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
//! [change]

/* ---- the ready list ---- */

//! [ready]
static void ready_put(struct ready_list *list, struct client *client)
{
    if (client->in_ready_list)
        return;
    client->in_ready_list = true;
    client->next = NULL;
    *list->end = client;
    list->end = &client->next;
}

static struct client *ready_take(struct ready_list *list)
{
    struct client *client = list->first;
    list->first = client->next;
    if (list->first == NULL)
        list->end = &list->first;
    client->in_ready_list = false;
    return client;
}
//! [ready]

/* ---- accepting, and resting ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

//! [rest]
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
//! [rest]

/* ---- clients ---- */

//! [add]
/* Both directions, once and for all. */
static bool client_watch(struct loop *loop, struct client *client, int fd)
{
    if (client == NULL || nonblocking_set(fd) < 0)
        return false;
    conn_init(&client->conn, fd);
    client->in_ready_list = client->failed = false;
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
//! [add]

//! [remove]
static void client_remove(struct loop *loop, struct client *client)
{
    loop->clients[client->place] = loop->clients[--loop->count];
    loop->clients[client->place]->place = client->place;
    totals_add_bytes((size_t)client->conn.bytes_sent);
    conn_close(&client->conn); /* and its knotes are gone, without an event (man 2 kqueue) */
    free(client);
    loop->accept_after_ns = 0; /* a descriptor has become free */
}
//! [remove]

//! [accept]
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
//! [accept]

/* ---- the loop ---- */

//! [serve]
static void client_serve(struct loop *loop, struct client *client)
{
    if (client->failed) {
        client_remove(loop, client);
        return;
    }
    for (int i = 0; i < TURNS_PER_ROUND; i++) {
        switch (conn_turn(&client->conn)) {
        case CONN_PROGRESS:
            break;
        case CONN_WOULD_BLOCK:
            return; /* EAGAIN was seen: from here on the next edge is to be relied on */
        case CONN_OVER:
            client_remove(loop, client);
            return;
        }
    }
    ready_put(&loop->ready, client); /* the budget is used up: again in the next round */
}

/* Only those who are in the list now: whoever is put back waits for the next round. */
static void serve_ready(struct loop *loop)
{
    struct ready_list list = loop->ready;
    if (list.first == NULL)
        return;
    loop->ready.first = NULL;
    loop->ready.end = &loop->ready.first;
    while (list.first != NULL)
        client_serve(loop, ready_take(&list));
}
//! [serve]

//! [timeout]
static int64_t timeout_ns(const struct loop *loop)
{
    if (loop->ready.first != NULL || accept_is_due(loop))
        return 0; /* there is work: only look what else has come */
    if (!loop->accept_ready)
        return -1;
    int64_t left_ns = loop->accept_after_ns - now_ns();
    return left_ns < 0 ? 0 : left_ns;
}
//! [timeout]

//! [round]
static void note_event(struct loop *loop, const struct kevent *event)
{
    void *mark = kq_udata(event);
    if (mark == &stop_mark) {
        loop->stopping = true;
    } else if (mark == &listener_mark) {
        loop->accept_ready = true;
    } else {
        struct client *client = mark;
        if ((event->flags & EV_ERROR) != 0) {
            cli_log(loop->cli, "a client is lost: %s", strerror((int)event->data)); /* ENOMEM */
            client->failed = true;
        }
        ready_put(&loop->ready, client);
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
        note_event(loop, &events[i]);
    serve_ready(loop);
    if (accept_is_due(loop))
        accept_some(loop);
}
//! [round]

static int loop_open(struct loop *loop)
{
    int stop = stop_open();
    loop->ready.end = &loop->ready.first;
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
        cli_parse(argc, argv, "An echo server on kqueue, edge-triggered (EV_CLEAR).", NULL);
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
