/*
 * step1_would_block: still one client at a time, but its socket never blocks. The program tells
 * what the kernel answers.
 *
 * Two answers are new. EAGAIN: "you would have to wait". A short count: "I took only a part". Both
 * are normal; a program that treats one of them as an error, or overlooks it, loses bytes.
 *
 * What to do after EAGAIN? This step asks again at once, millions of times, and so burns a whole
 * processor while its client is silent. It is here to be looked at, not to be copied.
 */
#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUF_SIZE = 64 * 1024 };

/* ---- what the kernel answered, counted and told ---- */

struct answers {
    const struct cli *cli;
    unsigned long long recv_eagain, send_eagain, short_counts;
};

/* Tells the first of each kind; the rest is counted. */
static void tell_first(const struct answers *a, unsigned long long count, const char *what)
{
    if (count == 1)
        cli_log(a->cli, "%s", what);
}

static void tell_sum(const struct answers *a)
{
    cli_log(a->cli, "client gone: recv said EAGAIN %llu times, send %llu times, short %llu times",
            a->recv_eagain, a->send_eagain, a->short_counts);
}

/* ---- one client ---- */

//! [send]
static int send_all(int fd, const char *buf, size_t len, struct answers *a)
{
    while (len > 0) {
        ssize_t sent = tcp_send(fd, buf, len);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            tell_first(a, ++a->send_eagain,
                       "send said EAGAIN: no room is left, the peer does not read");
            continue;
        }
        if (sent < 0)
            return -1; /* EPIPE, ECONNRESET: the client is gone */
        if ((size_t)sent < len && ++a->short_counts == 1)
            cli_log(a->cli, "send took %zd of %zu bytes: a short count", sent, len);
        totals_add_bytes((size_t)sent);
        buf += sent;
        len -= (size_t)sent;
    }
    return 0;
}
//! [send]

//! [serve]
static void serve(int fd, struct answers *a)
{
    char buf[BUF_SIZE];
    for (;;) {
        ssize_t got = recv(fd, buf, sizeof buf, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN) {
            tell_first(a, ++a->recv_eagain, "recv said EAGAIN: nothing has come yet");
            continue; /* ask again, and again */
        }
        if (got <= 0)
            return; /* 0: it will send no more; ECONNRESET, ETIMEDOUT: it is gone */
        if (send_all(fd, buf, (size_t)got, a) < 0)
            return;
    }
}
//! [serve]

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that shows what EAGAIN is.", NULL);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    for (;;) {
        int fd = tcp_accept(listener); /* the listener still blocks: nobody else is waiting */
        if (fd < 0) {
            tcp_rest(); /* EMFILE and its like: nothing spins */
            continue;
        }
        totals_add_client();
        struct answers answers = {.cli = &cli};
        if (nonblocking_set(fd) == 0)
            serve(fd, &answers);
        tell_sum(&answers);
        close(fd);
    }
}
