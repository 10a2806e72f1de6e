/*
 * descriptors: EVFILT_READ and EVFILT_WRITE of sockets, pipes, files and queues, and what `data`
 * and EV_EOF say of them.
 */
#include "kqueue_case.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- reading --------------------------------------------------------------------------------- */

static void data_counts_the_bytes_to_read(void **state)
{
    static void (*const openers[])(int fds[2]) = {open_sockets, open_pipe, open_tcp};
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        int fds[2];
        openers[i](fds); /* of a pipe, [0] is the end to read from */
        put(fds[1], "hello");
        assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
        assert_int_equal(take_one((uintptr_t)fds[0], EVFILT_READ).data, 5);
        drain(fds[0]);
        let_go(fds[0]);
    }
}

static void data_of_a_listener_counts_who_waits(void **state)
{
    uint16_t port;
    int listener = open_listener(&port);
    int64_t end_ns = deadline_in_ms(PATIENCE_MS), waiting = 0;
    (void)state;
    assert_int_equal(change_fd(listener, EVFILT_READ, EV_ADD), 0);
    expect_nothing();
    (void)open_connecting(port);
    (void)open_connecting(port);
    while (waiting < 2 && deadline_left_ms(end_ns) > 0)
        waiting = take_one((uintptr_t)listener, EVFILT_READ).data;
    assert_int_equal(waiting, 2);
    (void)keep(accept(listener, NULL, NULL));
    assert_int_equal(take_one((uintptr_t)listener, EVFILT_READ).data, 1);
    (void)keep(accept(listener, NULL, NULL));
    expect_nothing();
}

/* EV_EOF is a hint: what was sent before is still there. Only recv() = 0 is the end. */
static void the_end_of_a_stream_may_come_with_data_before_it(void **state)
{
    static void (*const openers[])(int fds[2]) = {open_sockets, open_pipe, open_tcp};
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        struct kevent event;
        int fds[2];
        int64_t end_ns = deadline_in_ms(PATIENCE_MS);
        openers[i](fds);
        put(fds[1], "abc");
        let_go(fds[1]);
        assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
        do
            event = take_one((uintptr_t)fds[0], EVFILT_READ);
        while ((event.flags & EV_EOF) == 0 && deadline_left_ms(end_ns) > 0);
        assert_int_not_equal(event.flags & EV_EOF, 0);
        assert_int_equal(event.data, 3);
        assert_int_equal(get(fds[0]), 3);
        event = take_one((uintptr_t)fds[0], EVFILT_READ);
        assert_int_not_equal(event.flags & EV_EOF, 0);
        assert_int_equal(event.data, 0);
        assert_int_equal(get(fds[0]), 0);
        let_go(fds[0]);
    }
}

static void a_half_close_ends_reading_and_not_writing(void **state)
{
    int fds[2];
    (void)state;
    open_tcp(fds);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    assert_int_not_equal(take_one((uintptr_t)fds[0], EVFILT_READ).flags & EV_EOF, 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD | EV_ONESHOT), 0);
    struct kevent event = take_one((uintptr_t)fds[0], EVFILT_WRITE);
    assert_int_equal(event.flags & EV_EOF, 0);
    assert_true(event.data > 0);
    put(fds[0], "abc");
    assert_int_equal(change_fd(fds[1], EVFILT_READ, EV_ADD), 0);
    (void)take_one((uintptr_t)fds[1], EVFILT_READ);
    assert_int_equal(get(fds[1]), 3);
}

static void a_reset_ends_both_and_recv_tells_why(void **state)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fds[2];
    (void)state;
    open_tcp(fds);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    let_go(fds[1]);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    assert_int_not_equal(take_one((uintptr_t)fds[0], EVFILT_READ).flags & EV_EOF, 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD | EV_ONESHOT), 0);
    assert_int_not_equal(take_one((uintptr_t)fds[0], EVFILT_WRITE).flags & EV_EOF, 0);
    assert_int_equal(get(fds[0]), -1);
    assert_int_equal(errno, ECONNRESET);
}

#ifdef NOTE_LOWAT
static void below_its_low_water_mark_nothing_is_reported(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "0123");
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 8, NULL), 0);
    expect_nothing();
    put(fds[1], "456");
    expect_nothing();
    put(fds[1], "7");
    for (int i = 0; i < 3; i++) /* level-triggered, above the mark */
        assert_int_equal(take_one((uintptr_t)fds[0], EVFILT_READ).data, 8);
    drain(fds[0]);
    put(fds[1], "0123");
    expect_nothing();
    let_go(fds[1]); /* the end counts, whatever the mark */
    assert_int_not_equal(take_one((uintptr_t)fds[0], EVFILT_READ).flags & EV_EOF, 0);
}

static void waiting_below_the_mark_costs_nothing(void **state)
{
    int fds[2];
    (void)state;
    open_sockets(fds);
    put(fds[1], "0123");
    assert_int_equal(change((uintptr_t)fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 8, NULL), 0);
    expect_a_quiet_wait();
}
#else
static void below_its_low_water_mark_nothing_is_reported(void **state)
{
    (void)state;
    skip_because("this system has no NOTE_LOWAT");
}

static void waiting_below_the_mark_costs_nothing(void **state)
{
    (void)state;
    skip_because("this system has no NOTE_LOWAT");
}
#endif

/* ---- writing --------------------------------------------------------------------------------- */

static void data_of_write_is_the_room_that_is_left(void **state)
{
    static void (*const openers[])(int fds[2]) = {open_sockets, open_pipe, open_tcp};
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        int fds[2];
        openers[i](fds); /* of a pipe, [1] is the end to write to */
        assert_int_equal(change_fd(fds[1], EVFILT_WRITE, EV_ADD), 0);
        struct kevent event = take_one((uintptr_t)fds[1], EVFILT_WRITE);
        assert_true(event.data > 0);
        assert_int_equal(event.flags & EV_EOF, 0);
        let_go(fds[1]);
    }
}

static void a_full_socket_is_not_reported_until_there_is_room(void **state)
{
    static void (*const openers[])(int fds[2]) = {open_sockets, open_pipe};
    (void)state;
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        int fds[2];
        openers[i](fds);
        assert_true(stuff(fds[1]) > 0);
        assert_int_equal(change_fd(fds[1], EVFILT_WRITE, EV_ADD), 0);
        expect_nothing();
        drain(fds[0]);
        (void)take_one((uintptr_t)fds[1], EVFILT_WRITE);
        let_go(fds[1]);
    }
}

static void a_pipe_without_a_reader_ends_writing(void **state)
{
    int fds[2];
    (void)state;
    open_pipe(fds);
    assert_int_equal(stuff(fds[1]) > 0, 1);
    assert_int_equal(change_fd(fds[1], EVFILT_WRITE, EV_ADD), 0);
    expect_nothing();
    let_go(fds[0]);
    assert_int_not_equal(take_one((uintptr_t)fds[1], EVFILT_WRITE).flags & EV_EOF, 0);
    assert_int_equal(write(fds[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

static void shutting_ones_own_side_ends_writing(void **state)
{
    int fds[2];
    (void)state;
    open_tcp(fds);
    assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
    assert_int_equal(change_fd(fds[0], EVFILT_WRITE, EV_ADD), 0);
    assert_int_not_equal(take_one((uintptr_t)fds[0], EVFILT_WRITE).flags & EV_EOF, 0);
}

static void write_reports_how_a_connect_ends(void **state)
{
    uint16_t port;
    int err = -1, listener = open_listener(&port), fd = open_connecting(port);
    socklen_t len = sizeof err;
    (void)state;
    assert_int_equal(change_fd(fd, EVFILT_WRITE, EV_ADD | EV_ONESHOT), 0);
    assert_int_equal(take_one((uintptr_t)fd, EVFILT_WRITE).flags & EV_EOF, 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    assert_int_equal(err, 0);
    let_go(listener);
    fd = open_connecting(port);
    assert_int_equal(change_fd(fd, EVFILT_WRITE, EV_ADD | EV_ONESHOT), 0);
    assert_int_not_equal(take_one((uintptr_t)fd, EVFILT_WRITE).flags & EV_EOF, 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void data_of_a_file_is_what_is_left_to_its_end(void **state)
{
    char path[256];
    int fd = open_file(path, sizeof path);
    (void)state;
    (void)unlink(path);
    put(fd, "hello");
    assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
    assert_int_equal(change_fd(fd, EVFILT_READ, EV_ADD), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take_one((uintptr_t)fd, EVFILT_READ).data, 4);
    assert_int_equal(get(fd), 4);
    expect_nothing();
}

static void a_file_that_grows_is_reported_at_its_end(void **state)
{
    char path[256];
    int fd = open_file(path, sizeof path), other = keep(open(path, O_WRONLY | O_APPEND));
    (void)state;
    (void)unlink(path);
    assert_int_equal(change_fd(fd, EVFILT_READ, EV_ADD), 0);
    expect_nothing();
    for (int i = 0; i < 3; i++) {
        put(other, "more");
        assert_int_equal(take_one((uintptr_t)fd, EVFILT_READ).data, 4);
        assert_int_equal(get(fd), 4);
        expect_nothing();
    }
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void a_queue_can_be_polled(void **state)
{
    int fds[2];
    struct pollfd polled = {.fd = queue, .events = POLLIN};
    (void)state;
    open_sockets(fds);
    assert_int_equal(change_fd(fds[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
    put(fds[1], "x");
    assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
    assert_int_not_equal(polled.revents & POLLIN, 0);
    drain(fds[0]);
    expect_nothing();
    assert_int_equal(poll(&polled, 1, 0), 0);
}

static void a_queue_can_be_watched_by_another_one(void **state)
{
    int fds[2], inner = keep(kqueue());
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    struct kevent wanted, event;
    (void)state;
    open_sockets(fds);
    fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
    assert_int_equal(kevent(inner, &wanted, 1, NULL, 0, NULL), 0);
    assert_int_equal(change_fd(inner, EVFILT_READ, EV_ADD), 0);
    expect_nothing();
    put(fds[1], "x");
    assert_true(take_one((uintptr_t)inner, EVFILT_READ).data >= 1);
    assert_int_equal(kevent(inner, NULL, 0, &event, 1, NULL), 1);
    drain(fds[0]);
    /* The outer one counts what lies in the inner one, which looks again only when it is asked. */
    assert_int_equal(kevent(inner, NULL, 0, &event, 1, &now), 0);
    expect_nothing();
}

/* How deep it may go is not promised; what is too deep must be told, and not hang. */
static void a_third_storey_works_or_is_refused(void **state)
{
    int fds[2], middle = keep(kqueue()), inner = keep(kqueue());
    struct kevent wanted;
    (void)state;
    open_sockets(fds);
    put(fds[1], "x");
    fill(&wanted, (uintptr_t)fds[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
    assert_int_equal(kevent(inner, &wanted, 1, NULL, 0, NULL), 0);
    fill(&wanted, (uintptr_t)inner, EVFILT_READ, EV_ADD, 0, 0, NULL);
    assert_int_equal(kevent(middle, &wanted, 1, NULL, 0, NULL), 0);
    int err = change_fd(middle, EVFILT_READ, EV_ADD);
    assert_true(err == 0 || err == ELOOP || err == EINVAL);
    if (err == 0)
        (void)take_one((uintptr_t)middle, EVFILT_READ);
}

static void a_queue_does_not_watch_itself(void **state)
{
    (void)state;
#if defined(__NetBSD__) || defined(__OpenBSD__)
    skip_because("this system does not look whether it is the queue itself (kern_event.c)");
#else
    int err = change_fd(queue, EVFILT_READ, EV_ADD);
    assert_true(err == ELOOP || err == EINVAL);
    expect_nothing();
#endif
}

int run_descriptors(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_counts_the_bytes_to_read),
        TEST(data_of_a_listener_counts_who_waits),
        TEST(the_end_of_a_stream_may_come_with_data_before_it),
        TEST(a_half_close_ends_reading_and_not_writing),
        TEST(a_reset_ends_both_and_recv_tells_why),
        TEST(below_its_low_water_mark_nothing_is_reported),
        TEST(waiting_below_the_mark_costs_nothing),
        TEST(data_of_write_is_the_room_that_is_left),
        TEST(a_full_socket_is_not_reported_until_there_is_room),
        TEST(a_pipe_without_a_reader_ends_writing),
        TEST(shutting_ones_own_side_ends_writing),
        TEST(write_reports_how_a_connect_ends),
        TEST(data_of_a_file_is_what_is_left_to_its_end),
        TEST(a_file_that_grows_is_reported_at_its_end),
        TEST(a_queue_can_be_polled),
        TEST(a_queue_can_be_watched_by_another_one),
        TEST(a_third_storey_works_or_is_refused),
        TEST(a_queue_does_not_watch_itself),
    };
    return RUN("descriptors", tests);
}
