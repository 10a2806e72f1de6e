/*
 * step4_completion_port: one thread, many clients, and a queue that tells what has been done.
 *
 * It grows out of step 3. A receive is submitted with a buffer, and the buffer is lent to the
 * kernel. When the bytes are in it, a packet appears in the completion port. The loop takes it
 * out, and the buffer is ours again. Until then neither buffer nor operation may move or be freed.
 *
 * The life of a connection; in each state exactly one operation of it is in flight:
 *
 *                0 bytes, or failed
 *     new --> RECEIVING ----------------> closed, freed
 *              ^     | n bytes              ^
 *     all sent |     v            failed    |
 *             SENDING ----------------------+
 *              ^   | a part sent
 *              +---+
 *
 * So the packet that ends a connection is its last one, and nobody holds a pointer to it any more.
 * While an echo is unsent nothing is received: a client that does not read costs one buffer.
 *
 * accept() still blocks, so it has a thread, which hands each connection over through the same
 * queue. It submits no operation itself: those that a thread has submitted may be cancelled when
 * that thread ends (Microsoft, "WSARecv function", remarks).
 */
#include "cli.h"
#include "console_stop.h"
#include "op.h"
#include "totals.h"
#include "wintcp.h"

#include <process.h>
#include <stdlib.h>

enum { CONN_BUF_SIZE = 16384, LOOP_THREADS = 1 };

/* Whose packet is it? Of an operation, or posted by one of our own threads? */
enum key { KEY_OP, KEY_NEW_CONN, KEY_STOP };

//! [conn]
struct conn {
    SOCKET socket;
    struct op op;                 /* the one that is in flight, and buf is lent with it */
    size_t start, end;            /* buf[start..end) waits to be sent                   */
    struct conn *previous, *next; /* in the ring of all                                 */
    char buf[CONN_BUF_SIZE];
};
//! [conn]

struct server {
    const struct cli *cli;
    SOCKET listener;
    HANDLE port;
    bool stopping;
    struct conn all; /* head of the ring of all connections */
};

/* ---- connections ---- */

//! [submit]
static bool conn_receive(struct conn *conn)
{
    return op_receive(&conn->op, conn->socket, conn->buf, sizeof conn->buf);
}

static bool conn_send(struct conn *conn)
{
    return op_send(&conn->op, conn->socket, conn->buf + conn->start, conn->end - conn->start);
}
//! [submit]

//! [remove]
/* Nothing of it is in flight, so it can be closed and freed at once. */
static void conn_remove(struct conn *conn)
{
    conn->previous->next = conn->next;
    conn->next->previous = conn->previous;
    closesocket(conn->socket);
    free(conn);
}
//! [remove]

static void conn_add(struct server *server, struct conn *conn)
{
    conn->previous = &server->all;
    conn->next = server->all.next;
    conn->next->previous = conn;
    server->all.next = conn;
    totals_add_client();
    if (server->stopping || !conn_receive(conn))
        conn_remove(conn);
}

//! [on_received]
/* The bytes are in the buffer already. 0 of them: no more come, and all echo has been sent. Both
 * functions say whether the connection goes on, with another operation in flight. */
static bool on_received(struct conn *conn, size_t bytes)
{
    conn->start = 0;
    conn->end = bytes;
    return bytes > 0 && conn_send(conn);
}

static bool on_sent(struct conn *conn, size_t bytes)
{
    conn->start += bytes;
    totals_add_bytes(bytes);
    if (conn->start < conn->end)
        return bytes > 0 && conn_send(conn); /* a part: the rest; nothing: it would never end */
    return conn_receive(conn);
}
//! [on_received]

/* ---- accepting, in a thread of its own ---- */

//! [hand_over]
/* From here on all that the socket does makes packets in our port. That it is there, the loop hears
 * from a packet that we post, with the address of an OVERLAPPED that is not in use yet. */
static bool hand_over(struct server *server, SOCKET socket)
{
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL)
        return false;
    conn->socket = socket;
    if (CreateIoCompletionPort((HANDLE)socket, server->port, KEY_OP, 0) != NULL &&
        PostQueuedCompletionStatus(server->port, 0, KEY_NEW_CONN, &conn->op.overlapped))
        return true;
    free(conn);
    return false;
}

static unsigned __stdcall run_acceptor(void *arg)
{
    struct server *server = arg;
    for (;;) {
        SOCKET socket = accept(server->listener, NULL, NULL);
        if (socket == INVALID_SOCKET) {
            if (WSAGetLastError() != WSAECONNRESET) /* that one has gone again: the next */
                Sleep(WINTCP_REST_MS); /* WSAEMFILE, WSAENOBUFS: it stays in the backlog */
            continue;
        }
        wintcp_make_ready(socket);
        if (!hand_over(server, socket)) {
            cli_log(server->cli, "one more client refused: memory has run out");
            totals_add_refused();
            closesocket(socket);
        }
    }
    return 0; /* for the compiler: it goes on until the process ends */
}
//! [hand_over]

/* ---- the loop ---- */

//! [dispatch]
/* By the operation: it knows what has been done, and whose it is. */
static void dispatch(struct server *server, struct op *op, DWORD err, size_t bytes)
{
    struct conn *conn = CONTAINING_RECORD(op, struct conn, op);
    bool goes_on = err == 0 && !server->stopping; /* reset, cancelled ...: this one only */
    if (goes_on)
        goes_on = op->kind == OP_RECV ? on_received(conn, bytes) : on_sent(conn, bytes);
    if (!goes_on)
        conn_remove(conn);
}
//! [dispatch]

//! [begin_stop]
/* Asks for all that is lent. Each operation still ends with its packet, cancelled or done. */
static void begin_stop(struct server *server)
{
    server->stopping = true;
    for (struct conn *conn = server->all.next; conn != &server->all; conn = conn->next)
        (void)CancelIoEx((HANDLE)conn->socket, NULL); /* ERROR_NOT_FOUND: its packet is waiting */
}
//! [begin_stop]

//! [round]
static void loop_round(struct server *server)
{
    DWORD bytes = 0;
    ULONG_PTR key = KEY_OP;
    OVERLAPPED *overlapped = NULL;
    BOOL ok = GetQueuedCompletionStatus(server->port, &bytes, &key, &overlapped, INFINITE);
    DWORD err = ok ? 0 : GetLastError();
    /* FALSE has two meanings. With an OVERLAPPED: a packet came, of an operation that has failed.
     * Without: none came. We wait for ever, so only a bug can do that (ERROR_ABANDONED_WAIT_0). */
    if (!ok && overlapped == NULL)
        wintcp_die(server->cli, "GetQueuedCompletionStatus", (int)err);
    if (key == KEY_STOP)
        begin_stop(server);
    else if (key == KEY_NEW_CONN)
        conn_add(server, CONTAINING_RECORD(overlapped, struct conn, op.overlapped));
    else
        dispatch(server, op_of(overlapped), err, bytes);
}
//! [round]

/* ---- start and end ---- */

//! [wake]
/* In the thread of the console handler. */
static bool wake(void *arg)
{
    struct server *server = arg;
    return PostQueuedCompletionStatus(server->port, 0, KEY_STOP, NULL);
}
//! [wake]

//! [open]
static void server_open(struct server *server)
{
    server->all.previous = server->all.next = &server->all;
    server->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, LOOP_THREADS);
    if (server->port == NULL || console_stop_open(wake, server) < 0)
        wintcp_die(server->cli, "cannot start", (int)GetLastError());
    server->listener = wintcp_listen(server->cli);
    if (_beginthreadex(NULL, 0, run_acceptor, server, 0, NULL) == 0)
        wintcp_die(server->cli, "cannot start a thread that accepts", (int)_doserrno);
}
//! [open]

int main(int argc, char **argv)
{
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server on an I/O completion port.", NULL);
    static struct server server; /* static: the other threads have it as long as they live */
    server.cli = &cli;
    server_open(&server);
    while (!server.stopping || server.all.next != &server.all)
        loop_round(&server);
    /* The other thread sleeps in accept(). To close the listener under it is forbidden (Microsoft,
     * "closesocket function", remarks), so it ends with the process. Step 5 has no such thread. */
    return totals_write() == 0 ? 0 : 1;
}
