/*
 * by_table.c: the rows of table.c, one test for each call that the backend makes.
 *
 * A run without a fault counts the calls. Then, row by row, the first of these calls fails, the
 * second, and so on: so each place in the library where the call stands has its turn. There is a
 * bound: what a loop does a hundred times need not fail a hundred times.
 */
#include "faults_case.h"
#include "scenario.h"
#include "table.h"

#include "harness/skip.h"

#include <evq.h>
#include <stdio.h>
#include <string.h>

enum { PLACES_MAX = 8, SPIN_FACTOR = 10, SPIN_ROOM = 2000 };

const char *backend;
bool call_was_made[CALLS];

static struct report plain; /* of the run without a fault */

int announce(void **state)
{
    (void)state;
#ifdef __linux__
    if (backend != NULL && strcmp(backend, "kqueue") == 0)
        (void)printf("# emulated: over epoll\n");
#endif
    (void)fflush(stdout);
    return 0;
}

const char *group_title(const char *name)
{
    static char title[128];
    (void)snprintf(title, sizeof title, "evq%s%s, faults: %s", backend != NULL ? " over " : "",
                   backend != NULL ? backend : "", name);
    return title;
}

/* ---- one fault ------------------------------------------------------------------------------ */

static const char *wrong_in(const struct report *report, const struct row *row)
{
    if (report->trouble[0] != '\0')
        return report->trouble;
    if (report->calls > SPIN_FACTOR * plain.calls + SPIN_ROOM)
        return "it spins";
    if (row->outcome == UNSEEN && report->seen > 0)
        return "it is reported, and should not be";
    if (row->outcome == FAILS && report->seen == 0)
        return "it is not reported";
    if (report->seen > 1)
        return "it is reported more than once";
    if (report->seen == 1 && report->err != row->result)
        return "it is reported as another error";
    if (report->seen == 1 && report->os_err != 0 && report->os_err != row->err &&
        row->call != CALL_PEEK)
        return "os_err has another number";
    return NULL;
}

/* Whether that place was there at all. */
static bool fails_at(const struct row *row, int nth, int *reported)
{
    struct fault fault = {
        .call = row->call, .nth = nth, .times = 1, .err = row->err, .manner = row->manner};
    struct report report;
    scenario_run(&report, backend, &fault, 1, MANY_BYTES);
    if (report.hits == 0 && report.trouble[0] == '\0')
        return false;
    const char *wrong = wrong_in(&report, row);
    if (wrong != NULL)
        fail_msg("%s number %d fails with \"%s\": %s (%d reported, the first by %s: %s, %d)",
                 call_name(row->call), nth, strerror(row->err), wrong, report.seen,
                 report.where != NULL ? report.where : "nobody", evq_strerror(report.err),
                 report.os_err);
    *reported += report.seen;
    return true;
}

static void each_error_of_a_call_comes_out_as_the_table_says(void **state)
{
    enum call call = *(enum call *)*state;
    int rows = 0;
    for (size_t i = 0; i < table_rows; i++) {
        if (table[i].call != call)
            continue;
        int reported = 0;
        for (int nth = 0; nth < PLACES_MAX && fails_at(&table[i], nth, &reported); nth++)
            ;
        if (reported == 0 && table[i].outcome == MAY_FAIL)
            fail_msg("%s fails with \"%s\", and is reported nowhere", call_name(call),
                     strerror(table[i].err));
        rows++;
    }
    assert_true(rows > 0);
}

/* ---- the scenario alone, and in small bites -------------------------------------------------- */

static void the_scenario_comes_to_its_end(void **state)
{
    (void)state;
    assert_string_equal(plain.trouble, "");
    if (plain.seen > 0)
        fail_msg("%s: %s (%d)", plain.where, evq_strerror(plain.err), plain.os_err);
    assert_true(plain.complete);
}

static void bites(enum call call)
{
    struct fault fault = {.call = call, .times = FOR_EVER, .manner = SHORT};
    struct report report;
    if (plain.counts[call] == 0)
        return;
    scenario_run(&report, backend, &fault, 1, FEW_BYTES);
    assert_string_equal(report.trouble, "");
    assert_int_equal(report.seen, 0);
    assert_true(report.hits > FEW_BYTES / 2);
}

static void sends_that_take_one_byte_at_a_time_send_all(void **state)
{
    (void)state;
    bites(CALL_SEND);
    bites(CALL_CQE_SEND);
}

static void reads_that_give_one_byte_at_a_time_give_all(void **state)
{
    (void)state;
    bites(CALL_RECV);
    bites(CALL_CQE_RECV);
}

static void both_at_once_lose_nothing(void **state)
{
    struct fault faults[] = {{.call = CALL_SEND, .times = FOR_EVER, .manner = SHORT},
                             {.call = CALL_CQE_SEND, .times = FOR_EVER, .manner = SHORT},
                             {.call = CALL_RECV, .times = FOR_EVER, .manner = SHORT},
                             {.call = CALL_CQE_RECV, .times = FOR_EVER, .manner = SHORT}};
    struct report report;
    (void)state;
    scenario_run(&report, backend, faults, sizeof faults / sizeof faults[0], FEW_BYTES);
    assert_string_equal(report.trouble, "");
    assert_int_equal(report.seen, 0);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void the_backend_works_here(void **state)
{
    (void)state;
    skip_because("%s is in this build, but this system does not have it or forbids it", backend);
}

int run_not_here(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_backend_works_here)};
    return RUN("nothing", tests);
}

static bool has_rows(enum call call)
{
    for (size_t i = 0; i < table_rows; i++)
        if (table[i].call == call)
            return true;
    return false;
}

int run_table(void)
{
    static struct CMUnitTest tests[CALLS + 4];
    static char test_names[CALLS][80];
    static enum call calls[CALLS];
    size_t n = 0;
    scenario_run(&plain, backend, NULL, 0, MANY_BYTES);
    memset(tests, 0, sizeof tests);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_scenario_comes_to_its_end);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(sends_that_take_one_byte_at_a_time_send_all);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(reads_that_give_one_byte_at_a_time_give_all);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(both_at_once_lose_nothing);
    for (int i = 0; i < CALLS; i++) {
        if (plain.counts[i] == 0)
            continue;
        call_was_made[i] = true;
        if (!has_rows((enum call)i))
            continue;
        calls[i] = (enum call)i;
        (void)snprintf(test_names[i], sizeof test_names[i],
                       "each_error_of_%s_comes_out_as_documented", call_name(calls[i]));
        tests[n].name = test_names[i];
        tests[n].test_func = each_error_of_a_call_comes_out_as_the_table_says;
        tests[n++].initial_state = &calls[i];
    }
    return _cmocka_run_group_tests(group_title("each call, each error"), tests, n, announce, NULL);
}
