/*
 * whole.c: whether anything was forgotten: a call that the library makes and that no fault knows,
 * or a fault that never had its turn.
 */
#include "faults_case.h"
#include "table.h"

#include "harness/skip.h"

#include <errno.h>
#include <evq.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POSIX_BACKENDS = 4 }; /* epoll, io_uring, poll, kqueue */
enum { PATH_LEN = 1024, COMMAND_LEN = 1200, SYMBOL_LEN = 128 };

#ifndef WRAPPED_CALLS
#define WRAPPED_CALLS "" /* who only reads this file, as lint does */
#endif

static const char wrapped[] = " " WRAPPED_CALLS " "; /* from the Makefile, by their names */
static char objects[PATH_LEN];                       /* the folder of the library's objects */
static int backends_ran;

/* What the compiler puts in, and the library's own. */
static bool symbol_is_no_call(const char *symbol)
{
    return symbol[0] == '_' || strncmp(symbol, "evq_", 4) == 0;
}

static bool symbol_is_wrapped(const char *symbol)
{
    char word[SYMBOL_LEN + 2];
    (void)snprintf(word, sizeof word, " %s ", symbol);
    return strstr(wrapped, word) != NULL;
}

static bool symbol_is_left_out(const char *symbol)
{
    for (size_t i = 0; left_out[i].symbol != NULL; i++)
        if (strcmp(left_out[i].symbol, symbol) == 0)
            return true;
    return false;
}

static void each_call_that_the_library_makes_can_be_made_to_fail(void **state)
{
    char command[COMMAND_LEN], symbol[SYMBOL_LEN];
    int known = 0;
    (void)state;
    (void)snprintf(command, sizeof command, "nm -u '%s'/*.o 2>/dev/null", objects);
    FILE *names = popen(command, "r");
    assert_non_null(names);
    while (fscanf(names, " U %127s", symbol) == 1 || fscanf(names, "%127s", symbol) == 1) {
        size_t len = strlen(symbol);
        if (symbol[len - 1] == ':' || symbol_is_no_call(symbol))
            continue;
        if (!symbol_is_wrapped(symbol) && !symbol_is_left_out(symbol))
            fail_msg("the library calls %s, and no fault knows it", symbol);
        known++;
    }
    (void)pclose(names);
    if (known == 0)
        skip_because("there is no nm here");
}

static void each_call_of_the_table_had_its_turn(void **state)
{
    (void)state;
    if (backends_ran < POSIX_BACKENDS)
        skip_because("each has its turn only where all of epoll, io_uring, poll and kqueue run");
    for (int i = 0; i < CALLS; i++)
        if (!call_was_made[i])
            fail_msg("%s was never called", call_name((enum call)i));
}

/* ---- which backend is taken ------------------------------------------------------------------ */

static const enum call first_calls[] = {CALL_EPOLL_CREATE, CALL_RING_SETUP, CALL_KQUEUE};
enum { FIRST_CALLS = sizeof first_calls / sizeof first_calls[0] };

static void let_them_fail(int err)
{
    faults_reset();
    for (int i = 0; i < FIRST_CALLS; i++)
        faults_add((struct fault){first_calls[i], 0, FOR_EVER, err, INSTEAD});
}

/* poll stands last on each system but for what is emulated, and everywhere it works. */
static void where_nothing_better_works_poll_is_taken(void **state)
{
    evq *q = NULL;
    (void)state;
    if (getenv("EVQ_BACKEND") != NULL)
        skip_because("EVQ_BACKEND asks for one backend");
    long blocks = faults_blocks();
    let_them_fail(ENOSYS);
    int err = evq_open(&q, NULL), hits = faults_hits();
    faults_reset();
    assert_int_equal(err, EVQ_OK);
    assert_string_equal(evq_backend_name(q), "poll");
    assert_true(hits > 0);
    assert_int_equal(evq_destroy(q), EVQ_OK);
    assert_true(faults_blocks() == blocks);
}

/* The next one would fail, too, or work with the last descriptor: neither is what was wanted. */
static void out_of_descriptors_no_other_backend_is_taken(void **state)
{
    evq *q = NULL;
    (void)state;
    if (getenv("EVQ_BACKEND") != NULL)
        skip_because("EVQ_BACKEND asks for one backend");
    let_them_fail(EMFILE);
    int err = evq_open(&q, NULL), hits = faults_hits();
    faults_reset();
    assert_int_equal(err, EVQ_EMFILE);
    assert_null(q);
    assert_int_equal(hits, 1);
}

int run_whole(const char *program, int backends)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_that_the_library_makes_can_be_made_to_fail),
        cmocka_unit_test(each_call_of_the_table_had_its_turn),
        cmocka_unit_test(where_nothing_better_works_poll_is_taken),
        cmocka_unit_test(out_of_descriptors_no_other_backend_is_taken),
    };
    char self[PATH_LEN - 32];
    (void)snprintf(self, sizeof self, "%s", program);
    (void)snprintf(objects, sizeof objects, "%s/obj/evq_faulty", dirname(self));
    backends_ran = backends;
    return RUN("whole", tests);
}
