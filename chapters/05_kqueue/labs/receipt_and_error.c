/*
 * Lab: three changes in one list, and the second is wrong. Where does the error go?
 *
 * By man 2 kqueue, an error in a change becomes an entry in the event list: EV_ERROR in flags, the
 * error in data. Only where there is no room for it, kevent() itself returns -1 with errno. So who
 * looks at -1 alone misses most errors, and who takes each entry for an event reads from a
 * descriptor that is not watched.
 *
 * EV_RECEIPT asks for such an entry in any case, with data 0 where all went well. Then the entries
 * of the call are the answers to its changes, one each, and the pending events stay where they are.
 *
 * Where there is no room, the kernel stops at the wrong change, and the changes behind it are not
 * made (the pages of the BSDs say that of EV_RECEIPT). The lab shows it, and expects nothing.
 */
#include "kq_lab.h"

enum { CHANGES = 3, ROOM = 8, QUIET_MS = 50, PATIENCE_MS = 2000 };
enum { FIRST = 0, WRONG = 1, LAST = 2 };

static int pipes[CHANGES][2]; /* each has a byte in it */
static struct timespec at_once;

/* Adds the first and the last pipe; the one in between is deleted, though it was never added. */
static void prepare(struct kevent changes[CHANGES], kq_flags more)
{
    for (int i = 0; i < CHANGES; i++) {
        kq_flags flags = (kq_flags)((i == WRONG ? EV_DELETE : EV_ADD) | more);
        changes[i] = kq_change_fd(pipes[i][0], EVFILT_READ, flags);
    }
}

/* How many of the three are watched now: all have a byte, so each one that is watched reports. */
static int watched(int kq)
{
    struct kevent events[ROOM];
    return kq_wait(kq, events, ROOM, QUIET_MS);
}

static int error_entries(const struct kevent *entries, int n)
{
    int errors = 0;
    for (int i = 0; i < n; i++)
        errors += (entries[i].flags & EV_ERROR) != 0 ? 1 : 0;
    return errors;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void with_room(void)
{
    struct kevent changes[CHANGES], events[ROOM];
    int kq = kq_queue();
    lab_say("1. ADD, a wrong DELETE, ADD; there is room for events.");
    prepare(changes, 0);
    int n = lab_must(kevent(kq, changes, CHANGES, events, ROOM, &at_once), "kevent");
    int errors = error_entries(events, n);
    bool about_wrong = n > 0 && events[0].ident == (uintptr_t)pipes[WRONG][0];
    int then = watched(kq);
    lab_figure("room_error_entries", errors, "");
    lab_word("room_error_in_data", errors > 0 ? kq_word((int)events[0].data) : "none");
    lab_figure("room_changes_made", then, "");
    lab_expect(errors == 1 && about_wrong && events[0].data == ENOENT,
               "the error is an entry in the list, and kevent() does not fail");
    lab_expect(then == 2, "the changes before and behind it are made");
    (void)close(kq);
}

static void without_room(void)
{
    struct kevent changes[CHANGES];
    int kq = kq_queue();
    lab_say("2. The same list; there is no room.");
    prepare(changes, 0);
    int n = kevent(kq, changes, CHANGES, NULL, 0, &at_once);
    int err = errno;
    lab_figure("no_room_returned", n, "");
    lab_word("no_room_errno", kq_word(n == -1 ? err : 0));
    lab_figure("no_room_changes_made", watched(kq), "");
    lab_expect(n == -1 && err == ENOENT, "kevent() fails, and does not say which change it was");
    (void)close(kq);
}

static void with_receipts(void)
{
    struct kevent changes[CHANGES], events[ROOM];
    int kq = kq_queue(), right = 0;
    lab_say("3. The same list with EV_RECEIPT; there is room, and an event is pending already.");
    kq_must(kq, kq_change_fd(pipes[FIRST][0], EVFILT_READ, EV_ADD));
    prepare(changes, EV_RECEIPT);
    int n = lab_must(kevent(kq, changes, CHANGES, events, ROOM, &at_once), "kevent");
    int errors = error_entries(events, n);
    for (int i = 0; i < n && i < CHANGES; i++)
        right += events[i].ident == changes[i].ident && events[i].data == (i == WRONG ? ENOENT : 0)
                     ? 1
                     : 0;
    lab_figure("receipt_entries", n, "");
    lab_figure("receipt_entries_with_ev_error", errors, "");
    for (int i = 0; i < n && i < CHANGES; i++) {
        static const char *const names[] = {"receipt_of_first", "receipt_of_wrong",
                                            "receipt_of_last"};
        lab_word(names[i], kq_word((int)events[i].data));
    }
    lab_expect(n == CHANGES && errors == CHANGES && right == CHANGES,
               "one answer for each change, in their order; data 0 means that it is made");
    int then = watched(kq);
    lab_figure("receipt_events_afterwards", then, "");
    lab_expect(then == 2, "the pending events have not been taken");
    (void)close(kq);
}

int main(void)
{
    lab_question("Three changes in one list; the second one is wrong. There is room for events. "
                 "What does kevent() do?",
                 "It returns -1, and makes no change.",
                 "It makes the other two; an entry with EV_ERROR tells of the wrong one.",
                 "It returns -1; the first change is made, the third is not.", 'b',
                 "Is the wrong change really wrong here? It deletes what was never added.");
    for (int i = 0; i < CHANGES; i++) {
        (void)lab_must(pipe(pipes[i]), "pipe");
        (void)lab_must((int)write(pipes[i][1], "x", 1), "write");
    }
    with_room();
    without_room();
    with_receipts();
    for (int i = 0; i < CHANGES; i++) {
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
    return kq_finding("NetBSD 7.99: EV_ERROR entries come back, the good changes are made; with "
                      "EV_RECEIPT one entry for each change, data 0 = done",
                      "errors of changes are entries: look for EV_ERROR in each");
}
