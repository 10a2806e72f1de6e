/*
 * evq_pipe.h: the pipe by which poll and kqueue are woken. write() is async-signal-safe (POSIX);
 * kevent() is not, and older BSDs have no EVFILT_USER.
 */
#ifndef EVQ_PIPE_H
#define EVQ_PIPE_H

/** fds[0] is to be watched for reading. 0, or -1 with errno. */
int evq_pipe_open(int fds[2]);
void evq_pipe_close(const int fds[2]);

/** Makes it readable. Any thread, in signal handlers too. */
void evq_pipe_write(const int fds[2]);

/** Makes it unreadable again. */
void evq_pipe_drain(const int fds[2]);

#endif
