/*
 * test_bench: does the bench measure what it says? Not how fast anything is: that is `make bench`.
 *
 * The load generator against right and wrong servers, every peer of the bench as an echo server,
 * the histogram, and the scripts that make verdicts, tables and the page out of rows: given rows
 * whose verdict is known. Each server is started by the load generator itself.
 *
 * STEPS_BUILD says which build of the programs. Run it from the root of the repository. The wrong
 * servers are in the folder wrong/ beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../bench/histogram.h"
#include "harness/skip.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 65536, LINE = 2048, WATCHDOG_S = 600 };

static char said[TEXT]; /* what the last command has said, both streams */
static int said_status;

/* ---- commands -------------------------------------------------------------------------------- */

/* The shell finds $BUILD, $BENCH, $WRONG and $WORK, a folder that is removed at the end. */
static void shell(const char *command)
{
    char line[LINE];
    size_t len = 0, n;
    (void)snprintf(line, sizeof line, "exec 2>&1; %s", command);
    (void)fflush(NULL);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    while ((n = fread(said + len, 1, sizeof said - 1 - len, pipe)) > 0)
        len += n;
    said[len] = '\0';
    int status = pclose(pipe);
    said_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect(const char *command, int status, const char *words)
{
    shell(command);
    if (said_status != status || strstr(said, words) == NULL)
        fail_msg("%s\n  should end with %d and say \"%s\"; it ended with %d and said:\n%s", command,
                 status, words, said_status, said);
}

/* "NAME value" among the lines that were said. */
static double figure(const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = said; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, len) == 0 && at[len] == ' ')
            return strtod(at + len, NULL);
    }
    fail_msg("there is no figure %s in:\n%s", name, said);
    return 0;
}

static void skip_where_it_is_not_built(void)
{
    shell("[ -x \"$BENCH/load\" ]");
    if (said_status != 0)
        skip_because("the bench is for Linux, and was not built here");
}

/* ---- the histogram --------------------------------------------------------------------------- */

static void a_percentile_is_never_low_and_at_most_a_64th_high(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (uint64_t value = 1; value < UINT64_C(1) << 41; value += 1 + value / 7) {
        memset(&histogram, 0, sizeof histogram);
        histogram_add(&histogram, value);
        histogram_add(&histogram, value * 8); /* so that the most is not what answers */
        uint64_t told = histogram_at(&histogram, 50);
        assert_true(told >= value);
        assert_true(told <= value + value / HISTOGRAM_STEPS);
    }
}

static void percentiles_of_a_thousand_values_are_theirs(void **state)
{
    (void)state;
    static struct histogram histogram;
    assert_int_equal(histogram_at(&histogram, 50), 0);
    for (uint64_t value = 1; value <= 1000; value++)
        histogram_add(&histogram, value);
    assert_in_range(histogram_at(&histogram, 50), 500, 508);
    assert_in_range(histogram_at(&histogram, 99), 990, 1000);
    assert_int_equal(histogram_at(&histogram, 100), 1000);
    assert_int_equal(histogram.most, 1000);
}

/* ---- the load generator ---------------------------------------------------------------------- */

static void load_tells_what_a_round_trip_costs(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect("\"$BENCH/load\" -c 16 -s 100 -w 100 -n 2000 \"$BENCH/peers/raw_epoll\"", 0, "trips ");
    assert_true(figure("trips") >= 2000);
    assert_true(figure("cpu_ns_per_trip") > 100);
    assert_true(figure("wall_ns_per_trip") >= figure("cpu_ns_per_trip"));
    assert_true(figure("p50_us") <= figure("p99_us") && figure("p99_us") <= figure("most_us"));
}

static void load_sees_a_wrong_byte(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect("\"$BENCH/load\" -c 32 -s 5000 -n 20000 \"$WRONG\" --bug=one_buffer", 1,
           "a wrong byte came back");
}

static void load_sees_a_server_that_leaves_or_never_starts(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect("\"$BENCH/load\" -c 70 -s 5 -n 20000 \"$WRONG\" --bug=sixty_four", 1, "load: ");
    expect("\"$BENCH/load\" -c 1 ./no_such_server", 1, "load: ");
    expect("\"$BENCH/load\" -c many ./no_such_server", 2, "is no number");
    expect("\"$BENCH/load\" -c 1", 2, "usage: load");
}

/* A level-triggered loop with the fewest calls: a recv and a send, and a share of one wait. */
static void system_calls_are_counted_exactly(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    shell("\"$BENCH/load\" -k -c 1 -s 64 -w 100 -n 2000 \"$BENCH/peers/raw_epoll\"");
    if (said_status != 0 && strstr(said, "cannot be counted here") != NULL)
        skip_because("tracepoints are not for this user");
    assert_int_equal(said_status, 0);
    assert_true(figure("calls_per_trip") > 2.99 && figure("calls_per_trip") < 3.01);
    assert_true(figure("failed_calls_per_trip") < 0.01);
    shell("\"$BENCH/load\" -k -c 1 -s 64 -w 100 -n 2000 \"$BENCH/peers/raw_epoll_edge\"");
    assert_true(figure("calls_per_trip") > 3.99 && figure("failed_calls_per_trip") > 0.99);
}

static void memory_of_idle_clients_is_told(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect("\"$BENCH/load\" -m used -i 400 -s 64 \"$BENCH/peers/evq\"", 0, "bytes_per_idle");
    assert_true(figure("bytes_per_idle") >= 4096); /* it has a buffer for each */
    expect("\"$BENCH/load\" -m accept -n 100 \"$BENCH/peers/raw_epoll\"", 0, "cpu_ns_per_visit");
}

/* ---- the peers ------------------------------------------------------------------------------- */

static void every_peer_echoes(const char *peer, const char *option)
{
    static const char *const loads[] = {"-c 1 -s 1", "-c 20 -s 64 -d 4",
                                        "-c 1 -s 1000000 -d 6 -r 4096 -n 8",
                                        "-c 20 -s 9000 -d 4 -m burst"};
    char command[LINE];
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        const char *words = strcmp(peer, "floor") == 0 ? (i == 0 ? "-c 1" : "-c 20") : option;
        if (strcmp(peer, "floor") == 0 && i >= 2) /* it knows one order only */
            continue;
        (void)snprintf(command, sizeof command,
                       "\"$BENCH/load\" -w 1 -n 300 -t 3000 %s \"$BENCH/peers/%s\" %s", loads[i],
                       peer, words);
        shell(command);
        if (strstr(said, "io_uring") != NULL && said_status != 0)
            continue; /* forbidden here, or the kernel is too old for this form */
        if (said_status != 0)
            fail_msg("%s: %s", command, said);
    }
}

static void each_peer_returns_each_byte_in_both_forms(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    char path[LINE];
    int peers = 0;
    (void)snprintf(path, sizeof path, "%s/peers", getenv("BENCH"));
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        every_peer_echoes(entry->d_name, "");
        peers++;
        if (strcmp(entry->d_name, "libuv") == 0 || strcmp(entry->d_name, "libevent_event") == 0 ||
            strcmp(entry->d_name, "raw_epoll_edge") == 0)
            every_peer_echoes(entry->d_name, "-f 1");
    }
    (void)closedir(folder);
    assert_true(peers >= 4);
}

/* ---- the other measurements ------------------------------------------------------------------ */

static void growth_measures_each_size(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect("for g in \"$BENCH\"/growth_*; do \"$g\" -n 150 >\"$WORK/g\" || [ $? = 77 ] || exit 1; "
           "grep -q '^wake_ns_at_10 ' \"$WORK/g\" && grep -q '^wake_ns_at_150 ' \"$WORK/g\" && "
           "grep -q '^add_ns ' \"$WORK/g\" || { echo \"$g\"; exit 1; }; done; echo all",
           0, "all");
}

static void timers_fire_once_unless_cancelled(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect("for t in \"$BENCH\"/timers_*; do \"$t\" 1000 || exit 1; done", 0, "all_ns ");
}

/* ---- from rows to words ---------------------------------------------------------------------- */

/* Rows of three rounds: the reference, itself again, and evq, `ratio` times as dear. */
static void write_rows(double again, double ratio)
{
    char path[LINE];
    (void)snprintf(path, sizeof path, "%s/rows.csv", getenv("WORK"));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fprintf(file, "# machine: none\nround,case,server,figure,value\n");
    for (int round = 1; round <= 3; round++) {
        double ns = 1000.0 * round; /* the machine's mood: the ratios must not see it */
        (void)fprintf(file, "%d,many,raw_epoll,cpu_ns_per_trip,%.0f\n", round, ns);
        (void)fprintf(file, "%d,many,raw_epoll_again,cpu_ns_per_trip,%.0f\n", round, ns * again);
        (void)fprintf(file, "%d,many,evq_epoll_buffer,cpu_ns_per_trip,%.0f\n", round, ns * ratio);
    }
    (void)fprintf(file, "0,many,evq_epoll,calls_per_trip,2.01\n");
    (void)fprintf(file, "0,many,evq_epoll_buffer,cpu_ns_per_trip,9000\n"); /* counting slows */
    (void)fprintf(file, "0,many,raw_epoll,cpu_ns_per_trip,1000\n");
    assert_int_equal(fclose(file), 0);
}

static void check_tells_held_missed_and_too_noisy(void **state)
{
    (void)state;
    const char *check = "awk -f bench/check.awk \"$WORK/rows.csv\" | grep 'by raw_epoll:'; "
                        "awk -f bench/check.awk \"$WORK/rows.csv\" >/dev/null";
    write_rows(1.00, 1.02);
    expect(check, 0, "held");
    write_rows(1.00, 1.20);
    expect(check, 1, "missed");
    write_rows(1.02, 1.045); /* above the target, by less than the noise */
    expect(check, 0, "held");
    write_rows(1.30, 1.20); /* nothing can be said */
    expect(check, 0, "too busy");
}

static void check_of_nothing_is_no_success(void **state)
{
    (void)state;
    expect("echo 'round,case,server,figure,value' >\"$WORK/none.csv\"; "
           "awk -f bench/check.awk \"$WORK/none.csv\"",
           1, "0 held");
}

static void table_compares_within_a_round(void **state)
{
    (void)state;
    write_rows(1.00, 1.50);
    shell("awk -f bench/table.awk \"$WORK/rows.csv\" | "
          "awk '/^many/ { here = 1 } here && $1 == \"evq_epoll_buffer\" { "
          "print \"ratio \" $2; print \"most \" $4 }'");
    assert_true(figure("ratio") > 1.49 && figure("ratio") < 1.51);
    assert_true(figure("most") < 1.51);
}

/* ---- the whole way --------------------------------------------------------------------------- */

/* In a build folder of its own, so that the rows of a person's last run stay. */
static void a_run_becomes_rows_and_a_page(void **state)
{
    (void)state;
    skip_where_it_is_not_built();
    expect(
        "out=build/test_bench.$$; mkdir -p \"$out/bench\" && trap 'rm -rf \"$out\"' EXIT; "
        "cp -R \"$BENCH/load\" \"$BENCH/peers\" \"$out/bench\" && "
        "SERVERS='raw_epoll raw_epoll_again evq_kqueue' CASES=many ROUNDS=2 ONCE= COUNTED= TIMERS= "
        "MECHANISMS= PLAIN=1 sh bench/run.sh \"$out\" quick && "
        "grep -c 'many,raw_epoll,cpu_ns_per_trip' \"$out/bench/figures.csv\" | sed 's/^/rows /' && "
        "cat \"$out/bench/skipped\" && sh bench/draw.sh \"$out\" && "
        "if grep -E 'src=|href=.http|<script' \"$out/bench/index.html\"; then exit 1; fi; "
        "grep -q '64 clients' \"$out/bench/index.html\" && ls \"$out/bench/runs\"",
        0, "-quick.csv");
    assert_int_equal((int)figure("rows"), 2);
    assert_non_null(strstr(said, "evq_kqueue, many: not built here"));
}

static void wrong_words_are_refused(void **state)
{
    (void)state;
    expect("sh bench/run.sh build soon", 2, "quick, full or check, not 'soon'");
    expect("sh bench/draw.sh no_such_folder", 1, "no rows");
}

/* ---- before and after ------------------------------------------------------------------------ */

static int prepare(const char *program)
{
    char path[LINE], work[] = "/tmp/test bench.XXXXXX";
    const char *build = getenv("STEPS_BUILD"), *slash = strrchr(program, '/');
    (void)snprintf(path, sizeof path, "%s/bench", build != NULL ? build : "build");
    if (mkdtemp(work) == NULL || setenv("WORK", work, 1) < 0 || setenv("BENCH", path, 1) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%.*s/wrong/wrong",
                   slash != NULL ? (int)(slash - program) : 1, slash != NULL ? program : ".");
    return setenv("WRONG", path, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percentile_is_never_low_and_at_most_a_64th_high),
        cmocka_unit_test(percentiles_of_a_thousand_values_are_theirs),
        cmocka_unit_test(load_tells_what_a_round_trip_costs),
        cmocka_unit_test(load_sees_a_wrong_byte),
        cmocka_unit_test(load_sees_a_server_that_leaves_or_never_starts),
        cmocka_unit_test(system_calls_are_counted_exactly),
        cmocka_unit_test(memory_of_idle_clients_is_told),
        cmocka_unit_test(each_peer_returns_each_byte_in_both_forms),
        cmocka_unit_test(growth_measures_each_size),
        cmocka_unit_test(timers_fire_once_unless_cancelled),
        cmocka_unit_test(check_tells_held_missed_and_too_noisy),
        cmocka_unit_test(check_of_nothing_is_no_success),
        cmocka_unit_test(table_compares_within_a_round),
        cmocka_unit_test(a_run_becomes_rows_and_a_page),
        cmocka_unit_test(wrong_words_are_refused),
    };
    (void)argc;
    (void)alarm(WATCHDOG_S);
    if (prepare(argv[0]) < 0) {
        perror("test_bench");
        return 1;
    }
    int failures = cmocka_run_group_tests_name("bench", tests, NULL, NULL);
    shell("rm -rf \"$WORK\"");
    return failures;
}
