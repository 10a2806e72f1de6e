/*
 * Exercise 02.4, Connect, with deadline: a solution.
 *
 *     solution PORT...      tries 127.0.0.1:PORT, all at once, for DEADLINE_MS
 *
 * All connections are begun before the first is waited for, so they share one deadline. poll() says
 * that one is decided; getsockopt(SO_ERROR) says how. What is not decided at the deadline has timed
 * out, whatever the kernel would go on trying.
 */
#include "nonblocking.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 8, DEADLINE_MS = 1000 };

/* One connection that is tried. It is decided as soon as result is not UNDECIDED. */
enum { UNDECIDED = -1 };

struct attempt {
    unsigned port;
    int fd;
    int result; /* 0: connected; else an errno */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- one attempt ---- */

static void begin(struct attempt *attempt)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)attempt->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    attempt->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (attempt->fd < 0 || nonblocking_set(attempt->fd) < 0)
        attempt->result = errno;
    else if (connect(attempt->fd, (struct sockaddr *)&name, sizeof name) == 0)
        attempt->result = 0; /* some systems are done at once on loopback */
    else
        attempt->result = errno == EINPROGRESS || errno == EINTR ? UNDECIDED : errno;
}

/* Writable: it is decided. SO_ERROR tells how, and is cleared by being read: ask once. */
static void finish(struct attempt *attempt)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    attempt->result = err;
}

static void tell(const struct attempt *attempt)
{
    const char *word = strerror(attempt->result);
    if (attempt->result == 0)
        word = "connected";
    else if (attempt->result == ECONNREFUSED)
        word = "refused";
    else if (attempt->result == ETIMEDOUT)
        word = "timed out";
    printf("%u %s\n", attempt->port, word);
}

/* ---- all of them ---- */

static int fill_in(struct pollfd *waiting, const struct attempt *attempts, int count)
{
    int undecided = 0;
    for (int i = 0; i < count; i++) {
        bool open = attempts[i].result == UNDECIDED;
        waiting[i] = (struct pollfd){.fd = open ? attempts[i].fd : -1, .events = POLLOUT};
        undecided += open; /* poll() passes over a negative fd */
    }
    return undecided;
}

static void wait_for_all(struct attempt *attempts, int count, int64_t deadline_ms)
{
    struct pollfd waiting[MOST];
    while (fill_in(waiting, attempts, count) > 0) {
        int64_t left_ms = deadline_ms - now_ms();
        if (left_ms <= 0)
            break;
        int ready = poll(waiting, (nfds_t)count, (int)left_ms);
        if (ready < 0 && errno != EINTR)
            break;
        for (int i = 0; i < count && ready > 0; i++)
            if (waiting[i].revents != 0) /* POLLERR and POLLHUP decide, too */
                finish(&attempts[i]);
    }
    for (int i = 0; i < count; i++)
        if (attempts[i].result == UNDECIDED)
            attempts[i].result = ETIMEDOUT;
}

int main(int argc, char **argv)
{
    struct attempt attempts[MOST];
    int count = argc - 1;
    if (count < 1 || count > MOST) {
        (void)fprintf(stderr, "usage: %s PORT... (%d at most)\n", argv[0], MOST);
        return 2;
    }
    int64_t deadline_ms = now_ms() + DEADLINE_MS;
    for (int i = 0; i < count; i++) {
        attempts[i].port = (unsigned)strtoul(argv[i + 1], NULL, 10);
        begin(&attempts[i]);
    }
    wait_for_all(attempts, count, deadline_ms);
    for (int i = 0; i < count; i++) {
        tell(&attempts[i]);
        if (attempts[i].fd >= 0)
            close(attempts[i].fd);
    }
}
