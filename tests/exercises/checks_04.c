/*
 * checks_04: what the exercises of chapter 04 ask for: epoll with few calls.
 */
#include "checks.h"
#include "counter.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* --- 04.1: few_calls_per_round_trip ----------------------------------------------------------- */

enum { CROWD = 50, TURNS = 20, MOST_PER_TEN = 22 };

static bool crowd_comes(struct contract_run *run, struct client *crowd)
{
    bool ok = starts(run);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = new_client((uint32_t)(4101 + i));
        ok = ok && connects(run, &crowd[i]) && pings(run, &crowd[i]);
    }
    return ok;
}

/** All of them speak while the server is stopped, so that it finds them all at once. */
static bool all_speak_at_once(struct contract_run *run, struct client *crowd)
{
    bool ok = freezes(run);
    for (int i = 0; ok && i < CROWD; i++)
        ok = sends(run, &crowd[i], 1);
    for (int i = 0; ok && i < CROWD; i++) /* after all have sent: their delayed ACKs overlap */
        ok = arrives(run, &crowd[i]);
    thaws(run);
    for (int i = 0; ok && i < CROWD; i++)
        ok = gets_back(run, &crowd[i], 1);
    return ok;
}

static void judge_calls(struct contract_run *run, const struct counter *counter,
                        unsigned long before)
{
    unsigned long trips = CROWD * TURNS, calls = all_calls(counter) - before;
    if (calls_of(counter, CALLS_POLL) > 0)
        (void)red(run, TOO_SLOW,
                  "it waited in poll() or select() %lu times: the kernel was given the whole list "
                  "again each time",
                  calls_of(counter, CALLS_POLL));
    else if (calls_of(counter, CALLS_EPOLL_WAIT) == 0)
        (void)red(run, TOO_SLOW, "it never called epoll_wait()");
    else if (calls * 10 > trips * MOST_PER_TEN)
        (void)red(run, BURNS_CPU,
                  "%lu round trips cost %lu calls, that is %.1f each, %lu of all were epoll_wait()",
                  trips, calls, (double)calls / (double)trips, calls_of(counter, CALLS_EPOLL_WAIT));
}

void few_calls_per_round_trip(struct contract_run *run)
{
    struct client crowd[CROWD];
    struct counter counter;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = new_client(0);
    did(run, "was %d clients who sent a byte each at the same time, %d times", (int)CROWD,
        (int)TURNS);
    bool ok = counter_open(run, &counter) && crowd_comes(run, crowd);
    unsigned long before = ok ? all_calls(&counter) : 0;
    for (int turn = 0; ok && turn < TURNS; turn++)
        ok = all_speak_at_once(run, crowd);
    if (ok)
        judge_calls(run, &counter, before);
    counter_close(&counter);
    for (int i = 0; i < CROWD; i++)
        client_close(&crowd[i]);
}

/* --- 04.2: registered_once -------------------------------------------------------------------- */

/** The client stops reading until nothing moves, then goes on. Neither is a reason to change what
 *  epoll knows of it. */
void registered_once(struct contract_run *run)
{
    struct client c = new_client(4201), other = new_client(4202);
    struct counter counter;
    c.receive_buffer = 64 * 1024;
    did(run, "sent without reading until nothing moved, then read everything");
    bool ok = counter_open(run, &counter) && starts(run) && connects(run, &other) &&
              pings(run, &other) && connects(run, &c) && pings(run, &c);
    unsigned long before = ok ? calls_of(&counter, CALLS_EPOLL_CTL) : 0;
    ok = ok && floods_until_it_stalls(run, &c, &other, STALL_MIB * MIB) &&
         gets_back(run, &c, (size_t)(c.sent - c.received)) && pings(run, &c);
    unsigned long changes = ok ? calls_of(&counter, CALLS_EPOLL_CTL) - before : 0;
    if (ok && calls_of(&counter, CALLS_EPOLL_CTL) == 0)
        (void)red(run, TOO_SLOW, "it never called epoll_ctl()");
    else if (changes > 0)
        (void)red(run, BURNS_CPU,
                  "epoll_ctl() was called %lu times for a client who was there already", changes);
    counter_close(&counter);
    client_close(&c);
    client_close(&other);
}

/* --- 04.3: fair shares ------------------------------------------------------------------------ */

/** The row of the contract, with clients who are faster than the server, also where they are not:
 *  see counted/count_calls.c. */
void faster_ones_starve_nobody(struct contract_run *run)
{
    (void)setenv("PEERS_ARE_FAST", "1", 1);
    fast_peer_starves_nobody(run);
    (void)unsetenv("PEERS_ARE_FAST");
}

/** All of it arrives while the server is stopped, so it makes one edge; nothing follows. It fits
 *  into the receive buffer that a new connection has (man 7 tcp, tcp_rmem). */
void flooder_ends_too(struct contract_run *run)
{
    enum { AT_ONCE = 48000, TIMES = 5 };
    struct client c = new_client(4301);
    bool ok = starts(run) && connects(run, &c) && pings(run, &c);
    for (int i = 1; ok && i <= TIMES; i++) {
        did(run, "sent %d bytes at once, for the %d. time, and waited for all of them",
            (int)AT_ONCE, i);
        ok = freezes(run) && sends(run, &c, AT_ONCE) && arrives(run, &c);
        thaws(run);
        ok = ok && gets_back(run, &c, AT_ONCE);
    }
    (void)(ok && shuts_writing(run, &c) && sees_the_end(run, &c));
    client_close(&c);
}

/* --- 04.5: one at a time ---------------------------------------------------------------------- */

enum { TALKERS = 4, PIECE = 5000 };

/** Each of the clients sends without a pause, so that there is always more to tell some thread. */
static bool all_talk(struct contract_run *run, struct client *talkers, size_t bytes)
{
    bool ok = starts(run);
    for (int i = 0; i < TALKERS; i++) {
        talkers[i] = new_client((uint32_t)(4501 + i));
        ok = ok && connects(run, &talkers[i]) && pings(run, &talkers[i]);
    }
    for (int i = 0; ok && i < TALKERS; i++)
        ok = exchanges(run, &talkers[i], bytes, PIECE);
    return ok;
}

static void all_fall_silent(struct contract_run *run, struct client *talkers)
{
    (void)still_lives(run); /* before the clients leave: their end is not this row's matter */
    for (int i = 0; i < TALKERS; i++)
        client_close(&talkers[i]);
}

void each_keeps_its_order(struct contract_run *run)
{
    struct client talkers[TALKERS];
    did(run, "was %d clients who sent 4 MiB each, in pieces of %d bytes at most", (int)TALKERS,
        (int)PIECE);
    (void)all_talk(run, talkers, 4 * MIB);
    all_fall_silent(run, talkers);
}

void one_thread_at_a_time(struct contract_run *run)
{
    struct client talkers[TALKERS];
    did(run, "was %d clients who sent 1 MiB each in small pieces; ThreadSanitizer looked on",
        (int)TALKERS);
    (void)all_talk(run, talkers, MIB);
    all_fall_silent(run, talkers);
}

/** A ping is a wake-up, a recv(), a send(), and a re-arming. Who wakes all threads pays for all. */
void one_wakes_up(struct contract_run *run)
{
    enum { PINGS = 500, WORKERS_MOST = 16 };
    struct client c = new_client(4601);
    struct counter counter;
    did(run, "sent %d single bytes, each when the answer to the last one had come", (int)PINGS);
    bool ok = counter_open(run, &counter) && starts(run) && connects(run, &c) && pings(run, &c);
    unsigned long before = ok ? calls_of(&counter, CALLS_EPOLL_WAIT) : 0;
    for (int i = 0; ok && i < PINGS; i++)
        ok = pings(run, &c);
    unsigned long waits = ok ? calls_of(&counter, CALLS_EPOLL_WAIT) - before : 0;
    if (waits > PINGS + PINGS / 10 + WORKERS_MOST)
        (void)red(run, BURNS_CPU, "%lu calls of epoll_wait() for %d bytes: threads wake in vain",
                  waits, (int)PINGS);
    counter_close(&counter);
    client_close(&c);
}
