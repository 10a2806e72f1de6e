/*
 * Lab: what does one wake-up cost, with N idle descriptors beside the one that is ready?
 *
 * select() and poll() keep nothing between two calls. So each call copies the whole list into the
 * kernel. The kernel asks every descriptor of the list, joins the wait queue of each that has
 * nothing, and leaves all of them again. Then the answers are copied back, and the program looks
 * through them for the one that is ready. Each of these steps is done N times.
 *
 * One descriptor has a byte in it, and it stands at the end of the list: the newest client. The
 * lab measures what a server pays for one round: fill in the list where it must (select() has
 * overwritten it), call, find the ready one. The call does not have to sleep here; if it had, the
 * kernel would ask everybody once more after the wake-up.
 *
 * Each measurement is short and repeated ROUNDS times, and the least is taken: a longer one has
 * been disturbed by other programs.
 *
 * FD_SETSIZE is libc's limit, not the kernel's (lab 03/fd_set_past_the_end). Above it select()
 * gets several sets, one behind the other, as one long row of bits.
 */
#define _DARWIN_UNLIMITED_SELECT /* macOS: without it select() refuses more than FD_SETSIZE */

#include "lab.h"

#include <poll.h>
#include <sys/select.h>

enum { MOST_IDLE = 10000, SPARE_FDS = 64, ROUNDS = 31, CALLS = 5, NAME_LEN = 64 };
enum { SETS = (MOST_IDLE + SPARE_FDS) / FD_SETSIZE + 1, GROWS = 10, GROWS_SHORT = 3 };

/* The idle ones first, then the active one. It has a byte in it, which nobody takes out. */
struct crowd {
    int fds[MOST_IDLE + 1];
    int count, highest;
};

static void add(struct crowd *crowd, int fd)
{
    if (fd >= SETS * FD_SETSIZE)
        lab_skip("too many descriptors were open already");
    crowd->fds[crowd->count++] = fd;
    crowd->highest = fd > crowd->highest ? fd : crowd->highest;
}

/* A datagram socket without an address is idle for ever: nobody can send to it. */
static void gather(struct crowd *crowd, int idle)
{
    int active[2];
    crowd->count = 0;
    crowd->highest = -1;
    (void)lab_must(pipe(active), "pipe");
    (void)lab_must((int)write(active[1], "x", 1), "write");
    for (int i = 0; i < idle; i++)
        add(crowd, lab_must(socket(AF_UNIX, SOCK_DGRAM, 0), "socket"));
    add(crowd, lab_must(dup(active[0]), "dup"));
    (void)close(active[0]); /* the end that has been added is the highest one */
    (void)close(active[1]); /* the byte stays */
}

static void dismiss(struct crowd *crowd)
{
    for (int i = 0; i < crowd->count; i++)
        (void)close(crowd->fds[i]);
}

/* ---- one round of a server, with either call ------------------------------------------------- */

static fd_set wanted[SETS]; /* what to watch; select() gets a copy, since it overwrites it */
static struct pollfd list[MOST_IDLE + 1];

static void prepare(const struct crowd *crowd)
{
    memset(wanted, 0, sizeof wanted);
    for (int i = 0; i < crowd->count; i++) {
        int fd = crowd->fds[i];
        FD_SET(fd % FD_SETSIZE, &wanted[fd / FD_SETSIZE]);
        list[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
}

/* Both return the ready descriptor, which is there already; -1 when there is none. */
static int select_round(const struct crowd *crowd)
{
    static fd_set sets[SETS];
    size_t used = (size_t)crowd->highest / FD_SETSIZE + 1;
    memcpy(sets, wanted, used * sizeof *sets);
    int ready = lab_must(select(crowd->highest + 1, sets, NULL, NULL, NULL), "select");
    for (int i = 0; ready > 0 && i < crowd->count; i++)
        if (FD_ISSET(crowd->fds[i] % FD_SETSIZE, &sets[crowd->fds[i] / FD_SETSIZE]))
            return crowd->fds[i];
    return -1;
}

static int poll_round(const struct crowd *crowd)
{
    int ready = lab_must(poll(list, (nfds_t)crowd->count, -1), "poll");
    for (int i = 0; ready > 0 && i < crowd->count; i++)
        if (list[i].revents != 0)
            return list[i].fd;
    return -1;
}

/* ---- the measurement ------------------------------------------------------------------------- */

static double round_us(const struct crowd *crowd, int (*one_round)(const struct crowd *))
{
    int active = crowd->fds[crowd->count - 1];
    int64_t start_ns = lab_now_ns();
    for (int i = 0; i < CALLS; i++)
        if (one_round(crowd) != active)
            exit(lab_not_reproduced("Is the active descriptor not the one that was ready?"));
    return (double)(lab_now_ns() - start_ns) / (double)CALLS / 1e3;
}

struct costs {
    double select_us, poll_us;
};

static struct costs measure(int idle)
{
    static struct crowd crowd;
    double by_select[ROUNDS], by_poll[ROUNDS];
    char name[NAME_LEN];

    gather(&crowd, idle);
    prepare(&crowd);
    for (int i = 0; i < ROUNDS; i++) { /* in turn, so that a disturbance meets both alike */
        by_select[i] = round_us(&crowd, select_round);
        by_poll[i] = round_us(&crowd, poll_round);
    }
    dismiss(&crowd);
    struct costs costs = {lab_least(by_select, ROUNDS), lab_least(by_poll, ROUNDS)};
    (void)snprintf(name, sizeof name, "select_%d_idle_us", idle);
    lab_figure(name, costs.select_us, "us");
    (void)snprintf(name, sizeof name, "poll_%d_idle_us", idle);
    lab_figure(name, costs.poll_us, "us");
    return costs;
}

/* How many ns each further idle descriptor adds to one wake-up. */
static void show_slope(struct costs low, struct costs high, int descriptors)
{
    lab_figure("select_ns_for_each_idle", (high.select_us - low.select_us) * 1e3 / descriptors,
               "ns");
    lab_figure("poll_ns_for_each_idle", (high.poll_us - low.poll_us) * 1e3 / descriptors, "ns");
}

int main(void)
{
    lab_question("One descriptor is ready, N are idle. The server wakes up in poll(). What does "
                 "that wake-up cost with 10,000 idle ones, compared with 100?",
                 "The same: only one is ready, so there is work for one.",
                 "A little more, as with a search in a sorted list.",
                 "Far more, in proportion to N: every idle one is asked, each time.", 'c',
                 "Is the machine very busy? Then let the other programs end first.");
    long limit = lab_raise_fd_limit(MOST_IDLE + SPARE_FDS);
    if (limit < 1000 + SPARE_FDS)
        lab_skip("it needs 1,064 descriptors (ulimit -n)");

    lab_say("Time for one round: call, then find the one that is ready.");
    (void)measure(10);
    struct costs few = measure(100), more = measure(1000);
    if (limit < MOST_IDLE + SPARE_FDS) {
        lab_say("10,000 idle ones are left out: ulimit -n allows only %ld descriptors.", limit);
        show_slope(few, more, 900);
        lab_expect_measured(more.select_us >= (double)GROWS_SHORT * few.select_us &&
                                more.poll_us >= (double)GROWS_SHORT * few.poll_us,
                            "from 100 to 1,000 idle ones the cost grows at least threefold");
        return lab_finding("a wake-up of select() or poll() costs more with each idle descriptor");
    }
    struct costs most = measure(MOST_IDLE);
    show_slope(few, most, MOST_IDLE - 100);
    lab_expect_measured(most.select_us >= (double)GROWS * few.select_us,
                        "select(): from 100 to 10,000 idle ones at least tenfold");
    lab_expect_measured(most.poll_us >= (double)GROWS * few.poll_us,
                        "poll(): from 100 to 10,000 idle ones at least tenfold");
    return lab_finding("a wake-up of select() or poll() costs more with each idle descriptor");
}
