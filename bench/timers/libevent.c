/* libevent: an event with a time-out for each, in its heap. */
#include "timers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

const char library_name[] = "libevent";
static struct event_base *base;
static struct event *timers;

bool library_open(int count)
{
    base = event_base_new();
    timers = calloc((size_t)count, sizeof *timers);
    return base != NULL && timers != NULL;
}

static void on_timer(evutil_socket_t none, short events, void *mark)
{
    (void)none, (void)events;
    timers_fired((int)((struct event *)mark - timers));
}

void library_insert(int which, int delay_ms)
{
    const struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    timers_must(evtimer_assign(&timers[which], base, on_timer, &timers[which]) == 0,
                "evtimer_assign");
    timers_must(evtimer_add(&timers[which], &delay) == 0, "evtimer_add");
}

void library_cancel(int which)
{
    timers_must(evtimer_del(&timers[which]) == 0, "evtimer_del");
}

void library_run(void)
{
    timers_must(event_base_loop(base, EVLOOP_ONCE) >= 0, "event_base_loop");
}
