/*
 * filter_descriptor: EVFILT_READ and EVFILT_WRITE, the two that epoll was made for.
 *
 * What epoll does not tell is `data`, so the descriptor is asked: how many bytes are there, how
 * many connections wait, how much room is left. The numbers are hints, as on a real kqueue: they
 * may have changed before the program reads them.
 *
 * A low-water mark is more than a number, because epoll would report below it, over and over. Such
 * a knote is watched for edges only, and judged from the ready list (ready.c).
 */
#include "emulation.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55 /* Linux 4.12 */
#endif

/* Places in its answer (linux/sock_diag.h). */
enum { MEM_WRITE_ALLOC = 2, MEM_SEND_BUFFER = 3, MEM_WRITE_QUEUED = 5, MEM_COUNT = 9 };

/* ---- asking ---------------------------------------------------------------------------------- */

static bool ask_tcp(int fd, struct tcp_info *info)
{
    socklen_t len = sizeof *info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

/* Straight to the kernel: a question, as in sets.c, and no use of what another thread may close. */
static int ask_unread(int fd, int *bytes)
{
    return (int)syscall(SYS_ioctl, fd, FIONREAD, bytes);
}

/* FIONREAD gives EINVAL for a listener, ENOTTY for what has no bytes (an eventfd, a kqueue). */
static int64_t readable_bytes(int fd)
{
    int bytes = 0;
    struct tcp_info info;
    if (ask_unread(fd, &bytes) == 0)
        return bytes;
    if (errno == EINVAL && ask_tcp(fd, &info) && info.tcpi_unacked > 0)
        return info.tcpi_unacked; /* of a listener: how many connections wait for accept() */
    return 1;
}

/* True after shutdown(SHUT_WR), which epoll does not tell of. */
static bool is_shut_for_writing(int fd)
{
    struct tcp_info info;
    if (!ask_tcp(fd, &info))
        return false;
    switch (info.tcpi_state) {
    case TCP_FIN_WAIT1:
    case TCP_FIN_WAIT2:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
    case TCP_TIME_WAIT:
        return true;
    default:
        return false;
    }
}

/* Free room in the send buffer of a socket; -1: not a socket. */
static int64_t room_of_socket(int fd)
{
    uint32_t memory[MEM_COUNT] = {0};
    socklen_t len = sizeof memory;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) == -1)
        return errno == ENOTSOCK ? -1 : 1;
    uint32_t used = memory[MEM_WRITE_ALLOC] > memory[MEM_WRITE_QUEUED] ? memory[MEM_WRITE_ALLOC]
                                                                       : memory[MEM_WRITE_QUEUED];
    return memory[MEM_SEND_BUFFER] > used ? memory[MEM_SEND_BUFFER] - used : 1;
}

static int64_t room_of_pipe(int fd)
{
    int bytes = 0, size = fcntl(fd, F_GETPIPE_SZ);
    if (size == -1 || ask_unread(fd, &bytes) == -1 || bytes >= size)
        return 1; /* no pipe; or full, and writable all the same, as its reader is gone */
    return size - bytes;
}

/* ---- EVFILT_READ ----------------------------------------------------------------------------- */

static int watch(struct emu_queue *queue, struct emu_knote *knote, enum emu_set set, uint32_t bits)
{
    knote->fd = (int)knote->ident;
    knote->set = set;
    knote->bits = bits;
    knote->is_edge = (knote->flags & EV_CLEAR) != 0;
    return emu_arm(queue, knote);
}

static int read_attach(struct emu_queue *queue, struct emu_knote *knote)
{
    knote->is_judged = (knote->fflags & NOTE_LOWAT) != 0;
    int err = watch(queue, knote, EMU_READERS, EPOLLIN | EPOLLRDHUP);
    return err != EPERM ? err : emu_file_read_attach(queue, knote);
}

static int read_change(struct emu_queue *queue, struct emu_knote *knote,
                       const struct kevent *wanted)
{
    knote->is_judged = knote->watch != -1 || (wanted->fflags & NOTE_LOWAT) != 0;
    knote->fflags = wanted->fflags;
    knote->data = wanted->data;
    if (knote->is_judged)
        emu_ready_add(queue, knote); /* what is there already counts */
    else
        emu_ready_remove(queue, knote);
    return knote->is_in_set ? emu_arm(queue, knote) : 0;
}

static bool read_report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                        struct kevent *event)
{
    (void)queue;
    if (knote->watch != -1)
        return emu_file_read_report(knote, event);
    struct pollfd now = {.fd = knote->fd, .events = POLLIN | POLLRDHUP};
    if (knote->is_judged && poll(&now, 1, 0) == 1)
        bits = (uint32_t)now.revents; /* POLL... and EPOLL... are the same bits */
    event->data = readable_bytes(knote->fd);
    if ((bits & (EPOLLRDHUP | EPOLLHUP)) != 0) {
        event->flags |= EV_EOF;
        if (event->data > 0 && (bits & EPOLLIN) == 0)
            event->data = 0; /* nothing to read that could be counted */
        return true;
    }
    return bits != 0 && ((knote->fflags & NOTE_LOWAT) == 0 || event->data >= knote->data);
}

const struct emu_filter emu_filter_read = {.filter = EVFILT_READ,
                                           .is_descriptor = true,
                                           .attach = read_attach,
                                           .change = read_change,
                                           .report = read_report,
                                           .detach = emu_file_detach};

/* ---- EVFILT_WRITE ---------------------------------------------------------------------------- */

/* Between writable and the mark no edge comes, so there is nothing to judge by. */
static bool is_too_much(unsigned int fflags)
{
    return (fflags & NOTE_LOWAT) != 0;
}

static int write_attach(struct emu_queue *queue, struct emu_knote *knote)
{
    if (is_too_much(knote->fflags))
        return ENOTSUP;
    int err = watch(queue, knote, EMU_WRITERS, EPOLLOUT);
    return err != EPERM ? err : EINVAL; /* kqueue(2): not for files */
}

static int write_change(struct emu_queue *queue, struct emu_knote *knote,
                        const struct kevent *wanted)
{
    return is_too_much(wanted->fflags) ? ENOTSUP : emu_change_plainly(queue, knote, wanted);
}

static bool write_report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                         struct kevent *event)
{
    (void)queue;
    int64_t room = room_of_socket(knote->fd);
    bool is_over = room != -1 ? (bits & EPOLLHUP) != 0 || is_shut_for_writing(knote->fd)
                              : (bits & (EPOLLHUP | EPOLLERR)) != 0; /* a pipe without a reader */
    event->data = room != -1 ? room : room_of_pipe(knote->fd);
    if (is_over)
        event->flags |= EV_EOF;
    return true;
}

const struct emu_filter emu_filter_write = {.filter = EVFILT_WRITE,
                                            .is_descriptor = true,
                                            .attach = write_attach,
                                            .change = write_change,
                                            .report = write_report};
