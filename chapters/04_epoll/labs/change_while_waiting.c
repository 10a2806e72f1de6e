/*
 * Lab: one thread sleeps in epoll_wait(), another one changes the interest list. What happens?
 *
 * poll() gets its list at the call. Whoever wants to add a client to a poll() that sleeps has to
 * wake it first, with a pipe for example. The list of epoll lives in the kernel, and epoll_ctl()
 * changes it there, from any thread: a thread that waits does so on the changed list (man 2
 * epoll_wait, NOTES). If what has been added or changed is ready already, the waiting thread
 * wakes up for it.
 *
 * Each scene starts a thread that calls epoll_wait() once, without a time-out. When it sleeps, as
 * /proc tells, the main thread does one thing to a connection that has a byte to read. Either the
 * thread returns with that connection; or, after QUIET_MS, an eventfd in the same epoll sends it
 * home, and that is what it returns with.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "lab.h"

enum { QUIET_MS = 100, PATIENCE_MS = 2000, STEADY = 3 };

struct waiter {
    pthread_t thread;
    int epoll, home;
    _Atomic long tid; /* 0: not there yet */
    atomic_bool returned;
    int reported; /* the descriptor; read after the join */
    int64_t woken_ns;
};

/* ---- the thread that waits ------------------------------------------------------------------- */

static void *wait_once(void *arg)
{
    struct waiter *waiter = arg;
    struct epoll_event event;
    int n;
    atomic_store(&waiter->tid, syscall(SYS_gettid)); /* glibc has gettid() since 2.30 only */
    while ((n = epoll_wait(waiter->epoll, &event, 1, -1)) == -1 && errno == EINTR)
        continue;
    waiter->woken_ns = lab_now_ns();
    waiter->reported = lab_must(n, "epoll_wait") == 1 ? event.data.fd : -1;
    atomic_store(&waiter->returned, true);
    return NULL;
}

/* The letter behind the program's name in brackets is S. */
static bool is_asleep(long tid)
{
    char path[64], state = '?';
    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
    FILE *stat = fopen(path, "r");
    if (stat == NULL)
        return false;
    int told = fscanf(stat, "%*d (%*[^)]) %c", &state);
    (void)fclose(stat);
    return told == 1 && state == 'S';
}

static void start(struct waiter *waiter)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    lab_must_zero(pthread_create(&waiter->thread, NULL, wait_once, waiter), "pthread_create");
    for (int steady = 0; steady < STEADY;) {
        lab_pause_ms(1);
        long tid = atomic_load(&waiter->tid);
        steady = tid != 0 && is_asleep(tid) ? steady + 1 : 0;
        if (lab_now_ns() > deadline_ns)
            exit(lab_not_reproduced("the thread did not fall asleep within seconds"));
    }
}

/* Waits for it to return; sends it home if it does not within `ms`. */
static void finish(struct waiter *waiter, int ms)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)ms * 1000000;
    while (!atomic_load(&waiter->returned) && lab_now_ns() < deadline_ns)
        lab_pause_ms(1);
    (void)lab_must(eventfd_write(waiter->home, 1), "eventfd_write");
    lab_must_zero(pthread_join(waiter->thread, NULL), "pthread_join");
}

/* ---- the scenes ------------------------------------------------------------------------------ */

static int control(int epoll, int what, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(epoll, what, fd, &event);
}

static const struct scene {
    const char *name, *says;
    uint32_t before;    /* the mask when the thread falls asleep; none before ADD   */
    bool byte_is_there; /* the byte has come before; else it comes after the change */
    int what;           /* the change ...                                           */
    uint32_t after;     /* ... and its mask                                         */
    bool wakes;
} scenes[] = {
    {"add", "EPOLL_CTL_ADD of a connection that has a byte", 0, true, EPOLL_CTL_ADD, EPOLLIN, true},
    {"mod_in", "EPOLL_CTL_MOD from no bits to IN, with a byte there", 0, true, EPOLL_CTL_MOD,
     EPOLLIN, true},
    {"mod_out", "EPOLL_CTL_MOD from no bits to OUT, with room to send", 0, true, EPOLL_CTL_MOD,
     EPOLLOUT, true},
    {"mod_again", "edge-triggered, event used up: EPOLL_CTL_MOD with the same bits",
     EPOLLIN | EPOLLET, true, EPOLL_CTL_MOD, EPOLLIN | EPOLLET, true},
    {"mod_none", "EPOLL_CTL_MOD from IN to no bits, then a byte comes", EPOLLIN, false,
     EPOLL_CTL_MOD, 0, false},
    {"del", "EPOLL_CTL_DEL, then a byte comes", EPOLLIN, false, EPOLL_CTL_DEL, 0, false},
};
enum { SCENES = sizeof scenes / sizeof scenes[0] };

static void send_byte(const int ends[2])
{
    char byte;
    (void)lab_must((int)send(ends[0], "x", 1, 0), "send");
    (void)lab_must((int)recv(ends[1], &byte, 1, MSG_PEEK), "recv"); /* blocks: it is there */
}

/* The state before the thread comes. An edge that is there already is used up. */
static void prepare(const struct scene *scene, int epoll, const int ends[2])
{
    struct epoll_event event;
    if (scene->byte_is_there)
        send_byte(ends);
    if (scene->what != EPOLL_CTL_ADD)
        (void)lab_must(control(epoll, EPOLL_CTL_ADD, ends[1], scene->before), "EPOLL_CTL_ADD");
    if ((scene->before & EPOLLET) != 0)
        (void)lab_must(epoll_wait(epoll, &event, 1, 0), "epoll_wait"); /* no wait: no EINTR */
}

static void play(const struct scene *scene)
{
    char name[LAB_NAME_COLUMNS];
    int ends[2];
    struct waiter waiter = {.epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"),
                            .home = lab_must(eventfd(0, EFD_CLOEXEC), "eventfd")};
    lab_tcp_pair(ends);
    prepare(scene, waiter.epoll, ends);
    (void)lab_must(control(waiter.epoll, EPOLL_CTL_ADD, waiter.home, EPOLLIN), "EPOLL_CTL_ADD");

    start(&waiter);
    int64_t changed_ns = lab_now_ns();
    (void)lab_must(control(waiter.epoll, scene->what, ends[1], scene->after), "epoll_ctl");
    if (!scene->byte_is_there)
        send_byte(ends);
    finish(&waiter, scene->wakes ? lab_patience_ms(PATIENCE_MS) : QUIET_MS);

    bool woken = waiter.reported == ends[1];
    lab_say("%s:", scene->says);
    (void)snprintf(name, sizeof name, "%s_wakes", scene->name);
    lab_word(name, woken ? "yes" : "no");
    (void)snprintf(name, sizeof name, "%s_after_us", scene->name);
    if (woken)
        lab_figure(name, (double)(waiter.woken_ns - changed_ns) / 1e3, "us");
    lab_expect(woken == scene->wakes, scene->wakes ? "the sleeping thread wakes up for it"
                                                   : "the sleeping thread is left in peace");
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(waiter.home);
    (void)close(waiter.epoll);
}

int main(void)
{
    lab_question("A thread sleeps in epoll_wait(). Another thread adds a connection that has a "
                 "byte to read already. When does the first one learn of it?",
                 "At its next call of epoll_wait(): this one has its list already.",
                 "At once: epoll_ctl() wakes it.", "When the next byte comes on that connection.",
                 'b', "Is the machine so busy that a thread does not run within seconds?");
    if (access("/proc/thread-self/stat", R_OK) != 0)
        lab_skip("/proc does not tell here whether a thread sleeps");
    for (int i = 0; i < SCENES; i++)
        play(&scenes[i]);
    return lab_finding("a change of the interest list counts at once, also for who sleeps on it");
}
