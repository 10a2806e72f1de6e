/*
 * Exercise 01.1, All of it: where you begin.
 *
 * An echo server for one client at a time. It can be asked for news with SIGUSR1, whose handler
 * does next to nothing. It works with every client that you can find. Make send_all() keep its
 * promise.
 */
#include "cli.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUF_SIZE = 256 * 1024 };

/* ---- SIGUSR1 asks for news ---- */

static volatile sig_atomic_t news_wanted;

static void on_usr1(int signo)
{
    (void)signo;
    news_wanted = 1;
}

static void tell_news_if_wanted(void)
{
    if (!news_wanted)
        return;
    news_wanted = 0;
    (void)fprintf(stderr, "news: one more client has left\n"); /* nobody may be reading it */
}

/* ---- one client ---- */

/* Promises to send everything. Does it? */
static int send_all(int fd, const char *buf, size_t len)
{
    ssize_t sent = tcp_send(fd, buf, len);
    if (sent < 0)
        return -1;
    totals_add_bytes((size_t)sent);
    return 0;
}

static void serve(int fd)
{
    static char
        buf[BUF_SIZE]; /* static: too large for some stacks; there is one client at a time */
    for (;;) {
        ssize_t got = recv(fd, buf, sizeof buf, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return; /* 0: it will send no more; ECONNRESET, ETIMEDOUT: it is gone */
        if (send_all(fd, buf, (size_t)got) < 0)
            return;
    }
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that tells news at SIGUSR1.", NULL);
    struct sigaction action = {.sa_handler = on_usr1};
    totals_exit_on_signal();
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    int listener = cli_listen(&cli);
    for (;;) {
        int fd = tcp_accept(listener);
        if (fd < 0) {
            tcp_rest(); /* EMFILE and its like: the client stays in the backlog */
            continue;
        }
        totals_add_client();
        serve(fd);
        close(fd);
        tell_news_if_wanted();
    }
}
