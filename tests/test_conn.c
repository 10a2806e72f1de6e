/*
 * test_conn: conn.h of chapter 02, state by state.
 *
 * Two ways to bring a connection into each state. A real peer, over TCP: what the kernel does is
 * what is tested. And a kernel that lies: the linker gives this file every call of recv() and
 * send() that conn makes (ld --wrap), so they can be counted, made short, and made to fail.
 *
 *        test  ---- peer ====== socket ---- conn      `peer` is the client's end, non-blocking
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conn.h"

#include "harness/clock.h"
#include "harness/pattern.h"
#include "harness/skip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, SMALL_BUFFER = 4096, MIB = 1024 * 1024, SEED = 2 };

/* ---- A kernel that lies ------------------------------------------------------------------ */

/** What the next calls do: fail with `err`, or move at most `most` bytes (0: as usual). */
struct lie {
    int err;
    size_t most;
};

enum { LIES_MAX = 8 };

static struct calls {
    int count;                 /* since forget_calls()                        */
    int last_err;              /* errno of the last one, 0 when it worked     */
    struct lie lies[LIES_MAX]; /* used up one by one                          */
    int told, lies_count;
} recvs, sends;

enum which { RECV, SEND };
static enum which last_call;

static void forget_calls(void)
{
    recvs.count = sends.count = 0;
}

static void lie(struct calls *calls, int err, size_t most)
{
    assert_int_not_equal(calls->lies_count, LIES_MAX);
    calls->lies[calls->lies_count++] = (struct lie){.err = err, .most = most};
}

#ifdef CAN_WRAP
static struct lie next_lie(struct calls *calls, enum which which)
{
    calls->count++;
    last_call = which;
    return calls->told < calls->lies_count ? calls->lies[calls->told++] : (struct lie){0, 0};
}

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);

//! [lie]
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
    struct lie told = next_lie(&recvs, RECV);
    if (told.err != 0) {
        recvs.last_err = errno = told.err;
        return -1;
    }
    ssize_t n = __real_recv(fd, buf, told.most != 0 && told.most < len ? told.most : len, flags);
    recvs.last_err = n < 0 ? errno : 0;
    return n;
}
//! [lie]

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
    struct lie told = next_lie(&sends, SEND);
    if (told.err != 0) {
        sends.last_err = errno = told.err;
        return -1;
    }
    ssize_t n = __real_send(fd, buf, told.most != 0 && told.most < len ? told.most : len, flags);
    sends.last_err = n < 0 ? errno : 0;
    return n;
}

/* The peer's own calls are not counted. */
static ssize_t peer_recv(int fd, void *buf, size_t len)
{
    return __real_recv(fd, buf, len, 0);
}

static ssize_t peer_send(int fd, const void *buf, size_t len)
{
    return __real_send(fd, buf, len, 0);
}

#define NEEDS_WRAP() forget_calls()
#else
static ssize_t peer_recv(int fd, void *buf, size_t len)
{
    return recv(fd, buf, len, 0);
}

static ssize_t peer_send(int fd, const void *buf, size_t len)
{
    return send(fd, buf, len, 0);
}

#define NEEDS_WRAP() skip_because("this system's linker has no --wrap")
#endif

/* ---- A connection and its peer ----------------------------------------------------------- */

static struct conn conn;
static int peer = -1;

static void set_up_socket(int fd, int buffer)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
#ifdef SO_NOSIGPIPE
    const int on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on), 0);
#endif
    if (buffer > 0) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer), 0);
    }
}

/** Connects conn and peer by TCP; buffer 0: as large as usual. */
static void connect_pair(int buffer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(peer >= 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&at, len), 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    (void)close(listener);
    set_up_socket(peer, buffer);
    set_up_socket(fd, buffer);
    conn_init(&conn, fd);
}

/** The same without TCP and its pauses, for a test of many small steps. */
static void connect_local_pair(int buffer)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    peer = fds[0];
    set_up_socket(fds[0], buffer);
    set_up_socket(fds[1], buffer);
    conn_init(&conn, fds[1]);
}

static int set_up(void **state)
{
    (void)state;
    memset(&recvs, 0, sizeof recvs);
    memset(&sends, 0, sizeof sends);
    connect_pair(0);
    return 0;
}

static int set_up_small(void **state)
{
    (void)state;
    memset(&recvs, 0, sizeof recvs);
    memset(&sends, 0, sizeof sends);
    connect_pair(SMALL_BUFFER);
    return 0;
}

static int set_up_local(void **state)
{
    (void)state;
    memset(&recvs, 0, sizeof recvs);
    memset(&sends, 0, sizeof sends);
    connect_local_pair(SMALL_BUFFER);
    return 0;
}

static void close_peer(void)
{
    if (peer >= 0)
        (void)close(peer);
    peer = -1;
}

static int tear_down(void **state)
{
    (void)state;
    close_peer();
    if (conn.fd >= 0)
        conn_close(&conn);
    return 0;
}

/** The peer goes so that the connection sees a reset. */
static void abort_peer(void)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close_peer();
}

static void wait_until(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    int n;
    do
        n = poll(&one, 1, deadline_left_ms(deadline_in_ms(PATIENCE_MS)));
    while (n < 0 && errno == EINTR);
    assert_int_equal(n, 1);
}

static void peer_says(const char *words)
{
    assert_int_equal(peer_send(peer, words, strlen(words)), strlen(words));
    wait_until(conn.fd, POLLIN);
}

static void peer_hears(const char *words)
{
    char heard[64] = "";
    for (size_t have = 0; have < strlen(words);) {
        wait_until(peer, POLLIN);
        ssize_t n = peer_recv(peer, heard + have, strlen(words) - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_string_equal(heard, words);
}

static void peer_hears_nothing(void)
{
    char byte;
    assert_int_equal(peer_recv(peer, &byte, 1), -1);
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
}

static void assert_state(enum conn_state state, size_t waiting)
{
    assert_int_equal(conn.state, state);
    if (state == CONN_WRITING)
        assert_int_equal(conn.end - conn.start, waiting);
    if (state != CONN_ENDED)
        assert_int_equal(conn_waits_for(&conn),
                         state == CONN_READING ? CONN_READABLE : CONN_WRITABLE);
}

/** One turn; then how many calls of each kind it made. */
static void assert_turn(enum conn_result wanted, int recv_calls, int send_calls)
{
    forget_calls();
    assert_int_equal(conn_turn(&conn), wanted);
#ifdef CAN_WRAP
    assert_int_equal(recvs.count, recv_calls);
    assert_int_equal(sends.count, send_calls);
#else
    (void)recv_calls;
    (void)send_calls;
#endif
}

/* ---- Reading ----------------------------------------------------------------------------- */

static void a_new_conn_waits_for_the_peer(void **state)
{
    (void)state;
    assert_state(CONN_READING, 0);
    assert_int_equal(conn.bytes_sent, 0);
    assert_turn(CONN_WOULD_BLOCK, 1, 0);
    assert_state(CONN_READING, 0);
    assert_turn(CONN_WOULD_BLOCK, 1, 0);
}

/* Its memory need not be zero before: it may have belonged to another client. */
static void a_new_conn_owes_nothing_whatever_its_memory_held(void **state)
{
    (void)state;
    int fd = conn.fd;
    memset(&conn, 0x5a, sizeof conn);
    conn_init(&conn, fd);
    assert_state(CONN_READING, 0);
    assert_int_equal(conn.start, 0);
    assert_int_equal(conn.end, 0);
    assert_int_equal(conn.bytes_sent, 0);
}

static void what_comes_is_echoed_in_the_same_turn(void **state)
{
    (void)state;
    peer_says("hello");
    assert_turn(CONN_PROGRESS, 1, 1);
    assert_state(CONN_READING, 0);
    assert_int_equal(conn.bytes_sent, 5);
    peer_hears("hello");
    assert_turn(CONN_WOULD_BLOCK, 1, 0);
}

static void the_end_of_the_stream_ends_it(void **state)
{
    (void)state;
    peer_says("bye");
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    assert_turn(CONN_PROGRESS, 1, 1);
    wait_until(conn.fd, POLLIN);
    assert_turn(CONN_OVER, 1, 0);
    assert_state(CONN_ENDED, 0);
    peer_hears("bye"); /* the half-closed peer gets its answer */
    conn_close(&conn);
    char byte;
    wait_until(peer, POLLIN);
    assert_int_equal(peer_recv(peer, &byte, 1), 0);
}

static void a_peer_that_closes_at_once_ends_it(void **state)
{
    (void)state;
    close_peer();
    wait_until(conn.fd, POLLIN);
    assert_turn(CONN_OVER, 1, 0);
    assert_state(CONN_ENDED, 0);
}

static void a_reset_while_reading_ends_it(void **state)
{
    (void)state;
    abort_peer();
    wait_until(conn.fd, POLLIN);
    assert_turn(CONN_OVER, 1, 0);
    assert_state(CONN_ENDED, 0);
}

static void any_error_of_recv_ends_it(void **state)
{
    static const int errors[] = {ECONNRESET, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH, ENOBUFS};
    (void)state;
    NEEDS_WRAP();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        conn.state = CONN_READING;
        lie(&recvs, errors[i], 0);
        assert_turn(CONN_OVER, 1, 0);
        assert_state(CONN_ENDED, 0);
    }
}

//! [interrupted]
static void an_interrupted_recv_is_tried_again(void **state)
{
    (void)state;
    NEEDS_WRAP();
    peer_says("hello");
    lie(&recvs, EINTR, 0);
    lie(&recvs, EINTR, 0);
    assert_turn(CONN_PROGRESS, 3, 1);
    peer_hears("hello");
}
//! [interrupted]

/* The end of the stream sets no errno: what an earlier call has left there says nothing. */
static void an_old_errno_does_not_hide_the_end_of_the_stream(void **state)
{
    static const int old[] = {EINTR, EAGAIN, EWOULDBLOCK};
    (void)state;
    NEEDS_WRAP();
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    wait_until(conn.fd, POLLIN);
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        conn.state = CONN_READING;
        lie(&recvs, 0, 0);
        lie(&recvs, ECONNRESET, 0); /* who calls again shall not do so for ever */
        errno = old[i];
        assert_turn(CONN_OVER, 1, 0);
        assert_state(CONN_ENDED, 0);
        recvs.told = recvs.lies_count;
    }
}

static void a_short_recv_leaves_the_rest_to_the_next_turn(void **state)
{
    (void)state;
    NEEDS_WRAP();
    peer_says("hello");
    lie(&recvs, 0, 3);
    assert_turn(CONN_PROGRESS, 1, 1);
    assert_int_equal(conn.bytes_sent, 3);
    assert_turn(CONN_PROGRESS, 1, 1);
    peer_hears("hello");
}

/* ---- Writing ----------------------------------------------------------------------------- */

static void a_short_send_keeps_the_rest(void **state)
{
    (void)state;
    NEEDS_WRAP();
    peer_says("hello, world");
    lie(&sends, 0, 3);
    lie(&sends, 0, 4);
    assert_turn(CONN_PROGRESS, 1, 1);
    assert_state(CONN_WRITING, 9);
    assert_turn(CONN_PROGRESS, 0, 1);
    assert_state(CONN_WRITING, 5);
    assert_int_equal(conn.bytes_sent, 7);
    assert_turn(CONN_PROGRESS, 0, 1);
    assert_state(CONN_READING, 0);
    assert_int_equal(conn.bytes_sent, 12);
    peer_hears("hello, world");
}

static void nothing_is_read_while_something_is_owed(void **state)
{
    (void)state;
    NEEDS_WRAP();
    peer_says("first");
    lie(&sends, 0, 1);
    assert_turn(CONN_PROGRESS, 1, 1);
    peer_says("second");
    assert_turn(CONN_PROGRESS, 0, 1);
    assert_int_equal(conn.bytes_sent, 5);
    assert_turn(CONN_PROGRESS, 1, 1);
    peer_hears("firstsecond");
}

static void no_room_after_a_read_is_progress_and_then_would_block(void **state)
{
    (void)state;
    NEEDS_WRAP();
    peer_says("hello");
    lie(&sends, EAGAIN, 0);
    lie(&sends, EWOULDBLOCK, 0);
    assert_turn(CONN_PROGRESS, 1, 1);
    assert_state(CONN_WRITING, 5);
    assert_turn(CONN_WOULD_BLOCK, 0, 1);
    assert_state(CONN_WRITING, 5);
    peer_hears_nothing();
    assert_turn(CONN_PROGRESS, 0, 1);
    peer_hears("hello");
}

static void an_interrupted_send_is_tried_again(void **state)
{
    (void)state;
    NEEDS_WRAP();
    peer_says("hello");
    lie(&sends, EINTR, 0);
    lie(&sends, EINTR, 0);
    lie(&sends, 0, 2);
    lie(&sends, EINTR, 0);
    assert_turn(CONN_PROGRESS, 1, 3);
    assert_turn(CONN_PROGRESS, 0, 2);
    peer_hears("hello");
}

static void any_error_of_send_ends_it(void **state)
{
    static const int errors[] = {EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
    (void)state;
    NEEDS_WRAP();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        conn.state = CONN_READING;
        peer_says("x");
        lie(&sends, errors[i], 0);
        assert_turn(CONN_OVER, 1, 1); /* in the turn that has read */
        assert_state(CONN_ENDED, 0);
    }
}

static void any_error_of_a_later_send_ends_it(void **state)
{
    static const int errors[] = {EPIPE, ECONNRESET, ETIMEDOUT};
    (void)state;
    NEEDS_WRAP();
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        conn.state = CONN_READING;
        peer_says("hello");
        lie(&sends, 0, 1);
        lie(&sends, errors[i], 0);
        assert_turn(CONN_PROGRESS, 1, 1);
        assert_turn(CONN_OVER, 0, 1); /* in a turn that only writes */
        assert_state(CONN_ENDED, 0);
    }
}

/* ---- Back-pressure, with a real kernel ---------------------------------------------------- */

/** The peer sends and never reads, until the connection has no more room to write. */
static uint64_t fill(void)
{
    static unsigned char piece[SMALL_BUFFER];
    uint64_t said = 0;
    for (int64_t deadline = deadline_in_ms(PATIENCE_MS); deadline_left_ms(deadline) > 0;) {
        pattern_fill(piece, sizeof piece, said, SEED);
        ssize_t n = peer_send(peer, piece, sizeof piece);
        said += n > 0 ? (uint64_t)n : 0;
        if (conn_turn(&conn) == CONN_WOULD_BLOCK && conn.state == CONN_WRITING)
            return said;
    }
    fail_msg("the peer was never full");
    return 0;
}

/** The peer reads while the connection takes its turns, until `said` bytes have come back right. */
static void hear_all(uint64_t said)
{
    static unsigned char piece[SMALL_BUFFER];
    int64_t deadline = deadline_in_ms(PATIENCE_MS);
    for (uint64_t heard = 0; heard < said;) {
        ssize_t n = peer_recv(peer, piece, sizeof piece);
        if (n > 0) {
            assert_int_equal(pattern_mismatch(piece, (size_t)n, heard, SEED), n);
            heard += (uint64_t)n;
        }
        assert_int_not_equal(conn_turn(&conn), CONN_OVER);
        assert_int_not_equal(deadline_left_ms(deadline), 0);
    }
}

static void a_full_peer_is_waited_for(void **state)
{
    (void)state;
    uint64_t said = fill();
    assert_int_equal(conn_waits_for(&conn), CONN_WRITABLE);
    assert_in_range(conn.end - conn.start, 1, CONN_BUF_SIZE);
    size_t owed = conn.end - conn.start;
    for (int i = 0; i < 3; i++) {
        enum conn_result result = conn_turn(&conn);
        if (result == CONN_WOULD_BLOCK) /* most likely; but the kernel may find a little room */
            assert_int_equal(conn.end - conn.start, owed);
        owed = conn.end - conn.start;
        assert_int_not_equal(result, CONN_OVER);
    }
    hear_all(said);
    assert_int_equal(conn.bytes_sent, said);
}

static void a_full_peer_that_half_closes_gets_everything(void **state)
{
    (void)state;
    uint64_t said = fill();
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    static unsigned char piece[SMALL_BUFFER];
    int64_t deadline = deadline_in_ms(PATIENCE_MS);
    uint64_t heard = 0;
    bool open = true;
    for (ssize_t n = -1; n != 0;) { /* until the end of the stream */
        n = peer_recv(peer, piece, sizeof piece);
        if (n > 0) {
            assert_int_equal(pattern_mismatch(piece, (size_t)n, heard, SEED), n);
            heard += (uint64_t)n;
        }
        if (open && conn_turn(&conn) == CONN_OVER) {
            conn_close(&conn);
            open = false;
        }
        assert_int_not_equal(deadline_left_ms(deadline), 0);
    }
    assert_int_equal(heard, said);
}

static void a_reset_while_writing_ends_it(void **state)
{
    (void)state;
    (void)fill();
    abort_peer();
    wait_until(conn.fd, POLLIN); /* a reset makes a socket readable too */
    assert_turn(CONN_OVER, 0, 1);
    assert_state(CONN_ENDED, 0);
}

static void a_peer_that_closes_while_we_write_raises_no_signal(void **state)
{
    (void)state;
    (void)fill();
    close_peer(); /* with bytes unread: the kernel answers with a reset */
    int64_t deadline = deadline_in_ms(PATIENCE_MS);
    while (conn_turn(&conn) != CONN_OVER)
        assert_int_not_equal(deadline_left_ms(deadline), 0);
    assert_state(CONN_ENDED, 0);
}

/* ---- The promises of a turn -------------------------------------------------------------- */

static void would_block_names_the_call_that_was_refused(void)
{
    bool reads = conn_waits_for(&conn) == CONN_READABLE;
    assert_int_equal(last_call, reads ? RECV : SEND);
    assert_int_equal(reads ? recvs.last_err : sends.last_err, EAGAIN);
}

/** Four MiB through small buffers, by a peer that reads and writes pieces of changing size. */
static void no_turn_makes_more_than_one_call_of_a_kind(void **state)
{
    (void)state;
    NEEDS_WRAP();
    enum { ALL = 4 * MIB, LARGEST = 30011 };
    static unsigned char piece[LARGEST];
    int64_t deadline = deadline_in_ms(PATIENCE_MS);
    size_t size = 1;
    uint64_t said = 0;
    for (uint64_t heard = 0; heard < ALL;) {
        size = size * 7 % LARGEST;
        size_t len = said + size < ALL ? size : (size_t)(ALL - said);
        pattern_fill(piece, len, said, SEED);
        ssize_t n = len > 0 ? peer_send(peer, piece, len) : 0;
        said += n > 0 ? (uint64_t)n : 0;

        forget_calls();
        enum conn_result result = conn_turn(&conn);
        assert_in_range(recvs.count, 0, 1);
        assert_in_range(sends.count, 0, 1);
        assert_int_not_equal(result, CONN_OVER);
        if (result == CONN_WOULD_BLOCK)
            would_block_names_the_call_that_was_refused();

        n = peer_recv(peer, piece, size);
        heard += n > 0 ? (uint64_t)n : 0;
        assert_true(n <= 0 ||
                    pattern_mismatch(piece, (size_t)n, heard - (uint64_t)n, SEED) == (size_t)n);
        assert_int_not_equal(deadline_left_ms(deadline), 0);
    }
    assert_int_equal(conn.bytes_sent, ALL);
}

static void pieces_around_the_size_of_the_buffer_come_back_whole(void **state)
{
    static unsigned char piece[2 * CONN_BUF_SIZE + 1];
    static const size_t sizes[] = {CONN_BUF_SIZE - 1, CONN_BUF_SIZE, CONN_BUF_SIZE + 1,
                                   2 * CONN_BUF_SIZE, 2 * CONN_BUF_SIZE + 1};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pattern_fill(piece, sizes[i], 0, SEED);
        assert_int_equal(peer_send(peer, piece, sizes[i]), sizes[i]);
        hear_all(sizes[i]);
    }
}

static void closing_gives_the_descriptor_back(void **state)
{
    (void)state;
    int fd = conn.fd;
    conn_close(&conn);
    assert_state(CONN_ENDED, 0);
    assert_int_equal(conn.fd, -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

/* ---- All --------------------------------------------------------------------------------- */

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)
#define TEST_LOCAL(name) cmocka_unit_test_setup_teardown(name, set_up_local, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_conn_waits_for_the_peer),
        TEST(a_new_conn_owes_nothing_whatever_its_memory_held),
        TEST(what_comes_is_echoed_in_the_same_turn),
        TEST(the_end_of_the_stream_ends_it),
        TEST(a_peer_that_closes_at_once_ends_it),
        TEST(a_reset_while_reading_ends_it),
        TEST(any_error_of_recv_ends_it),
        TEST(an_interrupted_recv_is_tried_again),
        TEST(an_old_errno_does_not_hide_the_end_of_the_stream),
        TEST(a_short_recv_leaves_the_rest_to_the_next_turn),
        TEST(a_short_send_keeps_the_rest),
        TEST(nothing_is_read_while_something_is_owed),
        TEST(no_room_after_a_read_is_progress_and_then_would_block),
        TEST(an_interrupted_send_is_tried_again),
        TEST(any_error_of_send_ends_it),
        TEST(any_error_of_a_later_send_ends_it),
        TEST_LOCAL(a_full_peer_is_waited_for),
        TEST(a_full_peer_that_half_closes_gets_everything),
        TEST_SMALL(a_reset_while_writing_ends_it),
        TEST_SMALL(a_peer_that_closes_while_we_write_raises_no_signal),
        TEST_LOCAL(no_turn_makes_more_than_one_call_of_a_kind),
        TEST(pieces_around_the_size_of_the_buffer_come_back_whole),
        TEST(closing_gives_the_descriptor_back),
    };
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
