/*
 * changes: how kevent() takes changes, answers errors, and returns. The rules of the call itself.
 */
#include "kqueue_case.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char red[] = "red", blue[] = "blue";

/* ---- identity -------------------------------------------------------------------------------- */

static void an_event_is_known_by_ident_and_filter(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD), 0);
    struct kevent events[ROOM];
    assert_int_equal(take(events, ROOM), 2);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_DELETE), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_WRITE);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_DELETE), 0);
    expect_nothing();
}

static void adding_twice_makes_no_second_event(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_DELETE), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_DELETE), ENOENT);
}

static void adding_again_replaces_udata(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red), 0);
    struct kevent event = take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_ptr_equal(mark_of(&event), red);
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, blue), 0);
    event = take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_ptr_equal(mark_of(&event), blue);
}

static void queues_know_nothing_of_each_other(void **state)
{
    int fds[2], other = keep(kqueue());
    struct kevent wanted, events[2];
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red);
    assert_int_equal(kevent(other, &wanted, 1, NULL, 0, NULL), 0);
    expect_nothing();
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_DELETE), ENOENT);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_int_equal(kevent(other, NULL, 0, events, 2, &now), 1);
}

#ifdef EV_KEEPUDATA
static void keepudata_keeps_udata_and_is_refused_with_add(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red), 0);
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ENABLE | EV_KEEPUDATA, 0, 0, blue),
                     0);
    struct kevent event = take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_ptr_equal(mark_of(&event), red);
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_KEEPUDATA, 0, 0, blue),
                     EINVAL);
}

static void ext_comes_back_unchanged(void **state)
{
    int fds[2];
    struct kevent wanted;
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red);
    wanted.ext[2] = 22;
    wanted.ext[3] = 33;
    assert_int_equal(kevent(queue, &wanted, 1, NULL, 0, NULL), 0);
    struct kevent event = take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_int_equal(event.ext[2], 22);
    assert_int_equal(event.ext[3], 33);
}
#else
static void keepudata_keeps_udata_and_is_refused_with_add(void **state)
{
    (void)state;
    skip_because("this system has no EV_KEEPUDATA");
}

static void ext_comes_back_unchanged(void **state)
{
    (void)state;
    skip_because("the struct kevent of this system may have no ext");
}
#endif

/* ---- errors ---------------------------------------------------------------------------------- */

static void a_change_that_cannot_be_says_why(void **state)
{
    int open[2], closed[2];
    (void)state;
    open_sockets(open);
    open_sockets(closed);
    let_go(closed[0]);
    const struct {
        uintptr_t ident;
        int filter;
        unsigned flags;
        int err;
    } cases[] = {
        {(uintptr_t)open[0], EVFILT_READ, EV_DELETE, ENOENT},
        {(uintptr_t)open[0], EVFILT_READ, EV_ENABLE, ENOENT},
        {(uintptr_t)open[0], EVFILT_READ, EV_DISABLE, ENOENT},
        {(uintptr_t)open[0], EVFILT_WRITE, EV_DELETE, ENOENT},
        {12345, EVFILT_TIMER, EV_DELETE, ENOENT},
        {(uintptr_t)closed[0], EVFILT_READ, EV_ADD, EBADF},
        {(uintptr_t)closed[0], EVFILT_WRITE, EV_ADD, EBADF},
        {(uintptr_t)1 << 30, EVFILT_READ, EV_ADD, EBADF},
        {(uintptr_t)open[0], -100, EV_ADD, EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int err = change(cases[i].ident, cases[i].filter, cases[i].flags, 0, 0, NULL);
        if (err != cases[i].err)
            fail_msg("case %zu: errno %d, not %d", i, err, cases[i].err);
    }
    expect_gone(closed[0], EVFILT_READ);
}

/* Good, bad, good: the bad one is answered, the good ones are made, and nothing is waited for. */
static void errors_come_back_as_entries_and_the_rest_is_applied(void **state)
{
    int fds[2], closed[2];
    struct kevent changes[3], events[ROOM];
    (void)state;
    open_sockets(fds);
    open_sockets(closed);
    let_go(closed[0]);
    fill(&changes[0], (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red);
    fill(&changes[1], (uintptr_t)closed[0], EVFILT_READ, EV_ADD, 0, 0, blue);
    fill(&changes[2], (uintptr_t)fds[1], EVFILT_READ, EV_ADD, 0, 0, red);
    assert_int_equal(kevent(queue, changes, 3, events, ROOM, NULL), 1);
    assert_int_not_equal(events[0].flags & EV_ERROR, 0);
    assert_int_equal(events[0].data, EBADF);
    assert_true(events[0].ident == (uintptr_t)closed[0]);
    assert_true(events[0].filter == EVFILT_READ);
    assert_ptr_equal(mark_of(&events[0]), blue);
    put(fds[0], "x");
    put(fds[1], "x");
    assert_int_equal(take(events, ROOM), 2);
}

static void errors_come_before_events_that_wait(void **state)
{
    int fds[2];
    struct kevent changes[1], events[ROOM];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    fill(&changes[0], (uintptr_t)fds[1], EVFILT_READ, EV_DELETE, 0, 0, NULL);
    assert_int_equal(kevent(queue, changes, 1, events, ROOM, NULL), 1);
    assert_int_not_equal(events[0].flags & EV_ERROR, 0);
    assert_int_equal(events[0].data, ENOENT);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
}

static void an_error_without_room_fails_the_call(void **state)
{
    int fds[2];
    struct kevent changes[2], events[1];
    (void)state;
    open_sockets(fds);
    fill(&changes[0], (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
    fill(&changes[1], (uintptr_t)fds[1], EVFILT_READ, EV_DELETE, 0, 0, NULL);
    assert_int_equal(kevent(queue, changes, 1, NULL, 0, NULL), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(kevent(queue, changes, 2, events, 1, NULL), -1);
    assert_int_equal(errno, ENOENT);
}

static void one_array_may_hold_changes_and_events(void **state)
{
    int fds[2];
    struct kevent both[3];
    (void)state;
    open_sockets(fds);
    put(fds[1], "xyz");
    fill(&both[0], (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red);
    fill(&both[1], (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    fill(&both[2], (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, blue);
    assert_int_equal(kevent(queue, both, 3, both, 3, NULL), 1);
    assert_int_not_equal(both[0].flags & EV_ERROR, 0);
    assert_int_equal(both[0].data, ENOENT);
    assert_int_equal(kevent(queue, both, 0, both, 3, NULL), 2);
}

#ifdef EV_RECEIPT
static void a_receipt_answers_each_change_and_takes_no_event(void **state)
{
    int fds[2];
    struct kevent changes[3], events[ROOM];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    fill(&changes[0], (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, red);
    fill(&changes[1], (uintptr_t)fds[0], EVFILT_WRITE, EV_DELETE | EV_RECEIPT, 0, 0, red);
    fill(&changes[2], (uintptr_t)fds[1], EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, blue);
    assert_int_equal(kevent(queue, changes, 3, events, ROOM, NULL), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(events[i].flags & EV_ERROR, 0);
        assert_true(events[i].ident == changes[i].ident && events[i].filter == changes[i].filter);
        assert_int_equal(events[i].data, i == 1 ? ENOENT : 0);
    }
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
}
#else
static void a_receipt_answers_each_change_and_takes_no_event(void **state)
{
    (void)state;
    skip_because("this system has no EV_RECEIPT");
}
#endif

static void what_is_no_queue_is_refused(void **state)
{
    int fds[2], gone = kqueue();
    struct kevent event;
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    (void)state;
    open_sockets(fds);
    assert_int_equal(close(gone), 0);
    assert_int_equal(kevent(gone, NULL, 0, &event, 1, &now), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(kevent(-1, NULL, 0, &event, 1, &now), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(kevent(fds[0], NULL, 0, &event, 1, &now), -1);
    assert_true(errno == EINVAL || errno == EBADF);
}

/* ---- returning ------------------------------------------------------------------------------- */

static void without_room_for_events_it_returns_at_once(void **state)
{
    int fds[2];
    static const struct timespec an_hour = {.tv_sec = 3600, .tv_nsec = 0};
    (void)state;
    open_sockets(fds);
    int64_t began_ns = clock_now_ns();
    assert_int_equal(kevent(queue, NULL, 0, NULL, 0, NULL), 0);
    assert_int_equal(kevent(queue, NULL, 0, NULL, 0, &an_hour), 0);
    assert_true(clock_now_ns() - began_ns < (int64_t)PATIENCE_MS * 1000000);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    put(fds[1], "x");
    assert_int_equal(kevent(queue, NULL, 0, NULL, 0, NULL), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ); /* and nothing was lost by it */
}

static void changes_are_made_before_events_are_taken(void **state)
{
    int fds[2];
    struct kevent changes[2], events[ROOM];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    fill(&changes[0], (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
    fill(&changes[1], (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, blue);
    assert_int_equal(kevent(queue, changes, 2, events, ROOM, NULL), 1);
    assert_true(events[0].ident == (uintptr_t)fds[1] && events[0].filter == EVFILT_WRITE);
    assert_ptr_equal(mark_of(&events[0]), blue);
}

static void a_time_that_is_none_is_refused(void **state)
{
    static const struct timespec wrong[] = {{.tv_sec = 0, .tv_nsec = 1000000000},
                                            {.tv_sec = 0, .tv_nsec = -1},
                                            {.tv_sec = -1, .tv_nsec = 0}};
    struct kevent event;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(kevent(queue, NULL, 0, &event, 1, &wrong[i]), -1);
        assert_int_equal(errno, EINVAL);
    }
}

/* Rounded up, never down: what comes back early makes a loop spin. The pages say no more than that
 * it is the longest wait; the BSDs round up (kern_event.c). */
static void a_wait_is_as_long_as_its_timeout(void **state)
{
#ifdef __APPLE__
    (void)state;
    skip_because("the page of this system promises the longest wait, and not the shortest");
#else
    static const long waits_ns[] = {1, 50000, 200000, 999999, 1500000, 20000000};
    struct kevent event;
    (void)state;
    for (size_t i = 0; i < sizeof waits_ns / sizeof waits_ns[0]; i++) {
        struct timespec wait = {.tv_sec = 0, .tv_nsec = waits_ns[i]};
        int64_t began_ns = clock_now_ns();
        assert_int_equal(kevent(queue, NULL, 0, &event, 1, &wait), 0);
        assert_true(clock_now_ns() - began_ns >= waits_ns[i]);
    }
#endif
}

static void nothing(int signo)
{
    (void)signo;
}

static void a_handled_signal_ends_the_wait_with_eintr(void **state)
{
    struct sigaction action, before;
    struct itimerval soon = {.it_interval = {.tv_usec = 20000}, .it_value = {.tv_usec = 20000}};
    struct itimerval never = {.it_value = {.tv_usec = 0}};
    struct kevent event, wanted;
    int fds[2];
    (void)state;
    open_sockets(fds);
    memset(&action, 0, sizeof action);
    action.sa_handler = nothing;
    action.sa_flags = SA_RESTART; /* kevent() is not restarted all the same */
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, red);
    assert_int_equal(kevent(queue, &wanted, 1, &event, 1, NULL), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    put(fds[1], "x"); /* the change was made */
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
}

/* More is ready than fits: nothing comes twice in one call, and nobody waits for ever. */
static void a_small_array_starves_nobody(void **state)
{
    enum { PAIRS = 10, ROOM_FOR = 3, CALLS = 200 };
    int fds[PAIRS][2], seen_read[PAIRS] = {0}, seen_write[PAIRS] = {0};
    (void)state;
    for (int i = 0; i < PAIRS; i++) {
        open_sockets(fds[i]);
        put(fds[i][1], "x");
        assert_int_equal(change_fd(fds[i][0], EVFILT_READ, EV_ADD), 0);
        assert_int_equal(change_fd(fds[i][0], EVFILT_WRITE, EV_ADD), 0);
    }
    for (int call = 0; call < CALLS; call++) {
        struct kevent events[ROOM_FOR];
        assert_int_equal(take(events, ROOM_FOR), ROOM_FOR);
        for (int a = 0; a < ROOM_FOR; a++) {
            for (int i = 0; i < PAIRS; i++) {
                bool is_it = events[a].ident == (uintptr_t)fds[i][0];
                seen_read[i] += is_it && events[a].filter == EVFILT_READ;
                seen_write[i] += is_it && events[a].filter == EVFILT_WRITE;
            }
            for (int b = 0; b < a; b++)
                assert_false(events[a].ident == events[b].ident &&
                             events[a].filter == events[b].filter);
        }
    }
    for (int i = 0; i < PAIRS; i++)
        assert_true(seen_read[i] > 0 && seen_write[i] > 0);
}

int run_changes(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_known_by_ident_and_filter),
        TEST(adding_twice_makes_no_second_event),
        TEST(adding_again_replaces_udata),
        TEST(queues_know_nothing_of_each_other),
        TEST(keepudata_keeps_udata_and_is_refused_with_add),
        TEST(ext_comes_back_unchanged),
        TEST(a_change_that_cannot_be_says_why),
        TEST(errors_come_back_as_entries_and_the_rest_is_applied),
        TEST(errors_come_before_events_that_wait),
        TEST(an_error_without_room_fails_the_call),
        TEST(one_array_may_hold_changes_and_events),
        TEST(a_receipt_answers_each_change_and_takes_no_event),
        TEST(what_is_no_queue_is_refused),
        TEST(without_room_for_events_it_returns_at_once),
        TEST(changes_are_made_before_events_are_taken),
        TEST(a_time_that_is_none_is_refused),
        TEST(a_wait_is_as_long_as_its_timeout),
        TEST(a_handled_signal_ends_the_wait_with_eintr),
        TEST(a_small_array_starves_nobody),
    };
    return RUN("changes", tests);
}
