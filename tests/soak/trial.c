/*
 * trial: see trial.h.
 */
#include "trial.h"

#include "harness/clock.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { START_MS = 30000, STOP_MS = 20000, VISIT_MS = 10000, LOOK_MS = 10, LOOKS = 64 };
enum { SECOND_VISIT_MS = 1000, CALM_MS = 300, CALM_WINDOWS = 4, CALM_LOOKS = 3, DYING_MS = 500 };

static const int64_t NS_PER_MS = 1000000;

static bool fails(struct trial *trial, const char *format, ...)
{
    va_list words;
    if (trial->result == TRIAL_FAILS)
        return false; /* the first reason explains the others */
    va_start(words, format);
    (void)vsnprintf(trial->why, sizeof trial->why, format, words);
    va_end(words);
    trial->result = TRIAL_FAILS;
    return false;
}

/* ---- figures --------------------------------------------------------------------------------- */

static struct trial_figures look(const struct trial *trial)
{
    struct trial_figures now = {.fds = server_fds(&trial->server),
                                .resident_kib = server_resident_kib(&trial->server)};
    return now;
}

static void keep_most(struct trial_figures *most, struct trial_figures now)
{
    if (now.fds > most->fds)
        most->fds = now.fds;
    if (now.resident_kib > most->resident_kib)
        most->resident_kib = now.resident_kib;
}

static void show_progress(const struct trial *trial, int64_t left_ns)
{
    struct trial_figures now = look(trial);
    if (trial->live)
        (void)fprintf(stderr,
                      "\r  ...   %-24.24s %4" PRId64 " s left, %d here, %" PRIu64 " came, "
                      "%d fds, %" PRId64 " MiB  ",
                      trial->subject->name, left_ns / 1000 / NS_PER_MS, trial->guests.present,
                      trial->guests.arrived, now.fds, now.resident_kib / 1024);
}

/* A server that dies closes its connections first: so wait for its end a moment. */
static bool lives_on(struct trial *trial, int ms)
{
    const int64_t deadline_ns = deadline_in_ms(ms);
    int status = 0;
    while (server_is_alive(&trial->server, &status)) {
        if (clock_now_ns() >= deadline_ns)
            return true;
        clock_pause_ms(LOOK_MS);
    }
    server_read_output(&trial->server);
    return fails(trial, "the server died, with status %d: %.200s", status, trial->server.err);
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* Somebody who half-closes and waits for the end: now the server has done all that it does once. */
static bool visit(struct trial *trial)
{
    struct client visitor = {.fd = -1};
    enum outcome o = client_connect(&visitor, &trial->server, deadline_in_ms(VISIT_MS));
    if (o == CLIENT_OK && client_shut_writing(&visitor) == 0)
        o = client_expect_end(&visitor, deadline_in_ms(VISIT_MS));
    client_close(&visitor);
    return o == CLIENT_OK || fails(trial, "the first visitor: %s", outcome_in_words(o));
}

/* Waits until no more than `most` descriptors are open, or for so long. */
static int settled_fds(const struct trial *trial, int most, int ms)
{
    const int64_t deadline_ns = deadline_in_ms(ms);
    int fds = server_fds(&trial->server);
    while (fds > most && clock_now_ns() < deadline_ns) {
        clock_pause_ms(LOOK_MS); /* no event tells of a descriptor that is closed elsewhere */
        fds = server_fds(&trial->server);
    }
    return fds;
}

/* What a server opens with its first client and keeps is no leak: hence a second visitor. */
static bool begins(struct trial *trial)
{
    const struct server_spec spec = {.argv = trial->subject->argv, .start_ms = START_MS};
    char why[400];
    if (server_start(&trial->server, &spec, why, sizeof why) < 0) {
        (void)fails(trial, "%s", why);
        if (strstr(why, "no queue") != NULL) /* the backend is not in this build, or not allowed */
            trial->result = TRIAL_SKIPPED;
        return false;
    }
    const int before = server_fds(&trial->server);
    if (!visit(trial))
        return false;
    trial->at_start.fds = settled_fds(trial, before, SECOND_VISIT_MS);
    trial->at_start.resident_kib = server_resident_kib(&trial->server);
    if (trial->at_start.fds > before && visit(trial))
        (void)settled_fds(trial, trial->at_start.fds, SECOND_VISIT_MS);
    return guests_open(&trial->guests, &trial->server, trial->count, trial->subject->lines) == 0 ||
           fails(trial, "no memory for %d guests", trial->count);
}

/* ---- the middle ------------------------------------------------------------------------------ */

static bool guest_fails(struct trial *trial)
{
    return lives_on(trial, DYING_MS) && fails(trial, "%s", trial->guests.why);
}

static bool talks(struct trial *trial)
{
    if (guests_gather(&trial->guests) < 0)
        return guest_fails(trial);
    keep_most(&trial->measure, look(trial));
    const int64_t began_ns = clock_now_ns(), cpu_ns = server_cpu_ns(&trial->server);
    for (int i = 0; i < LOOKS; i++) {
        const int64_t until_ns = began_ns + trial->duration_ns / LOOKS * (i + 1);
        const int64_t enough = trial->count + TRIAL_PER_PLACE * (int64_t)trial->count * i / LOOKS;
        if (guests_live(&trial->guests, until_ns, (uint64_t)enough) < 0)
            return guest_fails(trial);
        if (!lives_on(trial, 0))
            return false;
        if (i >= LOOKS / 4)
            keep_most(i < LOOKS / 2 ? &trial->measure : &trial->held, look(trial));
        show_progress(trial, began_ns + trial->duration_ns - until_ns);
    }
    trial->talked_ns = clock_now_ns() - began_ns;
    trial->cpu_ns = server_cpu_ns(&trial->server) - cpu_ns;
    return true;
}

static bool has_not_grown(struct trial *trial)
{
    const struct trial_figures *measure = &trial->measure, *held = &trial->held;
    const int most = trial->at_start.fds + trial->count + trial->count / TRIAL_LAG_PART;
    if (held->fds > most + TRIAL_SPARE_FDS)
        return fails(trial, "it holds %d descriptors for %d guests, %d without any", held->fds,
                     trial->count, trial->at_start.fds);
    if (!trial->sanitized && held->resident_kib > measure->resident_kib +
                                                      measure->resident_kib / TRIAL_GROWTH_PART +
                                                      TRIAL_SPARE_KIB)
        return fails(
            trial, "memory grows: at most %" PRId64 " KiB in the first half, %" PRId64 " KiB later",
            measure->resident_kib, held->resident_kib);
    return true;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* What it uses of one processor, in the calmest of some windows. */
static int calmest_percent(const struct trial *trial)
{
    int least = INT_MAX;
    for (int i = 0; i < CALM_WINDOWS; i++) {
        const int64_t from_ns = clock_now_ns(), cpu_ns = server_cpu_ns(&trial->server);
        clock_pause_ms((int)(CALM_MS * clock_slowdown()));
        const int64_t used_ns = server_cpu_ns(&trial->server) - cpu_ns;
        const int percent = (int)(100 * used_ns / (clock_now_ns() - from_ns));
        least = percent < least ? percent : least;
    }
    return least;
}

/*
 * On a machine where others want the processor, too, a server that never rests gets a small share
 * of it. But then it is ready to run all the time, and waits for its turn. The kernel counts a wait
 * when it is over, so one that began long ago may stand in one look, not in all.
 */
static bool is_idle(struct trial *trial)
{
    int percent = 0, ready = 0;
    for (int i = 0; i < CALM_LOOKS; i++) {
        const int64_t from_ns = clock_now_ns(), cpu_ns = server_cpu_ns(&trial->server);
        const int64_t waited_ns = server_waited_ns(&trial->server);
        percent = calmest_percent(trial);
        const int64_t ready_ns =
            server_cpu_ns(&trial->server) - cpu_ns + server_waited_ns(&trial->server) - waited_ns;
        ready = (int)(100 * ready_ns / (clock_now_ns() - from_ns));
        if (percent <= TRIAL_IDLE_PERCENT && ready <= TRIAL_READY_PERCENT)
            return true;
    }
    return fails(trial,
                 "with nobody there it never rests: %d %% of a processor used, and %d %% of the "
                 "time running or ready to run",
                 percent, ready);
}

static bool is_left_clean(struct trial *trial)
{
    if (guests_leave(&trial->guests) < 0)
        return guest_fails(trial);
    trial->at_end = look(trial);
    trial->at_end.fds = settled_fds(trial, trial->at_start.fds, TRIAL_SETTLE_MS);
    if (!lives_on(trial, 0))
        return false;
    if (trial->at_end.fds > trial->at_start.fds)
        return fails(trial, "%d descriptors at the start, %d when all had gone",
                     trial->at_start.fds, trial->at_end.fds);
    if (trial->subject->is_busy || server_cpu_ns(&trial->server) < 0)
        return true;
    return is_idle(trial);
}

/* Who was reset may never have been seen, and its bytes may not have come: so the totals lie
 * between what came back right and what was sent. The visitors are counted, too. */
static bool totals_fit(struct trial *trial, const char *totals)
{
    const struct guests *g = &trial->guests;
    uint64_t clients, bytes;
    const char *at = strstr(totals, "totals: clients ");
    if (at == NULL ||
        sscanf(at, "totals: clients %" SCNu64 ", bytes %" SCNu64, &clients, &bytes) != 2)
        return fails(trial, "no totals at the end, but: '%s'", totals);
    if (clients < g->whole || clients > g->arrived + 2)
        return fails(trial, "%" PRIu64 " guests came, %" PRIu64 " with all their bytes; it says %s",
                     g->arrived, g->whole, totals);
    if (bytes < g->received || bytes > g->sent)
        return fails(trial, "%" PRIu64 " bytes came back right of %" PRIu64 " sent; it says %s",
                     g->received, g->sent, totals);
    return true;
}

static void stops(struct trial *trial)
{
    struct server_end end = {0};
    server_stop(&trial->server, deadline_in_ms(STOP_MS), &end);
    if (trial->result != TRIAL_HOLDS)
        return;
    if (!end.in_time || end.status != 0)
        (void)fails(trial,
                    end.in_time ? "asked to stop, it ended with status %d"
                                : "asked to stop, it did not (%d)",
                    end.status);
    else
        (void)totals_fit(trial, end.totals);
}

void trial_run(struct trial *trial)
{
    if (begins(trial) && talks(trial) && has_not_grown(trial))
        (void)is_left_clean(trial);
    trial->arrived = trial->guests.arrived;
    trial->received = trial->guests.received;
    trial->put_off = trial->guests.put_off;
    stops(trial);
    guests_close(&trial->guests);
    server_kill(&trial->server);
    if (trial->live)
        (void)fprintf(stderr, "\r%79s\r", "");
}
