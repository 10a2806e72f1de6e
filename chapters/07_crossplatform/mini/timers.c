/*
 * timers: the timers of the queue, as step 3 has made them; steps 4, 5 and 6 share this file.
 *
 * They are a list, the nearest deadline first. Where all deadlines lie equally far ahead, as those
 * of idle clients do, a new one belongs at the end: so each insertion walks over all of them.
 */
#include "queue.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

//! [clock]
int64_t timers_now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time); /* cannot fail: every system here has this clock */
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int64_t timers_wait_ns(const struct queue *queue)
{
    if (queue->timers == NULL)
        return TIMERS_NEVER;
    int64_t left_ns = queue->timers->deadline_ns - timers_now_ns();
    return left_ns > 0 ? left_ns : 0;
}

int timers_round_up_ms(int64_t ns)
{
    static const int64_t NS_PER_MS = 1000000;
    int64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
    return ns == TIMERS_NEVER ? -1 : ms < INT_MAX ? (int)ms : INT_MAX;
}
//! [clock]

//! [timers]
void queue_timer(struct queue *queue, struct op *op, int64_t deadline_ns)
{
    struct op **at = &queue->timers;
    while (*at != NULL && (*at)->deadline_ns <= deadline_ns)
        at = &(*at)->next;
    op->kind = OP_TIMER;
    op->deadline_ns = deadline_ns;
    op->next = *at;
    *at = op;
}

static void finish_timer(struct queue *queue, struct op **at, int err)
{
    struct op *op = *at;
    *at = op->next;
    op->err = err;
    op_list_put(&queue->done, op);
}

void queue_cancel_timer(struct queue *queue, struct op *op)
{
    struct op **at = &queue->timers;
    while (*at != NULL && *at != op)
        at = &(*at)->next;
    if (*at != NULL)
        finish_timer(queue, at, ECANCELED);
}

void timers_finish(struct queue *queue)
{
    queue->now_ns = timers_now_ns();
    while (queue->timers != NULL && queue->timers->deadline_ns <= queue->now_ns)
        finish_timer(queue, &queue->timers, 0);
}
//! [timers]
