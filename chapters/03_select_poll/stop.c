#include "stop.h"

#include "nonblocking.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int pipe_ends[2] = {-1, -1}; /* written before the handler is installed, then only read */

//! [handler]
static void on_stop_signal(int signo)
{
    int err = errno; /* the interrupted code may be about to look at it */
    (void)signo;
    ssize_t written;
    do /* EAGAIN: the pipe is full of earlier signals, so the loop will wake up anyway. */
        written = write(pipe_ends[1], "", 1);
    while (written < 0 && errno == EINTR); /* by another signal: nothing was written */
    errno = err;
}
//! [handler]

static int prepare(int fd)
{
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return nonblocking_set(fd); /* a handler must never block, not even in a full pipe */
}

//! [open]
int stop_open(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    if (pipe(pipe_ends) < 0)
        return -1;
    if (prepare(pipe_ends[0]) < 0 || prepare(pipe_ends[1]) < 0)
        return -1;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return pipe_ends[0];
}
//! [open]
