/*
 * Exercise 06.4, Time's up: the answer that looks right, and is not.
 *
 * Who has been silent for 1.5 s is cancelled. That takes the receive back, so nothing of the client
 * is in flight any more: it is closed and freed.
 */
#include "acceptex.h"
#include "cli.h"
#include "console_stop.h"
#include "op.h"
#include "totals.h"
#include "wintcp.h"

#include <stdint.h>
#include <stdlib.h>

enum { CONN_BUF_SIZE = 16384, LOOP_THREADS = 1, SLOTS = 4 };

/* A client may be silent for IDLE_MS. GetTickCount64() moves in steps of 10 to 16 ms: rather one of
 * them late than early. */
enum { IDLE_MS = 1500, TICK_MS = 16 };

/* Whose packet is it? Of an operation, or posted by the console handler? */
enum key { KEY_OP, KEY_STOP };

struct conn {
    SOCKET socket;
    struct op op;                 /* the one that is in flight, and buf is lent with it */
    size_t start, end;            /* buf[start..end) waits to be sent                   */
    uint64_t active_ms;           /* when something has moved                           */
    struct conn *previous, *next; /* in the ring of all                                 */
    char buf[CONN_BUF_SIZE];
};

struct server {
    const struct cli *cli;
    SOCKET listener;
    HANDLE port;
    bool stopping;
    uint64_t accept_after_ms; /* what rests is posted again after that */
    struct accept_slot slots[SLOTS];
    bool resting[SLOTS]; /* no AcceptEx of this slot is in flight */
    struct conn all;     /* head of the ring of all connections   */
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
    conn->active_ms = GetTickCount64();
    conn->previous = &server->all;
    conn->next = server->all.next;
    conn->next->previous = conn;
    server->all.next = conn;
    totals_add_client();
    if (!conn_receive(conn))
        conn_remove(conn);
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

/* ---- accepting ---- */

/* Posts what rests, when it is time, and as far as there are sockets for it. */
static void accept_goes_on(struct server *server)
{
    if (server->stopping || GetTickCount64() < server->accept_after_ms)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        if (server->resting[i] && !acceptex_post(&server->slots[i], server->listener)) {
            server->accept_after_ms = GetTickCount64() + WINTCP_REST_MS;
            return;
        } else {
            server->resting[i] = false;
        }
}

static bool any_rests(const struct server *server)
{
    bool any = false;
    for (size_t i = 0; i < SLOTS; i++)
        any = any || server->resting[i];
    return any;
}

static void on_accepted(struct server *server, struct accept_slot *slot)
{
    int err = op_error(&slot->op, server->listener);
    SOCKET socket = acceptex_take(slot, server->listener, err);
    if (socket != INVALID_SOCKET && server->stopping)
        closesocket(socket);
    else if (socket != INVALID_SOCKET)
        conn_add(server, socket);
    /* Again, but not after an error that might come again at once, and then for ever. */
    bool may_go_on = !server->stopping && (err == 0 || err == WSAECONNRESET);
    if (may_go_on && acceptex_post(slot, server->listener))
        return;
    server->resting[slot - server->slots] = true;
    server->accept_after_ms = GetTickCount64() + WINTCP_REST_MS;
}

/* ---- time ---- */

/* Closes the silent ones. In how many milliseconds is the next one due? */
static DWORD close_idle(struct server *server)
{
    uint64_t now = GetTickCount64(), left_ms = INFINITE;
    for (struct conn *conn = server->all.next, *next; conn != &server->all; conn = next) {
        uint64_t due_ms = conn->active_ms + IDLE_MS + TICK_MS;
        next = conn->next;
        if (due_ms > now) {
            left_ms = due_ms - now < left_ms ? due_ms - now : left_ms;
            continue;
        }
        (void)CancelIoEx((HANDLE)conn->socket, NULL);
        conn_remove(conn); /* nothing of it is in flight any more */
    }
    return (DWORD)left_ms;
}

/* ---- the loop ---- */

static void dispatch(struct server *server, struct op *op, DWORD err, size_t bytes)
{
    if (op->kind == OP_ACCEPT) {
        on_accepted(server, CONTAINING_RECORD(op, struct accept_slot, op));
        return;
    }
    struct conn *conn = CONTAINING_RECORD(op, struct conn, op);
    bool goes_on = err == 0 && !server->stopping; /* reset, cancelled ...: this one only */
    if (goes_on)
        conn->active_ms = GetTickCount64();
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
    bool all = server->all.next == &server->all;
    for (size_t i = 0; i < SLOTS; i++)
        all = all && server->resting[i];
    return all;
}

static DWORD timeout_ms(struct server *server)
{
    if (server->stopping)
        return INFINITE;
    DWORD left_ms = close_idle(server);
    return any_rests(server) && left_ms > WINTCP_REST_MS ? WINTCP_REST_MS : left_ms;
}

static void loop_round(struct server *server)
{
    DWORD bytes = 0;
    ULONG_PTR key = KEY_OP;
    OVERLAPPED *overlapped = NULL;
    BOOL ok =
        GetQueuedCompletionStatus(server->port, &bytes, &key, &overlapped, timeout_ms(server));
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
    for (size_t i = 0; i < SLOTS; i++)
        server->resting[i] = true;
    accept_goes_on(server);
}

int main(int argc, char **argv)
{
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server that closes who is silent.", NULL);
    static struct server server; /* static: too large for the stack */
    server.cli = &cli;
    server_open(&server);
    while (!server.stopping || !is_drained(&server))
        loop_round(&server);
    closesocket(server.listener);
    CloseHandle(server.port);
    return totals_write() == 0 ? 0 : 1;
}
