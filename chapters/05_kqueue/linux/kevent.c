/*
 * kevent: one call that changes and waits.
 *
 *     for each change    find the knote, add, change or drop it; an error becomes an EV_ERROR entry
 *     errors?            that is the answer; nothing is waited for
 *     wait               in the outer epoll, without any lock
 *     harvest            under the lock of the queue: ask the sources that the outer epoll has
 *                        named, and run the filter of each knote that they name
 *     nothing left?      another thread was faster, or it was stale: wait on
 *
 * The lock around the harvest is what makes the rest easy. Between epoll's answer and the report
 * nobody can delete the knote, and with EV_DISPATCH nobody can get it a second time.
 */
#include "emulation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One epoll_wait() names each item once; a second one would name the level-triggered ones again.
 * So there is one, of this size at most. */
enum { BATCH = 512 };

/* How often a call whose time is over may find only what is stale, before it says: nothing. */
enum { FRUITLESS_MAX = 16 };

static const int64_t NS_PER_S = 1000000000, NS_PER_MS = 1000000;
static const int64_t FOR_EVER = INT64_MAX;

/* ---- changes --------------------------------------------------------------------------------- */

static const struct emu_filter *filter_of(short filter)
{
    static const struct emu_filter *const all[] = {
        &emu_filter_read,   &emu_filter_write, &emu_filter_vnode, &emu_filter_proc,
        &emu_filter_signal, &emu_filter_timer, &emu_filter_user};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->filter == filter)
            return all[i];
    return NULL;
}

int emu_error_of_open(void)
{
    bool is_limit = errno == EMFILE || errno == ENFILE || errno == ENOSPC;
    return is_limit ? ENOMEM : errno;
}

int emu_change_plainly(struct emu_queue *queue, struct emu_knote *knote,
                       const struct kevent *change)
{
    knote->fflags = change->fflags;
    knote->data = change->data;
    return emu_arm(queue, knote);
}

static int add(struct emu_queue *queue, const struct kevent *change, const struct emu_filter *ops)
{
    struct emu_knote *knote = emu_knote_new(queue, change, ops);
    if (knote == NULL)
        return ENOMEM;
    int err = ops->attach(queue, knote);
    if (err != 0)
        emu_knote_drop(queue, knote);
    return err;
}

/* EV_CLEAR, EV_ONESHOT and EV_DISPATCH stay as they were first added: so does FreeBSD. */
static int modify(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *change)
{
    if ((change->flags & EV_DISABLE) != 0)
        knote->enabled = false;
    else if ((change->flags & (EV_ADD | EV_ENABLE)) != 0)
        knote->enabled = true;
    if ((change->flags & EV_KEEPUDATA) == 0)
        knote->udata = change->udata;
    if (!knote->enabled)
        emu_ready_remove(queue, knote);
    return knote->ops->change(queue, knote, change);
}

static int apply(struct emu_queue *queue, const struct kevent *change)
{
    const unsigned short both = EV_ENABLE | EV_DISABLE, kept = EV_ADD | EV_KEEPUDATA;
    const struct emu_filter *ops = filter_of(change->filter);
    if (ops == NULL || (change->flags & both) == both || (change->flags & kept) == kept)
        return EINVAL;
    if (ops->is_descriptor && change->ident > INT_MAX)
        return EBADF;
    struct emu_knote *knote = emu_knote_find(queue, change->ident, change->filter);
    if (knote != NULL && !emu_is_open(queue, knote)) {
        emu_forget_closed(queue, change->ident);
        knote = NULL;
    }
    if (knote == NULL && ops->is_descriptor && fcntl((int)change->ident, F_GETFD) == -1)
        return EBADF;
    if (knote == NULL)
        return (change->flags & EV_ADD) != 0 ? add(queue, change, ops) : ENOENT;
    if ((change->flags & EV_DELETE) != 0) {
        emu_knote_drop(queue, knote);
        return 0;
    }
    return modify(queue, knote, change);
}

/* How many EV_ERROR entries there are; -1 with errno when an error had no room. */
static int apply_all(struct emu_queue *queue, const struct kevent *changes, int nchanges,
                     struct kevent *events, int nevents)
{
    int answers = 0, err = 0;
    (void)pthread_mutex_lock(&queue->lock);
    for (int i = 0; i < nchanges && err == 0; i++) {
        struct kevent change = changes[i]; /* a copy: the program may pass one array for both */
        change.flags &= (unsigned short)~(EV_EOF | EV_ERROR);
        int failed = apply(queue, &change);
        if (failed == 0 && (change.flags & EV_RECEIPT) == 0)
            continue;
        if (answers == nevents) {
            err = failed;
            break; /* no room for the answer: the later changes are not made */
        }
        change.flags = EV_ERROR;
        change.data = failed;
        events[answers++] = change;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    if (err == 0)
        return answers;
    errno = err;
    return -1;
}

/* ---- harvest --------------------------------------------------------------------------------- */

/* Runs the filter of a knote that may have something to report; true when *event is filled in. */
static bool deliver(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                    struct kevent *event)
{
    if (!knote->enabled)
        return false; /* an ERR or HUP that epoll could not keep to itself */
    if (!emu_is_open(queue, knote)) {
        emu_forget_closed(queue, knote->ident);
        return false;
    }
    EV_SET(event, knote->ident, knote->filter, knote->flags, 0, 0, knote->udata);
    for (int i = 0; i < 4; i++)
        event->ext[i] = knote->ext[i];
    if (!knote->ops->report(queue, knote, bits, event)) {
        if (!knote->is_judged && (knote->flags & (EV_ONESHOT | EV_DISPATCH)) != 0)
            (void)emu_arm(queue, knote); /* EPOLLONESHOT has fired for nothing */
        return false;
    }
    if ((event->flags & EV_ONESHOT) != 0) {
        emu_knote_drop(queue, knote);
    } else if ((event->flags & EV_DISPATCH) != 0) {
        knote->enabled = false; /* EPOLLONESHOT has disarmed the item already */
        if (bits == 0 && knote->is_in_set)
            (void)emu_arm(queue, knote); /* it came from the ready list: no EPOLLONESHOT has */
    } else if ((event->flags & EV_CLEAR) == 0 && knote->is_judged) {
        emu_ready_add(queue, knote); /* level-triggered: asked again next time */
    }
    return true;
}

static int harvest_set(struct emu_queue *queue, enum emu_set set, struct kevent *events, int room)
{
    struct epoll_event named[BATCH];
    int n = epoll_wait(queue->sets[set], named, room < BATCH ? room : BATCH, 0), taken = 0;
    bool is_stale = false;
    for (int i = 0; i < n; i++) {
        struct emu_knote *knote = emu_knote_by_tag(queue, named[i].data.u64);
        if (named[i].data.u64 == EMU_TAG_INOTIFY)
            emu_files_collect(queue);
        else if (knote == NULL)
            is_stale = true;
        else if (knote->is_judged)
            emu_ready_add(queue, knote);
        else if (deliver(queue, knote, named[i].events, &events[taken]))
            taken++;
    }
    if (is_stale)
        emu_rebuild(queue, set);
    return taken;
}

static int harvest_ready(struct emu_queue *queue, struct kevent *events, int room)
{
    int taken = 0;
    eventfd_t rung;
    if (queue->ready_count == 0) /* another queue has rung, for a signal that we watch, too */
        (void)eventfd_read(queue->bell, &rung);
    emu_signals_collect(queue);
    for (size_t left = queue->ready_count; left > 0 && taken < room; left--) {
        struct emu_knote *knote = queue->ready_first;
        if (knote == NULL)
            break; /* a closed ident took others of the list with it */
        emu_ready_remove(queue, knote);
        taken += deliver(queue, knote, 0, &events[taken]) ? 1 : 0;
    }
    return taken;
}

/* Each time another source is the first, so that with a small array none of them starves. */
static int harvest(struct emu_queue *queue, const struct epoll_event *sources, int count,
                   struct kevent *events, int room)
{
    int taken = 0;
    (void)pthread_mutex_lock(&queue->lock);
    unsigned int first = queue->turn++;
    for (int i = 0; i < count && taken < room; i++) {
        unsigned int which = (first + (unsigned int)i) % (unsigned int)count;
        uint64_t source = sources[which].data.u64;
        if (source == EMU_BELL)
            taken += harvest_ready(queue, events + taken, room - taken);
        else
            taken += harvest_set(queue, (enum emu_set)source, events + taken, room - taken);
    }
    uint64_t happening = queue->happening;
    queue->happening = 0;
    (void)pthread_mutex_unlock(&queue->lock);
    if (happening != 0)
        emu_signals_let_happen(happening); /* a handler may call kevent(), so not under the lock */
    return taken;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists */
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Rounded up, so that a wait of a microsecond does not become a busy loop. */
static int wait_in_ms(int fd, struct epoll_event *sources, int64_t left_ns)
{
    int64_t left_ms = left_ns / NS_PER_MS + (left_ns % NS_PER_MS != 0);
    return epoll_wait(fd, sources, EMU_SOURCES, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
}

static int wait_in_ns(int fd, struct epoll_event *sources, int64_t left_ns)
{
#ifdef SYS_epoll_pwait2
    /* Linux 5.11, and not under every supervisor: ENOSYS is remembered. The kernel's timespec has
     * 64 bits for each member, whatever the C library's has. */
    static atomic_bool is_missing;
    struct {
        int64_t tv_sec, tv_nsec;
    } left = {left_ns / NS_PER_S, left_ns % NS_PER_S};
    if (!atomic_load_explicit(&is_missing, memory_order_relaxed)) {
        long n = syscall(SYS_epoll_pwait2, fd, sources, (int)EMU_SOURCES, &left, NULL, (size_t)0);
        if (n != -1 || errno != ENOSYS)
            return (int)n;
        atomic_store_explicit(&is_missing, true, memory_order_relaxed);
    }
#endif
    return wait_in_ms(fd, sources, left_ns);
}

/* Sleeps until a source has something: how many, 0 at the deadline, -1 with errno (EINTR). */
static int wait_for_sources(int fd, struct epoll_event *sources, int64_t deadline_ns)
{
    if (deadline_ns == FOR_EVER)
        return epoll_wait(fd, sources, EMU_SOURCES, -1);
    int64_t left_ns = deadline_ns == 0 ? 0 : deadline_ns - now_ns();
    if (left_ns <= 0)
        return epoll_wait(fd, sources, EMU_SOURCES, 0);
    return wait_in_ns(fd, sources, left_ns);
}

static void leave(void *queue)
{
    emu_release(queue);
}

/* The only place where a thread can be cancelled: here it holds no lock, and no event is lost. */
static int wait_open_to_cancel(struct emu_queue *queue, int fd, struct epoll_event *sources,
                               int64_t deadline_ns, int cancel_state)
{
    int n, closed;
    pthread_cleanup_push(leave, queue);
    (void)pthread_setcancelstate(cancel_state, &closed);
    n = wait_for_sources(fd, sources, deadline_ns);
    (void)pthread_setcancelstate(closed, &cancel_state);
    pthread_cleanup_pop(0);
    return n;
}

/* 0: do not wait. -1: no valid time. */
static int64_t deadline_of(const struct timespec *timeout)
{
    if (timeout == NULL)
        return FOR_EVER;
    if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= NS_PER_S)
        return -1;
    if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
        return 0;
    return timeout->tv_sec > INT32_MAX
               ? FOR_EVER
               : now_ns() + (int64_t)timeout->tv_sec * NS_PER_S + timeout->tv_nsec;
}

static int collect(struct emu_queue *queue, int fd, struct kevent *events, int nevents,
                   const struct timespec *timeout, int cancel_state)
{
    int64_t deadline_ns = deadline_of(timeout);
    if (deadline_ns == -1) {
        errno = EINVAL;
        return -1;
    }
    for (int fruitless = 0; fruitless < FRUITLESS_MAX; fruitless++) {
        struct epoll_event sources[EMU_SOURCES];
        int n = wait_open_to_cancel(queue, fd, sources, deadline_ns, cancel_state);
        if (n <= 0)
            return n;
        int taken = harvest(queue, sources, n, events, nevents);
        if (taken > 0)
            return taken;
        if (deadline_ns == FOR_EVER || deadline_ns > now_ns())
            fruitless = 0;
    }
    return 0;
}

/* ---- public ---------------------------------------------------------------------------------- */

int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist,
           int nevents, const struct timespec *timeout)
{
    if (nchanges < 0 || nevents < 0 || (nchanges > 0 && changelist == NULL) ||
        (nevents > 0 && eventlist == NULL)) {
        errno = nchanges < 0 || nevents < 0 ? EINVAL : EFAULT;
        return -1;
    }
    int n = -1, cancel_state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    struct emu_queue *queue = emu_acquire(kq);
    if (queue != NULL) {
        n = nchanges == 0 ? 0 : apply_all(queue, changelist, nchanges, eventlist, nevents);
        if (n == 0 && nevents > 0)
            n = collect(queue, kq, eventlist, nevents, timeout, cancel_state);
        int err = errno;
        emu_release(queue);
        errno = err;
    }
    (void)pthread_setcancelstate(cancel_state, &cancel_state);
    return n;
}
