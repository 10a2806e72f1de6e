/*
 * exercise: what the grader knows of one exercise.
 *
 * The file `rows` in an exercise's folder is the single list of what is looked at. Its lines:
 *
 *     # a remark
 *     title TITLE
 *     uses NAME...                the chapter's files that are linked in (tools/exercise.sh)
 *     links kqueue                linked with chapter 05's kqueue, where the system has none
 *     links evq                   linked with the library of chapter 07
 *     links evq_suite             linked with that library and with its test suite
 *     links windows               a Windows program: wine.sh of chapter 06 runs it
 *     needs HEADER                only systems that have this header can run it
 *     row NAME POINTS HINT        a row of the contract, or a check of checks.h
 *     tsan NAME POINTS HINT       the same, on the program built with ThreadSanitizer
 *     asan NAME POINTS HINT       the same, on the program built with AddressSanitizer
 *     counted NAME POINTS HINT    the same, on the program whose calls are counted or watched on
 *                                 their way to the system (counted/)
 *     red FILE NAME               for the tests: FILE must be red in that row
 *     twist NAME CHOICE...        what is asked of each student anew: a word or a number. The first
 *                                 one stands in the pages and sources; a seed may choose another
 *                                 (tools/exercise.sh). NAME is the row that a neighbour's answer
 *                                 breaks
 *     twisted WORDS               where the first choice stands in them, it is what differs
 *
 * HINT says which hint (1 or 2) helps when the row is red.
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include "../contract/contract.h"

#include <stdbool.h>
#include <stddef.h>

enum { EXERCISE_ROWS = 16, EXERCISE_REDS = 4, EXERCISE_NAME = 64, EXERCISE_PATH = 512 };

struct exercise_row {
    const struct contract_row *row;
    int points, hint;
    const char *variant; /* how the program is built: "tsan", "asan", "counted"; "row": as usual */
    bool windows;        /* it is a Windows program */
};

struct exercise_red {
    char file[EXERCISE_NAME]; /* "start.c" */
    char row[EXERCISE_NAME];
};

struct exercise {
    char title[EXERCISE_NAME];
    char needs[EXERCISE_NAME]; /* a header, or "" */
    char twist[EXERCISE_NAME]; /* the first choice, or "" */
    bool windows;              /* its programs are Windows programs */
    struct exercise_row rows[EXERCISE_ROWS];
    size_t row_count;
    struct exercise_red reds[EXERCISE_REDS];
    size_t red_count;
    int points; /* of all rows together */
};

/** Reads FOLDER/rows. 0, or -1 with the reason, in words, in why. */
int exercise_read(struct exercise *e, const char *folder, char *why, size_t why_len);

/** The row of that name, or NULL. */
const struct exercise_row *exercise_find(const struct exercise *e, const char *name);

/**
 * Runs one row against PROGRAM, or against PROGRAM.tsan, .asan or .counted where the row asks for
 * that; where there is none, or nothing that runs it, the row is SKIPPED, in words. The answer is
 * in *run. Blocks while it runs.
 *
 * @param sanitized    the program is built with a sanitizer, so its memory tells nothing
 * @param patience_ms  how long an answer may take; 0: as usual
 */
void exercise_run(const struct exercise_row *row, const char *program, bool sanitized,
                  int patience_ms, struct contract_run *run);

#endif
