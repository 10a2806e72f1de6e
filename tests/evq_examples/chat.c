/* chat: everybody hears, nobody waits for a slow one, and a talker is slowed down. */
#include "example_case.h"

#include <stdlib.h>

enum { LINE = 1024 };

static int start(void **state)
{
    (void)state;
    START("chat", "-r", "0");
    return 0;
}

/* Skips who joins, leaves and is renamed. */
static void hears_said(struct client *c, const char *text)
{
    char line[LINE];
    do
        (void)hears_line(c, line, sizeof line);
    while (line[0] == '*');
    assert_string_equal(line, text);
}

static void hears_news(struct client *c, const char *text)
{
    char line[LINE];
    do
        (void)hears_line(c, line, sizeof line);
    while (strstr(line, text) == NULL);
}

static struct client joins(const char *name)
{
    struct client c = connected();
    char line[LINE], command[64];
    assert_non_null(strstr(hears_line(&c, line, sizeof line), "* welcome, guest"));
    (void)snprintf(command, sizeof command, "/name %s\n", name);
    SAYS(&c, command);
    (void)snprintf(command, sizeof command, " is now %s", name);
    hears_news(&c, command);
    return c;
}

static void a_line_goes_to_all_others(void **state)
{
    (void)state;
    struct client ann = joins("ann"), bob = joins("bob"), eve = joins("eve");
    SAYS(&ann, "hello\r\n");
    hears_said(&bob, "ann: hello");
    hears_said(&eve, "ann: hello");
    SAYS(&bob, "hi\nthe");
    SAYS(&bob, "re\n");
    hears_said(&ann, "bob: hi"); /* and not what she said herself */
    hears_said(&ann, "bob: there");
    client_close(&eve);
    hears_news(&ann, "* eve left");
    client_abort(&ann);
    hears_news(&bob, "* ann left");
    client_close(&bob);
}

static void names_are_unique_and_plain(void **state)
{
    (void)state;
    struct client ann = joins("ann"), bob = joins("bob");
    SAYS(&bob, "/name ann\n");
    hears_news(&bob, "somebody is called ann");
    SAYS(&bob, "/name a b\n");
    hears_news(&bob, "* a name has");
    SAYS(&bob, "/name abcdefghijklmnopqrstuvwxyz\n");
    hears_news(&bob, "* a name has");
    SAYS(&bob, "/who\n");
    hears_news(&bob, "* here: bob ann");
    SAYS(&bob, "/nonsense\n");
    hears_news(&bob, "there are /name");
    SAYS(&bob, "/quit\n");
    hears_news(&ann, "* bob left");
    is_ended(&bob);
    client_close(&ann);
    client_close(&bob);
}

static void what_a_terminal_would_obey_is_made_harmless(void **state)
{
    (void)state;
    struct client ann = joins("ann"), bob = joins("bob");
    says_bytes(&ann, "a\033[2Jb\0c\x7f\n", 10);
    hears_said(&bob, "ann: a?[2Jb?c?");
    client_close(&ann);
    client_close(&bob);
}

static void a_long_line_comes_in_pieces(void **state)
{
    (void)state;
    struct client ann = joins("ann"), bob = joins("bob");
    char text[1200], heard[LINE], line[LINE];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    says_bytes(&ann, text, sizeof text);
    size_t got = 0;
    while (got < sizeof text - 1) {
        do
            (void)hears_line(&bob, heard, sizeof heard);
        while (heard[0] == '*');
        assert_int_equal(sscanf(heard, "ann: %1023s", line), 1);
        assert_true(strlen(line) <= 512);
        got += strlen(line);
    }
    assert_int_equal(got, sizeof text - 1);
    client_close(&ann);
    client_close(&bob);
}

/* The last words of one who sends and closes its side at once are heard, and it gets its answer. */
static void who_leaves_gets_what_is_owed(void **state)
{
    (void)state;
    struct client ann = joins("ann"), bob = connected();
    SAYS(&bob, "/name bob\nbye\n/who\n");
    assert_int_equal(client_shut_writing(&bob), 0);
    hears_said(&ann, "bob: bye");
    hears_news(&bob, "* here:");
    is_ended(&bob);
    client_close(&ann);
    client_close(&bob);
}

/* One reads nothing. All others hear every line, and in the end that it is gone. */
static void a_slow_member_is_dropped_and_nobody_waits_for_it(void **state)
{
    (void)state;
    enum { MOST = 20000, TEXT = 500 };
    struct client slow = {.fd = -1, .receive_buffer = 4096};
    assert_int_equal(client_connect(&slow, &server, soon()), CLIENT_OK);
    SAYS(&slow, "/name sloth\n");
    struct client ann = joins("ann"), bob = joins("bob");
    char text[TEXT + 2], said[TEXT + 32], line[LINE];
    bool is_dropped = false;
    memset(text, 'x', TEXT);
    memcpy(text + TEXT, "\n", 2);
    (void)snprintf(said, sizeof said, "ann: %.*s", (int)TEXT, text);
    int lines = 0;
    for (; lines < MOST && !is_dropped; lines++) {
        SAYS(&ann, text);
        do {
            (void)hears_line(&bob, line, sizeof line);
            is_dropped = is_dropped || strcmp(line, "* sloth was too slow, and is gone") == 0;
        } while (line[0] == '*' && !is_dropped);
        if (!is_dropped)
            assert_string_equal(line, said);
    }
    assert_true(is_dropped);
    assert_true(lines > 64); /* the rule: not before its queue is full */
    hears_said(&bob, said);  /* the line that was one too many for the other */
    hears_news(&ann, "* sloth was too slow, and is gone");
    SAYS(&bob, "poor sloth\n");
    hears_said(&ann, "bob: poor sloth");
    client_close(&slow);
    client_close(&ann);
    client_close(&bob);
}

/* Lines until a member that reads nothing is dropped: what the kernel holds, and its queue. */
static int lines_until_dropped(struct client *talker, const char *text)
{
    enum { MOST = 20000 };
    struct client slow = {.fd = -1, .receive_buffer = 4096};
    assert_int_equal(client_connect(&slow, &server, soon()), CLIENT_OK);
    hears_news(talker, " joined");
    int lines = 0;
    for (bool is_dropped = false; !is_dropped; lines++) {
        char answer[LINE];
        assert_true(lines < MOST);
        SAYS(talker, text);
        SAYS(talker, "/who\n"); /* its answer comes behind the news, if there are any */
        do {
            (void)hears_line(talker, answer, sizeof answer);
            is_dropped = is_dropped || strstr(answer, "was too slow") != NULL;
        } while (strstr(answer, "* here:") == NULL);
    }
    client_close(&slow);
    return lines;
}

/* One who has said goodbye, and still has most of its queue to read, gets it to the end. */
static void who_leaves_with_a_full_queue_may_read_it(void **state)
{
    (void)state;
    enum { TEXT = 500, LESS = 16 };
    char text[TEXT + 2], line[LINE];
    struct client ann = joins("ann"), slow = {.fd = -1, .receive_buffer = 4096};
    memset(text, 'x', TEXT);
    memcpy(text + TEXT, "\n", 2);
    int lines = lines_until_dropped(&ann, text) - LESS;
    assert_int_equal(client_connect(&slow, &server, soon()), CLIENT_OK);
    hears_news(&ann, " joined");
    for (int i = 0; i < lines; i++)
        SAYS(&ann, text);
    SAYS(&ann, "/who\n");
    hears_news(&ann, "* here:"); /* all has been said */
    assert_int_equal(client_shut_writing(&slow), 0);
    hears_news(&ann, " left");
    for (int heard = 0; heard < lines;)
        heard += strncmp(hears_line(&slow, line, sizeof line), "ann: ", 5) == 0;
    is_ended(&slow);
    client_close(&ann);
    client_close(&slow);
}

static void a_talker_is_slowed_down_to_its_rate(void **state)
{
    (void)state;
    enum { RATE = 50, BURST = 20, LINES = 60 };
    START("chat", "-r", "50");
    struct client bob = connected(), ann = connected();
    char line[LINE];
    int64_t begin_ns = clock_now_ns();
    for (int i = 0; i < LINES; i++)
        SAYS(&ann, "blah\n");
    for (int heard = 0; heard < LINES;)
        heard += strstr(hears_line(&bob, line, sizeof line), ": blah") != NULL;
    int64_t took_ms = (clock_now_ns() - begin_ns) / 1000000;
    assert_true(took_ms >= (LINES - BURST) * 1000 / RATE - 20);
    client_close(&ann);
    client_close(&bob);
}

static void a_crowd_joins_talks_and_leaves(void **state)
{
    (void)state;
    enum { CROWD = 60 };
    struct client c[CROWD];
    char name[16], line[LINE];
    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(name, sizeof name, "m%d", i);
        c[i] = joins(name);
        for (int k = 0; k < i; k++) { /* joined, renamed */
            (void)hears_line(&c[k], line, sizeof line);
            (void)hears_line(&c[k], line, sizeof line);
        }
    }
    for (int i = 0; i < CROWD; i++) {
        SAYS(&c[i], "me\n");
        (void)snprintf(line, sizeof line, "m%d: me", i);
        for (int k = 0; k < CROWD; k++)
            if (k != i)
                hears_said(&c[k], line);
    }
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
}

int run_chat(void)
{
#define CHAT_TEST(test) cmocka_unit_test_setup_teardown(test, start, example_stop)
    const struct CMUnitTest tests[] = {
        CHAT_TEST(a_line_goes_to_all_others),
        CHAT_TEST(names_are_unique_and_plain),
        CHAT_TEST(what_a_terminal_would_obey_is_made_harmless),
        CHAT_TEST(a_long_line_comes_in_pieces),
        CHAT_TEST(who_leaves_gets_what_is_owed),
        CHAT_TEST(who_leaves_with_a_full_queue_may_read_it),
        CHAT_TEST(a_slow_member_is_dropped_and_nobody_waits_for_it),
        cmocka_unit_test_teardown(a_talker_is_slowed_down_to_its_rate, example_stop),
        CHAT_TEST(a_crowd_joins_talks_and_leaves),
    };
    return RUN("chat", tests);
}
