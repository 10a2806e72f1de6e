/*
 * test_evq: the contract of evq.h, each line of it and each trap as a claim, on every backend of
 * the build.
 *
 * No test knows its backend. EVQ_BACKEND=name runs that one only. The tests stand in tests/evq/,
 * one file for each part of the contract.
 */
#include "evq_case.h"

#include <stdlib.h>

static void the_backend_works_here(void **state)
{
    (void)state;
    skip_because("%s is in this build, but this system does not have it or forbids it", backend);
}

static int run_skipped(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_backend_works_here)};
    return RUN("nothing", tests);
}

static int run_backend(void)
{
    evq_options options = {.backend = backend};
    evq *q;
    if (evq_open(&q, &options) == EVQ_ENOTSUP)
        return run_skipped();
    (void)evq_destroy(q);
    int failed = run_owning();
    failed += run_waiting();
    failed += run_waking();
    failed += run_receiving();
    failed += run_sending();
    failed += run_accepting();
    failed += run_connecting();
    failed += run_timers();
    failed += run_cancelling();
    failed += run_closing();
    failed += run_corners();
    failed += run_locals();
    failed += run_model();
    return failed;
}

int main(void)
{
    const char *only = getenv("EVQ_BACKEND");
    int failed = run_words();
    for (const char *const *name = evq_backends(); *name != NULL; name++) {
        backend = *name;
        if (only == NULL || *only == '\0' || strcmp(only, backend) == 0)
            failed += run_backend();
    }
    return failed;
}
