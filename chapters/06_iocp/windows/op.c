#include "op.h"

#include <string.h>

//! [op_of]
/* Not a cast: that would be right only as long as the OVERLAPPED is the first member. */
struct op *op_of(OVERLAPPED *overlapped)
{
    return CONTAINING_RECORD(overlapped, struct op, overlapped);
}
//! [op_of]

OVERLAPPED *op_prepare(struct op *op, enum op_kind kind)
{
    memset(&op->overlapped, 0, sizeof op->overlapped); /* each time: the kernel has written it */
    op->kind = kind;
    return &op->overlapped;
}

//! [submit]
/* Done at once or later, it is submitted; on any other error it is not. */
static bool is_submitted(int result)
{
    return result == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

/* The call copies the array of WSABUFs, so that one may stand on the stack. The flags are read, and
 * not written later. Where it would put a count there is NULL: the count comes with the packet. */
bool op_receive(struct op *op, SOCKET socket, char *buf, size_t len)
{
    WSABUF lent = {(ULONG)len, buf};
    DWORD flags = 0;
    return is_submitted(WSARecv(socket, &lent, 1, NULL, &flags, op_prepare(op, OP_RECV), NULL));
}

bool op_send(struct op *op, SOCKET socket, char *buf, size_t len)
{
    WSABUF lent = {(ULONG)len, buf};
    return is_submitted(WSASend(socket, &lent, 1, NULL, 0, op_prepare(op, OP_SEND), NULL));
}
//! [submit]

//! [error]
int op_error(struct op *op, SOCKET socket)
{
    DWORD bytes, flags;
    return WSAGetOverlappedResult(socket, &op->overlapped, &bytes, FALSE, &flags)
               ? 0
               : WSAGetLastError();
}
//! [error]
