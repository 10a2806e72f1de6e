/*
 * Exercise 06.3, Slots: a solution.
 *
 * Four AcceptEx are in flight, and each is posted again as soon as it has brought a client. Their
 * receive length is 0: the packet comes when the client has connected, whether he says anything or
 * not. What he says, a receive of his own waits for.
 */
#include "cli.h"
#include "console_stop.h"
#include "op.h"
#include "totals.h"
#include "wintcp.h"

#include <mswsock.h>

#include <stdint.h>
#include <stdlib.h>

enum { CONN_BUF_SIZE = 16384, LOOP_THREADS = 1, SLOTS = 4 };

/* Room for one address: 16 bytes more than the longest ("AcceptEx function"). */
enum { ADDRESS_LEN = sizeof(struct sockaddr_storage) + 16 };

/* Whose packet is it? Of an operation, or posted by the console handler? */
enum key { KEY_OP, KEY_STOP };

struct conn {
    SOCKET socket;
    struct op op;                 /* the one that is in flight, and buf is lent with it */
    size_t start, end;            /* buf[start..end) waits to be sent                   */
    struct conn *previous, *next; /* in the ring of all                                 */
    char buf[CONN_BUF_SIZE];
};

/* One AcceptEx: its memory is lent while it is in flight. */
struct slot {
    struct op op;
    SOCKET socket;             /* what the next client becomes, or INVALID_SOCKET: the slot rests */
    char buf[2 * ADDRESS_LEN]; /* our address and his */
};

struct server {
    const struct cli *cli;
    SOCKET listener;
    int family;
    LPFN_ACCEPTEX accept_ex;
    HANDLE port;
    bool stopping;
    uint64_t accept_after_ms; /* what rests is posted again after that */
    struct slot slots[SLOTS];
    struct conn all; /* head of the ring of all connections */
};

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
static void conn_remove(struct conn *conn)
{
    conn->previous->next = conn->next;
    conn->next->previous = conn->previous;
    closesocket(conn->socket);
    free(conn);
}

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

static void conn_add(struct server *server, SOCKET socket)
{
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL || CreateIoCompletionPort((HANDLE)socket, server->port, KEY_OP, 0) == NULL) {
        cli_log(server->cli, "one more client refused: memory has run out");
        totals_add_refused();
        free(conn);
        closesocket(socket);
        return;
    }
    conn->socket = socket;
    conn->previous = &server->all;
    conn->next = server->all.next;
    conn->next->previous = conn;
    server->all.next = conn;
    totals_add_client();
    if (!conn_receive(conn))
        conn_remove(conn);
}

/* ---- accepting ---- */

/* Submits it for a fresh socket. False: it rests, for there is none, or no memory. */
static bool slot_post(struct server *server, struct slot *slot)
{
    DWORD bytes; /* written only if it is done at once, and no news then either */
    slot->socket = socket(server->family, SOCK_STREAM, 0);
    if (slot->socket == INVALID_SOCKET)
        return false; /* WSAEMFILE, WSAENOBUFS */
    if (server->accept_ex(server->listener, slot->socket, slot->buf, 0, ADDRESS_LEN, ADDRESS_LEN,
                          &bytes, op_prepare(&slot->op, OP_ACCEPT)) ||
        WSAGetLastError() == WSA_IO_PENDING)
        return true;
    closesocket(slot->socket);
    slot->socket = INVALID_SOCKET;
    return false;
}

static void on_accepted(struct server *server, struct slot *slot)
{
    SOCKET socket = slot->socket;
    int err = op_error(&slot->op, server->listener);
    slot->socket = INVALID_SOCKET;
    if (err == 0 && !server->stopping &&
        setsockopt(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&server->listener,
                   sizeof server->listener) == 0) {
        wintcp_make_ready(socket);
        conn_add(server, socket);
    } else {
        closesocket(socket); /* cancelled, or gone again */
    }
    /* At once; but an error might come again at once, and then for ever: so that one rests. */
    bool may_go_on = !server->stopping && (err == 0 || err == WSAECONNRESET);
    if (!may_go_on || !slot_post(server, slot))
        server->accept_after_ms = GetTickCount64() + WINTCP_REST_MS;
}

static bool is_resting(const struct server *server)
{
    bool any = false;
    for (size_t i = 0; i < SLOTS; i++)
        any = any || server->slots[i].socket == INVALID_SOCKET;
    return any;
}

/* Posts what rests, when it is time, and as far as there are sockets for it. */
static void accept_goes_on(struct server *server)
{
    if (server->stopping || GetTickCount64() < server->accept_after_ms)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        if (server->slots[i].socket == INVALID_SOCKET && !slot_post(server, &server->slots[i])) {
            server->accept_after_ms = GetTickCount64() + WINTCP_REST_MS;
            return;
        }
}

/* ---- the loop ---- */

static void dispatch(struct server *server, struct op *op, DWORD err, size_t bytes)
{
    if (op->kind == OP_ACCEPT) {
        on_accepted(server, CONTAINING_RECORD(op, struct slot, op));
        return;
    }
    struct conn *conn = CONTAINING_RECORD(op, struct conn, op);
    bool goes_on = err == 0 && !server->stopping; /* reset, cancelled ...: this one only */
    if (goes_on)
        goes_on = op->kind == OP_RECV ? on_received(conn, bytes) : on_sent(conn, bytes);
    if (!goes_on)
        conn_remove(conn);
}

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
    bool is_empty = server->all.next == &server->all;
    for (size_t i = 0; i < SLOTS; i++)
        is_empty = is_empty && server->slots[i].socket == INVALID_SOCKET;
    return is_empty;
}

static void loop_round(struct server *server)
{
    DWORD bytes = 0;
    ULONG_PTR key = KEY_OP;
    OVERLAPPED *overlapped = NULL;
    DWORD timeout_ms = is_resting(server) && !server->stopping ? WINTCP_REST_MS : INFINITE;
    BOOL ok = GetQueuedCompletionStatus(server->port, &bytes, &key, &overlapped, timeout_ms);
    DWORD err = ok ? 0 : GetLastError();
    if (!ok && overlapped == NULL && err != WAIT_TIMEOUT)
        wintcp_die(server->cli, "GetQueuedCompletionStatus", (int)err);
    if (key == KEY_STOP)
        begin_stop(server);
    else if (overlapped != NULL)
        dispatch(server, op_of(overlapped), err, bytes);
    accept_goes_on(server);
}

/* ---- start and end ---- */

/* In the thread of the console handler. */
static bool wake(void *arg)
{
    struct server *server = arg;
    return PostQueuedCompletionStatus(server->port, 0, KEY_STOP, NULL);
}

/* AcceptEx is no function of a library: its address is asked for with the listener. */
static bool find_accept_ex(struct server *server)
{
    GUID guid = WSAID_ACCEPTEX;
    DWORD bytes;
    struct sockaddr_storage address;
    int len = sizeof address;
    if (getsockname(server->listener, (struct sockaddr *)&address, &len) != 0)
        return false;
    server->family = address.ss_family;
    return WSAIoctl(server->listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof guid,
                    &server->accept_ex, sizeof server->accept_ex, &bytes, NULL, NULL) == 0;
}

static void server_open(struct server *server)
{
    server->all.previous = server->all.next = &server->all;
    server->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, LOOP_THREADS);
    if (server->port == NULL || console_stop_open(wake, server) < 0)
        wintcp_die(server->cli, "cannot start", (int)GetLastError());
    server->listener = wintcp_listen(server->cli);
    if (!find_accept_ex(server) ||
        CreateIoCompletionPort((HANDLE)server->listener, server->port, KEY_OP, 0) == NULL)
        wintcp_die(server->cli, "cannot accept", (int)GetLastError());
    for (size_t i = 0; i < SLOTS; i++)
        server->slots[i].socket = INVALID_SOCKET;
    accept_goes_on(server);
}

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
