/*
 * test_evq_faults: evq on a kernel that fails, call by call and error by error.
 *
 * On each POSIX backend of the build, for each call that the library makes and each error of its
 * man page: the scenario (evq_faults/scenario.h) is run once for each place where that call is
 * made, and there it fails. evq_faults/table.c says what must come of it. EVQ_BACKEND=name runs
 * that backend only.
 *
 * It needs a linker that has --wrap. Apple's has not: there this says so and skips.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/skip.h"

#include "evq_faults/faults_case.h"

#include <evq.h>
#include <stdlib.h>
#include <string.h>

#ifdef CAN_WRAP

static int backends_ran;

static int run_backend(void)
{
    evq_options options = {.backend = backend};
    evq *q;
    if (evq_open(&q, &options) == EVQ_ENOTSUP)
        return run_not_here();
    (void)evq_destroy(q);
    backends_ran++;
    return run_table() + run_bounds() + run_causes() + run_ring();
}

int main(int argc, char **argv)
{
    const char *only = getenv("EVQ_BACKEND");
    int failed = 0;
    (void)argc;
    for (const char *const *name = evq_backends(); *name != NULL; name++) {
        backend = *name;
        if (only == NULL || *only == '\0' || strcmp(only, backend) == 0)
            failed += run_backend();
    }
    backend = NULL;
    return failed + run_whole(argv[0], backends_ran);
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
    return cmocka_run_group_tests_name("evq: faults", tests, NULL, NULL);
}

#endif
