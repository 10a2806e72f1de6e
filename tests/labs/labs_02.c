/*
 * What the figures of chapter 02's labs must show: relations, never absolute times.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void useless_calls_grow_with_the_idle(const char *text)
{
    double best = figure(text, "best_useless_per_byte_100");
    double nap = figure(text, "nap_useless_per_byte_100");
    assert_true(best >= 5 * figure(text, "best_useless_per_byte_10"));
    assert_true(figure(text, "best_useless_per_byte_1000") >= 5 * best);
    assert_true(nap >= 3 * figure(text, "nap_useless_per_byte_10"));
    assert_true(figure(text, "nap_useless_per_byte_1000") >= 3 * nap);
    assert_true(figure(text, "spin_useless_per_byte_10") > figure(text, "nap_useless_per_byte_10"));
}

static void so_error_tells_what_writable_does_not(const char *text)
{
    word_is(text, "works_writable", "yes");
    word_is(text, "works_so_error", "0");
    word_is(text, "refused_writable", "yes");
    word_is(text, "refused_so_error", "ECONNREFUSED");
    word_is(text, "refused_so_error_again", "0");
    if (strstr(text, "This system refuses") != NULL)
        return;
    word_is(text, "full_writable", "no");
    word_is(text, "full_so_error", "0");
    assert_true(figure(text, "full_waited_ms") >= 900);
}

const struct lab_case labs_02[] = {
    {"02/useless_calls", "02_nonblocking", useless_calls_grow_with_the_idle},
    {"02/nonblocking_connect", "02_nonblocking", so_error_tells_what_writable_does_not},
    {NULL, NULL, NULL},
};
