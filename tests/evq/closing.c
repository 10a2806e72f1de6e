/*
 * closing: line 12.
 */
#include "evq_case.h"

#include <stdlib.h>

static evq_sock s;
static evq_fd peer;
static char bytes[16];

static void close_returns_all_and_itself_last(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    for (int i = 0; i < 5; i++)
        evq_recv(&s, &ops[i], bytes, 1);
    for (int i = 5; i < 10; i++)
        evq_send(&s, &ops[i], big, BIG);
    forget(&s);
    evq_close(&s, &ops[10]);
    for (int i = 0; i < 10; i++)
        assert_int_equal(take_any()->err, EVQ_ECANCELED);
    take_with(&ops[10], EVQ_OK);
    for (int i = 0; i <= 10; i++)
        assert_int_equal(returns_of(&ops[i]), 1);
}

static void the_descriptor_is_closed_when_the_close_comes_back(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_fd fd = s.fd;
    forget(&s);
    evq_close(&s, &ops[0]);
    take_with(&ops[0], EVQ_OK);
    assert_false(system_is_open(fd));
    assert_int_equal(peer_get_to_end(peer), 0);
}

static void what_is_submitted_to_a_closing_socket_comes_back_before_the_close(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    forget(&s);
    evq_close(&s, &ops[0]);
    evq_recv(&s, &ops[1], bytes, 1);
    evq_send(&s, &ops[2], "x", 1);
    evq_readable(&s, &ops[3]);
    evq_recv(&s, &ops[4], bytes, 0);
    for (int i = 1; i < 5; i++)
        take_with(&ops[i], EVQ_ECLOSED);
    take_with(&ops[0], EVQ_OK);
}

/* The close may have become the first of those in hand, because the one before it was handed out: a
 * link back to that one would be out of date. */
static void a_submit_while_the_close_is_first_in_hand_comes_back_before_it(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_timer(queue, &ops[0], UINT64_MAX);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    forget(&s);
    evq_close(&s, &ops[1]);
    take_with(&ops[0], EVQ_ECANCELED);
    evq_recv(&s, &ops[2], bytes, 1);
    evq_send(&s, &ops[3], "x", 1);
    take_with(&ops[2], EVQ_ECLOSED);
    take_with(&ops[3], EVQ_ECLOSED);
    take_with(&ops[1], EVQ_OK);
    expect_nothing_now();
}

/* The address sanitizer judges this one. */
static void the_socket_may_be_freed_when_its_close_came_back(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        evq_sock *sock = calloc(1, sizeof *sock);
        evq_op *recv_op = calloc(1, sizeof *recv_op), *close_op = calloc(1, sizeof *close_op);
        evq_fd ends[2];
        assert_true(sock != NULL && recv_op != NULL && close_op != NULL);
        peer_pair(ends);
        assert_int_equal(evq_attach(queue, sock, ends[0]), EVQ_OK);
        evq_recv(sock, recv_op, bytes, 1);
        if (i % 2 == 0)
            expect_nothing_now();
        peer_put(ends[1], "x", 1); /* an event may be under way */
        evq_close(sock, close_op);
        take(recv_op);
        take(close_op);
        free(sock);
        free(recv_op);
        free(close_op);
        peer_close(ends[1]);
        expect_nothing_now();
    }
}

static void a_number_that_is_used_again_gets_no_old_events(void **state)
{
    static evq_sock fresh;
    evq_fd fresh_peer;
    (void)state;
    for (int i = 0; i < 50; i++) {
        open_pair(&s, &peer);
        evq_recv(&s, &ops[0], bytes, 1);
        expect_nothing_now();
        peer_put(peer, "old", 3);
        forget(&s);
        evq_close(&s, &ops[1]);
        open_pair(&fresh, &fresh_peer); /* often with the same number */
        evq_recv(&fresh, &ops[2], bytes + 8, 1);
        take(&ops[0]);
        take(&ops[1]);
        expect_nothing_now();
        peer_put(fresh_peer, "n", 1);
        take_with(&ops[2], EVQ_OK);
        assert_int_equal(bytes[8], 'n');
        close_now(&fresh);
    }
}

/* Another descriptor of the same connection stays open: in a child, or by dup(). */
static void a_copy_of_the_descriptor_keeps_no_event_alive(void **state)
{
    evq_fd copy;
    (void)state;
    open_pair(&s, &peer);
    if (!system_dup(s.fd, &copy))
        skip_because("a socket has only one descriptor here");
    (void)keep(copy);
    evq_recv(&s, &ops[0], bytes, 1);
    expect_nothing_now();
    forget(&s);
    evq_close(&s, &ops[1]);
    take_with(&ops[0], EVQ_ECANCELED);
    take_with(&ops[1], EVQ_OK);
    memset(&s, 0xff, sizeof s);
    peer_put(peer, "x", 1);
    expect_a_quiet_wait(100);
}

static void close_does_not_linger_and_delivers_what_was_taken(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    size_t sent = 0;
    peer_linger(s.fd, 30);
    for (int i = 0; i < 8; i++) {
        evq_send(&s, &ops[0], big, 4096);
        take_with(&ops[0], EVQ_OK);
        sent += 4096;
    }
    int64_t before_ns = clock_now_ns();
    close_now(&s);
    assert_true(clock_now_ns() - before_ns < (int64_t)20000 * NS_PER_MS);
    assert_int_equal(peer_get_to_end(peer), sent);
}

static void a_full_socket_does_not_linger_either(void **state)
{
    (void)state;
    open_narrow_pair(&s, &peer);
    peer_linger(s.fd, 30);
    evq_send(&s, &ops[0], big, BIG);
    expect_nothing_now();
    int64_t before_ns = clock_now_ns();
    close_now(&s);
    assert_true(clock_now_ns() - before_ns < (int64_t)20000 * NS_PER_MS);
}

static void a_close_that_is_to_reset_does(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    peer_linger(s.fd, 0);
    close_now(&s);
    int64_t got;
    peer_wait_readable(peer);
    got = peer_get_some(peer, bytes, 1);
    if (got == -1 && system_emulates(backend) != NULL)
        skip_because("the system is emulated %s, and that ends the stream before it resets",
                     system_emulates(backend));
    assert_int_equal(got, -2);
}

static void a_submit_after_the_close_came_back(void)
{
    evq_recv(&s, &ops[5], bytes, 1);
}

static void a_submit_after_the_close_came_back_is_an_assertion(void **state)
{
    bool able;
    (void)state;
#ifdef NDEBUG
    skip_because("built without assertions");
#endif
    open_pair(&s, &peer);
    close_now(&s);
    bool asserted = system_asserts(a_submit_after_the_close_came_back, &able);
    if (!able)
        skip_because("no child processes here in which an assertion could be seen");
    assert_true(asserted);
}

/* Its memory is the caller's again, whatever is still in hand. */
static void what_was_harvested_is_not_touched_again(void **state)
{
    unsigned char *memory = (unsigned char *)&ops[0];
    (void)state;
    open_pair(&s, &peer);
    forget(&s);
    evq_recv(&s, &ops[0], bytes, 1);
    evq_close(&s, &ops[1]);
    take(&ops[0]); /* one alone: the close may be in hand already */
    memset(&ops[0], 0x5a, sizeof ops[0]);
    evq_send(&s, &ops[2], "x", 1);
    take_with(&ops[2], EVQ_ECLOSED);
    take_with(&ops[1], EVQ_OK); /* the close is the last */
    for (size_t i = 0; i < sizeof ops[0]; i++)
        assert_int_equal(memory[i], 0x5a);
    memset(&ops[0], 0, sizeof ops[0]);
}

static void thousands_of_sockets_leave_no_descriptor(void **state)
{
    (void)state;
    int before = system_descriptors();
    if (before < 0)
        skip_because("this system does not tell which descriptors are open");
    for (int i = 0; i < 1000; i++) {
        evq_fd ends[2];
        peer_pair(ends);
        assert_int_equal(evq_attach(queue, &s, ends[0]), EVQ_OK);
        evq_recv(&s, &ops[0], bytes, 1);
        evq_send(&s, &ops[1], "x", 1);
        if (i % 2 == 0)
            peer_reset(ends[1]);
        else
            peer_close(ends[1]);
        evq_close(&s, &ops[2]);
        take_among(&ops[2]);
        assert_int_equal(returns_of(&ops[0]), i + 1);
        assert_int_equal(returns_of(&ops[1]), i + 1);
    }
    assert_int_equal(system_descriptors(), before);
}

static void many_sockets_close_at_once(void **state)
{
    static evq_sock socks[MANY];
    static evq_op close_ops[MANY];
    static evq_fd peers[MANY];
    (void)state;
    if (!system_wants_descriptors(2 * MANY + 100))
        skip_because("not enough descriptors");
    memset(close_ops, 0, sizeof close_ops);
    for (int i = 0; i < MANY; i++) {
        open_pair(&socks[i], &peers[i]);
        evq_recv(&socks[i], &ops[i], bytes, 1);
    }
    expect_nothing_now();
    for (int i = 0; i < MANY; i++) {
        peer_put(peers[i], "x", 1);
        forget(&socks[i]);
        evq_close(&socks[i], &close_ops[i]);
    }
    for (int i = 0; i < 2 * MANY; i++) {
        evq_op *op = take_any();
        if (op->kind == EVQ_CLOSE)
            assert_int_equal(returns_of(&ops[op - close_ops]), 1);
    }
    expect_nothing_now();
}

/* Where a queue keeps its sockets in a table, one that leaves may make another one move. */
static void the_sockets_that_stay_are_served_after_a_close(void **state)
{
    enum { FEW = 4 };
    static evq_sock socks[FEW];
    evq_fd peers[FEW];
    (void)state;
    for (int i = 0; i < FEW; i++)
        open_pair(&socks[i], &peers[i]);
    for (int gone = 0; gone < FEW; gone++) {
        close_now(&socks[gone]);
        for (int i = gone + 1; i < FEW; i++)
            evq_recv(&socks[i], &ops[i], bytes, 1);
        expect_nothing_now();
        for (int i = gone + 1; i < FEW; i++) {
            peer_put(peers[i], "x", 1);
            take_with(&ops[i], EVQ_OK);
        }
    }
}

/* Both are ready in one look at the kernel. Whoever is handed out first closes the other one, whose
 * memory is then used again, for a socket that has nothing to say. */
static void an_event_of_a_socket_that_was_closed_reaches_no_other(void **state)
{
    static evq_sock pair[2];
    static char room[2];
    evq_fd peers[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_pair(&pair[i], &peers[i]);
        evq_recv(&pair[i], &ops[i], &room[i], 1);
    }
    expect_nothing_now();
    for (int i = 0; i < 2; i++)
        peer_put(peers[i], "x", 1);
    int other = take_any() == &ops[0] ? 1 : 0;
    forget(&pair[other]);
    evq_close(&pair[other], &ops[2]);
    take_among(&ops[2]);
    memset(&pair[other], 0, sizeof pair[other]);
    open_pair(&pair[other], &peers[other]);
    evq_readable(&pair[other], &ops[3]);
    expect_nothing_for(20);
    peer_put(peers[other], "x", 1);
    take_with(&ops[3], EVQ_OK);
}

/* An accept may win against the close; then it hands over a socket all the same. */
static void an_accept_that_won_against_the_close_hands_over(void **state)
{
    static evq_sock listener;
    uint16_t port;
    (void)state;
    for (int i = 0; i < 50; i++) {
        open_listener(&listener, &port);
        evq_accept(&listener, &ops[0]);
        if (i % 2 == 0)
            expect_nothing_now();
        assert_true(peer_connect(&peer, port));
        forget(&listener);
        evq_close(&listener, &ops[1]);
        take(&ops[0]);
        assert_true((ops[0].err == EVQ_OK) == (ops[0].accepted != EVQ_NO_FD));
        if (ops[0].err == EVQ_OK)
            evq_tcp_close(ops[0].accepted);
        take_with(&ops[1], EVQ_OK);
        peer_close(peer);
    }
}

int run_closing(void)
{
    const struct CMUnitTest tests[] = {
        TEST(close_returns_all_and_itself_last),
        TEST(the_descriptor_is_closed_when_the_close_comes_back),
        TEST(what_is_submitted_to_a_closing_socket_comes_back_before_the_close),
        TEST(a_submit_while_the_close_is_first_in_hand_comes_back_before_it),
        TEST(the_socket_may_be_freed_when_its_close_came_back),
        TEST(a_number_that_is_used_again_gets_no_old_events),
        TEST(a_copy_of_the_descriptor_keeps_no_event_alive),
        TEST(close_does_not_linger_and_delivers_what_was_taken),
        TEST(a_full_socket_does_not_linger_either),
        TEST(a_close_that_is_to_reset_does),
        TEST(a_submit_after_the_close_came_back_is_an_assertion),
        TEST(what_was_harvested_is_not_touched_again),
        TEST(thousands_of_sockets_leave_no_descriptor),
        TEST(many_sockets_close_at_once),
        TEST(the_sockets_that_stay_are_served_after_a_close),
        TEST(an_event_of_a_socket_that_was_closed_reaches_no_other),
        TEST(an_accept_that_won_against_the_close_hands_over),
    };
    return RUN("closing", tests);
}
