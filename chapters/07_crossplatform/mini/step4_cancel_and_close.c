/*
 * step4_cancel_and_close: an operation can be taken back, and a socket can end.
 *
 * It grows out of step 3. Until now a socket ended by being shut down, and a timer by its time
 * only. Now both are asked to end, and the answer comes through the queue like any other:
 *
 *     queue_cancel()   the op comes back with ECANCELED, or with its result if that was first
 *     queue_close()    cancels what is pending; its own op comes back behind all others, and then
 *                      the descriptor is closed, and nothing of the socket is lent any more
 *
 * To cancel is to ask. Here it is fulfilled at once; a kernel that has the memory needs time.
 *
 * With this the queue can do all that a program needs. What both sides must know stands in queue.h
 * from here on, the server in echo.c, the timers in timers.c; steps 5 and 6 change none of them.
 */
#include "queue.h"

#include "nonblocking.h"
#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_SOCKS = 16384 };

//! [arrays]
/* Of the one queue that there is here: socks[i] waits for fds[1 + i]; fds[0] is the wake pipe. */
static size_t count;
static struct sock *socks[MAX_SOCKS];
static struct pollfd fds[1 + MAX_SOCKS];
//! [arrays]

/* ---- the queue: what is finished ---- */

/* poll() reports POLLHUP to everybody, asked or not: so who waits for nothing is left out. */
static void watch(const struct sock *sock)
{
    int reading = sock->pending[READING] != NULL ? POLLIN : 0;
    int writing = sock->pending[WRITING] != NULL ? POLLOUT : 0;
    struct pollfd *entry = &fds[1 + sock->place];
    *entry = (struct pollfd){.fd = sock->fd, .events = (short)(reading | writing)};
    if (entry->events == 0)
        entry->fd = -1;
}

static enum direction direction_of(const struct op *op)
{
    return op->kind == OP_SEND ? WRITING : READING;
}

static void finish(struct op *op, int err)
{
    op->err = err;
    op->sock->pending[direction_of(op)] = NULL;
    watch(op->sock);
    op_list_put(&op->sock->queue->done, op);
}

/* ---- the queue: sockets ---- */

//! [attach]
int queue_attach(struct queue *queue, struct sock *sock, int fd, bool listens)
{
    if (count == MAX_SOCKS || nonblocking_set(fd) < 0)
        return -1;
    *sock = (struct sock){.fd = fd, .queue = queue, .listens = listens, .place = count};
    socks[count++] = sock;
    watch(sock);
    return 0;
}

void queue_submit(struct op *op)
{
    struct op **pending = &op->sock->pending[direction_of(op)];
    assert(*pending == NULL && op->sock->close == NULL);
    *pending = op;
    op->nbytes = 0;
    watch(op->sock);
}
//! [attach]

//! [close]
/* Asks for its end. One that is finished already keeps its result. */
void queue_cancel(struct op *op)
{
    if (op->sock->pending[direction_of(op)] == op)
        finish(op, ECANCELED);
}

void queue_close(struct sock *sock, struct op *op)
{
    for (int direction = READING; direction <= WRITING; direction++)
        if (sock->pending[direction] != NULL)
            queue_cancel(sock->pending[direction]);
    struct sock *last = socks[--count]; /* it moves into the gap */
    last->place = sock->place;
    socks[last->place] = last;
    watch(last);
    close(sock->fd);
    sock->close = op;
    op->kind = OP_CLOSE;
    op_list_put(&sock->queue->done, op);
}
//! [close]

//! [perform]
static ssize_t call(struct op *op)
{
    switch (op->kind) {
    case OP_ACCEPT:
        return op->accepted = tcp_accept(op->sock->fd);
    case OP_RECV:
        return recv(op->sock->fd, op->buf, op->len, 0);
    default:
        return tcp_send(op->sock->fd, op->buf + op->nbytes, op->len - op->nbytes);
    }
}

/* What has to wait after all stays pending, and so does a send until all is sent. */
static void perform(struct op *op)
{
    ssize_t result;
    do
        result = call(op);
    while (result < 0 && errno == EINTR);
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (result > 0 && op->kind != OP_ACCEPT)
        op->nbytes += (size_t)result;
    if (result < 0 || op->kind != OP_SEND || op->nbytes == op->len)
        finish(op, result < 0 ? errno : 0);
}
//! [perform]

/* ---- the queue: waiting, and waking ---- */

//! [wake]
int queue_open(struct queue *queue)
{
    queue->done.end = &queue->done.first;
    queue->now_ns = timers_now_ns();
    if (pipe(queue->wake) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (fcntl(queue->wake[i], F_SETFD, FD_CLOEXEC) < 0 || nonblocking_set(queue->wake[i]) < 0)
            return -1;
    fds[0] = (struct pollfd){.fd = queue->wake[0], .events = POLLIN};
    return 0;
}

void queue_wake(struct queue *queue)
{
    int err = errno;
    ssize_t written;
    do /* EAGAIN: it is full of earlier ones */
        written = write(queue->wake[1], "", 1);
    while (written < 0 && errno == EINTR);
    errno = err;
}

static void drain_wake(const struct queue *queue)
{
    char bytes[64];
    while (read(queue->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue; /* a short count or EAGAIN: it is empty */
}
//! [wake]

//! [wait]
/* Everything that poll() tells is done, before anything of it is returned. */
static void engine_wait(struct queue *queue, int64_t timeout_ns)
{
    int ready = poll(fds, (nfds_t)(1 + count), timers_round_up_ms(timeout_ns));
    for (size_t i = 0; ready > 0 && i < count; i++) {
        struct sock *sock = socks[i];
        int events = fds[1 + i].revents; /* before perform() writes there */
        if ((events & ~POLLOUT) != 0 && sock->pending[READING] != NULL)
            perform(sock->pending[READING]);
        if ((events & ~POLLIN) != 0 && sock->pending[WRITING] != NULL)
            perform(sock->pending[WRITING]);
    }
    if (ready > 0 && fds[0].revents != 0)
        drain_wake(queue);
}

struct op *queue_wait(struct queue *queue)
{
    if (queue->done.first == NULL) {
        engine_wait(queue, timers_wait_ns(queue));
        timers_finish(queue);
    }
    struct op *op = queue->done.first;
    if (op != NULL && (queue->done.first = op->next) == NULL)
        queue->done.end = &queue->done.first;
    return op;
}
//! [wait]
