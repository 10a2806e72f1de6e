/*
 * timers: lines 5 and 10.
 */
#include "evq_case.h"

enum { TIMERS = 4000 };

static evq_sock s;
static evq_fd peer;
static char byte;

static uint64_t in_us(uint64_t us)
{
    return (uint64_t)clock_now_ns() + us * 1000;
}

static void a_timer_is_never_early(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        uint64_t deadline_ns = in_us((uint64_t)i * 137);
        evq_timer(queue, &ops[0], deadline_ns);
        take_with(&ops[0], EVQ_OK);
        assert_true((uint64_t)clock_now_ns() >= deadline_ns);
        assert_true(evq_now(queue) >= deadline_ns);
    }
}

static void a_deadline_in_the_past_is_due_at_once(void **state)
{
    evq_op *done;
    (void)state;
    evq_timer(queue, &ops[0], 0);
    evq_timer(queue, &ops[1], evq_now(queue));
    assert_int_equal(evq_wait(queue, &done, 1, 0), 1);
    assert_ptr_equal(done, &ops[0]);
    take_with(&ops[1], EVQ_OK);
}

static void timers_come_by_deadline_then_by_submission(void **state)
{
    (void)state;
    uint64_t now_ns = evq_now(queue);
    static const int before[] = {5, 3, 5, 1, 9, 3, 1, 0, 5}; /* how long ago they were due */
    static const int order[] = {4, 0, 2, 8, 1, 5, 3, 6, 7};
    for (int i = 0; i < 9; i++)
        evq_timer(queue, &ops[i], now_ns - (uint64_t)before[i]);
    for (int i = 0; i < 9; i++)
        take_with(&ops[order[i]], EVQ_OK);
}

static void thousands_of_timers_come_in_order(void **state)
{
    (void)state;
    uint64_t now_ns = evq_now(queue), last_ns = 0;
    uint32_t random = 1;
    for (int i = 0; i < TIMERS; i++) {
        random = random * 1664525 + 1013904223;
        evq_timer(queue, &ops[i], now_ns - random % 1000);
    }
    for (int i = 0; i < TIMERS; i += 3)
        assert_int_equal(evq_cancel(queue, &ops[i]), 0);
    for (int i = 0, fired = 0; i < TIMERS; i++) {
        evq_op *op = take_any();
        if (op->err == EVQ_ECANCELED)
            continue;
        assert_true(fired++ == 0 || op->priv.arg.at.deadline_ns >= last_ns);
        last_ns = op->priv.arg.at.deadline_ns;
    }
    for (int i = 0; i < TIMERS; i++)
        assert_true(ops[i].err == (i % 3 == 0 ? EVQ_ECANCELED : EVQ_OK));
    expect_nothing_now();
}

static void a_cancelled_timer_comes_back_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        evq_timer(queue, &ops[i], UINT64_MAX - (uint64_t)i);
    static const int order[] = {1, 2, 0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evq_cancel(queue, &ops[order[i]]), 0);
        take_with(&ops[order[i]], EVQ_ECANCELED);
    }
}

static void cancelling_the_last_timer_leaves_a_queue_that_works(void **state)
{
    (void)state;
    evq_timer(queue, &ops[0], UINT64_MAX);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    expect_nothing_for(5);
    evq_timer(queue, &ops[0], in_us(1000));
    take_with(&ops[0], EVQ_OK);
}

static void a_timer_that_was_due_first_keeps_its_result(void **state)
{
    evq_op *done;
    (void)state;
    evq_timer(queue, &ops[0], 0);
    evq_timer(queue, &ops[1], 0);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 1); /* both are in hand, one came back */
    assert_int_equal(evq_cancel(queue, &ops[1]), 0);
    take_with(&ops[1], EVQ_OK);
}

static void a_timer_may_be_set_again_as_soon_as_it_came_back(void **state)
{
    (void)state;
    uint64_t first_ns = in_us(500);
    for (uint64_t i = 0; i < 20; i++) {
        evq_timer(queue, &ops[0], first_ns + i * 500000);
        take_with(&ops[0], EVQ_OK);
    }
    assert_true((uint64_t)clock_now_ns() >= first_ns + 19 * 500000);
}

static void the_nearest_timer_ends_the_wait_also_when_it_was_set_last(void **state)
{
    (void)state;
    evq_timer(queue, &ops[0], UINT64_MAX);
    evq_timer(queue, &ops[1], in_us(3600u * 1000000u));
    evq_timer(queue, &ops[2], in_us(2000));
    take_with(&ops[2], EVQ_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(evq_cancel(queue, &ops[i]), 0);
}

/* One wait for each timer, and none of them spins: it would get as much CPU time as a busy loop. */
static void timers_below_a_millisecond_do_not_spin(void **state)
{
    enum { TIMES = 3, EACH = 100 };
    (void)state;
    for (int time = 0; time < TIMES; time++) {
        int64_t cpu_ns = system_cpu_ns(), wall_ns = clock_now_ns();
        for (int i = 0; i < EACH; i++) {
            evq_timer(queue, &ops[0], in_us(990));
            take_with(&ops[0], EVQ_OK);
        }
        cpu_ns = system_cpu_ns() - cpu_ns;
        wall_ns = clock_now_ns() - wall_ns;
        if (cpu_ns < spin_ns((int)(wall_ns / NS_PER_MS)) / 2)
            return;
    }
    fail_msg("timers burn CPU time");
}

static void a_timer_and_a_socket_share_the_wait(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], &byte, 1);
    evq_timer(queue, &ops[1], in_us(1500));
    take_with(&ops[1], EVQ_OK);
    evq_timer(queue, &ops[2], UINT64_MAX);
    peer_put(peer, "x", 1);
    take_with(&ops[0], EVQ_OK);
}

/* A deadline for a recv, the usual way. */
static void a_timer_can_end_a_recv(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], &byte, 1);
    evq_timer(queue, &ops[1], in_us(1500));
    take_with(&ops[1], EVQ_OK);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
}

int run_timers(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_is_never_early),
        TEST(a_deadline_in_the_past_is_due_at_once),
        TEST(timers_come_by_deadline_then_by_submission),
        TEST(thousands_of_timers_come_in_order),
        TEST(a_cancelled_timer_comes_back_at_once),
        TEST(cancelling_the_last_timer_leaves_a_queue_that_works),
        TEST(a_timer_that_was_due_first_keeps_its_result),
        TEST(a_timer_may_be_set_again_as_soon_as_it_came_back),
        TEST(the_nearest_timer_ends_the_wait_also_when_it_was_set_last),
        TEST(timers_below_a_millisecond_do_not_spin),
        TEST(a_timer_and_a_socket_share_the_wait),
        TEST(a_timer_can_end_a_recv),
    };
    return RUN("timers", tests);
}
