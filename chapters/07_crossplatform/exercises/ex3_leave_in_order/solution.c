/*
 * Exercise 07.3, Leave in order: a solution.
 *
 *      serving ------ SIGTERM ------> leaving ------ nobody is left, or LEAVE_MS ------> closing
 *
 * Leaving, nobody new is accepted. To each client the answer that is on its way is sent to its end,
 * then our writing side is shut: the client sees a clean end. Closing, whoever is still there is
 * cut off. In all three a client lives until its close has come back: evq_close() only asks.
 */
#include "app.h"
#include "host.h"
#include "listener.h"

#include <stdbool.h>
#include <stdlib.h>

enum { BATCH = 256, BUF_SIZE = 16384, LEAVE_MS = 3000 };

static const uint64_t NS_PER_MS = 1000000;

struct client {
    evq_sock sock;
    evq_op io, close; /* io: a recv or a send */
    bool is_shut;     /* our writing side: what still comes is thrown away */
    bool is_closing;
    char buf[BUF_SIZE];
    struct client *next, *prev;
};

struct loop {
    const struct app *app;
    evq *queue;
    struct listener listener;
    struct client *first;
    bool is_leaving, is_late;
    evq_op deadline; /* of the leaving */
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

/* ---- leaving ---- */

/* When nothing is being sent to it: all that was received from it is answered. The end is said, and
 * what still comes is received and thrown away until the client has ended, too: a close with bytes
 * unread makes the kernel send a reset, which may destroy the answer (RFC 1122, 4.2.2.13). */
static void client_says_goodbye(struct client *client)
{
    client->is_shut = true;
    (void)evq_shutdown(&client->sock); /* fails where the peer is gone: the recv will tell */
}

static void clients_leave(struct loop *loop)
{
    loop->is_leaving = true;
    for (struct client *client = loop->first; client != NULL; client = client->next)
        if (!client->is_closing && client->io.kind == EVQ_RECV)
            client_says_goodbye(client); /* else it does when its send has come back */
}

/* ---- what has come back ---- */

static void on_sent(const struct loop *loop, struct client *client)
{
    if (loop->is_leaving)
        client_says_goodbye(client);
    client_receive(client);
}

static void on_io(struct loop *loop, struct client *client)
{
    if (client->io.kind == EVQ_SEND)
        loop->bytes += client->io.nbytes;
    if (client->is_closing)
        return; /* the close follows */
    if (client->io.err != EVQ_OK)
        client_close(client); /* EVQ_ECONNRESET, EVQ_ETIMEDOUT: this client only */
    else if (client->io.kind == EVQ_SEND)
        on_sent(loop, client);
    else if (client->io.nbytes == 0)
        client_close(client);
    else if (client->is_shut)
        client_receive(client); /* thrown away */
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
    if (op == &loop->deadline) {
        loop->is_late = true;
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

/* Nobody new; everybody's answer; and an end to it, whoever does not read. */
static void loop_leave(struct loop *loop)
{
    listener_close(&loop->listener);
    clients_leave(loop);
    evq_timer(loop->queue, &loop->deadline, evq_now(loop->queue) + LEAVE_MS * NS_PER_MS);
    while (loop->first != NULL && !loop->is_late)
        loop_round(loop);
    for (struct client *client = loop->first; client != NULL; client = client->next)
        client_close(client);
    (void)evq_cancel(loop->queue, &loop->deadline); /* EVQ_ENOENT: it has come back already */
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

static void loop_run(struct loop *loop)
{
    while (!host_is_stopping())
        loop_round(loop);
    host_stop_close();
    loop_leave(loop);
}

int main(int argc, char **argv)
{
    const struct app_about about = {.what = "An echo server that leaves in order."};
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
