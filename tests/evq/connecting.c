/*
 * connecting: line 9.
 */
#include "evq_case.h"

static evq_sock s, listener;
static uint16_t port;
static struct sockaddr_in addr;
static char bytes[16];

static void open_unconnected(void)
{
    evq_fd fd;
    assert_int_equal(evq_tcp_socket(&fd, AF_INET), EVQ_OK);
    attach(&s, fd);
}

static void open_both(void)
{
    open_listener(&listener, &port);
    addr = peer_address(port);
    open_unconnected();
}

static void begin_connect(evq_op *op)
{
    evq_connect(&s, op, (struct sockaddr *)&addr, sizeof addr);
}

static void connect_succeeds_and_the_stream_works(void **state)
{
    (void)state;
    open_both();
    evq_accept(&listener, &ops[0]);
    begin_connect(&ops[1]);
    take_among(&ops[1]);
    assert_int_equal(ops[1].err, EVQ_OK);
    if (returns_of(&ops[0]) == 0)
        take(&ops[0]);
    evq_fd peer = keep(ops[0].accepted);
    evq_send(&s, &ops[2], "abc", 3);
    take_with(&ops[2], EVQ_OK);
    peer_get(peer, bytes, 3);
    peer_put(peer, "x", 1);
    evq_recv(&s, &ops[3], bytes, 1);
    take_with(&ops[3], EVQ_OK);
}

/* A send on a socket that is not connected fails; where it is not known at once, the connect waits
 * behind it, and is cancelled before it has begun. What waits for the connect must hear of that. */
static void a_recv_behind_a_cancelled_connect_is_not_forgotten(void **state)
{
    (void)state;
    open_both();
    evq_send(&s, &ops[0], "x", 1);
    begin_connect(&ops[1]);
    evq_recv(&s, &ops[2], bytes, 1);
    (void)evq_cancel(queue, &ops[1]);
    take_among(&ops[1]);
    if (ops[1].err == EVQ_OK)
        skip_because("this system had connected it already");
    while (returns_of(&ops[0]) == 0 || returns_of(&ops[2]) == 0)
        (void)take_any();
    assert_int_not_equal(ops[0].err, EVQ_OK);
    assert_int_equal(ops[1].err, EVQ_ECANCELED);
    assert_int_equal(ops[2].err, EVQ_ENOTCONN);
}

static void a_connect_is_refused(void **state)
{
    (void)state;
    open_unconnected();
    addr = peer_address(peer_free_port());
    begin_connect(&ops[0]);
    take_with(&ops[0], EVQ_ECONNREFUSED);
    assert_int_not_equal(ops[0].os_err, 0);
}

/* A socket that is not connected looks writable and hung up to some kernels. */
static void readiness_before_the_connect_is_forgotten(void **state)
{
    (void)state;
    open_unconnected();
    expect_nothing_now();
    expect_nothing_for(20);
    addr = peer_address(peer_free_port());
    begin_connect(&ops[0]);
    take_with(&ops[0], EVQ_ECONNREFUSED);
}

static void readable_does_not_take_the_readiness_before_the_connect_for_data(void **state)
{
    (void)state;
    open_both();
    expect_nothing_for(20);
    evq_accept(&listener, &ops[0]);
    begin_connect(&ops[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_any()->err, EVQ_OK);
    evq_fd peer = keep(ops[0].accepted);
    evq_readable(&s, &ops[2]);
    expect_nothing_now();
    peer_put(peer, "x", 1);
    take_with(&ops[2], EVQ_OK);
}

static void nothing_was_learned_of_a_connect_too_early(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        open_unconnected();
        addr = peer_address(peer_free_port());
        begin_connect(&ops[0]);
        evq_send(&s, &ops[1], "x", 1);
        take_with(&ops[0], EVQ_ECONNREFUSED);
        take_with(&ops[1], EVQ_ENOTCONN);
        close_now(&s);
    }
}

static void what_is_submitted_meanwhile_waits_for_the_connect(void **state)
{
    (void)state;
    open_both();
    evq_accept(&listener, &ops[0]);
    begin_connect(&ops[2]);
    evq_recv(&s, &ops[3], bytes, 1);
    evq_send(&s, &ops[4], "abc", 3);
    evq_readable(&s, &ops[5]);
    while (returns_of(&ops[4]) == 0 || returns_of(&ops[0]) == 0)
        (void)take_any();
    assert_true(ops[2].err == EVQ_OK && ops[4].err == EVQ_OK);
    evq_fd peer = keep(ops[0].accepted);
    peer_get(peer, bytes, 3);
    peer_put(peer, "xy", 2);
    take_with(&ops[3], EVQ_OK);
    take_with(&ops[5], EVQ_OK);
}

static void after_a_refused_connect_all_else_is_not_connected(void **state)
{
    (void)state;
    open_unconnected();
    addr = peer_address(peer_free_port());
    begin_connect(&ops[0]);
    evq_recv(&s, &ops[1], bytes, 1);
    take_with(&ops[0], EVQ_ECONNREFUSED);
    take_with(&ops[1], EVQ_ENOTCONN);
    evq_recv(&s, &ops[2], bytes, 1);
    evq_send(&s, &ops[3], "x", 1);
    evq_readable(&s, &ops[4]);
    for (int i = 2; i < 5; i++)
        take_with(&ops[i], EVQ_ENOTCONN);
    begin_connect(&ops[5]); /* one for each socket, whatever has come of it */
    take_with(&ops[5], EVQ_EINVAL);
}

static void a_socket_that_never_was_connected_says_so(void **state)
{
    (void)state;
    open_unconnected();
    evq_recv(&s, &ops[0], bytes, 1);
    take_with(&ops[0], EVQ_ENOTCONN);
    evq_send(&s, &ops[1], "x", 1);
    take(&ops[1]);
    if (ops[1].err == EVQ_ECONNRESET && system_emulates(backend) != NULL)
        skip_because("the system is emulated %s, and that takes it for a reset",
                     system_emulates(backend));
    assert_int_equal(ops[1].err, EVQ_ENOTCONN);
}

static void a_second_connect_is_invalid(void **state)
{
    (void)state;
    open_both();
    begin_connect(&ops[0]);
    begin_connect(&ops[1]);
    take_with(&ops[0], EVQ_OK);
    take_with(&ops[1], EVQ_EINVAL);
    evq_send(&s, &ops[2], "x", 1); /* and the first one still counts */
    take_with(&ops[2], EVQ_OK);
}

static void cancelling_the_second_connect_does_not_touch_the_first(void **state)
{
    (void)state;
    open_both();
    begin_connect(&ops[0]);
    begin_connect(&ops[1]);
    assert_int_equal(evq_cancel(queue, &ops[1]), 0);
    for (int i = 0; i < 2; i++)
        (void)take_any();
    assert_int_equal(ops[0].err, EVQ_OK);
    evq_send(&s, &ops[2], "x", 1);
    take_with(&ops[2], EVQ_OK);
}

/* Fills a listener's backlog, so that a further connect gets no answer, where the system does that.
 * */
static void open_full_backlog(void)
{
    evq_fd fd = keep(peer_listen(1, &port));
    (void)fd;
    for (int i = 0; i < 8; i++) {
        evq_fd client;
        if (peer_connect(&client, port))
            (void)keep(client);
    }
    addr = peer_address(port);
    open_unconnected();
}

static void a_connect_can_be_cancelled(void **state)
{
    (void)state;
    open_full_backlog();
    begin_connect(&ops[0]);
    evq_recv(&s, &ops[1], bytes, 1);
    assert_int_equal(evq_cancel(queue, &ops[0]), 0);
    take(&ops[0]);
    if (ops[0].err != EVQ_ECANCELED)
        skip_because("this system answers although the backlog is full");
    take_with(&ops[1], EVQ_ENOTCONN);
}

static void closing_ends_a_connect(void **state)
{
    (void)state;
    open_full_backlog();
    begin_connect(&ops[0]);
    evq_send(&s, &ops[1], "x", 1);
    evq_recv(&s, &ops[2], bytes, 1);
    forget(&s);
    evq_close(&s, &ops[3]);
    for (int i = 0; i < 3; i++)
        assert_true(take_any() != &ops[3]);
    take_with(&ops[3], EVQ_OK);
    assert_true(ops[0].err == EVQ_ECANCELED || ops[0].err == EVQ_OK);
    assert_int_equal(ops[2].err, EVQ_ECANCELED);
}

static void an_address_of_another_family_is_refused(void **state)
{
    struct sockaddr_in6 other = {.sin6_family = AF_INET6};
    (void)state;
    open_unconnected();
    other.sin6_addr.s6_addr[15] = 1;
    other.sin6_port = htons(1);
    evq_connect(&s, &ops[0], (struct sockaddr *)&other, sizeof other);
    take(&ops[0]);
    assert_int_not_equal(ops[0].err, EVQ_OK);
}

int run_connecting(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connect_succeeds_and_the_stream_works),
        TEST(a_recv_behind_a_cancelled_connect_is_not_forgotten),
        TEST(a_connect_is_refused),
        TEST(readiness_before_the_connect_is_forgotten),
        TEST(readable_does_not_take_the_readiness_before_the_connect_for_data),
        TEST(nothing_was_learned_of_a_connect_too_early),
        TEST(what_is_submitted_meanwhile_waits_for_the_connect),
        TEST(after_a_refused_connect_all_else_is_not_connected),
        TEST(a_socket_that_never_was_connected_says_so),
        TEST(a_second_connect_is_invalid),
        TEST(cancelling_the_second_connect_does_not_touch_the_first),
        TEST(a_connect_can_be_cancelled),
        TEST(closing_ends_a_connect),
        TEST(an_address_of_another_family_is_refused),
    };
    return RUN("connecting", tests);
}
