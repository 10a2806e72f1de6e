/*
 * test_contract: every row of the contract against every step of the course.
 *
 * A test is a pair such as "01/step1_sequential survives_rst". Where a step breaks a row by design
 * (steps.c) the test asserts that it breaks, and in which way: that limit is the reason for the
 * next step, so it must be as real as everything else. A few tests look at one step alone.
 *
 * CH=01 STEP=2 ROW=survives_rst choose (in the environment or as words behind the program's name).
 * STEPS_BUILD says which build of the steps: "build", or a variant such as "build/san-thread".
 * Run it from the root of the repository. A whole run writes contract.tsv beside the program, and
 * tools/matrix.sh makes the tables of the chapters from that.
 *
 * Steps whose queue is emulated on this system are a group of tests for themselves, so that the
 * table of `make test` tells what has met a real kernel and what has not.
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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A Windows program starts in half a second, but everything of Wine may have to wake up first. */
enum { WINDOWS_START_MS = 20000 };

enum { PATH_LEN = 512, NAME_LEN = 128, MAX_TESTS = 2000, MAX_GROUPS = 4 };

/* --- what is chosen --------------------------------------------------------------------------- */

static const char *build = "build";
static FILE *tsv; /* NULL when only a part is run */

/** The value of a choice; NULL when it is not set, or empty as make passes it. */
static const char *choice(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/** The steps of the course, and behind them those of mini; NULL behind the last one. */
static const struct step *step_at(size_t i)
{
    if (i < step_count)
        return &all_steps[i];
    return i - step_count < mini_count ? &mini_steps[i - step_count] : NULL;
}

/** A build that watches threads is for the steps that have some: it defers signals, and the others
 *  would learn nothing from it. */
static bool suits_the_build(const struct step *step)
{
    return step->threads || strstr(build, "san-thread") == NULL;
}

static bool is_chosen(const struct step *step)
{
    const char *chapter = choice("CH"), *number = choice("STEP");
    return (chapter == NULL || strtol(chapter, NULL, 10) == strtol(step->chapter, NULL, 10)) &&
           (number == NULL || strtol(number, NULL, 10) == step->number) && suits_the_build(step);
}

/** One line that names the wrong choice and all right ones. */
static void refuse_choices(void)
{
    (void)fprintf(stderr, "test_contract: CH=%s STEP=%s is no step of this build; there are",
                  choice("CH") != NULL ? choice("CH") : "",
                  choice("STEP") != NULL ? choice("STEP") : "");
    const struct step *step, *last = NULL;
    for (size_t i = 0; (step = step_at(i)) != NULL; last = step, i++)
        if (suits_the_build(step) && (last == NULL || last->number != step->number))
            (void)fprintf(stderr, " %s/%d", step->chapter, step->number);
    (void)fprintf(stderr, "\n");
}

static void refuse_row(const char *row)
{
    (void)fprintf(stderr, "test_contract: ROW=%s is no row; there are", row);
    for (size_t i = 0; i < contract_row_count; i++)
        (void)fprintf(stderr, " %s", contract_rows[i].name);
    (void)fprintf(stderr, "\n");
}

static bool choices_are_right(void)
{
    const char *row = choice("ROW");
    const struct step *step;
    size_t steps = 0;
    for (size_t i = 0; (step = step_at(i)) != NULL; i++)
        steps += is_chosen(step);
    if (steps == 0)
        refuse_choices();
    if (row != NULL && contract_find(row) == NULL)
        refuse_row(row);
    return steps > 0 && (row == NULL || contract_find(row) != NULL);
}

/* --- a row against a step --------------------------------------------------------------------- */

/** A test of the table. The name is kept here because cmocka only points to it. */
struct pair {
    const struct step *step;
    const struct contract_row *row;
    char name[NAME_LEN];
};

static void tell(const struct pair *p, const char *verdict, const char *words)
{
    char banner[NAME_LEN];
    if (tsv != NULL)
        (void)fprintf(tsv, "%s/%s\t%s\t%s\t%s\t%s\n", p->step->chapter, p->step->name, p->row->name,
                      verdict, words, step_banner(p->step, banner, sizeof banner));
}

/** Everything that helps to understand a red row. */
static void explain(const struct pair *p, const struct contract_run *run)
{
    print_error("%s\n  peer:    %s\n  came of it: %s (%s)\n  must:    %s\n  repeat:  "
                "make test CH=%s STEP=%d ROW=%s, or by hand: %s\n",
                p->name, run->peer_did, symptom_name(run->symptom), run->came_back,
                p->row->server_must, p->step->chapter, p->step->number, p->row->name,
                p->row->repeat);
}

static void expect_it_to_break(const struct pair *p, const struct broken_row *broken,
                               const struct contract_run *run)
{
    char words[CONTRACT_TEXT];
    if (run->symptom != broken->symptom) {
        tell(p, "RED", "breaks in another way than by design, or not at all");
        explain(p, run);
        fail_msg("by design it must break with %s, because %s", symptom_name(broken->symptom),
                 broken->reason);
    }
    print_message("# by design: %s: %s: %s\n", p->name, symptom_name(run->symptom), run->came_back);
    (void)snprintf(words, sizeof words, "%s: %s", symptom_name(run->symptom), broken->reason);
    tell(p, "by design", words);
}

static void expect_it_to_hold(const struct pair *p, const struct contract_run *run)
{
    if (run->symptom != HOLDS) {
        tell(p, "RED", run->came_back);
        explain(p, run);
        fail_msg("%s", symptom_in_words(run->symptom));
    }
    if (run->note[0] != '\0')
        print_message("# note: %s: %s\n", p->name, run->note);
    tell(p, "holds", run->note);
}

static void skip_in_words(const struct pair *p, const char *why)
{
    size_t len = strlen(CONTRACT_NOT_SHOWN);
    bool not_shown = strncmp(why, CONTRACT_NOT_SHOWN, len) == 0;
    print_message("# skip: %s: %s\n", p->name, why);
    tell(p, not_shown ? "not shown here" : "skipped", not_shown ? why + len : why);
    skip();
}

static void row_of_a_step(void **state)
{
    const struct pair *p = *state;
    const struct broken_row *broken = step_breaks(p->step, p->row->name);
    struct step_start usual, ndebug;
    struct contract_run run = {.argv = step_command(p->step, build, &usual),
                               .patience_ms = broken != NULL ? PATIENCE_BROKEN_MS : PATIENCE_MS,
                               .start_ms = p->step->windows ? WINDOWS_START_MS : 0,
                               .stop_signal = p->step->windows ? SIGINT : 0,
                               .by_wine = p->step->windows,
                               .sanitized = strstr(build, "san-") != NULL};
    (void)step_command(p->step, "build/ndebug", &ndebug);
    if (access(usual.program, F_OK) != 0)
        fail_msg("%s is not built", usual.program);
    if (access(ndebug.program, F_OK) == 0)
        run.ndebug_argv = ndebug.argv;
    else if (strcmp(p->row->name, "ndebug_still_serves") == 0)
        skip_in_words(p, "the steps are not built with NDEBUG=1");
    contract_run_row(p->row, &run);
    if (run.symptom == SKIPPED)
        skip_in_words(p, run.came_back);
    if (broken != NULL)
        expect_it_to_break(p, broken, &run);
    else
        expect_it_to_hold(p, &run);
}

/* --- steps that do not run here --------------------------------------------------------------- */

/** Why no row of the step is run; NULL: all are. */
static const char *why_not_at_all(const struct step *step)
{
    if (step->windows && strstr(build, "san-") != NULL)
        return "the compiler for Windows programs has no sanitizers; they are tested without";
    return step_why_not(step);
}

/** All rows of it in one test, so that the reason is said once. */
static void no_row_of_a_step(void **state)
{
    struct pair *p = *state;
    const char *why = why_not_at_all(p->step);
    for (size_t i = 0; i < contract_row_count; i++) {
        p->row = &contract_rows[i];
        tell(p, "skipped", why);
    }
    print_message("# skip: %s: %s\n", p->name, why);
    skip();
}

/* --- the second line of a step ---------------------------------------------------------------- */

/** What the matrix says of it must be true. (Chapters 05 and 06 have tests of their own for that.)
 */
static void its_second_line_names_its_queue(void **state)
{
    const struct pair *p = *state;
    char why[256] = "", banner[NAME_LEN];
    struct step_start command;
    struct server s;
    struct server_end end;
    struct server_spec spec = {.argv = step_command(p->step, build, &command),
                               .start_ms = p->step->windows ? WINDOWS_START_MS : 0};
    if (server_start(&s, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
    int64_t end_ns = deadline_in_ms(PATIENCE_MS);
    do
        server_read_output(&s);
    while (s.banner[0] == '\0' && deadline_left_ms(end_ns) > 0 && (clock_pause_ms(1), true));
    server_stop(&s, deadline_in_ms(PATIENCE_MS), &end);
    assert_string_equal(s.banner, step_banner(p->step, banner, sizeof banner));
}

/* --- tests of one step ------------------------------------------------------------------------ */

/** Starts a step with words of its own; the test fails when it does not start. */
static void start_step(struct server *s, const char *chapter, int number, struct server_spec spec,
                       const char *first, const char *second)
{
    char why[256] = "";
    struct step_start command;
    const struct step *step = step_find(chapter, number);
    assert_non_null(step);
    spec.argv = step_command(step, build, &command);
    command.argv[command.words] = first;
    command.argv[command.words + 1] = first != NULL ? second : NULL;
    if (server_start(s, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

enum { THREADS_TRIED = 80 };

/** Connects and pings until one is refused: how many were served before it, or -1 if all were. */
static int serve_until_refused(const struct server *s, struct client *c, int n)
{
    for (int i = 0; i < n; i++) {
        c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
        enum outcome o = client_connect(&c[i], s, deadline_in_ms(PATIENCE_MS));
        assert_int_equal(o, CLIENT_OK);
        o = client_ping(&c[i], 1, deadline_in_ms(PATIENCE_MS), NULL);
        if (o != CLIENT_OK) {
            assert_true(o == CLIENT_CLOSED || o == CLIENT_RESET); /* refused, not forgotten */
            client_close(&c[i]);
            return i;
        }
    }
    return -1;
}

static void without_one_more_thread_it_refuses_that_client_and_serves_the_rest(void **state)
{
    (void)state;
    struct server s;
    struct client c[THREADS_TRIED], newcomer = {.fd = -1, .seed = 99};
    if (strstr(build, "san-") != NULL)
        skip_because("a sanitizer needs more address space than this test allows");
    start_step(&s, "01", 2, (struct server_spec){.max_address_space = 96u << 20}, NULL, NULL);
    int served = serve_until_refused(&s, c, THREADS_TRIED);
    if (served < 0) {
        server_kill(&s);
        skip_because("the limit of the address space does not limit threads on this system");
    }
    assert_true(served > 0);
    for (int i = 0; i < served; i++) {
        assert_int_equal(client_ping(&c[i], 100, deadline_in_ms(PATIENCE_MS), NULL), CLIENT_OK);
        client_close(&c[i]);
    }
    /* Their threads end a moment after their connections, so the next one may still be refused. */
    enum outcome o = CLIENT_CLOSED;
    int64_t end_ns = deadline_in_ms(PATIENCE_MS);
    while (o != CLIENT_OK && deadline_left_ms(end_ns) > 0) {
        assert_int_equal(client_connect(&newcomer, &s, end_ns), CLIENT_OK);
        o = client_ping(&newcomer, 1, end_ns, NULL);
        client_close(&newcomer);
    }
    assert_int_equal(o, CLIENT_OK);
    server_read_output(&s);
    assert_non_null(strstr(s.err, "thread"));
    struct server_end end;
    server_stop(&s, deadline_in_ms(PATIENCE_MS), &end);
    assert_int_equal(end.status, 0);
}

static void the_pool_takes_no_more_clients_than_it_has_workers_and_places(void **state)
{
    (void)state;
    enum { CLIENTS = 50, WORKERS = 2, PLACES = 3, IN_THE_HAND = 1 };
    struct server s;
    struct client c[CLIENTS];
    start_step(&s, "01", 3, (struct server_spec){0}, "-w2", "-q3");
    int threads = process_threads(s.pid), fds = process_fds(s.pid);
    if (threads < 0 || fds < 0) {
        server_kill(&s);
        skip_because("this system does not tell how many threads and descriptors a process has");
    }
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
        assert_int_equal(client_connect(&c[i], &s, deadline_in_ms(PATIENCE_MS)), CLIENT_OK);
        assert_int_equal(client_send(&c[i], 1, deadline_in_ms(PATIENCE_MS)), CLIENT_OK);
    }
    for (int i = 0; i < CLIENTS; i++) { /* each gets its turn when those before it have gone */
        assert_int_equal(client_expect(&c[i], 1, deadline_in_ms(PATIENCE_MS)), CLIENT_OK);
        assert_int_equal(process_threads(s.pid), threads);
        assert_in_range(process_fds(s.pid), 0, (uintmax_t)(fds + WORKERS + PLACES + IN_THE_HAND));
        client_close(&c[i]);
    }
    struct server_end end;
    server_stop(&s, deadline_in_ms(PATIENCE_MS), &end);
    assert_int_equal(end.status, 0);
}

static const struct {
    const char *chapter;
    int number;
    struct CMUnitTest test;
} single_tests[] = {
    {"01", 2, cmocka_unit_test(without_one_more_thread_it_refuses_that_client_and_serves_the_rest)},
    {"01", 3, cmocka_unit_test(the_pool_takes_no_more_clients_than_it_has_workers_and_places)},
};

/* --- the table -------------------------------------------------------------------------------- */

static struct pair pairs[MAX_TESTS];

static struct CMUnitTest test_of(struct pair *p, const struct step *step,
                                 const struct contract_row *row)
{
    p->step = step;
    p->row = row;
    (void)snprintf(p->name, sizeof p->name, "%s/%s %s", step->chapter, step->name, row->name);
    return (struct CMUnitTest){.name = p->name, .test_func = row_of_a_step, .initial_state = p};
}

static struct CMUnitTest test_of_second_line(struct pair *p, const struct step *step)
{
    struct CMUnitTest test = {
        .name = p->name, .test_func = its_second_line_names_its_queue, .initial_state = p};
    p->step = step;
    (void)snprintf(p->name, sizeof p->name, "%s/%s its_second_line_names_its_queue", step->chapter,
                   step->name);
    return test;
}

static struct CMUnitTest test_of_none(struct pair *p, const struct step *step)
{
    p->step = step;
    (void)snprintf(p->name, sizeof p->name, "%s/%s (all rows)", step->chapter, step->name);
    return (struct CMUnitTest){.name = p->name, .test_func = no_row_of_a_step, .initial_state = p};
}

/** A group of tests: all steps that are emulated over the same, or all others. */
struct group {
    const char *emulation; /* NULL: these run natively */
    size_t count;
    struct CMUnitTest tests[MAX_TESTS];
};

static struct group groups[MAX_GROUPS] = {{.emulation = NULL}};
static size_t group_count = 1;

/** The group of a step; a new one for an emulation that is not known yet. */
static struct group *group_of(const struct step *step)
{
    const char *emulation = step_emulation(step);
    if (emulation == NULL)
        return &groups[0];
    for (size_t i = 1; i < group_count; i++)
        if (strcmp(groups[i].emulation, emulation) == 0)
            return &groups[i];
    if (group_count == MAX_GROUPS)
        return NULL;
    groups[group_count].emulation = emulation;
    return &groups[group_count++];
}

static void add_test(const struct step *step, struct CMUnitTest test)
{
    struct group *group = group_of(step);
    if (group == NULL || group->count == MAX_TESTS) {
        (void)fprintf(stderr, "test_contract: no room for %s\n", test.name);
        exit(1);
    }
    group->tests[group->count++] = test;
}

/** Fills in the chosen pairs and single tests. */
static void collect_tests(void)
{
    const char *only = choice("ROW");
    const struct step *step;
    size_t n = 0;
    for (size_t s = 0; (step = step_at(s)) != NULL; s++) {
        if (!is_chosen(step))
            continue;
        if (why_not_at_all(step) != NULL) {
            add_test(step, test_of_none(&pairs[n++], step));
            continue;
        }
        for (size_t r = 0; r < contract_row_count && n < MAX_TESTS; r++)
            if (only == NULL || strcmp(only, contract_rows[r].name) == 0) {
                add_test(step, test_of(&pairs[n], step, &contract_rows[r]));
                n++;
            }
        if (only == NULL && s >= step_count && step->queue != NULL && n < MAX_TESTS) {
            add_test(step, test_of_second_line(&pairs[n], step));
            n++;
        }
    }
    for (size_t i = 0; i < sizeof single_tests / sizeof single_tests[0]; i++) {
        step = step_find(single_tests[i].chapter, single_tests[i].number);
        if (only == NULL && is_chosen(step) && why_not_at_all(step) == NULL)
            add_test(step, single_tests[i].test);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static const char *emulation_now;

static int say_what_is_emulated(void **state)
{
    (void)state;
    print_message("# emulated: %s\n", emulation_now);
    return 0;
}

static int run_groups(void)
{
    int failed = 0;
    if (groups[0].count > 0)
        failed = _cmocka_run_group_tests("contract", groups[0].tests, groups[0].count, NULL, NULL);
    for (size_t i = 1; i < group_count; i++) {
        emulation_now = groups[i].emulation;
        failed += _cmocka_run_group_tests("contract over an emulation", groups[i].tests,
                                          groups[i].count, say_what_is_emulated, NULL);
    }
    return failed;
}

/** contract.tsv beside the program, so that each build has its own. It has another name until it is
 *  whole, for somebody may look into it meanwhile. */
static void tsv_path(const char *program, const char *end, char path[PATH_LEN])
{
    const char *slash = strrchr(program, '/');
    int folder = slash != NULL ? (int)(slash - program) : 1;
    (void)snprintf(path, PATH_LEN, "%.*s/contract.tsv%s", folder, slash != NULL ? program : ".",
                   end);
}

static void open_tsv(const char *program)
{
    char path[PATH_LEN];
    tsv_path(program, ".new", path);
    tsv = fopen(path, "w");
    if (tsv == NULL)
        print_message("# note: %s cannot be written, so the matrix stays as it was\n", path);
}

static void close_tsv(const char *program)
{
    char path[PATH_LEN], whole[PATH_LEN];
    tsv_path(program, ".new", path);
    tsv_path(program, "", whole);
    if (tsv != NULL && (fclose(tsv) != 0 || rename(path, whole) != 0))
        print_message("# note: %s cannot be written, so the matrix stays as it was\n", whole);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], '=') == NULL || putenv(argv[i]) != 0) {
            (void)fprintf(stderr, "test_contract: give CH=, STEP= or ROW=, not %s\n", argv[i]);
            return 2;
        }
    if (choice("STEPS_BUILD") != NULL)
        build = choice("STEPS_BUILD");
    if (!choices_are_right())
        return 2;
    (void)client_raise_limit();
    /* Else each program under ThreadSanitizer sleeps for a second before it ends. */
    (void)setenv("TSAN_OPTIONS", "atexit_sleep_ms=0", 0);
    if (choice("CH") == NULL && choice("STEP") == NULL && choice("ROW") == NULL)
        open_tsv(argv[0]);
    collect_tests();
    int failed = run_groups();
    close_tsv(argv[0]);
    return failed;
}
