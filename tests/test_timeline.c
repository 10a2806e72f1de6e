/*
 * test_timeline: `make timeline` with a real strace and real servers, from the outside.
 *
 * Three servers are traced, once: 01/1, which has one client at a time, 04/1, which has all, and
 * 05/1 as somebody's own. What is asked are relations: the same visitor waits long there and
 * briefly here. How strace's lines are read and drawn is asked by tests/timeline_tests.py, without
 * both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/clock.h"
#include "harness/skip.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 65536, LINE = 1024, WATCHDOG_S = 240, CANNOT_TRACE = 1 };

/* Silent clients leave 900 ms after the visitor has come. */
enum { LONG_WAIT_MS = 500 };

struct said {
    int status;
    char text[TEXT];
};

static struct said sequential, epoll, own;
static bool may_trace;

static const char *build_folder(void)
{
    const char *build = getenv("STEPS_BUILD");
    return build != NULL && *build != '\0' ? build : "build";
}

/* ---- commands -------------------------------------------------------------------------------- */

/* Runs "BEFORE sh tools/timeline.sh BUILD WORDS" in the shell, both streams into *said. */
static void timeline(const char *before, const char *words, struct said *said)
{
    char line[LINE];
    size_t len = 0, n;
    (void)snprintf(line, sizeof line, "exec 2>&1; %s sh tools/timeline.sh '%s' %s", before,
                   build_folder(), words);
    (void)fflush(NULL);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    while ((n = fread(said->text + len, 1, sizeof said->text - 1 - len, pipe)) > 0)
        len += n;
    said->text[len] = '\0';
    int status = pclose(pipe);
    said->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void says(const struct said *said, const char *words)
{
    if (strstr(said->text, words) == NULL)
        fail_msg("it should say \"%s\"; it ended with %d and said:\n%s", words, said->status,
                 said->text);
}

static bool is_sanitized(void)
{
    return strstr(build_folder(), "san-") != NULL;
}

static int trace_both(void **state)
{
    (void)state;
    char words[LINE];
    (void)alarm((unsigned)((double)WATCHDOG_S * clock_slowdown()));
    may_trace = !is_sanitized() && system("strace -qq -o /dev/null true 2>/dev/null") == 0 &&
                system("python3 -c '' 2>/dev/null") == 0;
    if (!may_trace)
        return 0;
    timeline("PLAIN=1", "01 1", &sequential);
    timeline("PLAIN=1", "04 1", &epoll);
    (void)snprintf(words, sizeof words,
                   "--server './chapters/05_kqueue/%s/step1_level_triggered -a 127.0.0.1'",
                   build_folder());
    timeline("PLAIN=1", words, &own);
    return 0;
}

/* A leak is looked for by tracing, too: a program with that sanitizer cannot be traced. */
#define needs_strace()                                                              \
    do {                                                                            \
        if (!may_trace)                                                             \
            skip_because("strace or python3 is not here, or strace may not trace"); \
    } while (0)

/* How long visitor 2 waited, in milliseconds; silent 1 is there before. */
static double wait_of_visitor_2(const struct said *said)
{
    static const char before[] = "visitor 2 came at ";
    const char *line = strstr(said->text, before);
    double came = 0, waited = 0;
    if (line == NULL ||
        sscanf(line, "visitor 2 came at %lf ms, waited at most %lf ms", &came, &waited) != 2)
        fail_msg("visitor 2 is not told of in:\n%s", said->text);
    return waited / clock_slowdown();
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void one_at_a_time_is_seen_to_wait_for_the_silent_client(void **state)
{
    (void)state;
    needs_strace();
    assert_int_equal(sequential.status, 0);
    says(&sequential, "ms, recv silent 1. Its calls: ");
    assert_true(wait_of_visitor_2(&sequential) > LONG_WAIT_MS);
}

static void with_epoll_it_is_seen_to_wait_for_anybody(void **state)
{
    (void)state;
    needs_strace();
    assert_int_equal(epoll.status, 0);
    says(&epoll, "ms, epoll_wait. Its calls: ");
    says(&epoll, "flood came at ");
    says(&epoll, ": got all back.");
    assert_true(wait_of_visitor_2(&epoll) * 2 < wait_of_visitor_2(&sequential));
}

static void the_picture_is_where_it_says(void **state)
{
    (void)state;
    needs_strace();
    char name[LINE], line[LINE] = "";
    (void)snprintf(name, sizeof name, "%s/timeline/04_1.svg", build_folder());
    says(&epoll, name);
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    (void)fclose(file);
    assert_non_null(strstr(line, "<svg xmlns="));
}

static void a_server_of_ones_own_may_have_words_and_a_second_line(void **state)
{
    (void)state;
    needs_strace();
    assert_int_equal(own.status, 0);
    says(&own, "(kqueue: emulated over epoll; ");
    says(&own, "/timeline/server.svg");
}

/* A PATH of its own, with what the script needs up to there. */
static const char fake[] =
    "d=$(mktemp -d) && for t in sh uname dirname python3 true; do ln -s \"$(command -v $t)\" $d; "
    "done; ";

static void without_strace_one_line_says_how_to_get_it(void **state)
{
    (void)state;
    static struct said said;
    char before[LINE];
    (void)snprintf(before, sizeof before, "%s trap 'rm -rf $d' EXIT; env PATH=$d", fake);
    timeline(before, "01 1", &said);
    if (strstr(said.text, "strace is a program for Linux") != NULL)
        skip_because("strace is of Linux alone");
    assert_int_equal(said.status, CANNOT_TRACE);
    says(&said, "This needs strace, which is not here. To install it: ");
    assert_ptr_equal(strchr(said.text, '\n'), said.text + strlen(said.text) - 1);
}

static void a_strace_that_may_not_trace_is_told(void **state)
{
    (void)state;
    static struct said said;
    char before[LINE];
    (void)snprintf(before, sizeof before,
                   "%s printf '#!/bin/sh\\nexit 1\\n' >$d/strace; chmod +x $d/strace; "
                   "trap 'rm -rf $d' EXIT; env PATH=$d",
                   fake);
    timeline(before, "01 1", &said);
    if (strstr(said.text, "strace is a program for Linux") != NULL)
        skip_because("strace is of Linux alone");
    assert_int_equal(said.status, CANNOT_TRACE);
    says(&said, "strace is here, but may not trace. In a container: ");
}

static void a_windows_program_is_refused_in_words(void **state)
{
    (void)state;
    static struct said said;
    needs_strace();
    timeline("", "06 4", &said);
    assert_int_equal(said.status, CANNOT_TRACE);
    says(&said, "timeline: 06/4 is a Windows program: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_is_seen_to_wait_for_the_silent_client),
        cmocka_unit_test(with_epoll_it_is_seen_to_wait_for_anybody),
        cmocka_unit_test(the_picture_is_where_it_says),
        cmocka_unit_test(a_server_of_ones_own_may_have_words_and_a_second_line),
        cmocka_unit_test(without_strace_one_line_says_how_to_get_it),
        cmocka_unit_test(a_strace_that_may_not_trace_is_told),
        cmocka_unit_test(a_windows_program_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, trace_both, NULL);
}
