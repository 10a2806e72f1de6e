/*
 * Exercise 07.2, Proxy: where you begin.
 *
 * Hands on what comes to another server, in turns: the client says something, then the target
 * answers. Many protocols do look like that, as long as each word is small.
 */
#include "app.h"
#include "host.h"
#include "listener.h"

#include <stdbool.h>
#include <stdlib.h>

enum { BATCH = 256, BUF_SIZE = 16384 };
enum { CLIENT, TARGET, SIDES }; /* of a link */

enum state { CONNECTING, OPEN, CLOSING };

struct link {
    enum state state;
    evq_sock sock[SIDES];
    evq_op connect, close[SIDES];
    int open_sockets;
    int turn;  /* whose word is handed on */
    evq_op io; /* a recv from it, or a send to the other one */
    char buf[BUF_SIZE];
    struct link *next, *prev;
};

struct loop {
    const struct app *app;
    evq *queue;
    struct sockaddr_storage target;
    socklen_t target_len;
    struct listener listener;
    struct link *first;
    uint64_t clients, bytes, refused;
};

/* ---- the end of a link ---- */

static void link_close(struct link *link)
{
    if (link->state == CLOSING)
        return;
    link->state = CLOSING;
    for (int side = 0; side < SIDES; side++)
        evq_close(&link->sock[side], &link->close[side]); /* cancels what is pending there */
}

/* What is broken must not look like what ended well. */
static void link_reset(struct link *link)
{
    for (int side = 0; link->state != CLOSING && side < SIDES; side++)
        app_reset_on_close(link->sock[side].fd);
    link_close(link);
}

static void link_free_if_home(struct loop *loop, struct link *link)
{
    if (link->open_sockets > 0)
        return;
    if (link->next != NULL)
        link->next->prev = link->prev;
    if (link->prev != NULL)
        link->prev->next = link->next;
    else
        loop->first = link->next;
    free(link);
}

/* ---- in turns ---- */

static void turn_begins(struct link *link, int side)
{
    link->turn = side;
    evq_recv(&link->sock[side], &link->io, link->buf, BUF_SIZE);
}

/* The client says something, then the target answers, and so on. */
static void on_io(struct loop *loop, struct link *link)
{
    if (link->io.kind == EVQ_SEND)
        loop->bytes += link->io.nbytes;
    if (link->state == CLOSING)
        return; /* the closes follow */
    if (link->io.err != EVQ_OK)
        link_reset(link); /* EVQ_ECONNRESET, EVQ_ETIMEDOUT: the other side shall know */
    else if (link->io.kind == EVQ_SEND)
        turn_begins(link, 1 - link->turn);
    else if (link->io.nbytes == 0)
        link_close(link);
    else
        evq_send(&link->sock[1 - link->turn], &link->io, link->buf, link->io.nbytes);
}

/* ---- the life of a link ---- */

static void on_connected(struct loop *loop, struct link *link)
{
    int err = link->connect.err;
    if (link->state == CLOSING)
        return;
    if (err != EVQ_OK) {
        loop->refused++;
        link_reset(link);
        return;
    }
    link->state = OPEN;
    turn_begins(link, CLIENT);
}

/* Both sockets or none: what could not be attached is ours to close. */
static bool attach_both(struct loop *loop, struct link *link, evq_fd client)
{
    evq_fd target = EVQ_NO_FD;
    if (evq_tcp_socket(&target, loop->target.ss_family) != EVQ_OK)
        return false;
    (void)evq_tcp_nodelay(target); /* without it we are slower, and that is all */
    if (evq_attach(loop->queue, &link->sock[TARGET], target) != EVQ_OK) {
        evq_tcp_close(target);
        return false;
    }
    link->open_sockets = 1;
    if (evq_attach(loop->queue, &link->sock[CLIENT], client) != EVQ_OK)
        return false;
    link->open_sockets = 2;
    return true;
}

static void link_init(struct loop *loop, struct link *link)
{
    link->connect.user = link->io.user = link;
    for (int side = 0; side < SIDES; side++)
        link->close[side].user = link;
    link->next = loop->first;
    if (loop->first != NULL)
        loop->first->prev = link;
    loop->first = link;
}

static void link_add(struct loop *loop, evq_fd client)
{
    struct link *link = calloc(1, sizeof *link);
    bool is_attached = link != NULL && attach_both(loop, link, client);
    if (link != NULL && (is_attached || link->open_sockets > 0))
        link_init(loop, link);
    if (!is_attached) {
        app_log(loop->app, "one more client refused: no descriptor or no memory for it");
        loop->refused++;
        evq_tcp_close(client);
        if (link != NULL && link->open_sockets > 0) {
            link->state = CLOSING; /* half of it has to be closed by the queue */
            evq_close(&link->sock[TARGET], &link->close[TARGET]);
        } else {
            free(link);
        }
        return;
    }
    loop->clients++;
    evq_connect(&link->sock[TARGET], &link->connect, (const struct sockaddr *)&loop->target,
                loop->target_len);
}

/* ---- the loop ---- */

static void on_link(struct loop *loop, struct link *link, evq_op *op)
{
    if (op->kind == EVQ_CONNECT) {
        on_connected(loop, link);
    } else if (op->kind == EVQ_CLOSE) {
        link->open_sockets--;
        listener_go_on(&loop->listener); /* a descriptor is free again */
    } else {
        on_io(loop, link);
    }
    link_free_if_home(loop, link);
}

static void loop_round(struct loop *loop)
{
    evq_op *done[BATCH];
    int n = evq_wait(loop->queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(loop->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++) {
        if (listener_owns(&loop->listener, done[i])) {
            evq_fd fd = listener_done(&loop->listener, done[i]);
            if (fd != EVQ_NO_FD)
                link_add(loop, fd);
        } else {
            on_link(loop, done[i]->user, done[i]);
        }
    }
}

static void loop_run(struct loop *loop)
{
    while (!host_is_stopping())
        loop_round(loop);
    host_stop_close();
    listener_close(&loop->listener);
    for (struct link *link = loop->first; link != NULL; link = link->next)
        link_close(link);
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

int main(int argc, char **argv)
{
    const char *target = NULL;
    const struct app_option options[] = {
        {'c', "TARGET", "connect to this numeric ADDRESS:PORT", 0, 0, NULL, &target},
        {0, NULL, NULL, 0, 0, NULL, NULL},
    };
    const struct app_about about = {.what = "Hands on what comes, both ways, to another server.",
                                    .options = options};
    struct app app = app_start(argc, argv, &about);
    struct loop loop = {.app = &app};
    loop.queue = app_queue(&app);
    if (host_address(target, &loop.target, &loop.target_len) < 0) {
        app_log(&app, "-c '%s': give a numeric ADDRESS:PORT such as 127.0.0.1:80", target);
        return APP_STATUS_USAGE;
    }
    evq_fd fd = app_listen(&app);
    int err = listener_open(&loop.listener, loop.queue, fd);
    if (err < 0)
        app_die(&app, "cannot accept: %s", evq_strerror(err));
    app_announce(&app, loop.queue, fd);
    loop_run(&loop);
    return app_totals(loop.clients, loop.bytes, loop.refused);
}
