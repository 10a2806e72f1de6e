/*
 * evq.c: the queue: opening, waiting, waking, and what belongs to no socket.
 *
 * Three rules make the contract short. An operation is in one place at a time, and its state says
 * in which (evq_backend.h has the diagram). Finished ones all go through one list, and only
 * evq_wait() takes from it. And no function but evq_wait() asks the kernel what has happened.
 *
 * What evq_wait() does, when it asks:
 *
 *     sockets that have more to do get their turn
 *     how long may it sleep?      not at all with something in hand, else until the first timer
 *     backend->wait()             one batch, translated completely: evq_op_finish() for each op
 *     the clock, the timers
 *     again, if that gave nothing and nobody asked to be woken (a spurious event gives nothing)
 */
#include "evq_backend.h"
#include "evq_platform.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STRING(x)    STRING_OF(x)
#define STRING_OF(x) #x
#define VERSION_STRING        \
    STRING(EVQ_VERSION_MAJOR) \
    "." STRING(EVQ_VERSION_MINOR) "." STRING(EVQ_VERSION_PATCH)

/* ---- opening -------------------------------------------------------------------------------- */

static int queue__try(evq *q, const struct evq_backend *backend)
{
    q->backend = backend;
    return backend->open(q);
}

static int queue__open_named(evq *q, const char *name)
{
    for (size_t i = 0; evq_backend_list[i] != NULL; i++)
        if (strcmp(evq_backend_list[i]->name, name) == 0)
            return queue__try(q, evq_backend_list[i]);
    return EVQ_EINVAL;
}

/* The next one is taken when one cannot work here. Any other error, as out of descriptors, would be
 * the next one's, too: it is returned. */
static int queue__open_best(evq *q)
{
    int err = EVQ_ENOTSUP;
    for (size_t i = 0; err == EVQ_ENOTSUP && evq_backend_list[i] != NULL; i++)
        err = queue__try(q, evq_backend_list[i]);
    return err;
}

static int queue__open(evq *q, const evq_options *opt)
{
    const char *name = opt != NULL ? opt->backend : NULL;
    if (name == NULL)
        name = getenv("EVQ_BACKEND");
    return name != NULL && *name != '\0' ? queue__open_named(q, name) : queue__open_best(q);
}

int evq_open(evq **q, const evq_options *opt)
{
    int err = evq_platform_start();
    if (err != EVQ_OK)
        return err;
    evq *queue = calloc(1, sizeof *queue);
    err = queue != NULL ? queue__open(queue, opt) : EVQ_ENOMEM;
    if (err != EVQ_OK) {
        free(queue);
        evq_platform_stop();
        return err;
    }
    atomic_init(&queue->wake_asked, false);
    queue->owner = evq_platform_thread();
    queue->now_ns = evq_platform_now();
    *q = queue;
    return EVQ_OK;
}

int evq_destroy(evq *q)
{
    if (q == NULL)
        return EVQ_OK;
    assert(q->owner == evq_platform_thread() && "a queue belongs to the thread that opened it");
    if (q->pending > 0 || q->attached > 0)
        return EVQ_EBUSY;
    q->backend->destroy(q);
    free(q);
    evq_platform_stop();
    return EVQ_OK;
}

/* ---- asking about a queue ------------------------------------------------------------------- */

uint64_t evq_now(const evq *q)
{
    return q->now_ns;
}

const char *evq_backend_name(const evq *q)
{
    return q->backend->name;
}

const char *const *evq_backends(void)
{
    return evq_backend_names;
}

const char *evq_version(void)
{
    return VERSION_STRING;
}

/* ---- waking --------------------------------------------------------------------------------- */

/* The first wake makes the backend come back; those that follow find the flag up. The exchange also
 * is what makes the waker's writes visible to the thread that lowers the flag. */
void evq_wake(evq *q)
{
    int saved = errno;
    if (!atomic_exchange(&q->wake_asked, true))
        q->backend->wake(q);
    errno = saved;
}

/* Lowered after the backend has taken what wake() wrote: the other way round, a wake in between
 * would leave the flag up with nothing under way, and no later one would come through. */
void evq_woken(evq *q)
{
    atomic_exchange(&q->wake_asked, false);
    q->woken = true;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* How long the backend may sleep: as long as the caller allows, and until the first timer. */
static int64_t wait__span_ns(evq *q, uint64_t deadline_ns)
{
    if (q->done.first != NULL || q->again != NULL)
        return 0;
    if (q->timers != NULL && q->timers->priv.arg.at.deadline_ns < deadline_ns)
        deadline_ns = q->timers->priv.arg.at.deadline_ns;
    if (deadline_ns == UINT64_MAX)
        return -1;
    q->now_ns = evq_platform_now();
    if (deadline_ns <= q->now_ns)
        return 0;
    uint64_t left_ns = deadline_ns - q->now_ns;
    return left_ns < INT64_MAX ? (int64_t)left_ns : INT64_MAX;
}

static uint64_t wait__deadline_ns(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return UINT64_MAX;
    return timeout_ns == 0 ? 0 : evq_platform_now() + (uint64_t)timeout_ns;
}

//! [ask]
static int wait__ask(evq *q, int64_t timeout_ns)
{
    assert(q->owner == evq_platform_thread() && "a queue belongs to the thread that opened it");
    uint64_t deadline_ns = wait__deadline_ns(timeout_ns);
    int how;
    q->waits_in_hand = 0;
    q->woken = false;
    do {
        if (q->again != NULL)
            evq_socks_again(q);
        how = q->backend->wait(q, wait__span_ns(q, deadline_ns));
        q->now_ns = evq_platform_now();
        if (q->timers != NULL)
            evq_timers_expire(q);
    } while (how == EVQ_WAITED && !q->woken && q->done.first == NULL && q->now_ns < deadline_ns);
    return how;
}
//! [ask]

/* With a close its socket is the caller's again, too. */
static void wait__let_go(evq *q, evq_op *op)
{
    op->priv.state = EVQ_IDLE;
    if (op->kind == EVQ_CLOSE) {
        op->sock->priv.queue = NULL;
        q->attached--;
    }
}

static int wait__harvest(evq *q, evq_op **done, int max)
{
    int n = 0;
    evq_op *op = q->done.first;
    for (; op != NULL && n < max; op = op->priv.next) {
        wait__let_go(q, op);
        done[n++] = op;
    }
    q->done.first = op;
    if (op != NULL)
        op->priv.prev = NULL;
    else
        q->done.last = NULL;
    q->pending -= (size_t)n;
    return n;
}

//! [wait]
int evq_wait(evq *q, evq_op **done, int max, int64_t timeout_ns)
{
    assert(max > 0);
    if (q->done.first != NULL && ++q->waits_in_hand <= EVQ_WAITS_IN_HAND)
        return wait__harvest(q, done, max);
    int how = wait__ask(q, timeout_ns);
    if (how < 0 && q->done.first == NULL)
        return how;
    return wait__harvest(q, done, max);
}
//! [wait]

/* ---- timers, and ending ---------------------------------------------------------------------- */

void evq_timer(evq *q, evq_op *op, uint64_t deadline_ns)
{
    evq_op_begin(q, NULL, op, EVQ_TIMER);
    op->priv.arg.at.deadline_ns = deadline_ns;
    op->priv.state = EVQ_STARTED;
    evq_timers_add(q, op);
}

//! [cancel]
int evq_cancel(evq *q, evq_op *op)
{
    if (op->priv.state == EVQ_IDLE)
        return EVQ_ENOENT;
    if (op->priv.state == EVQ_DONE || op->kind == EVQ_CLOSE)
        return EVQ_OK; /* its result was first; a close goes on */
    if (op->kind == EVQ_TIMER) {
        evq_timers_remove(q, op);
        op->err = EVQ_ECANCELED;
        evq_op_done(q, op);
        return EVQ_OK;
    }
    assert(op->sock->priv.queue == q && "the operation belongs to another queue");
    evq_sock_cancel(op->sock, op);
    return EVQ_OK;
}
//! [cancel]
