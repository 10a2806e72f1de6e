/*
 * ready: the list of those knotes whose filter must be run here.
 *
 * A real kqueue has such a list for everything: an event puts its knote in, a harvest runs the
 * filter of each, and those that are level-triggered and true go back to the end. epoll keeps that
 * list for us where it can judge by itself. What it cannot judge stands in ours: user events,
 * files, and sockets with a low-water mark. An eventfd, the bell, is readable while there is
 * somebody in the list, so that those who sleep in the outer epoll wake up.
 */
#include "emulation.h"

#include <sys/eventfd.h>

void emu_ready_add(struct emu_queue *queue, struct emu_knote *knote)
{
    if (knote->is_ready || !knote->enabled)
        return;
    knote->is_ready = true;
    knote->ready_before = queue->ready_last;
    knote->ready_after = NULL;
    *(queue->ready_last != NULL ? &queue->ready_last->ready_after : &queue->ready_first) = knote;
    queue->ready_last = knote;
    if (queue->ready_count++ == 0)
        (void)eventfd_write(queue->bell, 1); /* far from full: nothing to fail */
}

void emu_ready_remove(struct emu_queue *queue, struct emu_knote *knote)
{
    eventfd_t rung;
    if (!knote->is_ready)
        return;
    knote->is_ready = false;
    *(knote->ready_before != NULL ? &knote->ready_before->ready_after : &queue->ready_first) =
        knote->ready_after;
    *(knote->ready_after != NULL ? &knote->ready_after->ready_before : &queue->ready_last) =
        knote->ready_before;
    if (--queue->ready_count > 0)
        return;
    (void)eventfd_read(queue->bell, &rung); /* it rang, so there is something to read */
    emu_signals_collect(queue); /* another queue may have rung it for a signal, just now */
}
