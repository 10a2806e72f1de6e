/*
 * What the figures of chapter 06's labs must show: relations, never absolute times. They hold by
 * Microsoft's documentation; what Wine cannot show is judged only where the lab itself has not
 * ended in words before.
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

static void lent_memory_fills_later(const char *text)
{
    word_is(text, "wsarecv_returned", "pending");
    word_is(text, "event_is_set", "no");
    word_is(text, "memory_when_finished", "hello...........");
    word_is(text, "own_text_was", "price=10");
    word_is(text, "own_text_is", "HELLO=10........");
    word_is(text, "kept_buffer", "HELLO...........");
}

static void the_overlapped_names_the_operation(const char *text)
{
    assert_true(figure(text, "packets_with_key_7") == 2);
    assert_true(figure(text, "packets_with_5_bytes") == 2);
    assert_true(figure(text, "packets_of_the_receive") == 1);
    assert_true(figure(text, "packets_of_the_send") == 1);
    assert_true(figure(text, "offset_bytes") > 0);
    assert_true(figure(text, "casts_that_find_it") == 0);
    assert_true(figure(text, "receives_right") == 3);
    assert_true(figure(text, "packets_left") == 0);
}

static void each_cancelled_operation_has_one_packet(const char *text)
{
    word_is(text, "pending_cancelioex", "success");
    word_is(text, "pending_packet", "ERROR_OPERATION_ABORTED");
    word_is(text, "finished_wsarecv", "success");
    word_is(text, "finished_cancelioex", "ERROR_NOT_FOUND");
    word_is(text, "finished_packet", "success");
    assert_true(figure(text, "finished_bytes") == 5);
    word_is(text, "nothing_cancelioex", "ERROR_NOT_FOUND");
    word_is(text, "nothing_packet", "none");
    double packets = figure(text, "race_packets");
    assert_true(packets == 20);
    assert_true(figure(text, "race_cancelled") + figure(text, "race_finished") == packets);
    word_is(text, "small_packet", "ERROR_OPERATION_ABORTED");
    assert_true(figure(text, "large_bytes") > 5);
}

static void one_call_takes_many_packets(const char *text)
{
    double packets = figure(text, "ex_packets");
    assert_true(packets == 32);
    assert_true(figure(text, "one_by_one_calls") == packets);
    assert_true(figure(text, "ex_calls") == 1);
    assert_true(figure(text, "ex_calls_room_for_10") == 4);
    word_is(text, "failed_one_returns", "FALSE");
    word_is(text, "failed_one_overlapped", "not NULL");
    word_is(text, "nothing_one_returns", "FALSE");
    word_is(text, "nothing_one_overlapped", "NULL");
    word_is(text, "failed_ex_returns", "TRUE");
    word_is(text, "failed_ex_result", "FALSE");
}

static void three_cures_keep_the_order(const char *text)
{
    word_is(text, "no_cure_text", "BBBBAAAA");
    word_is(text, "one_in_flight_text", "AAAABBBB");
    assert_true(figure(text, "one_in_flight_buffers_lent") == 1);
    word_is(text, "numbers_text", "AAAABBBB");
    assert_true(figure(text, "numbers_buffers_lent") == 2);
    assert_true(figure(text, "numbers_set_aside") == 1);
    word_is(text, "one_thread_text", "AAAABBBB");
    assert_true(figure(text, "one_thread_buffers_lent") == 2);
}

/* On Wine the lab ends as skipped, and nobody comes here. */
static void the_accept_context_makes_the_socket_whole(const char *text)
{
    word_is(text, "without_echoes", "yes");
    word_is(text, "without_address_in_the_buffer", "yes");
    word_is(text, "without_getpeername", "WSAENOTCONN");
    word_is(text, "without_shutdown", "WSAENOTCONN");
    word_is(text, "with_getpeername", "success");
    word_is(text, "with_shutdown", "success");
    word_is(text, "with_end_told_to_the_client", "yes");
}

static void connectex_wants_a_bound_socket(const char *text)
{
    word_is(text, "unbound_connectex", "WSAEINVAL");
    word_is(text, "unbound_packet", "none");
    word_is(text, "bound_packet", "success");
    word_is(text, "with_getpeername", "success");
    word_is(text, "with_shutdown", "success");
    word_is(text, "with_end_told_to_the_peer", "yes");
    word_is(text, "refused_connectex", "pending");
    word_is(text, "refused_packet", "ERROR_CONNECTION_REFUSED");
}

static void each_post_is_a_packet(const char *text)
{
    word_is(text, "sleeper_woken", "yes");
    assert_true(figure(text, "sleeper_key") == 1);
    word_is(text, "sleeper_overlapped", "NULL");
    word_is(text, "nothing_posted", "WAIT_TIMEOUT");
    assert_true(figure(text, "five_posts_packets") == 5);
    assert_true(figure(text, "five_posts_in_order") == 5);
    assert_true(figure(text, "workers_stopped") == 3);
    assert_true(figure(text, "packets_left") == 0);
}

static void a_receive_with_no_room_tells_of_data(const char *text)
{
    word_is(text, "quiet_wsarecv", "pending");
    assert_true(figure(text, "quiet_packets") == 0);
    assert_true(figure(text, "ready_packets") == 1);
    assert_true(figure(text, "ready_bytes") == 0);
    word_is(text, "unread_asked_again", "ends at once");
    assert_true(figure(text, "read_afterwards") == 5);
    assert_true(figure(text, "end_zero_byte_read") == 0);
    assert_true(figure(text, "end_ordinary_read") == 0);
    assert_true(figure(text, "talkers_told") == 3);
    assert_true(figure(text, "talkers_read") == 3);
    assert_true(figure(text, "lent_zero_byte_bytes") == 0);
    assert_true(10 * figure(text, "borrowed_at_most_bytes") <= figure(text, "lent_ordinary_bytes"));
    assert_true(figure(text, "ended_by_closesocket") == 96);
}

static void one_port_serves_files_and_sockets(const char *text)
{
    assert_true(figure(text, "file_packets") == 3);
    assert_true(figure(text, "file_blocks_right") == 3);
    assert_true(figure(text, "socket_packets") == 1);
    word_is(text, "end_error", "ERROR_HANDLE_EOF");
    assert_true(figure(text, "end_bytes") == 0);
}

static void success_at_once_has_a_packet_by_default(const char *text)
{
    word_is(text, "provider_has_ifs_handles", "yes");
    word_is(text, "default_wsarecv", "success");
    assert_true(figure(text, "default_packets") == 1);
    double sent = figure(text, "default_bytes_sent");
    assert_true(figure(text, "default_bytes_handled") == 2 * sent);
    word_is(text, "skip_wsarecv", "success");
    assert_true(figure(text, "skip_packets") == 0);
    word_is(text, "skip_buffer", "hello");
    word_is(text, "skip_pending_wsarecv", "pending");
    assert_true(figure(text, "skip_pending_packets") == 1);
    word_is(text, "refused_wsarecv", "WSAENOTCONN");
    assert_true(figure(text, "refused_packets") == 0);
}

const struct lab_case labs_06[] = {
    {"06/lent_buffer", "06_iocp", lent_memory_fills_later},
    {"06/one_overlapped_each", "06_iocp", the_overlapped_names_the_operation},
    {"06/cancel_outcomes", "06_iocp", each_cancelled_operation_has_one_packet},
    {"06/packets_per_call", "06_iocp", one_call_takes_many_packets},
    {"06/two_receives", "06_iocp", three_cures_keep_the_order},
    {"06/acceptex_context", "06_iocp", the_accept_context_makes_the_socket_whole},
    {"06/connectex", "06_iocp", connectex_wants_a_bound_socket},
    {"06/posted_wakeup", "06_iocp", each_post_is_a_packet},
    {"06/zero_byte_read", "06_iocp", a_receive_with_no_room_tells_of_data},
    {"06/file_and_sockets", "06_iocp", one_port_serves_files_and_sockets},
    {"06/skip_on_success", "06_iocp", success_at_once_has_a_packet_by_default},
    {NULL, NULL, NULL},
};
