/*
 * Exercise 02.1, What is left: looks right, and is not. The page looks_right.md says why.
 *
 * What could not be sent is kept, and sent again in the next round, until all of it has been taken.
 */
#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, NAP_MS = 5, BUF_SIZE = 16 * 1024 };

/* How a turn went. */
enum result { MOVED, NOTHING, OVER };

static bool is_would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK ||
           err == EINTR; /* EINTR: the next round asks again */
}

struct client {
    int fd;
    size_t start, end; /* buf[start..end) is still to be sent */
    char buf[BUF_SIZE];
};

/* ---- one client: at most one recv() and one send() for each turn ---- */

static enum result send_some(struct client *client)
{
    ssize_t sent = tcp_send(client->fd, client->buf, client->end);
    if (sent < 0)
        return is_would_block(errno) ? NOTHING : OVER;
    totals_add_bytes((size_t)sent);
    if ((size_t)sent == client->end)
        client->start = client->end; /* all of it is gone */
    return MOVED;                    /* else: the next round tries again */
}

/* Reads only when nothing is left to send. */
static enum result read_some(struct client *client)
{
    ssize_t got = recv(client->fd, client->buf, sizeof client->buf, 0);
    if (got < 0 && is_would_block(errno))
        return NOTHING;
    if (got <= 0)
        return OVER; /* 0: it will send no more, and has all its bytes; else ECONNRESET ... */
    client->start = 0;
    client->end = (size_t)got;
    return send_some(client);
}

static enum result client_turn(struct client *client)
{
    return client->start < client->end ? send_some(client) : read_some(client);
}

/* ---- the loop ---- */

static struct client *clients[MAX_CLIENTS];
static size_t count;

static void add_client(int fd)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL || nonblocking_set(fd) < 0) {
        totals_add_refused();
        free(client);
        close(fd);
        return;
    }
    client->fd = fd;
    clients[count++] = client;
    totals_add_client();
}

static void remove_client(size_t i)
{
    close(clients[i]->fd);
    free(clients[i]);
    clients[i] = clients[--count]; /* the last one fills the gap */
}

/* Asks everybody once. True when anything moved. */
static bool loop_round(int listener)
{
    bool moved = false;
    int fd = count < MAX_CLIENTS ? tcp_accept(listener) : -1;
    if (fd >= 0)
        add_client(fd);
    for (size_t i = 0; i < count;) {
        enum result result = client_turn(clients[i]);
        moved = moved || result != NOTHING;
        if (result == OVER)
            remove_client(i); /* another client stands at i now */
        else
            i++;
    }
    return moved || fd >= 0;
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that never blocks.", NULL);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    if (nonblocking_set(listener) < 0)
        return 1;
    for (;;)
        if (!loop_round(listener))
            nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000 * 1000}, NULL);
}
