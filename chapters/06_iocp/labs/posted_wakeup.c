/*
 * Lab: a program puts packets of its own into the port.
 *
 * PostQueuedCompletionStatus() queues a packet without any operation. Whoever waits at the port
 * wakes up, so it does here what a self-pipe does for poll() and EVFILT_USER for kqueue. It hands
 * on three values, and the system looks at none of them: bytes, key, and the address of an
 * OVERLAPPED, which may be NULL (Microsoft, "PostQueuedCompletionStatus function").
 *
 *     returned    OVERLAPPED    what it is
 *     TRUE        not NULL      an operation has succeeded
 *     FALSE       not NULL      an operation has failed
 *     TRUE        NULL          a posted packet; its key says which
 *     FALSE       NULL          no packet: the time is over
 *
 * NULL and a key is the safe way: an OVERLAPPED on the stack of the thread that posts would be gone
 * when the packet is taken. And here is the difference to EVFILT_USER: posts do not add up. Each is
 * a packet, and wakes one thread.
 */
#include "iocp_lab.h"

enum { KEY_WAKE = 1, KEY_STOP = 2, POSTS = 5, WORKERS = 3 };

static HANDLE port;

static void post(ULONG_PTR key)
{
    iocp_must(PostQueuedCompletionStatus(port, 0, key, NULL), "PostQueuedCompletionStatus");
}

static unsigned __stdcall wait_for_one(void *packet)
{
    *(struct iocp_packet *)packet = iocp_next(port, iocp_patience());
    return 0;
}

/* Takes packets until one says stop; counts how many those were. */
static unsigned __stdcall work(void *stops)
{
    for (;;) {
        struct iocp_packet packet = iocp_next(port, iocp_patience());
        if (!packet.came)
            break;
        if (packet.key == KEY_STOP) {
            ++*(int *)stops;
            break;
        }
    }
    return 0;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void wake_a_sleeper(void)
{
    struct iocp_packet packet = {0};
    lab_say("1. A thread waits at the port, with nothing in flight. Another one posts, with key %d "
            "and no OVERLAPPED.",
            KEY_WAKE);
    HANDLE sleeper = iocp_thread(wait_for_one, &packet);
    post(KEY_WAKE);
    iocp_join(sleeper);
    lab_word("sleeper_woken", iocp_yes(packet.came));
    lab_figure("sleeper_key", (double)packet.key, "");
    lab_word("sleeper_overlapped", packet.overlapped == NULL ? "NULL" : "not NULL");
    lab_expect(packet.came && packet.key == KEY_WAKE && packet.overlapped == NULL,
               "it wakes up, and the key says why");
    packet = iocp_next(port, 0);
    lab_word("nothing_posted", packet.came ? "a packet" : iocp_word(packet.err));
    lab_expect(!packet.came, "TRUE with NULL was a packet; FALSE with NULL is none");
}

static void posts_do_not_add_up(void)
{
    int packets = 0, in_order = 0;
    lab_say("2. %d posts, with the keys 1 to %d, before anybody looks.", POSTS, POSTS);
    for (ULONG_PTR key = 1; key <= POSTS; key++)
        post(key);
    for (;;) {
        struct iocp_packet packet = iocp_next(port, 0);
        if (!packet.came)
            break;
        packets++;
        in_order += packet.key == (ULONG_PTR)packets ? 1 : 0;
    }
    lab_figure("five_posts_packets", packets, "");
    lab_figure("five_posts_in_order", in_order, "");
    lab_expect(packets == POSTS, "each post is a packet");
    lab_expect(in_order == POSTS, "one thread takes them as they were queued: first in, first out");
}

static void one_post_for_each_worker(void)
{
    HANDLE workers[WORKERS];
    int stops[WORKERS] = {0}, stopped = 0;
    lab_say("3. %d workers wait at the port; %d posts say stop.", WORKERS, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        workers[i] = iocp_thread(work, &stops[i]);
    for (int i = 0; i < WORKERS; i++)
        post(KEY_STOP);
    for (int i = 0; i < WORKERS; i++) {
        iocp_join(workers[i]);
        stopped += stops[i] == 1 ? 1 : 0;
    }
    lab_figure("workers_stopped", stopped, "of 3");
    lab_figure("packets_left", iocp_next(port, 0).came ? 1 : 0, "");
    lab_expect(stopped == WORKERS, "each post wakes one worker: as many posts as workers");
}

int main(void)
{
    iocp_start();
    lab_question("Five times a thread calls PostQueuedCompletionStatus before the loop looks. How "
                 "many packets does the loop get?",
                 "One: wake-ups add up, as those of EVFILT_USER do.", "One at least, five at most.",
                 "Five.", 'c',
                 "Does another thread of the program take packets out of the same port?");
    port = iocp_port(WORKERS);
    wake_a_sleeper();
    posts_do_not_add_up();
    one_post_for_each_worker();
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (PostQueuedCompletionStatus function): the "
                        "packet satisfies one waiting call, with the three values that were posted",
                        "each post is a packet, and wakes one thread");
}
