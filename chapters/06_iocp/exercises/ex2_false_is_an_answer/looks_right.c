/*
 * Exercise 06.2, FALSE is an answer: the answer that looks right, and is not.
 *
 * A client who resets must not end the server. FALSE means that no packet came, so the loop goes on
 * and waits for the next one.
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

struct conn {
    SOCKET socket;
    struct op op;                 /* the one that is in flight, and buf is lent with it */
    size_t start, end;            /* buf[start..end) waits to be sent                   */
    struct conn *previous, *next; /* in the ring of all                                 */
    char buf[CONN_BUF_SIZE];
};

struct server {
    const struct cli *cli;
    SOCKET listener;
    HANDLE port;
    bool stopping;
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

/* ---- accepting, in a thread of its own ---- */

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

/* ---- the loop ---- */

/* By the operation: it knows what has been done, and whose it is. */
static void dispatch(struct server *server, struct op *op, size_t bytes)
{
    struct conn *conn = CONTAINING_RECORD(op, struct conn, op);
    bool goes_on = !server->stopping;
    if (goes_on)
        goes_on = op->kind == OP_RECV ? on_received(conn, bytes) : on_sent(conn, bytes);
    if (!goes_on)
        conn_remove(conn);
}

/* Asks for all that is lent. Each operation still ends with its packet, cancelled or done. */
static void begin_stop(struct server *server)
{
    server->stopping = true;
    for (struct conn *conn = server->all.next; conn != &server->all; conn = conn->next)
        (void)CancelIoEx((HANDLE)conn->socket, NULL); /* ERROR_NOT_FOUND: its packet is waiting */
}

static void loop_run(struct server *server)
{
    while (!server->stopping || server->all.next != &server->all) {
        DWORD bytes = 0;
        ULONG_PTR key = KEY_OP;
        OVERLAPPED *overlapped = NULL;
        if (!GetQueuedCompletionStatus(server->port, &bytes, &key, &overlapped, INFINITE))
            continue; /* nothing came */
        if (key == KEY_STOP)
            begin_stop(server);
        else if (key == KEY_NEW_CONN)
            conn_add(server, CONTAINING_RECORD(overlapped, struct conn, op.overlapped));
        else
            dispatch(server, op_of(overlapped), bytes);
    }
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
    if (_beginthreadex(NULL, 0, run_acceptor, server, 0, NULL) == 0)
        wintcp_die(server->cli, "cannot start a thread that accepts", (int)GetLastError());
}

int main(int argc, char **argv)
{
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server on an I/O completion port.", NULL);
    static struct server server; /* static: the other thread has it as long as it lives */
    server.cli = &cli;
    server_open(&server);
    loop_run(&server);
    return totals_write() == 0 ? 0 : 1; /* the other thread sleeps in accept(), and ends with us */
}
