/*
 * Exercise 05.3, Watchdog: where you begin.
 *
 *     start MILLISECONDS COMMAND...
 *
 * Runs the command, and kills it when its time is up. To know how both stand, the program looks at
 * the child and at the clock, a hundred times a second: it never sleeps for long, and is late all
 * the same.
 */
#include "kq.h" /* you will need it */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_MS = 86400000, TICK_MS = 10, NS_PER_MS = 1000000 };

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

static bool child_has_ended(pid_t child)
{
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        die("waitid");
    return info.si_pid == child;
}

/* Returns when the child has ended; true when it had to be killed. */
static bool watch(pid_t child, long limit_ms)
{
    const struct timespec tick = {.tv_nsec = (long)TICK_MS * NS_PER_MS};
    bool is_killed = false;
    for (long waited_ms = 0; !child_has_ended(child); waited_ms += TICK_MS) {
        if (!is_killed && waited_ms >= limit_ms) {
            (void)kill(child, SIGKILL); /* it is still ours: nobody has taken it away */
            is_killed = true;
        }
        (void)nanosleep(&tick, NULL); /* EINTR: one look more */
    }
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
