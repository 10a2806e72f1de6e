/*
 * acts: see acts.h.
 */
#include "acts.h"

#include "clock.h"
#include "figures.h"
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LOOK_MS = 100, GRACE_MS = 15000, NAME_WIDTH = 24, NAME = 64, INTERVAL_MS = 1800 };

/* No times are shown of it, so a crowd that takes Wine long to accept would show nothing more. */
enum { IDLE_BY_WINE = 200 };

static const struct act *const acts[ACTS] = {&act_silent, &act_idle, &act_rude};

void words_add(char *words, size_t len, const char *format, ...)
{
    size_t used = strlen(words);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words + used, len - used, format, args);
    va_end(args);
}

/* ---- the lanes of one act -------------------------------------------------------------------- */

/* A group of lanes runs at once: all of them, or one after the other. */
struct stage {
    struct play *play;
    const struct act *act;
    struct lane lanes[LANES_MOST];
    struct news shown[LANES_MOST]; /* what has been told of each */
};

static void draw(struct stage *s)
{
    struct row rows[LANES_MOST];
    char name[NAME];
    for (size_t i = 0; i < s->play->count; i++) {
        rows[i] = (struct row){.tone = TONE_NONE};
        screen_cell(rows[i].text, sizeof rows[i].text,
                    lane_name(s->play->records[i].step, name, sizeof name), NAME_WIDTH);
        s->act->draw(&s->lanes[i].news, &rows[i]);
    }
    screen_draw(s->act->header, rows, s->play->count);
}

static void tell_events(struct stage *s, size_t i)
{
    char words[ROW_TEXT] = "", name[NAME];
    if (s->act->event(&s->shown[i], &s->lanes[i].news, words, sizeof words))
        screen_event("%s: %s", lane_name(s->play->records[i].step, name, sizeof name), words);
    s->shown[i] = s->lanes[i].news;
}

/* Of all times of a turn. */
static double turn_scale(const struct play *play, const struct act *act)
{
    if (!act->in_turns || play->count <= (size_t)act->full_turns)
        return play->scale;
    return play->scale * act->full_turns / (double)play->count;
}

static int begin_group(struct stage *s, size_t first, size_t count)
{
    struct play *play = s->play;
    for (size_t i = first; i < first + count; i++)
        if (lane_fork(&s->lanes[i], play->records[i].step, s->act->story, play->why) != 0)
            return PLAY_FAILED;
    for (size_t i = first; i < first + count; i++)
        if (lane_start(&s->lanes[i], play->build, play->why) != 0)
            return PLAY_FAILED;
    for (size_t i = first; i < first + count; i++) { /* all are there: they begin together */
        const struct news *silent = &play->records[i].act[ACT_SILENT];
        struct orders orders = {.scale = turn_scale(play, s->act),
                                .idle = play->idle_most,
                                .emulated = play->records[i].emulation != NULL};
        if (play->records[i].step->windows && orders.idle > IDLE_BY_WINE)
            orders.idle = IDLE_BY_WINE;
        if (silent->starved_by > 0) /* more would not even be accepted */
            orders.idle = silent->starved_by;
        if (lane_order(&s->lanes[i], &orders, play->why) != 0)
            return PLAY_FAILED;
    }
    return PLAY_OVER;
}

/* Looks at the news until all have finished. */
static int watch_group(struct stage *s, size_t first, size_t count)
{
    int64_t deadline_ns = deadline_in_ms((int)(s->act->seconds * 1000 * s->play->scale) + GRACE_MS);
    for (size_t finished = 0; finished < count;) {
        if (stop_signal() != 0 || !screen_works())
            return PLAY_STOPPED;
        if (deadline_left_ms(deadline_ns) == 0) {
            (void)snprintf(s->play->why, WHY, "the clients do not come to an end");
            return PLAY_FAILED;
        }
        clock_pause_ms(LOOK_MS);
        finished = 0;
        for (size_t i = first; i < first + count; i++) {
            if (lane_listen(&s->lanes[i], s->play->why) != 0)
                return PLAY_FAILED;
            finished += s->lanes[i].news.finished;
            tell_events(s, i);
        }
        draw(s);
    }
    return PLAY_OVER;
}

static int end_group(struct stage *s, size_t first, size_t count)
{
    int result = PLAY_OVER;
    for (size_t i = first; i < first + count; i++)
        if (lane_end(&s->lanes[i], s->play->why) != 0)
            result = PLAY_FAILED;
    return result;
}

static int play_group(struct stage *s, size_t first, size_t count)
{
    int result = begin_group(s, first, count);
    if (result == PLAY_OVER)
        result = watch_group(s, first, count);
    if (result == PLAY_OVER)
        result = end_group(s, first, count);
    for (size_t i = first; i < first + count; i++)
        lane_kill(&s->lanes[i]); /* nothing is left to be done where it has ended well */
    return stop_signal() != 0 ? PLAY_STOPPED : result;
}

int play_act(struct play *play, const struct act *act, struct news *(*at)(struct play *, size_t))
{
    static struct stage stage; /* static: too large for the stack */
    size_t together = act->in_turns ? 1 : play->count;
    int result = PLAY_OVER;
    memset(&stage, 0, sizeof stage);
    stage.play = play;
    stage.act = act;
    for (size_t i = 0; i < play->count; i++)
        stage.lanes[i].link = -1;
    draw(&stage);
    for (size_t i = 0; i < play->count && result == PLAY_OVER; i += together)
        result = play_group(&stage, i, together);
    screen_settle();
    for (size_t i = 0; i < play->count; i++)
        *at(play, i) = stage.lanes[i].news;
    return result;
}

/* ---- all acts -------------------------------------------------------------------------------- */

static int current_act;

static struct news *news_of_current_act(struct play *play, size_t i)
{
    return &play->records[i].act[current_act];
}

int play_all(struct play *play)
{
    for (current_act = 0; current_act < ACTS; current_act++) {
        const struct act *act = acts[current_act];
        screen_say("%s", "");
        screen_title(act->title);
        screen_say("%s", act->sentence);
        if (act == &act_idle && play->idle_limited)
            screen_say("Only %d idle clients: more descriptors are not allowed here (ulimit -Hn).",
                       play->idle_most);
        if (!screen_works())
            return PLAY_STOPPED;
        int result = play_act(play, act, news_of_current_act);
        if (result != PLAY_OVER)
            return result;
        screen_say("%s", act->repeat);
        if (screen_is_live())
            clock_pause_ms(
                (int)((double)INTERVAL_MS * play->scale)); /* time to read the last picture */
    }
    return PLAY_OVER;
}
