/*
 * Lab: thirty-two packets are in the port. How many calls take them out?
 *
 * GetQueuedCompletionStatus() takes one packet for each call: so it stands in popular texts that a
 * completion port hands out one at a time. That is true of this function, not of the port.
 * GetQueuedCompletionStatusEx(), since Windows Vista, fills an array with as many as are there.
 *
 * The two tell a failed operation in different ways, and both are easily missed (Microsoft, the
 * pages of the two functions):
 *
 *     one packet    returns FALSE, and the OVERLAPPED is not NULL: this operation has failed.
 *                   FALSE with NULL: nothing was taken, the time is over
 *     many (Ex)     returns TRUE as soon as it has taken something. Which of them have failed
 *                   stands in each OVERLAPPED: ask WSAGetOverlappedResult()
 *
 * The receives here find their byte waiting, so they finish at once, and their packets are in the
 * port before the first call looks.
 */
#include "iocp_lab.h"

enum { CONNS = 32, SMALL = 10, OWN = 0, PEER = 1 };

static struct conn {
    SOCKET ends[2];
    OVERLAPPED overlapped;
    char byte;
} conns[CONNS];

static HANDLE port;

static DWORD submit(struct conn *conn)
{
    memset(&conn->overlapped, 0, sizeof conn->overlapped);
    return iocp_recv(conn->ends[OWN], &conn->byte, 1, &conn->overlapped);
}

/* One finished receive for each connection; their packets are in the port. */
static void fill_port(void)
{
    int finished = 0;
    for (int i = 0; i < CONNS; i++) {
        iocp_say(conns[i].ends[PEER], "x");
        iocp_until_readable(conns[i].ends[OWN]);
        finished += submit(&conns[i]) == 0 ? 1 : 0;
    }
    iocp_must(finished == CONNS, "WSARecv with data there");
}

/* Takes all packets with room for `room` in each call; counts the calls that took something. */
static int take_many(ULONG room, ULONG *taken)
{
    OVERLAPPED_ENTRY entries[CONNS];
    int calls = 0;
    for (*taken = 0; *taken < CONNS; calls++) {
        ULONG n = 0;
        iocp_must(GetQueuedCompletionStatusEx(port, entries, room, &n, iocp_patience(), FALSE),
                  "GetQueuedCompletionStatusEx");
        *taken += n;
    }
    return calls;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void one_by_one(void)
{
    int calls = 0;
    lab_say("1. %d packets, GetQueuedCompletionStatus.", CONNS);
    fill_port();
    while (iocp_next(port, 0).came)
        calls++;
    lab_figure("one_by_one_calls", calls, "");
    lab_expect(calls == CONNS, "a call for each packet");
}

static void many_at_once(void)
{
    ULONG taken;
    lab_say("2. %d packets, GetQueuedCompletionStatusEx with room for %d.", CONNS, CONNS);
    fill_port();
    int calls = take_many(CONNS, &taken);
    lab_figure("ex_calls", calls, "");
    lab_figure("ex_packets", taken, "");
    lab_expect(calls == 1 && taken == CONNS, "one call for all of them");
    fill_port();
    calls = take_many(SMALL, &taken);
    lab_figure("ex_calls_room_for_10", calls, "");
    lab_expect(calls == (CONNS + SMALL - 1) / SMALL && taken == CONNS,
               "with less room: as often as it needs, and none is lost");
}

/* A reset makes the pending receive of a connection fail. */
static void reset(struct conn *conn)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0}; /* closesocket() then sends RST */
    iocp_must(submit(conn) == WSA_IO_PENDING, "WSARecv");
    iocp_must(setsockopt(conn->ends[PEER], SOL_SOCKET, SO_LINGER, (const char *)&at_once,
                         (int)sizeof at_once) == 0,
              "SO_LINGER");
    (void)closesocket(conn->ends[PEER]);
}

static void failed_ones(void)
{
    OVERLAPPED_ENTRY entry = {0};
    OVERLAPPED *overlapped = NULL;
    ULONG_PTR key;
    DWORD bytes, flags;
    ULONG n = 0;
    lab_say("3. A peer resets its connection: the pending receive fails.");
    reset(&conns[0]);
    BOOL one = GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, iocp_patience());
    DWORD err = GetLastError();
    lab_word("failed_one_returns", one ? "TRUE" : "FALSE");
    lab_word("failed_one_overlapped", overlapped != NULL ? "not NULL" : "NULL");
    lab_expect(!one && overlapped == &conns[0].overlapped && err != WAIT_TIMEOUT,
               "FALSE with an OVERLAPPED: a packet, of an operation that has failed");
    one = GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0);
    err = GetLastError();
    lab_word("nothing_one_returns", one ? "TRUE" : "FALSE");
    lab_word("nothing_one_overlapped", overlapped != NULL ? "not NULL" : "NULL");
    lab_expect(!one && overlapped == NULL && err == WAIT_TIMEOUT, "FALSE with NULL: no packet");
    reset(&conns[1]);
    BOOL many = GetQueuedCompletionStatusEx(port, &entry, 1, &n, iocp_patience(), FALSE);
    BOOL ended_well =
        WSAGetOverlappedResult(conns[1].ends[OWN], &conns[1].overlapped, &bytes, FALSE, &flags);
    lab_word("failed_ex_returns", many ? "TRUE" : "FALSE");
    lab_word("failed_ex_result", ended_well ? "TRUE" : "FALSE");
    lab_expect(many && n == 1 && entry.lpOverlapped == &conns[1].overlapped && !ended_well,
               "Ex returns TRUE; the failure stands in the operation itself");
}

int main(void)
{
    iocp_start();
    lab_question("32 packets wait in a completion port. How many calls take them out?",
                 "32: a port hands out one packet for each call.",
                 "32 with GetQueuedCompletionStatus, 1 with GetQueuedCompletionStatusEx.",
                 "1 with either: both return all that is there.", 'b',
                 "Is something between the two ends, even on 127.0.0.1?");
    port = iocp_port(1);
    for (int i = 0; i < CONNS; i++) {
        iocp_pair(conns[i].ends);
        iocp_add(port, (HANDLE)conns[i].ends[OWN], 0);
    }
    one_by_one();
    many_at_once();
    failed_ones();
    for (int i = 0; i < CONNS; i++) {
        (void)closesocket(conns[i].ends[OWN]);
        if (i > 1) /* the first two have been reset */
            (void)closesocket(conns[i].ends[PEER]);
    }
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (GetQueuedCompletionStatusEx function): it "
                        "retrieves multiple entries, and returns TRUE though some have failed",
                        "one packet for each call, or many with Ex");
}
