#include "crowd.h"

#include "harness/clock.h"
#include "harness/pattern.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* PIECE is what one send or recv moves at most. After VISIT_EVERY idle clients a visit waits until
 * the server has taken them all: no backlog, however short, is ever full. */
enum { PIECE = 65536, EVENTS = 256, PATIENCE_MS = 20000, VISIT_EVERY = 32, SOURCES = 250 };

struct talker {
    int fd;
    bool wants_to_send; /* registered for EPOLLOUT, too           */
    uint32_t seed;
    uint64_t sent, received; /* bytes, from the very first         */
    uint64_t granted;        /* bytes that it may have sent by now */
    int64_t began_ns[CROWD_DEPTH_MAX];
};

static char piece[PIECE];

static int fails(struct crowd *crowd, const char *format, ...)
{
    va_list words;
    va_start(words, format);
    (void)vsnprintf(crowd->why, sizeof crowd->why, format, words);
    va_end(words);
    return -1;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static const char *const small_letters = "abcdefghijklmnopqrstuvwxyz";
static const char *const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/* Bytes from `offset` on of one client's messages, each `size` long. */
static void fill(char *buf, size_t len, uint64_t offset, uint32_t seed, const char *letters,
                 size_t size)
{
    pattern_fill(buf, len, offset, seed);
    if (letters == NULL)
        return;
    for (size_t i = 0; i < len; i++)
        buf[i] = (offset + i + 1) % size == 0 ? '\n' : letters[(unsigned char)buf[i] % 26];
}

static void fill_to_send(const struct crowd *crowd, size_t len, uint64_t offset, uint32_t seed,
                         size_t size)
{
    fill(piece, len, offset, seed, crowd->plan.lines ? small_letters : NULL, size);
}

/* Is what has come back into `piece` what belongs there? */
static bool is_right(const struct crowd *crowd, size_t len, uint64_t offset, uint32_t seed,
                     size_t size)
{
    static char expected[PIECE];
    if (!crowd->plan.lines)
        return pattern_mismatch(piece, len, offset, seed) == len;
    fill(expected, len, offset, seed, capitals, size);
    return memcmp(piece, expected, len) == 0;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* The port is chosen at connect(), when the whole pair of addresses is known (man 7 ip). */
static int socket_from(unsigned source, int receive_buffer)
{
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        (receive_buffer > 0 &&
         setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer) < 0) ||
        bind(fd, (const struct sockaddr *)&from, sizeof from) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Blocks while it connects: on one machine that is a moment. EADDRNOTAVAIL: this source address has
 * no port left, so the next one is taken, for the ones behind it, too. */
static int connect_one(struct crowd *crowd)
{
    static unsigned source;
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)crowd->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (;;) {
        int fd = socket_from(source, crowd->plan.receive_buffer);
        if (fd < 0)
            return fails(crowd, "no socket: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
            return fd;
        int err = errno;
        close(fd);
        if (err != EADDRNOTAVAIL || ++source == SOURCES)
            return fails(crowd, "connect: %s", strerror(err));
    }
}

/* One that waits for its answers, each with a time-out. */
static int exchange(struct crowd *crowd, int fd, size_t len, uint32_t seed)
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    fill_to_send(crowd, len, 0, seed, len);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        send(fd, piece, len, MSG_NOSIGNAL) != (ssize_t)len ||
        recv(fd, piece, len, MSG_WAITALL) != (ssize_t)len)
        return fails(crowd, "a client got no answer: %s", strerror(errno));
    return is_right(crowd, len, 0, seed, len) ? 0 : fails(crowd, "a wrong byte came back");
}

int crowd_visit(struct crowd *crowd)
{
    const struct linger by_reset = {.l_onoff = 1, .l_linger = 0};
    int fd = connect_one(crowd);
    if (fd < 0)
        return -1;
    int status = exchange(crowd, fd, 1, (uint32_t)fd);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &by_reset, sizeof by_reset); /* if not: politely */
    close(fd);
    return status;
}

static int idle_open(struct crowd *crowd)
{
    while (crowd->idle_count < crowd->plan.idle) {
        int fd = connect_one(crowd);
        if (fd < 0)
            return -1;
        crowd->idle_fds[crowd->idle_count++] = fd;
        if (crowd->idle_count % VISIT_EVERY == 0 && crowd_visit(crowd) < 0)
            return -1;
    }
    return crowd->plan.idle > 0 ? crowd_visit(crowd) : 0;
}

int crowd_use_idle(struct crowd *crowd)
{
    for (int i = 0; i < crowd->idle_count; i++)
        if (exchange(crowd, crowd->idle_fds[i], crowd->plan.size, (uint32_t)i) < 0)
            return -1;
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static int wish_to_send(struct crowd *crowd, struct talker *talker, bool wish)
{
    struct epoll_event event = {.events = wish ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = talker};
    if (talker->wants_to_send == wish)
        return 0;
    talker->wants_to_send = wish;
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, talker->fd, &event) < 0)
        return fails(crowd, "epoll_ctl: %s", strerror(errno));
    return 0;
}

static int send_granted(struct crowd *crowd, struct talker *talker)
{
    while (talker->sent < talker->granted) {
        uint64_t left = talker->granted - talker->sent;
        size_t len = left < PIECE ? (size_t)left : PIECE;
        fill_to_send(crowd, len, talker->sent, talker->seed, crowd->plan.size);
        ssize_t n = send(talker->fd, piece, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) /* the server does not keep up: go on when there is room */
            return wish_to_send(crowd, talker, true);
        if (n < 0)
            return fails(crowd, "send: %s", strerror(errno));
        talker->sent += (uint64_t)n;
    }
    return wish_to_send(crowd, talker, false);
}

static void grant(struct crowd *crowd, struct talker *talker, int64_t now_ns)
{
    uint64_t message = talker->granted / crowd->plan.size;
    talker->began_ns[message % (uint64_t)crowd->plan.depth] = now_ns;
    talker->granted += crowd->plan.size;
}

/* Everybody sends all that it may have on its way. */
static int send_all(struct crowd *crowd)
{
    for (int i = 0; i < crowd->plan.clients; i++) {
        for (int d = 0; d < crowd->plan.depth; d++)
            grant(crowd, &crowd->talkers[i], clock_now_ns());
        if (send_granted(crowd, &crowd->talkers[i]) < 0)
            return -1;
    }
    crowd->waiting = crowd->plan.clients;
    return 0;
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Messages that came back whole with the last `n` bytes. */
static void count_trips(struct crowd *crowd, struct talker *talker, uint64_t before)
{
    int64_t now_ns = clock_now_ns();
    for (uint64_t m = before / crowd->plan.size; m < talker->received / crowd->plan.size; m++) {
        int64_t began_ns = talker->began_ns[m % (uint64_t)crowd->plan.depth];
        crowd->trips++;
        if (crowd->latency_ns != NULL)
            histogram_add(crowd->latency_ns, (uint64_t)(now_ns - began_ns));
        if (!crowd->plan.burst)
            grant(crowd, talker, now_ns);
    }
    if (crowd->plan.burst && talker->received == talker->granted)
        crowd->waiting--;
}

static int receive(struct crowd *crowd, struct talker *talker)
{
    ssize_t n = recv(talker->fd, piece, PIECE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return fails(crowd, n == 0 ? "the server has closed" : "recv: %s", strerror(errno));
    if (!is_right(crowd, (size_t)n, talker->received, talker->seed, crowd->plan.size))
        return fails(crowd, "a wrong byte came back");
    uint64_t before = talker->received;
    talker->received += (uint64_t)n;
    if (talker->received > talker->granted)
        return fails(crowd, "more came back than was sent");
    count_trips(crowd, talker, before);
    return 0;
}

static int serve_event(struct crowd *crowd, const struct epoll_event *event)
{
    struct talker *talker = event->data.ptr;
    if ((event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && receive(crowd, talker) < 0)
        return -1;
    return talker->sent < talker->granted ? send_granted(crowd, talker) : 0;
}

int crowd_talk(struct crowd *crowd, uint64_t trips, int64_t until_ns)
{
    struct epoll_event events[EVENTS];
    const uint64_t turn = (uint64_t)crowd->plan.clients * (uint64_t)crowd->plan.depth;
    const uint64_t enough = crowd->trips + trips, least = crowd->trips + CROWD_TURNS * turn;
    while (crowd->trips < enough && (crowd->trips < least || clock_now_ns() < until_ns)) {
        if (crowd->waiting == 0 && send_all(crowd) < 0)
            return -1;
        int n = epoll_wait(crowd->epoll, events, EVENTS, (int)(PATIENCE_MS * clock_slowdown()));
        if (n < 0 && errno != EINTR)
            return fails(crowd, "epoll_wait: %s", strerror(errno));
        if (n == 0)
            return fails(crowd, "no answer at all for %d s", PATIENCE_MS / 1000);
        for (int i = 0; i < n; i++)
            if (serve_event(crowd, &events[i]) < 0)
                return -1;
    }
    return 0;
}

/* ---- opening, closing ------------------------------------------------------------------------ */

static int talkers_open(struct crowd *crowd)
{
    for (int i = 0; i < crowd->plan.clients; i++) {
        struct talker *talker = &crowd->talkers[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = talker};
        talker->fd = connect_one(crowd);
        talker->seed = (uint32_t)i;
        if (talker->fd < 0)
            return -1;
        if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, talker->fd, &event) < 0)
            return fails(crowd, "epoll_ctl: %s", strerror(errno));
    }
    return 0;
}

int crowd_open(struct crowd *crowd, const struct crowd_plan *plan, unsigned port)
{
    *crowd = (struct crowd){.plan = *plan, .port = port};
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd->talkers = calloc((size_t)plan->clients + 1, sizeof *crowd->talkers);
    crowd->idle_fds = calloc((size_t)plan->idle + 1, sizeof *crowd->idle_fds);
    for (int i = 0; crowd->talkers != NULL && i < plan->clients; i++)
        crowd->talkers[i].fd = -1;
    if (crowd->epoll < 0 || crowd->talkers == NULL || crowd->idle_fds == NULL)
        return fails(crowd, "cannot begin: %s", strerror(errno));
    return talkers_open(crowd) < 0 ? -1 : idle_open(crowd);
}

void crowd_close(struct crowd *crowd)
{
    for (int i = 0; crowd->talkers != NULL && i < crowd->plan.clients; i++)
        if (crowd->talkers[i].fd >= 0)
            close(crowd->talkers[i].fd);
    for (int i = 0; i < crowd->idle_count; i++)
        close(crowd->idle_fds[i]);
    free(crowd->talkers);
    free(crowd->idle_fds);
    if (crowd->epoll >= 0)
        close(crowd->epoll);
}
