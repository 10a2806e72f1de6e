/*
 * raw_uring: an echo server on io_uring, the plain way: for each client one operation, a recv or a
 * send, and one system call that submits what was prepared and waits for the next completion.
 *
 * The flags say that one thread uses the ring and that the kernel may do its part of the work when
 * that thread asks (man 2 io_uring_setup); an older kernel refuses them, then it goes without.
 */
#include "peer.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRIES = 1024 };

struct client {
    int fd;
    bool sends;
    unsigned at, left; /* of what is to be sent */
    char piece[PEER_PIECE];
};

static struct io_uring ring;
static int listener;

static struct io_uring_sqe *next_entry(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    while (entry == NULL) { /* full: hand over what is in it */
        int err = io_uring_submit(&ring);
        peer_must(err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY, "io_uring_submit");
        entry = io_uring_get_sqe(&ring);
    }
    return entry; /* the mark is set after it was prepared: preparing may clear it */
}

/* ---- clients --------------------------------------------------------------------------------- */

static void prepare_accept(void)
{
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(entry, NULL);
}

static void prepare_next(struct client *client)
{
    struct io_uring_sqe *entry = next_entry();
    if (client->sends)
        io_uring_prep_send(entry, client->fd, client->piece + client->at, client->left,
                           MSG_NOSIGNAL);
    else
        io_uring_prep_recv(entry, client->fd, client->piece, sizeof client->piece, 0);
    io_uring_sqe_set_data(entry, client);
}

static void accepted(int fd)
{
    if (fd >= 0) {
        struct client *client = peer_memory(sizeof *client);
        client->fd = fd;
        peer_nodelay(fd);
        prepare_next(client);
    }
    prepare_accept();
}

static void moved(struct client *client, int result)
{
    if (result == -EINTR || result == -EAGAIN) {
        prepare_next(client);
        return;
    }
    if (result <= 0) { /* the end, or an error; nothing of it is in the ring */
        close(client->fd);
        free(client);
        return;
    }
    if (client->sends) {
        client->at += (unsigned)result;
        client->left -= (unsigned)result;
    } else {
        client->at = 0;
        client->left = (unsigned)result;
    }
    client->sends = client->left > 0;
    prepare_next(client);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void ring_open(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int err = io_uring_queue_init_params(ENTRIES, &ring, &params);
    if (err < 0)
        err = io_uring_queue_init(ENTRIES, &ring, 0);
    errno = -err;
    peer_must(err == 0, "io_uring");
}

int main(int argc, char **argv)
{
    listener = peer_start(argc, argv, "An echo server on io_uring, the plain way.", NULL);
    ring_open();
    prepare_accept();
    for (;;) {
        struct io_uring_cqe *completion;
        unsigned head, seen = 0;
        int err = io_uring_submit_and_wait(&ring, 1);
        peer_must(err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY, "io_uring_enter");
        io_uring_for_each_cqe(&ring, head, completion)
        {
            struct client *client = io_uring_cqe_get_data(completion);
            if (client != NULL)
                moved(client, completion->res);
            else
                accepted(completion->res);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
