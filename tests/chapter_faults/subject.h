/*
 * subject: the steps that are put on a kernel that fails: those of chapters 01 to 06, and mini of
 * 07, each in a build of its own (tests/Makefile) that has the shim inside. Windows programs are
 * run by Wine.
 */
#ifndef CHAPTER_FAULTS_SUBJECT_H
#define CHAPTER_FAULTS_SUBJECT_H

#include "steps.h"

#include <stdbool.h>
#include <stddef.h>

struct subject {
    const struct step *step;
    char name[32];      /* "04/2", "07/5 epoll": as the tests and the table have it */
    char program[1024]; /* the build with the shim                                  */
    bool one_at_a_time; /* serves one client, and then the next one                 */
    bool spins;         /* by design: it asks all the time                          */
    bool recv_blocks;   /* its sockets block, so EAGAIN cannot come                 */
    bool accept_blocks; /* its listener does                                        */
};

enum { SUBJECTS_MAX = 48 };

/** Those that run on this system. `folder`: where their builds are; `windows`: the Windows programs
 *  of chapter 06, too. How many. */
size_t subjects_find(struct subject subjects[SUBJECTS_MAX], const char *folder, bool windows);

/** Why no Windows program is run here, in words; NULL: they are. */
const char *subjects_why_no_windows(void);

/** The words that start it. The strings live as long as it does, and until the next call. */
const char *const *subject_command(const struct subject *subject);

#endif
