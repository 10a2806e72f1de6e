/*
 * cancelling: line 11. What a cancel means for accept, connect, send and timers is in their files.
 */
#include "evq_case.h"

enum { RACES = 200 };

static evq_sock s;
static evq_fd peer;
static char bytes[16];

static void cancel_of_an_idle_op_finds_nothing(void **state)
{
    (void)state;
    assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_ENOENT); /* never submitted */
    open_pair(&s, &peer);
    evq_send(&s, &ops[0], "x", 1);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_ENOENT); /* came back */
    expect_nothing_now();
}

static void a_cancelled_recv_comes_back_once(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 1);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0); /* twice is one */
    take_with(&ops[0], EVQ_ECANCELED);
    assert_int_equal(ops[0].nbytes, 0);
    expect_nothing_now();
    evq_recv(&s, &ops[0], bytes, 1); /* and the socket goes on */
    peer_put(peer, "x", 1);
    take_with(&ops[0], EVQ_OK);
}

/* It is over for the system, too: what comes later goes to others, and the buffer is free. */
static void what_comes_after_a_cancel_is_for_the_next_recv(void **state)
{
    char mine[] = "mine";
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], mine, sizeof mine);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    peer_put(peer, "next", 4);
    expect_nothing_now();
    assert_string_equal(mine, "mine");
    evq_recv(&s, &ops[1], bytes, sizeof bytes);
    take_with(&ops[1], EVQ_OK);
    assert_memory_equal(bytes, "next", 4);
}

static void a_cancelled_readable_comes_back_once(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_readable(&s, &ops[0]);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    evq_readable(&s, &ops[0]);
    peer_put(peer, "x", 1);
    take_with(&ops[0], EVQ_OK);
}

static void cancelling_one_recv_leaves_the_others_in_order(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 4; i++)
        evq_recv(&s, &ops[i], &bytes[i], 1);
    assert_int_equal(evq_cancel(queue, &ops[2]), 0);
    take_with(&ops[2], EVQ_ECANCELED);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    peer_put(peer, "ab", 2);
    take_with(&ops[1], EVQ_OK);
    take_with(&ops[3], EVQ_OK);
    assert_true(bytes[1] == 'a' && bytes[3] == 'b');
}

/* A time-out cancels the recv: what is being sent goes on. And the other way round. */
static void a_cancel_ends_nothing_in_the_other_direction(void **state)
{
    static unsigned char got[BIG];
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, BIG, 0);
    evq_recv(&s, &ops[0], bytes, 1);
    evq_send(&s, &ops[1], big, BIG);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    int came_back = 0;
    for (size_t n = 0; n < BIG;) {
        evq_op *done[4];
        int64_t some = peer_get_some(peer, got + n, BIG - n);
        assert_true(some >= 0 && clock_now_ns() < deadline_ns);
        n += (size_t)some;
        came_back += evq_wait(queue, done, 4, some == 0 ? NS_PER_MS : 0);
    }
    if (came_back == 0)
        take(&ops[1]);
    assert_int_equal(ops[1].err, EVQ_OK);
    pattern_check(got, BIG, 0);
}

static void a_cancelled_send_ends_no_recv(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 1);
    evq_send(&s, &ops[1], big, BIG);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[1]), 0);
    take_with(&ops[1], EVQ_ECANCELED);
    peer_put(peer, "x", 1);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 1);
}

static void a_cancel_in_the_same_breath_as_the_submit_works(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < RACES; i++) {
        evq_recv(&s, &ops[0], bytes, 1);
        assert_int_equal(evq_cancel(queue, &ops[0]), 0);
        take_with(&ops[0], EVQ_ECANCELED);
    }
}

/* Whichever is first, no byte is lost and none comes twice. */
static void data_and_cancel_race_and_nothing_is_lost(void **state)
{
    unsigned received = 0;
    (void)state;
    open_pair(&s, &peer);
    for (unsigned i = 0; i < RACES; i++) {
        unsigned char sent = (unsigned char)i;
        while (received < i) { /* what the last round has left */
            evq_recv(&s, &ops[0], bytes, 1);
            take_with(&ops[0], EVQ_OK);
            assert_int_equal((unsigned char)bytes[0], (unsigned char)received++);
        }
        evq_recv(&s, &ops[0], bytes, 1);
        if (i % 2 == 0)
            expect_nothing_now();
        peer_put(peer, &sent, 1);
        assert_int_equal(evq_cancel(queue, &ops[0]), 0);
        take(&ops[0]);
        if (ops[0].err == EVQ_OK)
            assert_int_equal((unsigned char)bytes[0], (unsigned char)received++);
        else
            assert_int_equal(ops[0].err, EVQ_ECANCELED);
    }
    while (received < RACES) {
        evq_recv(&s, &ops[0], bytes, 1);
        take_with(&ops[0], EVQ_OK);
        assert_int_equal((unsigned char)bytes[0], (unsigned char)received++);
    }
}

static void a_finished_op_keeps_its_result(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_send(&s, &ops[0], "x", 1);
    evq_timer(queue, &ops[1], 0);
    take_among(&ops[1]); /* by now the send is done as well */
    if (returns_of(&ops[0]) == 0) {
        assert_int_equal(evq_cancel(queue, &ops[0]), 0);
        take(&ops[0]);
        assert_true(ops[0].err == EVQ_OK || ops[0].err == EVQ_ECANCELED);
    }
    char byte;
    if (ops[0].err == EVQ_OK)
        peer_get(peer, &byte, 1);
}

static void a_close_cannot_be_cancelled(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 1);
    forget(&s);
    evq_close(&s, &ops[1]);
    assert_int_equal(evq_cancel(queue, &ops[1]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    take_with(&ops[1], EVQ_OK);
}

static void cancelling_what_a_close_has_ended_already_does_no_harm(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 1);
    evq_send(&s, &ops[1], big, BIG);
    evq_send(&s, &ops[2], big, BIG);
    expect_nothing_now();
    forget(&s);
    evq_close(&s, &ops[3]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(evq_cancel(queue, &ops[i]), 0);
    for (int i = 0; i < 3; i++)
        assert_true(take_any() != &ops[3]);
    take_with(&ops[3], EVQ_OK);
    expect_nothing_now();
}

static void a_close_after_a_cancel_returns_each_once(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 1);
    evq_recv(&s, &ops[1], bytes, 1);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    forget(&s);
    evq_close(&s, &ops[2]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_any()->err, EVQ_ECANCELED);
    take_with(&ops[2], EVQ_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(returns_of(&ops[i]), 1);
}

int run_cancelling(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cancel_of_an_idle_op_finds_nothing),
        TEST(a_cancelled_recv_comes_back_once),
        TEST(what_comes_after_a_cancel_is_for_the_next_recv),
        TEST(a_cancelled_readable_comes_back_once),
        TEST(cancelling_one_recv_leaves_the_others_in_order),
        TEST(a_cancel_ends_nothing_in_the_other_direction),
        TEST(a_cancelled_send_ends_no_recv),
        TEST(a_cancel_in_the_same_breath_as_the_submit_works),
        TEST(data_and_cancel_race_and_nothing_is_lost),
        TEST(a_finished_op_keeps_its_result),
        TEST(a_close_cannot_be_cancelled),
        TEST(cancelling_what_a_close_has_ended_already_does_no_harm),
        TEST(a_close_after_a_cancel_returns_each_once),
    };
    return RUN("cancelling", tests);
}
