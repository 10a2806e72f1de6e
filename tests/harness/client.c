/*
 * client: see client.h. How a connection begins and ends; client_traffic.c has what lies between.
 */
#include "client.h"

#include "client_socket.h"
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

const char *outcome_in_words(enum outcome o)
{
    switch (o) {
    case CLIENT_OK:
        return "all went well";
    case CLIENT_TIMEOUT:
        return "the deadline passed";
    case CLIENT_CLOSED:
        return "the server closed the connection";
    case CLIENT_RESET:
        return "the server reset the connection";
    case CLIENT_REFUSED:
        return "nobody listens there";
    case CLIENT_WRONG_BYTES:
        return "a byte came back that does not belong there";
    case CLIENT_LOCAL_LIMIT:
        return "this machine ran out of descriptors, ports or memory";
    }
    return "an outcome that does not exist";
}

/* ---- Connecting -------------------------------------------------------------------------- */

/** Starts to connect and waits for the result. CLIENT_OK, or why not. */
static enum outcome finish_connect(int fd, const struct sockaddr_storage *to, socklen_t len,
                                   int64_t deadline_ns)
{
    if (connect(fd, (const struct sockaddr *)to, len) == 0) {
        return CLIENT_OK;
    }
    if (errno != EINPROGRESS && errno != EINTR) { /* after EINTR it goes on in the background */
        return outcome_of_errno(errno);
    }
    enum outcome o = socket_wait(fd, POLLOUT, deadline_ns);
    if (o != CLIENT_OK) {
        return o;
    }
    int err = 0; /* writable is not connected */
    socklen_t err_len = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len) != 0) {
        err = errno;
    }
    return err == 0 ? CLIENT_OK : outcome_of_errno(err);
}

enum outcome client_connect_to(struct client *c, const char *address, unsigned port,
                               int64_t deadline_ns)
{
    struct sockaddr_storage to;
    c->fd = -1;
    c->sent = 0;
    c->received = 0;
    c->was_reset = false;
    socklen_t len = socket_address(&to, address, port);
    if (len == 0) {
        return CLIENT_REFUSED;
    }
    int fd = socket_open(to.ss_family, c->receive_buffer);
    if (fd < 0) {
        return outcome_of_errno(errno);
    }
    socket_limit_segment(fd, c->max_segment);
    enum outcome o = finish_connect(fd, &to, len, deadline_ns);
    if (o == CLIENT_OK && socket_met_itself(fd)) {
        o = CLIENT_REFUSED;
    }
    if (o != CLIENT_OK) {
        (void)close(fd);
        return o;
    }
    c->fd = fd;
    return CLIENT_OK;
}

enum outcome client_connect(struct client *c, const struct server *s, int64_t deadline_ns)
{
    return client_connect_to(c, s->address, s->port, deadline_ns);
}

/* ---- Endings ----------------------------------------------------------------------------- */

int client_shut_writing(struct client *c)
{
    return shutdown(c->fd, SHUT_WR);
}

void client_close(struct client *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd); /* on a socket close() has no error that we could act on */
        c->fd = -1;
    }
}

void client_abort(struct client *c)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (c->fd >= 0) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        client_close(c);
    }
}

/* ---- Limits ------------------------------------------------------------------------------ */

enum { DESCRIPTORS_MAX = 1048576, DESCRIPTORS_SPARE = 16 };

long client_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    const rlim_t most = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    /* macOS says "unlimited" and refuses more than OPEN_MAX: so try less and less. */
    for (rlim_t want = most; want > limit.rlim_cur; want = want / 2) {
        struct rlimit raised = {.rlim_cur = want, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit.rlim_cur = want;
            break;
        }
    }
    int used = process_fds(getpid());
    long free_ones = (long)(limit.rlim_cur < DESCRIPTORS_MAX ? limit.rlim_cur : DESCRIPTORS_MAX) -
                     (used >= 0 ? used : 0) - DESCRIPTORS_SPARE;
    return free_ones > 0 ? free_ones : 0;
}
