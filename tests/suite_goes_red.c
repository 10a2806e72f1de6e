/*
 * suite_goes_red: the contract bites.
 *
 * A test suite that is always green proves nothing. Here it meets servers that are wrong on purpose
 * (wrong/), one bug each: the row that is there for this bug must go red, with the right symptom,
 * and a row that has nothing to do with it must hold. The same server without a bug holds them all.
 *
 * Run it from the root of the repository. The wrong servers are in the folder wrong/ beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/contract.h"
#include "harness/client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LEN = 512, MAX_TESTS = 64 };

/** A bug, and what must come of it. */
struct wrong {
    const char *bug;
    const char *row;       /* goes red ... */
    enum symptom symptom;  /* ... in this way ... */
    enum symptom or_this;  /* ... or this one, where it depends on timing; else the same */
    const char *other_row; /* holds */
};

static const struct wrong wrongs[] = {
    {"one_buffer", "no_cross_talk", WRONG_BYTES, WRONG_BYTES, "echoes_bytes_in_order"},
    {"strlen", "binary_safe", LOST_BYTES, LOST_BYTES, "bad_arguments_are_refused"},
    {"cut", "echoes_bytes_in_order", LOST_BYTES, WRONG_BYTES, "binary_safe"},
    {"cut", "slow_reader_is_isolated", UNBOUNDED_MEMORY, WRONG_BYTES, "silent_peer_blocks_nobody"},
    {"first_1024", "echoes_bytes_in_order", LOST_BYTES, LOST_BYTES, "binary_safe"},
    {"dies_at_rst", "survives_rst", SERVER_DIED, SERVER_DIED, "echoes_bytes_in_order"},
    {"sigpipe", "survives_rst", SERVER_DIED, SERVER_DIED, "echoes_bytes_in_order"},
    {"leaks", "no_fd_leak", LEAKS_DESCRIPTORS, LEAKS_DESCRIPTORS, "echoes_bytes_in_order"},
    {"never_closes", "half_close_is_answered", NEVER_CLOSED, NEVER_CLOSED, "echoes_bytes_in_order"},
    {"drops_at_eof", "half_close_is_answered", CLOSED_EARLY, CLOSED_EARLY, "echoes_bytes_in_order"},
    {"unbounded", "slow_reader_is_isolated", UNBOUNDED_MEMORY, UNBOUNDED_MEMORY,
     "echoes_bytes_in_order"},
    {"greedy", "fast_peer_starves_nobody", NOT_SERVED, TOO_SLOW, "binary_safe"},
    {"waits_for_first_byte", "silent_peer_blocks_nobody", NOT_SERVED, NOT_SERVED,
     "echoes_bytes_in_order"},
    {"sixty_four", "many_clients", CLOSED_EARLY, CLOSED_EARLY, "echoes_bytes_in_order"},
    {"emfile_spins", "emfile_is_survived", BURNS_CPU, BURNS_CPU, "echoes_bytes_in_order"},
    {"emfile_dies", "emfile_is_survived", SERVER_DIED, SERVER_DIED, "echoes_bytes_in_order"},
    {"busy", "idle_costs_nothing", BURNS_CPU, BURNS_CPU, "echoes_bytes_in_order"},
    {"late", "answers_promptly", TOO_SLOW, TOO_SLOW, "silent_peer_blocks_nobody"},
    {"status_1", "stops_cleanly", BAD_STATUS, BAD_STATUS, "binary_safe"},
    {"no_totals", "stops_cleanly", BAD_WORDS, BAD_WORDS, "binary_safe"},
    {"atoi", "bad_arguments_are_refused", BAD_STATUS, BAD_STATUS, "binary_safe"},
};

/* --- programs and rows ------------------------------------------------------------------------ */

static char folder[PATH_LEN - 64]; /* where this program is */

static const char *path_of(const char *name, char *path)
{
    (void)snprintf(path, PATH_LEN, "%s/wrong/%s", folder, name);
    return path;
}

static struct contract_run run_row(const char *bug, const char *row, int patience_ms, bool blind)
{
    char path[PATH_LEN], word[64];
    (void)snprintf(word, sizeof word, "--bug=%s", bug);
    const char *argv[] = {path_of("wrong", path), word, NULL};
    struct contract_run run = {.argv = argv, .patience_ms = patience_ms, .blind = blind};
    const struct contract_row *found = contract_find(row);
    assert_non_null(found);
    contract_run_row(found, &run);
    return run;
}

static void expect(const struct contract_run *run, const char *row, enum symptom s,
                   enum symptom or_this)
{
    if (run->symptom != s && run->symptom != or_this)
        fail_msg("%s: expected %s, and it is %s: %s: %s", row, symptom_name(s),
                 symptom_name(run->symptom), run->peer_did, run->came_back);
    if (s != HOLDS && (run->peer_did[0] == '\0' || run->came_back[0] == '\0'))
        fail_msg("%s went red without saying why", row);
}

static void holds(const char *bug, const char *row)
{
    struct contract_run run = run_row(bug, row, PATIENCE_MS, false);
    expect(&run, row, HOLDS, SKIPPED);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_bug_makes_its_row_red(void **state)
{
    const struct wrong *w = *state;
    struct contract_run run = run_row(w->bug, w->row, PATIENCE_BROKEN_MS, false);
    if (run.symptom == SKIPPED) {
        print_message("# skip: %s: %s\n", w->bug, run.came_back);
        skip();
    }
    expect(&run, w->row, w->symptom, w->or_this);
    print_message("# red, as it must be: %s: %s: %s\n", w->row, w->bug, run.came_back);
    holds(w->bug, w->other_row);
}

static void without_a_bug_every_row_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < contract_row_count; i++)
        holds("none", contract_rows[i].name);
}

static void what_only_a_release_build_does_wrong_is_seen_there(void **state)
{
    (void)state;
    char usual[PATH_LEN], ndebug[PATH_LEN];
    const char *argv[] = {path_of("bind_in_assert", usual), NULL};
    const char *ndebug_argv[] = {path_of("bind_in_assert_ndebug", ndebug), NULL};
    struct contract_run run = {.argv = argv, .patience_ms = PATIENCE_MS};
    contract_run_row(contract_find("echoes_bytes_in_order"), &run);
    expect(&run, "echoes_bytes_in_order", HOLDS, HOLDS);
    run.ndebug_argv = ndebug_argv;
    run.patience_ms = PATIENCE_BROKEN_MS;
    contract_run_row(contract_find("ndebug_still_serves"), &run);
    expect(&run, "ndebug_still_serves", NOT_STARTED, NOT_SERVED);
}

static void a_leak_is_seen_even_where_nobody_counts_descriptors(void **state)
{
    (void)state;
    struct contract_run run = run_row("leaks", "no_fd_leak", PATIENCE_BROKEN_MS, true);
    expect(&run, "no_fd_leak", LEAKS_DESCRIPTORS, LEAKS_DESCRIPTORS);
    run = run_row("none", "no_fd_leak", PATIENCE_MS, true);
    expect(&run, "no_fd_leak", HOLDS, HOLDS);
    assert_true(run.note[0] != '\0'); /* and it says how it was found */
}

static void where_the_system_tells_nothing_rows_skip_in_words(void **state)
{
    (void)state;
    struct contract_run run = run_row("busy", "idle_costs_nothing", PATIENCE_MS, true);
    expect(&run, "idle_costs_nothing", SKIPPED, SKIPPED);
    assert_true(run.came_back[0] != '\0');
    run = run_row("emfile_spins", "emfile_is_survived", PATIENCE_MS, true);
    expect(&run, "emfile_is_survived", HOLDS, HOLDS);
    assert_true(run.note[0] != '\0');
}

static void a_program_that_is_no_server_is_told_as_such(void **state)
{
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "echo hello", NULL};
    struct contract_run run = {.argv = argv, .patience_ms = PATIENCE_BROKEN_MS, .start_ms = 500};
    contract_run_row(contract_find("echoes_bytes_in_order"), &run);
    expect(&run, "echoes_bytes_in_order", NOT_STARTED, NOT_STARTED);
}

static size_t collect_tests(struct CMUnitTest *tests)
{
    static char names[MAX_TESTS][96];
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(without_a_bug_every_row_holds),
        cmocka_unit_test(what_only_a_release_build_does_wrong_is_seen_there),
        cmocka_unit_test(a_leak_is_seen_even_where_nobody_counts_descriptors),
        cmocka_unit_test(where_the_system_tells_nothing_rows_skip_in_words),
        cmocka_unit_test(a_program_that_is_no_server_is_told_as_such),
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++, n++) {
        (void)snprintf(names[n], sizeof names[n], "%s makes %s red", wrongs[i].bug, wrongs[i].row);
        tests[n] = (struct CMUnitTest){.name = names[n],
                                       .test_func = a_bug_makes_its_row_red,
                                       .initial_state = (void *)(uintptr_t)&wrongs[i]};
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        tests[n++] = others[i];
    return n;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MAX_TESTS];
    const char *slash = strrchr(argc > 0 ? argv[0] : "", '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - argv[0]) : 1,
                   slash != NULL ? argv[0] : ".");
    (void)client_raise_limit();
    return _cmocka_run_group_tests("the contract bites", tests, collect_tests(tests), NULL, NULL);
}
