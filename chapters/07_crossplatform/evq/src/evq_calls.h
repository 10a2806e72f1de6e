/*
 * evq_calls.h: what the POSIX backends share below the level of operations.
 *
 * First the calls that POSIX does not have and that every system has in some form: evq_calls.c is
 * for Linux and the BSDs, evq_calls_darwin.c for macOS; the Makefile picks. Then what the result of
 * a call means (evq_posix.c).
 */
#ifndef EVQ_CALLS_H
#define EVQ_CALLS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** accept(), and the new socket is non-blocking and close-on-exec. -1 with errno. */
int evq_call_accept(int fd);

/** send() that never raises SIGPIPE. */
ssize_t evq_call_send(int fd, const void *buf, size_t len);

/** recv(), and *left is how many bytes are left after it, or EVQ_LEFT_UNKNOWN. */
ssize_t evq_call_recv(int fd, void *buf, size_t len, unsigned *left);
#define EVQ_LEFT_UNKNOWN UINT_MAX

/** Asks the system to tell evq_call_recv() how many bytes are left: 0, or -1 where it does not. */
int evq_call_tell_left(int fd);

/** A socket is about to be used with evq_call_send(): 0, or -1 with errno. */
int evq_call_quiet(int fd);

/** A pipe whose two ends are non-blocking and close-on-exec. -1 with errno. */
int evq_call_pipe(int fds[2]);

/** Whether an error of accept() says something about one connection or about the network, not about
 *  the listener: the next connection may be fine (man 2 accept, "Error handling"). EINTR, too. */
bool evq_accept_skips(int os_err);

/** The error that send() should have given. Linux says EPIPE for a socket that never was connected,
 *  too. That is found out by a peek; there is no pending error that it could take away, since
 *  send() would have returned that. Does not block on a non-blocking socket. */
int evq_send_os_err(int fd, int os_err);

/** What has become of a connect. Writable is not connected: SO_ERROR says whether it failed, a
 *  peer's name that it did not. 0, EINPROGRESS for neither yet, or the error of the connect. */
int evq_connect_result(int fd);

#endif
