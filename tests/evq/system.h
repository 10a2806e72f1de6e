/*
 * system: what the tests of evq want from the operating system beside sockets. system_posix.c and
 * system_windows.c have it. What a system does not have says so, and the test skips in words.
 */
#ifndef EVQ_SYSTEM_H
#define EVQ_SYSTEM_H

#include <evq.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How the backend of this name is there: NULL for natively, else how it is emulated. */
const char *system_emulates(const char *backend);

/** How many descriptors the process has open, -1 if that cannot be found out. */
int system_descriptors(void);

/** Raises the limit of descriptors to at least n; false if it cannot. */
bool system_wants_descriptors(int n);

/** Leaves room for only n more descriptors, or (n < 0) takes that back; false if there is no limit.
 *  */
bool system_leaves_descriptors(int n);

/** Whether the system tells exactly how much of a send it took that was cancelled. */
bool system_counts_what_was_sent(void);

/** CPU time of the process, in nanoseconds. */
int64_t system_cpu_ns(void);

/** Runs a function in a child, with `queue` of evq_case.h as it is: true if an assert() ended it.
 *  *able is false where there are no children. What the child prints is dropped. */
bool system_asserts(void (*run)(void), bool *able);

/** Runs a function in a child: its result, 0 to 127, or -1: it did not end by itself. */
int system_child(int (*run)(void), bool *able);

/** Lets `run` be called by a signal handler every ms milliseconds, 0 ends it; false where there are
 *  no signals. The handler does not restart system calls. */
bool system_signal_every_ms(int ms, void (*run)(void));

/** Whether a descriptor is non-blocking and close-on-exec: 1 yes, 0 no, -1 cannot be found out. */
int system_is_nonblocking(evq_fd fd);
int system_is_close_on_exec(evq_fd fd);

/** Whether a socket with that descriptor is open. */
bool system_is_open(evq_fd fd);

/** A second descriptor of the same socket; false where there is no such thing. */
bool system_dup(evq_fd fd, evq_fd *copy);

/** Something that is no socket at all; false where there is no such thing. */
bool system_no_socket(evq_fd *fd);

/** Sets or (value NULL) unsets a variable of the environment. */
void system_setenv(const char *name, const char *value);

/** What each of the system's errors must become. */
struct evq_os_error;
const struct evq_os_error *system_expected_errors(size_t *count);

/** A thread. */
struct system_thread {
    void (*run)(void *);
    void *argument;
    uintptr_t handle;
};
void system_thread_start(struct system_thread *thread, void (*run)(void *), void *argument);
void system_thread_join(struct system_thread *thread);

#endif
