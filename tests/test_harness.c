/*
 * test_harness: the harness' server.h and process.h. Who judges servers must first be judged.
 *
 * The servers here are one-liners of the shell, and wrong/harness_fake, which has odd habits. Every
 * test starts its own. A test that hangs is ended by the runner (run.sh).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes.h"
#include "harness/process.h"
#include "harness/skip.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Helpers ----------------------------------------------------------------------------- */

/** Starts a shell one-liner that should be refused; the reason stands in why. */
static void assert_refused(const char *line, int start_ms, char *why)
{
    const char *argv[] = {"/bin/sh", "-c", line, NULL};
    struct server_spec spec = {.argv = argv, .bare = true, .start_ms = start_ms};
    struct server *s = new_server();
    if (server_start(s, &spec, why, WHY_LEN) == 0) {
        server_kill(s);
        fail_msg("it was not refused: %s", line);
    }
}

/** Waits until a process is gone. */
static void assert_ends(pid_t pid)
{
    for (int64_t deadline = soon(); process_exists(pid); clock_pause_ms(1))
        if (deadline_left_ms(deadline) == 0)
            fail_msg("process %ld still runs", (long)pid);
}

/* ---- Starting ---------------------------------------------------------------------------- */

static void reads_address_and_port(void **state)
{
    (void)state;
    struct server *s = start_fake("echoes", NULL);
    assert_string_equal(s->address, "127.0.0.1");
    assert_in_range(s->port, 1, 65535);
    assert_true(server_is_alive(s, NULL));
    server_kill(s);
}

static void reads_an_ipv6_address(void **state)
{
    (void)state;
    const char *argv[] = {fake, "listens_on_v6", NULL};
    struct server_spec spec = {.argv = argv};
    struct server *s = new_server();
    char why[WHY_LEN];
    if (server_start(s, &spec, why, sizeof why) != 0)
        skip_because("this machine has no IPv6: %s", why);
    assert_string_equal(s->address, "::1");
    struct client c = connected_to(s, 1);
    assert_outcome(client_ping(&c, 100, soon(), NULL), CLIENT_OK);
    client_close(&c);
    server_kill(s);
}

/** A shell that says one line and waits, as a server would. */
static int start_saying(const char *line, struct server *s, char *why)
{
    const char *argv[] = {"/bin/sh", "-c", "printf \"$0\"; exec sleep 60", line, NULL};
    struct server_spec spec = {.argv = argv, .bare = true};
    return server_start(s, &spec, why, WHY_LEN);
}

static void accepts_the_first_lines_it_should(void **state)
{
    static const char *const lines[] = {
        "listening on 127.0.0.1:1\\n",     "listening on 127.0.0.1:65535\\n",
        "listening on 0.0.0.0:8080\\r\\n", "listening on [::1]:8080\\n",
        "listening on [::]:8080\\n",       "listening on 192.168.1.1:8080\\nmore\\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct server *s = new_server();
        char why[WHY_LEN];
        if (start_saying(lines[i], s, why) != 0)
            fail_msg("%s", why);
        server_kill(s);
    }
}

static void refuses_other_first_lines_in_words(void **state)
{
    static const char *const lines[] = {
        "hello\\n",
        "\\n",
        "listening on\\n",
        "listening on \\n",
        "listening on 127.0.0.1\\n",
        "listening on 127.0.0.1:\\n",
        "listening on 127.0.0.1:0\\n",
        "listening on 127.0.0.1:65536\\n",
        "listening on 127.0.0.1:99999999999\\n",
        "listening on 127.0.0.1:-1\\n",
        "listening on 127.0.0.1: 80\\n",
        "listening on 127.0.0.1:80 \\n",
        "listening on :80\\n",
        "listening on ::1:80\\n",
        "listening on [::1:80\\n",
        "listening on []:80\\n",
        "listening on [127.0.0.1]:80\\n",
        "listening on localhost:80\\n",
        "Listening on 127.0.0.1:80\\n",
        "warning: x\\nlistening on 127.0.0.1:80\\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct server *s = new_server();
        char why[WHY_LEN];
        if (start_saying(lines[i], s, why) == 0)
            fail_msg("accepted: %s", lines[i]);
        assert_says(why, "not \"listening on ADDRESS:PORT\"");
        assert_false(server_is_alive(s, NULL));
    }
}

static void reads_a_banner_and_the_last_line_of_a_windows_program(void **state)
{
    (void)state;
    struct server *s = new_server();
    struct server_end end;
    char why[WHY_LEN];
    assert_int_equal(
        start_saying("listening on 127.0.0.1:80\\r\\nIOCP: emulated by Wine\\r\\n", s, why), 0);
    int64_t deadline = soon();
    while (s->banner[0] == '\0' && deadline_left_ms(deadline) > 0) {
        clock_pause_ms(1);
        server_read_output(s);
    }
    assert_string_equal(s->banner, "IOCP: emulated by Wine");
    server_stop(s, soon(), &end);
    assert_string_equal(end.totals, "IOCP: emulated by Wine");
    assert_int_equal(end.status, 128 + SIGTERM);
}

/* What Wine's server does to a program that is slow to go; the signal is ours here. */
static void kills_it_like_wine(const char *says, struct server_end *end)
{
    char why[WHY_LEN];
    struct server *s = new_server();
    assert_int_equal(start_saying(says, s, why), 0);
    s->wine = s->pid;
    s->stop_signal = SIGKILL;
    server_stop(s, soon(), end);
    assert_true(end->in_time);
}

static void what_wine_kills_behind_its_totals_has_ended_well(void **state)
{
    (void)state;
    struct server_end end;
    kills_it_like_wine("listening on 127.0.0.1:80\\ntotals: clients 1, bytes 5\\n", &end);
    assert_int_equal(end.status, 0);
    assert_true(end.unseen);
    kills_it_like_wine("listening on 127.0.0.1:80\\n", &end);
    assert_int_equal(end.status, 128 + SIGKILL);
    assert_false(end.unseen);
}

static void a_silent_program_is_refused_in_words(void **state)
{
    (void)state;
    char why[WHY_LEN];
    const char *argv[] = {fake, "says_nothing", NULL};
    struct server_spec spec = {.argv = argv, .start_ms = A_MOMENT_MS};
    struct server *s = new_server();
    assert_int_equal(server_start(s, &spec, why, sizeof why), -1);
    assert_says(why, "did not say \"listening on ADDRESS:PORT\" on stdout in time");
    assert_refused("printf unfinished; exec sleep 60", A_MOMENT_MS, why);
    assert_says(why, "said \"unfinished\", but did not end the line");
    assert_refused("exec >&- 2>&-; exec sleep 60", A_MOMENT_MS, why);
    assert_says(why, "did not say");
}

static void a_program_that_ends_is_refused_with_its_last_words(void **state)
{
    (void)state;
    char why[WHY_LEN];
    assert_refused("echo 'no port is left' >&2; exit 3", 0, why);
    assert_says(why, "ended with status 3 before it listened; it said \"no port is left\"");
    assert_refused("kill -9 $$", 0, why);
    assert_says(why, "ended by signal 9 before it listened, without a word");
    assert_refused("exit 0", 0, why);
    assert_says(why, "ended with status 0");
}

static void a_missing_program_is_refused_with_the_system_s_reason(void **state)
{
    (void)state;
    char why[WHY_LEN];
    const char *argv[] = {"./there is no such program", NULL};
    struct server_spec spec = {.argv = argv};
    struct server *s = new_server();
    struct server_end end;
    assert_int_equal(server_start(s, &spec, why, sizeof why), -1);
    assert_says(why, "cannot run ./there is no such program: ");
    assert_says(why, strerror(ENOENT));
    assert_int_equal(server_run_to_end(s, &spec, &end), -1);
    assert_says(s->err, strerror(ENOENT));
    argv[0] = "/"; /* a folder */
    assert_int_equal(server_start(s, &spec, why, sizeof why), -1);
    assert_says(why, strerror(EACCES));
}

static void a_program_that_ends_by_itself_is_heard_out(void **state)
{
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "echo out; echo err >&2; exit 2", NULL};
    struct server_spec spec = {.argv = argv, .bare = true};
    struct server *s = new_server();
    struct server_end end;
    assert_int_equal(server_run_to_end(s, &spec, &end), 0);
    assert_true(end.in_time);
    assert_int_equal(end.status, 2);
    assert_string_equal(s->out, "out\n");
    assert_string_equal(s->err, "err\n");
}

static void limits_are_applied(void **state)
{
    (void)state;
    bool linux_like = process_virtual_kib(getpid()) >= 0; /* there every shell has ulimit -v */
    const char *argv[] = {"/bin/sh", "-c", linux_like ? "ulimit -n; ulimit -v" : "ulimit -n", NULL};
    struct server_spec spec = {
        .argv = argv, .bare = true, .max_fds = 23, .max_address_space = 2000u * MIB};
    struct server *s = new_server();
    struct server_end end;
    assert_int_equal(server_run_to_end(s, &spec, &end), 0);
    assert_string_equal(s->out, linux_like ? "23\n2048000\n" : "23\n");
}

static void signals_are_as_a_shell_gives_them(void **state)
{
    (void)state;
    const char *argv[] = {fake, "tells_signals", NULL};
    struct server_spec spec = {.argv = argv};
    struct server *s = new_server();
    struct server_end end;
    sigset_t term;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    assert_int_equal(sigprocmask(SIG_BLOCK, &term, NULL), 0);
    int started = server_run_to_end(s, &spec, &end);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &term, NULL), 0);
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    assert_int_equal(started, 0);
    assert_string_equal(s->out, "SIGPIPE default, SIGTERM open\n");
}

/* ---- Running and ending ------------------------------------------------------------------ */

static void tells_status_and_totals(void **state)
{
    (void)state;
    struct server *s = start_fake("echoes", NULL);
    struct server_end end;
    struct client c = connected_to(s, 1);
    assert_outcome(client_ping(&c, 10, soon(), NULL), CLIENT_OK);
    server_stop(s, soon(), &end);
    client_close(&c);
    assert_true(end.in_time);
    assert_int_equal(end.status, 0);
    assert_string_equal(end.totals, "totals: clients 1, bytes 0");
    int status = -1;
    assert_false(server_is_alive(s, &status));
    assert_int_equal(status, 0);
    server_kill(s); /* does nothing any more */
    server_kill(s);
}

static void who_does_not_stop_is_killed(void **state)
{
    (void)state;
    struct server *s = start_fake("ignores_sigterm", NULL);
    struct server_end end;
    server_stop(s, deadline_in_ms(A_MOMENT_MS), &end);
    assert_false(end.in_time);
    assert_int_equal(end.status, 128 + SIGKILL);
    assert_ends(s->pid);
}

static void a_server_never_started_can_be_killed(void **state)
{
    (void)state;
    struct server s = {0};
    server_kill(&s);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

static void a_babbler_does_not_block_on_us(void **state)
{
    (void)state;
    struct server *s = start_fake("babbles", NULL);
    struct server_end end;
    struct client c = connected_to(s, 1);
    assert_outcome(client_ping(&c, 10, soon(), NULL), CLIENT_OK); /* it has come through */
    client_close(&c);
    server_stop(s, soon(), &end);
    assert_true(s->err_bytes >= 4 * MIB);
    assert_true(s->out_bytes >= 4 * MIB);
    assert_int_equal(strlen(s->err), SERVER_TEXT - 1);
    assert_string_equal(end.totals, "totals: clients 1, bytes 0");
}

static void nothing_is_left_open(void **state)
{
    (void)state;
    char why[WHY_LEN];
    int before = process_fds(getpid());
    if (before < 0)
        skip_because("this system does not tell how many descriptors a process has");
    for (int i = 0; i < 5; i++) {
        struct server *s = start_fake("echoes", NULL);
        struct server_end end;
        struct client c = connected_to(s, 1);
        client_abort(&c);
        if (i % 2 == 0)
            server_stop(s, soon(), &end);
        else
            server_kill(s);
        assert_refused("exit 1", 0, why);
        const char *argv[] = {"./no such program", NULL};
        struct server_spec spec = {.argv = argv};
        assert_int_equal(server_start(s, &spec, why, sizeof why), -1);
    }
    assert_int_equal(process_fds(getpid()), before);
}

/** Were the second server's guard to hold the first one's pipe, ending the first would hang. */
static void servers_end_in_any_order(void **state)
{
    (void)state;
    struct server *first = start_fake("echoes", NULL);
    struct server *second = start_fake("echoes", NULL);
    struct server *third = start_fake("echoes", NULL);
    struct server_end end;
    server_stop(first, soon(), &end);
    assert_true(end.in_time);
    assert_true(server_is_alive(second, NULL));
    server_kill(third);
    assert_true(server_is_alive(second, NULL));
    server_kill(second);
}

static void freezing_stops_and_thawing_goes_on(void **state)
{
    (void)state;
    struct server *s = start_fake("has_threads", "3");
    struct client c = connected_to(s, 1);
    assert_false(process_is_stopped(s->pid));
    assert_int_equal(server_freeze(s, soon()), 0);
    assert_true(process_is_stopped(s->pid));
    assert_outcome(client_send(&c, 100, soon()), CLIENT_OK);
    assert_outcome(client_wait_delivered(&c, soon()), CLIENT_OK);
    assert_outcome(client_expect(&c, 1, deadline_in_ms(A_MOMENT_MS)), CLIENT_TIMEOUT);
    server_thaw(s);
    assert_outcome(client_expect(&c, 100, soon()), CLIENT_OK);
    client_close(&c);
    server_kill(s);
}

static void a_frozen_server_can_be_stopped(void **state)
{
    (void)state;
    struct server *s = start_fake("echoes", NULL);
    struct server_end end;
    assert_int_equal(server_freeze(s, soon()), 0);
    server_stop(s, soon(), &end);
    assert_true(end.in_time);
    assert_int_equal(end.status, 0);
}

/** The server behind a shell that waits for it. */
static struct server *start_wrapped(void)
{
    const char *argv[] = {"/bin/sh", "-c", "\"$0\" \"$@\"; exit 7", fake, "echoes", NULL};
    struct server_spec spec = {.argv = argv};
    struct server *s = new_server();
    char why[WHY_LEN] = "";
    if (server_start(s, &spec, why, sizeof why) != 0)
        fail_msg("%s", why);
    return s;
}

static void the_listener_is_found_behind_a_wrapper(void **state)
{
    (void)state;
    struct server *s = start_wrapped();
    struct server_end end;
    if (process_listening_on(s->port) < 0) {
        server_kill(s);
        skip_because("this system does not tell who listens on a port");
    }
    assert_int_not_equal(s->pid, s->child);
    assert_int_equal(s->pid, process_listening_on(s->port));
    server_stop(s, soon(), &end);
    assert_true(end.in_time);
    assert_int_equal(end.status, 7); /* the wrapper's */
    assert_string_equal(end.totals, "totals: clients 0, bytes 0");
}

/* ---- The guard --------------------------------------------------------------------------- */

/** A test that starts a server, says which processes it is, and then dies in some way. */
static void doomed_test(int say_fd)
{
    (void)setpgid(0, 0);
    (void)signal(SIGINT, SIG_DFL); /* a shell has it ignored in what it runs in the background */
    struct server *s = start_wrapped();
    pid_t pids[2] = {s->pid, s->child};
    if (write(say_fd, pids, sizeof pids) == sizeof pids)
        for (;;)
            (void)pause();
    _exit(1);
}

/** Kills the doomed test, alone or with its whole group, by a signal. */
static void assert_nothing_outlives(int sig, bool whole_group)
{
    int said[2];
    pid_t pids[2];
    assert_int_equal(pipe(said), 0);
    pid_t test = fork();
    assert_true(test >= 0);
    if (test == 0)
        doomed_test(said[1]);
    assert_int_equal(read(said[0], pids, sizeof pids), sizeof pids);
    assert_true(process_exists(pids[0]) && process_exists(pids[1]));
    assert_int_equal(kill(whole_group ? -test : test, sig), 0);
    assert_int_equal(waitpid(test, NULL, 0), test);
    assert_ends(pids[0]);
    assert_ends(pids[1]);
    (void)close(said[0]);
    (void)close(said[1]);
}

static void nothing_outlives_a_killed_test(void **state)
{
    (void)state;
    assert_nothing_outlives(SIGKILL, false);
}

static void nothing_outlives_a_killed_group(void **state)
{
    (void)state;
    assert_nothing_outlives(SIGKILL, true);
    assert_nothing_outlives(SIGINT, true);
}

/* ---- Figures ----------------------------------------------------------------------------- */

static void busy_costs_more_than_idle(void **state)
{
    (void)state;
    enum { BUSY_NS = 50000000 };
    if (process_cpu_ns(getpid()) < 0)
        skip_because("this system does not tell the CPU time of a process");
    struct server *idle = start_fake("ignores_clients", NULL);
    struct server *busy = start_fake("burns", NULL);
    int64_t idle_before = process_cpu_ns(idle->pid);
    int64_t deadline = soon();
    while (process_cpu_ns(busy->pid) < BUSY_NS && deadline_left_ms(deadline) > 0)
        clock_pause_ms(1);
    assert_true(process_cpu_ns(busy->pid) >= BUSY_NS);
    assert_true(process_cpu_ns(idle->pid) - idle_before < BUSY_NS / 5);
    server_kill(busy);
    server_kill(idle);
}

static void descriptors_are_counted(void **state)
{
    (void)state;
    struct server *few = start_fake("has_fds", "0");
    struct server *many = start_fake("has_fds", "7");
    int n = process_fds(few->pid);
    int more = process_fds(many->pid);
    server_kill(few);
    server_kill(many);
    if (n < 0)
        skip_because("this system does not tell how many descriptors a process has");
    assert_int_equal(n, 4); /* the usual three and the listener: nothing of ours is inherited */
    assert_int_equal(more, n + 7);
}

static void threads_are_counted(void **state)
{
    (void)state;
    struct server *one = start_fake("has_threads", "1");
    struct server *four = start_fake("has_threads", "4");
    int n = process_threads(one->pid);
    int more = process_threads(four->pid);
    server_kill(one);
    server_kill(four);
    if (n < 0)
        skip_because("this system does not tell how many threads a process has");
    assert_int_equal(more, n + 3);
}

static void memory_is_measured(void **state)
{
    (void)state;
    enum { MORE = 32 * MIB };
    int64_t before = process_resident_kib(getpid());
    int64_t virtual_before = process_virtual_kib(getpid());
    if (before < 0)
        skip_because("this system does not tell the memory of a process");
    char *memory = malloc(MORE);
    assert_non_null(memory);
    int64_t virtual_after = process_virtual_kib(getpid());
    memset(memory, 1, MORE);
    int64_t after = process_resident_kib(getpid());
    /* The compiler must not see that nobody reads it. */
    assert_int_equal(*(volatile char *)(memory + MORE / 2), 1);
    free(memory);
    assert_in_range(after - before, MORE / KIB * 3 / 4, INT32_MAX);
    assert_in_range(virtual_after - virtual_before, MORE / KIB * 3 / 4, INT32_MAX);
}

static void figures_of_nobody_are_unknown(void **state)
{
    (void)state;
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    assert_false(process_exists(gone));
    assert_int_equal(process_cpu_ns(gone), -1);
    assert_int_equal(process_resident_kib(gone), -1);
    assert_int_equal(process_threads(gone), -1);
    assert_int_equal(process_fds(gone), -1);
    assert_true(process_exists(getpid()));
}

/** Dead, and not yet waited for: the system still has its number, but it does nothing any more. */
static void a_zombie_does_not_exist(void **state)
{
    (void)state;
    siginfo_t info;
    if (process_fds(getpid()) < 0)
        skip_because("this system does not tell a zombie from a process");
    pid_t zombie = fork();
    assert_true(zombie >= 0);
    if (zombie == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    assert_false(process_exists(zombie));
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        TEST(reads_address_and_port),
        TEST(reads_an_ipv6_address),
        TEST(accepts_the_first_lines_it_should),
        TEST(refuses_other_first_lines_in_words),
        TEST(reads_a_banner_and_the_last_line_of_a_windows_program),
        TEST(what_wine_kills_behind_its_totals_has_ended_well),
        TEST(a_silent_program_is_refused_in_words),
        TEST(a_program_that_ends_is_refused_with_its_last_words),
        TEST(a_missing_program_is_refused_with_the_system_s_reason),
        TEST(a_program_that_ends_by_itself_is_heard_out),
        TEST(limits_are_applied),
        TEST(signals_are_as_a_shell_gives_them),
        TEST(tells_status_and_totals),
        TEST(who_does_not_stop_is_killed),
        TEST(a_server_never_started_can_be_killed),
        TEST(a_babbler_does_not_block_on_us),
        TEST(nothing_is_left_open),
        TEST(servers_end_in_any_order),
        TEST(freezing_stops_and_thawing_goes_on),
        TEST(a_frozen_server_can_be_stopped),
        TEST(the_listener_is_found_behind_a_wrapper),
        TEST(nothing_outlives_a_killed_test),
        TEST(nothing_outlives_a_killed_group),
        TEST(busy_costs_more_than_idle),
        TEST(descriptors_are_counted),
        TEST(threads_are_counted),
        TEST(memory_is_measured),
        TEST(figures_of_nobody_are_unknown),
        TEST(a_zombie_does_not_exist),
    };
    find_fake(argv[0]);
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
