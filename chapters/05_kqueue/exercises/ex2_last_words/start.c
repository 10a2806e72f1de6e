/*
 * Exercise 05.2, Last words: where you begin.
 *
 * The server of step 1, with one idea more: kqueue tells by EV_EOF that the peer has closed its
 * side. So the recv() that would say 0 can be saved.
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

enum { MAX_CLIENTS = 65536, ACCEPTS_PER_ROUND = 64, EVENTS_PER_ROUND = 256, CHANGES_PER_SERVE = 2 };

/* As many as one round of accepting needs. Each may come back as an error, so there must not be
 * more of them than a wait has room for events: then none is lost. */
enum { CHANGES = ACCEPTS_PER_ROUND };

struct client {
    struct conn conn;
    int filter;   /* of its one knote           */
    size_t place; /* it is loop->clients[place] */
};

struct loop {
    const struct cli *cli;
    int queue, listener;
    bool stopping;
    int64_t accept_after_ns; /* 0: the listener is watched; else it rests until then */
    kq_count change_count;   /* collected, and not handed over yet                   */
    struct kevent changes[CHANGES];
    size_t count;
    struct client *clients[MAX_CLIENTS]; /* all of them, to be closed at the end */
};

/* What a knote's udata points to where it is no client. An EV_DELETE has none. */
static char listener_mark, stop_mark;

/* ---- changes ---- */

/* At once, for those that are no client's. It has no room for events, so it does not wait (man 2
 * kqueue). */
static int control(struct loop *loop, int fd, unsigned flags, void *mark)
{
    struct kevent change;
    kq_set(&change, (uintptr_t)fd, EVFILT_READ, flags, 0, 0, mark);
    return kevent(loop->queue, &change, 1, NULL, 0, NULL);
}

/* With the next kevent(). There is room: see changes_make_room(). */
static void change_later(struct loop *loop, int fd, int filter, unsigned flags, void *mark)
{
    assert(loop->change_count < CHANGES);
    kq_set(&loop->changes[loop->change_count++], (uintptr_t)fd, filter, flags, 0, 0, mark);
}

static int filter_for(const struct conn *conn)
{
    return conn_waits_for(conn) == CONN_READABLE ? EVFILT_READ : EVFILT_WRITE;
}

/* ---- accepting, and resting ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* EMFILE leaves the client in the backlog, so a watched listener would be reported at once, again
 * and again. It rests until a descriptor becomes free, or for TCP_REST_MS. */
static void accept_rests(struct loop *loop)
{
    (void)control(loop, loop->listener, EV_DISABLE, &listener_mark);
    loop->accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
}

static void accept_goes_on(struct loop *loop)
{
    if (loop->accept_after_ns != 0)
        (void)control(loop, loop->listener, EV_ADD | EV_ENABLE, &listener_mark);
    loop->accept_after_ns = 0;
}

/* ---- clients ---- */

static bool client_watch(struct loop *loop, struct client *client, int fd)
{
    if (client == NULL || nonblocking_set(fd) < 0)
        return false;
    conn_init(&client->conn, fd);
    client->filter = filter_for(&client->conn);
    change_later(loop, fd, client->filter, EV_ADD, client);
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

static void client_remove(struct loop *loop, struct client *client)
{
    loop->clients[client->place] = loop->clients[--loop->count];
    loop->clients[client->place]->place = client->place;
    totals_add_bytes((size_t)client->conn.bytes_sent);
    conn_close(&client->conn); /* and its knote is gone, without an event (man 2 kqueue) */
    free(client);
    accept_goes_on(loop); /* a descriptor has become free */
}

/* ---- changes that fail, and a list that is full ---- */

static void change_failed(struct loop *loop, const struct kevent *answer)
{
    struct client *client = kq_udata(answer);
    if (client == NULL)
        return; /* EV_DELETE: ENOENT or EBADF, so what had to go is gone */
    cli_log(loop->cli, "a client is lost: %s", strerror((int)answer->data));
    client_remove(loop, client); /* ENOMEM: it could not be waited for */
}

/* Hands the changes over and takes no event: with EV_RECEIPT each of them has an answer, and the
 * answers leave no room. */
static void changes_make_room(struct loop *loop, kq_count needed)
{
    struct kevent answers[CHANGES];
    if (loop->change_count + needed <= CHANGES)
        return;
    for (kq_count i = 0; i < loop->change_count; i++)
        loop->changes[i].flags |= EV_RECEIPT;
    int n =
        kevent(loop->queue, loop->changes, loop->change_count, answers, loop->change_count, NULL);
    loop->change_count = 0;
    for (int i = 0; i < n; i++)
        if ((answers[i].flags & EV_ERROR) != 0 && answers[i].data != 0) /* 0: it is done */
            change_failed(loop, &answers[i]);
}

static void accept_some(struct loop *loop)
{
    changes_make_room(loop, ACCEPTS_PER_ROUND);
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        int fd = loop->count < MAX_CLIENTS ? tcp_accept(loop->listener) : -1;
        if (fd < 0) {
            if (loop->count == MAX_CLIENTS || (errno != EAGAIN && errno != EWOULDBLOCK))
                accept_rests(loop);
            return;
        }
        client_add(loop, fd);
    }
}

/* ---- the loop ---- */

static void client_serve(struct loop *loop, struct client *client)
{
    changes_make_room(loop, CHANGES_PER_SERVE);
    if (conn_turn(&client->conn) == CONN_OVER) {
        client_remove(loop, client);
        return;
    }
    int filter = filter_for(&client->conn);
    if (filter == client->filter)
        return; /* nearly always */
    change_later(loop, client->conn.fd, client->filter, EV_DELETE, NULL);
    change_later(loop, client->conn.fd, filter, EV_ADD, client);
    client->filter = filter;
}

/* The event says at once that the peer is done, so the client is closed at once. */
static void client_event(struct loop *loop, struct client *client, const struct kevent *event)
{
    if ((event->flags & EV_EOF) != 0)
        client_remove(loop, client);
    else
        client_serve(loop, client);
}

static int64_t timeout_ns(const struct loop *loop)
{
    int64_t left_ns = loop->accept_after_ns - now_ns();
    if (loop->accept_after_ns == 0)
        return -1;
    return left_ns < 0 ? 0 : left_ns;
}

static int loop_wait(struct loop *loop, struct kevent events[EVENTS_PER_ROUND])
{
    struct timespec time;
    int n = kevent(loop->queue, loop->changes, loop->change_count, events, EVENTS_PER_ROUND,
                   kq_timeout(timeout_ns(loop), &time));
    if (n < 0 && errno != EINTR) {
        cli_log(loop->cli, "kevent: %s", strerror(errno));
        exit(1);
    }
    loop->change_count = 0; /* after EINTR, too: changes come first (man 2 kqueue) */
    return n;
}

static void loop_round(struct loop *loop)
{
    struct kevent events[EVENTS_PER_ROUND];
    int n = loop_wait(loop, events);
    bool accept_due = false;
    for (int i = 0; i < n; i++) {
        void *mark = kq_udata(&events[i]);
        if ((events[i].flags & EV_ERROR) != 0)
            change_failed(loop, &events[i]);
        else if (mark == &stop_mark)
            loop->stopping = true;
        else if (mark == &listener_mark)
            accept_due = true;
        else
            client_event(loop, mark, &events[i]);
    }
    if (accept_due)
        accept_some(loop);
    if (loop->accept_after_ns != 0 && now_ns() >= loop->accept_after_ns)
        accept_goes_on(loop);
}

static int loop_open(struct loop *loop)
{
    int stop = stop_open();
    if (stop < 0 || (loop->queue = kq_open()) < 0 || control(loop, stop, EV_ADD, &stop_mark) < 0)
        return -1;
    loop->listener = cli_listen(loop->cli);
    if (kq_announce() < 0 || nonblocking_set(loop->listener) < 0)
        return -1;
    return control(loop, loop->listener, EV_ADD, &listener_mark);
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server on kqueue that looks at EV_EOF.", NULL);
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
