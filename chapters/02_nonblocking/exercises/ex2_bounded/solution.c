/*
 * Exercise 02.2, Bounded: a solution.
 *
 * recv() is asked for as many bytes as there is room for, and is not called while there is none.
 * What is not read stays in the kernel's buffer; when that is full too, TCP tells the client's
 * kernel that the window is closed, and the client's own send() finds no room: back-pressure.
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
    bool has_finished;  /* it will send nothing more                     */
    size_t start, end;  /* buf[start..end) is still to be sent           */
    char buf[BUF_SIZE]; /* its whole claim on the memory of this program */
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

/* Moves what is left to the beginning of the buffer. */
static void make_room(struct client *client)
{
    memmove(client->buf, client->buf + client->start, client->end - client->start);
    client->end -= client->start;
    client->start = 0;
}

static enum result read_some(struct client *client)
{
    make_room(client);
    if (client->end == sizeof client->buf)
        return NOTHING; /* full: whoever does not read is not read from */
    ssize_t got = recv(client->fd, client->buf + client->end, sizeof client->buf - client->end, 0);
    if (got < 0)
        return is_would_block(errno) ? NOTHING : OVER;
    client->has_finished = got == 0;
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
