/*
 * act_idle: a crowd of clients connects and has nothing to say for a while. What does that cost?
 * Then one of them speaks: how soon is it answered, and how much processor time does that take?
 *
 * The figures are the server's alone (its CPU clock), taken by its clients, so that a window begins
 * and ends exactly where its clients begin and end. The servers take turns: one that never sleeps
 * would take the processor from the others. A server whose queue is emulated is asked, too, but its
 * times are not taken: they would be those of the emulation.
 */
#include "acts.h"

#include "client.h"
#include "clock.h"
#include "figures.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_TO_COME, IDLE_CONNECTS, IDLE_IDLES, IDLE_ASKS, IDLE_OVER };

/* Nobody may have to wait in the listener's queue, which holds 128 on some systems: after each
 * batch one client asks for an answer, and when it has it, all before it have been accepted. */
enum { BATCH = 100, CONNECT_MS = 3000, ANSWER_MS = 3000, ANSWER_STARVED_MS = 500 };
enum { SETTLE_MS = 100, SETTLE_MOST_MS = 500, IDLE_MS = 600, TELL_MS = 100 };
enum { ASK_MS = 600, ASK_LEAST_MS = 100, ASK_BYTES = 32, WARM_UP = 3, TIMES_MOST = 1 << 16 };

/* ---- the crowd ------------------------------------------------------------------------------- */

struct crowd {
    struct client *client;
    int count, most;
};

static enum outcome comes(struct clients *c, struct client *client, int64_t deadline_ns)
{
    *client = (struct client){.fd = -1, .seed = 7};
    return client_connect_to(client, c->orders.address, c->orders.port, deadline_ns);
}

/* One batch, whole. The first one that is not accepted ends it: so many the server can hold. */
static bool batch_comes(struct clients *c, struct crowd *crowd, int64_t deadline_ns)
{
    int wanted = crowd->count + BATCH < crowd->most ? crowd->count + BATCH : crowd->most;
    enum outcome how = CLIENT_OK;
    while (how == CLIENT_OK && crowd->count < wanted) {
        how = comes(c, &crowd->client[crowd->count], deadline_ns);
        crowd->count += how == CLIENT_OK;
    }
    if (how == CLIENT_OK)
        how = client_ping(&crowd->client[crowd->count - 1], 1, deadline_ns, NULL);
    return how == CLIENT_OK;
}

/* Those whom the server has refused see the end of the stream; the others see nothing. A server
 * that has refused somebody is full: then one of those it holds leaves, and makes room for who
 * asks. */
static void count_held(struct crowd *crowd)
{
    int held = 0;
    for (int i = 0; i < crowd->count; i++) {
        struct client *client = &crowd->client[i];
        bool is_held = client_expect(client, 1, clock_now_ns()) == CLIENT_TIMEOUT;
        if (!is_held)
            client_close(client);
        else
            crowd->client[held++] = *client;
    }
    if (held > 1 && held < crowd->count)
        client_close(&crowd->client[--held]);
    crowd->count = held;
}

static bool crowd_comes(struct clients *c, struct crowd *crowd)
{
    int64_t deadline_ns = deadline_in_ms(CONNECT_MS);
    crowd->most = c->orders.idle;
    crowd->client = calloc((size_t)crowd->most + 1, sizeof *crowd->client);
    if (crowd->client == NULL)
        return clients_trouble(c, "no memory for %d clients", crowd->most);
    if (crowd->most < BATCH) /* so few that the kernel holds them, whether they are served or not */
        while (crowd->count < crowd->most &&
               comes(c, &crowd->client[crowd->count], deadline_ns) == CLIENT_OK)
            c->news.idle = ++crowd->count;
    while (crowd->count < crowd->most && deadline_left_ms(deadline_ns) > 0 &&
           batch_comes(c, crowd, deadline_ns)) {
        c->news.idle = crowd->count;
        clients_tell(c);
    }
    count_held(crowd);
    c->news.idle = crowd->count;
    return true;
}

static void crowd_leaves(struct crowd *crowd)
{
    for (int i = 0; i < crowd->count; i++)
        client_abort(&crowd->client[i]); /* by RST: else thousands of ports stay in TIME_WAIT */
    free(crowd->client);
}

/* ---- the two windows ------------------------------------------------------------------------- */

/* Until the server has done all that the crowd has brought, threads for its last ones perhaps. One
 * that does not rest within the time never will. */
static void let_it_settle(struct clients *c)
{
    int64_t deadline_ns = deadline_in_ms(SETTLE_MOST_MS);
    struct meter meter;
    do {
        meter_start(&meter, c->orders.server);
        clock_pause_ms(SETTLE_MS);
    } while (meter_percent(&meter) >= (double)BURNS_PERCENT && deadline_left_ms(deadline_ns) > 0);
}

static void measure_idle(struct clients *c)
{
    struct meter meter;
    let_it_settle(c);
    int64_t until_ns = clock_now_ns() + clients_time_ns(c, IDLE_MS);
    meter_start(&meter, c->orders.server);
    do {
        clock_pause_ms(TELL_MS);
        c->news.idle_percent = meter_percent(&meter);
        clients_tell(c);
    } while (clock_now_ns() < until_ns);
    c->news.threads = process_threads(c->orders.server);
}

/* A pause of 3 to 23 ms that is never the same twice running: a server that naps is met at every
 * moment of its nap. */
static void think(int turn)
{
    clock_pause_ms(3 + turn * 7 % 21);
}

/* Asks for a while, at once or after a pause. How often; -1 when there was no answer. */
static int ask(struct clients *c, struct client *one, bool thinks, int64_t *times)
{
    int64_t window_ns = clients_time_ns(c, ASK_MS), least_ns = ASK_LEAST_MS * INT64_C(1000000);
    int64_t until_ns = clock_now_ns() + (window_ns > least_ns ? window_ns : least_ns);
    int n = 0;
    while (n < TIMES_MOST && clock_now_ns() < until_ns) {
        if (thinks)
            think(n);
        enum outcome how = client_ping(one, ASK_BYTES, deadline_in_ms(ANSWER_MS), &times[n]);
        if (how != CLIENT_OK) {
            (void)clients_trouble(c, "an answer beside %d idle clients: %s", c->news.idle,
                                  outcome_in_words(how));
            return -1;
        }
        n++;
    }
    return n;
}

/*
 * Twice. First one ask after the other: then all the server's work is for them, and what it takes
 * is shared by their number. Then now and then, as people do: how long does such a one wait?
 */
static void measure_answers(struct clients *c, struct client *one)
{
    static int64_t times[TIMES_MOST];
    struct meter meter;
    for (int i = 0; i < WARM_UP; i++)
        (void)client_ping(one, ASK_BYTES, deadline_in_ms(ANSWER_MS), NULL);
    meter_start(&meter, c->orders.server);
    int n = ask(c, one, false, times);
    int64_t cpu_ns = meter_cpu_ns(&meter);
    if (n > 0 && cpu_ns >= 0)
        c->news.cpu_per_answer_ns = cpu_ns / n;
    clients_tell(c);
    n = n > 0 ? ask(c, one, true, times) : n;
    if (n > 0)
        c->news.answer_ns = percentile(times, (size_t)n, 50);
    c->news.bytes += one->received;
}

/* The one who speaks. A server that a silent client stops serves nobody here: an answer, too. */
static void one_asks(struct clients *c)
{
    struct client one;
    int patience_ms = c->orders.idle < BATCH ? ANSWER_STARVED_MS : ANSWER_MS;
    enum outcome how = comes(c, &one, deadline_in_ms(CONNECT_MS));
    if (how == CLIENT_OK)
        how = client_ping(&one, ASK_BYTES, deadline_in_ms(patience_ms), NULL);
    if (how == CLIENT_OK && !c->orders.emulated)
        measure_answers(c, &one);
    else if (how == CLIENT_OK)
        c->news.bytes += one.received;
    else if (how == CLIENT_TIMEOUT)
        c->news.not_served = true;
    else
        (void)clients_trouble(c, "the one who asks: %s", outcome_in_words(how));
    client_abort(&one);
}

static void enter(struct clients *c, int phase)
{
    c->news.phase = phase;
    clients_tell(c);
}

static void idle_story(struct clients *c)
{
    struct crowd crowd = {.client = NULL};
    c->news.emulated = c->orders.emulated;
    enter(c, IDLE_CONNECTS);
    if (crowd_comes(c, &crowd)) {
        enter(c, IDLE_IDLES);
        measure_idle(c);
        enter(c, IDLE_ASKS);
        one_asks(c);
        enter(c, IDLE_OVER);
    }
    crowd_leaves(&crowd);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static const char *word_of(const struct news *news)
{
    static const char *const words[] = {"", "fills", "idles", "asks"};
    if (news->phase < IDLE_OVER)
        return words[news->phase];
    if (news->idle_percent < 0)
        return "";
    return news->idle_percent >= (double)BURNS_PERCENT ? "burns" : "rests";
}

static const char *answer_in_words(const struct news *news, char buf[FIGURE])
{
    if (news->not_served)
        return "not served";
    return news->emulated ? "emulated" : ns_in_words(news->answer_ns, buf);
}

static void draw(const struct news *news, struct row *row)
{
    char cell[FIGURE];
    if (news->phase == IDLE_TO_COME)
        return;
    const char *answer = answer_in_words(news, cell);
    char cost[FIGURE], idle[FIGURE], threads[FIGURE], percent[FIGURE];
    screen_cell(row->text, sizeof row->text, count_in_words(news->idle, idle), -6);
    screen_cell(row->text, sizeof row->text, count_in_words(news->threads, threads), -9);
    screen_cell(row->text, sizeof row->text, percent_in_words(news->idle_percent, percent), -10);
    screen_cell(row->text, sizeof row->text, answer, -12);
    screen_cell(row->text, sizeof row->text,
                news->emulated ? "" : ns_in_words(news->cpu_per_answer_ns, cost), -10);
    screen_cell(row->text, sizeof row->text, "  ", 2);
    (void)snprintf(row->word, sizeof row->word, "%s", word_of(news));
    if (news->phase == IDLE_OVER && news->idle_percent >= 0)
        row->tone = news->idle_percent >= (double)BURNS_PERCENT ? TONE_BAD : TONE_GOOD;
}

static bool event(const struct news *was, const struct news *now, char *words, size_t len)
{
    char a[FIGURE], b[FIGURE];
    if (now->phase == was->phase)
        return false;
    if (now->phase == IDLE_IDLES)
        words_add(words, len, "%s idle client%s connected", count_in_words(now->idle, a),
                  now->idle == 1 ? "" : "s");
    else if (now->phase == IDLE_ASKS)
        words_add(words, len, "uses %s of a processor while all are idle",
                  percent_in_words(now->idle_percent, a));
    else if (now->phase == IDLE_OVER && now->not_served)
        words_add(words, len, "%s, and whoever asks is not served", word_of(now));
    else if (now->phase == IDLE_OVER && now->emulated)
        words_add(words, len, "%s, and answers; emulated, so no times", word_of(now));
    else if (now->phase == IDLE_OVER)
        words_add(words, len, "%s; answers in %s, for %s of processor time", word_of(now),
                  ns_in_words(now->answer_ns, a), ns_in_words(now->cpu_per_answer_ns, b));
    return words[0] != '\0';
}

const struct act act_idle = {
    .title = "Act 2 of 3: an idle crowd",
    .sentence = "Nearly all clients of a real server are silent nearly all the time. What do they "
                "cost while nothing happens? And beside them, how long does one who speaks wait, "
                "and what does the answer cost? One server at a time, so that none disturbs "
                "another.",
    .header = "step                      idle  threads  CPU idle      answer  CPU each",
    .repeat = "By hand: make run CH=02 STEP=2, then make peer KIND=silent N=1000, and look at "
              "top.",
    .in_turns = true,
    .full_turns = 6,
    .seconds = 12,
    .story = idle_story,
    .draw = draw,
    .event = event,
};
