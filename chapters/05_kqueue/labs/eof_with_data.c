/*
 * Lab: EV_EOF, and bytes that are still there.
 *
 * When the reading direction of a connection has ended, EVFILT_READ sets EV_EOF in the flags of the
 * event, and fflags may hold the error of the socket. The manual pages of all four systems say in
 * one voice that data may still be pending at that time (man 2 kqueue), and `data` says how many
 * bytes. So EV_EOF is a hint that the end is near; the end itself is recv() = 0, or its error.
 *
 *     server A      closes when it sees EV_EOF              loses what it has not read
 *     server B      reads until recv() says 0 or fails      loses nothing
 *
 * And it may be a half-close: the peer has ended its own sending, and still waits for our answer.
 *
 * After an RST the systems may differ in what is left to be read, and an emulation does not see the
 * error in fflags. The lab shows it and expects only that EV_EOF comes and that recv() ends.
 */
#include "kq_lab.h"

enum { ROOM = 16, CALLS_AT_MOST = 4, PATIENCE_MS = 2000 };
enum { PEER = 0, OWN = 1 };

/* Looks until the event has EV_EOF: bytes and FIN may come one after the other. */
static bool look_for_eof(int fd, struct kevent *event)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    int kq = kq_queue();
    bool eof = false;
    kq_must(kq, kq_change_fd(fd, EVFILT_READ, EV_ADD));
    while (!eof && lab_now_ns() < deadline_ns)
        eof = kq_next(kq, event, lab_patience_ms(PATIENCE_MS)) && (event->flags & EV_EOF) != 0;
    (void)close(kq);
    return eof;
}

/* Calls recv() until it says that this was all; writes down each call, returns all bytes. */
static int read_to_the_end(int fd, char words[ROOM * CALLS_AT_MOST])
{
    char room[ROOM];
    int bytes = 0;
    size_t used = 0;
    for (int i = 0; i < CALLS_AT_MOST; i++) {
        int n = (int)recv(fd, room, sizeof room, MSG_DONTWAIT);
        const char *err = n != -1 ? "" : errno == ECONNRESET ? "ECONNRESET" : "another error";
        used += (size_t)snprintf(words + used, ROOM, i > 0 ? ", %s" : "%s", err);
        if (n >= 0)
            used += (size_t)snprintf(words + used, ROOM, "%d", n);
        if (n <= 0)
            break;
        bytes += n;
    }
    return bytes;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void peer_closes(void)
{
    struct kevent event = {0};
    char calls[ROOM * CALLS_AT_MOST];
    int ends[2];
    lab_say("1. The peer sends `abc` and closes. The program has read nothing yet.");
    lab_tcp_pair(ends);
    (void)lab_must((int)send(ends[PEER], "abc", 3, 0), "send");
    (void)close(ends[PEER]);
    bool eof = look_for_eof(ends[OWN], &event);
    int64_t data = (int64_t)event.data;
    int bytes = read_to_the_end(ends[OWN], calls);
    lab_word("closed_ev_eof", kq_yes(eof));
    lab_figure("closed_data", (double)data, "bytes");
    lab_word("closed_recv", calls);
    lab_figure("close_at_ev_eof_bytes", 0, "bytes");
    lab_figure("read_to_the_end_bytes", bytes, "bytes");
    lab_expect(eof && data == 3, "EV_EOF is there while 3 bytes still are, and data says so");
    lab_expect(bytes == 3, "who closes at EV_EOF loses what recv() would still have given");
    (void)close(ends[OWN]);
}

static void peer_closes_half(void)
{
    struct kevent event = {0};
    char calls[ROOM * CALLS_AT_MOST], answer[ROOM];
    int ends[2];
    lab_say("2. The peer sends `abc` and ends its sending only: shutdown(SHUT_WR).");
    lab_tcp_pair(ends);
    (void)lab_must((int)send(ends[PEER], "abc", 3, 0), "send");
    (void)lab_must(shutdown(ends[PEER], SHUT_WR), "shutdown");
    bool eof = look_for_eof(ends[OWN], &event);
    int bytes = read_to_the_end(ends[OWN], calls);
    (void)lab_must((int)send(ends[OWN], "abc", 3, 0), "send");
    (void)close(ends[OWN]);
    int answered = lab_must((int)recv(ends[PEER], answer, sizeof answer, MSG_WAITALL), "recv");
    lab_word("half_ev_eof", kq_yes(eof));
    lab_word("half_recv", calls);
    lab_figure("half_answer", answered, "bytes");
    lab_expect(eof && bytes == 3 && answered == 3, "EV_EOF, and the peer still gets its answer");
    (void)close(ends[PEER]);
}

static void peer_resets(void)
{
    struct kevent event = {0};
    char calls[ROOM * CALLS_AT_MOST];
    struct linger at_once = {.l_onoff = 1, .l_linger = 0}; /* close() then sends RST, no FIN */
    int ends[2];
    lab_say("3. The peer sends `abc`, then resets the connection.");
    lab_tcp_pair(ends);
    (void)lab_must((int)send(ends[PEER], "abc", 3, 0), "send");
    (void)lab_must(setsockopt(ends[PEER], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
                   "SO_LINGER");
    (void)close(ends[PEER]);
    bool eof = look_for_eof(ends[OWN], &event);
    (void)read_to_the_end(ends[OWN], calls);
    lab_word("reset_ev_eof", kq_yes(eof));
    lab_word("reset_fflags", event.fflags == 0                      ? "0"
                             : (unsigned)event.fflags == ECONNRESET ? "ECONNRESET"
                                                                    : "another error");
    lab_word("reset_recv", calls);
    lab_expect(eof, "EV_EOF comes for a reset, too: only recv() tells it from an end");
    (void)close(ends[OWN]);
}

int main(void)
{
    lab_question("A peer sends `abc` and closes. Nothing has been read yet. What does the event of "
                 "EVFILT_READ say?",
                 "3 bytes. EV_EOF comes when these have been read.",
                 "EV_EOF, and 3 bytes that are still there.", "EV_EOF, and `abc` is lost.", 'b',
                 "Is there a firewall between the two ends, even on 127.0.0.1?");
    peer_closes();
    peer_closes_half();
    peer_resets();
    return kq_finding("NetBSD 7.99: EV_EOF at once, with data = the bytes still there. After an "
                      "RST fflags is ECONNRESET; what came before it can be read, then recv() "
                      "gives ECONNRESET",
                      "EV_EOF comes before the end: read until recv() is 0");
}
