/*
 * totals: how many clients a server has served and refused, how many bytes it has echoed, and its
 * last line.
 *
 * Born in chapter 01, step 2; later chapters carry this file unchanged.
 */
#ifndef TOTALS_H
#define TOTALS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Counts one more client. Thread: any. */
void totals_add_client(void);

/** Counts n more echoed bytes. Thread: any. */
void totals_add_bytes(size_t n);

/** Counts one more client that had to be turned away. Thread: any. */
void totals_add_refused(void);

/**
 * Writes the line "totals: clients 3, bytes 1024" to stdout; where clients were turned away,
 * ", refused 2" follows.
 *
 * Thread: any; safe in a signal handler: it calls only write() (man 7 signal-safety).
 * @return 0, or -1 with errno set when the line could not be written whole.
 */
int totals_write(void);

/**
 * From now on SIGINT and SIGTERM write the totals and end the process at once, with status 0.
 *
 * This is the bluntest way to stop that is still right: it works at every moment, because it needs
 * nothing from the rest of the program. Connections are closed by the kernel. Chapter 03 brings a
 * way to stop that lets the program finish what it has begun.
 */
void totals_exit_on_signal(void);

#ifdef __cplusplus
}
#endif

#endif
