/*
 * Lab: edge-triggered, and the program stops before EAGAIN. What is lost?
 *
 * The rule is: read until EAGAIN, then wait. A program that stops earlier loses no byte: they stay
 * in the socket. What it loses is the reminder. Nothing wakes it for them until something new
 * happens, and if the peer now waits for an answer, nothing new ever happens.
 *
 * One call can be saved: a read that returns less than was asked for has emptied the socket
 * (man 7 epoll, Q9: for streams). But that is true only of plain bytes. Something else may stand
 * behind them, and one recv() never reaches across it:
 *
 *     abc            3 bytes, then EAGAIN             event: IN
 *     abc FIN        3 bytes, then the end, 0         event: IN RDHUP
 *     abc (X) def    3 bytes, then 3 more             event: IN PRI; X is urgent data
 *     abc RST        3 bytes, then ECONNRESET         event: IN RDHUP ERR HUP
 *
 * So a short read may be taken for EAGAIN only when the event said neither RDHUP nor PRI nor ERR
 * nor HUP; and RDHUP and PRI are said only to those who asked for them.
 *
 * All four arrive completely before epoll_wait() is called. The sender knows by TIOCOUTQ: zero
 * means that the other side has acknowledged everything, the FIN too (man 7 tcp, SIOCOUTQ).
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "lab.h"

enum { ROOM = 100, QUIET_MS = 50, PATIENCE_MS = 2000, ALL = EPOLLRDHUP | EPOLLPRI };

/* ---- a connection with an epoll -------------------------------------------------------------- */

struct scene {
    int peer, fd, epoll;
};

static struct scene scene_open(uint32_t asked)
{
    int ends[2];
    struct epoll_event event = {.events = EPOLLIN | asked | EPOLLET};
    lab_tcp_pair(ends);
    struct scene scene = {.peer = ends[0], .fd = ends[1]};
    scene.epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    (void)lab_must(epoll_ctl(scene.epoll, EPOLL_CTL_ADD, scene.fd, &event), "epoll_ctl");
    return scene;
}

static void scene_close(struct scene *scene)
{
    if (scene->peer != -1)
        (void)close(scene->peer);
    (void)close(scene->fd);
    (void)close(scene->epoll);
}

/* What is reported within `ms`; 0: nothing is. */
static uint32_t reported(const struct scene *scene, int ms)
{
    struct epoll_event event = {0};
    int n;
    while ((n = epoll_wait(scene->epoll, &event, 1, ms)) == -1 && errno == EINTR)
        continue;
    return lab_must(n, "epoll_wait") == 1 ? event.events : 0;
}

static void wait_until_arrived(const struct scene *scene)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    int on_the_way = 1;
    while (on_the_way != 0 && lab_now_ns() < deadline_ns) {
        lab_pause_ms(1);
        (void)lab_must(ioctl(scene->peer, TIOCOUTQ, &on_the_way), "TIOCOUTQ");
    }
}

static void say_to(const struct scene *scene, const char *text, int flags)
{
    (void)lab_must((int)send(scene->peer, text, strlen(text), flags), "send"); /* a few bytes */
}

/* ---- what the peer does behind `abc` --------------------------------------------------------- */

static void nothing_more(struct scene *scene)
{
    (void)scene;
}

static void end_of_stream(struct scene *scene)
{
    (void)lab_must(shutdown(scene->peer, SHUT_WR), "shutdown");
}

static void urgent_data(struct scene *scene)
{
    say_to(scene, "X", MSG_OOB);
    say_to(scene, "def", 0);
}

/* Its RST shows as HUP: poll() is asked for nothing else, and does not use up the edge. */
static void reset(struct scene *scene)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct pollfd gone = {.fd = scene->fd, .events = 0};
    wait_until_arrived(scene); /* a reset would overtake bytes that still wait to be sent */
    (void)lab_must(setsockopt(scene->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
                   "SO_LINGER");
    (void)close(scene->peer);
    scene->peer = -1;
    (void)poll(&gone, 1, lab_patience_ms(PATIENCE_MS));
}

static const struct follow_up {
    const char *name;
    void (*act)(struct scene *scene);
    uint32_t asked;   /* for which bits, beside IN            */
    uint32_t events;  /* what the event says beside IN        */
    ssize_t then;     /* what the next recv() returns ...     */
    int err;          /* ... and its errno                    */
    const char *hint; /* the same for people                  */
} follow_ups[] = {
    {"plain", nothing_more, ALL, 0, -1, EAGAIN, "EAGAIN: drained"},
    {"fin", end_of_stream, ALL, EPOLLRDHUP, 0, 0, "0: the end of the stream"},
    {"urgent", urgent_data, ALL, EPOLLPRI, 3, 0, "3 bytes: def"},
    {"urgent_unasked", urgent_data, EPOLLRDHUP, 0, 3, 0, "3 bytes: def"},
    {"rst", reset, ALL, EPOLLRDHUP | EPOLLERR | EPOLLHUP, -1, ECONNRESET, "ECONNRESET"},
};
enum { FOLLOW_UPS = sizeof follow_ups / sizeof follow_ups[0] };

/* ---- the experiment -------------------------------------------------------------------------- */

static void a_read_that_fills_the_room(void)
{
    char room[2];
    lab_say("1. `abc` arrives; the program reads 2 bytes and waits, edge-triggered.");
    struct scene scene = scene_open(ALL);
    say_to(&scene, "abc", 0);
    wait_until_arrived(&scene);
    (void)reported(&scene, lab_patience_ms(PATIENCE_MS));
    (void)recv(scene.fd, room, sizeof room, MSG_DONTWAIT);
    bool reminded = reported(&scene, QUIET_MS) != 0;
    say_to(&scene, "d", 0);
    bool woken = reported(&scene, lab_patience_ms(PATIENCE_MS)) != 0;
    ssize_t rest = recv(scene.fd, room, sizeof room, MSG_DONTWAIT);

    lab_word("reminded_of_the_rest", reminded ? "yes" : "no");
    lab_word("woken_by_a_new_byte", woken ? "yes" : "no");
    lab_figure("bytes_found_then", (double)rest, "bytes");
    lab_expect(!reminded, "nobody reminds it of the third byte");
    lab_expect(woken && rest == 2 && memcmp(room, "cd", 2) == 0,
               "a new byte wakes it, and the old one is still there: nothing is lost");
    scene_close(&scene);
}

static void a_short_read(const struct follow_up *follow_up)
{
    char room[ROOM], name[LAB_NAME_COLUMNS];
    struct scene scene = scene_open(follow_up->asked);
    say_to(&scene, "abc", 0);
    follow_up->act(&scene);
    if (scene.peer != -1)
        wait_until_arrived(&scene);
    uint32_t events = reported(&scene, lab_patience_ms(PATIENCE_MS));
    ssize_t first = recv(scene.fd, room, sizeof room, MSG_DONTWAIT);
    bool reminded = reported(&scene, QUIET_MS) != 0;
    ssize_t then = recv(scene.fd, room, sizeof room, MSG_DONTWAIT);
    int err = then == -1 ? errno : 0;

    bool right = events == (EPOLLIN | follow_up->events) && first == 3 && !reminded &&
                 then == follow_up->then && err == follow_up->err;

    (void)snprintf(name, sizeof name, "%s_warned", follow_up->name);
    lab_word(name, (events & ~(uint32_t)EPOLLIN) != 0 ? "yes" : "no");
    (void)snprintf(name, sizeof name, "%s_next_recv", follow_up->name);
    lab_word(name, right ? follow_up->hint : "not as expected");
    lab_expect(right, then == -1 && err == EAGAIN ? "3 bytes, and a short read has drained it"
                      : follow_up->events == 0    ? "3 bytes, no warning, and yet there is more"
                                                  : "3 bytes, warned, never reminded of the rest");
    scene_close(&scene);
}

int main(void)
{
    lab_question(
        "Edge-triggered, recv() has room for 100 bytes and returns 3. May the program "
        "stop here and wait for the next event?",
        "Always: a short read proves that nothing is left.", "Never: only EAGAIN proves it.",
        "Only if it has asked for RDHUP and PRI too, and the event said IN alone.", 'c',
        "Is the program's own connection filtered, or are urgent bytes (MSG_OOB) removed?");
    a_read_that_fills_the_room();
    lab_say("2. `abc` and something behind it; recv() has room for %d bytes. Warned: the event "
            "said more than IN.",
            ROOM);
    for (int i = 0; i < FOLLOW_UPS; i++)
        a_short_read(&follow_ups[i]);
    return lab_finding("no byte is lost, only the reminder; a short read is EAGAIN for IN alone");
}
