/*
 * peer_talk: a client for the keyboard.
 *
 * What is typed goes to the server, what comes back is printed. At the end of input (Ctrl-D, or the
 * end of a pipe) the writing side is shut and the rest is read: a half-close. Back-pressure works
 * here too: no new input is read before the last has been sent.
 *
 *     TYPING ──end of input, all sent──> LISTENING ──end of stream──> over
 */
#include "peer.h"

#include "../tests/harness/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IN_HAND = 64 * 1024,
    INPUT = 0,
    SOCKET = 1,
    INTERRUPT = 2,
    WATCHED = 3,
    ENDS_WELL = 0,
    GOES_ON = -1
};

struct talk {
    struct client c;
    enum { TYPING, LISTENING } state;
    char buf[IN_HAND]; /* typed and not yet sent: buf[sent .. len) */
    size_t len, sent;
    bool input_ended;
};

/* Each of these returns GOES_ON, or the exit status. */

static int talk_read_input(struct talk *t)
{
    ssize_t n = read(STDIN_FILENO, t->buf, sizeof t->buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return GOES_ON;
    t->input_ended = n <= 0; /* an error (EIO: the terminal is gone) ends the input, too */
    t->len = n > 0 ? (size_t)n : 0;
    t->sent = 0;
    return GOES_ON;
}

static int talk_send(struct talk *t)
{
    ssize_t n = send(t->c.fd, t->buf + t->sent, t->len - t->sent, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return GOES_ON;
    if (n < 0) {
        fprintf(stderr, "talk: the server has reset the connection\n");
        return 1;
    }
    t->sent += (size_t)n;
    t->c.sent += (uint64_t)n;
    return GOES_ON;
}

static bool print_all(const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false; /* EPIPE: who reads us has had enough */
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

static int talk_receive(struct talk *t)
{
    char buf[IN_HAND];
    ssize_t n = recv(t->c.fd, buf, sizeof buf, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return GOES_ON;
    if (n > 0) {
        t->c.received += (uint64_t)n;
        return print_all(buf, (size_t)n) ? GOES_ON : 1;
    }
    if (n == 0 && t->state == LISTENING && t->c.received >= t->c.sent)
        return ENDS_WELL;
    fprintf(stderr, "talk: the server has %s the connection after %llu of %llu bytes\n",
            n == 0 ? "closed" : "reset", (unsigned long long)t->c.received,
            (unsigned long long)t->c.sent);
    return 1;
}

/* What is waited for now. While something is in hand no input is read. */
static void talk_prepare(const struct talk *t, struct pollfd p[WATCHED], int interrupt_fd)
{
    bool in_hand = t->sent < t->len;
    p[INPUT] =
        (struct pollfd){.fd = t->input_ended || in_hand ? -1 : STDIN_FILENO, .events = POLLIN};
    p[SOCKET] = (struct pollfd){.fd = t->c.fd, .events = in_hand ? POLLIN | POLLOUT : POLLIN};
    p[INTERRUPT] = (struct pollfd){.fd = interrupt_fd, .events = POLLIN};
}

static int talk_turn(struct talk *t, const struct pollfd p[WATCHED])
{
    int status = GOES_ON;
    if (p[INTERRUPT].revents != 0)
        return ENDS_WELL;
    if (p[SOCKET].revents & ~POLLOUT)
        status = talk_receive(t);
    if (status == GOES_ON && (p[SOCKET].revents & POLLOUT) && t->sent < t->len)
        status = talk_send(t);
    if (status == GOES_ON && p[INPUT].revents != 0)
        status = talk_read_input(t);
    if (t->state == TYPING && t->input_ended && t->sent == t->len) {
        t->state = LISTENING;
        (void)client_shut_writing(
            &t->c); /* ENOTCONN: it is gone, which the next recv() says better */
    }
    return status;
}

static int talk_loop(struct talk *t, int interrupt_fd)
{
    for (;;) {
        struct pollfd p[WATCHED];
        talk_prepare(t, p, interrupt_fd);
        int wait_ms = t->state == LISTENING ? deadline_left_ms(deadline_in_ms(PATIENCE_MS)) : -1;
        int n = poll(p, WATCHED, wait_ms);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            fprintf(stderr, "talk: %s\n",
                    n < 0 ? strerror(errno) : "no answer: the server does not serve us");
            return 1;
        }
        int status = talk_turn(t, p);
        if (status != GOES_ON)
            return status;
    }
}

int talk_run(const struct options *o)
{
    static struct talk t; /* static: its buffer is large for a stack */
    bool person = isatty(STDIN_FILENO) && !o->quiet;
    int interrupt_fd = interrupt_open();
    if (interrupt_fd < 0) {
        fprintf(stderr, "talk: cannot start: %s\n", strerror(errno));
        return 1;
    }
    enum outcome how = client_connect_to(&t.c, o->address, o->port, deadline_in_ms(PATIENCE_MS));
    if (how != CLIENT_OK) {
        say_why_not(o, how);
        return 1;
    }
    if (person)
        fprintf(stderr, "connected to %s port %u: type a line, read its echo; Ctrl-D ends\n",
                o->address, o->port);
    int status = talk_loop(&t, interrupt_fd);
    client_close(&t.c);
    if (person)
        fprintf(stderr, "totals: sent %s, got %s back\n", in_words(t.c.sent),
                in_words(t.c.received));
    return status;
}
