/*
 * receiving: recv and readable; lines 5 and 6.
 */
#include "evq_case.h"

static evq_sock s;
static evq_fd peer;
static char bytes[256];

static void recv_takes_what_is_there(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_put(peer, "hello", 5);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    take_with(&ops[0], EVQ_OK);
    assert_true(ops[0].nbytes >= 1 && ops[0].nbytes <= 5);
    assert_memory_equal(bytes, "hello", ops[0].nbytes);
}

static void recv_waits_for_the_first_byte(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    expect_nothing_now();
    peer_put(peer, "x", 1);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 1);
}

static void recv_completes_with_zero_at_the_end_of_the_stream(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    expect_nothing_now();
    peer_end(peer);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 0);
}

static void the_end_stays_the_end(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_end(peer);
    for (int i = 0; i < 5; i++) {
        evq_recv(&s, &ops[0], bytes, sizeof bytes);
        take_with(&ops[0], EVQ_OK);
        assert_int_equal(ops[0].nbytes, 0);
    }
}

static void recv_of_no_bytes_is_invalid(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 0);
    take_with(&ops[0], EVQ_EINVAL);
}

static void recv_tells_of_a_reset(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    expect_nothing_now();
    let_go(peer);
    peer_reset(peer);
    take_with(&ops[0], EVQ_ECONNRESET);
    assert_int_not_equal(ops[0].os_err, 0);
}

static void recvs_complete_in_the_order_of_their_submission(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 16; i++)
        evq_recv(&s, &ops[i], &bytes[i], 1);
    peer_put(peer, "0123456789abcdef", 16);
    for (int i = 0; i < 16; i++)
        take_with(&ops[i], EVQ_OK);
    assert_memory_equal(bytes, "0123456789abcdef", 16);
}

static void recvs_in_a_queue_share_what_comes_in_pieces(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 3; i++)
        evq_recv(&s, &ops[i], &bytes[10 * i], 10);
    for (int i = 0; i < 3; i++) {
        expect_nothing_now();
        peer_put(peer, "abc", 3);
        take_with(&ops[i], EVQ_OK);
    }
}

static void data_is_taken_before_the_end(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_put(peer, "abc", 3);
    peer_end(peer);
    peer_wait_readable(s.fd);
    size_t total = 0;
    do {
        evq_recv(&s, &ops[0], bytes + total, sizeof bytes - total);
        take_with(&ops[0], EVQ_OK);
        total += ops[0].nbytes;
    } while (ops[0].nbytes > 0);
    assert_int_equal(total, 3);
    assert_memory_equal(bytes, "abc", 3);
}

/* Both in one event: no other one will come, so the short read of the data must not be the last. */
static void the_end_that_comes_with_the_data_is_seen(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    expect_nothing_now();
    peer_put(peer, "abc", 3);
    peer_end(peer);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 3);
    evq_recv(&s, &ops[1], bytes, sizeof bytes);
    take_with(&ops[1], EVQ_OK);
    assert_int_equal(ops[1].nbytes, 0);
}

static void the_end_that_follows_a_short_read_is_seen(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_put(peer, "abc", 3);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    take_with(&ops[0], EVQ_OK);
    evq_recv(&s, &ops[1], bytes, sizeof bytes);
    expect_nothing_now();
    peer_end(peer);
    take_with(&ops[1], EVQ_OK);
    assert_int_equal(ops[1].nbytes, 0);
}

/* The buffer is full to the byte: nothing shows that there is no more. */
static void after_a_read_that_fits_exactly_the_next_data_is_seen(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 20; i++) {
        evq_recv(&s, &ops[0], bytes, 4);
        peer_put(peer, "abcd", 4);
        take_with(&ops[0], EVQ_OK);
        while (ops[0].nbytes < 4) { /* it came in pieces */
            size_t before = ops[0].nbytes;
            evq_recv(&s, &ops[0], bytes + before, 4 - before);
            take_with(&ops[0], EVQ_OK);
            ops[0].nbytes += before;
        }
    }
}

static void what_is_left_of_a_full_read_is_received(void **state)
{
    static unsigned char all[40000];
    size_t total = 0;
    (void)state;
    open_pair(&s, &peer);
    pattern_fill(big, sizeof all, 0);
    peer_put(peer, big, sizeof all);
    while (total < sizeof all) {
        evq_recv(&s, &ops[0], all + total, total + 1000 < sizeof all ? 1000 : sizeof all - total);
        take_with(&ops[0], EVQ_OK);
        assert_true(ops[0].nbytes > 0);
        total += ops[0].nbytes;
    }
    pattern_check(all, sizeof all, 0);
}

/* What was known of the rest is out of date when more has come, although nobody was waiting then.
 * */
static void what_comes_between_two_full_reads_is_received(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 10; i++) {
        peer_put(peer, "0123456789ab", 12);
        for (int j = 0; j < 4; j++) {
            if (j == 2) {
                peer_put(peer, "cdef", 4);
                expect_nothing_now();
            }
            peer_wait_readable(s.fd);
            evq_recv(&s, &ops[0], bytes + 4 * j, 4);
            take_with(&ops[0], EVQ_OK);
            assert_int_equal(ops[0].nbytes, 4);
        }
        assert_memory_equal(bytes, "0123456789abcdef", 16);
    }
}

/* Urgent data cuts a read short, and is no part of the stream. What lies behind it must not be
 * lost. */
static void receive_abc_X_def(bool parked)
{
    char got[6];
    size_t total = 0;
    open_pair(&s, &peer);
    if (parked) {
        evq_recv(&s, &ops[0], bytes, 100);
        expect_nothing_now();
    }
    peer_put(peer, "abc", 3);
    peer_put_urgent(peer, 'X');
    peer_put(peer, "def", 3);
    for (bool submitted = parked; total < sizeof got; submitted = false) {
        if (!submitted)
            evq_recv(&s, &ops[0], bytes, 100);
        take_with(&ops[0], EVQ_OK);
        assert_true(ops[0].nbytes > 0 && total + ops[0].nbytes <= sizeof got);
        memcpy(got + total, bytes, ops[0].nbytes);
        total += ops[0].nbytes;
    }
    assert_memory_equal(got, "abcdef", 6);
}

static void urgent_data_hides_nothing(void **state)
{
    (void)state;
    receive_abc_X_def(false);
}

static void urgent_data_in_the_middle_of_a_parked_recv_hides_nothing(void **state)
{
    (void)state;
    receive_abc_X_def(true);
}

static void urgent_data_behind_a_parked_recv_hides_nothing(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 100);
    expect_nothing_now();
    peer_put_urgent(peer, 'X');
    peer_put(peer, "d", 1);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 1);
    assert_int_equal(bytes[0], 'd');
}

/* ---- readable -------------------------------------------------------------------------------- */

static void readable_completes_when_there_is_something(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_readable(&s, &ops[0]);
    expect_nothing_now();
    peer_put(peer, "abc", 3);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 0);
}

static void readable_consumes_nothing(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_put(peer, "abc", 3);
    for (int i = 0; i < 5; i++) {
        evq_readable(&s, &ops[0]);
        take_with(&ops[0], EVQ_OK);
    }
    evq_recv(&s, &ops[1], bytes, 3);
    take_with(&ops[1], EVQ_OK);
    assert_int_equal(ops[1].nbytes, 3);
}

static void readable_waits_when_all_was_received(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 10; i++) {
        peer_put(peer, "abcd", 4);
        evq_readable(&s, &ops[0]);
        take_with(&ops[0], EVQ_OK);
        peer_wait_readable(s.fd);
        evq_recv(&s, &ops[1], bytes, 4); /* exactly what is there */
        take_with(&ops[1], EVQ_OK);
        assert_int_equal(ops[1].nbytes, 4);
        evq_readable(&s, &ops[2]);
        expect_nothing_now();
        peer_put(peer, "x", 1);
        take_with(&ops[2], EVQ_OK);
        evq_recv(&s, &ops[1], bytes, 4);
        take_with(&ops[1], EVQ_OK);
    }
}

static void readable_completes_when_a_recv_left_something(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_put(peer, "abcd", 4);
    peer_wait_readable(s.fd);
    evq_recv(&s, &ops[0], bytes, 2);
    take_with(&ops[0], EVQ_OK);
    evq_readable(&s, &ops[1]);
    take_with(&ops[1], EVQ_OK);
    evq_recv(&s, &ops[0], bytes, 2);
    take_with(&ops[0], EVQ_OK);
    assert_memory_equal(bytes, "cd", 2);
}

static void readable_completes_at_the_end(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_readable(&s, &ops[0]);
    expect_nothing_now();
    peer_end(peer);
    take_with(&ops[0], EVQ_OK);
    evq_recv(&s, &ops[1], bytes, 1);
    take_with(&ops[1], EVQ_OK);
    assert_int_equal(ops[1].nbytes, 0);
    evq_readable(&s, &ops[0]); /* and it stays so */
    take_with(&ops[0], EVQ_OK);
}

static void readable_completes_at_a_reset_and_the_recv_tells(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_readable(&s, &ops[0]);
    expect_nothing_now();
    let_go(peer);
    peer_reset(peer);
    take_with(&ops[0], EVQ_OK);
    evq_recv(&s, &ops[1], bytes, 1);
    take_with(&ops[1], EVQ_ECONNRESET);
}

static void readables_and_recvs_complete_in_order(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_readable(&s, &ops[0]);
    evq_recv(&s, &ops[1], bytes, 2);
    evq_readable(&s, &ops[2]);
    evq_recv(&s, &ops[3], bytes + 2, 2);
    expect_nothing_now();
    peer_put(peer, "abcd", 4);
    for (int i = 0; i < 4; i++)
        take_with(&ops[i], EVQ_OK);
    assert_memory_equal(bytes, "abcd", 4);
}

int run_receiving(void)
{
    const struct CMUnitTest tests[] = {
        TEST(recv_takes_what_is_there),
        TEST(recv_waits_for_the_first_byte),
        TEST(recv_completes_with_zero_at_the_end_of_the_stream),
        TEST(the_end_stays_the_end),
        TEST(recv_of_no_bytes_is_invalid),
        TEST(recv_tells_of_a_reset),
        TEST(recvs_complete_in_the_order_of_their_submission),
        TEST(recvs_in_a_queue_share_what_comes_in_pieces),
        TEST(data_is_taken_before_the_end),
        TEST(the_end_that_comes_with_the_data_is_seen),
        TEST(the_end_that_follows_a_short_read_is_seen),
        TEST(after_a_read_that_fits_exactly_the_next_data_is_seen),
        TEST(what_is_left_of_a_full_read_is_received),
        TEST(what_comes_between_two_full_reads_is_received),
        TEST(urgent_data_hides_nothing),
        TEST(urgent_data_in_the_middle_of_a_parked_recv_hides_nothing),
        TEST(urgent_data_behind_a_parked_recv_hides_nothing),
        TEST(readable_completes_when_there_is_something),
        TEST(readable_consumes_nothing),
        TEST(readable_waits_when_all_was_received),
        TEST(readable_completes_when_a_recv_left_something),
        TEST(readable_completes_at_the_end),
        TEST(readable_completes_at_a_reset_and_the_recv_tells),
        TEST(readables_and_recvs_complete_in_order),
    };
    return RUN("receiving", tests);
}
