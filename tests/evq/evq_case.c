/*
 * evq_case: see evq_case.h.
 */
#include "evq_case.h"

#include <stdio.h>

enum { SOCKS = 4096, KEPT = 4096, LOOKS = 3 };

evq *queue;
const char *backend;
evq_op ops[OPS];
unsigned char big[BIG];

static evq_sock *socks[SOCKS];
static evq_op close_ops[SOCKS];
static size_t sock_count;
static evq_fd kept[KEPT];
static size_t kept_count;
static struct {
    const evq_op *op;
    int times;
} returned[OPS + SOCKS];
static size_t returned_count;

/* ---- before and after ------------------------------------------------------------------------ */

int open_queue(void **state)
{
    evq_options options = {.backend = backend};
    (void)state;
    memset(ops, 0, sizeof ops);
    memset(close_ops, 0, sizeof close_ops);
    sock_count = kept_count = returned_count = 0;
    return evq_open(&queue, &options);
}

/* Whatever a test has left: all sockets are closed and all ops cancelled; then all must come back.
 * */
int close_queue(void **state)
{
    (void)state;
    (void)system_leaves_descriptors(-1); /* a test that failed may not have taken it back */
    if (queue == NULL)
        return 0; /* the test has destroyed it */
    for (size_t i = 0; i < sock_count; i++)
        if (socks[i] != NULL)
            evq_close(socks[i], &close_ops[i]);
    for (size_t i = 0; i < OPS; i++)
        (void)evq_cancel(queue, &ops[i]);
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    while (evq_destroy(queue) == EVQ_EBUSY) {
        evq_op *done[64];
        int n = evq_wait(queue, done, 64, 100 * NS_PER_MS);
        for (int i = 0; i < n; i++)
            if (done[i]->kind == EVQ_ACCEPT && done[i]->err == EVQ_OK)
                evq_tcp_close(done[i]->accepted);
        if (clock_now_ns() > deadline_ns)
            return -1; /* something never came back */
    }
    queue = NULL;
    while (kept_count > 0)
        if (kept[--kept_count] != EVQ_NO_FD)
            peer_drop(kept[kept_count]);
    return 0;
}

int announce(void **state)
{
    (void)state;
    const char *how = system_emulates(backend != NULL ? backend : "");
    if (how != NULL)
        (void)printf("# emulated: %s\n", how);
    (void)fflush(stdout);
    return 0;
}

const char *group_title(const char *name)
{
    static char title[128];
    (void)snprintf(title, sizeof title, "evq over %s: %s", backend, name);
    return title;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void note(const evq_op *op)
{
    for (size_t i = 0; i < returned_count; i++) {
        if (returned[i].op == op) {
            returned[i].times++;
            return;
        }
    }
    assert_true(returned_count < sizeof returned / sizeof returned[0]);
    returned[returned_count].op = op;
    returned[returned_count++].times = 1;
}

int returns_of(const evq_op *op)
{
    for (size_t i = 0; i < returned_count; i++)
        if (returned[i].op == op)
            return returned[i].times;
    return 0;
}

evq_op *take_any(void)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    evq_op *done = NULL;
    for (;;) {
        int n = evq_wait(queue, &done, 1, 100 * NS_PER_MS);
        assert_true(n >= 0);
        if (n == 1) {
            note(done);
            return done;
        }
        if (clock_now_ns() > deadline_ns)
            fail_msg("no operation came back");
    }
}

void take(evq_op *op)
{
    assert_ptr_equal(take_any(), op);
}

void take_with(evq_op *op, int err)
{
    take(op);
    if (op->err != err)
        fail_msg("it came back with \"%s\" (%d), not with \"%s\"", evq_strerror(op->err),
                 op->os_err, evq_strerror(err));
}

void take_among(evq_op *op)
{
    while (take_any() != op)
        ;
}

void expect_nothing_now(void)
{
    evq_op *done = NULL;
    for (int i = 0; i < LOOKS; i++)
        assert_int_equal(evq_wait(queue, &done, 1, 0), 0);
}

void expect_nothing_for(int ms)
{
    evq_op *done = NULL;
    int64_t end_ns = clock_now_ns() + (int64_t)ms * NS_PER_MS;
    do
        assert_int_equal(evq_wait(queue, &done, 1, (int64_t)ms * NS_PER_MS), 0);
    while (clock_now_ns() < end_ns);
}

/* What a busy loop gets beside all the others that run on the machine just now. */
int64_t spin_ns(int ms)
{
    int64_t cpu_ns = system_cpu_ns(), end_ns = clock_now_ns() + (int64_t)ms * NS_PER_MS;
    while (clock_now_ns() < end_ns)
        ;
    return system_cpu_ns() - cpu_ns;
}

/* A busy machine may be unfair to either figure, so a wait that burns has to do so three times. */
void expect_a_quiet_wait(int ms)
{
    enum { TIMES = 3 };
    for (int i = 0; i < TIMES; i++) {
        int64_t spent_ns = system_cpu_ns();
        expect_nothing_for(ms);
        spent_ns = system_cpu_ns() - spent_ns;
        if (spent_ns < spin_ns(ms) / 3)
            return;
    }
    fail_msg("the wait burns CPU time");
}

/* ---- sockets --------------------------------------------------------------------------------- */

void attach(evq_sock *s, evq_fd fd)
{
    assert_true(sock_count < SOCKS);
    assert_int_equal(evq_attach(queue, s, fd), EVQ_OK);
    socks[sock_count++] = s;
}

evq_fd keep(evq_fd fd)
{
    assert_true(kept_count < KEPT);
    kept[kept_count++] = fd;
    return fd;
}

void let_go(evq_fd fd)
{
    for (size_t i = 0; i < kept_count; i++)
        if (kept[i] == fd)
            kept[i] = EVQ_NO_FD;
}

void forget(evq_sock *s)
{
    for (size_t i = 0; i < sock_count; i++)
        if (socks[i] == s)
            socks[i] = NULL;
}

void close_now(evq_sock *s)
{
    static evq_op op;
    memset(&op, 0, sizeof op);
    forget(s);
    evq_close(s, &op);
    take_among(&op);
    assert_int_equal(op.err, EVQ_OK);
}

void open_pair(evq_sock *s, evq_fd *peer)
{
    evq_fd ends[2];
    peer_pair(ends);
    attach(s, ends[0]);
    *peer = keep(ends[1]);
}

void open_narrow_pair(evq_sock *s, evq_fd *peer)
{
    evq_fd ends[2];
    peer_pair(ends);
    peer_small_send_buffer(ends[0]);
    peer_small_receive_buffer(ends[1]);
    attach(s, ends[0]);
    *peer = keep(ends[1]);
}

void open_listener(evq_sock *s, uint16_t *port)
{
    evq_fd fd;
    assert_int_equal(evq_tcp_listen(&fd, "127.0.0.1", 0, 128), EVQ_OK);
    assert_int_equal(evq_tcp_port(fd, port), EVQ_OK);
    attach(s, fd);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

unsigned char pattern_at(uint64_t position)
{
    return (unsigned char)(position * 31 + position / 251 * 7 + position / 65521);
}

void pattern_fill(void *bytes, size_t len, uint64_t position)
{
    unsigned char *to = bytes;
    for (size_t i = 0; i < len; i++)
        to[i] = pattern_at(position + i);
}

void pattern_check(const void *bytes, size_t len, uint64_t position)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < len; i++)
        if (from[i] != pattern_at(position + i))
            fail_msg("byte %llu of the stream is wrong", (unsigned long long)(position + i));
}
