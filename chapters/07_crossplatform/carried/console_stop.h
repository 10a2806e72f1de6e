/*
 * console_stop: Ctrl-C, Ctrl-Break and the closing of the console as something that a program can
 * wait for.
 *
 * Windows has no signals. When one of these happens the system starts a thread in the process, and
 * that thread calls a handler (HandlerRoutine callback function). So none of the rules for signal
 * handlers hold here; those for threads do. The handler does one thing: it wakes the program, in
 * the way that the program wants.
 *
 * Born in chapter 06, step 3.
 */
#ifndef CONSOLE_STOP_H
#define CONSOLE_STOP_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Wakes the program, so that it ends: sets an event, posts a packet.
 *
 * @return false when that failed; then the system ends the process, at once and without totals
 * Thread: one of the system's. It is called once, whatever happens after that.
 */
typedef bool console_stop_wake(void *arg);

/**
 * Installs the handler.
 *
 * A closed console is different: the system ends the process when the handler returns, and after
 * five seconds in any case. So then the handler waits for the program to end by itself.
 *
 * @return 0, or -1 with the reason in GetLastError(). Call it once.
 */
int console_stop_open(console_stop_wake *wake, void *arg);

#ifdef __cplusplus
}
#endif

#endif
