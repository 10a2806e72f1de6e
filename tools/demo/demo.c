/*
 * demo: watch every server of the course serve, starve and burn processor time; `make demo`.
 *
 *   demo [compare] [-s SECONDS] [-n IDLE] [-c CHAPTER] [-r ROUNDS]
 *
 * Nothing is simulated. Real servers run (the programs of chapters/), real clients connect to them
 * from processes of their own, and every figure is measured in this run. `demo compare` measures
 * the same steps without the show and prints all figures.
 *
 *   demo.c      this file: the words on the command line, the beginning and the end
 *   acts.c      plays an act; act_silent.c, act_idle.c, act_rude.c say what happens in it
 *   lane.c      one step in one act: a server, and the process of its clients
 *   visitors.c  polite clients, who come, are served and leave
 *   screen.c    the display        figures.c  what is measured, and how it is written
 *   table.c     the table at the end          stop.c     Ctrl-C
 *   compare.c   the other command             calls.c    its system calls, counted by strace
 *
 * Environment: DEMO_SECONDS (as -s), PLAIN=1, NO_COLOR, TEST_SLOWDOWN, STEPS_BUILD; and for
 * tests DEMO_SYSTEM: the name of a system (as uname -s has it) on which we pretend to be.
 * Status: 0 all acts played and all bytes were right; 1 not so, with one line that says why;
 * 2 usage; 128 + the signal that stopped it.
 */
#include "acts.h"
#include "compare.h"
#include "stop.h"
#include "table.h"

#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LEN = 1024, SECONDS = 45, SECONDS_LEAST = 5, SECONDS_MOST = 600, USAGE = 2 };

/* Act 2 connects as many idle clients as the limit allows, but not more than this: with a thread
 * for each they already cost 200 MiB, and it takes a moment to connect them. */
enum { IDLE_USUAL = 5000, IDLE_MOST = 16000, OTHER_FDS = 16, FDS_WANTED = 256 };

enum { ROUNDS_USUAL = 3 };

struct options {
    bool compare;
    long seconds, idle, rounds;
    const char *chapter; /* the only one that takes part; NULL: all do */
};

/* ---- the command line ------------------------------------------------------------------------ */

static int usage(FILE *to)
{
    fprintf(to, "usage: demo [compare] [-s SECONDS] [-n IDLE] [-c CHAPTER] [-r ROUNDS]\n"
                "  -s SECONDS  how long it takes, 5 to 600; the default is 45\n"
                "  -n IDLE     idle clients in act 2, 1 to 16000; the default is as many as the "
                "limit allows\n"
                "  -c CHAPTER  only the steps of this chapter\n"
                "  -r ROUNDS   how often compare measures each step, 1 to 9; the default is 3\n");
    return to == stdout ? 0 : USAGE;
}

static bool parse_number(const char *what, const char *text, long least, long most, long *number)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least ||
        value > most) {
        fprintf(stderr, "demo: '%s' is no %s: give a number from %ld to %ld\n", text, what, least,
                most);
        return false;
    }
    *number = value;
    return true;
}

/* "3" and "03" are the same chapter. */
static bool is_of_chapter(const struct step *step, const char *chapter)
{
    return chapter == NULL || step_find(chapter, step->number) == step;
}

static bool parse_chapter(const char *text, const char **chapter)
{
    for (size_t i = 0; i < step_count; i++)
        if (is_of_chapter(&all_steps[i], text)) {
            *chapter = text;
            return true;
        }
    fprintf(stderr, "demo: '%s' is no chapter with steps: give 01, 02, and so on\n", text);
    return false;
}

static bool parse_letter(int letter, struct options *o)
{
    switch (letter) {
    case 's':
        return parse_number("time in seconds", optarg, SECONDS_LEAST, SECONDS_MOST, &o->seconds);
    case 'n':
        return parse_number("number of clients", optarg, 1, IDLE_MOST, &o->idle);
    case 'c':
        return parse_chapter(optarg, &o->chapter);
    case 'r':
        return parse_number("number of rounds", optarg, 1, ROUNDS_MOST, &o->rounds);
    case 'h':
        exit(usage(stdout));
    default: /* getopt() has said why */
        (void)usage(stderr);
        return false;
    }
}

static bool parse_options(int argc, char *argv[], struct options *o)
{
    const char *seconds = getenv("DEMO_SECONDS");
    if (seconds != NULL && *seconds != '\0' &&
        !parse_number("time in seconds", seconds, SECONDS_LEAST, SECONDS_MOST, &o->seconds))
        return false;
    if (argc > 1 && (strcmp(argv[1], "compare") == 0 || strcmp(argv[1], "--compare") == 0)) {
        o->compare = true;
        argv++, argc--;
    }
    for (int letter; (letter = getopt(argc, argv, "s:n:c:r:h")) != -1;)
        if (!parse_letter(letter, o))
            return false;
    if (optind < argc)
        fprintf(stderr, "demo: '%s' is one word too many\n", argv[optind]);
    return optind == argc;
}

/* ---- where the servers are ------------------------------------------------------------------- */

/*
 * This program is ROOT/build/.../tools/demo, and the servers are ROOT/chapters/NN_x/build/.../NAME,
 * with the same words for "build/...". So the path that started us says both. Goes to ROOT and
 * writes "build/...".
 */
static void go_to_root(const char *self, char build[PATH_LEN])
{
    char path[PATH_LEN];
    (void)snprintf(path, sizeof path, "%s", self);
    (void)snprintf(build, PATH_LEN, "build");
    static const char tools[] = "/tools/demo";
    size_t size = strlen(path), tail = sizeof tools - 1;
    char *found = NULL;
    if (size < tail || strcmp(path + size - tail, tools) != 0)
        return; /* started in another way: we hope to be in ROOT */
    path[size - tail] = '\0';
    for (char *at = strstr(path, "build"); at != NULL; at = strstr(at + 1, "build"))
        if (at == path || at[-1] == '/')
            found = at; /* the last one: the checkout may stand below another "build" */
    if (found == NULL)
        return;
    (void)snprintf(build, PATH_LEN, "%s", found);
    *found = '\0';
    if (found != path && chdir(path) != 0)
        fprintf(stderr, "demo: cannot go to %s: %s\n", path, strerror(errno));
}

static bool all_are_built(const struct play *play)
{
    char path[256];
    for (size_t i = 0; i < play->count; i++)
        if (access(step_path(play->records[i].step, play->build, path, sizeof path), X_OK) != 0) {
            fprintf(stderr,
                    "demo: no %s: build it with 'make', or start the demo with 'make demo'\n",
                    path);
            return false;
        }
    return true;
}

/* ---- who takes part -------------------------------------------------------------------------- */

/* NULL when we do not pretend. */
static const char *pretended_system(void)
{
    const char *name = getenv("DEMO_SYSTEM");
    return name != NULL && *name != '\0' ? name : NULL;
}

static const char *emulation_of(const struct step *step)
{
    const char *pretended = pretended_system();
    if (pretended == NULL || step->windows)
        return step_emulation(step);
    return step->lacks != NULL && strcmp(step->lacks, pretended) == 0 ? step->instead : NULL;
}

/*
 * Why a step takes no part, in few words; NULL: it does. A Windows program takes a while to start:
 * those that have one client at a time would only show again what 01/1 shows. Where we pretend to
 * be on another system, we do not ask what Windows programs need there.
 */
static const char *why_left_out(const struct step *step, const struct options *o)
{
    const char *pretended = pretended_system();
    bool for_another = pretended == NULL
                           ? step->needs != NULL && !step_runs_here(step)
                           : step->needs != NULL && strcmp(step->needs, pretended) != 0;
    if (for_another)
        return step->needs;
    if (step->windows && o->compare)
        return NULL; /* as an emulation: see below */
    if (step->windows && step_breaks(step, "silent_peer_blocks_nobody") != NULL)
        return "as 01/1";
    if (step->windows && (pretended != NULL || !step_runs_here(step)))
        return "no mingw-w64 or no Wine here";
    return NULL;
}

/* Figures of an emulation would be compared with those of kernels: then it does not take part. */
static void choose_steps(struct play *play, const struct options *o)
{
    for (size_t i = 0; i < step_count && play->count < LANES_MOST; i++) {
        const struct step *step = &all_steps[i];
        const char *emulation = emulation_of(step);
        if (!is_of_chapter(step, o->chapter) || (emulation != NULL && o->compare) ||
            why_left_out(step, o) != NULL)
            continue;
        play->records[play->count++] = (struct record){.step = step, .emulation = emulation};
    }
}

/* "04/1, 04/2 (Linux), 06/2 (as 01/1)": steps with the same reason stand together. */
struct left_out {
    char words[ROW_TEXT];
    char reason[ROW_TEXT]; /* of the last step; "": there is none yet */
};

static void close_reason(struct left_out *l)
{
    if (l->reason[0] != '\0')
        words_add(l->words, sizeof l->words, " (%s)", l->reason);
}

static void leave_out(struct left_out *l, const struct step *step, const char *reason)
{
    if (strcmp(l->reason, reason) != 0)
        close_reason(l);
    words_add(l->words, sizeof l->words, "%s%s/%d", l->words[0] != '\0' ? ", " : "", step->chapter,
              step->number);
    (void)snprintf(l->reason, sizeof l->reason, "%s", reason);
}

static void say_who_is_left_out(const struct options *o)
{
    struct left_out systems = {.words = ""}, others = {.words = ""};
    for (size_t i = 0; i < step_count; i++) {
        const struct step *step = &all_steps[i];
        const char *why = is_of_chapter(step, o->chapter) ? why_left_out(step, o) : NULL;
        if (why != NULL)
            leave_out(step->windows ? &others : &systems, step, why);
    }
    close_reason(&systems);
    close_reason(&others);
    if (systems.words[0] != '\0')
        screen_say("Left out, as they are for other systems: %s.", systems.words);
    if (others.words[0] != '\0')
        screen_say("Left out of chapter 06: %s.", others.words);
}

static void say_emulated(struct left_out *emulated)
{
    close_reason(emulated);
    if (emulated->words[0] != '\0')
        screen_say("Left out, as their figures would be those of the emulation: %s.",
                   emulated->words);
    *emulated = (struct left_out){.words = ""};
}

/* Only from compare: the acts have them. A sentence for each queue. */
static void say_who_is_emulated(const struct options *o)
{
    struct left_out emulated = {.words = ""};
    char reason[ROW_TEXT];
    for (size_t i = 0; i < step_count; i++) {
        const struct step *step = &all_steps[i];
        if (!is_of_chapter(step, o->chapter) || emulation_of(step) == NULL ||
            why_left_out(step, o) != NULL)
            continue;
        (void)snprintf(reason, sizeof reason, "%s: emulated %s", step->queue, emulation_of(step));
        if (emulated.reason[0] != '\0' && strcmp(emulated.reason, reason) != 0)
            say_emulated(&emulated);
        leave_out(&emulated, step, reason);
    }
    say_emulated(&emulated);
}

/* ---- the beginning and the end --------------------------------------------------------------- */

/* How many idle clients fit: here, and in a server, which inherits our limit. */
static void count_idle_clients(struct play *play, long wanted)
{
    long room = client_raise_limit() - OTHER_FDS;
    wanted = wanted > 0 ? wanted : IDLE_USUAL;
    play->idle_limited = room < wanted;
    play->idle_most = (int)(room < wanted ? room : wanted);
}

static int ended(const struct play *play, int result)
{
    screen_close();
    if (result == PLAY_OVER)
        return screen_works() ? 0 : 1;
    if (result == PLAY_FAILED) {
        fprintf(stderr, "demo: %s\n", play->why);
        return 1;
    }
    if (stop_signal() == 0)
        return 1; /* nobody reads what we print: no use to print why */
    printf("\nStopped. All servers and clients are gone.\n");
    return 128 + stop_signal();
}

static int show_acts(struct play *play, const struct options *o)
{
    screen_say("%zu echo servers, three acts, %.0f seconds. All that you see is measured now.",
               play->count, play->scale * (double)SECONDS);
    say_who_is_left_out(o);
    int result = play_all(play);
    if (result == PLAY_OVER) {
        table_print(play);
        table_print_next();
    }
    return result;
}

static int show_figures(struct play *play, const struct options *o)
{
    screen_title("The steps in figures");
    say_who_is_left_out(o);
    say_who_is_emulated(o);
    return compare(play);
}

int main(int argc, char *argv[])
{
    static struct record records[LANES_MOST];
    struct options options = {.seconds = SECONDS, .rounds = ROUNDS_USUAL};
    char build[PATH_LEN];
    if (!parse_options(argc, argv, &options))
        return USAGE;
    go_to_root(argv[0], build);
    const char *wanted = getenv("STEPS_BUILD");
    struct play play = {.build = wanted != NULL && *wanted != '\0' ? wanted : build,
                        .scale = (double)options.seconds / (double)SECONDS,
                        .rounds = (int)options.rounds,
                        .records = records};
    choose_steps(&play, &options);
    if (play.count == 0)
        fprintf(stderr, "demo: no step of chapter %s %s on this system\n", options.chapter,
                options.compare ? "runs natively" : "runs");
    if (play.count == 0 || !all_are_built(&play))
        return 1;
    count_idle_clients(&play, options.idle);
    if (play.idle_most < 1) {
        fprintf(stderr, "demo: too few descriptors: raise the limit (ulimit -n %d)\n", FDS_WANTED);
        return 1;
    }
    stop_catch();
    screen_open(play.count);
    return ended(&play,
                 options.compare ? show_figures(&play, &options) : show_acts(&play, &options));
}
