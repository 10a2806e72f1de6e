/*
 * sources: five things that are no sockets, and that one kqueue reports like a socket.
 *
 *     a timer            EVFILT_TIMER      it expires once, shortly after the start
 *     two signals        EVFILT_SIGNAL     SIGUSR1, which the program sends itself, and SIGHUP
 *     a user event       kq_user           the program triggers it
 *     a child process    EVFILT_PROC       it ends at once, and leaves a status
 *     a file             EVFILT_VNODE      a temporary one: it is written to, then removed
 *
 * Each says in one line on stdout what came. When all have come, nothing is left to happen, and
 * they cost nothing; only the signals can still be sent. What this system lacks, or forbids, is
 * told in one line, and the others go on.
 *
 * Born in chapter 05, step 4.
 */
#ifndef SOURCES_H
#define SOURCES_H

#include "kq.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Has the queue watch all of them, and makes each of them happen.
 *
 * SIGUSR1 and SIGHUP are ignored from here on: the queue tells of them all the same.
 * Thread: call it once, before other threads start. Blocks: no.
 */
void sources_watch(int queue);

/**
 * Takes an event if it is one of theirs, and prints its line.
 *
 * @return false when it is not
 * Blocks: no longer than the child, which has called _exit() already, takes to end.
 */
bool sources_take(const struct kevent *event);

/** Ends what has not happened yet, and removes the file. Before the queue is closed. */
void sources_close(void);

#ifdef __cplusplus
}
#endif

#endif
