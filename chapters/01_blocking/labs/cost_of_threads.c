/*
 * Lab: what do 1, 10, 100, 1,000 and 10,000 threads cost?
 *
 * A thread needs a stack. The library reserves one of several MiB for each, but reserving is
 * only an entry in the kernel's table of address ranges: a page of memory is used when it is
 * first written. A thread that waits has written one or two pages.
 *
 * For each count the lab forks a child, so that one measurement does not inherit the stacks
 * that the library has kept from another. The child makes the threads; each waits in read() on
 * one pipe. Then the child compares its address space (VmSize) and its memory (VmRSS) with
 * those before, and closes the pipe, which wakes them all. Not counted is what the kernel keeps
 * for each thread: a stack of its own, the thread's record, page tables; about 27 KiB on x86-64.
 *
 * The figures come from /proc/self/status (man 5 proc). Elsewhere the stack's size comes from the
 * thread attributes and memory is not told. Where the limit of threads is lower, the lab says so.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "lab.h"

enum { MOST = 10000, MOST_SANITIZED = 100, JUDGED_FROM = 100, MARGIN = 10, LINE_LEN = 128 };

/* What the child reports through a pipe. */
struct cost {
    int made;            /* threads that came to life                     */
    int err;             /* why there were no more; 0: all were made      */
    int64_t creation_ns; /* for all of them                               */
    bool memory_is_told; /* false: this system has no /proc/self/status   */
    double virtual_kib;  /* growth, all threads together                  */
    double resident_kib;
};

/* ---- in the child ---------------------------------------------------------------------------- */

static int gate[2]; /* the threads wait at the reading end; closing the other end opens the gate */

static void *wait_at_gate(void *unused)
{
    char byte;
    while (read(gate[0], &byte, 1) == -1 && errno == EINTR)
        continue;
    return unused;
}

/* A figure of /proc/self/status, in KiB; -1 where there is none. */
static double status_kib(const char *name)
{
    char line[LINE_LEN];
    double kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return -1;
    while (kib < 0 && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtod(line + strlen(name), NULL);
    (void)fclose(status);
    return kib;
}

static void make_threads(pthread_t *threads, int wanted, struct cost *cost)
{
    int64_t start_ns = lab_now_ns();
    while (cost->made < wanted && cost->err == 0) {
        cost->err = pthread_create(&threads[cost->made], NULL, wait_at_gate, NULL);
        cost->made += cost->err == 0 ? 1 : 0;
    }
    cost->creation_ns = lab_now_ns() - start_ns;
}

static struct cost measure(int wanted)
{
    struct cost cost = {0};
    pthread_t *threads = calloc((size_t)wanted, sizeof *threads);
    if (threads == NULL || pipe(gate) == -1) {
        cost.err = errno;
        free(threads);
        return cost;
    }
    double virtual_kib = status_kib("VmSize:"), resident_kib = status_kib("VmRSS:");
    make_threads(threads, wanted, &cost);
    lab_pause_ms(20 + cost.made / 20); /* time for the last ones to arrive at the gate */
    cost.memory_is_told = virtual_kib >= 0 && resident_kib >= 0;
    cost.virtual_kib = status_kib("VmSize:") - virtual_kib;
    cost.resident_kib = status_kib("VmRSS:") - resident_kib;

    (void)close(gate[1]);
    for (int i = 0; i < cost.made; i++)
        (void)pthread_join(threads[i], NULL);
    free(threads);
    return cost;
}

/* ---- in the parent --------------------------------------------------------------------------- */

static struct cost measure_in_child(int wanted)
{
    int report[2], status;
    struct cost cost = {0};
    (void)lab_must(pipe(report), "pipe");
    pid_t child = lab_must(fork(), "fork");
    if (child == 0) {
        cost = measure(wanted);
        /* A report is smaller than PIPE_BUF, so it goes as one piece (man 7 pipe). */
        _exit(write(report[1], &cost, sizeof cost) == (ssize_t)sizeof cost ? 0 : 1);
    }
    (void)close(report[1]);
    if (read(report[0], &cost, sizeof cost) != (ssize_t)sizeof cost)
        cost.made = 0; /* the child died: for want of memory, most likely */
    (void)close(report[0]);
    while (waitpid(child, &status, 0) == -1 && errno == EINTR)
        continue;
    return cost;
}

static void show_one(const char *what, int threads, double value, const char *unit)
{
    char name[LINE_LEN];
    (void)snprintf(name, sizeof name, "threads_%d_%s", threads, what);
    lab_figure(name, value, unit);
}

static void show(int threads, const struct cost *cost)
{
    show_one("creation_us_each", threads, (double)cost->creation_ns / 1e3 / cost->made, "us");
    if (!cost->memory_is_told)
        return;
    show_one("virtual_mib", threads, cost->virtual_kib / 1024, "MiB");
    show_one("resident_mib", threads, cost->resident_kib / 1024, "MiB");
    /* A few pages more or less would move the figure of a few threads. */
    if (threads >= JUDGED_FROM)
        show_one("resident_kib_each", threads, cost->resident_kib / cost->made, "KiB");
}

static void judge(int threads, const struct cost *cost)
{
    if (threads < JUDGED_FROM)
        return;
    if (!cost->memory_is_told)
        lab_skip("this system does not tell the memory of a process");
    lab_expect_measured(cost->virtual_kib >= (double)MARGIN * cost->resident_kib,
                        "the address space is at least 10 times the memory");
}

static void show_stack_size(void)
{
    pthread_attr_t attr;
    size_t size;
    lab_must_zero(pthread_attr_init(&attr), "pthread_attr_init");
    lab_must_zero(pthread_attr_getstacksize(&attr, &size), "pthread_attr_getstacksize");
    lab_figure("stack_reserved_kib", (double)size / 1024, "KiB");
    (void)pthread_attr_destroy(&attr);
}

int main(void)
{
    lab_question("Ten thousand threads that wait, each with a stack of usually 8 MiB: how much "
                 "memory do their stacks take?",
                 "About 80 GiB, so a usual computer cannot run them.",
                 "About 100 MiB: a few pages each.",
                 "Nothing: a waiting thread is written to the disk.", 'b',
                 "Is the stack small (ulimit -s), or does the kernel back stacks with huge pages "
                 "(/sys/kernel/mm/transparent_hugepage/enabled)?");
    show_stack_size();
    int most = lab_is_sanitized() ? MOST_SANITIZED : MOST;
    for (int threads = 1; threads <= most; threads *= 10) {
        struct cost cost = measure_in_child(threads);
        if (cost.made < threads) {
            lab_say("This machine stopped at %d of %d threads: %s.", cost.made, threads,
                    cost.err != 0 ? strerror(cost.err) : "no memory was left");
            if (threads <= JUDGED_FROM)
                lab_skip("too few threads are allowed here (ulimit -u, or the container)");
            break;
        }
        show(threads, &cost);
        judge(threads, &cost);
    }
    return lab_finding("a waiting thread reserves megabytes and uses a few kilobytes");
}
