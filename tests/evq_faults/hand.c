/*
 * hand.c: see hand.h.
 */
#include "hand.h"
#include "real.h"

#include "harness/clock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

enum { KEPT_MAX = 1024 };

evq *queue;
evq_op ops[HAND_OPS];
evq_sock socks[HAND_SOCKS];

static evq_op close_ops[HAND_SOCKS];
static size_t sock_count, kept_count;
static int kept[KEPT_MAX], free_fd_before;
static long blocks_before;

/* ---- before and after ------------------------------------------------------------------------ */

/* The lowest number that is free: the same afterwards, or something was left. */
static int free_fd(void)
{
    int fd = __real_fcntl(0, F_DUPFD, 0);
    if (fd >= 0)
        (void)__real_close(fd);
    return fd;
}

int hand_open(void **state)
{
    evq_options options = {.backend = backend};
    (void)state;
    memset(ops, 0, sizeof ops);
    memset(close_ops, 0, sizeof close_ops);
    memset(socks, 0, sizeof socks);
    sock_count = kept_count = 0;
    free_fd_before = free_fd();
    blocks_before = faults_blocks();
    faults_reset();
    return evq_open(&queue, &options);
}

static void everything_ends(void)
{
    for (size_t i = 0; i < sock_count; i++)
        if (socks[i].priv.queue != NULL)
            evq_close(&socks[i], &close_ops[i]);
    for (size_t i = 0; i < HAND_OPS; i++)
        (void)evq_cancel(queue, &ops[i]);
}

int hand_close(void **state)
{
    (void)state;
    for (int i = 0; i < CALLS; i++)
        if (faults_count((enum call)i) > 0)
            call_was_made[i] = true;
    faults_reset();
    everything_ends();
    int64_t deadline_ns = deadline_in_ms(HAND_PATIENCE_MS);
    while (evq_destroy(queue) == EVQ_EBUSY) {
        evq_op *done[64];
        int n = evq_wait(queue, done, 64, 100 * NS_PER_MS);
        for (int i = 0; i < n; i++)
            if (done[i]->kind == EVQ_ACCEPT && done[i]->err == EVQ_OK)
                (void)__real_close(done[i]->accepted);
        if (clock_now_ns() > deadline_ns)
            return -1;
    }
    while (kept_count > 0)
        (void)__real_close(kept[--kept_count]);
    return free_fd() == free_fd_before && faults_blocks() == blocks_before ? 0 : -1;
}

/* ---- sockets --------------------------------------------------------------------------------- */

int hand_keep(int fd)
{
    assert_true(fd >= 0 && kept_count < KEPT_MAX);
    kept[kept_count++] = fd;
    return fd;
}

int hand_try_to_attach(int fd, evq_sock **s)
{
    assert_true(fd >= 0 && sock_count < HAND_SOCKS);
    *s = &socks[sock_count];
    int err = evq_attach(queue, *s, fd);
    if (err == EVQ_OK)
        sock_count++;
    return err;
}

evq_sock *hand_attach(int fd)
{
    evq_sock *s;
    assert_int_equal(hand_try_to_attach(fd, &s), EVQ_OK);
    return s;
}

int hand_pair(evq_sock **s)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    *s = hand_attach(ends[0]);
    return hand_keep(ends[1]);
}

evq_sock *hand_both(void)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    evq_sock *first = hand_attach(ends[0]);
    (void)hand_attach(ends[1]);
    return first;
}

evq_sock *hand_listener_with_a_client(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int listener = __real_socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(__real_bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(__real_listen(listener, 16), 0);
    assert_int_equal(__real_getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    int client = hand_keep(__real_socket(AF_INET, SOCK_STREAM, 0));
    assert_int_equal(__real_connect(client, (struct sockaddr *)&addr, sizeof addr), 0);
    return hand_attach(listener);
}

/* ---- operations ------------------------------------------------------------------------------ */

evq_op *hand_take(void)
{
    int64_t deadline_ns = deadline_in_ms(HAND_PATIENCE_MS);
    evq_op *done = NULL;
    for (;;) {
        int n = evq_wait(queue, &done, 1, 100 * NS_PER_MS);
        assert_true(n >= 0);
        if (n == 1)
            return done;
        if (clock_now_ns() > deadline_ns)
            fail_msg("no operation came back");
    }
}

void hand_take_with(evq_op *op, int err)
{
    assert_ptr_equal(hand_take(), op);
    if (op->err != err)
        fail_msg("it came back with \"%s\" (%d), not with \"%s\"", evq_strerror(op->err),
                 op->os_err, evq_strerror(err));
}

void hand_fail(enum call call, int err, int times)
{
    faults_add((struct fault){
        .call = call, .nth = faults_count(call), .times = times, .err = err, .manner = INSTEAD});
}
