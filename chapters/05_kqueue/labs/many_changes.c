/*
 * Lab: fifty descriptors are to be watched, and all are ready. How many system calls?
 *
 * kevent() takes a list of changes and a place for events, so one call does both: first it applies
 * all changes, in their order, then it reads the queue (man 2 kqueue). With epoll each change is a
 * call of its own. And since the changes come first, an event can only tell how things are after
 * all of them: what the list has just disabled or deleted is not reported.
 *
 * With no room for events (nevents 0) the call returns at once, whatever the time-out: so it can be
 * used to change only. The one pitfall is the error of a change, which needs room too: lab
 * receipt_and_error.
 *
 * The descriptors are fifty copies of one end of a pipe with a byte in it: each number is an ident.
 */
#include "kq_lab.h"

enum { FDS = 50, ROOM = 2 * FDS, QUIET_MS = 50, PATIENCE_MS = 2000 };

static int pipe_ends[2], fds[FDS];
static int calls;

/* kevent(), counted. It may wait; nobody sends signals, so it is not interrupted. */
static int counted(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                   kq_count room)
{
    int patience_ms = lab_patience_ms(PATIENCE_MS);
    struct timespec patience = {patience_ms / 1000, (long)(patience_ms % 1000) * 1000000};
    calls++;
    return lab_must(kevent(kq, changes, n, events, room, &patience), "kevent");
}

static void open_all(void)
{
    (void)lab_must(pipe(pipe_ends), "pipe");
    (void)lab_must((int)write(pipe_ends[1], "x", 1), "write");
    for (int i = 0; i < FDS; i++)
        fds[i] = lab_must(dup(pipe_ends[0]), "dup");
}

static void close_all(void)
{
    for (int i = 0; i < FDS; i++)
        (void)close(fds[i]);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void one_by_one(void)
{
    struct kevent events[ROOM];
    int kq = kq_queue(), n;
    lab_say("1. A call for each of the %d descriptors, then one for the events.", FDS);
    calls = 0;
    for (int i = 0; i < FDS; i++) {
        struct kevent change = kq_change_fd(fds[i], EVFILT_READ, EV_ADD);
        (void)counted(kq, &change, 1, NULL, 0);
    }
    n = counted(kq, NULL, 0, events, ROOM);
    lab_figure("one_by_one_calls", calls, "");
    lab_figure("one_by_one_events", n, "");
    (void)close(kq);
}

static void all_at_once(int kq)
{
    struct kevent changes[FDS], events[ROOM];
    lab_say("2. One call, with %d changes and room for the events.", FDS);
    for (int i = 0; i < FDS; i++)
        changes[i] = kq_change_fd(fds[i], EVFILT_READ, EV_ADD);
    calls = 0;
    int n = counted(kq, changes, FDS, events, ROOM);
    lab_figure("at_once_calls", calls, "");
    lab_figure("at_once_events", n, "");
    lab_expect(calls == 1 && n == FDS, "one call has added them all, and told of them all");
}

static void changes_first(int kq)
{
    struct kevent list[ROOM];
    lab_say("3. All are pending. One call takes out half of them, and asks for events. The same "
            "array holds the changes before, and the events after.");
    for (int i = 0; i < FDS / 2; i++)
        list[i] = kq_change_fd(fds[i], EVFILT_READ, EV_DELETE);
    int n = counted(kq, list, FDS / 2, list, ROOM), deleted = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < FDS / 2; j++)
            deleted += list[i].ident == (uintptr_t)fds[j] ? 1 : 0;
    lab_figure("half_events", n, "");
    lab_figure("half_events_of_deleted", deleted, "");
    lab_expect(n == FDS / 2 && deleted == 0, "the changes come first, then the events are read");
}

static void change_only(int kq)
{
    struct kevent changes[FDS / 2], event = {0};
    lab_say("4. One call takes out the other half, and has no room for events.");
    for (int i = 0; i < FDS / 2; i++)
        changes[i] = kq_change_fd(fds[FDS / 2 + i], EVFILT_READ, EV_DELETE);
    int64_t start_ns = lab_now_ns();
    int n = counted(kq, changes, FDS / 2, NULL, 0);
    double ms = (double)(lab_now_ns() - start_ns) / 1e6;
    lab_figure("no_room_returned", n, "");
    lab_figure("no_room_took_ms", ms, "ms");
    bool left = kq_next(kq, &event, QUIET_MS);
    lab_word("no_room_events_left", kq_yes(left));
    lab_expect(n == 0 && ms < lab_patience_ms(PATIENCE_MS) && !left,
               "it changes, and does not wait, though the time-out is long");
}

int main(void)
{
    lab_question("Fifty descriptors are to be watched, and each has something to read. How many "
                 "system calls until the program has fifty events?",
                 "51: one for each change, and one for the events.",
                 "2: one for all changes, and one for the events.", "1.", 'c',
                 "Are there fewer than 60 descriptors allowed (ulimit -n)?");
    open_all();
    one_by_one();
    int kq = kq_queue();
    all_at_once(kq);
    changes_first(kq);
    change_only(kq);
    (void)close(kq);
    close_all();
    return kq_finding("NetBSD 7.99: with no room for events the call returns at once, whatever the "
                      "time-out. The counting: not yet seen on a real kernel",
                      "one kevent() applies all changes, then reads the queue");
}
