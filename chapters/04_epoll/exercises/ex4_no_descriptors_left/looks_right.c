/*
 * Exercise 04.4, No descriptors left: the answer that looks right, and is not.
 *
 * One descriptor is kept in reserve. When none is left, it is closed, the client is accepted with
 * it and shown out, and the reserve is opened again. So the backlog never fills, and nothing spins.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MAX_CLIENTS = 65536, ACCEPTS_PER_ROUND = 64, EVENTS_PER_ROUND = 256 };

struct client {
    struct conn conn;
    uint32_t events; /* what the interest list holds for it */
    size_t place;    /* it is loop->clients[place]          */
};

struct loop {
    const struct cli *cli;
    int epoll, listener;
    int spare; /* open, and good for nothing but to be closed when descriptors have run out */
    bool stopping;
    size_t count;
    struct client *clients[MAX_CLIENTS]; /* all of them, to be closed at the end */
};

/* What event.data.ptr points to where it is no client. */
static char listener_mark, stop_mark;

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

/* ---- clients ---- */

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
    /* close() alone removes a descriptor from epoll only if no copy of it is left, in a dup() or in
     * a child (man 7 epoll, Q6). So it is taken out first. */
    (void)control(loop, EPOLL_CTL_DEL, client->conn.fd, 0, NULL);
    conn_close(&client->conn);
    free(client);
}

/* Gives up the spare descriptor, accepts with it, and closes: the backlog has one client fewer. */
static void turn_away(struct loop *loop)
{
    close(loop->spare);
    int fd = tcp_accept(loop->listener);
    if (fd >= 0) {
        totals_add_refused();
        close(fd);
    }
    loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct loop *loop)
{
    for (int i = 0; i < ACCEPTS_PER_ROUND && loop->count < MAX_CLIENTS; i++) {
        int fd = tcp_accept(loop->listener);
        if (fd >= 0)
            client_add(loop, fd);
        else if (tcp_is_out_of_resources(errno))
            turn_away(loop);
        else
            return; /* EAGAIN: nobody waits */
    }
}

/* ---- the loop ---- */

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

static void loop_round(struct loop *loop)
{
    struct epoll_event events[EVENTS_PER_ROUND];
    int n = epoll_wait(loop->epoll, events, EVENTS_PER_ROUND, -1);
    if (n < 0 && errno != EINTR) {
        cli_log(loop->cli, "epoll_wait: %s", strerror(errno));
        exit(1);
    }
    bool accept_due = false;
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &stop_mark)
            loop->stopping = true;
        else if (events[i].data.ptr == &listener_mark)
            accept_due = true;
        else
            client_serve(loop, events[i].data.ptr);
    }
    if (accept_due)
        accept_some(loop);
}

static int loop_open(struct loop *loop)
{
    int stop = stop_open();
    loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (stop < 0 || loop->epoll < 0 || control(loop, EPOLL_CTL_ADD, stop, EPOLLIN, &stop_mark) < 0)
        return -1;
    loop->listener = cli_listen(loop->cli);
    if (nonblocking_set(loop->listener) < 0)
        return -1;
    return control(loop, EPOLL_CTL_ADD, loop->listener, EPOLLIN, &listener_mark);
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that runs out of descriptors.", NULL);
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
    close(loop.epoll);
    return totals_write() == 0 ? 0 : 1;
}
