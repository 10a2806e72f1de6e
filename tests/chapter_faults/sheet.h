/*
 * sheet: the results as a page: README.md beside this file, written and read again.
 *
 * One table for each chapter: a line for each call and error that its steps meet, a column for each
 * step, in the cell one letter for each thing that came of it, wherever that call stands.
 */
#ifndef CHAPTER_FAULTS_SHEET_H
#define CHAPTER_FAULTS_SHEET_H

#include "subject.h"

#include <stdio.h>

enum { ROWS_MAX = 384 };

/** For each row of the table and each subject the outcomes as bits; 0: it makes no such call. */
struct sheet {
    const struct subject *subjects;
    size_t subject_count;
    int cell[ROWS_MAX][SUBJECTS_MAX];
};

void sheet_write(const struct sheet *sheet, FILE *to);

/** Reads the cells of a page that was written before. 0, or -1 when there is none. */
int sheet_read(struct sheet *sheet, const char *path);

/** ". c", as in a cell. */
const char *sheet_letters(int outcomes, char *buf, size_t len);

#endif
