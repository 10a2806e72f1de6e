/*
 * sets: the two epoll sets of a queue, and how they learn of a close().
 *
 * An epoll item is known by (open file, number). kqueue knows an event by (number, filter). So READ
 * and WRITE of one number need two sets; and a dup is another number, and so another ident, for
 * free. What a knote says, as an epoll mask:
 *
 *     level-triggered                  the plain mask
 *     EV_CLEAR                         EPOLLET
 *     EV_ONESHOT, EV_DISPATCH          EPOLLONESHOT: reported once, by one thread
 *     disabled                         EPOLLONESHOT alone. ERR and HUP cannot be masked, but they
 *                                      are reported once at most, and that one is thrown away
 *
 * A real kqueue sees each close(). We do not. But epoll_ctl(ADD) tells: EEXIST means that this
 * number is still the file that was registered. EBADF, or success (which is undone at once), means
 * that it was closed. This is asked before each change and before each event that is reported.
 *
 * Asking is not using: another thread may close the number at this very moment, and then the answer
 * is what we want to know. So the question goes straight to the kernel, past the wrapper in which a
 * thread checker (TSan) would take it for a race.
 *
 * If a dup or a child keeps the file alive, its item goes on to report, and nobody can remove it:
 * the number that it was added under is gone. Its knote is forgotten at the first report; at the
 * second, its tag finds nobody, and all items that are still good move to a new set. Those who
 * sleep in the outer epoll notice nothing of it.
 */
#include "emulation.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

int emu_epoll_ctl(int epoll, int op, int fd, struct epoll_event *item)
{
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, item);
}

static uint32_t mask_of(const struct emu_knote *knote)
{
    if (!knote->enabled)
        return EPOLLONESHOT;
    if (knote->is_judged)
        return knote->bits | EPOLLET;
    bool is_once = (knote->flags & (EV_ONESHOT | EV_DISPATCH)) != 0;
    return knote->bits | (knote->is_edge ? (uint32_t)EPOLLET : 0) |
           (is_once ? (uint32_t)EPOLLONESHOT : 0);
}

int emu_arm(struct emu_queue *queue, struct emu_knote *knote)
{
    struct epoll_event item = {.events = mask_of(knote)};
    item.data.u64 = emu_knote_tag(queue, knote);
    int op = knote->is_in_set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int result = emu_epoll_ctl(queue->sets[knote->set], op, knote->fd, &item);
    if (result == -1 && op == EPOLL_CTL_ADD && errno == EEXIST)
        /* closed, forgotten, and the same file came back by dup2() under the same number */
        result = emu_epoll_ctl(queue->sets[knote->set], EPOLL_CTL_MOD, knote->fd, &item);
    if (result == -1)
        return emu_error_of_open();
    knote->is_in_set = true;
    return 0;
}

void emu_disarm(struct emu_queue *queue, struct emu_knote *knote)
{
    /* It fails when the number was closed. Then the kernel has removed the item, or nobody can. */
    if (knote->is_in_set)
        (void)emu_epoll_ctl(queue->sets[knote->set], EPOLL_CTL_DEL, knote->fd, NULL);
    if (knote->is_side)
        (void)close(knote->fd);
    knote->is_in_set = knote->is_side = false;
    knote->fd = -1;
}

bool emu_is_open(struct emu_queue *queue, struct emu_knote *knote)
{
    if (knote->watch != -1)
        return emu_file_is_same(knote);
    if (!knote->ops->is_descriptor || !knote->is_in_set)
        return true;
    struct epoll_event question = {.events = 0};
    question.data.u64 = EMU_TAG_NOBODY;
    int epoll = queue->sets[knote->set];
    if (emu_epoll_ctl(epoll, EPOLL_CTL_ADD, knote->fd, &question) == -1)
        return errno == EEXIST;
    (void)emu_epoll_ctl(epoll, EPOLL_CTL_DEL, knote->fd, NULL); /* it was added a line above */
    return false;
}

void emu_forget_closed(struct emu_queue *queue, uintptr_t ident)
{
    static const short filters[] = {EVFILT_READ, EVFILT_WRITE, EVFILT_VNODE};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct emu_knote *knote = emu_knote_find(queue, ident, filters[i]);
        if (knote != NULL && !emu_is_open(queue, knote))
            emu_knote_drop(queue, knote);
    }
}

/* The new set takes the item of each knote of this set that is still open. */
static void move_items(struct emu_queue *queue, enum emu_set set, int fresh)
{
    for (uint32_t i = 0; i < queue->slots_count; i++) {
        struct emu_knote *knote = queue->slots[i].knote;
        if (knote == NULL || knote->set != set || !knote->is_in_set)
            continue;
        if (!emu_is_open(queue, knote)) {
            emu_knote_drop(queue, knote);
            continue;
        }
        struct epoll_event item = {.events = mask_of(knote)};
        item.data.u64 = emu_knote_tag(queue, knote);
        if (emu_epoll_ctl(fresh, EPOLL_CTL_ADD, knote->fd, &item) == -1)
            emu_knote_drop(queue, knote); /* no memory, or closed at this very moment */
    }
    struct epoll_event item = {.events = EPOLLIN, .data.u64 = EMU_TAG_INOTIFY};
    if (set == EMU_READERS && queue->inotify != -1)
        (void)emu_epoll_ctl(fresh, EPOLL_CTL_ADD, queue->inotify, &item);
}

void emu_rebuild(struct emu_queue *queue, enum emu_set set)
{
    struct epoll_event item = {.events = EPOLLIN, .data.u64 = set};
    int fresh = emu_out_of_the_way(epoll_create1(EPOLL_CLOEXEC)), old = queue->sets[set];
    if (fresh == -1)
        return; /* EMFILE: the stale item costs time, not truth; the next report tries again */
    if (emu_epoll_ctl(queue->fd, EPOLL_CTL_ADD, fresh, &item) == -1) {
        (void)close(fresh);
        return;
    }
    move_items(queue, set, fresh);
    (void)emu_epoll_ctl(queue->fd, EPOLL_CTL_DEL, old, NULL);
    queue->sets[set] = fresh;
    (void)close(old);
}
