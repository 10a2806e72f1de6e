/*
 * counters: how many system calls does another process make?
 *
 * The kernel counts them itself: a tracepoint at the entry of every system call, one at its exit
 * (with a filter: only those that return an error), and one at the entry of epoll_ctl. The process
 * is not stopped and behaves as ever, which strace cannot say. Not everybody may do that: it takes
 * root, or CAP_PERFMON and a readable tracefs (man 2 perf_event_open).
 */
#ifndef BENCH_COUNTERS_H
#define BENCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum counter { COUNT_CALLS, COUNT_FAILED, COUNT_EPOLL_CTL, COUNTERS };
enum { COUNTED_THREADS_MAX = 512 };

struct counters {
    int threads;
    int fd[COUNTED_THREADS_MAX][COUNTERS];
};

/** Starts to count in all threads that the process has now. False, with errno, if we may not. */
bool counters_open(struct counters *counters, pid_t pid);

/** What was counted so far. */
void counters_read(const struct counters *counters, uint64_t value[COUNTERS]);

void counters_close(struct counters *counters);

/** How often the process has left the processor: by itself, or since it had to. -1: unknown. */
int64_t switches_of(pid_t pid);

#endif
