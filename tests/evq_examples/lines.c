/* lines: the questions of test_lines.c, which chapter 03 answers with poll, asked of evq. */
#include "example_case.h"

#include <ctype.h>
#include <stdlib.h>

enum { LONGEST = 1024 };

static const char refusal[] = "error: a line has at most 1024 bytes\n";

static int start(void **state)
{
    (void)state;
    START("lines");
    return 0;
}

static void is_served(void)
{
    struct client c = connected();
    SAYS(&c, "still there?\n");
    HEARS(&c, "STILL THERE?\n");
    client_close(&c);
}

static void a_line_that_comes_byte_by_byte_is_answered_when_it_is_whole(void **state)
{
    (void)state;
    struct client c = connected();
    const char line[] = "one byte at a time\n";
    for (size_t i = 0; i + 1 < sizeof line; i++)
        says_bytes(&c, line + i, 1);
    HEARS(&c, "ONE BYTE AT A TIME\n");
    client_close(&c);
}

static void several_lines_in_one_segment_are_answered_in_order(void **state)
{
    (void)state;
    struct client c = connected();
    SAYS(&c, "a\n\nbc\n\n\ne\nand ha");
    HEARS(&c, "A\n\nBC\n\n\nE\n");
    SAYS(&c, "lf\n");
    HEARS(&c, "AND HALF\n");
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

static void the_longest_line_is_answered_and_a_longer_one_is_refused(void **state)
{
    (void)state;
    struct client c = connected();
    char line[LONGEST + 2];
    memset(line, 'x', sizeof line);
    line[LONGEST] = '\n';
    says_bytes(&c, line, LONGEST + 1);
    memset(line, 'X', LONGEST);
    hears_bytes(&c, line, LONGEST + 1);
    memset(line, 'x', sizeof line);
    SAYS(&c, "before\n");
    says_bytes(&c, line, LONGEST + 1);
    HEARS(&c, "BEFORE\n");
    HEARS(&c, refusal);
    assert_int_equal(client_shut_writing(&c), 0);
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
    says_bytes(&c, much, 100 * 1000); /* fits into the kernel's buffers: it has all come at once */
    server_thaw(&server);
    HEARS(&c, refusal);
    says_bytes(&c, much, MUCH);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
    free(much);
    is_served();
}

static void a_peer_that_does_not_read_holds_bounded_memory_and_loses_nothing(void **state)
{
    (void)state;
    enum { MOST = 64 * 1024 * 1024, QUIET_MS = 100, MEMORY_KIB = 4096 };
    struct client slow = {.fd = -1, .receive_buffer = 64 * 1024};
    assert_int_equal(client_connect(&slow, &server, soon()), CLIENT_OK);
    char *text = malloc(MOST);
    assert_non_null(text);
    size_t len = 0, sent = 0;
    for (unsigned i = 0; len + 32 < MOST; i++)
        len += (size_t)snprintf(text + len, MOST - len, "line number %u\n", i);
    int64_t memory_kib = process_resident_kib(server.pid);
    while (sent < len) {
        size_t piece = len - sent < 4096 ? len - sent : 4096;
        if (client_send_raw(&slow, text + sent, piece, deadline_in_ms(QUIET_MS)) != CLIENT_OK)
            break;
        sent += piece;
    }
    assert_true(sent > 0 && sent < MOST / 2); /* it stalled: the server did not take it all */
    is_served();
    if (memory_kib >= 0 && !example_is_sanitized())
        assert_true(process_resident_kib(server.pid) - memory_kib < MEMORY_KIB);
    for (size_t i = 0; i < sent; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    while (sent > 0 && text[sent - 1] != '\n') /* of the last piece a part may have gone, too */
        sent--;
    hears_bytes(&slow, text, sent);
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

static void a_silent_client_is_closed_and_a_chatty_one_is_not(void **state)
{
    (void)state;
    START("lines", "-t", "1");
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
    for (int i = 0; i < 3; i++) {
        SAYS(&chatty, "still\n");
        HEARS(&chatty, "STILL\n");
        o = client_expect_end(&chatty, clock_now_ns() + 100 * INT64_C(1000000));
        assert_int_equal(o, CLIENT_TIMEOUT);
    }
    client_close(&silent);
    client_close(&chatty);
}

/* Of the time that a silent client may have nearly all is left, when the shorter one for a refused
 * client begins: a deadline that comes nearer. */
static void
a_refused_peer_that_goes_on_sending_is_closed_although_it_could_be_idle_for_long(void **state)
{
    (void)state;
    START("lines", "-t", "600");
    struct client c = connected();
    char line[LONGEST + 1];
    memset(line, 'x', sizeof line);
    says_bytes(&c, line, sizeof line);
    HEARS(&c, refusal);
    int64_t end_ns = soon();
    enum outcome o = CLIENT_OK;
    for (; o == CLIENT_OK && deadline_left_ms(end_ns) > 0; clock_pause_ms(10))
        o = client_send_raw(&c, "more", 4, end_ns);
    assert_int_equal(o, CLIENT_RESET);
    client_close(&c);
    is_served();
}

int run_lines(void)
{
#define LINES_TEST(test) cmocka_unit_test_setup_teardown(test, start, example_stop)
    const struct CMUnitTest tests[] = {
        LINES_TEST(a_line_that_comes_byte_by_byte_is_answered_when_it_is_whole),
        LINES_TEST(several_lines_in_one_segment_are_answered_in_order),
        LINES_TEST(the_last_line_may_go_without_its_newline),
        LINES_TEST(the_longest_line_is_answered_and_a_longer_one_is_refused),
        LINES_TEST(the_refusal_arrives_though_the_peer_goes_on_sending),
        LINES_TEST(a_peer_that_does_not_read_holds_bounded_memory_and_loses_nothing),
        LINES_TEST(a_reset_costs_that_client_only),
        cmocka_unit_test_teardown(a_silent_client_is_closed_and_a_chatty_one_is_not, example_stop),
        cmocka_unit_test_teardown(
            a_refused_peer_that_goes_on_sending_is_closed_although_it_could_be_idle_for_long,
            example_stop),
    };
    return RUN("lines", tests);
}
