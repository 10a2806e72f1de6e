/*
 * confine: parts of a program that runs a stranger's command so that it harms nobody.
 *
 *     confine.c    the supervisor: starts it, watches it, ends it
 *     box.c        what the command finds itself in: namespaces and limits
 *     tree.c       who belongs to it, and what they use
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

enum { HIDDEN_MAX = 128 };

/** What a command may use. */
struct limits {
    const char *folder;             /* it may write here, and but for `fresh` nowhere else */
    const char *hidden[HIDDEN_MAX]; /* files and folders that look empty  */
    int hidden_count;
    const char *fresh; /* a folder that it finds empty, and may fill; or NULL */
    long seconds;      /* from its start to its end                      */
    long cpu_seconds;  /* of all its processes together                  */
    long memory_mib;   /* of all its processes together, resident        */
    long processes;    /* and threads, at any moment                     */
    long output_kib;   /* that it prints                                 */
    long file_mib;     /* the largest file that it may write             */
    bool loose;        /* without namespaces: limits and the watch alone */
};

/* ---- box.c ----------------------------------------------------------------------------------- */

/**
 * To be called in a fresh child of the supervisor: enters the box, and becomes the command there.
 * `out` is its stdout and stderr. Never returns: _exit() with the command's status; with BOX_FAILED
 * when there is no such box on this system, which it has said in words.
 */
__attribute__((noreturn)) void box_run(const struct limits *limits, char *const *command, int out);

enum { BOX_FAILED = 125, BOX_CANNOT_EXEC = 127 };

/* ---- tree.c ---------------------------------------------------------------------------------- */

/** All descendants of a process at one moment. */
struct tree {
    pid_t pids[4096];
    int count;      /* of processes, those in pids                 */
    long threads;   /* of all of them                              */
    long cpu_ticks; /* used by all of them, and by those reaped    */
    long pages;     /* resident; shared ones count more than once  */
};

/** Looks at /proc once. 0, or -1 when it cannot be read. */
int tree_look(struct tree *tree, pid_t root);

#endif
