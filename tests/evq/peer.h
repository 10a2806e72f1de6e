/*
 * peer: the other end of a connection, in plain socket calls: what the tests of evq hold against
 * it.
 *
 * peer_posix.c and peer_windows.c have it, the same functions in the same order. All of them
 * patiently wait for what they need, until a deadline that TEST_SLOWDOWN scales, and fail the test
 * when it passes. Sockets are TCP over loopback, without Nagle's delay.
 */
#ifndef EVQ_PEER_H
#define EVQ_PEER_H

#include <evq.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATIENCE_MS = 20000 };

/** A listener on a free port of 127.0.0.1, not attached to anything. */
evq_fd peer_listen(int backlog, uint16_t *port);

/** Begins to connect to a port of 127.0.0.1; true when it worked, or is under way. */
bool peer_connect(evq_fd *fd, uint16_t port);

/** Two sockets that are connected with each other. */
void peer_pair(evq_fd ends[2]);

/** The address of a port of 127.0.0.1, for evq_connect(). */
struct sockaddr_in peer_address(uint16_t port);

/** A port at which nobody listens. */
uint16_t peer_free_port(void);

/** A socket that is no stream: UDP. */
evq_fd peer_datagram_socket(void);

/** Sends all of it. */
void peer_put(evq_fd fd, const void *bytes, size_t len);

/** Sends what goes in now, at most len bytes: how many; 0 also when the connection is over. */
size_t peer_put_some(evq_fd fd, const void *bytes, size_t len);

/** Sends as much as goes in without waiting for the other side; how much that was. */
size_t peer_stuff(evq_fd fd);

/** Sends one byte of urgent data. */
void peer_put_urgent(evq_fd fd, char byte);

/** Receives exactly len bytes. */
void peer_get(evq_fd fd, void *bytes, size_t len);

/** Receives what is there, at most len bytes: how many; 0: nothing now; -1: the end, -2: a reset.
 *  */
int64_t peer_get_some(evq_fd fd, void *bytes, size_t len);

/** Waits for the end of the stream, and counts what comes before it. A reset fails the test. */
uint64_t peer_get_to_end(evq_fd fd);

/** Waits until the connection is over, be it by its end or by a reset; what comes before is
 *  dropped. */
void peer_wait_over(evq_fd fd);

/** Waits until something can be received: data, the end or a reset. */
void peer_wait_readable(evq_fd fd);

/** Shuts the writing side, if the connection is not over. */
void peer_end(evq_fd fd);

/** Closes. */
void peer_close(evq_fd fd);

/** Closes with a reset (SO_LINGER, 0 seconds). */
void peer_reset(evq_fd fd);

/** Closes whatever it is; a connection with a reset where it can, so that no port stays in
 *  TIME_WAIT: the tests make thousands. */
void peer_drop(evq_fd fd);

/** A small receive or send buffer, so that little goes a long way. */
void peer_small_receive_buffer(evq_fd fd);
void peer_small_send_buffer(evq_fd fd);

/** close() would wait so many seconds for data that was not taken yet. */
void peer_linger(evq_fd fd, int seconds);

/** The local port; 0 for what is no open socket any more. */
uint16_t peer_port_of(evq_fd fd);

#endif
