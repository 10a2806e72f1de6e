/*
 * acts: what the demo shows. One file per act (act_silent.c, act_idle.c, act_rude.c), each with the
 * story of its clients and the words of its picture; acts.c has the table of them and plays them.
 *
 * Every step of tests/steps.c that runs on this system takes part: a step is added to the demo by
 * its line there, and by its few words in table.c.
 */
#ifndef DEMO_ACTS_H
#define DEMO_ACTS_H

#include "lane.h"
#include "screen.h"

enum { ACT_SILENT, ACT_IDLE, ACT_RUDE, ACTS };

/* Who uses this much of a processor while nothing happens burns it. Even among many busy programs a
 * loop that never sleeps gets so much. */
enum { BURNS_PERCENT = 20 };

/** What is known of a step: the last news of each act. */
struct record {
    const struct step *step;
    const char *emulation; /* "over epoll": its times would be another system's; NULL: native */
    struct news act[ACTS];
};

struct act {
    const char *title;
    const char *sentence; /* what you will see, and why it hurts                     */
    const char *header;   /* of the picture                                          */
    const char *repeat;   /* how to see it again, by hand                            */
    bool in_turns;        /* one step after the other, so that none disturbs another */
    int full_turns;       /* for so many its times are made: when there are more steps, each has
                           * less time, so that the act stays as long                */
    int seconds;          /* how long one turn may take at most                      */
    clients_story *story;
    /** The lane's row, behind its name. */
    void (*draw)(const struct news *news, struct row *row);
    /** The words for what has happened between `was` and `now`; false: nothing to be told. */
    bool (*event)(const struct news *was, const struct news *now, char *words, size_t len);
};

extern const struct act act_silent, act_idle, act_rude, act_compare;

/** What all acts share. */
struct play {
    const char *build;      /* folder of the servers, "build"                        */
    double scale;           /* 1: 45 seconds                                         */
    int rounds;             /* of compare                                            */
    int idle_most;          /* as many idle clients there will be                    */
    bool idle_limited;      /* by the number of descriptors                          */
    size_t count;           /* of the steps that take part                           */
    struct record *records; /* one for each of them                                  */
    char why[WHY];          /* after a failure                                       */
};

enum { PLAY_OVER = 0, PLAY_FAILED = -1, PLAY_STOPPED = -2 };

/** Plays the three acts. */
int play_all(struct play *play);

/** Plays one: the news of step i end in `at(play, i)`. */
int play_act(struct play *play, const struct act *act, struct news *(*at)(struct play *, size_t));

/** "beside 1 silent client" and the like: appends printf-like words, as far as they fit. */
void words_add(char *words, size_t len, const char *format, ...);

#endif
