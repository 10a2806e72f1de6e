/*
 * Lab: the line that grew in chapter 03, and epoll beside it.
 *
 * One descriptor is ready, N are idle. What does one wake-up cost? select() and poll() are given
 * the whole list at each call, and the kernel asks every descriptor of it. epoll keeps the list
 * in the kernel, and whatever becomes ready puts itself into the ready list; epoll_wait() takes
 * it from there. So its cost follows what is ready, not what is watched.
 *
 * The work has not vanished, it has moved: each descriptor costs one epoll_ctl() when it is
 * added, one when its mask changes, one when it leaves. That call searches a tree, so it is the
 * logarithm of N that counts there, and that grows slowly. A change of mask is measured too:
 * `epoll_ctl_N_idle_us`.
 *
 * The ready descriptor is a pipe with a byte in it, which nobody takes out: the calls never have to
 * sleep. It is the newest, so it stands at the end of the lists. A round is what a server pays:
 * fill in the list where it must (select() has overwritten it), call, find the ready one.
 *
 * All sizes exist at the same time and are measured in turn, and of ROUNDS short measurements the
 * least is taken: whatever else the machine does has disturbed that one least. FD_SETSIZE is libc's
 * limit, not the kernel's, so select() gets a row of bits of the lab's own (lab
 * 03/fd_set_past_the_end says what happens otherwise).
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "lab.h"

enum { MOST = 10000, SPARE_FDS = 64, ROUNDS = 41, SIZES = 4, BATCH = 8 };
enum { CALLS = 3, EPOLL_CALLS = 100 }; /* in one measurement: it takes some microseconds at least */
enum { POLL_GROWS = 10, POLL_GROWS_TO_1000 = 3, EPOLL_GROWS_PERCENT = 150 };
enum { WORD_BITS = 8 * sizeof(unsigned long), WORDS = (MOST + 2 * SPARE_FDS) / WORD_BITS + 1 };
enum way { SELECT, POLL, EPOLL, CTL, WAYS };

static int ready_fd;
static int idle_fds[MOST];

/* One size of the crowd: the first `idle` idle ones, then the ready one, in three forms. */
static struct size {
    int idle, highest, epoll;
    unsigned long bits[WORDS];
    struct pollfd list[MOST + 1];
    double least_us[WAYS];
} sizes[SIZES];

/* ---- the crowd ------------------------------------------------------------------------------- */

/* A datagram socket without an address is idle for ever: nobody can send to it. */
static void gather(int count)
{
    int ends[2];
    for (int i = 0; i < count; i++)
        idle_fds[i] = lab_must(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    (void)lab_must(pipe(ends), "pipe");
    (void)lab_must((int)write(ends[1], "x", 1), "write");
    ready_fd = ends[0];
    if (ready_fd >= WORDS * WORD_BITS)
        lab_skip("too many descriptors were open already");
}

static void enter(struct size *size, int place, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    size->list[place] = (struct pollfd){.fd = fd, .events = POLLIN};
    size->bits[fd / WORD_BITS] |= 1UL << (fd % WORD_BITS);
    size->highest = fd > size->highest ? fd : size->highest;
    (void)lab_must(epoll_ctl(size->epoll, EPOLL_CTL_ADD, fd, &event), "EPOLL_CTL_ADD");
}

static void prepare(struct size *size, int idle)
{
    size->idle = idle;
    size->epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 0; i < idle; i++)
        enter(size, i, idle_fds[i]);
    enter(size, idle, ready_fd);
}

/* ---- one round of a server, in each way; returns the ready descriptor ------------------------ */

static int select_round(struct size *size)
{
    static union {
        unsigned long words[WORDS];
        fd_set set; /* the type that select() wants; it uses as many bits as it is told */
    } asked;
    memcpy(asked.words, size->bits, sizeof asked.words);
    (void)lab_must(select(size->highest + 1, &asked.set, NULL, NULL, NULL), "select");
    for (int i = 0; i <= size->idle; i++) {
        int fd = size->list[i].fd;
        if ((asked.words[fd / WORD_BITS] >> (fd % WORD_BITS) & 1) != 0)
            return fd;
    }
    return -1;
}

static int poll_round(struct size *size)
{
    (void)lab_must(poll(size->list, (nfds_t)size->idle + 1, -1), "poll");
    for (int i = 0; i <= size->idle; i++)
        if (size->list[i].revents != 0)
            return size->list[i].fd;
    return -1;
}

static int epoll_round(struct size *size)
{
    struct epoll_event events[BATCH];
    int n = lab_must(epoll_wait(size->epoll, events, BATCH, -1), "epoll_wait");
    return n == 1 ? events[0].data.fd : -1;
}

/* No wake-up: what one change of a mask costs. */
static int ctl_round(struct size *size)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = ready_fd};
    return epoll_ctl(size->epoll, EPOLL_CTL_MOD, ready_fd, &event) == 0 ? ready_fd : -1;
}

static const struct {
    const char *name;
    int (*round)(struct size *size);
    int calls;
} ways[WAYS] = {{"select", select_round, CALLS},
                {"poll", poll_round, CALLS},
                {"epoll", epoll_round, EPOLL_CALLS},
                {"epoll_ctl", ctl_round, EPOLL_CALLS}};

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

static void judge(const double *few, const double *most, int grows)
{
    lab_expect_measured(most[SELECT] >= grows * few[SELECT] && most[POLL] >= grows * few[POLL],
                        "select and poll: the cost grows with the number of idle ones");
    lab_expect_measured(most[EPOLL] * 100 <= few[EPOLL] * EPOLL_GROWS_PERCENT,
                        "epoll: the cost stays within one and a half times");
}

int main(void)
{
    int count = SIZES, idle = 10;
    lab_question("One descriptor is ready, N are idle. How does the cost of a wake-up with epoll "
                 "grow from 100 idle ones to 10,000?",
                 "As with poll: a hundred times the descriptors, a hundred times the cost.",
                 "With the logarithm, since there is a tree inside.", "Not at all.", 'c',
                 "Is the machine very busy? Then let the other programs end first.");
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
    judge(sizes[1].least_us, sizes[count - 1].least_us,
          count == SIZES ? POLL_GROWS : POLL_GROWS_TO_1000);
    return lab_finding("a wake-up of epoll costs the same, however many descriptors are idle");
}
