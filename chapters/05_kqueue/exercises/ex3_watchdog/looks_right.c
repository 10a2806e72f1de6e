/*
 * Exercise 05.3, Watchdog: the answer that looks right, and is not.
 *
 *     looks_right MILLISECONDS COMMAND...
 *
 * One queue waits for the child and for the timer, and the program sleeps until one of them has
 * something to say. When the time is up the child is killed, and its end is told as any other.
 */
#include "kq.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_MS = 86400000, TIMER = 1 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the child ---- */

static pid_t child_start(char **command)
{
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child > 0)
        return child;
    execvp(command[0], command);
    perror(command[0]);
    _exit(127); /* as a shell says it */
}

/* Takes the child away, and says how it ended. */
static void child_tell(pid_t child, bool is_killed, long limit_ms)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    if (WIFEXITED(status))
        printf("exited %d\n", WEXITSTATUS(status));
    else if (is_killed)
        printf("killed after %ld ms\n", limit_ms);
    else
        printf("ended by signal %d\n", WTERMSIG(status));
}

/* ---- the watch ---- */

/* Both in one call. */
static void watch_begin(int queue, pid_t child, long limit_ms)
{
    struct kevent changes[2];
    kq_set(&changes[0], (uintptr_t)child, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    kq_set(&changes[1], TIMER, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, limit_ms, NULL);
    (void)kevent(queue, changes, 2, NULL, 0,
                 NULL); /* the child was started a moment ago: it is there */
}

/* Returns when the child has ended; true when it had to be killed. */
static bool watch(pid_t child, long limit_ms)
{
    struct kevent event;
    bool is_killed = false;
    int queue = kq_open();
    if (queue < 0)
        die("kqueue");
    watch_begin(queue, child, limit_ms);
    for (bool is_there = true; is_there;) {
        int n = kevent(queue, NULL, 0, &event, 1, NULL);
        if (n < 0 && errno != EINTR)
            die("kevent");
        if (n == 1 && event.filter == EVFILT_PROC)
            is_there = false;
        if (n == 1 && event.filter == EVFILT_TIMER) {
            (void)kill(child, SIGKILL); /* it is still ours: nobody has taken it away */
            is_killed = true;
        }
    }
    (void)close(queue);
    return is_killed;
}

int main(int argc, char **argv)
{
    long limit_ms = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    if (limit_ms < 1 || limit_ms > MOST_MS) {
        (void)fprintf(stderr, "usage: %s MILLISECONDS COMMAND...\n", argv[0]);
        return 2;
    }
    pid_t child = child_start(argv + 2);
    bool is_killed = watch(child, limit_ms);
    child_tell(child, is_killed, limit_ms);
    return 0;
}
