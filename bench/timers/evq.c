/* evq: an operation for each timer. A cancelled one comes back, too; that counts as firing time. */
#include "timers.h"

#include "../../chapters/07_crossplatform/evq/include/evq.h"

#include <stdlib.h>

enum { BATCH = 256 };

const char library_name[] = "evq";
static evq *queue;
static evq_op *ops;

bool library_open(int count)
{
    ops = calloc((size_t)count, sizeof *ops);
    return ops != NULL && evq_open(&queue, NULL) == EVQ_OK;
}

void library_insert(int which, int delay_ms)
{
    evq_timer(queue, &ops[which], evq_now(queue) + (uint64_t)delay_ms * 1000000u);
}

void library_cancel(int which)
{
    timers_must(evq_cancel(queue, &ops[which]) == EVQ_OK, "evq_cancel");
}

void library_run(void)
{
    evq_op *done[BATCH];
    int n = evq_wait(queue, done, BATCH, EVQ_FOREVER);
    timers_must(n >= 0, "evq_wait");
    for (int i = 0; i < n; i++)
        if (done[i]->err == EVQ_OK)
            timers_fired((int)(done[i] - ops));
}
