/*
 * stop: Ctrl-C and SIGTERM as something that a loop can wait for.
 *
 * A handler that sets a flag has a race: the signal may come after the loop has looked at the flag
 * and before it sleeps (lab 01/lost_signal). So the handler writes one byte into a pipe, and the
 * loop waits for the pipe beside its sockets: the *self-pipe*. The byte is never read, so the pipe
 * stays readable, for every thread and for every wait that comes later.
 *
 * Born in chapter 03, step 2; later chapters carry this file unchanged.
 */
#ifndef STOP_H
#define STOP_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes the pipe, then installs the handler of SIGINT and SIGTERM.
 *
 * @return a descriptor that becomes readable, for good, when the program shall stop; it belongs to
 *         this module until the process ends. Or -1 with errno set.
 * Thread: call it once, before other threads start.
 */
int stop_open(void);

#ifdef __cplusplus
}
#endif

#endif
