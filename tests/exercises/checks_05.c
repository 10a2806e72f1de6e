/*
 * checks_05: what the exercises of chapter 05 ask for: kqueue, its errors and its last words.
 */
#include "checks.h"
#include "counter.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- 05.1: one call --------------------------------------------------------------------------- */

enum { CROWD = 50, MOST_CALLS = 20, SOON_MS = 2000 };

/** All come and speak while the server is stopped, so that it finds them all at once. */
static bool all_come_at_once(struct contract_run *run, struct client *crowd)
{
    bool ok = freezes(run);
    for (int i = 0; ok && i < CROWD; i++)
        ok = connects(run, &crowd[i]) && sends(run, &crowd[i], 1);
    thaws(run);
    for (int i = 0; ok && i < CROWD; i++)
        ok = gets_back(run, &crowd[i], 1);
    return ok;
}

void changes_cost_no_call(struct contract_run *run)
{
    struct client crowd[CROWD], first = new_client(5100);
    struct counter counter;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = new_client((uint32_t)(5101 + i));
    did(run, "was %d clients who came and sent a byte at the same time", (int)CROWD);
    bool ok =
        counter_open(run, &counter) && starts(run) && connects(run, &first) && pings(run, &first);
    unsigned long before = ok ? calls_of(&counter, CALLS_KEVENT) : 0;
    ok = ok && all_come_at_once(run, crowd);
    unsigned long calls = ok ? calls_of(&counter, CALLS_KEVENT) - before : 0;
    if (ok && before == 0)
        (void)red(run, TOO_SLOW, "it never called kevent()");
    else if (calls > MOST_CALLS)
        (void)red(
            run, BURNS_CPU,
            "kevent() was called %lu times for %d new clients: a change has a call of its own",
            calls, (int)CROWD);
    counter_close(&counter);
    client_close(&first);
    for (int i = 0; i < CROWD; i++)
        client_close(&crowd[i]);
}

/** The one whom nobody watches is told so: its connection ends. */
static bool is_let_go(struct contract_run *run, struct client *c)
{
    enum outcome o = client_expect_end(c, deadline_in_ms(SOON_MS));
    return o == CLIENT_OK || o == CLIENT_CLOSED || o == CLIENT_RESET ||
           red(run, NEVER_CLOSED,
               "the second client is still connected, and nobody waits for what it says: its "
               "EV_ADD failed, and the server has not looked at the entry with EV_ERROR");
}

void failed_change_costs_one(struct contract_run *run)
{
    struct client first = new_client(5201), second = new_client(5202), third = new_client(5203);
    did(run, "was three clients; the EV_ADD for the second one failed with ENOMEM");
    (void)setenv("KEVENT_FAILS", "2", 1);
    (void)(starts(run) && connects(run, &first) && pings(run, &first) && connects(run, &second) &&
           is_let_go(run, &second) && still_lives(run) && pings(run, &first) &&
           connects(run, &third) && pings(run, &third));
    (void)unsetenv("KEVENT_FAILS");
    client_close(&first);
    client_close(&second);
    client_close(&third);
}

/* --- 05.2: last words ------------------------------------------------------------------------- */

/** All bytes and the end lie there when the server looks. They fit into the receive buffer that a
 *  new connection has (man 7 tcp, tcp_rmem). */
void last_words_are_answered(struct contract_run *run)
{
    enum { LAST_WORDS = 48000 };
    struct client c = new_client(5301);
    did(run, "sent %d bytes and ended its stream, while the server was stopped", (int)LAST_WORDS);
    bool ok = starts(run) && connects(run, &c) && pings(run, &c) && freezes(run) &&
              sends(run, &c, LAST_WORDS) && shuts_writing(run, &c) && arrives(run, &c);
    thaws(run);
    (void)(ok && gets_back(run, &c, LAST_WORDS) && sees_the_end(run, &c));
    client_close(&c);
}

/** The end lies there while the server still has bytes that it could not send. */
void slow_reader_speaks_last(struct contract_run *run)
{
    struct client c = new_client(5302), other = new_client(5303);
    c.receive_buffer = 64 * 1024;
    did(run, "sent without reading until nothing moved, ended its stream, then read");
    (void)(starts(run) && connects(run, &other) && connects(run, &c) && pings(run, &c) &&
           floods_until_it_stalls(run, &c, &other, STALL_MIB * MIB) && shuts_writing(run, &c) &&
           gets_back(run, &c, (size_t)(c.sent - c.received)) && sees_the_end(run, &c));
    client_close(&c);
    client_close(&other);
}

/* --- 05.3: a watchdog ------------------------------------------------------------------------- */

enum { LONG_MS = 60000, LIMIT_MS = 300, HANGS_MS = 4000, MOST_WAITS = 5 };

/** Runs the watchdog; it must end, and have printed this line. *ms is how long it took. */
static bool watchdog_says(struct contract_run *run, const char *const *words, const char *line,
                          int64_t *ms)
{
    const char *argv[8] = {run->argv[0]};
    for (size_t i = 0; words[i] != NULL; i++)
        argv[i + 1] = words[i];
    struct server_spec spec = {.argv = argv, .bare = true, .start_ms = HANGS_MS};
    struct server_end end;
    int64_t begin_ns = clock_now_ns();
    int err = server_run_to_end(&run->server, &spec, &end);
    *ms = (clock_now_ns() - begin_ns) / 1000000;
    server_kill(&run->server);
    run->server.out[strcspn(run->server.out, "\n")] = '\0';
    if (err != 0)
        return red(run, NOT_STARTED, "%.200s", run->server.err);
    if (!end.in_time)
        return red(run, TOO_SLOW, "it still ran after %d ms, and waited for what does not come",
                   (int)*ms);
    if (end.status != 0)
        return red(run, BAD_STATUS, "it ended with status %d; stderr says \"%.200s\"", end.status,
                   run->server.err);
    return strcmp(run->server.out, line) == 0 ||
           red(run, BAD_WORDS, "it printed \"%.100s\" and not \"%s\"", run->server.out, line);
}

void ends_at_once(struct contract_run *run)
{
    int64_t ms;
    did(run, "ran it with: %d sh -c 'exit 3'", (int)LONG_MS);
    (void)watchdog_says(run, (const char *[]){"60000", "sh", "-c", "exit 3", NULL}, "exited 3",
                        &ms);
}

void never_ends_by_itself(struct contract_run *run)
{
    char line[96];
    int64_t ms;
    (void)snprintf(line, sizeof line, "%s after 300 ms", twist_or("killed"));
    did(run, "ran it with: %d sleep 600", (int)LIMIT_MS);
    if (watchdog_says(run, (const char *[]){"300", "sleep", "600", NULL}, line, &ms) &&
        ms < LIMIT_MS)
        (void)red(run, TOO_SLOW, "it killed the child after %d ms already", (int)ms);
}

void watches_without_ticking(struct contract_run *run)
{
    struct counter counter;
    int64_t ms;
    did(run, "ran it with: %d sleep 1", (int)LONG_MS);
    bool ok = counter_open(run, &counter) &&
              watchdog_says(run, (const char *[]){"60000", "sleep", "1", NULL}, "exited 0", &ms);
    unsigned long calls = ok ? calls_of(&counter, CALLS_KEVENT) : 0;
    if (ok && calls == 0)
        (void)red(run, BURNS_CPU, "it never called kevent(), so it looked again and again");
    else if (calls > MOST_WAITS)
        (void)red(run, BURNS_CPU, "it called kevent() %lu times in a second", calls);
    counter_close(&counter);
}

void child_is_faster(struct contract_run *run)
{
    int64_t ms;
    did(run, "ran it with: %d sh -c 'exit 3', and the child ended before it was watched",
        (int)LONG_MS);
    (void)setenv("CHILD_IS_FASTER", "1", 1);
    (void)watchdog_says(run, (const char *[]){"60000", "sh", "-c", "exit 3", NULL}, "exited 3",
                        &ms);
    (void)unsetenv("CHILD_IS_FASTER");
}

/* --- 05.4: two knotes ------------------------------------------------------------------------- */

enum { PAIRS = 16, BATCHES = 3 };

/** Half of them are new, speak and end their stream; the others were there, and abort. The server
 *  finds each of them readable and writable in one look. */
static bool one_batch(struct contract_run *run, struct client *comers, struct client *leavers)
{
    bool ok = true;
    for (int i = 0; ok && i < PAIRS; i++)
        ok = connects(run, &leavers[i]) && pings(run, &leavers[i]);
    ok = ok && freezes(run);
    for (int i = 0; ok && i < PAIRS; i++) {
        ok = connects(run, &comers[i]) && sends(run, &comers[i], 10) &&
             shuts_writing(run, &comers[i]);
        client_abort(&leavers[i]);
    }
    thaws(run);
    for (int i = 0; ok && i < PAIRS; i++)
        ok = gets_back(run, &comers[i], 10) && sees_the_end(run, &comers[i]);
    return ok && still_lives(run);
}

void both_in_one_batch(struct contract_run *run)
{
    struct client comers[PAIRS], leavers[PAIRS];
    bool ok = starts(run);
    for (int batch = 0; ok && batch < BATCHES; batch++) {
        for (int i = 0; i < PAIRS; i++) {
            comers[i] = new_client((uint32_t)(5401 + i));
            leavers[i] = new_client((uint32_t)(5501 + i));
        }
        did(run,
            "was %d clients who came, spoke and ended, and %d who aborted, while the server was "
            "stopped",
            (int)PAIRS, (int)PAIRS);
        ok = one_batch(run, comers, leavers);
        for (int i = 0; i < PAIRS; i++) {
            client_close(&comers[i]);
            client_close(&leavers[i]);
        }
    }
    (void)(ok && serves_a_newcomer(run, 5600));
}
