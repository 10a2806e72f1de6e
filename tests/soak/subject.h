/*
 * subject: what is soaked, and by how many guests.
 *
 * The steps of chapters 01 to 05, mini, and the echo example of chapter 07 over each backend of
 * evq. The steps are those of ../steps.c; what is said here of each is only how many guests it can
 * hold by design, and why.
 */
#ifndef SOAK_SUBJECT_H
#define SOAK_SUBJECT_H

#include "steps.h"

#include <stdbool.h>
#include <stddef.h>

enum { SUBJECTS_MAX = 48, SUBJECT_WORDS = 12, GUESTS_USUAL = 5000, GUESTS_MOST = 50000 };

struct subject {
    char name[48];                   /* "04/1 epoll, level"                                     */
    const char *argv[SUBJECT_WORDS]; /* how it is started, ended by NULL                        */
    char program[512], backend[48];  /* argv points to them                                     */
    int guests;                      /* how many it holds by design, at most                    */
    const char *why_fewer;           /* and why; NULL: it holds as many as one likes            */
    bool lines;                      /* speaks the protocol of lines                            */
    bool is_busy;                    /* uses the processor while nothing happens, by design     */
    bool windows;                    /* a Windows program, by Wine                              */
    const struct step *step;         /* NULL: no step                                           */
};

/** Which ones. NULL, "": all of them. */
struct subject_choice {
    const char *chapter, *step, *backend; /* as in CH=04 STEP=1 BACKEND=io_uring */
    const char *build;                    /* "build" or a variant                */
};

/** Fills in the chosen ones. @return how many */
size_t subjects_choose(struct subject *subjects, const struct subject_choice *choice);

/** Any other server: its words, ended by NULL. */
void subject_of_command(struct subject *subject, char **words, bool lines);

#endif
