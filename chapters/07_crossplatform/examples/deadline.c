#include "deadline.h"

static const uint64_t NS_PER_MS = 1000000;

static void arm(struct deadline *deadline, evq *queue)
{
    deadline->is_pending = true;
    deadline->armed_ns = deadline->at_ns;
    evq_timer(queue, &deadline->timer, deadline->at_ns);
}

//! [set]
void deadline_set(struct deadline *deadline, evq *queue, uint64_t at_ns)
{
    deadline->at_ns = at_ns;
    if (!deadline->is_pending)
        arm(deadline, queue);
    else if (at_ns < deadline->armed_ns)
        (void)evq_cancel(queue, &deadline->timer); /* deadline_done() arms it anew */
}
//! [set]

void deadline_set_ms(struct deadline *deadline, evq *queue, uint64_t after_ms)
{
    deadline_set(deadline, queue, evq_now(queue) + after_ms * NS_PER_MS);
}

void deadline_clear(struct deadline *deadline, evq *queue)
{
    deadline->at_ns = 0;
    if (deadline->is_pending)
        (void)evq_cancel(queue, &deadline->timer);
}

//! [done]
bool deadline_done(struct deadline *deadline, evq *queue)
{
    deadline->is_pending = false;
    if (deadline->at_ns == 0)
        return false;
    if (evq_now(queue) >= deadline->at_ns)
        return true;
    arm(deadline, queue);
    return false;
}
//! [done]
