/*
 * Lab: a receive and a send of one connection are in flight at once. Which of the two has ended?
 *
 * A packet has three numbers in it: how many bytes, the key, the address of the OVERLAPPED. The key
 * belongs to the handle, so it is the same for both. The address belongs to the operation. So each
 * operation gets an OVERLAPPED of its own, inside a structure that says what it is about:
 *
 *     struct op { kind, connection, ..., OVERLAPPED overlapped, ... }
 *
 *     packet -> address of the OVERLAPPED -> CONTAINING_RECORD -> the operation
 *
 * CONTAINING_RECORD takes the offset of the member away. A cast does not: it is right only as long
 * as the OVERLAPPED is the first member, and nothing tells when that ends.
 *
 * While an operation is in flight its OVERLAPPED belongs to the system, which keeps the state of
 * this one operation in it. Microsoft, "WSARecv function": operations that are outstanding at the
 * same time need a separate structure each. After the packet it is ours again, and may be used for
 * the next operation. The lab does not try what happens if two share one: nothing is promised.
 */
#include <stddef.h>

#include "iocp_lab.h"

enum { TEXT = 5, KEY = 7, AGAIN = 3 };
enum { OWN = 0, PEER = 1 };

struct op {
    const char *kind; /* the first member, so that a cast finds something else */
    char buf[TEXT];
    OVERLAPPED overlapped;
};

static HANDLE port;
static SOCKET ends[2];

/* The operation that a packet is about. */
static struct op *op_of(const struct iocp_packet *packet)
{
    iocp_must(packet->came && packet->overlapped != NULL, "a packet that should come");
    return CONTAINING_RECORD(packet->overlapped, struct op, overlapped);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void both_in_flight(void)
{
    static struct op receive = {.kind = "receive"}, send_op = {.kind = "send", .buf = "hello"};
    char room[TEXT];
    int receives = 0, sends = 0, same_key = 0, same_bytes = 0, casts_right = 0;
    lab_say("1. A receive and a send of one connection are submitted; no packet is taken. The peer "
            "reads 5 bytes, and answers with 5.");
    DWORD err = iocp_recv(ends[OWN], receive.buf, TEXT, &receive.overlapped);
    iocp_must(err == WSA_IO_PENDING, "WSARecv");
    err = iocp_send(ends[OWN], send_op.buf, TEXT, &send_op.overlapped);
    iocp_must(iocp_submitted(err), "WSASend");
    iocp_must(recv(ends[PEER], room, TEXT, MSG_WAITALL) == TEXT, "recv");
    iocp_say(ends[PEER], "HELLO");
    for (int i = 0; i < 2; i++) {
        struct iocp_packet packet = iocp_next(port, iocp_patience());
        struct op *op = op_of(&packet);
        receives += op == &receive ? 1 : 0;
        sends += op == &send_op ? 1 : 0;
        same_key += packet.key == KEY ? 1 : 0;
        same_bytes += packet.bytes == TEXT ? 1 : 0;
        casts_right += (char *)packet.overlapped == (char *)op ? 1 : 0;
    }
    lab_figure("packets_with_key_7", same_key, "");
    lab_figure("packets_with_5_bytes", same_bytes, "");
    lab_expect(same_key == 2 && same_bytes == 2, "key and bytes are the same in both packets");
    lab_figure("packets_of_the_receive", receives, "");
    lab_figure("packets_of_the_send", sends, "");
    lab_expect(receives == 1 && sends == 1, "the address of the OVERLAPPED tells them apart");
    lab_say("2. The OVERLAPPED is not the first member of its operation.");
    lab_figure("offset_bytes", (double)offsetof(struct op, overlapped), "bytes");
    lab_figure("casts_that_find_it", casts_right, "of 2");
    lab_expect(casts_right == 0, "a cast is wrong by the offset, and the compiler is content");
}

static void used_again(void)
{
    static struct op op = {.kind = "receive"};
    static const char *const texts[AGAIN] = {"one..", "two..", "three"};
    int right = 0;
    lab_say("3. One OVERLAPPED for %d receives, one after the other: each is submitted after the "
            "packet of the one before it.",
            AGAIN);
    for (int i = 0; i < AGAIN; i++) {
        memset(&op.overlapped, 0, sizeof op.overlapped);
        DWORD err = iocp_recv(ends[OWN], op.buf, TEXT, &op.overlapped);
        iocp_must(err == WSA_IO_PENDING, "WSARecv");
        iocp_say(ends[PEER], texts[i]);
        struct iocp_packet packet = iocp_next(port, iocp_patience());
        right += op_of(&packet) == &op && memcmp(op.buf, texts[i], TEXT) == 0 ? 1 : 0;
    }
    struct iocp_packet more = iocp_next(port, IOCP_QUIET_MS);
    lab_figure("receives_right", right, "of 3");
    lab_figure("packets_left", more.came ? 1 : 0, "");
    lab_expect(right == AGAIN && !more.came, "after its packet an OVERLAPPED may be used again");
}

int main(void)
{
    iocp_start();
    lab_question("A receive and a send of one connection are in flight. A packet comes. What tells "
                 "which of the two has ended?",
                 "The key.", "The number of bytes.", "The address of the OVERLAPPED.", 'c',
                 "Is something between the two ends, even on 127.0.0.1?");
    port = iocp_port(1);
    iocp_pair(ends);
    iocp_add(port, (HANDLE)ends[OWN], KEY);
    both_in_flight();
    used_again();
    (void)closesocket(ends[OWN]);
    (void)closesocket(ends[PEER]);
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (WSARecv function): operations that are "
                        "outstanding at the same time need a separate structure each",
                        "an OVERLAPPED for each operation: it is its name");
}
