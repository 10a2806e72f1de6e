/*
 * Exercise 07.3, Leave in order: where you begin.
 *
 * An echo server on evq. When it is told to stop, it closes everybody at once: in the middle of an
 * answer, too.
 */
#include "app.h"
#include "host.h"
#include "listener.h"

#include <stdbool.h>
#include <stdlib.h>

enum { BATCH = 256, BUF_SIZE = 16384 };

struct client {
    evq_sock sock;
    evq_op io, close; /* io: a recv or a send */
    bool is_closing;
    char buf[BUF_SIZE];
    struct client *next, *prev;
};

struct loop {
    const struct app *app;
    evq *queue;
    struct listener listener;
    struct client *first;
    uint64_t clients, bytes, refused;
};

/* ---- the life of a client ---- */

static void client_receive(struct client *client)
{
    evq_recv(&client->sock, &client->io, client->buf, BUF_SIZE);
}

static void client_close(struct client *client)
{
    if (client->is_closing)
        return;
    client->is_closing = true;
    evq_close(&client->sock, &client->close); /* a pending io comes back before it */
}

static void client_add(struct loop *loop, evq_fd fd)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL || evq_attach(loop->queue, &client->sock, fd) != EVQ_OK) {
        app_log(loop->app, "one more client refused: no memory for it");
        free(client);
        evq_tcp_close(fd);
        loop->refused++;
        return;
    }
    client->io.user = client->close.user = client;
    client->next = loop->first;
    if (loop->first != NULL)
        loop->first->prev = client;
    loop->first = client;
    loop->clients++;
    client_receive(client);
}

static void client_free(struct loop *loop, struct client *client)
{
    if (client->next != NULL)
        client->next->prev = client->prev;
    if (client->prev != NULL)
        client->prev->next = client->next;
    else
        loop->first = client->next;
    free(client);
}

/* ---- what has come back ---- */

static void on_io(struct loop *loop, struct client *client)
{
    if (client->io.kind == EVQ_SEND)
        loop->bytes += client->io.nbytes;
    if (client->is_closing)
        return; /* the close follows */
    if (client->io.err != EVQ_OK)
        client_close(client); /* EVQ_ECONNRESET, EVQ_ETIMEDOUT: this client only */
    else if (client->io.kind == EVQ_SEND)
        client_receive(client);
    else if (client->io.nbytes == 0)
        client_close(client);
    else
        evq_send(&client->sock, &client->io, client->buf, client->io.nbytes);
}

/* ---- the loop ---- */

static void loop_done(struct loop *loop, evq_op *op)
{
    if (listener_owns(&loop->listener, op)) {
        evq_fd fd = listener_done(&loop->listener, op);
        if (fd != EVQ_NO_FD)
            client_add(loop, fd);
        return;
    }
    struct client *client = op->user;
    if (op == &client->io) {
        on_io(loop, client);
        return;
    }
    client_free(loop, client); /* the close comes back after every other op of the socket */
    listener_go_on(&loop->listener);
}

static void loop_round(struct loop *loop)
{
    evq_op *done[BATCH];
    int n = evq_wait(loop->queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(loop->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++)
        loop_done(loop, done[i]);
}

static void loop_run(struct loop *loop)
{
    while (!host_is_stopping())
        loop_round(loop);
    host_stop_close();
    listener_close(&loop->listener);
    for (struct client *client = loop->first; client != NULL; client = client->next)
        client_close(client);
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

int main(int argc, char **argv)
{
    const struct app_about about = {.what =
                                        "An echo server that stops in the middle of an answer."};
    struct app app = app_start(argc, argv, &about);
    struct loop loop = {.app = &app};
    loop.queue = app_queue(&app);
    evq_fd fd = app_listen(&app);
    int err = listener_open(&loop.listener, loop.queue, fd);
    if (err < 0)
        app_die(&app, "cannot accept: %s", evq_strerror(err));
    app_announce(&app, loop.queue, fd);
    loop_run(&loop);
    return app_totals(loop.clients, loop.bytes, loop.refused);
}
