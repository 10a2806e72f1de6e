/*
 * filter_signal: EVFILT_SIGNAL, over a signalfd for each.
 *
 * A real kqueue counts a signal before it is delivered, whatever the program does with it then. On
 * Linux a signal that is ignored is thrown away at once, unless it is blocked: so EV_ADD blocks it,
 * in the thread that calls, and threads that this one starts later inherit that. A blocked signal
 * stays pending, and the signalfd is readable. The report then lets it happen: it opens the mask of
 * its own thread for a moment. What was ignored is gone; a handler runs; the default action is
 * taken, be it the end. So SIG_IGN, a handler and EVFILT_SIGNAL coexist, as on a real kqueue, only
 * that the handler runs at the report and not before.
 *
 * A signal that was blocked by the program itself is read from the signalfd, and so no longer
 * pending. Whichever queue finds a signal pending tells all others that watch it.
 */
#include "emulation.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { SIGNALS = 65 }; /* 1 to 64 */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct emu_knote *watchers; /* all knotes with this filter, of all queues */
static struct {
    unsigned long sent; /* how many were seen, by whatever queue        */
    bool is_ours;       /* blocked by us, and not already by the program */
    bool is_happening;  /* reported, and about to be delivered           */
} signals[SIGNALS];

/* ---- the mask of this thread ----------------------------------------------------------------- */

static sigset_t only(int signo)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signo);
    return set;
}

/* True when it was not blocked before. */
static bool block(int signo)
{
    sigset_t set = only(signo), before;
    (void)pthread_sigmask(SIG_BLOCK, &set, &before);
    return sigismember(&before, signo) == 0;
}

static void unblock(int signo)
{
    sigset_t set = only(signo);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool is_pending(int signo)
{
    sigset_t pending;
    (void)sigpending(&pending);
    return sigismember(&pending, signo) == 1;
}

/* ---- who watches ----------------------------------------------------------------------------- */

static bool is_watched(int signo)
{
    struct emu_knote *knote = watchers;
    while (knote != NULL && knote->ident != (uintptr_t)signo)
        knote = knote->sibling;
    return knote != NULL;
}

static int attach(struct emu_queue *queue, struct emu_knote *knote)
{
    if (knote->ident == 0 || knote->ident >= SIGNALS || knote->ident == SIGKILL ||
        knote->ident == SIGSTOP)
        return EINVAL;
    int signo = (int)knote->ident;
    sigset_t set = only(signo);
    knote->fd = emu_out_of_the_way(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (knote->fd == -1)
        return emu_error_of_open();
    knote->is_side = true;
    knote->set = EMU_READERS;
    knote->bits = EPOLLIN;
    knote->flags |= EV_CLEAR;
    (void)pthread_mutex_lock(&lock);
    bool was_open = block(signo);
    if (!is_watched(signo))
        signals[signo].is_ours = was_open;
    knote->owner = queue;
    knote->sent = signals[signo].sent;
    knote->sibling = watchers;
    watchers = knote;
    (void)pthread_mutex_unlock(&lock);
    return emu_arm(queue, knote);
}

static void detach(struct emu_queue *queue, struct emu_knote *knote)
{
    (void)queue;
    if (knote->owner == NULL)
        return; /* attach had failed */
    int signo = (int)knote->ident;
    (void)pthread_mutex_lock(&lock);
    struct emu_knote **link = &watchers;
    while (*link != knote)
        link = &(*link)->sibling;
    *link = knote->sibling;
    bool is_over = !is_watched(signo) && signals[signo].is_ours;
    (void)pthread_mutex_unlock(&lock);
    if (is_over)
        unblock(signo);
}

/* ---- a signal was sent ----------------------------------------------------------------------- */

/* Who finds it pending tells the other queues: it rings their bells, without their locks. */
static void tell_all(int signo, const struct emu_queue *but)
{
    signals[signo].sent++;
    for (struct emu_knote *knote = watchers; knote != NULL; knote = knote->sibling)
        if (knote->ident == (uintptr_t)signo && knote->owner != but)
            (void)eventfd_write(knote->owner->bell, 1); /* EAGAIN: it rings already */
}

static bool has_news(const struct emu_knote *knote)
{
    return knote->sent != signals[knote->ident].sent;
}

void emu_signals_collect(struct emu_queue *queue)
{
    (void)pthread_mutex_lock(&lock);
    for (struct emu_knote *knote = watchers; knote != NULL; knote = knote->sibling)
        if (knote->owner == queue && has_news(knote))
            emu_ready_add(queue, knote);
    (void)pthread_mutex_unlock(&lock);
}

static bool report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                   struct kevent *event)
{
    struct signalfd_siginfo taken;
    int signo = (int)knote->ident;
    (void)bits;
    (void)pthread_mutex_lock(&lock);
    bool is_ours = signals[signo].is_ours;
    bool is_new = is_pending(signo) && !signals[signo].is_happening;
    if (is_new)
        tell_all(signo, queue);
    if (is_new && is_ours) {
        signals[signo].is_happening = true;
        queue->happening |= UINT64_C(1) << (signo - 1);
    }
    event->data = (int64_t)(signals[signo].sent - knote->sent);
    knote->sent = signals[signo].sent;
    (void)pthread_mutex_unlock(&lock);
    if (is_new && !is_ours)
        (void)read(knote->fd, &taken, sizeof taken); /* EAGAIN: somebody's sigwait() has it */
    return event->data > 0;
}

/* Here a handler runs, and a default action is taken. */
void emu_signals_let_happen(uint64_t happening)
{
    for (int signo = 1; signo < SIGNALS; signo++) {
        if ((happening >> (signo - 1) & 1) == 0)
            continue;
        unblock(signo);
        (void)block(signo);
        (void)pthread_mutex_lock(&lock);
        signals[signo].is_happening = false;
        (void)pthread_mutex_unlock(&lock);
    }
}

static int change(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *wanted)
{
    int err = emu_change_plainly(queue, knote, wanted);
    emu_signals_collect(queue); /* what others have seen while it was disabled */
    return err;
}

const struct emu_filter emu_filter_signal = {.filter = EVFILT_SIGNAL,
                                             .attach = attach,
                                             .change = change,
                                             .report = report,
                                             .detach = detach};
