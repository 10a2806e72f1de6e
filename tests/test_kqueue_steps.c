/*
 * test_kqueue_steps: what only the steps of chapter 05 promise, beside the contract: each says
 * whose kqueue it is; a whole batch that changes its mind loses no change; two events of one client
 * in one batch do no harm; no worker blocks another one; and the last step says what it saw.
 *
 * It runs alike on a kernel that has kqueue and over the emulation. STEPS_BUILD says which build of
 * the steps. Run it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/contract.h"
#include "harness/client.h"
#include "harness/clock.h"
#include "harness/process.h"
#include "harness/skip.h"
#include "steps.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 4, PATH_LEN = 512 };

static struct server server;

static int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static const char *build(void)
{
    const char *variant = getenv("STEPS_BUILD");
    return variant != NULL && *variant != '\0' ? variant : "build";
}

static void start(int number, const char *first, const char *second)
{
    char path[PATH_LEN], why[256] = "";
    const char *argv[] = {step_path(step_find("05", number), build(), path, sizeof path), first,
                          second, NULL};
    struct server_spec spec = {.argv = argv};
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void stop(void)
{
    struct server_end end;
    server_stop(&server, soon(), &end);
    if (!end.in_time || end.status != 0)
        fail_msg("status %d, and it says: %s", end.status, server.err);
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

/* Its output is read all the time; this waits until the text has come. */
static void wait_for(const char *text)
{
    int64_t end_ns = soon();
    server_read_output(&server);
    for (; strstr(server.out, text) == NULL && deadline_left_ms(end_ns) > 0; clock_pause_ms(1))
        server_read_output(&server);
    if (strstr(server.out, text) == NULL)
        fail_msg("it did not say \"%s\" but: %s", text, server.out);
}

static int times_said(const char *text)
{
    int times = 0;
    for (const char *at = server.out; (at = strstr(at, text)) != NULL; at++)
        times++;
    return times;
}

/* ---- the second line ------------------------------------------------------------------------- */

static void each_step_says_whose_kqueue_it_is(void **state)
{
    (void)state;
    char banner[64];
    for (int number = 1; number <= STEPS; number++) {
        start(number, NULL, NULL);
        wait_for("\nkqueue: ");
        wait_for(step_banner(step_find("05", number), banner, sizeof banner));
        assert_string_equal(server.banner, banner);
        stop();
    }
}

/* ---- crowds ---------------------------------------------------------------------------------- */

/* Reads what has been sent already, and sends nothing. */
static void read_what_there_is(struct client *c)
{
    enum { QUIET_MS = 20 };
    for (int quiet_ms = 0; quiet_ms < QUIET_MS; quiet_ms++) {
        uint64_t before = c->received;
        assert_int_equal(client_pump(c, 0), CLIENT_OK);
        if (c->received > before)
            quiet_ms = 0;
        clock_pause_ms(1);
    }
}

/* Nothing is left to be done. A server that is told for ever what it does not want to know burns a
 * processor; one that rests uses next to none. */
static void expect_rest(void)
{
    enum { LOOK_MS = 200 };
    int64_t before_ns = process_cpu_ns(server.pid);
    clock_pause_ms(LOOK_MS);
    int64_t used_ns = process_cpu_ns(server.pid) - before_ns;
    if (before_ns >= 0 && used_ns > LOOK_MS * INT64_C(1000000) / 4)
        fail_msg("it used %d of %d ms, with nothing to do", (int)(used_ns / 1000000), LOOK_MS);
}

/*
 * 40 clients send until the server can send nothing back to them: it waits for room, 40 times. It
 * is frozen, they read what they can get, and it goes on. Now all have room in one batch, and the
 * server wants to read from all of them again: more changes than its list can hold. A lost one
 * leaves a client without service, or the server with events that it does not want.
 */
static void a_whole_batch_that_changes_its_mind_loses_no_change(void **state)
{
    (void)state;
    enum { CROWD = 40, MOST = 16 << 20 };
    static struct client c[CROWD];
    for (int number = 1; number <= STEPS; number += 3) { /* the two that switch between knotes */
        start(number, NULL, NULL);
        for (int i = 0; i < CROWD; i++) {
            c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
            assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
            assert_int_equal(client_flood(&c[i], MOST, 20, soon()), CLIENT_OK);
        }
        assert_int_equal(server_freeze(&server, soon()), 0);
        for (int i = 0; i < CROWD; i++)
            read_what_there_is(&c[i]);
        server_thaw(&server);
        for (int i = 0; i < CROWD; i++)
            assert_int_equal(client_expect(&c[i], (size_t)(c[i].sent - c[i].received), soon()),
                             CLIENT_OK);
        expect_rest();
        for (int i = 0; i < CROWD; i++)
            client_close(&c[i]);
        stop();
    }
}

/*
 * In one batch each of 100 clients can be read and written, and has reset the connection; and as
 * many newcomers wait, who will get the numbers of those.
 */
static void two_events_of_one_client_in_one_batch_do_no_harm(void **state)
{
    (void)state;
    enum { CROWD = 100 };
    static struct client old[CROWD], newcomer[CROWD];
    for (int number = 1; number <= STEPS; number++) {
        start(number, NULL, NULL);
        for (int i = 0; i < CROWD; i++) {
            old[i] = (struct client){.fd = -1, .seed = (uint32_t)i, .receive_buffer = 4096};
            assert_int_equal(client_connect(&old[i], &server, soon()), CLIENT_OK);
            if (i % 2 == 0) /* these the server waits to write to, the others to read from */
                (void)client_flood(&old[i], 1 << 22, 20, soon());
        }
        assert_int_equal(server_freeze(&server, soon()), 0);
        for (int i = 0; i < CROWD; i++) {
            (void)client_pump(&old[i], 1 << 22);
            client_abort(&old[i]);
            newcomer[i] = (struct client){.fd = -1, .seed = (uint32_t)(i + CROWD)};
            assert_int_equal(client_connect(&newcomer[i], &server, soon()), CLIENT_OK);
            assert_int_equal(client_send(&newcomer[i], 100, soon()), CLIENT_OK);
        }
        server_thaw(&server);
        for (int i = 0; i < CROWD; i++) {
            assert_int_equal(client_expect(&newcomer[i], 100, soon()), CLIENT_OK);
            assert_int_equal(client_ping(&newcomer[i], 1000, soon(), NULL), CLIENT_OK);
            client_close(&newcomer[i]);
        }
        stop();
    }
}

static void ten_thousand_clients_are_served(void **state)
{
    (void)state;
    enum { CROWD = 10000, SPARE = 60, STEPS_TRIED = 2 };
    if (client_raise_limit() < CROWD + SPARE)
        skip_because("this process may open %ld more descriptors, not %d", client_raise_limit(),
                     (int)CROWD + SPARE);
    struct client *c = calloc(CROWD, sizeof *c);
    assert_non_null(c);
    for (int number = 1; number <= STEPS_TRIED; number++) {
        start(number, NULL, NULL);
        for (int i = 0; i < CROWD; i++) {
            c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
            assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
            assert_int_equal(client_send(&c[i], 100, soon()), CLIENT_OK);
        }
        for (int i = 0; i < CROWD; i++)
            assert_int_equal(client_expect(&c[i], 100, soon()), CLIENT_OK);
        stop();
        for (int i = 0; i < CROWD; i++)
            client_abort(&c[i]);
    }
    free(c);
}

/* ---- workers --------------------------------------------------------------------------------- */

/* One worker is kept as busy as a client can; the others go on. */
static void a_busy_worker_blocks_no_other_client(void **state)
{
    (void)state;
    struct client busy = {.fd = -1, .seed = 1}, other = {.fd = -1, .seed = 2};
    start(3, "-w", "2");
    assert_int_equal(client_connect(&busy, &server, soon()), CLIENT_OK);
    assert_int_equal(client_connect(&other, &server, soon()), CLIENT_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(client_pump(&busy, 256 * 1024), CLIENT_OK);
        assert_int_equal(client_ping(&other, 1, soon(), NULL), CLIENT_OK);
    }
    client_abort(&busy);
    client_close(&other);
    stop();
}

/* Workers are started after the first line: waits until all are there, where the system tells. */
static void wait_for_threads(int threads)
{
    int64_t end_ns = soon();
    int now = process_threads(server.pid);
    for (; now >= 0 && now < threads && deadline_left_ms(end_ns) > 0; clock_pause_ms(1))
        now = process_threads(server.pid);
    assert_true(now < 0 || now >= threads);
}

/* Sleeping workers must all be woken by one SIGTERM, and joined. */
static void sixty_four_sleeping_workers_stop_at_once(void **state)
{
    (void)state;
    start(3, "-w", "64");
    wait_for_threads(64);
    stop();
}

/* ---- everything ------------------------------------------------------------------------------ */

/* What the last step says when all that it watches has happened: in which order is not promised. */
static const char *const lines[] = {
    "\ntimer: 20 ms are over\n",
    "\nsignal: SIGUSR1 was sent\n",
    "\nuser: the program has triggered it\n",
    "\nchild: ended with status 7\n",
    "\nfile: it was written to\n",
    "\nfile: it was removed\n",
};
enum { LINES = sizeof lines / sizeof lines[0] };

static void wait_for_all_lines(void)
{
    for (int i = 0; i < LINES; i++)
        wait_for(lines[i]);
}

static void everything_that_happens_is_said_once(void **state)
{
    (void)state;
    struct client one = {.fd = -1, .seed = 1}, two = {.fd = -1, .seed = 2};
    start(4, NULL, NULL);
    wait_for_all_lines();
    assert_int_equal(times_said("listener: "), 0);
    assert_int_equal(client_connect(&one, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&one, 1000, soon(), NULL), CLIENT_OK);
    wait_for("\nlistener: the first client has come\n");
    assert_int_equal(client_connect(&two, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&two, 1000, soon(), NULL), CLIENT_OK);
    client_close(&one);
    client_close(&two);
    stop();
    for (int i = 0; i < LINES; i++)
        assert_int_equal(times_said(lines[i]), 1);
    assert_int_equal(times_said("listener: "), 1);
    assert_int_equal(times_said(" not here: "), 0);
    assert_string_equal(server.err, "");
}

static void signals_are_told_while_it_serves_and_end_nothing(void **state)
{
    (void)state;
    struct client c = {.fd = -1, .seed = 1};
    start(4, NULL, NULL);
    wait_for_all_lines();
    assert_int_equal(client_connect(&c, &server, soon()), CLIENT_OK);
    assert_int_equal(kill(server.pid, SIGHUP), 0);
    wait_for("\nsignal: SIGHUP was sent\n");
    assert_int_equal(client_ping(&c, 100, soon(), NULL), CLIENT_OK);
    assert_int_equal(kill(server.pid, SIGUSR1), 0);
    int64_t end_ns = soon();
    for (; times_said("signal: SIGUSR1") < 2 && deadline_left_ms(end_ns) > 0; clock_pause_ms(1))
        server_read_output(&server);
    assert_int_equal(times_said("signal: SIGUSR1"), 2);
    assert_int_equal(client_ping(&c, 100, soon(), NULL), CLIENT_OK);
    client_close(&c);
    stop();
}

static int files_in(const char *folder)
{
    int files = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        files += entry->d_name[0] != '.';
    (void)closedir(dir);
    return files;
}

/* NULL: as it was before the tests. */
static void set_tmpdir(const char *folder)
{
    static char before[PATH_LEN];
    static bool known, was_set;
    if (!known) {
        const char *usual = getenv("TMPDIR");
        was_set = usual != NULL;
        (void)snprintf(before, sizeof before, "%s", was_set ? usual : "");
        known = true;
    }
    if (folder != NULL)
        (void)setenv("TMPDIR", folder, 1);
    else if (was_set)
        (void)setenv("TMPDIR", before, 1);
    else
        (void)unsetenv("TMPDIR");
}

/* Whether it is stopped at once, when little has happened yet, or later. */
static void everything_leaves_no_file_behind(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_kqueue_steps.XXXXXX";
    assert_non_null(mkdtemp(folder));
    set_tmpdir(folder);
    for (int patient = 0; patient < 2; patient++) {
        start(4, NULL, NULL);
        if (patient)
            wait_for_all_lines();
        stop();
        assert_int_equal(files_in(folder), 0);
    }
    set_tmpdir(NULL);
    assert_int_equal(rmdir(folder), 0);
}

/* There is no folder for its file: that is said, and the rest goes on. */
static void what_cannot_be_had_is_said_in_words(void **state)
{
    (void)state;
    struct client c = {.fd = -1, .seed = 1};
    set_tmpdir("/nowhere/at/all");
    start(4, NULL, NULL);
    set_tmpdir(NULL);
    wait_for("\nfile: not here: ");
    wait_for("\ntimer: 20 ms are over\n");
    assert_int_equal(client_connect(&c, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&c, 100, soon(), NULL), CLIENT_OK);
    client_close(&c);
    stop();
}

static int say_what_is_emulated(void **state)
{
    (void)state;
    const char *emulation = step_emulation(step_find("05", 1));
    if (emulation != NULL)
        print_message("# emulated: %s\n", emulation);
    return 0;
}

/* Without one thread nobody would ever be served: it must not stay and pretend. */
static void without_a_single_worker_it_says_so_and_ends(void **state)
{
    (void)state;
    enum { NO_ROOM_FOR_A_STACK = 7 << 20 };
    char path[PATH_LEN];
    struct server_end end;
    const char *argv[] = {step_path(step_find("05", 3), build(), path, sizeof path), "-p", "0",
                          NULL};
    struct server_spec spec = {
        .argv = argv, .bare = true, .max_address_space = NO_ROOM_FOR_A_STACK};
    if (strstr(build(), "san-") != NULL)
        skip_because("a sanitizer needs more address space than this test allows");
    assert_int_equal(server_run_to_end(&server, &spec, &end), 0);
    if (!end.in_time)
        skip_because("the limit of the address space does not limit threads on this system");
    assert_int_equal(end.status, 1);
    assert_non_null(strstr(server.err, "worker"));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, kill_server)
    const struct CMUnitTest tests[] = {
        TEST(each_step_says_whose_kqueue_it_is),
        TEST(a_whole_batch_that_changes_its_mind_loses_no_change),
        TEST(two_events_of_one_client_in_one_batch_do_no_harm),
        TEST(ten_thousand_clients_are_served),
        TEST(a_busy_worker_blocks_no_other_client),
        TEST(sixty_four_sleeping_workers_stop_at_once),
        TEST(without_a_single_worker_it_says_so_and_ends),
        TEST(everything_that_happens_is_said_once),
        TEST(signals_are_told_while_it_serves_and_end_nothing),
        TEST(everything_leaves_no_file_behind),
        TEST(what_cannot_be_had_is_said_in_words),
    };
    return cmocka_run_group_tests_name("steps of chapter 05", tests, say_what_is_emulated, NULL);
}
