#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* It speaks a protocol of lines, so the contract of an echo server does not judge it, and the table
 * in steps.c does not have it. The scenario sends lines that it leaves as they are. */
static const struct step lines_step = {.chapter = "03",
                                       .folder = "03_select_poll",
                                       .number = 3,
                                       .name = "step3_lines",
                                       .breaks = {{.row = NULL}}};

static bool is_taken(const struct step *step, bool windows)
{
    return (windows || !step->windows) && step_runs_here(step);
}

const char *subjects_why_no_windows(void)
{
    const char *build = getenv("STEPS_BUILD");
    if (build != NULL && strstr(build, "san-") != NULL)
        return "the compiler for Windows programs has no sanitizers; they are tested without";
    return step_why_not(step_find("06", 2));
}

const char *const *subject_command(const struct subject *subject)
{
    static struct step_start start;
    (void)step_command(subject->step, "", &start);
    start.argv[start.words - 1] = subject->program; /* the build with the shim in its place */
    return start.argv;
}

/* "07/5 epoll" where a step is several programs. */
static void name_it(struct subject *subject)
{
    const struct step *step = subject->step;
    const char *queue = strrchr(step->name, '_') + 1;
    bool several = strncmp(step->name, "mini/", 5) == 0 && step->number >= 5;
    (void)snprintf(subject->name, sizeof subject->name, "%s/%d%s%s", step->chapter, step->number,
                   several ? " " : "", several ? queue : "");
}

static void add(struct subject *subject, const struct step *step, const char *folder)
{
    long chapter = strtol(step->chapter, NULL, 10);
    *subject = (struct subject){.step = step};
    name_it(subject);
    (void)snprintf(subject->program, sizeof subject->program, "%s/%s/%s%s", folder, step->folder,
                   step->name, step->windows ? ".exe" : "");
    subject->one_at_a_time = step_breaks(step, "no_cross_talk") != NULL;
    subject->spins = step_breaks(step, "idle_costs_nothing") != NULL;
    subject->recv_blocks = chapter == 1;
    subject->accept_blocks = chapter == 1 || subject->one_at_a_time;
}

size_t subjects_find(struct subject subjects[SUBJECTS_MAX], const char *folder, bool windows)
{
    size_t n = 0;
    for (size_t i = 0; i < step_count && n < SUBJECTS_MAX; i++) {
        if (is_taken(&all_steps[i], windows))
            add(&subjects[n++], &all_steps[i], folder);
        if (strcmp(all_steps[i].name, "step2_poll") == 0 && n < SUBJECTS_MAX)
            add(&subjects[n++], &lines_step, folder);
    }
    for (size_t i = 0; i < mini_count && n < SUBJECTS_MAX; i++)
        if (is_taken(&mini_steps[i], windows))
            add(&subjects[n++], &mini_steps[i], folder);
    return n;
}
