#include "shared_conn.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { CANCELS_PER_LOCK = 64 };

//! [shared]
struct shared {
    atomic_int refs;
    atomic_bool cancelled; /* it shall end, whatever its packet says */
    atomic_ullong active_ms;
    struct shared *previous, *next; /* guarded by the ring's lock */
    struct conn conn;
};
//! [shared]

static struct shared ring = {.previous = &ring, .next = &ring}; /* its head is no connection */
static SRWLOCK ring_lock = SRWLOCK_INIT;

static atomic_long lent = 1; /* connections, what conns_hold() says, and the program itself */
static HANDLE drained;       /* an event: nothing is lent any more */

static struct shared *shared_of(struct conn *conn)
{
    return CONTAINING_RECORD(conn, struct shared, conn);
}

/* ---- what must come back ---- */

int conns_start(void)
{
    drained = CreateEventA(NULL, TRUE, FALSE, NULL); /* once set, it stays set */
    return drained != NULL ? 0 : -1;
}

void conns_hold(void)
{
    atomic_fetch_add(&lent, 1);
}

void conns_let_go(void)
{
    if (atomic_fetch_sub(&lent, 1) == 1)
        SetEvent(drained);
}

void conns_drain(void)
{
    conns_let_go();
    (void)WaitForSingleObject(drained, INFINITE);
}

/* ---- one connection ---- */

struct conn *conn_open(SOCKET socket)
{
    struct shared *shared = malloc(sizeof *shared);
    if (shared == NULL)
        return NULL;
    shared->conn.socket = socket;
    atomic_init(&shared->refs, 2); /* the ring's, and the caller's */
    atomic_init(&shared->cancelled, false);
    atomic_init(&shared->active_ms, GetTickCount64());
    conns_hold();
    AcquireSRWLockExclusive(&ring_lock);
    shared->previous = &ring;
    shared->next = ring.next;
    shared->next->previous = shared;
    ring.next = shared;
    ReleaseSRWLockExclusive(&ring_lock);
    return &shared->conn;
}

bool conn_is_active(struct conn *conn)
{
    struct shared *shared = shared_of(conn);
    /* For the C language, which knows nothing of ports: what the last owner wrote before it added
     * the operation's reference, this one sees from here on (C11, 5.1.2.4). */
    (void)atomic_load(&shared->refs);
    atomic_store(&shared->active_ms, GetTickCount64());
    return !atomic_load(&shared->cancelled);
}

//! [release]
void conn_release(struct conn *conn)
{
    if (atomic_fetch_sub(&shared_of(conn)->refs, 1) > 1)
        return;
    closesocket(conn->socket);
    free(shared_of(conn));
    conns_let_go();
}

void conn_end(struct conn *conn)
{
    struct shared *shared = shared_of(conn);
    AcquireSRWLockExclusive(&ring_lock);
    shared->previous->next = shared->next;
    shared->next->previous = shared->previous;
    ReleaseSRWLockExclusive(&ring_lock);
    conn_release(conn);
}
//! [release]

//! [submit]
static bool submit(struct conn *conn, enum op_kind kind)
{
    if (kind == OP_RECV)
        return op_receive(&conn->op, conn->socket, conn->buf, sizeof conn->buf);
    return op_send(&conn->op, conn->socket, conn->buf + conn->start, conn->end - conn->start);
}

/* It submits, then looks at the mark; who cancels sets the mark, then cancels. Whichever comes
 * first, one of the two cancels this operation. */
bool conn_submit(struct conn *conn, enum op_kind kind)
{
    struct shared *shared = shared_of(conn);
    atomic_fetch_add(&shared->refs, 1);
    bool submitted = submit(conn, kind);
    if (!submitted)
        atomic_fetch_sub(&shared->refs, 1); /* never the last one: the caller has one */
    else if (atomic_load(&shared->cancelled))
        (void)CancelIoEx((HANDLE)conn->socket, NULL); /* ERROR_NOT_FOUND: it is done */
    return submitted;
}
//! [submit]

/* ---- cancelling ---- */

//! [cancel]
/* Marks up to CANCELS_PER_LOCK of them, and takes a reference to each. */
static size_t mark_silent(uint64_t then_ms, struct shared **found, uint64_t *oldest_ms)
{
    size_t count = 0;
    *oldest_ms = UINT64_MAX;
    AcquireSRWLockExclusive(&ring_lock);
    for (struct shared *shared = ring.next; shared != &ring; shared = shared->next) {
        uint64_t active_ms = atomic_load(&shared->active_ms);
        if (atomic_load(&shared->cancelled))
            continue;
        if (active_ms <= then_ms && count < CANCELS_PER_LOCK) {
            atomic_store(&shared->cancelled, true);
            atomic_fetch_add(&shared->refs, 1);
            found[count++] = shared;
        } else if (active_ms < *oldest_ms) {
            *oldest_ms = active_ms;
        }
    }
    ReleaseSRWLockExclusive(&ring_lock);
    return count;
}

/* CancelIoEx has three outcomes: the operation is cancelled; it is done already; or none is in
 * flight (ERROR_NOT_FOUND), and the worker that is about to submit one will see the mark. */
uint64_t conns_cancel_silent(uint64_t then_ms)
{
    struct shared *found[CANCELS_PER_LOCK];
    uint64_t oldest_ms;
    size_t count;
    do {
        count = mark_silent(then_ms, found, &oldest_ms);
        for (size_t i = 0; i < count; i++) {
            (void)CancelIoEx((HANDLE)found[i]->conn.socket, NULL);
            conn_release(&found[i]->conn);
        }
    } while (count == CANCELS_PER_LOCK);
    return oldest_ms;
}
//! [cancel]
