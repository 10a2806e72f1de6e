/*
 * closing: what close(), dup() and fork() do to what a queue watches, and to the queue.
 */
#include "kqueue_case.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char old[] = "old", fresh[] = "fresh";

/* Another descriptor gets the number `fd`, which is free. */
static void reuse_number(int fd, int source)
{
    assert_int_equal(dup2(source, fd), fd);
    (void)keep(fd);
}

static void closing_removes_silently(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD), 0);
    struct kevent events[ROOM];
    assert_int_equal(take(events, ROOM), 2);
    let_go(fds[0]);
    expect_nothing();
    expect_gone(fds[0], EVFILT_READ);
    expect_gone(fds[0], EVFILT_WRITE);
}

/* Whatever was said of the old descriptor does not hold for a new one of the same number. */
static void a_number_that_is_used_again_inherits_nothing(void **state)
{
    static const unsigned flags[] = {EV_ADD, EV_ADD | EV_CLEAR, EV_ADD | EV_DISABLE};
    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        int first[2], second[2];
        open_sockets(first);
        open_sockets(second);
        put(second[1], "x");
        assert_int_equal(change((uintptr_t)first[0], EVFILT_READ, flags[i], 0, 0, old), 0);
        let_go(first[0]);
        reuse_number(first[0], second[0]);
        expect_nothing();
        assert_int_equal(change_fd(first[0], EVFILT_READ, EV_ENABLE), ENOENT);
        assert_int_equal(change_fd(first[0], EVFILT_READ, EV_DELETE), ENOENT);
        assert_int_equal(change((uintptr_t)first[0], EVFILT_READ, EV_ADD, 0, 0, fresh), 0);
        struct kevent event = take_one((uintptr_t)first[0], EVFILT_READ);
        assert_ptr_equal(mark_of(&event), fresh);
        let_go(first[0]);
    }
}

static void only_one_filter_of_a_new_descriptor_is_added(void **state)
{
    int first[2], second[2];
    (void)state;
    open_sockets(first);
    open_sockets(second);
    put(second[1], "x");
    assert_int_equal(change_fd(first[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(first[0], EVFILT_WRITE, EV_ADD), 0);
    let_go(first[0]);
    reuse_number(first[0], second[0]);
    assert_int_equal(change_fd(first[0], EVFILT_WRITE, EV_ADD), 0);
    for (int i = 0; i < 3; i++)
        (void)take_one((uintptr_t)first[0], EVFILT_WRITE);
    assert_int_equal(change_fd(first[0], EVFILT_READ, EV_DELETE), ENOENT);
    (void)take_one((uintptr_t)first[0], EVFILT_WRITE);
}

static void a_dup_is_another_ident(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    int twin = keep(dup(fds[0]));
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, old), 0);
    assert_int_equal(change_fd(twin, EVFILT_READ, EV_DELETE), ENOENT);
    assert_int_equal(change((uintptr_t)twin, EVFILT_READ, EV_ADD, 0, 0, fresh), 0);
    put(fds[1], "x");
    struct kevent events[ROOM];
    assert_int_equal(take(events, ROOM), 2);
    assert_true(events[0].ident != events[1].ident);
    assert_int_equal(change_fd(twin, EVFILT_READ, EV_DELETE), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
}

/* The file lives on in a dup; the number does not. */
static void a_closed_number_stays_silent_although_a_dup_lives(void **state)
{
    static const unsigned flags[] = {EV_ADD, EV_ADD | EV_CLEAR};
    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        int fds[2], others[2];
        open_sockets(fds);
        open_sockets(others);
        int twin = keep(dup(fds[0]));
        assert_int_equal(change_fd(fds[0], EVFILT_READ, flags[i]), 0);
        assert_int_equal(change_fd(fds[0], EVFILT_WRITE, flags[i]), 0);
        assert_int_equal(change_fd(others[0], EVFILT_READ, flags[i]), 0);
        let_go(fds[0]);
        for (int round = 0; round < 3; round++) {
            put(fds[1], "x");
            expect_nothing();
        }
        put(others[1], "x"); /* who is still open is still watched */
        (void)take_one((uintptr_t)others[0], EVFILT_READ);
        assert_int_equal(change_fd(twin, EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
        assert_int_equal(change_fd(others[0], EVFILT_READ, EV_DELETE), 0);
        (void)take_one((uintptr_t)twin, EVFILT_READ);
        let_go(twin);
    }
}

static void waiting_beside_a_closed_number_costs_nothing(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    (void)keep(dup(fds[0]));
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD), 0);
    put(fds[1], "x");
    let_go(fds[0]);
    expect_a_quiet_wait();
}

static void a_watched_file_that_is_closed_is_forgotten(void **state)
{
    char path[256];
    int fd = open_file(path, sizeof path);
    (void)state;
    (void)unlink(path);
    put(fd, "hello");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(change_fd(fd, EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD, NOTE_WRITE, 0, NULL), 0);
    put(fd, "!");
    let_go(fd);
    expect_nothing();
    expect_gone(fd, EVFILT_READ);
    expect_gone(fd, EVFILT_VNODE);
}

/* To get rid of a closed number whose file lives on, a queue may have to be built anew. */
static void a_file_is_watched_still_when_a_number_was_closed(void **state)
{
    char path[256];
    int fds[2], fd = open_file(path, sizeof path);
    (void)state;
    (void)unlink(path);
    open_sockets(fds);
    (void)keep(dup(fds[0]));
    assert_int_equal(change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL),
                     0);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    let_go(fds[0]);
    put(fds[1], "x");
    for (int i = 0; i < 4; i++)
        expect_nothing();
    put(fd, "!");
    (void)take_one((uintptr_t)fd, EVFILT_VNODE);
}

#ifdef __linux__
/* The emulation's own: what inotify watches for this process. */
static int count_watches(void)
{
    char path[512], line[256];
    int watches = 0;
    DIR *all = opendir("/proc/self/fdinfo");
    for (struct dirent *one; all != NULL && (one = readdir(all)) != NULL;) {
        (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%s", one->d_name);
        FILE *info = fopen(path, "r"); /* of a folder, too: it has no lines */
        while (info != NULL && fgets(line, sizeof line, info) != NULL)
            watches += strncmp(line, "inotify wd:", 11) == 0;
        if (info != NULL)
            (void)fclose(info);
    }
    if (all != NULL)
        (void)closedir(all);
    return watches;
}
#endif

static void files_that_were_closed_leave_no_watch(void **state)
{
    (void)state;
#ifdef __linux__
    enum { FILES = 20 };
    char path[FILES][256];
    for (int i = 0; i < FILES; i++) {
        int fd = open_file(path[i], sizeof path[i]);
        assert_int_equal(
            change((uintptr_t)fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, NULL), 0);
        let_go(fd);
    }
    int watches = count_watches();
    for (int i = 0; i < FILES; i++) /* only now: it ends a watch, too */
        (void)unlink(path[i]);
    assert_int_equal(watches, 1); /* the last one's number was not used again */
#else
    skip_because("this kernel's queue holds no watches of its own");
#endif
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void a_dup_of_a_queue_is_the_same_queue(void **state)
{
    int fds[2], twin = dup(queue);
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    struct kevent wanted, event;
    (void)state;
    if (twin == -1)
        skip_because("this system does not duplicate a queue: errno %d", errno);
    (void)keep(twin);
    open_sockets(fds);
    put(fds[1], "x");
    fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, old);
    assert_int_equal(kevent(twin, &wanted, 1, NULL, 0, NULL), 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
    assert_int_equal(kevent(twin, NULL, 0, &event, 1, &now), 1);
    assert_int_equal(close(queue), 0);
    queue = -1;
    assert_int_equal(kevent(twin, NULL, 0, &event, 1, &now), 1);
}

static void a_child_does_not_inherit_the_queue(void **state)
{
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    struct kevent event;
    int fds[2], status = -1;
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        int n = kevent(queue, NULL, 0, &event, 1, &now);
        int own = n == -1 && errno == EBADF ? kqueue() : -1;
        struct kevent wanted;
        fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
        _exit(own != -1 && kevent(own, &wanted, 1, &event, 1, NULL) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)take_one((uintptr_t)fds[0], EVFILT_READ); /* the parent's is as it was */
}

/* A child that holds copies of all descriptors keeps the files alive, as a dup does. */
static void what_a_child_holds_open_is_closed_for_the_parent(void **state)
{
    int fds[2], others[2], until[2], status = -1;
    (void)state;
    open_sockets(fds);
    open_sockets(others);
    open_pipe(until);
    assert_int_equal(fcntl(until[0], F_SETFL, 0), 0); /* the child waits in read() */
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change_fd(others[0], EVFILT_READ, EV_ADD), 0);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        char byte;
        (void)close(until[1]);
        _exit(read(until[0], &byte, 1) == 0 ? 0 : 1);
    }
    put(fds[1], "x");
    (void)take_one((uintptr_t)fds[0], EVFILT_READ);
    let_go(fds[0]);
    for (int i = 0; i < 3; i++)
        expect_nothing();
    put(others[1], "x");
    (void)take_one((uintptr_t)others[0], EVFILT_READ);
    let_go(until[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int run_closing(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closing_removes_silently),
        TEST(a_number_that_is_used_again_inherits_nothing),
        TEST(only_one_filter_of_a_new_descriptor_is_added),
        TEST(a_dup_is_another_ident),
        TEST(a_closed_number_stays_silent_although_a_dup_lives),
        TEST(waiting_beside_a_closed_number_costs_nothing),
        TEST(a_watched_file_that_is_closed_is_forgotten),
        TEST(a_file_is_watched_still_when_a_number_was_closed),
        TEST(files_that_were_closed_leave_no_watch),
        TEST(a_dup_of_a_queue_is_the_same_queue),
        TEST(a_child_does_not_inherit_the_queue),
        TEST(what_a_child_holds_open_is_closed_for_the_parent),
    };
    return RUN("closing", tests);
}
