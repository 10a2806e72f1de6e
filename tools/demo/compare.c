/*
 * compare: see compare.h.
 *
 * Three rounds. In each, every step is measured once, one after the other, with a fresh server: so
 * whatever else the machine does meanwhile hits all of them alike. Of the three figures the median
 * counts. After them the system calls are counted (calls.c): that needs no second look.
 *
 * One turn of a step:
 *   KEPT   up to 100 clients connect, and each has 16 KiB echoed, so that every buffer of the
 *          server has been in use once; then all are silent. What do they cost in memory, in
 *          threads, in processor time?
 *   ALONE  one client asks again and again: what does a round trip cost the server? Then with a
 *          pause of a few milliseconds before each question: how long is it? (Without the pause, a
 *          server that naps may by luck be met awake each time.)
 *   BUSY   32 clients ask at the same time, each as soon as it has its answer: how many round trips
 *          per second, and how many of the 32 are served at all?
 */
#include "compare.h"

#include "calls.h"
#include "client.h"
#include "clock.h"
#include "figures.h"
#include "process.h"
#include "stop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { COMPARE_TO_COME, COMPARE_KEPT, COMPARE_ALONE, COMPARE_BUSY, COMPARE_OVER };
enum { KEPT = 100, BUSY = 32, TRIP_BYTES = 32, KEPT_BYTES = 16384 };
enum {
    SETTLE_MS = 100,
    IDLE_LEAST_MS = 100,
    IDLE_MS = 400,
    ALONE_MS = 800,
    BUSY_MS = 800,
    GRACE_MS = 500,
    PATIENCE_HERE_MS = 500,
    CONNECT_MS = 3000
};
enum { WARM_UP = 10, TIMES_MOST = 1 << 17 };

static const double NS_PER_S = 1e9;

static bool connects(struct clients *c, struct client *client)
{
    static uint32_t seed;
    *client = (struct client){.fd = -1, .seed = ++seed};
    enum outcome how =
        client_connect_to(client, c->orders.address, c->orders.port, deadline_in_ms(CONNECT_MS));
    return how == CLIENT_OK || clients_trouble(c, "no connection: %s", outcome_in_words(how));
}

/* Wrong bytes are trouble; no answer within the patience is only an answer of another kind. */
static bool is_served(struct clients *c, struct client *client, size_t bytes, int64_t *ns)
{
    enum outcome how = client_ping(client, bytes, deadline_in_ms(PATIENCE_HERE_MS), ns);
    if (how != CLIENT_OK && how != CLIENT_TIMEOUT)
        (void)clients_trouble(c, "a round trip: %s", outcome_in_words(how));
    return how == CLIENT_OK;
}

static void enter(struct clients *c, int phase)
{
    c->news.phase = phase;
    clients_tell(c);
}

/* ---- kept connections ------------------------------------------------------------------------ */

static double idle_percent(struct clients *c)
{
    struct meter meter;
    clock_pause_ms(SETTLE_MS);
    meter_start(&meter, c->orders.server);
    clock_pause_ms(IDLE_LEAST_MS + (int)((double)IDLE_MS * c->orders.scale));
    return meter_percent(&meter);
}

/* They all come and say their 16 KiB; then each gets its echo. How many did? */
static int crowd_is_served(struct clients *c, struct client *kept, int *count, int most)
{
    int served = 0;
    bool well = true;
    for (*count = 0; well && *count < most; ++*count)
        well = connects(c, &kept[*count]);
    for (int i = 0; well && i < *count; i++)
        well = client_send(&kept[i], KEPT_BYTES, deadline_in_ms(PATIENCE_HERE_MS)) == CLIENT_OK;
    while (well && served < *count) {
        well =
            client_expect(&kept[served], KEPT_BYTES, deadline_in_ms(PATIENCE_HERE_MS)) == CLIENT_OK;
        served += well;
    }
    return served;
}

static void measure_kept(struct clients *c)
{
    struct client first, kept[KEPT];
    int count = 0, most = c->orders.idle < KEPT ? c->orders.idle : KEPT;
    if (!connects(c, &first))
        return;
    (void)is_served(c, &first, KEPT_BYTES, NULL); /* what is needed once is not counted below */
    int64_t before_kib = process_resident_kib(c->orders.server);
    bool all = crowd_is_served(c, kept, &count, most) == most;
    int64_t kib = process_resident_kib(c->orders.server) - before_kib;
    if (all && before_kib >= 0)
        c->news.kib_per_client = (double)kib / most;
    c->news.threads = process_threads(c->orders.server);
    c->news.idle_percent = idle_percent(c);
    client_close(&first);
    for (int i = 0; i < count; i++)
        client_close(&kept[i]);
}

/* ---- one client alone ------------------------------------------------------------------------ */

/* Asks for a while; how often. times may be NULL. */
static int ask(struct clients *c, struct client *one, bool pauses, int64_t *times)
{
    int64_t until_ns = clock_now_ns() + clients_time_ns(c, ALONE_MS), ns;
    int n = 0;
    for (; n < TIMES_MOST && clock_now_ns() < until_ns; n++) {
        if (pauses)
            clock_pause_ms(1 + n * 7 % 3);
        if (!is_served(c, one, TRIP_BYTES, &ns))
            break;
        if (times != NULL)
            times[n] = ns;
    }
    return n;
}

static void measure_cost(struct clients *c, struct client *one)
{
    struct meter meter;
    int64_t switches = switches_of(c->orders.server);
    meter_start(&meter, c->orders.server);
    int n = ask(c, one, false, NULL);
    int64_t cpu_ns = meter_cpu_ns(&meter), switches_now = switches_of(c->orders.server);
    if (n > 0 && cpu_ns >= 0)
        c->news.cpu_per_answer_ns = cpu_ns / n;
    if (n > 0 && switches >= 0 && switches_now >= 0)
        c->news.switches_per_trip = (double)(switches_now - switches) / n;
}

static void measure_alone(struct clients *c)
{
    static int64_t times[TIMES_MOST];
    struct client one;
    if (!connects(c, &one))
        return;
    for (int i = 0; i < WARM_UP; i++)
        (void)is_served(c, &one, TRIP_BYTES, NULL);
    measure_cost(c, &one);
    size_t n = (size_t)ask(c, &one, true, times);
    c->news.answer_ns = percentile(times, n, 50);
    c->news.answer_p99_ns = percentile(times, n, 99);
    c->news.bytes += one.received;
    client_close(&one);
}

/* ---- many busy clients ----------------------------------------------------------------------- */

/* A whole answer has come: the next question follows at once. */
static bool goes_on(struct clients *c, struct client *client, int64_t *trips)
{
    size_t left = (size_t)(client->sent - client->received);
    enum outcome how = client_expect(client, left, clock_now_ns());
    if (how == CLIENT_TIMEOUT)
        return true; /* the rest is on its way */
    if (how == CLIENT_OK) {
        ++*trips;
        how = client_send(client, TRIP_BYTES, deadline_in_ms(PATIENCE_HERE_MS));
    }
    return how == CLIENT_OK || clients_trouble(c, "a busy client: %s", outcome_in_words(how));
}

static int64_t keep_busy(struct clients *c, struct client *busy, int64_t until_ns)
{
    struct pollfd fds[BUSY];
    int64_t trips = 0;
    for (int i = 0; i < BUSY; i++) {
        fds[i] = (struct pollfd){.fd = busy[i].fd, .events = POLLIN};
        (void)client_send(&busy[i], TRIP_BYTES, until_ns);
    }
    while (clock_now_ns() < until_ns) {
        if (poll(fds, BUSY, deadline_left_ms(until_ns)) <= 0)
            continue; /* the time is over; or EINTR */
        for (int i = 0; i < BUSY; i++)
            if (fds[i].revents != 0 && !goes_on(c, &busy[i], &trips))
                return trips;
    }
    return trips;
}

static void measure_busy(struct clients *c)
{
    struct client busy[BUSY];
    int count = 0;
    bool well = true;
    for (; well && count < BUSY; count++)
        well = connects(c, &busy[count]);
    if (well) {
        int64_t begin_ns = clock_now_ns();
        int64_t trips = keep_busy(c, busy, begin_ns + clients_time_ns(c, BUSY_MS));
        c->news.trips_per_second = (double)trips * NS_PER_S / (double)(clock_now_ns() - begin_ns);
        /* Whoever only had no turn yet, on a busy machine, gets it now; whoever is never served
         * does not. */
        int64_t grace_ns = deadline_in_ms(GRACE_MS);
        for (int i = 0; i < BUSY; i++)
            c->news.busy_served +=
                busy[i].received > 0 || client_expect(&busy[i], TRIP_BYTES, grace_ns) == CLIENT_OK;
    }
    for (int i = 0; i < count; i++) {
        c->news.bytes += busy[i].received;
        client_close(&busy[i]);
    }
}

static void compare_story(struct clients *c)
{
    enter(c, COMPARE_KEPT);
    measure_kept(c);
    enter(c, COMPARE_ALONE);
    measure_alone(c);
    enter(c, COMPARE_BUSY);
    measure_busy(c);
    enter(c, COMPARE_OVER);
}

/* ---- while it runs --------------------------------------------------------------------------- */

static void draw(const struct news *news, struct row *row)
{
    static const char *const words[] = {"", "keeps", "one asks", "all ask", "done"};
    char cell[FIGURE];
    if (news->phase == COMPARE_TO_COME)
        return;
    screen_cell(row->text, sizeof row->text, ns_in_words(news->answer_ns, cell), -10);
    screen_cell(row->text, sizeof row->text, count_in_words((int64_t)news->trips_per_second, cell),
                -12);
    screen_cell(row->text, sizeof row->text, "  ", 2);
    (void)snprintf(row->word, sizeof row->word, "%s", words[news->phase]);
}

static bool event(const struct news *was, const struct news *now, char *words, size_t len)
{
    if (now->phase != was->phase && now->phase == COMPARE_OVER)
        words_add(words, len, "measured");
    return words[0] != '\0';
}

const struct act act_compare = {
    .header = "step                     one asks   trips per s",
    .in_turns = true,
    .full_turns = 8,
    .seconds = 10,
    .story = compare_story,
    .draw = draw,
    .event = event,
};

/* ---- the tables ------------------------------------------------------------------------------ */

static struct news rounds[ROUNDS_MOST][LANES_MOST];
static int current_round, rounds_played;

static struct news *news_of_current_round(struct play *play, size_t i)
{
    (void)play;
    return &rounds[current_round][i];
}

/* What one figure of the news is, as a number; UNKNOWN where there is none. */
typedef double figure_of(const struct news *);

static double p50(const struct news *n)
{
    return (double)n->answer_ns;
}
static double p99(const struct news *n)
{
    return (double)n->answer_p99_ns;
}
static double cpu_each(const struct news *n)
{
    return (double)n->cpu_per_answer_ns;
}
static double switches(const struct news *n)
{
    return n->switches_per_trip;
}
static double idle_cpu(const struct news *n)
{
    return n->idle_percent;
}
static double busy_served(const struct news *n)
{
    return n->busy_served;
}
static double trips(const struct news *n)
{
    return n->trips_per_second;
}
static double threads(const struct news *n)
{
    return n->threads;
}
static double kib(const struct news *n)
{
    return n->kib_per_client;
}

static double median_of(figure_of *figure, size_t step)
{
    double values[ROUNDS_MOST];
    for (int round = 0; round < rounds_played; round++)
        values[round] = figure(&rounds[round][step]);
    return median(values, (size_t)rounds_played);
}

static const char *number(double value, int decimals, char buf[FIGURE])
{
    if (value < 0)
        (void)snprintf(buf, FIGURE, "-");
    else
        (void)snprintf(buf, FIGURE, "%.*f", decimals, value);
    return buf;
}

enum { LINE = 256, NAME_WIDTH = 24 };

static void begin_line(char line[LINE], const struct step *step)
{
    char name[LINE];
    line[0] = '\0';
    screen_cell(line, LINE, lane_name(step, name, sizeof name), NAME_WIDTH);
}

static void print_one_client(const struct play *play)
{
    char line[LINE], cell[FIGURE];
    screen_say("%s", "");
    screen_title("One client asks: round trips of 32 bytes");
    screen_line("step                          p50       p99  CPU each  switches  CPU idle");
    for (size_t i = 0; i < play->count; i++) {
        begin_line(line, play->records[i].step);
        screen_cell(line, LINE, ns_in_words((int64_t)median_of(p50, i), cell), -9);
        screen_cell(line, LINE, ns_in_words((int64_t)median_of(p99, i), cell), -10);
        screen_cell(line, LINE, ns_in_words((int64_t)median_of(cpu_each, i), cell), -10);
        screen_cell(line, LINE, number(median_of(switches, i), 1, cell), -10);
        screen_cell(line, LINE, percent_in_words(median_of(idle_cpu, i), cell), -10);
        screen_line("%s", line);
    }
}

static void print_many_clients(const struct play *play)
{
    char line[LINE], cell[FIGURE];
    double first = median_of(trips, 0);
    screen_say("%s", "");
    screen_title("32 clients ask at once; then 100 that are kept");
    screen_line("step                       served  trips/s     ratio   threads  KiB/client");
    for (size_t i = 0; i < play->count; i++) {
        begin_line(line, play->records[i].step);
        screen_cell(line, LINE, number(median_of(busy_served, i), 0, cell), -9);
        screen_cell(line, LINE, count_in_words((int64_t)median_of(trips, i), cell), -9);
        screen_cell(line, LINE,
                    number(first > 0 ? median_of(trips, i) / first : (double)UNKNOWN, 2, cell),
                    -10);
        screen_cell(line, LINE, count_in_words((int64_t)median_of(threads, i), cell), -10);
        screen_cell(line, LINE, number(median_of(kib, i), 1, cell), -12);
        screen_line("%s", line);
    }
}

static void print_words(void)
{
    screen_say("%s", "");
    screen_say(
        "p50, p99: half, and 99 of 100, of the answers came within this time, to a client that "
        "asks now and then. CPU each: "
        "the server's processor time per answer. switches: how often its threads were "
        "taken off the processor, per answer. CPU idle: beside 100 silent clients, or as "
        "many as it serves. served: how many of the 32 got any answer. ratio: trips per "
        "second against the first step. KiB/client: resident memory, after each client had "
        "16 KiB echoed; - where it does not serve 100 clients at once, or where this "
        "system does not tell.");
    screen_say("Medians of %d round%s, in which the steps took turns.", rounds_played,
               rounds_played == 1 ? "" : "s");
}

static void print_machine(void)
{
    struct utsname system;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&system) < 0)
        return;
    screen_say("This machine: %ld processor%s, %s %.60s, %.30s. The times are this machine's; "
               "what carries over to another one is which is larger, and by what factor.",
               cores, cores == 1 ? "" : "s", system.sysname, system.release, system.machine);
}

/* ---- system calls ---------------------------------------------------------------------------- */

/* So many calls are not for the answer. A server that burns is not even counted; but on a busy
 * machine it may get so little that it does not look like one. */
static const double RESTLESS = 20;

static void print_calls_of(const struct play *play, size_t i)
{
    char line[LINE], cell[FIGURE];
    struct calls calls = {.each = UNKNOWN};
    bool burns = median_of(idle_cpu, i) >= (double)BURNS_PERCENT;
    if (!burns)
        calls_count(&calls, play->records[i].step, play->build, play->scale);
    if (burns || calls.each >= RESTLESS)
        (void)snprintf(calls.which, sizeof calls.which, "never rests: it calls, asked or not");
    begin_line(line, play->records[i].step);
    screen_cell(line, LINE, number(calls.each, 1, cell), -6);
    screen_line("%s  %s", line, calls.which);
}

static int print_calls(const struct play *play)
{
    screen_say("%s", "");
    screen_title("System calls for each answer to one client, counted by strace");
    screen_line("step                     calls  which (one each, unless a number says how many)");
    for (size_t i = 0; i < play->count; i++) {
        if (stop_signal() != 0 || !screen_works())
            return PLAY_STOPPED;
        print_calls_of(play, i);
    }
    screen_say("Before each question a pause, so that the server has come to rest. strace slows it "
               "down, but does not change how often it calls.");
    return stop_signal() != 0 ? PLAY_STOPPED : PLAY_OVER;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int play_rounds(struct play *play)
{
    int result = PLAY_OVER;
    rounds_played = 0;
    while (result == PLAY_OVER && rounds_played < play->rounds) {
        current_round = rounds_played++;
        screen_say("%s", "");
        screen_say("Round %d of %d", rounds_played, play->rounds);
        result = play_act(play, &act_compare, news_of_current_round);
    }
    return result;
}

int compare(struct play *play)
{
    char why_not[CALLS_WORDS];
    bool has_strace = calls_can_be_counted(why_not);
    print_machine();
    if (!has_strace)
        screen_say("%s", why_not);
    int result = play_rounds(play);
    if (result != PLAY_OVER)
        return result;
    print_one_client(play);
    print_many_clients(play);
    print_words();
    if (has_strace)
        return print_calls(play);
    screen_say("%s", why_not);
    return PLAY_OVER;
}
