/*
 * step6_workers: one port, several threads, idle time-outs, and an end in good order.
 *
 * It grows out of step 5. Whichever worker is free takes the next packet, and with it owns the
 * connection until it submits the next operation. A worker takes one packet per call: were it to
 * take more, they would wait for it although others are free. There may be more workers than may
 * run at once; the port sees to that (its concurrency value), and lets another one run when one of
 * them blocks.
 *
 * The main thread waits for what no packet tells: Ctrl-C, a client that has been idle for too long,
 * a slot that rests. It looks at connections that a worker owns, so their lives are counted by
 * references: see shared_conn.h.
 *
 * The end, in this order; none of it can be left out:
 *
 *     stopping        nothing new is submitted
 *     cancel          all that is in flight is asked back
 *     drain           ... and has come back; only now nothing is lent any more
 *     wake and join   one posted packet ends one worker
 *     close           the listener and the port, when nobody is left to use them
 */
#include "acceptex.h"
#include "cli.h"
#include "console_stop.h"
#include "op.h"
#include "shared_conn.h"
#include "totals.h"
#include "wintcp.h"

#include <process.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ACCEPT_SLOTS = 16, MAX_WORKERS = 256 };

/* Whose packet is it? Of an operation, or posted to end a worker? */
enum key { KEY_OP, KEY_STOP };

//! [server]
struct server {
    const struct cli *cli;
    SOCKET listener;
    HANDLE port;
    HANDLE attention; /* an event: the main thread has something to look after */
    atomic_bool stopping;
    struct accept_slot slots[ACCEPT_SLOTS];
    atomic_bool resting[ACCEPT_SLOTS]; /* this one is to be posted again by the main thread */
};
//! [server]

/* ---- connections ---- */

static void conn_refuse(struct server *server, SOCKET socket)
{
    cli_log(server->cli, "one more client refused: memory has run out");
    totals_add_refused();
    closesocket(socket);
}

//! [add]
static void conn_add(struct server *server, SOCKET socket)
{
    struct conn *conn = NULL;
    if (CreateIoCompletionPort((HANDLE)socket, server->port, KEY_OP, 0) != NULL)
        conn = conn_open(socket);
    if (conn == NULL) {
        conn_refuse(server, socket);
        return;
    }
    totals_add_client();
    /* Into the ring, then this question; the main thread says so, then looks at the ring. */
    if (atomic_load(&server->stopping) || !conn_submit(conn, OP_RECV))
        conn_end(conn);
    conn_release(conn);
}
//! [add]

/* The bytes are in the buffer already. 0 of them: no more come, and all echo has been sent. Both
 * functions say whether the connection goes on, with another operation in flight. */
static bool on_received(struct conn *conn, size_t bytes)
{
    conn->start = 0;
    conn->end = bytes;
    return bytes > 0 && conn_submit(conn, OP_SEND);
}

static bool on_sent(struct conn *conn, size_t bytes)
{
    conn->start += bytes;
    totals_add_bytes(bytes);
    if (conn->start < conn->end)
        return bytes > 0 && conn_submit(conn, OP_SEND); /* a part: the rest; nothing: no end */
    return conn_submit(conn, OP_RECV);
}

/* ---- accepting, and resting ---- */

//! [slot]
static void slot_post(struct server *server, struct accept_slot *slot)
{
    conns_hold();
    if (acceptex_post(slot, server->listener)) {
        if (atomic_load(&server->stopping)) /* the main thread may have cancelled before that */
            (void)CancelIoEx((HANDLE)server->listener, NULL);
        return;
    }
    conns_let_go();
    atomic_store(&server->resting[slot - server->slots], true);
}

static void on_accepted(struct server *server, struct accept_slot *slot, int err)
{
    SOCKET socket = acceptex_take(slot, server->listener, err);
    if (socket != INVALID_SOCKET)
        conn_add(server, socket);
    /* Again; but an error might come again at once, and then for ever: so that one rests. */
    if (err != 0 && err != WSAECONNRESET)
        atomic_store(&server->resting[slot - server->slots], true);
    else if (!atomic_load(&server->stopping))
        slot_post(server, slot);
    if (atomic_load(&server->resting[slot - server->slots]))
        SetEvent(server->attention);
    conns_let_go();
}

/* Posts what rests. False when something still does: there is no socket for it. */
static bool accept_goes_on(struct server *server)
{
    bool all = true;
    for (size_t i = 0; i < ACCEPT_SLOTS; i++) {
        if (atomic_exchange(&server->resting[i], false))
            slot_post(server, &server->slots[i]);
        all = all && !atomic_load(&server->resting[i]);
    }
    return all;
}
//! [slot]

/* ---- workers ---- */

//! [dispatch]
/* By the operation: it knows what has been done, and whose it is. */
static void dispatch(struct server *server, struct op *op, DWORD err, size_t bytes)
{
    if (op->kind == OP_ACCEPT) {
        struct accept_slot *slot = CONTAINING_RECORD(op, struct accept_slot, op);
        on_accepted(server, slot, op_error(op, server->listener));
        return;
    }
    struct conn *conn = CONTAINING_RECORD(op, struct conn, op);
    bool goes_on = err == 0 && conn_is_active(conn); /* reset, cancelled ...: this one only */
    if (goes_on)
        goes_on = op->kind == OP_RECV ? on_received(conn, bytes) : on_sent(conn, bytes);
    if (!goes_on)
        conn_end(conn);
    conn_release(conn); /* the operation's reference: its packet has been dealt with */
}
//! [dispatch]

//! [worker]
static unsigned __stdcall run_worker(void *arg)
{
    struct server *server = arg;
    for (;;) {
        DWORD bytes = 0;
        ULONG_PTR key = KEY_OP;
        OVERLAPPED *overlapped = NULL;
        BOOL ok = GetQueuedCompletionStatus(server->port, &bytes, &key, &overlapped, INFINITE);
        DWORD err = ok ? 0 : GetLastError();
        if (overlapped == NULL)
            return 0; /* KEY_STOP; or no packet, and no port any more: ERROR_ABANDONED_WAIT_0 */
        dispatch(server, op_of(overlapped), err, bytes);
    }
}

static long start_workers(struct server *server, HANDLE *workers, long count)
{
    for (long i = 0; i < count; i++) {
        workers[i] = (HANDLE)_beginthreadex(NULL, 0, run_worker, server, 0, NULL);
        if (workers[i] != NULL)
            continue;
        cli_log(server->cli, "only %ld of %ld workers: memory has run out", i, count);
        if (i == 0)
            exit(1); /* nobody would serve */
        return i;
    }
    return count;
}
//! [worker]

/* ---- the main thread ---- */

//! [idle]
/* Closes who has been idle for too long. In how many milliseconds is the next look due? */
static uint64_t close_idle(uint64_t idle_ms)
{
    uint64_t now = GetTickCount64();
    if (idle_ms == 0 || now < idle_ms)
        return idle_ms == 0 ? INFINITE : idle_ms;
    uint64_t oldest_ms = conns_cancel_silent(now - idle_ms);
    return oldest_ms < now ? oldest_ms + idle_ms - now + 1
                           : idle_ms; /* 1: rather late than twice */
}

static void look_after(struct server *server, uint64_t idle_ms)
{
    while (!atomic_load(&server->stopping)) {
        uint64_t timeout_ms = close_idle(idle_ms);
        if (!accept_goes_on(server) && timeout_ms > WINTCP_REST_MS)
            timeout_ms = WINTCP_REST_MS;
        (void)WaitForSingleObject(server->attention, (DWORD)timeout_ms); /* set, or time is over */
    }
}
//! [idle]

//! [stop]
static void stop_all(struct server *server, HANDLE *workers, long count)
{
    (void)CancelIoEx((HANDLE)server->listener, NULL); /* ERROR_NOT_FOUND: nothing is in flight */
    (void)conns_cancel_silent(UINT64_MAX);
    conns_drain();
    for (long i = 0; i < count; i++)
        while (!PostQueuedCompletionStatus(server->port, 0, KEY_STOP, NULL))
            Sleep(WINTCP_REST_MS); /* no memory for a packet: it passes, now that all have left */
    for (long i = 0; i < count; i++) {
        (void)WaitForSingleObject(workers[i], INFINITE);
        CloseHandle(workers[i]);
    }
    closesocket(server->listener);
    CloseHandle(server->port);
}

/* In the thread of the console handler. */
static bool wake(void *arg)
{
    struct server *server = arg;
    atomic_store(&server->stopping, true);
    return SetEvent(server->attention);
}
//! [stop]

//! [open]
static void server_open(struct server *server, long concurrency)
{
    server->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, (DWORD)concurrency);
    if (server->port == NULL)
        wintcp_die(server->cli, "cannot start", (int)GetLastError());
    server->attention = CreateEventA(NULL, FALSE, FALSE, NULL); /* one wait resets it */
    if (server->attention == NULL || conns_start() < 0 || console_stop_open(wake, server) < 0)
        wintcp_die(server->cli, "cannot start", (int)GetLastError());
    server->listener = wintcp_listen(server->cli);
    if (acceptex_open(server->listener) < 0 ||
        CreateIoCompletionPort((HANDLE)server->listener, server->port, KEY_OP, 0) == NULL)
        wintcp_die(server->cli, "cannot accept", (int)GetLastError());
    for (size_t i = 0; i < ACCEPT_SLOTS; i++)
        atomic_store(&server->resting[i], true); /* until the main thread looks after them */
}
//! [open]

int main(int argc, char **argv)
{
    static HANDLE workers[MAX_WORKERS];
    long count = 4, concurrency = 0, idle_seconds = 0;
    const struct cli_option options[] = {
        {'w', "WORKERS", "threads that share the port", 1, MAX_WORKERS, &count},
        {'c', "RUNNING", "so many of them run at once; 0: one per processor", 0, MAX_WORKERS,
         &concurrency},
        {'t', "SECONDS", "close clients that are idle so long; 0: never", 0, 86400, &idle_seconds},
        {0, NULL, NULL, 0, 0, NULL},
    };
    wintcp_start();
    struct cli cli = cli_parse(argc, argv, "An echo server: one port, several threads.", options);
    static struct server server; /* static: too large for the stack */
    server.cli = &cli;
    server_open(&server, concurrency);
    count = start_workers(&server, workers, count);
    look_after(&server, (uint64_t)idle_seconds * 1000);
    stop_all(&server, workers, count);
    return totals_write() == 0 ? 0 : 1;
}
