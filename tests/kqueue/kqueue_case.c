/*
 * kqueue_case: see kqueue_case.h.
 */
#include "kqueue_case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KEPT_MAX = 64, CHUNK = 4096, DRAIN_MAX = 64 * 1024 * 1024 };

int queue = -1;
static int kept[KEPT_MAX], kept_count;

int open_queue(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    queue = kqueue();
    return queue == -1 ? -1 : 0;
}

int close_queue(void **state)
{
    (void)state;
    while (kept_count > 0)
        if (kept[--kept_count] != -1)
            (void)close(kept[kept_count]);
    if (queue != -1)
        (void)close(queue);
    queue = -1;
    return 0;
}

int announce(void **state)
{
    (void)state;
#ifdef KQUEUE_EMULATED
    (void)printf("# emulated: over epoll\n");
    (void)fflush(stdout);
#endif
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

void fill(struct kevent *change, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
          int64_t data, const void *mark)
{
    struct kevent clean;
    memset(&clean, 0, sizeof clean);
    *change = clean;
    /* The fields have other types on each system: EV_SET casts, or the values fit. */
    EV_SET(change, ident, (short)filter, (unsigned short)flags, fflags, (intptr_t)data,
           (udata)(uintptr_t)mark);
}

const void *mark_of(const struct kevent *event)
{
    return (const void *)event->udata;
}

int change(uintptr_t ident, int filter, unsigned flags, unsigned fflags, int64_t data,
           const void *mark)
{
    struct kevent wanted;
    fill(&wanted, ident, filter, flags, fflags, data, mark);
    return kevent(queue, &wanted, 1, NULL, 0, NULL) == -1 ? errno : 0;
}

int change_fd(int fd, int filter, unsigned flags)
{
    return change((uintptr_t)fd, filter, flags, 0, 0, NULL);
}

void expect_gone(int fd, int filter)
{
    int err = change_fd(fd, filter, EV_DELETE);
    assert_true(err == EBADF || err == ENOENT);
}

int take(struct kevent *events, kq_count room)
{
    int64_t end_ns = deadline_in_ms(PATIENCE_MS);
    for (;;) {
        int left_ms = deadline_left_ms(end_ns);
        struct timespec left = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000L};
        int n = kevent(queue, NULL, 0, events, room, &left);
        if (n != -1 || errno != EINTR)
            return n;
    }
}

int take_now(struct kevent *events, kq_count room)
{
    static const struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
    return kevent(queue, NULL, 0, events, room, &now);
}

struct kevent take_one(uintptr_t ident, int filter)
{
    struct kevent events[ROOM];
    assert_int_equal(take(events, ROOM), 1);
    assert_true(events[0].ident == ident);
    assert_true((int)events[0].filter == filter);
    assert_int_equal(events[0].flags & EV_ERROR, 0);
    return events[0];
}

void expect_nothing(void)
{
    struct kevent events[ROOM];
    assert_int_equal(take_now(events, ROOM), 0);
}

static int64_t thread_cpu_ns(void)
{
    struct timespec now = {.tv_sec = 0, .tv_nsec = 0};
#ifdef CLOCK_THREAD_CPUTIME_ID
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A call that sleeps needs some microseconds. One that spins needs all that it can get; on a busy
 * machine that is less than the whole time, but far more than this. */
void expect_a_quiet_wait(void)
{
    static const struct timespec a_while = {.tv_sec = 0, .tv_nsec = 200000000};
    static const int64_t little_ns = 5000000;
    struct kevent event;
    int64_t before_ns = thread_cpu_ns();
    assert_int_equal(kevent(queue, NULL, 0, &event, 1, &a_while), 0);
    assert_true(thread_cpu_ns() - before_ns < little_ns);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

int keep(int fd)
{
    assert_true(fd >= 0);
    assert_true(kept_count < KEPT_MAX);
    kept[kept_count++] = fd;
    return fd;
}

void let_go(int fd)
{
    for (int i = 0; i < kept_count; i++)
        if (kept[i] == fd)
            kept[i] = -1;
    assert_int_equal(close(fd), 0);
}

static void set_up(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    (void)keep(fd);
}

void open_sockets(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    set_up(fds[0]);
    set_up(fds[1]);
}

void open_pipe(int fds[2])
{
    assert_int_equal(pipe(fds), 0);
    set_up(fds[0]);
    set_up(fds[1]);
}

int open_file(char *path, size_t len)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(path, len, "%s/kqueue.XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    int fd = mkstemp(path);
    return keep(fd);
}

int open_listener(uint16_t *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    set_up(fd);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    *port = ntohs(name.sin_port);
    return fd;
}

int open_connecting(uint16_t port)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    set_up(fd);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == -1)
        assert_true(errno == EINPROGRESS || errno == ECONNREFUSED);
    return fd;
}

void open_tcp(int fds[2])
{
    uint16_t port;
    int listener = open_listener(&port);
    fds[0] = open_connecting(port);
    assert_int_equal(change_fd(listener, EVFILT_READ, EV_ADD), 0);
    (void)take_one((uintptr_t)listener, EVFILT_READ);
    fds[1] = accept(listener, NULL, NULL);
    set_up(fds[1]);
    let_go(listener);
}

void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

int64_t get(int fd)
{
    char bytes[CHUNK];
    return read(fd, bytes, sizeof bytes);
}

void drain(int fd)
{
    for (int64_t all = 0, n = get(fd); n > 0 && all < DRAIN_MAX; n = get(fd))
        all += n;
}

int64_t stuff(int fd)
{
    static const char bytes[CHUNK];
    int64_t all = 0;
    for (ssize_t n = write(fd, bytes, sizeof bytes); n > 0; n = write(fd, bytes, sizeof bytes))
        all += n;
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS);
    return all;
}

int count_descriptors(void)
{
    int count = 0;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int most = limit.rlim_cur > 20000 ? 20000 : (int)limit.rlim_cur;
    for (int fd = 0; fd < most; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}
