/*
 * raw_uring_multishot: io_uring's fastest form for an echo. One recv for each client is prepared
 * once and completes again and again ("multishot"); the kernel takes a buffer for each completion
 * from a ring of buffers that all clients share ("provided buffers"). Only sends are submitted.
 *
 * A recv may complete again while the send before it is on its way. Two sends of one socket in one
 * ring may finish in any order, so the pieces of a client stand in line and one is sent at a time.
 * When no buffer is left the recv ends with ENOBUFS; it is prepared again when one comes back.
 * Needs Linux 6.0 (man 3 io_uring_prep_recv_multishot).
 */
#include "peer.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRIES = 1024, BUFFERS = 4096, GROUP = 0, NOBODY = -1 };

struct client {
    int fd;
    bool receives, sends, over, is_hungry; /* hungry: it wants to receive, and no buffer was left */
    int first, last;                       /* buffers that are to be sent; NOBODY: none           */
    unsigned at;                           /* how much of the first one was sent                  */
    struct client *next_hungry;
};

static struct io_uring ring;
static int listener;
static struct io_uring_buf_ring *buffers;
static char (*bytes)[PEER_PIECE];
static struct {
    unsigned len;
    int next;
} pieces[BUFFERS];
static struct client *hungry;

/* The lowest bits of a completion's mark tell a recv from a send: clients are aligned. */
enum { MARK_RECV = 0, MARK_SEND = 1 };

/* ---- preparing ------------------------------------------------------------------------------- */

static struct io_uring_sqe *next_entry(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    while (entry == NULL) { /* full: hand over what is in it */
        int err = io_uring_submit(&ring);
        peer_must(err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY, "io_uring_submit");
        entry = io_uring_get_sqe(&ring);
    }
    return entry;
}

static void prepare_accept(void)
{
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(entry, NULL);
}

static void prepare_recv(struct client *client)
{
    struct io_uring_sqe *entry = next_entry();
    io_uring_prep_recv_multishot(entry, client->fd, NULL, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = GROUP;
    io_uring_sqe_set_data(entry, client);
    client->receives = true;
}

static void prepare_send(struct client *client)
{
    struct io_uring_sqe *entry = next_entry();
    int first = client->first;
    io_uring_prep_send(entry, client->fd, bytes[first] + client->at, pieces[first].len - client->at,
                       MSG_NOSIGNAL);
    io_uring_sqe_set_data(entry, (char *)client + MARK_SEND);
    client->sends = true;
}

/* ---- buffers --------------------------------------------------------------------------------- */

static void give_back(int buffer)
{
    io_uring_buf_ring_add(buffers, bytes[buffer], PEER_PIECE, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
    if (hungry != NULL) {
        struct client *client = hungry;
        hungry = client->next_hungry;
        client->is_hungry = false;
        prepare_recv(client); /* also one that is over: its end comes back, and then it is freed */
    }
}

static void put_in_line(struct client *client, int buffer, unsigned len)
{
    pieces[buffer].len = len;
    pieces[buffer].next = NOBODY;
    if (client->first == NOBODY)
        client->first = buffer;
    else
        pieces[client->last].next = buffer;
    client->last = buffer;
    if (!client->sends)
        prepare_send(client);
}

static void first_leaves(struct client *client)
{
    int buffer = client->first;
    client->first = pieces[buffer].next;
    client->at = 0;
    give_back(buffer);
}

/* ---- clients --------------------------------------------------------------------------------- */

static void accepted(int fd)
{
    if (fd >= 0) {
        struct client *client = peer_memory(sizeof *client);
        *client = (struct client){.fd = fd, .first = NOBODY};
        peer_nodelay(fd);
        prepare_recv(client);
    }
    prepare_accept();
}

/* Closed when nothing of it is in the ring any more. What is left to be sent is sent first. */
static void end_if_over(struct client *client)
{
    if (!client->over || client->receives || client->sends || client->is_hungry)
        return;
    while (client->first != NOBODY)
        first_leaves(client);
    close(client->fd);
    free(client);
}

static void received(struct client *client, const struct io_uring_cqe *completion)
{
    client->receives = (completion->flags & IORING_CQE_F_MORE) != 0;
    if (completion->res > 0) {
        int buffer = (int)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
        put_in_line(client, buffer, (unsigned)completion->res);
    } else if (completion->res == -ENOBUFS) {
        client->is_hungry = true;
        client->next_hungry = hungry;
        hungry = client;
    } else if (completion->res != -EINTR && completion->res != -EAGAIN) {
        client->over = true;
    }
    if (!client->receives && !client->is_hungry && !client->over)
        prepare_recv(client);
    end_if_over(client);
}

static void sent(struct client *client, int result)
{
    client->sends = false;
    if (result > 0) {
        client->at += (unsigned)result;
        if (client->at == pieces[client->first].len)
            first_leaves(client);
    } else if (result != -EINTR && result != -EAGAIN) { /* the peer is gone, and so is the rest */
        if (!client->over)
            (void)shutdown(client->fd,
                           SHUT_RDWR); /* ends the recv; if not connected, it has ended */
        client->over = true;
        while (client->first != NOBODY)
            first_leaves(client);
    }
    if (client->first != NOBODY)
        prepare_send(client);
    end_if_over(client);
}

static void completed(const struct io_uring_cqe *completion)
{
    char *mark = io_uring_cqe_get_data(completion);
    if (mark == NULL)
        accepted(completion->res);
    else if (((uintptr_t)mark & MARK_SEND) != 0)
        sent((struct client *)(void *)(mark - MARK_SEND), completion->res);
    else
        received((struct client *)(void *)mark, completion);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void ring_open(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct io_uring_buf_reg group = {.ring_entries = BUFFERS, .bgid = GROUP};
    int err = io_uring_queue_init_params(ENTRIES, &ring, &params);
    errno = -err;
    peer_must(err == 0, "io_uring");
    bytes = peer_memory(BUFFERS * sizeof *bytes);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    peer_must(posix_memalign((void **)&buffers, page, BUFFERS * sizeof(struct io_uring_buf)) == 0,
              "memory");
    io_uring_buf_ring_init(buffers);
    group.ring_addr = (uint64_t)(uintptr_t)buffers;
    err = io_uring_register_buf_ring(&ring, &group, 0);
    errno = -err;
    peer_must(err == 0, "io_uring_register_buf_ring");
    for (int i = 0; i < BUFFERS; i++)
        give_back(i);
}

int main(int argc, char **argv)
{
    listener = peer_start(argc, argv, "An echo server on io_uring, its fastest form.", NULL);
    ring_open();
    prepare_accept();
    for (;;) {
        struct io_uring_cqe *completion;
        unsigned head, seen = 0;
        int err = io_uring_submit_and_wait(&ring, 1);
        peer_must(err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY, "io_uring_enter");
        io_uring_for_each_cqe(&ring, head, completion)
        {
            completed(completion);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
