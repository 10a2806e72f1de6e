/*
 * subject: see subject.h.
 */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINE_GUESTS = 200, SELECT_GUESTS = 900 };

#define WINE "chapters/06_iocp/wine.sh"

/* ---- who holds how many ---------------------------------------------------------------------- */

struct bound {
    const char *chapter;
    int number, guests;
    const char *why;
};

static const struct bound bounds[] = {
    {"01", 1, 1, "it serves one client at a time"},
    {"01", 3, 4, "its four threads serve four clients"},
    {"02", 1, 1, "it serves one client at a time"},
    {"03", 1, SELECT_GUESTS, "FD_SETSIZE is 1,024, and those who leave need some of it"},
};

static void is_bounded(struct subject *subject, int guests, const char *why)
{
    subject->guests = guests;
    subject->why_fewer = why;
}

static void find_bound(struct subject *subject)
{
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        if (strcmp(bounds[i].chapter, subject->step->chapter) == 0 &&
            bounds[i].number == subject->step->number)
            is_bounded(subject, bounds[i].guests, bounds[i].why);
    if (subject->windows)
        is_bounded(subject, WINE_GUESTS, "it runs by Wine, whose server does all work on sockets");
}

/* ---- making one ------------------------------------------------------------------------------ */

static void of_step(struct subject *subject, const struct step *step, const char *build)
{
    size_t n = 0;
    *subject = (struct subject){.guests = GUESTS_MOST, .step = step, .windows = step->windows};
    (void)snprintf(subject->name, sizeof subject->name, "%s/%d %s", step->chapter, step->number,
                   step->label);
    if (step->windows) {
        subject->argv[n++] = "sh";
        subject->argv[n++] = WINE;
    }
    subject->argv[n] = step_path(step, build, subject->program, sizeof subject->program);
    subject->is_busy = step_breaks(step, "idle_costs_nothing") != NULL;
    find_bound(subject);
}

static void of_backend(struct subject *subject, const char *backend, const char *build)
{
    const bool windows = strcmp(backend, "iocp") == 0;
    size_t n = 0;
    *subject = (struct subject){.guests = GUESTS_MOST, .windows = windows};
    (void)snprintf(subject->name, sizeof subject->name, "07 evq, %s", backend);
    (void)snprintf(subject->backend, sizeof subject->backend, "EVQ_BACKEND=%s", backend);
    (void)snprintf(subject->program, sizeof subject->program,
                   "chapters/07_crossplatform/%s/examples/echo%s", build, windows ? ".exe" : "");
    subject->argv[n++] = "env"; /* becomes the program: no process more */
    subject->argv[n++] = subject->backend;
    if (windows) {
        subject->argv[n++] = "sh";
        subject->argv[n++] = WINE;
        is_bounded(subject, WINE_GUESTS, "it runs by Wine, whose server does all work on sockets");
    }
    subject->argv[n] = subject->program;
}

void subject_of_command(struct subject *subject, char **words, bool lines)
{
    *subject = (struct subject){.guests = GUESTS_MOST, .lines = lines};
    (void)snprintf(subject->name, sizeof subject->name, "%s", words[0]);
    for (size_t i = 0; i + 1 < SUBJECT_WORDS && words[i] != NULL; i++)
        subject->argv[i] = words[i];
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool is_given(const char *word)
{
    return word != NULL && *word != '\0';
}

static bool is_number(const char *word, long number)
{
    return !is_given(word) || strtol(word, NULL, 10) == number;
}

static bool is_chosen(const struct step *step, const struct subject_choice *choice)
{
    return !is_given(choice->backend) && is_number(choice->step, step->number) &&
           is_number(choice->chapter, strtol(step->chapter, NULL, 10)) &&
           strcmp(step->chapter, "06") != 0;
}

/* Step 3 of chapter 03 is no echo server, so it is not in the table of steps. */
static const struct step lines_step = {.chapter = "03",
                                       .folder = "03_select_poll",
                                       .number = 3,
                                       .name = "step3_lines",
                                       .label = "lines"};

static size_t add(struct subject *subjects, size_t n, const struct step *step,
                  const struct subject_choice *choice)
{
    if (!is_chosen(step, choice))
        return n;
    of_step(&subjects[n], step, choice->build);
    subjects[n].lines = step == &lines_step;
    return n + 1;
}

size_t subjects_choose(struct subject *subjects, const struct subject_choice *choice)
{
    static const char *const backends[] = {"io_uring", "epoll", "poll", "kqueue", "iocp"};
    size_t n = 0;
    for (size_t i = 0; i < step_count; i++) {
        n = add(subjects, n, &all_steps[i], choice);
        if (strcmp(all_steps[i].name, "step2_poll") == 0)
            n = add(subjects, n, &lines_step, choice);
    }
    for (size_t i = 0; i < mini_count; i++)
        n = add(subjects, n, &mini_steps[i], choice);
    if (is_given(choice->step) || !is_number(choice->chapter, 7))
        return n;
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++)
        if (!is_given(choice->backend) || strcmp(choice->backend, backends[i]) == 0)
            of_backend(&subjects[n++], backends[i], choice->build);
    return n;
}
