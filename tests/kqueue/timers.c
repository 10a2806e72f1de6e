/*
 * timers: EVFILT_TIMER. A timer may be late, on a busy machine very late; it is never early.
 */
#include "kqueue_case.h"

#include <time.h>

static const int64_t NS_PER_MS = 1000000;
static const uintptr_t ID = 1;

/* Kernels count in ticks: the first one may be partly over. 10 ms is the longest one in use. */
enum { TICK_MS = 10, SHORT_MS = 30, LONG_MS = 3600 * 1000 };

static void a_timer_is_periodic_and_in_milliseconds(void **state)
{
    (void)state;
    int64_t began_ns = clock_now_ns(), expired = 0;
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, SHORT_MS, NULL), 0);
    for (int i = 0; i < 3; i++) {
        int64_t data = take_one(ID, EVFILT_TIMER).data;
        assert_true(data >= 1);
        expired += data;
        assert_true(clock_now_ns() - began_ns >= (expired * SHORT_MS - TICK_MS) * NS_PER_MS);
    }
    assert_int_equal(change(ID, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), 0);
    assert_int_equal(change(ID, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
}

static void a_oneshot_timer_expires_once(void **state)
{
    (void)state;
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
    assert_true(take_one(ID, EVFILT_TIMER).data >= 1); /* macOS counts on until it is taken */
    clock_pause_ms(SHORT_MS);
    expect_nothing();
    assert_int_equal(change(ID, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
}

static void expirations_that_nobody_took_are_counted(void **state)
{
    (void)state;
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, TICK_MS, NULL), 0);
    clock_pause_ms(10 * TICK_MS);
    assert_true(take_one(ID, EVFILT_TIMER).data >= 3);
}

static void each_unit_is_what_it_says(void **state)
{
    (void)state;
#if defined(NOTE_SECONDS) && defined(NOTE_USECONDS) && defined(NOTE_NSECONDS)
    static const struct {
        unsigned unit;
        int64_t data, ns;
    } cases[] = {
#ifdef NOTE_MSECONDS
        {NOTE_MSECONDS, 30, 30000000},
#endif
        {NOTE_USECONDS, 30000, 30000000},
        {NOTE_NSECONDS, 30000000, 30000000},
        {NOTE_SECONDS, 1, 1000000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t began_ns = clock_now_ns();
        assert_int_equal(
            change(ID, EVFILT_TIMER, EV_ADD | EV_ONESHOT, cases[i].unit, cases[i].data, NULL), 0);
        (void)take_one(ID, EVFILT_TIMER);
        int64_t took_ns = clock_now_ns() - began_ns;
        assert_true(took_ns >= cases[i].ns - TICK_MS * NS_PER_MS);
        assert_true(took_ns < cases[i].ns + (int64_t)PATIENCE_MS * NS_PER_MS);
    }
#else
    skip_because("this system has no units for timers");
#endif
}

static void two_units_at_once_are_refused(void **state)
{
    (void)state;
#if defined(__NetBSD__) || defined(__OpenBSD__)
    skip_because("on this system units are numbers and not bits: two of them make a third");
#elif defined(NOTE_SECONDS) && defined(NOTE_NSECONDS)
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_NSECONDS, 1, NULL),
                     EINVAL);
#else
    skip_because("this system has not both units");
#endif
}

static void a_time_before_zero_is_refused(void **state)
{
    (void)state;
#if defined(__APPLE__) || defined(__OpenBSD__) || defined(__NetBSD__)
    skip_because("the page of this system does not say what a negative time does");
#else
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, -1, NULL), EINVAL);
    assert_int_equal(change(ID, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
#endif
}

/* FreeBSD makes it one unit; NetBSD refuses it. Nobody may take it for never, or spin. */
static void a_period_of_zero_is_one_unit_or_refused(void **state)
{
    (void)state;
    int err = change(ID, EVFILT_TIMER, EV_ADD, 0, 0, NULL);
    assert_true(err == 0 || err == EINVAL);
    if (err == 0)
        assert_true(take_one(ID, EVFILT_TIMER).data >= 1);
}

static void an_absolute_time_is_waited_for(void **state)
{
    (void)state;
#ifdef NOTE_ABSTIME
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
    int64_t began_ns = clock_now_ns();
    assert_int_equal(
        change(ID, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME, now_ms + SHORT_MS, NULL), 0);
    assert_int_equal(take_one(ID, EVFILT_TIMER).data, 1);
    assert_true(clock_now_ns() - began_ns >= (SHORT_MS - TICK_MS) * NS_PER_MS);
    assert_int_equal(change(2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_ABSTIME, 1000, NULL), 0);
    (void)take_one(2, EVFILT_TIMER); /* long ago: at once */
    expect_nothing();
#else
    skip_because("this system has no NOTE_ABSTIME");
#endif
}

static void adding_again_starts_the_time_anew(void **state)
{
    (void)state;
#if defined(__NetBSD__) && !defined(NOTE_SECONDS)
    skip_because("before version 10 this system did not look at a timer that is added again");
#else
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, 1, NULL), 0);
    (void)take_one(ID, EVFILT_TIMER);
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, LONG_MS, NULL), 0);
    clock_pause_ms(SHORT_MS);
    expect_nothing();
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, 1, NULL), 0);
    (void)take_one(ID, EVFILT_TIMER);
#endif
}

static void a_disabled_timer_goes_on_counting(void **state)
{
    (void)state;
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ADD, 0, 1, NULL), 0);
    assert_int_equal(change(ID, EVFILT_TIMER, EV_DISABLE, 0, 1, NULL), 0);
    clock_pause_ms(SHORT_MS);
    struct kevent events[ROOM];
    (void)take_now(events, ROOM);
    expect_nothing();
    assert_int_equal(change(ID, EVFILT_TIMER, EV_ENABLE, 0, 1, NULL), 0);
    assert_true(take_one(ID, EVFILT_TIMER).data >= 1);
}

static void timers_and_descriptors_have_numbers_of_their_own(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    uintptr_t same = (uintptr_t)fds[0];
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(same, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
    (void)take_one(same, EVFILT_TIMER);
    put(fds[1], "x");
    (void)take_one(same, EVFILT_READ);
}

static void many_timers_each_expire(void **state)
{
    enum { TIMERS = 500 };
    int seen[TIMERS] = {0}, all = 0;
    (void)state;
    for (uintptr_t id = 0; id < TIMERS; id++)
        assert_int_equal(
            change(id, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, (int64_t)(id % 20 + 1), NULL), 0);
    while (all < TIMERS) {
        struct kevent events[ROOM];
        int n = take(events, ROOM);
        assert_true(n > 0);
        for (int i = 0; i < n; i++)
            assert_int_equal(seen[events[i].ident]++, 0);
        all += n;
    }
    expect_nothing();
}

int run_timers(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_is_periodic_and_in_milliseconds),
        TEST(a_oneshot_timer_expires_once),
        TEST(expirations_that_nobody_took_are_counted),
        TEST(each_unit_is_what_it_says),
        TEST(two_units_at_once_are_refused),
        TEST(a_time_before_zero_is_refused),
        TEST(a_period_of_zero_is_one_unit_or_refused),
        TEST(an_absolute_time_is_waited_for),
        TEST(adding_again_starts_the_time_anew),
        TEST(a_disabled_timer_goes_on_counting),
        TEST(timers_and_descriptors_have_numbers_of_their_own),
        TEST(many_timers_each_expire),
    };
    return RUN("timers", tests);
}
