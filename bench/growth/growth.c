/*
 * growth: the measurement. Prints a line "wake_ns_at_IDLE VALUE" for each size of the crowd and
 * "add_ns VALUE", what it costs to have one more watched.
 *
 *     growth_poll [-a ACTIVE] [-n MOST]
 *
 * ACTIVE pairs of sockets get a byte, then one waits until all of them were reported, and reads the
 * bytes. The same without the waiting is measured too, and subtracted: what is left is the waiting.
 * Of many rounds the least counts, since whatever else the machine did has disturbed that one
 * least. The idle ones are both ends of pairs to which nobody writes. The active ones are the
 * newest, so that a search from the front has the whole way to go.
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

enum { ACTIVE_MAX = 100, SPARE_FDS = 64, IDLE_FIRST = 10, IDLE_MOST = 9900 };
enum { ROUNDS_MAX = 2000, ROUNDS_MIN = 40 };
static const int64_t size_ns = 150 * 1000000; /* for each size: so long, or ROUNDS_MIN rounds */

static int writers[ACTIVE_MAX], readers[ACTIVE_MAX];
static int active = 1, ready;

/* ---- small things ---------------------------------------------------------------------------- */

void growth_must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "growth_%s: %s: %s\n", mechanism_name, what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void take_byte(int fd)
{
    char byte;
    growth_must(read(fd, &byte, 1) == 1, "read");
}

void growth_received(void)
{
    ready++;
}

void growth_ready(int fd)
{
    take_byte(fd);
    growth_received();
}

/* ---- the crowd ------------------------------------------------------------------------------- */

static void pair_open(int ends[2])
{
    growth_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
                "socketpair");
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

static long room(long most)
{
    struct rlimit limit;
    growth_must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    growth_must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
    long sizes = 7, all = limit.rlim_max > GROWTH_FDS_MAX ? GROWTH_FDS_MAX : (long)limit.rlim_max;
    long idle = all - SPARE_FDS - sizes * 2 * active;
    return idle < most ? idle : most;
}

/* ---- one round ------------------------------------------------------------------------------- */

static void write_bytes(void)
{
    for (int i = 0; i < active; i++)
        growth_must(write(writers[i], "x", 1) == 1, "write");
}

static int64_t round_ns(void)
{
    int64_t began_ns = now_ns();
    write_bytes();
    ready = 0;
    while (ready < active)
        mechanism_wait();
    return now_ns() - began_ns;
}

/* Both ends of a pair are idle ones. They are made before the clock that times the adding. */
static int64_t add_idle(long count)
{
    int *ends = calloc((size_t)count + 1, sizeof *ends);
    growth_must(ends != NULL, "calloc");
    for (long i = 0; i < count; i += 2)
        pair_open(ends + i);
    int64_t began_ns = now_ns();
    for (long i = 0; i < count; i++)
        mechanism_add(ends[i]);
    (void)round_ns(); /* some only take note, and tell the kernel with their next wait */
    int64_t took_ns = now_ns() - began_ns;
    free(ends);
    return took_ns;
}

static int64_t round_without_ns(void)
{
    int64_t began_ns = now_ns();
    write_bytes();
    for (int i = 0; i < active; i++)
        take_byte(readers[i]);
    return now_ns() - began_ns;
}

static int64_t least_ns(int64_t (*round)(void))
{
    int64_t least = INT64_MAX, until_ns = now_ns() + size_ns;
    for (int i = 0; i < ROUNDS_MIN || (i < ROUNDS_MAX && now_ns() < until_ns); i++) {
        int64_t ns = round();
        least = ns < least ? ns : least;
    }
    return least;
}

/* An edge is a promise about what was not taken yet; so the bytes of the rounds without waiting
 * come first, while nobody watches, in pairs of their own. */
static int64_t without_waiting_ns(void)
{
    int ends[2];
    for (int i = 0; i < active; i++) {
        pair_open(ends);
        readers[i] = ends[0];
        writers[i] = ends[1];
    }
    int64_t least = least_ns(round_without_ns);
    for (int i = 0; i < active; i++) {
        close(readers[i]);
        close(writers[i]);
    }
    return least;
}

int main(int argc, char **argv)
{
    long most = IDLE_MOST;
    int letter;
    while ((letter = getopt(argc, argv, "a:n:")) != -1) {
        if (letter == 'a' && atoi(optarg) >= 1 && atoi(optarg) <= ACTIVE_MAX) {
            active = atoi(optarg);
        } else if (letter == 'n' && atol(optarg) >= IDLE_FIRST) {
            most = atol(optarg);
        } else {
            (void)fprintf(stderr, "usage: growth_%s [-a ACTIVE] [-n MOST]\n", mechanism_name);
            return 2;
        }
    }
    most = room(most);
    if (!mechanism_open())
        return 77;
    int64_t rest_ns = without_waiting_ns(), add_ns = 0;
    long idle = 0;
    add_active();
    for (long wanted = IDLE_FIRST; idle < most; wanted *= 10) {
        long more = (wanted < most ? wanted : most) - idle;
        add_ns = add_idle(more) / more;
        idle += more;
        add_active();
        int64_t ns = least_ns(round_ns) - rest_ns;
        (void)printf("wake_ns_at_%ld %lld\n", idle, (long long)(ns > 0 ? ns : 0));
    }
    (void)printf("add_ns %lld\n", (long long)add_ns);
    return 0;
}
