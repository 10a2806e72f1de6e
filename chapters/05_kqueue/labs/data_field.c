/*
 * Lab: what does the field `data` of an event say?
 *
 * epoll tells that something is ready. kqueue tells how much, too (man 2 kqueue):
 *
 *     EVFILT_READ, a connection     bytes that wait to be read
 *     EVFILT_READ, a listener       clients that wait to be accepted
 *     EVFILT_WRITE, a connection    free space in the send buffer
 *     EVFILT_TIMER, EVFILT_SIGNAL   how often, since the program last asked
 *
 * It is a hint: true at the moment when the kernel wrote it down. More may have come since, or,
 * with several threads, somebody else may have read. So it is good for choosing the size of a
 * buffer or the number of accept() calls to try, and no replacement for EAGAIN, nor for recv() = 0.
 */
#include <fcntl.h>

#include "kq_lab.h"

enum { CLIENTS = 3, BACKLOG = 8, ROOM = 16, PIECE = 4096, FILL_AT_MOST = 64 * 1024 * 1024 };
enum { QUIET_MS = 50, PATIENCE_MS = 2000 };
enum { PEER = 0, OWN = 1 };

static void set_nonblocking(int fd)
{
    int flags = lab_must(fcntl(fd, F_GETFL), "F_GETFL");
    (void)lab_must(fcntl(fd, F_SETFL, flags | O_NONBLOCK), "F_SETFL");
}

/* What `data` says now, -1 when there is no event. */
static int64_t look(int fd, kq_filter filter, int wait_ms)
{
    struct kevent event = {0};
    int kq = kq_queue();
    kq_must(kq, kq_change_fd(fd, filter, EV_ADD));
    bool told = kq_next(kq, &event, wait_ms);
    (void)close(kq);
    return told ? (int64_t)event.data : -1;
}

/* Level-triggered events are a state: looks until `data` is as expected, or patience ends. */
static int64_t look_until(int fd, int64_t expected)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    int64_t data;
    while ((data = look(fd, EVFILT_READ, 1)) != expected && lab_now_ns() < deadline_ns)
        continue;
    return data;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void count_clients(void)
{
    struct sockaddr_in addr;
    int clients[CLIENTS];
    lab_say("1. A listening socket; %d clients connect, nobody accepts.", CLIENTS);
    int listener = lab_listen(BACKLOG, &addr);
    int64_t before = look(listener, EVFILT_READ, QUIET_MS);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
        (void)lab_must(connect(clients[i], (struct sockaddr *)&addr, sizeof addr), "connect");
    }
    int64_t waiting = look_until(listener, CLIENTS);
    int accepted = lab_must(accept(listener, NULL, NULL), "accept");
    int64_t left = look_until(listener, CLIENTS - 1);
    lab_word("listener_before", before == -1 ? "no event" : "an event");
    lab_figure("listener_data", (double)waiting, "clients");
    lab_figure("listener_data_after_accept", (double)left, "clients");
    lab_expect(before == -1 && waiting == CLIENTS && left == CLIENTS - 1,
               "data of a listener is the number of clients that wait");
    (void)close(accepted);
    for (int i = 0; i < CLIENTS; i++)
        (void)close(clients[i]);
    (void)close(listener);
}

static void count_bytes(const int ends[2])
{
    char room[ROOM];
    lab_say("2. A connection; the peer sends 5 bytes, the program reads 2, then the rest.");
    (void)lab_must((int)send(ends[PEER], "hello", 5, 0), "send");
    int64_t all = look_until(ends[OWN], 5);
    (void)lab_must((int)recv(ends[OWN], room, 2, 0), "recv");
    int64_t rest = look_until(ends[OWN], 3);
    (void)lab_must((int)recv(ends[OWN], room, sizeof room, 0), "recv");
    int64_t none = look(ends[OWN], EVFILT_READ, QUIET_MS);
    lab_figure("read_data", (double)all, "bytes");
    lab_figure("read_data_after_2", (double)rest, "bytes");
    lab_word("read_after_all", none == -1 ? "no event" : "an event");
    lab_expect(all == 5 && rest == 3 && none == -1, "data of a connection is the bytes to read");
}

/* Sends until nothing more goes in, and it stays so: acknowledgements may still make room. */
static long fill(int fd)
{
    static const char piece[PIECE];
    long sent = 0;
    do {
        ssize_t n;
        while (sent < FILL_AT_MOST && (n = send(fd, piece, sizeof piece, 0)) > 0)
            sent += (long)n;
    } while (sent < FILL_AT_MOST && look(fd, EVFILT_WRITE, QUIET_MS) != -1);
    return sent;
}

static void drain(int fd, long bytes)
{
    static char piece[PIECE];
    while (bytes > 0)
        bytes -= lab_must((int)recv(fd, piece, sizeof piece, 0), "recv");
}

static void measure_room(const int ends[2])
{
    lab_say(
        "3. The program sends until nothing more goes in; the peer does not read. Then it does.");
    set_nonblocking(ends[OWN]);
    int64_t empty = look(ends[OWN], EVFILT_WRITE, lab_patience_ms(PATIENCE_MS));
    long sent = fill(ends[OWN]);
    int64_t full = look(ends[OWN], EVFILT_WRITE, QUIET_MS);
    drain(ends[PEER], sent);
    int64_t again = look(ends[OWN], EVFILT_WRITE, lab_patience_ms(PATIENCE_MS));
    lab_figure("write_data", (double)empty, "bytes");
    lab_word("write_when_full", full == -1 ? "no event" : "an event");
    lab_figure("write_data_when_drained", (double)again, "bytes");
    lab_expect(empty > 0 && full == -1 && again > 0,
               "data is the free space; where there is none, there is no event");
}

int main(void)
{
    int ends[2];
    lab_question("Three clients wait at the listening socket. A connected one has sent 5 bytes. "
                 "What does `data` say in the two events?",
                 "The number of the descriptor, in both.", "1 in both: there is something.",
                 "3 for the listener, 5 for the connection.", 'c',
                 "Does the system tell the backlog? Otherwise data of a listener is 1.");
    count_clients();
    lab_tcp_pair(ends);
    count_bytes(ends);
    measure_room(ends);
    (void)close(ends[PEER]);
    (void)close(ends[OWN]);
    return kq_finding("NetBSD 7.99: data of a listener is its backlog, data of EVFILT_WRITE the "
                      "free space in the send buffer, data of EVFILT_READ the bytes that are there",
                      "data says how much: clients, bytes or room, as a hint");
}
