/*
 * Lab: what do idle descriptors cost with kqueue?
 *
 * One descriptor is ready, N others are idle. The lab times one wake-up as a server makes it: call,
 * and find the ready one. Twice as many idle ones cost poll() twice as much: it hands the whole
 * list to the kernel, and the kernel asks each. The list of a kqueue is in the kernel, and whatever
 * becomes ready puts itself into the queue. It is the lab 04/growth_line, for those systems that
 * have no epoll.
 *
 * All sizes exist at the same time and are measured in turn, and of ROUNDS short measurements the
 * least is taken: whatever else the machine does has disturbed that one least.
 *
 * Where kqueue is an emulation, the figures of kevent() are the emulation's own, and say nothing
 * about a BSD.
 */
#include <poll.h>
#include <sys/socket.h>

#include "kq_lab.h"

enum { MOST = 10000, SPARE_FDS = 64, ROUNDS = 41, SIZES = 4, BATCH = 8 };
enum { POLL_CALLS = 3, KEVENT_CALLS = 100 }; /* in one measurement: some microseconds at least */
enum { POLL_GROWS = 10, POLL_GROWS_TO_1000 = 3, KQUEUE_GROWS_PERCENT = 150 };
enum way { POLL, KEVENT, CHANGE, WAYS };

static int ready_fd;
static int idle_fds[MOST];

/* One size of the crowd: the first `idle` idle ones, then the ready one, in two forms. */
static struct size {
    int idle, kq;
    struct pollfd list[MOST + 1];
    double least_us[WAYS];
} sizes[SIZES];

/* ---- the crowd ------------------------------------------------------------------------------- */

/* A datagram socket without an address is idle for ever: nobody can send to it. */
static void gather(int count)
{
    int ends[2];
    for (int i = 0; i < count; i++)
        idle_fds[i] = lab_must(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
    (void)lab_must(pipe(ends), "pipe");
    (void)lab_must((int)write(ends[1], "x", 1), "write");
    ready_fd = ends[0];
}

static void enter(struct size *size, int place, int fd)
{
    size->list[place] = (struct pollfd){.fd = fd, .events = POLLIN};
    kq_must(size->kq, kq_change_fd(fd, EVFILT_READ, EV_ADD));
}

static void prepare(struct size *size, int idle)
{
    size->idle = idle;
    size->kq = kq_queue();
    for (int i = 0; i < idle; i++)
        enter(size, i, idle_fds[i]);
    enter(size, idle, ready_fd);
}

/* ---- one round of a server, in each way; returns the ready descriptor ------------------------ */

static int poll_round(struct size *size)
{
    (void)lab_must(poll(size->list, (nfds_t)size->idle + 1, -1), "poll");
    for (int i = 0; i <= size->idle; i++)
        if (size->list[i].revents != 0)
            return size->list[i].fd;
    return -1;
}

static int kevent_round(struct size *size)
{
    struct kevent events[BATCH];
    int n = lab_must(kevent(size->kq, NULL, 0, events, BATCH, NULL), "kevent");
    return n == 1 ? (int)events[0].ident : -1;
}

/* No wake-up: what one change costs. */
static int change_round(struct size *size)
{
    return kq_try(size->kq, kq_change_fd(ready_fd, EVFILT_READ, EV_ADD)) == 0 ? ready_fd : -1;
}

static const struct {
    const char *name;
    int (*round)(struct size *size);
    int calls;
} ways[WAYS] = {{"poll", poll_round, POLL_CALLS},
                {"kevent", kevent_round, KEVENT_CALLS},
                {"change", change_round, KEVENT_CALLS}};

/* ---- the measurement ------------------------------------------------------------------------- */

static double measure_us(struct size *size, enum way way)
{
    int64_t start_ns = lab_now_ns();
    for (int i = 0; i < ways[way].calls; i++)
        if (ways[way].round(size) != ready_fd)
            exit(lab_not_reproduced("Was another descriptor ready than the one that should be?"));
    return (double)(lab_now_ns() - start_ns) / 1e3 / ways[way].calls;
}

static void measure_all(int count)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int way = 0; way < WAYS; way++)
            for (int i = 0; i < count; i++) {
                double us = measure_us(&sizes[i], (enum way)way), *least = &sizes[i].least_us[way];
                *least = round == 0 || us < *least ? us : *least;
            }
}

static void show_all(int count)
{
    char name[LAB_NAME_COLUMNS];
    for (int way = 0; way < WAYS; way++)
        for (int i = 0; i < count; i++) {
            (void)snprintf(name, sizeof name, "%s_%d_idle_us", ways[way].name, sizes[i].idle);
            lab_figure(name, sizes[i].least_us[way], "us");
        }
}

int main(void)
{
    int count = SIZES, idle = 10;
    lab_question("One descriptor is ready, N are idle. How does the cost of a wake-up with kqueue "
                 "grow from 100 idle ones to 10,000?",
                 "As with poll: a hundred times the descriptors, a hundred times the cost.",
                 "About twice: with the logarithm, since there is a tree inside.", "Not at all.",
                 'c', "Is the machine very busy? Then let the other programs end first.");
    long limit = lab_raise_fd_limit(MOST + SPARE_FDS);
    if (limit < 1000 + SPARE_FDS)
        lab_skip("it needs 1,064 descriptors (ulimit -n)");
    if (limit < MOST + SPARE_FDS) {
        lab_say("10,000 idle ones are left out: ulimit -n allows only %ld descriptors.", limit);
        count--;
    }
    gather(count == SIZES ? MOST : 1000);
    for (int i = 0; i < count; i++, idle *= 10)
        prepare(&sizes[i], idle);
    measure_all(count);
    show_all(count);
    const double *few = sizes[1].least_us, *most = sizes[count - 1].least_us;
    int grows = count == SIZES ? POLL_GROWS : POLL_GROWS_TO_1000;
    lab_expect_measured(most[POLL] >= grows * few[POLL],
                        "poll: the cost grows with the number of idle ones");
    lab_expect_measured(most[KEVENT] * 100 <= few[KEVENT] * (double)KQUEUE_GROWS_PERCENT,
                        "kqueue: the cost stays within one and a half times");
    return kq_finding(NULL, "a wake-up costs the same, however many descriptors are idle");
}
