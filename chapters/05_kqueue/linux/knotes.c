/*
 * knotes: the table of a queue.
 *
 * The identity of an event is (ident, filter). A hash table leads from it to the knote. From an
 * epoll item the way is another one: an item lives in the kernel, and may report when its knote has
 * gone already. So it holds no pointer, but the number of a slot and the slot's generation, which
 * counts the tenants. An old event finds another generation, and nobody.
 */
#include "emulation.h"

#include <stdlib.h>
#include <unistd.h>

enum { FIRST_SLOTS = 16, FIRST_BUCKETS = 16 };
static const uint32_t NO_SLOT = UINT32_MAX;

/* ---- hash table ------------------------------------------------------------------------------ */

static struct emu_knote **bucket_of(const struct emu_queue *queue, uintptr_t ident, short filter)
{
    uint64_t mixed = ((uint64_t)ident * 31 + (uint64_t)-filter) * UINT64_C(0x9e3779b97f4a7c15);
    return &queue->buckets[(uint32_t)(mixed >> 32) & (queue->buckets_count - 1)];
}

static void put_into_bucket(struct emu_queue *queue, struct emu_knote *knote)
{
    struct emu_knote **bucket = bucket_of(queue, knote->ident, knote->filter);
    knote->next = *bucket;
    *bucket = knote;
}

/* Twice as many buckets as before; without memory for them the old ones go on, only longer. */
static bool grow_buckets(struct emu_queue *queue)
{
    uint32_t count = queue->buckets_count != 0 ? 2 * queue->buckets_count : FIRST_BUCKETS;
    struct emu_knote **fresh = calloc(count, sizeof(struct emu_knote *));
    if (fresh == NULL)
        return queue->buckets != NULL;
    free(queue->buckets);
    queue->buckets = fresh;
    queue->buckets_count = count;
    for (uint32_t i = 0; i < queue->slots_count; i++)
        if (queue->slots[i].knote != NULL)
            put_into_bucket(queue, queue->slots[i].knote);
    return true;
}

struct emu_knote *emu_knote_find(struct emu_queue *queue, uintptr_t ident, short filter)
{
    if (queue->buckets == NULL)
        return NULL;
    struct emu_knote *knote = *bucket_of(queue, ident, filter);
    while (knote != NULL && (knote->ident != ident || knote->filter != filter))
        knote = knote->next;
    return knote;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static bool grow_slots(struct emu_queue *queue)
{
    uint32_t room = queue->slots_room != 0 ? 2 * queue->slots_room : FIRST_SLOTS;
    struct emu_slot *more = realloc(queue->slots, room * sizeof *more);
    if (more == NULL)
        return false;
    queue->slots = more;
    queue->slots_room = room;
    return true;
}

static bool take_slot(struct emu_queue *queue, struct emu_knote *knote)
{
    if (queue->first_free != NO_SLOT) {
        knote->slot = queue->first_free;
        queue->first_free = queue->slots[knote->slot].next_free;
    } else {
        if (queue->slots_count == queue->slots_room && !grow_slots(queue))
            return false;
        knote->slot = queue->slots_count++;
        queue->slots[knote->slot].generation = 0;
    }
    queue->slots[knote->slot].knote = knote;
    return true;
}

static void leave_slot(struct emu_queue *queue, struct emu_knote *knote)
{
    struct emu_slot *slot = &queue->slots[knote->slot];
    slot->knote = NULL;
    slot->generation++;
    slot->next_free = queue->first_free;
    queue->first_free = knote->slot;
}

uint64_t emu_knote_tag(const struct emu_queue *queue, const struct emu_knote *knote)
{
    return (uint64_t)queue->slots[knote->slot].generation << 32 | knote->slot;
}

struct emu_knote *emu_knote_by_tag(const struct emu_queue *queue, uint64_t tag)
{
    uint32_t slot = (uint32_t)tag, generation = (uint32_t)(tag >> 32);
    if (slot >= queue->slots_count || queue->slots[slot].generation != generation)
        return NULL;
    return queue->slots[slot].knote;
}

/* ---- knotes ---------------------------------------------------------------------------------- */

struct emu_knote *emu_knote_new(struct emu_queue *queue, const struct kevent *change,
                                const struct emu_filter *ops)
{
    struct emu_knote *knote = calloc(1, sizeof *knote);
    if (knote == NULL)
        return NULL;
    if (queue->slots == NULL)
        queue->first_free = NO_SLOT;
    if ((queue->knotes_count >= queue->buckets_count && !grow_buckets(queue)) ||
        !take_slot(queue, knote)) {
        free(knote);
        return NULL;
    }
    knote->ident = change->ident;
    knote->filter = change->filter;
    knote->flags = change->flags & (EV_ONESHOT | EV_CLEAR | EV_RECEIPT | EV_DISPATCH);
    knote->fflags = change->fflags;
    knote->data = change->data;
    knote->udata = change->udata;
    for (int i = 0; i < 4; i++)
        knote->ext[i] = change->ext[i];
    knote->enabled = (change->flags & EV_DISABLE) == 0;
    knote->ops = ops;
    knote->fd = knote->watch = -1;
    put_into_bucket(queue, knote);
    queue->knotes_count++;
    return knote;
}

void emu_knote_drop(struct emu_queue *queue, struct emu_knote *knote)
{
    struct emu_knote **link = bucket_of(queue, knote->ident, knote->filter);
    while (*link != knote)
        link = &(*link)->next;
    *link = knote->next;
    if (knote->ops->detach != NULL)
        knote->ops->detach(queue, knote);
    emu_ready_remove(queue, knote);
    emu_disarm(queue, knote);
    leave_slot(queue, knote);
    queue->knotes_count--;
    free(knote);
}

void emu_knotes_free(struct emu_queue *queue)
{
    for (uint32_t i = 0; i < queue->slots_count; i++) {
        struct emu_knote *knote = queue->slots[i].knote;
        if (knote != NULL && knote->is_side)
            (void)close(knote->fd); /* nothing was written to it that could be lost */
        if (knote != NULL && knote->ops == &emu_filter_signal)
            knote->ops->detach(queue, knote); /* the mask of this thread */
        free(knote);
    }
    free(queue->slots);
    free(queue->buckets);
}
