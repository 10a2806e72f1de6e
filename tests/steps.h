/*
 * steps: the one table of the course's servers.
 *
 * The contract tests, the matrix in the chapters, the demo and the comparison all read it. To add a
 * step to all of them, add one entry in steps.c. The steps of chapter 07's mini are a second table.
 */
#ifndef STEPS_H
#define STEPS_H

#include "contract/contract.h"

#include <stdbool.h>
#include <stddef.h>

/** A row of the contract that a step breaks by design: the reason for the step that comes next. */
struct broken_row {
    const char *row;
    enum symptom symptom; /* how it breaks; breaking in another way is a bug */
    const char *reason;   /* one sentence, for the reader of the chapter */
};

enum { STEP_BROKEN_ROWS = 8 };

struct step {
    const char *chapter; /* "01", as in CH=01 */
    const char *folder;  /* "01_blocking", below chapters/ */
    int number;          /* as in STEP=1 */
    const char *name;    /* the program: "step1_sequential" */
    const char *label;   /* short, for tables: "sequential" */
    const char *idea;    /* what it does, in one sentence */
    const char *needs;   /* the only system it is for, as uname -s has it; NULL: any */
    const char *queue;   /* its second line begins with this: "kqueue"; NULL: it has none */
    const char *lacks;   /* the system that has no such queue, as uname -s has it ...     */
    const char *instead; /* ... and where it is emulated there: "over epoll", "by Wine"   */
    bool windows;        /* a Windows program: NAME.exe, which chapter 06's wine.sh runs */
    bool threads;        /* one of the threads track: runs under SAN=thread */
    const char *hurts;   /* what still hurts */
    const char *cure;    /* which step cures it */
    struct broken_row breaks[STEP_BROKEN_ROWS + 1]; /* ends with row == NULL */
};

extern const struct step all_steps[];
extern const size_t step_count;

/**
 * mini, the six steps of chapter 07: 5 and 6 are several programs, one for each queue. Only the
 * contract tests read them. In the demo they would show nothing that the steps above do not.
 */
extern const struct step mini_steps[];
extern const size_t mini_count;

/** The step CH=chapter STEP=number of all_steps, or NULL. The chapter may be "1" or "01". */
const struct step *step_find(const char *chapter, int number);

/** How the step breaks the row by design, or NULL when it must hold. */
const struct broken_row *step_breaks(const struct step *step, const char *row);

/** False when the step is for another system only, or its tools are missing: it is not run then. */
bool step_runs_here(const struct step *step);

/**
 * Why it does not run here, in words, with the command that installs what is missing; NULL when it
 * does. The answer is found once, and kept: for a Windows program two scripts are asked, and what
 * will run it is made ready, which takes a while the first time.
 */
const char *step_why_not(const struct step *step);

/** "over epoll", "by Wine" when its queue is emulated on this system, else NULL. */
const char *step_emulation(const struct step *step);

/**
 * The second line that it prints here: "kqueue: emulated over epoll", "kqueue: native"; "" for a
 * step that prints none.
 *
 * @return buf, cut off where it does not fit
 */
const char *step_banner(const struct step *step, char *buf, size_t len);

/**
 * Where its program is, from the root: chapters/01_blocking/BUILD/step1_sequential; a Windows
 * program's name ends in .exe.
 *
 * @param build  "build", or a variant of it such as "build/san-thread" or "build/ndebug"
 * @return buf, cut off where it does not fit
 */
const char *step_path(const struct step *step, const char *build, char *buf, size_t len);

/** The words that start a step: its program, or what runs it and its program. */
struct step_start {
    const char *argv[8]; /* ends with NULL; there is room for four more words */
    size_t words;
    char program[512];
};

/**
 * How to start it: {"chapters/.../step1_x", NULL}, or for a Windows program
 * {"sh", "chapters/06_iocp/wine.sh", "chapters/.../step4_x.exe", NULL}. The words lie in *command.
 *
 * @return command->argv
 */
const char *const *step_command(const struct step *step, const char *build,
                                struct step_start *command);

#endif
