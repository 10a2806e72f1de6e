/* libevent: a persistent event for each descriptor. */
#include "growth.h"

#include <event2/event.h>
#include <stddef.h>

const char mechanism_name[] = "libevent";
static struct event_base *base;

bool mechanism_open(void)
{
    base = event_base_new();
    return base != NULL;
}

static void on_ready(evutil_socket_t fd, short events, void *mark)
{
    (void)events, (void)mark;
    growth_ready(fd);
}

void mechanism_add(int fd)
{
    struct event *event = event_new(base, fd, EV_READ | EV_PERSIST, on_ready, NULL);
    growth_must(event != NULL && event_add(event, NULL) == 0, "event_add");
}

void mechanism_wait(void)
{
    growth_must(event_base_loop(base, EVLOOP_ONCE) == 0, "event_base_loop");
}
