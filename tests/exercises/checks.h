/*
 * checks: what exercises ask for and the contract does not. A check has the form of a row of the
 * contract: it gets a fresh server and says how it came out, in the same words. Where an exercise
 * is no echo server, its checks are all that it has.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include "../contract/contract.h"

/** The check of that name, or NULL. */
const struct contract_row *check_find(const char *name);

/** What a seed has chosen for this student, in the exercise that is graded; "": nothing. */
void twist_set(const char *twist);
/** The same, or what is usual. */
const char *twist_or(const char *usual);
/** The same as a number from 1 to `most`. */
int twist_number_or(int usual, int most);

/* --- chapter 01 ------------------------------------------------------------------------------- */

void signals_cut_no_answer(struct contract_run *run);
void full_house_is_bounded(struct contract_run *run);
void full_house_rests(struct contract_run *run);
void counts_without_a_race(struct contract_run *run);
void greets_and_echoes(struct contract_run *run);
void drips_are_shown_out(struct contract_run *run);
void a_guest_may_be_silent(struct contract_run *run);

/* --- chapter 02 ------------------------------------------------------------------------------- */

void tiny_window_gets_all(struct contract_run *run);
void flood_gets_all(struct contract_run *run);
void memory_stays_bounded(struct contract_run *run);
void lines_come_in_pieces(struct contract_run *run);
void lines_come_together(struct contract_run *run);
void lines_are_bytes(struct contract_run *run);
void long_line_is_refused(struct contract_run *run);
void tells_who_is_there(struct contract_run *run);
void full_backlog_times_out(struct contract_run *run);
void waits_for_all_at_once(struct contract_run *run);

/* --- chapter 03 ------------------------------------------------------------------------------- */

void random_leavers(struct contract_run *run);
void silent_one_is_closed(struct contract_run *run);
void chatty_hides_nobody(struct contract_run *run);
void nothing_ticks(struct contract_run *run);
void posts_to_a_sleeper(struct contract_run *run);
void posts_before_the_loop(struct contract_run *run);
void million_posts(struct contract_run *run);
void posts_without_a_race(struct contract_run *run);
void says_to_all_others(struct contract_run *run);
void talkers_do_not_mix(struct contract_run *run);
void slow_member_delays_nobody(struct contract_run *run);
void slow_member_keeps_the_rule(struct contract_run *run);

/* --- chapter 04 ------------------------------------------------------------------------------- */

void few_calls_per_round_trip(struct contract_run *run);
void registered_once(struct contract_run *run);
void faster_ones_starve_nobody(struct contract_run *run);
void flooder_ends_too(struct contract_run *run);
void each_keeps_its_order(struct contract_run *run);
void one_thread_at_a_time(struct contract_run *run);
void one_wakes_up(struct contract_run *run);

/* --- chapter 05 ------------------------------------------------------------------------------- */

void changes_cost_no_call(struct contract_run *run);
void failed_change_costs_one(struct contract_run *run);
void last_words_are_answered(struct contract_run *run);
void slow_reader_speaks_last(struct contract_run *run);
void ends_at_once(struct contract_run *run);
void never_ends_by_itself(struct contract_run *run);
void watches_without_ticking(struct contract_run *run);
void child_is_faster(struct contract_run *run);
void both_in_one_batch(struct contract_run *run);

/* --- chapter 06 ------------------------------------------------------------------------------- */

void lent_memory_is_left_alone(struct contract_run *run);
void two_are_in_flight(struct contract_run *run);
void resets_cost_one_client_each(struct contract_run *run);
void resets_leave_nothing(struct contract_run *run);
void stops_among_idle_clients(struct contract_run *run);
void silent_ones_hold_no_slot(struct contract_run *run);
void four_are_posted(struct contract_run *run);
void cancelled_one_is_awaited(struct contract_run *run);
void not_found_is_no_end(struct contract_run *run);
void too_late_is_no_end(struct contract_run *run);

/* --- chapter 07 ------------------------------------------------------------------------------- */

void silent_goes_chatty_stays(struct contract_run *run);
void leaves_with_a_timer(struct contract_run *run);
void both_ways_at_once(struct contract_run *run);
void client_ends_first(struct contract_run *run);
void target_ends_first(struct contract_run *run);
void reset_is_no_end(struct contract_run *run);
void links_are_freed(struct contract_run *run);
void stop_finishes_answers(struct contract_run *run);
void stop_has_a_deadline(struct contract_run *run);
void closed_before_freed(struct contract_run *run);
void suite_moves_bytes(struct contract_run *run);
void suite_meets_peers(struct contract_run *run);
void suite_sleeps_and_wakes(struct contract_run *run);
void suite_lets_go(struct contract_run *run);
void suite_meets_chance(struct contract_run *run);
void suite_keeps_its_memory(struct contract_run *run);

#endif
