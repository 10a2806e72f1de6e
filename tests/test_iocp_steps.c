/*
 * test_iocp_steps: what only the steps of chapter 06 promise, beside the contract: each says what
 * runs it; a thousand clients at once get their bytes; silent clients hold no slot of AcceptEx;
 * a stop under load is a clean one; a port belongs to one server; and nothing of Wine stays behind.
 *
 * The Windows programs are run by Wine (chapters/06_iocp/wine.sh). Where they cannot be built or
 * run, their tests skip in words, and so they do in builds with sanitizers, which reach no Windows
 * program. STEPS_BUILD says which build of the steps. Run it from the root of the repository.
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

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_WINDOWS_STEP = 2, STEPS = 6, PATH_LEN = 512 };
enum { WINDOWS_START_MS = 20000, STOP_MS = 5000 };

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

/* Why no Windows program is run here; NULL: they are. */
static const char *why_not(void)
{
    if (strstr(build(), "san-") != NULL)
        return "the compiler for Windows programs has no sanitizers; they are tested without";
    return step_why_not(step_find("06", FIRST_WINDOWS_STEP));
}

#define NEEDS_WINDOWS()                    \
    do {                                   \
        if (why_not() != NULL)             \
            skip_because("%s", why_not()); \
    } while (0)

/* ---- a step ---------------------------------------------------------------------------------- */

/* The step with words of its own behind it; NULL ends them. */
static struct server_spec spec_of(int number, struct step_start *command, const char *first,
                                  const char *second)
{
    const struct step *step = step_find("06", number);
    assert_non_null(step);
    (void)step_command(step, build(), command);
    command->argv[command->words] = first;
    command->argv[command->words + 1] = first != NULL ? second : NULL;
    return (struct server_spec){.argv = command->argv,
                                .start_ms = WINDOWS_START_MS,
                                .stop_signal = step->windows ? SIGINT : 0};
}

static void start_it(struct server *s, int number, const char *first, const char *second)
{
    struct step_start command;
    struct server_spec spec = spec_of(number, &command, first, second);
    char why[256] = "";
    if (server_start(s, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void start(int number)
{
    start_it(&server, number, NULL, NULL);
}

/* It must end in time, with status 0 and its totals as the last line. */
static void stop(void)
{
    struct server_end end;
    server_stop(&server, deadline_in_ms(STOP_MS), &end);
    if (!end.in_time || end.status != 0 || strncmp(end.totals, "totals: clients ", 16) != 0)
        fail_msg("%s status %d, its last line is \"%s\", and it says: %s",
                 end.in_time ? "in time," : "killed,", end.status, end.totals, server.err);
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

static struct client new_client(int seed)
{
    return (struct client){.fd = -1, .seed = (uint32_t)seed};
}

/* A newcomer is served. */
static void expect_service(int seed)
{
    struct client c = new_client(seed);
    assert_int_equal(client_connect(&c, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&c, 1000, soon(), NULL), CLIENT_OK);
    client_close(&c);
}

/* Runs a step that is to end by itself, with status `status` and one line that names `word`. */
static void expect_refusal(int number, const char *first, const char *second, int status,
                           const char *word)
{
    struct step_start command;
    struct server_spec spec = spec_of(number, &command, first, second);
    struct server_end end;
    spec.bare = true;
    spec.start_ms = PATIENCE_MS;
    assert_int_equal(server_run_to_end(&server, &spec, &end), 0);
    if (!end.in_time || end.status != status || strstr(server.err, word) == NULL ||
        strchr(server.err, '\n') != server.err + strlen(server.err) - 1)
        fail_msg("%s %s: status %d and one line with \"%s\" are right; %s status %d: %s", first,
                 second, status, word, end.in_time ? "it was" : "it ran on,", end.status,
                 server.err);
}

/* ---- the second line ------------------------------------------------------------------------- */

/* Its output is read all the time; this waits until the second line has come. */
static void wait_for_banner(void)
{
    int64_t end_ns = soon();
    do
        server_read_output(&server);
    while (server.banner[0] == '\0' && deadline_left_ms(end_ns) > 0 && (clock_pause_ms(1), true));
}

static void each_windows_step_says_what_runs_it(void **state)
{
    (void)state;
    char banner[64];
    NEEDS_WINDOWS();
    for (int number = FIRST_WINDOWS_STEP; number <= STEPS; number++) {
        start(number);
        wait_for_banner();
        assert_string_equal(server.banner, step_banner(step_find("06", number), banner, 64));
        stop();
        assert_string_equal(server.err, "");
        assert_null(strchr(server.out, '\r'));
    }
}

static void the_native_step_has_no_second_line(void **state)
{
    (void)state;
    start(1);
    expect_service(1);
    stop();
    assert_string_equal(server.banner, "");
}

/* ---- crowds ---------------------------------------------------------------------------------- */

enum { CROWD = 1000, CROWD_BYTES = 2000, CROWD_SPARE = 60 };

static void all_send_and_then_all_read(struct client *c)
{
    for (int i = 0; i < CROWD; i++) {
        c[i] = new_client(i);
        assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
        assert_int_equal(client_send(&c[i], CROWD_BYTES, soon()), CLIENT_OK);
    }
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(client_expect(&c[i], CROWD_BYTES, soon()), CLIENT_OK);
    for (int i = CROWD; i-- > 0;) /* and once more, in another order */
        assert_int_equal(client_exchange(&c[i], 100, 60, soon()), CLIENT_OK);
}

static void a_thousand_clients_at_once_get_exactly_their_bytes(void **state)
{
    (void)state;
    NEEDS_WINDOWS();
    if (client_raise_limit() < CROWD + CROWD_SPARE)
        skip_because("this process may open %ld more descriptors, not %d", client_raise_limit(),
                     (int)CROWD + CROWD_SPARE);
    struct client *c = calloc(CROWD, sizeof *c);
    assert_non_null(c);
    for (int number = 5; number <= 6; number++) {
        start(number);
        all_send_and_then_all_read(c);
        stop();
        for (int i = 0; i < CROWD; i++)
            client_abort(&c[i]);
    }
    free(c);
}

/* As many as the slots of AcceptEx, four times over, none of which says a word: an AcceptEx that
 * waits for the first bytes would be held by each of them. */
static void silent_clients_hold_no_slot(void **state)
{
    (void)state;
    enum { SILENT = 4 * 64 };
    static struct client silent[SILENT];
    NEEDS_WINDOWS();
    for (int number = 5; number <= 6; number++) {
        start(number);
        for (int i = 0; i < SILENT; i++) {
            silent[i] = new_client(i);
            assert_int_equal(client_connect(&silent[i], &server, soon()), CLIENT_OK);
        }
        expect_service(SILENT);
        for (int i = 0; i < SILENT; i += 50) /* nor is any of them forgotten */
            assert_int_equal(client_ping(&silent[i], 10, soon(), NULL), CLIENT_OK);
        for (int i = 0; i < SILENT; i++)
            client_abort(&silent[i]);
        expect_service(SILENT + 1);
        stop();
    }
}

/* ---- stopping under load --------------------------------------------------------------------- */

enum { BUSY = 8, ROUNDS = 12 };

/* Some flood and do not read, some are answered all the time, some are silent. */
static void keep_it_busy(struct client *c)
{
    for (int i = 0; i < BUSY; i++) {
        c[i] = new_client(i);
        assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
        if (i % 4 == 0)
            (void)client_send(&c[i], 1 << 16, soon());
    }
    for (int turn = 0; turn < 20; turn++)
        for (int i = 1; i < BUSY; i += 2)
            (void)client_pump(&c[i], 256 * 1024);
}

/* With receives, sends and accepts in flight: every packet is waited for, so nothing of the
 * kernel's is written into memory that is free. Twice is what impatient people press. */
static void a_stop_under_load_is_a_clean_one(void **state)
{
    (void)state;
    static struct client c[BUSY];
    NEEDS_WINDOWS();
    for (int number = 4; number <= 6; number++)
        for (int round = 0; round < ROUNDS; round++) {
            start(number);
            keep_it_busy(c);
            if (round % 3 == 0)
                (void)kill(server.pid, SIGINT);
            stop();
            assert_string_equal(server.err, "");
            for (int i = 0; i < BUSY; i++)
                client_abort(&c[i]);
        }
}

/* ---- one port, one server -------------------------------------------------------------------- */

static void a_second_server_does_not_get_the_port(void **state)
{
    (void)state;
    NEEDS_WINDOWS();
    struct server first;
    char port[16];
    start_it(&first, 4, NULL, NULL);
    (void)snprintf(port, sizeof port, "%u", first.port);
    for (int number = FIRST_WINDOWS_STEP; number <= STEPS; number++)
        expect_refusal(number, "-p", port, 1, port);
    struct server_end end;
    server_stop(&first, deadline_in_ms(STOP_MS), &end);
    assert_int_equal(end.status, 0);
}

/* ---- step 6: options ------------------------------------------------------------------------- */

static void idle_clients_are_closed_and_busy_ones_stay(void **state)
{
    (void)state;
    struct client idle = new_client(1), busy = new_client(2);
    NEEDS_WINDOWS();
    start_it(&server, 6, "-t", "1");
    assert_int_equal(client_connect(&idle, &server, soon()), CLIENT_OK);
    assert_int_equal(client_connect(&busy, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&idle, 100, soon(), NULL), CLIENT_OK);
    int64_t begin_ns = clock_now_ns(), end_ns = begin_ns + INT64_C(2500000000);
    while (clock_now_ns() < end_ns) { /* two time-outs and a half: it is never idle so long */
        assert_int_equal(client_ping(&busy, 10, soon(), NULL), CLIENT_OK);
        clock_pause_ms(100);
    }
    assert_int_equal(client_expect_end(&idle, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&busy, 10, soon(), NULL), CLIENT_OK);
    client_close(&idle);
    client_close(&busy);
    stop();
}

static void wrong_options_are_one_line_and_status_2(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"-t", "abc"}, {"-t", "-1"}, {"-w", "0"}, {"-w", "abc"}, {"-w", "99999"}};
    NEEDS_WINDOWS();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_refusal(6, wrong[i][0], wrong[i][1], 2, wrong[i][1]);
}

static void any_number_of_workers_serves_and_stops(void **state)
{
    (void)state;
    static const char *const workers[] = {"1", "2", "16"};
    NEEDS_WINDOWS();
    for (size_t i = 0; i < sizeof workers / sizeof workers[0]; i++) {
        start_it(&server, 6, "-w", workers[i]);
        for (int seed = 0; seed < 5; seed++)
            expect_service(seed);
        stop();
    }
}

/* ---- the folder alone ------------------------------------------------------------------------ */

enum { SAID_LEN = 8192 };

/* Runs a command of a shell; its status, and in `said` what it prints on both streams. */
static int shell(char said[SAID_LEN], const char *format, ...)
{
    char command[4 * PATH_LEN];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(said, 1, SAID_LEN - 1, pipe);
    said[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char alone[64]; /* a folder with a space in its name, which holds a copy of the chapter */

static int copy_chapter(void **state)
{
    (void)state;
    char said[SAID_LEN];
    (void)snprintf(alone, sizeof alone, "/tmp/test iocp.XXXXXX");
    return mkdtemp(alone) != NULL &&
                   shell(said, "cd chapters && tar cf - --exclude=build 06_iocp | tar xf - -C '%s'",
                         alone) == 0
               ? 0
               : -1;
}

static int remove_copy(void **state)
{
    char said[SAID_LEN];
    int result = kill_server(state);
    (void)shell(said, "sh '%s/06_iocp/wine.sh' --end; rm -rf '%s'", alone, alone);
    return result;
}

/* A PATH that has everything but compilers for Windows. */
static const char NO_MINGW[] =
    "mkdir -p '%s/bin' && for d in /usr/local/bin /usr/bin /bin; do for f in $d/*; do "
    "case $f in *mingw*) ;; *) ln -s \"$f\" '%s/bin' 2>/dev/null ;; esac; done; done; "
    "cd '%s/06_iocp' && PATH='%s/bin' make -s steps 2>&1";

static void without_mingw_the_folder_builds_its_first_step_and_says_so(void **state)
{
    (void)state;
    char said[SAID_LEN];
    if (strstr(build(), "san-") != NULL)
        skip_because("it builds a copy without sanitizers, as the usual run has done");
    int status = shell(said, NO_MINGW, alone, alone, alone, alone);
    if (status != 0)
        fail_msg("status %d: %s", status, said);
    assert_non_null(strstr(said, "skipped"));
    assert_non_null(strstr(said, "mingw"));
    assert_int_equal(shell(said, "'%s'/06_iocp/build/step1_completion -h", alone), 0);
    assert_int_not_equal(shell(said, "ls '%s'/06_iocp/build/*.exe 2>&1", alone), 0);
}

static void the_folder_alone_builds_and_runs(void **state)
{
    (void)state;
    char said[SAID_LEN], script[128], program[128], why[256] = "";
    const char *argv[] = {"sh", script, program, NULL};
    struct server_spec spec = {.argv = argv, .start_ms = WINDOWS_START_MS, .stop_signal = SIGINT};
    NEEDS_WINDOWS();
    int status = shell(said, "cd '%s/06_iocp' && make -s steps WERROR=1 2>&1", alone);
    if (status != 0)
        fail_msg("status %d: %s", status, said);
    assert_int_equal(shell(said, "cd '%s/06_iocp' && make -s steps 2>&1", alone), 0);
    assert_string_equal(said, ""); /* there is nothing left to do */
    (void)snprintf(script, sizeof script, "%s/06_iocp/wine.sh", alone);
    (void)snprintf(program, sizeof program, "%s/06_iocp/build/step5_acceptex.exe", alone);
    /* It makes a prefix of its own, and that has no deadline: a busy machine needs a minute. */
    assert_int_equal(shell(said, "sh '%s' --start </dev/null 2>&1", script), 0);
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
    expect_service(1);
    stop();
}

/* Wine at random addresses ends one start in some thousand with status 1, without a word (wine.sh
 * says why). The kernel tells in /proc how a process was started. */
static void wine_does_not_start_at_random_addresses(void **state)
{
    (void)state;
    enum { NOT_RANDOM = 0x0040000 }; /* ADDR_NO_RANDOMIZE of personality(2) */
    char said[SAID_LEN];
    NEEDS_WINDOWS();
    if (shell(said, "setarch -R true 2>&1") != 0)
        skip_because("this system does not let a program choose that: %s", said);
    start(5);
    if (server.wine <= 0)
        skip_because("this is not Wine, or this system does not tell");
    assert_int_equal(shell(said, "cat /proc/%ld/personality", (long)server.pid), 0);
    assert_true((strtoul(said, NULL, 16) & NOT_RANDOM) != 0);
    stop();
}

/* ---- nothing stays behind -------------------------------------------------------------------- */

/* A test that dies with its server running: its guard ends the Windows program, too. */
static void a_killed_test_leaves_no_windows_program(void **state)
{
    (void)state;
    int ends[2], status;
    pid_t server_pid = 0;
    NEEDS_WINDOWS();
    assert_int_equal(pipe(ends), 0);
    pid_t test = fork();
    assert_true(test >= 0);
    if (test == 0) {
        start(5);
        if (write(ends[1], &server.pid, sizeof server.pid) == (ssize_t)sizeof server.pid)
            (void)raise(SIGKILL);
        _exit(1);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &server_pid, sizeof server_pid), (ssize_t)sizeof server_pid);
    (void)close(ends[0]);
    assert_int_equal(waitpid(test, &status, 0), test);
    int64_t end_ns = soon();
    while (process_exists(server_pid) && deadline_left_ms(end_ns) > 0)
        clock_pause_ms(1);
    assert_false(process_exists(server_pid));
}

/* Wine's server may be killed, as `wineserver -k` itself does where a busy machine lets it wait.
 * Its helpers then wait for ever for its answer. */
static void helpers_whose_server_was_killed_are_ended(void **state)
{
    (void)state;
    static const char prefix_of[] = "tr '\\000' '\\n' </proc/%ld/environ | grep '^WINEPREFIX='";
    static const char those_of[] = "grep -lszxF '%s' /proc/[0-9]*/environ | grep .";
    char said[SAID_LEN], prefix[SAID_LEN];
    NEEDS_WINDOWS();
    start(4);
    if (server.wine <= 0 || shell(prefix, prefix_of, (long)server.wine) != 0)
        skip_because("this is not Wine, or this system does not tell whose a process is");
    prefix[strcspn(prefix, "\n")] = '\0';
    assert_int_equal(kill(server.wine, SIGKILL), 0);
    assert_int_equal(shell(said, those_of, prefix), 0); /* somebody is left */
    assert_int_equal(shell(said, "sh chapters/06_iocp/wine.sh --end 2>&1"), 0);
    assert_string_equal(said, "");
    int64_t end_ns = soon();
    while (shell(said, those_of, prefix) == 0 && deadline_left_ms(end_ns) > 0)
        clock_pause_ms(1);
    assert_string_equal(said, "");
}

/* Wine's own programs stay for a while. Were the caller's descriptors open in them, then whoever
 * reads from the other end of one of these would wait for its end. */
static void what_wine_starts_holds_nothing_of_the_caller(void **state)
{
    (void)state;
    enum { AT_ONCE_MS = 5000, OF_THE_CALLER = 7 };
    static const char start_it[] = "sh chapters/06_iocp/wine.sh --start";
    char said[SAID_LEN];
    int ends[2], status;
    NEEDS_WINDOWS();
    assert_int_equal(shell(said, "sh chapters/06_iocp/wine.sh --end 2>&1"), 0);
    assert_int_equal(pipe(ends), 0);
    pid_t starter = fork();
    assert_true(starter >= 0);
    if (starter == 0) {
        if (dup2(ends[1], OF_THE_CALLER) < 0)
            _exit(127);
        process_close_from(STDERR_FILENO + 1, OF_THE_CALLER);
        (void)execl("/bin/sh", "sh", "-c", start_it, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    assert_int_equal(waitpid(starter, &status, 0), starter);
    assert_int_equal(status, 0);
    struct pollfd end = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, deadline_left_ms(deadline_in_ms(AT_ONCE_MS))), 1);
    assert_true((end.revents & POLLHUP) != 0);
    (void)close(ends[0]);
}

/* Last of all: the script that runs Windows programs ends everything that it has left running. */
static void at_the_end_nothing_of_wine_is_left(void **state)
{
    (void)state;
    char said[SAID_LEN];
    NEEDS_WINDOWS();
    start(4);
    pid_t wine = server.wine;
    stop();
    if (wine <= 0)
        skip_because("this system does not tell which process Wine's server is");
    assert_true(process_exists(wine)); /* it would wait for the next program */
    assert_int_equal(shell(said, "sh chapters/06_iocp/wine.sh --end 2>&1"), 0);
    assert_string_equal(said, "");
    assert_false(process_exists(wine));
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int say_what_is_emulated(void **state)
{
    (void)state;
    if (why_not() == NULL)
        print_message("# emulated: by Wine\n");
    return 0;
}

int main(void)
{
#define TEST(test)       cmocka_unit_test_teardown(test, kill_server)
#define TEST_ALONE(test) cmocka_unit_test_setup_teardown(test, copy_chapter, remove_copy)
    const struct CMUnitTest native[] = {
        TEST(the_native_step_has_no_second_line),
        TEST_ALONE(without_mingw_the_folder_builds_its_first_step_and_says_so),
    };
    const struct CMUnitTest tests[] = {
        TEST(each_windows_step_says_what_runs_it),
        TEST(a_thousand_clients_at_once_get_exactly_their_bytes),
        TEST(silent_clients_hold_no_slot),
        TEST(a_stop_under_load_is_a_clean_one),
        TEST(a_second_server_does_not_get_the_port),
        TEST(idle_clients_are_closed_and_busy_ones_stay),
        TEST(wrong_options_are_one_line_and_status_2),
        TEST(any_number_of_workers_serves_and_stops),
        TEST_ALONE(the_folder_alone_builds_and_runs),
        TEST(wine_does_not_start_at_random_addresses),
        TEST(a_killed_test_leaves_no_windows_program),
        TEST(helpers_whose_server_was_killed_are_ended),
        TEST(what_wine_starts_holds_nothing_of_the_caller),
        TEST(at_the_end_nothing_of_wine_is_left),
    };
    int failed = cmocka_run_group_tests_name("chapter 06, the native step", native, NULL, NULL);
    return failed +
           cmocka_run_group_tests_name("steps of chapter 06", tests, say_what_is_emulated, NULL);
}
