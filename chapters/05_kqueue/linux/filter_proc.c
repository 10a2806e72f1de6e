/*
 * filter_proc: EVFILT_PROC with NOTE_EXIT, over a pidfd.
 *
 * A pidfd is readable when its process has ended. The status is asked for with WNOWAIT: reaping the
 * child is the program's business, and stays so. Of a process that is no child, or that was reaped
 * before, the status cannot be had: data is 0.
 */
#include "emulation.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open (-1) /* headers from before Linux 5.3: the kernel says ENOSYS */
#endif

/* P_PIDFD is young in the headers, and an enumerator, so that no #ifdef can see it. */
static const idtype_t BY_PIDFD = (idtype_t)3;

enum { CORE_FLAG = 0x80 }; /* in a status of wait(2), on Linux as on the BSDs */

static int attach(struct emu_queue *queue, struct emu_knote *knote)
{
    if ((knote->fflags & ~NOTE_EXIT) != 0)
        return ENOTSUP; /* NOTE_FORK, NOTE_EXEC, NOTE_TRACK: nothing on Linux tells */
    if (knote->ident == 0 || knote->ident > INT_MAX)
        return ESRCH;
    knote->flags |= EV_CLEAR;
    knote->fd = emu_out_of_the_way((int)syscall(SYS_pidfd_open, (pid_t)knote->ident, 0));
    if (knote->fd == -1)
        return errno == EINVAL ? ESRCH : emu_error_of_open(); /* EINVAL: the id of a thread */
    knote->is_side = true;
    knote->set = EMU_READERS;
    knote->bits = EPOLLIN;
    return emu_arm(queue, knote);
}

static int change(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *wanted)
{
    if ((wanted->fflags & ~NOTE_EXIT) != 0)
        return ENOTSUP;
    return emu_change_plainly(queue, knote, wanted);
}

static int status_of(int pidfd)
{
    siginfo_t info = {.si_pid = 0};
    if (waitid(BY_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == -1)
        return 0; /* ECHILD */
    if (info.si_code == CLD_EXITED)
        return (info.si_status & 0xff) << 8;
    return info.si_status | (info.si_code == CLD_DUMPED ? CORE_FLAG : 0);
}

/* It happens once: the knote goes with its report, as on FreeBSD. */
static bool report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                   struct kevent *event)
{
    (void)queue;
    (void)bits;
    event->flags |= EV_EOF | EV_ONESHOT;
    event->fflags = knote->fflags;
    event->data = status_of(knote->fd);
    return true;
}

const struct emu_filter emu_filter_proc = {
    .filter = EVFILT_PROC, .attach = attach, .change = change, .report = report};
