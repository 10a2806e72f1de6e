/*
 * evq.h: one event queue over epoll, io_uring, poll, kqueue and IOCP.
 *
 * A program submits operations (accept, connect, recv, send, a timer ...) and harvests finished
 * ones: evq_wait() fills an array with them. There are no callbacks, so none of the program's code
 * ever runs inside the queue, and nothing changes behind its back between two calls.
 *
 *     evq *queue;
 *     evq_open(&queue, NULL);
 *     evq_attach(queue, &sock, fd);
 *     evq_recv(&sock, &op, buf, sizeof buf);
 *     for (;;) {
 *         evq_op *done[64];
 *         int n = evq_wait(queue, done, 64, EVQ_FOREVER);
 *         for (int i = 0; i < n; i++)
 *             ...  done[i]->kind, done[i]->err, done[i]->nbytes, done[i]->user
 *     }
 *
 * The life of an operation:
 *
 *                  evq_recv() ...                     evq_wait() returns it
 *       idle  ----------------------->  pending  ------------------------------>  idle
 *     (yours)                       (the queue's)                               (yours)
 *
 * The contract has eighteen lines. Each stands as a paragraph at the function or type that it
 * governs, named by its number, and holds on every backend alike.
 */
#ifndef EVQ_H
#define EVQ_H

#include <stddef.h>
#include <stdint.h>

/* The only place where a program meets its platform: what a socket's descriptor is, and where
 * sockaddr, htons(), getaddrinfo() and the like come from. */
#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
typedef SOCKET evq_fd;
#else
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
typedef int evq_fd;
#endif

#define EVQ_VERSION_MAJOR 0
#define EVQ_VERSION_MINOR 1
#define EVQ_VERSION_PATCH 0

/** No descriptor: -1 on POSIX systems, INVALID_SOCKET on Windows. */
#define EVQ_NO_FD ((evq_fd)-1)

/** A time-out that never ends. */
#define EVQ_FOREVER ((int64_t)-1)

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors --------------------------------------------------------------------------------- */

/**
 * What can go wrong, the same on every system. 0 is success, all others are negative.
 * The system's own number (errno, or a WSA number) is kept in evq_op.os_err, for logs.
 */
enum evq_error {
    EVQ_OK = 0,
    EVQ_ECANCELED = -1,    /**< evq_cancel() or evq_close() ended it                            */
    EVQ_ECLOSED = -2,      /**< the socket is being closed, its writing side is shut, or torn    */
    EVQ_ECONNRESET = -3,   /**< the peer aborted the connection                                 */
    EVQ_ECONNREFUSED = -4, /**< nobody listens there                                            */
    EVQ_ETIMEDOUT = -5,    /**< the system gave up waiting for the peer                         */
    EVQ_EUNREACH = -6,     /**< no way to that host or network, or the network is down          */
    EVQ_ENOTCONN = -7,     /**< the socket is not connected                                     */
    EVQ_EADDR = -8,        /**< the address is in use, or not one of this machine               */
    EVQ_EMFILE = -9,       /**< this process or the system is out of descriptors                */
    EVQ_ENOMEM = -10,      /**< out of memory or of buffers                                     */
    EVQ_EACCES = -11,      /**< not permitted                                                   */
    EVQ_EINVAL = -12,      /**< a wrong argument, or one that does not fit this socket          */
    EVQ_ENOTSUP = -13,     /**< this backend, system or kind of socket cannot do it             */
    EVQ_EBUSY = -14,       /**< something is still pending                                      */
    EVQ_ENOENT = -15,      /**< no such operation: it is not pending                            */
    EVQ_EIO = -16          /**< anything else; see os_err                                       */
};
enum { EVQ_ERRORS = 17 };

/** What an error means, in words. Never NULL, for any number; static memory; any thread. */
const char *evq_strerror(int err);

/* ---- limits --------------------------------------------------------------------------------- */

/*
 * Line 18, limits. Each limit has a name and a reason, and whoever reaches one gets an error that
 * says so, or less at a time, never silence. The number of sockets and operations is limited by
 * memory and by the system only: both belong to the caller.
 */
enum {
    /** The most bytes that one recv takes: more would not fit the ULONG of a WSABUF. A longer
     *  buffer is allowed; no more than this of it is filled. Sends have no such limit. */
    EVQ_RECV_MAX = 0x40000000,
    /** How often accept is tried again at once when the network, not the program, is the reason
     *  why it failed (ECONNABORTED ...). After that the error is returned. */
    EVQ_ACCEPT_RETRIES = 16,
    /** How many evq_wait() in a row may return what is in hand without asking the kernel. More
     *  saves few calls; fewer would cost busy servers one call more for each batch. */
    EVQ_WAITS_IN_HAND = 4
};

/* ---- types ---------------------------------------------------------------------------------- */

/** A queue. Opaque, made by evq_open(). */
typedef struct evq evq;
typedef struct evq_sock evq_sock;
typedef struct evq_op evq_op;

enum evq_kind {
    EVQ_NONE = 0, /**< never submitted yet */
    EVQ_ACCEPT,
    EVQ_RECV,
    EVQ_READABLE,
    EVQ_CONNECT,
    EVQ_SEND,
    EVQ_TIMER,
    EVQ_CLOSE
};

/**
 * One operation. The caller owns the memory and sets it to zero before its first use:
 * `evq_op op = {0};`, calloc() or a static object. Its fields are to be read after evq_wait()
 * has returned it, not before.
 *
 * Line 1, ownership. From the submit until evq_wait() returns the op, these belong to the queue:
 * the op, the buffer it names, the address of a connect, and its evq_sock. They must stay where
 * they are, and the program leaves them alone (a buffer that is being sent may be read). Once the
 * op was returned it is idle, and may be submitted again at once. To submit one that is pending is
 * a mistake of the program (assert).
 *
 * Line 2, exactly once. Each submit gives one return by evq_wait(): whether the op was done,
 * failed, was cancelled, or its socket closed. A cancel adds none.
 *
 * Line 3, never inside a submit. The queue may do the work at once, but only evq_wait() returns it;
 * nothing is promised to happen before the next evq_wait(). So submitting has no result to be
 * looked at: what is wrong is in `err` of the op.
 */
struct evq_op {
    enum evq_kind kind; /**< what was submitted                                              */
    int err;            /**< EVQ_OK or how it failed                                         */
    int os_err;         /**< the system's number for `err`, 0 if there is none               */
    evq_fd accepted;    /**< accept: the new socket, yours from now on; else EVQ_NO_FD       */
    size_t nbytes;      /**< recv, send: how many bytes were moved, also when `err` is set   */
    evq_sock *sock;     /**< the socket it was submitted on; NULL for a timer                */
    void *user;         /**< the program's own; the queue neither reads nor writes it        */

    /* The queue's; laid out here so that it need not allocate. */
    struct {
        evq_op *next, *prev;
        union {
            struct {
                void *buf;
                size_t len;
            } in;
            struct {
                const void *buf;
                size_t len;
            } out;
            struct {
                const struct sockaddr *addr;
                size_t len;
            } to;
            struct {
                uint64_t deadline_ns, number;
            } at;
        } arg;
        union {
            uint64_t words[4]; /* an OVERLAPPED has room here */
            void *pointers[4];
        } native;
        unsigned char state, flags;
    } priv; /**< the queue's own */
};

/** Operations in the order in which they were put there. Used inside. */
struct evq_fifo {
    evq_op *first, *last;
};

/** One socket, attached to one queue. The caller owns the memory; evq_attach() fills it in. */
struct evq_sock {
    void *user; /**< the program's own; the queue neither reads nor writes it          */
    evq_fd fd;  /**< for getsockname() and the like; not to be read, written or closed */

    /* The queue's. */
    struct {
        evq *queue;
        evq_sock *next_again;
        evq_op *close_op;
        struct evq_fifo fifo[2];
        void *native;
        unsigned slot, left;
        unsigned char ready[2], flags, refuses, more;
    } priv; /**< the queue's own */
};

/** What evq_open() may be told. Set it to zero first; fields may be added. */
typedef struct evq_options {
    /** The name of a backend ("epoll", "poll" ...), or NULL: then the environment's EVQ_BACKEND
     *  decides, and if that is not set either, the best that works here. */
    const char *backend;
} evq_options;

/* ---- the queue ------------------------------------------------------------------------------ */

/**
 * Opens a queue. `opt` may be NULL. The backend is picked at run time: where the best one is
 * missing or forbidden (io_uring in many containers), the next one is taken.
 *
 * Line 15, threads. The thread that called evq_open() owns the queue: it alone may call any other
 * function on it or on its sockets and operations, except evq_wake(). A program for several cores
 * opens a queue in each thread, and one of them accepts and hands sockets on: this works everywhere
 * (Windows has no SO_REUSEPORT, and on the BSDs it does not balance).
 *
 * Line 17, fork. A child must not use its parent's queue, nor destroy it. It opens its own.
 *
 * @return 0; EVQ_EINVAL: no such backend in this build; EVQ_ENOTSUP: it cannot work here;
 *         EVQ_EMFILE, EVQ_ENOMEM. *q is set on success only.
 */
int evq_open(evq **q, const evq_options *opt);

/**
 * Frees the queue. NULL is allowed.
 *
 * Line 17, destroy. As long as an operation is pending or a socket attached it does nothing and
 * returns EVQ_EBUSY: cancel the timers, close the sockets and wait until all came back. Nobody may
 * call evq_wake() on a queue that is destroyed or being destroyed.
 */
int evq_destroy(evq *q);

/**
 * Waits until an operation is finished, and fills `done` with up to `max` of them, at least 1.
 *
 * Line 13, wait. Returns how many, 0 to max. 0 means that the time-out has passed, that evq_wake()
 * was called, or that a signal came; it may be 0 for one of these even if operations finish in the
 * same moment. Negative (an evq_error) only when the queue itself is broken. A time-out of 0 only
 * looks; EVQ_FOREVER has no end. Time-outs are in nanoseconds and rounded up to what the system
 * can. Whether the time is up is asked of evq_now(), not taken from a 0: on Linux a thread that has
 * destroyed a queue over io_uring can find a later wait ended without any signal (liburing issue
 * 504).
 *
 * Line 4, fair. Finished operations leave first in, first out. With some in hand this may return
 * without asking the kernel, at most EVQ_WAITS_IN_HAND times in a row: so a fast socket starves
 * nobody. Each time it asks, the clock is refreshed and due timers are queued.
 *
 * Line 5, order. Recvs and readables of one socket complete in the order of their submission. So do
 * sends, and their bytes never mix. Accepts of one listener may complete in any order, and so may
 * what was cancelled. Timers that are found due together come by deadline, then by submission.
 */
int evq_wait(evq *q, evq_op **done, int max, int64_t timeout_ns);

/**
 * Ends the current evq_wait(), or the next one that would sleep. The one call that is allowed in
 * other threads and in signal handlers.
 *
 * Line 14, wake. Many wakes before a wait are one. What was written before the wake is seen after
 * the wait that it ended. errno is kept. There is nothing to be freed and nothing that can fail.
 */
void evq_wake(evq *q);

/** Monotonic time in nanoseconds, as of the last time that evq_wait() asked the kernel (at first:
 *  as of evq_open()). Costs nothing; right for deadlines of timers. */
uint64_t evq_now(const evq *q);

/** "epoll", "io_uring", "poll", "kqueue" or "iocp". Static memory. */
const char *evq_backend_name(const evq *q);

/** The names of this build's backends, the best first, then NULL. Static memory, any thread. */
const char *const *evq_backends(void);

/** "MAJOR.MINOR.PATCH" of the library that runs. Static memory, any thread. */
const char *evq_version(void);

/* ---- sockets before they are attached: so that a program needs no #ifdef -------------------- */

/**
 * Opens a listening TCP socket, non-blocking and close-on-exec. `address` is a numeric IPv4 or IPv6
 * address; an IPv6 one listens for IPv6 only, on every system. Port 0 picks a free one. A backlog
 * of 0 or less is the largest that the system allows. Any thread.
 *
 * @return 0, and *fd is the caller's; EVQ_EINVAL: no such address; EVQ_EADDR: in use, or not of
 *         this machine; EVQ_EACCES, EVQ_EMFILE, EVQ_ENOMEM ...
 */
int evq_tcp_listen(evq_fd *fd, const char *address, uint16_t port, int backlog);

/** Opens a TCP socket for evq_connect(), non-blocking and close-on-exec; AF_INET or AF_INET6. */
int evq_tcp_socket(evq_fd *fd, int family);

/** The local port of a socket, in the host's byte order. Any socket, attached or not. */
int evq_tcp_port(evq_fd fd, uint16_t *port);

/** Sends small segments at once (TCP_NODELAY). Any TCP socket, attached or not. */
int evq_tcp_nodelay(evq_fd fd);

/** Closes a socket that is not attached: one that accept handed over and nobody wants. */
void evq_tcp_close(evq_fd fd);

/* ---- sockets -------------------------------------------------------------------------------- */

/**
 * Registers a socket with a queue; `user` is kept, all other fields are filled in.
 *
 * Line 16, attach. Only stream sockets (EVQ_ENOTSUP for anything else); a listener must be
 * listening already. Makes the socket non-blocking and close-on-exec. From now on it is the
 * queue's, until its close comes back; on failure it stays the caller's. A socket belongs to one
 * queue for life. What its readiness said before a connect is forgotten at the connect. This, like
 * evq_open(), may allocate memory; no other function does. Attaching one descriptor twice is a
 * mistake of the program that not every backend can see.
 *
 * @return 0; EVQ_ENOTSUP, EVQ_ENOMEM, EVQ_EMFILE, EVQ_EINVAL, EVQ_EBUSY
 */
int evq_attach(evq *q, evq_sock *s, evq_fd fd);

/**
 * Accepts one connection; `s` listens.
 *
 * Line 8, accept. One connection for each op: `accepted`, non-blocking, close-on-exec, and the
 * caller's. Out of descriptors it fails with EVQ_EMFILE; nothing is tried again by itself, so
 * nothing spins: submit another one when a descriptor has been closed, or after some time. A
 * connection that ended before it was accepted, and the network errors that accept(2) passes on,
 * are skipped at once, EVQ_ACCEPT_RETRIES times. On a socket that does not listen: EVQ_EINVAL; so
 * is anything else than accept on one that does.
 */
void evq_accept(evq_sock *s, evq_op *op);

/**
 * Connects; `addr` stays with the queue until the op returns.
 *
 * Line 9, connect. What decides is the socket's pending error (SO_ERROR), then whether it has a
 * peer: a spurious wake-up is no success. Sends, recvs and readables that are submitted meanwhile
 * wait for it; where it fails they get EVQ_ENOTCONN. After a connect that failed or was cancelled,
 * close the socket and take a new one. One connect for each socket; a second is EVQ_EINVAL.
 */
void evq_connect(evq_sock *s, evq_op *op, const struct sockaddr *addr, socklen_t addrlen);

/**
 * Receives into buf.
 *
 * Line 6, recv. Comes back with at least 1 byte as soon as there is any, or with 0: the end of the
 * stream. len 0 is EVQ_EINVAL. On a socket that is not connected, and has no connect pending:
 * EVQ_ENOTCONN.
 */
void evq_recv(evq_sock *s, evq_op *op, void *buf, size_t len);

/**
 * Waits until a recv would make progress: there is data, the end, or an error; the recv then says
 * which.
 *
 * Line 6, readable. It consumes nothing, and it lends no buffer: so 100,000 idle connections can
 * wait without 100,000 buffers. err is EVQ_OK, unless it was cancelled or could not be started:
 * EVQ_ENOTCONN, EVQ_ECLOSED, or EVQ_ENOMEM of the kernel.
 */
void evq_readable(evq_sock *s, evq_op *op);

/**
 * Sends all of buf, or fails.
 *
 * Line 7, send. nbytes says how many bytes the kernel took (after a cancel or an error on IOCP: at
 * least so many). A send that ends with some but not all of its bytes taken tears the stream: the
 * sends behind it, and later ones, get EVQ_ECLOSED. len 0 is EVQ_EINVAL. There is never a SIGPIPE.
 */
void evq_send(evq_sock *s, evq_op *op, const void *buf, size_t len);

/**
 * Shuts the writing side: the peer sees the end of the stream after all that was sent. Later sends
 * get EVQ_ECLOSED; recvs go on.
 *
 * Line 17, shutdown. EVQ_EBUSY while a send (or the connect) is pending. Shutting twice is success.
 *
 * @return 0, EVQ_EBUSY, EVQ_ENOTCONN, EVQ_ECLOSED while the socket is being closed
 */
int evq_shutdown(evq_sock *s);

/**
 * Comes back when evq_wait() sees that the time has come.
 *
 * Line 10, timer. deadline_ns is absolute, on the clock of evq_now(). Never early: what the system
 * cannot express is rounded up, so a timer below a millisecond does not spin either. Submit and
 * cancel are O(log n), amortized. A deadline in the past is due at the next evq_wait() that asks.
 */
void evq_timer(evq *q, evq_op *op, uint64_t deadline_ns);

/**
 * Asks for an operation's end.
 *
 * Line 11, cancel. It is a request. The op comes back once, through evq_wait() as always: with
 * EVQ_ECANCELED, or with its real result if that was first. Data that was received is never
 * dropped.
 *
 * @return 0 for any op that evq_wait() has not returned yet; EVQ_ENOENT for an idle one
 */
int evq_cancel(evq *q, evq_op *op);

/**
 * Closes a socket.
 *
 * Line 12, close. All its pending ops come back, with EVQ_ECANCELED, or with a real result that was
 * first: an accept that won still hands over a socket. The close op comes back after every other op
 * of the socket; then the descriptor is closed, and the evq_sock may be freed. What is submitted in
 * between gets EVQ_ECLOSED; what is submitted after it is a mistake of the program. A close cannot
 * be cancelled (evq_cancel() returns 0 and changes nothing) and always succeeds. It does not
 * linger: data that the kernel has taken is still delivered, in the background.
 */
void evq_close(evq_sock *s, evq_op *op);

#ifdef __cplusplus
}
#endif

#endif
