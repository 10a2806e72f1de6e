/*
 * Exercise 02.2, Bounded: looks right, and is not. The page looks_right.md says why.
 *
 * No byte may be lost, so the buffer grows when it is full. Most clients need 16 KiB, and get no
 * more.
 */
#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, NAP_MS = 5, BUF_SIZE = 16 * 1024, PIECE = 4096 };

/* How a turn went. */
enum result { MOVED, NOTHING, OVER };

static bool is_would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK ||
           err == EINTR; /* EINTR: the next round asks again */
}

struct client {
    int fd;
    bool has_finished; /* it will send nothing more           */
    size_t start, end; /* buf[start..end) is still to be sent */
    size_t size;       /* of buf                              */
    char *buf;
};

/* ---- one client: at most one recv() and one send() for each turn ---- */

static enum result send_some(struct client *client)
{
    ssize_t sent = tcp_send(client->fd, client->buf + client->start, client->end - client->start);
    if (sent < 0)
        return is_would_block(errno) ? NOTHING : OVER;
    totals_add_bytes((size_t)sent);
    client->start += (size_t)sent;
    return MOVED;
}

/* Moves what is left to the beginning of the buffer, and makes it larger where it must. */
static bool make_room(struct client *client, size_t len)
{
    if (client->start > 0)
        memmove(client->buf, client->buf + client->start, client->end - client->start);
    client->end -= client->start;
    client->start = 0;
    if (client->size - client->end >= len)
        return true;
    size_t size = client->size == 0 ? BUF_SIZE : 2 * client->size;
    char *buf = realloc(client->buf, size);
    if (buf == NULL)
        return false;
    client->buf = buf;
    client->size = size;
    return true;
}

static enum result read_some(struct client *client)
{
    char piece[PIECE];
    ssize_t got = recv(client->fd, piece, sizeof piece, 0);
    if (got < 0)
        return is_would_block(errno) ? NOTHING : OVER;
    client->has_finished = got == 0;
    if (!make_room(client, (size_t)got))
        return OVER; /* no memory: better lose one client than all */
    if (got > 0)
        memcpy(client->buf + client->end, piece, (size_t)got);
    client->end += (size_t)got;
    return MOVED;
}

static enum result client_turn(struct client *client)
{
    enum result in = client->has_finished ? NOTHING : read_some(client);
    enum result out = NOTHING;
    if (in != OVER && client->start < client->end)
        out = send_some(client);
    if (in == OVER || out == OVER || (client->has_finished && client->start == client->end))
        return OVER;
    return in == MOVED || out == MOVED ? MOVED : NOTHING;
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
    free(clients[i]->buf);
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
    struct cli cli = cli_parse(argc, argv, "An echo server with 16 KiB for each client.", NULL);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    if (nonblocking_set(listener) < 0)
        return 1;
    for (;;)
        if (!loop_round(listener))
            nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000 * 1000}, NULL);
}
