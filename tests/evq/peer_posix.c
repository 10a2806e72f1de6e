/*
 * peer_posix.c: see peer.h.
 */
#include "evq_case.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum { SMALL_BUFFER = 32768, CHUNK = 16384 };

static void fd__prepare(int fd)
{
    int on = 1;
    assert_true(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

/* Until the deadline; the test fails when it passes. */
static void fd__wait(int fd, short events, int64_t deadline_ns)
{
    struct pollfd look = {.fd = fd, .events = events};
    for (;;) {
        int n = poll(&look, 1, deadline_left_ms(deadline_ns));
        if (n > 0)
            return;
        if (n == 0)
            fail_msg("the peer has waited in vain");
        assert_int_equal(errno, EINTR);
    }
}

evq_fd peer_listen(int backlog, uint16_t *port)
{
    struct sockaddr_in addr = peer_address(0);
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    fd__prepare(fd);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

bool peer_connect(evq_fd *fd, uint16_t port)
{
    struct sockaddr_in addr = peer_address(port);
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    if (*fd < 0)
        return false;
    fd__prepare(*fd);
    if (connect(*fd, (struct sockaddr *)&addr, sizeof addr) == 0 || errno == EINPROGRESS)
        return true;
    (void)close(*fd);
    return false;
}

void peer_pair(evq_fd ends[2])
{
    uint16_t port;
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    int listener = peer_listen(1, &port);
    assert_true(peer_connect(&ends[0], port));
    fd__wait(listener, POLLIN, deadline_ns);
    ends[1] = accept(listener, NULL, NULL);
    assert_true(ends[1] >= 0);
    fd__prepare(ends[1]);
    fd__wait(ends[0], POLLOUT, deadline_ns);
    (void)close(listener);
}

struct sockaddr_in peer_address(uint16_t port)
{
    struct sockaddr_in addr;
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    addr.sin_port = htons(port);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return addr;
}

uint16_t peer_free_port(void)
{
    uint16_t port;
    (void)close(peer_listen(1, &port));
    return port;
}

evq_fd peer_datagram_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    return fd;
}

void peer_put(evq_fd fd, const void *bytes, size_t len)
{
    const char *from = bytes;
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    while (len > 0) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
        if (n > 0) {
            from += n;
            len -= (size_t)n;
        } else {
            assert_true(errno == EAGAIN || errno == EINTR);
            fd__wait(fd, POLLOUT, deadline_ns);
        }
    }
}

size_t peer_put_some(evq_fd fd, const void *bytes, size_t len)
{
    ssize_t n;
    do
        n = send(fd, bytes, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

size_t peer_stuff(evq_fd fd)
{
    static const char chunk[CHUNK];
    size_t total = 0;
    for (;;) {
        ssize_t n = send(fd, chunk, sizeof chunk, MSG_NOSIGNAL);
        if (n > 0) {
            total += (size_t)n;
        } else if (errno != EINTR) {
            assert_int_equal(errno, EAGAIN);
            return total;
        }
    }
}

void peer_put_urgent(evq_fd fd, char byte)
{
    assert_int_equal(send(fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL), 1);
}

void peer_get(evq_fd fd, void *bytes, size_t len)
{
    char *to = bytes;
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    while (len > 0) {
        int64_t n = peer_get_some(fd, to, len);
        assert_true(n >= 0);
        if (n == 0)
            fd__wait(fd, POLLIN, deadline_ns);
        to += n;
        len -= (size_t)n;
    }
}

int64_t peer_get_some(evq_fd fd, void *bytes, size_t len)
{
    ssize_t n;
    do
        n = recv(fd, bytes, len, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n == 0)
        return -1;
    return errno == EAGAIN ? 0 : -2;
}

uint64_t peer_get_to_end(evq_fd fd)
{
    static char chunk[CHUNK];
    uint64_t total = 0;
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    for (;;) {
        int64_t n = peer_get_some(fd, chunk, sizeof chunk);
        assert_int_not_equal(n, -2);
        if (n == -1)
            return total;
        if (n == 0)
            fd__wait(fd, POLLIN, deadline_ns);
        total += (uint64_t)n;
    }
}

void peer_wait_over(evq_fd fd)
{
    static char chunk[CHUNK];
    int64_t deadline_ns = deadline_in_ms(PATIENCE_MS);
    for (;;) {
        int64_t n = peer_get_some(fd, chunk, sizeof chunk);
        if (n < 0)
            return;
        if (n == 0)
            fd__wait(fd, POLLIN, deadline_ns);
    }
}

void peer_wait_readable(evq_fd fd)
{
    fd__wait(fd, POLLIN, deadline_in_ms(PATIENCE_MS));
}

void peer_end(evq_fd fd)
{
    (void)shutdown(fd, SHUT_WR); /* ENOTCONN: it is over */
}

void peer_close(evq_fd fd)
{
    assert_int_equal(close(fd), 0);
}

void peer_reset(evq_fd fd)
{
    peer_linger(fd, 0);
    peer_close(fd);
}

void peer_drop(evq_fd fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    evq_tcp_close(fd);
}

static void fd__set_buffer(int fd, int which)
{
    int size = SMALL_BUFFER;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, which, &size, sizeof size), 0);
}

void peer_small_receive_buffer(evq_fd fd)
{
    fd__set_buffer(fd, SO_RCVBUF);
}

void peer_small_send_buffer(evq_fd fd)
{
    fd__set_buffer(fd, SO_SNDBUF);
}

void peer_linger(evq_fd fd, int seconds)
{
    struct linger linger = {.l_onoff = 1, .l_linger = seconds};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

uint16_t peer_port_of(evq_fd fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return 0;
    return ntohs(addr.sin_port);
}
