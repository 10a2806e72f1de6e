/*
 * Lab: an edge-triggered listener, and one accept() for each event.
 *
 * A listening socket is readable while finished connections wait in its queue. Edge-triggered epoll
 * says once that some have come, not how many: what comes between two calls of epoll_wait() is one
 * event (man 7 epoll). A server that accepts one client for it leaves the others behind. They are
 * connected, as they see it; they send a request and wait.
 *
 * The next client wakes the server again, and it accepts one: the oldest, not the new one. So the
 * queue never becomes shorter, until one day it is full.
 *
 * How many wait is told by the kernel: for a listening socket tcpi_unacked of TCP_INFO is the
 * length of that queue. The lab waits until all clients are in it before it looks at the event.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include "lab.h"

enum { CLIENTS = 3, MOST = 8, QUIET_MS = 50, PATIENCE_MS = 2000 };

/* ---- a listener, its clients, an epoll ------------------------------------------------------- */

struct scene {
    struct sockaddr_in addr;
    int listener, epoll;
    int clients[MOST], count;
};

static struct scene scene_open(uint32_t mode)
{
    struct scene scene = {0};
    struct epoll_event event = {.events = EPOLLIN | mode};
    scene.listener = lab_listen(MOST, &scene.addr);
    /* accept() must not block when the queue is empty */
    (void)lab_must(fcntl(scene.listener, F_SETFL, O_NONBLOCK), "fcntl");
    scene.epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    (void)lab_must(epoll_ctl(scene.epoll, EPOLL_CTL_ADD, scene.listener, &event), "epoll_ctl");
    return scene;
}

static void scene_close(struct scene *scene)
{
    for (int i = 0; i < scene->count; i++)
        (void)close(scene->clients[i]);
    (void)close(scene->listener);
    (void)close(scene->epoll);
}

static int waiting(const struct scene *scene)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    (void)lab_must(getsockopt(scene->listener, IPPROTO_TCP, TCP_INFO, &info, &len), "TCP_INFO");
    return (int)info.tcpi_unacked;
}

/* Connects one more client, and waits until it is in the queue. */
static void connect_one(struct scene *scene)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(PATIENCE_MS) * 1000000;
    int before = waiting(scene), fd = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    (void)lab_must(connect(fd, (struct sockaddr *)&scene->addr, sizeof scene->addr), "connect");
    scene->clients[scene->count++] = fd;
    while (waiting(scene) == before && lab_now_ns() < deadline_ns)
        lab_pause_ms(1);
}

/* ---- the server's side ----------------------------------------------------------------------- */

static bool is_reported(const struct scene *scene)
{
    struct epoll_event event;
    int n;
    while ((n = epoll_wait(scene->epoll, &event, 1, QUIET_MS)) == -1 && errno == EINTR)
        continue;
    return lab_must(n, "epoll_wait") == 1;
}

/* True when there was one. EAGAIN: the queue is empty. The lab's own clients do not go away. */
static bool accept_one(const struct scene *scene)
{
    int fd = accept(scene->listener, NULL, NULL);
    if (fd != -1)
        (void)close(fd);
    else if (errno != EAGAIN)
        (void)lab_must(fd, "accept");
    return fd != -1;
}

/* Serves until nothing is reported any more; returns the number of events. */
static int serve(const struct scene *scene, bool drains)
{
    int events = 0;
    while (is_reported(scene)) {
        events++;
        while (accept_one(scene) && drains)
            continue;
    }
    return events;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void one_for_each_edge(void)
{
    lab_say("1. Edge-triggered, %d clients wait, one accept() for each event.", CLIENTS);
    struct scene scene = scene_open(EPOLLET);
    for (int i = 0; i < CLIENTS; i++)
        connect_one(&scene);
    int events = serve(&scene, false), stranded = waiting(&scene);
    lab_figure("one_events", events, "");
    lab_figure("one_stranded", stranded, "clients");
    lab_expect(events == 1 && stranded == CLIENTS - 1,
               "one event, one client served, the others wait");

    lab_say("One more client connects.");
    connect_one(&scene);
    events = serve(&scene, false);
    lab_figure("one_more_events", events, "");
    lab_figure("one_more_stranded", waiting(&scene), "clients");
    lab_expect(events == 1 && waiting(&scene) == stranded,
               "its event serves somebody else; as many wait as before");
    scene_close(&scene);
}

static void cure(const char *title, const char *name, uint32_t mode, bool drains, int expected)
{
    char figure[LAB_NAME_COLUMNS];
    lab_say("%s", title);
    struct scene scene = scene_open(mode);
    for (int i = 0; i < CLIENTS; i++)
        connect_one(&scene);
    int events = serve(&scene, drains);
    (void)snprintf(figure, sizeof figure, "%s_events", name);
    lab_figure(figure, events, "");
    (void)snprintf(figure, sizeof figure, "%s_stranded", name);
    lab_figure(figure, waiting(&scene), "clients");
    lab_expect(events == expected && waiting(&scene) == 0, "nobody is left behind");
    scene_close(&scene);
}

int main(void)
{
    lab_question("Three clients connect before the server looks. The listener is edge-triggered, "
                 "the server accepts one client for each event. How many are served?",
                 "Three: each connection is an event of its own.",
                 "One; the others are served as soon as one more client connects.",
                 "One; and from then on two always wait.", 'c',
                 "Does this kernel tell the length of a listener's queue (TCP_INFO)?");
    one_for_each_edge();
    cure("2. Cure: accept() until EAGAIN (a server also needs a budget).", "drained", EPOLLET, true,
         1);
    cure("3. Cure: leave the listener level-triggered; one accept() for each event.", "level", 0,
         false, CLIENTS);
    return lab_finding("one accept() per edge strands the rest: accept until EAGAIN");
}
