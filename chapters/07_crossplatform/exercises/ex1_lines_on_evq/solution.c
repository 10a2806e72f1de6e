/*
 * Exercise 07.1, Lines on evq: a solution.
 *
 * Each client has a moment at which it has been silent for too long, and a timer. The moment moves
 * with each byte. The timer is an operation: from the submit until evq_wait() returns it, it is the
 * queue's. So it is left alone, and when it comes back it looks at the moment that counts now.
 *
 * It belongs to the queue, and not to the socket: the close does not wait for it. Whoever comes
 * home last, the close or the timer, frees the client.
 */
#include "app.h"
#include "host.h"
#include "listener.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, LONGEST = 1024, IDLE_MS = 1000 };

static const uint64_t NS_PER_MS = 1000000;

static const char refusal[] = "error: a line has at most 1024 bytes\n";
enum { REFUSAL_LEN = sizeof refusal - 1 };

enum {
    IN_SIZE = 4096,                  /* more than one line, so that a whole one always fits      */
    OUT_SIZE = IN_SIZE + REFUSAL_LEN /* an answer is as long as its line, so all of them fit     */
};

enum state { OPEN, ENDING, REFUSED, CLOSING };

struct client {
    evq_sock sock;
    evq_op io, close, idle; /* io: a recv or a send; idle: a timer   */
    bool is_closed;         /* the close has come back               */
    bool is_ticking;        /* the timer is the queue's               */
    uint64_t idle_at_ns;    /* the moment that counts; it moves       */
    enum state state;
    size_t in_len, out_len;
    char in[IN_SIZE], out[OUT_SIZE];
    struct client *next, *prev;
};

struct loop {
    const struct app *app;
    evq *queue;
    struct listener listener;
    struct client *first;
    uint64_t clients, bytes, refused;
};

/* ---- the protocol: bytes in, bytes out, no socket in sight ---- */

static void upper_case(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) /* toupper() would depend on the locale */
        if (bytes[i] >= 'a' && bytes[i] <= 'z')
            bytes[i] = (char)(bytes[i] - 'a' + 'A');
}

static void out_append(struct client *client, const char *bytes, size_t len)
{
    memcpy(client->out + client->out_len, bytes, len);
    client->out_len += len;
}

/* Answers the whole lines in `in`; the beginning of the next one moves to the front. */
static void answer_lines(struct client *client)
{
    size_t at = 0;
    while (client->state != REFUSED && at < client->in_len) {
        const char *line = client->in + at, *newline = memchr(line, '\n', client->in_len - at);
        size_t text = newline != NULL ? (size_t)(newline - line) : client->in_len - at;
        if (text > LONGEST) {
            out_append(client, refusal, REFUSAL_LEN);
            client->state = REFUSED;
            client->in_len = at = 0;
        } else if (newline != NULL || client->state == ENDING) {
            size_t whole = newline != NULL ? text + 1 : text;
            out_append(client, line, whole);
            at += whole;
        } else {
            break;
        }
    }
    client->in_len -= at;
    memmove(client->in, client->in + at, client->in_len);
    upper_case(client->out,
               client->state == REFUSED ? client->out_len - REFUSAL_LEN : client->out_len);
}

/* ---- idle clients ---- */

/* The moment moves with each byte, the timer stays where it is: it is lent, and may not be
 * submitted a second time. When it comes back too early, it is submitted for what is left. */
static void idle_begins(struct loop *loop, struct client *client)
{
    client->idle_at_ns = evq_now(loop->queue) + IDLE_MS * NS_PER_MS;
    if (client->is_ticking)
        return;
    client->is_ticking = true;
    evq_timer(loop->queue, &client->idle, client->idle_at_ns);
}

/* ---- what a client does next ---- */

static void client_close(struct loop *loop, struct client *client)
{
    if (client->state == CLOSING)
        return;
    client->state = CLOSING;
    if (client->is_ticking)
        (void)evq_cancel(loop->queue, &client->idle); /* it still comes back */
    evq_close(&client->sock, &client->close);         /* a pending io comes back before it */
}

static void client_receive(struct client *client)
{
    evq_recv(&client->sock, &client->io, client->in + client->in_len, IN_SIZE - client->in_len);
}

static void client_answer(struct client *client)
{
    answer_lines(client);
    if (client->out_len > 0)
        evq_send(&client->sock, &client->io, client->out, client->out_len);
    else
        client_receive(client); /* half a line: there is room, it is no longer than LONGEST */
}

/* ---- what has come back ---- */

static void on_received(struct loop *loop, struct client *client)
{
    if (client->state == REFUSED) { /* thrown away, until the peer is done */
        if (client->io.nbytes == 0)
            client_close(loop, client);
        else
            client_receive(client);
        return;
    }
    client->in_len += client->io.nbytes;
    if (client->io.nbytes > 0) {
        idle_begins(loop, client);
        client_answer(client);
        return;
    }
    client->state = ENDING;
    if (client->in_len > 0)
        client_answer(client);
    else
        client_close(loop, client);
}

static void on_sent(struct loop *loop, struct client *client)
{
    client->out_len = 0;
    if (client->state == ENDING) {
        client_close(loop, client);
        return;
    }
    if (client->state == REFUSED)
        (void)evq_shutdown(&client->sock); /* fails where the peer is gone: the recv will tell */
    client_receive(client);
}

static void on_io(struct loop *loop, struct client *client)
{
    if (client->io.kind == EVQ_SEND)
        loop->bytes += client->io.nbytes;
    if (client->state == CLOSING)
        return; /* the close follows */
    if (client->io.err != EVQ_OK)
        client_close(loop, client); /* EVQ_ECONNRESET, EVQ_ETIMEDOUT: this client only */
    else if (client->io.kind == EVQ_RECV)
        on_received(loop, client);
    else
        on_sent(loop, client);
}

static void on_idle(struct loop *loop, struct client *client)
{
    client->is_ticking = false;
    if (client->state == CLOSING)
        return;
    if (evq_now(loop->queue) >= client->idle_at_ns) {
        client_close(loop, client);
        return;
    }
    client->is_ticking = true;
    evq_timer(loop->queue, &client->idle, client->idle_at_ns);
}

/* ---- the life of a client ---- */

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
    client->io.user = client->close.user = client->idle.user = client;
    client->next = loop->first;
    if (loop->first != NULL)
        loop->first->prev = client;
    loop->first = client;
    loop->clients++;
    idle_begins(loop, client);
    client_receive(client);
}

/* Two ops may be out at the end: the close, and the timer, which is no op of the socket. Whichever
 * comes last frees. */
static void client_free_if_home(struct loop *loop, struct client *client)
{
    if (!client->is_closed || client->is_ticking)
        return;
    if (client->next != NULL)
        client->next->prev = client->prev;
    if (client->prev != NULL)
        client->prev->next = client->next;
    else
        loop->first = client->next;
    free(client);
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
    } else if (op == &client->idle) {
        on_idle(loop, client);
        client_free_if_home(loop, client);
    } else {
        client->is_closed = true;
        listener_go_on(&loop->listener); /* a descriptor is free again */
        client_free_if_home(loop, client);
    }
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
        client_close(loop, client); /* nothing comes back in here, so nobody is freed */
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

int main(int argc, char **argv)
{
    const struct app_about about = {.what = "A server that answers each line in upper case."};
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
