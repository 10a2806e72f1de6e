/*
 * model: random programs, checked against a small model.
 *
 * A program is a list of commands: submit something, cancel or close it, let the peer send,
 * receive, end or reset, let time pass, wait. It is made from a seed, and a command that makes no
 * sense where it stands does nothing; so any part of a program is a program, and one that fails can
 * be shrunk: parts of it are left out as long as it goes on failing. What is left is printed.
 *
 *     EVQ_MODEL_SEED=17 EVQ_MODEL_PROGRAMS=1 build/tests/test_evq      one of them again
 *
 * What the model knows, and checks at each return:
 *
 *   - an op comes back once, and only while it is pending;
 *   - in each direction of a socket in the order of the submits, but for cancelled ones;
 *   - what was received is what the peer sent, without a gap; 0 bytes only at the end;
 *   - a cancelled op was asked to be cancelled, or its socket was closed;
 *   - a timer is not early, a close is the last of its socket;
 *   - memory is lent until the return and not longer: buffers of idle ops are full of a sign, and
 *     are looked at again; buffers of sends that came back are overwritten at once.
 *
 * And at the end of each program: whatever the peer has sent arrives, whatever was sent has arrived
 * at the peer, all ops came back, nothing is left of the queue.
 */
#include "evq_case.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SOCKS = 3,
    OP_COUNT = 24,
    LENGTH = 60,
    RECV_ROOM = 64,
    SEND_ROOM = 120000,
    LOG_ROOM = 4 * 1024 * 1024,
    SENDS = 256,
    SHRINK_RUNS = 400,
    SIGN = 0xa5
};

enum command_kind {
    DO_RECV,
    DO_READABLE,
    DO_SEND,
    DO_SEND_MUCH,
    DO_TIMER,
    DO_CANCEL,
    DO_CLOSE,
    DO_SHUTDOWN,
    DO_WAKE,
    DO_WAIT,
    DO_WAIT_A_LITTLE,
    PEER_SENDS,
    PEER_RECEIVES,
    PEER_ENDS,
    PEER_RESETS,
    COMMANDS
};

static const char *const command_names[COMMANDS] = {
    "recv",          "readable",   "send",          "send much", "timer",
    "cancel",        "close",      "shutdown",      "wake",      "wait",
    "wait a little", "peer sends", "peer receives", "peer ends", "peer resets"};

struct command {
    enum command_kind kind;
    unsigned a, b;
};

struct program {
    int count;
    struct command commands[LENGTH];
};

/* One op and its buffers. */
struct model_op {
    evq_op op;
    bool pending, cancel_asked;
    int sock;        /* -1: a timer */
    unsigned number; /* of its submit */
    size_t len;      /* what was asked */
    size_t send;     /* a send: which of the socket's */
    uint64_t deadline_ns;
    unsigned char in[RECV_ROOM];
    unsigned char *out;
};

struct model_send {
    uint64_t position; /* of its bytes in the pattern */
    size_t len, taken; /* `taken` is a lower bound, if `most` is more */
    size_t most;
};

struct model_sock {
    evq_sock sock;
    evq_op close_op;
    evq_fd peer;
    bool closing, peer_ended, peer_reset, peer_over, shut, torn;
    uint64_t sent_by_peer, received; /* positions in the peer's stream */
    struct model_send sends[SENDS];
    size_t send_count;
    unsigned char *log; /* what the peer has received */
    size_t log_len;
};

static evq *q;
static struct model_op model_ops[OP_COUNT];
static struct model_sock socks[SOCKS];
static unsigned submits;
static char complaint[256];

/* The first complaint counts. */
#define COMPLAIN(...)                                                 \
    do {                                                              \
        if (complaint[0] == '\0')                                     \
            (void)snprintf(complaint, sizeof complaint, __VA_ARGS__); \
    } while (0)

/* ---- programs -------------------------------------------------------------------------------- */

static uint64_t random_state;

static unsigned random_next(unsigned below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((random_state >> 33) % below);
}

/* How often each command is chosen, of 100. */
static const unsigned char weights[COMMANDS] = {16, 7, 8, 3, 5, 9, 4, 1, 1, 18, 5, 12, 7, 2, 2};

static enum command_kind random_kind(void)
{
    unsigned at = random_next(100);
    for (int kind = 0; kind < COMMANDS; kind++) {
        if (at < weights[kind])
            return (enum command_kind)kind;
        at -= weights[kind];
    }
    return DO_WAIT;
}

static void program_make(struct program *program, unsigned seed)
{
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    program->count = LENGTH;
    for (int i = 0; i < LENGTH; i++) {
        program->commands[i].kind = random_kind();
        program->commands[i].a = random_next(1u << 30);
        program->commands[i].b = random_next(1u << 30);
    }
}

static void program_print(const struct program *program)
{
    for (int i = 0; i < program->count; i++) {
        const struct command *command = &program->commands[i];
        (void)printf("    %2d  %-13s %u, %u\n", i + 1, command_names[command->kind],
                     command->a % 1000, command->b % 1000);
    }
}

/* ---- the model's sockets --------------------------------------------------------------------- */

static void sock_open(struct model_sock *s)
{
    evq_fd ends[2];
    unsigned char *log = s->log;
    memset(s, 0, sizeof *s);
    s->log = log;
    peer_pair(ends);
    peer_small_send_buffer(ends[0]);
    s->peer = ends[1];
    if (evq_attach(q, &s->sock, ends[0]) != EVQ_OK)
        COMPLAIN("attach failed");
}

/* By a reset: thousands of ends in good order would leave thousands of ports in TIME_WAIT, and the
 * machine without a free one for the next run. */
static void peer_leaves(struct model_sock *s)
{
    if (!s->peer_reset)
        peer_reset(s->peer);
}

static void peer_takes(struct model_sock *s, size_t most)
{
    while (most > 0 && s->log_len < LOG_ROOM) {
        size_t room = LOG_ROOM - s->log_len < most ? LOG_ROOM - s->log_len : most;
        int64_t n = s->peer_over ? 0 : peer_get_some(s->peer, s->log + s->log_len, room);
        if (n < 0)
            s->peer_over = true;
        if (n <= 0)
            return;
        s->log_len += (size_t)n;
        most -= (size_t)n;
    }
}

/* What has arrived at the peer: of each send in its order, as much as was taken. A send that is
 * pending still may have brought any part. */
static void peer_check(const struct model_sock *s, bool complete)
{
    size_t at = 0;
    for (size_t i = 0; i < s->send_count && at < s->log_len; i++) {
        const struct model_send *send = &s->sends[i];
        for (size_t j = 0; j < send->most && at < s->log_len; j++, at++) {
            if (s->log[at] == pattern_at(send->position + j))
                continue;
            if (j >= send->taken)
                break;
            COMPLAIN("byte %zu at the peer is wrong", at);
            return;
        }
    }
    if (complete && at != s->log_len)
        COMPLAIN("the peer got %zu bytes that nobody sent", s->log_len - at);
}

/* ---- one op comes back ----------------------------------------------------------------------- */

static bool is_inward(const evq_op *op)
{
    return op->kind == EVQ_RECV || op->kind == EVQ_READABLE;
}

static void check_order(const struct model_op *m)
{
    if (m->op.err == EVQ_ECANCELED || m->op.err == EVQ_ECLOSED)
        return;
    for (int i = 0; i < OP_COUNT; i++) {
        const struct model_op *other = &model_ops[i];
        if (other->pending && other->sock == m->sock && other->number < m->number &&
            is_inward(&other->op) == is_inward(&m->op))
            COMPLAIN("submit %u overtook submit %u", m->number, other->number);
    }
}

//! [check_recv]
static void check_recv(struct model_op *m, struct model_sock *s)
{
    size_t n = m->op.nbytes;
    if (n > m->len)
        COMPLAIN("recv of %zu bytes took %zu", m->len, n);
    if (m->op.err == EVQ_OK && n == 0 && !s->peer_ended && !s->peer_reset)
        COMPLAIN("recv found an end that is none");
    if (m->op.err == EVQ_OK && n == 0 && !s->peer_reset && s->received < s->sent_by_peer)
        COMPLAIN("recv found the end before the data");
    if (m->op.err == EVQ_ECONNRESET && !s->peer_reset)
        COMPLAIN("recv found a reset that was none");
    if (m->op.err != EVQ_OK && n != 0)
        COMPLAIN("recv failed and took %zu bytes", n);
    for (size_t i = 0; i < n && n <= m->len; i++)
        if (m->in[i] != pattern_at(s->received + i))
            COMPLAIN("byte %llu of the peer's is wrong", (unsigned long long)s->received + i);
    s->received += n;
    if (s->received > s->sent_by_peer)
        COMPLAIN("recv took more than was sent");
}
//! [check_recv]

static void check_send(struct model_op *m, struct model_sock *s)
{
    size_t n = m->op.nbytes;
    bool exact = m->op.err == EVQ_OK || m->op.err == EVQ_ECLOSED || system_counts_what_was_sent();
    s->sends[m->send].taken = n;
    s->sends[m->send].most = exact ? n : m->len;
    if (n > m->len || (m->op.err == EVQ_OK && n != m->len))
        COMPLAIN("send of %zu bytes took %zu", m->len, n);
    if (m->op.err == EVQ_ECLOSED && (n > 0 || !(s->closing || s->shut || s->torn)))
        COMPLAIN("send was refused without a reason");
    if (m->op.err == EVQ_ECONNRESET && !s->peer_reset)
        COMPLAIN("send found a reset that was none");
    if (m->op.err != EVQ_OK && (n > 0 || !exact))
        s->torn = true;
    memset(m->out, 0x3c, m->len);
}

static void check_return(struct model_op *m)
{
    if (!m->pending) {
        COMPLAIN("an op came back that was idle");
        return;
    }
    m->pending = false;
    if (m->sock < 0) {
        if (m->op.err == EVQ_OK && (uint64_t)clock_now_ns() < m->deadline_ns)
            COMPLAIN("a timer was early");
        if (m->op.err == EVQ_ECANCELED && !m->cancel_asked)
            COMPLAIN("a timer was cancelled by nobody");
        return;
    }
    struct model_sock *s = &socks[m->sock];
    if (m->op.err == EVQ_ECANCELED && !m->cancel_asked && !s->closing)
        COMPLAIN("an op was cancelled by nobody");
    check_order(m);
    if (m->op.kind == EVQ_RECV)
        check_recv(m, s);
    else if (m->op.kind == EVQ_SEND)
        check_send(m, s);
    memset(m->in, SIGN, sizeof m->in);
}

/* A closed descriptor's number may be in use again already, by a socket that was opened since. */
static bool is_of_another(const struct model_sock *s, evq_fd fd)
{
    for (int i = 0; i < SOCKS; i++)
        if (&socks[i] != s && (socks[i].sock.fd == fd || socks[i].peer == fd))
            return true;
    return false;
}

static void check_close(struct model_sock *s)
{
    int which = (int)(s - socks);
    for (int i = 0; i < OP_COUNT; i++)
        if (model_ops[i].pending && model_ops[i].sock == which)
            COMPLAIN("a close came back before an op of its socket");
    if (system_is_open(s->sock.fd) && !is_of_another(s, s->sock.fd))
        COMPLAIN("the descriptor is open");
    peer_check(s, false);
    peer_leaves(s);
    sock_open(s);
}

static void take_returns(int max, int64_t timeout_ns)
{
    evq_op *done[8];
    int n = evq_wait(q, done, max, timeout_ns);
    if (n < 0 || n > max)
        COMPLAIN("wait returned %d", n);
    for (int i = 0; i < n; i++) {
        if (done[i]->kind == EVQ_CLOSE)
            check_close(done[i]->user);
        else
            check_return(done[i]->user);
    }
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct model_op *idle_op(void)
{
    for (int i = 0; i < OP_COUNT; i++) {
        struct model_op *m = &model_ops[i];
        if (m->pending)
            continue;
        for (int j = 0; j < RECV_ROOM; j++)
            if (m->in[j] != SIGN)
                COMPLAIN("the buffer of an idle op was written to");
        return m;
    }
    return NULL;
}

static void begin(struct model_op *m, int sock)
{
    m->pending = true;
    m->cancel_asked = false;
    m->sock = sock;
    m->number = ++submits;
    m->op.user = m;
}

static void do_send(struct model_op *m, struct model_sock *s, size_t len)
{
    static uint64_t position;
    if (s->send_count == SENDS)
        return;
    begin(m, (int)(s - socks));
    m->len = len;
    m->send = s->send_count++;
    s->sends[m->send] = (struct model_send){.position = position, .len = len};
    pattern_fill(m->out, len, position);
    position += 1000003;
    evq_send(&s->sock, &m->op, m->out, len);
}

static void do_cancel(unsigned a)
{
    struct model_op *m = &model_ops[a % OP_COUNT];
    int err = evq_cancel(q, &m->op);
    if (err != (m->pending ? EVQ_OK : EVQ_ENOENT))
        COMPLAIN("cancel returned \"%s\"", evq_strerror(err));
    m->cancel_asked = m->pending;
}

static void do_close(struct model_sock *s)
{
    if (s->closing)
        return;
    s->closing = true;
    s->close_op.user = s;
    evq_close(&s->sock, &s->close_op);
}

static void do_submit(const struct command *command, struct model_op *m)
{
    struct model_sock *s = &socks[command->a % SOCKS];
    switch (command->kind) {
    case DO_RECV:
        begin(m, (int)(s - socks));
        m->len = 1 + command->b % RECV_ROOM;
        evq_recv(&s->sock, &m->op, m->in, m->len);
        break;
    case DO_READABLE:
        begin(m, (int)(s - socks));
        evq_readable(&s->sock, &m->op);
        break;
    case DO_SEND:
        do_send(m, s, 1 + command->b % 100);
        break;
    case DO_SEND_MUCH:
        do_send(m, s, 1 + command->b % SEND_ROOM);
        break;
    default:
        begin(m, -1);
        m->deadline_ns = (uint64_t)clock_now_ns() + command->b % 1500000 - 200000;
        evq_timer(q, &m->op, m->deadline_ns);
        break;
    }
}

static void do_peer(const struct command *command)
{
    static unsigned char bytes[200];
    struct model_sock *s = &socks[command->a % SOCKS];
    if (s->peer_reset)
        return;
    switch (command->kind) {
    case PEER_SENDS:
        if (!s->peer_ended) {
            pattern_fill(bytes, sizeof bytes, s->sent_by_peer);
            s->sent_by_peer += peer_put_some(s->peer, bytes, 1 + command->b % sizeof bytes);
        }
        break;
    case PEER_RECEIVES:
        peer_takes(s, 1 + command->b % SEND_ROOM);
        break;
    case PEER_ENDS:
        s->peer_ended = true;
        peer_end(s->peer);
        break;
    default:
        peer_takes(s, LOG_ROOM);
        s->peer_reset = true;
        peer_reset(s->peer);
        break;
    }
}

static void do_command(const struct command *command)
{
    struct model_op *m;
    switch (command->kind) {
    case DO_CANCEL:
        do_cancel(command->a);
        break;
    case DO_CLOSE:
        do_close(&socks[command->a % SOCKS]);
        break;
    case DO_SHUTDOWN:
        if (evq_shutdown(&socks[command->a % SOCKS].sock) == EVQ_OK)
            socks[command->a % SOCKS].shut = true;
        break;
    case DO_WAKE:
        evq_wake(q);
        break;
    case DO_WAIT:
        take_returns(1 + (int)(command->a % 8), 0);
        break;
    case DO_WAIT_A_LITTLE:
        take_returns(1 + (int)(command->a % 8), command->b % 500000);
        break;
    case PEER_SENDS:
    case PEER_RECEIVES:
    case PEER_ENDS:
    case PEER_RESETS:
        do_peer(command);
        break;
    default:
        m = idle_op();
        if (m != NULL)
            do_submit(command, m);
        break;
    }
}

/* ---- the end of a program -------------------------------------------------------------------- */

static bool sock_is_quiet(const struct model_sock *s)
{
    if (s->closing)
        return false;
    for (int i = 0; i < OP_COUNT; i++)
        if (model_ops[i].pending && model_ops[i].sock == (int)(s - socks) &&
            (model_ops[i].op.kind == EVQ_SEND || s->received < s->sent_by_peer))
            return false;
    return s->peer_reset || s->received == s->sent_by_peer;
}

/* Everything that is under way arrives: the peers take all, and so do we. */
static void let_all_arrive(void)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS / 4);
    for (bool quiet = false; !quiet && complaint[0] == '\0';) {
        quiet = true;
        for (int i = 0; i < SOCKS; i++) {
            struct model_sock *s = &socks[i];
            if (!s->peer_reset)
                peer_takes(s, LOG_ROOM);
            if (sock_is_quiet(s))
                continue;
            quiet = false;
            struct model_op *m = idle_op();
            if (m != NULL && !s->closing && s->received < s->sent_by_peer && !s->peer_reset)
                do_submit(&(struct command){DO_RECV, (unsigned)i, RECV_ROOM - 1}, m);
        }
        if (!quiet)
            take_returns(8, NS_PER_MS / 4);
        if (clock_now_ns() > deadline_ns)
            COMPLAIN("something never arrived");
    }
}

/* Back come all that are pending, by cancels or by themselves. */
static void let_all_return(void)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS / 4);
    for (unsigned i = 0; i < OP_COUNT; i++)
        do_cancel(i);
    for (bool pending = true; pending && complaint[0] == '\0';) {
        take_returns(8, 0);
        pending = false;
        for (int i = 0; i < OP_COUNT; i++)
            pending = pending || model_ops[i].pending;
        if (clock_now_ns() > deadline_ns)
            COMPLAIN("an op never came back");
    }
}

/* With or without a complaint: the sockets are closed, and the queue must be free. */
static void program_clean_up(void)
{
    static evq_op close_ops[SOCKS];
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS / 4);
    memset(close_ops, 0, sizeof close_ops);
    for (int i = 0; i < SOCKS; i++)
        peer_leaves(&socks[i]);
    for (int i = 0; i < SOCKS; i++)
        if (!socks[i].closing)
            evq_close(&socks[i].sock, &close_ops[i]);
    for (int i = 0; i < OP_COUNT; i++)
        (void)evq_cancel(q, &model_ops[i].op);
    while (evq_destroy(q) == EVQ_EBUSY && clock_now_ns() < deadline_ns) {
        evq_op *done[8];
        (void)evq_wait(q, done, 8, NS_PER_MS);
    }
    if (clock_now_ns() >= deadline_ns)
        COMPLAIN("something is left in the queue");
}

/* True if the program fails; then `complaint` says why. */
static bool program_fails(const struct program *program)
{
    evq_options options = {.backend = backend};
    complaint[0] = '\0';
    submits = 0;
    if (evq_open(&q, &options) != EVQ_OK)
        fail_msg("no queue");
    for (int i = 0; i < OP_COUNT; i++) {
        unsigned char *out = model_ops[i].out;
        memset(&model_ops[i], 0, sizeof model_ops[i]);
        model_ops[i].out = out;
        memset(model_ops[i].in, SIGN, RECV_ROOM);
    }
    for (int i = 0; i < SOCKS; i++)
        sock_open(&socks[i]);
    for (int i = 0; i < program->count && complaint[0] == '\0'; i++)
        do_command(&program->commands[i]);
    let_all_arrive();
    let_all_return();
    for (int i = 0; i < SOCKS; i++)
        if (complaint[0] == '\0')
            peer_check(&socks[i], true);
    program_clean_up();
    return complaint[0] != '\0';
}

/* ---- shrinking ------------------------------------------------------------------------------- */

static struct program program_without(const struct program *program, int from, int count)
{
    struct program rest = {.count = 0};
    for (int i = 0; i < program->count; i++)
        if (i < from || i >= from + count)
            rest.commands[rest.count++] = program->commands[i];
    return rest;
}

//! [shrink]
static void program_shrink(struct program *program)
{
    int runs = 0;
    for (int part = program->count / 2; part > 0; part /= 2) {
        for (int from = 0; from + part <= program->count && runs < SHRINK_RUNS; runs++) {
            struct program rest = program_without(program, from, part);
            if (program_fails(&rest))
                *program = rest;
            else
                from += part;
        }
    }
}
//! [shrink]

static unsigned number_from(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void random_programs_keep_the_contract(void **state)
{
    unsigned seed = number_from("EVQ_MODEL_SEED", 1);
    unsigned programs = number_from("EVQ_MODEL_PROGRAMS", 1000);
    (void)state;
    for (int i = 0; i < OP_COUNT; i++)
        assert_non_null(model_ops[i].out = malloc(SEND_ROOM));
    for (int i = 0; i < SOCKS; i++)
        assert_non_null(socks[i].log = malloc(LOG_ROOM));
    (void)printf("# model: seeds %u to %u\n", seed, seed + programs - 1);
    for (unsigned i = 0; i < programs; i++) {
        struct program program;
        program_make(&program, seed + i);
        if (!program_fails(&program))
            continue;
        (void)printf("seed %u over %s fails: %s\n", seed + i, backend, complaint);
        program_shrink(&program);
        bool again = program_fails(&program);
        (void)printf("shrunk: %s\n", again ? complaint : "this time it did not fail");
        program_print(&program);
        (void)fflush(stdout);
        fail_msg("EVQ_MODEL_SEED=%u EVQ_MODEL_PROGRAMS=1 makes it again", seed + i);
    }
    for (int i = 0; i < OP_COUNT; i++)
        free(model_ops[i].out);
    for (int i = 0; i < SOCKS; i++)
        free(socks[i].log);
}

int run_model(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs_keep_the_contract)};
    return RUN("random programs", tests);
}
