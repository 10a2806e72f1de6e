/*
 * Lab: the queue tells that a child has ended. Is the child gone then?
 *
 * EVFILT_PROC watches a process by its number. With NOTE_EXIT its end is told:
 *
 *     FreeBSD, OpenBSD     `data` has the status, as wait() gives it
 *     NetBSD               `data` has the exit code (by its source, since 10, the status)
 *     macOS                `data` has the status if NOTE_EXITSTATUS was asked for too
 *
 * (man 2 kqueue of each.) But to be told is not to have waited: the child stays a zombie until
 * waitpid(). Two races make this harder than it looks.
 *
 * The child may be faster than EV_ADD. If it has ended and been waited for, EV_ADD fails with
 * ESRCH. If it has ended and nobody has waited yet, some kernels still tell its end, and others say
 * ESRCH already. So a program takes ESRCH for "it has ended", and calls waitpid() in both cases.
 *
 * And the kernel may be too fast: on some, NOTE_EXIT and ESRCH come a moment before the child can
 * be waited for, and waitpid() with WNOHANG returns 0 (seen on OpenBSD and others: libuv, pull
 * request 3521). So call it without WNOHANG. It does not wait long, for the child has ended.
 */
#include <signal.h>
#include <sys/wait.h>

#include "kq_lab.h"

enum { STATUS = 7, QUIET_MS = 50, PATIENCE_MS = 2000 };

static struct kevent exit_of(pid_t child, kq_flags flags)
{
    return kq_change((uintptr_t)child, EVFILT_PROC, flags, NOTE_EXIT | NOTE_EXITSTATUS, 0);
}

/* A child that ends when *leash is closed. */
static pid_t start_child(int *leash)
{
    int ends[2];
    (void)lab_must(pipe(ends), "pipe");
    pid_t child = lab_must(fork(), "fork");
    if (child == 0) {
        char byte;
        (void)close(ends[1]);
        while (read(ends[0], &byte, 1) == -1 && errno == EINTR)
            continue;
        _exit(STATUS);
    }
    (void)close(ends[0]);
    *leash = ends[1];
    return child;
}

/* Takes the child away; its status, or -1 when there is no such child. */
static int status_of(pid_t child)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) == -1 && errno == EINTR)
        continue;
    return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool told(int kq, pid_t child, struct kevent *event, int wait_ms)
{
    return kq_next(kq, event, wait_ms) && event->filter == EVFILT_PROC &&
           event->ident == (uintptr_t)child && (event->fflags & NOTE_EXIT) != 0;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void be_told(int kq)
{
    struct kevent event = {0};
    int leash;
    lab_say("1. The parent watches a child; then the child ends, with status %d.", STATUS);
    pid_t child = start_child(&leash);
    int err = kq_try(kq, exit_of(child, EV_ADD));
    if (err != 0 && err != ESRCH)
        lab_skip("this system does not let a process watch another one");
    (void)close(leash);
    bool is_told = told(kq, child, &event, lab_patience_ms(PATIENCE_MS));
    int data = (int)event.data;
    lab_word("told", kq_yes(is_told));
    lab_figure("status_in_data", is_told && WIFEXITED(data) ? WEXITSTATUS(data) : -1, "");
    lab_expect(is_told, "its end is told");
    int status = status_of(child), again = status_of(child), err_again = errno;
    lab_figure("status_by_waitpid", status, "");
    lab_word("waitpid_again", again == -1 && err_again == ECHILD ? "ECHILD" : "another one");
    lab_expect(status == STATUS && again == -1, "it was still there, until waitpid() took it away");
}

static void come_too_late(int kq)
{
    struct kevent event = {0};
    int leash, first = kq_queue();
    lab_say("2. The child ends before EV_ADD; nobody has waited for it yet. Here systems differ.");
    pid_t child = start_child(&leash);
    kq_must(first, exit_of(child, EV_ADD)); /* only to know that it has ended */
    (void)close(leash);
    (void)told(first, child, &event, lab_patience_ms(PATIENCE_MS));
    (void)close(first);
    int err = kq_try(kq, exit_of(child, EV_ADD));
    lab_word("zombie_add", kq_word(err));
    lab_word("zombie_told", kq_yes(err == 0 && told(kq, child, &event, QUIET_MS)));
    int status = status_of(child);
    lab_figure("zombie_status_by_waitpid", status, "");
    lab_expect(status == STATUS, "waitpid() is right, whatever EV_ADD has said");
    lab_say("3. The same child, now that it has been waited for.");
    err = kq_try(kq, exit_of(child, EV_ADD));
    lab_word("gone_add", kq_word(err));
    lab_expect(err == ESRCH, "there is no such process any more");
}

int main(void)
{
    lab_question("A program watches its child with NOTE_EXIT. The child ends, and the event comes. "
                 "What is left to be done?",
                 "Nothing: the queue has taken the child away.",
                 "waitpid(): until then the child stays a zombie.",
                 "To wait for SIGCHLD, then to call waitpid().", 'b',
                 "Is SIGCHLD ignored here? Then the kernel takes children away by itself.");
    int kq = kq_queue();
    (void)signal(SIGCHLD, SIG_DFL); /* whoever started the lab may have ignored it */
    be_told(kq);
    come_too_late(kq);
    (void)close(kq);
    return kq_finding(NULL, "NOTE_EXIT tells; the child is a zombie until waitpid()");
}
