/*
 * raw_poll: an echo server on poll, with the fewest calls: one recv and one send for each event.
 *
 * The list is kept from call to call. A client that leaves gives its place to the last one. The
 * search for the ready ones ends with the last of them.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { CLIENTS_MAX = 65536 };

static struct pollfd list[CLIENTS_MAX]; /* the listener, then the clients */
static struct echo echoes[CLIENTS_MAX];
static nfds_t count;

static void accept_some(void)
{
    for (int i = 0, fd; i < PEER_ACCEPTS && (fd = peer_accept(list[0].fd)) >= 0; i++) {
        peer_must(count < CLIENTS_MAX, "one client too many");
        list[count] = (struct pollfd){.fd = fd, .events = POLLIN};
        echoes[count++] = (struct echo){.fd = fd};
    }
}

/* True if the client is still there. */
static bool serve(nfds_t place)
{
    enum echo_state state = echo_turn(&echoes[place]);
    if (state != ECHO_OVER) {
        list[place].events = state == ECHO_WRITES ? POLLOUT : POLLIN;
        return true;
    }
    echo_end(&echoes[place]);
    list[place] = list[--count];
    echoes[place] = echoes[count];
    return false;
}

static void serve_ready(int ready)
{
    for (nfds_t i = 1; i < count && ready > 0;) {
        if (list[i].revents == 0) {
            i++;
            continue;
        }
        ready--;
        if (serve(i)) /* else another one stands there now */
            i++;
    }
}

int main(int argc, char **argv)
{
    list[0].fd = peer_start(argc, argv, "An echo server on poll with the fewest calls.", NULL);
    list[0].events = POLLIN;
    count = 1;
    for (;;) {
        int ready = poll(list, count, -1);
        peer_must(ready >= 0 || errno == EINTR, "poll");
        bool accept_due = ready > 0 && list[0].revents != 0;
        if (ready > 0)
            serve_ready(accept_due ? ready - 1 : ready);
        if (accept_due)
            accept_some();
    }
}
