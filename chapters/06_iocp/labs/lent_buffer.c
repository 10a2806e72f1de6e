/*
 * Lab: a function submits a receive, returns, and the buffer fills later.
 *
 * WSARecv() with an OVERLAPPED does not wait. It lends a buffer to the system and returns. When
 * bytes come, the system writes them there, whoever uses that memory by then:
 *
 *     submit    the buffer is lent           WSARecv: 0 or WSA_IO_PENDING
 *     fill      the system writes into it    at a time that nobody in the program chooses
 *     end       the buffer is ours again     its event is set, or its packet has been taken
 *
 * So a buffer, and the OVERLAPPED, must stay where they are until the end is known. On the stack
 * they would be gone when the function returns, and the bytes would go into the frame of another
 * function. Microsoft, "WSARecv function": incoming data is placed into the buffers as it becomes
 * available, and then the end is indicated. The WSABUF array may be on the stack, for the call
 * copies it; the buffers that it names may not.
 *
 * To show this without undefined behaviour, the lab has a little stack of its own: an array of
 * characters, out of which functions take their frames and give them back. Scene 3 is a mistake,
 * made on purpose: who lends memory must not use it. Here it is static, and of characters only.
 */
#include "iocp_lab.h"

enum { FRAME = 16, FRAMES = 2, TEXT = 5 };
enum { OWN = 0, PEER = 1 };

static char stack[FRAME * FRAMES];
static size_t stack_used;

static OVERLAPPED overlapped; /* static: it outlives every function */

/* ---- the little stack ------------------------------------------------------------------------ */

static char *enter(void)
{
    char *frame = stack + stack_used;
    stack_used += FRAME;
    return frame;
}

static void leave(void)
{
    stack_used -= FRAME;
}

/* What is in a frame, as a word that can be printed. */
static const char *look(const char *frame)
{
    static char shown[FRAME + 1];
    memcpy(shown, frame, FRAME);
    return shown;
}

/* ---- the two functions ----------------------------------------------------------------------- */

static DWORD submit(SOCKET s, char *buf, HANDLE event)
{
    memset(buf, '.', FRAME);
    memset(&overlapped, 0, sizeof overlapped);
    overlapped.hEvent = event; /* NULL: the end is told by a packet alone */
    DWORD err = iocp_recv(s, buf, TEXT, &overlapped);
    iocp_must(iocp_submitted(err), "WSARecv");
    return err;
}

/* What a function does whose buffer is on the stack. */
static DWORD submit_from_a_frame(SOCKET s, HANDLE event)
{
    DWORD err = submit(s, enter(), event);
    leave();
    return err;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void fills_later(void)
{
    SOCKET ends[2];
    HANDLE event = iocp_event();
    iocp_pair(ends);
    lab_say("1. A function submits WSARecv with a buffer of %d bytes, and returns.", TEXT);
    DWORD err = submit_from_a_frame(ends[OWN], event);
    lab_word("wsarecv_returned", iocp_word(err));
    lab_word("event_is_set", iocp_yes(WaitForSingleObject(event, 0) == WAIT_OBJECT_0));
    lab_expect(err == WSA_IO_PENDING, "the function is over, the operation is not");
    lab_say("2. The peer sends `hello`. The program waits, and asks nobody for the bytes.");
    iocp_say(ends[PEER], "hello");
    iocp_must(iocp_wait(event), "the event of the operation");
    lab_word("memory_when_finished", look(stack));
    lab_expect(memcmp(stack, "hello.", TEXT + 1) == 0, "the system has put them into the buffer");
    (void)CloseHandle(event);
    (void)closesocket(ends[OWN]);
    (void)closesocket(ends[PEER]);
}

static void fills_what_another_function_has(HANDLE port, const SOCKET ends[2])
{
    lab_say("3. The same with a port. Then another function takes the same memory, and writes "
            "`price=10` there. Then the peer sends `HELLO`.");
    DWORD err = submit_from_a_frame(ends[OWN], NULL);
    char *own = enter(); /* where the buffer was */
    memcpy(own, "price=10", 8);
    iocp_say(ends[PEER], "HELLO");
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    lab_word("own_text_was", "price=10");
    lab_word("own_text_is", look(own));
    lab_expect(err == WSA_IO_PENDING && packet.came && memcmp(own, "HELLO=10", 8) == 0,
               "the bytes of the peer are in the memory of another function");
    leave();
}

static void fills_what_was_kept(HANDLE port, const SOCKET ends[2])
{
    static char kept[FRAME];
    lab_say("4. The same with a buffer that lives as long as the connection.");
    (void)submit(ends[OWN], kept, NULL);
    char *own = enter();
    memcpy(own, "price=10", 8);
    iocp_say(ends[PEER], "HELLO");
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    lab_word("kept_buffer", look(kept));
    lab_expect(packet.came && packet.overlapped == &overlapped && packet.bytes == TEXT,
               "the packet brings no bytes: it says where they are, and how many");
    lab_expect(memcmp(kept, "HELLO", TEXT) == 0 && memcmp(own, "price=10", 8) == 0,
               "they are where they belong, and the other function has its own");
    leave();
}

int main(void)
{
    SOCKET ends[2];
    iocp_start();
    lab_question("A function submits WSARecv with a buffer, and returns. Later the peer sends 5 "
                 "bytes. Where do they go?",
                 "Nowhere yet: they wait in the socket until somebody asks.",
                 "Into that buffer, whatever its memory is used for by now.",
                 "Into the buffer, but only when the program asks how the operation ended.", 'b',
                 "Is something between the two ends, even on 127.0.0.1?");
    fills_later();
    HANDLE port = iocp_port(1);
    iocp_pair(ends);
    iocp_add(port, (HANDLE)ends[OWN], 0);
    fills_what_another_function_has(port, ends);
    fills_what_was_kept(port, ends);
    (void)closesocket(ends[OWN]);
    (void)closesocket(ends[PEER]);
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (WSARecv function): incoming data is placed "
                        "into the buffers as it becomes available, then the end is indicated",
                        "lent memory fills later: keep it until the end is known");
}
