/*
 * evq: one recv for each descriptor, submitted again when it has come back. So it does what a
 * server does, and nothing is left to be read: the byte is here already. EVQ_BACKEND chooses the
 * backend.
 */
#include "growth.h"

#include "../../chapters/07_crossplatform/evq/include/evq.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 256 };

const char mechanism_name[] = "evq";

/* They are kept in a list: that the kernel remembers one is not seen by a leak checker. */
struct watched {
    struct watched *next;
    evq_sock sock;
    evq_op op;
    char byte;
};

static evq *queue;
static struct watched *all;

bool mechanism_open(void)
{
    return evq_open(&queue, NULL) == EVQ_OK;
}

void mechanism_add(int fd)
{
    struct watched *watched = calloc(1, sizeof *watched);
    growth_must(watched != NULL, "calloc");
    int err = evq_attach(queue, &watched->sock, fd);
    if (err != EVQ_OK) { /* EVQ_ENOTSUP of an eventfd: evq takes stream sockets only */
        (void)fprintf(stderr, "growth_evq: evq_attach: %s\n", evq_strerror(err));
        exit(1);
    }
    watched->op.user = watched;
    watched->next = all;
    all = watched;
    evq_recv(&watched->sock, &watched->op, &watched->byte, 1);
}

void mechanism_wait(void)
{
    evq_op *done[BATCH];
    int n = evq_wait(queue, done, BATCH, EVQ_FOREVER);
    growth_must(n >= 0, "evq_wait");
    for (int i = 0; i < n; i++) {
        struct watched *watched = done[i]->user;
        growth_must(done[i]->err == EVQ_OK && done[i]->nbytes == 1, "evq_recv");
        growth_received();
        evq_recv(&watched->sock, &watched->op, &watched->byte, 1);
    }
}
