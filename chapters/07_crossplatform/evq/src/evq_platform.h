/*
 * evq_platform.h: the few things of a platform that are no event queue: sockets before they are
 * attached, the clock, the thread, the table of errors. evq_posix.c has them for POSIX systems,
 * evq_windows.c for Windows, the same functions in the same order. Both also have the evq_tcp_...
 * functions of evq.h.
 */
#ifndef EVQ_PLATFORM_H
#define EVQ_PLATFORM_H

#include "evq.h"

#include <stdbool.h>

/** One line of a platform's table: its error, and ours. */
struct evq_os_error {
    int os_err, err;
};
extern const struct evq_os_error evq_os_errors[];
extern const size_t evq_os_errors_count;

/** By the table above; EVQ_EIO for what is not in it, EVQ_OK for 0. */
int evq_error_of(int os_err);

/** Counted: each one that succeeds wants its evq_platform_stop(). WSAStartup() on Windows, else
 *  nothing. 0 or an error. */
int evq_platform_start(void);
void evq_platform_stop(void);

/** Monotonic, in nanoseconds, never 0. */
uint64_t evq_platform_now(void);

/** The calling thread. */
uintptr_t evq_platform_thread(void);

/** Finds out whether fd is a stream socket, and whether it listens; makes it non-blocking and
 *  close-on-exec, and quiet where sends raise SIGPIPE. 0 or an error. */
int evq_platform_prepare(evq_fd fd, bool *listens);

/** shutdown() of the writing side: 0, or the system's error. */
int evq_platform_shutdown(evq_fd fd);

/** Closes, without lingering: 0, or the system's error; closed it is in either case. */
int evq_platform_close(evq_fd fd);

#endif
