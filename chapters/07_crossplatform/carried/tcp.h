/*
 * tcp: sockets made ready for use, the same on every system.
 *
 * What differs between Linux, macOS and the BSDs (accept4, MSG_NOSIGNAL, SO_NOSIGPIPE) is handled
 * here and nowhere else. Born in chapter 01, step 2; later chapters carry this file unchanged.
 */
#ifndef TCP_H
#define TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens a listening socket.
 *
 * @param address  numeric IPv4 or IPv6 address, for instance "127.0.0.1" or "::1"
 * @param port     0 to 65535; 0 lets the kernel pick a free one
 * @return the socket, close-on-exec, which the caller closes; or -1 with errno set.
 *         EINVAL: the address is not numeric. EADDRINUSE: another socket listens there.
 *         EADDRNOTAVAIL: the address is not one of this machine. EACCES: the port is privileged.
 *
 * The socket has SO_REUSEADDR, so that a restarted server need not wait for old connections in
 * TIME_WAIT; on POSIX systems a second *listener* on the port is refused all the same (man 7 ip).
 * Thread: any. Blocks: no.
 */
int tcp_listen(const char *address, unsigned port);

/**
 * Writes the address that a socket is bound to, as "127.0.0.1:4242" or "[::1]:4242".
 *
 * @param buf  at least TCP_NAME_LEN bytes
 * @return 0, or -1 with errno set. Thread: any. Blocks: no.
 */
int tcp_local_name(int fd, char *buf, size_t len);

/** Room for the longest name that tcp_local_name() writes: "[", 45 characters, "]:65535", NUL. */
#define TCP_NAME_LEN 64

/**
 * Accepts one connection.
 *
 * @param listener  from tcp_listen()
 * @return the connection, which the caller closes: close-on-exec, TCP_NODELAY, raises no SIGPIPE;
 *         in blocking mode or not as the system likes (the BSDs copy the listener's O_NONBLOCK,
 *         Linux does not: man 2 accept), so a caller who cares sets it. Or -1 with errno set.
 *
 * Blocks while nobody waits, if the listener is blocking; else the error is EAGAIN.
 * EINTR and the errors that belong to one connection that has died meanwhile (man 2 accept,
 * "Error handling") are retried here, TCP_ACCEPT_TRIES times at most. When the result is -1 and
 * tcp_is_out_of_resources(errno), the waiting client stays in the listener's queue: call again
 * after TCP_REST_MS; an immediate retry would only burn the processor. Thread: any.
 */
int tcp_accept(int listener);

/** How long a server lets the listener rest when a resource has run out, in milliseconds. */
#define TCP_REST_MS 100

/** Sleeps for TCP_REST_MS, or less when a signal comes: for servers whose accept() blocks
 *  anyway. */
void tcp_rest(void);

/** How many dead connections one tcp_accept() steps over, so that it never loops for ever. */
#define TCP_ACCEPT_TRIES 64

/** True for the errors that say that descriptors or memory have run out: EMFILE, ENFILE,
 *  ENOBUFS, ENOMEM. */
bool tcp_is_out_of_resources(int err);

/**
 * send() that returns an error (EPIPE) for a peer that is gone, instead of the signal SIGPIPE,
 * whose default action ends the whole process.
 *
 * @return as send(): how many bytes the kernel took, at times fewer than `len`; or -1 with errno.
 * Blocks as the socket does. Thread: any.
 */
ssize_t tcp_send(int fd, const void *buf, size_t len);

#ifdef __cplusplus
}
#endif

#endif
