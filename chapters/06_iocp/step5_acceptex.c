/*
 * step5_acceptex: no call blocks any more but the one that takes packets out of the port.
 *
 * It grows out of step 4. Accepting has become an operation, too: AcceptEx. Several are in flight,
 * since each takes one client; whichever is done is submitted again. So there is one thread, which
 * submits everything and never ends before all of it is done. And one call takes many packets.
 *
 * The life of an accept slot:
 *
 *                                   a client
 *     posted (in flight) ----------------------------> connection, as in step 4
 *       ^   ^  | failed                     |
 *       |   +--+<---------------------------+  the slot is posted again, with a new socket
 *       |      | no socket, no memory
 *       +-- resting: until a connection is closed, or for WINTCP_REST_MS
 *
 * A batch holds at most one packet of a connection, since at most one operation of it is in flight.
 * So what one packet frees, no other packet of the batch can point to.
 */
#include "acceptex.h"
#include "cli.h"
#include "console_stop.h"
#include "op.h"
#include "totals.h"
#include "wintcp.h"

#include <stdint.h>
#include <stdlib.h>

enum { CONN_BUF_SIZE = 16384, LOOP_THREADS = 1, ACCEPT_SLOTS = 16, PACKETS_PER_CALL = 64 };

/* Whose packet is it? Of an operation, or posted by the console handler? */
enum key { KEY_OP, KEY_STOP };

struct conn {
    SOCKET socket;
    struct op op;                 /* the one that is in flight, and buf is lent with it */
    size_t start, end;            /* buf[start..end) waits to be sent                   */
    struct conn *previous, *next; /* in the ring of all                                 */
    char buf[CONN_BUF_SIZE];
};

//! [server]
struct server {
    const struct cli *cli;
    SOCKET listener;
    HANDLE port;
    bool stopping;
    struct conn all; /* head of the ring of all connections */

    /* The slots: those in flight belong to the kernel, the others rest until then. */
    struct accept_slot slots[ACCEPT_SLOTS];
    bool resting[ACCEPT_SLOTS];
    int resting_count;
    uint64_t accept_after_ms;
};
//! [server]

/* ---- connections ---- */

static bool conn_receive(struct conn *conn)
{
    return op_receive(&conn->op, conn->socket, conn->buf, sizeof conn->buf);
}

static bool conn_send(struct conn *conn)
{
    return op_send(&conn->op, conn->socket, conn->buf + conn->start, conn->end - conn->start);
}

/* Nothing of it is in flight, so it can be closed and freed at once. */
static void conn_remove(struct server *server, struct conn *conn)
{
    conn->previous->next = conn->next;
    conn->next->previous = conn->previous;
    closesocket(conn->socket);
    free(conn);
    server->accept_after_ms = 0; /* a socket has become free */
}

//! [add]
static void conn_refuse(struct server *server, struct conn *conn, SOCKET socket)
{
    cli_log(server->cli, "one more client refused: memory has run out");
    totals_add_refused();
    free(conn);
    closesocket(socket);
}

static void conn_add(struct server *server, SOCKET socket)
{
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL || CreateIoCompletionPort((HANDLE)socket, server->port, KEY_OP, 0) == NULL) {
        conn_refuse(server, conn, socket);
        return;
    }
    conn->socket = socket;
    conn->previous = &server->all;
    conn->next = server->all.next;
    conn->next->previous = conn;
    server->all.next = conn;
    totals_add_client();
    if (!conn_receive(conn))
        conn_remove(server, conn);
}
//! [add]

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

/* ---- accepting, and resting ---- */

//! [rest]
static void slot_rests(struct server *server, size_t i)
{
    server->resting[i] = true;
    server->resting_count++;
    server->accept_after_ms = GetTickCount64() + WINTCP_REST_MS;
}

static bool accept_is_due(const struct server *server)
{
    return server->resting_count > 0 && !server->stopping &&
           GetTickCount64() >= server->accept_after_ms;
}

/* Posts what rests, as far as there are sockets for it. */
static void accept_goes_on(struct server *server)
{
    for (size_t i = 0; i < ACCEPT_SLOTS; i++) {
        if (!server->resting[i])
            continue;
        server->resting[i] = false;
        server->resting_count--;
        if (!acceptex_post(&server->slots[i], server->listener)) {
            slot_rests(server, i);
            return;
        }
    }
}
//! [rest]

//! [on_accepted]
static void on_accepted(struct server *server, struct accept_slot *slot, int err)
{
    SOCKET socket = acceptex_take(slot, server->listener, err);
    if (socket != INVALID_SOCKET && server->stopping)
        closesocket(socket);
    else if (socket != INVALID_SOCKET)
        conn_add(server, socket);
    /* Again, but not after an error that might come again at once, and then for ever. */
    bool may_go_on = err == 0 || err == WSAECONNRESET;
    if (server->stopping || !may_go_on || !acceptex_post(slot, server->listener))
        slot_rests(server, (size_t)(slot - server->slots));
}
//! [on_accepted]

/* ---- the loop ---- */

//! [dispatch]
/* By the operation: it knows what has been done, and whose it is. */
static void dispatch(struct server *server, struct op *op, size_t bytes)
{
    if (op->kind == OP_ACCEPT) {
        struct accept_slot *slot = CONTAINING_RECORD(op, struct accept_slot, op);
        on_accepted(server, slot, op_error(op, server->listener));
        return;
    }
    struct conn *conn = CONTAINING_RECORD(op, struct conn, op);
    bool goes_on = op_error(op, conn->socket) == 0 && !server->stopping;
    if (goes_on)
        goes_on = op->kind == OP_RECV ? on_received(conn, bytes) : on_sent(conn, bytes);
    if (!goes_on)
        conn_remove(server, conn);
}
//! [dispatch]

/* Asks for all that is lent. Each operation still ends with its packet, cancelled or done. */
static void begin_stop(struct server *server)
{
    server->stopping = true;
    (void)CancelIoEx((HANDLE)server->listener, NULL); /* ERROR_NOT_FOUND: its packets are waiting */
    for (struct conn *conn = server->all.next; conn != &server->all; conn = conn->next)
        (void)CancelIoEx((HANDLE)conn->socket, NULL); /* the same */
}

static bool is_drained(const struct server *server)
{
    return server->all.next == &server->all && server->resting_count == ACCEPT_SLOTS;
}

//! [round]
static DWORD timeout_ms(const struct server *server)
{
    uint64_t now = GetTickCount64();
    if (server->resting_count == 0 || server->stopping)
        return INFINITE;
    return now >= server->accept_after_ms ? 0 : (DWORD)(server->accept_after_ms - now);
}

static void loop_round(struct server *server)
{
    OVERLAPPED_ENTRY entries[PACKETS_PER_CALL];
    ULONG count = 0;
    /* FALSE now always means that no packet came: a failed operation is one of the entries, and
     * tells itself how it failed. */
    if (!GetQueuedCompletionStatusEx(server->port, entries, PACKETS_PER_CALL, &count,
                                     timeout_ms(server), FALSE)) {
        if (GetLastError() != WAIT_TIMEOUT)
            wintcp_die(server->cli, "GetQueuedCompletionStatusEx", (int)GetLastError());
        count = 0;
    }
    for (ULONG i = 0; i < count; i++)
        if (entries[i].lpCompletionKey == KEY_STOP)
            begin_stop(server);
        else
            dispatch(server, op_of(entries[i].lpOverlapped), entries[i].dwNumberOfBytesTransferred);
    if (accept_is_due(server))
        accept_goes_on(server);
}
//! [round]

/* ---- start and end ---- */

/* In the thread of the console handler. */
static bool wake(void *arg)
{
    struct server *server = arg;
    return PostQueuedCompletionStatus(server->port, 0, KEY_STOP, NULL);
}

//! [open]
static void server_open(struct server *server)
{
    server->all.previous = server->all.next = &server->all;
    server->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, LOOP_THREADS);
    if (server->port == NULL || console_stop_open(wake, server) < 0)
        wintcp_die(server->cli, "cannot start", (int)GetLastError());
    server->listener = wintcp_listen(server->cli);
    if (acceptex_open(server->listener) < 0 ||
        CreateIoCompletionPort((HANDLE)server->listener, server->port, KEY_OP, 0) == NULL)
        wintcp_die(server->cli, "cannot accept", (int)GetLastError());
    for (size_t i = 0; i < ACCEPT_SLOTS; i++)
        slot_rests(server, i);
    accept_goes_on(server);
}
//! [open]

int main(int argc, char **argv)
{
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server that accepts by AcceptEx.", NULL);
    static struct server server; /* static: too large for the stack */
    server.cli = &cli;
    server_open(&server);
    while (!server.stopping || !is_drained(&server))
        loop_round(&server);
    closesocket(server.listener);
    CloseHandle(server.port);
    return totals_write() == 0 ? 0 : 1;
}
