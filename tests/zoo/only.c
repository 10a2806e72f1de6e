/*
 * only: lets a test program run a few of its tests.
 *
 * cmocka can choose tests, but only from inside the program, and only by one pattern. The zoo
 * builds the test programs with -D_cmocka_run_group_tests=only_run_group_tests, and so each group
 * of tests comes by here: what TEST_ONLY names (names, separated by commas) goes on to cmocka.
 * Without TEST_ONLY all of them do. A group in which nothing was chosen is not run at all.
 *
 * A line "# only: N" says that N tests were chosen: so a name that does not exist is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int only_run_group_tests(const char *title, const struct CMUnitTest *tests, size_t count,
                         CMFixtureFunction setup, CMFixtureFunction teardown);

static bool is_chosen(const char *name, const char *only)
{
    size_t len = strlen(name);
    for (const char *at = only; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

int only_run_group_tests(const char *title, const struct CMUnitTest *tests, size_t count,
                         CMFixtureFunction setup, CMFixtureFunction teardown)
{
    const char *only = getenv("TEST_ONLY");
    if (only == NULL || *only == '\0')
        return _cmocka_run_group_tests(title, tests, count, setup, teardown);
    struct CMUnitTest *chosen = calloc(count + 1, sizeof *chosen); /* 0 bytes might be NULL */
    size_t n = 0;
    if (chosen == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (is_chosen(tests[i].name, only))
            chosen[n++] = tests[i];
    if (n > 0)
        (void)printf("# only: %lu\n", (unsigned long)n);
    (void)fflush(stdout);
    int failed = n > 0 ? _cmocka_run_group_tests(title, chosen, n, setup, teardown) : 0;
    free(chosen);
    return failed;
}
