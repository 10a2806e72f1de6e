/*
 * Exercise 01.1, All of it: a solution.
 *
 * send() says how much it has taken, and that is a fact about the stream. The loop goes on behind
 * it, until nothing is left. The signal may come as often as it likes: SA_RESTART or not, handler
 * or not, the loop is right without knowing about any of them.
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

static int send_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t sent = tcp_send(fd, buf, len);
        if (sent < 0 && errno == EINTR)
            continue; /* a signal came before the first byte: nothing was taken */
        if (sent < 0)
            return -1; /* EPIPE, ECONNRESET: the client is gone */
        totals_add_bytes((size_t)sent);
        buf += sent; /* a short count is no error: the rest is still ours to send */
        len -= (size_t)sent;
    }
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
