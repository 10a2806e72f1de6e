/*
 * libevent_event: an echo server on libevent's bare events: it says who is ready, and the program
 * reads and writes. The usual form is level-triggered; -f 1 is edge-triggered (EV_ET), with a short
 * recv taken for the end of what there is, as in raw_epoll_edge.
 */
#include "peer.h"

#include <event2/event.h>
#include <stdlib.h>

static long fast;
static struct event_base *base;

struct client {
    struct echo echo;
    struct event *event;
    short events;
};

static void serve(evutil_socket_t fd, short events, void *mark);

static void watch(struct client *client, short events)
{
    if (client->events == events)
        return;
    client->events = events;
    if (client->event != NULL)
        event_free(client->event);
    client->event = event_new(base, client->echo.fd,
                              (short)(events | EV_PERSIST | (fast ? EV_ET : 0)), serve, client);
    peer_must(client->event != NULL && event_add(client->event, NULL) == 0, "event_add");
}

static void serve(evutil_socket_t fd, short events, void *mark)
{
    (void)fd, (void)events; /* the turn finds out by itself */
    struct client *client = mark;
    enum echo_state state;
    do {
        state = echo_turn(&client->echo);
    } while (fast && state == ECHO_GOES_ON && client->echo.whole);
    if (state == ECHO_OVER) {
        event_free(client->event);
        echo_end(&client->echo);
        free(client);
        return;
    }
    watch(client, state == ECHO_WRITES ? EV_WRITE : EV_READ);
}

static void on_listener(evutil_socket_t listener, short events, void *mark)
{
    (void)events, (void)mark;
    for (int i = 0, fd; i < PEER_ACCEPTS && (fd = peer_accept(listener)) >= 0; i++) {
        struct client *client = peer_memory(sizeof *client);
        client->echo.fd = fd;
        watch(client, EV_READ);
    }
}

int main(int argc, char **argv)
{
    int listener = peer_start(argc, argv, "An echo server on libevent's bare events.", &fast);
    base = event_base_new();
    peer_must(base != NULL, "event_base_new");
    struct event *event = event_new(base, listener, EV_READ | EV_PERSIST, on_listener, NULL);
    peer_must(event != NULL && event_add(event, NULL) == 0, "event_add");
    return event_base_dispatch(base);
}
