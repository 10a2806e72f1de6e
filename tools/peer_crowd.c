/*
 * peer_crowd: many peers of one temper in one thread.
 *
 * Life of a crowd: all connect, one after the other; then poll() says who is ready and the temper
 * says what is done; once a second there is a tick. It ends when every peer is over, when the time
 * given by -s has passed, or at Ctrl-C. Then the totals are printed.
 */
#include "peer.h"

#include "../tests/harness/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* After Ctrl-C: GNU make, which gets it too, stumbles when its child ends before it has looked. */
enum { LINGER_MS = 100 };

enum { WORDS = 4, ROOM_PER_WORD = 32 };
static const int64_t NS_PER_S = 1000000000;

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

/*
 * The handler writes a byte into a pipe, and poll() watches the other end. A flag would not do: a
 * signal that comes between the test of the flag and poll() would be noticed much later.
 */
static int interrupt_pipe[2];

static void on_interrupt(int signo)
{
    (void)signo;
    int saved = errno;
    (void)!write(interrupt_pipe[1], "",
                 1); /* fails only when the pipe is full, which says the same */
    errno = saved;
}

int interrupt_open(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    if (pipe(interrupt_pipe) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(interrupt_pipe[i], F_SETFD, FD_CLOEXEC);
        fcntl(interrupt_pipe[i], F_SETFL, O_NONBLOCK);
    }
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a server that is gone is an error of send(), not our end */
    return interrupt_pipe[0];
}

static bool is_interrupted(void)
{
    struct pollfd p = {.fd = interrupt_pipe[0], .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* ---- words ----------------------------------------------------------------------------------- */

const char *in_words(uint64_t bytes)
{
    static char words[WORDS][ROOM_PER_WORD];
    static unsigned next;
    char *text = words[next++ % WORDS];
    if (bytes < 10000)
        snprintf(text, sizeof words[0], "%llu bytes", (unsigned long long)bytes);
    else if (bytes < 1024 * 1024)
        snprintf(text, sizeof words[0], "%.1f KiB", (double)bytes / 1024);
    else
        snprintf(text, sizeof words[0], "%.1f MiB", (double)bytes / (1024 * 1024));
    return text;
}

void say_why_not(const struct options *o, enum outcome how)
{
    if (how == CLIENT_REFUSED)
        fprintf(stderr, "Nobody listens on %s port %u. Start a server: make run CH=01 STEP=1\n",
                o->address, o->port);
    else if (how == CLIENT_LOCAL_LIMIT)
        fprintf(stderr,
                "This process has no more descriptors or ports (`ulimit -n` shows the limit).\n");
    else
        fprintf(stderr, "Cannot connect to %s port %u: %s.\n", o->address, o->port,
                outcome_in_words(how));
}

void say(const struct crowd *crowd, const char *format, ...)
{
    va_list args;
    if (crowd->options->quiet)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

uint64_t crowd_sent(const struct crowd *crowd)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < crowd->connected; i++)
        sum += crowd->peers[i].c.sent;
    return sum;
}

uint64_t crowd_received(const struct crowd *crowd)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < crowd->connected; i++)
        sum += crowd->peers[i].c.received;
    return sum;
}

/* ---- birth ----------------------------------------------------------------------------------- */

static bool crowd_alloc(struct crowd *crowd, unsigned count)
{
    crowd->peers = calloc(count, sizeof *crowd->peers);
    crowd->polled = calloc(count + 1, sizeof *crowd->polled);
    crowd->trip_ns = calloc(TRIPS_KEPT, sizeof *crowd->trip_ns); /* in RAM only as far as used */
    return crowd->peers != NULL && crowd->polled != NULL && crowd->trip_ns != NULL;
}

static void crowd_free(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->connected; i++)
        client_close(&crowd->peers[i].c);
    free(crowd->peers);
    free(crowd->polled);
    free(crowd->trip_ns);
}

/* Connects as many as go. Fewer than wanted is no failure, but it is said. */
static enum outcome crowd_connect(struct crowd *crowd)
{
    const struct options *o = crowd->options;
    (void)client_raise_limit(); /* as far as we may; where that ends, connecting says so */
    while (crowd->connected < o->count && !is_interrupted()) {
        struct peer *p = &crowd->peers[crowd->connected];
        p->c = (struct client){.fd = -1, .seed = crowd->connected + 1};
        enum outcome how =
            client_connect_to(&p->c, o->address, o->port, deadline_in_ms(PATIENCE_MS));
        if (how != CLIENT_OK)
            return how;
        crowd->connected++;
    }
    return CLIENT_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* An answer that is awaited for too long is a result, too. */
static void check_patience(struct crowd *crowd)
{
    int64_t patience_ns =
        (int64_t)(clock_slowdown() * (double)PATIENCE_MS / 1000 * (double)NS_PER_S);
    for (unsigned i = 0; i < crowd->connected; i++) {
        struct peer *p = &crowd->peers[i];
        if (p->c.fd < 0 || p->asked_ns == 0 || clock_now_ns() - p->asked_ns < patience_ns)
            continue;
        p->how = CLIENT_TIMEOUT;
        p->done = true;
    }
}

/* Closes who is done and fills in what poll() needs. Returns how many are left. */
static unsigned crowd_prepare(struct crowd *crowd)
{
    unsigned left = 0;
    for (unsigned i = 0; i < crowd->connected; i++) {
        struct peer *p = &crowd->peers[i];
        if (p->done)
            client_close(&p->c);
        left += p->c.fd >= 0;
        crowd->polled[i] = (struct pollfd){.fd = p->c.fd}; /* poll() skips a negative one */
        if (p->c.fd >= 0)
            crowd->polled[i].events = crowd->kind->wants(p);
    }
    return left;
}

static void crowd_live(struct crowd *crowd, int interrupt_fd)
{
    int64_t seconds = crowd->options->seconds;
    int64_t end = seconds > 0 ? crowd->started_ns + seconds * NS_PER_S : INT64_MAX;
    int64_t next_tick = crowd->started_ns + NS_PER_S;
    while (crowd_prepare(crowd) > 0) {
        struct pollfd *interrupt = &crowd->polled[crowd->connected];
        *interrupt = (struct pollfd){.fd = interrupt_fd, .events = POLLIN};
        int n = poll(crowd->polled, (nfds_t)crowd->connected + 1,
                     deadline_left_ms(next_tick < end ? next_tick : end));
        int64_t now = clock_now_ns();
        if (n < 0 && errno != EINTR)
            return; /* ENOMEM: nothing can be watched any more */
        if (now >= end || (n > 0 && interrupt->revents != 0))
            return;
        for (unsigned i = 0; n > 0 && i < crowd->connected; i++)
            if (crowd->polled[i].revents != 0)
                crowd->kind->ready(crowd, &crowd->peers[i]);
        if (now < next_tick)
            continue;
        next_tick += NS_PER_S;
        check_patience(crowd);
        if (crowd->kind->tick != NULL)
            crowd->kind->tick(crowd);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static unsigned how_many_ended(const struct crowd *crowd, enum outcome how)
{
    unsigned n = 0;
    for (unsigned i = 0; i < crowd->connected; i++)
        n += crowd->peers[i].how == how;
    return n;
}

/* Prints the last line. Returns false when something went wrong that should not have. */
static bool crowd_totals(const struct crowd *crowd)
{
    static const struct {
        enum outcome how;
        const char *words;
    } endings[] = {{CLIENT_CLOSED, "closed by the server"},
                   {CLIENT_RESET, "reset by the server"},
                   {CLIENT_TIMEOUT, "without an answer"},
                   {CLIENT_WRONG_BYTES, "got WRONG BYTES"}};
    bool good = how_many_ended(crowd, CLIENT_WRONG_BYTES) == 0;
    printf("totals: %u connected, sent %s, got %s back", crowd->connected,
           in_words(crowd_sent(crowd)), in_words(crowd_received(crowd)));
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        unsigned n = how_many_ended(crowd, endings[i].how);
        if (n > 0)
            printf(", %u %s", n, endings[i].words);
        if (n > 0 && crowd->kind->answer_is_due)
            good = false;
    }
    printf("\n");
    return good;
}

static void say_hello(const struct crowd *crowd)
{
    const struct options *o = crowd->options;
    say(crowd, "%s: %s\n", o->kind, crowd->kind->does);
    say(crowd, "%u connected to %s port %u", crowd->connected, o->address, o->port);
    if (o->seconds > 0)
        say(crowd, ", for %u s\n", o->seconds);
    else
        say(crowd, "%s\n", crowd->kind->for_ever ? "; Ctrl-C ends it" : "");
}

int crowd_run(const struct options *options, const struct kind *kind)
{
    struct crowd crowd = {.options = options, .kind = kind};
    int interrupt_fd = interrupt_open();
    bool good = false;
    if (interrupt_fd < 0 || !crowd_alloc(&crowd, options->count)) {
        fprintf(stderr, "peer: cannot start: %s\n", strerror(errno));
        goto out;
    }
    enum outcome how = crowd_connect(&crowd);
    if (how != CLIENT_OK) {
        say_why_not(options, how);
        if (crowd.connected == 0)
            goto out;
        fprintf(stderr, "Only %u of %u are connected; these go on.\n", crowd.connected,
                options->count);
    }
    say_hello(&crowd);
    clock_pause_ms((int)kind->breath_ms);
    crowd.started_ns = clock_now_ns();
    crowd_live(&crowd, interrupt_fd);
    good = kind->verdict == NULL || kind->verdict(&crowd);
    good = crowd_totals(&crowd) && good;
out:
    if (is_interrupted())
        clock_pause_ms(LINGER_MS);
    crowd_free(&crowd);
    return good ? 0 : 1;
}
