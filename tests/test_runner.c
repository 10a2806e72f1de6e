/*
 * test_runner: run.sh, on programs that pass, fail, skip, crash, hang, and leave things out.
 *
 * The programs are shell scripts in a folder of their own, and speak TAP as cmocka does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/skip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_LEN = 1024, KIB = 1024 };

/* ---- The runner -------------------------------------------------------------------------- */

static const char *runner; /* the path of run.sh, NULL when it is not found */
static char folder[] = "/tmp/test_harness.XXXXXX";
static char report[16 * KIB]; /* what the runner has said last */

static int make_folder(void **state)
{
    (void)state;
    runner = access("tests/run.sh", R_OK) == 0 ? "tests/run.sh" : NULL;
    if (runner == NULL && access("run.sh", R_OK) == 0)
        runner = "./run.sh";
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[PATH_LEN];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/** Puts a test program, a shell script, where the runner looks for it. */
static void write_program(const char *name, const char *script)
{
    char path[PATH_LEN];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\n%s", script);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

/** Runs the runner; its report is kept, its status returned. */
static int run_runner(const char *variables, const char *programs)
{
    char command[PATH_LEN];
    if (runner == NULL)
        skip_because("run.sh is found from the checkout's root or from tests/ only");
    (void)snprintf(command, sizeof command, "%s sh %s '%s' %s 2>&1", variables, runner, folder,
                   programs);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(report, 1, sizeof report - 1, pipe);
    report[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** The line of totals must be the last, alone on its line. */
static void assert_totals(const char *totals)
{
    size_t n = strlen(totals);
    size_t len = strlen(report);
    if (len < n + 2 || strncmp(report + len - n - 1, totals, n) != 0 || report[len - n - 2] != '\n')
        fail_msg("the report does not end in \"%s\":\n%s", totals, report);
}

static void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static const char GOOD[] = "echo 1..2; echo 'ok 1 - a'; echo chatter; echo 'ok 2 - b'\n"
                           "echo '# ok - a group'; exit 0\n";

static void runner_counts_what_passes(void **state)
{
    (void)state;
    write_program("good", GOOD);
    assert_int_equal(run_runner("", "good good"), 0);
    assert_totals("4 passed, 0 failed, 0 skipped");
    assert_says(report, "good: a group");
    assert_says(report, "natively");
}

/** A copy of the runner beside a chapter whose wine.sh only notes that it was called. */
static const char FAKE_WINE[] =
    "mkdir -p '%s/tests' '%s/chapters/06_x' && cp '%s' '%s/tests/run.sh' && "
    "echo 'echo $1 >>\"$(dirname \"$0\")/calls\"' >'%s/chapters/06_x/wine.sh'";

static void runner_ends_wine_when_a_program_has_used_it(void **state)
{
    (void)state;
    char command[PATH_LEN], copy[PATH_LEN];
    const char *usual = runner;
    if (runner == NULL)
        skip_because("run.sh is found from the checkout's root or from tests/ only");
    (void)snprintf(command, sizeof command, FAKE_WINE, folder, folder, runner, folder, folder);
    assert_int_equal(system(command), 0);
    (void)snprintf(copy, sizeof copy, "%s/tests/run.sh", folder);
    write_program("good", GOOD);
    write_program("by_wine", "echo 1..1; echo '# emulated: by Wine'; echo 'ok 1 - a'\n"
                             "echo '# ok - a group'; exit 0\n");
    runner = copy;
    int without = run_runner("", "good"), with = run_runner("", "good by_wine");
    runner = usual;
    assert_int_equal(without, 0);
    assert_int_equal(with, 0);
    assert_says(report, "emulated: by Wine");
    (void)snprintf(command, sizeof command, "test \"$(cat '%s/chapters/06_x/calls')\" = --end",
                   folder);
    assert_int_equal(system(command), 0); /* once: in the second run */
}

/** A copy of the runner beside three programs of tests, each built with two sanitizers. */
static const char THREE_PROGRAMS[] =
    "mkdir -p '%s/races' && cp '%s' '%s/races/run.sh' && cd '%s/races' && "
    "touch test_demo.c test_any.c test_zoo.c && for build in san-thread san-address; do "
    "mkdir -p $build/tests && for one in demo any zoo; do "
    "cp ../good $build/tests/test_$one; done && "
    "sh run.sh $build/tests >$build/said || exit 1; done";

static const char SOME_ARE_LEFT_OUT[] =
    "cd '%s/races' && grep -q 'skipped test_demo: ' san-thread/said && "
    "grep -q 'skipped test_zoo: ' san-address/said && "
    "grep -q '^2 passed, 0 failed, 2 skipped' san-thread/said && "
    "grep -q '^4 passed, 0 failed, 1 skipped' san-address/said";

static void runner_leaves_out_what_a_sanitizer_cannot_see(void **state)
{
    (void)state;
    char command[2 * PATH_LEN];
    if (runner == NULL)
        skip_because("run.sh is found from the checkout's root or from tests/ only");
    write_program("good", GOOD);
    (void)snprintf(command, sizeof command, THREE_PROGRAMS, folder, runner, folder, folder);
    assert_int_equal(system(command), 0);
    (void)snprintf(command, sizeof command, SOME_ARE_LEFT_OUT, folder);
    assert_int_equal(system(command), 0);
}

/* ---- Programs side by side ---------------------------------------------------------------- */

/** A copy of the runner beside the sources of two programs, so that it finds them by itself. */
static const char TWO_SOURCES[] = "mkdir -p '%s/beside' && cp '%s' '%s/beside/run.sh' && "
                                  "cd '%s/beside' && touch test_first.c test_second.c";

static int run_both(const char *variables)
{
    char command[2 * PATH_LEN], copy[PATH_LEN], in_copy[PATH_LEN];
    if (runner == NULL)
        skip_because("run.sh is found from the checkout's root or from tests/ only");
    (void)snprintf(command, sizeof command, TWO_SOURCES, folder, runner, folder, folder);
    assert_int_equal(system(command), 0);
    const char *usual = runner;
    (void)snprintf(copy, sizeof copy, "%s/beside/run.sh", folder);
    (void)snprintf(in_copy, sizeof in_copy, "cd '%s/beside' && %s", folder, variables);
    runner = copy;
    int status = run_runner(in_copy, "");
    runner = usual;
    return status;
}

/* Each waits for the other one, so in sequence the first would wait in vain. */
static void runner_runs_two_programs_at_a_time(void **state)
{
    (void)state;
    write_program("test_first",
                  "echo 1..1; mkfifo there; : >there && echo 'ok 1 - a'; echo '# ok - g'");
    write_program("test_second", "echo 1..1; until [ -p there ]; do sleep 0.01; done\n"
                                 ": <there && echo 'ok 1 - a'; echo '# ok - g'");
    assert_int_equal(run_both("TEST_LIMIT_S=60 TEST_JOBS=2"), 0);
    assert_totals("2 passed, 0 failed, 0 skipped");
}

/* What a shell starts in the background ignores SIGINT, and so would the servers under test. */
static void runner_hides_no_signal_from_those_side_by_side(void **state)
{
    (void)state;
    const char *ends = "echo 1..1; sh -c 'kill -INT $$; exit 0'\n"
                       "[ $? -eq 130 ] && echo 'ok 1 - a' || echo 'not ok 1 - a'; echo '# ok - g'";
    write_program("test_first", ends);
    write_program("test_second", ends);
    assert_int_equal(run_both("TEST_JOBS=2"), 0);
    assert_totals("2 passed, 0 failed, 0 skipped");
}

/* Tests count descriptors. */
static void runner_leaves_no_descriptor_open_to_those_side_by_side(void **state)
{
    (void)state;
    const char *looks = "echo 1..1; (: >&3) 2>/dev/null && echo 'not ok 1 - a' || echo 'ok 1 - a'\n"
                        "echo '# ok - g'";
    write_program("test_first", looks);
    write_program("test_second", looks);
    assert_int_equal(run_both("TEST_JOBS=2"), 0);
    assert_totals("2 passed, 0 failed, 0 skipped");
}

static void runner_says_what_test_jobs_may_be(void **state)
{
    (void)state;
    write_program("good", GOOD);
    assert_int_equal(run_runner("TEST_JOBS=many", "good"), 2);
    assert_says(report, "TEST_JOBS is how many programs run at a time, not 'many'");
    assert_int_equal(run_runner("TEST_JOBS=0", "good"), 2);
}

/* ---- What goes wrong ---------------------------------------------------------------------- */

static void runner_shows_a_failure_and_its_story(void **state)
{
    (void)state;
    write_program("good", GOOD);
    write_program("bad", "echo 1..2; echo the story; echo 'not ok 1 - claim'; echo '# x.c:8: no'\n"
                         "echo 'ok 2 - b'; echo '# not ok - g'; exit 1\n");
    assert_int_equal(run_runner("", "good bad"), 1);
    assert_totals("3 passed, 1 failed, 0 skipped");
    assert_says(report, "FAILED  bad: claim");
    assert_says(report, "the story");
    assert_says(report, "# x.c:8: no");
}

/* cmocka cuts a long message, its newline too, and the result stands on the same line. */
static void runner_hears_a_failure_behind_words_without_an_end(void **state)
{
    (void)state;
    write_program("cut", "echo 1..2; printf 'it should say'; echo 'not ok 1 - claim'\n"
                         "echo 'ok 2 - b'; echo '# not ok - g'; exit 1\n");
    assert_int_equal(run_runner("", "cut"), 1);
    assert_totals("1 passed, 1 failed, 0 skipped");
    assert_says(report, "FAILED  cut: claim");
    assert_says(report, "it should say");
}

static void runner_gives_the_reason_of_a_skip(void **state)
{
    (void)state;
    write_program("skips",
                  "echo 1..2; echo '# skip: one: no wine here'; echo 'not ok 1 # SKIP one'\n"
                  "echo 'ok 2 - b'; echo '# ok - g'; exit 0\n");
    assert_int_equal(run_runner("", "skips"), 0);
    assert_totals("1 passed, 0 failed, 1 skipped");
    assert_says(report, "skips: one: no wine here");
}

static void runner_says_what_was_emulated(void **state)
{
    (void)state;
    write_program("wine",
                  "echo 1..1; echo '# emulated: by Wine 8'; echo 'ok 1 - b'; echo '# ok - g'\n");
    assert_int_equal(run_runner("", "wine"), 0);
    assert_says(report, "emulated: by Wine 8");
}

static void runner_counts_a_crash_as_a_failure(void **state)
{
    (void)state;
    write_program("crash", "echo 1..3; echo 'ok 1 - a'; kill -SEGV $$\n");
    assert_int_equal(run_runner("", "crash"), 1);
    assert_totals("1 passed, 1 failed, 0 skipped");
    assert_says(report, "was killed by signal 11 when 1 of 3 tests had run");
}

static void runner_counts_what_was_left_out_as_a_failure(void **state)
{
    (void)state;
    write_program("short", "echo 1..3; echo 'ok 1 - a'; exit 0\n");
    write_program("empty", "exit 0\n");
    write_program("late", "echo 1..1; echo 'ok 1 - a'; echo '# ok - g'; exit 99\n");
    write_program(
        "setup",
        "echo 1..4; echo 'not ok 0 - g [  FAILED  ] GROUP SETUP'; echo '# ok - g'; exit 1\n");
    assert_int_equal(run_runner("", "short empty late setup missing"), 1);
    assert_totals("2 passed, 5 failed, 0 skipped");
    assert_says(report, "short: ended with status 0 when 1 of 3 tests had run");
    assert_says(report, "empty: ended with status 0 and ran no test");
    assert_says(report, "late: ended with status 99, though no test failed");
    assert_says(report, "missing: it was not built");
}

static void runner_ends_what_hangs(void **state)
{
    (void)state;
    write_program("hangs", "echo 1..1; exec sleep 600\n");
    assert_int_equal(run_runner("TEST_SLOWDOWN=1 TEST_LIMIT_S=1", "hangs"), 1);
    assert_totals("0 passed, 1 failed, 0 skipped");
    assert_says(report, "was stopped after 1 s");
}

static void runner_is_not_content_with_nothing(void **state)
{
    (void)state;
    write_program("skips", "echo 1..1; echo 'not ok 1 # SKIP one'; echo '# ok - g'; exit 0\n");
    assert_int_equal(run_runner("CI=", "skips"), 1);
    assert_totals("0 passed, 0 failed, 1 skipped");
    assert_says(report, "nothing ran");
}

static void runner_forgives_a_missing_cmocka_but_not_on_ci(void **state)
{
    (void)state;
    write_program("no_cmocka", "");
    assert_int_equal(run_runner("CI=", "missing"), 0);
    assert_totals("0 passed, 0 failed, 1 skipped");
    assert_says(report, "nothing ran");
    assert_int_equal(run_runner("CI=true", "missing"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runner_counts_what_passes),
        cmocka_unit_test(runner_ends_wine_when_a_program_has_used_it),
        cmocka_unit_test(runner_leaves_out_what_a_sanitizer_cannot_see),
        cmocka_unit_test(runner_runs_two_programs_at_a_time),
        cmocka_unit_test(runner_hides_no_signal_from_those_side_by_side),
        cmocka_unit_test(runner_leaves_no_descriptor_open_to_those_side_by_side),
        cmocka_unit_test(runner_says_what_test_jobs_may_be),
        cmocka_unit_test(runner_shows_a_failure_and_its_story),
        cmocka_unit_test(runner_hears_a_failure_behind_words_without_an_end),
        cmocka_unit_test(runner_gives_the_reason_of_a_skip),
        cmocka_unit_test(runner_says_what_was_emulated),
        cmocka_unit_test(runner_counts_a_crash_as_a_failure),
        cmocka_unit_test(runner_counts_what_was_left_out_as_a_failure),
        cmocka_unit_test(runner_ends_what_hangs),
        cmocka_unit_test(runner_is_not_content_with_nothing),
        cmocka_unit_test(runner_forgives_a_missing_cmocka_but_not_on_ci),
    };
    return cmocka_run_group_tests_name("runner", tests, make_folder, remove_folder);
}
