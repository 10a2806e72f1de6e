#include "peer.h"

#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct cli cli;
static char piece[PEER_PIECE];

void peer_must(bool ok, const char *what)
{
    if (ok)
        return;
    cli_log(&cli, "%s: %s", what, strerror(errno));
    exit(1);
}

void *peer_memory(size_t size)
{
    void *memory = calloc(1, size);
    peer_must(memory != NULL, "memory");
    return memory;
}

int peer_start(int argc, char **argv, const char *what, long *fast)
{
    static long ignored;
    const struct cli_option options[] = {{.letter = 'f',
                                          .name = "FASTEST",
                                          .help = "1: the fastest form, 0: the usual one",
                                          .min = 0,
                                          .max = 1,
                                          .value = fast != NULL ? fast : &ignored},
                                         {.letter = 0}};
    cli = cli_parse(argc, argv, what, fast != NULL ? options : NULL);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    peer_must(nonblocking_set(listener) == 0, "listener");
    return listener;
}

int peer_accept(int listener)
{
    int fd = tcp_accept(listener);
    if (fd < 0) {
        peer_must(errno == EAGAIN, "accept");
        return -1;
    }
    peer_must(nonblocking_set(fd) == 0, "client");
    return fd;
}

void peer_nodelay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* else it is slow, not wrong */
}

/* ---- one turn -------------------------------------------------------------------------------- */

static void keep(struct echo *echo, const char *from, size_t len)
{
    echo->rest = peer_memory(PEER_PIECE);
    memcpy(echo->rest, from, len);
    echo->at = 0;
    echo->left = len;
}

static enum echo_state send_rest(struct echo *echo)
{
    ssize_t n = tcp_send(echo->fd, echo->rest + echo->at, echo->left);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? ECHO_WRITES : ECHO_OVER;
    echo->at += (size_t)n;
    echo->left -= (size_t)n;
    if (echo->left > 0)
        return ECHO_WRITES;
    free(echo->rest);
    echo->rest = NULL;
    return ECHO_GOES_ON;
}

enum echo_state echo_turn(struct echo *echo)
{
    if (echo->rest != NULL)
        return send_rest(echo);
    ssize_t n = recv(echo->fd, piece, sizeof piece, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? ECHO_READS : ECHO_OVER;
    if (n == 0)
        return ECHO_OVER;
    echo->whole = n == sizeof piece;
    ssize_t sent = tcp_send(echo->fd, piece, (size_t)n);
    if (sent == n)
        return ECHO_GOES_ON;
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return ECHO_OVER;
    size_t taken = sent < 0 ? 0 : (size_t)sent;
    keep(echo, piece + taken, (size_t)n - taken);
    return ECHO_WRITES;
}

void echo_end(struct echo *echo)
{
    free(echo->rest);
    close(echo->fd);
}
