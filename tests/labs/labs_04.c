/*
 * What the figures of chapter 04's labs must show: relations, never absolute times.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void level_says_three_times_what_edge_says_once(const char *text)
{
    assert_true(figure(text, "level_wake_ups") == 3);
    assert_true(figure(text, "level_bytes_left") == 0);
    assert_true(figure(text, "edge_wake_ups") == 1);
    assert_true(figure(text, "edge_bytes_left") == 2000);
    assert_true(figure(text, "level_draining_wake_ups") == 1);
    assert_true(figure(text, "edge_draining_wake_ups") == 1);
    assert_true(figure(text, "level_draining_system_calls") ==
                figure(text, "edge_draining_system_calls"));
    word_is(text, "reminded_in_between", "no");
    assert_true(figure(text, "new_bytes_reported") == 2);
}

static void a_short_read_is_eagain_for_in_alone(const char *text)
{
    word_is(text, "reminded_of_the_rest", "no");
    word_is(text, "woken_by_a_new_byte", "yes");
    assert_true(figure(text, "bytes_found_then") == 2);
    word_is(text, "plain_warned", "no");
    word_is(text, "plain_next_recv", "EAGAIN: drained");
    word_is(text, "fin_warned", "yes");
    word_is(text, "fin_next_recv", "0: the end of the stream");
    word_is(text, "urgent_warned", "yes");
    word_is(text, "urgent_next_recv", "3 bytes: def");
    word_is(text, "urgent_unasked_warned", "no");
    word_is(text, "urgent_unasked_next_recv", "3 bytes: def");
    word_is(text, "rst_warned", "yes");
    word_is(text, "rst_next_recv", "ECONNRESET");
}

static void one_accept_per_edge_strands_the_rest(const char *text)
{
    assert_true(figure(text, "one_events") == 1);
    assert_true(figure(text, "one_stranded") == 2);
    assert_true(figure(text, "one_more_events") == 1);
    assert_true(figure(text, "one_more_stranded") == 2);
    assert_true(figure(text, "drained_events") == 1);
    assert_true(figure(text, "drained_stranded") == 0);
    assert_true(figure(text, "level_events") == 3);
    assert_true(figure(text, "level_stranded") == 0);
}

static void exclusive_and_reuseport_tame_the_herd(const char *text)
{
    const double connections = 10;
    double plain = figure(text, "plain_woken");
    assert_true(plain > connections);
    assert_true(figure(text, "exclusive_woken") < plain);
    assert_true(figure(text, "exclusive_woken") >= connections);
    assert_true(figure(text, "exclusive_woken") <= 2 * connections);
    assert_true(figure(text, "reuseport_woken") == connections);
    assert_true(figure(text, "shared_level_woken") > connections);
    assert_true(figure(text, "shared_edge_woken") >= connections);
    assert_true(figure(text, "shared_edge_woken") <= 2 * connections);
}

static void epoll_refuses_what_is_always_ready(const char *text)
{
    static const char *const always[] = {"file", "file_end", "folder", "dev_null"};
    char name[TEXT_LEN];
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++) {
        (void)snprintf(name, sizeof name, "%s_select", always[i]);
        word_is(text, name, "ready");
        (void)snprintf(name, sizeof name, "%s_poll", always[i]);
        word_is(text, name, "ready");
        (void)snprintf(name, sizeof name, "%s_epoll", always[i]);
        word_is(text, name, "EPERM");
    }
    assert_true(figure(text, "file_end_read") == 0);
    word_is(text, "pipe_empty_epoll", "not ready");
    word_is(text, "pipe_filled_epoll", "ready");
}

static void a_registration_outlives_close(const char *text)
{
    assert_true(figure(text, "closed_reported") == 5);
    word_is(text, "recv_from_it", "EBADF");
    word_is(text, "del_by_its_number", "EBADF");
    word_is(text, "del_by_the_copy", "ENOENT");
    word_is(text, "add_under_the_same_number", "done");
    assert_true(figure(text, "events_with_that_number") == 2);
    assert_true(figure(text, "after_last_close_reported") == 0);
    assert_true(figure(text, "deleted_reported") == 0);
}

static void a_stale_event_is_believed_only_by_trust(const char *text)
{
    assert_true(figure(text, "trust_largest_batch") == 2);
    assert_true(figure(text, "trust_stale_events_believed") == 1);
    word_is(text, "trust_new_client", "was closed");
    assert_true(figure(text, "life_largest_batch") == 2);
    assert_true(figure(text, "life_stale_events_refused") == 1);
    word_is(text, "life_new_client", "is served");
    assert_true(figure(text, "defer_largest_batch") == 2);
    assert_true(figure(text, "defer_stale_events_believed") == 0);
    word_is(text, "defer_new_client", "is served");
    assert_true(figure(text, "one_largest_batch") == 1);
    assert_true(figure(text, "one_stale_events_believed") == 0);
    word_is(text, "one_new_client", "is served");
}

static void a_change_counts_for_who_sleeps(const char *text)
{
    word_is(text, "add_wakes", "yes");
    word_is(text, "mod_in_wakes", "yes");
    word_is(text, "mod_out_wakes", "yes");
    word_is(text, "mod_again_wakes", "yes");
    word_is(text, "mod_none_wakes", "no");
    word_is(text, "del_wakes", "no");
}

static void the_bits_of_every_ending(const char *text)
{
    word_is(text, "open", "OUT");
    word_is(text, "peer_shut_wr", "IN OUT RDHUP");
    word_is(text, "peer_shut_wr_unread", "IN OUT RDHUP");
    word_is(text, "peer_shut_wr_unread_recv", "3, 0");
    word_is(text, "peer_shut_rd", "OUT");
    word_is(text, "own_shut_wr", "OUT");
    word_is(text, "own_shut_rd", "IN OUT RDHUP");
    word_is(text, "own_shut_rdwr", "IN OUT RDHUP HUP");
    word_is(text, "both_shut_wr_unread", "IN OUT RDHUP HUP");
    word_is(text, "both_shut_wr_unread_unasked", "HUP");
    word_is(text, "both_shut_wr_unread_recv", "3, 0");
    word_is(text, "rst", "IN OUT RDHUP HUP ERR");
    word_is(text, "rst_unasked", "HUP ERR");
    word_is(text, "rst_unread_recv", "3, ECONNRESET, 0");
    word_is(text, "unconnected", "OUT HUP");
    word_is(text, "unconnected_unasked", "HUP");
}

static void one_loop_serves_all_kinds(const char *text)
{
    assert_true(figure(text, "sources_watched") >= 3);
    if (find_figure(text, "timer_expirations") != NULL)
        assert_true(figure(text, "timer_expirations") == 1);
    if (find_figure(text, "signals_taken_of_5") != NULL)
        assert_true(figure(text, "signals_taken_of_5") == 1);
    if (find_figure(text, "eventfd_sum") != NULL)
        assert_true(figure(text, "eventfd_sum") == 6);
    if (find_figure(text, "child_status") != NULL)
        assert_true(figure(text, "child_status") == 7);
    if (find_figure(text, "new_files") != NULL)
        assert_true(figure(text, "new_files") == 1);
}

static void the_line_of_epoll_is_flat(const char *text)
{
    bool all = find_figure(text, "epoll_10000_idle_us") != NULL; /* else: fewer are allowed here */
    const char *size = all ? "10000" : "1000";
    double grows = all ? 10 : 3;
    char name[TEXT_LEN];
    (void)snprintf(name, sizeof name, "select_%s_idle_us", size);
    assert_true(figure(text, name) >= grows * figure(text, "select_100_idle_us"));
    (void)snprintf(name, sizeof name, "poll_%s_idle_us", size);
    assert_true(figure(text, name) >= grows * figure(text, "poll_100_idle_us"));
    (void)snprintf(name, sizeof name, "epoll_%s_idle_us", size);
    assert_true(figure(text, name) <= 1.6 * figure(text, "epoll_100_idle_us")); /* rounded: 1.5 */
}

const struct lab_case labs_04[] = {
    {"04/lt_vs_et", "04_epoll", level_says_three_times_what_edge_says_once},
    {"04/stop_before_eagain", "04_epoll", a_short_read_is_eagain_for_in_alone},
    {"04/one_accept_per_edge", "04_epoll", one_accept_per_edge_strands_the_rest},
    {"04/thundering_herd", "04_epoll", exclusive_and_reuseport_tame_the_herd},
    {"04/regular_file", "04_epoll", epoll_refuses_what_is_always_ready},
    {"04/closed_but_reports", "04_epoll", a_registration_outlives_close},
    {"04/stale_event_in_batch", "04_epoll", a_stale_event_is_believed_only_by_trust},
    {"04/change_while_waiting", "04_epoll", a_change_counts_for_who_sleeps},
    {"04/which_bits", "04_epoll", the_bits_of_every_ending},
    {"04/everything", "04_epoll", one_loop_serves_all_kinds},
    {"04/growth_line", "04_epoll", the_line_of_epoll_is_flat},
    {NULL, NULL, NULL},
};
