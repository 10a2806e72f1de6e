/*
 * step4_epoll_per_thread: every thread has an epoll, a listening socket and clients of its own.
 *
 * It grows out of step 1, and is that step several times. The kernel deals new connections out to
 * the listening sockets (SO_REUSEPORT), and from then on a client belongs to one thread for life.
 * Threads share nothing but counters and two eventfds, so there is no lock, no herd, and no
 * question who owns what. The price: a client cannot move, so one thread may be busy while another
 * one sleeps.
 *
 * The main thread waits for the signal, wakes all workers through an eventfd, and joins them.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "reuseport.h"
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

enum { MAX_WORKERS = 64, MAX_CLIENTS = 65536, ACCEPTS_PER_ROUND = 64, EVENTS_PER_ROUND = 256 };

struct client {
    struct conn conn;
    uint32_t events; /* what the interest list holds for it */
    size_t place;    /* it is loop->clients[place]          */
};

/* What all threads know of each other. */
struct server {
    const struct cli *cli;
    int stop_event;     /* an eventfd: readable, for good, when all shall end */
    int freed_event;    /* an eventfd: an edge for each descriptor that a resting loop may use */
    atomic_int resting; /* loops that wait for one */
};

struct loop {
    struct server *server;
    pthread_t thread;
    int epoll, listener;
    bool stopping;
    int64_t accept_after_ns; /* 0: the listener is watched; else it rests until then */
    size_t count;
    struct client *clients[MAX_CLIENTS]; /* all of them, to be closed at the end */
};

/* What event.data.ptr points to where it is no client. */
static char listener_mark, stop_mark, freed_mark;

/* ---- the interest list ---- */

static int control(struct loop *loop, int what, int fd, uint32_t events, void *mark)
{
    struct epoll_event event = {.events = events, .data.ptr = mark};
    return epoll_ctl(loop->epoll, what, fd, &event);
}

static uint32_t events_for(const struct conn *conn)
{
    return conn_waits_for(conn) == CONN_READABLE ? EPOLLIN : EPOLLOUT;
}

/* ---- accepting, and resting ---- */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

//! [rest]
/* EMFILE leaves the client in the backlog, so a watched listener would be reported at once, again
 * and again. It rests until a descriptor becomes free, or for TCP_REST_MS. */
static void accept_rests(struct loop *loop)
{
    (void)control(loop, EPOLL_CTL_MOD, loop->listener, 0, &listener_mark);
    if (loop->accept_after_ns == 0)
        atomic_fetch_add(&loop->server->resting, 1);
    loop->accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
}

static void accept_goes_on(struct loop *loop)
{
    if (loop->accept_after_ns == 0)
        return;
    (void)control(loop, EPOLL_CTL_MOD, loop->listener, EPOLLIN, &listener_mark);
    loop->accept_after_ns = 0;
    atomic_fetch_sub(&loop->server->resting, 1);
}

/* Descriptors belong to the process: what one thread closes, another may be waiting for. */
static void descriptor_freed(struct loop *loop)
{
    accept_goes_on(loop);
    if (atomic_load(&loop->server->resting) > 0)
        (void)eventfd_write(loop->server->freed_event, 1);
}
//! [rest]

/* ---- clients ---- */

//! [add]
static bool client_watch(struct loop *loop, struct client *client, int fd)
{
    if (client == NULL || nonblocking_set(fd) < 0)
        return false;
    conn_init(&client->conn, fd);
    client->events = events_for(&client->conn);
    return control(loop, EPOLL_CTL_ADD, fd, client->events, client) == 0;
}

static void client_add(struct loop *loop, int fd)
{
    struct client *client = malloc(sizeof *client);
    if (!client_watch(loop, client, fd)) {
        cli_log(loop->server->cli, "one more client refused: %s", strerror(errno));
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
    /* close() alone removes a descriptor from epoll only if no copy of it is left, in a dup() or in
     * a child (man 7 epoll, Q6). So it is taken out first. */
    (void)control(loop, EPOLL_CTL_DEL, client->conn.fd, 0, NULL);
    conn_close(&client->conn);
    free(client);
    descriptor_freed(loop);
}
//! [remove]

static void accept_some(struct loop *loop)
{
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

//! [serve]
static void client_serve(struct loop *loop, struct client *client)
{
    if (conn_turn(&client->conn) == CONN_OVER) {
        client_remove(loop, client);
        return;
    }
    uint32_t events = events_for(&client->conn);
    if (events == client->events)
        return; /* nearly always: no system call */
    client->events = events;
    if (control(loop, EPOLL_CTL_MOD, client->conn.fd, events, client) < 0)
        client_remove(loop, client); /* ENOMEM: it could not be waited for any more */
}
//! [serve]

static int timeout_ms(const struct loop *loop)
{
    int64_t left_ns = loop->accept_after_ns - now_ns();
    if (loop->accept_after_ns == 0)
        return -1;
    return left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000); /* up: never too early */
}

//! [round]
static void loop_round(struct loop *loop)
{
    struct epoll_event events[EVENTS_PER_ROUND];
    int n = epoll_wait(loop->epoll, events, EVENTS_PER_ROUND, timeout_ms(loop));
    if (n < 0 && errno != EINTR) {
        cli_log(loop->server->cli, "epoll_wait: %s", strerror(errno));
        exit(1);
    }
    bool accept_due = false;
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &stop_mark)
            loop->stopping = true;
        else if (events[i].data.ptr == &freed_mark)
            accept_goes_on(loop);
        else if (events[i].data.ptr == &listener_mark)
            accept_due = true;
        else
            client_serve(loop, events[i].data.ptr);
    }
    if (accept_due)
        accept_some(loop);
    if (loop->accept_after_ns != 0 && now_ns() >= loop->accept_after_ns)
        accept_goes_on(loop);
}
//! [round]

/* ---- one thread ---- */

static int loop_open(struct loop *loop, struct server *server, int listener)
{
    loop->server = server;
    loop->listener = listener;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || loop->epoll < 0 || nonblocking_set(listener) < 0)
        return -1;
    /* Nobody reads the two eventfds. So the stop is seen by everybody, for ever; and with EPOLLET
     * each write to the other one is one more edge for everybody. */
    if (control(loop, EPOLL_CTL_ADD, server->stop_event, EPOLLIN, &stop_mark) < 0 ||
        control(loop, EPOLL_CTL_ADD, server->freed_event, EPOLLIN | EPOLLET, &freed_mark) < 0)
        return -1;
    return control(loop, EPOLL_CTL_ADD, listener, EPOLLIN, &listener_mark);
}

//! [run_worker]
static void *run_worker(void *arg)
{
    struct loop *loop = arg;
    while (!loop->stopping)
        loop_round(loop);
    while (loop->count > 0)
        client_remove(loop, loop->clients[loop->count - 1]);
    close(loop->listener);
    close(loop->epoll);
    return NULL;
}
//! [run_worker]

/* ---- all threads ---- */

static void die(const struct cli *cli, const char *what, int err)
{
    cli_log(cli, "%s: %s", what, strerror(err));
    exit(1);
}

//! [listeners]
static void open_loops(struct server *server, struct loop *loops, long count)
{
    const struct cli *cli = server->cli;
    int first = reuseport_listen(cli->address, cli->port);
    if (first < 0)
        (void)cli_announce(cli, first); /* says why, and ends the program */
    for (long i = 0; i < count; i++)
        if (loop_open(&loops[i], server, i == 0 ? first : reuseport_listen_again(first)) < 0)
            die(cli, "cannot open one more listener", errno);
    (void)cli_announce(cli, first);
}
//! [listeners]

//! [workers]
static void run_workers(struct server *server, struct loop *loops, long count, int stop)
{
    struct pollfd wait = {.fd = stop, .events = POLLIN};
    for (long i = 0; i < count; i++) {
        /* A listener without a thread would keep its share of the clients waiting for ever. */
        int err = pthread_create(&loops[i].thread, NULL, run_worker, &loops[i]);
        if (err != 0)
            die(server->cli, "cannot start one more worker", err);
    }
    while (poll(&wait, 1, -1) < 0)
        if (errno != EINTR)
            die(server->cli, "poll", errno); /* ENOMEM: nobody has asked for a stop */
    (void)eventfd_write(server->stop_event, 1);
    for (long i = 0; i < count; i++)
        pthread_join(loops[i].thread, NULL);
}
//! [workers]

int main(int argc, char **argv)
{
    long count = 4;
    const struct cli_option options[] = {
        {'w', "WORKERS", "threads, each with an epoll of its own", 1, MAX_WORKERS, &count},
        {0, NULL, NULL, 0, 0, NULL},
    };
    struct cli cli = cli_parse(argc, argv, "An echo server: an epoll for every thread.", options);
    struct loop *loops = calloc((size_t)count, sizeof *loops);
    int stop = stop_open();
    struct server server = {.cli = &cli,
                            .stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                            .freed_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (loops == NULL || stop < 0 || server.stop_event < 0 || server.freed_event < 0)
        die(&cli, "cannot start", errno);
    open_loops(&server, loops, count);
    run_workers(&server, loops, count, stop);
    free(loops);
    return totals_write() == 0 ? 0 : 1;
}
