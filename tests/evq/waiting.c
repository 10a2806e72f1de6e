/*
 * waiting: what evq_wait() returns, in which order, and that nobody starves; lines 4, 5 and 13.
 * Waking it is in waking.c.
 */
#include "evq_case.h"

static void wait_returns_zero_when_the_time_is_up(void **state)
{
    evq_op *done;
    (void)state;
    int64_t before_ns = clock_now_ns();
    assert_int_equal(evq_wait(queue, &done, 1, 30 * NS_PER_MS), 0);
    assert_true(clock_now_ns() - before_ns >= 30 * NS_PER_MS);
}

static void a_timeout_below_a_millisecond_is_not_cut_short(void **state)
{
    evq_op *done;
    (void)state;
    for (int i = 0; i < 20; i++) {
        int64_t before_ns = clock_now_ns();
        assert_int_equal(evq_wait(queue, &done, 1, 300 * 1000), 0);
        assert_true(clock_now_ns() - before_ns >= 300 * 1000);
    }
}

static void a_wait_of_zero_only_looks(void **state)
{
    evq_op *done;
    (void)state;
    evq_timer(queue, &ops[0], UINT64_MAX);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
}

/* Each of these would be late by far if it slept where it need not; a busy machine is late, too,
 * but not in each round. */
enum { ROUNDS = 20, LOOKS = 500 };

static void a_look_does_not_sleep(void **state)
{
    evq_op *done;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t before_ns = clock_now_ns();
        for (int i = 0; i < LOOKS; i++)
            assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
        if (clock_now_ns() - before_ns < LOOKS * (int64_t)NS_PER_MS / 2)
            return;
    }
    fail_msg("a look takes half a millisecond and more");
}

static void a_wait_with_something_in_hand_does_not_sleep(void **state)
{
    evq_op *done;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < LOOKS; i++) {
            evq_timer(queue, &ops[i], UINT64_MAX);
            assert_int_equal(evq_cancel(queue, &ops[i]), 0);
        }
        int64_t before_ns = clock_now_ns();
        for (int i = 0; i < LOOKS; i++)
            assert_int_equal(evq_wait(queue, &done, 1, EVQ_FOREVER), 1);
        if (clock_now_ns() - before_ns < LOOKS / (EVQ_WAITS_IN_HAND + 1) * (int64_t)NS_PER_MS / 2)
            return;
    }
    fail_msg("each wait that asks takes half a millisecond and more");
}

/* A time-out counts from the call, not from the last time that the queue looked at its clock. */
static void what_the_program_did_before_makes_a_wait_no_longer(void **state)
{
    enum { BEFORE_MS = 20, WAIT_MS = 5 };
    evq_op *done;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
        clock_pause_ms(BEFORE_MS);
        int64_t before_ns = clock_now_ns();
        assert_int_equal(evq_wait(queue, &done, 1, WAIT_MS * (int64_t)NS_PER_MS), 0);
        if (clock_now_ns() - before_ns < BEFORE_MS * (int64_t)NS_PER_MS)
            return;
    }
    fail_msg("the wait takes as long as its time-out and what was before it");
}

static void wait_fills_no_more_than_max_and_keeps_the_rest(void **state)
{
    evq_op *done[3];
    (void)state;
    for (int i = 0; i < 7; i++)
        evq_timer(queue, &ops[i], 0);
    int next = 0;
    static const int expected[] = {3, 3, 1, 0};
    for (int i = 0; i < 4; i++) {
        int n = evq_wait(queue, done, 3, 0);
        assert_int_equal(n, expected[i]);
        for (int j = 0; j < n; j++)
            assert_ptr_equal(done[j], &ops[next++]);
    }
}

static void finished_ops_leave_first_in_first_out(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        evq_timer(queue, &ops[i], UINT64_MAX);
    static const int order[] = {4, 0, 9, 1, 5, 8, 2, 3, 7, 6};
    for (int i = 0; i < 10; i++)
        assert_int_equal(evq_cancel(queue, &ops[order[i]]), 0);
    for (int i = 0; i < 10; i++)
        take_with(&ops[order[i]], EVQ_ECANCELED);
}

/* A busy socket has a new result in hand whenever evq_wait() looks. A quiet one must get through
 * all the same, within the bound that evq.h names. */
static void a_fast_socket_starves_nobody(void **state)
{
    static evq_sock busy, quiet;
    evq_fd busy_peer, quiet_peer;
    static char bytes[2];
    (void)state;
    open_pair(&busy, &busy_peer);
    open_pair(&quiet, &quiet_peer);
    evq_recv(&quiet, &ops[1], &bytes[1], 1);
    expect_nothing_now();
    peer_put(busy_peer, big, 65536);
    evq_recv(&busy, &ops[0], &bytes[0], 1);
    take(&ops[0]);
    peer_put(quiet_peer, "x", 1);
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    int turns = 0;
    for (evq_op *op = &ops[0]; op != &ops[1]; turns++) {
        evq_recv(&busy, &ops[0], &bytes[0], 1);
        op = take_any();
        assert_true(clock_now_ns() < deadline_ns);
    }
    assert_true(turns <= 10 * EVQ_WAITS_IN_HAND);
}

static void a_timer_is_seen_though_there_is_always_something_in_hand(void **state)
{
    static evq_sock busy;
    evq_fd peer;
    char byte;
    (void)state;
    open_pair(&busy, &peer);
    peer_put(peer, big, 65536);
    evq_recv(&busy, &ops[0], &byte, 1);
    take(&ops[0]);
    evq_timer(queue, &ops[1], evq_now(queue));
    int turns = 0;
    for (evq_op *op = &ops[0]; op != &ops[1]; turns++) {
        evq_recv(&busy, &ops[0], &byte, 1);
        op = take_any();
    }
    assert_true(turns <= 10 * EVQ_WAITS_IN_HAND);
}

static void the_clock_stands_still_between_waits_and_never_goes_back(void **state)
{
    evq_op *done;
    (void)state;
    uint64_t before_ns = evq_now(queue);
    clock_pause_ms(2);
    assert_true(evq_now(queue) == before_ns);
    (void)evq_wait(queue, &done, 1, 0);
    assert_true(evq_now(queue) >= before_ns + 2 * NS_PER_MS);
    assert_true((int64_t)evq_now(queue) <= clock_now_ns()); /* the same clock */
}

static void the_clock_of_a_new_queue_is_right(void **state)
{
    evq_options options = {.backend = backend};
    evq *other;
    (void)state;
    uint64_t before_ns = (uint64_t)clock_now_ns();
    assert_int_equal(evq_open(&other, &options), EVQ_OK);
    uint64_t now_ns = evq_now(other);
    assert_int_equal(evq_destroy(other), EVQ_OK);
    assert_true(now_ns >= before_ns && now_ns <= (uint64_t)clock_now_ns());
}

static void an_idle_wait_burns_no_time(void **state)
{
    static evq_sock s;
    evq_fd peer;
    char byte;
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], &byte, 1);
    expect_a_quiet_wait(100);
}

/* Somebody has asked, and does so no longer. */
static void ask_no_longer(evq_sock *s)
{
    static char byte;
    evq_recv(s, &ops[0], &byte, 1);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
}

/* The peer is gone and nobody asks: neither may that wake anybody. */
static void a_dead_connection_that_nobody_asks_burns_no_time(void **state)
{
    static evq_sock ended, was_reset;
    evq_fd ended_peer, reset_peer;
    (void)state;
    open_pair(&ended, &ended_peer);
    open_pair(&was_reset, &reset_peer);
    ask_no_longer(&ended);
    ask_no_longer(&was_reset);
    peer_end(ended_peer);
    let_go(reset_peer);
    peer_reset(reset_peer);
    expect_a_quiet_wait(100);
}

static void data_that_nobody_asks_for_burns_no_time(void **state)
{
    static evq_sock never, no_longer;
    evq_fd never_peer, no_longer_peer;
    char byte;
    (void)state;
    open_pair(&never, &never_peer);
    open_pair(&no_longer, &no_longer_peer);
    evq_recv(&no_longer, &ops[0], &byte, 1);
    expect_nothing_now();
    peer_put(no_longer_peer, "xy", 2);
    take_with(&ops[0], EVQ_OK); /* the y is left */
    peer_put(never_peer, "x", 1);
    expect_a_quiet_wait(100);
}

/* More than any backend takes from the kernel at once. */
static void more_than_one_batch_comes_back_once_each(void **state)
{
    static evq_sock socks[MANY];
    static evq_fd peers[MANY];
    static char bytes[MANY];
    (void)state;
    if (!system_wants_descriptors(2 * MANY + 100))
        skip_because("not enough descriptors");
    for (int i = 0; i < MANY; i++) {
        open_pair(&socks[i], &peers[i]);
        evq_recv(&socks[i], &ops[i], &bytes[i], 1);
    }
    expect_nothing_now();
    for (int i = 0; i < MANY; i++)
        peer_put(peers[i], "x", 1);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(take_any()->err, EVQ_OK);
    expect_nothing_now();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(returns_of(&ops[i]), 1);
}

int run_waiting(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wait_returns_zero_when_the_time_is_up),
        TEST(a_timeout_below_a_millisecond_is_not_cut_short),
        TEST(a_wait_of_zero_only_looks),
        TEST(a_look_does_not_sleep),
        TEST(a_wait_with_something_in_hand_does_not_sleep),
        TEST(what_the_program_did_before_makes_a_wait_no_longer),
        TEST(wait_fills_no_more_than_max_and_keeps_the_rest),
        TEST(finished_ops_leave_first_in_first_out),
        TEST(a_fast_socket_starves_nobody),
        TEST(a_timer_is_seen_though_there_is_always_something_in_hand),
        TEST(the_clock_stands_still_between_waits_and_never_goes_back),
        TEST(the_clock_of_a_new_queue_is_right),
        TEST(an_idle_wait_burns_no_time),
        TEST(a_dead_connection_that_nobody_asks_burns_no_time),
        TEST(data_that_nobody_asks_for_burns_no_time),
        TEST(more_than_one_batch_comes_back_once_each),
    };
    return RUN("waiting", tests);
}
