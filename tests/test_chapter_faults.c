/*
 * test_chapter_faults: the steps of the chapters on a kernel that fails.
 *
 * Each call that a step makes, each error of its man page, each of the first places where the call
 * is made: one run of the scenario (chapter_faults/scenario.h) for each. That is some thousands, so
 * `make test` runs as many as fit into FAULTS_SECONDS (60), first those at the first places of all
 * rows; FAULTS_SECONDS=0 is for all (`make faults`), and they are compared with the page
 * chapter_faults/README.md. What comes of some depends on the moment, so a part of the runs is
 * judged by table.c alone. With the argument "table" all are run, and that page is written. Words
 * such as 04/2 choose steps. FAULTS_ONE = "CALL NAME:ERROR:PLACE" repeats one run, and shows what
 * the step said.
 *
 * Run it from the root of the repository. The builds of the steps are in the folder faulty/ beside
 * it. It needs a linker that has --wrap. Apple's has not: there this says so and skips. The Windows
 * programs of chapter 06 are run by Wine, or skipped in words. A run of one takes much
 * longer, so they have half of FAULTS_SECONDS for themselves; what tells most stands first in their
 * part of the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/skip.h"

#include "chapter_faults/scenario.h"
#include "chapter_faults/sheet.h"
#include "chapter_faults/subject.h"
#include "chapter_faults/table.h"

#include "harness/clock.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CAN_WRAP

#define PAGE "tests/chapter_faults/README.md"

enum { USUAL_SECONDS = 60, TELL_MAX = 5, PATH_LEN = 1100, SYMBOL_LEN = 128 };

/* Which of the calls of one kind fail: the first ones, and then further and further apart. */
static const int places[] = {0, 1, 2, 5, 13};
enum { PLACES = sizeof places / sizeof places[0] };
static const struct script usual_script = {.bytes = MANY_BYTES};

static struct subject subjects[SUBJECTS_MAX];
static size_t subject_count, chosen_count[2]; /* [1]: Windows programs */
static struct sheet found, page;
static bool page_is_there, is_whole;
static int runs;

/* ---- one run --------------------------------------------------------------------------------- */

struct plan {
    const struct subject *subject;
    struct baseline usual, rested; /* without a fault; and when the second accept said EMFILE */
    bool over[ROWS_MAX];           /* its call has no further place */
    bool makes[CALLS];             /* without a fault, or while the listener rests */
    int64_t until_ns;              /* 0: for ever */
    int told;
};

static bool can_be_told(const struct plan *plan, const struct row *row)
{
    return plan->makes[row->call] &&
           !(row->needs == NO_BLOCKING_RECV && plan->subject->recv_blocks) &&
           !(row->needs == NO_BLOCKING_ACCEPT && plan->subject->accept_blocks);
}

static size_t faults_of(const struct row *row, int nth, struct fault faults[2])
{
    faults[0] = (struct fault){
        .call = row->call, .nth = nth, .times = row->times, .manner = row->manner, .err = row->err};
    faults[1] = (struct fault){.call = CALL_ACCEPT, .nth = 1, .times = 1, .err = EMFILE};
    return row->needs == AFTER_EMFILE ? 2 : 1;
}

static void run(const struct plan *plan, const struct row *row, int nth, struct report *report)
{
    struct fault faults[2];
    size_t count = faults_of(row, nth, faults);
    bool is_slow = row->manner == BY_ONE && row->call != CALL_TOTALS;
    struct script script = {.bytes = is_slow ? FEW_BYTES : MANY_BYTES};
    struct baseline baseline = count == 2 ? plan->rested : plan->usual;
    if (is_slow)
        baseline.calls += 2 * 4 * FEW_BYTES; /* a call, and perhaps a wait, for each byte */
    runs++;
    if (scenario_run(plan->subject, faults, count, &script, &baseline, report) < 0)
        fail_msg("%s is not there", plan->subject->program);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* The first recv has bytes to lose, and the first change of a knote a client that still talks. A
 * later one may be that which would have found the end, and then nobody misses the client: which
 * one it is depends on how fast everybody was. */
static int may_come_of(size_t row, int nth)
{
    enum call call = table[row].call;
    bool receives = call == CALL_RECV || call == CALL_KEVENT_CHANGE || call == WIN_RECV ||
                    call == WIN_RECV_SUBMIT || call == WIN_RECV_ENDS;
    bool late = receives && nth > 0 && (table[row].may & ONE_LOST) != 0;
    return table[row].may | (late ? UNSEEN : 0);
}

/* What the page does not have. That nobody noticed depends on the moment, and is no news. */
static int news(size_t row, size_t which, int outcome)
{
    return page_is_there ? outcome & ~page.cell[row][which] & ~UNSEEN : 0;
}

static const char *verdict_on(size_t row, size_t which, int nth, const struct report *report)
{
    if (report->trouble[0] != '\0')
        return report->trouble;
    if ((report->outcome & may_come_of(row, nth)) == 0)
        return "that must not come of it (table.c)";
    if (news(row, which, report->outcome) != 0)
        return "the page " PAGE " does not have that (make fault-table)";
    return NULL;
}

/* False when there is no such place. */
static bool try_place(struct plan *plan, size_t row, int nth)
{
    struct report report;
    char letters[8];
    size_t which = (size_t)(plan->subject - subjects);
    run(plan, &table[row], nth, &report);
    if (report.hits == 0 && report.trouble[0] == '\0')
        return false;
    found.cell[row][which] |= report.outcome;
    const char *wrong = verdict_on(row, which, nth, &report);
    if (wrong != NULL && plan->told++ < TELL_MAX)
        print_message("%s: '%s:%s:%d' comes out as \"%s\": %s\n", plan->subject->name,
                      call_name(table[row].call), table[row].name, nth,
                      sheet_letters(report.outcome, letters, sizeof letters), wrong);
    return true;
}

static bool time_is_over(const struct plan *plan)
{
    return plan->until_ns != 0 && clock_now_ns() >= plan->until_ns;
}

static void try_all(struct plan *plan)
{
    for (int i = 0; i < PLACES; i++) {
        for (size_t row = 0; row < table_rows; row++) {
            if (plan->over[row] || !can_be_told(plan, &table[row]))
                continue;
            if (time_is_over(plan))
                return;
            plan->over[row] = !try_place(plan, row, places[i]) || table[row].times == FOR_EVER;
        }
    }
}

/* ---- all accepts at rest --------------------------------------------------------------------- */

static int error_of(enum call call, const char *name)
{
    for (size_t row = 0; row < table_rows; row++)
        if (table[row].call == call && strcmp(table[row].name, name) == 0)
            return table[row].err;
    fail_msg("table.c has no %s of %s", name, call_name(call));
    return 0;
}

/* A server with AcceptEx has several in flight, and lays one aside for a while when there is no
 * memory for it. The places above are too few to meet all of them: who comes after the last one?
 */
static void try_all_accepts(struct plan *plan)
{
    enum { SLOTS = 16 }; /* as many as steps 5 and 6 have */
    const struct script script = {.bytes = FEW_BYTES, .more = SLOTS + 4};
    const struct fault fault = {.call = WIN_ACCEPT_SUBMIT,
                                .nth = SLOTS,
                                .times = SLOTS,
                                .err = error_of(WIN_ACCEPT_SUBMIT, "WSAENOBUFS")};
    struct report report;
    runs++;
    (void)scenario_run(plan->subject, &fault, 1, &script, &plan->usual, &report);
    if (report.outcome != UNSEEN || report.hits != SLOTS)
        fail_msg("all accepts of %s had to rest (%d times), and then: %s", plan->subject->name,
                 report.hits, report.trouble);
}

/* ---- late ------------------------------------------------------------------------------------ */

/* Whoever makes one of these calls goes on late: what it has let loose is served, and over, before
 * it does what comes next. Threads that share their clients have to be right in that order, too. */
static void try_all_late(struct plan *plan)
{
    static const enum call calls[] = {CALL_EPOLL_ADD, CALL_EPOLL_MOD, CALL_KEVENT_NOW, CALL_CLOSE};
    enum { LATE_CALLS = sizeof calls / sizeof calls[0] };
    const struct script script = {.bytes = FEW_BYTES, .more = 8};
    struct fault faults[LATE_CALLS];
    struct report report;
    for (int i = 0; i < LATE_CALLS; i++)
        faults[i] = (struct fault){.call = calls[i], .times = FOR_EVER, .manner = LATE};
    runs++;
    (void)scenario_run(plan->subject, faults, LATE_CALLS, &script, &plan->usual, &report);
    if (report.outcome != UNSEEN)
        fail_msg("%s goes on late after some calls, and then: %s", plan->subject->name,
                 report.trouble);
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* 0: as many as it takes. */
static double seconds_given(void)
{
    const char *text = getenv("FAULTS_SECONDS");
    return text != NULL ? strtod(text, NULL) : USUAL_SECONDS;
}

static int64_t share_ns(const struct subject *subject)
{
    bool windows = subject->step->windows;
    return (int64_t)(seconds_given() * 1e9 / (windows ? 2 : 1) / (double)chosen_count[windows]);
}

static void note_calls(struct plan *plan, const struct report *report)
{
    for (int i = 0; i < CALLS; i++)
        plan->makes[i] = plan->makes[i] || report->counts[i] > 0;
}

/* Without a fault it must come out as the page says nothing about: whole. */
static void find_baselines(struct plan *plan)
{
    static const struct fault full = {.call = CALL_ACCEPT, .nth = 1, .times = 1, .err = EMFILE};
    struct report report;
    if (scenario_run(plan->subject, NULL, 0, &usual_script, NULL, &report) < 0)
        fail_msg("%s is not there", plan->subject->program);
    if (report.outcome != UNSEEN)
        fail_msg("without a fault: %s", report.trouble);
    plan->usual = report.had;
    note_calls(plan, &report);
    (void)scenario_run(plan->subject, &full, 1, &usual_script, NULL, &report);
    plan->rested = report.had;
    note_calls(plan, &report);
}

static void whatever_fails_the_contract_holds_or_it_says_why(void **state)
{
    struct plan plan = {.subject = *state};
    int64_t share = is_whole ? 0 : share_ns(plan.subject);
    plan.until_ns = share > 0 ? clock_now_ns() + share : 0;
    find_baselines(&plan);
    if (plan.makes[WIN_ACCEPT_SUBMIT])
        try_all_accepts(&plan);
    if (!plan.subject->step->windows)
        try_all_late(&plan);
    try_all(&plan);
    if (plan.told > 0)
        fail_msg("%d runs of %s came out wrong", plan.told, plan.subject->name);
}

static void the_page_has_what_came_out(void **state)
{
    (void)state;
    for (size_t row = 0; row < table_rows; row++)
        for (size_t i = 0; i < subject_count; i++)
            if (news(row, i, found.cell[row][i]) != 0)
                fail_msg("%s, %s %s: not as in " PAGE ": make fault-table", subjects[i].name,
                         call_name(table[row].call), table[row].name);
}

/* ---- whether anything was forgotten ---------------------------------------------------------- */

#ifndef WRAPPED_CALLS
#define WRAPPED_CALLS   "" /* who only reads this file, as lint does */
#define WRAPPED_WINDOWS ""
#endif

static char objects[PATH_LEN - 16]; /* the folder of the steps' objects */

static bool symbol_is_known(const char *symbol, const char *wrapped)
{
    char word[SYMBOL_LEN + 2];
    (void)snprintf(word, sizeof word, " %s ", symbol);
    for (size_t i = 0; left_out[i].symbol != NULL; i++)
        if (strcmp(left_out[i].symbol, symbol) == 0)
            return true;
    return symbol[0] == '_' || strstr(wrapped, word) != NULL; /* _: put in by the compiler */
}

/* What one object calls and another one has is the steps' own. Windows: a call into a DLL goes
 * through a pointer, __imp_NAME. How many calls there are. */
static int expect_known(const char *nm, const char *folder, const char *wrapped)
{
    char command[2 * PATH_LEN + 512], symbol[SYMBOL_LEN];
    int known = 0;
    (void)snprintf(command, sizeof command,
                   "%s '%s'/*/*.o '%s'/*/*/*.o 2>/dev/null | awk '{ sub(\"__imp_\", \"\") } "
                   "$1 == \"U\" { called[$2] } "
                   "NF == 3 { own[$3] } END { for (s in called) if (!(s in own)) print s }'",
                   nm, folder, folder);
    FILE *names = popen(command, "r");
    assert_non_null(names);
    for (; fscanf(names, "%127s", symbol) == 1; known++)
        if (!symbol_is_known(symbol, wrapped))
            fail_msg("a step calls %s, and no fault knows it", symbol);
    (void)pclose(names);
    return known;
}

static void each_call_that_a_step_makes_can_be_made_to_fail(void **state)
{
    (void)state;
    /* The names that are wrapped come from the Makefile. */
    if (expect_known("nm", objects, " " WRAPPED_CALLS " ") == 0)
        skip_because("there is no nm here");
}

static void each_call_of_a_windows_step_can_be_made_to_fail(void **state)
{
    char folder[PATH_LEN];
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s_windows", objects);
    if (subjects_why_no_windows() != NULL)
        skip_because("%s", subjects_why_no_windows());
    if (expect_known("x86_64-w64-mingw32-nm", folder, " " WRAPPED_WINDOWS " ") == 0)
        skip_because("there is no x86_64-w64-mingw32-nm here");
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Without words: all of them. */
static bool is_chosen(char **names, const char *step)
{
    bool chosen = *names == NULL;
    for (; *names != NULL; names++)
        chosen = chosen || strcmp(*names, step) == 0;
    return chosen;
}

static int run_chosen(char **names, bool windows)
{
    static struct CMUnitTest tests[SUBJECTS_MAX + 3];
    static char titles[SUBJECTS_MAX][80];
    size_t n = 0;
    for (size_t i = 0; i < subject_count; i++) {
        if (!is_chosen(names, subjects[i].name))
            continue;
        (void)snprintf(titles[n], sizeof titles[n], "%s_keeps_the_contract_or_says_why",
                       subjects[i].name);
        tests[n] = (struct CMUnitTest)cmocka_unit_test_prestate(
            whatever_fails_the_contract_holds_or_it_says_why, &subjects[i]);
        tests[n].name = titles[n];
        n++;
        chosen_count[subjects[i].step->windows]++;
    }
    if (page_is_there)
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_page_has_what_came_out);
    tests[n++] =
        (struct CMUnitTest)cmocka_unit_test(each_call_that_a_step_makes_can_be_made_to_fail);
    if (windows)
        tests[n++] =
            (struct CMUnitTest)cmocka_unit_test(each_call_of_a_windows_step_can_be_made_to_fail);
    return _cmocka_run_group_tests("the steps, faults", tests, n, NULL, NULL);
}

/* A word with a mistake in it must not look like a step that holds. */
static bool names_nothing(char **names)
{
    bool nothing = true;
    for (size_t i = 0; i < subject_count; i++)
        nothing = nothing && !is_chosen(names, subjects[i].name);
    return nothing;
}

/* "CALL:ERROR:PLACE", as it was told. */
static int repeat(const char *one)
{
    char call[64], err[64];
    int nth = 0, status = 1;
    struct plan plan = {.subject = subjects};
    struct report report;
    if (sscanf(one, "%63[^:]:%63[^:]:%d", call, err, &nth) != 3)
        return 2;
    for (size_t row = 0; row < table_rows; row++) {
        if (strcmp(call_name(table[row].call), call) != 0 || strcmp(table[row].name, err) != 0)
            continue;
        find_baselines(&plan);
        run(&plan, &table[row], nth, &report);
        (void)printf("%s %s: hits %d, outcome %d, %s\n", call, err, report.hits, report.outcome,
                     report.trouble);
        status = 0;
    }
    return status;
}

/* To ask whether Windows programs run here starts Wine: not for those who want another chapter. */
static bool wants_windows(char **names)
{
    bool wants = *names == NULL;
    for (; *names != NULL; names++)
        wants = wants || strncmp(*names, "06", 2) == 0 || strstr(*names, "iocp") != NULL;
    return wants;
}

int main(int argc, char **argv)
{
    char self[PATH_LEN - 64], folder[PATH_LEN];
    const char *one = getenv("FAULTS_ONE");
    char **names = argv + (argc > 0);
    (void)snprintf(self, sizeof self, "%s", argv[0]);
    const char *build = dirname(self);
    (void)snprintf(folder, sizeof folder, "%s/faulty", build);
    (void)snprintf(objects, sizeof objects, "%s/obj/faulty", build);
    if (scenario_open() < 0)
        return 1;
    (void)atexit(scenario_close);
    is_whole = *names != NULL && strcmp(*names, "table") == 0;
    names += is_whole;
    bool windows = wants_windows(names);
    subject_count = subjects_find(subjects, folder, windows && subjects_why_no_windows() == NULL);
    found = page = (struct sheet){.subjects = subjects, .subject_count = subject_count};
#ifdef __linux__
    page_is_there = !is_whole && !(seconds_given() > 0) && sheet_read(&page, PAGE) == 0;
#endif
    for (size_t i = 0; one != NULL && i < subject_count; i++) {
        if (*names != NULL && strcmp(*names, subjects[i].name) == 0) {
            subjects[0] = subjects[i];
            return repeat(one);
        }
    }
    if (names_nothing(names) && (windows || !wants_windows(names))) {
        (void)fprintf(stderr, "test_chapter_faults: no step is called so: such words are 04/2, "
                              "\"07/6 iocp\"\n");
        return 2;
    }
    int failed = run_chosen(names, windows);
    FILE *out = is_whole ? fdopen(3, "w") : NULL; /* stdout is the tests' */
    if (out != NULL)
        sheet_write(&found, out);
    (void)printf("# %d runs\n", runs);
    return failed;
}

#else

static void each_call_fails_once(void **state)
{
    (void)state;
    skip_because("this system's linker has no --wrap");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_call_fails_once)};
    return cmocka_run_group_tests_name("the steps, faults", tests, NULL, NULL);
}

#endif
