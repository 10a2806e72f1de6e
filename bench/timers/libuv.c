/* libuv: a uv_timer_t for each, in its heap. */
#include "timers.h"

#include <stdlib.h>
#include <uv.h>

const char library_name[] = "libuv";
static uv_loop_t *loop;
static uv_timer_t *timers;

bool library_open(int count)
{
    loop = uv_default_loop();
    timers = calloc((size_t)count, sizeof *timers);
    return loop != NULL && timers != NULL;
}

static void on_timer(uv_timer_t *timer)
{
    timers_fired((int)(timer - timers));
}

void library_insert(int which, int delay_ms)
{
    timers_must(uv_timer_init(loop, &timers[which]) == 0, "uv_timer_init");
    timers_must(uv_timer_start(&timers[which], on_timer, (uint64_t)delay_ms, 0) == 0,
                "uv_timer_start");
}

void library_cancel(int which)
{
    timers_must(uv_timer_stop(&timers[which]) == 0, "uv_timer_stop");
}

void library_run(void)
{
    (void)uv_run(loop, UV_RUN_ONCE); /* tells whether a timer is left */
}
