/*
 * owning: who owns what, and until when: opening, attaching, destroying; lines 1 to 3 and 15 to 17.
 */
#include "evq_case.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- operations ------------------------------------------------------------------------------ */

static void an_op_may_be_submitted_again_as_soon_as_it_came_back(void **state)
{
    static evq_sock s;
    evq_fd peer;
    char byte;
    (void)state;
    open_pair(&s, &peer);
    for (int i = 0; i < 100; i++) {
        evq_recv(&s, &ops[0], &byte, 1);
        peer_put(peer, "x", 1);
        take_with(&ops[0], EVQ_OK);
    }
    assert_int_equal(returns_of(&ops[0]), 100);
}

static void an_op_says_what_it_was_and_on_which_socket(void **state)
{
    static evq_sock s;
    evq_fd peer;
    int mark;
    (void)state;
    open_pair(&s, &peer);
    ops[0].user = ops[1].user = &mark;
    evq_send(&s, &ops[0], "x", 1);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].kind, EVQ_SEND);
    assert_ptr_equal(ops[0].sock, &s);
    assert_ptr_equal(ops[0].user, &mark);
    assert_true(ops[0].accepted == EVQ_NO_FD);
    evq_timer(queue, &ops[1], 0);
    take_with(&ops[1], EVQ_OK);
    assert_int_equal(ops[1].kind, EVQ_TIMER);
    assert_null(ops[1].sock);
    assert_ptr_equal(ops[1].user, &mark);
}

static void submit_twice(void)
{
    static char byte;
    evq_recv(ops[0].sock, &ops[0], &byte, 1);
}

static void submitting_a_pending_op_is_an_assertion(void **state)
{
    static evq_sock s;
    evq_fd peer;
    static char byte;
    bool able;
    (void)state;
#ifdef NDEBUG
    skip_because("built without assertions");
#endif
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], &byte, 1);
    bool asserted = system_asserts(submit_twice, &able);
    if (!able)
        skip_because("no child processes here in which an assertion could be seen");
    assert_true(asserted);
}

/* Done, failed, cancelled, refused and closed, all in one. */
static void each_submit_gives_one_return_on_every_path(void **state)
{
    static evq_sock s;
    static char bytes[8];
    evq_fd peer;
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, 1);
    evq_send(&s, &ops[1], "x", 1);
    evq_recv(&s, &ops[2], bytes + 1, 1);
    evq_recv(&s, &ops[3], bytes, 0);
    evq_accept(&s, &ops[4]);
    evq_timer(queue, &ops[5], evq_now(queue));
    evq_timer(queue, &ops[6], UINT64_MAX);
    assert_int_equal(evq_cancel(queue, &ops[6]), 0);
    assert_int_equal(evq_cancel(queue, &ops[2]), 0);
    peer_put(peer, "y", 1);
    for (int i = 0; i < 7; i++)
        (void)take_any();
    evq_recv(&s, &ops[7], bytes, 1);
    forget(&s);
    evq_close(&s, &ops[8]);
    evq_recv(&s, &ops[9], bytes, 1);
    for (int i = 0; i < 3; i++)
        (void)take_any();
    expect_nothing_now();
    for (int i = 0; i < 10; i++)
        assert_int_equal(returns_of(&ops[i]), 1);
}

static void an_op_that_was_done_at_once_is_returned_by_the_wait_only(void **state)
{
    static evq_sock s;
    evq_fd peer;
    char byte;
    (void)state;
    open_pair(&s, &peer);
    evq_send(&s, &ops[0], "x", 1);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0); /* not idle: it has not come back */
    take(&ops[0]);
    assert_int_equal(evq_cancel(queue, &ops[0]), EVQ_ENOENT);
    if (ops[0].err == EVQ_OK)
        peer_get(peer, &byte, 1);
}

/* ---- the queue ------------------------------------------------------------------------------ */

static void the_queue_runs_on_the_backend_that_was_asked_for(void **state)
{
    (void)state;
    assert_string_equal(evq_backend_name(queue), backend);
}

static void a_backend_can_be_named_by_the_environment(void **state)
{
    evq *other = NULL;
    (void)state;
    char *before = getenv("EVQ_BACKEND");
    static char saved[64];
    (void)snprintf(saved, sizeof saved, "%s", before != NULL ? before : "");
    system_setenv("EVQ_BACKEND", backend);
    int err = evq_open(&other, NULL);
    system_setenv("EVQ_BACKEND", "no such thing");
    int wrong = evq_open(&other, NULL);
    system_setenv("EVQ_BACKEND", before != NULL ? saved : NULL);
    assert_int_equal(err, EVQ_OK);
    assert_int_equal(wrong, EVQ_EINVAL);
    assert_string_equal(evq_backend_name(other), backend);
    assert_int_equal(evq_destroy(other), EVQ_OK);
}

/* Which one it is, or NULL. */
static const char *opened(const evq_options *options)
{
    evq *other;
    if (evq_open(&other, options) != EVQ_OK)
        return NULL;
    const char *name = evq_backend_name(other);
    return evq_destroy(other) == EVQ_OK ? name : NULL;
}

static const char *best, *first;

static void open_both_ways(void *unused)
{
    (void)unused;
    best = opened(NULL);
    first = NULL;
    for (size_t i = 0; first == NULL && evq_backends()[i] != NULL; i++)
        first = opened(&(evq_options){.backend = evq_backends()[i]});
}

/* In a thread of its own: a ring that is closed ends a later wait of its thread before its time. */
static void without_a_name_the_first_that_works_is_opened(void **state)
{
    struct system_thread thread;
    (void)state;
    const char *before = getenv("EVQ_BACKEND");
    static char saved[64];
    (void)snprintf(saved, sizeof saved, "%s", before != NULL ? before : "");
    system_setenv("EVQ_BACKEND", NULL);
    system_thread_start(&thread, open_both_ways, NULL);
    system_thread_join(&thread);
    system_setenv("EVQ_BACKEND", before != NULL ? saved : NULL);
    assert_non_null(best);
    assert_string_equal(best, first);
}

static void opening_and_destroying_leaves_no_descriptor(void **state)
{
    evq_options options = {.backend = backend};
    (void)state;
    int before = 0;
    for (int i = 0; i < 20; i++) {
        evq *other;
        if (i == 1) /* the first one may leave something that the next one uses */
            before = system_descriptors();
        if (before < 0)
            skip_because("this system does not tell which descriptors are open");
        assert_int_equal(evq_open(&other, &options), EVQ_OK);
        assert_int_equal(evq_destroy(other), EVQ_OK);
    }
    assert_int_equal(system_descriptors(), before);
}

static void opening_without_descriptors_fails_and_leaves_none(void **state)
{
    evq_options options = {.backend = backend};
    evq *other = NULL;
    (void)state;
    int before = system_descriptors();
    int failures = 0;
    for (int room = 0; room < 4; room++) {
        if (!system_leaves_descriptors(room))
            skip_because("descriptors have no limit here");
        int err = evq_open(&other, &options);
        assert_true(system_leaves_descriptors(-1));
        if (err == EVQ_OK)
            assert_int_equal(evq_destroy(other), EVQ_OK);
        else
            assert_int_equal(err, EVQ_EMFILE);
        failures += err != EVQ_OK;
    }
    assert_true(failures > 0);
    assert_int_equal(system_descriptors(), before);
}

static void destroy_is_refused_while_an_op_is_pending(void **state)
{
    (void)state;
    evq_timer(queue, &ops[0], UINT64_MAX);
    assert_int_equal(evq_destroy(queue), EVQ_EBUSY);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    assert_int_equal(evq_destroy(queue), EVQ_EBUSY); /* it has not come back yet */
    take_with(&ops[0], EVQ_ECANCELED);
    assert_int_equal(evq_destroy(queue), EVQ_OK);
    queue = NULL;
}

static void destroy_is_refused_while_a_socket_is_attached(void **state)
{
    static evq_sock s;
    evq_fd ends[2];
    (void)state;
    peer_pair(ends);
    assert_int_equal(evq_attach(queue, &s, ends[0]), EVQ_OK);
    (void)keep(ends[1]);
    assert_int_equal(evq_destroy(queue), EVQ_EBUSY);
    evq_close(&s, &ops[0]);
    assert_int_equal(evq_destroy(queue), EVQ_EBUSY);
    take_with(&ops[0], EVQ_OK);
}

static void no_queue_can_be_destroyed(void **state)
{
    (void)state;
    assert_int_equal(evq_destroy(NULL), EVQ_OK);
}

static void a_wake_before_destroy_does_no_harm(void **state)
{
    (void)state;
    evq_wake(queue);
    assert_int_equal(evq_destroy(queue), EVQ_OK);
    queue = NULL;
}

static void wait_once(void *waited)
{
    evq_op *done;
    *(bool *)waited = evq_wait(queue, &done, 1, 0) == 0;
}

static void wait_in_another_thread(void)
{
    static bool waited;
    struct system_thread thread;
    system_thread_start(&thread, wait_once, &waited);
    system_thread_join(&thread);
}

static void a_wait_in_another_thread_is_an_assertion(void **state)
{
    bool able;
    (void)state;
#ifdef NDEBUG
    skip_because("built without assertions");
#endif
    bool asserted = system_asserts(wait_in_another_thread, &able);
    if (!able)
        skip_because("no child processes here in which an assertion could be seen");
    assert_true(asserted);
}

static void use_a_queue(void *worked)
{
    evq_options options = {.backend = backend};
    static evq_op timer;
    evq_op *done;
    evq *own;
    if (evq_open(&own, &options) != EVQ_OK)
        return;
    memset(&timer, 0, sizeof timer);
    evq_timer(own, &timer, 0);
    *(bool *)worked =
        evq_wait(own, &done, 1, EVQ_FOREVER) == 1 && done == &timer && evq_destroy(own) == EVQ_OK;
}

static void a_thread_may_have_a_queue_of_its_own(void **state)
{
    bool worked = false;
    struct system_thread thread;
    (void)state;
    system_thread_start(&thread, use_a_queue, &worked);
    system_thread_join(&thread);
    assert_true(worked);
}

static int use_a_queue_in_a_child(void)
{
    bool worked = false;
    use_a_queue(&worked);
    return worked ? 0 : 1;
}

static void a_child_may_open_a_queue_of_its_own(void **state)
{
    static evq_sock s;
    evq_fd peer;
    char byte;
    bool able;
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], &byte, 1);
    int status = system_child(use_a_queue_in_a_child, &able);
    if (!able)
        skip_because("no child processes here");
    assert_int_equal(status, 0);
    peer_put(peer, "x", 1); /* and the parent's goes on */
    take_with(&ops[0], EVQ_OK);
}

/* ---- attaching ------------------------------------------------------------------------------ */

static void attach_makes_non_blocking_and_close_on_exec(void **state)
{
    static evq_sock s;
    evq_fd copy = EVQ_NO_FD;
    (void)state;
    evq_fd fd;
    assert_int_equal(evq_tcp_socket(&fd, AF_INET), EVQ_OK);
    if (!system_dup(fd, &copy))
        skip_because("this system cannot say how a descriptor is set");
    evq_tcp_close(fd); /* a copy made by dup() is not close-on-exec */
    attach(&s, copy);
    assert_int_not_equal(system_is_nonblocking(copy), 0);
    assert_int_not_equal(system_is_close_on_exec(copy), 0);
}

static void attach_refuses_what_is_no_stream(void **state)
{
    evq_sock s = {.user = NULL};
    (void)state;
    evq_fd fd = keep(peer_datagram_socket());
    assert_int_equal(evq_attach(queue, &s, fd), EVQ_ENOTSUP);
    assert_int_not_equal(peer_port_of(fd) == 0 && !system_is_open(fd), 1); /* still the caller's */
}

static void attach_refuses_what_is_no_socket(void **state)
{
    evq_sock s = {.user = NULL};
    evq_fd fd;
    (void)state;
    if (!system_no_socket(&fd))
        skip_because("a descriptor here is always a socket");
    int err = evq_attach(queue, &s, fd);
    evq_tcp_close(fd);
    assert_int_equal(err, EVQ_ENOTSUP);
}

static void attach_keeps_what_the_user_wrote(void **state)
{
    static evq_sock s;
    evq_fd ends[2];
    (void)state;
    s.user = &ends;
    peer_pair(ends);
    attach(&s, ends[0]);
    (void)keep(ends[1]);
    assert_ptr_equal(s.user, &ends);
    assert_true(s.fd == ends[0]);
}

int run_owning(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_op_may_be_submitted_again_as_soon_as_it_came_back),
        TEST(an_op_says_what_it_was_and_on_which_socket),
        TEST(submitting_a_pending_op_is_an_assertion),
        TEST(each_submit_gives_one_return_on_every_path),
        TEST(an_op_that_was_done_at_once_is_returned_by_the_wait_only),
        TEST(the_queue_runs_on_the_backend_that_was_asked_for),
        TEST(a_backend_can_be_named_by_the_environment),
        TEST(without_a_name_the_first_that_works_is_opened),
        TEST(opening_and_destroying_leaves_no_descriptor),
        TEST(opening_without_descriptors_fails_and_leaves_none),
        TEST(destroy_is_refused_while_an_op_is_pending),
        TEST(destroy_is_refused_while_a_socket_is_attached),
        TEST(no_queue_can_be_destroyed),
        TEST(a_wake_before_destroy_does_no_harm),
        TEST(a_wait_in_another_thread_is_an_assertion),
        TEST(a_thread_may_have_a_queue_of_its_own),
        TEST(a_child_may_open_a_queue_of_its_own),
        TEST(attach_makes_non_blocking_and_close_on_exec),
        TEST(attach_refuses_what_is_no_stream),
        TEST(attach_refuses_what_is_no_socket),
        TEST(attach_keeps_what_the_user_wrote),
    };
    return RUN("owning", tests);
}
