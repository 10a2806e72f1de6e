/*
 * multicore: the echo server on several cores: a queue for each thread, and one that accepts.
 *
 *                          mailbox, wake
 *      main: accepts  ----------------------->  worker 0: a queue, its clients
 *      (a queue of     ---------------------->  worker 1: a queue, its clients
 *      its own)         --------------------->  worker 2 ...
 *
 * A queue belongs to the thread that opened it, and so do its clients: no lock stands around a
 * client, and no two threads ever meet at one. What crosses from thread to thread is a new socket,
 * which belongs to no queue yet. It is put into the *mailbox* of the worker with the fewest
 * clients, and evq_wake(), the one call that is allowed from outside, makes that worker look.
 *
 * A listener for each thread (SO_REUSEPORT, chapter 04, step 4) would do without the mailbox. But
 * Windows has no such thing, and on most BSDs and macOS it does not share the clients out.
 *
 * Who may wake a queue that its owner destroys just then? Nobody. So the wake is made under the
 * lock of the mailbox, and the worker takes its queue out of the mailbox before it destroys it.
 */
#include "app.h"
#include "conn.h"
#include "host.h"
#include "listener.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { BATCH = 256, MAX_WORKERS = 256, MAILBOX_SIZE = 1024 };

//! [mailbox]
/* Sockets on their way to a worker, first in, first out. All but `waiting` under the lock. */
struct mailbox {
    struct host_lock lock;
    evq *queue;            /* whom to wake; NULL: nobody is there (yet, or any more) */
    size_t first;          /* the oldest one is fds[first]                           */
    atomic_size_t waiting; /* how many there are: the worker looks without the lock  */
    evq_fd fds[MAILBOX_SIZE];
};
//! [mailbox]

enum worker_state { WORKER_STARTING, WORKER_RUNS, WORKER_FAILED };

struct worker {
    const struct app *app;
    evq *boss; /* the queue of main: to be woken when this one has started */
    struct host_thread thread;
    struct mailbox mailbox;
    _Atomic enum worker_state state;
    atomic_bool stopping;
    atomic_int load;    /* clients: main counts them up, the worker down */
    struct conns conns; /* the worker's; main's after the join           */
    int err;            /* FAILED: why there is no queue                 */
};

struct loop {
    const struct app *app;
    evq *queue;
    struct listener listener;
    struct worker *workers;
    size_t count;
    uint64_t refused;
};

/* ---- the mailbox ---- */

//! [put]
/* False: the mailbox is full, or nobody is there. */
static bool mailbox_put(struct mailbox *box, evq_fd fd)
{
    host_lock_take(&box->lock);
    size_t waiting = atomic_load(&box->waiting);
    bool has_room = box->queue != NULL && waiting < MAILBOX_SIZE;
    if (has_room) {
        box->fds[(box->first + waiting) % MAILBOX_SIZE] = fd;
        atomic_store(&box->waiting, waiting + 1);
        evq_wake(box->queue);
    }
    host_lock_give(&box->lock);
    return has_room;
}
//! [put]

static evq_fd mailbox_take(struct mailbox *box)
{
    evq_fd fd = EVQ_NO_FD;
    if (atomic_load(&box->waiting) == 0) /* what was written before a wake is seen after it */
        return fd;
    host_lock_take(&box->lock);
    size_t waiting = atomic_load(&box->waiting);
    if (waiting > 0) {
        fd = box->fds[box->first];
        box->first = (box->first + 1) % MAILBOX_SIZE;
        atomic_store(&box->waiting, waiting - 1);
    }
    host_lock_give(&box->lock);
    return fd;
}

static void mailbox_set_queue(struct mailbox *box, evq *queue)
{
    host_lock_take(&box->lock);
    box->queue = queue;
    host_lock_give(&box->lock);
}

static void mailbox_wake(struct mailbox *box)
{
    host_lock_take(&box->lock);
    if (box->queue != NULL)
        evq_wake(box->queue);
    host_lock_give(&box->lock);
}

/* ---- a worker: runs in its own thread ---- */

/* Once the clients are being closed a new one is refused at once. */
static void worker_reads_mail(struct worker *worker)
{
    for (evq_fd fd; (fd = mailbox_take(&worker->mailbox)) != EVQ_NO_FD;)
        if (!conns_add(&worker->conns, fd))
            atomic_fetch_sub(&worker->load, 1);
}

//! [worker_round]
static void worker_round(struct worker *worker, evq *queue)
{
    evq_op *done[BATCH];
    int n = evq_wait(queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(worker->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++)
        if (conns_done(&worker->conns, done[i]))
            atomic_fetch_sub(&worker->load, 1);
    worker_reads_mail(worker);
}
//! [worker_round]

//! [run_worker]
static void run_worker(void *arg)
{
    struct worker *worker = arg;
    evq *queue = NULL;
    worker->err = evq_open(&queue, NULL); /* here, not in main: who opens it owns it */
    conns_init(&worker->conns, queue);
    mailbox_set_queue(&worker->mailbox, queue);
    atomic_store(&worker->state, worker->err == EVQ_OK ? WORKER_RUNS : WORKER_FAILED);
    evq_wake(worker->boss);
    if (worker->err != EVQ_OK)
        return;
    while (!atomic_load(&worker->stopping))
        worker_round(worker, queue);
    mailbox_set_queue(&worker->mailbox, NULL); /* from here on nobody wakes it */
    conns_close(&worker->conns);
    worker_reads_mail(worker); /* the last of it */
    while (evq_destroy(queue) == EVQ_EBUSY)
        worker_round(worker, queue);
    conns_free(&worker->conns);
}
//! [run_worker]

/* ---- main: accepts, and hands on ---- */

static struct worker *least_loaded(struct loop *loop)
{
    struct worker *least = &loop->workers[0];
    for (size_t i = 1; i < loop->count; i++)
        if (atomic_load(&loop->workers[i].load) < atomic_load(&least->load))
            least = &loop->workers[i];
    return least;
}

//! [hand_on]
static void hand_on(struct loop *loop, evq_fd fd)
{
    struct worker *worker = least_loaded(loop);
    atomic_fetch_add(&worker->load, 1);
    if (mailbox_put(&worker->mailbox, fd))
        return;
    atomic_fetch_sub(&worker->load, 1); /* 1,024 sockets wait there: it is busy beyond help */
    evq_tcp_close(fd);
    loop->refused++;
}
//! [hand_on]

static void loop_round(struct loop *loop)
{
    evq_op *done[BATCH];
    int n = evq_wait(loop->queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(loop->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++) { /* here all of them are the listener's */
        evq_fd fd = listener_done(&loop->listener, done[i]);
        if (fd != EVQ_NO_FD)
            hand_on(loop, fd);
    }
}

/* ---- start and end ---- */

//! [start]
/* Each worker wakes us when it has its queue: evq_wake() is all the signalling that is needed. */
static void start_workers(struct loop *loop)
{
    for (size_t i = 0; i < loop->count; i++) {
        struct worker *worker = &loop->workers[i];
        worker->app = loop->app;
        worker->boss = loop->queue;
        if (host_lock_open(&worker->mailbox.lock) < 0 ||
            host_thread_start(&worker->thread, run_worker, worker) < 0)
            app_die(loop->app, "cannot start one more worker");
    }
    for (size_t i = 0; i < loop->count; i++) {
        struct worker *worker = &loop->workers[i];
        while (atomic_load(&worker->state) == WORKER_STARTING)
            loop_round(loop);
        if (atomic_load(&worker->state) == WORKER_FAILED)
            app_die(loop->app, "a worker has no queue: %s", evq_strerror(worker->err));
    }
}
//! [start]

static void stop_workers(struct loop *loop)
{
    for (size_t i = 0; i < loop->count; i++) {
        atomic_store(&loop->workers[i].stopping, true);
        mailbox_wake(&loop->workers[i].mailbox);
    }
    for (size_t i = 0; i < loop->count; i++) {
        host_thread_join(&loop->workers[i].thread);
        host_lock_close(&loop->workers[i].mailbox.lock);
    }
}

static void loop_run(struct loop *loop)
{
    while (!host_is_stopping())
        loop_round(loop);
    listener_close(&loop->listener);
    stop_workers(loop);
    host_stop_close(); /* only now: the handler may have run in any of the threads */
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

static int end(struct loop *loop)
{
    uint64_t clients = 0, bytes = 0;
    for (size_t i = 0; i < loop->count; i++) {
        clients += loop->workers[i].conns.clients;
        bytes += loop->workers[i].conns.bytes;
        loop->refused += loop->workers[i].conns.refused;
    }
    free(loop->workers);
    return app_totals(clients, bytes, loop->refused);
}

int main(int argc, char **argv)
{
    long count = host_processors() < MAX_WORKERS ? host_processors() : MAX_WORKERS;
    const struct app_option options[] = {
        {'w', "WORKERS", "threads, each with a queue of its own", 1, MAX_WORKERS, &count, NULL},
        {0, NULL, NULL, 0, 0, NULL, NULL},
    };
    const struct app_about about = {.what = "An echo server with a queue for every thread.",
                                    .options = options};
    struct app app = app_start(argc, argv, &about);
    struct loop loop = {.app = &app, .count = (size_t)count};
    loop.workers = calloc(loop.count, sizeof *loop.workers);
    if (loop.workers == NULL)
        app_die(&app, "no memory for %ld workers", count);
    loop.queue = app_queue(&app);
    evq_fd fd = app_listen(&app);
    start_workers(&loop);
    int err = listener_open(&loop.listener, loop.queue, fd);
    if (err < 0)
        app_die(&app, "cannot accept: %s", evq_strerror(err));
    app_announce(&app, loop.queue, fd);
    loop_run(&loop);
    return end(&loop);
}
