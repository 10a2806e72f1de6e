/*
 * step3_dispatch_workers: one kqueue, several threads, and each client belongs to one of them at a
 * time.
 *
 * It grows out of chapter 04, step 3: EV_DISPATCH is to kqueue what EPOLLONESHOT is to epoll. An
 * event switches its knote off, so whoever got it is alone with the client until it switches a
 * knote on again.
 *
 * READ and WRITE are two knotes, and two events could go to two workers. So never more than one of
 * them is on: the one for what the client waits for. The life of a client, as the queue sees it:
 *
 *     EV_ADD --> armed --> event --> off: one worker owns it --> READ or WRITE armed ...
 *                                     \-> close, free
 *
 * Re-arming costs no call: the worker hands it over in the same kevent() in which it waits for its
 * next event. From then on the client may be another worker's, so nobody touches it after.
 *
 * A worker takes one event per call: of several, the later ones would wait although other workers
 * are free. And since it alone owns that client, no event that anybody holds, and no change that
 * anybody has still to hand over, can name a client that is gone.
 */
#include "cli.h"
#include "conn.h"
#include "kq.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORKERS = 256, ACCEPTS_PER_EVENT = 16, TURNS_PER_EVENT = 4 };
static const int64_t REST_NS = TCP_REST_MS * INT64_C(1000000);

struct client {
    struct conn conn;
    pthread_mutex_t lock;           /* see client_serve()                        */
    struct client *previous, *next; /* in the list of all, guarded by its lock */
};

struct server {
    const struct cli *cli;
    int queue, listener;
    atomic_llong accept_after_ns; /* 0: the listener is in use; else it rests until then      */
    pthread_mutex_t lock;         /* guards the list                                        */
    struct client all;            /* head of the ring of all clients, to be closed at the end */
};

/* What a knote's udata points to where it is no client. */
static char listener_mark, stop_mark;

/* ---- changes ---- */

//! [arm]
/* The same flags, whether the knote is new or was switched off. All of them each time, and udata as
 * well: that is what every kqueue understands in the same way. */
static struct kevent armed(int fd, int filter, void *mark)
{
    struct kevent change;
    kq_set(&change, (uintptr_t)fd, filter, EV_ADD | EV_ENABLE | EV_DISPATCH, 0, 0, mark);
    return change;
}

static struct kevent listener_armed(const struct server *server)
{
    return armed(server->listener, EVFILT_READ, &listener_mark);
}

static struct kevent client_armed(struct client *client)
{
    bool reads = conn_waits_for(&client->conn) == CONN_READABLE;
    return armed(client->conn.fd, reads ? EVFILT_READ : EVFILT_WRITE, client);
}

/* At once. It has no room for events, so it does not wait (man 2 kqueue). */
static int apply(struct server *server, struct kevent change)
{
    return kevent(server->queue, &change, 1, NULL, 0, NULL);
}
//! [arm]

/* ---- accepting, and resting ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

//! [rest]
/* Whoever frees a descriptor ends the rest; exchange lets exactly one thread do it. */
static void accept_goes_on(struct server *server)
{
    if (atomic_exchange(&server->accept_after_ns, 0) != 0)
        (void)apply(server, listener_armed(server)); /* known already: needs no memory */
}
//! [rest]

/* ---- clients ---- */

static void list_put(struct server *server, struct client *client)
{
    pthread_mutex_lock(&server->lock);
    client->previous = &server->all;
    client->next = server->all.next;
    client->next->previous = client;
    server->all.next = client;
    pthread_mutex_unlock(&server->lock);
}

static void list_take(struct server *server, struct client *client)
{
    pthread_mutex_lock(&server->lock);
    client->previous->next = client->next;
    client->next->previous = client->previous;
    pthread_mutex_unlock(&server->lock);
}

//! [remove]
static void client_remove(struct server *server, struct client *client)
{
    list_take(server, client);
    totals_add_bytes((size_t)client->conn.bytes_sent);
    conn_close(&client->conn); /* and its knotes are gone, without an event (man 2 kqueue) */
    pthread_mutex_destroy(&client->lock);
    free(client);
    accept_goes_on(server);
}
//! [remove]

//! [add]
/* Once its first knote is armed another worker may own the client, and even have freed it: so that
 * is the last thing here that touches it. */
static void client_add(struct server *server, int fd)
{
    struct client *client = malloc(sizeof *client);
    if (client == NULL || nonblocking_set(fd) < 0 ||
        (errno = pthread_mutex_init(&client->lock, NULL)) != 0) {
        cli_log(server->cli, "one more client refused: %s", strerror(errno));
        totals_add_refused();
        free(client);
        close(fd);
        return;
    }
    pthread_mutex_lock(&client->lock); /* what is written here, its first worker shall see */
    conn_init(&client->conn, fd);
    pthread_mutex_unlock(&client->lock);
    list_put(server, client);
    totals_add_client();
    if (apply(server, client_armed(client)) < 0)
        client_remove(server, client); /* ENOMEM: still ours, nobody has seen it */
}
//! [add]

//! [serve]
/* At most TURNS_PER_EVENT turns. False when the client is over. */
static bool client_turns(struct client *client)
{
    for (int i = 0; i < TURNS_PER_EVENT; i++) {
        enum conn_result result = conn_turn(&client->conn);
        if (result != CONN_PROGRESS)
            return result == CONN_WOULD_BLOCK;
    }
    return true; /* level-triggered: what is left makes an event at once, for whoever is free */
}

/*
 * EV_DISPATCH keeps the other workers out, so nobody ever waits for this lock. It is here for the C
 * language, which knows nothing of kqueue: the lock says that the next worker sees what this one
 * has written (C11, 5.1.2.4).
 */
static bool client_serve(struct server *server, struct client *client, struct kevent *change)
{
    pthread_mutex_lock(&client->lock);
    bool goes_on = client_turns(client);
    if (goes_on)
        *change = client_armed(client);
    pthread_mutex_unlock(&client->lock);
    if (!goes_on)
        client_remove(server, client); /* not re-armed, so still ours */
    return goes_on;
}
//! [serve]

//! [accept]
static bool accept_some(struct server *server, struct kevent *change)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = tcp_accept(server->listener);
        if (fd >= 0) {
            client_add(server, fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else {
            atomic_store(&server->accept_after_ns, now_ns() + REST_NS);
            return false; /* no descriptor is left: the listener stays switched off */
        }
    }
    *change = listener_armed(server);
    return true;
}
//! [accept]

/* ---- workers ---- */

//! [event]
/* True when there is a change to be handed over. */
static bool on_event(struct server *server, const struct kevent *event, struct kevent *change)
{
    struct client *client = kq_udata(event);
    if (kq_udata(event) == &listener_mark)
        return accept_some(server, change);
    if ((event->flags & EV_ERROR) == 0)
        return client_serve(server, client, change);
    /* ENOMEM: its other knote would have been a new one. Nothing is armed, so it is still ours. */
    cli_log(server->cli, "a client is lost: %s", strerror((int)event->data));
    client_remove(server, client);
    return false;
}
//! [event]

//! [worker]
static void *run_worker(void *arg)
{
    struct server *server = arg;
    struct kevent event, change;
    struct timespec time;
    bool changes = false;
    for (;;) {
        int64_t after_ns = atomic_load(&server->accept_after_ns);
        if (after_ns != 0 && now_ns() >= after_ns)
            accept_goes_on(server);
        int n = kevent(server->queue, &change, changes, &event, 1,
                       kq_timeout(after_ns == 0 ? -1 : REST_NS, &time));
        changes = false; /* after EINTR, too: they come first (man 2 kqueue) */
        if (n < 0 && errno != EINTR)
            return NULL; /* the queue itself is broken: a bug, not the world's doing */
        if (n > 0 && kq_udata(&event) == &stop_mark)
            return NULL; /* nobody reads the pipe, so every worker sees it */
        if (n > 0)
            changes = on_event(server, &event, &change);
    }
}
//! [worker]

static long start_workers(struct server *server, pthread_t *workers, long count)
{
    for (long i = 0; i < count; i++) {
        int err = pthread_create(&workers[i], NULL, run_worker, server);
        if (err != 0) {
            cli_log(server->cli, "only %ld of %ld workers: %s", i, count, strerror(err));
            if (i == 0)
                exit(1); /* nobody would serve */
            return i;
        }
    }
    return count;
}

/* ---- start and end ---- */

static int server_open(struct server *server)
{
    struct kevent watch_stop;
    int stop = stop_open();
    server->all.previous = server->all.next = &server->all;
    kq_set(&watch_stop, (uintptr_t)stop, EVFILT_READ, EV_ADD, 0, 0, &stop_mark);
    if (stop < 0 || (errno = pthread_mutex_init(&server->lock, NULL)) != 0 ||
        (server->queue = kq_open()) < 0 || apply(server, watch_stop) < 0)
        return -1; /* at once: a call that succeeds may change errno, too */
    server->listener = cli_listen(server->cli);
    if (kq_announce() < 0 || nonblocking_set(server->listener) < 0)
        return -1;
    return apply(server, listener_armed(server));
}

//! [stop]
/* The end of the stop pipe is watched without EV_DISPATCH. It stays readable, so it is reported to
 * every worker, and the main thread has only to wait for each. */
static void run_until_stopped(struct server *server, pthread_t *workers, long count)
{
    count = start_workers(server, workers, count);
    for (long i = 0; i < count; i++)
        pthread_join(workers[i], NULL);
    while (server->all.next != &server->all)
        client_remove(server, server->all.next);
}
//! [stop]

int main(int argc, char **argv)
{
    static pthread_t workers[MAX_WORKERS];
    long count = 4;
    const struct cli_option options[] = {
        {'w', "WORKERS", "threads that share the kqueue", 1, MAX_WORKERS, &count},
        {0, NULL, NULL, 0, 0, NULL},
    };
    struct cli cli = cli_parse(argc, argv, "An echo server: one kqueue, several threads.", options);
    struct server server = {.cli = &cli};
    if (server_open(&server) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    run_until_stopped(&server, workers, count);
    return totals_write() == 0 ? 0 : 1;
}
