#include "histogram.h"

#include <math.h>

/* Values below HISTOGRAM_STEPS have a bucket each; above, the upper six bits choose the step. */
static unsigned bucket_of(uint64_t value)
{
    unsigned power = 0;
    while (value >= 2 * HISTOGRAM_STEPS) {
        value /= 2;
        power++;
    }
    unsigned bucket = power * HISTOGRAM_STEPS + (unsigned)value;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that bucket_of() puts there. */
static uint64_t upper_end(unsigned bucket)
{
    unsigned power = bucket < 2 * HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;
    return (((uint64_t)bucket - power * HISTOGRAM_STEPS + 1) << power) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->bucket[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->most)
        histogram->most = value;
}

uint64_t histogram_at(const struct histogram *histogram, double percent)
{
    uint64_t wanted = (uint64_t)ceil(percent / 100.0 * (double)histogram->count), seen = 0;
    if (histogram->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen >= wanted && seen > 0)
            return upper_end(i) < histogram->most ? upper_end(i) : histogram->most;
    }
    return histogram->most;
}
