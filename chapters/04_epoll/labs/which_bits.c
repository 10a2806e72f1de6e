/*
 * Lab: which bits does epoll report when a connection ends in one of its many ways?
 *
 *     IN      recv() does not wait: there are bytes, or the end, or an error
 *     OUT     send() does not wait: there is room, or an error
 *     RDHUP   the peer sends no more (its FIN has come), or we have shut our reading side
 *     HUP     both directions are over
 *     ERR     an error is pending: the next call says which
 *
 * (man 2 epoll_ctl.) HUP and ERR are reported to everybody, also to those who asked for nothing;
 * the others only to those who asked. Two sentences that one often hears are wrong: "HUP or
 * RDHUP: nothing is left to read", and "ERR: the server is broken". So for each ending the lab
 * also calls recv() until there is nothing more, and writes down what each call said.
 *
 * Each ending gets a fresh TCP connection; the peer has sent `abc` before, or nothing. The lab asks
 * for all bits, and once more for none. Level-triggered bits are a state, not a story: it looks
 * until they are as expected, and then again, after a pause, to see that they stay.
 */
#include <sys/epoll.h>

#include "lab.h"

enum { ROOM = 16, STAY_MS = 5, PATIENCE_MS = 2000, CALLS_AT_MOST = 3 };
enum { PEER = 0, OWN = 1 }; /* the two ends; our own one is watched */

/* ---- the endings ----------------------------------------------------------------------------- */

enum act { NOTHING, PEER_WR, PEER_RD, OWN_WR, OWN_RD, OWN_RDWR, BOTH_WR, RST };

/* A close() with a linger time of zero sends RST in place of FIN (man 7 socket). */
static void reset(int ends[2])
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)lab_must(setsockopt(ends[PEER], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
                   "SO_LINGER");
    (void)close(ends[PEER]);
    ends[PEER] = -1;
}

static void perform(enum act act, int ends[2])
{
    if (act == PEER_WR || act == BOTH_WR)
        (void)lab_must(shutdown(ends[PEER], SHUT_WR), "shutdown");
    if (act == PEER_RD)
        (void)lab_must(shutdown(ends[PEER], SHUT_RD), "shutdown");
    if (act == OWN_WR || act == BOTH_WR)
        (void)lab_must(shutdown(ends[OWN], SHUT_WR), "shutdown");
    if (act == OWN_RD)
        (void)lab_must(shutdown(ends[OWN], SHUT_RD), "shutdown");
    if (act == OWN_RDWR)
        (void)lab_must(shutdown(ends[OWN], SHUT_RDWR), "shutdown");
    if (act == RST)
        reset(ends);
}

static const struct ending {
    const char *name;
    enum act act;
    bool unread;            /* `abc` has come, and nobody has read it        */
    const char *bits;       /* asked for all of them                         */
    const char *unasked;    /* asked for none                                */
    const char *recv_calls; /* what recv() says, call by call                */
} endings[] = {
    {"open", NOTHING, false, "OUT", "none", "EAGAIN"},
    {"open_unread", NOTHING, true, "IN OUT", "none", "3, EAGAIN"},
    {"peer_shut_wr", PEER_WR, false, "IN OUT RDHUP", "none", "0"},
    {"peer_shut_wr_unread", PEER_WR, true, "IN OUT RDHUP", "none", "3, 0"},
    {"peer_shut_rd", PEER_RD, false, "OUT", "none", "EAGAIN"},
    {"own_shut_wr", OWN_WR, false, "OUT", "none", "EAGAIN"},
    {"own_shut_rd", OWN_RD, false, "IN OUT RDHUP", "none", "0"},
    {"own_shut_rdwr", OWN_RDWR, false, "IN OUT RDHUP HUP", "HUP", "0"},
    {"both_shut_wr", BOTH_WR, false, "IN OUT RDHUP HUP", "HUP", "0"},
    {"both_shut_wr_unread", BOTH_WR, true, "IN OUT RDHUP HUP", "HUP", "3, 0"},
    {"rst", RST, false, "IN OUT RDHUP HUP ERR", "HUP ERR", "ECONNRESET, 0"},
    {"rst_unread", RST, true, "IN OUT RDHUP HUP ERR", "HUP ERR", "3, ECONNRESET, 0"},
};
enum { ENDINGS = sizeof endings / sizeof endings[0] };

/* ---- looking, and reading -------------------------------------------------------------------- */

struct words {
    char text[LAB_COLUMNS];
};

static void add_word(struct words *words, const char *separator, const char *word)
{
    size_t used = strlen(words->text);
    (void)snprintf(words->text + used, sizeof words->text - used, "%s%s", used > 0 ? separator : "",
                   word);
}

/* The bits that are reported now, in words. */
static struct words look(int fd, uint32_t asked)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } bits[] = {{EPOLLIN, "IN"},       {EPOLLPRI, "PRI"}, {EPOLLOUT, "OUT"},
                {EPOLLRDHUP, "RDHUP"}, {EPOLLHUP, "HUP"}, {EPOLLERR, "ERR"}};
    struct epoll_event event = {.events = asked};
    struct words words = {""};
    int epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    (void)lab_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    int n = lab_must(epoll_wait(epoll, &event, 1, 0), "epoll_wait"); /* never sleeps: no EINTR */
    for (size_t i = 0; n == 1 && i < sizeof bits / sizeof bits[0]; i++)
        if ((event.events & bits[i].bit) != 0)
            add_word(&words, " ", bits[i].name);
    (void)close(epoll);
    return *words.text != '\0' ? words : (struct words){"none"};
}

static struct words look_for_all(int fd)
{
    return look(fd, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP);
}

static struct words look_until(int fd, const char *expected)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    while (strcmp(look_for_all(fd).text, expected) != 0 && lab_now_ns() < deadline_ns)
        lab_pause_ms(1);
    lab_pause_ms(STAY_MS);
    return look_for_all(fd);
}

static struct words read_all(int fd)
{
    struct words words = {""};
    char room[ROOM], number[ROOM];
    for (int i = 0; i < CALLS_AT_MOST; i++) {
        ssize_t n = recv(fd, room, sizeof room, MSG_DONTWAIT);
        int err = n == -1 ? errno : 0;
        (void)snprintf(number, sizeof number, "%d", (int)n);
        add_word(&words, ", ",
                 err == EAGAIN       ? "EAGAIN"
                 : err == ECONNRESET ? "ECONNRESET"
                                     : number);
        if (n == 0 || err == EAGAIN)
            break;
    }
    return words;
}

/* ---- the experiment -------------------------------------------------------------------------- */

/* True when it was as expected. */
static bool show(const char *name, const char *more, const char *word, const char *expected)
{
    char figure[LAB_NAME_COLUMNS];
    (void)snprintf(figure, sizeof figure, "%s%s", name, more);
    lab_word(figure, word);
    return strcmp(word, expected) == 0 ||
           !lab_expect(false, "this was expected to be as the table in the source says");
}

static void try_ending(const struct ending *ending, int *as_expected)
{
    int ends[2];
    lab_tcp_pair(ends);
    if (ending->unread) {
        char byte;
        (void)lab_must((int)send(ends[PEER], "abc", 3, 0), "send");
        (void)lab_must((int)recv(ends[OWN], &byte, 1, MSG_PEEK), "recv"); /* blocks: it is there */
    }
    perform(ending->act, ends);
    struct words bits = look_until(ends[OWN], ending->bits);
    struct words unasked = look(ends[OWN], 0), said = read_all(ends[OWN]);
    bool right = show(ending->name, "", bits.text, ending->bits);
    if (strcmp(unasked.text, "none") != 0 || strcmp(ending->unasked, "none") != 0)
        right &= show(ending->name, "_unasked", unasked.text, ending->unasked);
    right &= show(ending->name, "_recv", said.text, ending->recv_calls);
    *as_expected += right ? 1 : 0;
    if (ends[PEER] != -1)
        (void)close(ends[PEER]);
    (void)close(ends[OWN]);
}

int main(void)
{
    int as_expected = 0;
    lab_question("A client sends `abc`, then a FIN. The server asks for IN, OUT and RDHUP. Which "
                 "bits does it see, and what does recv() say?",
                 "IN and OUT; RDHUP comes when `abc` has been read.",
                 "IN, OUT and RDHUP; recv() gives `abc`, then 0.",
                 "RDHUP and HUP; recv() gives 0, and `abc` is lost.", 'b',
                 "Is there a firewall between the two ends, even on 127.0.0.1?");
    lab_say("The bits, all asked for; what comes unasked, if any; what each recv() says.");
    for (int i = 0; i < ENDINGS; i++)
        try_ending(&endings[i], &as_expected);
    lab_expect(as_expected == ENDINGS, "RDHUP, HUP and ERR do not mean that nothing is left");
    int fd = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    lab_say("A socket that was never connected.");
    bool right = show("unconnected", "", look_for_all(fd).text, "OUT HUP");
    right &= show("unconnected", "_unasked", look(fd, 0).text, "HUP");
    lab_expect(right, "it hangs up at once: add a socket to epoll after connect()");
    (void)close(fd);
    return lab_finding("FIN gives RDHUP, both FINs HUP, RST ERR too; read first, then close");
}
