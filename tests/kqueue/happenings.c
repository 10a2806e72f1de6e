/*
 * happenings: what is no descriptor's business. User events, signals, processes, files.
 */
#include "kqueue_case.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const uintptr_t ID = 7;

/* ---- EVFILT_USER ----------------------------------------------------------------------------- */

#ifdef EVFILT_USER
static void trigger(void)
{
    assert_int_equal(change(ID, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
}

static void a_user_event_waits_for_its_trigger(void **state)
{
    (void)state;
    assert_int_equal(change(ID, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
    expect_nothing();
    trigger();
    (void)take_one(ID, EVFILT_USER);
    expect_a_quiet_wait();
    trigger();
    trigger(); /* twice is once */
    (void)take_one(ID, EVFILT_USER);
    expect_nothing();
    assert_int_equal(change(ID, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
    assert_int_equal(change(ID, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
}

static void a_user_event_without_clear_stays_triggered(void **state)
{
    (void)state;
    assert_int_equal(change(ID, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
    trigger();
    for (int i = 0; i < 3; i++)
        (void)take_one(ID, EVFILT_USER);
    assert_int_equal(change(ID, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
    expect_nothing();
}

/* With both flags NetBSD looks at EV_CLEAR only (kern_event.c). */
#ifdef __NetBSD__
enum { DISPATCHED = EV_DISPATCH };
#else
enum { DISPATCHED = EV_DISPATCH | EV_CLEAR };
#endif

static void a_user_event_may_be_oneshot_or_dispatched(void **state)
{
    (void)state;
    assert_int_equal(change(ID, EVFILT_USER, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
    trigger();
    (void)take_one(ID, EVFILT_USER);
    assert_int_equal(change(ID, EVFILT_USER, EV_DELETE, 0, 0, NULL), ENOENT);
    assert_int_equal(change(ID, EVFILT_USER, EV_ADD | DISPATCHED, 0, 0, NULL), 0);
    trigger();
    (void)take_one(ID, EVFILT_USER);
    trigger(); /* while it is disabled */
    expect_nothing();
    assert_int_equal(change(ID, EVFILT_USER, EV_ENABLE | DISPATCHED, 0, 0, NULL), 0);
    (void)take_one(ID, EVFILT_USER);
    expect_nothing();
}

static void the_24_flags_are_copied_or_anded_or_left(void **state)
{
    static const struct {
        unsigned control, flags, after;
    } steps[] = {
        {NOTE_FFCOPY, 0x0000ff, 0x0000ff}, {NOTE_FFOR, 0xf00000, 0xf000ff},
        {NOTE_FFAND, 0xf0000f, 0xf0000f},  {NOTE_FFNOP, 0x123456, 0xf0000f},
        {NOTE_FFCOPY, 0x000001, 0x000001},
    };
    (void)state;
    assert_int_equal(change(ID, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(
            change(ID, EVFILT_USER, 0, NOTE_TRIGGER | steps[i].control | steps[i].flags, 0, NULL),
            0);
        assert_int_equal(take_one(ID, EVFILT_USER).fflags & NOTE_FFLAGSMASK, steps[i].after);
    }
}

static void user_events_of_many_idents_are_told_apart(void **state)
{
    enum { EVENTS = 50 };
    int seen[EVENTS] = {0};
    (void)state;
    for (uintptr_t id = 0; id < EVENTS; id++)
        assert_int_equal(change(id, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
    for (uintptr_t id = 0; id < EVENTS; id += 2)
        assert_int_equal(change(id, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
    struct kevent events[ROOM];
    assert_int_equal(take(events, ROOM), EVENTS / 2);
    for (int i = 0; i < EVENTS / 2; i++)
        assert_int_equal(seen[events[i].ident]++, 0);
    for (int i = 0; i < EVENTS; i++)
        assert_int_equal(seen[i], i % 2 == 0);
    expect_nothing();
}
#else
#define WITHOUT_USER(test)                              \
    static void test(void **state)                      \
    {                                                   \
        (void)state;                                    \
        skip_because("this system has no EVFILT_USER"); \
    }
WITHOUT_USER(a_user_event_waits_for_its_trigger)
WITHOUT_USER(a_user_event_without_clear_stays_triggered)
WITHOUT_USER(a_user_event_may_be_oneshot_or_dispatched)
WITHOUT_USER(the_24_flags_are_copied_or_anded_or_left)
WITHOUT_USER(user_events_of_many_idents_are_told_apart)
#endif

/* ---- EVFILT_SIGNAL --------------------------------------------------------------------------- */

static void a_signal_that_is_ignored_is_reported(void **state)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        void (*before)(int) = signal(signals[i], SIG_IGN);
        assert_int_equal(change((uintptr_t)signals[i], EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
        expect_nothing();
        for (int round = 0; round < 3; round++) {
            assert_int_equal(kill(getpid(), signals[i]), 0);
            assert_true(take_one((uintptr_t)signals[i], EVFILT_SIGNAL).data >= 1);
            expect_nothing();
        }
        assert_int_equal(change((uintptr_t)signals[i], EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
        assert_int_equal(kill(getpid(), signals[i]), 0);
        expect_nothing();
        (void)signal(signals[i], before);
    }
}

static void each_queue_that_watches_a_signal_reports_it(void **state)
{
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    int other = keep(kqueue());
    struct kevent wanted, event;
    (void)state;
    void (*before)(int) = signal(SIGUSR1, SIG_IGN);
    fill(&wanted, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
    assert_int_equal(kevent(other, &wanted, 1, NULL, 0, NULL), 0);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        (void)take_one(SIGUSR1, EVFILT_SIGNAL);
        assert_int_equal(kevent(other, NULL, 0, &event, 1, NULL), 1);
        assert_true(event.ident == SIGUSR1);
        expect_nothing();
        assert_int_equal(kevent(other, NULL, 0, &event, 1, &now), 0);
    }
    let_go(other);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
    (void)signal(SIGUSR1, before);
}

#ifdef EVFILT_USER
/* The other queue finds the signal, and wakes this one. Before this one is asked, the only event
 * that was ready in it is taken back; the signal is still to be told. */
static void a_signal_outlives_an_event_that_is_taken_back(void **state)
{
    (void)state;
    struct kevent watch, event;
    struct timespec patience = {.tv_sec = PATIENCE_MS / 1000};
    void (*before)(int) = signal(SIGUSR1, SIG_IGN);
    int other = keep(kqueue());
    fill(&watch, SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    assert_int_equal(kevent(other, &watch, 1, NULL, 0, NULL), 0);
    assert_int_equal(change(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(kevent(other, NULL, 0, &event, 1, &patience), 1);
    assert_int_equal(event.ident, SIGUSR1);
    assert_int_equal(change(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
    assert_int_equal(change(1, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
    assert_true(take_one(SIGUSR1, EVFILT_SIGNAL).data >= 1);
    (void)signal(SIGUSR1, before);
}
#else
WITHOUT_USER(a_signal_outlives_an_event_that_is_taken_back)
#endif

static void a_disabled_signal_is_counted_and_not_reported(void **state)
{
    (void)state;
    void (*before)(int) = signal(SIGUSR1, SIG_IGN);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD | EV_DISABLE, 0, 0, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    expect_nothing();
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ENABLE, 0, 0, NULL), 0);
    assert_true(take_one(SIGUSR1, EVFILT_SIGNAL).data >= 1);
    expect_nothing();
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
    (void)signal(SIGUSR1, before);
}

static void a_signal_may_be_ignored_after_it_was_added(void **state)
{
    (void)state;
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    void (*before)(int) = signal(SIGUSR1, SIG_IGN);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    (void)take_one(SIGUSR1, EVFILT_SIGNAL);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
    (void)signal(SIGUSR1, before);
}

static volatile sig_atomic_t handled;

static void handle(int signo)
{
    (void)signo;
    handled++;
}

static void a_handler_runs_as_well(void **state)
{
    (void)state;
    handled = 0;
    void (*before)(int) = signal(SIGUSR1, handle);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        (void)take_one(SIGUSR1, EVFILT_SIGNAL);
        assert_int_equal(handled, round);
    }
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(handled, 4);
    (void)signal(SIGUSR1, before);
}

/* SIGCHLD with its default action, as most programs have it. */
static void a_child_that_ends_sends_sigchld(void **state)
{
    (void)state;
    assert_int_equal(change(SIGCHLD, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0)
        _exit(0);
    (void)take_one(SIGCHLD, EVFILT_SIGNAL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_child_starts_with_its_signals_open(void **state)
{
    int status = -1;
    (void)state;
    void (*before)(int) = signal(SIGUSR1, SIG_IGN);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        (void)signal(SIGUSR1, SIG_DFL);
        (void)kill(getpid(), SIGUSR1);
        _exit(0); /* it must not come here */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    assert_int_equal(change(SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
    (void)signal(SIGUSR1, before);
}

/* ---- EVFILT_PROC ----------------------------------------------------------------------------- */

static pid_t start_child(int until[2], int exit_status)
{
    open_pipe(until);
    assert_int_equal(fcntl(until[0], F_SETFL, 0), 0);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        char byte;
        (void)close(until[1]);
        (void)read(until[0], &byte, 1); /* until the parent closes, or kills */
        _exit(exit_status);
    }
    return child;
}

/* What wait() says is what the event says; and wait() still has it to say. */
static void expect_exit(pid_t child)
{
    int status = -1;
    struct kevent event = take_one((uintptr_t)child, EVFILT_PROC);
    assert_int_not_equal(event.fflags & NOTE_EXIT, 0);
    assert_int_equal(change((uintptr_t)child, EVFILT_PROC, EV_DELETE, 0, 0, NULL), ENOENT);
    assert_int_equal(waitpid(child, &status, 0), child);
#if defined(NOTE_EXITSTATUS) || defined(__NetBSD__)
    /* macOS tells the status only to those who ask with this note; NetBSD's page says that it is
     * the exit code, and its kernel that it is the status. */
#else
    assert_int_equal(event.data, status);
#endif
}

static void the_end_of_a_process_is_reported_with_its_status(void **state)
{
    static const int statuses[] = {0, 1, 7, 255};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        int until[2];
        pid_t child = start_child(until, statuses[i]);
        assert_int_equal(
            change((uintptr_t)child, EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0, NULL), 0);
        expect_nothing();
        let_go(until[1]);
        expect_exit(child);
    }
}

static void a_process_that_is_killed_is_reported(void **state)
{
    int until[2];
    (void)state;
    pid_t child = start_child(until, 0);
    assert_int_equal(change((uintptr_t)child, EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0, NULL),
                     0);
    assert_int_equal(kill(child, SIGKILL), 0);
    expect_exit(child);
}

/* Some systems report it at once, some say that there is no such process. Nobody waits for ever. */
static void a_process_that_has_ended_is_reported_or_refused(void **state)
{
    int until[2];
    siginfo_t info;
    (void)state;
    pid_t child = start_child(until, 3);
    let_go(until[1]);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    int err = change((uintptr_t)child, EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0, NULL);
    assert_true(err == 0 || err == ESRCH);
    if (err == 0)
        expect_exit(child);
    else
        assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_process_that_does_not_exist_is_esrch(void **state)
{
    int until[2];
    (void)state;
    pid_t child = start_child(until, 0);
    let_go(until[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(change((uintptr_t)child, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), ESRCH);
}

/* ---- EVFILT_VNODE ---------------------------------------------------------------------------- */

static char path[256], other_path[300];

static void write_to_it(int fd)
{
    put(fd, "more");
}

static void overwrite_it(int fd)
{
    assert_int_equal(pwrite(fd, "o", 1, 0), 1);
}

static void change_its_mode(int fd)
{
    assert_int_equal(fchmod(fd, 0640), 0);
}

static void rename_it(int fd)
{
    (void)fd;
    assert_int_equal(rename(path, other_path), 0);
    assert_int_equal(rename(other_path, path), 0);
}

static void link_it(int fd)
{
    (void)fd;
    assert_int_equal(link(path, other_path), 0);
}

static void unlink_it(int fd)
{
    (void)fd;
    assert_int_equal(unlink(path), 0);
}

static const struct deed {
    void (*happens)(int fd);
    unsigned note;
} deeds[] = {
    {write_to_it, NOTE_WRITE},      {overwrite_it, NOTE_WRITE}, {write_to_it, NOTE_EXTEND},
    {change_its_mode, NOTE_ATTRIB}, {rename_it, NOTE_RENAME},   {link_it, NOTE_LINK},
    {unlink_it, NOTE_DELETE},
};
enum { DEEDS = sizeof deeds / sizeof deeds[0] };

/* Not every file system tells of changes: the pages of OpenBSD and macOS say so under BUGS. */
static void skip_where_files_are_silent(int fd)
{
    int err = change((uintptr_t)fd, EVFILT_VNODE, EV_ADD, NOTE_DELETE, 0, NULL);
    if (err == ENOTSUP || err == EOPNOTSUPP) {
        (void)unlink(path);
        skip_because("the file system of TMPDIR does not tell of changes: errno %d", err);
    }
    assert_int_equal(err, 0);
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_DELETE, 0, 0, NULL), 0);
}

static int open_watched_file(void)
{
    int fd = open_file(path, sizeof path);
    (void)snprintf(other_path, sizeof other_path, "%s.other", path);
    put(fd, "hello");
    skip_where_files_are_silent(fd);
    return fd;
}

static void what_happens_to_a_file_is_reported(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEEDS; i++) {
        int fd = open_watched_file();
        assert_int_equal(
            change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, deeds[i].note, 0, NULL), 0);
        expect_nothing();
        deeds[i].happens(fd);
        struct kevent event = take_one((uintptr_t)fd, EVFILT_VNODE);
        if (event.fflags != deeds[i].note)
            fail_msg("deed %zu: fflags %x, not %x", i, (unsigned)event.fflags, deeds[i].note);
        expect_nothing();
        (void)unlink(path);
        (void)unlink(other_path);
        let_go(fd);
    }
}

static void what_was_not_asked_for_is_not_reported(void **state)
{
    int fd = open_watched_file();
    (void)state;
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_RENAME, 0, NULL),
                     0);
    for (size_t i = 0; i < DEEDS; i++)
        if (deeds[i].note != NOTE_RENAME)
            deeds[i].happens(fd);
    (void)unlink(other_path);
    expect_nothing();
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL),
                     0);
    put(fd, "more");
    assert_int_equal(take_one((uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_WRITE);
}

static void to_overwrite_is_not_to_extend(void **state)
{
    int fd = open_watched_file();
    (void)state;
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_EXTEND, 0, NULL),
                     0);
    overwrite_it(fd);
    expect_nothing();
    put(fd, "more");
    assert_int_equal(take_one((uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_EXTEND);
    (void)unlink(path);
}

static void what_happened_adds_up(void **state)
{
    const unsigned both = NOTE_WRITE | NOTE_ATTRIB;
    int fd = open_watched_file();
    (void)state;
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, both, 0, NULL), 0);
    put(fd, "more");
    change_its_mode(fd);
    struct kevent event = take_one((uintptr_t)fd, EVFILT_VNODE);
    assert_int_equal(event.fflags, both);
    expect_nothing();
    (void)unlink(path);
}

static void without_clear_a_file_goes_on_reporting(void **state)
{
    int fd = open_watched_file();
    (void)state;
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), 0);
    put(fd, "more");
    for (int i = 0; i < 3; i++)
        assert_int_equal(take_one((uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_WRITE);
    (void)unlink(path);
}

static void a_new_name_in_a_folder_is_a_write(void **state)
{
    char folder[256], name[300];
    const char *tmp = getenv("TMPDIR");
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/kqueue.XXXXXX",
                   tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(name, sizeof name, "%s/name", folder);
    int fd = keep(open(folder, O_RDONLY));
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL),
                     0);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_int_equal(take_one((uintptr_t)fd, EVFILT_VNODE).fflags, NOTE_WRITE);
    assert_int_equal(rmdir(name), 0);
    (void)take_one((uintptr_t)fd, EVFILT_VNODE);
    assert_int_equal(rmdir(folder), 0);
}

static void two_descriptors_of_one_file_are_two_idents(void **state)
{
    int fd = open_watched_file(), again = keep(open(path, O_RDONLY));
    struct kevent events[ROOM];
    (void)state;
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL),
                     0);
    assert_int_equal(
        change((uintptr_t)again, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_ATTRIB, 0, NULL), 0);
    put(fd, "more");
    (void)take_one((uintptr_t)fd, EVFILT_VNODE);
    change_its_mode(fd);
    (void)take_one((uintptr_t)again, EVFILT_VNODE);
    let_go(again);
    put(fd, "more");
    (void)take_one((uintptr_t)fd, EVFILT_VNODE);
    assert_int_equal(take_now(events, ROOM), 0);
    (void)unlink(path);
}

int run_happenings(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_user_event_waits_for_its_trigger),
        TEST(a_user_event_without_clear_stays_triggered),
        TEST(a_user_event_may_be_oneshot_or_dispatched),
        TEST(the_24_flags_are_copied_or_anded_or_left),
        TEST(user_events_of_many_idents_are_told_apart),
        TEST(a_signal_that_is_ignored_is_reported),
        TEST(each_queue_that_watches_a_signal_reports_it),
        TEST(a_signal_outlives_an_event_that_is_taken_back),
        TEST(a_disabled_signal_is_counted_and_not_reported),
        TEST(a_signal_may_be_ignored_after_it_was_added),
        TEST(a_handler_runs_as_well),
        TEST(a_child_that_ends_sends_sigchld),
        TEST(a_child_starts_with_its_signals_open),
        TEST(the_end_of_a_process_is_reported_with_its_status),
        TEST(a_process_that_is_killed_is_reported),
        TEST(a_process_that_has_ended_is_reported_or_refused),
        TEST(a_process_that_does_not_exist_is_esrch),
        TEST(what_happens_to_a_file_is_reported),
        TEST(what_was_not_asked_for_is_not_reported),
        TEST(to_overwrite_is_not_to_extend),
        TEST(what_happened_adds_up),
        TEST(without_clear_a_file_goes_on_reporting),
        TEST(a_new_name_in_a_folder_is_a_write),
        TEST(two_descriptors_of_one_file_are_two_idents),
    };
    return RUN("happenings", tests);
}
