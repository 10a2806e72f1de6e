/*
 * What the figures of chapter 01's labs must show: relations, never absolute times.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_blocked_thread_costs_nothing(const char *text)
{
    double window_us = figure(text, "window_ms") * 1000;
    assert_true(figure(text, "processor_time_in_window_us") < window_us / 20);
    if (find_figure(text, "thread_state") == NULL)
        return; /* not Linux: the processor time is all that is known */
    word_is(text, "thread_state", "S (sleeping)");
    assert_true(figure(text, "times_on_a_processor") == 0);
}

static void the_lost_signal_wakes_nobody(const char *text)
{
    assert_true(figure(text, "window_flag_is_set") == 1);
    assert_true(figure(text, "window_accept_slept_ms") >= 100);
    assert_true(figure(text, "restart_accept_slept_ms") >= 100);
}

static void a_signal_makes_send_short(const char *text)
{
    double asked = figure(text, "asked_bytes");
    assert_true(figure(text, "undisturbed_first_send_bytes") == asked);
    assert_true(figure(text, "signal_first_send_bytes") < asked);
    assert_true(figure(text, "restart_first_send_bytes") < asked);
    assert_true(figure(text, "received_bytes") == asked);
}

static void stacks_are_virtual(const char *text)
{
    double virtual_mib = figure(text, "threads_100_virtual_mib");
    assert_true(virtual_mib >= 10 * figure(text, "threads_100_resident_mib"));
    if (find_figure(text, "threads_1000_virtual_mib") == NULL)
        return; /* this machine allows fewer threads */
    assert_true(figure(text, "threads_1000_virtual_mib") >= 5 * virtual_mib);
    assert_true(figure(text, "threads_1000_virtual_mib") >=
                10 * figure(text, "threads_1000_resident_mib"));
}

static void a_switch_adds_to_the_calls(const char *text)
{
    assert_true(figure(text, "switch_ns") > 0);
    assert_true(figure(text, "round_trip_ns") > 2.2 * figure(text, "write_and_read_ns"));
}

const struct lab_case labs_01[] = {
    {"01/where_a_blocked_thread_sleeps", "01_blocking", a_blocked_thread_costs_nothing},
    {"01/lost_signal", "01_blocking", the_lost_signal_wakes_nobody},
    {"01/short_blocking_send", "01_blocking", a_signal_makes_send_short},
    {"01/cost_of_threads", "01_blocking", stacks_are_virtual},
    {"01/cost_of_a_context_switch", "01_blocking", a_switch_adds_to_the_calls},
    {NULL, NULL, NULL},
};
