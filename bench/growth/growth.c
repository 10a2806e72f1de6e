/*
 * growth: the measurement. Prints a line "wake_ns_at_IDLE VALUE" for each size of the crowd and
 * "add_ns VALUE", the CPU time that it takes to have one more watched.
 *
 *     growth_poll [-a ACTIVE] [-n MOST] [-e]
 *
 * ACTIVE pairs of sockets get a byte, then one waits until all of them were reported, and reads the
 * bytes. The same without the waiting is measured too, by turns, and subtracted: what is left is
 * the waiting. (A queue that takes many bytes with one call may come out below zero.) Of many
 * rounds the least counts, since whatever else the machine did has disturbed that one least. The
 * idle ones are both ends of pairs to which nobody writes. The active ones are the newest, so that
 * a search from the front has the whole way to go.
 *
 * With -e the descriptors are eventfds of Linux instead, the smallest thing that can be waited for:
 * a number in the kernel, without buffers or a peer. So one sees that the lines are the mechanisms'
 * and not the sockets'.
 */
#include "growth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ACTIVE_MAX = 100, SPARE_FDS = 64, SIZES = 5 };
enum { ROUNDS_MAX = 2000, ROUNDS_MIN = 40 };
static const int64_t size_ns = 150 * 1000000; /* for each size: so long, or ROUNDS_MIN rounds */
static const long sizes[SIZES] = {10, 100, 1000, 9900,
                                  99000}; /* or what the limit leaves of them */

static int writers[ACTIVE_MAX], readers[ACTIVE_MAX];
static int unwatched_writers[ACTIVE_MAX], unwatched_readers[ACTIVE_MAX];
static int active = 1, ready;
static bool of_eventfds;

/* ---- small things ---------------------------------------------------------------------------- */

void growth_must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "growth_%s: %s: %s\n", mechanism_name, what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(clockid_t which)
{
    struct timespec now;
    (void)clock_gettime(which, &now); /* cannot fail with the two clocks that are used here */
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* What makes one readable, and is read then: a byte, or an eventfd's number (man 2 eventfd). */
static size_t unit(void)
{
    return of_eventfds ? sizeof(uint64_t) : 1;
}

static void take_unit(int fd)
{
    uint64_t taken;
    growth_must(read(fd, &taken, unit()) == (ssize_t)unit(), "read");
}

void growth_received(void)
{
    ready++;
}

void growth_ready(int fd)
{
    take_unit(fd);
    growth_received();
}

/* ---- the crowd ------------------------------------------------------------------------------- */

static void never_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    growth_must(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0, "fcntl");
}

/* What is written at ends[1] can be read at ends[0]; of eventfds both are the same one. */
static void pair_open(int ends[2])
{
    if (of_eventfds) {
        ends[0] = ends[1] = growth_eventfd();
        growth_must(ends[0] >= 0, "eventfd");
        return;
    }
    growth_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    never_block(ends[0]);
    never_block(ends[1]);
}

/* The mechanisms look at the newest one last; so the active ones are made anew for each size. */
static void add_active(void)
{
    int ends[2];
    for (int i = 0; i < active; i++) {
        pair_open(ends);
        readers[i] = ends[0];
        writers[i] = ends[1];
        mechanism_add(readers[i]);
    }
}

/* Without the waiting it is done on pairs of its own: an edge is a promise about what was not taken
 * yet, and these nobody watches. */
static void open_unwatched(void)
{
    int ends[2];
    for (int i = 0; i < active; i++) {
        pair_open(ends);
        unwatched_readers[i] = ends[0];
        unwatched_writers[i] = ends[1];
    }
}

static long room(long most)
{
    struct rlimit limit;
    growth_must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    growth_must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    long all = limit.rlim_max > GROWTH_FDS_MAX ? GROWTH_FDS_MAX : (long)limit.rlim_max;
    long idle = all - SPARE_FDS - (SIZES + 2) * 2 * active;
    return idle < most ? idle : most;
}

/* ---- one round ------------------------------------------------------------------------------- */

static void make_ready(const int fds[])
{
    const uint64_t one = 1;
    for (int i = 0; i < active; i++)
        growth_must(write(fds[i], &one, unit()) == (ssize_t)unit(), "write");
}

static int64_t round_ns(void)
{
    int64_t began_ns = now_ns();
    make_ready(writers);
    ready = 0;
    while (ready < active)
        mechanism_wait();
    return now_ns() - began_ns;
}

static int64_t round_without_ns(void)
{
    int64_t began_ns = now_ns();
    make_ready(unwatched_writers);
    for (int i = 0; i < active; i++)
        take_unit(unwatched_readers[i]);
    return now_ns() - began_ns;
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* By turns, so that both have met the machine in the same mood. */
static int64_t wake_ns(void)
{
    int64_t with = INT64_MAX, without = INT64_MAX, until_ns = now_ns() + size_ns;
    for (int i = 0; i < ROUNDS_MIN || (i < ROUNDS_MAX && now_ns() < until_ns); i++) {
        without = lesser(without, round_without_ns());
        with = lesser(with, round_ns());
    }
    return with - without;
}

/* Both ends of a pair are idle ones. They are made before the clock is read. Some mechanisms only
 * take note, and tell the kernel with their next wait: so one wait belongs to it. An adding cannot
 * be repeated until nobody disturbs it; so this is the CPU time of the process. */
static int64_t add_idle(long count)
{
    int *ends = calloc((size_t)count + 1, sizeof *ends);
    growth_must(ends != NULL, "calloc");
    for (long i = 0; i < count; i += of_eventfds ? 1 : 2)
        pair_open(ends + i);
    int64_t began_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; i++)
        mechanism_add(ends[i]);
    (void)round_ns();
    int64_t took_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;
    free(ends);
    return took_ns;
}

static void measure(long most)
{
    int64_t add_ns = 0;
    long idle = 0;
    open_unwatched();
    add_active();
    for (int i = 0; i < SIZES && idle < most; i++) {
        long more = (sizes[i] < most ? sizes[i] : most) - idle;
        add_ns = add_idle(more) / more;
        idle += more;
        add_active();
        (void)printf("wake_ns_at_%ld %lld\n", idle, (long long)wake_ns());
    }
    (void)printf("add_ns %lld\n", (long long)add_ns);
}

int main(int argc, char **argv)
{
    long most = sizes[SIZES - 1];
    int letter;
    while ((letter = getopt(argc, argv, "a:n:e")) != -1) {
        if (letter == 'a' && atoi(optarg) >= 1 && atoi(optarg) <= ACTIVE_MAX) {
            active = atoi(optarg);
        } else if (letter == 'n' && atol(optarg) >= sizes[0]) {
            most = atol(optarg);
        } else if (letter == 'e') {
            of_eventfds = true;
        } else {
            (void)fprintf(stderr, "usage: growth_%s [-a ACTIVE] [-n MOST] [-e]\n", mechanism_name);
            return 2;
        }
    }
    most = room(most);
    if (!mechanism_open())
        return 77;
    measure(most);
    return 0;
}
