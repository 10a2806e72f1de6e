/*
 * accepting: line 8, and what evq_tcp_listen() makes.
 */
#include "evq_case.h"

#include <stdlib.h>

enum { CLIENTS = 200, FLOOD = 50 };

static evq_sock listener, s;
static uint16_t port;
static evq_fd peer;
static char bytes[16];

static evq_fd connect_peer(void)
{
    evq_fd fd;
    assert_true(peer_connect(&fd, port));
    return keep(fd);
}

static void accept_hands_over_one_connection(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    evq_accept(&listener, &ops[0]);
    expect_nothing_now();
    peer = connect_peer();
    take_with(&ops[0], EVQ_OK);
    assert_true(ops[0].accepted != EVQ_NO_FD);
    attach(&s, ops[0].accepted);
    peer_put(peer, "abc", 3);
    evq_recv(&s, &ops[1], bytes, 3);
    take_with(&ops[1], EVQ_OK);
    evq_send(&s, &ops[2], "x", 1);
    take_with(&ops[2], EVQ_OK);
    peer_get(peer, bytes, 1);
}

static void a_client_that_came_before_the_accept_is_handed_over(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < 5; i++)
        (void)connect_peer();
    for (int i = 0; i < 5; i++) {
        evq_accept(&listener, &ops[i]);
        take_with(&ops[i], EVQ_OK);
        (void)keep(ops[i].accepted);
    }
    evq_accept(&listener, &ops[0]);
    expect_nothing_now();
}

static void many_accepts_take_many_clients(void **state)
{
    (void)state;
    if (!system_wants_descriptors(3 * CLIENTS))
        skip_because("not enough descriptors");
    open_listener(&listener, &port);
    for (int i = 0; i < CLIENTS; i++)
        evq_accept(&listener, &ops[i]);
    for (int i = 0; i < CLIENTS; i++) {
        (void)connect_peer();
        evq_op *op = take_any();
        assert_int_equal(op->err, EVQ_OK);
        (void)keep(op->accepted);
    }
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(returns_of(&ops[i]), 1);
}

static void one_accept_takes_one_client_only(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    evq_accept(&listener, &ops[0]);
    for (int i = 0; i < 3; i++)
        (void)connect_peer();
    take_with(&ops[0], EVQ_OK);
    (void)keep(ops[0].accepted);
    expect_nothing_now();
}

/* A queue that prepares the socket before the client comes (AcceptEx) must not hand over the same
 * one twice. Each client sends its own byte, and each socket must give another one. */
static void accepts_hand_over_different_connections(void **state)
{
    enum { THREE = 3 };
    static evq_sock accepted[THREE];
    int seen[256] = {0};
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < THREE; i++)
        evq_accept(&listener, &ops[i]);
    for (int i = 0; i < THREE; i++)
        peer_put(connect_peer(), &"abc"[i], 1);
    for (int i = 0; i < THREE; i++)
        assert_int_equal(take_any()->err, EVQ_OK);
    for (int i = 0; i < THREE; i++)
        for (int j = 0; j < i; j++)
            assert_true(ops[i].accepted != ops[j].accepted);
    for (int i = 0; i < THREE; i++) {
        attach(&accepted[i], ops[i].accepted);
        evq_recv(&accepted[i], &ops[THREE], bytes, 1);
        take_with(&ops[THREE], EVQ_OK);
        assert_int_equal(seen[(unsigned char)bytes[0]]++, 0);
    }
}

static void an_accepted_socket_is_non_blocking_and_close_on_exec(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    evq_accept(&listener, &ops[0]);
    (void)connect_peer();
    take_with(&ops[0], EVQ_OK);
    evq_fd fd = keep(ops[0].accepted);
    if (system_is_nonblocking(fd) < 0)
        skip_because("this system cannot say how a descriptor is set");
    assert_int_equal(system_is_nonblocking(fd), 1);
    assert_int_equal(system_is_close_on_exec(fd), 1);
}

static void a_client_that_aborts_does_no_harm_to_the_listener(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < FLOOD; i++) {
        evq_fd fd;
        assert_true(peer_connect(&fd, port));
        peer_reset(fd);
    }
    peer = connect_peer();
    peer_put(peer, "x", 1);
    for (bool served = false; !served;) { /* the aborted ones may be handed over, or not */
        evq_accept(&listener, &ops[0]);
        take(&ops[0]);
        if (ops[0].err == EVQ_ECONNRESET)
            continue; /* so many in a row that accept has given up */
        assert_int_equal(ops[0].err, EVQ_OK);
        attach(&s, ops[0].accepted);
        evq_recv(&s, &ops[1], bytes, 1);
        take(&ops[1]);
        served = ops[1].err == EVQ_OK && ops[1].nbytes == 1;
        close_now(&s);
    }
}

/* It comes back with the error, and nothing goes on trying: so nothing burns time. */
/* valgrind keeps the limit itself: it has the kernel accept a client, closes it and says EMFILE. */
static bool valgrind_loses_clients(void)
{
    const char *loaded = getenv("LD_PRELOAD");
    return loaded != NULL && strstr(loaded, "vgpreload") != NULL;
}

static void without_descriptors_accept_fails_and_nothing_spins(void **state)
{
    (void)state;
    if (valgrind_loses_clients())
        skip_because("valgrind accepts the client, drops it and says EMFILE: nobody is left");
    open_listener(&listener, &port);
    (void)connect_peer();
    evq_fd spare = keep(peer_datagram_socket());
    if (!system_leaves_descriptors(0))
        skip_because("descriptors have no limit here");
    evq_accept(&listener, &ops[0]);
    evq_op *op = take_any();
    expect_a_quiet_wait(200);
    evq_accept(&listener, &ops[1]); /* to be tried again */
    evq_op *again = take_any();
    int err = ops[1].err;
    let_go(spare);
    evq_tcp_close(spare);
    evq_accept(&listener, &ops[2]); /* now there is one */
    take(&ops[2]);
    assert_true(system_leaves_descriptors(-1));
    assert_ptr_equal(op, &ops[0]);
    assert_int_equal(ops[0].err, EVQ_EMFILE);
    assert_ptr_equal(again, &ops[1]);
    assert_int_equal(err, EVQ_EMFILE);
    assert_int_equal(ops[2].err, EVQ_OK);
    (void)keep(ops[2].accepted);
}

static void accept_on_what_does_not_listen_is_invalid(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_accept(&s, &ops[0]);
    take_with(&ops[0], EVQ_EINVAL);
    evq_recv(&s, &ops[1], bytes, 1);
    expect_nothing_now();
    assert_int_equal(evq_cancel(queue, &ops[1]), EVQ_OK);
    take_with(&ops[1], EVQ_ECANCELED);
    evq_accept(&s, &ops[2]); /* nor does it wait for what will never come */
    take_with(&ops[2], EVQ_EINVAL);
}

static void a_listener_can_do_nothing_but_accept(void **state)
{
    struct sockaddr_in addr = peer_address(1);
    (void)state;
    open_listener(&listener, &port);
    evq_recv(&listener, &ops[0], bytes, 1);
    evq_readable(&listener, &ops[1]);
    evq_send(&listener, &ops[2], "x", 1);
    evq_connect(&listener, &ops[3], (struct sockaddr *)&addr, sizeof addr);
    for (int i = 0; i < 4; i++)
        take_with(&ops[i], EVQ_EINVAL);
    evq_accept(&listener, &ops[4]);
    (void)connect_peer();
    take_with(&ops[4], EVQ_OK);
    (void)keep(ops[4].accepted);
}

static void a_cancelled_accept_leaves_the_client_for_the_next(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < 10; i++) {
        evq_accept(&listener, &ops[0]);
        assert_int_equal(evq_cancel(queue, &ops[0]), 0);
        take_with(&ops[0], EVQ_ECANCELED);
        assert_true(ops[0].accepted == EVQ_NO_FD);
    }
    peer = connect_peer();
    evq_accept(&listener, &ops[1]);
    take_with(&ops[1], EVQ_OK);
    (void)keep(ops[1].accepted);
}

static void an_accept_and_its_cancel_lose_no_client(void **state)
{
    int accepted = 0;
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < CLIENTS; i++) {
        evq_accept(&listener, &ops[0]);
        (void)connect_peer();
        assert_int_equal(evq_cancel(queue, &ops[0]), 0);
        take(&ops[0]);
        if (ops[0].err == EVQ_OK) {
            (void)keep(ops[0].accepted);
            accepted++;
        } else {
            assert_int_equal(ops[0].err, EVQ_ECANCELED);
        }
    }
    for (; accepted < CLIENTS; accepted++) {
        evq_accept(&listener, &ops[1]);
        take_with(&ops[1], EVQ_OK);
        (void)keep(ops[1].accepted);
    }
    evq_accept(&listener, &ops[1]);
    expect_nothing_now();
}

static void closing_a_listener_returns_its_accepts(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < 5; i++)
        evq_accept(&listener, &ops[i]);
    forget(&listener);
    evq_close(&listener, &ops[5]);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take_any()->err, EVQ_ECANCELED);
    take_with(&ops[5], EVQ_OK);
}

/* ---- evq_tcp_... ---------------------------------------------------------------------------- */

static void a_port_that_is_taken_is_an_address_error(void **state)
{
    evq_fd first, second;
    (void)state;
    assert_int_equal(evq_tcp_listen(&first, "127.0.0.1", 0, 5), EVQ_OK);
    (void)keep(first);
    assert_int_equal(evq_tcp_port(first, &port), EVQ_OK);
    assert_int_not_equal(port, 0);
    assert_int_equal(evq_tcp_listen(&second, "127.0.0.1", port, 5), EVQ_EADDR);
}

static void an_address_that_is_none_is_invalid(void **state)
{
    static const char *const wrong[] = {"",          "localhost", "1.2.3",
                                        "256.1.1.1", "::g",       "127.0.0.1:80"};
    evq_fd fd;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(evq_tcp_listen(&fd, wrong[i], 0, 5), EVQ_EINVAL);
    assert_int_equal(evq_tcp_listen(&fd, "192.0.2.1", 0, 5), EVQ_EADDR); /* not this machine's */
}

static void an_ipv6_listener_accepts(void **state)
{
    evq_fd fd, client;
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
    (void)state;
    if (evq_tcp_listen(&fd, "::1", 0, 5) != EVQ_OK)
        skip_because("no IPv6 here");
    attach(&listener, fd);
    assert_int_equal(evq_tcp_port(fd, &port), EVQ_OK);
    assert_int_equal(evq_tcp_socket(&client, AF_INET6), EVQ_OK);
    attach(&s, client);
    addr.sin6_addr.s6_addr[15] = 1;
    addr.sin6_port = htons(port);
    evq_accept(&listener, &ops[0]);
    evq_connect(&s, &ops[1], (struct sockaddr *)&addr, sizeof addr);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_any()->err, EVQ_OK);
    (void)keep(ops[0].accepted);
}

static void a_socket_can_be_closed_unattached(void **state)
{
    evq_fd fd;
    (void)state;
    assert_int_equal(evq_tcp_socket(&fd, AF_INET), EVQ_OK);
    assert_int_equal(evq_tcp_nodelay(fd), EVQ_OK);
    assert_true(system_is_open(fd));
    evq_tcp_close(fd);
    assert_false(system_is_open(fd));
    assert_int_not_equal(evq_tcp_socket(&fd, -1), EVQ_OK);
}

int run_accepting(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accept_hands_over_one_connection),
        TEST(a_client_that_came_before_the_accept_is_handed_over),
        TEST(many_accepts_take_many_clients),
        TEST(one_accept_takes_one_client_only),
        TEST(accepts_hand_over_different_connections),
        TEST(an_accepted_socket_is_non_blocking_and_close_on_exec),
        TEST(a_client_that_aborts_does_no_harm_to_the_listener),
        TEST(without_descriptors_accept_fails_and_nothing_spins),
        TEST(accept_on_what_does_not_listen_is_invalid),
        TEST(a_listener_can_do_nothing_but_accept),
        TEST(a_cancelled_accept_leaves_the_client_for_the_next),
        TEST(an_accept_and_its_cancel_lose_no_client),
        TEST(closing_a_listener_returns_its_accepts),
        TEST(a_port_that_is_taken_is_an_address_error),
        TEST(an_address_that_is_none_is_invalid),
        TEST(an_ipv6_listener_accepts),
        TEST(a_socket_can_be_closed_unattached),
    };
    return RUN("accepting", tests);
}
