/*
 * lab_case: a lab, and what its figures must show. One file per chapter holds the cases, so a new
 * lab is one function and one row there; test_labs.c runs them all.
 */
#ifndef LAB_CASE_H
#define LAB_CASE_H

enum { TEXT_LEN = 256 };

struct lab_case {
    const char *name;                /* as in make lab L=, NULL at the end of a chapter */
    const char *folder;              /* the chapter's, below chapters/                  */
    void (*judge)(const char *text); /* fails the test where a relation does not hold   */
};

extern const struct lab_case labs_01[], labs_02[], labs_03[], labs_04[], labs_05[], labs_06[],
    labs_07[];

/** What stands behind `name .....` in a line of its own; NULL where there is no such figure. */
const char *find_figure(const char *text, const char *name);

/** The same as a number; the test fails where there is none. */
double figure(const char *text, const char *name);

/** The test fails where the figure is not this word. */
void word_is(const char *text, const char *name, const char *word);

#endif
