/*
 * histogram: how long did it take, for millions of times, in a few KiB.
 *
 * A list of all times would be long, and its mean would say nothing of the slow ones. So times are
 * counted in buckets: each power of two is cut into HISTOGRAM_STEPS equal steps. A bucket is then
 * never wider than 1/HISTOGRAM_STEPS of what it holds, so a percentile is at most 1.6 % too high.
 * That is the idea of HdrHistogram, which few systems have as a package.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEPS = 64, HISTOGRAM_POWERS = 40 };
enum { HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * HISTOGRAM_POWERS };

/** Set it to zero before its first use. */
struct histogram {
    uint64_t count, most;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/** Counts one value. What is too large for the buckets (18 minutes, in ns) stands in the last. */
void histogram_add(struct histogram *histogram, uint64_t value);

/** The value that `percent` of all do not exceed: the upper end of its bucket. 0 if empty. */
uint64_t histogram_at(const struct histogram *histogram, double percent);

#endif
