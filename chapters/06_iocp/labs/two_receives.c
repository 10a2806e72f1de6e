/*
 * Lab: two receives of one connection are in flight, and two threads take packets.
 *
 * TCP keeps the order of the bytes, and the buffers are filled in the order of the calls
 * (Microsoft, "WSARecv function"). But the packets go to two threads, and which of these is faster
 * nobody knows: the one that took the first packet may be stopped right after it. They are queued
 * first in, first out, and may be dequeued in a different order ("I/O Completion Ports").
 *
 *     thread 1    takes packet A    is stopped ............................    processes A
 *     thread 2                      takes packet B    processes B
 *
 * The lab does not wait for bad luck: it stops the thread that holds A, until B has been processed,
 * or until B cannot be processed before A. Three cures under the same treatment:
 *
 *     one in flight    the next receive is submitted when the bytes before it are processed
 *     numbers          each operation has a number, and who comes early is set aside
 *     one thread       only one thread takes the packets of this connection
 *
 * Nor should two threads call WSARecv() for one socket at the same time, says its page: then
 * the order of the buffers is unpredictable too. Here one thread at a time does.
 */
#include "iocp_lab.h"

enum { PIECE = 4, PIECES = 2, THREADS = 2, OWN = 0, PEER = 1 };
enum cure { NONE, ONE_IN_FLIGHT, NUMBERS, ONE_THREAD };

/* One receive. Its number is its place in the stream. */
struct op {
    int number;
    char buf[PIECE];
    OVERLAPPED overlapped;
};

/* One experiment. What the lock guards is below it. */
static struct {
    enum cure cure;
    HANDLE port;
    SOCKET ends[2];
    struct op ops[PIECES];
    HANDLE b_is_done;              /* releases the thread that holds A                   */
    CRITICAL_SECTION lock;         /* guards the rest                                    */
    char text[PIECE * PIECES + 1]; /* what has been processed, in the order of processing */
    int done, set_aside, in_flight, most_in_flight;
    bool early[PIECES]; /* taken, and not yet in turn */
} run;

static void submit(struct op *op)
{
    run.in_flight++;
    if (run.in_flight > run.most_in_flight)
        run.most_in_flight = run.in_flight;
    iocp_must(iocp_submitted(iocp_recv(run.ends[OWN], op->buf, PIECE, &op->overlapped)), "WSARecv");
}

static void process_one(const struct op *op)
{
    memcpy(run.text + run.done * PIECE, op->buf, PIECE);
    run.done++;
    if (op->number == PIECES - 1)
        (void)SetEvent(run.b_is_done);
}

/* Processes the operation, if the cure lets it; with the lock held. */
static void process(struct op *op)
{
    run.in_flight--;
    if (run.cure == NUMBERS && op->number != run.done) {
        run.set_aside++;
        run.early[op->number] = true;
        (void)SetEvent(run.b_is_done); /* it waits for A now, so A need not wait for it */
        return;
    }
    process_one(op);
    while (run.cure == NUMBERS && run.done < PIECES && run.early[run.done])
        process_one(&run.ops[run.done]);
    if (run.cure == ONE_IN_FLIGHT && run.done < PIECES)
        submit(&run.ops[run.done]);
}

/* Who takes A is stopped, until B is done; with one in flight or one thread, B cannot come. */
static void maybe_stop(const struct op *op)
{
    if (op->number == 0 && (run.cure == NONE || run.cure == NUMBERS))
        iocp_must(iocp_wait(run.b_is_done), "the other thread");
}

static unsigned __stdcall worker(void *unused)
{
    (void)unused;
    for (;;) {
        struct iocp_packet packet = iocp_next(run.port, iocp_patience());
        if (!packet.came || packet.overlapped == NULL)
            return 0; /* a posted packet: stop */
        struct op *op = CONTAINING_RECORD(packet.overlapped, struct op, overlapped);
        maybe_stop(op);
        EnterCriticalSection(&run.lock);
        process(op);
        bool last = run.done == PIECES;
        LeaveCriticalSection(&run.lock);
        for (int i = 0; last && i < THREADS; i++)
            (void)PostQueuedCompletionStatus(run.port, 0, 0, NULL);
    }
}

/* The peer sends AAAABBBB; returns what was processed, in its order. */
static const char *try_it(enum cure cure)
{
    HANDLE threads[THREADS];
    int count = cure == ONE_THREAD ? 1 : THREADS;
    memset(&run, 0, sizeof run);
    run.cure = cure;
    run.port = iocp_port(THREADS);
    run.b_is_done = iocp_event();
    InitializeCriticalSection(&run.lock);
    iocp_pair(run.ends);
    iocp_add(run.port, (HANDLE)run.ends[OWN], 0);
    for (int i = 0; i < PIECES; i++)
        run.ops[i].number = i;
    for (int i = 0; i < (cure == ONE_IN_FLIGHT ? 1 : PIECES); i++)
        submit(&run.ops[i]);
    for (int i = 0; i < count; i++)
        threads[i] = iocp_thread(worker, NULL);
    iocp_say(run.ends[PEER], "AAAABBBB");
    for (int i = 0; i < count; i++)
        iocp_join(threads[i]);
    (void)closesocket(run.ends[OWN]);
    (void)closesocket(run.ends[PEER]);
    (void)CloseHandle(run.b_is_done);
    (void)CloseHandle(run.port);
    DeleteCriticalSection(&run.lock);
    return run.text;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static bool is_in_order(const char *text)
{
    return strcmp(text, "AAAABBBB") == 0;
}

static void without_a_cure(void)
{
    lab_say("1. Two receives in flight, two threads. The peer sends `AAAABBBB`. The thread that "
            "takes the first packet is stopped, until the other one is done.");
    const char *text = try_it(NONE);
    lab_word("no_cure_text", text);
    lab_expect(strcmp(text, "BBBBAAAA") == 0, "what was sent first is processed last");
}

static void with_each_cure(void)
{
    lab_say("2. One receive in flight.");
    const char *text = try_it(ONE_IN_FLIGHT);
    lab_word("one_in_flight_text", text);
    lab_figure("one_in_flight_buffers_lent", run.most_in_flight, "");
    lab_expect(is_in_order(text) && run.most_in_flight == 1, "in order, with one buffer lent");
    lab_say("3. Numbers: who comes early is set aside.");
    text = try_it(NUMBERS);
    lab_word("numbers_text", text);
    lab_figure("numbers_buffers_lent", run.most_in_flight, "");
    lab_figure("numbers_set_aside", run.set_aside, "");
    lab_expect(is_in_order(text) && run.set_aside == 1, "in order, with memory for early ones");
    lab_say("4. One thread for this connection.");
    text = try_it(ONE_THREAD);
    lab_word("one_thread_text", text);
    lab_figure("one_thread_buffers_lent", run.most_in_flight, "");
    lab_expect(is_in_order(text), "in order, as the packets were queued");
}

int main(void)
{
    iocp_start();
    lab_question("Two receives of one connection are in flight, and two threads take packets. The "
                 "peer sends A, then B. Which is processed first?",
                 "A: TCP keeps the order.", "B: threads are woken last in, first out.",
                 "Nobody knows.", 'c',
                 "Has the connection split the eight bytes into more than two pieces?");
    without_a_cure();
    with_each_cure();
    return iocp_finding("by Microsoft's documentation (I/O Completion Ports): packets are queued "
                        "first in, first out, and may be dequeued in a different order",
                        "keep one receive in flight, or number them");
}
