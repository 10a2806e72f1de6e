/*
 * Exercise 04.3, Fair shares: where you begin.
 *
 * A server on epoll, edge-triggered, that drains each client until EAGAIN. A client that sends
 * faster than it is served never lets it come to that, and then it is the only one.
 */
#include "cli.h"
#include "conn.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 65536, ACCEPTS_PER_ROUND = 64, EVENTS_PER_ROUND = 256 };

struct client {
    struct conn conn;
    size_t place; /* it is loop->clients[place] */
};

struct loop {
    const struct cli *cli;
    int epoll, listener;
    bool stopping;
    int64_t accept_after_ns; /* 0: the listener is watched; else it rests until then */
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
    (void)control(loop, EPOLL_CTL_MOD, loop->listener, 0, &listener_mark);
    loop->accept_after_ns = now_ns() + TCP_REST_MS * INT64_C(1000000);
}

static void accept_goes_on(struct loop *loop)
{
    if (loop->accept_after_ns != 0)
        (void)control(loop, EPOLL_CTL_MOD, loop->listener, EPOLLIN, &listener_mark);
    loop->accept_after_ns = 0;
}

/* ---- clients ---- */

static bool client_watch(struct loop *loop, struct client *client, int fd)
{
    if (client == NULL || nonblocking_set(fd) < 0)
        return false;
    conn_init(&client->conn, fd);
    return control(loop, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, client) == 0;
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
    accept_goes_on(loop); /* a descriptor has become free */
}

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

static void client_serve(struct loop *loop, struct client *client)
{
    enum conn_result result;
    do
        result = conn_turn(&client->conn);
    while (result == CONN_PROGRESS);
    if (result == CONN_OVER)
        client_remove(loop, client);
}

static int timeout_ms(const struct loop *loop)
{
    int64_t left_ns = loop->accept_after_ns - now_ns();
    if (loop->accept_after_ns == 0)
        return -1;
    return left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000); /* up: never too early */
}

static void loop_round(struct loop *loop)
{
    struct epoll_event events[EVENTS_PER_ROUND];
    int n = epoll_wait(loop->epoll, events, EVENTS_PER_ROUND, timeout_ms(loop));
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
    if (loop->accept_after_ns != 0 && now_ns() >= loop->accept_after_ns)
        accept_goes_on(loop);
}

static int loop_open(struct loop *loop)
{
    int stop = stop_open();
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
    struct cli cli =
        cli_parse(argc, argv, "An echo server on epoll, edge-triggered and greedy.", NULL);
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
