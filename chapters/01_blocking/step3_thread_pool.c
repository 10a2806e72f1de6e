/*
 * step3_thread_pool: a fixed number of threads, and a queue of clients who wait for one.
 *
 * The cost is bounded now, whatever the world sends: WORKERS threads and LENGTH waiting clients.
 * When the queue is full the server stops accepting, and the kernel's backlog holds the rest. But a
 * client occupies its worker until it leaves, so as many silent clients as there are workers keep
 * everybody else waiting: the disease of step 1 is back, only later.
 *
 * A client's life: accepted by the main thread -> in the queue -> taken by a worker, which serves
 * it to its end and closes it. At each moment exactly one of them owns the descriptor.
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

enum { BUF_SIZE = 16 * 1024, MAX_WORKERS = 1000, MAX_QUEUE = 1000 };

/* ---- the bounded queue ---- */

//! [queue]
struct queue {
    pthread_mutex_t lock;   /* guards all that follows                      */
    pthread_cond_t filled;  /* count went up: a worker may take             */
    pthread_cond_t emptied; /* count went down: the acceptor may put        */
    int fds[MAX_QUEUE];     /* a ring: the oldest at first, count of them   */
    size_t first, count, length;
};

static struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
                             .filled = PTHREAD_COND_INITIALIZER,
                             .emptied = PTHREAD_COND_INITIALIZER};

/* Blocks while the queue is full. */
static void queue_put(struct queue *q, int fd)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == q->length)
        pthread_cond_wait(&q->emptied, &q->lock);
    q->fds[(q->first + q->count) % q->length] = fd;
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
    q->first = (q->first + 1) % q->length;
    q->count--;
    pthread_cond_signal(&q->emptied);
    pthread_mutex_unlock(&q->lock);
    return fd;
}
//! [queue]

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

/* ---- the workers ---- */

//! [worker]
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
//! [worker]

static void start_workers(const struct cli *cli, long workers)
{
    for (long i = 0; i < workers; i++) {
        pthread_t thread;
        int err = pthread_create(&thread, NULL, run_worker, NULL);
        if (err != 0 && i == 0) {
            cli_log(cli, "no thread could be created: %s", strerror(err));
            exit(1);
        }
        if (err != 0) {
            cli_log(cli, "only %ld of %ld workers could be created: %s", i, workers, strerror(err));
            return;
        }
    }
}

/* ---- the listener ---- */

//! [accept]
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
//! [accept]

int main(int argc, char **argv)
{
    long workers = 4, length = 16;
    const struct cli_option options[] = {
        {'w', "WORKERS", "threads that serve clients", 1, MAX_WORKERS, &workers},
        {'q', "LENGTH", "clients that may wait for a thread", 1, MAX_QUEUE, &length},
        {0, NULL, NULL, 0, 0, NULL},
    };
    struct cli cli = cli_parse(argc, argv, "An echo server with a pool of threads.", options);
    queue.length = (size_t)length;
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    start_workers(&cli, workers);
    accept_clients(listener);
}
