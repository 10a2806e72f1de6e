/*
 * Exercise 03.4, Chat: the answer that looks right, and is not.
 *
 * The sockets are non-blocking, so a slow member cannot hold up anybody: what it does not take now
 * it does not get.
 */
#include "cli.h"
#include "nonblocking.h"
#include "stop.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_MEMBERS = 256, LINE_SIZE = 1024 };
enum { STOP, LISTENER, FIRST_MEMBER }; /* places in the array of poll() */

struct member {
    int fd;
    bool is_over; /* closed at the end of the round */
    size_t in_len;
    char in[LINE_SIZE]; /* in[0..in_len): a line that has no end yet */
};

struct loop {
    const struct cli *cli;
    size_t count; /* member i is members[i] and fds[FIRST_MEMBER + i] */
    struct member *members[MAX_MEMBERS];
    struct pollfd fds[FIRST_MEMBER + MAX_MEMBERS];
};

/* ---- sending ---- */

static void tell(struct member *member, const char *line, size_t len)
{
    ssize_t sent = tcp_send(member->fd, line, len);
    if (sent > 0)
        totals_add_bytes((size_t)sent);
    else if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        member->is_over = true;
}

static void tell_others(struct loop *loop, const struct member *talker, const char *line,
                        size_t len)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->members[i] != talker && !loop->members[i]->is_over)
            tell(loop->members[i], line, len);
}

/* ---- listening ---- */

/* Says each line that is whole; what is left has no end yet. */
static void say_lines(struct loop *loop, struct member *member)
{
    char *from = member->in, *newline;
    size_t left = member->in_len;
    while ((newline = memchr(from, '\n', left)) != NULL) {
        size_t len = (size_t)(newline - from) + 1;
        tell_others(loop, member, from, len);
        from += len;
        left -= len;
    }
    memmove(member->in, from, left);
    member->in_len = left;
    if (left == LINE_SIZE)
        member->is_over = true; /* a line without an end */
}

static void listen_to(struct loop *loop, struct member *member)
{
    ssize_t got = recv(member->fd, member->in + member->in_len, LINE_SIZE - member->in_len, 0);
    if (got > 0) {
        member->in_len += (size_t)got;
        say_lines(loop, member);
    } else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        member->is_over = true;
    }
}

/* ---- members ---- */

static void member_add(struct loop *loop, int fd)
{
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL || nonblocking_set(fd) < 0) {
        totals_add_refused();
        free(member);
        close(fd);
        return;
    }
    member->fd = fd;
    loop->fds[FIRST_MEMBER + loop->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    loop->members[loop->count++] = member;
    totals_add_client();
}

static void member_remove(struct loop *loop, size_t i)
{
    struct member *member = loop->members[i];
    size_t last = --loop->count;
    loop->members[i] = loop->members[last];
    loop->fds[FIRST_MEMBER + i] = loop->fds[FIRST_MEMBER + last];
    close(member->fd);
    free(member);
}

/* ---- the loop ---- */

static void serve(struct loop *loop, size_t i)
{
    struct member *member = loop->members[i];
    if (!member->is_over && loop->fds[FIRST_MEMBER + i].revents != 0)
        listen_to(loop, member);
}

/* Those who are over leave. */
static void look_after(struct loop *loop)
{
    for (size_t i = 0; i < loop->count;) {
        struct member *member = loop->members[i];
        if (member->is_over) {
            member_remove(loop, i);
            continue; /* another member stands at i now */
        }
        i++;
    }
    loop->fds[LISTENER].events = loop->count < MAX_MEMBERS ? POLLIN : 0;
}

static void loop_run(struct loop *loop)
{
    while (loop->fds[STOP].revents == 0) {
        if (poll(loop->fds, (nfds_t)(FIRST_MEMBER + loop->count), -1) < 0)
            continue; /* EINTR; the array is as it was, and nothing has been read */
        for (size_t i = 0; i < loop->count; i++)
            serve(loop, i);
        int fd = loop->fds[LISTENER].revents != 0 ? tcp_accept(loop->fds[LISTENER].fd) : -1;
        if (fd >= 0)
            member_add(loop, fd);
        else if (tcp_is_out_of_resources(errno) && loop->fds[LISTENER].revents != 0)
            tcp_rest();
        look_after(loop);
    }
    while (loop->count > 0)
        member_remove(loop, loop->count - 1);
}

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "Who says a line says it to all others.", NULL);
    static struct loop loop; /* static: too large for the stack */
    loop.cli = &cli;
    loop.fds[STOP] = (struct pollfd){.fd = stop_open(), .events = POLLIN};
    loop.fds[LISTENER] = (struct pollfd){.fd = cli_listen(&cli), .events = POLLIN};
    if (loop.fds[STOP].fd < 0 || nonblocking_set(loop.fds[LISTENER].fd) < 0) {
        cli_log(&cli, "cannot start: %s", strerror(errno));
        return 1;
    }
    loop_run(&loop);
    close(loop.fds[LISTENER].fd);
    return totals_write() == 0 ? 0 : 1;
}
