/*
 * Lab: CancelIoEx asks for an end. How does the operation end?
 *
 * CancelIoEx() may be called by any thread, whoever has submitted the operation. It only asks, and
 * does not wait. Microsoft, "CancelIoEx function", names the ways it can go:
 *
 *     CancelIoEx says                  the operation                    its packet
 *     TRUE                             has been cancelled               ERROR_OPERATION_ABORTED
 *     TRUE                             had finished in the meantime     success, or its own error
 *     FALSE, ERROR_NOT_FOUND           had finished before              success, or its own error
 *     FALSE, ERROR_NOT_FOUND           there is none                    none
 *
 * In every case an operation that was submitted gives exactly one packet, and its OVERLAPPED and
 * its buffer stay lent until that has come. What the answer of CancelIoEx was does not matter.
 *
 * An operation that is submitted cannot be changed: not its buffer, not its length. Whoever wants
 * another one cancels it, takes the packet, and submits again; and the packet may bring data.
 */
#include "iocp_lab.h"

enum { TEXT = 5, ROUNDS = 20, LARGE = 64 };
enum { OWN = 0, PEER = 1 };

/* A connection with one receive, and what the cancelling thread got. */
struct story {
    SOCKET ends[2];
    OVERLAPPED overlapped;
    char buf[LARGE];
    HANDLE go;    /* both threads of a race wait for it */
    DWORD answer; /* of CancelIoEx: 0, or its error     */
};

static HANDLE port;

static void begin(struct story *story)
{
    memset(story, 0, sizeof *story);
    iocp_pair(story->ends);
    iocp_add(port, (HANDLE)story->ends[OWN], 0);
    story->go = iocp_event();
}

static void end(struct story *story)
{
    (void)closesocket(story->ends[OWN]);
    (void)closesocket(story->ends[PEER]);
    (void)CloseHandle(story->go);
}

static DWORD submit(struct story *story, size_t len)
{
    memset(&story->overlapped, 0, sizeof story->overlapped);
    DWORD err = iocp_recv(story->ends[OWN], story->buf, len, &story->overlapped);
    iocp_must(iocp_submitted(err), "WSARecv");
    return err;
}

static unsigned __stdcall cancel(void *argument)
{
    struct story *story = argument;
    (void)WaitForSingleObject(story->go, INFINITE);
    BOOL asked = CancelIoEx((HANDLE)story->ends[OWN], &story->overlapped);
    story->answer = asked ? 0 : GetLastError();
    return 0;
}

static unsigned __stdcall say_hello(void *argument)
{
    const struct story *story = argument;
    (void)WaitForSingleObject(story->go, INFINITE);
    iocp_say(story->ends[PEER], "hello");
    return 0;
}

/* Another thread than the one that submitted; waits until it has its answer. */
static void cancel_elsewhere(struct story *story)
{
    (void)SetEvent(story->go);
    iocp_join(iocp_thread(cancel, story));
    (void)ResetEvent(story->go);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void while_pending(void)
{
    static struct story story;
    begin(&story);
    lab_say("1. A receive is pending; another thread than its own cancels it.");
    (void)submit(&story, TEXT);
    cancel_elsewhere(&story);
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    lab_word("pending_cancelioex", iocp_word(story.answer));
    lab_word("pending_packet", packet.came ? iocp_word(packet.err) : "none");
    lab_expect(story.answer == 0 && packet.came && packet.err == ERROR_OPERATION_ABORTED,
               "it is cancelled, and its packet says so");
    end(&story);
}

static void after_it_has_finished(void)
{
    static struct story story;
    begin(&story);
    lab_say("2. The receive has finished at once, its packet is still in the port.");
    iocp_say(story.ends[PEER], "hello");
    iocp_until_readable(story.ends[OWN]);
    DWORD err = submit(&story, TEXT);
    cancel_elsewhere(&story);
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    lab_word("finished_wsarecv", iocp_word(err));
    lab_word("finished_cancelioex", iocp_word(story.answer));
    lab_word("finished_packet", packet.came ? iocp_word(packet.err) : "none");
    lab_figure("finished_bytes", packet.bytes, "bytes");
    lab_expect(err == 0 && story.answer == ERROR_NOT_FOUND && packet.came && packet.err == 0 &&
                   packet.bytes == TEXT,
               "nothing is found to cancel, and its packet is there all the same");
    lab_say("3. Nothing has been submitted.");
    cancel_elsewhere(&story);
    packet = iocp_next(port, IOCP_QUIET_MS);
    lab_word("nothing_cancelioex", iocp_word(story.answer));
    lab_word("nothing_packet", packet.came ? iocp_word(packet.err) : "none");
    lab_expect(story.answer == ERROR_NOT_FOUND && !packet.came, "no operation, no packet");
    end(&story);
}

static void in_a_race(void)
{
    static struct story story;
    int cancelled = 0, finished = 0, packets = 0;
    lab_say("4. %d times, one thread lets the peer send while another one cancels.", ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        begin(&story);
        HANDLE first = iocp_thread(i % 2 == 0 ? say_hello : cancel, &story);
        HANDLE second = iocp_thread(i % 2 == 0 ? cancel : say_hello, &story);
        (void)submit(&story, TEXT);
        (void)SetEvent(story.go);
        iocp_join(first);
        iocp_join(second);
        for (DWORD wait_ms = iocp_patience();; wait_ms = 0) {
            struct iocp_packet packet = iocp_next(port, wait_ms);
            if (!packet.came)
                break;
            packets++;
            cancelled += packet.err == ERROR_OPERATION_ABORTED ? 1 : 0;
            finished += packet.err == 0 && packet.bytes == TEXT ? 1 : 0;
        }
        end(&story);
    }
    lab_figure("race_packets", packets, "of 20");
    lab_figure("race_cancelled", cancelled, "");
    lab_figure("race_finished", finished, "");
    lab_expect(packets == ROUNDS && cancelled + finished == ROUNDS,
               "each operation has one packet: it was cancelled, or it has won");
}

static void to_change_it(void)
{
    static struct story story;
    begin(&story);
    lab_say("5. A receive of %d bytes is pending; the program wants one of %d.", TEXT, LARGE);
    (void)submit(&story, TEXT);
    cancel_elsewhere(&story);
    struct iocp_packet first = iocp_next(port, iocp_patience());
    (void)submit(&story, LARGE);
    iocp_say(story.ends[PEER], "hello, world");
    struct iocp_packet second = iocp_next(port, iocp_patience());
    lab_word("small_packet", first.came ? iocp_word(first.err) : "none");
    lab_figure("large_bytes", second.bytes, "bytes");
    lab_expect(first.came && second.came && second.err == 0 && second.bytes > TEXT,
               "to change it costs two calls more and one packet more");
    end(&story);
}

int main(void)
{
    iocp_start();
    lab_question("CancelIoEx has answered TRUE for a receive. What will the packet say?",
                 "There is none: a cancelled operation has no packet.",
                 "ERROR_OPERATION_ABORTED, in every case.",
                 "ERROR_OPERATION_ABORTED, or success if it had finished by then.", 'c',
                 "Is something between the two ends, even on 127.0.0.1?");
    port = iocp_port(1);
    while_pending();
    after_it_has_finished();
    in_a_race();
    to_change_it();
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (CancelIoEx function): it ends normally, or "
                        "cancelled, or with another error; its packet must be looked at",
                        "to cancel is to ask: wait for the packet, then free");
}
