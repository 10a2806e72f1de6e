/*
 * What the figures of chapter 07's lab must show. What a send of 0 bytes does is documented
 * nowhere, so its figure is not judged.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_receive_of_nothing_is_level_triggered(const char *text)
{
    word_is(text, "reported_before", "no");
    word_is(text, "reported_the_second", "yes");
    word_is(text, "reported_the_first", "no");
    assert_true(figure(text, "bytes_read") == 5);
    assert_true(figure(text, "told_again") == 4);
    word_is(text, "reported", "yes");
    assert_true(figure(text, "recv_returned") == 0);
    assert_true(figure(text, "bytes_that_fitted") > 0);
}

const struct lab_case labs_07[] = {
    {"07/readiness_out_of_completion", "07_crossplatform", a_receive_of_nothing_is_level_triggered},
    {NULL, NULL, NULL},
};
