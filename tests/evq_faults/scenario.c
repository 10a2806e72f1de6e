/*
 * scenario.c: see scenario.h.
 *
 *     client ====== server      both attached to the queue; `up` and `down` are the streams
 *     listener                  where the server comes from
 *     lonely                    never connected: its send fails, and says why
 *     refused                   connects where nobody listens
 *
 * Whatever is not the library's goes by the real calls, past all faults.
 */
#include "scenario.h"
#include "real.h"

#include "harness/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <evq.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATIENCE_MS = 5000,
    NS_PER_MS = 1000000,
    SLOTS = 32,
    SOCKS = 5,
    KEPT_MAX = 16,
    FDS_MAX = 256,
    PATTERN = 2 * 1024 * 1024,
    TOO_MUCH = 1024 * 1024,
    SMALL_BUFFER = 16384,
    CHUNK = 32768,
    A_BIT = 40,
    PIECE = 100,
    PIECES_MAX = 16
};

/* What flows from one socket to the other. What must have arrived at the end is what the sends have
 * told of, one piece behind the other: one that has failed may have taken nothing. */
struct stream {
    evq_sock *from, *to;
    bool open;
    unsigned char *data;                /* what came            */
    uint64_t submitted, sent, received; /* bytes; sent: as told */
    uint64_t lost;                      /* of sends that have failed */
    int pieces;
    struct {
        uint64_t begin, len;
    } piece[PIECES_MAX];
};

/* An op, and what is known of it. The op comes first: its address is the slot's. */
struct slot {
    evq_op op;
    const char *what;
    struct stream *stream;
    int piece; /* of a send */
    size_t len;
    bool out, judged; /* with the queue; somebody has looked at its result */
};

static evq *queue;
static struct report *report;
static size_t long_bytes;
static struct slot slots[SLOTS];
static evq_sock socks[SOCKS];
static bool attached[SOCKS];
static struct stream up, down;
static int kept[KEPT_MAX]; /* descriptors that are ours; -1: none */
static uint16_t port;
static unsigned char pattern[PATTERN], up_data[PATTERN], down_data[PATTERN];

enum { LISTENER, CLIENT, SERVER, LONELY, REFUSED };

/* ---- reporting ------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static bool trouble(const char *format, ...)
{
    va_list arguments;
    if (report->trouble[0] != '\0')
        return false; /* the first one says most */
    va_start(arguments, format);
    (void)vsnprintf(report->trouble, sizeof report->trouble, format, arguments);
    va_end(arguments);
    return false;
}

/* An error that was not asked for. */
static bool ok(int err, int os_err, const char *what)
{
    if (err == EVQ_OK)
        return true;
    if (report->seen++ == 0) {
        report->err = err;
        report->os_err = os_err;
        report->where = what;
    }
    return false;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static bool fd_is_open(int fd)
{
    return __real_fcntl(fd, F_GETFD) >= 0;
}

static void keep(int fd)
{
    for (int i = 0; i < KEPT_MAX; i++) {
        if (kept[i] < 0) {
            kept[i] = fd;
            return;
        }
    }
    (void)trouble("too many descriptors");
}

static void let_go(int fd)
{
    for (int i = 0; i < KEPT_MAX; i++)
        if (kept[i] == fd)
            kept[i] = -1;
}

static void descriptors_note(bool *open)
{
    for (int fd = 0; fd < FDS_MAX; fd++)
        open[fd] = fd_is_open(fd);
}

static void descriptors_check(const bool *before)
{
    for (int fd = 0; fd < FDS_MAX; fd++)
        if (fd_is_open(fd) != before[fd])
            (void)trouble(before[fd] ? "descriptor %d was closed" : "descriptor %d is left", fd);
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct slot *slot_of(evq_op *op)
{
    return (struct slot *)op;
}

static evq_op *new_op(const char *what)
{
    for (int i = 0; i < SLOTS; i++) {
        if (!slots[i].out && slots[i].judged) {
            memset(&slots[i], 0, sizeof slots[i]);
            slots[i].what = what;
            slots[i].out = true;
            return &slots[i].op;
        }
    }
    (void)trouble("too many operations");
    return &slots[0].op;
}

static void note_bytes(const struct slot *slot)
{
    struct stream *stream = slot->stream;
    if (stream == NULL)
        return;
    if (slot->op.kind == EVQ_SEND) {
        stream->sent += slot->op.nbytes;
        stream->lost += slot->len - slot->op.nbytes;
        stream->piece[slot->piece].len = slot->op.nbytes;
    } else {
        stream->received += slot->op.nbytes;
    }
}

static void came_back(evq_op *op)
{
    struct slot *slot = slot_of(op);
    if (!slot->out) {
        (void)trouble("%s came back twice", slot->what);
        return;
    }
    slot->out = false;
    note_bytes(slot);
    if (op->kind == EVQ_ACCEPT && op->err == EVQ_OK)
        keep(op->accepted);
    else if (op->accepted != EVQ_NO_FD)
        (void)trouble("%s has a socket and an error", slot->what);
}

static void harvest(int64_t timeout_ns)
{
    evq_op *done[SLOTS];
    int n = evq_wait(queue, done, SLOTS, timeout_ns);
    if (n < 0)
        (void)ok(n, 0, "evq_wait");
    for (int i = 0; i < n; i++)
        came_back(done[i]);
}

/* All that was submitted has arrived, but for what was lost. */
static bool stream_is_dry(const struct stream *stream)
{
    return stream->received + stream->lost == stream->submitted;
}

/* Until op came back, or (unless it is NULL) `stream` has nothing more to give. */
static bool back_or_dry(evq_op *op, const struct stream *stream)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    while (slot_of(op)->out) {
        if (stream != NULL && stream_is_dry(stream))
            return false;
        harvest(100 * NS_PER_MS);
        if (clock_now_ns() > deadline_ns)
            return trouble("%s never came back", slot_of(op)->what);
    }
    slot_of(op)->judged = true;
    return true;
}

static bool back(evq_op *op)
{
    return back_or_dry(op, NULL);
}

/* It ends as it must: true. With another error, which may be the fault's: false. */
static bool ends_with(evq_op *op, int err)
{
    if (!back(op))
        return false;
    if (op->err == err)
        return true;
    if (op->err == EVQ_OK)
        return trouble("%s was no success, and says so", slot_of(op)->what);
    return ok(op->err, op->os_err, slot_of(op)->what);
}

static bool succeeds(evq_op *op)
{
    return ends_with(op, EVQ_OK);
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* On failure the descriptor stays ours, open as it was. */
static bool attach(int which, int fd)
{
    int err = evq_attach(queue, &socks[which], fd);
    if (err != EVQ_OK) {
        if (!fd_is_open(fd))
            (void)trouble("a descriptor that could not be attached was closed");
        return ok(err, 0, "evq_attach");
    }
    let_go(fd);
    attached[which] = true;
    return true;
}

static bool attach_new(int which)
{
    evq_fd fd;
    if (!ok(evq_tcp_socket(&fd, AF_INET), 0, "evq_tcp_socket"))
        return false;
    keep(fd);
    return ok(evq_tcp_nodelay(fd), 0, "evq_tcp_nodelay") && attach(which, fd);
}

static struct sockaddr_in address_of(uint16_t to_port)
{
    struct sockaddr_in addr;
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    addr.sin_port = htons(to_port);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return addr;
}

static void buffer_is_small(int fd, int which)
{
    int size = SMALL_BUFFER;
    (void)__real_setsockopt(fd, SOL_SOCKET, which, &size, sizeof size);
}

/* A port that is bound, so that nobody else gets it, and at which nobody listens. */
static uint16_t port_of_nobody(void)
{
    struct sockaddr_in addr = address_of(0);
    socklen_t len = sizeof addr;
    int fd = __real_socket(AF_INET, SOCK_STREAM, 0);
    keep(fd);
    if (__real_bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        __real_getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        (void)trouble("no port");
    return ntohs(addr.sin_port);
}

static bool ipv6_is_here(void)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6};
    addr.sin6_addr.s6_addr[15] = 1;
    int fd = __real_socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    bool works = __real_bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    (void)__real_close(fd);
    return works;
}

/* ---- the play: one function for each part, false where it ends ------------------------------- */

static bool play_listen(void)
{
    evq_fd fd;
    if (!ok(evq_tcp_listen(&fd, "127.0.0.1", 0, 16), 0, "evq_tcp_listen"))
        return false;
    keep(fd);
    if (!ok(evq_tcp_port(fd, &port), 0, "evq_tcp_port") || !attach(LISTENER, fd))
        return false;
    if (!ipv6_is_here())
        return true;
    if (!ok(evq_tcp_listen(&fd, "::1", 0, 16), 0, "evq_tcp_listen"))
        return false;
    evq_tcp_close(fd);
    return true;
}

static bool play_connect(void)
{
    static struct sockaddr_in addr;
    addr = address_of(port);
    evq_op *accept = new_op("accept");
    evq_accept(&socks[LISTENER], accept);
    if (!attach_new(CLIENT))
        return false;
    buffer_is_small(socks[CLIENT].fd, SO_SNDBUF);
    buffer_is_small(socks[CLIENT].fd, SO_RCVBUF);
    evq_op *connect = new_op("connect");
    evq_connect(&socks[CLIENT], connect, (struct sockaddr *)&addr, sizeof addr);
    if (!succeeds(connect) || !succeeds(accept))
        return false;
    if (!attach(SERVER, accept->accepted))
        return false;
    buffer_is_small(socks[SERVER].fd, SO_SNDBUF);
    int on = 1;
    (void)__real_setsockopt(socks[SERVER].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    up = (struct stream){
        .from = &socks[CLIENT], .to = &socks[SERVER], .open = true, .data = up_data};
    down = (struct stream){
        .from = &socks[SERVER], .to = &socks[CLIENT], .open = true, .data = down_data};
    return true;
}

static evq_op *send_some(struct stream *stream, size_t len)
{
    evq_op *op = new_op("send");
    slot_of(op)->stream = stream;
    slot_of(op)->piece = stream->pieces;
    slot_of(op)->len = len;
    if (stream->pieces == PIECES_MAX || stream->submitted + len > PATTERN)
        abort();
    stream->piece[stream->pieces++].begin = stream->submitted;
    evq_send(stream->from, op, pattern + stream->submitted, len);
    stream->submitted += len;
    return op;
}

static evq_op *receive_some(struct stream *stream, size_t len)
{
    evq_op *op = new_op("recv");
    slot_of(op)->stream = stream;
    if (stream->received + len > PATTERN)
        abort();
    evq_recv(stream->to, op, stream->data + stream->received, len);
    return op;
}

/* A send that fails meanwhile may leave the last recv without anything to wait for. */
static bool receive_rest(struct stream *stream, size_t len)
{
    while (!stream_is_dry(stream)) {
        evq_op *op = receive_some(stream, len);
        if (!back_or_dry(op, stream) || !succeeds(op))
            return false;
        if (op->nbytes == 0)
            return trouble("the stream has ended early");
    }
    return true;
}

/* Recv first, readable first, and reads that fill their buffers. */
static bool play_messages(void)
{
    evq_op *recv = receive_some(&up, CHUNK);
    harvest(0);
    evq_op *send = send_some(&up, PIECE);
    if (!succeeds(send) || !succeeds(recv) || !receive_rest(&up, CHUNK))
        return false;
    evq_op *readable = new_op("readable");
    evq_readable(&socks[SERVER], readable);
    harvest(0);
    send = send_some(&up, PIECE);
    if (!succeeds(send) || !succeeds(readable) || !receive_rest(&up, A_BIT))
        return false;
    send = send_some(&down, PIECE);
    return succeeds(send) && receive_rest(&down, PIECE);
}

/* More than fits: sends have to wait for room, and one behind another. */
static bool play_long_transfer(void)
{
    evq_op *first = send_some(&up, long_bytes / 2), *second = send_some(&up, long_bytes / 2);
    return receive_rest(&up, CHUNK) && succeeds(first) && succeeds(second);
}

static bool play_timers(void)
{
    evq_op *soon = new_op("timer"), *later = new_op("timer");
    evq_timer(queue, soon, evq_now(queue) + NS_PER_MS / 4);
    evq_timer(queue, later, evq_now(queue) + UINT64_C(3600) * 1000 * NS_PER_MS);
    if (!succeeds(soon))
        return false;
    if (evq_cancel(queue, later) != EVQ_OK)
        return trouble("a timer could not be cancelled");
    return ends_with(later, EVQ_ECANCELED);
}

/* Twice: what the first wake has left behind must not swallow the second. */
static bool play_wake(void)
{
    for (int i = 0; i < 2; i++) {
        int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
        evq_wake(queue);
        harvest((int64_t)2 * PATIENCE_MS * NS_PER_MS);
        if (clock_now_ns() > deadline_ns)
            return trouble("a wake was lost");
    }
    return true;
}

static bool cancel(evq_op *op)
{
    int err = evq_cancel(queue, op);
    if (err != (slot_of(op)->out ? EVQ_OK : EVQ_ENOENT))
        return trouble("%s could not be cancelled", slot_of(op)->what);
    return ends_with(op, EVQ_ECANCELED);
}

static bool play_cancels(void)
{
    evq_op *accept = new_op("accept"), *recv = receive_some(&up, CHUNK),
           *readable = new_op("readable");
    evq_accept(&socks[LISTENER], accept);
    evq_readable(&socks[CLIENT], readable);
    harvest(0);
    return cancel(recv) && cancel(accept) && cancel(readable);
}

static bool play_what_cannot_be(void)
{
    static struct sockaddr_in nobody;
    if (!attach_new(LONELY) || !attach_new(REFUSED))
        return false;
    evq_op *send = new_op("send without a connection");
    evq_send(&socks[LONELY], send, pattern, PIECE);
    if (!ends_with(send, EVQ_ENOTCONN))
        return false;
    nobody = address_of(port_of_nobody());
    evq_op *connect = new_op("connect to nobody");
    evq_connect(&socks[REFUSED], connect, (struct sockaddr *)&nobody, sizeof nobody);
    return ends_with(connect, EVQ_ECONNREFUSED);
}

/* The last thing that goes down: it is torn. */
static bool play_torn_send(void)
{
    evq_op *torn = send_some(&down, TOO_MUCH);
    harvest(0);
    harvest(0);
    if (!cancel(torn))
        return false;
    int err = torn->nbytes > 0 ? EVQ_ECLOSED : EVQ_OK; /* the fault may have been faster */
    evq_op *late = send_some(&down, PIECE);
    return ends_with(late, err);
}

static bool play_end(void)
{
    if (!ok(evq_shutdown(&socks[CLIENT]), 0, "evq_shutdown"))
        return false;
    evq_op *recv = receive_some(&up, CHUNK);
    if (!succeeds(recv))
        return false;
    if (recv->nbytes != 0)
        return trouble("the end of the stream did not come");
    struct linger linger = {.l_onoff = 1, .l_linger = 1}; /* the library takes it back */
    (void)__real_setsockopt(socks[CLIENT].fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    return true;
}

static bool play(void)
{
    static bool (*const parts[])(void) = {
        play_listen, play_connect, play_messages,       play_long_transfer, play_timers,
        play_wake,   play_cancels, play_what_cannot_be, play_torn_send,     play_end};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!parts[i]())
            return false;
    return true;
}

/* ---- after the play -------------------------------------------------------------------------- */

/* What nobody has asked about yet may be what the fault has hit. Consequences are no news. */
static void judge_the_rest(void)
{
    for (int i = 0; i < SLOTS; i++) {
        int err = slots[i].op.err;
        if (!slots[i].judged && err != EVQ_ECANCELED && err != EVQ_ECLOSED && err != EVQ_ENOTCONN)
            (void)ok(err, slots[i].op.os_err, slots[i].what);
        slots[i].judged = true;
    }
}

static void end_operations(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].out && slots[i].op.kind != EVQ_CLOSE &&
            evq_cancel(queue, &slots[i].op) != EVQ_OK)
            (void)trouble("%s could not be cancelled", slots[i].what);
    for (int i = 0; i < SLOTS; i++) {
        bool judged = slots[i].judged;
        if (slots[i].out && back(&slots[i].op))
            slots[i].judged = judged;
    }
    judge_the_rest();
}

static void stream_check(const struct stream *stream)
{
    const unsigned char *data = stream->data;
    for (int i = 0; i < stream->pieces; i++) {
        if (memcmp(data, pattern + stream->piece[i].begin, stream->piece[i].len) != 0)
            (void)trouble("wrong bytes in the send number %d", i);
        data += stream->piece[i].len;
    }
}

/* Takes what is still under way, past the library: as much as the sends have told, no more. */
static void end_stream(struct stream *stream)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    struct pollfd look = {.fd = stream->open ? stream->to->fd : -1, .events = POLLIN};
    while (stream->open && report->trouble[0] == '\0') {
        ssize_t n =
            __real_recv(look.fd, stream->data + stream->received, PATTERN - stream->received, 0);
        if (n > 0)
            stream->received += (uint64_t)n;
        else if (stream->received >= stream->sent)
            break;
        else if (n == 0 || errno != EAGAIN || clock_now_ns() > deadline_ns)
            break;
        else
            (void)__real_poll(&look, 1, deadline_left_ms(deadline_ns));
    }
    if (stream->open && stream->received != stream->sent)
        (void)trouble("sends have told of %llu bytes, and %llu came",
                      (unsigned long long)stream->sent, (unsigned long long)stream->received);
    else if (stream->open)
        stream_check(stream);
    stream->open = false;
}

/* The end of a connection in good order keeps its port in TIME_WAIT for a minute; and the runs are
 * thousands. */
static void leave_by_a_reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)__real_setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void end_sockets(void)
{
    static evq_op *close_ops[SOCKS];
    int fds[SOCKS];
    for (int i = 0; i < SOCKS; i++) {
        if (!attached[i])
            continue;
        fds[i] = socks[i].fd;
        if (i == SERVER) /* of the CLIENT the library asks whether it lingers */
            leave_by_a_reset(fds[i]);
        close_ops[i] = new_op("close");
        evq_close(&socks[i], close_ops[i]);
    }
    for (int i = 0; i < SOCKS; i++) {
        if (attached[i] && succeeds(close_ops[i]) && fd_is_open(fds[i]))
            (void)trouble("a closed socket is open");
        attached[i] = false;
    }
}

static void clean_up(void)
{
    end_operations();
    end_stream(&up);
    end_stream(&down);
    end_sockets();
    for (int i = 0; i < KEPT_MAX; i++) {
        if (kept[i] >= 0 && __real_close(kept[i]) < 0)
            (void)trouble("descriptor %d of ours was closed", kept[i]);
        kept[i] = -1;
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void reset(struct report *new_report)
{
    if (pattern[1] == 0)
        for (size_t i = 0; i < PATTERN; i++)
            pattern[i] = (unsigned char)(i * 31 + i / 251 * 7 + i / 65521 + 1);
    report = new_report;
    memset(report, 0, sizeof *report);
    memset(slots, 0, sizeof slots);
    for (int i = 0; i < SLOTS; i++)
        slots[i].judged = true;
    memset(attached, 0, sizeof attached);
    memset(kept, 0xff, sizeof kept);
    up.open = down.open = false;
}

static bool open_queue(const char *backend)
{
    evq_options options = {.backend = backend};
    if (ok(evq_open(&queue, &options), 0, "evq_open"))
        return true;
    int err = evq_open(&queue, &options); /* now it must work */
    return err == EVQ_OK || trouble("evq_open fails again: %s", evq_strerror(err));
}

static void play_twice(void)
{
    report->complete = play();
    clean_up();
    if (report->complete || report->trouble[0] != '\0')
        return;
    int seen = report->seen;
    if (!play() && report->trouble[0] == '\0')
        (void)trouble("it does not work afterwards");
    clean_up();
    if (report->seen != seen)
        (void)trouble("an error is reported once more");
}

void scenario_run(struct report *new_report, const char *backend, const struct fault *faults,
                  size_t fault_count, size_t bytes)
{
    bool before[FDS_MAX];
    reset(new_report);
    long_bytes = bytes;
    descriptors_note(before);
    faults_reset();
    for (size_t i = 0; i < fault_count; i++)
        faults_add(faults[i]);
    long blocks = faults_blocks();
    if (!open_queue(backend))
        return;
    play_twice();
    int err = evq_destroy(queue);
    if (err != EVQ_OK)
        (void)trouble("evq_destroy: %s", evq_strerror(err));
    descriptors_check(before);
    if (faults_blocks() != blocks)
        (void)trouble("%ld blocks of memory are left", faults_blocks() - blocks);
    report->calls = faults_calls();
    report->hits = faults_hits();
    for (int i = 0; i < CALLS; i++)
        report->counts[i] = faults_count((enum call)i);
    faults_reset();
}
