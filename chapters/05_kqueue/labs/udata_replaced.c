/*
 * Lab: the same descriptor is added twice, each time with another udata.
 *
 * Identity is the pair (ident, filter). So for one descriptor there may be two events, one to read
 * and one to write, each with its own udata; and both may come in one batch. Within a pair there is
 * only one. A second EV_ADD is no error (epoll says EEXIST) and makes no second event: it replaces
 * what the first one said (man 2 kqueue).
 *
 *                     EVFILT_READ      EVFILT_WRITE
 *     descriptor 5    udata 1          udata 2
 *     descriptor 6    udata 3                           each cell holds one, or none
 *
 * What other changes do to udata is not the same everywhere: by the sources of the kernels,
 * EV_ENABLE and EV_DISABLE replace it on FreeBSD, macOS and NetBSD (since 10), and keep it on
 * OpenBSD. So a program repeats udata, fflags and data in each change, and relies on neither. The
 * lab shows what happens here.
 */
#include <sys/socket.h>

#include "kq_lab.h"

enum { ROOM = 8, QUIET_MS = 50, PATIENCE_MS = 2000 };
enum { FIRST = 1, SECOND = 2, FOR_WRITING = 3, NOT_REPEATED = 0 };

static int kq, ends[2];

static int change(kq_filter filter, kq_flags flags, uintptr_t udata)
{
    struct kevent change = kq_change_fd(ends[0], filter, flags);
    kq_set_udata_number(&change, udata);
    return kq_try(kq, change);
}

/* Takes what is reported now; *udata is that of the event of this filter, or -1. */
static int look(kq_filter filter, int *udata)
{
    struct kevent events[ROOM];
    int n = kq_wait(kq, events, ROOM, lab_patience_ms(PATIENCE_MS));
    *udata = -1;
    for (int i = 0; i < n; i++)
        if (events[i].filter == filter && events[i].ident == (uintptr_t)ends[0])
            *udata = (int)kq_udata_number(&events[i]);
    return n;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void add_twice(void)
{
    int udata;
    lab_say("1. The descriptor is added for reading, with udata %d, and again with udata %d.",
            FIRST, SECOND);
    int err = change(EVFILT_READ, EV_ADD, FIRST);
    int err_again = change(EVFILT_READ, EV_ADD, SECOND);
    int n = look(EVFILT_READ, &udata);
    lab_word("second_add", kq_word(err_again));
    lab_figure("added_twice_events", n, "");
    lab_figure("added_twice_udata", udata, "");
    lab_expect(err == 0 && err_again == 0 && n == 1 && udata == SECOND,
               "one event, with the second udata: the first one is gone");
}

static void add_for_writing(void)
{
    int for_reading, for_writing;
    lab_say("2. It is added for writing too, with udata %d.", FOR_WRITING);
    int err = change(EVFILT_WRITE, EV_ADD, FOR_WRITING);
    int n = look(EVFILT_READ, &for_reading), same = look(EVFILT_WRITE, &for_writing);
    lab_figure("both_filters_events", n, "");
    lab_figure("both_filters_udata_of_read", for_reading, "");
    lab_figure("both_filters_udata_of_write", for_writing, "");
    lab_expect(err == 0 && n == 2 && same == 2 && for_reading == SECOND &&
                   for_writing == FOR_WRITING,
               "two events in one batch, each with its own udata");
    err = change(EVFILT_READ, EV_DELETE, SECOND);
    n = look(EVFILT_WRITE, &for_writing);
    lab_figure("read_deleted_events", n, "");
    lab_expect(err == 0 && n == 1 && for_writing == FOR_WRITING,
               "to delete the one does not touch the other");
}

static void do_not_repeat(void)
{
    int udata;
    lab_say("3. EV_ENABLE without repeating udata: the systems differ, nothing is expected.");
    int err = change(EVFILT_WRITE, EV_ENABLE, NOT_REPEATED);
    (void)look(EVFILT_WRITE, &udata);
    lab_word("udata_not_repeated", udata == FOR_WRITING    ? "kept"
                                   : udata == NOT_REPEATED ? "replaced by 0"
                                                           : "another one");
    err |= change(EVFILT_WRITE, EV_ENABLE, FOR_WRITING);
    (void)look(EVFILT_WRITE, &udata);
    lab_figure("udata_repeated", udata, "");
    lab_expect(err == 0 && udata == FOR_WRITING, "who repeats it is right everywhere");
}

int main(void)
{
    lab_question("A program adds a descriptor for reading with one udata, then adds it again with "
                 "another one. A byte comes. What does it get?",
                 "Two events, one with each udata.", "One event, with the second udata.",
                 "The second EV_ADD fails: it is there already.", 'b',
                 "Is one of the two changes refused here?");
    kq = kq_queue();
    (void)lab_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
    (void)lab_must((int)send(ends[1], "x", 1, 0), "send");
    add_twice();
    add_for_writing();
    do_not_repeat();
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(kq);
    return kq_finding("NetBSD 7.99: a second EV_ADD replaces udata and fflags; EV_CLEAR, "
                      "EV_ONESHOT and EV_DISPATCH stay as first added",
                      "one knote per (ident, filter), with the udata given last");
}
