/*
 * What the figures of chapter 05's labs must show: relations, never absolute times. They hold for
 * a real kernel and for the emulation; where systems differ, nothing is asked for.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_late_program_gets_one_event_that_counts(const char *text)
{
    assert_true(figure(text, "late_events") == 1);
    assert_true(figure(text, "late_times") >= 3);
    assert_true(figure(text, "deleted_events") == 0);
    assert_true(figure(text, "once_times") >= 1); /* macOS counts on until it is taken */
    word_is(text, "once_fires_again", "no");
    word_is(text, "once_delete", "ENOENT");
    assert_true(figure(text, "two_timers_events") == 2);
}

static void an_ignored_signal_is_an_event(const char *text)
{
    assert_true(figure(text, "ignored_events") == 1);
    assert_true(figure(text, "ignored_times") >= 1);
    word_is(text, "ignored_reported_again", "no");
    assert_true(figure(text, "many_events") == 1);
    assert_true(figure(text, "many_times") >= 1);
    assert_true(figure(text, "many_times") <= 5);
    assert_true(figure(text, "handled_events") == 1);
    assert_true(figure(text, "handler_calls") == 1);
}

static void triggers_add_up_to_one_event(const char *text)
{
    word_is(text, "sleeper_woken", "yes");
    assert_true(figure(text, "three_triggers_events") == 1);
    assert_true(figure(text, "three_triggers_bits") == 7);
    assert_true(figure(text, "clear_told_again") == 0);
    assert_true(figure(text, "level_told") == 3);
}

static void a_child_that_is_told_is_still_a_zombie(const char *text)
{
    word_is(text, "told", "yes");
    assert_true(figure(text, "status_by_waitpid") == 7);
    word_is(text, "waitpid_again", "ECHILD");
    assert_true(figure(text, "zombie_status_by_waitpid") == 7);
    word_is(text, "gone_add", "ESRCH");
}

static void tells(const char *text, const char *name, const char *bit)
{
    const char *told = find_figure(text, name);
    size_t len = told != NULL ? strcspn(told, "\n") : 0;
    for (size_t i = 0; told != NULL && i + strlen(bit) <= len; i++)
        if (strncmp(told + i, bit, strlen(bit)) == 0)
            return;
    fail_msg("%s should tell %s, in:\n%s", name, bit, text);
}

static void a_descriptor_watches_the_file_itself(const char *text)
{
    tells(text, "write", "WRITE");
    tells(text, "three_writes", "WRITE");
    assert_true(figure(text, "events_for_three_writes") == 1);
    tells(text, "chmod", "ATTRIB");
    tells(text, "link", "LINK");
    tells(text, "rename", "RENAME");
    tells(text, "write_after_rename", "WRITE");
    tells(text, "unlink_the_last", "DELETE");
}

static void data_says_how_much(const char *text)
{
    word_is(text, "listener_before", "no event");
    assert_true(figure(text, "listener_data") == 3);
    assert_true(figure(text, "listener_data_after_accept") == 2);
    assert_true(figure(text, "read_data") == 5);
    assert_true(figure(text, "read_data_after_2") == 3);
    word_is(text, "read_after_all", "no event");
    assert_true(figure(text, "write_data") > 0);
    word_is(text, "write_when_full", "no event");
    assert_true(figure(text, "write_data_when_drained") > 0);
}

static void ev_eof_comes_before_the_end(const char *text)
{
    word_is(text, "closed_ev_eof", "yes");
    assert_true(figure(text, "closed_data") == 3);
    word_is(text, "closed_recv", "3, 0");
    assert_true(figure(text, "close_at_ev_eof_bytes") == 0);
    assert_true(figure(text, "read_to_the_end_bytes") == 3);
    word_is(text, "half_ev_eof", "yes");
    word_is(text, "half_recv", "3, 0");
    assert_true(figure(text, "half_answer") == 3);
    word_is(text, "reset_ev_eof", "yes");
}

static void one_call_changes_and_waits(const char *text)
{
    double fds = figure(text, "one_by_one_events");
    assert_true(figure(text, "one_by_one_calls") == fds + 1);
    assert_true(figure(text, "at_once_calls") == 1);
    assert_true(figure(text, "at_once_events") == fds);
    assert_true(figure(text, "half_events") == fds / 2);
    assert_true(figure(text, "half_events_of_deleted") == 0);
    assert_true(figure(text, "no_room_returned") == 0);
    word_is(text, "no_room_events_left", "no");
}

static void errors_of_changes_are_entries(const char *text)
{
    assert_true(figure(text, "room_error_entries") == 1);
    word_is(text, "room_error_in_data", "ENOENT");
    assert_true(figure(text, "room_changes_made") == 2);
    assert_true(figure(text, "no_room_returned") == -1);
    word_is(text, "no_room_errno", "ENOENT");
    assert_true(figure(text, "receipt_entries") == 3);
    assert_true(figure(text, "receipt_entries_with_ev_error") == 3);
    word_is(text, "receipt_of_first", "done");
    word_is(text, "receipt_of_wrong", "ENOENT");
    word_is(text, "receipt_of_last", "done");
    assert_true(figure(text, "receipt_events_afterwards") == 2);
}

static void oneshot_deletes_and_dispatch_disables(const char *text)
{
    word_is(text, "oneshot_first", "yes");
    word_is(text, "oneshot_second", "no");
    word_is(text, "oneshot_enable", "ENOENT");
    word_is(text, "oneshot_after_add", "yes");
    word_is(text, "dispatch_first", "yes");
    word_is(text, "dispatch_second", "no");
    word_is(text, "dispatch_after_all_three", "yes");
    word_is(text, "dispatch_after_that", "no");
    word_is(text, "dispatch_enable", "done");
    word_is(text, "dispatch_after_draining", "yes");
}

static void the_last_change_has_its_udata(const char *text)
{
    word_is(text, "second_add", "done");
    assert_true(figure(text, "added_twice_events") == 1);
    assert_true(figure(text, "added_twice_udata") == 2);
    assert_true(figure(text, "both_filters_events") == 2);
    assert_true(figure(text, "both_filters_udata_of_read") == 2);
    assert_true(figure(text, "both_filters_udata_of_write") == 3);
    assert_true(figure(text, "read_deleted_events") == 1);
    assert_true(figure(text, "udata_repeated") == 3);
}

static void close_removes_silently(const char *text)
{
    assert_true(figure(text, "closed_reported") == 0);
    if (find_figure(text, "delete_after_close") == NULL ||
        strncmp(find_figure(text, "delete_after_close"), "ENOENT\n", 7) != 0) /* on macOS */
        word_is(text, "delete_after_close", "EBADF");
    word_is(text, "delete_of_the_copy", "ENOENT");
    word_is(text, "copy_added_reported", "yes");
    assert_true(figure(text, "pending_reported") == 0);
    assert_true(figure(text, "reused_reported") == 0);
    word_is(text, "reused_delete", "ENOENT");
    word_is(text, "reused_added_reported", "yes");
}

static void the_line_of_kqueue_is_flat(const char *text)
{
    bool all = find_figure(text, "kevent_10000_idle_us") != NULL; /* else: fewer are allowed here */
    const char *size = all ? "10000" : "1000";
    double grows = all ? 10 : 3;
    char name[TEXT_LEN];
    (void)snprintf(name, sizeof name, "poll_%s_idle_us", size);
    assert_true(figure(text, name) >= grows * figure(text, "poll_100_idle_us"));
    (void)snprintf(name, sizeof name, "kevent_%s_idle_us", size);
    assert_true(figure(text, name) <= 1.6 * figure(text, "kevent_100_idle_us")); /* rounded: 1.5 */
}

const struct lab_case labs_05[] = {
    {"05/timer", "05_kqueue", a_late_program_gets_one_event_that_counts},
    {"05/signal", "05_kqueue", an_ignored_signal_is_an_event},
    {"05/user", "05_kqueue", triggers_add_up_to_one_event},
    {"05/child", "05_kqueue", a_child_that_is_told_is_still_a_zombie},
    {"05/file", "05_kqueue", a_descriptor_watches_the_file_itself},
    {"05/data_field", "05_kqueue", data_says_how_much},
    {"05/eof_with_data", "05_kqueue", ev_eof_comes_before_the_end},
    {"05/many_changes", "05_kqueue", one_call_changes_and_waits},
    {"05/receipt_and_error", "05_kqueue", errors_of_changes_are_entries},
    {"05/oneshot_vs_dispatch", "05_kqueue", oneshot_deletes_and_dispatch_disables},
    {"05/udata_replaced", "05_kqueue", the_last_change_has_its_udata},
    {"05/close_removes", "05_kqueue", close_removes_silently},
    {"05/growth_line", "05_kqueue", the_line_of_kqueue_is_flat},
    {NULL, NULL, NULL},
};
