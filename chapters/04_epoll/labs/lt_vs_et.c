/*
 * Lab: level-triggered and edge-triggered, for the same bytes.
 *
 * epoll reports in one of two ways (man 7 epoll). Level-triggered, the default, it tells what *is*:
 * there is something to read. It says so at every call, for as long as it is true. Edge-triggered
 * (EPOLLET) it tells what has *happened*: something has come. It says so once.
 *
 * The same BYTES arrive at once, and nothing follows. One kind of program reads PIECE bytes at each
 * wake-up and waits again; the other kind drains: it reads until recv() says EAGAIN. Both kinds
 * meet both ways of reporting, and the lab counts wake-ups, calls, and bytes that nobody has read.
 *
 * The last scene is about a sentence that is often heard: "edge-triggered, nothing is reported
 * again until you have read everything". So nothing is read at all, and one more byte is sent.
 *
 * Before the first epoll_wait() the lab makes sure, by FIONREAD, that all bytes have arrived: what
 * comes between two calls is reported as one event.
 */
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "lab.h"

enum { BYTES = 3000, PIECE = 1000, QUIET_MS = 50, PATIENCE_MS = 2000 };

/* ---- epoll, and a connection ----------------------------------------------------------------- */

static int watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    int epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    (void)lab_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    return epoll;
}

/* Waits at most QUIET_MS. Everything has arrived already, so what does not come now never comes. */
static bool is_reported(int epoll)
{
    struct epoll_event event;
    int n;
    while ((n = epoll_wait(epoll, &event, 1, QUIET_MS)) == -1 && errno == EINTR)
        continue;
    return lab_must(n, "epoll_wait") == 1;
}

static int unread_bytes(int fd)
{
    int unread = 0;
    (void)lab_must(ioctl(fd, FIONREAD, &unread), "FIONREAD");
    return unread;
}

/* Sends `count` bytes from one end, and waits until the other has `unread` of them. */
static void deliver(const int ends[2], size_t count, int unread)
{
    static const char bytes[BYTES];
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    (void)lab_must((int)send(ends[0], bytes, count, 0), "send"); /* few: the buffer takes them */
    while (unread_bytes(ends[1]) < unread && lab_now_ns() < deadline_ns)
        lab_pause_ms(1);
}

/* ---- the two kinds of programs --------------------------------------------------------------- */

struct count {
    int wake_ups, calls, left; /* calls: recv() and epoll_wait() together; left: bytes not read */
};

static struct count serve(uint32_t mode, bool drains)
{
    struct count count = {0};
    char piece[PIECE];
    int ends[2];

    lab_tcp_pair(ends);
    int epoll = watch(ends[1], EPOLLIN | mode);
    deliver(ends, BYTES, BYTES);
    while (count.calls++, is_reported(epoll)) {
        ssize_t n;
        count.wake_ups++;
        do {
            n = recv(ends[1], piece, sizeof piece, MSG_DONTWAIT);
            count.calls++;
        } while (drains && n > 0); /* to EAGAIN */
    }
    count.left = unread_bytes(ends[1]);
    (void)close(epoll);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return count;
}

static void show(const char *program, const struct count *count)
{
    char name[LAB_NAME_COLUMNS];
    (void)snprintf(name, sizeof name, "%s_wake_ups", program);
    lab_figure(name, count->wake_ups, "");
    (void)snprintf(name, sizeof name, "%s_system_calls", program);
    lab_figure(name, count->calls, "");
    (void)snprintf(name, sizeof name, "%s_bytes_left", program);
    lab_figure(name, count->left, "bytes");
}

static void one_piece_for_each_wake_up(void)
{
    lab_say("1. %d bytes arrive at once. The program reads %d at each wake-up.", BYTES, PIECE);
    struct count level = serve(0, false), edge = serve(EPOLLET, false);
    show("level", &level);
    show("edge", &edge);
    lab_expect(level.wake_ups == BYTES / PIECE && level.left == 0,
               "level-triggered: a wake-up for each piece, and nothing is left");
    lab_expect(edge.wake_ups == 1 && edge.left == BYTES - PIECE,
               "edge-triggered: one wake-up, and the rest stays in the socket, unread");
}

static void drain_at_each_wake_up(void)
{
    lab_say("2. The same bytes. The program reads until EAGAIN.");
    struct count level = serve(0, true), edge = serve(EPOLLET, true);
    show("level_draining", &level);
    show("edge_draining", &edge);
    lab_expect(level.wake_ups == 1 && edge.wake_ups == 1, "one wake-up for both");
    lab_expect(level.left == 0 && edge.left == 0, "nothing is left for both");
    lab_expect(level.calls == edge.calls,
               "the same number of system calls: it is draining that saves wake-ups, not EPOLLET");
}

/* ---- nothing is read, and more comes --------------------------------------------------------- */

static void new_bytes_are_a_new_edge(void)
{
    int ends[2], reported = 0;
    lab_say("3. Edge-triggered, and the program never reads. One byte; nothing; one more byte.");
    lab_tcp_pair(ends);
    int epoll = watch(ends[1], EPOLLIN | EPOLLET);
    deliver(ends, 1, 1);
    reported += is_reported(epoll) ? 1 : 0;
    bool reminded = is_reported(epoll);
    deliver(ends, 1, 2);
    reported += is_reported(epoll) ? 1 : 0;

    lab_figure("new_bytes_reported", reported, "times");
    lab_word("reminded_in_between", reminded ? "yes" : "no");
    lab_expect(!reminded, "without anything new there is no reminder");
    lab_expect(reported == 2, "a new byte is reported, though the first one was never read");
    (void)close(epoll);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    lab_question("3,000 bytes arrive at once, then nothing more. At each wake-up the program reads "
                 "1,000. How often does edge-triggered epoll wake it?",
                 "Three times, until all is read.", "Once, and 2,000 bytes stay unread.",
                 "Once, and then again every time it calls epoll_wait().", 'b',
                 "Does epoll_ctl() here run on a real Linux kernel (uname -a)?");
    one_piece_for_each_wake_up();
    drain_at_each_wake_up();
    new_bytes_are_a_new_edge();
    return lab_finding("level tells what is there, edge tells what is new");
}
