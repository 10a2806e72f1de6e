/*
 * nonblocking: the one switch that this chapter is about.
 *
 * Born in chapter 02, step 1; later chapters carry this file unchanged.
 */
#ifndef NONBLOCKING_H
#define NONBLOCKING_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a descriptor non-blocking: from now on a call that would have to wait returns -1 with
 * EAGAIN instead.
 *
 * The flag belongs to the open file description, so every descriptor that was dup'ed from this one,
 * or inherited by a child, has it too (man 2 fcntl, F_SETFL). It is set on every accepted socket,
 * because only some systems copy it from the listener (man 2 accept).
 *
 * @return 0, or -1 with errno set. Thread: any. Blocks: no.
 */
int nonblocking_set(int fd);

#ifdef __cplusplus
}
#endif

#endif
