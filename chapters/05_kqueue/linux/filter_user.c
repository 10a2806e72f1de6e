/*
 * filter_user: EVFILT_USER, an event that the program makes by itself.
 *
 * There is nothing in the kernel to watch: the knote remembers that it was triggered, stands in the
 * ready list, and the bell wakes a thread that waits. On Linux a program would use an eventfd for
 * this; here one eventfd serves all user events of a queue.
 */
#include "emulation.h"

static void take_over(struct emu_knote *knote, unsigned int fflags, int64_t data)
{
    unsigned int flags = fflags & NOTE_FFLAGSMASK;
    switch (fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND:
        knote->fflags &= flags;
        break;
    case NOTE_FFOR:
        knote->fflags |= flags;
        break;
    case NOTE_FFCOPY:
        knote->fflags = flags;
        break;
    default: /* NOTE_FFNOP: they stay */
        break;
    }
    knote->data = data;
    knote->seen |= fflags & NOTE_TRIGGER;
}

static int attach(struct emu_queue *queue, struct emu_knote *knote)
{
    knote->is_judged = true;
    knote->seen = knote->fflags & NOTE_TRIGGER;
    knote->fflags &= NOTE_FFLAGSMASK;
    emu_ready_add(queue, knote);
    return 0;
}

static int change(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *wanted)
{
    take_over(knote, wanted->fflags, wanted->data);
    emu_ready_add(queue, knote);
    return 0;
}

static bool report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                   struct kevent *event)
{
    (void)queue;
    (void)bits;
    event->fflags = knote->fflags;
    event->data = knote->data;
    bool is_triggered = knote->seen != 0;
    if ((knote->flags & EV_CLEAR) != 0)
        knote->seen = 0;
    return is_triggered;
}

const struct emu_filter emu_filter_user = {
    .filter = EVFILT_USER, .attach = attach, .change = change, .report = report};
