/*
 * skip: a cmocka test that cannot run here says why.
 *
 * cmocka's skip() carries no reason. The runner (tests/run.sh) takes it from a line
 * "# skip: TEST: reason", printed before. Include after cmocka.h.
 */
#ifndef HARNESS_SKIP_H
#define HARNESS_SKIP_H

#include <stdio.h>

/** skip_because("this system does not tell how many threads a process has"), printf-like. */
#define skip_because(...)                       \
    do {                                        \
        (void)printf("# skip: %s: ", __func__); \
        (void)printf(__VA_ARGS__);              \
        (void)printf("\n");                     \
        (void)fflush(stdout);                   \
        skip();                                 \
    } while (0)

#endif
