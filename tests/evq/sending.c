/*
 * sending: send and shutdown; lines 5, 7 and 17. SIGPIPE is not ignored here: one would end the
 * suite.
 */
#include "evq_case.h"

enum { SENDS = 10, SEND_BYTES = 300000 };

static evq_sock s;
static evq_fd peer;
static char bytes[16];

/* Receives n bytes at the peer while the queue goes on; how many ops came back meanwhile. */
static int pump(size_t n, uint64_t position)
{
    static unsigned char chunk[65536];
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    int came_back = 0;
    while (n > 0) {
        evq_op *done[64];
        int64_t got = peer_get_some(peer, chunk, n < sizeof chunk ? n : sizeof chunk);
        assert_true(got >= 0 && clock_now_ns() < deadline_ns);
        pattern_check(chunk, (size_t)got, position);
        position += (uint64_t)got;
        n -= (size_t)got;
        came_back += evq_wait(queue, done, 64, got == 0 ? NS_PER_MS : 0);
    }
    return came_back;
}

static void a_send_of_a_few_bytes_is_taken_at_once(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_send(&s, &ops[0], "hello", 5);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 5);
    peer_get(peer, bytes, 5);
    assert_memory_equal(bytes, "hello", 5);
}

static void a_send_takes_all_however_much_it_is(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, BIG, 0);
    evq_send(&s, &ops[0], big, BIG);
    expect_nothing_now();
    int came_back = pump(BIG, 0);
    if (came_back == 0)
        take(&ops[0]);
    assert_int_equal(ops[0].err, EVQ_OK);
    assert_int_equal(ops[0].nbytes, BIG);
}

static void the_bytes_of_sends_never_mix(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, SENDS * SEND_BYTES, 0);
    for (int i = 0; i < SENDS; i++)
        evq_send(&s, &ops[i], big + i * SEND_BYTES, SEND_BYTES);
    int came_back = pump(SENDS * SEND_BYTES, 0);
    while (came_back++ < SENDS)
        (void)take_any();
    for (int i = 0; i < SENDS; i++)
        assert_int_equal(ops[i].nbytes, SEND_BYTES);
}

/* The socket is full: both must wait, and both must be sent. */
static void two_sends_on_a_full_socket_are_both_sent(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, 2000000, 0);
    evq_send(&s, &ops[0], big, 1000000);
    evq_send(&s, &ops[1], big + 1000000, 1000000);
    expect_nothing_now();
    int came_back = pump(2000000, 0);
    while (came_back++ < 2)
        (void)take_any();
    assert_int_equal(ops[0].nbytes + ops[1].nbytes, 2000000);
}

static void sends_complete_in_the_order_of_their_submission(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 8; i++)
        evq_send(&s, &ops[i], "x", 1);
    for (int i = 0; i < 8; i++)
        take_with(&ops[i], EVQ_OK);
}

static void a_send_of_no_bytes_is_invalid(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_send(&s, &ops[0], "x", 0);
    take_with(&ops[0], EVQ_EINVAL);
    evq_send(&s, &ops[0], "x", 1); /* and it tears nothing */
    take_with(&ops[0], EVQ_OK);
}

static void a_full_socket_sends_and_receives_at_the_same_time(void **state)
{
    static unsigned char got[1000000];
    size_t received = 0;
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, BIG, 0);
    evq_send(&s, &ops[0], big, BIG);
    expect_nothing_now();
    while (received < sizeof got) { /* the peer takes nothing, but it sends */
        size_t piece = sizeof got - received < 50000 ? sizeof got - received : 50000;
        peer_put(peer, big + received, piece);
        for (size_t end = received + piece; received < end; received += ops[1].nbytes) {
            evq_recv(&s, &ops[1], got + received, end - received);
            take_with(&ops[1], EVQ_OK);
        }
    }
    pattern_check(got, sizeof got, 0);
    if (pump(BIG, 0) == 0)
        take_with(&ops[0], EVQ_OK);
}

static void a_send_to_a_peer_that_is_gone_fails_without_a_signal(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[9], bytes, 1);
    let_go(peer);
    peer_reset(peer);
    take_with(&ops[9], EVQ_ECONNRESET);
    for (int i = 0; i < 3; i++) {
        evq_send(&s, &ops[0], "x", 1);
        take_with(&ops[0], EVQ_ECONNRESET);
    }
}

static void a_reset_ends_a_send_that_waits(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    evq_send(&s, &ops[0], big, BIG);
    evq_send(&s, &ops[1], big, 1);
    expect_nothing_now();
    let_go(peer);
    peer_reset(peer);
    take_with(&ops[0], EVQ_ECONNRESET);
    take_with(&ops[1], EVQ_ECLOSED); /* the stream is torn */
}

/* ---- torn ----------------------------------------------------------------------------------- */

static void a_send_that_is_cut_tears_the_stream(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, BIG, 0);
    evq_send(&s, &ops[0], big, BIG);
    evq_send(&s, &ops[1], big, 1);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    take_with(&ops[1], EVQ_ECLOSED);
    assert_true(ops[0].nbytes > 0 || !system_counts_what_was_sent());
    assert_true(ops[0].nbytes < BIG);
    evq_send(&s, &ops[2], big, 1);
    take_with(&ops[2], EVQ_ECLOSED);
    size_t taken = ops[0].nbytes;
    close_now(&s);
    assert_true(peer_get_to_end(peer) >= taken); /* what was taken is delivered */
}

static void nbytes_of_a_cut_send_is_what_the_kernel_took(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, BIG, 0);
    evq_send(&s, &ops[0], big, BIG);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    size_t taken = ops[0].nbytes;
    if (!system_counts_what_was_sent())
        skip_because("this system does not tell how much of a cancelled send was taken");
    close_now(&s);
    assert_int_equal(peer_get_to_end(peer), taken);
}

static void a_cancelled_send_that_waited_behind_another_tears_nothing(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    pattern_fill(big, BIG, 0);
    evq_send(&s, &ops[0], big, 1000000);
    evq_send(&s, &ops[1], big, 5);
    evq_send(&s, &ops[2], big + 1000000, 1000000);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[1]), 0);
    take_with(&ops[1], EVQ_ECANCELED);
    assert_int_equal(ops[1].nbytes, 0);
    int came_back = pump(2000000, 0);
    while (came_back++ < 2)
        (void)take_any();
    assert_true(ops[0].err == EVQ_OK && ops[2].err == EVQ_OK);
}

/* ---- shutdown ------------------------------------------------------------------------------- */

static void shutdown_ends_the_stream_and_leaves_the_other_direction(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_send(&s, &ops[0], "abc", 3);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(evq_shutdown(&s), EVQ_OK);
    assert_int_equal(peer_get_to_end(peer), 3);
    peer_put(peer, "x", 1);
    evq_recv(&s, &ops[1], bytes, 1);
    take_with(&ops[1], EVQ_OK);
}

static void shutdown_is_refused_while_a_send_is_pending(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    evq_send(&s, &ops[0], big, BIG);
    expect_nothing_now();
    assert_int_equal(evq_shutdown(&s), EVQ_EBUSY);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take_with(&ops[0], EVQ_ECANCELED);
    assert_int_equal(evq_shutdown(&s), EVQ_OK);
}

static void a_send_after_the_shutdown_is_refused(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    assert_int_equal(evq_shutdown(&s), EVQ_OK);
    evq_send(&s, &ops[0], "x", 1);
    take_with(&ops[0], EVQ_ECLOSED);
}

static void shutting_twice_is_success(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    assert_int_equal(evq_shutdown(&s), EVQ_OK);
    assert_int_equal(evq_shutdown(&s), EVQ_OK);
}

static void shutdown_of_what_is_not_connected_fails(void **state)
{
    evq_fd fd;
    (void)state;
    assert_int_equal(evq_tcp_socket(&fd, AF_INET), EVQ_OK);
    attach(&s, fd);
    assert_int_equal(evq_shutdown(&s), EVQ_ENOTCONN);
}

static void shutdown_while_the_socket_closes_is_refused(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    forget(&s);
    evq_close(&s, &ops[0]);
    assert_int_equal(evq_shutdown(&s), EVQ_ECLOSED);
    take_with(&ops[0], EVQ_OK);
}

int run_sending(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_send_of_a_few_bytes_is_taken_at_once),
        TEST(a_send_takes_all_however_much_it_is),
        TEST(the_bytes_of_sends_never_mix),
        TEST(two_sends_on_a_full_socket_are_both_sent),
        TEST(sends_complete_in_the_order_of_their_submission),
        TEST(a_send_of_no_bytes_is_invalid),
        TEST(a_full_socket_sends_and_receives_at_the_same_time),
        TEST(a_send_to_a_peer_that_is_gone_fails_without_a_signal),
        TEST(a_reset_ends_a_send_that_waits),
        TEST(a_send_that_is_cut_tears_the_stream),
        TEST(nbytes_of_a_cut_send_is_what_the_kernel_took),
        TEST(a_cancelled_send_that_waited_behind_another_tears_nothing),
        TEST(shutdown_ends_the_stream_and_leaves_the_other_direction),
        TEST(shutdown_is_refused_while_a_send_is_pending),
        TEST(a_send_after_the_shutdown_is_refused),
        TEST(shutting_twice_is_success),
        TEST(shutdown_of_what_is_not_connected_fails),
        TEST(shutdown_while_the_socket_closes_is_refused),
    };
    return RUN("sending", tests);
}
