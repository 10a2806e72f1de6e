/*
 * scenario.c: see scenario.h.
 *
 * The messages are lines of capitals and digits, so that the server of lines, too, answers each
 * with itself; each message ends a line. A byte depends on its place and on its client.
 */
#include "scenario.h"

#include "harness/client.h"
#include "harness/client_socket.h"
#include "harness/clock.h"
#include "harness/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SHORT_ONE, LONG_ONE, SLOW_ONE, SILENT_ONE, LATE_ONE, LATER_ONE, FIRST_OF_MORE };
enum { PEERS = FIRST_OF_MORE + MORE_MAX };
enum { SHORT_LEN = 100, LINE_LEN = 50, SLOW_BUFFER = 4096 };
enum { WINDOW_MS = 3, WINDOWS_WINDOW_MS = 30, WINDOWS_START_MS = 20000 };
enum { PATIENCE_MS_HERE = 3000, LOOK_MS = 1, CALLS_IN_WINDOW = 100 };
enum { SPIN_FACTOR = 10, SPIN_ROOM = 3000, FAULT_TEXT = 64 };

struct peer {
    struct client client;
    bool connected, lost;
    size_t sent, received;
};

struct play {
    const struct subject *subject;
    bool in_a_row; /* one client after the other */
    struct server server;
    struct peer peers[PEERS];
    struct report *report;
    bool ended; /* the step has ended by itself, and that is judged already */
};

static struct board *board;
static char board_path[64];

/* ---- the board ------------------------------------------------------------------------------- */

int scenario_open(void)
{
    (void)snprintf(board_path, sizeof board_path, "/tmp/faults.XXXXXX");
    int fd = mkstemp(board_path);
    if (fd < 0 || ftruncate(fd, sizeof *board) < 0)
        return -1;
    void *place = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (place == MAP_FAILED)
        return -1;
    board = place;
    return setenv(BOARD_VARIABLE, board_path, 1);
}

void scenario_close(void)
{
    if (board_path[0] != '\0')
        (void)unlink(board_path);
}

static void give_orders(const struct fault *faults, size_t count)
{
    char text[FAULT_TEXT * FAULTS_MAX] = "";
    size_t len = 0;
    for (size_t i = 0; i < count && i < FAULTS_MAX; i++) {
        const struct fault *f = &faults[i];
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%d:%d:%d:%d:%d", i > 0 ? "," : "",
                                (int)f->call, f->nth, f->times, (int)f->manner, f->err);
    }
    memset(board, 0, sizeof *board);
    (void)setenv(FAULTS_VARIABLE, text, 1);
}

/* ---- trouble --------------------------------------------------------------------------------- */

/* The first one is told; what follows from it is not. */
static void trouble(struct play *play, const char *format, ...)
{
    va_list args;
    if (play->report->trouble[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(play->report->trouble, sizeof play->report->trouble, format, args);
    va_end(args);
}

static bool is_in_trouble(const struct play *play)
{
    return play->report->trouble[0] != '\0' || play->ended;
}

static int lines_in(const char *text)
{
    int lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

/* strerror(0), here and on Windows: somebody asked errno, and it was not errno that had it. */
static bool says_why(const char *text)
{
    return lines_in(text) == 1 && strstr(text, "Success") == NULL &&
           strstr(text, "No error") == NULL;
}

/* A step that ends by itself has said why, in one line, and its status is 1. */
static void judge_end(struct play *play, int status, bool served)
{
    play->ended = true;
    if (status != 1)
        trouble(play, "it ended with %d%s, and said: %s", status, status > 128 ? " (a signal)" : "",
                play->server.err);
    else if (!says_why(play->server.err))
        trouble(play, "it ended with 1, and did not say why in one line: %s", play->server.err);
    else
        play->report->outcome = served ? ENDS : NO_START;
}

/* Somebody waits in vain, or was cut off: perhaps because the step is no more. */
static bool step_is_gone(struct play *play)
{
    int status;
    struct server_end end;
    if (play->ended || server_is_alive(&play->server, &status))
        return play->ended;
    server_stop(&play->server, deadline_in_ms(PATIENCE_MS_HERE), &end);
    judge_end(play, end.status, true);
    return true;
}

/* Cut off one and all, the clients know it a moment before the process is gone. */
static bool step_is_going(struct play *play)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS_HERE / 4);
    while (!step_is_gone(play)) {
        if (deadline_left_ms(deadline_ns) == 0)
            return false;
        clock_pause_ms(LOOK_MS);
    }
    return true;
}

static int lost_peers(const struct play *play)
{
    int lost = 0;
    for (int i = 0; i < PEERS; i++)
        lost += play->peers[i].lost;
    return lost;
}

/* How a call of a client went. False when the client can do no more. */
static bool went(struct play *play, struct peer *peer, enum outcome outcome, const char *doing)
{
    int who = (int)(peer - play->peers);
    if (outcome == CLIENT_OK)
        return true;
    if (outcome != CLIENT_CLOSED && outcome != CLIENT_RESET) {
        if (!step_is_gone(play))
            trouble(play, "client %d, %s: %s", who, doing, outcome_in_words(outcome));
        return false;
    }
    peer->lost = true;
    client_close(&peer->client);
    if (lost_peers(play) > 1 && !step_is_going(play))
        trouble(play, "a second client has lost its connection (client %d, %s)", who, doing);
    return false;
}

/* ---- one client ------------------------------------------------------------------------------ */

static bool is_there(const struct play *play, const struct peer *peer)
{
    return peer->connected && !peer->lost && !is_in_trouble(play);
}

static char byte_at(size_t place, int who)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (place % LINE_LEN == LINE_LEN - 1)
        return '\n';
    return letters[(place * 7 + place / LINE_LEN * 5 + (size_t)who * 11) % 36];
}

static void connect_peer(struct play *play, int who)
{
    struct peer *peer = &play->peers[who];
    if (is_in_trouble(play))
        return;
    *peer = (struct peer){.client = {.fd = -1}};
    peer->client.receive_buffer = who == SLOW_ONE ? SLOW_BUFFER : 0;
    enum outcome outcome =
        client_connect(&peer->client, &play->server, deadline_in_ms(PATIENCE_MS_HERE));
    if (outcome == CLIENT_REFUSED && step_is_going(play))
        return;
    peer->connected = went(play, peer, outcome, "connecting");
}

static void send_some(struct play *play, int who, size_t len)
{
    struct peer *peer = &play->peers[who];
    char bytes[MANY_BYTES];
    if (!is_there(play, peer))
        return;
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(peer->sent + i, who);
    peer->sent += len;
    (void)went(play, peer,
               client_send_raw(&peer->client, bytes, len, deadline_in_ms(PATIENCE_MS_HERE)),
               "sending");
}

/* What is there, or will come, as far as it goes; each byte is compared at once. */
static enum outcome receive(struct peer *peer, int who, int64_t deadline_ns)
{
    char bytes[4096];
    enum outcome outcome = socket_wait(peer->client.fd, POLLIN, deadline_ns);
    if (outcome != CLIENT_OK)
        return outcome;
    ssize_t got = socket_receive(peer->client.fd, bytes, sizeof bytes);
    if (got <= 0)
        return got == 0                    ? CLIENT_CLOSED
               : socket_would_block(errno) ? CLIENT_OK
                                           : outcome_of_errno(errno);
    for (ssize_t i = 0; i < got; i++)
        if (peer->received >= peer->sent || bytes[i] != byte_at(peer->received++, who))
            return CLIENT_WRONG_BYTES;
    return CLIENT_OK;
}

static void receive_all(struct play *play, int who)
{
    struct peer *peer = &play->peers[who];
    while (is_there(play, peer) && peer->received < peer->sent) /* so long for each part of it */
        (void)went(play, peer, receive(peer, who, deadline_in_ms(PATIENCE_MS_HERE)), "receiving");
}

static void ping(struct play *play, int who)
{
    send_some(play, who, SHORT_LEN);
    receive_all(play, who);
}

static void leave(struct play *play, int who)
{
    struct peer *peer = &play->peers[who];
    if (!is_there(play, peer))
        return;
    (void)client_shut_writing(&peer->client);
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS_HERE);
    enum outcome outcome;
    do
        outcome = receive(peer, who, deadline_ns);
    while (outcome == CLIENT_OK);
    if (outcome == CLIENT_CLOSED && peer->received == peer->sent)
        client_close(&peer->client);
    else
        (void)went(play, peer, outcome, "waiting for the end");
}

/* ---- the play -------------------------------------------------------------------------------- */

static void three_at_once(struct play *play, size_t bytes)
{
    for (int who = SHORT_ONE; who <= SLOW_ONE; who++)
        connect_peer(play, who);
    send_some(play, SLOW_ONE, bytes);
    ping(play, SHORT_ONE);
    send_some(play, LONG_ONE, bytes / 3);
    receive_all(play, LONG_ONE);
    ping(play, SHORT_ONE);
    receive_all(play, SLOW_ONE);
    for (int who = SHORT_ONE; who <= SLOW_ONE; who++)
        leave(play, who);
}

static void three_in_a_row(struct play *play, size_t bytes)
{
    for (int who = SHORT_ONE; who <= SLOW_ONE; who++) {
        connect_peer(play, who);
        send_some(play, who, who == SHORT_ONE ? SHORT_LEN : bytes / 3);
        receive_all(play, who);
        leave(play, who);
    }
}

static void one_more(struct play *play, int who)
{
    connect_peer(play, who);
    ping(play, who);
    leave(play, who);
}

/* The silent one would keep everybody else from a server that serves one at a time. */
static void the_others(struct play *play, int more)
{
    if (!play->in_a_row) {
        connect_peer(play, SILENT_ONE);
        ping(play, SILENT_ONE);
    }
    one_more(play, LATE_ONE);
    if (play->peers[LATE_ONE].lost)
        one_more(play, LATER_ONE);
    for (int i = 0; i < more; i++)
        one_more(play, FIRST_OF_MORE + i);
    if (play->in_a_row) {
        connect_peer(play, SILENT_ONE);
        ping(play, SILENT_ONE);
    }
}

/* ---- what it holds, and what it calls -------------------------------------------------------- */

static bool holds_too_much(struct play *play, const struct baseline *baseline)
{
    struct baseline *had = &play->report->had;
    had->fds =
        play->subject->step->windows ? atomic_load(&board->handles) : server_fds(&play->server);
    had->blocks = (long)atomic_load(&board->blocks);
    return baseline->known && (had->fds > baseline->fds || had->blocks > baseline->blocks);
}

static void look_for_leaks(struct play *play, const struct baseline *baseline)
{
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS_HERE / 2);
    if (is_in_trouble(play))
        return;
    while (holds_too_much(play, baseline)) {
        if (deadline_left_ms(deadline_ns) == 0) {
            trouble(play,
                    "it holds %d descriptors and %ld blocks of memory, and without a fault "
                    "%d and %ld",
                    play->report->had.fds, play->report->had.blocks, baseline->fds,
                    baseline->blocks);
            return;
        }
        clock_pause_ms(LOOK_MS);
    }
}

/* Behind each call of a Windows program is a word with Wine's server, so it spins more slowly. */
static void look_for_spinning(struct play *play, const struct baseline *baseline)
{
    struct baseline *had = &play->report->had;
    int window_ms = play->subject->step->windows ? WINDOWS_WINDOW_MS : WINDOW_MS;
    if (is_in_trouble(play) || play->subject->spins)
        return;
    long before = (long)atomic_load(&board->all);
    clock_pause_ms(window_ms);
    had->calls = (long)atomic_load(&board->all);
    if (had->calls - before > CALLS_IN_WINDOW)
        trouble(play, "it spins: %ld calls in %d ms, and nobody says anything", had->calls - before,
                window_ms);
    else if (baseline->known && had->calls > SPIN_FACTOR * baseline->calls + SPIN_ROOM)
        trouble(play, "%ld calls, and without a fault %ld", had->calls, baseline->calls);
}

/* By Wine 8, FD_ACCEPT can be recorded for a client that accept() has taken in the same moment; the
 * next accept() then fails, which does not enable FD_ACCEPT anew, and later clients wait for ever.
 * Only a program that calls accept() without having been told gets there. */
static void look_for_early_calls(struct play *play, size_t fault_count)
{
    int early = atomic_load(&board->early);
    if (fault_count == 0 && early > 0 && !is_in_trouble(play))
        trouble(play, "accept() was called %d times while no event told of a client", early);
}

/* ---- start and stop -------------------------------------------------------------------------- */

static int start(struct play *play)
{
    struct server_spec spec = {.argv = subject_command(play->subject),
                               .start_ms = play->subject->step->windows ? WINDOWS_START_MS : 0};
    char why[256];
    if (access(play->subject->program, X_OK) < 0)
        return -1;
    if (server_start(&play->server, &spec, why, sizeof why) == 0)
        return 0;
    judge_end(play, play->server.status, false);
    return 0;
}

/* On Windows a handler that cannot wake its program says so, and the system ends the program, in
 * its own way and without totals (console_stop.h). With which status is up to the system. */
static bool is_ended_by_windows(const struct play *play, const struct server_end *end)
{
    return play->subject->step->windows && end->totals[0] != '\0' &&
           strncmp(end->totals, "totals:", 7) != 0;
}

/* Whoever was there is counted, and so is each byte that has come back; but SIGTERM may fall
 * between the last send() and the counting, where it ends the step at once. */
static void judge_totals(struct play *play, const char *totals)
{
    unsigned long long clients = 0, bytes = 0, peers = 0, received = 0;
    if (sscanf(totals, "totals: clients %llu, bytes %llu", &clients, &bytes) != 2) {
        trouble(play, "stopped, it does not tell its totals, but \"%s\"", totals);
        return;
    }
    for (int i = 0; i < PEERS; i++) {
        peers += play->peers[i].connected;
        received += play->peers[i].received;
    }
    bool fits = clients == peers && bytes <= received && received - bytes <= SHORT_LEN;
    if (lost_peers(play) == 0 && !fits)
        trouble(play, "there were %llu clients and %llu bytes; it says \"%s\"", peers, received,
                totals);
}

static void stop(struct play *play)
{
    struct server_end end;
    if (is_in_trouble(play))
        return;
    server_stop(&play->server, deadline_in_ms(PATIENCE_MS_HERE), &end);
    bool tells = end.status == 1 || is_ended_by_windows(play, &end);
    if (!end.in_time)
        trouble(play, "SIGTERM (a Windows program: Ctrl-C) does not stop it");
    else if (end.status != 0 && !tells)
        trouble(play, "stopped, it ended with %d, and said: %s", end.status, play->server.err);
    else if (!tells)
        judge_totals(play, end.totals);
    play->report->outcome = tells ? TELLS : lost_peers(play) > 0 ? ONE_LOST : UNSEEN;
}

static void clean_up(struct play *play)
{
    for (int i = 0; i < PEERS; i++)
        if (play->peers[i].connected && play->peers[i].client.fd >= 0)
            client_close(&play->peers[i].client);
    server_kill(&play->server);
    play->report->hits = atomic_load(&board->hits);
    for (int i = 0; i < CALLS; i++)
        play->report->counts[i] = atomic_load(&board->counts[i]);
    if (play->report->trouble[0] != '\0')
        play->report->outcome = 0;
}

int scenario_run(const struct subject *subject, const struct fault *faults, size_t fault_count,
                 const struct script *script, const struct baseline *baseline,
                 struct report *report)
{
    static const struct baseline unknown;
    static struct play play; /* static: large, and one after the other */
    memset(report, 0, sizeof *report);
    memset(&play, 0, sizeof play);
    play.subject = subject;
    play.report = report;
    /* A pool that has got one thread only serves one client at a time, and says so. */
    play.in_a_row = subject->one_at_a_time || (fault_count > 0 && faults[0].call == CALL_THREAD);
    baseline = baseline != NULL ? baseline : &unknown;
    for (int i = 0; i < PEERS; i++)
        play.peers[i].client.fd = -1;
    give_orders(faults, fault_count);
    if (start(&play) < 0)
        return -1;
    if (play.in_a_row)
        three_in_a_row(&play, script->bytes);
    else
        three_at_once(&play, script->bytes);
    the_others(&play, script->more);
    look_for_leaks(&play, baseline);
    look_for_spinning(&play, baseline);
    look_for_early_calls(&play, fault_count);
    if (!baseline->known) /* now, and not when a step has closed, and is about to free */
        (void)holds_too_much(&play, baseline);
    stop(&play);
    report->had.known = true;
    clean_up(&play);
    return 0;
}
