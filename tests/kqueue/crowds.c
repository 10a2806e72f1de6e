/*
 * crowds: many events, many queues, and nothing left behind.
 */
#include "kqueue_case.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKET_PAIRS = 4500, PIPES = 1000, KNOTES = 4 * SOCKET_PAIRS + 2 * PIPES, SPARE = 200 };
enum { FDS = 2 * (SOCKET_PAIRS + PIPES), MANY = 512 };

/* ---- 20,000 ---------------------------------------------------------------------------------- */

static int *crowd;

static long raise_limit(long wanted)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < (rlim_t)wanted) {
        limit.rlim_cur = limit.rlim_max < (rlim_t)wanted ? limit.rlim_max : (rlim_t)wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    return limit.rlim_cur < (rlim_t)wanted ? (long)limit.rlim_cur : wanted;
}

static bool open_crowd(void)
{
    for (int i = 0; i < FDS; i += 2) {
        bool is_pipe = i >= 2 * SOCKET_PAIRS;
        if ((is_pipe ? pipe(&crowd[i]) : socketpair(AF_UNIX, SOCK_STREAM, 0, &crowd[i])) == -1)
            return false;
    }
    return true;
}

static int close_crowd(void **state)
{
    for (int i = 0; crowd != NULL && i < FDS; i++)
        if (crowd[i] != -1)
            (void)close(crowd[i]);
    free(crowd);
    crowd = NULL;
    return close_queue(state);
}

/* Both filters for a socket, one for each end of a pipe. */
static void watch_crowd(void)
{
    int knotes = 0;
    for (int i = 0; i < FDS; i++) {
        struct kevent changes[2];
        bool is_pipe = i >= 2 * SOCKET_PAIRS, is_reader = !is_pipe || i % 2 == 0;
        int n = 0;
        if (is_reader)
            fill(&changes[n++], (uintptr_t)crowd[i], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, crowd);
        if (!is_pipe || i % 2 == 1)
            fill(&changes[n++], (uintptr_t)crowd[i], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, crowd);
        assert_int_equal(kevent(queue, changes, (kq_count)n, NULL, 0, NULL), 0);
        knotes += n;
    }
    assert_int_equal(knotes, KNOTES);
}

/* Takes `count` events of one filter, each of another ident. */
static void expect_each_once(int filter, int count)
{
    char *seen = calloc(1 << 16, 1);
    assert_non_null(seen);
    for (int all = 0; all < count;) {
        struct kevent events[MANY];
        int n = take(events, MANY);
        assert_true(n > 0);
        for (int i = 0; i < n; i++) {
            assert_true((int)events[i].filter == filter && events[i].ident < 1 << 16);
            assert_ptr_equal(mark_of(&events[i]), crowd);
            assert_int_equal(seen[events[i].ident]++, 0);
        }
        all += n;
    }
    expect_nothing();
    free(seen);
}

static void twenty_thousand_events_are_each_reported_once(void **state)
{
    (void)state;
    if (raise_limit(FDS + SPARE) < FDS + SPARE)
        skip_because("this process may not open %d descriptors", FDS + SPARE);
    crowd = malloc(FDS * sizeof *crowd);
    assert_non_null(crowd);
    for (int i = 0; i < FDS; i++)
        crowd[i] = -1;
    if (!open_crowd())
        skip_because("this system has not enough sockets or pipes: errno %d", errno);
    watch_crowd();
    expect_each_once(EVFILT_WRITE, 2 * SOCKET_PAIRS + PIPES);
    for (int i = 0; i < FDS; i++)
        if (i < 2 * SOCKET_PAIRS || i % 2 == 1)
            put(crowd[i], "x");
    expect_each_once(EVFILT_READ, 2 * SOCKET_PAIRS + PIPES);
    for (int i = 0; i < FDS; i++) { /* all at once, without a word to the queue */
        (void)close(crowd[i]);
        crowd[i] = -1;
    }
    expect_nothing();
}

/* ---- leaks ----------------------------------------------------------------------------------- */

static void use_everything(void)
{
    char path[256];
    int fds[2], fd = open_file(path, sizeof path);
    struct kevent events[ROOM];
    (void)unlink(path);
    open_sockets(fds);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD), 0);
    for (uintptr_t id = 0; id < 5; id++)
        assert_int_equal(change(id, EVFILT_TIMER, EV_ADD, 0, 1, NULL), 0);
    assert_int_equal(change(SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), 0);
    assert_int_equal(change((uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
#ifdef EVFILT_USER
    assert_int_equal(change(1, EVFILT_USER, EV_ADD, 0, 0, NULL), 0);
#endif
    assert_true(take(events, ROOM) > 0);
}

static void close_all_and_open_anew(void)
{
    assert_int_equal(close_queue(NULL), 0);
    assert_int_equal(open_queue(NULL), 0);
}

static void queues_that_are_closed_leave_nothing_behind(void **state)
{
    (void)state;
    use_everything();
    close_all_and_open_anew();
    int before = count_descriptors();
    for (int i = 0; i < 50; i++) {
        use_everything();
        close_all_and_open_anew();
    }
    assert_int_equal(count_descriptors(), before);
}

static void events_that_are_deleted_leave_nothing_behind(void **state)
{
    int fds[2], before = -1;
    (void)state;
    open_sockets(fds);
    for (int i = 0; i < 50; i++) {
        static const unsigned ways[] = {EV_ADD, EV_ADD | EV_ONESHOT};
        struct kevent event;
        assert_int_equal(change(1, EVFILT_TIMER, ways[i % 2], 0, 1, NULL), 0);
        assert_int_equal(take(&event, 1), 1);
        if (i % 2 == 0) {
            assert_int_equal(change(1, EVFILT_TIMER, EV_ADD, 0, 2, NULL), 0);
            assert_int_equal(change(1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), 0);
        }
        assert_int_equal(change(SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
        assert_int_equal(change(SIGUSR2, EVFILT_SIGNAL, EV_DELETE, 0, 0, NULL), 0);
        assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
        assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_DELETE), 0);
        if (i == 1)
            before = count_descriptors();
    }
    assert_int_equal(count_descriptors(), before);
}

static void a_change_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    int before = count_descriptors();
    for (int i = 0; i < 20; i++) {
        assert_int_not_equal(change(1u << 30, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL), 0);
        assert_int_not_equal(change(1u << 30, EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
        assert_int_not_equal(change(1u << 30, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), 0);
    }
    assert_int_equal(count_descriptors(), before);
}

/* A program may expect the lowest number, or put a descriptor of its own at one that it closed. */
static void a_queue_takes_no_number_but_its_own(void **state)
{
    (void)state;
    int first = keep(dup(0)), second = keep(dup(0));
    let_go(first);
    let_go(second);
    use_everything();
    int again = keep(dup(0)), more = keep(dup(0));
    assert_true(again < more && more <= second + 3); /* use_everything() has opened three */
    assert_int_equal(keep(kqueue()), more + 1);
}

/* Each child closes what it has inherited, whatever the parent watches. */
static void children_inherit_no_descriptor_of_a_queue(void **state)
{
    int status = -1;
    (void)state;
    int before = count_descriptors(); /* with one queue, empty */
    use_everything();
    close_all_and_open_anew();
    use_everything();
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0)
        _exit(count_descriptors() <= before - 1 + 3 ? 0 : 1); /* two sockets and a file */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int run_crowds(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(twenty_thousand_events_are_each_reported_once, open_queue,
                                        close_crowd),
        TEST(queues_that_are_closed_leave_nothing_behind),
        TEST(events_that_are_deleted_leave_nothing_behind),
        TEST(a_change_that_fails_leaves_nothing_behind),
        TEST(a_queue_takes_no_number_but_its_own),
        TEST(children_inherit_no_descriptor_of_a_queue),
    };
    return RUN("crowds", tests);
}
