/*
 * figures: what is measured, and how it is written. UNKNOWN is what this system does not tell; it
 * is written as "-".
 */
#ifndef DEMO_FIGURES_H
#define DEMO_FIGURES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { UNKNOWN = -1, FIGURE = 24 };

/** The processor time of one process, from meter_start() on. */
struct meter {
    pid_t pid;
    int64_t cpu_ns, wall_ns; /* at the start */
};

void meter_start(struct meter *m, pid_t pid);
/** Processor time so far, of all threads; UNKNOWN where the system does not tell. */
int64_t meter_cpu_ns(const struct meter *m);
/** The same in percent of one processor. */
double meter_percent(const struct meter *m);

/** How often the process' threads have been taken off a processor so far; UNKNOWN: not told. */
int64_t switches_of(pid_t pid);

/** The value that `percent` of the n values do not exceed. Sorts them. UNKNOWN when n is 0. */
int64_t percentile(int64_t *values, size_t n, int percent);
/** The median of n doubles. Sorts them. */
double median(double *values, size_t n);

/** All write into buf and return it. */
const char *ns_in_words(int64_t ns, char buf[FIGURE]);          /* "42 µs", "2.3 ms"  */
const char *percent_in_words(double percent, char buf[FIGURE]); /* "99 %"            */
const char *count_in_words(int64_t count, char buf[FIGURE]);    /* "5,000"            */
const char *bytes_in_words(uint64_t bytes, char buf[FIGURE]);   /* "12.4 MiB"         */

#endif
