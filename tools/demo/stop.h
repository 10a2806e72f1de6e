/*
 * stop: Ctrl-C and its like. The demo notices, clears away all it has started, and only then ends.
 */
#ifndef DEMO_STOP_H
#define DEMO_STOP_H

/** Catches SIGINT, SIGTERM and SIGHUP; ignores SIGPIPE and SIGTSTP. */
void stop_catch(void);

/** For the clients' process: only the display decides when it ends. */
void stop_ignore(void);

/** The signal that asked us to stop, or 0. */
int stop_signal(void);

#endif
