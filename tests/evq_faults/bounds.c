/*
 * bounds.c: limits of evq.h that only a lying kernel can show, each at its bound and beyond.
 */
#include "hand.h"
#include "real.h"

#include "harness/skip.h"

#include "evq_calls.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

enum { VERY_OFTEN = 100 };

/* What an accept skips, and what it is in the end. */
static const struct {
    int os_err, err;
} skipped[] = {
    {ECONNABORTED, EVQ_ECONNRESET}, {ENETDOWN, EVQ_EUNREACH},    {EPROTO, EVQ_EIO},
    {ENOPROTOOPT, EVQ_ENOTSUP},     {EHOSTDOWN, EVQ_EUNREACH},   {EHOSTUNREACH, EVQ_EUNREACH},
    {EOPNOTSUPP, EVQ_ENOTSUP},      {ENETUNREACH, EVQ_EUNREACH},
};
enum { SKIPPED = sizeof skipped / sizeof skipped[0] };

/* The call that a backend makes for this: by itself, or in its ring. */
static enum call call_for(enum call call, enum call in_ring)
{
    return strcmp(backend, "io_uring") == 0 ? in_ring : call;
}

/* ---- accept ---------------------------------------------------------------------------------- */

static void accept_skips_as_many_bad_clients_as_the_limit_says(void **state)
{
    enum call call = call_for(CALL_ACCEPT, CALL_CQE_ACCEPT);
    (void)state;
    for (int i = 0; i < SKIPPED; i++) {
        evq_sock *listener = hand_listener_with_a_client();
        hand_fail(call, skipped[i].os_err, EVQ_ACCEPT_RETRIES);
        evq_accept(listener, &ops[i]);
        hand_take_with(&ops[i], EVQ_OK);
        (void)hand_keep(ops[i].accepted);
        assert_int_equal(faults_hits(), EVQ_ACCEPT_RETRIES);
        faults_reset();
    }
}

static void one_bad_client_more_and_accept_says_so(void **state)
{
    enum call call = call_for(CALL_ACCEPT, CALL_CQE_ACCEPT);
    (void)state;
    for (int i = 0; i < SKIPPED; i++) {
        evq_sock *listener = hand_listener_with_a_client();
        hand_fail(call, skipped[i].os_err, EVQ_ACCEPT_RETRIES + 1);
        evq_accept(listener, &ops[i]);
        hand_take_with(&ops[i], skipped[i].err);
        assert_int_equal(ops[i].os_err, skipped[i].os_err);
        assert_int_equal(ops[i].accepted, EVQ_NO_FD);
        evq_accept(listener, &ops[i]); /* the good one behind them is still there */
        hand_take_with(&ops[i], EVQ_OK);
        (void)hand_keep(ops[i].accepted);
        faults_reset();
    }
}

/* ---- EINTR ----------------------------------------------------------------------------------- */

static void signals_without_end_are_never_an_error(void **state)
{
    evq_sock *listener = hand_listener_with_a_client(), *s;
    int peer = hand_pair(&s);
    char byte = 0;
    (void)state;
    assert_int_equal(__real_send(peer, "xy", 2, 0), 2);
    hand_fail(call_for(CALL_ACCEPT, CALL_CQE_ACCEPT), EINTR, VERY_OFTEN);
    hand_fail(call_for(CALL_RECV, CALL_CQE_RECV), EINTR, VERY_OFTEN);
    hand_fail(call_for(CALL_SEND, CALL_CQE_SEND), EINTR, VERY_OFTEN);
    evq_accept(listener, &ops[0]);
    evq_recv(s, &ops[1], &byte, 1);
    evq_send(s, &ops[2], "z", 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hand_take()->err, EVQ_OK);
    (void)hand_keep(ops[0].accepted);
    assert_int_equal(byte, 'x');
    assert_int_equal(__real_recv(peer, &byte, 1, 0), 1);
    assert_int_equal(byte, 'z');
    assert_int_equal(faults_hits(), 3 * VERY_OFTEN);
}

static void a_look_that_is_interrupted_all_the_time_finds_the_data(void **state)
{
    evq_sock *s;
    int peer = hand_pair(&s);
    (void)state;
    assert_int_equal(__real_send(peer, "x", 1, 0), 1);
    hand_fail(call_for(CALL_LOOK, CALL_CQE_POLL), EINTR, VERY_OFTEN);
    evq_readable(s, &ops[0]);
    hand_take_with(&ops[0], EVQ_OK);
    assert_true(faults_hits() > 1); /* an event may tell before it has looked so often */
}

/* Both have used up their turn, and stand in the list of those that go on later. */
static void a_socket_that_waits_for_its_next_turn_can_be_closed(void **state)
{
    static const char bytes[VERY_OFTEN] = {0};
    enum call call = call_for(CALL_SEND, CALL_CQE_SEND);
    evq_sock *both = hand_both();
    (void)state;
    faults_add((struct fault){call, 0, FOR_EVER, 0, SHORT});
    for (int i = 0; i < 2; i++)
        evq_send(&both[i], &ops[i], bytes, sizeof bytes);
    for (int i = 0; i < 2; i++)
        evq_close(&both[i], &ops[2 + i]);
    for (int i = 0; i < 4; i++) {
        const evq_op *op = hand_take();
        assert_int_equal(op->err, op->kind == EVQ_CLOSE ? EVQ_OK : EVQ_ECANCELED);
    }
    evq_op *done;
    memset(both, 0x5a, 2 * sizeof *both); /* they are the caller's again, and may be anything now */
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    memset(both, 0, 2 * sizeof *both);
}

enum { TURN_MAX = 64 };

/* Were it so, a submit would never come back. */
static void a_submit_does_not_try_for_ever(void **state)
{
    enum call call = call_for(CALL_RECV, CALL_CQE_RECV);
    evq_sock *s;
    int peer = hand_pair(&s);
    char byte = 0;
    evq_op *done;
    (void)state;
    assert_int_equal(__real_send(peer, "x", 1, 0), 1);
    hand_fail(call, EINTR, FOR_EVER);
    evq_recv(s, &ops[0], &byte, 1);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    assert_true(faults_count(call) <= TURN_MAX);
    faults_reset();
    hand_take_with(&ops[0], EVQ_OK);
}

static void a_look_does_not_try_for_ever(void **state)
{
    enum call call = call_for(CALL_LOOK, CALL_CQE_POLL);
    evq_sock *s;
    int peer = hand_pair(&s);
    evq_op *done;
    (void)state;
    hand_fail(call, EINTR, FOR_EVER);
    evq_readable(s, &ops[0]);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    assert_true(faults_count(call) <= TURN_MAX);
    faults_reset();
    assert_int_equal(__real_send(peer, "x", 1, 0), 1);
    hand_take_with(&ops[0], EVQ_OK);
}

/* ---- recv and send --------------------------------------------------------------------------- */

static size_t most_asked(void)
{
    enum call calls[] = {CALL_RECV, CALL_RECVMSG, CALL_CQE_RECV};
    size_t most = 0;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (faults_asked(calls[i]) > most)
            most = faults_asked(calls[i]);
    return most;
}

/* So much of the address space, of which hardly anything is ever touched. */
static void *mapped(size_t len)
{
    void *at =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

static void recv_asks_for_no_more_than_its_limit(void **state)
{
    const size_t max = EVQ_RECV_MAX, lens[] = {max - 1, max, max + 1, max + 4096};
    evq_sock *s;
    int peer = hand_pair(&s);
    char *buf = mapped(max + 4096);
    (void)state;
    if (buf == NULL)
        skip_because("no room for a buffer of a GiB");
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        faults_reset();
        assert_int_equal(__real_send(peer, "abc", 3, 0), 3);
        evq_recv(s, &ops[0], buf, lens[i]);
        hand_take_with(&ops[0], EVQ_OK);
        assert_int_equal(ops[0].nbytes, 3);
        assert_true(most_asked() == (lens[i] < max ? lens[i] : max));
    }
    assert_int_equal(munmap(buf, max + 4096), 0);
}

/* After a read that filled its buffer another call is made: the limit holds there, too. */
static void so_it_does_after_a_read_that_was_full(void **state)
{
    const size_t max = EVQ_RECV_MAX;
    evq_sock *s;
    int peer = hand_pair(&s);
    char *buf = mapped(max + 4096);
    (void)state;
    if (buf == NULL)
        skip_because("no room for a buffer of a GiB");
    assert_int_equal(__real_send(peer, "abc", 3, 0), 3);
    evq_recv(s, &ops[0], buf, 1);
    hand_take_with(&ops[0], EVQ_OK);
    faults_reset();
    evq_recv(s, &ops[0], buf, max + 1);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 2);
    assert_true(most_asked() == max);
    assert_int_equal(munmap(buf, max + 4096), 0);
}

static void wait_readable(const evq_sock *s)
{
    struct pollfd look = {.fd = (int)s->fd, .events = POLLIN};
    assert_int_equal(__real_poll(&look, 1, HAND_PATIENCE_MS), 1);
}

/* A connection of TCP: one end is attached, the other one is returned. */
static int hand_tcp_pair(evq_sock **s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int listener, client = hand_keep(__real_socket(AF_INET, SOCK_STREAM, 0));
    assert_int_equal(evq_tcp_listen(&listener, "127.0.0.1", 0, 1), EVQ_OK);
    (void)hand_keep(listener);
    assert_int_equal(__real_getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    assert_int_equal(__real_connect(client, (struct sockaddr *)&addr, len), 0);
    struct pollfd look = {.fd = listener, .events = POLLIN};
    assert_int_equal(__real_poll(&look, 1, HAND_PATIENCE_MS), 1);
    *s = hand_attach(__real_accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
    return client;
}

/* A rule of a firewall can forbid a connect: EPERM, which is 1. */
static void a_connect_that_is_forbidden_says_so(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int listener;
    (void)state;
    assert_int_equal(evq_tcp_listen(&listener, "127.0.0.1", 0, 1), EVQ_OK);
    (void)hand_keep(listener);
    assert_int_equal(__real_getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    evq_sock *s = hand_attach(__real_socket(AF_INET, SOCK_STREAM, 0));
    hand_fail(CALL_GET_ERROR, EPERM, 1);
    evq_connect(s, &ops[0], (struct sockaddr *)&addr, len);
    const evq_op *op = hand_take();
    assert_ptr_equal(op, &ops[0]);
    assert_int_equal(faults_hits(), 1);
    assert_int_not_equal(op->err, EVQ_OK);
    assert_int_equal(op->os_err, EPERM);
}

/* Five bytes, one at a time. After the first, full read the system is asked how many are left, so
 * the last is known as the last: a sixth read waits for an event, and does not ask in vain. */
static void where_the_system_tells_what_is_left_no_call_is_in_vain(void **state)
{
    enum { BYTES = 5 };
    evq_sock *s;
    int peer = hand_tcp_pair(&s);
    char byte[BYTES + 1];
    evq_op *done;
    (void)state;
    if (strcmp(backend, "epoll") != 0 && strcmp(backend, "poll") != 0)
        skip_because("kqueue is asked until EAGAIN, and a ring makes its calls itself");
    if (evq_call_tell_left(peer) != 0)
        skip_because("this system does not tell how much is left");
    assert_int_equal(__real_send(peer, "12345", BYTES, 0), BYTES);
    wait_readable(s);
    int told = faults_count(CALL_SET_INQ);
    for (int i = 0; i <= BYTES; i++)
        evq_recv(s, &ops[i], &byte[i], 1);
    assert_int_equal(faults_count(CALL_RECVMSG), 1);
    assert_int_equal(faults_count(CALL_RECV), BYTES - 1);
    for (int i = 0; i < BYTES; i++)
        hand_take_with(&ops[i], EVQ_OK);
    assert_memory_equal(byte, "12345", BYTES);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
    assert_int_equal(__real_send(peer, "6", 1, 0), 1);
    hand_take_with(&ops[BYTES], EVQ_OK);
    assert_int_equal(byte[BYTES], '6');
    assert_int_equal(__real_send(peer, "7", 1, 0), 1);
    evq_recv(s, &ops[0], byte, 1);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(faults_count(CALL_RECVMSG), 2);
    assert_int_equal(faults_count(CALL_SET_INQ) - told, 1); /* it need be told once only */
}

/* A read that comes back with less than it asked for has taken all there was: the next one waits
 * for an event. */
static void after_a_short_read_no_call_is_in_vain(void **state)
{
    evq_sock *s;
    int peer = hand_tcp_pair(&s);
    char bytes[8];
    (void)state;
    if (strcmp(backend, "epoll") != 0 && strcmp(backend, "poll") != 0)
        skip_because("kqueue is asked until EAGAIN, and a ring makes its calls itself");
    evq_recv(s, &ops[0], bytes, sizeof bytes); /* there is nothing yet: by an event */
    assert_int_equal(__real_send(peer, "12", 2, 0), 2);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(ops[0].nbytes, 2);
    int calls = faults_count(CALL_RECV);
    evq_recv(s, &ops[1], bytes, sizeof bytes);
    assert_int_equal(faults_count(CALL_RECV), calls);
    assert_int_equal(__real_send(peer, "3", 1, 0), 1);
    hand_take_with(&ops[1], EVQ_OK);
}

static void what_is_known_is_not_asked_again(void **state)
{
    evq_sock *s;
    int peer = hand_pair(&s);
    char bytes[8];
    (void)state;
    if (strcmp(backend, "io_uring") == 0)
        skip_because("a ring makes its calls itself");
    assert_int_equal(__real_send(peer, "x", 1, 0), 1);
    evq_readable(s, &ops[0]);
    hand_take_with(&ops[0], EVQ_OK);
    int looks = faults_count(CALL_LOOK);
    evq_readable(s, &ops[1]);
    hand_take_with(&ops[1], EVQ_OK);
    assert_int_equal(faults_count(CALL_LOOK), looks);
    evq_recv(s, &ops[2], bytes, sizeof bytes);
    hand_take_with(&ops[2], EVQ_OK);
    evq_recv(s, &ops[3], bytes, sizeof bytes);
    assert_int_equal(evq_cancel(queue, &ops[3]), 0);
    hand_take_with(&ops[3], EVQ_ECANCELED);
    int recvs = faults_count(CALL_RECV) + faults_count(CALL_RECVMSG);
    evq_recv(s, &ops[4], bytes, sizeof bytes); /* there is nothing, as the one before has seen */
    assert_int_equal(faults_count(CALL_RECV) + faults_count(CALL_RECVMSG), recvs);
}

/* An interrupted read has taken nothing, and says nothing of how much is left. */
static void bytes_behind_an_interrupted_read_are_all_read(void **state)
{
    enum { BYTES = 8 };
    evq_sock *s;
    int peer = hand_pair(&s);
    evq_op *done;
    char byte;
    (void)state;
    assert_int_equal(__real_send(peer, "01234567", BYTES, 0), BYTES);
    evq_readable(s, &ops[0]);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(evq_wait(queue, &done, 1, 0), 0); /* the event has been taken */
    hand_fail(call_for(CALL_RECV, CALL_CQE_RECV), EINTR, 1);
    for (int i = 0; i < BYTES; i++) {
        evq_recv(s, &ops[1], &byte, 1);
        hand_take_with(&ops[1], EVQ_OK);
        assert_int_equal(byte, '0' + i);
    }
}

/* ---- a send that is cut ---------------------------------------------------------------------- */

static void fill(const evq_sock *s)
{
    static const char zeros[4096];
    while (__real_send((int)s->fd, zeros, sizeof zeros, 0) > 0)
        ;
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
}

static void drain(int peer)
{
    static char buf[65536];
    while (__real_recv(peer, buf, sizeof buf, MSG_DONTWAIT) > 0)
        ;
}

static void an_event_of_one_direction_tries_nothing_in_the_other(void **state)
{
    evq_sock *s;
    int peer = hand_pair(&s);
    char byte;
    (void)state;
    if (strcmp(backend, "io_uring") == 0)
        skip_because("a ring makes its calls itself");
    fill(s);
    evq_send(s, &ops[0], "x", 1);
    evq_recv(s, &ops[1], &byte, 1);
    int sends = faults_count(CALL_SEND);
    assert_int_equal(__real_send(peer, "y", 1, 0), 1);
    hand_take_with(&ops[1], EVQ_OK);
    assert_int_equal(faults_count(CALL_SEND), sends);
    evq_recv(s, &ops[2], &byte, 1);
    int recvs = faults_count(CALL_RECV) + faults_count(CALL_RECVMSG);
    drain(peer);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(faults_count(CALL_RECV) + faults_count(CALL_RECVMSG), recvs);
}

/* The first byte is on its way, and then it fails: what follows would not fit behind it. */
static void cut_after_one_byte(enum call call, int nth)
{
    faults_add((struct fault){call, nth, 1, 0, SHORT});
    faults_add((struct fault){call, nth + 1, 1, ECONNRESET, INSTEAD});
}

static void expect_a_torn_stream(evq_sock *s, evq_op *cut)
{
    hand_take_with(cut, EVQ_ECONNRESET);
    assert_int_equal(cut->nbytes, 1);
    evq_send(s, &ops[9], "z", 1);
    hand_take_with(&ops[9], EVQ_ECLOSED);
}

static void a_send_that_is_cut_at_once_tears_the_stream(void **state)
{
    evq_sock *s;
    (void)hand_pair(&s);
    (void)state;
    cut_after_one_byte(call_for(CALL_SEND, CALL_CQE_SEND), 0);
    evq_send(s, &ops[0], "abcd", 4);
    expect_a_torn_stream(s, &ops[0]);
}

static void so_does_one_that_has_waited_for_another(void **state)
{
    evq_sock *s;
    int peer = hand_pair(&s);
    (void)state;
    if (strcmp(backend, "io_uring") == 0)
        skip_because("in a ring no send is known to have failed before it is in the ring");
    fill(s);
    evq_send(s, &ops[0], "x", 1);
    evq_send(s, &ops[1], "abcd", 4);
    cut_after_one_byte(CALL_SEND, faults_count(CALL_SEND) + 1); /* the next one is for ops[0] */
    drain(peer);
    hand_take_with(&ops[0], EVQ_OK);
    expect_a_torn_stream(s, &ops[1]);
}

/* ---- attach ---------------------------------------------------------------------------------- */

/* Only poll needs memory for its sockets: two arrays that grow. Elsewhere nothing is to fail. */
static void memory_that_runs_out_in_attach_is_reported_and_the_socket_stays_ours(void **state)
{
    enum { MANY = 300 };
    int failures = 0;
    evq_sock *s = NULL;
    (void)state;
    faults_add((struct fault){CALL_REALLOC, faults_count(CALL_REALLOC), 1, ENOMEM, INSTEAD});
    faults_add((struct fault){CALL_REALLOC, faults_count(CALL_REALLOC) + 2, 1, ENOMEM, INSTEAD});
    for (int i = 0; i < MANY; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        (void)hand_keep(ends[1]);
        int err = hand_try_to_attach(ends[0], &s);
        for (; err == EVQ_ENOMEM && ++failures <= 2; err = hand_try_to_attach(ends[0], &s))
            assert_null(s->priv.queue); /* so that its next op would be an assertion */
        assert_int_equal(err, EVQ_OK);
    }
    assert_int_equal(failures, strcmp(backend, "poll") == 0 ? 2 : 0);
    assert_int_equal(failures, faults_hits());
}

static void an_attach_does_not_try_for_ever(void **state)
{
    enum { TRIES_MAX = 64 };
    int ends[2];
    evq_sock *s;
    (void)state;
    if (strcmp(backend, "kqueue") != 0)
        skip_because("what attaches here is never interrupted");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    (void)hand_keep(ends[0]);
    (void)hand_keep(ends[1]);
    hand_fail(CALL_KEVENT_ADD, EINTR, FOR_EVER);
    assert_int_equal(hand_try_to_attach(ends[0], &s), EVQ_EIO);
    assert_true(faults_hits() <= TRIES_MAX);
}

static void a_kind_of_socket_that_cannot_listen_is_attached(void **state)
{
    evq_sock *s;
    (void)state;
    hand_fail(CALL_GET_LISTENS, ENOPROTOOPT, 1);
    int peer = hand_pair(&s);
    char byte = 0;
    assert_int_equal(faults_hits(), 1);
    evq_send(s, &ops[0], "x", 1);
    hand_take_with(&ops[0], EVQ_OK);
    assert_int_equal(__real_recv(peer, &byte, 1, 0), 1);
}

int run_bounds(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accept_skips_as_many_bad_clients_as_the_limit_says),
        TEST(one_bad_client_more_and_accept_says_so),
        TEST(signals_without_end_are_never_an_error),
        TEST(a_look_that_is_interrupted_all_the_time_finds_the_data),
        TEST(a_socket_that_waits_for_its_next_turn_can_be_closed),
        TEST(a_submit_does_not_try_for_ever),
        TEST(a_look_does_not_try_for_ever),
        TEST(a_connect_that_is_forbidden_says_so),
        TEST(where_the_system_tells_what_is_left_no_call_is_in_vain),
        TEST(after_a_short_read_no_call_is_in_vain),
        TEST(what_is_known_is_not_asked_again),
        TEST(bytes_behind_an_interrupted_read_are_all_read),
        TEST(an_event_of_one_direction_tries_nothing_in_the_other),
        TEST(a_send_that_is_cut_at_once_tears_the_stream),
        TEST(so_does_one_that_has_waited_for_another),
        TEST(an_attach_does_not_try_for_ever),
        TEST(a_kind_of_socket_that_cannot_listen_is_attached),
        TEST(recv_asks_for_no_more_than_its_limit),
        TEST(so_it_does_after_a_read_that_was_full),
        TEST(memory_that_runs_out_in_attach_is_reported_and_the_socket_stays_ours),
    };
    return RUN("limits", tests);
}
