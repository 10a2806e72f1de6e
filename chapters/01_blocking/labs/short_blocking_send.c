/*
 * Lab: does a blocking send() send everything?
 *
 * A blocking send() copies bytes into the socket's send buffer and sleeps when it is full. It
 * normally returns when the last byte is in the buffer. But a signal whose handler returns
 * ends the sleep. Some bytes have been taken by then, so the call cannot pretend that nothing
 * happened: it returns their number, which is less than was asked for. SA_RESTART does not
 * help, since only a call that has done nothing yet can be started again (man 7 signal; on the
 * BSDs man 3 siginterrupt).
 *
 * The scenes are the same but for the signal: one thread sends ASKED bytes with one call, far
 * more than the buffers hold. Without a signal the main thread reads at once. With a signal it
 * reads nothing and sends SIGUSR1 every few milliseconds until the call has returned; one of
 * these signals must find the sender asleep on the full buffer. Then the loop that every
 * program needs sends the rest, and here too signals keep coming.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "lab.h"

enum { ASKED = 16 * 1024 * 1024, SEND_BUFFER = 64 * 1024, SIGNAL_EVERY_MS = 5, PIECE = 64 * 1024 };

static void on_usr1(int signo)
{
    (void)signo; /* nothing to do: that it was handled is enough to wake the thread */
}

static void handle_usr1(int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_usr1;
    action.sa_flags = flags;
    (void)sigemptyset(&action.sa_mask);
    (void)lab_must(sigaction(SIGUSR1, &action, NULL), "sigaction");
}

/* ---- the thread that sends ------------------------------------------------------------------- */

struct sender {
    int fd;
    ssize_t first; /* what the first send() returned                 */
    atomic_bool first_returned, done;
    int calls; /* how many the loop needed for the rest          */
};

/* The loop that heals it: go on behind what has been taken, until nothing is left. */
static void send_rest(struct sender *sender, const char *bytes, size_t left)
{
    while (left > 0) {
        ssize_t n = send(sender->fd, bytes, left, 0);
        sender->calls++;
        if (n == -1 && errno != EINTR) /* EINTR: not one byte was taken yet; ask again */
            return;
        bytes += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    char *bytes = calloc(1, ASKED);
    if (bytes != NULL) {
        sender->first = send(sender->fd, bytes, ASKED, 0);
        atomic_store(&sender->first_returned, true);
        if (sender->first > 0)
            send_rest(sender, bytes + sender->first, ASKED - (size_t)sender->first);
    }
    free(bytes);
    (void)shutdown(sender->fd, SHUT_WR); /* the reader sees the end of the stream */
    atomic_store(&sender->first_returned, true);
    atomic_store(&sender->done, true);
    return NULL;
}

/* ---- the thread that reads, and signals ------------------------------------------------------ */

static uint64_t read_to_end(int fd, const struct sender *sender, pthread_t thread, bool signals)
{
    static char piece[PIECE];
    uint64_t received = 0;
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0) { /* no signal comes to this thread */
        received += (uint64_t)n;
        if (signals && !atomic_load(&sender->done))
            (void)pthread_kill(thread, SIGUSR1);
    }
    return received;
}

/* One scene; returns how many bytes arrived in the end. */
static uint64_t send_with(struct sender *sender, bool signals, int flags)
{
    int ends[2], size = SEND_BUFFER;
    pthread_t thread;

    handle_usr1(flags);
    lab_tcp_pair(ends);
    (void)lab_must(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), "SO_SNDBUF");
    sender->fd = ends[0];
    lab_must_zero(pthread_create(&thread, NULL, send_all, sender), "pthread_create");
    while (signals && !atomic_load(&sender->first_returned)) {
        lab_pause_ms(SIGNAL_EVERY_MS);
        (void)pthread_kill(thread, SIGUSR1); /* not joined yet, so the thread's name is valid */
    }
    uint64_t received = read_to_end(ends[1], sender, thread, signals);
    lab_must_zero(pthread_join(thread, NULL), "pthread_join");
    (void)close(ends[0]);
    (void)close(ends[1]);
    return received;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void nobody_disturbs(void)
{
    lab_say("1. One send() of all bytes, no signal, the peer reads.");
    struct sender sender = {0};
    uint64_t received = send_with(&sender, false, 0);
    lab_figure("asked_bytes", ASKED, "bytes");
    lab_figure("undisturbed_first_send_bytes", (double)sender.first, "bytes");
    lab_expect(sender.first == ASKED && received == ASKED, "one call took them all");
}

static void signals_disturb(const char *title, const char *figure, int flags)
{
    lab_say("%s", title);
    struct sender sender = {0};
    uint64_t received = send_with(&sender, true, flags);
    lab_figure(figure, (double)sender.first, "bytes");
    lab_expect(sender.first > 0 && sender.first < ASKED, "the call returned fewer than asked for");
    lab_figure("loop_calls", sender.calls, "calls");
    lab_figure("received_bytes", (double)received, "bytes");
    lab_expect(received == ASKED, "the loop has sent the rest: nothing is lost");
}

int main(void)
{
    lab_question("A blocking send() of 16 MiB sleeps, because the buffer is full. A signal comes, "
                 "its handler returns. What does send() do?",
                 "It sends the rest: blocking means all or nothing.",
                 "It returns the number of bytes that it has taken so far.",
                 "With SA_RESTART it sends the rest, without it returns -1 and EINTR.", 'b',
                 "Are the socket buffers of this machine larger than 16 MiB? Then nothing blocks.");
    nobody_disturbs();
    signals_disturb("2. The peer does not read yet. A signal comes, without SA_RESTART.",
                    "signal_first_send_bytes", 0);
    signals_disturb("3. The same with SA_RESTART.", "restart_first_send_bytes", SA_RESTART);
    return lab_finding("a blocking send() may take fewer bytes than asked: loop over it");
}
