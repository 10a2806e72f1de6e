/*
 * ring.c: what only a ring can do to the library: completions in another order, no room for a
 * request, no room for completions. On the other backends there is nothing to be tested.
 */
#include "hand.h"
#include "real.h"
#include "scenario.h"

#include "harness/clock.h"

#include <errno.h>
#include <string.h>

/* evq_uring.c: so many requests are collected at most. The kernel makes room for twice as many
 * completions. */
enum { RING_ENTRIES = 512, RING_COMPLETIONS = 2 * RING_ENTRIES, STUBBORN = 5 };

static char inbox[HAND_SOCKS];

/* ---- a cancel and its op --------------------------------------------------------------------- */

static void cancel_everything_in_this_order(enum order order)
{
    evq_sock *s, *listener = hand_listener_with_a_client();
    (void)hand_pair(&s);
    evq_accept(listener, &ops[0]);
    hand_take_with(&ops[0], EVQ_OK);
    (void)hand_keep(ops[0].accepted);
    faults_order(order);
    for (int i = 0; i < 2; i++) {
        evq_accept(listener, &ops[0]);
        if (i == 0)
            evq_recv(s, &ops[1], inbox, 1);
        else
            evq_readable(s, &ops[1]);
        evq_op *done;
        assert_int_equal(evq_wait(queue, &done, 1, 0), 0); /* both are in the kernel */
        for (int j = 0; j < 2; j++)
            assert_int_equal(evq_cancel(queue, &ops[j]), EVQ_OK);
        assert_int_equal(hand_take()->err, EVQ_ECANCELED);
        assert_int_equal(hand_take()->err, EVQ_ECANCELED);
        assert_int_equal(evq_wait(queue, &done, 1, 0), 0); /* and nothing twice */
    }
    assert_true(faults_pairs() > 0);
    faults_order(ORDER_AS_IT_IS);
}

static void a_cancel_may_be_completed_before_its_op(void **state)
{
    (void)state;
    cancel_everything_in_this_order(ORDER_CANCEL_FIRST);
}

static void a_cancel_may_be_completed_after_its_op(void **state)
{
    (void)state;
    cancel_everything_in_this_order(ORDER_OP_FIRST);
}

/* The library takes so many completions at once. Here the op's is the last of one batch, and that
 * of its cancel the first of the next: an op that came back already could be freed by then. */
static void an_op_does_not_come_back_before_its_cancel_is_completed(void **state)
{
    enum { BATCH = 256 };
    static evq_op *done[2 * BATCH];
    (void)state;
    evq_recv(hand_both(), &ops[0], inbox, 1);
    assert_int_equal(evq_wait(queue, done, 1, 0), 0);
    for (int i = 1; i < BATCH; i++)
        evq_send(hand_both(), &ops[i], "x", 1);
    assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_OK);
    faults_order(ORDER_OP_FIRST);
    int n = evq_wait(queue, done, 2 * BATCH, 0), pairs = faults_pairs();
    faults_order(ORDER_AS_IT_IS);
    assert_int_equal(pairs, 1);
    assert_int_equal(n, BATCH - 1);
    for (int i = 0; i < n; i++)
        assert_ptr_not_equal(done[i], &ops[0]);
    hand_take_with(&ops[0], EVQ_ECANCELED);
}

static void the_scenario_holds_in_each_order(void **state)
{
    static const enum order orders[] = {ORDER_CANCEL_FIRST, ORDER_OP_FIRST};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct report report;
        faults_order(orders[i]);
        scenario_run(&report, backend, NULL, 0, MANY_BYTES);
        faults_order(ORDER_AS_IT_IS);
        assert_string_equal(report.trouble, "");
        assert_int_equal(report.seen, 0);
    }
}

static void a_cancel_that_finds_nothing_is_asked_again(void **state)
{
    static const int errors[] = {ENOENT, EALREADY};
    evq_sock *s;
    evq_op *done;
    (void)state;
    (void)hand_pair(&s);
    for (int i = 0; i < 2; i++) {
        faults_reset();
        evq_recv(s, &ops[0], inbox, 1);
        assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
        hand_fail(CALL_CQE_CANCEL, errors[i], STUBBORN);
        assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_OK);
        hand_take_with(&ops[0], EVQ_ECANCELED);
        assert_int_equal(faults_count(CALL_CQE_CANCEL), STUBBORN + 1);
    }
}

/* It was found between two tries; then its data came, and won. */
static void data_that_comes_while_a_cancel_fails_is_not_lost(void **state)
{
    evq_sock *s;
    evq_op *done;
    int peer = hand_pair(&s);
    (void)state;
    evq_recv(s, &ops[0], inbox, 1);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    hand_fail(CALL_CQE_CANCEL, EALREADY, FOR_EVER);
    assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_OK);
    assert_int_equal(__real_send(peer, "x", 1, 0), 1);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(inbox[0], 'x');
}

/* ---- a full ring ----------------------------------------------------------------------------- */

/* So many requests that stay in the kernel, or in the ring: nobody sends. */
static void recvs_that_wait(int n)
{
    for (int i = 0; i < n; i += 2) {
        evq_sock *both = hand_both();
        evq_recv(&both[0], &ops[i], inbox, 1);
        if (i + 1 < n)
            evq_recv(&both[1], &ops[i + 1], inbox, 1);
    }
}

/* Twice as many sends and recvs as the ring takes, and more completions than it holds. */
static void more_requests_and_completions_than_a_ring_holds_are_all_served(void **state)
{
    enum { SOCKETS = 600 };
    int left = 2 * SOCKETS;
    (void)state;
    assert_true(left > RING_COMPLETIONS);
    for (int i = 0; i < SOCKETS; i += 2)
        (void)hand_both();
    memset(inbox, 0, sizeof inbox);
    for (int i = 0; i < SOCKETS; i++)
        evq_send(&socks[i], &ops[i], &"abcdefgh"[i % 8], 1);
    for (int i = 0; i < SOCKETS; i++)
        evq_recv(&socks[i], &ops[SOCKETS + i], &inbox[i], 1);
    assert_true(faults_count(CALL_RING_SUBMIT) >= 2);
    for (; left > 0; left--) {
        const evq_op *op = hand_take();
        assert_int_equal(op->err, EVQ_OK);
        assert_int_equal(op->nbytes, 1);
    }
    for (int i = 0; i < SOCKETS; i++)
        assert_int_equal(inbox[i], "abcdefgh"[(i ^ 1) % 8]);
}

static void an_op_finds_no_room(int err)
{
    recvs_that_wait(RING_ENTRIES);
    evq_sock *more = hand_both();
    hand_fail(CALL_RING_SUBMIT, err, 1);
    evq_recv(more, &ops[RING_ENTRIES], inbox, 1);
    hand_take_with(&ops[RING_ENTRIES], EVQ_ENOMEM);
    assert_int_equal(faults_hits(), 1);
    evq_recv(more, &ops[RING_ENTRIES], inbox, 1); /* the wait has made room */
    assert_int_equal(__real_send(more[1].fd, "x", 1, 0), 1);
    hand_take_with(&ops[RING_ENTRIES], EVQ_OK);
}

static void an_op_that_finds_no_room_since_memory_is_short_says_so(void **state)
{
    (void)state;
    an_op_finds_no_room(EAGAIN);
}

static void an_op_that_finds_no_room_since_completions_wait_says_so(void **state)
{
    (void)state;
    an_op_finds_no_room(EBUSY);
}

/* No request for the wake found room; so a sleep would have had no end. */
static void a_full_ring_does_not_sleep_through_a_wake(void **state)
{
    evq_op *done;
    int64_t deadline_ns = deadline_in_ms(HAND_PATIENCE_MS / 2);
    (void)state;
    recvs_that_wait(RING_ENTRIES); /* the queue is new: the wake is not armed yet */
    hand_fail(CALL_RING_SUBMIT, EAGAIN, 1);
    evq_wake(queue);
    assert_int_equal(evq_wait(queue, &done, 1, (int64_t)HAND_PATIENCE_MS * NS_PER_MS), 0);
    assert_true(clock_now_ns() < deadline_ns);
    assert_int_equal(faults_hits(), 1);
}

/* The same for a cancel: it is made later, and that is soon. */
static void a_full_ring_does_not_sleep_through_a_cancel(void **state)
{
    evq_op *done;
    int64_t deadline_ns = deadline_in_ms(HAND_PATIENCE_MS / 2);
    (void)state;
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0); /* the wake is armed */
    recvs_that_wait(RING_ENTRIES);
    hand_fail(CALL_RING_SUBMIT, EAGAIN, 2); /* by the cancel, and by the wait */
    assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_OK);
    assert_int_equal(evq_wait(queue, &done, 1, (int64_t)HAND_PATIENCE_MS * NS_PER_MS), 1);
    assert_ptr_equal(done, &ops[0]);
    assert_int_equal(ops[0].err, EVQ_ECANCELED);
    assert_true(clock_now_ns() < deadline_ns);
    assert_int_equal(faults_hits(), 2);
}

/* Its op ends before the cancel has found room: then there is nothing to be cancelled any more. */
static void a_cancel_that_found_no_room_is_forgotten_with_its_op(void **state)
{
    evq_op *done;
    (void)state;
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    recvs_that_wait(RING_ENTRIES);
    hand_fail(CALL_RING_SUBMIT, EAGAIN, FOR_EVER);
    for (int i = 0; i < 3; i++)
        assert_int_equal(evq_cancel(queue, &ops[2 * i]), EVQ_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(__real_send(socks[2 * i + 1].fd, "x", 1, 0), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hand_take()->nbytes, 1);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    assert_int_equal(faults_count(CALL_CQE_CANCEL), 0);
}

int run_ring(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cancel_may_be_completed_before_its_op),
        TEST(a_cancel_may_be_completed_after_its_op),
        TEST(an_op_does_not_come_back_before_its_cancel_is_completed),
        cmocka_unit_test(the_scenario_holds_in_each_order),
        TEST(a_cancel_that_finds_nothing_is_asked_again),
        TEST(data_that_comes_while_a_cancel_fails_is_not_lost),
        TEST(more_requests_and_completions_than_a_ring_holds_are_all_served),
        TEST(an_op_that_finds_no_room_since_memory_is_short_says_so),
        TEST(an_op_that_finds_no_room_since_completions_wait_says_so),
        TEST(a_full_ring_does_not_sleep_through_a_wake),
        TEST(a_full_ring_does_not_sleep_through_a_cancel),
        TEST(a_cancel_that_found_no_room_is_forgotten_with_its_op),
    };
    return strcmp(backend, "io_uring") == 0 ? RUN("the ring", tests) : 0;
}
