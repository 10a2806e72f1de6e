/*
 * test_exercises: the exercises lead where they say.
 *
 * For each folder chapters/NN/exercises/exM_name: what the learner begins with (start.c) and the
 * obvious answer (looks_right.c) are red in the row that the exercise is about, and the solution
 * keeps all rows. The rows stand in the folder's own list.
 *
 * EXERCISES=all in the environment runs all of that, as CI does. Else it is done in short: of the
 * solution only the rows that the others break are run, and what must be red gets less time to
 * answer.
 *
 * The programs are in the folder exercises/ beside the folder of this program (make
 * exercise-programs). Run it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "exercises/exercise.h"
#include "harness/client.h"
#include "harness/skip.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_EXERCISES = 48, PER_EXERCISE = 4, ALL_POINTS = 10, SHORT_PATIENCE_MS = 1500 };

/** One exercise, read and ready. */
struct known {
    char folder[EXERCISE_PATH];
    char number[16]; /* 01.1 */
    struct exercise exercise;
};

static struct known known[MAX_EXERCISES];
static size_t known_count;
static char build[EXERCISE_PATH / 4]; /* the folder of tests/ and exercises/ */

/* --- reading ---------------------------------------------------------------------------------- */

/** "chapters/01_blocking/exercises/ex1_all_of_it" has the number 01.1. */
static void number_of(const char *folder, char *number, size_t len)
{
    const char *chapter = strchr(folder, '/') + 1, *exercise = strrchr(folder, '/') + 3;
    (void)snprintf(number, len, "%.*s.%.*s", (int)strcspn(chapter, "_"), chapter,
                   (int)strcspn(exercise, "_"), exercise);
}

static int read_all(void)
{
    glob_t found;
    char why[512];
    if (glob("chapters/*/exercises/ex*_*", 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc && known_count < MAX_EXERCISES; i++) {
        struct known *k = &known[known_count++];
        (void)snprintf(k->folder, sizeof k->folder, "%s", found.gl_pathv[i]);
        number_of(k->folder, k->number, sizeof k->number);
        if (exercise_read(&k->exercise, k->folder, why, sizeof why) != 0) {
            (void)fprintf(stderr, "test_exercises: %s\n", why);
            return -1;
        }
    }
    globfree(&found);
    return 0;
}

static bool is_sanitized(void)
{
    return strstr(build, "san-") != NULL;
}

static bool is_in_short(void)
{
    const char *which = getenv("EXERCISES");
    return which == NULL || strcmp(which, "all") != 0;
}

static void run_one(const struct known *k, const char *name, const struct exercise_row *row,
                    int patience_ms, struct contract_run *run)
{
    char program[EXERCISE_PATH];
    (void)snprintf(program, sizeof program, "%s/exercises/%s/%.*s", build, k->number,
                   (int)strcspn(name, "."), name);
    exercise_run(row, program, is_sanitized(), patience_ms, run);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void has_all_its_pages_and_ten_points(void **state)
{
    static const char *const files[] = {"README.md",      "start.c",       "hint1.md",  "hint2.md",
                                        "looks_right.md", "looks_right.c", "solution.c"};
    const struct known *k = *state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[EXERCISE_PATH + 32];
        (void)snprintf(path, sizeof path, "%s/%s", k->folder, files[i]);
        if (access(path, R_OK) != 0)
            fail_msg("%s is missing", path);
    }
    assert_int_equal(k->exercise.points, ALL_POINTS);
}

/** An exercise about a call that this system does not have is not built here (exercise.sh). */
static void skip_where_not_built(const struct known *k)
{
    char program[EXERCISE_PATH];
    (void)snprintf(program, sizeof program, "%s/exercises/%s/solution", build, k->number);
    if (k->exercise.needs[0] == '\0' || access(program, X_OK) == 0)
        return;
    if (k->exercise.windows)
        skip_because("mingw-w64, which builds Windows programs, is not here");
    skip_because("this system has no %s", k->exercise.needs);
}

/** One line "red FILE ROW". What loses an edge loses it only where two things meet: it may hold by
 * luck once, where the machine is busy, so it has some chances to be red. */
static void is_red(const struct known *k, const struct exercise_red *red, struct contract_run *run)
{
    enum { CHANCES = 3 };
    run->symptom = HOLDS;
    for (int i = 0; i < CHANCES && run->symptom == HOLDS; i++)
        run_one(k, red->file, exercise_find(&k->exercise, red->row),
                is_in_short() ? SHORT_PATIENCE_MS : 0, run);
    if (run->symptom == HOLDS)
        fail_msg("%s: %s keeps %s, and must not", k->number, red->file, red->row);
    if (run->symptom == NOT_STARTED)
        fail_msg("%s: %s was not started: %s", k->number, red->file, run->came_back);
    print_message("# red, as it must be: %s %s: %s: %s\n", k->number, red->file, red->row,
                  run->came_back);
}

/** Every line "red FILE ROW" of one file. */
static void are_red(const struct known *k, const char *file)
{
    int looked_at = 0, skipped = 0;
    skip_where_not_built(k);
    for (size_t i = 0; i < k->exercise.red_count; i++) {
        struct contract_run run;
        if (strcmp(k->exercise.reds[i].file, file) != 0)
            continue;
        is_red(k, &k->exercise.reds[i], &run);
        looked_at++;
        skipped += run.symptom == SKIPPED;
    }
    if (looked_at == 0)
        fail_msg("%s: its list does not say what is red in %s", k->number, file);
    if (skipped == looked_at)
        skip_because("none of the rows of %s can be run here", file);
}

static void the_start_is_red(void **state)
{
    are_red(*state, "start.c");
}

static void what_looks_right_is_red(void **state)
{
    are_red(*state, "looks_right.c");
}

/** Is it a row that start.c or looks_right.c breaks? Then the exercise is about it. */
static bool is_its_matter(const struct known *k, const struct exercise_row *row)
{
    for (size_t i = 0; i < k->exercise.red_count; i++)
        if (strcmp(k->exercise.reds[i].row, row->row->name) == 0)
            return true;
    return false;
}

static void the_solution_keeps_its_rows(void **state)
{
    const struct known *k = *state;
    skip_where_not_built(k);
    for (size_t i = 0; i < k->exercise.row_count; i++) {
        struct contract_run run;
        if (is_in_short() && !is_its_matter(k, &k->exercise.rows[i]))
            continue;
        run_one(k, "solution.c", &k->exercise.rows[i], 0, &run);
        if (run.symptom == SKIPPED)
            print_message("# left out: %s: %s\n", k->exercise.rows[i].row->name, run.came_back);
        else if (run.symptom != HOLDS)
            fail_msg("%s: %s: %s: %s: %s", k->number, k->exercise.rows[i].row->name,
                     symptom_name(run.symptom), run.peer_did, run.came_back);
    }
}

/** Those of Windows, or the others: what Wine has shown is told by itself. */
static size_t collect_tests(struct CMUnitTest *tests, bool windows)
{
    static const struct {
        const char *claim;
        CMUnitTestFunction function;
    } claims[PER_EXERCISE] = {
        {"has all its pages and ten points", has_all_its_pages_and_ten_points},
        {"start is red", the_start_is_red},
        {"what looks right is red", what_looks_right_is_red},
        {"the solution keeps its rows", the_solution_keeps_its_rows},
    };
    static char names[MAX_EXERCISES * PER_EXERCISE][80];
    size_t n = 0;
    for (size_t i = 0; i < known_count; i++)
        for (size_t j = 0; j < PER_EXERCISE && known[i].exercise.windows == windows; j++, n++) {
            char *name = names[i * PER_EXERCISE + j];
            (void)snprintf(name, sizeof names[0], "%s %s", known[i].number, claims[j].claim);
            tests[n] = (struct CMUnitTest){
                .name = name, .test_func = claims[j].function, .initial_state = &known[i]};
        }
    return n;
}

static int say_what_is_emulated(void **state)
{
    (void)state;
    print_message("# emulated: by Wine\n");
    return 0;
}

static int run_those(bool windows)
{
    static struct CMUnitTest tests[MAX_EXERCISES * PER_EXERCISE];
    size_t n = collect_tests(tests, windows);
    if (n == 0)
        return 0;
    /* Wine needs longest the first time, and is then ready. */
    if (windows && system("sh chapters/06_iocp/wine.sh --start </dev/null >/dev/null 2>&1") == 0)
        return _cmocka_run_group_tests("exercises for Windows", tests, n, say_what_is_emulated,
                                       NULL);
    return _cmocka_run_group_tests(windows ? "exercises for Windows" : "the exercises", tests, n,
                                   NULL, NULL);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argc > 0 ? argv[0] : "", '/');
    (void)snprintf(build, sizeof build, "%.*s/..", slash != NULL ? (int)(slash - argv[0]) : 1,
                   slash != NULL ? argv[0] : ".");
    if (read_all() != 0)
        return 1;
    (void)client_raise_limit();
    /* Else each program under ThreadSanitizer sleeps for a second before it ends. */
    (void)setenv("TSAN_OPTIONS", "halt_on_error=1:exitcode=99:atexit_sleep_ms=0", 0);
    if (argc > 1) /* one exercise, or one claim: test_exercises '01.1*' */
        cmocka_set_test_filter(argv[1]);
    int failed = run_those(false);
    return failed + run_those(true);
}
