/*
 * Exercise 07.2, Proxy: the answer that looks right, and is not.
 *
 * Each direction is a pipe of its own, with two buffers. When one side has ended, and all that it
 * said has been handed on, the connection is over: both sockets are closed.
 */
#include "app.h"
#include "host.h"
#include "listener.h"

#include <stdbool.h>
#include <stdlib.h>

enum { BATCH = 256, BUF_SIZE = 16384 };
enum { CLIENT, TARGET, SIDES }; /* of a link; and pipe i receives from side i */

enum state { CONNECTING, OPEN, CLOSING };

struct pipe {
    evq_op recv, send;
    bool is_receiving, is_sending;
    bool has_ended;  /* recv has said 0                              */
    int fill, drain; /* the buffer to receive into / to be sent     */
    size_t len[2];   /* bytes in each; 0: it is empty               */
    char buf[2][BUF_SIZE];
};

struct link {
    enum state state;
    evq_sock sock[SIDES];
    evq_op connect, close[SIDES];
    int open_sockets;
    struct pipe pipe[SIDES];
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

/* ---- pipes ---- */

/* Whatever a pipe can do now: send a full buffer, receive into an empty one. */
static void pipe_go_on(struct link *link, int from)
{
    struct pipe *pipe = &link->pipe[from];
    evq_sock *source = &link->sock[from], *sink = &link->sock[1 - from];
    if (!pipe->is_sending && pipe->len[pipe->drain] > 0) {
        pipe->is_sending = true;
        evq_send(sink, &pipe->send, pipe->buf[pipe->drain], pipe->len[pipe->drain]);
    }
    if (!pipe->is_receiving && !pipe->has_ended && pipe->len[pipe->fill] == 0) {
        pipe->is_receiving = true;
        evq_recv(source, &pipe->recv, pipe->buf[pipe->fill], BUF_SIZE);
    }
}

static void pipe_received(struct pipe *pipe)
{
    pipe->is_receiving = false;
    if (pipe->recv.nbytes == 0) {
        pipe->has_ended = true;
        return;
    }
    pipe->len[pipe->fill] = pipe->recv.nbytes;
    pipe->fill = 1 - pipe->fill;
}

static void pipe_sent(struct pipe *pipe)
{
    pipe->is_sending = false;
    pipe->len[pipe->drain] = 0;
    pipe->drain = 1 - pipe->drain;
}

static void on_pipe(struct loop *loop, struct link *link, int from, const evq_op *op)
{
    struct pipe *pipe = &link->pipe[from];
    if (op->kind == EVQ_SEND)
        loop->bytes += op->nbytes;
    if (link->state == CLOSING)
        return; /* the closes follow */
    if (op->err != EVQ_OK) {
        link_reset(link); /* EVQ_ECONNRESET, EVQ_ETIMEDOUT: the other side shall know */
        return;
    }
    if (op->kind == EVQ_RECV)
        pipe_received(pipe);
    else
        pipe_sent(pipe);
    pipe_go_on(link, from);
    if (pipe->has_ended && !pipe->is_sending)
        link_close(link); /* the end, and all that came before it was handed on */
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
    pipe_go_on(link, CLIENT);
    pipe_go_on(link, TARGET);
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
    link->connect.user = link;
    for (int side = 0; side < SIDES; side++)
        link->close[side].user = link->pipe[side].recv.user = link->pipe[side].send.user = link;
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
        bool is_client = op == &link->pipe[CLIENT].recv || op == &link->pipe[CLIENT].send;
        on_pipe(loop, link, is_client ? CLIENT : TARGET, op);
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
