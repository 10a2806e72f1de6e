/*
 * flags: level and edge, once and again, enabled and disabled.
 */
#include "kqueue_case.h"

#include <unistd.h>

static int ours = -1, theirs = -1;

static void open_pair(unsigned flags)
{
    int fds[2];
    open_sockets(fds);
    ours = fds[0];
    theirs = fds[1];
    assert_int_equal(change_fd(ours, EVFILT_READ, flags), 0);
}

static void level_triggered_reports_as_long_as_there_is_something(void **state)
{
    (void)state;
    open_pair(EV_ADD);
    expect_nothing();
    put(theirs, "abc");
    for (int i = 0; i < 3; i++)
        assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 3);
    drain(ours);
    expect_nothing();
}

static void what_was_there_before_is_reported(void **state)
{
    int fds[2];
    static const unsigned flags[] = {EV_ADD, EV_ADD | EV_CLEAR, EV_ADD | EV_ONESHOT};
    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        open_sockets(fds);
        put(fds[1], "abc");
        assert_int_equal(change_fd(fds[0], EVFILT_READ, flags[i]), 0);
        (void)take_one((uintptr_t)fds[0], EVFILT_READ);
        drain(fds[0]);
    }
}

static void clear_reports_what_happens_and_not_what_is(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_CLEAR);
    put(theirs, "abc");
    (void)take_one((uintptr_t)ours, EVFILT_READ);
    expect_nothing();
    put(theirs, "d"); /* something new, with the old unread */
    assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 4);
    expect_nothing();
}

static void clear_is_reported_again_after_another_add(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_CLEAR);
    put(theirs, "abc");
    (void)take_one((uintptr_t)ours, EVFILT_READ);
    expect_nothing();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    (void)take_one((uintptr_t)ours, EVFILT_READ);
}

static void clear_reports_the_end(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_CLEAR);
    let_go(theirs);
    assert_int_not_equal(take_one((uintptr_t)ours, EVFILT_READ).flags & EV_EOF, 0);
    expect_nothing();
}

static void clear_on_write_reports_room_once_and_after_it_was_full(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_WRITE);
    expect_nothing();
    assert_true(stuff(fds[0]) > 0);
    struct kevent events[ROOM];
    (void)take_now(events, ROOM); /* a system may tell of the room that shrank */
    drain(fds[1]);
    (void)take_one((uintptr_t)fds[0], EVFILT_WRITE);
}

static void oneshot_is_deleted_by_its_report(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_ONESHOT);
    put(theirs, "abc");
    (void)take_one((uintptr_t)ours, EVFILT_READ);
    put(theirs, "d");
    expect_nothing();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_DELETE), ENOENT);
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ENABLE), ENOENT);
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 4);
}

#ifdef EV_DISPATCH
static void dispatch_is_disabled_by_its_report(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_DISPATCH);
    put(theirs, "abc");
    (void)take_one((uintptr_t)ours, EVFILT_READ);
    put(theirs, "d");
    expect_nothing();
    expect_a_quiet_wait();
    drain(ours);
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ENABLE | EV_DISPATCH), 0);
    expect_nothing();
    put(theirs, "e");
    assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 1);
    expect_nothing();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_DELETE), 0); /* it was still there */
}

static void dispatch_is_armed_again_by_add_and_enable(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_DISPATCH);
    put(theirs, "abc");
    for (int i = 0; i < 3; i++) {
        (void)take_one((uintptr_t)ours, EVFILT_READ);
        expect_nothing();
        assert_int_equal(change_fd(ours, EVFILT_READ, EV_ADD | EV_ENABLE | EV_DISPATCH), 0);
    }
}

static void dispatch_with_clear_forgets_nothing_while_it_is_off(void **state)
{
    (void)state;
#ifdef __NetBSD__
    skip_because("with both flags this system looks at EV_CLEAR only (kern_event.c)");
#else
    open_pair(EV_ADD | EV_DISPATCH | EV_CLEAR);
    put(theirs, "abc");
    (void)take_one((uintptr_t)ours, EVFILT_READ);
    drain(ours);
    put(theirs, "de"); /* while it is disabled */
    expect_nothing();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ADD | EV_ENABLE | EV_DISPATCH | EV_CLEAR), 0);
    assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 2);
#endif
}

static void dispatch_waits_for_room_to_write(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    assert_true(stuff(fds[0]) > 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD | EV_DISPATCH), 0);
    expect_nothing();
    drain(fds[1]);
    (void)take_one((uintptr_t)fds[0], EVFILT_WRITE);
    expect_nothing();
}
#else
#define WITHOUT_DISPATCH(test)                          \
    static void test(void **state)                      \
    {                                                   \
        (void)state;                                    \
        skip_because("this system has no EV_DISPATCH"); \
    }
WITHOUT_DISPATCH(dispatch_is_disabled_by_its_report)
WITHOUT_DISPATCH(dispatch_is_armed_again_by_add_and_enable)
WITHOUT_DISPATCH(dispatch_with_clear_forgets_nothing_while_it_is_off)
WITHOUT_DISPATCH(dispatch_waits_for_room_to_write)
#endif

static void a_disabled_event_is_kept_and_not_reported(void **state)
{
    (void)state;
    open_pair(EV_ADD);
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_DISABLE), 0);
    put(theirs, "abc");
    expect_nothing();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ENABLE), 0);
    assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 3);
}

static void an_event_can_be_added_disabled(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_DISABLE);
    put(theirs, "abc");
    expect_nothing();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ADD | EV_ENABLE), 0);
    assert_int_equal(take_one((uintptr_t)ours, EVFILT_READ).data, 3);
}

/* Not even the end, which epoll and poll() would report unasked. */
static void a_disabled_event_does_not_report_the_end(void **state)
{
    (void)state;
    open_pair(EV_ADD | EV_DISABLE);
    let_go(theirs);
    expect_nothing();
    expect_a_quiet_wait();
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ADD | EV_ENABLE), 0);
    assert_int_not_equal(take_one((uintptr_t)ours, EVFILT_READ).flags & EV_EOF, 0);
}

static void enabling_what_is_enabled_changes_nothing(void **state)
{
    (void)state;
    open_pair(EV_ADD);
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ENABLE), 0);
    expect_nothing();
    put(theirs, "abc");
    assert_int_equal(change_fd(ours, EVFILT_READ, EV_ENABLE), 0);
    (void)take_one((uintptr_t)ours, EVFILT_READ);
}

int run_flags(void)
{
    const struct CMUnitTest tests[] = {
        TEST(level_triggered_reports_as_long_as_there_is_something),
        TEST(what_was_there_before_is_reported),
        TEST(clear_reports_what_happens_and_not_what_is),
        TEST(clear_is_reported_again_after_another_add),
        TEST(clear_reports_the_end),
        TEST(clear_on_write_reports_room_once_and_after_it_was_full),
        TEST(oneshot_is_deleted_by_its_report),
        TEST(dispatch_is_disabled_by_its_report),
        TEST(dispatch_is_armed_again_by_add_and_enable),
        TEST(dispatch_with_clear_forgets_nothing_while_it_is_off),
        TEST(dispatch_waits_for_room_to_write),
        TEST(a_disabled_event_is_kept_and_not_reported),
        TEST(an_event_can_be_added_disabled),
        TEST(a_disabled_event_does_not_report_the_end),
        TEST(enabling_what_is_enabled_changes_nothing),
    };
    return RUN("flags", tests);
}
