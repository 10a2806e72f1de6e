/*
 * client_socket: the few things about a client's socket that differ between systems, and the
 * translation of errno into an outcome. Private to the harness, and to soak/, which has many
 * clients in one thread.
 */
#ifndef HARNESS_CLIENT_SOCKET_H
#define HARNESS_CLIENT_SOCKET_H

#include "client.h"

#include <sys/socket.h>
#include <sys/types.h>

/**
 * A TCP socket, non-blocking, close-on-exec, TCP_NODELAY, that raises no SIGPIPE. -1 with errno.
 */
int socket_open(int family, int receive_buffer);

/** Before connect(). Loopback has segments of 64 KiB, and buffers to match: with smaller ones the
 *  server's send() soon takes a part only. 0: leaves it as it is. */
void socket_limit_segment(int fd, int bytes);

/** Fills in a numeric address, IPv4 or IPv6. Its length, or 0 when it is neither. */
socklen_t socket_address(struct sockaddr_storage *to, const char *address, unsigned port);

/** True when a socket has, by bad luck, connected to itself: nobody listened. */
bool socket_met_itself(int fd);

/** send() without SIGPIPE; EINTR is retried. */
ssize_t socket_send(int fd, const void *buf, size_t len);
ssize_t socket_receive(int fd, void *buf, size_t len);

/** Bytes that were sent and not yet acknowledged; -1 where the system does not tell. */
int socket_unacknowledged(int fd);

bool socket_would_block(int err);
enum outcome outcome_of_errno(int err);

/**
 * Waits for events (POLLIN, POLLOUT) until the deadline: CLIENT_OK or CLIENT_TIMEOUT. Looks at
 * least once.
 */
enum outcome socket_wait(int fd, short events, int64_t deadline_ns);

#endif
