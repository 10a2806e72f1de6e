/*
 * test_lines: chapter 03, step 3, the server with a protocol. It does not echo, so the contract
 * cannot judge it; here are the contract's questions again, asked in lines.
 *
 * STEPS_BUILD says which build of it: "build", or a variant. Run it from the root of the
 * repository. One test asks lines.c itself: from outside nobody sees how much room there is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lines.h"

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/process.h"
#include "harness/skip.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, LONGEST = 1024 };

static const char refusal[] = "error: a line has at most 1024 bytes\n";

/* ---- The server, once per test --------------------------------------------------------------- */

static struct server server;

static void start_with(const char *first, const char *second)
{
    const char *build = getenv("STEPS_BUILD");
    char path[512], why[256] = "";
    (void)snprintf(path, sizeof path, "chapters/03_select_poll/%s/step3_lines",
                   build != NULL && *build != '\0' ? build : "build");
    const char *argv[] = {path, first, second, NULL};
    struct server_spec spec = {.argv = argv};
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static int start_server(void **state)
{
    (void)state;
    start_with(NULL, NULL);
    return 0;
}

/* It must have survived, and must end well: with a status of 0, so that sanitizers are heard
 * too. */
static int stop_server(void **state)
{
    (void)state;
    struct server_end end = {0};
    server_stop(&server, deadline_in_ms(PATIENCE_MS), &end);
    bool well = end.in_time && end.status == 0 && strstr(end.totals, "totals: clients ") != NULL;
    if (!well)
        print_error("it ended with status %d, last line \"%s\", stderr: %s\n", end.status,
                    end.totals, server.err);
    server_kill(&server);
    return well ? 0 : -1;
}

/* ---- A client -------------------------------------------------------------------------------- */

static int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static struct client connected(void)
{
    struct client c = {.fd = -1};
    assert_int_equal(client_connect(&c, &server, soon()), CLIENT_OK);
    return c;
}

static void says(struct client *c, const char *bytes, size_t len)
{
    assert_int_equal(client_send_raw(c, bytes, len, soon()), CLIENT_OK);
}

static void hears(struct client *c, const char *bytes, size_t len)
{
    char *buf = malloc(len + 1);
    assert_non_null(buf);
    enum outcome o = client_expect_raw(c, buf, len, soon());
    bool is_right = o == CLIENT_OK && memcmp(buf, bytes, len) == 0;
    free(buf);
    if (!is_right)
        fail_msg("the answer of %zu bytes did not come, or is another one: %s", len,
                 outcome_in_words(o));
}

#define SAYS(c, text)  says(c, text, sizeof(text) - 1)
#define HEARS(c, text) hears(c, text, sizeof(text) - 1)

static void is_served(void)
{
    struct client c = connected();
    SAYS(&c, "still there?\n");
    HEARS(&c, "STILL THERE?\n");
    client_close(&c);
}

/* ---- The protocol ---------------------------------------------------------------------------- */

static void a_line_that_comes_byte_by_byte_is_answered_when_it_is_whole(void **state)
{
    (void)state;
    struct client c = connected();
    const char line[] = "one byte at a time\n";
    for (size_t i = 0; i + 1 < sizeof line; i++)
        says(&c, line + i, 1);
    HEARS(&c, "ONE BYTE AT A TIME\n");
    client_close(&c);
}

static void half_a_line_is_not_answered(void **state)
{
    (void)state;
    struct client c = connected();
    char byte;
    SAYS(&c, "first\nse");
    HEARS(&c, "FIRST\n");
    enum outcome o = client_expect_raw(&c, &byte, 1, clock_now_ns() + 50 * INT64_C(1000000));
    assert_int_equal(o, CLIENT_TIMEOUT);
    SAYS(&c, "cond\n");
    HEARS(&c, "SECOND\n");
    client_close(&c);
}

static void several_lines_in_one_segment_are_answered_in_order(void **state)
{
    (void)state;
    struct client c = connected();
    SAYS(&c, "a\n\nbc\n\n\ne\n");
    HEARS(&c, "A\n\nBC\n\n\nE\n");
    client_close(&c);
}

static void a_line_may_hold_every_byte_but_the_newline(void **state)
{
    (void)state;
    struct client c = connected();
    char line[256], answer[256];
    size_t len = 0;
    for (int byte = 0; byte < 256; byte++)
        if (byte != '\n')
            line[len++] = (char)byte;
    line[len++] = '\n';
    for (size_t i = 0; i < len; i++)
        answer[i] = (char)(line[i] >= 'a' && line[i] <= 'z' ? line[i] - 'a' + 'A' : line[i]);
    says(&c, line, len);
    hears(&c, answer, len);
    client_close(&c);
}

static void the_last_line_may_go_without_its_newline(void **state)
{
    (void)state;
    struct client c = connected();
    SAYS(&c, "first\nlast");
    assert_int_equal(client_shut_writing(&c), 0);
    HEARS(&c, "FIRST\nLAST");
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
}

/* ---- The longest line ------------------------------------------------------------------------ */

static void a_line_of_the_longest_length_is_answered(void **state)
{
    (void)state;
    struct client c = connected();
    char line[LONGEST + 1];
    memset(line, 'x', LONGEST);
    line[LONGEST] = '\n';
    says(&c, line, sizeof line);
    memset(line, 'X', LONGEST);
    hears(&c, line, sizeof line);
    client_close(&c);
}

static void a_line_that_is_one_byte_longer_is_refused_after_the_answers_before_it(void **state)
{
    (void)state;
    struct client c = connected();
    char line[LONGEST + 2];
    memset(line, 'x', LONGEST + 1);
    line[LONGEST + 1] = '\n';
    SAYS(&c, "before\n");
    says(&c, line, sizeof line);
    HEARS(&c, "BEFORE\n");
    hears(&c, refusal, sizeof refusal - 1);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
    is_served();
}

/* The refusal must arrive although the client had sent far more: no reset may overtake it. */
static void the_refusal_arrives_though_the_peer_goes_on_sending(void **state)
{
    (void)state;
    enum { MUCH = 1024 * 1024 };
    struct client c = connected();
    char *much = malloc(MUCH);
    assert_non_null(much);
    memset(much, 'y', MUCH);
    assert_int_equal(server_freeze(&server, soon()), 0);
    says(&c, much, 100 * 1000); /* fits into the kernel's buffers: it has all come at once */
    server_thaw(&server);
    hears(&c, refusal, sizeof refusal - 1);
    says(&c, much, MUCH);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
    free(much);
    is_served();
}

static void a_refused_peer_that_stays_is_closed_in_the_end(void **state)
{
    (void)state;
    struct client c = connected();
    char line[LONGEST + 100];
    memset(line, 'z', sizeof line);
    SAYS(&c, "hello\n"); /* once it has answered, the connection is among its descriptors */
    HEARS(&c, "HELLO\n");
    int before = process_fds(server.pid);
    if (before < 0)
        skip_because("this system does not tell how many descriptors a process has");
    says(&c, line, sizeof line);
    hears(&c, refusal, sizeof refusal - 1);
    int64_t deadline_ns = soon();
    while (process_fds(server.pid) >= before && deadline_left_ms(deadline_ns) > 0)
        clock_pause_ms(5);
    assert_true(process_fds(server.pid) < before);
    client_close(&c);
}

/* ---- Rude peers ------------------------------------------------------------------------------ */

/* Numbered lines, so that a lost, doubled or moved one is found. */
static size_t numbered_lines(char *buf, size_t size, unsigned first)
{
    size_t len = 0;
    for (unsigned i = first; len + 32 < size; i++)
        len += (size_t)snprintf(buf + len, size - len, "line number %u\n", i);
    return len;
}

static void a_peer_that_does_not_read_holds_bounded_memory_and_loses_nothing(void **state)
{
    (void)state;
    enum { MOST = 64 * 1024 * 1024, QUIET_MS = 100, MEMORY_KIB = 4096 };
    struct client slow = {.fd = -1, .receive_buffer = 64 * 1024};
    assert_int_equal(client_connect(&slow, &server, soon()), CLIENT_OK);
    char *text = malloc(MOST);
    assert_non_null(text);
    size_t len = numbered_lines(text, MOST, 0), sent = 0;
    int64_t memory_kib = process_resident_kib(server.pid);
    while (sent < len) { /* until nothing more goes through for a while */
        size_t piece = len - sent < 4096 ? len - sent : 4096;
        if (client_send_raw(&slow, text + sent, piece, deadline_in_ms(QUIET_MS)) != CLIENT_OK)
            break;
        sent += piece;
    }
    assert_true(sent > 0 && sent < MOST / 2); /* it stalled: the server did not take it all */
    is_served();
    const char *build = getenv("STEPS_BUILD");
    if (memory_kib >= 0 && (build == NULL || strstr(build, "san-") == NULL))
        assert_true(process_resident_kib(server.pid) - memory_kib < MEMORY_KIB);
    for (size_t i = 0; i < sent; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    size_t whole =
        sent; /* the answers to whole lines; a part of the last piece may have gone too */
    while (whole > 0 && text[whole - 1] != '\n')
        whole--;
    hears(&slow, text, whole);
    client_abort(&slow);
    free(text);
}

static void a_reset_costs_that_client_only(void **state)
{
    (void)state;
    struct client idle = connected(), half = connected();
    SAYS(&half, "half a li");
    client_abort(&idle);
    client_abort(&half);
    is_served();
}

static void a_crowd_is_served(void **state)
{
    (void)state;
    enum { CROWD = 1100, SPARE = 40 };
    static struct client c[CROWD];
    if (client_raise_limit() < CROWD + SPARE)
        skip_because("this process may not open %d descriptors", (int)CROWD + SPARE);
    for (int i = 0; i < CROWD; i++)
        c[i] = connected();
    for (int i = 0; i < CROWD; i++)
        SAYS(&c[i], "me too\n");
    for (int i = 0; i < CROWD; i++)
        HEARS(&c[i], "ME TOO\n");
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
}

static void idle_clients_cost_nothing(void **state)
{
    (void)state;
    enum { CLIENTS = 50, WINDOW_MS = 300 };
    struct client c[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = connected();
        SAYS(&c[i], "x\n");
        HEARS(&c[i], "X\n");
    }
    int64_t cpu_ns = process_cpu_ns(server.pid);
    if (cpu_ns < 0)
        skip_because("this system does not tell a process' processor time");
    clock_pause_ms(WINDOW_MS); /* the measurement */
    assert_true(process_cpu_ns(server.pid) - cpu_ns < WINDOW_MS * INT64_C(1000000) / 10);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i]);
}

/* ---- Room for answers ------------------------------------------------------------------------ */

/* One client of lines.c, and its peer, who does not read: the kernel takes no answer any more. */
struct blocked {
    struct lines lines;
    int peer;
    size_t in_kernel; /* bytes that the kernel had taken before */
};

static void set_nonblocking(int fd)
{
    assert_int_not_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), -1);
}

static void block(struct blocked *b)
{
    static const char zeros[4096];
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    set_nonblocking(pair[0]);
    set_nonblocking(pair[1]);
    *b = (struct blocked){.peer = pair[1]};
    lines_init(&b->lines, pair[0]);
    for (size_t len = sizeof zeros; len > 0; len = len > 1 ? 1 : 0) /* the last room byte by byte */
        for (ssize_t n; (n = send(pair[0], zeros, len, 0)) > 0;)
            b->in_kernel += (size_t)n;
}

/* The peer says a line of that many bytes, its newline among them. */
static void peer_says_a_line(struct blocked *b, size_t whole)
{
    char line[LONGEST + 2];
    assert_in_range(whole, 1, sizeof line);
    memset(line, 'x', whole);
    line[whole - 1] = '\n';
    assert_int_equal(send(b->peer, line, whole, 0), (ssize_t)whole);
    assert_true(lines_turn(&b->lines));
}

static size_t answers_waiting(const struct blocked *b)
{
    return b->lines.out.end - b->lines.out.start;
}

/* Answers wait until only so much room is left for more. */
static void leave_room(struct blocked *b, size_t room)
{
    for (size_t left; (left = LINES_OUT_SIZE - room - answers_waiting(b)) > 0;)
        peer_says_a_line(b, left < LONGEST ? left : LONGEST);
}

/* What the peer hears, once it reads: `len` bytes of answers, of which the last ones are `last`. */
static void peer_hears(struct blocked *b, size_t len, const char *last, size_t last_len)
{
    static char buf[1024 * 1024 + 2 * LINES_OUT_SIZE];
    size_t have = 0, expected = b->in_kernel + len;
    assert_true(expected < sizeof buf);
    for (int64_t end_ns = soon(); have < expected && deadline_left_ms(end_ns) > 0;) {
        ssize_t n = recv(b->peer, buf + have, sizeof buf - have, 0);
        have += n > 0 ? (size_t)n : 0;
        (void)lines_turn(&b->lines);
    }
    assert_int_equal(have, expected);
    assert_memory_equal(buf + have - last_len, last, last_len);
}

static void an_answer_waits_until_there_is_room_for_its_newline_too(void **state)
{
    (void)state;
    static const size_t texts[] = {0, 1, 2, 7, LONGEST - 1, LONGEST, LONGEST + 1};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t line = texts[i] + 1, answer = line;
        char expected[LONGEST + 1];
        memset(expected, 'X', texts[i] <= LONGEST ? texts[i] : 0);
        if (texts[i] <= LONGEST)
            expected[texts[i]] = '\n';
        else
            memcpy(expected, refusal, answer = sizeof refusal - 1);
        for (size_t room = answer - 1; room <= answer + 1; room++) {
            struct blocked b;
            block(&b);
            leave_room(&b, room);
            peer_says_a_line(&b, line);
            size_t now = LINES_OUT_SIZE - room + (room >= answer ? answer : 0);
            assert_int_equal(answers_waiting(&b), now);
            peer_hears(&b, LINES_OUT_SIZE - room + answer, expected, answer);
            lines_close(&b.lines);
            close(b.peer);
        }
    }
}

/* ---- Idle time-outs -------------------------------------------------------------------------- */

static int start_with_a_time_out(void **state)
{
    (void)state;
    start_with("-t", "1");
    return 0;
}

static void a_silent_client_is_closed_and_a_chatty_one_is_not(void **state)
{
    (void)state;
    struct client silent = connected(), chatty = connected();
    int64_t begin_ns = clock_now_ns(), end_ns = soon();
    enum outcome o = CLIENT_TIMEOUT;
    while (o == CLIENT_TIMEOUT && deadline_left_ms(end_ns) > 0) {
        SAYS(&chatty, "hm\n");
        HEARS(&chatty, "HM\n");
        o = client_expect_end(&silent, clock_now_ns() + 100 * INT64_C(1000000));
    }
    assert_int_equal(o, CLIENT_OK);
    assert_true(clock_now_ns() - begin_ns >= INT64_C(900000000)); /* not early */
    SAYS(&chatty, "still\n");
    HEARS(&chatty, "STILL\n");
    client_close(&silent);
    client_close(&chatty);
}

int main(void)
{
#define LINES_TEST(test) cmocka_unit_test_setup_teardown(test, start_server, stop_server)
    const struct CMUnitTest tests[] = {
        LINES_TEST(a_line_that_comes_byte_by_byte_is_answered_when_it_is_whole),
        LINES_TEST(half_a_line_is_not_answered),
        LINES_TEST(several_lines_in_one_segment_are_answered_in_order),
        LINES_TEST(a_line_may_hold_every_byte_but_the_newline),
        LINES_TEST(the_last_line_may_go_without_its_newline),
        LINES_TEST(a_line_of_the_longest_length_is_answered),
        LINES_TEST(a_line_that_is_one_byte_longer_is_refused_after_the_answers_before_it),
        LINES_TEST(the_refusal_arrives_though_the_peer_goes_on_sending),
        LINES_TEST(a_refused_peer_that_stays_is_closed_in_the_end),
        LINES_TEST(a_peer_that_does_not_read_holds_bounded_memory_and_loses_nothing),
        LINES_TEST(a_reset_costs_that_client_only),
        LINES_TEST(a_crowd_is_served),
        LINES_TEST(idle_clients_cost_nothing),
        cmocka_unit_test(an_answer_waits_until_there_is_room_for_its_newline_too),
        cmocka_unit_test_setup_teardown(a_silent_client_is_closed_and_a_chatty_one_is_not,
                                        start_with_a_time_out, stop_server),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
