/*
 * Lab: how many threads does one new connection wake?
 *
 *     plain         an epoll for each thread, one listener in all of them
 *     exclusive     the same, registered with EPOLLEXCLUSIVE (Linux 4.5)
 *     reuseport     an epoll and a listener for each thread, all on one port (SO_REUSEPORT)
 *     shared_level  one epoll for all threads, level-triggered
 *     shared_edge   one epoll for all threads, EPOLLET
 *
 * Only one thread can accept a client; others that are woken for it run for nothing: the thundering
 * herd. EPOLLEXCLUSIVE promises to wake "one or more" (man 2 epoll_ctl), not exactly one.
 *
 * To count without luck, each client comes when all threads sleep in epoll_wait(), as /proc tells
 * (man 5 proc), and nobody accepts it until all have been counted. In a real server a fast thread
 * may accept it before a slower one looks; epoll_wait() then goes back to sleep in silence.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "lab.h"

enum { THREADS = 8, CONNECTIONS = 10, BACKLOG = 64, LOOK_MS = 1, STEADY = 3, PATIENCE_MS = 5000 };
enum way { PLAIN, EXCLUSIVE, REUSEPORT, SHARED_LEVEL, SHARED_EDGE, WAYS };
enum phase { STARTING, WAITING, WOKEN, SENT_HOME };

struct worker {
    pthread_t thread;
    int epoll, home;
    long tid; /* known when it is WAITING */
    atomic_int phase;
};

struct arrangement {
    struct sockaddr_in addr;
    int epolls[THREADS], listeners[THREADS]; /* what is shared has the same number everywhere */
    int home; /* an eventfd in each epoll: readable when all shall return */
};

/* ---- a thread, and watching it --------------------------------------------------------------- */

static void *wait_once(void *arg)
{
    struct worker *worker = arg;
    struct epoll_event event;
    int n;
    worker->tid = syscall(SYS_gettid); /* glibc has gettid() since 2.30 only */
    atomic_store(&worker->phase, WAITING);
    while ((n = epoll_wait(worker->epoll, &event, 1, -1)) == -1 && errno == EINTR)
        continue;
    bool woken = lab_must(n, "epoll_wait") == 1 && event.data.fd != worker->home;
    atomic_store(&worker->phase, woken ? WOKEN : SENT_HOME);
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

/* Waits until `least` or more have been woken and the others sleep, at STEADY looks running. */
static void settle(struct worker *workers, int least)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    for (int steady = 0; steady < STEADY;) {
        int woken = 0, asleep = 0;
        lab_pause_ms(LOOK_MS);
        for (int i = 0; i < THREADS; i++) {
            int phase = atomic_load(&workers[i].phase);
            woken += phase == WOKEN ? 1 : 0;
            asleep += phase == WAITING && is_asleep(workers[i].tid) ? 1 : 0;
        }
        steady = woken >= least && woken + asleep == THREADS ? steady + 1 : 0;
        if (lab_now_ns() > deadline_ns)
            exit(lab_not_reproduced("the threads did not come to rest within seconds"));
    }
}

/* ---- an arrangement -------------------------------------------------------------------------- */

/* A listener that does not block, and that may share its port; *addr is filled in for port 0. */
static int listen_at(struct sockaddr_in *addr)
{
    int on = 1, fd = lab_must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
    socklen_t len = sizeof *addr;
    (void)lab_must(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), "SO_REUSEPORT");
    (void)lab_must(bind(fd, (struct sockaddr *)addr, len), "bind");
    (void)lab_must(getsockname(fd, (struct sockaddr *)addr, &len), "getsockname");
    (void)lab_must(listen(fd, BACKLOG), "listen");
    return fd;
}

static int new_epoll(int listener, uint32_t mode, int home)
{
    struct epoll_event events[] = {{.events = EPOLLIN | mode, .data.fd = listener},
                                   {.events = EPOLLIN, .data.fd = home}};
    int epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 0; i < 2; i++)
        (void)lab_must(epoll_ctl(epoll, EPOLL_CTL_ADD, events[i].data.fd, &events[i]), "epoll_ctl");
    return epoll;
}

static struct arrangement arrange(enum way way)
{
    static const uint32_t modes[WAYS] = {[EXCLUSIVE] = EPOLLEXCLUSIVE, [SHARED_EDGE] = EPOLLET};
    bool one_listener = way != REUSEPORT, one_epoll = way == SHARED_LEVEL || way == SHARED_EDGE;
    struct arrangement all = {
        .addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    all.home = lab_must(eventfd(0, EFD_CLOEXEC), "eventfd");
    for (int i = 0; i < THREADS; i++) {
        all.listeners[i] = i > 0 && one_listener ? all.listeners[0] : listen_at(&all.addr);
        all.epolls[i] =
            i > 0 && one_epoll ? all.epolls[0] : new_epoll(all.listeners[i], modes[way], all.home);
    }
    return all;
}

static void clear_away(const struct arrangement *all)
{
    for (int i = 0; i < THREADS; i++) {
        if (i == 0 || all->epolls[i] != all->epolls[0])
            (void)close(all->epolls[i]);
        if (i == 0 || all->listeners[i] != all->listeners[0])
            (void)close(all->listeners[i]);
    }
    (void)close(all->home);
}

/* ---- the experiment -------------------------------------------------------------------------- */

/* Connects one client to threads that sleep; returns how many are woken for it. */
static int count_woken(const struct arrangement *all)
{
    struct worker workers[THREADS];
    int woken = 0, client = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.epoll = all->epolls[i], .home = all->home};
        lab_must_zero(pthread_create(&workers[i].thread, NULL, wait_once, &workers[i]), "create");
    }
    settle(workers, 0);
    (void)lab_must(connect(client, (const struct sockaddr *)&all->addr, sizeof all->addr),
                   "connect");
    settle(workers, 1);
    (void)lab_must(eventfd_write(all->home, 1), "eventfd_write"); /* whoever still sleeps returns */
    for (int i = 0; i < THREADS; i++) {
        lab_must_zero(pthread_join(workers[i].thread, NULL), "pthread_join");
        woken += atomic_load(&workers[i].phase) == WOKEN ? 1 : 0;
        int fd = accept(all->listeners[i], NULL, NULL);
        if (fd != -1) /* else EAGAIN: the client is not here, or has been accepted already */
            (void)close(fd);
    }
    (void)lab_must(eventfd_read(all->home, &(eventfd_t){0}), "eventfd_read");
    (void)close(client);
    return woken;
}

static int try_way(enum way way, const char *figure)
{
    struct arrangement all = arrange(way);
    int woken = 0;
    for (int i = 0; i < CONNECTIONS; i++)
        woken += count_woken(&all);
    clear_away(&all);
    lab_figure(figure, woken, "threads");
    return woken;
}

int main(void)
{
    lab_question("Eight threads sleep, each in an epoll of its own, and all watch one listening "
                 "socket. Ten clients connect, one after the other. How many wake-ups are that?",
                 "Ten: the kernel wakes one thread for each client.",
                 "Eighty: each client wakes all threads.",
                 "Eight: the first client wakes all; from then on they are awake.", 'b',
                 "Is the machine so busy that eight threads do not come to rest within seconds?");
    if (access("/proc/thread-self/stat", R_OK) != 0)
        lab_skip("/proc does not tell here whether a thread sleeps");
    int plain = try_way(PLAIN, "plain_woken"), exclusive = try_way(EXCLUSIVE, "exclusive_woken");
    int reuseport = try_way(REUSEPORT, "reuseport_woken");
    int level = try_way(SHARED_LEVEL, "shared_level_woken");
    int edge = try_way(SHARED_EDGE, "shared_edge_woken");
    lab_expect(plain == THREADS * CONNECTIONS, "plain: every client wakes every thread");
    lab_expect(exclusive < plain && exclusive <= 2 * CONNECTIONS,
               "exclusive: fewer than plain, and at most two for each client");
    lab_expect(reuseport == CONNECTIONS, "reuseport: one for each client");
    lab_expect(level > CONNECTIONS, "shared_level: whoever wakes wakes the next one");
    lab_expect(edge <= 2 * CONNECTIONS, "shared_edge: at most two for each client");
    return lab_finding("one listener in many epolls wakes all; EXCLUSIVE and REUSEPORT do not");
}
