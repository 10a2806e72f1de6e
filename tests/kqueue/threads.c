/*
 * threads: several threads in kevent() at once, changes and closes while another one waits.
 *
 * Assertions belong to the main thread: the others count, and the main thread looks at the counts
 * when they have been joined. Every thread ends by itself: by its count, or by a deadline.
 */
#include "kqueue_case.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { WORKERS = 4, ROUNDS = 2000, SLICE_MS = 20 };

static atomic_int stop, delivered, doubled;

static pthread_t start(void *(*work)(void *arg), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work, arg), 0);
    return thread;
}

static void join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* For threads: waits a little, so that they see `stop`; EINTR and an error count as nothing. */
static int take_a_little(struct kevent *events, kq_count room)
{
    static const struct timespec slice = {.tv_sec = 0, .tv_nsec = SLICE_MS * 1000000L};
    int n = kevent(queue, NULL, 0, events, room, &slice);
    return n == -1 ? 0 : n;
}

static int change_quietly(int fd, int filter, unsigned flags)
{
    struct kevent wanted;
    fill(&wanted, (uintptr_t)fd, filter, flags, 0, 0, NULL);
    return kevent(queue, &wanted, 1, NULL, 0, NULL);
}

/* ---- changes while another one waits --------------------------------------------------------- */

/* Takes one event within the patience of a test; its ident, or 0. */
static void *take_one_ident(void *arg)
{
    struct kevent event;
    atomic_uintptr_t *ident = arg;
    atomic_store(ident, take(&event, 1) == 1 ? event.ident : 0);
    return NULL;
}

static void a_change_reaches_a_thread_that_waits(void **state)
{
    int fds[2];
    atomic_uintptr_t ident = 0;
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    pthread_t waiter = start(take_one_ident, &ident);
    clock_pause_ms(SLICE_MS); /* most often it sleeps by now; the test holds if not */
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    join(waiter);
    assert_true(atomic_load(&ident) == (uintptr_t)fds[0]);
}

static void a_user_event_wakes_a_thread_that_waits(void **state)
{
    (void)state;
#ifdef EVFILT_USER
    atomic_uintptr_t ident = 0;
    assert_int_equal(change(9, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, NULL), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t waiter = start(take_one_ident, &ident);
        if (i % 2 == 0)
            clock_pause_ms(1);
        assert_int_equal(change(9, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), 0);
        join(waiter);
        assert_true(atomic_load(&ident) == 9);
    }
#else
    skip_because("this system has no EVFILT_USER");
#endif
}

static void a_close_does_not_disturb_a_thread_that_waits(void **state)
{
    int fds[2], others[2];
    atomic_uintptr_t ident = 0;
    (void)state;
    open_sockets(fds);
    open_sockets(others);
    (void)keep(dup(fds[0]));
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(others[0], EVFILT_READ, EV_ADD), 0);
    pthread_t waiter = start(take_one_ident, &ident);
    clock_pause_ms(SLICE_MS);
    let_go(fds[0]);
    put(fds[1], "x"); /* for the dup; the queue must not tell */
    clock_pause_ms(SLICE_MS);
    put(others[1], "x");
    join(waiter);
    assert_true(atomic_load(&ident) == (uintptr_t)others[0]);
}

static void *wait_for_ever(void *arg)
{
    struct kevent event;
    (void)arg;
    (void)kevent(queue, NULL, 0, &event, 1, NULL);
    return NULL;
}

/* FreeBSD and NetBSD: a call that sleeps may be cancelled. It must lock nobody out. */
static void a_thread_that_waits_can_be_cancelled(void **state)
{
    (void)state;
#if defined(__APPLE__) || defined(__OpenBSD__)
    (void)wait_for_ever;
    skip_because("the page of this system does not say that kevent() can be cancelled");
#else
    int fds[2];
    open_sockets(fds);
    for (int i = 0; i < 20; i++) {
        pthread_t waiter = start(wait_for_ever, NULL);
        if (i % 2 == 0)
            clock_pause_ms(1);
        assert_int_equal(pthread_cancel(waiter), 0);
        join(waiter);
    }
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
#endif
}

/* ---- exactly one ----------------------------------------------------------------------------- */

/* Takes whatever comes, and adds it up by ident. */
static atomic_int taken_of[ROOM];

static void *take_and_count(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct kevent events[2];
        int n = take_a_little(events, 2);
        for (int i = 0; i < n; i++) {
            (void)atomic_fetch_add(&taken_of[events[i].ident % ROOM], 1);
            (void)atomic_fetch_add(&delivered, 1);
        }
    }
    return NULL;
}

static void start_workers(pthread_t *workers, void *(*work)(void *arg))
{
    atomic_store(&stop, 0);
    atomic_store(&delivered, 0);
    atomic_store(&doubled, 0);
    for (int i = 0; i < ROOM; i++)
        atomic_store(&taken_of[i], 0);
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(work, NULL);
}

static void join_workers(pthread_t *workers)
{
    atomic_store(&stop, 1);
    for (int i = 0; i < WORKERS; i++)
        join(workers[i]);
}

static void wait_until_delivered(int count)
{
    int64_t end_ns = deadline_in_ms(PATIENCE_MS);
    while (atomic_load(&delivered) < count && deadline_left_ms(end_ns) > 0)
        (void)usleep(20);
    assert_true(atomic_load(&delivered) >= count);
}

/* With EV_ONESHOT and EV_DISPATCH a report reaches one thread, however many wait. */
static void one_report_reaches_one_thread(unsigned flags)
{
    enum { TIMES = 500 };
    int fds[2];
    pthread_t workers[WORKERS];
    open_sockets(fds);
    put(fds[1], "x"); /* and it stays: ready all the time */
    start_workers(workers, take_and_count);
    for (int i = 1; i <= TIMES; i++) {
        assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD | EV_ENABLE | flags), 0);
        wait_until_delivered(i);
        if (i % 50 == 0)
            clock_pause_ms(1); /* time for a second one to come, if it does */
        assert_int_equal(atomic_load(&delivered), i);
    }
    join_workers(workers);
    assert_int_equal(atomic_load(&delivered), TIMES);
}

static void a_oneshot_event_reaches_one_thread(void **state)
{
    (void)state;
    one_report_reaches_one_thread(EV_ONESHOT);
}

static void a_dispatched_event_reaches_one_thread(void **state)
{
    (void)state;
#ifdef EV_DISPATCH
    one_report_reaches_one_thread(EV_DISPATCH);
#else
    skip_because("this system has no EV_DISPATCH");
#endif
}

/* ---- dispatch to workers --------------------------------------------------------------------- */

#ifdef EV_DISPATCH
enum { PAIRS = 8 };
static int pairs[PAIRS][2];
static atomic_int busy[PAIRS], bytes_read[PAIRS];

static int pair_of(uintptr_t ident)
{
    for (int i = 0; i < PAIRS; i++)
        if ((uintptr_t)pairs[i][0] == ident)
            return i;
    return 0;
}

/* The owner of a report reads a little, leaves the rest, and arms again: the worker's pattern. */
static void *read_and_rearm(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct kevent event;
        char bytes[16];
        if (take_a_little(&event, 1) != 1)
            continue;
        int i = pair_of(event.ident);
        if (atomic_fetch_add(&busy[i], 1) != 0)
            (void)atomic_fetch_add(&doubled, 1);
        ssize_t n = read(pairs[i][0], bytes, sizeof bytes);
        if (n > 0)
            (void)atomic_fetch_add(&bytes_read[i], (int)n);
        if (n > 0)
            (void)atomic_fetch_add(&delivered, (int)n);
        (void)atomic_fetch_sub(&busy[i], 1);
        (void)change_quietly(pairs[i][0], EVFILT_READ, EV_ADD | EV_ENABLE | EV_DISPATCH);
    }
    return NULL;
}

static void workers_share_sockets_and_lose_no_byte(void **state)
{
    pthread_t workers[WORKERS];
    (void)state;
    for (int i = 0; i < PAIRS; i++) {
        open_sockets(pairs[i]);
        atomic_store(&busy[i], 0);
        atomic_store(&bytes_read[i], 0);
        assert_int_equal(change_fd(pairs[i][0], EVFILT_READ, EV_ADD | EV_DISPATCH), 0);
    }
    start_workers(workers, read_and_rearm);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < PAIRS; i++)
            while (write(pairs[i][1], "0123456789", 10) == -1)
                (void)usleep(20); /* full: the workers read slowly */
    wait_until_delivered(ROUNDS * PAIRS * 10);
    join_workers(workers);
    assert_int_equal(atomic_load(&doubled), 0);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(atomic_load(&bytes_read[i]), ROUNDS * 10);
}
#else
static void workers_share_sockets_and_lose_no_byte(void **state)
{
    (void)state;
    skip_because("this system has no EV_DISPATCH");
}
#endif

/* ---- edges ----------------------------------------------------------------------------------- */

static int edge[2];

static void *write_bytes(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20 * ROUNDS && !atomic_load(&stop);) {
        if (write(edge[1], "x", 1) == 1)
            i++;
        else
            (void)usleep(20);
    }
    return NULL;
}

/* A byte that arrives while the reader is between EAGAIN and kevent() must be an edge. */
static void no_edge_is_lost_while_another_thread_writes(void **state)
{
    static void (*const openers[])(int fds[2]) = {open_sockets, open_pipe};
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        int64_t all = 0;
        openers[i](edge);
        atomic_store(&stop, 0);
        assert_int_equal(change_fd(edge[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
        pthread_t writer = start(write_bytes, NULL);
        while (all < 20 * ROUNDS) {
            struct kevent event;
            if (take(&event, 1) != 1)
                break; /* lost: the sum below says so */
            for (int64_t n = get(edge[0]); n > 0; n = get(edge[0]))
                all += n;
        }
        atomic_store(&stop, 1);
        join(writer);
        assert_int_equal(all, 20 * ROUNDS);
        let_go(edge[0]);
        let_go(edge[1]);
    }
}

/* ---- everything at once ---------------------------------------------------------------------- */

/* Adds, disables, enables, deletes, closes and opens, while others wait and take. */
static void *change_a_lot(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS / 4; i++) {
        int fds[2];
        if (pipe(fds) == -1)
            continue;
        (void)write(fds[1], "x", 1);
        (void)change_quietly(fds[0], EVFILT_READ, EV_ADD | (i % 3 == 0 ? EV_CLEAR : 0));
        (void)change_quietly(fds[1], EVFILT_WRITE, EV_ADD | EV_CLEAR);
        (void)change_quietly(fds[0], EVFILT_READ, EV_DISABLE);
        (void)change_quietly(fds[0], EVFILT_READ, EV_ENABLE);
        int twin = i % 4 == 0 ? dup(fds[0]) : -1;
        if (i % 2 == 0)
            (void)change_quietly(fds[0], EVFILT_READ, EV_DELETE);
        (void)close(fds[0]);
        (void)close(fds[1]);
        if (twin != -1)
            (void)close(twin);
    }
    return NULL;
}

static void the_queue_survives_changes_from_everywhere(void **state)
{
    int fds[2];
    pthread_t workers[WORKERS], changers[WORKERS];
    (void)state;
    open_sockets(fds);
    start_workers(workers, take_and_count);
    for (int i = 0; i < WORKERS; i++)
        changers[i] = start(change_a_lot, NULL);
    for (int i = 0; i < WORKERS; i++)
        join(changers[i]);
    join_workers(workers);
    struct kevent events[ROOM];
    while (take_now(events, ROOM) > 0)
        ; /* edges that nobody took */
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
}

static void *own_queues(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct kevent wanted, event;
        int fds[2] = {-1, -1}, own = kqueue();
        bool is_good = own != -1 && pipe(fds) == 0 && write(fds[1], "x", 1) == 1;
        fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
        is_good = is_good && kevent(own, &wanted, 1, &event, 1, NULL) == 1;
        is_good = is_good && event.ident == (uintptr_t)fds[0] && event.data == 1;
        (void)atomic_fetch_add(&delivered, is_good ? 1 : 0);
        (void)close(own);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
    return NULL;
}

static void threads_open_and_close_queues_of_their_own(void **state)
{
    pthread_t workers[WORKERS];
    (void)state;
    start_workers(workers, own_queues);
    join_workers(workers);
    assert_int_equal(atomic_load(&delivered), WORKERS * (ROUNDS / 10));
}

int run_threads(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_reaches_a_thread_that_waits),
        TEST(a_user_event_wakes_a_thread_that_waits),
        TEST(a_close_does_not_disturb_a_thread_that_waits),
        TEST(a_thread_that_waits_can_be_cancelled),
        TEST(a_oneshot_event_reaches_one_thread),
        TEST(a_dispatched_event_reaches_one_thread),
        TEST(workers_share_sockets_and_lose_no_byte),
        TEST(no_edge_is_lost_while_another_thread_writes),
        TEST(the_queue_survives_changes_from_everywhere),
        TEST(threads_open_and_close_queues_of_their_own),
    };
    return RUN("threads", tests);
}
