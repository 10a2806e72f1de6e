/*
 * evq: an echo server on the library of chapter 07 in its shortest form: each client has a buffer
 * of its own, and one operation that is a recv, a send, a recv again. The other form is the echo
 * example of that chapter: its idle clients hold no buffer, which costs one operation more for each
 * round trip (evq_readable). EVQ_BACKEND chooses the backend.
 */
#include "peer.h"

#include "../../chapters/07_crossplatform/evq/include/evq.h"

#include <stdlib.h>

struct client {
    evq_sock sock;
    evq_op op;
    char piece[PEER_PIECE];
};

static evq *queue;
static evq_sock listener;

static void client_add(evq_fd fd)
{
    struct client *client = peer_memory(sizeof *client);
    peer_nodelay(fd);
    peer_must(evq_attach(queue, &client->sock, fd) == EVQ_OK, "evq_attach");
    client->op.user = client;
    evq_recv(&client->sock, &client->op, client->piece, sizeof client->piece);
}

static void client_done(struct client *client)
{
    evq_op *op = &client->op;
    if (op->kind == EVQ_RECV && op->nbytes > 0)
        evq_send(&client->sock, op, client->piece, op->nbytes);
    else if (op->kind == EVQ_SEND && op->err == EVQ_OK)
        evq_recv(&client->sock, op, client->piece, sizeof client->piece);
    else if (op->kind == EVQ_CLOSE)
        free(client);
    else
        evq_close(&client->sock, op);
}

static void accept_done(evq_op *op)
{
    if (op->err == EVQ_OK)
        client_add(op->accepted);
    evq_accept(&listener, op);
}

int main(int argc, char **argv)
{
    static evq_op accept_op;
    evq_op *done[PEER_BATCH];
    int fd = peer_start(argc, argv, "An echo server on evq, a buffer for each client.", NULL);
    peer_must(evq_open(&queue, NULL) == EVQ_OK, "evq_open");
    peer_must(evq_attach(queue, &listener, fd) == EVQ_OK, "evq_attach");
    evq_accept(&listener, &accept_op);
    for (;;) {
        int n = evq_wait(queue, done, PEER_BATCH, EVQ_FOREVER);
        if (n < 0)
            peer_must(false, "evq_wait");
        for (int i = 0; i < n; i++) {
            if (done[i]->user != NULL)
                client_done(done[i]->user);
            else
                accept_done(done[i]);
        }
    }
}
