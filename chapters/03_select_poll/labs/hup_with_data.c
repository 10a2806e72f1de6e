/*
 * Lab: POLLHUP while there are bytes to read.
 *
 * A peer sends LETTER bytes and goes away, in several manners. When the server looks, the bytes
 * are in its receive buffer, and poll() reports what else has happened. Each manner is played
 * twice, for two servers:
 *
 * - One reads first: it reads until recv() says 0 (the end) or an error.
 * - One closes at POLLHUP or POLLERR: "the client is gone". It closes with bytes unread.
 *
 * POLLHUP, POLLERR and POLLNVAL come unasked; they need not be in `events` (man 2 poll). On Linux
 * a mere FIN raises POLLIN alone, since the other direction still works. Other systems may raise
 * POLLHUP too. So the exact bits are expected on Linux only, and POLLIN among them everywhere.
 *
 *     FIN     the peer has called shutdown(SHUT_WR) or close(): no more bytes will come
 *     RST     the connection is torn down: here, by close() with SO_LINGER of 0 seconds
 */
#include "lab.h"

#include <poll.h>

enum { LETTER = 1000, PIECE = 300, SETTLED_MS = 50, SETTLE_AT_MOST_MS = 2000, NAME_LEN = 64 };

/* ---- the peer goes away ---------------------------------------------------------------------- */

static void send_letter(int fd)
{
    static const char letter[LETTER];
    if (write(fd, letter, sizeof letter) != LETTER) /* an empty buffer takes that at once */
        exit(lab_not_reproduced("Does write() of 1,000 bytes return less?"));
}

static void connect_two(int ends[2])
{
    lab_tcp_pair(ends);
    send_letter(ends[1]);
}

static void half_close(int ends[2])
{
    connect_two(ends);
    (void)lab_must(shutdown(ends[1], SHUT_WR), "shutdown");
}

static void close_both_ways(int ends[2])
{
    half_close(ends);
    (void)lab_must(shutdown(ends[0], SHUT_WR), "shutdown"); /* ours, too */
}

static void reset(int ends[2])
{
    struct linger now = {1, 0};
    connect_two(ends);
    (void)lab_must(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &now, sizeof now), "SO_LINGER");
    (void)close(ends[1]);
    ends[1] = -1;
}

static void close_pipe(int ends[2])
{
    (void)lab_must(pipe(ends), "pipe");
    send_letter(ends[1]);
    (void)close(ends[1]);
    ends[1] = -1;
}

/* ---- what poll() says ------------------------------------------------------------------------ */

static short bits_now(int fd, int timeout_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    (void)lab_must(poll(&one, 1, timeout_ms), "poll");
    return one.revents;
}

/* The bits, when they have not changed for SETTLED_MS: the FIN may come after the bytes. */
static short bits_settled(int fd)
{
    short bits = bits_now(fd, SETTLE_AT_MOST_MS);
    int settled_ms = lab_patience_ms(SETTLED_MS);
    for (int same = 0, ms = 0; same < settled_ms && ms < SETTLE_AT_MOST_MS; same++, ms++) {
        lab_pause_ms(1);
        short now = bits_now(fd, 0);
        same = now == bits ? same : 0;
        bits = now;
    }
    return bits;
}

static const char *bits_in_words(short bits)
{
    static char words[NAME_LEN];
    bool in = (bits & POLLIN) != 0, hup = (bits & POLLHUP) != 0, err = (bits & POLLERR) != 0;
    (void)snprintf(words, sizeof words, "%s%s%s", in ? "POLLIN" : "no POLLIN",
                   hup ? " POLLHUP" : "", err ? " POLLERR" : "");
    return words;
}

/* ---- two servers ----------------------------------------------------------------------------- */

struct reading {
    int bytes;
    int err; /* 0: the end of the stream   */
};

/* Any bit is a reason to read; only read() knows when it is over. */
static struct reading read_first(int fd)
{
    struct reading reading = {0};
    char piece[PIECE];
    ssize_t n = 0;
    while (bits_now(fd, SETTLE_AT_MOST_MS) != 0 && (n = read(fd, piece, sizeof piece)) > 0)
        reading.bytes += (int)n;
    reading.err = n == -1 ? errno : 0; /* not EINTR: no signal comes */
    (void)close(fd);
    return reading;
}

static struct reading close_at_hup(int fd)
{
    struct reading reading = {0};
    char piece[PIECE];
    ssize_t n = 1;
    while (n > 0 && (bits_now(fd, SETTLE_AT_MOST_MS) & (POLLHUP | POLLERR)) == 0)
        if ((n = read(fd, piece, sizeof piece)) > 0)
            reading.bytes += (int)n;
    (void)close(fd);
    return reading;
}

/* ---- the scenes ------------------------------------------------------------------------------ */

struct scene {
    const char *name, *title;
    void (*play)(int ends[2]);
    short linux_bits;
    int err; /* what read_first meets at the end   */
};

static struct reading play(const struct scene *scene, struct reading (*server)(int fd), short *bits)
{
    int ends[2];
    scene->play(ends);
    *bits = bits_settled(ends[0]);
    struct reading reading = server(ends[0]);
    if (ends[1] != -1)
        (void)close(ends[1]);
    return reading;
}

static const char *figure_of(const struct scene *scene, const char *what)
{
    static char name[NAME_LEN];
    (void)snprintf(name, sizeof name, "%s_%s", scene->name, what);
    return name;
}

static void run(const struct scene *scene)
{
    short bits;
    lab_say("%s", scene->title);
    struct reading careless = play(scene, close_at_hup, &bits);
    struct reading careful = play(scene, read_first, &bits);
    lab_word(figure_of(scene, "bits"), bits_in_words(bits));
    lab_figure(figure_of(scene, "read_first_bytes"), careful.bytes, "bytes");
    lab_figure(figure_of(scene, "close_at_hup_bytes"), careless.bytes, "bytes");
    lab_expect((bits & POLLIN) != 0 && careful.bytes == LETTER && careful.err == scene->err,
               "POLLIN is there, and who reads first gets every byte");
    if ((bits & (POLLHUP | POLLERR)) != 0)
        lab_expect(careless.bytes == 0, "who closes at POLLHUP or POLLERR gets none");
    else
        lab_expect(careless.bytes == LETTER, "no POLLHUP: the other direction still works");
#ifdef __linux__
    lab_expect(bits == scene->linux_bits, "these are the bits of Linux");
#endif
}

int main(void)
{
    static const struct scene scenes[] = {
        {"fin", "1. The peer sends 1,000 bytes and a FIN.", half_close, POLLIN, 0},
        {"both", "2. The same, and we have shut down our side as well.", close_both_ways,
         POLLIN | POLLHUP, 0},
        {"rst", "3. The peer sends 1,000 bytes and a RST.", reset, POLLIN | POLLHUP | POLLERR,
         ECONNRESET},
        {"pipe", "4. A pipe: the writer writes 1,000 bytes and closes.", close_pipe,
         POLLIN | POLLHUP, 0},
    };
    lab_question("A peer sends 1,000 bytes and goes away. The server has not read them yet; poll() "
                 "reports POLLHUP. What is in the receive buffer?",
                 "Nothing: POLLHUP means that the connection and its bytes are gone.",
                 "The 1,000 bytes: POLLHUP comes together with POLLIN.",
                 "Nothing yet: POLLHUP comes after all bytes have been read.", 'b',
                 "Has the FIN not arrived in time? Is the machine very busy?");
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        run(&scenes[i]);
    return lab_finding("POLLHUP comes with bytes still there: read until 0 or an error");
}
