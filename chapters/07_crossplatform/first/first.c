/*
 * first: an echo server for many clients, the same on Linux, macOS, the BSDs and Windows.
 *
 * Each client is one block of memory with one operation in it, which is always out: a recv, then a
 * send, then a recv again, and at the end a close. What comes back says what is next.
 *
 * To be read first, so some things are missing: a clean end, time-outs, and idle clients that hold
 * no buffer. ../examples/echo.c has them.
 */
#include <evq.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT = 7000, BATCH = 64, REST_NS = 100000000 };

//! [clients]
struct client {
    evq_sock sock;
    evq_op op;
    char buf[4096];
};

static evq *queue;
static evq_sock listener;

static void client_new(evq_fd fd)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL || evq_attach(queue, &client->sock, fd) < 0) {
        evq_tcp_close(fd); /* not attached: still ours */
        free(client);
        return;
    }
    client->op.user = client;
    evq_recv(&client->sock, &client->op, client->buf, sizeof client->buf);
}

static void client_done(struct client *client)
{
    evq_op *op = &client->op;
    if (op->kind == EVQ_CLOSE)
        free(client);
    else if (op->err != EVQ_OK || op->nbytes == 0) /* 0 bytes: the end of the stream */
        evq_close(&client->sock, op);
    else if (op->kind == EVQ_RECV)
        evq_send(&client->sock, op, client->buf, op->nbytes);
    else
        evq_recv(&client->sock, op, client->buf, sizeof client->buf);
}
//! [clients]

//! [loop]
/* An accept that failed, for instance with EVQ_EMFILE, rests a while: as a timer. */
static void accept_done(evq_op *op)
{
    if (op->kind == EVQ_ACCEPT && op->err != EVQ_OK) {
        evq_timer(queue, op, evq_now(queue) + REST_NS);
        return;
    }
    if (op->kind == EVQ_ACCEPT)
        client_new(op->accepted);
    evq_accept(&listener, op);
}

static int loop_run(void)
{
    evq_op *done[BATCH];
    int n;
    while ((n = evq_wait(queue, done, BATCH, EVQ_FOREVER)) >= 0) {
        for (int i = 0; i < n; i++) {
            if (done[i]->user != NULL)
                client_done(done[i]->user);
            else
                accept_done(done[i]);
        }
    }
    return n;
}

int main(void)
{
    static evq_op accept_op;
    evq_fd fd;
    int err = evq_open(&queue, NULL);
    if (err == EVQ_OK)
        err = evq_tcp_listen(&fd, "127.0.0.1", PORT, 0);
    if (err == EVQ_OK)
        err = evq_attach(queue, &listener, fd);
    if (err == EVQ_OK) {
        printf("listening on 127.0.0.1:%d, over %s\n", PORT, evq_backend_name(queue));
        (void)fflush(stdout); /* also where it is no terminal; a failure harms nobody */
        evq_accept(&listener, &accept_op);
        err = loop_run();
    }
    (void)fprintf(stderr, "first: %s\n", evq_strerror(err)); /* the end: there is nothing else */
    return EXIT_FAILURE;
}
//! [loop]
