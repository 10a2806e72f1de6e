/*
 * causes.c: bugs that these tests have found, each named after its cause. What a row of the table
 * shows as it is has no test here.
 */
#include "hand.h"
#include "real.h"

#include "harness/clock.h"
#include "harness/skip.h"

#include <errno.h>
#include <string.h>

static bool is(const char *name)
{
    return strcmp(backend, name) == 0;
}

/* The flag was up, and nothing was written: this wake was lost, and each one after it. */
static void a_wake_that_is_interrupted_is_not_the_last_one(void **state)
{
    evq_op *done;
    (void)state;
    hand_fail(CALL_WRITE, EINTR, 3);
    for (int i = 0; i < 3; i++) {
        int64_t deadline_ns = deadline_in_ms(HAND_PATIENCE_MS / 2);
        evq_wake(queue);
        assert_int_equal(evq_wait(queue, &done, 1, (int64_t)HAND_PATIENCE_MS * NS_PER_MS), 0);
        assert_true(clock_now_ns() < deadline_ns);
    }
    assert_int_equal(faults_hits(), 3);
}

static int wakes_in_between;

static void wake_in_between(void)
{
    wakes_in_between++;
    evq_wake(queue);
}

/* The flag was lowered before the descriptor was drained: this wake raised it, and what it wrote
 * went with the rest. From there on the flag was up, and each later wake wrote nothing. */
static void a_wake_while_another_is_taken_is_not_the_last_one(void **state)
{
    (void)state;
    evq_op *done[1];
    if (is("kqueue") || is("epoll"))
        skip_because("it takes a wake with its event and drains nothing: there is no in between");
    for (int i = 0; i < 3; i++) {
        wakes_in_between = 0;
        faults_in_between(CALL_READ, wake_in_between);
        evq_wake(queue);
        int64_t begin_ns = clock_now_ns();
        assert_int_equal(evq_wait(queue, done, 1, HAND_PATIENCE_MS * INT64_C(1000000)), 0);
        assert_true(clock_now_ns() - begin_ns < HAND_PATIENCE_MS * INT64_C(500000));
        assert_int_equal(wakes_in_between, 1);
    }
}

/* A signal handler may wake, and what it interrupts is about to look at its own errno. */
static void a_wake_that_fails_keeps_errno(void **state)
{
    (void)state;
    hand_fail(CALL_WRITE, EINTR, 1);
    errno = ERANGE;
    evq_wake(queue);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(faults_hits(), 1);
}

/* Filters of containers say EPERM for calls that are younger than they. The queue was broken. */
static void a_filter_that_forbids_epoll_pwait2_leaves_the_queue_whole(void **state)
{
    (void)state;
    if (!is("epoll"))
        skip_because("this backend does not call epoll_pwait2()");
    hand_fail(CALL_EPOLL_PWAIT2, EPERM, FOR_EVER);
    for (int i = 0; i < 3; i++) {
        evq_timer(queue, &ops[0], evq_now(queue) + NS_PER_MS / 3);
        hand_take_with(&ops[0], EVQ_OK);
    }
    assert_true(faults_hits() <= 1); /* once was enough */
}

/* The knote stayed, and pointed to memory that is the caller's again. */
static void an_attach_that_fails_leaves_no_knote_behind(void **state)
{
    int ends[2];
    evq_sock *s;
    evq_op *done;
    (void)state;
    if (!is("kqueue"))
        skip_because("this backend has no knotes");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    (void)hand_keep(ends[0]);
    (void)hand_keep(ends[1]);
    faults_add((struct fault){CALL_KEVENT_ADD, faults_count(CALL_KEVENT_ADD) + 1, 1, ENOMEM,
                              INSTEAD}); /* the one for writing */
    hand_fail(CALL_KEVENT_DELETE, EINTR, 2);
    assert_int_equal(hand_try_to_attach(ends[0], &s), EVQ_ENOMEM);
    assert_int_equal(faults_hits(), 3);
    assert_int_equal(__real_send(ends[1], "x", 1, 0), 1);
    int waits = faults_count(CALL_KEVENT_WAIT);
    assert_int_equal(evq_wait(queue, &done, 1, 20 * NS_PER_MS), 0);
    assert_int_equal(faults_count(CALL_KEVENT_WAIT) - waits, 1); /* nothing came in between */
}

/* Who only looks, and never sleeps, was never told. */
static void a_queue_that_is_broken_says_so_to_a_look_too(void **state)
{
    static const enum call waits[] = {CALL_EPOLL_WAIT, CALL_POLL, CALL_LOOK, CALL_KEVENT_WAIT,
                                      CALL_RING_LOOK};
    evq_op *done;
    (void)state;
    int calls = sizeof waits / sizeof waits[0], errors = 0;
    for (int i = 0; i < calls; i++) {
        faults_reset();
        hand_fail(waits[i], EBADF, 1);
        int n = evq_wait(queue, &done, 1, 0);
        assert_int_equal(n, faults_hits() > 0 ? EVQ_EINVAL : 0);
        errors += n < 0;
    }
    assert_int_equal(errors, 1);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
}

int run_causes(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wake_that_is_interrupted_is_not_the_last_one),
        TEST(a_wake_while_another_is_taken_is_not_the_last_one),
        TEST(a_wake_that_fails_keeps_errno),
        TEST(a_filter_that_forbids_epoll_pwait2_leaves_the_queue_whole),
        TEST(an_attach_that_fails_leaves_no_knote_behind),
        TEST(a_queue_that_is_broken_says_so_to_a_look_too),
    };
    return RUN("causes", tests);
}
