/*
 * first_line: "listening on ADDRESS:PORT", or words for what came instead. Private to the harness.
 */
#ifndef HARNESS_FIRST_LINE_H
#define HARNESS_FIRST_LINE_H

#include <stdbool.h>
#include <stddef.h>

/** What is known when the wait for the first line is over. */
struct first_line {
    const char *program;
    const char *out, *err; /* what it has said up to now        */
    bool alive;
    int status; /* exit status or 128 + signal, when it is not alive */
};

/** Finds address (without brackets) and port. 0, or -1 with the reason, in words, in why. */
int first_line_parse(const struct first_line *line, char *address, size_t len, unsigned *port,
                     char *why, size_t why_len);

/**
 * Copies the second line of out when it is whole and not the totals; else leaves banner as it is.
 */
void first_line_banner(const char *out, char *banner, size_t len);

#endif
