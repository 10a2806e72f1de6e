#include "acceptex.h"

#include "wintcp.h"

#include <mswsock.h>

enum { ACCEPT_TRIES = 64 }; /* dead clients that one acceptex_post() steps over */

static LPFN_ACCEPTEX accept_ex; /* both written once, by acceptex_open() */
static int family;

//! [pointer]
int acceptex_open(SOCKET listener)
{
    GUID guid = WSAID_ACCEPTEX;
    DWORD bytes;
    struct sockaddr_storage address;
    int len = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        return -1;
    family = address.ss_family;
    return WSAIoctl(listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof guid, &accept_ex,
                    sizeof accept_ex, &bytes, NULL, NULL);
}
//! [pointer]

//! [post]
/* Receive length 0: the packet comes when a client has connected. With more it would come with the
 * first bytes, and a client that says nothing would hold the slot for ever; whoever wants that asks
 * for SO_CONNECT_TIME now and then, and closes the socket of such a one. */
static bool submit(struct accept_slot *slot, SOCKET listener)
{
    DWORD bytes; /* written only if it is done at once, and no news then either */
    return accept_ex(listener, slot->socket, slot->addresses, 0, ACCEPTEX_ADDRESS_LEN,
                     ACCEPTEX_ADDRESS_LEN, &bytes, op_prepare(&slot->op, OP_ACCEPT)) ||
           WSAGetLastError() == WSA_IO_PENDING;
}

bool acceptex_post(struct accept_slot *slot, SOCKET listener)
{
    for (int tries = 0; tries < ACCEPT_TRIES; tries++) {
        slot->socket = socket(family, SOCK_STREAM, 0);
        if (slot->socket == INVALID_SOCKET)
            return false; /* WSAEMFILE, WSAENOBUFS */
        if (submit(slot, listener))
            return true;
        int err = WSAGetLastError();
        closesocket(slot->socket);
        if (err != WSAECONNRESET) /* else a client came, and has gone already: the next */
            return false;
    }
    return false;
}
//! [post]

//! [take]
/* A socket from AcceptEx knows only how to send, receive and close. SO_UPDATE_ACCEPT_CONTEXT tells
 * it whose child it is; then shutdown() and getpeername() work, too, and the listener's options are
 * inherited ("AcceptEx function", remarks). */
SOCKET acceptex_take(struct accept_slot *slot, SOCKET listener, int err)
{
    SOCKET socket = slot->socket;
    slot->socket = INVALID_SOCKET;
    if (err == 0 && setsockopt(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                               (const char *)&listener, sizeof listener) == 0) {
        wintcp_make_ready(socket);
        return socket;
    }
    closesocket(socket);
    return INVALID_SOCKET;
}
//! [take]
