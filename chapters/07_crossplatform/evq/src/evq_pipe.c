/*
 * evq_pipe.c: see evq_pipe.h. There is at most one byte in the pipe: evq_wake() asks for no second
 * one before the first was taken.
 */
#include "evq_pipe.h"
#include "evq_calls.h"

#include <errno.h>
#include <unistd.h>

int evq_pipe_open(int fds[2])
{
    return evq_call_pipe(fds);
}

void evq_pipe_close(const int fds[2])
{
    (void)close(fds[0]); /* whatever it says: they are gone */
    (void)close(fds[1]);
}

/* EAGAIN: it is full, so it is readable. EINTR: nothing was written (POSIX write()), and no later
 * wake would write either, since the queue believes that this one is under way. FreeBSD says it
 * even to a writer that does not block, when somebody reads just now (sys_pipe.c, pipelock()). */
void evq_pipe_write(const int fds[2])
{
    while (write(fds[1], "", 1) < 0 && errno == EINTR)
        ;
}

/* Should a byte be left, the next wait comes back once more for nothing. */
void evq_pipe_drain(const int fds[2])
{
    char bytes[16];
    ssize_t taken = read(fds[0], bytes, sizeof bytes);
    (void)taken;
}
