/*
 * rows_peers: one client misbehaves; that must not be the others' trouble.
 */
#include "rows.h"

#include "../harness/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- survives_rst ----------------------------------------------------------------------------- */

static bool aborts_while_idle(struct contract_run *run)
{
    struct client c = new_client(11);
    did(run, "was served once, then aborted its connection (RST) while nothing was under way");
    bool ok = connects(run, &c) && pings(run, &c);
    client_abort(&c);
    return ok;
}

static bool aborts_while_the_server_sends(struct contract_run *run)
{
    struct client c = new_client(12);
    did(run, "sent without reading until the server waited to send, then aborted (RST)");
    bool ok = connects(run, &c) && floods(run, &c, STALL_MIB * MIB);
    client_abort(&c);
    return ok;
}

static bool aborts_while_the_server_receives(struct contract_run *run)
{
    struct client c = new_client(13);
    did(run, "sent 10,000 bytes and aborted (RST) before the server had read them");
    bool ok = connects(run, &c) && pings(run, &c) && freezes(run) && sends(run, &c, 10000);
    client_abort(&c);
    thaws(run);
    return ok;
}

static bool aborts_before_it_is_accepted(struct contract_run *run)
{
    struct client c = new_client(14);
    did(run, "connected and aborted (RST) before the server had accepted it");
    bool ok = freezes(run) && connects(run, &c);
    client_abort(&c);
    thaws(run);
    return ok;
}

/** Data, the end of the stream and the reset are there before the server looks: it reads all, and
 *  its first send() meets EPIPE and, unless it has taken care, the signal SIGPIPE. */
static bool aborts_after_its_half_close(struct contract_run *run)
{
    struct client c = new_client(15);
    did(run, "sent 10,000 bytes, shut its writing side and aborted (RST) before the server looked");
    bool ok = connects(run, &c) && pings(run, &c) && freezes(run) && sends(run, &c, 10000) &&
              shuts_writing(run, &c) && arrives(run, &c);
    client_abort(&c);
    thaws(run);
    return ok;
}

void survives_rst(struct contract_run *run)
{
    enum { ROUNDS = 2 };
    if (!starts(run))
        return;
    for (int i = 0; i < ROUNDS; i++)
        if (!aborts_while_idle(run) || !serves_a_newcomer(run, 21) ||
            !aborts_while_the_server_sends(run) || !serves_a_newcomer(run, 22) ||
            !aborts_while_the_server_receives(run) || !serves_a_newcomer(run, 23) ||
            !aborts_before_it_is_accepted(run) || !serves_a_newcomer(run, 24) ||
            !aborts_after_its_half_close(run) || !serves_a_newcomer(run, 25))
            return;
}

/* --- slow_reader_is_isolated ------------------------------------------------------------------ */

static bool stalls_in_bounds(struct contract_run *run, struct client *slow, struct client *other,
                             int64_t before_kib)
{
    if (!floods_until_it_stalls(run, slow, other, STALL_MIB * MIB))
        return false;
    did(run, "sent %" PRIu64 " KiB and read nothing", slow->sent / KIB);
    if (slow->sent >= STALL_MIB * MIB)
        return red(run, UNBOUNDED_MEMORY,
                   "the server took all of it, although nobody read the "
                   "answers: it keeps them without a bound, or loses them");
    int64_t after_kib = resident_kib_of(run);
    if (before_kib < 0 || after_kib < 0)
        note(run, "its memory was not measured: this system does not tell");
    else if (run->sanitized)
        note(run, "its memory was not measured: a sanitizer adds its own");
    else if (after_kib - before_kib > SLOW_READER_KIB)
        return red(run, UNBOUNDED_MEMORY, "the server's memory grew by %" PRId64 " KiB",
                   after_kib - before_kib);
    return true;
}

void slow_reader_is_isolated(struct contract_run *run)
{
    struct client slow = new_client(31), other = new_client(32), late = new_client(33);
    slow.receive_buffer = 64 * 1024;
    if (!starts(run))
        return;
    int64_t before_kib = resident_kib_of(run);
    bool ok = connects(run, &other) && pings(run, &other) && connects(run, &slow) &&
              stalls_in_bounds(run, &slow, &other, before_kib);
    for (int i = 0; ok && i < 5; i++)
        ok = pings(run, &other);
    ok = ok && connects(run, &late) && exchanges(run, &late, 100 * KIB, 10000);
    if (ok)
        did(run, "sent %" PRIu64 " KiB, read nothing for a while, then read everything",
            slow.sent / KIB);
    (void)(ok && gets_back(run, &slow, (size_t)(slow.sent - slow.received)) &&
           exchanges(run, &slow, 1, 1));
    (void)still_lives(run);
    end_server(run);
    client_close(&slow);
    client_close(&other);
    client_close(&late);
}

/* --- silent_peer_blocks_nobody ---------------------------------------------------------------- */

//! [silent]
void silent_peer_blocks_nobody(struct contract_run *run)
{
    struct client silent[SILENT_PEERS];
    bool ok = starts(run);
    did(run, "%d clients connected and said nothing; then another one wanted an answer",
        (int)SILENT_PEERS);
    for (int i = 0; i < SILENT_PEERS; i++) {
        silent[i] = new_client((uint32_t)i);
        ok = ok && connects(run, &silent[i]);
    }
    if (ok)
        (void)serves_a_newcomer(run, 41);
    for (int i = 0; i < SILENT_PEERS; i++)
        client_close(&silent[i]);
}
//! [silent]

/* --- fast_peer_starves_nobody ----------------------------------------------------------------- */

/** What the process of the fast peers and the test share. */
struct flow {
    atomic_uint_fast64_t received; /* echoed and verified, of all fast peers */
    atomic_int trouble;            /* an enum outcome that ended them, or OK */
    atomic_bool stop;
};

/** The fast peers' process: pumps until it is told to stop, or something breaks. */
static void flood_until_told(struct flow *flow, const struct server *server, pid_t parent,
                             int64_t connect_ns)
{
    enum { IN_FLIGHT = 256 * 1024, REST_MS = 5 };
    struct client fast[FAST_PEERS];
    struct pollfd ready[FAST_PEERS];
    for (int i = 0; i < FAST_PEERS; i++) {
        fast[i] = new_client((uint32_t)(50 + i));
        enum outcome o = client_connect(&fast[i], server, connect_ns);
        if (o != CLIENT_OK)
            atomic_store(&flow->trouble, (int)o);
        ready[i] = (struct pollfd){.fd = fast[i].fd, .events = POLLIN};
    }
    while (!atomic_load(&flow->stop) && atomic_load(&flow->trouble) == CLIENT_OK &&
           getppid() == parent) {
        uint64_t received = 0;
        for (int i = 0; i < FAST_PEERS; i++) {
            enum outcome o = client_pump(&fast[i], IN_FLIGHT);
            if (o != CLIENT_OK)
                atomic_store(&flow->trouble, (int)o);
            received += fast[i].received;
        }
        if (received == atomic_exchange(&flow->received, received))
            (void)poll(ready, FAST_PEERS, REST_MS); /* nothing came: do not spin */
    }
}

/** Waits until the fast peers are at full speed. */
static bool flood_runs(struct contract_run *run, struct flow *flow)
{
    int64_t deadline_ns = patience(run);
    while (atomic_load(&flow->received) < MIB) {
        int trouble = atomic_load(&flow->trouble);
        if (trouble != CLIENT_OK)
            return went_well(run, (enum outcome)trouble, "a fast peer");
        if (deadline_left_ms(deadline_ns) == 0)
            return red(run, NOT_SERVED, "%" PRIu64 " bytes came back to the fast peers in all",
                       (uint64_t)atomic_load(&flow->received));
        clock_pause_ms(1);
    }
    return true;
}

static bool pings_meanwhile(struct contract_run *run, struct flow *flow)
{
    struct client c = new_client(60);
    int late = 0;
    uint64_t worst = 0;
    bool ok = connects(run, &c);
    for (int i = 0; ok && i < FAST_PINGS; i++) {
        uint64_t before = atomic_load(&flow->received);
        ok = pings(run, &c);
        uint64_t share = atomic_load(&flow->received) - before;
        late += share > FAST_SHARE_MIB * MIB;
        worst = share > worst ? share : worst;
    }
    client_close(&c);
    if (ok && late > FAST_PINGS_LATE)
        ok =
            red(run, TOO_SLOW,
                "%d of %d pings waited while the fast peers got more than %d MiB, at worst %zu MiB",
                late, (int)FAST_PINGS, (int)FAST_SHARE_MIB, (size_t)(worst / MIB));
    int trouble = atomic_load(&flow->trouble);
    return ok && went_well(run, (enum outcome)trouble, "a fast peer");
}

void fast_peer_starves_nobody(struct contract_run *run)
{
    if (!starts(run))
        return;
    did(run, "%d clients sent and read as fast as they could; another one sent single bytes",
        (int)FAST_PEERS);
    struct flow *flow =
        mmap(NULL, sizeof *flow, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
    if (flow == MAP_FAILED) {
        (void)skip_row(run, "no shared memory for a second process: %s", strerror(errno));
        return;
    }
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        flood_until_told(flow, &run->server, parent, patience(run));
        _exit(0);
    }
    if (child < 0)
        (void)skip_row(run, "no second process: %s", strerror(errno));
    else if (flood_runs(run, flow))
        (void)pings_meanwhile(run, flow);
    atomic_store(&flow->stop, true);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    (void)munmap(flow, sizeof *flow);
}

/* --- answers_promptly ------------------------------------------------------------------------- */

/** The control: the shortest echo there is, in a process of its own. It ends with its client. */
static void reference_echo(int listener)
{
    char byte[64];
    int fd = accept(listener, NULL, NULL);
    for (ssize_t n; fd >= 0 && (n = recv(fd, byte, sizeof byte, 0)) > 0;)
        if (send(fd, byte, (size_t)n, 0) != n)
            break;
    _exit(0);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(int64_t *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

/** One round trip, without what the server waited for a processor that others had. Like a person at
 *  a keyboard the client pauses first, so that the server has done all it does after an answer. */
static bool makes_a_trip(struct contract_run *run, struct client *c, int64_t *own_ns)
{
    enum { PAUSE_MS = 1 };
    clock_pause_ms(PAUSE_MS);
    int64_t waited_ns = server_waited_ns(&run->server);
    enum outcome o = client_ping(c, 1, patience(run), own_ns);
    *own_ns -= server_waited_ns(&run->server) - waited_ns; /* -1 - -1 where nobody tells */
    return went_well(run, o, "one byte, one answer");
}

/** Round trips to both, in turn, so that both meet the same weather; a second of them is enough. */
static void compares_round_trips(struct contract_run *run, struct client *c, struct client *control)
{
    int64_t ours[PROMPT_TRIPS], theirs[PROMPT_TRIPS], end_ns = clock_now_ns() + 1000000000;
    size_t n = 0;
    for (; n < PROMPT_TRIPS && (n < PROMPT_TRIPS_LEAST || clock_now_ns() < end_ns); n++) {
        if (!makes_a_trip(run, c, &ours[n]))
            return;
        if (client_ping(control, 1, patience(run), &theirs[n]) != CLIENT_OK) {
            (void)skip_row(run, "the control, an echo of our own, did not answer");
            return;
        }
    }
    int64_t median_us = median(ours, n) / 1000, control_us = median(theirs, n) / 1000;
    if (median_us > PROMPT_EXTRA_US + PROMPT_FACTOR * control_us)
        (void)red(run, TOO_SLOW,
                  "%zu round trips, %" PRId64 " us in the median; a plain blocking echo took "
                  "%" PRId64 " us beside it",
                  n, median_us, control_us);
}

void answers_promptly(struct contract_run *run)
{
    unsigned port = 0;
    int listener = listen_anywhere(&port);
    pid_t child = listener < 0 ? -1 : fork(); /* first of all: it must inherit no client */
    if (child == 0)
        reference_echo(listener);
    if (listener >= 0)
        close(listener);
    did(run, "sent one byte at a time and waited for each");
    struct client c = new_client(71), control = new_client(72);
    if (child < 0 || client_connect_to(&control, "127.0.0.1", port, patience(run)) != CLIENT_OK)
        (void)skip_row(run, "no control: %s", strerror(errno));
    else if (starts(run) && connects(run, &c))
        compares_round_trips(run, &c, &control);
    client_close(&c);
    client_close(&control);
    if (child > 0) {
        (void)kill(child, SIGKILL); /* it may still wait in accept() */
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}
