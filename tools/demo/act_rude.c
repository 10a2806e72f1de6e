/*
 * act_rude: clients that do what clients do in the world. One asks for megabytes and does not fetch
 * them; many tear down the connection at the worst moment; some say "that was all" and still want
 * the rest of their answer. Does the server live, does it serve the polite ones, and is every byte
 * right?
 */
#include "acts.h"

#include "client.h"
#include "clock.h"
#include "figures.h"
#include "visitors.h"

#include <stdio.h>
#include <string.h>

enum { RUDE_TO_COME, RUDE_FLOOD, RUDE_RESETS, RUDE_HALF, RUDE_OVER };

enum { FLOOD_MOST = 64 << 20, FLOOD_QUIET_MS = 100, FLOOD_MS = 1500, FLOOD_STANDS_MS = 2600 };
enum { VISIT_EVERY_MS = 130, PATIENCE_MS_HERE = 5000 };
enum { RESET_ROUNDS = 7, RESET_BYTES = 64 << 10, RESET_FLOOD = 4 << 20, RESET_QUIET_MS = 20 };
enum { HALF_CLOSES = 12, HALF_BYTES = 100000, HALF_LAST = 20000, HALF_PIECE = 16384 };
enum { BREATH_MS = 60 };

static bool connects(struct clients *c, struct client *client)
{
    static uint32_t seed = 1000;
    *client = (struct client){.fd = -1, .seed = ++seed};
    enum outcome how = client_connect_to(client, c->orders.address, c->orders.port,
                                         deadline_in_ms(PATIENCE_MS_HERE));
    return how == CLIENT_OK || clients_trouble(c, "no connection: %s", outcome_in_words(how));
}

static void enter(struct clients *c, int phase)
{
    c->news.phase = phase;
    clients_tell(c);
}

/* ---- flood: asks for much, fetches nothing --------------------------------------------------- */

/* At last it reads, and every byte must be there. */
static bool fetch_all(struct clients *c, struct client *flood)
{
    enum outcome how = client_expect(flood, (size_t)(flood->sent - flood->received),
                                     deadline_in_ms(PATIENCE_MS_HERE));
    c->news.bytes += flood->received;
    return how == CLIENT_OK || clients_trouble(c, "after a flood: %s", outcome_in_words(how));
}

static bool flood(struct clients *c)
{
    struct client flood;
    struct visitors visitors;
    if (!connects(c, &flood))
        return false;
    enum outcome how = client_flood(&flood, FLOOD_MOST, FLOOD_QUIET_MS, deadline_in_ms(FLOOD_MS));
    bool well = how == CLIENT_OK || how == CLIENT_TIMEOUT ||
                clients_trouble(c, "during a flood: %s", outcome_in_words(how));
    visitors_open(&visitors, clients_time_ns(c, VISIT_EVERY_MS));
    well =
        well && visitors_spend(&visitors, c, clock_now_ns() + clients_time_ns(c, FLOOD_STANDS_MS));
    c->news.flood_served = c->news.served;
    well = well && fetch_all(c, &flood);
    client_close(&flood);
    visitors_close(&visitors, c, deadline_in_ms(PATIENCE_MS_HERE));
    return well;
}

/* ---- resets at bad moments ------------------------------------------------------------------- */

static bool polite_is_served(struct clients *c, const char *after)
{
    struct client polite;
    if (!connects(c, &polite))
        return false;
    enum outcome how = client_ping(&polite, VISIT_BYTES, deadline_in_ms(PATIENCE_MS_HERE), NULL);
    c->news.bytes += polite.received;
    client_close(&polite);
    return how == CLIENT_OK ||
           clients_trouble(c, "a polite client after %s: %s", after, outcome_in_words(how));
}

/* Whatever these calls say is fine: the connection is thrown away. */
static void reset_while_it_waits(struct client *rude)
{
    client_abort(rude);
}

static void reset_while_it_reads(struct client *rude)
{
    (void)client_send(rude, RESET_BYTES, deadline_in_ms(FLOOD_QUIET_MS));
    client_abort(rude);
}

static void reset_while_it_writes(struct client *rude)
{
    (void)client_flood(rude, RESET_FLOOD, RESET_QUIET_MS, deadline_in_ms(FLOOD_MS));
    client_abort(rude);
}

static bool resets(struct clients *c)
{
    static void (*const moments[])(struct client *) = {reset_while_it_waits, reset_while_it_reads,
                                                       reset_while_it_writes};
    enum { MOMENTS = sizeof moments / sizeof moments[0] };
    for (int i = 0; i < RESET_ROUNDS * MOMENTS; i++) {
        struct client rude;
        if (!connects(c, &rude))
            return false;
        moments[i % MOMENTS](&rude);
        if (!polite_is_served(c, "a reset"))
            return false;
        c->news.resets++;
        clients_tell(c);
        clock_pause_ms((int)((double)BREATH_MS * c->orders.scale)); /* so that eyes can follow */
    }
    return true;
}

/* ---- half-close: "that was all", and still waiting for the rest ------------------------------ */

static bool half_close(struct clients *c)
{
    struct client half;
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS_HERE);
    if (!connects(c, &half))
        return false;
    enum outcome how = client_exchange(&half, HALF_BYTES, HALF_PIECE, deadline_ns);
    if (how == CLIENT_OK)
        how = client_send(&half, HALF_LAST, deadline_ns);
    if (how == CLIENT_OK && client_shut_writing(&half) != 0)
        how = CLIENT_RESET;
    if (how == CLIENT_OK)
        how = client_expect_end(&half, deadline_ns);
    c->news.bytes += half.received;
    client_close(&half);
    return how == CLIENT_OK || clients_trouble(c, "a half-close: %s", outcome_in_words(how));
}

static bool half_closes(struct clients *c)
{
    for (int i = 0; i < HALF_CLOSES; i++) {
        if (!half_close(c))
            return false;
        c->news.half_closes++;
        clients_tell(c);
        clock_pause_ms((int)((double)BREATH_MS * c->orders.scale));
    }
    return true;
}

static void rude_story(struct clients *c)
{
    enter(c, RUDE_FLOOD);
    bool well = flood(c);
    enter(c, RUDE_RESETS);
    well = well && resets(c);
    enter(c, RUDE_HALF);
    (void)(well && half_closes(c));
    enter(c, RUDE_OVER);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static const char *word_of(const struct news *news)
{
    static const char *const words[] = {"", "flood", "resets", "halves", "right"};
    return news->trouble[0] != '\0' ? "WRONG" : words[news->phase];
}

static void draw(const struct news *news, struct row *row)
{
    char cell[FIGURE];
    if (news->phase == RUDE_TO_COME)
        return;
    int served = news->phase == RUDE_FLOOD ? news->served : news->flood_served;
    screen_cell(row->text, sizeof row->text, count_in_words(served, cell), -12);
    screen_cell(row->text, sizeof row->text, count_in_words(news->resets, cell), -10);
    screen_cell(row->text, sizeof row->text, count_in_words(news->half_closes, cell), -13);
    screen_cell(row->text, sizeof row->text, bytes_in_words(news->bytes, cell), -12);
    screen_cell(row->text, sizeof row->text, "  ", 2);
    (void)snprintf(row->word, sizeof row->word, "%s", word_of(news));
    if (news->trouble[0] != '\0' || news->phase == RUDE_OVER)
        row->tone = news->trouble[0] != '\0' ? TONE_BAD : TONE_GOOD;
}

static bool event(const struct news *was, const struct news *now, char *words, size_t len)
{
    char bytes[FIGURE];
    if (now->phase == was->phase)
        return false;
    if (was->phase == RUDE_FLOOD)
        words_add(words, len, "served %d visitors beside a flood that nobody reads",
                  now->flood_served);
    if (was->phase == RUDE_RESETS)
        words_add(words, len, "lives after %d resets, and serves", now->resets);
    if (now->phase == RUDE_OVER)
        words_add(words, len, "%sanswered %d half-closes; %s, all bytes %s",
                  words[0] != '\0' ? "; " : "", now->half_closes, bytes_in_words(now->bytes, bytes),
                  word_of(now));
    return words[0] != '\0';
}

const struct act act_rude = {
    .title = "Act 3 of 3: rude ones",
    .sentence = "A client sends megabytes and does not fetch its answer: are visitors served "
                "meanwhile? Others tear down the line in mid-sentence, or stop talking and still "
                "want the rest. No server may die of that, and no byte may be lost.",
    .header = "step                    beside flood  resets  half-closes    verified",
    .repeat = "By hand: make run CH=02 STEP=3, then make peer KIND=flood, KIND=rst, KIND=half. Any "
              "server: make check SERVER='./mine'.",
    .seconds = 12,
    .story = rude_story,
    .draw = draw,
    .event = event,
};
