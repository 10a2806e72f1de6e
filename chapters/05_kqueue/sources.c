#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMER_IDENT = 1, TIMER_MS = 20, CHILD_STATUS = 7, PATH_LEN = 256 };

/* What udata points to, so that an event is known by its source and not by its filter: the user
 * event has another one where EVFILT_USER is absent. */
static char timer_mark, signal_mark, user_mark, child_mark, file_mark;

static struct kq_user user;
static pid_t child = -1;
static int file = -1;
static char path[PATH_LEN];

static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)fflush(stdout); /* who started us through a pipe wants to see it now */
}

//! [watch]
static int watch(int queue, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
                 int64_t data, void *mark)
{
    struct kevent change;
    kq_set(&change, ident, filter, EV_ADD | flags, fflags, data, mark);
    return kevent(queue, &change, 1, NULL, 0, NULL);
}
//! [watch]

static void say_missing(const char *name)
{
    say("%s: not here: %s\n", name, strerror(errno));
}

/* ---- a timer --------------------------------------------------------------------------------- */

//! [timer]
/* Without a unit in fflags it is milliseconds, on every system. */
static void timer_watch(int queue)
{
    if (watch(queue, TIMER_IDENT, EVFILT_TIMER, EV_ONESHOT, 0, TIMER_MS, &timer_mark) < 0)
        say_missing("timer");
}

static void timer_take(void)
{
    say("timer: %d ms are over\n", TIMER_MS);
}
//! [timer]

/* ---- signals --------------------------------------------------------------------------------- */

//! [signal]
/* A kqueue tells of signals besides their usual action, and that would end the program: so the
 * action is switched off, and the queue tells of them all the same (man 2 kqueue). */
static void signal_watch(int queue, int signo, const char *name)
{
    if (signal(signo, SIG_IGN) == SIG_ERR ||
        watch(queue, (uintptr_t)signo, EVFILT_SIGNAL, 0, 0, 0, &signal_mark) < 0)
        say_missing(name);
}

/* `data` says how often since the last time, but not every system counts. */
static void signal_take(const struct kevent *event)
{
    say("signal: %s was sent\n", event->ident == SIGHUP ? "SIGHUP" : "SIGUSR1");
}
//! [signal]

/* ---- a user event ---------------------------------------------------------------------------- */

//! [user]
static void user_watch(int queue)
{
    if (kq_user_open(&user, queue, &user_mark) < 0 || kq_user_trigger(&user) < 0)
        say_missing("user");
}

static void user_take(void)
{
    kq_user_take(&user);
    say("user: the program has triggered it\n");
}
//! [user]

/* ---- a child process ------------------------------------------------------------------------- */

//! [child]
/* NOTE_EXIT may come a moment before the child can be waited for, so this waits: not for long. And
 * `data` holds the status on some systems only, waitpid() has it on all. */
static void child_take(void)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    child = -1;
    if (ended > 0 && WIFEXITED(status))
        say("child: ended with status %d\n", WEXITSTATUS(status));
    else
        say("child: ended\n");
}

static void child_watch(int queue)
{
    child = fork();
    if (child == 0)
        _exit(CHILD_STATUS); /* nothing else: it must not flush what the parent has to print */
    if (child > 0 && watch(queue, (uintptr_t)child, EVFILT_PROC, 0, NOTE_EXIT, 0, &child_mark) == 0)
        return;
    if (child > 0 && errno == ESRCH) {
        child_take(); /* some systems watch no process that has ended already */
        return;
    }
    say_missing("child");
}
//! [child]

/* ---- a file ---------------------------------------------------------------------------------- */

//! [file]
static void file_remove(void)
{
    if (file >= 0 && path[0] != '\0')
        (void)unlink(path); /* ENOENT: somebody else has done it */
    path[0] = '\0';
}

static void file_close(void)
{
    file_remove();
    if (file >= 0)
        (void)close(file); /* takes the knote with it */
    file = -1;
}

static void file_watch(int queue)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%s/kqueue.XXXXXX", tmp != NULL && *tmp ? tmp : "/tmp");
    file = mkstemp(path);
    if (file >= 0 && fcntl(file, F_SETFD, FD_CLOEXEC) == 0 &&
        watch(queue, (uintptr_t)file, EVFILT_VNODE, EV_CLEAR, NOTE_WRITE | NOTE_DELETE, 0,
              &file_mark) == 0 &&
        write(file, "x", 1) == 1)
        return;
    say_missing("file");
    file_close();
}

/* fflags says what has happened since the last time: it may be both. */
static void file_take(const struct kevent *event)
{
    if ((event->fflags & NOTE_WRITE) != 0) {
        say("file: it was written to\n");
        file_remove();
    }
    if ((event->fflags & NOTE_DELETE) != 0) {
        say("file: it was removed\n");
        file_close();
    }
}
//! [file]

/* ---- all of them ----------------------------------------------------------------------------- */

void sources_watch(int queue)
{
    timer_watch(queue);
    signal_watch(queue, SIGHUP, "signal SIGHUP");
    signal_watch(queue, SIGUSR1, "signal SIGUSR1");
    (void)kill(getpid(), SIGUSR1);
    user_watch(queue);
    child_watch(queue);
    file_watch(queue);
}

//! [take]
bool sources_take(const struct kevent *event)
{
    const void *mark = kq_udata(event);
    if (mark == &timer_mark)
        timer_take();
    else if (mark == &signal_mark)
        signal_take(event);
    else if (mark == &user_mark)
        user_take();
    else if (mark == &child_mark)
        child_take();
    else if (mark == &file_mark)
        file_take(event);
    else
        return false;
    return true;
}
//! [take]

void sources_close(void)
{
    kq_user_close(&user);
    file_close();
    if (child > 0)
        child_take();
}
