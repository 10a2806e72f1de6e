/*
 * load: one measurement of one server. Starts it, talks to it, prints what it cost, ends it.
 *
 *     load -c 64 -s 64 -n 50000 build/bench/peers/raw_epoll
 *
 * Both processes, this one and the server, are put on ONE core (-C; the last one that we may use).
 * So they take turns, a slow moment of the machine hits both, and the server works through what has
 * come while the client worked: it gets whole batches, and the same ones in each run. Both are
 * SCHED_BATCH, so that none of them interrupts the other one as soon as it is woken (man 7 sched).
 *
 * What counts is the CPU time of the server's process, in ns, by its own clock (man 3
 * clock_getcpuclockid), between two moments: after the warm-up (-w), and when -n more messages came
 * back. It contains what the kernel does in its name, on loopback the delivery to the peer, too.
 *
 * Prints "figure value", a line each. Status: 0; 1 when the server or the measurement failed, with
 * the reason on stderr; 2 for wrong options.
 */
#include "counters.h"
#include "crowd.h"

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/process.h"
#include "harness/server.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START_MS = 30000, STOP_MS = 20000, VISITS_BEFORE = 64, MOST_MS = 3600000 };
enum mode { MODE_CLOSED, MODE_BURST, MODE_ACCEPT, MODE_MEMORY, MODE_USED, MODES };
static const char *const mode_names[MODES] = {"closed", "burst", "accept", "memory", "used"};

struct options {
    struct crowd_plan plan;
    uint64_t warm, trips;
    enum mode mode;
    long core;    /* -1: the last one                         */
    long most_ms; /* for the warm-up, and for the measurement */
    bool count_calls;
    const char *const *server;
};

/* One moment of the measurement. */
struct moment {
    int64_t now_ns, cpu_ns, switches;
    uint64_t counted[COUNTERS], trips;
};

struct trial {
    struct options options;
    struct server server;
    struct crowd crowd;
    struct counters counters;
    bool counting;
    struct histogram latency_ns;
};

/* ---- options --------------------------------------------------------------------------------- */

static _Noreturn void usage(void)
{
    (void)fputs(
        "usage: load [options] SERVER [ARGUMENT...]\n"
        "  -c CLIENTS  -d DEPTH  -s SIZE  who talk, messages on the way, bytes in a message\n"
        "  -i IDLE     clients beside them that are only connected\n"
        "  -l          each message is a line, and comes back in upper case\n"
        "  -r BYTES    receive buffer of the clients (SO_RCVBUF); usually the system's\n"
        "  -w WARM  -n TRIPS              round trips before and within the measurement\n"
        "  -t MS       the end of either, should it come first\n"
        "  -m closed|burst|accept|memory|used\n"
        "  -C CORE     the core for both (usually the last; -2: none, wherever they like)\n"
        "  -k          count system calls (that slows them, so the times are not to be used)\n",
        stderr);
    exit(2);
}

static long number(const char *text, long least, long most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < least || value > most) {
        (void)fprintf(stderr, "load: '%s' is no number from %ld to %ld\n", text, least, most);
        exit(2);
    }
    return value;
}

static enum mode mode_named(const char *name)
{
    for (int i = 0; i < MODES; i++)
        if (strcmp(name, mode_names[i]) == 0)
            return (enum mode)i;
    usage();
}

static void take_option(struct options *options, int letter)
{
    switch (letter) {
    case 'c':
        options->plan.clients = (int)number(optarg, 0, 100000);
        break;
    case 'd':
        options->plan.depth = (int)number(optarg, 1, CROWD_DEPTH_MAX);
        break;
    case 's':
        options->plan.size = (size_t)number(optarg, 1, CROWD_SIZE_MAX);
        break;
    case 'i':
        options->plan.idle = (int)number(optarg, 0, 1000000);
        break;
    case 'w':
        options->warm = (uint64_t)number(optarg, 0, 1000000000);
        break;
    case 'n':
        options->trips = (uint64_t)number(optarg, 1, 1000000000);
        break;
    case 'r':
        options->plan.receive_buffer = (int)number(optarg, 1, INT_MAX);
        break;
    case 't':
        options->most_ms = number(optarg, 1, MOST_MS);
        break;
    case 'C':
        options->core = number(optarg, -2, CPU_SETSIZE - 1);
        break;
    default:
        usage();
    }
}

static struct options read_options(int argc, char **argv)
{
    struct options options = {.plan = {.clients = 1, .depth = 1, .size = 64},
                              .warm = 1000,
                              .trips = 10000,
                              .core = -1,
                              .most_ms = MOST_MS};
    int letter;
    while ((letter = getopt(argc, argv, "+c:d:s:i:w:n:m:r:t:C:kl")) != -1) {
        if (letter == 'm')
            options.mode = mode_named(optarg);
        else if (letter == 'k')
            options.count_calls = true;
        else if (letter == 'l')
            options.plan.lines = true;
        else
            take_option(&options, letter);
    }
    if (optind == argc)
        usage();
    options.server = (const char *const *)&argv[optind];
    options.plan.burst = options.mode == MODE_BURST;
    if (options.mode >= MODE_ACCEPT)
        options.plan.clients = 0;
    return options;
}

/* ---- one core, no interruptions -------------------------------------------------------------- */

static int last_core(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return -1;
    for (int core = CPU_SETSIZE - 1; core >= 0; core--)
        if (CPU_ISSET((size_t)core, &allowed))
            return core;
    return -1;
}

/* What is set here, the server inherits. */
static bool share_one_core(long wanted)
{
    const struct sched_param none = {0};
    cpu_set_t only;
    int core = wanted == -1 ? last_core() : (int)wanted;
    if (wanted == -2)
        return true;
    CPU_ZERO(&only);
    if (core >= 0)
        CPU_SET((size_t)core, &only);
    return sched_setaffinity(0, sizeof only, &only) == 0 &&
           sched_setscheduler(0, SCHED_BATCH, &none) == 0;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static struct moment look(const struct trial *trial)
{
    struct moment moment = {.trips = trial->crowd.trips};
    moment.now_ns = clock_now_ns();
    moment.cpu_ns = process_cpu_ns(trial->server.pid);
    moment.switches = switches_of(trial->server.pid);
    if (trial->counting)
        counters_read(&trial->counters, moment.counted);
    return moment;
}

static void figure(const char *name, double value)
{
    (void)printf("%s %.6g\n", name, value);
}

static void show_counts(const struct moment *from, const struct moment *to, double trips)
{
    static const char *const names[COUNTERS] = {"calls_per_trip", "failed_calls_per_trip",
                                                "epoll_ctl_per_trip"};
    for (int i = 0; i < COUNTERS; i++)
        figure(names[i], (double)(to->counted[i] - from->counted[i]) / trips);
}

static void show_talk(const struct trial *trial, const struct moment *from, const struct moment *to)
{
    static const struct {
        const char *name;
        double percent;
    } shown[] = {
        {"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p99.9_us", 99.9}, {"most_us", 100}};
    const double trips = (double)(to->trips - from->trips);
    figure("trips", trips);
    figure("cpu_ns_per_trip", (double)(to->cpu_ns - from->cpu_ns) / trips);
    figure("wall_ns_per_trip", (double)(to->now_ns - from->now_ns) / trips);
    figure("switches_per_trip", (double)(to->switches - from->switches) / trips);
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        figure(shown[i].name, (double)histogram_at(&trial->latency_ns, shown[i].percent) / 1e3);
    if (trial->counting)
        show_counts(from, to, trips);
}

/* Slow servers are measured with fewer trips. */
static int64_t until_ns(const struct trial *trial)
{
    return clock_now_ns() + trial->options.most_ms * INT64_C(1000000);
}

/* ---- the modes ------------------------------------------------------------------------------- */

static int run_talk(struct trial *trial)
{
    if (crowd_open(&trial->crowd, &trial->options.plan, trial->server.port) < 0 ||
        crowd_talk(&trial->crowd, trial->options.warm, until_ns(trial)) < 0)
        return -1;
    trial->counting = trial->options.count_calls;
    if (trial->counting && !counters_open(&trial->counters, trial->server.pid)) {
        (void)snprintf(trial->crowd.why, sizeof trial->crowd.why,
                       "system calls cannot be counted here: %s", strerror(errno));
        return -1;
    }
    trial->crowd.latency_ns = &trial->latency_ns;
    struct moment from = look(trial);
    if (crowd_talk(&trial->crowd, trial->options.trips, until_ns(trial)) < 0)
        return -1;
    struct moment to = look(trial);
    show_talk(trial, &from, &to);
    if (trial->counting)
        counters_close(&trial->counters);
    return 0;
}

static int run_accept(struct trial *trial)
{
    if (crowd_open(&trial->crowd, &trial->options.plan, trial->server.port) < 0)
        return -1;
    for (int i = 0; i < VISITS_BEFORE; i++)
        if (crowd_visit(&trial->crowd) < 0)
            return -1;
    struct moment from = look(trial);
    for (uint64_t i = 0; i < trial->options.trips; i++)
        if (crowd_visit(&trial->crowd) < 0)
            return -1;
    struct moment to = look(trial);
    figure("cpu_ns_per_visit", (double)(to.cpu_ns - from.cpu_ns) / (double)trial->options.trips);
    figure("wall_ns_per_visit", (double)(to.now_ns - from.now_ns) / (double)trial->options.trips);
    return 0;
}

/* What the idle ones cost, in memory of the server's process. The kernel's own is not in it. */
static int run_memory(struct trial *trial)
{
    struct crowd first;
    int status = crowd_open(
        &first, &(struct crowd_plan){.depth = 1, .size = 64, .lines = trial->options.plan.lines},
        trial->server.port);
    if (status == 0)
        status = crowd_visit(&first); /* what the server does but once, it has done now */
    crowd_close(&first);
    int64_t before_kib = process_resident_kib(trial->server.pid);
    if (status < 0 || crowd_open(&trial->crowd, &trial->options.plan, trial->server.port) < 0)
        return -1;
    if (trial->options.mode == MODE_USED && crowd_use_idle(&trial->crowd) < 0)
        return -1;
    int64_t after_kib = process_resident_kib(trial->server.pid);
    figure("bytes_per_idle", (double)(after_kib - before_kib) * 1024.0 / trial->options.plan.idle);
    return 0;
}

static int run(struct trial *trial)
{
    switch (trial->options.mode) {
    case MODE_ACCEPT:
        return run_accept(trial);
    case MODE_MEMORY:
    case MODE_USED:
        return run_memory(trial);
    default:
        return run_talk(trial);
    }
}

int main(int argc, char **argv)
{
    static struct trial trial; /* static: too large for the stack */
    struct server_end end = {0};
    char why[256];
    trial.crowd.epoll = -1;
    trial.options = read_options(argc, argv);
    if (!share_one_core(trial.options.core)) {
        (void)fprintf(stderr, "load: no core of one's own: %s\n", strerror(errno));
        return 1;
    }
    (void)client_raise_limit(); /* as far as it goes; a connect tells if that was not enough */
    struct server_spec spec = {.argv = trial.options.server, .start_ms = START_MS};
    if (server_start(&trial.server, &spec, why, sizeof why) < 0) {
        (void)fprintf(stderr, "load: %s\n", why);
        return 1;
    }
    int status = run(&trial);
    if (status < 0)
        (void)fprintf(stderr, "load: %s: %s\n", trial.options.server[0], trial.crowd.why);
    crowd_close(&trial.crowd);
    server_stop(&trial.server, deadline_in_ms(STOP_MS), &end); /* how it ends is no concern here */
    return status < 0 ? 1 : 0;
}
