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

static bool is_chosen(const char *name, bool rings)
{
    const char *only = getenv("EVQ_BACKEND");
    bool is_named = only == NULL || *only == '\0' || strcmp(only, name) == 0;
    return is_named && (strcmp(name, "io_uring") == 0) == rings;
}

static int run_backends(bool rings)
{
    int failed = 0;
    for (const char *const *name = evq_backends(); *name != NULL; name++) {
        backend = *name;
        if (is_chosen(backend, rings))
            failed += run_backend();
    }
    return failed;
}

/* Rings last. Some time after a ring is closed the kernel has a word with the thread that used it,
 * and this ends an epoll_wait() with EINTR, without any signal (Axboe, liburing issue 504; here,
 * Linux 6.18: one for each ring). evq_wait() may return 0 then, and would be called too early. */
int main(void)
{
    int failed = run_backends(false);
    failed += run_backends(true);
    return failed + run_words();
}
