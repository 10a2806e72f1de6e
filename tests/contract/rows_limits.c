/*
 * rows_limits: many clients, few descriptors, and nothing to do.
 */
#include "rows.h"

#include "../harness/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/** What a row with a crowd says when memory for it is missing. */
static struct client *crowd(struct contract_run *run, size_t n)
{
    struct client *c = calloc(n, sizeof *c);
    for (size_t i = 0; c != NULL && i < n; i++)
        c[i] = new_client((uint32_t)(1000 + i));
    if (c == NULL)
        (void)skip_row(run, "no memory for %zu clients", n);
    return c;
}

/** Ends a row with a crowd: the verdict first, then the server, and only then the clients, whose
 *  resets (they leave nothing behind in TIME_WAIT) must not become part of this row. */
static void disperse(struct contract_run *run, struct client *c, size_t n)
{
    (void)still_lives(run);
    end_server(run);
    for (size_t i = 0; i < n; i++)
        client_abort(&c[i]);
    free(c);
}

/* --- many_clients ----------------------------------------------------------------------------- */

static void all_are_served(struct contract_run *run, struct client *c, size_t n)
{
    enum { BYTES = 100 };
    size_t served = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = connects(run, &c[i]);
    for (size_t i = 0; ok && i < n; i++)
        ok = sends(run, &c[i], BYTES);
    for (size_t i = 0; ok && i < n; i++) {
        ok = gets_back(run, &c[i], BYTES);
        served += ok;
    }
    for (size_t i = 0; ok && i < n; i += n / 8) /* and again, some of them */
        ok = exchanges(run, &c[i], BYTES, BYTES);
    did(run, "%zu clients connected and sent %d bytes each; served: %zu", n, (int)BYTES, served);
}

void many_clients(struct contract_run *run)
{
    enum { SPARE_FDS = 40 };
    long room = client_raise_limit();
    if (room < MANY_CLIENTS + SPARE_FDS) {
        (void)skip_row(run, "%d clients need more descriptors than this process may open (%ld)",
                       (int)MANY_CLIENTS, room);
        return;
    }
    struct client *c = crowd(run, MANY_CLIENTS);
    if (c != NULL && starts(run))
        all_are_served(run, c, MANY_CLIENTS);
    if (c != NULL)
        disperse(run, c, MANY_CLIENTS);
}

/* --- no_fd_leak ------------------------------------------------------------------------------- */

/** Every third client leaves politely, by half-close, by RST. */
static bool leaves(struct contract_run *run, struct client *c, size_t i)
{
    if (!gets_back(run, c, 1) || (i % 3 == 1 && !sees_the_end(run, c)))
        return false;
    if (i % 3 == 2)
        client_abort(c);
    else
        client_close(c);
    return true;
}

/** n clients at once connect, are served and leave. */
static bool come_and_go(struct contract_run *run, size_t n)
{
    struct client c[LEAK_AT_ONCE];
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        c[i] = new_client((uint32_t)i);
        ok = ok && connects(run, &c[i]) && sends(run, &c[i], 1) &&
             (i % 3 != 1 || shuts_writing(run, &c[i]));
    }
    for (size_t i = 0; ok && i < n; i++)
        ok = leaves(run, &c[i], i);
    for (size_t i = 0; i < n; i++)
        client_abort(&c[i]);
    return ok;
}

/** Many clients come and go, and then the server must hold as many descriptors as before. They are
 *  closed a moment after the client has seen its end: waits for it. */
static bool keeps_none_of_1000(struct contract_run *run, int before, int *after)
{
    for (int done = 0; done < LEAK_CONNECTS; done += LEAK_AT_ONCE)
        if (!come_and_go(run, LEAK_AT_ONCE))
            return false;
    int64_t deadline_ns = patience(run);
    int now = fds_of(run);
    for (; now > before && deadline_left_ms(deadline_ns) > 0; now = fds_of(run))
        clock_pause_ms(1);
    *after = now;
    if (now > before)
        return red(run, LEAKS_DESCRIPTORS, "%d descriptors before, %d afterwards", before, now);
    return true;
}

/** Where nobody tells the number: a server with few descriptors soon has none left. */
static void leaks_nothing_seen_from_outside(struct contract_run *run)
{
    enum { AT_ONCE = 20 };
    did(run, "%d clients, %d at a time, were served by a server with %d descriptors and left",
        (int)LEAK_BLIND_CONNECTS, (int)AT_ONCE, (int)LEAK_BLIND_FDS);
    note(run, "descriptors were not counted: this system does not tell");
    bool ok = starts_with_fds(run, LEAK_BLIND_FDS);
    for (int done = 0; ok && done < LEAK_BLIND_CONNECTS; done += AT_ONCE)
        ok = come_and_go(run, AT_ONCE);
    if (!ok && (run->symptom == NOT_SERVED || run->symptom == CLOSED_EARLY)) {
        run->symptom = HOLDS;
        (void)red(run, LEAKS_DESCRIPTORS, "it soon served nobody: its descriptors were used up");
    }
}

void no_fd_leak(struct contract_run *run)
{
    if (!starts(run))
        return;
    struct client first = new_client(1);
    bool ok = connects(run, &first) && pings(run, &first); /* what it opens once, it may keep */
    client_abort(&first);
    ok = ok && serves_a_newcomer(run, 2);
    int before = fds_of(run);
    if (ok && before < 0) {
        leaks_nothing_seen_from_outside(run);
        return;
    }
    int64_t settled_ns = deadline_in_ms(20); /* the last of the two may still be being closed */
    for (int now; ok && deadline_left_ms(settled_ns) > 0; clock_pause_ms(1))
        if ((now = fds_of(run)) < before)
            before = now;
    did(run, "%d clients, %d at a time, were served and left: politely, by half-close, by RST",
        (int)LEAK_CONNECTS, (int)LEAK_AT_ONCE);
    int after = before;
    if (!ok || keeps_none_of_1000(run, before, &after) || run->symptom != LEAKS_DESCRIPTORS)
        return;
    /* Wine counts its own: a thread that it starts late holds some. Those stay as they are when
       the next thousand comes; what a server leaks grows with every thousand. */
    if (run->by_wine) {
        run->symptom = HOLDS;
        (void)keeps_none_of_1000(run, after, &after);
    }
}

/* --- processor time --------------------------------------------------------------------------- */

/**
 * Percent of one processor that the server uses in a window; -1 when nobody tells.
 *
 * Of the time in which it could have one, that is: what it waited while others had the processors
 * is left out of the window. So a loop that never rests uses nearly 100 % on the busiest machine,
 * and a server that naps uses as little there as anywhere.
 */
static double cpu_percent(const struct contract_run *run, int window_ms)
{
    const struct server *s = &run->server;
    int64_t begin_ns = clock_now_ns(), used_ns = server_cpu_ns(s), waited_ns = server_waited_ns(s);
    if (run->blind || used_ns < 0)
        return -1;
    clock_pause_ms(window_ms); /* this is the measurement, not a hope */
    int64_t now_ns = server_cpu_ns(s);
    if (now_ns < 0)
        return -1;
    used_ns = now_ns - used_ns;
    int64_t could_ns = clock_now_ns() - begin_ns - (server_waited_ns(s) - waited_ns);
    return could_ns <= used_ns ? 100.0 : 100.0 * (double)used_ns / (double)could_ns;
}

/**
 * The calmest of a few windows; the first one that is calm enough ends it. A loop that never rests
 * is busy in all of them. A server that has only not finished yet what came before (the threads for
 * its last clients, on a busy machine) is so in the first ones.
 */
static double calmest_cpu_percent(const struct contract_run *run, int window_ms, double calm)
{
    double least = cpu_percent(run, window_ms);
    for (int i = 1; i < CPU_WINDOWS && least > calm; i++) {
        double percent = cpu_percent(run, window_ms);
        least = percent < least ? percent : least;
    }
    return least;
}

/** Waits until at least one of the waiting clients (IDLE_CLIENTS at most) has its answer, and marks
 *  it. The number of answers that came, 0 at the deadline, or -1 after a verdict. */
static int collect(struct contract_run *run, struct client *c, bool *answered, size_t n,
                   int64_t until_ns)
{
    int answers = 0;
    struct pollfd waiting[IDLE_CLIENTS];
    do {
        for (size_t i = 0; i < n; i++)
            waiting[i] = (struct pollfd){.fd = answered[i] ? -1 : c[i].fd, .events = POLLIN};
        int left_ms = deadline_left_ms(until_ns);
        if (poll(waiting, (nfds_t)n, left_ms) <= 0)
            break;
        for (size_t i = 0; i < n; i++)
            if (waiting[i].revents != 0) {
                if (!gets_back(run, &c[i], 1))
                    return -1;
                answered[i] = true;
                answers++;
            }
    } while (answers == 0 && deadline_left_ms(until_ns) > 0);
    return answers;
}

/* --- emfile_is_survived ----------------------------------------------------------------------- */

/** The clients that are answered make room, until all have been answered. */
static void all_get_their_turn(struct contract_run *run, struct client *c, bool *answered, size_t n)
{
    int64_t deadline_ns = patience(run);
    for (;;) {
        size_t done = 0;
        for (size_t i = 0; i < n; i++)
            if (answered[i]) {
                client_close(&c[i]);
                done++;
            }
        if (done == n)
            return;
        int more = collect(run, c, answered, n, deadline_ns);
        if (more < 0)
            return;
        if (more == 0) {
            (void)red(run, NOT_SERVED,
                      "%zu of %zu were answered, the others not, although "
                      "descriptors had come back",
                      done, n);
            return;
        }
    }
}

/** What the server uses for one client that says nothing: some steps never rest, by design. */
static double usual_cpu_percent(struct contract_run *run)
{
    struct client one = new_client(7);
    double percent = -1;
    if (connects(run, &one) && pings(run, &one))
        percent = calmest_cpu_percent(run, EMFILE_WINDOW_MS / 2, NEVER_IDLE_PERCENT);
    client_close(&one);
    return percent;
}

static void more_clients_than_descriptors(struct contract_run *run, struct client *c, size_t n)
{
    bool answered[EMFILE_CLIENTS] = {false};
    double idle = usual_cpu_percent(run);
    for (size_t i = 0; i < n; i++)
        if (!connects(run, &c[i]) || !sends(run, &c[i], 1))
            return;
    int first = collect(run, c, answered, n, patience(run));
    if (first <= 0) {
        (void)red(run, NOT_SERVED, "not one of %zu clients was answered", n);
        return;
    }
    double busy = calmest_cpu_percent(run, EMFILE_WINDOW_MS, EMFILE_CPU_PERCENT);
    if (idle < 0 || busy < 0)
        note(run, "its processor time was not measured: this system does not tell");
    else if (idle > (double)NEVER_IDLE_PERCENT)
        note(run, "its processor time was not judged: it never rests (see idle_costs_nothing)");
    else if (busy - idle > (double)EMFILE_CPU_PERCENT) {
        (void)red(run, BURNS_CPU,
                  "no descriptor was free, and the server used %.0f %% of a "
                  "processor; before it was %.0f %%",
                  busy, idle);
        return;
    }
    all_get_their_turn(run, c, answered, n);
}

void emfile_is_survived(struct contract_run *run)
{
    if (!starts(run))
        return;
    if (is_by_wine(run)) {
        (void)not_shown_here(run, "a limit of descriptors would hit Wine's own processes; it is no "
                                  "limit of the handles that a Windows program may have");
        return;
    }
    int opened = fds_of(run);
    int limit = opened < 0 ? EMFILE_BLIND_FDS : opened + EMFILE_SPARE_FDS;
    did(run, "%d clients came to a server with %d descriptors", (int)EMFILE_CLIENTS, limit);
    if (!starts_with_fds(run, (rlim_t)limit)) {
        run->symptom = HOLDS;
        (void)skip_row(run, "the program does not start with %d descriptors", limit);
        return;
    }
    struct client *c = crowd(run, EMFILE_CLIENTS);
    if (c != NULL) {
        more_clients_than_descriptors(run, c, EMFILE_CLIENTS);
        disperse(run, c, EMFILE_CLIENTS);
    }
}

/* --- idle_costs_nothing ----------------------------------------------------------------------- */

static void rests_among(struct contract_run *run, struct client *c, size_t n)
{
    enum { SETTLE_MS = 80 };
    bool answered[IDLE_CLIENTS] = {false};
    size_t connected = 0;
    while (connected < n && connects(run, &c[connected]) && sends(run, &c[connected], 1))
        connected++;
    /* A server that takes one client at a time answers only the first: that is another row's
     * matter. What counts here is that whoever will be answered has been. */
    int first = connected < n ? -1 : collect(run, c, answered, n, patience(run));
    if (first == 0)
        (void)red(run, NOT_SERVED, "not one of %zu clients was answered", n);
    while (first > 0)
        first = collect(run, c, answered, n, deadline_in_ms(SETTLE_MS));
    if (run->symptom != HOLDS)
        return;
    double percent = calmest_cpu_percent(run, IDLE_WINDOW_MS, IDLE_CPU_PERCENT);
    if (percent < 0)
        (void)skip_row(run, "this system does not tell a process' processor time");
    else if (percent > (double)IDLE_CPU_PERCENT)
        (void)red(run, BURNS_CPU,
                  "for %d ms nobody said anything, and the server used %.0f %% of a "
                  "processor",
                  (int)IDLE_WINDOW_MS, percent);
}

void idle_costs_nothing(struct contract_run *run)
{
    did(run, "%d clients connected, sent one byte each, and then nothing", (int)IDLE_CLIENTS);
    struct client *c = crowd(run, IDLE_CLIENTS);
    if (c != NULL && starts(run))
        rests_among(run, c, IDLE_CLIENTS);
    if (c != NULL)
        disperse(run, c, IDLE_CLIENTS);
}
