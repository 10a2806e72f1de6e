/*
 * rows: the verbs. Each one calls the harness and turns what it answers into a verdict in words.
 */
#include "rows.h"

#include "../harness/clock.h"
#include "../harness/process.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    END_MS = 1000, /* a server that is asked to stop after its row: politely first, then by force */
    DEATH_MS = 300, /* a dying process closes its sockets a moment before it can be waited for */
    LOOK_MS = 5
};

/* --- verdicts --------------------------------------------------------------------------------- */

void did(struct contract_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(run->peer_did, sizeof run->peer_did, format, args);
    va_end(args);
}

bool red(struct contract_run *run, enum symptom s, const char *format, ...)
{
    if (run->symptom != HOLDS)
        return false; /* the first failure explains the later ones */
    va_list args;
    va_start(args, format);
    run->symptom = s;
    (void)vsnprintf(run->came_back, sizeof run->came_back, format, args);
    va_end(args);
    return false;
}

bool skip_row(struct contract_run *run, const char *format, ...)
{
    if (run->symptom != HOLDS)
        return false;
    va_list args;
    va_start(args, format);
    run->symptom = SKIPPED;
    (void)vsnprintf(run->came_back, sizeof run->came_back, format, args);
    va_end(args);
    return false;
}

bool not_shown_here(struct contract_run *run, const char *why)
{
    return skip_row(run, "%s%s", CONTRACT_NOT_SHOWN, why);
}

void note(struct contract_run *run, const char *format, ...)
{
    size_t at = strlen(run->note);
    if (at > 0 && at + 3 < sizeof run->note) {
        memcpy(run->note + at, "; ", 3);
        at += 2;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(run->note + at, sizeof run->note - at, format, args);
    va_end(args);
}

/* --- the server ------------------------------------------------------------------------------- */

int64_t patience(const struct contract_run *run)
{
    return deadline_in_ms(run->patience_ms);
}

bool starts_with_fds(struct contract_run *run, rlim_t max_fds)
{
    end_server(run);
    struct server_spec spec = {.argv = run->argv,
                               .max_fds = max_fds,
                               .stop_signal = run->stop_signal,
                               .start_ms = run->start_ms};
    char why[256] = "";
    if (server_start(&run->server, &spec, why, sizeof why) < 0) {
        server_kill(&run->server);
        return red(run, NOT_STARTED, "%s", why);
    }
    run->started = true;
    run->cut_off = false;
    return true;
}

bool starts(struct contract_run *run)
{
    return starts_with_fds(run, 0);
}

bool freezes(struct contract_run *run)
{
    if (server_freeze(&run->server, patience(run)) == 0)
        return true;
    return still_lives(run) && skip_row(run, "the server could not be stopped by SIGSTOP");
}

void thaws(struct contract_run *run)
{
    server_thaw(&run->server);
}

bool is_by_wine(const struct contract_run *run)
{
    return run->by_wine || run->server.wine > 0;
}

/** The start of the last non-empty line of a text. */
static const char *last_line(const char *text)
{
    const char *last = text;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL;)
        if (*++at != '\0' && *at != '\n')
            last = at;
    return last;
}

/** The line in which a sanitizer says what it has found, or NULL. */
static const char *sanitizer_line(const char *text)
{
    const char *found = strstr(text, "runtime error:");
    const char *summary = strstr(text, "SUMMARY: ");
    if (summary != NULL && strstr(summary, "Sanitizer") != NULL)
        return summary;
    if (found == NULL)
        found = strstr(text, "Sanitizer: ");
    while (found != NULL && found > text && found[-1] != '\n')
        found--;
    return found;
}

/** SERVER_DIED takes the place of any other verdict: it explains them. */
static bool died(struct contract_run *run, const char *how, const char *said)
{
    char before[CONTRACT_TEXT / 2] = "";
    if (run->symptom != HOLDS && run->symptom != SKIPPED)
        (void)snprintf(before, sizeof before, "; the client saw: %.200s", run->came_back);
    run->symptom = HOLDS;
    int len = (int)strcspn(said, "\n");
    return red(run, SERVER_DIED, "%s%s%.*s%s%s", how,
               *said ? ", last words: \"" : ", without a word", len, said, *said ? "\"" : "",
               before);
}

/** Waits a moment for the end of a server that has just cut off a client it should have kept. */
static bool is_alive(struct contract_run *run, int *status)
{
    int waited_ms = run->cut_off ? 0 : DEATH_MS;
    while (server_is_alive(&run->server, status)) {
        if (waited_ms >= DEATH_MS)
            return true;
        clock_pause_ms(LOOK_MS);
        waited_ms += LOOK_MS;
    }
    return false;
}

bool still_lives(struct contract_run *run)
{
    if (!run->started || run->symptom == SERVER_DIED)
        return run->symptom != SERVER_DIED;
    int status = 0;
    bool alive = is_alive(run, &status);
    server_read_output(&run->server);
    const char *report = sanitizer_line(run->server.err);
    if (report != NULL)
        return died(run, "a sanitizer has found an error in the server", report);
    if (alive)
        return true;
    char how[64];
    if (status >= 128)
        (void)snprintf(how, sizeof how, "the server was ended by signal %d (%s)", status - 128,
                       strsignal(status - 128));
    else
        (void)snprintf(how, sizeof how, "the server ended itself with status %d", status);
    return died(run, how, last_line(run->server.err));
}

void end_server(struct contract_run *run)
{
    if (!run->started)
        return;
    if (run->symptom == HOLDS) { /* politely: sanitizers report leaks at a proper exit */
        struct server_end end;
        server_stop(&run->server, deadline_in_ms(END_MS), &end);
        const char *report = sanitizer_line(run->server.err);
        if (report != NULL)
            (void)died(run, "a sanitizer has found an error in the server as it ended", report);
    }
    server_kill(&run->server);
    run->started = false;
}

/** The two figures of "totals: clients 3, bytes 1024"; more words may follow. */
static bool read_totals(const char *line, struct totals *t)
{
    int end = 0;
    return sscanf(line, "totals: clients %" SCNu64 ", bytes %" SCNu64 "%n", &t->clients, &t->bytes,
                  &end) == 2 &&
           (line[end] == '\0' || line[end] == ',');
}

bool stops(struct contract_run *run, int signo, struct totals *t)
{
    struct server_end end = {0};
    if (run->sanitized)
        server_ask_until_it_ends(&run->server, signo, patience(run));
    run->server.stop_signal = signo; /* it may have had one already, and be gone */
    server_stop(&run->server, patience(run), &end);
    run->started = false;
    const char *report = sanitizer_line(run->server.err);
    if (report != NULL)
        (void)died(run, "a sanitizer has found an error in the server as it ended", report);
    else if (!end.in_time)
        (void)red(run, BAD_STATUS, "it still ran %.1f s after signal %d",
                  (double)run->patience_ms * clock_slowdown() / 1000.0, signo);
    else if (end.status >= 128)
        (void)red(run, BAD_STATUS, "signal %d ended it (%s); its last line on stdout was \"%s\"",
                  end.status - 128, strsignal(end.status - 128), end.totals);
    else if (end.status != 0)
        (void)red(run, BAD_STATUS, "after signal %d it ended with status %d", signo, end.status);
    else if (!read_totals(end.totals, t))
        (void)red(run, BAD_WORDS, "its last line on stdout was \"%s\"", end.totals);
    if (end.unseen)
        note(run, "Wine killed it after it had said its totals, so its status was not seen");
    server_kill(&run->server);
    return run->symptom == HOLDS;
}

int64_t resident_kib_of(const struct contract_run *run)
{
    return run->blind ? -1 : server_resident_kib(&run->server);
}

int fds_of(const struct contract_run *run)
{
    return run->blind ? -1 : server_fds(&run->server);
}

/* --- the world around it ---------------------------------------------------------------------- */

int listen_anywhere(unsigned *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&name, &len) == 0) {
        *port = ntohs(name.sin_port);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* --- clients ---------------------------------------------------------------------------------- */

struct client new_client(uint32_t seed)
{
    return (struct client){.fd = -1, .seed = seed};
}

/** What an outcome that is not CLIENT_OK means for the server, when `got` bytes came back. */
static enum symptom meaning(enum outcome o, uint64_t got)
{
    switch (o) {
    case CLIENT_OK:
        return HOLDS;
    case CLIENT_TIMEOUT:
        return got > 0 ? LOST_BYTES : NOT_SERVED;
    case CLIENT_CLOSED:
        return CLOSED_EARLY;
    case CLIENT_RESET:
        return CLOSED_EARLY;
    case CLIENT_REFUSED:
        return NOT_SERVED;
    case CLIENT_WRONG_BYTES:
        return WRONG_BYTES;
    case CLIENT_LOCAL_LIMIT:
        return SKIPPED;
    }
    return NOT_SERVED;
}

/** Waiting is told with its length, everything else in the harness' words. */
static void in_words(const struct contract_run *run, enum outcome o, char *buf, size_t len)
{
    if (o == CLIENT_TIMEOUT)
        (void)snprintf(buf, len, "nothing for %.1f s",
                       (double)run->patience_ms * clock_slowdown() / 1000.0);
    else
        (void)snprintf(buf, len, "%s", outcome_in_words(o));
}

/** Keeps in mind that the server has closed, reset or refused: then it may be about to die. */
static void remember(struct contract_run *run, enum outcome o)
{
    if (o == CLIENT_CLOSED || o == CLIENT_RESET || o == CLIENT_REFUSED)
        run->cut_off = true;
}

bool went_well(struct contract_run *run, enum outcome o, const char *what)
{
    char end[96];
    if (o == CLIENT_OK)
        return true;
    remember(run, o);
    in_words(run, o, end, sizeof end);
    return red(run, meaning(o, 0), "%s: %s", what, end);
}

/** The same for a call that was to move n bytes, and moved `got` of them. */
static bool moved(struct contract_run *run, enum outcome o, const char *verb, uint64_t got,
                  size_t n)
{
    char end[96];
    if (o == CLIENT_OK)
        return true;
    remember(run, o);
    in_words(run, o, end, sizeof end);
    return red(run, meaning(o, got), "%s %" PRIu64 " of %zu byte%s, then: %s", verb, got, n,
               n == 1 ? "" : "s", end);
}

bool connects(struct contract_run *run, struct client *c)
{
    return went_well(run, client_connect(c, &run->server, patience(run)), "at connect");
}

bool sends(struct contract_run *run, struct client *c, size_t n)
{
    uint64_t before = c->sent;
    enum outcome o = client_send(c, n, patience(run));
    return moved(run, o, "the server took", c->sent - before, n);
}

bool sends_raw(struct contract_run *run, struct client *c, const void *buf, size_t len)
{
    return went_well(run, client_send_raw(c, buf, len, patience(run)), "while sending");
}

bool gets_back(struct contract_run *run, struct client *c, size_t n)
{
    uint64_t before = c->received;
    enum outcome o = client_expect(c, n, patience(run));
    return moved(run, o, "got", c->received - before, n);
}

bool exchanges(struct contract_run *run, struct client *c, size_t n, size_t max_piece)
{
    uint64_t before = c->received;
    enum outcome o = client_exchange(c, n, max_piece, patience(run));
    return moved(run, o, "got", c->received - before, n);
}

bool pings(struct contract_run *run, struct client *c)
{
    uint64_t before = c->received;
    enum outcome o = client_ping(c, 1, patience(run), NULL);
    return moved(run, o, "got", c->received - before, 1);
}

bool floods(struct contract_run *run, struct client *c, uint64_t most)
{
    enum { QUIET_MS = 60, PATIENCES = 4 }; /* quiet: the server does not want more */
    enum outcome o = client_flood(c, most, QUIET_MS, deadline_in_ms(PATIENCES * run->patience_ms));
    if (o == CLIENT_TIMEOUT)
        return red(run, TOO_SLOW, "the server still took bytes, a few at a time, after %.1f s",
                   (double)(PATIENCES * run->patience_ms) * clock_slowdown() / 1000.0);
    return went_well(run, o, "while flooding");
}

bool floods_until_it_stalls(struct contract_run *run, struct client *slow, struct client *other,
                            uint64_t most)
{
    uint64_t before;
    do {
        before = slow->sent;
        if (!floods(run, slow, most - before) || !pings(run, other))
            return false;
    } while (slow->sent > before && slow->sent < most);
    return true;
}

bool arrives(struct contract_run *run, struct client *c)
{
    enum outcome o = client_wait_delivered(c, patience(run));
    return o == CLIENT_OK || skip_row(run, "the system does not deliver to a stopped process");
}

bool shuts_writing(struct contract_run *run, struct client *c)
{
    if (client_shut_writing(c) == 0)
        return true;
    return red(run, CLOSED_EARLY, "the connection was gone before the client had shut its side");
}

bool sees_the_end(struct contract_run *run, struct client *c)
{
    enum outcome o = client_expect_end(c, patience(run));
    if (o == CLIENT_TIMEOUT)
        return red(run, NEVER_CLOSED, "all bytes came back, but no end of the stream for %.1f s",
                   (double)run->patience_ms * clock_slowdown() / 1000.0);
    return went_well(run, o, "at the end of the stream");
}

bool serves_a_newcomer(struct contract_run *run, uint32_t seed)
{
    struct client c = new_client(seed);
    bool ok = still_lives(run) && connects(run, &c) && exchanges(run, &c, 100, 30);
    client_close(&c);
    return ok;
}
