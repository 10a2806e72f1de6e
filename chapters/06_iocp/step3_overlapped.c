/*
 * step3_overlapped: one client at a time, but a receive or a send is now an operation: submitted,
 * then done by the kernel, then waited for. It grows out of step 2.
 *
 * WSARecv returns at once. The kernel fills the buffer when bytes come, and then sets the event
 * that is named in the OVERLAPPED. The program could do something else meanwhile. This one only
 * waits, but for two things at once: for the operation, and for the event that says stop.
 *
 * Accepting goes the old way, to have both side by side. FD_ACCEPT says that accept() would not
 * have to wait, and then it is called: that is readiness. When the other event is set, nothing is
 * left to be called, the bytes are there: that is completion.
 *
 *     submitted --> in flight --------------------> done: WSAGetOverlappedResult says how
 *                     |                               ^
 *                     +-- stop: CancelIoEx asks ------+
 *
 * The way always leads to "done". Until then the buffer and the OVERLAPPED are lent to the kernel,
 * so no function returns before that.
 */
#include "cli.h"
#include "console_stop.h"
#include "totals.h"
#include "wintcp.h"

enum { BUF_SIZE = 65536 };

//! [server]
struct server {
    const struct cli *cli;
    SOCKET listener;
    WSAEVENT stop, acceptable, done; /* acceptable: a client waits; done: the operation is over */
    OVERLAPPED overlapped;           /* of the one operation that may be in flight */
    char buf[BUF_SIZE];
};
//! [server]

//! [wait]
static DWORD wait_for_any(struct server *server, const WSAEVENT *events, DWORD count,
                          DWORD timeout_ms)
{
    DWORD which = WSAWaitForMultipleEvents(count, events, FALSE, timeout_ms, FALSE);
    if (which == WSA_WAIT_FAILED) /* no memory: neither "set" nor "not yet" may be made of that */
        wintcp_die(server->cli, "WSAWaitForMultipleEvents", WSAGetLastError());
    return which;
}

/* True when the event is set; false when the program shall stop. */
static bool wait_for(struct server *server, WSAEVENT event)
{
    const WSAEVENT events[] = {server->stop, event}; /* both set: the first one counts */
    return wait_for_any(server, events, 2, WSA_INFINITE) == WSA_WAIT_EVENT_0 + 1;
}

static bool stops_within(struct server *server, DWORD timeout_ms)
{
    return wait_for_any(server, &server->stop, 1, timeout_ms) != WSA_WAIT_TIMEOUT;
}
//! [wait]

/* ---- one operation ---- */

//! [operation]
static OVERLAPPED *prepare(struct server *server)
{
    WSAResetEvent(server->done); /* it stays set until somebody resets it */
    server->overlapped = (OVERLAPPED){.hEvent = server->done};
    return &server->overlapped;
}

/* Waits for the end of what was submitted. How many bytes; -1 when it has failed. */
static int finish(struct server *server, SOCKET socket, int result)
{
    DWORD bytes = 0, flags = 0;
    if (result != 0 && WSAGetLastError() != WSA_IO_PENDING)
        return -1; /* it was not submitted at all */
    bool goes_on = wait_for(server, server->done);
    if (!goes_on)
        (void)CancelIoEx((HANDLE)socket, &server->overlapped); /* ERROR_NOT_FOUND: it is done */
    /* TRUE: waits, for the end of a cancelled one, too. It fails with WSA_OPERATION_ABORTED. */
    if (!WSAGetOverlappedResult(socket, &server->overlapped, &bytes, TRUE, &flags))
        return -1; /* WSAECONNRESET ...: this client is gone, and only this one */
    return goes_on ? (int)bytes : -1;
}

/* The array of WSABUFs is copied by the call, so it may stand on the stack. */
static int receive(struct server *server, SOCKET socket)
{
    WSABUF lent = {BUF_SIZE, server->buf};
    DWORD flags = 0;
    return finish(server, socket, WSARecv(socket, &lent, 1, NULL, &flags, prepare(server), NULL));
}

static int send_part(struct server *server, SOCKET socket, int start, int end)
{
    WSABUF lent = {(ULONG)(end - start), server->buf + start};
    return finish(server, socket, WSASend(socket, &lent, 1, NULL, 0, prepare(server), NULL));
}
//! [operation]

//! [serve]
static void serve(struct server *server, SOCKET socket)
{
    for (int got; (got = receive(server, socket)) > 0;) /* 0: no more comes; -1: failed */
        for (int at = 0, sent; at < got; at += sent) {
            if ((sent = send_part(server, socket, at, got)) <= 0)
                return;
            totals_add_bytes((size_t)sent);
        }
}
//! [serve]

/* ---- accepting ---- */

//! [accept]
/* INVALID_SOCKET when the program shall stop. The event is reset before the call: what comes after
 * that sets it again (Microsoft, "WSAEventSelect function": accept() enables FD_ACCEPT anew). */
static SOCKET accept_or_stop(struct server *server)
{
    while (wait_for(server, server->acceptable)) {
        WSAResetEvent(server->acceptable);
        SOCKET socket = accept(server->listener, NULL, NULL);
        int err = WSAGetLastError();
        if (socket != INVALID_SOCKET)
            return socket;
        if (err == WSAEWOULDBLOCK)
            continue; /* nobody waits: the next one sets the event */
        if (err != WSAECONNRESET && stops_within(server, WINTCP_REST_MS))
            break; /* WSAEMFILE, WSAENOBUFS: the client stays in the backlog */
        WSASetEvent(server->acceptable); /* somebody may still wait: look again */
    }
    return INVALID_SOCKET;
}
//! [accept]

/* ---- start and end ---- */

//! [wake]
/* In the thread of the console handler. */
static bool wake(void *arg)
{
    struct server *server = arg;
    return WSASetEvent(server->stop);
}
//! [wake]

static void server_open(struct server *server)
{
    if ((server->stop = WSACreateEvent()) == WSA_INVALID_EVENT ||
        (server->acceptable = WSACreateEvent()) == WSA_INVALID_EVENT ||
        (server->done = WSACreateEvent()) == WSA_INVALID_EVENT)
        wintcp_die(server->cli, "cannot start", WSAGetLastError());
    if (console_stop_open(wake, server) < 0)
        wintcp_die(server->cli, "cannot start", (int)GetLastError());
    server->listener = wintcp_listen(server->cli);
    if (WSAEventSelect(server->listener, server->acceptable, FD_ACCEPT) != 0)
        wintcp_die(server->cli, "WSAEventSelect", WSAGetLastError());
}

int main(int argc, char **argv)
{
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server: one overlapped operation.", NULL);
    static struct server server; /* static: the console handler has it as long as it lives */
    server.cli = &cli;
    server_open(&server);
    for (SOCKET socket; (socket = accept_or_stop(&server)) != INVALID_SOCKET;) {
        /* It has the listener's properties, its event, too; that one is not for connections. */
        (void)WSAEventSelect(socket, NULL, 0);
        wintcp_make_ready(socket);
        totals_add_client();
        serve(&server, socket);
        closesocket(socket);
    }
    closesocket(server.listener);
    return totals_write() == 0 ? 0 : 1;
}
