/*
 * corners: waits that have no end of their own, and what is neither data nor nothing.
 */
#include "evq_case.h"

static evq_sock s;
static evq_fd peer;
static unsigned char bytes[16];

/* What comes next is there already, or will come by itself: so none of these waits is for ever. */
static void expect_from_a_wait_without_an_end(evq_op *op)
{
    evq_op *done[4];
    assert_int_equal(evq_wait(queue, done, 4, EVQ_FOREVER), 1);
    assert_ptr_equal(done[0], op);
    assert_int_equal(op->err, EVQ_OK);
}

static void a_wait_without_an_end_ends_when_data_comes(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    expect_nothing_now();
    peer_put(peer, "abc", 3);
    expect_from_a_wait_without_an_end(&ops[0]);
    assert_int_equal(ops[0].nbytes, 3);
}

static void a_wait_without_an_end_ends_at_a_timer(void **state)
{
    (void)state;
    evq_timer(queue, &ops[0], evq_now(queue) + 2 * NS_PER_MS);
    expect_from_a_wait_without_an_end(&ops[0]);
}

static void urgent_data_alone_finishes_no_recv(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    evq_recv(&s, &ops[0], bytes, sizeof bytes);
    expect_nothing_now();
    peer_put_urgent(peer, 'X');
    expect_nothing_for(20);
    peer_put(peer, "d", 1);
    take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 1);
    assert_int_equal(bytes[0], 'd');
}

static void urgent_data_alone_finishes_no_readable(void **state)
{
    (void)state;
    open_pair(&s, &peer);
    if (strcmp(backend, "iocp") == 0 && system_emulates(backend) != NULL)
        skip_because("emulated %s: there a receive of 0 bytes ends whatever has come",
                     system_emulates(backend));
    evq_readable(&s, &ops[0]);
    expect_nothing_now();
    peer_put_urgent(peer, 'X');
    expect_nothing_for(20);
    peer_put(peer, "d", 1);
    take_with(&ops[0], EVQ_OK);
}

int run_corners(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wait_without_an_end_ends_when_data_comes),
        TEST(a_wait_without_an_end_ends_at_a_timer),
        TEST(urgent_data_alone_finishes_no_recv),
        TEST(urgent_data_alone_finishes_no_readable),
    };
    return RUN("corners", tests);
}
