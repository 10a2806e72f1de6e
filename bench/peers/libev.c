/*
 * libev: an echo server on libev: it says who is ready, and the program reads and writes. There is
 * one form only, since its usual form is its fastest one. What a socket waits for changes only when
 * the kernel did not take all.
 */
#include "peer.h"

#include <ev.h>
#include <stdlib.h>

struct client {
    ev_io io; /* first: libev hands over a pointer to it */
    struct echo echo;
    int events;
};

static void serve(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events; /* the turn finds out by itself */
    struct client *client = (struct client *)io;
    enum echo_state state = echo_turn(&client->echo);
    if (state == ECHO_OVER) {
        ev_io_stop(loop, io);
        echo_end(&client->echo);
        free(client);
        return;
    }
    int wanted = state == ECHO_WRITES ? EV_WRITE : EV_READ;
    if (wanted == client->events)
        return;
    client->events = wanted;
    ev_io_stop(loop, io);
    ev_io_set(io, client->echo.fd, wanted);
    ev_io_start(loop, io);
}

static void on_listener(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    for (int i = 0, fd; i < PEER_ACCEPTS && (fd = peer_accept(io->fd)) >= 0; i++) {
        struct client *client = peer_memory(sizeof *client);
        client->echo.fd = fd;
        client->events = EV_READ;
        ev_io_init(&client->io, serve, fd, EV_READ);
        ev_io_start(loop, &client->io);
    }
}

int main(int argc, char **argv)
{
    static ev_io io;
    int listener = peer_start(argc, argv, "An echo server on libev.", NULL);
    struct ev_loop *loop = ev_default_loop(0);
    peer_must(loop != NULL, "ev_default_loop");
    ev_io_init(&io, on_listener, listener, EV_READ);
    ev_io_start(loop, &io);
    return ev_run(loop, 0) ? 0 : 1;
}
