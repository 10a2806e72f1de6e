/*
 * output: what a server says on stdout and stderr, read so that it never blocks.
 *
 * A pipe holds some 64 KiB. A server that logs into a pipe that nobody reads stops, and the test
 * would blame the server. So a thread reads both pipes from the start to the end of the server,
 * whatever the test does meanwhile. Before and after that the test reads by itself: at every
 * moment there is one reader. Private to the harness.
 */
#ifndef HARNESS_OUTPUT_H
#define HARNESS_OUTPUT_H

#include "server.h"

struct output;

/** Takes over both descriptors. NULL when there is no memory; then they are closed. */
struct output *output_new(int out_fd, int err_fd);
void output_free(struct output *o);

/** Waits up to ms for something to read and reads it. Not while the thread runs. */
void output_read(struct output *o, int ms);

/**
 * Starts and ends the reading thread. output_watch(): 0, or an errno. Ending one that does not run
 * is fine.
 */
int output_watch(struct output *o);
void output_unwatch(struct output *o);

/**
 * Copies the state of things into the server's fields out, err, out_bytes, err_bytes. At any time.
 */
void output_copy(struct output *o, struct server *s);

/** Copies the last line on stdout, finished or not; "" when there was none. */
void output_last_line(struct output *o, char *line, size_t len);

#endif
