/*
 * checks_01: what the exercises of chapter 01 ask for: whole sends, a full house, Slowloris.
 */
#include "checks.h"

#include "../contract/rows.h"
#include "../harness/clock.h"
#include "../harness/process.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- 01.1: signals_cut_no_answer -------------------------------------------------------------- */

/** A process that sends SIGUSR1 to the server every millisecond, as long as its parent lives. */
static pid_t start_signals(pid_t server)
{
    pid_t parent = getpid(), child = fork();
    while (child == 0 && getppid() == parent && kill(server, SIGUSR1) == 0)
        clock_pause_ms(1);
    if (child == 0)
        _exit(0);
    return child;
}

static void end_child(pid_t child)
{
    if (child <= 0)
        return;
    (void)kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

/** A signal that is ignored interrupts nothing: then the check would show nothing. */
static bool still_tells_the_news(struct contract_run *run)
{
    did(run, "sent SIGUSR1 once, then was a client who came and went");
    (void)kill(run->server.pid, SIGUSR1);
    if (!serves_a_newcomer(run, 101))
        return false;
    int64_t deadline_ns = patience(run);
    while (server_read_output(&run->server), run->server.err_bytes == 0) {
        if (deadline_left_ms(deadline_ns) == 0)
            return red(run, BAD_WORDS, "no news on stderr: the signal must stay handled");
        clock_pause_ms(1);
    }
    return true;
}

/** The server has one client at a time, so nobody else can ask whether it still runs: a second
 *  silence, right after the first, must tell. */
static bool floods_until_silence(struct contract_run *run, struct client *c)
{
    enum { SILENCES = 2 };
    for (int silent = 0; silent < SILENCES && c->sent < STALL_MIB * MIB;) {
        uint64_t before = c->sent;
        if (!floods(run, c, STALL_MIB * MIB - before))
            return false;
        silent = c->sent > before ? 0 : silent + 1;
    }
    return true;
}

void signals_cut_no_answer(struct contract_run *run)
{
    struct client c = new_client(102);
    c.receive_buffer = 64 * 1024;
    if (!starts(run) || !still_tells_the_news(run))
        return;
    did(run, "sent and read nothing while SIGUSR1 arrived every millisecond");
    pid_t child = start_signals(run->server.pid);
    bool ok = connects(run, &c) && floods_until_silence(run, &c);
    if (ok)
        did(run, "sent %" PRIu64 " KiB while SIGUSR1 arrived every millisecond, then read",
            c.sent / KIB);
    (void)(ok && gets_back(run, &c, (size_t)c.sent) && exchanges(run, &c, 8 * MIB, 100000) &&
           shuts_writing(run, &c) && sees_the_end(run, &c));
    end_child(child);
    client_close(&c);
}

/* --- 01.2: a full house ----------------------------------------------------------------------- */

enum {
    HOUSE = 100, /* usually, and at most: the twist may ask for a smaller one */
    /* The main thread, a sanitizer's own, and one that the program may have for itself. */
    OTHER_THREADS = 3,
    WAIT_MS = 200,
    CPU_MS = 200,
    CPU_PERCENT = 30
};

static int house(void)
{
    return twist_number_or(HOUSE, HOUSE);
}

static bool fills_the_house(struct contract_run *run, struct client *guests)
{
    for (int i = 0; i < house(); i++)
        if (!connects(run, &guests[i]) || !pings(run, &guests[i]))
            return false;
    return true;
}

static void all_leave(struct client *guests)
{
    for (int i = 0; i < HOUSE; i++)
        client_close(&guests[i]);
}

static bool next_one_waits(struct contract_run *run, struct client *next)
{
    int64_t ns;
    did(run, "%d clients were served and stayed; one more sent a byte", house());
    if (!connects(run, next))
        return false;
    if (client_ping(next, 1, deadline_in_ms(WAIT_MS), &ns) != CLIENT_TIMEOUT)
        return red(run, TOO_SLOW,
                   "one more client was answered or sent away at once: it should have waited");
    int threads = run->blind ? -1 : process_threads(run->server.pid);
    if (threads < 0)
        note(run, "threads were not counted: this system does not tell");
    else if (threads > house() + OTHER_THREADS)
        return red(run, UNBOUNDED_MEMORY, "the server has %d threads", threads);
    return true;
}

void full_house_is_bounded(struct contract_run *run)
{
    struct client guests[HOUSE], next = new_client(201);
    for (int i = 0; i < HOUSE; i++)
        guests[i] = new_client((uint32_t)(202 + i));
    if (starts(run) && fills_the_house(run, guests) && next_one_waits(run, &next)) {
        did(run, "%d clients stayed and one more waited; then one of them left", house());
        client_close(&guests[house() / 2]);
        (void)gets_back(run, &next, 1); /* its byte has been on the way all the time */
    }
    all_leave(guests);
    client_close(&next);
}

/** What the server wanted of a processor: the time that it ran, and the time that it was ready
 *  to run while others ran. So a loop that never sleeps shows on a busy machine, too. -1: nobody
 *  tells. */
static int64_t wanted_ns(const struct contract_run *run)
{
    int64_t cpu_ns = run->blind ? -1 : server_cpu_ns(&run->server);
    int64_t waited_ns = server_waited_ns(&run->server);
    return cpu_ns < 0 || waited_ns < 0 ? cpu_ns : cpu_ns + waited_ns;
}

/** Percent of one processor in the calmest of some windows; -1 where nobody tells. */
static double calmest_percent(const struct contract_run *run)
{
    double calmest = -1;
    for (int i = 0; i < CPU_WINDOWS; i++) {
        int64_t before_ns = wanted_ns(run), begin_ns = clock_now_ns();
        clock_pause_ms(CPU_MS);
        int64_t after_ns = wanted_ns(run);
        if (before_ns < 0 || after_ns < 0)
            return -1;
        double percent =
            100.0 * (double)(after_ns - before_ns) / (double)(clock_now_ns() - begin_ns);
        if (calmest < 0 || percent < calmest)
            calmest = percent;
    }
    return calmest;
}

void full_house_rests(struct contract_run *run)
{
    struct client guests[HOUSE], next = new_client(301);
    for (int i = 0; i < HOUSE; i++)
        guests[i] = new_client((uint32_t)(302 + i));
    if (starts(run) && fills_the_house(run, guests) && connects(run, &next)) {
        did(run, "%d clients stayed and said nothing; one more waited", house());
        double percent = calmest_percent(run);
        if (percent < 0)
            (void)skip_row(run, "this system does not tell a process' processor time");
        else if (percent > (double)CPU_PERCENT)
            (void)red(run, BURNS_CPU, "the server wanted %.0f %% of a processor, only to wait",
                      percent);
    }
    all_leave(guests);
    client_close(&next);
}

/** Clients come while others leave, so that counting up meets counting down. */
void counts_without_a_race(struct contract_run *run)
{
    enum { ROUNDS = 10, AT_ONCE = 20 };
    struct client c[AT_ONCE];
    if (!starts(run))
        return;
    did(run, "%d times %d clients came and left at once; ThreadSanitizer looked on", (int)ROUNDS,
        (int)AT_ONCE);
    for (int round = 0; round < ROUNDS && run->symptom == HOLDS; round++) {
        for (int i = 0; i < AT_ONCE; i++) {
            c[i] = new_client((uint32_t)(401 + i));
            (void)(connects(run, &c[i]) && sends(run, &c[i], 1));
        }
        for (int i = 0; i < AT_ONCE; i++) {
            (void)(run->symptom == HOLDS && gets_back(run, &c[i], 1));
            client_close(&c[i]);
        }
    }
}

/* --- 01.3: Slowloris -------------------------------------------------------------------------- */

enum { DRIPPERS = 4, HELLO_MS = 2000, LATE_MS = 2000, DRIP_MS = 250, SILENT_MS = 2500 };

static const char *greeting(void)
{
    static char line[80];
    (void)snprintf(line, sizeof line, "%.60s you\n", twist_or("hello"));
    return line;
}

static bool says_hello(struct contract_run *run, struct client *c)
{
    const char *hello = greeting();
    return connects(run, c) && sends_raw(run, c, hello, strlen(hello));
}

static bool says_hello_byte_by_byte(struct contract_run *run, struct client *c)
{
    const char *hello = greeting();
    bool ok = connects(run, c);
    for (size_t i = 0; ok && i < strlen(hello); i++) {
        ok = sends_raw(run, c, hello + i, 1);
        clock_pause_ms(2); /* most often a piece of its own for the server; it may not care */
    }
    return ok;
}

/** The hello and the first bytes that are to be echoed, with one send(). */
static bool says_all_at_once(struct contract_run *run, struct client *c)
{
    char all[96], back[3] = "";
    (void)snprintf(all, sizeof all, "%sabc", greeting());
    if (!connects(run, c) || !sends_raw(run, c, all, strlen(all)))
        return false;
    enum outcome o = client_expect_raw(c, back, sizeof back, patience(run));
    if (!went_well(run, o, "waiting for what was sent together with the hello"))
        return false;
    return memcmp(back, "abc", sizeof back) == 0 ||
           red(run, WRONG_BYTES, "something else came back than \"abc\"");
}

void greets_and_echoes(struct contract_run *run)
{
    struct client c = new_client(501), slow = new_client(502), quick = new_client(503);
    did(run, "said \"%s you\", then sent 1 MiB", twist_or("hello"));
    bool ok = starts(run) && says_hello(run, &c) && exchanges(run, &c, MIB, 10000) &&
              shuts_writing(run, &c) && sees_the_end(run, &c);
    if (ok)
        did(run, "said hello byte by byte, then sent 1,000 bytes");
    ok = ok && says_hello_byte_by_byte(run, &slow) && exchanges(run, &slow, 1000, 100);
    if (ok)
        did(run, "sent \"%s you\\nabc\" with one send()", twist_or("hello"));
    (void)(ok && says_all_at_once(run, &quick));
    client_close(&c);
    client_close(&slow);
    client_close(&quick);
}

/** The next byte of a hello that never ends, from each who is still there. Returns how many are. */
static int drip(struct client *drippers, size_t turn)
{
    enum { WHOLE = 63 }; /* one less than a hello may have */
    char endless[96];
    int there = 0;
    (void)snprintf(endless, sizeof endless, "%.20s %s", twist_or("hello"),
                   "Bartholomew-Maximilian-Theodore-the-Thirty-Second-of-All-Names");
    for (int i = 0; i < DRIPPERS && turn < WHOLE; i++) {
        if (drippers[i].fd < 0)
            continue;
        enum outcome o = client_expect_end(&drippers[i], clock_now_ns());
        if (o == CLIENT_TIMEOUT) /* no end yet */
            o = client_send_raw(&drippers[i], endless + turn, 1, deadline_in_ms(DRIP_MS));
        else
            o = CLIENT_CLOSED;
        there += o == CLIENT_OK;
        if (o != CLIENT_OK)
            client_close(&drippers[i]);
    }
    return there;
}

/** Drips until the fifth has its answer and the drippers are gone, or it is too late. */
static bool served_among(struct contract_run *run, struct client *drippers, struct client *fifth)
{
    int64_t deadline_ns = deadline_in_ms(LATE_MS) + (int64_t)HELLO_MS * 1000000;
    enum outcome o = CLIENT_TIMEOUT;
    int there = DRIPPERS;
    for (size_t turn = 1; o == CLIENT_TIMEOUT || there > 0; turn++) {
        if (o == CLIENT_TIMEOUT)
            o = client_expect(fifth, 1, clock_now_ns() + (int64_t)DRIP_MS * 1000000);
        else
            clock_pause_ms(DRIP_MS);
        if (o != CLIENT_OK && o != CLIENT_TIMEOUT)
            return went_well(run, o, "the fifth client, who had said hello");
        there = drip(drippers, turn);
        if (deadline_left_ms(deadline_ns) == 0)
            break;
    }
    did(run, "%d clients sent one byte every %d ms; a fifth said hello and sent a byte",
        (int)DRIPPERS, (int)DRIP_MS);
    if (o == CLIENT_TIMEOUT)
        return red(run, NOT_SERVED, "no answer for the fifth, and %d of the %d were still there",
                   there, (int)DRIPPERS);
    return there == 0 ||
           red(run, NEVER_CLOSED, "%d of the %d were still there", there, (int)DRIPPERS);
}

void drips_are_shown_out(struct contract_run *run)
{
    struct client drippers[DRIPPERS], fifth = new_client(601);
    bool ok = starts(run);
    for (int i = 0; i < DRIPPERS; i++) {
        drippers[i] = new_client((uint32_t)(602 + i));
        ok = ok && connects(run, &drippers[i]);
    }
    if (ok) {
        (void)drip(drippers, 0);
        (void)(says_hello(run, &fifth) && sends(run, &fifth, 1) &&
               served_among(run, drippers, &fifth));
    }
    for (int i = 0; i < DRIPPERS; i++)
        client_close(&drippers[i]);
    client_close(&fifth);
}

void a_guest_may_be_silent(struct contract_run *run)
{
    struct client c = new_client(701);
    did(run, "said hello, was silent for %d ms, then sent 100 bytes", (int)SILENT_MS);
    if (starts(run) && says_hello(run, &c)) {
        clock_pause_ms(SILENT_MS);
        (void)exchanges(run, &c, 100, 30);
    }
    client_close(&c);
}
