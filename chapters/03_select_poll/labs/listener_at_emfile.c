/*
 * Lab: what does a listener do when the process has no descriptor left?
 *
 * A client has connected; its connection stands in the queue of the listener. poll() says POLLIN.
 * accept() needs a descriptor, there is none, and it fails with EMFILE (ENFILE, when the whole
 * system has none). The connection stays in the queue, so poll() says POLLIN again, at once.
 *
 * 1. A server that goes on as if nothing had happened. It spins.
 * 2. One that pauses: at EMFILE it does not watch the listener for PAUSE_MS. Its other clients
 *    are still served, for poll() still waits for them.
 * 3. A descriptor comes back. The connection is accepted, with all that the client has sent.
 * 4. The trick with the spare descriptor, which many programs use: keep one open for nothing; at
 *    EMFILE close it, accept, close the client, open the spare again. It empties the queue by
 *    turning the clients away.
 * 5. The same trick in a program with threads: another thread opens a file between the close() and
 *    the accept(). So that nothing is left to chance, the lab opens the file itself at that moment.
 */
#include "lab.h"

#include <fcntl.h>
#include <poll.h>

enum { WINDOW_MS = 100, PAUSE_MS = 100, PAUSE_WINDOWS = 5, WAIT_MS = 2000, FEWER = 20 };

static struct rlimit limit_before;

/* Takes away all free descriptors: the limit becomes the lowest number that is free. */
static void run_out(void)
{
    struct rlimit limit;
    int lowest_free = lab_must(dup(STDOUT_FILENO), "dup");
    (void)close(lowest_free);
    (void)lab_must(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = (rlim_t)lowest_free;
    (void)lab_must(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

static void give_back(void)
{
    (void)lab_must(setrlimit(RLIMIT_NOFILE, &limit_before), "setrlimit");
}

/* A client that has connected and said hello. It needs a descriptor: call it before run_out(). */
static int new_client(const struct sockaddr_in *addr)
{
    int fd = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    (void)lab_must(connect(fd, (const struct sockaddr *)addr, sizeof *addr), "connect");
    (void)lab_must((int)send(fd, "hello", 5, 0), "send");
    return fd;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return lab_must(poll(&one, 1, timeout_ms), "poll") == 1;
}

/* ---- two servers without a descriptor -------------------------------------------------------- */

struct tally {
    double wakeups;     /* in WINDOW_MS, each with an accept() that failed  */
    double cpu_percent; /* of one processor                                 */
};

/* Serves for some windows. pause_ms 0: watches the listener all the time. */
static struct tally serve(int listener, int windows, int pause_ms)
{
    struct tally tally = {0};
    int64_t start_ns = lab_now_ns(), cpu_ns = lab_cpu_ns(), now_ns;
    int64_t end_ns = start_ns + windows * INT64_C(1000000) * WINDOW_MS, watch_from_ns = start_ns;
    while ((now_ns = lab_now_ns()) < end_ns) {
        bool watched = now_ns >= watch_from_ns;
        int64_t until_ns = watched ? end_ns : watch_from_ns;
        struct pollfd one = {.fd = listener, .events = watched ? POLLIN : 0};
        (void)lab_must(poll(&one, 1, (int)((until_ns - now_ns + 999999) / 1000000)), "poll");
        if ((one.revents & POLLIN) == 0)
            continue;
        if (accept(listener, NULL, NULL) != -1 || errno != EMFILE)
            exit(lab_not_reproduced("Does accept() find a descriptor in spite of the limit?"));
        tally.wakeups++;
        watch_from_ns = lab_now_ns() + pause_ms * INT64_C(1000000);
    }
    cpu_ns = lab_cpu_ns() - cpu_ns;
    tally.wakeups /= windows;
    tally.cpu_percent = 100.0 * (double)cpu_ns / (double)(lab_now_ns() - start_ns);
    return tally;
}

static void spin_and_pause(int listener)
{
    lab_say("1. No descriptor left, one client waits. poll(), accept(), poll(), ...");
    struct tally spin = serve(listener, 1, 0);
    lab_figure("spin_wakeups_in_100_ms", spin.wakeups, "");
    lab_figure("spin_cpu_percent", spin.cpu_percent, "%");
    lab_say("2. The same, but at EMFILE the listener is not watched for %d ms.", PAUSE_MS);
    struct tally pause = serve(listener, PAUSE_WINDOWS, PAUSE_MS);
    lab_figure("pause_wakeups_in_100_ms", pause.wakeups, "");
    lab_figure("pause_cpu_percent", pause.cpu_percent, "%");
    lab_expect(pause.wakeups > 0 && pause.wakeups <= 2, "with a pause: about one wake-up");
    lab_expect(spin.wakeups >= (double)FEWER * pause.wakeups, "without: at least 20 times as many");
    lab_expect(pause.cpu_percent < 20, "with a pause the processor is nearly idle");
}

/* ---- what becomes of the client -------------------------------------------------------------- */

static void accept_it_late(int listener)
{
    char hello[8];
    lab_say("3. A descriptor comes back.");
    give_back();
    int conn = accept(listener, NULL, NULL);
    ssize_t n = conn != -1 && is_readable(conn, WAIT_MS) ? recv(conn, hello, sizeof hello, 0) : -1;
    lab_figure("accepted_bytes", (double)n, "bytes");
    lab_expect(n == 5, "the connection was still in the queue, with what the client had sent");
    if (conn != -1)
        (void)close(conn);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY);
}

/* True when the client has seen the end of the stream, or a reset, and no answer. */
static bool was_turned_away(int client)
{
    char byte;
    return is_readable(client, WAIT_MS) && recv(client, &byte, 1, 0) <= 0;
}

static void use_the_spare(int listener, int client)
{
    lab_say("4. The spare descriptor: close it, accept, close the client, open it again.");
    int spare = lab_must(open_spare(), "open");
    run_out();
    (void)close(spare);
    int conn = accept(listener, NULL, NULL);
    int accept_err = conn == -1 ? errno : 0;
    if (conn != -1)
        (void)close(conn);
    spare = open_spare();
    bool empty = !is_readable(listener, 0);
    give_back();
    bool turned_away = was_turned_away(client);
    lab_word("trick_queue", empty ? "empty" : "not empty");
    lab_word("trick_client", turned_away ? "turned away" : "waits");
    lab_expect(accept_err == 0 && spare != -1 && empty, "the queue is empty: no spinning");
    lab_expect(turned_away, "but the client has lost its connection");
    (void)close(spare);
}

static void race_for_the_spare(int listener)
{
    lab_say("5. The same, and a file is opened between close() and accept().");
    int spare = lab_must(open_spare(), "open");
    run_out();
    (void)close(spare);
    int other = open_spare(); /* the other thread was faster */
    int conn = accept(listener, NULL, NULL);
    int accept_err = conn == -1 ? errno : 0;
    spare = open_spare();
    int spare_err = spare == -1 ? errno : 0;
    give_back();
    lab_word("race_accept", accept_err == EMFILE ? "EMFILE" : "something else");
    lab_word("race_spare", spare_err == EMFILE ? "gone" : "open");
    lab_expect(accept_err == EMFILE && spare_err == EMFILE,
               "accept() fails, the spare is lost, and the server spins after all");
    if (other != -1)
        (void)close(other);
}

int main(void)
{
    struct sockaddr_in addr;
    lab_question("The process has no descriptor left, and a client connects. poll() says that the "
                 "listener is readable, accept() fails with EMFILE. What does the next poll() do?",
                 "It sleeps until the next client: this one has been reported.",
                 "It sleeps: the kernel has refused the client.",
                 "It returns at once, again and again: the client is still in the queue.", 'c',
                 "Has the process more descriptors than its limit says?");
    (void)lab_must(getrlimit(RLIMIT_NOFILE, &limit_before), "getrlimit");
    int listener = lab_listen(8, &addr);
    (void)lab_must(fcntl(listener, F_SETFL, O_NONBLOCK), "fcntl");

    int clients[3];
    clients[0] = new_client(&addr);
    run_out();
    spin_and_pause(listener);
    accept_it_late(listener);
    clients[1] = new_client(&addr);
    use_the_spare(listener, clients[1]);
    clients[2] = new_client(&addr);
    race_for_the_spare(listener);
    for (int i = 0; i < 3; i++)
        (void)close(clients[i]);
    (void)close(listener);
    return lab_finding("a listener that is watched at EMFILE spins: let it rest, clients wait");
}
