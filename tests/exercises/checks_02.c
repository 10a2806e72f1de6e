/*
 * checks_02: what the exercises of chapter 02 ask for: the rest of a short send, a bound, lines,
 * and connecting with a deadline.
 */
#include "checks.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SMALL_WINDOW = 64 * 1024 };

/* --- 02.1: tiny_window_gets_all --------------------------------------------------------------- */

/** Again and again the server's send() takes a part, or nothing: each time the rest is kept. */
void tiny_window_gets_all(struct contract_run *run)
{
    enum { TURNS = 3 };
    struct client c = new_client(801), other = new_client(802);
    c.receive_buffer = SMALL_WINDOW;
    bool ok = starts(run) && connects(run, &other) && connects(run, &c);
    for (int turn = 1; ok && turn <= TURNS; turn++) {
        did(run, "with a small window, for the %d. time, sent until no more was taken", turn);
        ok = floods_until_it_stalls(run, &c, &other, c.sent + STALL_MIB * MIB);
        if (ok)
            did(run, "sent %" PRIu64 " KiB in all without reading, then read slowly", c.sent / KIB);
        uint64_t owed = c.sent - c.received;
        ok = ok && gets_back(run, &c, (size_t)(turn < TURNS ? owed / 2 : owed));
    }
    (void)(ok && shuts_writing(run, &c) && sees_the_end(run, &c));
    client_close(&c);
    client_close(&other);
}

/* --- 02.2: a bound ---------------------------------------------------------------------------- */

enum { FLOODERS = 3, MOST_MIB = 32, EACH_KIB = 16, SLACK_KIB = 512 };

static bool flooders_come(struct contract_run *run, struct client *c)
{
    bool ok = starts(run);
    for (int i = 0; i < FLOODERS; i++) {
        c[i] = new_client((uint32_t)(901 + i));
        c[i].receive_buffer = SMALL_WINDOW;
        ok = ok && connects(run, &c[i]) && pings(run, &c[i]);
    }
    return ok;
}

static void flooders_leave(struct contract_run *run, struct client *c)
{
    (void)still_lives(run);
    end_server(run);
    for (int i = 0; i < FLOODERS; i++)
        client_close(&c[i]);
}

void flood_gets_all(struct contract_run *run)
{
    struct client c[FLOODERS], other = new_client(905);
    bool ok = flooders_come(run, c) && connects(run, &other);
    did(run, "%d clients sent without reading until nothing moved, then read everything",
        (int)FLOODERS);
    for (int i = 0; ok && i < FLOODERS; i++)
        ok = floods_until_it_stalls(run, &c[i], &other, MOST_MIB * MIB);
    for (int i = 0; ok && i < FLOODERS; i++)
        ok = gets_back(run, &c[i], (size_t)(c[i].sent - c[i].received));
    for (int i = 0; ok && i < FLOODERS; i++)
        ok = exchanges(run, &c[i], 1000, 100);
    client_close(&other);
    flooders_leave(run, c);
}

/** What must not be kept anywhere: the kernel's buffers hold a half of it at most. */
static bool all_stall(struct contract_run *run, struct client *c, struct client *other)
{
    for (int i = 0; i < FLOODERS; i++) {
        if (!floods_until_it_stalls(run, &c[i], other, MOST_MIB * MIB))
            return false;
        did(run, "%d. client sent %" PRIu64 " KiB and read nothing", i + 1, c[i].sent / KIB);
        if (c[i].sent >= MOST_MIB * MIB)
            return red(run, UNBOUNDED_MEMORY,
                       "the server took all of it, although nobody read the answers: it keeps "
                       "them without a bound, or loses them");
    }
    return true;
}

void memory_stays_bounded(struct contract_run *run)
{
    struct client c[FLOODERS], other = new_client(904);
    bool ok = flooders_come(run, c) && connects(run, &other) && pings(run, &other);
    int64_t before_kib = ok ? resident_kib_of(run) : -1;
    ok = ok && all_stall(run, c, &other);
    int64_t after_kib = ok ? resident_kib_of(run) : -1;
    if (ok && (before_kib < 0 || after_kib < 0))
        note(run, "its memory was not measured: this system does not tell");
    else if (ok && run->sanitized)
        note(run, "its memory was not measured: a sanitizer adds its own");
    else if (ok && after_kib - before_kib > FLOODERS * EACH_KIB + SLACK_KIB)
        (void)red(run, UNBOUNDED_MEMORY, "the server's memory grew by %" PRId64 " KiB",
                  after_kib - before_kib);
    client_close(&other);
    flooders_leave(run, c);
}

/* --- 02.3: lines ------------------------------------------------------------------------------ */

enum { LONGEST_LINE = 1024, TOO_EARLY_MS = 100, MOST_ANSWER = 64 };

static const char *refusal(void)
{
    static char line[64];
    (void)snprintf(line, sizeof line, "error: a line has at most %d bytes\n",
                   twist_number_or(LONGEST_LINE, LONGEST_LINE));
    return line;
}

/** The next bytes that come must be these. */
static bool is_answered(struct contract_run *run, struct client *c, const char *answer, size_t len)
{
    char back[MOST_ANSWER];
    enum outcome o = client_expect_raw(c, back, len, patience(run));
    if (!went_well(run, o, "waiting for the answer"))
        return false;
    return memcmp(back, answer, len) == 0 ||
           red(run, WRONG_BYTES, "the answer was not the line in upper case, byte for byte");
}

static bool nothing_comes_yet(struct contract_run *run, struct client *c)
{
    char byte;
    enum outcome o = client_expect_raw(c, &byte, 1, deadline_in_ms(TOO_EARLY_MS));
    if (o == CLIENT_OK)
        return red(run, WRONG_BYTES, "an answer began although the line had no end yet");
    return o == CLIENT_TIMEOUT || went_well(run, o, "in the middle of a line");
}

void lines_come_in_pieces(struct contract_run *run)
{
    static const char line[] = "good morning\n";
    struct client c = new_client(1001);
    did(run, "sent \"good morning\" and the end of the line, one byte at a time");
    bool ok = starts(run) && connects(run, &c);
    for (size_t i = 0; ok && i < strlen(line); i++) {
        ok = sends_raw(run, &c, line + i, 1);
        if (i == 0 || i + 2 == strlen(line)) /* the first byte, and all but the end of the line */
            ok = ok && nothing_comes_yet(run, &c);
    }
    (void)(ok && is_answered(run, &c, "GOOD MORNING\n", strlen(line)) && shuts_writing(run, &c) &&
           sees_the_end(run, &c));
    client_close(&c);
}

void lines_come_together(struct contract_run *run)
{
    struct client c = new_client(1002);
    did(run, "sent \"one\\ntwo\\nthr\" with one send(), later \"ee\\n\"");
    (void)(starts(run) && connects(run, &c) && sends_raw(run, &c, "one\ntwo\nthr", 11) &&
           is_answered(run, &c, "ONE\nTWO\n", 8) && nothing_comes_yet(run, &c) &&
           sends_raw(run, &c, "ee\n", 3) && is_answered(run, &c, "THREE\n", 6));
    client_close(&c);
}

void lines_are_bytes(struct contract_run *run)
{
    static const char line[] = "a\0b\xff\x80{z`\0\n", answer[] = "A\0B\xff\x80{Z`\0\n";
    struct client c = new_client(1003);
    did(run, "sent a line with zeros and bytes above 127 in it");
    (void)(starts(run) && connects(run, &c) && sends_raw(run, &c, line, sizeof line - 1) &&
           is_answered(run, &c, answer, sizeof answer - 1));
    client_close(&c);
}

/** The rest of the line is sent as long as anybody takes it. */
static void sends_the_rest(struct contract_run *run, struct client *c)
{
    char *rest = calloc(1, MIB);
    if (rest != NULL)
        (void)client_send_raw(c, rest, MIB, patience(run)); /* closed or reset: as it should be */
    free(rest);
}

void long_line_is_refused(struct contract_run *run)
{
    enum { LONGER = 2000 };
    char beginning[LONGER];
    struct client c = new_client(1004), other = new_client(1005);
    memset(beginning, 'x', sizeof beginning);
    did(run, "sent a line that does not end: 2,000 bytes, then 1 MiB more");
    bool ok = starts(run) && connects(run, &c) && sends_raw(run, &c, beginning, LONGER) &&
              is_answered(run, &c, refusal(), strlen(refusal()));
    if (ok) {
        sends_the_rest(run, &c);
        enum outcome o = client_expect_end(&c, patience(run));
        ok = o != CLIENT_TIMEOUT || red(run, NEVER_CLOSED, "after the refusal it was not closed");
    }
    (void)(ok && still_lives(run) && connects(run, &other) && sends_raw(run, &other, "hi\n", 3) &&
           is_answered(run, &other, "HI\n", 3));
    client_close(&c);
    client_close(&other);
}

/* --- 02.4: connect with a deadline ------------------------------------------------------------ */

enum { PORTS = 3, QUEUE_FDS = 16, FILL_MS = 200, LONGEST_MS = 2500 };

/** A socket bound to a port of 127.0.0.1 that nobody listens on; the caller closes it. */
static int bind_only(unsigned *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&name, &len) == 0)
        *port = ntohs(name.sin_port);
    return fd;
}

/** Connects until one connection is not made: then the queue is full. -1: it never was. */
static int fill_queue(unsigned port, int *fds)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((uint16_t)port)};
    for (int count = 0; count < QUEUE_FDS; count++) {
        fds[count] = socket(AF_INET, SOCK_STREAM, 0);
        (void)fcntl(fds[count], F_SETFL, O_NONBLOCK);
        struct pollfd made = {.fd = fds[count], .events = POLLOUT};
        int result = connect(fds[count], (struct sockaddr *)&name, sizeof name);
        if (result < 0 && errno == EINPROGRESS && poll(&made, 1, FILL_MS) == 0)
            return count + 1;
    }
    return -1;
}

/** Lines as they stand in a sentence: "4001 connected, 4002 refused". */
static void in_a_row(const char *lines, char *buf, size_t len)
{
    (void)snprintf(buf, len, "%.*s", (int)strlen(lines) - (*lines != '\0'), lines);
    for (char *end; (end = strchr(buf, '\n')) != NULL;)
        *end = ',';
}

/** Runs the program with these ports. Its stdout must be these lines; *ms is how long it took. */
static bool prints(struct contract_run *run, const unsigned *ports, const char *const *words,
                   int64_t *ms)
{
    char text[PORTS][8], want[256] = "";
    const char *argv[] = {run->argv[0], text[0], text[1], text[2], NULL};
    for (int i = 0; i < PORTS; i++) {
        size_t used = strlen(want);
        (void)snprintf(text[i], sizeof text[i], "%u", ports[i]);
        (void)snprintf(want + used, sizeof want - used, "%u %s\n", ports[i], words[i]);
    }
    struct server_spec spec = {.argv = argv, .bare = true};
    struct server_end end;
    int64_t begin_ns = clock_now_ns();
    did(run, "started the program with the ports %s, %s and %s", text[0], text[1], text[2]);
    int err = server_run_to_end(&run->server, &spec, &end);
    *ms = (clock_now_ns() - begin_ns) / 1000000;
    server_kill(&run->server);
    if (err != 0)
        return red(run, NOT_STARTED, "%.200s", run->server.err);
    if (!end.in_time)
        return red(run, TOO_SLOW, "it still ran after %d ms and had printed \"%.100s\"", (int)*ms,
                   run->server.out);
    if (end.status != 0)
        return red(run, BAD_STATUS, "it ended with status %d; stderr says \"%.200s\"", end.status,
                   run->server.err);
    if (strcmp(run->server.out, want) == 0)
        return true;
    char got[200], wanted[200];
    in_a_row(run->server.out, got, sizeof got);
    in_a_row(want, wanted, sizeof wanted);
    return red(run, BAD_WORDS, "it printed \"%s\" and not \"%s\"", got, wanted);
}

void tells_who_is_there(struct contract_run *run)
{
    unsigned there = 0, nobody = 0;
    int listener = listen_anywhere(&there), silent = bind_only(&nobody);
    int64_t ms;
    if (listener < 0 || silent < 0 || nobody == 0)
        (void)skip_row(run, "no two ports: %s", strerror(errno));
    else
        (void)prints(run, (unsigned[]){there, nobody, there},
                     (const char *[]){"connected", "refused", "connected"}, &ms);
    if (listener >= 0)
        close(listener);
    if (silent >= 0)
        close(silent);
}

/** Runs the program with ports of which `full` (1 or 3) have a full queue. */
static void meets_full_queues(struct contract_run *run, int full)
{
    unsigned stuck = 0, there = 0;
    int queue[QUEUE_FDS], count = -1;
    int crowded = listen_anywhere(&stuck), listener = listen_anywhere(&there);
    int64_t ms = 0;
    if (crowded >= 0 && listener >= 0)
        count = fill_queue(stuck, queue);
    if (count < 0)
        (void)skip_row(run, "on this system a full queue cannot be made");
    else if (full == 1)
        (void)prints(run, (unsigned[]){stuck, there, there},
                     (const char *[]){"timed out", "connected", "connected"}, &ms);
    else if (prints(run, (unsigned[]){stuck, stuck, stuck},
                    (const char *[]){"timed out", "timed out", "timed out"}, &ms) &&
             ms > (int64_t)(LONGEST_MS * clock_slowdown()))
        (void)red(run, TOO_SLOW, "it took %d ms for three deadlines of 1,000 ms", (int)ms);
    for (int i = 0; i < (count < 0 ? 0 : count); i++)
        close(queue[i]);
    if (crowded >= 0)
        close(crowded);
    if (listener >= 0)
        close(listener);
}

void full_backlog_times_out(struct contract_run *run)
{
    meets_full_queues(run, 1);
}

void waits_for_all_at_once(struct contract_run *run)
{
    meets_full_queues(run, 3);
}
