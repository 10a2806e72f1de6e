/*
 * calls: see calls.h.
 *
 * The server runs under `strace -f -c`, which at the end writes to stderr how often each system
 * call was made. That includes the start of the program, the accept and the end. So we count
 * twice: one client has few answers, and then the same again with a few hundred more. What is more
 * in the second count was for these answers, and is shared by their number.
 *
 * Before each question the client pauses. Without that, the next one would be there before the
 * server under strace has come to rest: it would never wait, and never hear EAGAIN.
 *
 * strace is the child that the harness starts, and the server is strace's child. The harness finds
 * the process that listens and asks that one to stop; strace then ends by itself, with the server's
 * status. Both are in one process group, so that neither is left behind.
 */
#include "calls.h"

#include "acts.h"
#include "client.h"
#include "clock.h"
#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRIP_BYTES = 64,
    WARM_UP = 5,
    TRIPS = 300,
    PAUSE_MS = 2,
    TRIPS_LEAST = 50,
    TRIPS_MS = 1500,
    TRIPS_LEAST_MS = 600
};
enum { ANSWER_MS = 3000, STOP_MS = 5000, NO_SUCH_PROGRAM = 127 };
enum { TALLY_MOST = 96, CALL_NAME = 32, LINE = 128 };

enum { WHICH_COLUMNS = 48 };

/* ---- what strace says ------------------------------------------------------------------------ */

/* One system call, and how often it was made (later: for each answer). */
struct times {
    char name[CALL_NAME];
    double calls;
};

struct tally {
    size_t count;
    struct times of[TALLY_MOST];
};

/*
 *   % time     seconds  usecs/call     calls    errors syscall
 *   ------ ----------- ----------- --------- --------- ----------------
 *    57.14    0.000004           4         1         1 accept4
 *    42.86    0.000003           3         1           write
 *   ------ ----------- ----------- --------- --------- ----------------
 *   100.00    0.000007           3         2         1 total
 *
 * "errors" may be empty; in the line of the total (older ones) "usecs/call" as well, so we add up.
 */
static void read_line(struct tally *tally, const char *text, size_t len)
{
    char line[LINE], first[CALL_NAME], second[CALL_NAME];
    double calls;
    (void)snprintf(line, sizeof line, "%.*s", (int)len, text);
    int fields = sscanf(line, "%*s %*s %*s %lf %31s %31s", &calls, first, second);
    const char *name = fields == 3 ? second : first;
    if (fields < 2 || strcmp(name, "total") == 0 || tally->count == TALLY_MOST)
        return;
    (void)snprintf(tally->of[tally->count].name, CALL_NAME, "%s", name);
    tally->of[tally->count++].calls = calls;
}

/* False when the summary is not there, or not whole. */
static bool read_summary(struct tally *tally, const char *text)
{
    static const char last_word[] = " total";
    const char *line = strstr(text, "% time "); /* before it the server may have said something */
    tally->count = 0;
    if (line == NULL || strstr(line, last_word) == NULL)
        return false;
    while (*line != '\0') {
        size_t len = strcspn(line, "\n");
        read_line(tally, line, len);
        line += len + (line[len] == '\n');
    }
    return tally->count > 0;
}

static double calls_of(const struct tally *tally, const char *name)
{
    for (size_t i = 0; i < tally->count; i++)
        if (strcmp(tally->of[i].name, name) == 0)
            return tally->of[i].calls;
    return 0;
}

/* ---- two runs -------------------------------------------------------------------------------- */

/* One client asks up to `trips` times, but not much longer than `ms`. How often; -1: in vain. */
static int ask(const struct server *server, int trips, int ms)
{
    struct client one = {.fd = -1, .seed = 1};
    int64_t deadline_ns = deadline_in_ms(ANSWER_MS);
    bool answers = client_connect(&one, server, deadline_ns) == CLIENT_OK;
    for (int i = 0; answers && i < WARM_UP; i++)
        answers = client_ping(&one, TRIP_BYTES, deadline_ns, NULL) == CLIENT_OK;
    int n = 0;
    int64_t until_ns = deadline_in_ms(ms);
    for (; answers && n < trips && clock_now_ns() < until_ns; n += answers) {
        clock_pause_ms(PAUSE_MS);
        answers = client_ping(&one, TRIP_BYTES, deadline_in_ms(ANSWER_MS), NULL) == CLIENT_OK;
    }
    if (answers && client_shut_writing(&one) == 0) /* it shall have closed before it has to stop */
        (void)client_expect_end(&one, deadline_in_ms(ANSWER_MS));
    client_close(&one);
    return answers ? n : -1;
}

/* The server's whole life under strace. How many answers besides the warming up; -1: no figures. */
static int run(const char *program, int trips, int ms, struct tally *tally)
{
    const char *const argv[] = {"strace", "-qq", "-f", "-c", program, NULL};
    struct server server;
    struct server_end end;
    char why[WHY];
    if (server_start(&server, &(struct server_spec){.argv = argv}, why, sizeof why) != 0)
        return -1;
    int n = ask(&server, trips, ms);
    server_stop(&server, deadline_in_ms(STOP_MS), &end);
    /* How it ended is no question here: the acts and the rounds have asked it without strace, and
     * with it a sanitizer that traces by itself complains. */
    return end.in_time && read_summary(tally, server.err) ? n : -1;
}

/* ---- what is left over ----------------------------------------------------------------------- */

static long tenths(double calls)
{
    return lround(calls * 10);
}

/* The most frequent first; then by name, so that the lines of two steps can be compared. */
static int compare_calls(const void *a, const void *b)
{
    const struct times *x = a, *y = b;
    long more = tenths(y->calls) - tenths(x->calls);
    return more != 0 ? (more > 0) - (more < 0) : strcmp(x->name, y->name);
}

/* "2 recvfrom", "sendto" (that is one), "0.3 futex" */
static void write_times(const struct times *times, char buf[CALLS_WORDS])
{
    long n = tenths(times->calls);
    if (n == 10)
        (void)snprintf(buf, CALLS_WORDS, "%s", times->name);
    else if (n % 10 == 0)
        (void)snprintf(buf, CALLS_WORDS, "%ld %s", n / 10, times->name);
    else
        (void)snprintf(buf, CALLS_WORDS, "%.1f %s", times->calls, times->name);
}

static void write_which(const struct tally *tally, char words[CALLS_WORDS])
{
    char one[CALLS_WORDS];
    for (size_t i = 0; i < tally->count && tenths(tally->of[i].calls) > 0; i++) {
        write_times(&tally->of[i], one);
        if (strlen(words) + strlen(", ") + strlen(one) > WHICH_COLUMNS) {
            words_add(words, CALLS_WORDS, ", ...");
            return;
        }
        words_add(words, CALLS_WORDS, "%s%s", i > 0 ? ", " : "", one);
    }
}

static void share(struct calls *calls, struct tally *more, const struct tally *less, int answers)
{
    calls->each = 0;
    calls->which[0] = '\0';
    for (size_t i = 0; i < more->count; i++) {
        more->of[i].calls = (more->of[i].calls - calls_of(less, more->of[i].name)) / answers;
        calls->each += more->of[i].calls;
    }
    qsort(more->of, more->count, sizeof more->of[0], compare_calls);
    write_which(more, calls->which);
}

static int scaled(int usual, int least, double scale)
{
    return usual * scale > least ? (int)(usual * scale) : least;
}

void calls_count(struct calls *calls, const struct step *step, const char *build, double scale)
{
    static struct tally less, more; /* static: large */
    char program[WHY];
    int trips = scaled(TRIPS, TRIPS_LEAST, scale), ms = scaled(TRIPS_MS, TRIPS_LEAST_MS, scale);
    (void)step_path(step, build, program, sizeof program);
    int answers = run(program, 0, 0, &less) < 0 ? -1 : run(program, trips, ms, &more);
    if (answers > 0) {
        share(calls, &more, &less, answers);
        return;
    }
    calls->each = UNKNOWN;
    (void)snprintf(calls->which, sizeof calls->which, "could not be counted: no answer, or no end");
}

bool calls_can_be_counted(char why_not[CALLS_WORDS])
{
    static const char *const argv[] = {"strace", "-qq", "-f", "-c", "true", NULL};
    static struct tally tally;
    struct server nothing;
    struct server_end end;
    const struct server_spec spec = {.argv = argv, .bare = true};
    if (server_run_to_end(&nothing, &spec, &end) != 0)
        (void)snprintf(why_not, CALLS_WORDS,
                       "System calls are not counted: strace is not here. It is a program for "
                       "Linux, in the package strace.");
    else if (end.status != 0 || !read_summary(&tally, nothing.err))
        (void)snprintf(why_not, CALLS_WORDS,
                       "System calls are not counted: strace is here, but may not trace. In a "
                       "container that takes --cap-add=SYS_PTRACE.");
    else
        return true;
    return false;
}
