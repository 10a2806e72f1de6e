/*
 * reuseport: several listening sockets on one port, one for each thread.
 *
 * With SO_REUSEPORT on all of them the kernel hands each new connection to one of the sockets, by a
 * hash of its addresses (man 7 socket). So no two threads are woken for one connection. Only
 * sockets of the same user can share a port, and only if every one of them asked for it before
 * bind().
 *
 * Linux (since 3.9) spreads connections like this. FreeBSD has SO_REUSEPORT_LB for it; with plain
 * SO_REUSEPORT the BSDs and macOS do not promise to spread anything.
 */
#ifndef REUSEPORT_H
#define REUSEPORT_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens the first listening socket; parameters, result and errors as tcp_listen() has them.
 *
 * A second server of the same user that also sets SO_REUSEPORT is not refused, and takes a share of
 * the connections: that is what the option means.
 */
int reuseport_listen(const char *address, unsigned port);

/** Opens one more on the address and port of `listener`. -1 with errno set when it cannot. */
int reuseport_listen_again(int listener);

#ifdef __cplusplus
}
#endif

#endif
