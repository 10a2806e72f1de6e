/*
 * soak: does a server still do what it should after minutes, with thousands of guests?
 *
 *     soak [-m MINUTES] [-n GUESTS] [-c CHAPTER] [-s STEP] [-b BACKEND] [-L] [SERVER [WORD...]]
 *
 * Without SERVER: the steps of chapters 01 to 05, mini, and evq over each backend, one after the
 * other, MINUTES each (a fraction is fine). Who the guests are stands in guests.h, what is watched
 * in trial.h. -L: SERVER speaks the protocol of lines. STEPS_BUILD says which build of the steps.
 *
 * One line for each server as it ends, then a table. Status: 0 when all hold, 1 when one fails or
 * nothing could be run, 2 for wrong options.
 */
#include "subject.h"
#include "trial.h"

#include "harness/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MINUTES_MOST = 100000, FDS_BESIDE = 64 };

struct options {
    double minutes;
    int guests;
    bool lines;
    struct subject_choice choice;
    char **server; /* NULL-ended; its first is NULL where none is given */
};

static const char *const result_words[] = {
    [TRIAL_HOLDS] = "holds", [TRIAL_FAILS] = "FAILS", [TRIAL_SKIPPED] = "skipped"};

/* ---- options --------------------------------------------------------------------------------- */

static _Noreturn void usage(const char *why, const char *word)
{
    (void)fprintf(stderr,
                  "soak: %s'%s'\n"
                  "usage: soak [-m MINUTES] [-n GUESTS] [-c CHAPTER] [-s STEP] [-b BACKEND] [-L] "
                  "[SERVER [WORD...]]\n",
                  why, word);
    exit(2);
}

static double number(const char *text, double least, double most)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= least && value <= most))
        usage("no number that makes sense here: ", text);
    return value;
}

static struct options read_options(int argc, char **argv)
{
    struct options options = {.minutes = 1, .guests = GUESTS_USUAL};
    int letter;
    while ((letter = getopt(argc, argv, "+m:n:c:s:b:L")) != -1)
        switch (letter) {
        case 'm':
            options.minutes = number(optarg, 0.001, MINUTES_MOST);
            break;
        case 'n':
            options.guests = (int)number(optarg, 1, GUESTS_MOST);
            break;
        case 'c':
            options.choice.chapter = optarg;
            break;
        case 's':
            options.choice.step = optarg;
            break;
        case 'b':
            options.choice.backend = optarg;
            break;
        case 'L':
            options.lines = true;
            break;
        default:
            usage("there is no such option, or it wants a value: ", argv[optind - 1]);
        }
    options.server = argv + optind;
    options.choice.build = getenv("STEPS_BUILD");
    if (options.choice.build == NULL || *options.choice.build == '\0')
        options.choice.build = "build";
    return options;
}

/* ---- before ---------------------------------------------------------------------------------- */

static int guests_of(const struct options *options, const struct subject *subject)
{
    return options->guests < subject->guests ? options->guests : subject->guests;
}

/* Each guest is a descriptor here, and one in the server, which inherits the limit. */
static bool has_descriptors(const struct options *options, const struct subject *subjects, size_t n)
{
    const long spare = client_raise_limit();
    int most = 0;
    for (size_t i = 0; i < n; i++)
        if (guests_of(options, &subjects[i]) > most)
            most = guests_of(options, &subjects[i]);
    if (most + most / TRIAL_LAG_PART + FDS_BESIDE <= spare)
        return true;
    (void)fprintf(
        stderr,
        "soak: %d guests want a limit of %d open files, and %ld are to be had here: ask "
        "for a higher one\n      (ulimit -Hn tells the most; root raises it: ulimit -n "
        "%d), or for fewer guests: N=%ld\n",
        most, most + most / TRIAL_LAG_PART + FDS_BESIDE, spare,
        most + most / TRIAL_LAG_PART + 2 * FDS_BESIDE,
        spare > 2 * FDS_BESIDE ? (spare - FDS_BESIDE) * TRIAL_LAG_PART / (TRIAL_LAG_PART + 1) : 1);
    return false;
}

/* ---- one after the other --------------------------------------------------------------------- */

/* Of a handout some chapters may be left out: chapters/NN_name of the program's path is missing. */
static bool chapter_is_here(const struct subject *subject)
{
    char folder[sizeof subject->program];
    (void)snprintf(folder, sizeof folder, "%s", subject->program);
    char *end = strchr(folder, '/');
    end = end != NULL ? strchr(end + 1, '/') : NULL;
    if (end == NULL)
        return true; /* no step, but any server */
    *end = '\0';
    return access(folder, F_OK) == 0;
}

static const char *why_not(const struct subject *subject)
{
    if (!chapter_is_here(subject))
        return "this chapter is not here";
    if (subject->step != NULL)
        return step_why_not(subject->step);
    if (!subject->windows)
        return NULL;
    for (size_t i = 0; i < mini_count; i++) /* what one Windows program needs, each of them does */
        if (mini_steps[i].windows)
            return step_why_not(&mini_steps[i]);
    return NULL;
}

static void say_result(const struct trial *trial)
{
    const bool fewer = trial->subject->why_fewer != NULL && trial->count == trial->subject->guests;
    (void)printf("%-7s %-24s", result_words[trial->result], trial->subject->name);
    if (trial->result == TRIAL_SKIPPED)
        (void)printf(" %s\n", trial->why);
    else
        (void)printf(" %d at once, %" PRIu64 " came, %.1f MiB came back right%s%s\n", trial->count,
                     trial->arrived, (double)trial->received / 1048576,
                     fewer ? "; so few since " : "", fewer ? trial->subject->why_fewer : "");
    if (trial->result == TRIAL_FAILS)
        (void)printf("        %s\n", trial->why);
    if (trial->put_off > 0)
        (void)printf("        %" PRIu64 " connections were put off: no port or memory left here\n",
                     trial->put_off);
    (void)fflush(stdout);
}

static void run_one(const struct options *options, struct trial *trial,
                    const struct subject *subject)
{
    const char *why = why_not(subject);
    *trial = (struct trial){.subject = subject, .count = guests_of(options, subject)};
    trial->duration_ns = (int64_t)(options->minutes * 60e9);
    trial->sanitized = strstr(options->choice.build, "san-") != NULL;
    trial->live = isatty(STDERR_FILENO) != 0 && getenv("PLAIN") == NULL;
    if (why != NULL) {
        trial->result = TRIAL_SKIPPED;
        (void)snprintf(trial->why, sizeof trial->why, "%s", why);
    } else
        trial_run(trial);
    say_result(trial);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void show_row(const struct trial *t)
{
    const double seconds = (double)t->talked_ns / 1e9;
    if (t->result == TRIAL_SKIPPED || seconds <= 0) {
        (void)printf("%-24s %6s  %s\n", t->subject->name, "", result_words[t->result]);
        return;
    }
    (void)printf("%-24s %6d %8.0f %8.1f %5d %5d %5d %8.1f %8.1f %4.0f%%  %s\n", t->subject->name,
                 t->count, (double)t->arrived / seconds, (double)t->received / 1048576 / seconds,
                 t->at_start.fds, t->held.fds, t->at_end.fds,
                 (double)t->measure.resident_kib / 1024, (double)t->held.resident_kib / 1024,
                 (double)t->cpu_ns * 100 / (double)t->talked_ns, result_words[t->result]);
}

static int show_table(const struct trial *trials, size_t n)
{
    int counts[] = {0, 0, 0};
    (void)printf("\n%-24s %6s %8s %8s %5s %5s %5s %8s %8s %5s\n", "server", "at", "came", "MiB",
                 "fds:", "most", "fds:", "memory:", "later", "CPU");
    (void)printf("%-24s %6s %8s %8s %5s %5s %5s %8s %8s\n", "", "once", "/ s", "/ s", "start", "",
                 "end", "2nd 1/4", "(MiB)");
    for (size_t i = 0; i < n; i++) {
        show_row(&trials[i]);
        counts[trials[i].result]++;
    }
    (void)printf("\n%d hold, %d fail, %d skipped\n", counts[TRIAL_HOLDS], counts[TRIAL_FAILS],
                 counts[TRIAL_SKIPPED]);
    return counts[TRIAL_FAILS] == 0 && counts[TRIAL_HOLDS] > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct subject subjects[SUBJECTS_MAX]; /* static: too large for the stack */
    static struct trial trials[SUBJECTS_MAX];
    const struct options options = read_options(argc, argv);
    size_t n = 1;
    if (options.server[0] != NULL)
        subject_of_command(&subjects[0], options.server, options.lines);
    else
        n = subjects_choose(subjects, &options.choice);
    if (n == 0) {
        (void)fprintf(stderr, "soak: no such server (chapters 01 to 05 and 07; BACKEND: io_uring, "
                              "epoll, poll, kqueue, iocp)\n");
        return 2;
    }
    if (!has_descriptors(&options, subjects, n))
        return 1;
    (void)printf("%zu server%s, %g minute%s each; guests: 7 in 8 steady, bursty or rude, "
                 "1 in 8 slow or silent\n\n",
                 n, n == 1 ? "" : "s", options.minutes, options.minutes == 1 ? "" : "s");
    (void)fflush(stdout);
    for (size_t i = 0; i < n; i++)
        run_one(&options, &trials[i], &subjects[i]);
    return show_table(trials, n);
}
