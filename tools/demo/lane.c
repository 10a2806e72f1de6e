/*
 * lane: see lane.h.
 */
#include "lane.h"

#include "clock.h"
#include "figures.h"
#include "process.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_MS = 5000, WINDOWS_START_MS = 20000 };

static const double NS_PER_MS = 1e6;

static int failed(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, WHY, format, args);
    va_end(args);
    return -1;
}

const char *lane_name(const struct step *step, char *buf, size_t len)
{
    (void)snprintf(buf, len, "%s/%d %s", step->chapter, step->number, step->label);
    return buf;
}

/* ---- the clients' side ----------------------------------------------------------------------- */

void clients_tell(struct clients *c)
{
    const char *from = (const char *)&c->news;
    for (size_t left = sizeof c->news; left > 0;) {
        ssize_t n = write(c->link, from, left);
        if (n < 0 && errno != EINTR)
            _exit(1); /* EPIPE: the display is gone. Our sockets close, nobody misses us. */
        from += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
}

bool clients_trouble(struct clients *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (c->news.trouble[0] == '\0') /* what follows from the first one is not told */
        (void)vsnprintf(c->news.trouble, sizeof c->news.trouble, format, args);
    va_end(args);
    return false;
}

int64_t clients_time_ns(const struct clients *c, int ms)
{
    return (int64_t)(ms * NS_PER_MS * c->orders.scale);
}

static bool read_orders(struct clients *c)
{
    char *to = (char *)&c->orders;
    for (size_t left = sizeof c->orders; left > 0;) {
        ssize_t n = read(c->link, to, left);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false; /* the display has changed its mind, or is gone */
        to += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static struct news no_news(void)
{
    return (struct news){.threads = UNKNOWN,
                         .idle_percent = UNKNOWN,
                         .answer_ns = UNKNOWN,
                         .answer_p99_ns = UNKNOWN,
                         .cpu_per_answer_ns = UNKNOWN,
                         .switches_per_trip = UNKNOWN,
                         .kib_per_client = UNKNOWN,
                         .trips_per_second = UNKNOWN};
}

static _Noreturn void clients_main(int link, clients_story *story)
{
    struct clients c = {.link = link, .news = no_news()};
    stop_ignore();
    process_close_from(STDERR_FILENO + 1, link);
    if (read_orders(&c)) {
        story(&c);
        c.news.finished = true;
        clients_tell(&c);
    }
    _exit(0); /* not exit(): what stdio holds is the display's to print */
}

/* ---- the display's side ---------------------------------------------------------------------- */

int lane_fork(struct lane *lane, const struct step *step, clients_story *story, char *why)
{
    int ends[2];
    *lane = (struct lane){.step = step, .link = -1, .news = no_news()};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return failed(why, "no socket pair for the clients: %s", strerror(errno));
    lane->clients = fork();
    if (lane->clients == 0)
        clients_main(ends[1], story);
    int err = errno;
    (void)close(ends[1]);
    lane->link = ends[0];
    (void)fcntl(lane->link, F_SETFD, FD_CLOEXEC);
    if (lane->clients < 0) {
        lane->clients = 0;
        return failed(why, "no process for the clients: %s", strerror(err));
    }
    return 0;
}

int lane_start(struct lane *lane, const char *build, char *why)
{
    struct step_start command;
    const struct server_spec spec = {.argv = step_command(lane->step, build, &command),
                                     .start_ms = lane->step->windows ? WINDOWS_START_MS : 0,
                                     .stop_signal = lane->step->windows ? SIGINT : 0};
    return server_start(&lane->server, &spec, why, WHY);
}

int lane_order(struct lane *lane, const struct orders *orders, char *why)
{
    struct orders mine = *orders;
    (void)snprintf(mine.address, sizeof mine.address, "%s", lane->server.address);
    mine.port = lane->server.port;
    mine.server = lane->server.pid;
    /* A fresh socket has room for these few bytes: no short count, no wait. */
    if (write(lane->link, &mine, sizeof mine) != (ssize_t)sizeof mine)
        return failed(why, "the clients of %s take no orders: %s", lane->step->name,
                      strerror(errno));
    (void)fcntl(lane->link, F_SETFL, O_NONBLOCK); /* from here on we only look */
    return 0;
}

int lane_listen(struct lane *lane, char *why)
{
    for (;;) {
        ssize_t n = read(lane->link, (char *)&lane->incoming + lane->have,
                         sizeof lane->incoming - lane->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n <= 0) /* the end of the stream, or ECONNRESET */
            return lane->news.finished
                       ? 0
                       : failed(why, "the clients of %s have ended early", lane->step->name);
        lane->have += (size_t)n;
        if (lane->have == sizeof lane->incoming) {
            lane->news = lane->incoming;
            lane->have = 0;
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void end_clients(struct lane *lane)
{
    if (lane->clients > 0) {
        (void)kill(lane->clients,
                   SIGKILL); /* most often it has ended already, and nothing happens */
        while (waitpid(lane->clients, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (lane->link >= 0)
        (void)close(lane->link);
    lane->clients = 0;
    lane->link = -1;
}

int lane_end(struct lane *lane, char *why)
{
    int status;
    struct server_end end;
    end_clients(lane);
    bool alive = server_is_alive(&lane->server, &status);
    server_stop(&lane->server, deadline_in_ms(STOP_MS), &end);
    if (!alive)
        return failed(why, "%s has died, with status %d", lane->step->name, status);
    if (!end.in_time)
        return failed(why, "%s did not stop when it was asked to", lane->step->name);
    if (end.status != 0)
        return failed(why, "%s stopped with status %d", lane->step->name, end.status);
    if (lane->news.trouble[0] != '\0')
        return failed(why, "%s: %s", lane->step->name, lane->news.trouble);
    return 0;
}

void lane_kill(struct lane *lane)
{
    end_clients(lane);
    server_kill(&lane->server);
}
