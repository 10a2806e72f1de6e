/*
 * op: one overlapped operation of a socket, from its submission to its packet.
 *
 *     op_receive(), op_send() --> in flight --> its packet is dequeued --> may be used again
 *
 * While it is in flight, the op and the buffer are lent to the kernel: neither may be moved, freed,
 * read or written. So an op lives inside the object that it serves, its only owner. The packet
 * brings back the address of the OVERLAPPED; op_of() leads from there to the op, and
 * CONTAINING_RECORD to the owner.
 *
 * Born in chapter 06, step 4.
 */
#ifndef OP_H
#define OP_H

#include <stdbool.h>
#include <stddef.h>
#include <winsock2.h>

#ifdef __cplusplus
extern "C" {
#endif

//! [op]
enum op_kind { OP_ACCEPT, OP_RECV, OP_SEND };

struct op {
    OVERLAPPED overlapped; /* the kernel's while in flight; one for each operation in flight */
    enum op_kind kind;
};
//! [op]

/** The op whose packet has come. */
struct op *op_of(OVERLAPPED *overlapped);

/** Makes the op ready to be submitted, as what kind. @return its OVERLAPPED, set to zero. */
OVERLAPPED *op_prepare(struct op *op, enum op_kind kind);

/**
 * Submits a receive into buf, or a send out of it. Neither blocks.
 *
 * @return true: it is in flight, and exactly one packet will come, even if it is done already.
 *         false: it is not, no packet will come, and WSAGetLastError() has the reason: the
 *         connection is gone (WSAECONNRESET ...), or the system is short of something (WSAENOBUFS;
 *         WSAEWOULDBLOCK: too many operations in flight). Both end this connection only.
 *         (Microsoft, "WSARecv function" and "WSASend function".)
 */
bool op_receive(struct op *op, SOCKET socket, char *buf, size_t len);
bool op_send(struct op *op, SOCKET socket, char *buf, size_t len);

/** After its packet: 0, or the error of Winsock with which it failed on `socket`. */
int op_error(struct op *op, SOCKET socket);

#ifdef __cplusplus
}
#endif

#endif
