/*
 * Lab: how many calls of recv() are for nothing when a server tries everybody?
 *
 * A server without any means to wait for "one of these" calls recv() on every socket, again and
 * again. One peer speaks; N peers are idle and answer EAGAIN each time. The lab counts.
 *
 * 1. Spinning at its best. Before each pass over the sockets the active peer has sent one byte, so
 *    no pass is for nothing. Everything happens in one thread, the count is exact: one call of each
 *    pass is of use, N are not.
 * 2. Spinning as it is. The peer, a thread now, sends a byte every BYTE_EVERY_MS. In between the
 *    server passes over the sockets as fast as it can.
 * 3. Napping. The same peer, but the server sleeps NAP_MS after a pass that found nothing. It makes
 *    fewer passes; each still asks everybody. And a byte may have to wait for the end of a nap.
 */
#include <fcntl.h>
#include <pthread.h>

#include "lab.h"

enum { BYTES = 16, BYTE_EVERY_MS = 20, NAP_MS = 5, MOST_IDLE = 1000, NAME_LEN = 64 };
enum { SPARE_FDS = 32 }; /* what the process has open besides its socket pairs */

/* Idle sockets first, the active one last. */
struct crowd {
    int sockets[MOST_IDLE + 1], peers[MOST_IDLE + 1];
    int count;
};

/* What happened while BYTES bytes came. */
struct tally {
    uint64_t useful, useless; /* calls of recv()     */
    double cpu_percent;       /* of one processor    */
};

/* ---- a crowd of sockets ---------------------------------------------------------------------- */

/* Local socket pairs answer EAGAIN as TCP does, and need no ports. */
static void gather(struct crowd *crowd, int idle)
{
    for (crowd->count = 0; crowd->count <= idle; crowd->count++) {
        int ends[2];
        (void)lab_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
        (void)lab_must(fcntl(ends[0], F_SETFL, O_NONBLOCK), "fcntl");
        crowd->sockets[crowd->count] = ends[0];
        crowd->peers[crowd->count] = ends[1];
    }
}

static void dismiss(struct crowd *crowd)
{
    for (int i = 0; i < crowd->count; i++) {
        (void)close(crowd->sockets[i]);
        (void)close(crowd->peers[i]);
    }
}

/* ---- the server's side ----------------------------------------------------------------------- */

/* Tries everybody once; true when somebody had a byte. */
static bool pass_over(const struct crowd *crowd, struct tally *tally)
{
    uint64_t useful = tally->useful;
    char byte;
    for (int i = 0; i < crowd->count; i++) {
        if (recv(crowd->sockets[i], &byte, 1, 0) == 1)
            tally->useful++;
        else
            tally->useless++; /* EAGAIN: nothing there */
    }
    return tally->useful > useful;
}

static void say_one_byte(const struct crowd *crowd)
{
    (void)lab_must((int)send(crowd->peers[crowd->count - 1], "x", 1, 0), "send");
}

static struct tally spin_at_its_best(const struct crowd *crowd)
{
    struct tally tally = {0};
    while (tally.useful < BYTES) {
        say_one_byte(crowd);
        (void)pass_over(crowd, &tally);
    }
    return tally;
}

static void *speak_now_and_then(void *arg)
{
    for (int i = 0; i < BYTES; i++) {
        lab_pause_ms(BYTE_EVERY_MS);
        say_one_byte(arg);
    }
    return NULL;
}

/* Serves a peer that speaks now and then. nap_ms 0 means spin. */
static struct tally serve(struct crowd *crowd, int nap_ms)
{
    struct tally tally = {0};
    pthread_t peer;
    int64_t start_ns = lab_now_ns(), cpu_ns = lab_cpu_ns();
    lab_must_zero(pthread_create(&peer, NULL, speak_now_and_then, crowd), "pthread_create");
    while (tally.useful < BYTES)
        if (!pass_over(crowd, &tally) && nap_ms > 0)
            lab_pause_ms(nap_ms);
    cpu_ns = lab_cpu_ns() - cpu_ns;
    tally.cpu_percent = 100.0 * (double)cpu_ns / (double)(lab_now_ns() - start_ns);
    lab_must_zero(pthread_join(peer, NULL), "pthread_join");
    return tally;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static double show(const char *how, int idle, const struct tally *tally, bool with_cpu)
{
    char name[NAME_LEN];
    double each = (double)tally->useless / (double)tally->useful;
    (void)snprintf(name, sizeof name, "%s_useless_per_byte_%d", how, idle);
    lab_figure(name, each, "calls");
    if (with_cpu) {
        (void)snprintf(name, sizeof name, "%s_cpu_percent_%d", how, idle);
        lab_figure(name, tally->cpu_percent, "%");
    }
    return each;
}

/* The three figures of one crowd, each in useless calls per useful byte. */
struct figures {
    double best, spin, nap;
};

static struct figures measure(int idle)
{
    static struct crowd crowd;
    struct figures figures;
    gather(&crowd, idle);
    lab_say("%d idle peers and one that speaks:", idle);
    struct tally tally = spin_at_its_best(&crowd);
    figures.best = show("best", idle, &tally, false);
    tally = serve(&crowd, 0);
    figures.spin = show("spin", idle, &tally, true);
    tally = serve(&crowd, NAP_MS);
    figures.nap = show("nap", idle, &tally, true);
    dismiss(&crowd);
    return figures;
}

int main(void)
{
    lab_question("A server tries every socket in turn. One peer speaks, N are idle. At best, how "
                 "many calls of recv() find nothing, for each byte that is found?",
                 "N: one for each idle peer.",
                 "About one: the kernel skips sockets that have nothing.",
                 "None, if the server naps long enough between two passes.", 'a',
                 "Is the machine very busy? Then the peer's thread comes too late.");
    if (lab_raise_fd_limit(2 * MOST_IDLE + SPARE_FDS) < 2 * MOST_IDLE + SPARE_FDS)
        lab_skip("it needs 2,032 descriptors (ulimit -n)");

    struct figures few = measure(10), some = measure(100), many = measure(MOST_IDLE);
    lab_expect(few.best >= 10 && some.best >= 100 && many.best >= (double)MOST_IDLE,
               "at its best there are N useless calls for each byte");
    lab_expect(few.spin > 5 * few.best && few.spin > few.nap,
               "spinning makes far more: as many as the processor can, whatever N is");
    lab_expect(some.nap >= 3 * few.nap && many.nap >= 3 * some.nap,
               "napping makes fewer, but they grow with N");
    return lab_finding("each useful byte costs one useless call per idle peer, or more");
}
