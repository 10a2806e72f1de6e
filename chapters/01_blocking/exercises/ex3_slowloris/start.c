/*
 * Exercise 01.3, Slowloris: where you begin.
 *
 * A pool of four workers. A client must first say "hello NAME\n" (64 bytes at most); what it sends
 * after that is echoed. A client that never finishes its hello keeps its worker for ever, and four
 * of them keep everybody else out. Give each client HELLO_MS for its hello.
 */
#include "cli.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUF_SIZE = 16 * 1024,
    LONGEST_HELLO = 64, /* "hello NAME\n" */
    HELLO_MS = 2000,    /* so long a client may take for it, counted from when a worker has it */
    WORKERS = 4,
    QUEUE_LENGTH = 16
};

/* ---- the bounded queue ---- */

struct queue {
    pthread_mutex_t lock;   /* guards all that follows                      */
    pthread_cond_t filled;  /* count went up: a worker may take             */
    pthread_cond_t emptied; /* count went down: the acceptor may put        */
    int fds[QUEUE_LENGTH];  /* a ring: the oldest at first, count of them   */
    size_t first, count;
};

static struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
                             .filled = PTHREAD_COND_INITIALIZER,
                             .emptied = PTHREAD_COND_INITIALIZER};

/* Blocks while the queue is full. */
static void queue_put(struct queue *q, int fd)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == QUEUE_LENGTH)
        pthread_cond_wait(&q->emptied, &q->lock);
    q->fds[(q->first + q->count) % QUEUE_LENGTH] = fd;
    q->count++;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

/* Blocks while the queue is empty. */
static int queue_take(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == 0)
        pthread_cond_wait(&q->filled, &q->lock);
    int fd = q->fds[q->first];
    q->first = (q->first + 1) % QUEUE_LENGTH;
    q->count--;
    pthread_cond_signal(&q->emptied);
    pthread_mutex_unlock(&q->lock);
    return fd;
}

/* ---- one client ---- */

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

/* Reads until the hello is whole. Its end, the byte '\n'; or NULL when there will be none. After it
 * may stand more, which belongs to the echo: buf holds *len bytes in all. */
static char *read_hello(int fd, char *buf, size_t *len)
{
    while (*len < LONGEST_HELLO) {
        ssize_t got = recv(fd, buf + *len, LONGEST_HELLO - *len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return NULL;
        *len += (size_t)got;
        char *end = memchr(buf, '\n', *len);
        if (end != NULL)
            return end;
    }
    return NULL; /* too long for a hello */
}

/* Echoes until the client leaves. */
static void echo(int fd)
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

static void serve(int fd)
{
    char buf[LONGEST_HELLO];
    size_t len = 0;
    char *end = read_hello(fd, buf, &len);
    if (end == NULL || strncmp(buf, "hello ", strlen("hello ")) != 0)
        return;
    size_t more = len - (size_t)(end + 1 - buf); /* what came together with the hello */
    if (send_all(fd, end + 1, more) == 0)
        echo(fd);
}

/* ---- the workers ---- */

static void *run_worker(void *arg)
{
    (void)arg;
    for (;;) {
        int fd = queue_take(&queue);
        serve(fd);
        close(fd);
    }
    return NULL;
}

static void start_workers(const struct cli *cli)
{
    for (int i = 0; i < WORKERS; i++) {
        pthread_t thread;
        int err = pthread_create(&thread, NULL, run_worker, NULL);
        if (err != 0) {
            cli_log(cli, "only %d of %d workers could be created: %s", i, WORKERS, strerror(err));
            exit(1);
        }
    }
}

/* ---- the listener ---- */

static void accept_clients(int listener)
{
    for (;;) {
        int fd = tcp_accept(listener);
        if (fd < 0) {
            tcp_rest(); /* EMFILE and its like: the client stays in the backlog, nothing spins */
            continue;
        }
        totals_add_client();
        queue_put(&queue, fd);
    }
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "An echo server that wants to hear a hello.", NULL);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    start_workers(&cli);
    accept_clients(listener);
}
