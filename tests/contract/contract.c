/*
 * contract: the table, and what happens around every row.
 */
#include "contract.h"

#include "../harness/clock.h"
#include "rows.h"

#include <stdio.h>
#include <string.h>

/* --- the table -------------------------------------------------------------------------------- */

/* clang-format off */
const struct contract_row contract_rows[] = {
    {"echoes_bytes_in_order",
     "sends a position-dependent pattern, 1 B to 8 MiB, in random pieces",
     "return exactly it, in order, however the pieces are cut",
     "make peer KIND=fast N=1", echoes_bytes_in_order},
    {"binary_safe",
     "sends zeros and all 256 values",
     "return exactly them: a stream is bytes, not a string",
     "make peer KIND=ping", binary_safe},
    {"no_cross_talk",
     "is two clients whose bytes arrive while the server is stopped, so that it finds both at once",
     "give each client its own bytes",
     "make peer KIND=ping N=2", no_cross_talk},
    {"half_close_is_answered",
     "sends, then shuts down its writing side and only then reads",
     "send the rest, then close",
     "make peer KIND=half", half_close_is_answered},
    {"survives_rst",
     "aborts its connection while idle, while sending, while receiving, before it is accepted",
     "lose that connection only, and serve the next client",
     "make peer KIND=rst", survives_rst},
    {"slow_reader_is_isolated",
     "sends without end and reads nothing",
     "stop reading, hold bounded memory, serve the others, lose nothing when it reads at last",
     "make peer KIND=flood", slow_reader_is_isolated},
    {"silent_peer_blocks_nobody",
     "connects and stays silent, sixteen times",
     "serve the others",
     "make peer KIND=silent N=16", silent_peer_blocks_nobody},
    {"fast_peer_starves_nobody",
     "sends and reads as fast as it can, three times",
     "serve the others' pings within a bounded share of turns",
     "make peer KIND=fast N=3", fast_peer_starves_nobody},
    {"answers_promptly",
     "sends one byte at a time and waits for each",
     "add no delay of its own",
     "make peer KIND=ping", answers_promptly},
    {"many_clients",
     "is 1,100 clients at once, all active",
     "serve all of them",
     "make peer KIND=ping N=1100", many_clients},
    {"no_fd_leak",
     "connects and closes 1,000 times: politely, by half-close, by RST",
     "hold as many descriptors afterwards as before",
     "make peer KIND=rst N=1000", no_fd_leak},
    {"emfile_is_survived",
     "is more clients than the server has descriptors for",
     "not spin, and serve the waiting ones when descriptors come back",
     "ulimit -n 20; make run; make peer KIND=silent N=40", emfile_is_survived},
    {"idle_costs_nothing",
     "is 100 clients that say nothing",
     "use no processor time",
     "make peer KIND=silent N=100", idle_costs_nothing},
    {"stops_cleanly",
     "has connections open in every state when SIGTERM or SIGINT comes, also at the worst moment",
     "end with status 0 and the line `totals: clients N, bytes M`",
     "make peer KIND=flood, then press Ctrl-C in the server's terminal", stops_cleanly},
    {"bad_arguments_are_refused",
     "is the person at the keyboard, who mistypes",
     "say so in one clear line on stderr and end with status 2 (usage) or 1 (the world)",
     "start it with `-p abc; echo $?`", bad_arguments_are_refused},
    {"ndebug_still_serves",
     "meets the same program, built with -DNDEBUG",
     "work all the same: assert() is no error handling",
     "build it with -DNDEBUG and check that program", ndebug_still_serves},
};
/* clang-format on */
const size_t contract_row_count = sizeof contract_rows / sizeof contract_rows[0];

const struct contract_row *contract_find(const char *name)
{
    for (size_t i = 0; i < contract_row_count; i++)
        if (strcmp(contract_rows[i].name, name) == 0)
            return &contract_rows[i];
    return NULL;
}

/* --- symptoms --------------------------------------------------------------------------------- */

static const struct {
    const char *name, *words;
} symptoms[SYMPTOMS] = {
    [HOLDS] = {"HOLDS", "holds"},
    [SKIPPED] = {"SKIPPED", "was not run"},
    [NOT_STARTED] = {"NOT_STARTED", "does not start"},
    [NOT_SERVED] = {"NOT_SERVED", "leaves a client without an answer"},
    [WRONG_BYTES] = {"WRONG_BYTES", "returns bytes that were not sent"},
    [LOST_BYTES] = {"LOST_BYTES", "loses bytes"},
    [CLOSED_EARLY] = {"CLOSED_EARLY", "closes before everything is echoed"},
    [NEVER_CLOSED] = {"NEVER_CLOSED", "never closes a finished connection"},
    [SERVER_DIED] = {"SERVER_DIED", "dies"},
    [BURNS_CPU] = {"BURNS_CPU", "burns processor time for nothing"},
    [TOO_SLOW] = {"TOO_SLOW", "answers late"},
    [UNBOUNDED_MEMORY] = {"UNBOUNDED_MEMORY", "buffers without a bound"},
    [LEAKS_DESCRIPTORS] = {"LEAKS_DESCRIPTORS", "leaks descriptors"},
    [BAD_STATUS] = {"BAD_STATUS", "ends with the wrong status"},
    [BAD_WORDS] = {"BAD_WORDS", "says the wrong words"},
};

const char *symptom_name(enum symptom s)
{
    return s < SYMPTOMS ? symptoms[s].name : "?";
}

const char *symptom_in_words(enum symptom s)
{
    return s < SYMPTOMS ? symptoms[s].words : "?";
}

/* --- running ---------------------------------------------------------------------------------- */

void contract_run_row(const struct contract_row *row, struct contract_run *run)
{
    int64_t begin_ns = clock_now_ns();
    if (run->patience_ms == 0)
        run->patience_ms = PATIENCE_MS;
    run->started = run->cut_off = false;
    run->symptom = HOLDS;
    run->came_back[0] = run->note[0] = '\0';
    /* Until the row says more. */
    (void)snprintf(run->peer_did, sizeof run->peer_did, "%s", row->peer_does);

    row->run(run);
    (void)still_lives(run); /* its verdict, if any, is in the run */
    end_server(run);
    run->seconds = (double)(clock_now_ns() - begin_ns) / 1e9;
}
