/*
 * rows_life: how the program begins, how it ends, and how it was built.
 */
#include "rows.h"

#include "../harness/clock.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- stops_cleanly ---------------------------------------------------------------------------- */

enum { CROWD = 50 };

/** A moment at which the signal comes: what is going on, and how to bring it about. */
struct moment {
    const char *words;
    bool (*prepare)(struct contract_run *run, struct client *c);
    int times;
    bool frozen; /* the signal waits, with whatever else has arrived, until the server goes on */
    bool twice;  /* impatient people press Ctrl-C twice */
    bool other;  /* by SIGINT instead of SIGTERM, or the other way round */
};

static bool nobody(struct contract_run *run, struct client *c)
{
    (void)run, (void)c;
    return true;
}

static bool three_silent(struct contract_run *run, struct client *c)
{
    return connects(run, &c[0]) && connects(run, &c[1]) && connects(run, &c[2]);
}

static bool one_served(struct contract_run *run, struct client *c)
{
    return connects(run, &c[0]) && pings(run, &c[0]);
}

/* A server that keeps its clients in an array moves the last one to the place of the first: it must
 * be found there when it leaves itself, or somebody is ended twice now. */
static bool the_middle_one_left(struct contract_run *run, struct client *c)
{
    bool ok = three_silent(run, c) && pings(run, &c[0]) && shuts_writing(run, &c[0]) &&
              sees_the_end(run, &c[0]);
    client_close(&c[0]);
    client_close(&c[2]); /* its end is not awaited: it may be waiting to be accepted */
    return ok && pings(run, &c[1]) && pings(run, &c[1]);
}

static bool one_flooding(struct contract_run *run, struct client *c)
{
    return connects(run, &c[0]) && floods(run, &c[0], STALL_MIB * MIB);
}

static bool one_half_closed(struct contract_run *run, struct client *c)
{
    return connects(run, &c[0]) && floods(run, &c[0], MIB) && shuts_writing(run, &c[0]);
}

static bool one_with_data_waiting(struct contract_run *run, struct client *c)
{
    return one_served(run, c) && freezes(run) && sends(run, &c[0], 10000);
}

static bool a_crowd_arriving(struct contract_run *run, struct client *c)
{
    bool ok = true;
    for (int i = 0; ok && i < CROWD; i++)
        ok = connects(run, &c[i]);
    return ok;
}

static bool a_crowd_in_the_queue(struct contract_run *run, struct client *c)
{
    return freezes(run) && a_crowd_arriving(run, c);
}

static const struct moment moments[] = {
    {"right after its first line", nobody, 6, false, false, false},
    {"twice, right after its first line", nobody, 2, false, true, false},
    {"with three silent clients", three_silent, 2, false, false, false},
    {"with one client that has been served", one_served, 2, false, false, false},
    {"with the second of three clients, when the others had left", the_middle_one_left, 2, false,
     false, false},
    {"with a client that sends and never reads", one_flooding, 1, false, false, false},
    {"with a half-closed client that does not read", one_half_closed, 1, false, false, false},
    {"with data waiting, all in one moment", one_with_data_waiting, 3, true, false, false},
    {"twice, with data waiting", one_with_data_waiting, 2, true, true, false},
    {"with 50 clients just connected", a_crowd_arriving, 2, false, false, false},
    {"with 50 clients to be accepted, all in one moment", a_crowd_in_the_queue, 2, true, false,
     false},
    {"with one client that has been served", one_served, 2, false, false, true},
};

/** What asks a server that runs to stop. */
static int usual_signal(const struct contract_run *run)
{
    return run->server.stop_signal != 0 ? run->server.stop_signal : SIGTERM;
}

static int signal_for(const struct contract_run *run, const struct moment *m)
{
    int usual = usual_signal(run);
    /* A platform that names one signal has only that one. */
    if (!m->other || run->stop_signal != 0 || is_by_wine(run))
        return usual;
    return usual == SIGTERM ? SIGINT : SIGTERM;
}

static bool stops_at(struct contract_run *run, const struct moment *m)
{
    struct client c[CROWD];
    struct totals totals;
    for (int i = 0; i < CROWD; i++)
        c[i] = new_client((uint32_t)i);
    bool ok = starts(run);
    int signo = signal_for(run, m);
    did(run, "%s came %s", signo == SIGINT ? "SIGINT" : "SIGTERM", m->words);
    ok = ok && m->prepare(run, c) && still_lives(run);
    if (ok && (m->twice || m->frozen))
        (void)kill(run->server.pid, signo); /* it may end at the first one */
    if (ok && m->frozen)
        thaws(run);
    ok = ok && stops(run, signo, &totals);
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
    return ok;
}

/** Five bytes for one client that has come and gone: the totals must say exactly this. */
static void counts_right(struct contract_run *run)
{
    struct client c = new_client(9);
    struct totals t;
    did(run,
        "one client sent 5 bytes, got them, and the connection was closed; then the signal came");
    bool ok = starts(run) && connects(run, &c) && exchanges(run, &c, 5, 5) &&
              shuts_writing(run, &c) && sees_the_end(run, &c) && still_lives(run);
    client_close(&c);
    if (ok && stops(run, usual_signal(run), &t) && (t.clients != 1 || t.bytes != 5))
        (void)red(run, BAD_WORDS,
                  "it said clients %" PRIu64 ", bytes %" PRIu64 "; right is clients 1, bytes 5",
                  t.clients, t.bytes);
}

void stops_cleanly(struct contract_run *run)
{
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++)
        for (int n = 0; n < moments[i].times; n++)
            if (!stops_at(run, &moments[i]))
                return;
    counts_right(run);
}

/* --- bad_arguments_are_refused ---------------------------------------------------------------- */

enum { WORDS = 16 };

/** Words for the program, the status they must end with, and what its one line must mention. */
struct bad_case {
    const char *words[5];
    int status;
    const char *names[3]; /* one of them is enough; where the value is empty, the thing's name */
};

static const struct bad_case usage_cases[] = {
    {{"-p", "abc"}, 2, {"abc"}},
    {{"-p", "-1"}, 2, {"-1", "-p", "port"}},
    {{"-p", "70000"}, 2, {"70000"}},
    {{"-p", "99999999999999999999"}, 2, {"99999999999999999999"}},
    {{"-p", ""}, 2, {"port", "-p"}},
    {{"-p", "12x"}, 2, {"12x"}},
    {{"-p", " 1"}, 2, {" 1"}},
    {{"-p"}, 2, {"-p", "'p'", "-- p"}}, /* the latter two are what getopt() says */
    {{"-x"}, 2, {"-x", "'x'", "-- x"}},
    {{"-p", "0", "surplus"}, 2, {"surplus"}},
    {{"-p", "0", "-a", "nonsense"}, 2, {"nonsense"}},
    {{"-p", "0", "-a", ""}, 2, {"address", "-a"}},
};

/** How a case is shown to people: the words, empty ones in quotes. */
static const char *shown(const struct bad_case *b, char *buf, size_t len)
{
    size_t at = 0;
    buf[0] = '\0';
    for (int i = 0; i < 5 && b->words[i] != NULL && at < len; i++) {
        bool quote = b->words[i][0] == '\0' || b->words[i][0] == ' ';
        int n =
            snprintf(buf + at, len - at, quote ? "%s'%s'" : "%s%s", i > 0 ? " " : "", b->words[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return buf;
}

/** One more complaint. All are told, because the person who mends it wants to see all. */
static void complain(struct contract_run *run, enum symptom s, const struct bad_case *b,
                     const char *format, ...)
{
    char words[64], text[160];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text[strcspn(text, "\n")] = '\0';
    if (run->symptom == HOLDS)
        run->symptom = s;
    size_t at = strlen(run->came_back);
    if (at + 1 < sizeof run->came_back)
        (void)snprintf(run->came_back + at, sizeof run->came_back - at, "%s`%s`: %s",
                       at > 0 ? "; " : "", shown(b, words, sizeof words), text);
}

/** True if the text holds the word, whatever the case of its letters. */
static bool mentions(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < len && tolower((unsigned char)text[i]) == tolower((unsigned char)word[i]))
            i++;
        if (i == len)
            return true;
    }
    return false;
}

/** How long it may take to refuse: it depends on how long it takes to start at all. */
static int refusal_ms(struct contract_run *run)
{
    enum { LEAST_MS = 1000, FACTOR = 20 };
    int64_t begin_ns = clock_now_ns();
    if (!starts(run))
        return 0;
    end_server(run);
    int64_t ms = LEAST_MS + FACTOR * (clock_now_ns() - begin_ns) / 1000000;
    return ms < run->patience_ms ? (int)ms : run->patience_ms;
}

/** Runs the program with the words of a case and nothing else. False when it cannot be judged. */
static bool runs_with(struct contract_run *run, const struct bad_case *b, int wait_ms,
                      struct server_end *end)
{
    const char *argv[WORDS] = {NULL};
    size_t n = 0;
    for (; n < WORDS - 6 && run->argv[n] != NULL; n++)
        argv[n] = run->argv[n];
    for (int i = 0; i < 5 && b->words[i] != NULL; i++)
        argv[n++] = b->words[i];
    /* A program that accepts the words runs on. Once it has, it need not be given long again. */
    if (run->symptom != HOLDS && wait_ms > PATIENCE_BROKEN_MS)
        wait_ms = PATIENCE_BROKEN_MS;
    struct server_spec spec = {.argv = argv, .bare = true, .start_ms = wait_ms};
    if (server_run_to_end(&run->server, &spec, end) < 0) {
        server_kill(&run->server);
        (void)red(run, NOT_STARTED, "the program could not be run");
        return false;
    }
    return true;
}

static bool is_one_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end != NULL && end > text && end[1] == '\0';
}

static void refuses(struct contract_run *run, const struct bad_case *b, int wait_ms)
{
    struct server_end end = {0};
    if (run->symptom == NOT_STARTED || !runs_with(run, b, wait_ms, &end))
        return;
    const struct server *s = &run->server;
    bool named = false;
    for (int i = 0; i < 3 && b->names[i] != NULL; i++)
        named = named || mentions(s->err, b->names[i]);
    if (!end.in_time)
        complain(run, BAD_STATUS, b, "it ran on, status %d is right", b->status);
    else if (end.status >= 128)
        complain(run, BAD_STATUS, b, "ended by signal %d, status %d is right", end.status - 128,
                 b->status);
    else if (end.status != b->status)
        complain(run, BAD_STATUS, b, "status %d, right is %d", end.status, b->status);
    else if (*s->err == '\0')
        complain(run, BAD_WORDS, b, "status %d is right, but not a word on stderr", b->status);
    else if (!is_one_line(s->err))
        complain(run, BAD_WORDS, b, "more than one line on stderr: %.60s...", s->err);
    else if (!named)
        complain(run, BAD_WORDS, b, "its line does not name what is wrong: %.90s", s->err);
    else if (s->out_bytes != 0)
        complain(run, BAD_WORDS, b, "words on stdout, which is for the results: %.60s", s->out);
    server_kill(&run->server);
}

static void refuses_what_the_world_refuses(struct contract_run *run, int wait_ms)
{
    unsigned port = 0;
    char text[16];
    int taken = listen_anywhere(&port);
    (void)snprintf(text, sizeof text, "%u", port);
    if (taken >= 0) {
        refuses(run, &(struct bad_case){{"-p", text}, 1, {text, "in use"}}, wait_ms);
        (void)close(taken);
    }
    /* 192.0.2.1 is kept free for examples (RFC 5737): no machine has it. */
    refuses(run, &(struct bad_case){{"-p", "0", "-a", "192.0.2.1"}, 1, {"192.0.2.1", "address"}},
            wait_ms);
}

/** A port below 1,024, where this user may not have it. */
static void refuses_a_privileged_port(struct contract_run *run, int wait_ms)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) < 0 && errno == EACCES)
        refuses(run, &(struct bad_case){{"-p", "1"}, 1, {":1", "port 1", "denied"}}, wait_ms);
    else
        note(run, "privileged ports were left out: this user may have them");
    if (fd >= 0)
        (void)close(fd);
}

static void explains_itself(struct contract_run *run, int wait_ms)
{
    struct server_end end = {0};
    const struct bad_case help = {{"-h"}, 0, {"-p"}};
    if (run->symptom == NOT_STARTED || !runs_with(run, &help, wait_ms, &end))
        return;
    if (!end.in_time || end.status != 0)
        complain(run, BAD_STATUS, &help, "status %d, right is 0", end.status);
    else if (strstr(run->server.out, "-p") == NULL || strstr(run->server.out, "-a") == NULL)
        complain(run, BAD_WORDS, &help, "stdout does not explain both -p and -a");
    server_kill(&run->server);
}

void bad_arguments_are_refused(struct contract_run *run)
{
    did(run, "started it with a wrong port, address, option or word, with a port in use, with an "
             "address that is not this machine's, and with -h");
    int wait_ms = refusal_ms(run);
    for (size_t i = 0; i < sizeof usage_cases / sizeof usage_cases[0]; i++)
        refuses(run, &usage_cases[i], wait_ms);
    refuses_what_the_world_refuses(run, wait_ms);
    refuses_a_privileged_port(run, wait_ms);
    explains_itself(run, wait_ms);
}

/* --- ndebug_still_serves ---------------------------------------------------------------------- */

void ndebug_still_serves(struct contract_run *run)
{
    if (run->ndebug_argv == NULL) {
        (void)skip_row(run, "build your program with -DNDEBUG and run the check on that one too");
        return;
    }
    const char *const *usual = run->argv;
    run->argv = run->ndebug_argv;
    echoes_bytes_in_order(run);
    if (run->symptom == HOLDS)
        survives_rst(run);
    run->argv = usual;
}
