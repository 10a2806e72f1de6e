/*
 * Lab: a timer, a signal, a message of one's own, the end of a child, a changed folder: how many
 * threads does it take to wait for all of them?
 *
 * On Linux each of them can be had as a descriptor:
 *
 *     timerfd    counts how often its time has come     read(): the number, 8 bytes
 *     signalfd   takes signals that are blocked         read(): a struct for each
 *     eventfd    a counter that any thread may add to   read(): the sum, 8 bytes
 *     pidfd      one process; readable when it ends     nothing to read: waitpid()
 *     inotify    files and folders                      read(): a struct for each change
 *
 * The lab puts all five into one epoll, and one loop serves them. Two of them show something
 * about counting. Three additions to an eventfd are one event with their sum: nothing is lost.
 * Five signals of one kind are one: what is pending already is not queued again (man 7 signal).
 * What a system lacks, or a container forbids, is told in words, and the others go on.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "lab.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open (-1) /* headers from before Linux 5.3: the kernel says ENOSYS */
#endif

enum { TIMER_MS = 20, SIGNALS = 5, CHILD_STATUS = 7, PATIENCE_MS = 5000, PATH_LEN = 256 };

static pid_t child;

/* ---- opening, and making something happen ---------------------------------------------------- */

static int open_timer(void)
{
    struct itimerspec once = {.it_value.tv_nsec = TIMER_MS * 1000000L};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd != -1)
        (void)lab_must(timerfd_settime(fd, 0, &once, NULL), "timerfd_settime");
    return fd;
}

/* The signal must be blocked, or it is delivered as usual and never reaches the signalfd. */
static int open_signal(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)lab_must(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask");
    for (int i = 0; i < SIGNALS; i++)
        (void)raise(SIGUSR1);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int open_event(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (eventfd_t value = 1; fd != -1 && value <= 3; value++)
        (void)lab_must(eventfd_write(fd, value), "eventfd_write");
    return fd;
}

/* The descriptor stands for this very process. A number may be given to another one later. */
static int open_child(void)
{
    child = lab_must(fork(), "fork");
    if (child == 0)
        _exit(CHILD_STATUS);
    return (int)syscall(SYS_pidfd_open, child, 0); /* older C libraries have no function for it */
}

static int open_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char folder[PATH_LEN], file[PATH_LEN + 8];
    (void)snprintf(folder, sizeof folder, "%s/lab.XXXXXX", tmp != NULL && *tmp ? tmp : "/tmp");
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd == -1 || mkdtemp(folder) == NULL)
        return -1;
    (void)lab_must(inotify_add_watch(fd, folder, IN_CREATE), "inotify_add_watch");
    (void)snprintf(file, sizeof file, "%s/hello", folder);
    (void)close(lab_must(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), "open"));
    (void)unlink(file);
    (void)rmdir(folder);
    return fd;
}

/* ---- handling: each takes what is there, and returns the figure that it stands for ----------- */

static int take_timer(int fd)
{
    uint64_t times = 0;
    return read(fd, &times, sizeof times) == (ssize_t)sizeof times ? (int)times : -1;
}

static int take_signals(int fd)
{
    struct signalfd_siginfo info;
    int taken = 0;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) /* until EAGAIN */
        taken += info.ssi_signo == SIGUSR1 ? 1 : 0;
    return taken;
}

static int take_event(int fd)
{
    eventfd_t sum = 0;
    return eventfd_read(fd, &sum) == 0 ? (int)sum : -1;
}

static int take_child(int fd)
{
    int status = 0;
    (void)fd; /* it was readable, so waitpid() has nothing to wait for */
    pid_t ended = waitpid(child, &status, WNOHANG);
    return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* How many new files it tells of by the name of "hello". The name stands behind the struct. */
static int take_change(int fd)
{
    char room[sizeof(struct inotify_event) + PATH_LEN], *name = room + sizeof(struct inotify_event);
    return read(fd, room, sizeof room) > name - room && strcmp(name, "hello") == 0 ? 1 : 0;
}

static const struct source {
    const char *name, *figure, *says;
    int expected;
    int (*open)(void);
    int (*take)(int fd);
} sources[] = {
    {"timerfd", "timer_expirations", "the timer has expired once", 1, open_timer, take_timer},
    {"signalfd", "signals_taken_of_5", "five pending signals of one kind are one signal", 1,
     open_signal, take_signals},
    {"eventfd", "eventfd_sum", "1 + 2 + 3: three additions are one event, and none is lost", 6,
     open_event, take_event},
    {"pidfd", "child_status", "the child has ended, and left its status", CHILD_STATUS, open_child,
     take_child},
    {"inotify", "new_files", "the folder has a new file, and its name is told", 1, open_folder,
     take_change},
};
enum { SOURCES = sizeof sources / sizeof sources[0], AT_LEAST = 3 };

/* ---- the loop -------------------------------------------------------------------------------- */

/* Serves until each source has had its event, or patience ends; returns how many are left. */
static int run(int epoll, const int *fds, int *taken, int left)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    while (left > 0 && lab_now_ns() < deadline_ns) {
        struct epoll_event events[SOURCES];
        int n = epoll_wait(epoll, events, SOURCES, lab_patience_ms(PATIENCE_MS));
        if (n == -1 && errno != EINTR)
            (void)lab_must(n, "epoll_wait");
        for (int i = 0; i < n; i++, left--) {
            uint32_t which = events[i].data.u32;
            taken[which] = sources[which].take(fds[which]);
            (void)lab_must(epoll_ctl(epoll, EPOLL_CTL_DEL, fds[which], NULL), "EPOLL_CTL_DEL");
        }
    }
    return left;
}

int main(void)
{
    int fds[SOURCES], taken[SOURCES] = {0}, watched = 0;
    lab_question("A program waits for a timer, a signal, a message from another thread, the end of "
                 "a child and a change in a folder. How many threads need to wait?",
                 "Five, one for each.", "One, in one call.",
                 "One, but it has to wake up now and then and look.", 'b',
                 "Does a container forbid one of these calls?");
    int epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (uint32_t i = 0; i < SOURCES; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        fds[i] = sources[i].open();
        if (fds[i] == -1)
            lab_say("Left out, %s: %s.", sources[i].name, strerror(errno));
        else
            watched += lab_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event), "ADD") + 1;
    }
    int left = run(epoll, fds, taken, watched);
    for (int i = 0; i < SOURCES; i++) {
        if (fds[i] == -1)
            continue;
        lab_figure(sources[i].figure, taken[i], "");
        lab_expect(taken[i] == sources[i].expected, sources[i].says);
        (void)close(fds[i]);
    }
    lab_figure("sources_watched", watched, "");
    lab_expect(left == 0 && watched >= AT_LEAST, "one loop of one thread has served them all");
    (void)close(epoll);
    return lab_finding("what is a descriptor can be waited for in one call, by one thread");
}
