/*
 * test_select_poll: what only chapter 03 promises, beside the contract: how select() meets its
 * limit, and how poll() closes idle clients. (Step 3 has a test of its own, test_lines.)
 *
 * STEPS_BUILD says which build of the steps. Run it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/process.h"
#include "harness/skip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

enum { PATIENCE_MS = 5000, CROWD = 1100, SPARE = 40 };

static struct server server;

static int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static void start(const char *name, struct server_spec spec, const char *first, const char *second)
{
    const char *build = getenv("STEPS_BUILD");
    char path[512], why[256] = "";
    /* It may hold a signal back for as long as a thread sleeps in select(). */
    if (build != NULL && strstr(build, "san-thread") != NULL)
        skip_because("these steps have one thread, so ThreadSanitizer has nothing to say");
    (void)snprintf(path, sizeof path, "chapters/03_select_poll/%s/%s",
                   build != NULL && *build != '\0' ? build : "build", name);
    const char *argv[] = {path, first, second, NULL};
    spec.argv = argv;
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

/* Its last line on stdout, after a clean end. */
static const char *stopped(struct server_end *end)
{
    server_stop(&server, soon(), end);
    assert_true(end->in_time);
    assert_int_equal(end->status, 0);
    return end->totals;
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

/* ---- select() and its limit ------------------------------------------------------------------ */

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

/* Each of the crowd is either served or turned away. How many were served. */
static int serve_or_refuse(struct client *c, int n)
{
    int served = 0;
    for (int i = 0; i < n; i++) {
        c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
        assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
        enum outcome o = client_ping(&c[i], 10, soon(), NULL);
        assert_true(o == CLIENT_OK || o == CLIENT_CLOSED || o == CLIENT_RESET);
        served += o == CLIENT_OK;
    }
    return served;
}

static void select_refuses_in_words_whom_it_cannot_watch_and_serves_the_rest(void **state)
{
    (void)state;
    static struct client c[CROWD];
    enum { WINDOW_MS = 300 };
    if (client_raise_limit() < CROWD + SPARE)
        skip_because("this process may not open %d descriptors", (int)CROWD + SPARE);
    if (FD_SETSIZE >= CROWD)
        skip_because("FD_SETSIZE is %d here", (int)FD_SETSIZE);
    start("step1_select", (struct server_spec){0}, NULL, NULL);
    int served = serve_or_refuse(c, CROWD);
    assert_in_range(served, FD_SETSIZE - SPARE, FD_SETSIZE);

    int64_t cpu_ns = process_cpu_ns(server.pid);
    clock_pause_ms(WINDOW_MS); /* the measurement: nobody wants anything */
    if (cpu_ns >= 0)
        assert_true(process_cpu_ns(server.pid) - cpu_ns < WINDOW_MS * INT64_C(1000000) / 10);
    for (int i = 0; i < served; i += 100)
        assert_int_equal(client_ping(&c[i], 10, soon(), NULL), CLIENT_OK);

    struct server_end end;
    char refused[32];
    (void)snprintf(refused, sizeof refused, ", refused %d", CROWD - served);
    assert_non_null(strstr(stopped(&end), refused));
    assert_non_null(strstr(server.err, "FD_SETSIZE"));
    assert_int_equal(count_lines(server.err), 1); /* one line, not eighty */
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
}

static void a_place_that_becomes_free_below_the_limit_is_used_again(void **state)
{
    (void)state;
    static struct client c[CROWD];
    struct client late = {.fd = -1};
    if (client_raise_limit() < CROWD + SPARE || FD_SETSIZE >= CROWD)
        skip_because("the limit of select() is out of reach here");
    start("step1_select", (struct server_spec){0}, NULL, NULL);
    int served = serve_or_refuse(c, CROWD);
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
    enum outcome o = CLIENT_CLOSED; /* it may come before the first of them is closed */
    for (int64_t end_ns = soon(); o != CLIENT_OK && deadline_left_ms(end_ns) > 0;) {
        assert_int_equal(client_connect(&late, &server, end_ns), CLIENT_OK);
        o = client_ping(&late, 10, end_ns, NULL);
        client_close(&late);
    }
    assert_int_equal(o, CLIENT_OK);
    assert_true(served < CROWD);
}

static void below_the_limit_select_refuses_nobody(void **state)
{
    (void)state;
    enum { FEW = 200, LIMIT = 100 };
    static struct client c[FEW];
    struct server_end end;
    start("step1_select", (struct server_spec){.max_fds = LIMIT}, NULL, NULL);
    for (int i = 0; i < FEW; i++) {
        c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
        assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
        assert_int_equal(client_send(&c[i], 1, soon()), CLIENT_OK);
    }
    for (int i = 0; i < FEW; i++) { /* descriptors run out first: the others wait, and are served */
        assert_int_equal(client_expect(&c[i], 1, soon()), CLIENT_OK);
        client_close(&c[i]);
    }
    assert_null(strstr(stopped(&end), "refused"));
}

/* ---- poll() and idle clients ----------------------------------------------------------------- */

static void poll_closes_who_is_idle_and_nobody_else(void **state)
{
    (void)state;
    struct client silent = {.fd = -1}, chatty = {.fd = -1, .seed = 2};
    start("step2_poll", (struct server_spec){0}, "-t", "1");
    assert_int_equal(client_connect(&silent, &server, soon()), CLIENT_OK);
    assert_int_equal(client_connect(&chatty, &server, soon()), CLIENT_OK);
    int64_t begin_ns = clock_now_ns(), end_ns = soon();
    enum outcome o = CLIENT_TIMEOUT;
    while (o == CLIENT_TIMEOUT && deadline_left_ms(end_ns) > 0) {
        assert_int_equal(client_ping(&chatty, 1, soon(), NULL), CLIENT_OK);
        o = client_expect_end(&silent, clock_now_ns() + 100 * INT64_C(1000000));
    }
    assert_int_equal(o, CLIENT_OK);
    assert_true(clock_now_ns() - begin_ns >= INT64_C(900000000)); /* not early */
    assert_int_equal(client_ping(&chatty, 1, soon(), NULL), CLIENT_OK);
    client_close(&silent);
    client_close(&chatty);
}

/* A timer that is rounded down would look again and again until the deadline has come. */
static void waiting_for_an_idle_time_out_costs_nothing(void **state)
{
    (void)state;
    enum { WINDOW_MS = 700 };
    struct client silent = {.fd = -1};
    start("step2_poll", (struct server_spec){0}, "-t", "1");
    assert_int_equal(client_connect(&silent, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&silent, 1, soon(), NULL), CLIENT_OK);
    int64_t cpu_ns = process_cpu_ns(server.pid);
    if (cpu_ns < 0)
        skip_because("this system does not tell a process' processor time");
    clock_pause_ms(WINDOW_MS);
    assert_true(process_cpu_ns(server.pid) - cpu_ns < WINDOW_MS * INT64_C(1000000) / 20);
    client_close(&silent);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, kill_server)
    const struct CMUnitTest tests[] = {
        TEST(select_refuses_in_words_whom_it_cannot_watch_and_serves_the_rest),
        TEST(a_place_that_becomes_free_below_the_limit_is_used_again),
        TEST(below_the_limit_select_refuses_nobody),
        TEST(poll_closes_who_is_idle_and_nobody_else),
        TEST(waiting_for_an_idle_time_out_costs_nothing),
    };
    return cmocka_run_group_tests_name("select and poll", tests, NULL, NULL);
}
