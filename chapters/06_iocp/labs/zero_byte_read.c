/*
 * Lab: a receive with no room. Readiness, out of completion.
 *
 * With completion every idle connection has a buffer lent to the system: 10,000 silent clients with
 * 4 KiB each are 40 MB that nobody may touch. WSARecv() with a length of 0 lends none. It ends when
 * there is something to read, and takes nothing away. Then a buffer is fetched, and an ordinary
 * receive takes the bytes, which are there. So "readable" has been made out of "finished":
 *
 *     WSARecv(length 0)  ...  packet, 0 bytes  ->  borrow a buffer  ->  WSARecv  ->  give it back
 *
 * And 0 bytes mean two things then. After an ordinary receive they are the end of the stream; after
 * a receive with no room they say only: look. The operation must know which one it was.
 *
 * The page of WSARecv does not spell out this use; the networking libraries that live by it do.
 * The lab shows what the system does here, and a program that uses it should test for it.
 */
#include "iocp_lab.h"

enum { IDLE = 100, TALKERS = 3, BUFFER = 4096, TEXT = 5 };
enum { OWN = 0, PEER = 1 };

static struct conn {
    SOCKET ends[2];
    OVERLAPPED overlapped;
} conns[IDLE];

static HANDLE port;
static char borrowed[BUFFER]; /* one for all: only one connection is read at a time */

static DWORD submit(struct conn *conn, char *buf, size_t len)
{
    memset(&conn->overlapped, 0, sizeof conn->overlapped);
    DWORD err = iocp_recv(conn->ends[OWN], buf, len, &conn->overlapped);
    iocp_must(iocp_submitted(err), "WSARecv");
    return err;
}

/* An ordinary receive, from its beginning to its end. */
static struct iocp_packet receive(struct conn *conn)
{
    (void)submit(conn, borrowed, sizeof borrowed);
    return iocp_next(port, iocp_patience());
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void tells_that_there_is_something(void)
{
    struct conn *conn = &conns[0];
    lab_say("1. A receive with length 0, and nothing to read. Then the peer sends 5 bytes.");
    DWORD err = submit(conn, NULL, 0);
    struct iocp_packet packet = iocp_next(port, IOCP_QUIET_MS);
    lab_word("quiet_wsarecv", iocp_word(err));
    lab_figure("quiet_packets", packet.came ? 1 : 0, "");
    lab_expect(err == WSA_IO_PENDING && !packet.came, "with nothing to read it is pending");
    iocp_say(conn->ends[PEER], "hello");
    packet = iocp_next(port, iocp_patience());
    lab_figure("ready_packets", packet.came ? 1 : 0, "");
    lab_figure("ready_bytes", packet.bytes, "bytes");
    lab_expect(packet.came && packet.err == 0 && packet.bytes == 0, "it ends, with 0 bytes");
    (void)submit(conn, NULL, 0);
    packet = iocp_next(port, iocp_patience());
    lab_word("unread_asked_again", packet.came ? "ends at once" : "pending");
    lab_expect(packet.came && packet.bytes == 0, "asked again, it ends again: level-triggered");
    packet = receive(conn);
    lab_figure("read_afterwards", packet.bytes, "bytes");
    lab_expect(packet.came && packet.bytes == TEXT, "it has taken nothing away");
}

static void the_end_is_something_too(void)
{
    struct conn *conn = &conns[0];
    lab_say("2. A receive with length 0; the peer ends its sending.");
    (void)submit(conn, NULL, 0);
    iocp_must(shutdown(conn->ends[PEER], SD_SEND) == 0, "shutdown");
    struct iocp_packet zero = iocp_next(port, iocp_patience());
    lab_figure("end_zero_byte_read", zero.bytes, "bytes");
    struct iocp_packet packet = receive(conn);
    lab_figure("end_ordinary_read", packet.bytes, "bytes");
    lab_expect(zero.came && zero.bytes == 0 && packet.came && packet.err == 0 && packet.bytes == 0,
               "0 bytes both times: only the ordinary receive means the end");
}

static void many_idle_ones(void)
{
    int told = 0, right = 0;
    size_t most = 0;
    lab_say("3. %d connections, each with a receive of length 0. %d of them talk.", IDLE - 1,
            TALKERS);
    for (int i = 1; i < IDLE; i++)
        (void)submit(&conns[i], NULL, 0);
    for (int i = 1; i <= TALKERS; i++)
        iocp_say(conns[i].ends[PEER], "hello");
    for (int i = 0; i < TALKERS; i++) {
        struct iocp_packet packet = iocp_next(port, iocp_patience());
        if (!packet.came)
            break;
        struct conn *conn = CONTAINING_RECORD(packet.overlapped, struct conn, overlapped);
        told += conn >= &conns[1] && conn <= &conns[TALKERS] ? 1 : 0;
        iocp_until_readable(conn->ends[OWN]);
        right += recv(conn->ends[OWN], borrowed, sizeof borrowed, 0) == TEXT ? 1 : 0;
        most = sizeof borrowed;
    }
    lab_figure("talkers_told", told, "of 3");
    lab_figure("talkers_read", right, "of 3");
    lab_figure("lent_ordinary_bytes", (double)(IDLE - 1) * BUFFER, "bytes");
    lab_figure("lent_zero_byte_bytes", 0, "bytes");
    lab_figure("borrowed_at_most_bytes", (double)most, "bytes");
    lab_expect(told == TALKERS && right == TALKERS && most == BUFFER,
               "one buffer serves all, for the silent ones have lent nothing");
}

/* The receives that are still pending end now, each with its packet; then nothing is lent. */
static void close_all(void)
{
    for (int i = 0; i < IDLE; i++)
        (void)closesocket(conns[i].ends[OWN]);
    int ended = 0;
    while (ended < IDLE - 1 - TALKERS && iocp_next(port, iocp_patience()).came)
        ended++;
    lab_figure("ended_by_closesocket", ended, "of 96");
    lab_expect(ended == IDLE - 1 - TALKERS, "each pending one has its packet, in the end");
    for (int i = 0; i < IDLE; i++)
        (void)closesocket(conns[i].ends[PEER]);
    (void)CloseHandle(port);
}

int main(void)
{
    iocp_start();
    lab_question(
        "A program submits WSARecv with a length of 0. The peer sends 5 bytes. What comes?",
        "A packet at once, before anything is sent: there is no room for more.",
        "A packet with 0 bytes when they are there; they are still to be read.",
        "A packet with 0 bytes when they are there; they are thrown away.", 'b',
        "Is something between the two ends, even on 127.0.0.1?");
    port = iocp_port(1);
    for (int i = 0; i < IDLE; i++) {
        iocp_pair(conns[i].ends);
        iocp_add(port, (HANDLE)conns[i].ends[OWN], 0);
    }
    tells_that_there_is_something();
    the_end_is_something_too();
    many_idle_ones();
    close_all();
    return iocp_finding(NULL, "a receive with no room ends when there is something to read");
}
