/*
 * checks_07: what the exercises of chapter 07 ask for: evq, on each backend that this system has.
 */
#include "checks.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- each backend ----------------------------------------------------------------------------- */

static const char *const backends[] = {"io_uring", "epoll", "kqueue", "poll"};

/** What an example says when the backend that was asked for does not work here (app.c). */
static bool has_no_such_backend(const struct contract_run *run)
{
    return run->symptom == NOT_STARTED && strstr(run->came_back, "no queue with EVQ_BACKEND");
}

/** The verdict names the backend; what was learned of the others is left as it is. */
static void say_where(struct contract_run *run, const char *backend)
{
    size_t len = strlen(run->peer_did);
    (void)snprintf(run->peer_did + len, sizeof run->peer_did - len, " (evq over %s)", backend);
}

/** Looks once for each backend that works here, up to the first that is red. `look` starts a
 *  server of its own. Who starts on none is red. */
static void on_each_backend(struct contract_run *run, bool (*look)(struct contract_run *run))
{
    int used = 0;
    for (size_t i = 0; i < sizeof backends / sizeof backends[0] && run->symptom == HOLDS; i++) {
        (void)setenv("EVQ_BACKEND", backends[i], 1);
        (void)look(run);
        if (has_no_such_backend(run)) {
            run->symptom = HOLDS;
            note(run, "%s: this system does not have it, or forbids it", backends[i]);
        } else {
            used++;
            (void)still_lives(run);
            if (run->symptom != HOLDS)
                say_where(run, backends[i]);
        }
        end_server(run);
    }
    (void)unsetenv("EVQ_BACKEND");
    if (used == 0)
        (void)starts(run); /* says why not */
}

/* --- 07.1: lines ------------------------------------------------------------------------------ */

/* The clock of evq stands still between two waits, so it may be behind by as long as the server did
 * not get the processor: EARLY_MS. */
enum { IDLE_MS = 1000, EARLY_MS = 100, LATE_MS = 1000, CHAT_MS = 150, CHATS = 8, LEAVERS = 20 };

/** *at_ns is a moment before the line was sent: its second begins no earlier. */
static bool says_a_line(struct contract_run *run, struct client *c, int64_t *at_ns)
{
    char back[3];
    *at_ns = clock_now_ns();
    return sends_raw(run, c, "hi\n", 3) &&
           went_well(run, client_expect_raw(c, back, 3, patience(run)), "waiting for the answer") &&
           (memcmp(back, "HI\n", 3) == 0 ||
            red(run, WRONG_BYTES, "the answer to \"hi\" was not \"HI\""));
}

/** Closed IDLE_MS after its last byte: not sooner, and not much later. */
static bool is_closed_in_time(struct contract_run *run, struct client *c, int64_t silent_since_ns,
                              const char *who)
{
    enum outcome o = client_expect_end(c, deadline_in_ms(IDLE_MS + LATE_MS));
    int after_ms = (int)((clock_now_ns() - silent_since_ns) / 1000000);
    if (o == CLIENT_TIMEOUT)
        return red(run, NEVER_CLOSED, "the %s client was still connected %d ms after its last byte",
                   who, after_ms);
    if (after_ms < IDLE_MS - EARLY_MS)
        return red(run, CLOSED_EARLY, "the %s client was cut off %d ms after its last byte", who,
                   after_ms);
    return true;
}

static bool one_goes_one_stays(struct contract_run *run)
{
    struct client silent = new_client(7101), chatty = new_client(7102);
    int64_t silent_since_ns = 0, chatty_since_ns = 0;
    bool ok = starts(run) && connects(run, &silent) && connects(run, &chatty) &&
              says_a_line(run, &silent, &silent_since_ns);
    for (int i = 0; ok && i < CHATS; i++) {
        ok = says_a_line(run, &chatty, &chatty_since_ns);
        clock_pause_ms(CHAT_MS);
    }
    ok = ok && is_closed_in_time(run, &silent, silent_since_ns, "silent") &&
         is_closed_in_time(run, &chatty, chatty_since_ns, "chatty");
    client_close(&silent);
    client_close(&chatty);
    return ok;
}

void silent_goes_chatty_stays(struct contract_run *run)
{
    did(run, "was one client who said a line, and one who said a line every %d ms, %d times",
        (int)CHAT_MS, (int)CHATS);
    on_each_backend(run, one_goes_one_stays);
}

void leaves_with_a_timer(struct contract_run *run)
{
    struct client c[LEAVERS], last = new_client(7150);
    did(run, "was %d clients who said a line and left, while their timers were still set",
        (int)LEAVERS);
    int64_t since_ns = 0;
    bool ok = starts(run);
    for (int i = 0; i < LEAVERS; i++) {
        c[i] = new_client((uint32_t)(7110 + i));
        ok = ok && connects(run, &c[i]) && says_a_line(run, &c[i], &since_ns);
    }
    for (int i = 0; i < LEAVERS; i++)
        if (i % 2 == 0)
            client_close(&c[i]);
        else
            client_abort(&c[i]);
    /* Its end comes after theirs would have come. */
    (void)(ok && connects(run, &last) && says_a_line(run, &last, &since_ns) &&
           is_closed_in_time(run, &last, since_ns, "last") && still_lives(run));
    client_close(&last);
}

/* --- 07.2: a proxy ---------------------------------------------------------------------------- */

enum { QUESTION = 1000, ANSWER = 200000, LINKS = 10, PIECE = 100000, EACH_WAY = 8 << 20 };

/** The two ends of a proxy. They have the same pattern, so what one sends is what the other one
 *  waits for. */
struct ends {
    struct client client, target;
    int listener;
};

/** Starts the proxy before a listener of ours. */
static bool proxy_starts(struct contract_run *run, struct ends *ends)
{
    char where[32];
    unsigned port = 0;
    *ends = (struct ends){.client = new_client(7200), .target = new_client(7200)};
    ends->listener = listen_anywhere(&port);
    if (ends->listener < 0)
        return skip_row(run, "no port to listen on");
    (void)snprintf(where, sizeof where, "127.0.0.1:%u", port);
    const char *argv[] = {run->argv[0], "-c", where, NULL}, *const *before = run->argv;
    run->argv = argv;
    bool ok = starts(run);
    run->argv = before;
    return ok;
}

static bool links_up(struct contract_run *run, struct ends *ends)
{
    struct pollfd wait = {.fd = ends->listener, .events = POLLIN};
    if (!connects(run, &ends->client))
        return false;
    if (poll(&wait, 1, deadline_left_ms(patience(run))) == 1)
        ends->target.fd = accept(ends->listener, NULL, NULL);
    if (ends->target.fd < 0)
        return red(run, NOT_SERVED, "it never connected to the target");
    (void)fcntl(ends->target.fd, F_SETFL, O_NONBLOCK);
    return true;
}

static void links_down(struct ends *ends)
{
    client_close(&ends->client);
    client_close(&ends->target);
    ends->client = new_client(7200);
    ends->target = new_client(7200);
}

static bool proxy_ends(struct contract_run *run, struct ends *ends)
{
    (void)still_lives(run);
    links_down(ends);
    if (ends->listener >= 0)
        close(ends->listener);
    end_server(run);
    return run->symptom == HOLDS;
}

/** Sends and reads at the same time. client_exchange() is for echoes, and ends when all is read;
 *  what is not sent by then follows. */
static enum outcome exchange_8_mib(struct client *c, int64_t deadline_ns)
{
    enum outcome o = client_exchange(c, EACH_WAY, PIECE, deadline_ns);
    return o == CLIENT_OK ? client_send(c, EACH_WAY - (size_t)c->sent, deadline_ns) : o;
}

/** The target in a process of its own, so that both sides do it at the same time. */
static pid_t target_exchanges(struct contract_run *run, struct ends *ends)
{
    pid_t child = fork();
    if (child == 0)
        _exit(exchange_8_mib(&ends->target, patience(run)) == CLIENT_OK ? 0 : 1);
    return child;
}

static bool exchange_both_ways(struct contract_run *run)
{
    struct ends ends;
    if (proxy_starts(run, &ends) && links_up(run, &ends)) {
        int status = 0;
        pid_t child = target_exchanges(run, &ends);
        enum outcome o = exchange_8_mib(&ends.client, patience(run));
        client_close(&ends.client); /* so that the child ends, too, when something went wrong */
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (o != CLIENT_OK)
            (void)red(run, LOST_BYTES, "the client sent %zu KiB and got %zu KiB, then: %s",
                      (size_t)ends.client.sent / KIB, (size_t)ends.client.received / KIB,
                      outcome_in_words(o));
        else if (status != 0)
            (void)red(run, LOST_BYTES, "the client got its 8 MiB, but the target did not");
    }
    return proxy_ends(run, &ends);
}

void both_ways_at_once(struct contract_run *run)
{
    did(run, "was the client and the target, and each sent 8 MiB and read 8 MiB");
    on_each_backend(run, exchange_both_ways);
}

/** The clean end of a stream of which this side did not send as much as it got. */
static bool hears_the_end(struct contract_run *run, struct client *c)
{
    char byte;
    enum outcome o = client_expect_raw(c, &byte, 1, patience(run));
    if (o == CLIENT_CLOSED)
        return true;
    if (o == CLIENT_OK)
        return red(run, WRONG_BYTES, "more came than was sent");
    if (o == CLIENT_TIMEOUT)
        return red(run, NEVER_CLOSED, "all bytes came, but the end was not handed on");
    return went_well(run, o, "at the end of the stream");
}

/** `first` speaks and ends; `second` hears both, goes on with more, and ends at last. */
static bool one_ends_first(struct contract_run *run, struct client *first, struct client *second)
{
    return sends(run, first, QUESTION) && shuts_writing(run, first) &&
           gets_back(run, second, QUESTION) && hears_the_end(run, second) &&
           sends(run, second, ANSWER) && shuts_writing(run, second) &&
           gets_back(run, first, ANSWER) && hears_the_end(run, first);
}

static bool client_is_first(struct contract_run *run)
{
    struct ends ends;
    (void)(proxy_starts(run, &ends) && links_up(run, &ends) &&
           one_ends_first(run, &ends.client, &ends.target));
    return proxy_ends(run, &ends);
}

void client_ends_first(struct contract_run *run)
{
    did(run, "the client asked and ended its stream; then the target answered with %d bytes",
        (int)ANSWER);
    on_each_backend(run, client_is_first);
}

static bool target_is_first(struct contract_run *run)
{
    struct ends ends;
    (void)(proxy_starts(run, &ends) && links_up(run, &ends) &&
           one_ends_first(run, &ends.target, &ends.client));
    return proxy_ends(run, &ends);
}

void target_ends_first(struct contract_run *run)
{
    did(run, "the target spoke and ended its stream; then the client sent %d bytes", (int)ANSWER);
    on_each_backend(run, target_is_first);
}

static bool target_aborts(struct contract_run *run)
{
    struct ends ends;
    if (proxy_starts(run, &ends) && links_up(run, &ends) && sends(run, &ends.target, QUESTION) &&
        gets_back(run, &ends.client, QUESTION)) {
        client_abort(&ends.target);
        char byte;
        enum outcome o = client_expect_raw(&ends.client, &byte, 1, patience(run));
        if (o == CLIENT_TIMEOUT)
            (void)red(run, NEVER_CLOSED, "the client was left waiting for the rest");
        else if (o != CLIENT_RESET)
            (void)red(run, CLOSED_EARLY, "the client saw a clean end, as if that had been all");
    }
    return proxy_ends(run, &ends);
}

void reset_is_no_end(struct contract_run *run)
{
    did(run, "the target sent a half of its answer, and aborted");
    on_each_backend(run, target_aborts);
}

void links_are_freed(struct contract_run *run)
{
    struct ends ends;
    struct totals totals;
    did(run, "was %d pairs of clients and targets who ended one after the other", (int)LINKS);
    bool ok = proxy_starts(run, &ends);
    for (int i = 0; ok && i < LINKS; i++) {
        ok = links_up(run, &ends) && (i % 2 == 0 ? one_ends_first(run, &ends.client, &ends.target)
                                                 : one_ends_first(run, &ends.target, &ends.client));
        links_down(&ends);
    }
    (void)(ok && stops(run, SIGTERM, &totals)); /* what was not freed is told at the end */
    (void)proxy_ends(run, &ends);
}

/* --- 07.3: leave in order --------------------------------------------------------------------- */

enum { REFUSES_MS = 1000, LOOK_MS = 5, GUESTS = 10, LOAD = 3 };

/** Clients whose answers the server cannot get rid of, and one whom it serves meanwhile. */
struct load {
    struct client slow[LOAD], other;
};

static bool they_stall(struct contract_run *run, struct load *load)
{
    load->other = new_client(7302);
    for (int i = 0; i < LOAD; i++) {
        load->slow[i] = new_client((uint32_t)(7303 + i));
        load->slow[i].receive_buffer = 64 * 1024;
    }
    bool ok = starts(run) && connects(run, &load->other);
    for (int i = 0; ok && i < LOAD; i++)
        ok = connects(run, &load->slow[i]) && pings(run, &load->slow[i]) &&
             floods_until_it_stalls(run, &load->slow[i], &load->other, STALL_MIB * MIB);
    return ok;
}

static void they_leave(struct load *load)
{
    for (int i = 0; i < LOAD; i++)
        client_close(&load->slow[i]);
    client_close(&load->other);
}

/** A client who comes too late is refused; the one who looks first may still be in the backlog. */
static bool accepts_nobody_new(struct contract_run *run)
{
    int64_t deadline_ns = deadline_in_ms(REFUSES_MS);
    while (deadline_left_ms(deadline_ns) > 0) {
        struct client late = new_client(7301);
        enum outcome o = client_connect(&late, &run->server, deadline_ns);
        client_close(&late);
        if (o == CLIENT_REFUSED)
            return still_lives(run);
        clock_pause_ms(LOOK_MS);
    }
    return red(run, BAD_STATUS, "after SIGTERM it went on to accept");
}

/** Reads whatever comes, up to the end, which must be a clean one. */
static bool reads_to_the_end(struct contract_run *run, struct client *c)
{
    enum outcome o = client_expect(c, (size_t)(c->sent - c->received), patience(run));
    if (o == CLIENT_OK || o == CLIENT_CLOSED)
        return true;
    return red(run, o == CLIENT_TIMEOUT ? NEVER_CLOSED : CLOSED_EARLY,
               "after %zu KiB of its answer a client saw: %s", (size_t)c->received / KIB,
               outcome_in_words(o));
}

static bool stops_under_load(struct contract_run *run)
{
    struct load load;
    struct totals totals = {0};
    bool ok = they_stall(run, &load);
    client_close(&load.other);
    uint64_t received = load.other.received;
    if (ok)
        (void)kill(run->server.pid, SIGTERM);
    ok = ok && accepts_nobody_new(run);
    for (int i = 0; ok && i < LOAD; i++) {
        ok = reads_to_the_end(run, &load.slow[i]);
        client_close(&load.slow[i]);
        received += load.slow[i].received;
    }
    they_leave(&load);
    ok = ok && stops(run, SIGTERM, &totals);
    if (ok && totals.bytes != received)
        (void)red(run, LOST_BYTES, "it says that it has sent %zu bytes, and %zu came",
                  (size_t)totals.bytes, (size_t)received);
    return ok;
}

void stop_finishes_answers(struct contract_run *run)
{
    did(run, "was %d clients who sent until nothing moved; then SIGTERM came, and then they read",
        (int)LOAD);
    on_each_backend(run, stops_under_load);
}

void stop_has_a_deadline(struct contract_run *run)
{
    struct load load;
    struct totals totals;
    did(run, "was %d clients who sent until nothing moved and never read; then SIGTERM came",
        (int)LOAD);
    (void)(they_stall(run, &load) && stops(run, SIGTERM, &totals));
    they_leave(&load);
}

void closed_before_freed(struct contract_run *run)
{
    struct client guests[GUESTS];
    struct totals totals;
    did(run, "was %d clients; a half of them left, then SIGTERM came, and then the others left",
        (int)GUESTS);
    bool ok = starts(run);
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = new_client((uint32_t)(7310 + i));
        ok = ok && connects(run, &guests[i]) && exchanges(run, &guests[i], 1000, 100);
    }
    for (int i = 0; i < GUESTS / 2; i++)
        client_close(&guests[i]);
    ok = ok && serves_a_newcomer(run, 7330);
    if (ok)
        (void)kill(run->server.pid, SIGTERM);
    for (int i = GUESTS / 2; i < GUESTS; i++) {
        ok = ok && sees_the_end(run, &guests[i]);
        client_close(&guests[i]);
    }
    (void)(ok && stops(run, SIGTERM, &totals));
}

/* --- 07.4: your own back end ------------------------------------------------------------------ */

/* How long one test may be silent. The random programs are one test, and take a while. */
enum { SILENT_MS = 10000, SHORT_SILENT_MS = 5000, GROUPS_MS = 60000 };

/** Runs these groups of evq's own test suite over the learner's backend (suite/suite.c); the
 *  first line that says red is the verdict. */
static void suite_holds(struct contract_run *run, const char *const *groups)
{
    char silent[16];
    const char *argv[8] = {run->argv[0], "-t", silent};
    int silent_ms = run->patience_ms < PATIENCE_MS ? SHORT_SILENT_MS : SILENT_MS;
    (void)snprintf(silent, sizeof silent, "%d", (int)(silent_ms * clock_slowdown()));
    for (size_t i = 0; groups[i] != NULL; i++)
        argv[i + 3] = groups[i];
    struct server_spec spec = {.argv = argv, .bare = true, .start_ms = GROUPS_MS};
    struct server_end end;
    int err = server_run_to_end(&run->server, &spec, &end);
    server_kill(&run->server);
    const char *first_red = strstr(run->server.out, "red ");
    if (err != 0)
        (void)red(run, NOT_STARTED, "%.200s", run->server.err);
    else if (!end.in_time)
        (void)red(run, TOO_SLOW, "the tests did not come to an end");
    else if (end.status != 0)
        (void)red(run, BAD_STATUS, "the suite says: %.*s",
                  first_red != NULL ? (int)strcspn(first_red, "\n") : 0,
                  first_red != NULL ? first_red : "");
}

void suite_moves_bytes(struct contract_run *run)
{
    suite_holds(run, (const char *[]){"receiving", "sending", NULL});
}

void suite_meets_peers(struct contract_run *run)
{
    suite_holds(run, (const char *[]){"accepting", "connecting", NULL});
}

void suite_sleeps_and_wakes(struct contract_run *run)
{
    suite_holds(run, (const char *[]){"waiting", "waking", "timers", NULL});
}

void suite_lets_go(struct contract_run *run)
{
    suite_holds(run, (const char *[]){"cancelling", "closing", "owning", NULL});
}

void suite_meets_chance(struct contract_run *run)
{
    suite_holds(run, (const char *[]){"corners", "model", NULL});
}

void suite_keeps_its_memory(struct contract_run *run)
{
    suite_holds(run, (const char *[]){"closing", NULL});
}
