/*
 * step3_oneshot_workers: one epoll, several threads, and each client belongs to one of them at a
 * time.
 *
 * Threads that share an epoll may be handed the same client twice: its first bytes wake one thread,
 * the next bytes a second one, while the first is still at work. EPOLLONESHOT rules that out. An
 * event switches its registration off, so whoever got it is alone with the client until it switches
 * the registration on again (EPOLL_CTL_MOD). That is a lock without a lock.
 *
 * The life of a client, as epoll sees it:
 *
 *     ADD --> armed --> event --> off: one worker owns it --> MOD --> armed ...
 *                                     \-> DEL, close, free
 *
 * A worker takes one event per call. Were it to take several, the later ones would wait for it
 * although other workers are free. And since it owns that one client alone, no event that anybody
 * holds can point to a client that is gone.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORKERS = 256, ACCEPTS_PER_EVENT = 16, TURNS_PER_EVENT = 4 };

struct client {
    struct conn conn;
    pthread_mutex_t lock;           /* see client_serve()                        */
    struct client *previous, *next; /* in the list of all, guarded by its lock */
};

struct server {
    const struct cli *cli;
    int epoll, listener;
    int stop_event;       /* an eventfd: readable, for good, when all workers shall end   */
    atomic_bool resting;  /* descriptors have run out, and the listener is switched off   */
    pthread_mutex_t lock; /* guards the list                                           */
    struct client all;    /* head of the ring of all clients, to be closed at the end     */
};

/* What event.data.ptr points to where it is no client. */
static char listener_mark, stop_mark;

static int control(struct server *server, int what, int fd, uint32_t events, void *mark)
{
    struct epoll_event event = {.events = events, .data.ptr = mark};
    return epoll_ctl(server->epoll, what, fd, &event);
}

/* ---- accepting, and resting ---- */

static void listener_arm(struct server *server)
{
    (void)control(server, EPOLL_CTL_MOD, server->listener, EPOLLIN | EPOLLONESHOT, &listener_mark);
}

//! [rest]
/* Whoever frees a descriptor ends the rest; exchange lets exactly one thread do it. */
static void accept_goes_on(struct server *server)
{
    if (atomic_exchange(&server->resting, false))
        listener_arm(server);
}
//! [rest]

/* ---- clients ---- */

static uint32_t events_for(const struct conn *conn)
{
    return (conn_waits_for(conn) == CONN_READABLE ? EPOLLIN : EPOLLOUT) | EPOLLONESHOT;
}

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
    (void)control(server, EPOLL_CTL_DEL, client->conn.fd, 0, NULL);
    conn_close(&client->conn);
    pthread_mutex_destroy(&client->lock);
    free(client);
    accept_goes_on(server);
}
//! [remove]

static void client_refuse(struct server *server, struct client *client, int fd)
{
    cli_log(server->cli, "one more client refused: %s", strerror(errno));
    totals_add_refused();
    free(client);
    close(fd);
}

//! [add]
/* From the moment of EPOLL_CTL_ADD another worker may own the client, and even have freed it: so
 * that is the last thing here that touches it. */
static void client_add(struct server *server, int fd)
{
    struct client *client = malloc(sizeof *client);
    if (client == NULL || nonblocking_set(fd) < 0 ||
        (errno = pthread_mutex_init(&client->lock, NULL)) != 0) {
        client_refuse(server, client, fd);
        return;
    }
    pthread_mutex_lock(&client->lock); /* what is written here, its first worker shall see */
    conn_init(&client->conn, fd);
    pthread_mutex_unlock(&client->lock);
    list_put(server, client);
    totals_add_client();
    if (control(server, EPOLL_CTL_ADD, fd, events_for(&client->conn), client) < 0)
        client_remove(server, client); /* ENOMEM, ENOSPC: still ours, nobody has seen it */
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

/* EPOLLONESHOT keeps the other workers out, so nobody ever waits for this lock, but for the moment
 * between the re-arming and the unlock. It is here for the C language, which knows nothing of
 * epoll: the lock says that the next worker sees what this one has written (C11, 5.1.2.4). */
static void client_serve(struct server *server, struct client *client)
{
    pthread_mutex_lock(&client->lock);
    bool goes_on = client_turns(client) && control(server, EPOLL_CTL_MOD, client->conn.fd,
                                                   events_for(&client->conn), client) == 0;
    pthread_mutex_unlock(&client->lock);
    if (!goes_on)
        client_remove(server, client); /* not re-armed, so still ours */
}
//! [serve]

//! [accept]
/* False when descriptors have run out: the listener stays switched off. */
static bool accept_some(struct server *server)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = tcp_accept(server->listener);
        if (fd >= 0)
            client_add(server, fd);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else
            return false;
    }
    listener_arm(server);
    return true;
}
//! [accept]

/* ---- workers ---- */

//! [worker]
//! [worker_rest]
struct worker {
    struct server *server;
    pthread_t thread;
    int64_t rest_until_ns; /* it was this one that found no descriptor; 0: it was not */
};

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* The worker that found no descriptor looks after the rest, if nobody frees one before. */
static void look_after_rest(struct worker *worker)
{
    if (worker->rest_until_ns == 0 || now_ns() < worker->rest_until_ns)
        return;
    worker->rest_until_ns = 0;
    accept_goes_on(worker->server);
}

static void on_listener(struct worker *worker)
{
    if (accept_some(worker->server))
        return;
    worker->rest_until_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
    atomic_store(&worker->server->resting, true);
}
//! [worker_rest]

//! [run_worker]
static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    for (;;) {
        struct epoll_event event;
        int n = epoll_wait(worker->server->epoll, &event, 1,
                           worker->rest_until_ns == 0 ? -1 : TCP_REST_MS);
        if (n < 0 && errno != EINTR)
            return NULL; /* the epoll itself is broken: a bug, not the world's doing */
        if (n > 0 && event.data.ptr == &stop_mark)
            return NULL; /* nobody reads the eventfd, so every worker sees it */
        if (n > 0 && event.data.ptr == &listener_mark)
            on_listener(worker);
        else if (n > 0)
            client_serve(worker->server, event.data.ptr);
        look_after_rest(worker);
    }
}
//! [run_worker]
//! [worker]

static long start_workers(struct server *server, struct worker *workers, long count)
{
    for (long i = 0; i < count; i++) {
        workers[i] = (struct worker){.server = server};
        int err = pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
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
    server->all.previous = server->all.next = &server->all;
    if ((errno = pthread_mutex_init(&server->lock, NULL)) != 0 ||
        (server->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
        (server->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
        control(server, EPOLL_CTL_ADD, server->stop_event, EPOLLIN, &stop_mark) < 0)
        return -1; /* at once: a call that succeeds may change errno, too */
    server->listener = cli_listen(server->cli);
    if (nonblocking_set(server->listener) < 0)
        return -1;
    return control(server, EPOLL_CTL_ADD, server->listener, EPOLLIN | EPOLLONESHOT, &listener_mark);
}

//! [stop]
/* The main thread only waits for the signal; then it wakes the workers and waits for each. */
static void run_until_stopped(struct server *server, struct worker *workers, long count, int stop)
{
    struct pollfd wait = {.fd = stop, .events = POLLIN};
    count = start_workers(server, workers, count);
    while (poll(&wait, 1, -1) < 0)
        if (errno != EINTR) {
            cli_log(server->cli, "poll: %s", strerror(errno));
            exit(1); /* ENOMEM: nobody has asked for a stop, so this is no clean one */
        }
    (void)eventfd_write(server->stop_event, 1);
    for (long i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    while (server->all.next != &server->all)
        client_remove(server, server->all.next);
}
//! [stop]

int main(int argc, char **argv)
{
    static struct worker workers[MAX_WORKERS];
    long count = 4;
    const struct cli_option options[] = {
        {'w', "WORKERS", "threads that share the epoll", 1, MAX_WORKERS, &count},
        {0, NULL, NULL, 0, 0, NULL},
    };
    struct cli cli = cli_parse(argc, argv, "An echo server: one epoll, several threads.", options);
    struct server server = {.cli = &cli};
    int stop = stop_open();
    if (stop < 0 || server_open(&server) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    run_until_stopped(&server, workers, count, stop);
    return totals_write() == 0 ? 0 : 1;
}
