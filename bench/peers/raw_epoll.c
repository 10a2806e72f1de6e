/*
 * raw_epoll: an echo server on epoll, level-triggered, with the fewest system calls. THE reference:
 * every ratio of the bench is the CPU time of another server by that of this one.
 *
 * One recv and one send for each event. What a socket waits for changes (a call of epoll_ctl) only
 * when the kernel did not take all. Nothing is read twice to see that it is empty: if there is
 * more, the next epoll_wait says so.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct client {
    struct echo echo;
    unsigned events; /* what the interest list holds for it */
};

static int epoll, listener;

static void control(int what, int fd, unsigned events, void *mark)
{
    struct epoll_event event = {.events = events, .data.ptr = mark};
    peer_must(epoll_ctl(epoll, what, fd, &event) == 0, "epoll_ctl");
}

static void accept_some(void)
{
    for (int i = 0, fd; i < PEER_ACCEPTS && (fd = peer_accept(listener)) >= 0; i++) {
        struct client *client = peer_memory(sizeof *client);
        client->echo.fd = fd;
        client->events = EPOLLIN;
        control(EPOLL_CTL_ADD, fd, EPOLLIN, client);
    }
}

static void serve(struct client *client)
{
    enum echo_state state = echo_turn(&client->echo);
    if (state == ECHO_OVER) { /* close() takes it out of the list: there is no other copy of it */
        echo_end(&client->echo);
        free(client);
        return;
    }
    unsigned events = state == ECHO_WRITES ? EPOLLOUT : EPOLLIN;
    if (events != client->events)
        control(EPOLL_CTL_MOD, client->echo.fd, client->events = events, client);
}

int main(int argc, char **argv)
{
    struct epoll_event events[PEER_BATCH];
    listener = peer_start(argc, argv, "An echo server on epoll with the fewest calls.", NULL);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    peer_must(epoll >= 0, "epoll_create1");
    control(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(epoll, events, PEER_BATCH, -1);
        peer_must(n >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                serve(events[i].data.ptr);
            else
                accept_some();
        }
    }
}
