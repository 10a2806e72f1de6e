/*
 * Lab: what becomes of the events of a descriptor that is closed?
 *
 * It is the twin of 04/closed_but_reports, with the same scene. epoll remembers the open file
 * behind the number, and goes on reporting while a copy of it lives. kqueue remembers the number:
 * close() removes all its events (man 2 kqueue), also those that were pending, and says nothing.
 *
 *     5 --- event                 6 is a copy by dup(): another number, another ident,
 *     6                           watched only if it is added itself
 *
 * So there is nothing to delete before close(). Two things remain. An EV_DELETE that comes too late
 * fails with EBADF, or, when the number has been given away, with ENOENT: both are harmless. (macOS
 * says ENOENT either way, by its source: it looks for the event first.) And the batch that the
 * program holds already may have an event of the closed number: kqueue cannot take that back (see
 * stale_events.md in chapter 04).
 */
#include "kq_lab.h"

enum { LOOKS = 5, QUIET_MS = 50, PATIENCE_MS = 2000 };

static int kq;

static struct kevent for_reading(int fd, kq_flags flags)
{
    return kq_change_fd(fd, EVFILT_READ, flags);
}

/* A pipe with a byte to read in it. */
static void open_filled(int ends[2])
{
    (void)lab_must(pipe(ends), "pipe");
    (void)lab_must((int)write(ends[1], "x", 1), "write");
}

/* Looks LOOKS times; how many of them reported something. */
static int times_reported(void)
{
    struct kevent event = {0};
    int times = 0;
    for (int i = 0; i < LOOKS; i++)
        times += kq_next(kq, &event, i == 0 ? QUIET_MS : 0) ? 1 : 0;
    return times;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void close_with_a_copy(void)
{
    struct kevent event = {0};
    int ends[2];
    lab_say("1. A watched descriptor has a copy by dup(). close() of the watched number; then a "
            "byte comes. The program looks %d times.",
            LOOKS);
    (void)lab_must(pipe(ends), "pipe");
    int copy = lab_must(dup(ends[0]), "dup");
    kq_must(kq, for_reading(ends[0], EV_ADD));
    (void)close(ends[0]);
    (void)lab_must((int)write(ends[1], "x", 1), "write");
    int times = times_reported();
    lab_figure("closed_reported", times, "times");
    lab_expect(times == 0, "nothing is reported, though the copy has a byte to read");
    int err = kq_try(kq, for_reading(copy, EV_DELETE));
    lab_word("delete_of_the_copy", kq_word(err));
    kq_must(kq, for_reading(copy, EV_ADD));
    bool told = kq_next(kq, &event, lab_patience_ms(PATIENCE_MS));
    lab_word("copy_added_reported", kq_yes(told && event.ident == (uintptr_t)copy));
    lab_expect(err == ENOENT && told && event.ident == (uintptr_t)copy,
               "the copy is another ident: it has to be added itself");
    (void)close(copy);
    (void)close(ends[1]);
}

static void close_while_pending(void)
{
    int ends[2];
    lab_say("2. The event is pending already when the descriptor is closed.");
    open_filled(ends);
    kq_must(kq, for_reading(ends[0], EV_ADD));
    (void)close(ends[0]);
    int times = times_reported();
    int err = kq_try(kq, for_reading(ends[0], EV_DELETE));
    lab_figure("pending_reported", times, "times");
    lab_word("delete_after_close", kq_word(err));
    lab_expect(times == 0, "close() has taken it out of the queue");
    lab_expect(err == EBADF || err == ENOENT, "there is nothing left to delete");
    (void)close(ends[1]);
}

static void reuse_the_number(void)
{
    struct kevent event = {0};
    int ends[2], next[2];
    lab_say("3. A new descriptor gets the number of a closed one, and has a byte to read.");
    (void)lab_must(pipe(ends), "pipe");
    kq_must(kq, for_reading(ends[0], EV_ADD));
    (void)close(ends[0]);
    open_filled(next);
    /* pipe() has taken the lowest free number, perhaps this one itself */
    int number = next[0] == ends[0] ? next[0] : lab_must(dup2(next[0], ends[0]), "dup2");
    int times = times_reported();
    int err = kq_try(kq, for_reading(number, EV_DELETE));
    lab_figure("reused_reported", times, "times");
    lab_word("reused_delete", kq_word(err));
    lab_expect(times == 0 && err == ENOENT, "the new one has not inherited anything");
    kq_must(kq, for_reading(number, EV_ADD));
    bool told = kq_next(kq, &event, lab_patience_ms(PATIENCE_MS));
    lab_word("reused_added_reported", kq_yes(told));
    lab_expect(told && event.ident == (uintptr_t)number, "added, it is reported");
    (void)close(number);
    if (next[0] != number)
        (void)close(next[0]);
    (void)close(next[1]);
    (void)close(ends[1]);
}

int main(void)
{
    lab_question("A watched descriptor has a copy by dup(). The program closes its own number. "
                 "What does kqueue do when a byte comes?",
                 "It reports the closed number, as epoll does.",
                 "Nothing: close() has removed the event.",
                 "It reports the closed number with EV_ERROR and EBADF.", 'b',
                 "Does a tool intercept dup() or close() here?");
    kq = kq_queue();
    close_with_a_copy();
    close_while_pending();
    reuse_the_number();
    (void)close(kq);
    return kq_finding("NetBSD 7.99: close() removes the event silently, also with a copy alive; a "
                      "later EV_DELETE gives EBADF",
                      "close() removes the events of its number, and says nothing");
}
