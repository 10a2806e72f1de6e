/*
 * Exercise 01.2, Full house: where you begin.
 *
 * The thread per client of step 2, without a limit: a thousand clients are a thousand threads.
 * There is room for HOUSE of them. Whoever comes when the house is full waits at the door, in the
 * kernel's backlog, until somebody leaves.
 */
#include "cli.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUF_SIZE = 16 * 1024, HOUSE = 100 };

/* ---- one client ---- */

/* send() may take fewer bytes than it was given, so the rest is sent again. */
static int send_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t sent = tcp_send(fd, buf, len);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1; /* EPIPE, ECONNRESET: the client is gone */
        totals_add_bytes((size_t)sent);
        buf += sent;
        len -= (size_t)sent;
    }
    return 0;
}

static void serve(int fd)
{
    char buf[BUF_SIZE];
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

/* ---- one thread per client ---- */

static void *run_client(void *arg)
{
    int fd = (int)(intptr_t)arg;
    totals_add_client(); /* before it is served: it may be gone before pthread_create() returns */
    serve(fd);
    close(fd);
    return NULL;
}

static int start_client(int fd)
{
    pthread_attr_t detached; /* its resources go when it ends: nobody has to join it */
    pthread_t thread;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int err = pthread_create(&thread, &detached, run_client, (void *)(intptr_t)fd);
    pthread_attr_destroy(&detached);
    return err; /* not in errno: pthread functions return it */
}

/* ---- the listener ---- */

static void accept_clients(const struct cli *cli, int listener)
{
    for (;;) {
        int fd = tcp_accept(listener);
        if (fd < 0) {
            tcp_rest(); /* EMFILE and its like: the client stays in the queue, and nothing spins */
            continue;
        }
        int err = start_client(fd);
        if (err != 0) {
            cli_log(cli, "no thread for one more client, refused: %s", strerror(err));
            totals_add_refused();
            close(fd);
        }
    }
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server with 100 threads at most.", NULL);
    totals_exit_on_signal();
    accept_clients(&cli, cli_listen(&cli));
}
