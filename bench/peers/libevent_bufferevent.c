/*
 * libevent_bufferevent: an echo server on libevent's bufferevents, the form that its book begins
 * with: the library reads and writes, the program moves what has come from one buffer to the other.
 */
#include "peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

static struct event_base *base;

static void on_read(struct bufferevent *client, void *mark)
{
    (void)mark;
    if (bufferevent_write_buffer(client, bufferevent_get_input(client)) < 0)
        bufferevent_free(client);
}

static void on_event(struct bufferevent *client, short what, void *mark)
{
    (void)mark;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        bufferevent_free(client);
}

static void on_listener(evutil_socket_t listener, short events, void *mark)
{
    (void)events, (void)mark;
    for (int i = 0, fd; i < PEER_ACCEPTS && (fd = peer_accept(listener)) >= 0; i++) {
        struct bufferevent *client = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        peer_must(client != NULL, "bufferevent_socket_new");
        bufferevent_setcb(client, on_read, NULL, on_event, NULL);
        peer_must(bufferevent_enable(client, EV_READ | EV_WRITE) == 0, "bufferevent_enable");
    }
}

int main(int argc, char **argv)
{
    int listener = peer_start(argc, argv, "An echo server on libevent's bufferevents.", NULL);
    base = event_base_new();
    peer_must(base != NULL, "event_base_new");
    struct event *event = event_new(base, listener, EV_READ | EV_PERSIST, on_listener, NULL);
    peer_must(event != NULL && event_add(event, NULL) == 0, "event_add");
    return event_base_dispatch(base);
}
