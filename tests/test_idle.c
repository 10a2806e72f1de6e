/*
 * test_idle: the option -t of the servers that have it. Who says nothing for so long is closed, not
 * earlier, and nobody else is; and who could still wait for long holds up no stop.
 *
 * Chapter 03's are asked by test_select_poll and test_lines, step 6 of chapter 06 by
 * test_iocp_steps. Here are those of mini, on each queue. STEPS_BUILD says which build of them. Run
 * it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/skip.h"
#include "steps.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOWS_START_MS = 20000, IDLE_MS = 1000, FIRST_WITH_TIMERS = 3 };
enum { TESTS_MAX = 32, TITLE_LEN = 128 };

static struct server server;

static int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static void start(const struct step *step, const char *seconds)
{
    const char *variant = getenv("STEPS_BUILD");
    const char *build = variant != NULL && *variant != '\0' ? variant : "build";
    struct step_start command;
    char why[256] = "";
    if (step->windows && strstr(build, "san-") != NULL)
        skip_because("the compiler for Windows programs has no sanitizers");
    if (step_why_not(step) != NULL)
        skip_because("%s", step_why_not(step));
    (void)step_command(step, build, &command);
    command.argv[command.words] = "-t";
    command.argv[command.words + 1] = seconds;
    command.argv[command.words + 2] = NULL;
    struct server_spec spec = {.argv = command.argv,
                               .start_ms = step->windows ? WINDOWS_START_MS : 0,
                               .stop_signal = step->windows ? SIGINT : 0};
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void stop(void)
{
    struct server_end end;
    server_stop(&server, soon(), &end);
    if (!end.in_time || end.status != 0)
        fail_msg("%s status %d, and it says: %s", end.in_time ? "in time," : "killed,", end.status,
                 server.err);
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

static struct client connected(uint32_t seed)
{
    struct client c = {.fd = -1, .seed = seed};
    assert_int_equal(client_connect(&c, &server, soon()), CLIENT_OK);
    return c;
}

/* The clock of a queue may have stood still while nothing happened: whoever comes then has been
 * silent for no time at all. */
static void who_is_idle_is_closed_in_time_and_nobody_else(void **state)
{
    start(*state, "1");
    clock_pause_ms(IDLE_MS + 300);
    int64_t begin_ns = clock_now_ns(), end_ns = soon();
    struct client silent = connected(2); /* the first one: what it said would set the clock right */
    struct client chatty = connected(1);
    enum outcome o = CLIENT_TIMEOUT;
    while (o == CLIENT_TIMEOUT && deadline_left_ms(end_ns) > 0) {
        assert_int_equal(client_ping(&chatty, 1, soon(), NULL), CLIENT_OK);
        o = client_expect_end(&silent, clock_now_ns() + 100 * INT64_C(1000000));
    }
    assert_int_equal(o, CLIENT_OK);
    assert_true(clock_now_ns() - begin_ns >= IDLE_MS * INT64_C(900000)); /* not early */
    assert_int_equal(client_ping(&chatty, 1, soon(), NULL), CLIENT_OK);
    stop();
    client_close(&silent);
    client_close(&chatty);
}

/* Their memory is free long before their timers would have come. */
static void who_has_left_leaves_no_timer_behind(void **state)
{
    enum { LEAVE = 50 };
    start(*state, "1");
    for (uint32_t i = 0; i < LEAVE; i++) {
        struct client c = connected(10 + i);
        assert_int_equal(client_ping(&c, 1, soon(), NULL), CLIENT_OK);
        if (i % 2 == 0)
            client_abort(&c);
        else
            client_close(&c);
    }
    struct client last = connected(4); /* when its time is up, that of the others is, too */
    assert_int_equal(client_expect_end(&last, soon()), CLIENT_OK);
    client_close(&last);
    struct client next = connected(5);
    assert_int_equal(client_ping(&next, 1, soon(), NULL), CLIENT_OK);
    stop();
    client_close(&next);
}

static void a_timer_of_a_client_holds_up_no_stop(void **state)
{
    start(*state, "600");
    struct client c = connected(3);
    assert_int_equal(client_ping(&c, 1, soon(), NULL), CLIENT_OK);
    stop();
    client_abort(&c);
}

static void add(struct CMUnitTest *test, char *title, const struct step *step, const char *name,
                CMUnitTestFunction function)
{
    (void)snprintf(title, TITLE_LEN, "%s %s", step->label, name);
    *test = (struct CMUnitTest){title, function, NULL, kill_server, (void *)(uintptr_t)step};
}

int main(void)
{
    static struct CMUnitTest tests[TESTS_MAX];
    static char titles[TESTS_MAX][TITLE_LEN];
    size_t n = 0;
#define ADD(step, test) add(&tests[n], titles[n], step, #test, test), n++
    for (size_t i = 0; i < mini_count && n + 3 <= TESTS_MAX; i++) {
        if (mini_steps[i].number < FIRST_WITH_TIMERS)
            continue;
        ADD(&mini_steps[i], who_is_idle_is_closed_in_time_and_nobody_else);
        ADD(&mini_steps[i], who_has_left_leaves_no_timer_behind);
        ADD(&mini_steps[i], a_timer_of_a_client_holds_up_no_stop);
    }
    return _cmocka_run_group_tests("idle clients", tests, n, NULL, NULL);
}
