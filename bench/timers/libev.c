/* libev: a watcher for each, in its heap of four children. */
#include "timers.h"

#include <ev.h>
#include <stdlib.h>

const char library_name[] = "libev";
static struct ev_loop *loop;
static ev_timer *timers;

bool library_open(int count)
{
    loop = ev_default_loop(0);
    timers = calloc((size_t)count, sizeof *timers);
    return loop != NULL && timers != NULL;
}

static void on_timer(struct ev_loop *which, ev_timer *timer, int events)
{
    (void)which, (void)events;
    timers_fired((int)(timer - timers));
}

void library_insert(int which, int delay_ms)
{
    ev_timer_init(&timers[which], on_timer, delay_ms / 1e3, 0);
    ev_timer_start(loop, &timers[which]);
}

void library_cancel(int which)
{
    ev_timer_stop(loop, &timers[which]);
}

void library_run(void)
{
    (void)ev_run(loop, EVRUN_ONCE); /* tells whether a timer is left */
}
