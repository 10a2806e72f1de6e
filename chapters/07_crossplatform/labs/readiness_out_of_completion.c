/*
 * Lab: readiness, made out of completion, in both directions.
 *
 * "The reverse is impossible": so one well-known article says about an epoll for Windows. Here is
 * one of two sockets, in forty lines, out of calls that are documented:
 *
 *     readable   WSARecv() with a length of 0. It lends no buffer, and it ends when there is
 *                something to read, or the end of the stream; it takes nothing away
 *     writable   nothing of the kind is documented. What is left is to send for good, with a buffer
 *                that is lent until it is over. The lab tries a WSASend() of 0 bytes, and shows
 *                what this system makes of it; it judges nothing there: do not build on it
 *
 * So reading can be made level-triggered: as long as something is left, the next WSARecv() with
 * length 0 ends at once. Writing cannot: the libraries that have both (wepoll, libuv, mio) ask the
 * driver below Winsock for it, AFD, with IOCTL_AFD_POLL. Microsoft does not document that request,
 * so this course does not use it; the page two_ways_to_unify.md says what is known.
 *
 * The page of WSARecv does not spell out the length 0 either; it only does not forbid it. A program
 * that lives by it should test for it, as this lab does.
 */
#include "iocp_lab.h"

enum { OWN = 0, PEER = 1, LOOKS = 5, CHUNK = 65536, CHUNKS_MAX = 1024 };

/* ---- an epoll of reading, in three functions ------------------------------------------------- */

struct watched {
    SOCKET s;
    OVERLAPPED overlapped;
    struct watched *next; /* in the list of those that were reported */
};

static HANDLE port;

/* Arms it: one packet will come when it can be read. */
static void watch(struct watched *watched)
{
    memset(&watched->overlapped, 0, sizeof watched->overlapped);
    iocp_must(iocp_submitted(iocp_recv(watched->s, NULL, 0, &watched->overlapped)), "WSARecv");
}

/* Waits, as epoll_wait() does, for one; NULL when the time is over. An error is readiness, too: the
 * next recv() will tell which. */
static struct watched *wait_readable(DWORD wait_ms)
{
    struct iocp_packet packet = iocp_next(port, wait_ms);
    if (!packet.came)
        return NULL;
    return CONTAINING_RECORD(packet.overlapped, struct watched, overlapped);
}

/* Reads without waiting, as after any event of readiness: here the program does it by itself. */
static int read_some(SOCKET s, char *buf, int len)
{
    u_long on = 1;
    iocp_must(ioctlsocket(s, (long)FIONBIO, &on) == 0, "FIONBIO");
    return recv(s, buf, len, 0);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void only_who_has_something(struct watched two[2], const SOCKET peers[2])
{
    lab_say("1. Two sockets are watched, with no buffer. The second one's peer sends 5 bytes.");
    watch(&two[0]);
    watch(&two[1]);
    struct watched *early = wait_readable(IOCP_QUIET_MS);
    iocp_say(peers[1], "hello");
    struct watched *ready = wait_readable(iocp_patience());
    struct watched *more = wait_readable(IOCP_QUIET_MS);
    lab_word("reported_before", iocp_yes(early != NULL));
    lab_word("reported_the_second", iocp_yes(ready == &two[1]));
    lab_word("reported_the_first", iocp_yes(more != NULL));
    lab_expect(early == NULL && ready == &two[1] && more == NULL, "only who has something is told");
}

static void told_again_while_something_is_left(struct watched *watched)
{
    char byte;
    int looks = 0, reads = 0;
    lab_say("2. Each time it is told, one byte is read, and it is watched again.");
    while (reads < LOOKS && read_some(watched->s, &byte, 1) == 1) {
        reads++;
        watch(watched);
        if (wait_readable(reads < LOOKS ? iocp_patience() : IOCP_QUIET_MS) == watched)
            looks++;
    }
    lab_figure("bytes_read", reads, "");
    lab_figure("told_again", looks, "times");
    lab_expect(reads == LOOKS && looks == LOOKS - 1,
               "it is told while bytes are left, and not after: level-triggered");
}

static void the_end_is_told(struct watched *watched, SOCKET peer)
{
    char byte;
    lab_say("3. It is still watched. Now the peer closes.");
    (void)closesocket(peer);
    struct watched *ready = wait_readable(iocp_patience());
    int got = ready != NULL ? read_some(watched->s, &byte, 1) : -1;
    lab_word("reported", iocp_yes(ready == watched));
    lab_figure("recv_returned", got, "");
    lab_expect(ready == watched && got == 0, "the end of the stream is told as readable");
}

/* Sends until no more fits; returns how many bytes that were. */
static double fill(SOCKET s)
{
    static char chunk[CHUNK];
    u_long on = 1;
    double sent = 0;
    iocp_must(ioctlsocket(s, (long)FIONBIO, &on) == 0, "FIONBIO");
    for (int i = 0; i < CHUNKS_MAX; i++) {
        int now = send(s, chunk, sizeof chunk, 0);
        if (now < 0)
            return WSAGetLastError() == WSAEWOULDBLOCK ? sent : -1;
        sent += now;
    }
    return -1;
}

static void writing_has_no_such_thing(SOCKET s)
{
    OVERLAPPED overlapped = {0};
    lab_say("4. The other socket is filled until no more fits. Then: WSASend with a length of 0.");
    double filled = fill(s);
    DWORD err = iocp_send(s, NULL, 0, &overlapped);
    iocp_must(iocp_submitted(err), "WSASend");
    struct iocp_packet packet = iocp_next(port, IOCP_QUIET_MS);
    if (!packet.came) { /* it must not outlive `overlapped` */
        iocp_must(CancelIoEx((HANDLE)s, &overlapped), "CancelIoEx");
        iocp_must(iocp_next(port, iocp_patience()).overlapped == &overlapped, "its packet");
    }
    lab_figure("bytes_that_fitted", filled, "bytes");
    lab_word("ended_while_full", iocp_yes(packet.came));
    lab_expect(filled > 0, "the socket was full: the next send would have to wait");
    lab_say("What the send of 0 bytes has done is not documented, so it is not judged.");
}

int main(void)
{
    SOCKET ends[2][2];
    struct watched two[2];
    iocp_start();
    lab_question("Can an epoll be made out of a completion port, with documented calls only?",
                 "No: a port tells what is done, and never what could be done.",
                 "For reading, yes; for writing no call is documented.",
                 "Yes, for both directions.", 'b',
                 "whether this system ends a WSARecv with length 0 only when there is something");
    port = iocp_port(1);
    SOCKET peers[2];
    for (int i = 0; i < 2; i++) {
        iocp_pair(ends[i]);
        iocp_add(port, (HANDLE)ends[i][OWN], 0);
        two[i] = (struct watched){.s = ends[i][OWN]};
        peers[i] = ends[i][PEER];
    }
    only_who_has_something(two, peers);
    told_again_while_something_is_left(&two[1]);
    the_end_is_told(&two[1], peers[1]);
    writing_has_no_such_thing(ends[0][OWN]);
    (void)closesocket(ends[1][OWN]);
    (void)closesocket(ends[0][OWN]); /* its WSARecv ends, and has lent nothing of ours but `two` */
    (void)wait_readable(iocp_patience());
    (void)closesocket(ends[0][PEER]);
    return iocp_finding(NULL, "a receive of 0 bytes tells of data, no call of room");
}
