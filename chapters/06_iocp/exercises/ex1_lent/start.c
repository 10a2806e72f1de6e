/*
 * Exercise 06.1, Lent: where you begin.
 *
 * An echo server on a completion port. While it sends what has come, it receives what comes next,
 * into a second buffer. But what it lends to the kernel has no good home: each OVERLAPPED stands on
 * the stack, and all clients share two buffers.
 */
#include "acceptex.h"
#include "cli.h"
#include "console_stop.h"
#include "op.h"
#include "totals.h"
#include "wintcp.h"

#include <stdint.h>
#include <stdlib.h>

enum { BUF_SIZE = 16384, LOOP_THREADS = 1, SLOTS = 4, HALVES = 2 };

/* Whose packet is it? All other keys are the address of a connection. */
enum key { KEY_STOP, KEY_ACCEPT };

/* FREE --> RECEIVING --> FULL --> SENDING --> FREE */
enum half_state { FREE, RECEIVING, FULL, SENDING };

/* One receives while the other one sends. */
struct half {
    enum half_state state;
    size_t start, end; /* buf[start..end) waits to be sent */
    char *buf;
};

struct conn {
    SOCKET socket;
    bool has_ended;               /* the client has: what came is still sent    */
    bool is_over;                 /* it is removed when nothing is in flight    */
    struct conn *previous, *next; /* in the ring of all                         */
    struct half halves[HALVES];
};

struct server {
    const struct cli *cli;
    SOCKET listener;
    HANDLE port;
    bool stopping;
    uint64_t accept_after_ms; /* what rests is posted again after that */
    struct accept_slot slots[SLOTS];
    bool resting[SLOTS];         /* no AcceptEx of this slot is in flight */
    char bufs[HALVES][BUF_SIZE]; /* of all connections */
    struct conn all;             /* head of the ring of all connections   */
};

/* ---- one half ---- */

static bool half_receive(struct conn *conn, struct half *half)
{
    struct op op;
    if (!op_receive(&op, conn->socket, half->buf, BUF_SIZE))
        return false;
    half->state = RECEIVING;
    return true;
}

static bool half_send(struct conn *conn, struct half *half)
{
    struct op op;
    if (!op_send(&op, conn->socket, half->buf + half->start, half->end - half->start))
        return false;
    half->state = SENDING;
    return true;
}

/* 0 bytes: no more come. Both functions say whether the connection goes on. */
static bool on_received(struct conn *conn, struct half *half, size_t bytes)
{
    half->start = 0;
    half->end = bytes;
    half->state = bytes > 0 ? FULL : FREE;
    conn->has_ended = bytes == 0;
    return true;
}

static bool on_sent(struct conn *conn, struct half *half, size_t bytes)
{
    half->start += bytes;
    half->state = FREE;
    totals_add_bytes(bytes);
    return half->start == half->end || (bytes > 0 && half_send(conn, half)); /* a part: the rest */
}

/* ---- connections ---- */

static struct half *half_in(struct conn *conn, enum half_state state)
{
    for (size_t i = 0; i < HALVES; i++)
        if (conn->halves[i].state == state)
            return &conn->halves[i];
    return NULL;
}

/* One receive and one send at a time, so everything keeps its order. */
static bool conn_go_on(struct conn *conn)
{
    struct half *full = half_in(conn, FULL);
    if (full != NULL && half_in(conn, SENDING) == NULL && !half_send(conn, full))
        return false;
    struct half *empty = half_in(conn, FREE);
    if (empty == NULL || conn->has_ended || half_in(conn, RECEIVING) != NULL)
        return true;
    return half_receive(conn, empty);
}

static bool is_in_flight(struct conn *conn)
{
    return half_in(conn, RECEIVING) != NULL || half_in(conn, SENDING) != NULL;
}

static void conn_remove(struct conn *conn)
{
    conn->previous->next = conn->next;
    conn->next->previous = conn->previous;
    closesocket(conn->socket);
    free(conn);
}

/* Asks for what is in flight, and removes it when nothing is, or nothing more. */
static void conn_end_if(struct conn *conn, bool is_over)
{
    if (is_over && !conn->is_over)
        (void)CancelIoEx((HANDLE)conn->socket, NULL); /* ERROR_NOT_FOUND: packets are waiting */
    conn->is_over = conn->is_over || is_over;
    if (!is_in_flight(conn))
        conn_remove(conn);
}

static void conn_add(struct server *server, SOCKET socket)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL ||
        CreateIoCompletionPort((HANDLE)socket, server->port, (ULONG_PTR)conn, 0) == NULL) {
        cli_log(server->cli, "one more client refused: memory has run out");
        totals_add_refused();
        free(conn);
        closesocket(socket);
        return;
    }
    conn->socket = socket;
    for (size_t i = 0; i < HALVES; i++)
        conn->halves[i].buf = server->bufs[i];
    conn->previous = &server->all;
    conn->next = server->all.next;
    conn->next->previous = conn;
    server->all.next = conn;
    totals_add_client();
    conn_end_if(conn, !conn_go_on(conn));
}

/* Whose operation is it that has come back? */
static struct half *half_of(struct conn *conn, OVERLAPPED *overlapped)
{
    return half_in(conn, op_of(overlapped)->kind == OP_RECV ? RECEIVING : SENDING);
}

static void on_packet(struct server *server, struct conn *conn, struct half *half, DWORD err,
                      size_t bytes)
{
    bool goes_on = err == 0 && !server->stopping && !conn->is_over;
    bool was_received = half->state == RECEIVING;
    half->state = FREE;
    if (goes_on)
        goes_on = was_received ? on_received(conn, half, bytes) : on_sent(conn, half, bytes);
    conn_end_if(conn, !goes_on || !conn_go_on(conn));
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

/* ---- the loop ---- */

static void begin_stop(struct server *server)
{
    server->stopping = true;
    (void)CancelIoEx((HANDLE)server->listener, NULL); /* ERROR_NOT_FOUND: its packets are waiting */
    for (struct conn *conn = server->all.next, *next; conn != &server->all; conn = next) {
        next = conn->next;
        conn_end_if(conn, true);
    }
}

static bool is_drained(const struct server *server)
{
    bool all = server->all.next == &server->all;
    for (size_t i = 0; i < SLOTS; i++)
        all = all && server->resting[i];
    return all;
}

static void dispatch(struct server *server, ULONG_PTR key, OVERLAPPED *overlapped, DWORD err,
                     size_t bytes)
{
    if (key == KEY_ACCEPT) {
        on_accepted(server, CONTAINING_RECORD(op_of(overlapped), struct accept_slot, op));
        return;
    }
    struct conn *conn = (struct conn *)key; /* it was made of one */
    on_packet(server, conn, half_of(conn, overlapped), err, bytes);
}

static void loop_round(struct server *server)
{
    DWORD bytes = 0;
    ULONG_PTR key = KEY_STOP;
    OVERLAPPED *overlapped = NULL;
    DWORD timeout_ms = any_rests(server) && !server->stopping ? WINTCP_REST_MS : INFINITE;
    BOOL ok = GetQueuedCompletionStatus(server->port, &bytes, &key, &overlapped, timeout_ms);
    DWORD err = ok ? 0 : GetLastError();
    if (!ok && overlapped == NULL && err != WAIT_TIMEOUT)
        wintcp_die(server->cli, "GetQueuedCompletionStatus", (int)err);
    if (overlapped != NULL)
        dispatch(server, key, overlapped, err, bytes);
    else if (ok)
        begin_stop(server); /* it was posted */
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
        CreateIoCompletionPort((HANDLE)server->listener, server->port, KEY_ACCEPT, 0) == NULL)
        wintcp_die(server->cli, "cannot accept", (int)GetLastError());
    for (size_t i = 0; i < SLOTS; i++)
        server->resting[i] = true;
    accept_goes_on(server);
}

int main(int argc, char **argv)
{
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server that receives while it sends.", NULL);
    static struct server server; /* static: too large for the stack */
    server.cli = &cli;
    server_open(&server);
    while (!server.stopping || !is_drained(&server))
        loop_round(&server);
    closesocket(server.listener);
    CloseHandle(server.port);
    return totals_write() == 0 ? 0 : 1;
}
