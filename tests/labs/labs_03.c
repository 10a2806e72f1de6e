/*
 * What the figures of chapter 03's labs must show: relations, never absolute times.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void fd_set_ends_where_fd_setsize_does(const char *text)
{
    double bytes = figure(text, "set_is_bytes");
    assert_true(figure(text, "fd_setsize_minus_1_is_byte") < bytes);
    assert_true(figure(text, "fd_setsize_is_byte") >= bytes);
    assert_true(figure(text, "admins_after") == 1);
    if (find_figure(text, "child_ended_by") != NULL)
        word_is(text, "child_ended_by", "SIGABRT");
    if (find_figure(text, "high_fd") == NULL)
        return; /* this machine allows no such descriptor */
    assert_true(figure(text, "high_fd") >= figure(text, "fd_setsize"));
    assert_true(figure(text, "high_fd_ready_without_data") == 0);
    assert_true(figure(text, "high_fd_ready_with_data") == 1);
}

static void a_wakeup_costs_more_with_each_idle(const char *text)
{
    double by_select = figure(text, "select_100_idle_us");
    double by_poll = figure(text, "poll_100_idle_us");
    assert_true(figure(text, "select_1000_idle_us") >= 3 * by_select);
    assert_true(figure(text, "poll_1000_idle_us") >= 3 * by_poll);
    if (find_figure(text, "poll_10000_idle_us") == NULL)
        return; /* this machine allows fewer descriptors */
    assert_true(figure(text, "select_10000_idle_us") >= 10 * by_select);
    assert_true(figure(text, "poll_10000_idle_us") >= 10 * by_poll);
}

static void a_pipe_and_a_pending_signal_wake_poll(const char *text)
{
    assert_true(figure(text, "flag_poll_slept_ms") >= 150);
    assert_true(figure(text, "self_pipe_poll_slept_ms") < 150);
    assert_true(figure(text, "pselect_flag_before") == 0);
    assert_true(figure(text, "pselect_flag_after") == 1);
    assert_true(figure(text, "pselect_slept_ms") < 150);
    if (find_figure(text, "ppoll_slept_ms") != NULL)
        assert_true(figure(text, "ppoll_slept_ms") < 150);
}

static void a_timeout_is_never_too_early(const char *text)
{
    double deadlines = 20;
    assert_true(figure(text, "shortest_late_us") >= -10); /* two clocks may differ a little */
    assert_true(figure(text, "rounded_up_calls") <= 2 * deadlines);
    assert_true(figure(text, "pselect_calls") <= 2 * deadlines);
    assert_true(figure(text, "rounded_down_calls") >= 10 * figure(text, "rounded_up_calls"));
    assert_true(figure(text, "timers_poll_calls") <= 2 * figure(text, "timers"));
}

static void reading_first_loses_nothing(const char *text)
{
    static const char *const scenes[] = {"fin", "both", "rst", "pipe"};
    char name[TEXT_LEN];
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        (void)snprintf(name, sizeof name, "%s_read_first_bytes", scenes[i]);
        assert_true(figure(text, name) == 1000);
    }
    assert_true(figure(text, "rst_close_at_hup_bytes") == 0);
    assert_true(figure(text, "pipe_close_at_hup_bytes") == 0);
}

static void a_pause_at_emfile_does_not_spin(const char *text)
{
    double paused = figure(text, "pause_wakeups_in_100_ms");
    assert_true(paused > 0 && paused <= 2);
    assert_true(figure(text, "spin_wakeups_in_100_ms") >= 20 * paused);
    assert_true(figure(text, "accepted_bytes") == 5);
    word_is(text, "trick_queue", "empty");
    word_is(text, "trick_client", "turned away");
    word_is(text, "race_accept", "EMFILE");
    word_is(text, "race_spare", "gone");
}

const struct lab_case labs_03[] = {
    {"03/fd_set_past_the_end", "03_select_poll", fd_set_ends_where_fd_setsize_does},
    {"03/cost_of_a_wakeup", "03_select_poll", a_wakeup_costs_more_with_each_idle},
    {"03/signal_before_the_wait", "03_select_poll", a_pipe_and_a_pending_signal_wake_poll},
    {"03/timeout_is_a_timer", "03_select_poll", a_timeout_is_never_too_early},
    {"03/hup_with_data", "03_select_poll", reading_first_loses_nothing},
    {"03/listener_at_emfile", "03_select_poll", a_pause_at_emfile_does_not_spin},
    {NULL, NULL, NULL},
};
