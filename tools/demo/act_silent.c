/*
 * act_silent: beside each server, polite visitors come and go. Then silent clients connect, one
 * after the other, say nothing, and stay. Who is still served? At the end the silent ones leave.
 */
#include "acts.h"

#include "clock.h"
#include "figures.h"
#include "visitors.h"

#include <stdio.h>
#include <string.h>

/* The act's time is cut into pieces, and each leaves one character in the picture. */
enum { SILENT_MOST = 6, PIECES_BEFORE = 3, PIECES_EACH = 2, PIECES_AFTER = 3 };
enum { PIECE_MS = 700, VISITS_PER_PIECE = 5, CONNECT_MS = 2000 };

/* An emulation may be slow, and how slow says nothing. So nobody is called starved before this. */
enum { EMULATION_MS = 1500, LOOK_AGAIN_MS = 20 };

_Static_assert(PIECES_BEFORE + SILENT_MOST * PIECES_EACH + PIECES_AFTER == STRIP,
               "the picture has a character for each piece");

enum { SERVED = '+', STARVED = '.' };

/* ---- the clients ----------------------------------------------------------------------------- */

/* One piece. Beside an emulated server it lasts longer when *served has not grown in it. */
static bool spend_piece(struct clients *c, struct visitors *v, const int *served)
{
    int before = *served;
    bool well = visitors_spend(v, c, clock_now_ns() + clients_time_ns(c, PIECE_MS));
    int64_t until_ns = deadline_in_ms(c->orders.emulated ? EMULATION_MS : 0);
    while (well && *served == before && deadline_left_ms(until_ns) > 0)
        well = visitors_spend(v, c, deadline_in_ms(LOOK_AGAIN_MS));
    return well;
}

static bool spend_pieces(struct clients *c, struct visitors *v, const int *served, int pieces)
{
    for (int i = 0; i < pieces; i++) {
        int before = c->news.served;
        if (!spend_piece(c, v, served))
            return false;
        char *strip = c->news.strip;
        strip[strlen(strip)] = c->news.served > before ? SERVED : STARVED;
        clients_tell(c);
    }
    return true;
}

static bool silent_comes(struct clients *c, struct client *silent)
{
    *silent = (struct client){.fd = -1};
    enum outcome how =
        client_connect_to(silent, c->orders.address, c->orders.port, deadline_in_ms(CONNECT_MS));
    c->news.silent++;
    return how == CLIENT_OK ||
           clients_trouble(c, "a silent client could not come: %s", outcome_in_words(how));
}

/* The next silent client, and what follows. *serves: was anybody served who came after it? */
static bool play_silent(struct clients *c, struct visitors *v, struct client *silent, bool *serves)
{
    if (!silent_comes(c, silent))
        return false;
    visitors_new_era(v);
    bool well = spend_pieces(c, v, &v->served_in_era, PIECES_EACH);
    *serves = v->served_in_era > 0;
    return well;
}

/* From which silent client on was nobody served? Beside the last one alone proves nothing: that may
 * be a busy machine. */
static int starved_by(const bool serves[SILENT_MOST])
{
    int by = SILENT_MOST;
    while (by > 0 && !serves[by - 1])
        by--;
    return by + 1 < SILENT_MOST ? by + 1 : 0;
}

static void silent_story(struct clients *c)
{
    struct client silent[SILENT_MOST];
    bool serves[SILENT_MOST];
    struct visitors visitors;
    visitors_open(&visitors, clients_time_ns(c, PIECE_MS / VISITS_PER_PIECE));
    bool well = spend_pieces(c, &visitors, &c->news.served, PIECES_BEFORE);
    int count = 0;
    for (; well && count < SILENT_MOST; count++)
        well = play_silent(c, &visitors, &silent[count], &serves[count]);
    if (well)
        c->news.starved_by = starved_by(serves);
    while (count > 0)
        client_close(&silent[--count]);
    c->news.silent = 0;
    (void)(well && spend_pieces(c, &visitors, &c->news.served, PIECES_AFTER));
    visitors_close(&visitors, c, clock_now_ns() + clients_time_ns(c, PIECE_MS));
}

/* ---- the picture ----------------------------------------------------------------------------- */

static bool starves(const struct news *news)
{
    size_t len = strlen(news->strip);
    return len > 0 && news->strip[len - 1] == STARVED;
}

static void draw(const struct news *news, struct row *row)
{
    char cell[FIGURE];
    screen_cell(row->text, sizeof row->text, count_in_words(news->silent, cell), -6);
    screen_cell(row->text, sizeof row->text, count_in_words(news->served, cell), -8);
    screen_cell(row->text, sizeof row->text, count_in_words(news->waiting, cell), -9);
    screen_cell(row->text, sizeof row->text, "  ", 2);
    screen_cell(row->text, sizeof row->text, news->strip, STRIP + 2);
    if (news->strip[0] == '\0')
        return;
    row->tone = starves(news) ? TONE_BAD : TONE_GOOD;
    (void)snprintf(row->word, sizeof row->word, "%s", starves(news) ? "starves" : "serves");
}

static bool event(const struct news *was, const struct news *now, char *words, size_t len)
{
    if (now->finished && !was->finished && now->starved_by == 0)
        words_add(words, len, "served %d visitors, and no silent client could stop it",
                  now->served);
    else if (now->finished && !was->finished)
        words_add(words, len, "served %d visitors, but none beside %d silent client%s", now->served,
                  now->starved_by, now->starved_by == 1 ? "" : "s");
    else if (starves(now) && !starves(was))
        words_add(words, len, "starves: %d silent, %d visitors wait, nobody is served", now->silent,
                  now->waiting);
    else if (!starves(now) && starves(was))
        words_add(words, len, "serves again, after the silent ones have left");
    return words[0] != '\0';
}

const struct act act_silent = {
    .title = "Act 1 of 3: silent clients",
    .sentence =
        "Polite visitors come to each server, say a word and leave (+ served, . nobody was). "
        "Then clients connect that say nothing, as a phone in a tunnel does. Who makes "
        "everybody else wait for them?",
    .header = "step                    silent  served  waiting  time ->",
    .repeat = "By hand: make run CH=01 STEP=1, and in two more terminals make peer KIND=silent "
              "and make talk.",
    .seconds = 13,
    .story = silent_story,
    .draw = draw,
    .event = event,
};
