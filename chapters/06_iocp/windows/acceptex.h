/*
 * acceptex: accepting as an operation.
 *
 * accept() waits, then makes a socket. AcceptEx is given a socket that is not connected yet, and
 * returns at once; its packet says that this socket is now a connection. One AcceptEx takes one
 * client, so a server keeps several in flight. Each is a slot:
 *
 *     acceptex_post() --> in flight --> its packet is dequeued --> acceptex_take() --> free
 *
 * Born in chapter 06, step 5.
 */
#ifndef ACCEPTEX_H
#define ACCEPTEX_H

#include "op.h"

#include <stdbool.h>
#include <winsock2.h>
#include <ws2tcpip.h>

#ifdef __cplusplus
extern "C" {
#endif

//! [slot]
/** Room for one address: 16 bytes more than the longest ("AcceptEx function"). */
#define ACCEPTEX_ADDRESS_LEN (sizeof(struct sockaddr_storage) + 16)

struct accept_slot {
    struct op op;
    SOCKET socket;                            /* what the next client becomes          */
    char addresses[2 * ACCEPTEX_ADDRESS_LEN]; /* lent, too: ours, then the client's    */
};
//! [slot]

/**
 * Asks Winsock for AcceptEx. It is no function of a library: each provider of sockets has its own,
 * so its address is asked for with a socket of that provider.
 *
 * @return 0, or -1 with the reason in WSAGetLastError(). Thread: before all others.
 */
int acceptex_open(SOCKET listener);

/**
 * Makes a socket and submits an AcceptEx for it. Does not block.
 *
 * @return true: a packet will come. false: none will, and the slot is free: sockets or memory have
 *         run out; try again after WINTCP_REST_MS.
 */
bool acceptex_post(struct accept_slot *slot, SOCKET listener);

/**
 * After the packet: the connection, made ready for use, which the caller closes. Or INVALID_SOCKET,
 * when the operation has failed. The slot is free in both cases.
 *
 * @param err  0, or how the operation failed
 */
SOCKET acceptex_take(struct accept_slot *slot, SOCKET listener, int err);

#ifdef __cplusplus
}
#endif

#endif
