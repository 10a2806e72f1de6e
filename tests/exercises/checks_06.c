/*
 * checks_06: what the exercises of chapter 06 ask for: packets that tell of failures, slots of
 * AcceptEx, lent memory, and operations that are cancelled.
 *
 * The servers are Windows programs, and here Wine runs them. Nothing in this file judges by time
 * but what waits for an end, and that is generous.
 */
#include "checks.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/** What counted/watch_windows.c shall look at; NULL: no more. WSL hands on to Windows programs what
 *  stands in WSLENV. */
static void watch(const char *what, const char *value)
{
    if (value == NULL) {
        (void)unsetenv(what);
        (void)unsetenv("WSLENV");
        return;
    }
    (void)setenv(what, value, 1);
    (void)setenv("WSLENV", what, 1);
}

/** It is asked to stop; it must end in time, with status 0 and its totals. */
static bool ends_well(struct contract_run *run)
{
    struct totals totals;
    return stops(run, SIGINT, &totals);
}

/* --- 06.1: lent ------------------------------------------------------------------------------- */

void lent_memory_is_left_alone(struct contract_run *run)
{
    struct client one = new_client(6101), other = new_client(6102);
    did(run, "was two clients who talk at the same time; the program's calls were watched");
    (void)(starts(run) && connects(run, &one) && connects(run, &other) && pings(run, &one) &&
           pings(run, &other) && exchanges(run, &one, 200 * KIB, 5000) && pings(run, &other) &&
           still_lives(run) && ends_well(run));
    client_close(&one);
    client_close(&other);
}

/** The watcher says it when it happens for the first time. */
void two_are_in_flight(struct contract_run *run)
{
    struct client c = new_client(6111);
    did(run, "sent 200 KiB and read the echo; the program's calls were watched");
    watch("WATCH_BOTH", "1");
    if (starts(run) && connects(run, &c) && exchanges(run, &c, 200 * KIB, 5000) &&
        still_lives(run)) {
        server_read_output(&run->server);
        if (strstr(run->server.err, "watch: a receive and a send") == NULL)
            (void)red(run, TOO_SLOW,
                      "a receive and a send of one client were never in flight together");
    }
    watch("WATCH_BOTH", NULL);
    client_close(&c);
}

/* --- 06.2: FALSE is an answer ----------------------------------------------------------------- */

enum { RESETTERS = 40, IDLERS = 5 };

/** They are served, and then each has a receive in flight: the loop takes one packet after the
 *  other, so when a later client has its answer, those before it wait for their next bytes. */
static bool all_wait(struct contract_run *run, struct client *crowd, int n, struct client *other)
{
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        crowd[i] = new_client((uint32_t)(6201 + i));
        ok = connects(run, &crowd[i]) && pings(run, &crowd[i]);
    }
    return ok && pings(run, other) && pings(run, other);
}

static bool all_reset(struct contract_run *run, struct client *other)
{
    struct client crowd[RESETTERS];
    for (int i = 0; i < RESETTERS; i++)
        crowd[i] = new_client(1);
    bool ok = all_wait(run, crowd, RESETTERS, other);
    for (int i = 0; i < RESETTERS; i++)
        client_abort(&crowd[i]);
    return ok && pings(run, other) && serves_a_newcomer(run, 6299) && still_lives(run);
}

void resets_cost_one_client_each(struct contract_run *run)
{
    struct client other = new_client(6200);
    did(run, "%d clients were served and waited, and then all of them aborted (RST)",
        (int)RESETTERS);
    (void)(starts(run) && connects(run, &other) && pings(run, &other) && all_reset(run, &other));
    client_close(&other);
}

/** Wine counts descriptors of its own, some of which it opens late: so after the first crowd, and
 *  not the last one of them. */
void resets_leave_nothing(struct contract_run *run)
{
    struct client other = new_client(6200);
    did(run, "twice %d clients were served and waited, and then all of them aborted (RST)",
        (int)RESETTERS);
    bool ok = starts(run) && connects(run, &other) && pings(run, &other) && all_reset(run, &other);
    int before = ok ? fds_of(run) : -1, after = before;
    ok = ok && (before >= 0 || skip_row(run, "this system does not tell of descriptors")) &&
         all_reset(run, &other);
    int64_t end_ns = patience(run);
    while (ok && (after = fds_of(run)) > before && deadline_left_ms(end_ns) > 0)
        clock_pause_ms(5);
    if (ok && after - before >= RESETTERS / 2)
        (void)red(run, LEAKS_DESCRIPTORS,
                  "after the first %d it held %d descriptors, after the second %d: %d",
                  (int)RESETTERS, before, (int)RESETTERS, after);
    client_close(&other);
}

void stops_among_idle_clients(struct contract_run *run)
{
    struct client idle[IDLERS], other = new_client(6200);
    for (int i = 0; i < IDLERS; i++)
        idle[i] = new_client(1);
    did(run, "was %d clients who said nothing more, and then SIGINT, which arrives as Ctrl-C",
        (int)IDLERS + 1);
    (void)(starts(run) && connects(run, &other) && pings(run, &other) &&
           all_wait(run, idle, IDLERS, &other) && ends_well(run));
    for (int i = 0; i < IDLERS; i++)
        client_close(&idle[i]);
    client_close(&other);
}

/* --- 06.3: slots ------------------------------------------------------------------------------ */

enum { SILENT = 8, COMERS = 30 };

void silent_ones_hold_no_slot(struct contract_run *run)
{
    struct client silent[SILENT], talker = new_client(6301);
    bool ok = starts(run);
    did(run, "%d clients connected and said nothing; then one came who speaks", (int)SILENT);
    for (int i = 0; i < SILENT; i++)
        silent[i] = new_client((uint32_t)(6310 + i));
    for (int i = 0; ok && i < SILENT; i++)
        ok = connects(run, &silent[i]);
    ok = ok && connects(run, &talker) && pings(run, &talker);
    if (ok)
        did(run, "%d clients connected and said nothing, until one came who spoke", (int)SILENT);
    for (int i = 0; ok && i < SILENT; i++)
        ok = pings(run, &silent[i]);
    for (int i = 0; i < SILENT; i++)
        client_close(&silent[i]);
    client_close(&talker);
}

static bool all_come(struct contract_run *run, struct client *crowd)
{
    bool ok = true;
    for (int i = 0; ok && i < COMERS; i++) {
        crowd[i] = new_client((uint32_t)(6331 + i));
        ok = connects(run, &crowd[i]);
    }
    for (int i = 0; ok && i < COMERS; i++)
        ok = pings(run, &crowd[i]);
    return ok && still_lives(run);
}

void four_are_posted(struct contract_run *run)
{
    struct client crowd[COMERS];
    for (int i = 0; i < COMERS; i++)
        crowd[i] = new_client(1);
    did(run, "%d clients came, and were served; the program's calls were watched", (int)COMERS);
    watch("WATCH_ACCEPTS", "4");
    (void)(starts(run) && all_come(run, crowd) && ends_well(run));
    watch("WATCH_ACCEPTS", NULL);
    for (int i = 0; i < COMERS; i++)
        client_close(&crowd[i]);
}

/* --- 06.4: time's up -------------------------------------------------------------------------- */

enum { IDLE_MS = 1500, LATE_MS = 3500 };

/** Time's up for it: closed some time after IDLE_MS. */
static bool is_closed(struct contract_run *run, struct client *c)
{
    enum outcome o = client_expect_end(c, deadline_in_ms(LATE_MS) + (int64_t)IDLE_MS * 1000000);
    if (o == CLIENT_TIMEOUT)
        return still_lives(run) && red(run, NEVER_CLOSED, "it was silent, and was still there");
    return went_well(run, o, "the silent client");
}

/** Comes and speaks once; then it is silent for good. */
static bool comes(struct contract_run *run, struct client *c)
{
    return connects(run, c) && pings(run, c);
}

void cancelled_one_is_awaited(struct contract_run *run)
{
    struct client c = new_client(6401);
    did(run, "was served once, and then said nothing; the program's memory was watched");
    (void)(starts(run) && comes(run, &c) && is_closed(run, &c) && serves_a_newcomer(run, 6402) &&
           still_lives(run) && ends_well(run));
    client_close(&c);
}

/** The watcher says what CancelIoEx() has answered, so nobody need guess when it was called. */
static bool is_cancelled(struct contract_run *run)
{
    int64_t end_ns = deadline_in_ms(LATE_MS) + (int64_t)IDLE_MS * 1000000;
    do {
        server_read_output(&run->server);
        if (strstr(run->server.err, "watch: CancelIoEx says") != NULL)
            return true;
        clock_pause_ms(5);
    } while (deadline_left_ms(end_ns) > 0);
    return still_lives(run) &&
           red(run, NEVER_CLOSED, "a client was silent, and CancelIoEx() was not called");
}

/** Whatever CancelIoEx() has said: the packet brings bytes, so they are echoed and the client stays
 *  until it is silent again. */
static void bytes_are_faster(struct contract_run *run, const char *outcome)
{
    struct client c = new_client(6411);
    watch("WATCH_CANCEL", outcome);
    (void)(starts(run) && comes(run, &c) && is_cancelled(run) && pings(run, &c) &&
           is_closed(run, &c) && still_lives(run) && ends_well(run));
    watch("WATCH_CANCEL", NULL);
    client_close(&c);
}

void not_found_is_no_end(struct contract_run *run)
{
    did(run, "was silent, and spoke just before it was cancelled: CancelIoEx() said FALSE, "
             "ERROR_NOT_FOUND, and then the packet with its bytes came");
    bytes_are_faster(run, "not_found");
}

void too_late_is_no_end(struct contract_run *run)
{
    did(run, "was silent, and spoke just as it was cancelled: CancelIoEx() said TRUE, and then the "
             "packet with its bytes came");
    bytes_are_faster(run, "too_late");
}
