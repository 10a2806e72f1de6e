/*
 * spawn: a program in a process group of its own, and a guard that outlives us to end it.
 *
 * The part of server.c that forks. Private to the harness.
 *
 *     test ──fork──> guard   waits at the end of a pipe whose other end the test holds
 *      │
 *      └────fork──> child    tells the guard its group, then becomes the server (exec)
 *
 * The guard is there first, and the child itself tells it the group, before exec: so at no moment
 * can the test die and leave a server without a guard.
 */
#ifndef HARNESS_SPAWN_H
#define HARNESS_SPAWN_H

#include "server.h"

struct spawned {
    pid_t child; /* also the number of its process group     */
    pid_t guard;
    int guard_fd; /* open as long as the group may live        */
    int out_fd;   /* ours to read, non-blocking, close-on-exec */
    int err_fd;
};

/** Starts the program. 0, or -1 with the reason, in words, in why; then nothing is left behind. */
int spawn(struct spawned *p, const struct server_spec *spec, char *why, size_t why_len);

/**
 * Ends the guard, which kills the group with its last breath. Leaves the child to be waited for.
 */
void spawn_kill_group(pid_t child, pid_t guard, int guard_fd);

#endif
