/*
 * checks_03: what the exercises of chapter 03 ask for: a compact array, and timers.
 */
#include "checks.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- 03.1: random_leavers --------------------------------------------------------------------- */

enum { CROWD = 100, COMERS = 1000, ALL_LOOK_EVERY = 50 };

/** A repeatable choice: who leaves, and how. */
static uint32_t next_choice(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/** Everybody who is there still gets its own bytes, and nobody else's. */
static bool all_are_served(struct contract_run *run, struct client *crowd)
{
    for (int i = 0; i < CROWD; i++)
        if (!sends(run, &crowd[i], 10))
            return false;
    for (int i = 0; i < CROWD; i++)
        if (!gets_back(run, &crowd[i], 10))
            return false;
    return true;
}

/** One leaves, another one comes in its place. */
static bool one_for_another(struct contract_run *run, struct client *place, uint32_t choice,
                            uint32_t seed)
{
    if (choice % 2 == 0)
        client_close(place);
    else
        client_abort(place);
    *place = new_client(seed);
    return connects(run, place) && pings(run, place);
}

void random_leavers(struct contract_run *run)
{
    struct client crowd[CROWD];
    uint32_t state = 1;
    int come = 0;
    bool ok = starts(run);
    for (int i = 0; i < CROWD; i++)
        crowd[i] = new_client((uint32_t)(2001 + i));
    did(run, "%d clients came", (int)CROWD);
    for (int i = 0; ok && i < CROWD; i++)
        ok = connects(run, &crowd[i]) && pings(run, &crowd[i]);
    for (; ok && come < COMERS; come++) {
        uint32_t who = next_choice(&state) % CROWD;
        did(run, "%d clients are there; one left, politely or by RST, for the %d. time", (int)CROWD,
            come + 1);
        ok = one_for_another(run, &crowd[who], next_choice(&state), (uint32_t)(3001 + come)) &&
             (come % ALL_LOOK_EVERY != 0 || all_are_served(run, crowd));
    }
    (void)(ok && all_are_served(run, crowd));
    for (int i = 0; i < CROWD; i++)
        client_close(&crowd[i]);
}

/* --- 03.2: timers ----------------------------------------------------------------------------- */

enum { IDLE_MS = 1500, LATE_MS = 1000, CHAT_MS = 100, TICK_WINDOW_MS = 500, MOST_TICKS = 10 };

/** The silent client's end: not before IDLE_MS, not much later. */
static bool closed_in_time(struct contract_run *run, int64_t silent_since_ns, enum outcome o)
{
    int64_t after_ms = (clock_now_ns() - silent_since_ns) / 1000000;
    if (o == CLIENT_TIMEOUT)
        return red(run, NEVER_CLOSED, "it was silent for %" PRId64 " ms, and was still there",
                   after_ms);
    if (o != CLIENT_OK)
        return went_well(run, o, "the silent client");
    return after_ms >= IDLE_MS ||
           red(run, CLOSED_EARLY, "it was closed after %" PRId64 " ms", after_ms);
}

static int64_t latest_ns(void)
{
    return deadline_in_ms(LATE_MS) + (int64_t)IDLE_MS * 1000000;
}

void silent_one_is_closed(struct contract_run *run)
{
    struct client c = new_client(2101);
    did(run, "was served once, and then said nothing");
    if (starts(run) && connects(run, &c)) {
        int64_t since_ns = clock_now_ns(); /* before the server has its byte: never too strict */
        if (pings(run, &c))
            (void)closed_in_time(run, since_ns, client_expect_end(&c, latest_ns()));
    }
    client_close(&c);
}

void chatty_hides_nobody(struct contract_run *run)
{
    struct client silent = new_client(2201), chatty = new_client(2202);
    did(run, "said nothing, while another client said something every %d ms", (int)CHAT_MS);
    bool ok = starts(run) && connects(run, &chatty) && connects(run, &silent);
    int64_t since_ns = clock_now_ns(), late_ns = latest_ns();
    enum outcome o = CLIENT_TIMEOUT;
    ok = ok && pings(run, &silent);
    while (ok && o == CLIENT_TIMEOUT && deadline_left_ms(late_ns) > 0) {
        ok = pings(run, &chatty);
        o = client_expect_end(&silent, clock_now_ns() + (int64_t)CHAT_MS * 1000000);
    }
    (void)(ok && closed_in_time(run, since_ns, o) && pings(run, &chatty));
    client_close(&silent);
    client_close(&chatty);
}

/** How often the process has gone to sleep by itself; -1 where the system does not tell. */
static long sleeps_of(const struct contract_run *run)
{
    char path[64], line[128];
    long count = -1;
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)run->server.pid);
    FILE *file = run->blind ? NULL : fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    if (file != NULL)
        (void)fclose(file);
    return count;
}

void nothing_ticks(struct contract_run *run)
{
    struct client c = new_client(2301);
    did(run, "was silent for %d ms, while nothing was due", (int)TICK_WINDOW_MS);
    if (starts(run) && connects(run, &c) && pings(run, &c)) {
        long before = sleeps_of(run);
        clock_pause_ms(TICK_WINDOW_MS);
        long ticks = sleeps_of(run) - before;
        if (before < 0)
            (void)skip_row(run, "this system does not tell how often a process sleeps");
        else if (ticks > MOST_TICKS)
            (void)red(run, BURNS_CPU, "it woke up %ld times for nothing", ticks);
    }
    client_close(&c);
}

/* --- 03.3: posts ------------------------------------------------------------------------------ */

enum { SLEEPY_POSTS = 1000, EARLY_POSTS = 200000, POSTS = 1000000, TSAN_POSTS = 20000 };

/* A pipe of Linux holds 16 pages (man 7 pipe); other systems' pipes hold no more. */
enum { PIPE_PAGES = 16 };

/** Runs the program with these words; it must handle so many posts, and each of them once. */
static void handles_all(struct contract_run *run, const char *how, unsigned long count)
{
    enum { LONGEST_MS = 15000, HANGS_MS = 5000 };
    char number[24], want[96];
    const char *argv[] = {run->argv[0], how, number, NULL};
    struct server_spec spec = {
        .argv = argv, .bare = true, .start_ms = count >= POSTS ? LONGEST_MS : HANGS_MS};
    struct server_end end;
    (void)snprintf(number, sizeof number, "%lu", count);
    (void)snprintf(want, sizeof want, "handled %lu, sum %lu\n", count, count * (count + 1) / 2);
    int err = server_run_to_end(&run->server, &spec, &end);
    server_kill(&run->server);
    if (err != 0)
        (void)red(run, NOT_STARTED, "%.200s", run->server.err);
    else if (!end.in_time)
        (void)red(run, TOO_SLOW, "it had not handled them after %.0f s: somebody waits for good",
                  spec.start_ms * clock_slowdown() / 1000);
    else if (end.status != 0)
        (void)red(run, BAD_STATUS, "it ended with status %d; stderr says \"%.200s\"", end.status,
                  run->server.err);
    else if (strcmp(run->server.out, want) != 0)
        (void)red(run, LOST_BYTES, "it said \"%.*s\" and not \"%.*s\"",
                  (int)strcspn(run->server.out, "\n"), run->server.out, (int)strlen(want) - 1,
                  want);
}

void posts_to_a_sleeper(struct contract_run *run)
{
    did(run, "posted %d times, each time when the last work was handled and the loop went to sleep",
        (int)SLEEPY_POSTS);
    handles_all(run, "sleepy", SLEEPY_POSTS);
}

void posts_before_the_loop(struct contract_run *run)
{
    long two_pipes = 2 * PIPE_PAGES * sysconf(_SC_PAGESIZE);
    unsigned long count = two_pipes > EARLY_POSTS ? (unsigned long)two_pipes : EARLY_POSTS;
    did(run, "posted %lu times before the loop looked for the first time", count);
    handles_all(run, "early", count);
}

void million_posts(struct contract_run *run)
{
    did(run, "posted %d times from two threads, as fast as it could", (int)POSTS);
    handles_all(run, "race", POSTS);
}

void posts_without_a_race(struct contract_run *run)
{
    did(run, "posted %d times from two threads; ThreadSanitizer looked on", (int)TSAN_POSTS);
    handles_all(run, "race", TSAN_POSTS);
}
