/*
 * words: what does not depend on a backend: the errors, the names, the sizes.
 */
#include "evq_case.h"

#include <evq_platform.h>
#include <limits.h>
#include <stdlib.h>

/* ---- errors --------------------------------------------------------------------------------- */

static void every_error_has_words_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < EVQ_ERRORS; i++) {
        assert_non_null(evq_strerror(-i));
        assert_true(strlen(evq_strerror(-i)) > 3);
        assert_string_not_equal(evq_strerror(-i), evq_strerror(1)); /* which is none */
        for (int j = 0; j < i; j++)
            assert_string_not_equal(evq_strerror(-i), evq_strerror(-j));
    }
}

static void what_is_no_error_has_words_too(void **state)
{
    static const int wrong[] = {1, -EVQ_ERRORS, -1000, INT_MAX, INT_MIN};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_string_equal(evq_strerror(wrong[i]), "no error of evq");
}

static void every_entry_of_the_table_is_found(void **state)
{
    (void)state;
    assert_true(evq_os_errors_count > 0);
    for (size_t i = 0; i < evq_os_errors_count; i++) {
        assert_int_equal(evq_error_of(evq_os_errors[i].os_err), evq_os_errors[i].err);
        assert_true(evq_os_errors[i].err < 0 && evq_os_errors[i].err > -EVQ_ERRORS);
        assert_int_not_equal(evq_os_errors[i].os_err, 0);
    }
}

static void the_table_means_what_evq_h_says(void **state)
{
    (void)state;
    size_t count;
    const struct evq_os_error *expected = system_expected_errors(&count);
    for (size_t i = 0; i < count; i++)
        if (evq_error_of(expected[i].os_err) != expected[i].err)
            fail_msg("%d is \"%s\"", expected[i].os_err,
                     evq_strerror(evq_error_of(expected[i].os_err)));
    assert_int_equal(count, evq_os_errors_count); /* a new entry wants a line here, too */
}

static void an_unknown_error_is_an_input_output_error(void **state)
{
    (void)state;
    assert_int_equal(evq_error_of(0), EVQ_OK);
    assert_int_equal(evq_error_of(987654), EVQ_EIO);
    assert_int_equal(evq_error_of(-5), EVQ_EIO);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void a_backend_that_is_not_there_is_invalid(void **state)
{
    evq_options options = {.backend = "no such thing"};
    evq *q = NULL;
    (void)state;
    assert_int_equal(evq_open(&q, &options), EVQ_EINVAL);
    assert_null(q);
}

static void the_best_backend_that_works_is_the_default(void **state)
{
    evq *q;
    (void)state;
    char *named = getenv("EVQ_BACKEND");
    if (named != NULL && *named != '\0')
        skip_because("EVQ_BACKEND says which one");
    const char *const *names = evq_backends();
    assert_int_equal(evq_open(&q, NULL), EVQ_OK);
    const char *best = evq_backend_name(q);
    assert_int_equal(evq_destroy(q), EVQ_OK);
    for (; strcmp(*names, best) != 0; names++) { /* those before it do not work here */
        evq_options options = {.backend = *names};
        assert_int_equal(evq_open(&q, &options), EVQ_ENOTSUP);
    }
}

static void the_version_is_that_of_the_header(void **state)
{
    char *end;
    (void)state;
    assert_int_equal(strtol(evq_version(), &end, 10), EVQ_VERSION_MAJOR);
    assert_int_equal(strtol(end + 1, &end, 10), EVQ_VERSION_MINOR);
    assert_int_equal(strtol(end + 1, &end, 10), EVQ_VERSION_PATCH);
    assert_int_equal(*end, '\0');
}

static void an_operation_and_a_socket_are_small(void **state)
{
    (void)state;
    assert_true(sizeof(evq_op) <= 120);
    assert_true(sizeof(evq_sock) <= 112);
}

int run_words(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_words_of_its_own),
        cmocka_unit_test(what_is_no_error_has_words_too),
        cmocka_unit_test(every_entry_of_the_table_is_found),
        cmocka_unit_test(the_table_means_what_evq_h_says),
        cmocka_unit_test(an_unknown_error_is_an_input_output_error),
        cmocka_unit_test(a_backend_that_is_not_there_is_invalid),
        cmocka_unit_test(the_best_backend_that_works_is_the_default),
        cmocka_unit_test(the_version_is_that_of_the_header),
        cmocka_unit_test(an_operation_and_a_socket_are_small),
    };
    return cmocka_run_group_tests_name("evq: words", tests, announce, NULL);
}
