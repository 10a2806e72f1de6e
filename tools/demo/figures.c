/*
 * figures: see figures.h.
 */
#include "figures.h"

#include "clock.h"
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double NS_PER_US = 1e3, NS_PER_MS = 1e6, NS_PER_S = 1e9;

/* ---- processor time -------------------------------------------------------------------------- */

void meter_start(struct meter *m, pid_t pid)
{
    m->pid = pid;
    m->cpu_ns = process_cpu_ns(pid);
    m->wall_ns = clock_now_ns();
}

int64_t meter_cpu_ns(const struct meter *m)
{
    int64_t now = process_cpu_ns(m->pid);
    return m->cpu_ns < 0 || now < 0 ? UNKNOWN : now - m->cpu_ns;
}

double meter_percent(const struct meter *m)
{
    int64_t cpu_ns = meter_cpu_ns(m);
    int64_t wall_ns = clock_now_ns() - m->wall_ns;
    return cpu_ns < 0 || wall_ns <= 0 ? (double)UNKNOWN : 100.0 * (double)cpu_ns / (double)wall_ns;
}

/* ---- context switches ------------------------------------------------------------------------ */

static int64_t switches_of_thread(const char *path)
{
    char line[128];
    long long count, sum = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0; /* this thread has ended meanwhile */
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %lld", &count) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %lld", &count) == 1)
            sum += count;
    (void)fclose(file);
    return sum;
}

int64_t switches_of(pid_t pid)
{
    char path[320];
    int64_t sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        return UNKNOWN; /* only Linux has this folder */
    for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%ld/task/%.20s/status", (long)pid, entry->d_name);
        sum += switches_of_thread(path);
    }
    (void)closedir(threads);
    return sum;
}

/* ---- many values ----------------------------------------------------------------------------- */

static int compare_counts(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int64_t percentile(int64_t *values, size_t n, int percent)
{
    if (n == 0)
        return UNKNOWN;
    qsort(values, n, sizeof *values, compare_counts);
    return values[(n - 1) * (size_t)percent / 100];
}

double median(double *values, size_t n)
{
    if (n == 0)
        return UNKNOWN;
    qsort(values, n, sizeof *values, compare_doubles);
    return values[n / 2];
}

/* ---- in words -------------------------------------------------------------------------------- */

const char *ns_in_words(int64_t ns, char buf[FIGURE])
{
    double value = (double)ns;
    if (ns < 0)
        (void)snprintf(buf, FIGURE, "-");
    else if (value < 10 * NS_PER_US)
        (void)snprintf(buf, FIGURE, "%.1f µs", value / NS_PER_US);
    else if (value < NS_PER_MS)
        (void)snprintf(buf, FIGURE, "%.0f µs", value / NS_PER_US);
    else if (value < 10 * NS_PER_MS)
        (void)snprintf(buf, FIGURE, "%.1f ms", value / NS_PER_MS);
    else if (value < NS_PER_S)
        (void)snprintf(buf, FIGURE, "%.0f ms", value / NS_PER_MS);
    else
        (void)snprintf(buf, FIGURE, "%.1f s", value / NS_PER_S);
    return buf;
}

const char *percent_in_words(double percent, char buf[FIGURE])
{
    if (percent < 0)
        (void)snprintf(buf, FIGURE, "-");
    else
        (void)snprintf(buf, FIGURE, "%.0f %%", percent);
    return buf;
}

const char *count_in_words(int64_t count, char buf[FIGURE])
{
    char digits[FIGURE];
    if (count < 0) {
        (void)snprintf(buf, FIGURE, "-");
        return buf;
    }
    /* At most 13 digits and 4 commas fit; no count here comes near. */
    (void)snprintf(digits, sizeof digits, "%lld", (long long)count % 10000000000000);
    size_t len = strlen(digits), at = 0;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = '\0';
    return buf;
}

const char *bytes_in_words(uint64_t bytes, char buf[FIGURE])
{
    double kib = (double)bytes / 1024;
    if (kib < 1000)
        (void)snprintf(buf, FIGURE, "%.1f KiB", kib);
    else
        (void)snprintf(buf, FIGURE, "%.1f MiB", kib / 1024);
    return buf;
}
