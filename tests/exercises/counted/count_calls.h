/*
 * count_calls: how many system calls a program has made, told while it runs.
 *
 * A program that is built with count_calls.c, and linked so that its calls go there first (the
 * linker's --wrap), adds each call up in a file that it shares with the grader. The environment
 * variable COUNT_CALLS names that file; the grader makes it, and reads it when it likes.
 */
#ifndef COUNT_CALLS_H
#define COUNT_CALLS_H

#include <stdatomic.h>

enum counted_call {
    CALLS_EPOLL_WAIT, /* epoll_wait, epoll_pwait                            */
    CALLS_POLL,       /* poll, select: the whole list is given at each call */
    CALLS_EPOLL_CTL,
    CALLS_MOVE,   /* recv, send, read, write and their kin               */
    CALLS_KEVENT, /* counted by count_kevent.c */
    COUNTED_CALLS
};

/** What the file holds. It begins with zeros. */
struct call_counts {
    atomic_ulong of[COUNTED_CALLS];
};

#endif
