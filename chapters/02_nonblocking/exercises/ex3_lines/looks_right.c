/*
 * Exercise 02.3, Lines: looks right, and is not. The page looks_right.md says why.
 *
 * A client sends a line, so recv() returns a line. It is looked at as bytes, zeros and all; what
 * has no end is too long, unless the client has just not finished typing.
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

enum { MAX_CLIENTS = 1024, NAP_MS = 5, PIECE = 2048, LONGEST_LINE = 1024, OUT_SIZE = 4096 };

/* How a turn went. */
enum result { MOVED, NOTHING, OVER };

static bool is_would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK ||
           err == EINTR; /* EINTR: the next round asks again */
}

struct client {
    int fd;
    bool is_ending;            /* nothing more is read: what is owed is sent, then it is closed */
    size_t in_len;             /* in[0..in_len) is the beginning of a line                      */
    size_t out_start, out_end; /* out[out_start..out_end) is still to be sent                   */
    char in[LONGEST_LINE + 1]; /* a line with its end                                           */
    char out[OUT_SIZE];        /* the answers of one recv(), or a refusal                       */
};

static const char refusal[] = "error: a line has at most 1024 bytes\n";

/* ---- what goes out ---- */

static void answer(struct client *client, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char byte = text[i];
        client->out[client->out_end++] =
            byte >= 'a' && byte <= 'z' ? (char)(byte - 'a' + 'A') : byte;
    }
}

static void refuse(struct client *client)
{
    memcpy(client->out + client->out_end, refusal, strlen(refusal));
    client->out_end += strlen(refusal);
    client->is_ending = true;
}

static enum result send_some(struct client *client)
{
    size_t len = client->out_end - client->out_start;
    ssize_t sent = tcp_send(client->fd, client->out + client->out_start, len);
    if (sent < 0)
        return is_would_block(errno) ? NOTHING : OVER;
    totals_add_bytes((size_t)sent);
    client->out_start += (size_t)sent;
    return MOVED;
}

/* ---- what comes in ---- */

static enum result read_some(struct client *client)
{
    char line[PIECE];
    ssize_t got = recv(client->fd, line, sizeof line, 0);
    if (got < 0 && is_would_block(errno))
        return NOTHING;
    if (got <= 0)
        return OVER;
    const char *end = memchr(line, '\n', (size_t)got);
    size_t len = end != NULL ? (size_t)(end + 1 - line) : (size_t)got;
    if (len > LONGEST_LINE + 1)
        refuse(client);
    else
        answer(client, line, len);
    return MOVED;
}

/* Reads only when nothing is left to send: so the answers to one recv() always have room. */
static enum result client_turn(struct client *client)
{
    if (client->out_start < client->out_end)
        return send_some(client);
    client->out_start = client->out_end = 0;
    return client->is_ending ? OVER : read_some(client);
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
    struct cli cli = cli_parse(argc, argv, "A server that answers each line in upper case.", NULL);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    if (nonblocking_set(listener) < 0)
        return 1;
    for (;;)
        if (!loop_round(listener))
            nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000 * 1000}, NULL);
}
