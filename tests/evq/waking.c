/*
 * waking: evq_wake() from other threads and from signal handlers; lines 13 and 14.
 */
#include "evq_case.h"

#include <errno.h>
#include <stdatomic.h>

enum { WAKERS = 4, WAKES_EACH = 2000 };

static void wake_now(void *unused)
{
    (void)unused;
    evq_wake(queue);
}

static void wake_after_a_moment(void *unused)
{
    (void)unused;
    clock_pause_ms(30);
    evq_wake(queue);
}

static void a_wake_ends_the_wait_of_another_thread(void **state)
{
    struct system_thread thread;
    evq_op *done;
    (void)state;
    int64_t before_ns = clock_now_ns();
    system_thread_start(&thread, wake_after_a_moment, NULL);
    assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
    assert_true(clock_now_ns() - before_ns < PATIENCE_MS * (int64_t)NS_PER_MS);
    system_thread_join(&thread);
}

/* A thread looks at what the wait costs, so that its own beginning is not counted: under Wine that
 * takes more than the wait. */
struct watch {
    int ms;
    int64_t spent_ns;
};

static void wake_after_a_while(void *arg)
{
    struct watch *watch = arg;
    int64_t before_ns = system_cpu_ns();
    clock_pause_ms(watch->ms);
    watch->spent_ns = system_cpu_ns() - before_ns;
    evq_wake(queue);
}

/* It was a wait of a nanosecond, again and again. */
static void a_wait_without_end_burns_no_time(void **state)
{
    enum { TIMES = 3 }; /* a busy machine may be unfair, as in expect_a_quiet_wait() */
    struct watch watch = {.ms = 100};
    evq_op *done;
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        struct system_thread thread;
        system_thread_start(&thread, wake_after_a_while, &watch);
        assert_int_equal(evq_wait(queue, &done, 1, EVQ_FOREVER), 0);
        system_thread_join(&thread);
        if (watch.spent_ns < spin_ns(watch.ms) / 3)
            return;
    }
    fail_msg("the wait burns CPU time");
}

static void a_wake_before_the_wait_ends_the_next_one(void **state)
{
    struct system_thread thread;
    evq_op *done;
    (void)state;
    system_thread_start(&thread, wake_now, NULL);
    system_thread_join(&thread);
    int64_t before_ns = clock_now_ns();
    assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
    assert_true(clock_now_ns() - before_ns < PATIENCE_MS * (int64_t)NS_PER_MS);
}

static void many_wakes_are_one(void **state)
{
    evq_op *done;
    (void)state;
    for (int i = 0; i < 100000; i++)
        evq_wake(queue);
    int64_t before_ns = clock_now_ns();
    assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
    assert_true(clock_now_ns() - before_ns < PATIENCE_MS * (int64_t)NS_PER_MS);
    before_ns = clock_now_ns();
    assert_int_equal(evq_wait(queue, &done, 1, 30 * NS_PER_MS), 0);
    assert_true(clock_now_ns() - before_ns >= 30 * NS_PER_MS); /* nothing was left of them */
}

static void a_wake_can_follow_a_wake(void **state)
{
    evq_op *done;
    (void)state;
    for (int i = 0; i < 200; i++) {
        evq_wake(queue);
        int64_t before_ns = clock_now_ns();
        assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
        assert_true(clock_now_ns() - before_ns < PATIENCE_MS * (int64_t)NS_PER_MS);
    }
}

/* An event that finishes nothing is no end of a wait. It is one where a wake is remembered. */
static void a_wake_shortens_no_later_wait(void **state)
{
    enum { WAIT_MS = 30, TIMES = 3 }; /* a signal may end a wait early, but not each of them */
    static evq_sock s;
    evq_fd peer;
    evq_op *done;
    char byte;
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], &byte, 1);
    for (int i = 0; i < TIMES; i++) {
        evq_wake(queue);
        assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
        peer_put_urgent(peer, 'X');
        int64_t before_ns = clock_now_ns();
        assert_int_equal(evq_wait(queue, &done, 1, WAIT_MS * (int64_t)NS_PER_MS), 0);
        if (clock_now_ns() - before_ns >= WAIT_MS * (int64_t)NS_PER_MS)
            return;
    }
    fail_msg("the wait ends before its time");
}

static void a_wake_keeps_errno(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        errno = ERANGE;
        evq_wake(queue);
        assert_int_equal(errno, ERANGE);
    }
}

static void a_wake_does_not_hide_what_is_finished(void **state)
{
    (void)state;
    evq_timer(queue, &ops[0], 0);
    evq_wake(queue);
    take_with(&ops[0], EVQ_OK);
}

/* ---- with other threads ---------------------------------------------------------------------- */

static atomic_int written; /* relaxed on purpose: the wake itself must publish it */
static int plain[WAKERS];

static void count_up(void *counter)
{
    for (int i = 0; i < WAKES_EACH; i++) {
        atomic_fetch_add_explicit(&written, 1, memory_order_relaxed);
        evq_wake(queue);
    }
    *(int *)counter = WAKES_EACH;
}

/* After each of the writes there is a wake, so the last of them must be seen after some wait: this
 * ends without any time-out, or never. */
static void what_was_written_before_a_wake_is_seen_after_the_wait(void **state)
{
    struct system_thread threads[WAKERS];
    evq_op *done;
    (void)state;
    atomic_store(&written, 0);
    for (int i = 0; i < WAKERS; i++)
        system_thread_start(&threads[i], count_up, &plain[i]);
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    while (atomic_load_explicit(&written, memory_order_relaxed) < WAKERS * WAKES_EACH) {
        assert_true(clock_now_ns() < deadline_ns);
        assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
    }
    for (int i = 0; i < WAKERS; i++)
        system_thread_join(&threads[i]);
}

static struct {
    int value; /* no atomic: the wake makes it visible */
} message;

static void write_and_wake(void *unused)
{
    (void)unused;
    message.value = 4711;
    evq_wake(queue);
}

/* The thread sanitizer judges this one. */
static void a_wake_publishes_plain_memory(void **state)
{
    struct system_thread thread;
    evq_op *done;
    (void)state;
    message.value = 0;
    system_thread_start(&thread, write_and_wake, NULL);
    int64_t before_ns = clock_now_ns();
    assert_int_equal(evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS), 0);
    assert_true(clock_now_ns() - before_ns < PATIENCE_MS * (int64_t)NS_PER_MS);
    assert_int_equal(message.value, 4711);
    system_thread_join(&thread);
}

static atomic_bool stop_waking;

static void wake_all_the_time(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop_waking))
        evq_wake(queue);
}

static void wakes_do_not_disturb_the_traffic(void **state)
{
    static evq_sock s;
    struct system_thread thread;
    evq_fd peer;
    (void)state;
    open_pair(&s, &peer);
    atomic_store(&stop_waking, false);
    system_thread_start(&thread, wake_all_the_time, NULL);
    for (int i = 0; i < 500; i++) {
        char byte = 0;
        evq_recv(&s, &ops[0], &byte, 1);
        peer_put(peer, "x", 1);
        take_with(&ops[0], EVQ_OK);
    }
    atomic_store(&stop_waking, true);
    system_thread_join(&thread);
}

/* ---- with signals ---------------------------------------------------------------------------- */

static atomic_int signals;

static void only_count(void)
{
    atomic_fetch_add(&signals, 1);
}

static void wake_in_handler(void)
{
    evq_wake(queue);
    atomic_fetch_add(&signals, 1);
}

static void a_signal_ends_the_wait(void **state)
{
    evq_op *done;
    (void)state;
    if (!system_signal_every_ms(10, only_count))
        skip_because("no signals here");
    int64_t before_ns = clock_now_ns();
    int n = evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS);
    int64_t after_ns = clock_now_ns();
    (void)system_signal_every_ms(0, only_count);
    assert_int_equal(n, 0);
    assert_true(after_ns - before_ns < PATIENCE_MS * (int64_t)NS_PER_MS);
}

static void a_signal_handler_may_wake(void **state)
{
    evq_op *done;
    (void)state;
    atomic_store(&signals, 0);
    if (!system_signal_every_ms(1, wake_in_handler))
        skip_because("no signals here");
    int waits = 0;
    for (; waits < 50; waits++)
        (void)evq_wait(queue, &done, 1, PATIENCE_MS * (int64_t)NS_PER_MS);
    (void)system_signal_every_ms(0, wake_in_handler);
    assert_true(atomic_load(&signals) > 0);
}

static void signals_do_not_disturb_the_traffic(void **state)
{
    static evq_sock s;
    evq_fd peer;
    (void)state;
    open_pair(&s, &peer);
    if (!system_signal_every_ms(1, only_count))
        skip_because("no signals here");
    for (int i = 0; i < 500; i++) {
        char byte = 0;
        evq_recv(&s, &ops[0], &byte, 1);
        peer_put(peer, "x", 1);
        take_with(&ops[0], EVQ_OK);
        evq_send(&s, &ops[1], "y", 1);
        take_with(&ops[1], EVQ_OK);
        peer_get(peer, &byte, 1);
    }
    (void)system_signal_every_ms(0, only_count);
}

int run_waking(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wake_ends_the_wait_of_another_thread),
        TEST(a_wait_without_end_burns_no_time),
        TEST(a_wake_before_the_wait_ends_the_next_one),
        TEST(many_wakes_are_one),
        TEST(a_wake_can_follow_a_wake),
        TEST(a_wake_shortens_no_later_wait),
        TEST(a_wake_keeps_errno),
        TEST(a_wake_does_not_hide_what_is_finished),
        TEST(what_was_written_before_a_wake_is_seen_after_the_wait),
        TEST(a_wake_publishes_plain_memory),
        TEST(wakes_do_not_disturb_the_traffic),
        TEST(a_signal_ends_the_wait),
        TEST(a_signal_handler_may_wake),
        TEST(signals_do_not_disturb_the_traffic),
    };
    return RUN("waking", tests);
}
