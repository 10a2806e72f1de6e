/*
 * raw_epoll_edge: an echo server on epoll, edge-triggered, registered once for reading and writing.
 *
 * The usual form reads until EAGAIN, as epoll(7) tells: one recv in vain for each event. The
 * fastest form (-f 1) takes a recv that did not fill the buffer for the end of what there is, which
 * holds for TCP without urgent data: epoll(7), Q9. There is no budget: one client in a hurry could
 * keep this loop for itself. Chapter 04, step 2, does better.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

static int epoll, listener;
static long fast;

static void watch(int fd, unsigned events, void *mark)
{
    struct epoll_event event = {.events = events, .data.ptr = mark};
    peer_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void accept_some(void)
{
    for (int i = 0, fd; i < PEER_ACCEPTS && (fd = peer_accept(listener)) >= 0; i++) {
        struct echo *echo = peer_memory(sizeof *echo);
        echo->fd = fd;
        watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, echo);
    }
}

/* An end that was reported with the data is looked for, too: there is no second edge for it. */
static void serve(struct echo *echo, unsigned events)
{
    const bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    enum echo_state state;
    do {
        state = echo_turn(echo);
    } while (state == ECHO_GOES_ON && (!fast || ends || echo->whole));
    if (state == ECHO_OVER) {
        echo_end(echo);
        free(echo);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[PEER_BATCH];
    listener = peer_start(argc, argv, "An echo server on epoll, edge-triggered.", &fast);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    peer_must(epoll >= 0, "epoll_create1");
    watch(listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(epoll, events, PEER_BATCH, -1);
        peer_must(n >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_some();
        }
    }
}
