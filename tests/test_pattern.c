/*
 * test_pattern: the harness' clock.h and pattern.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes.h"
#include "harness/pattern.h"

#include <stdlib.h>

/* ---- Clock ------------------------------------------------------------------------------- */

static void slowdown_scales_deadlines(void **state)
{
    (void)state;
    assert_int_equal(setenv("TEST_SLOWDOWN", "3", 1), 0);
    int left = deadline_left_ms(deadline_in_ms(100000));
    assert_in_range(left, 200000, 300000);
    assert_int_equal(setenv("TEST_SLOWDOWN", "0.5", 1), 0);
    left = deadline_left_ms(deadline_in_ms(100000));
    assert_in_range(left, 20000, 50000);
}

static void slowdown_that_is_no_number_is_one(void **state)
{
    static const char *const texts[] = {"", "abc", "-2", "0", "2x", "inf", "nan", "1e300"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(setenv("TEST_SLOWDOWN", texts[i], 1), 0);
        assert_true(clock_slowdown() == 1.0);
    }
}

static int restore_slowdown(void **state)
{
    const char *before = *state;
    return before != NULL ? setenv("TEST_SLOWDOWN", before, 1) : unsetenv("TEST_SLOWDOWN");
}

static int remember_slowdown(void **state)
{
    static char before[64];
    const char *text = getenv("TEST_SLOWDOWN");
    (void)snprintf(before, sizeof before, "%s", text != NULL ? text : "");
    *state = text != NULL ? before : NULL;
    return 0;
}

static void no_time_is_left_only_when_it_has_passed(void **state)
{
    (void)state;
    int64_t deadline = clock_now_ns() + 2500000;
    while (deadline_left_ms(deadline) > 0)
        continue;
    assert_true(clock_now_ns() >= deadline);
    assert_int_equal(deadline_left_ms(INT64_MAX), INT32_MAX);
    assert_int_equal(deadline_left_ms(0), 0);
}

static void pause_outlasts_signals(void **state)
{
    (void)state;
    interrupt_everything(true);
    int64_t start = clock_now_ns();
    clock_pause_ms(30);
    int64_t took = clock_now_ns() - start;
    interrupt_everything(false);
    assert_true(took >= 30 * 1000000);
}

/* ---- Pattern ----------------------------------------------------------------------------- */

enum { STREAM = 2 * MIB };
static unsigned char stream[STREAM + 16];

static void pattern_has_all_values(void **state)
{
    (void)state;
    int seen[256] = {0};
    pattern_fill(stream, 64 * KIB, 0, 1);
    for (int i = 0; i < 64 * KIB; i++)
        seen[stream[i]]++;
    for (int value = 0; value < 256; value++)
        assert_in_range(seen[value], 100, 500); /* 256 times each, were they dice */
}

static void pattern_is_the_same_from_any_offset(void **state)
{
    (void)state;
    unsigned char piece[64];
    pattern_fill(stream, 4096, 0, 9);
    for (size_t offset = 0; offset < 64; offset++) {
        for (size_t len = 0; len <= sizeof piece; len++) {
            pattern_fill(piece, len, offset, 9);
            assert_memory_equal(piece, stream + offset, len);
            assert_int_equal(pattern_mismatch(stream + offset, len, offset, 9), len);
        }
    }
}

static void pattern_finds_the_first_wrong_byte(void **state)
{
    (void)state;
    enum { LEN = 9000 };
    pattern_fill(stream, LEN, 77, 5);
    for (size_t i = 0; i < LEN; i++) {
        stream[i] ^= 0x40;
        assert_int_equal(pattern_mismatch(stream, LEN, 77, 5), i);
        stream[i] ^= 0x40;
    }
}

/** Damage shows within a few bytes: each has a chance of 1 in 256 to look right by accident. */
static void assert_found_at(size_t first, size_t len, uint32_t seed)
{
    size_t at = pattern_mismatch(stream, len, 0, seed);
    assert_in_range(at, first, first + 4);
}

static void pattern_finds_a_loss_of_any_length(void **state)
{
    static const size_t lost[] = {8, 256, 1000, 1024, 4096, 16384, 65536, 65535, MIB};
    (void)state;
    for (size_t n = 1; n <= 300; n++) {
        pattern_fill(stream, 100, 0, 3);
        pattern_fill(stream + 100, 4096, 100 + n, 3);
        assert_found_at(100, 4196, 3);
    }
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        pattern_fill(stream, 4096, 0, 3);
        pattern_fill(stream + 4096, 4096, 4096 + lost[i], 3);
        assert_found_at(4096, 8192, 3);
    }
}

static void pattern_finds_doubled_and_swapped_pieces(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 65536; n *= 2) {
        pattern_fill(stream, STREAM, 0, 4);
        pattern_fill(stream + 2 * n, n, n, 4); /* the piece before it once more */
        assert_found_at(2 * n, STREAM, 4);

        pattern_fill(stream, STREAM, 0, 4);
        pattern_fill(stream + n, n, 2 * n, 4);
        pattern_fill(stream + 2 * n, n, n, 4);
        assert_found_at(n, STREAM, 4);
    }
}

static void pattern_finds_the_bytes_of_another_client(void **state)
{
    (void)state;
    for (uint32_t other = 0; other < 100; other++) {
        pattern_fill(stream, 4096, 0, other);
        if (other != 50)
            assert_found_at(0, 4096, 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slowdown_scales_deadlines, remember_slowdown,
                                        restore_slowdown),
        cmocka_unit_test_setup_teardown(slowdown_that_is_no_number_is_one, remember_slowdown,
                                        restore_slowdown),
        cmocka_unit_test(no_time_is_left_only_when_it_has_passed),
        cmocka_unit_test(pause_outlasts_signals),
        cmocka_unit_test(pattern_has_all_values),
        cmocka_unit_test(pattern_is_the_same_from_any_offset),
        cmocka_unit_test(pattern_finds_the_first_wrong_byte),
        cmocka_unit_test(pattern_finds_a_loss_of_any_length),
        cmocka_unit_test(pattern_finds_doubled_and_swapped_pieces),
        cmocka_unit_test(pattern_finds_the_bytes_of_another_client),
    };
    return cmocka_run_group_tests_name("clock and pattern", tests, NULL, NULL);
}
