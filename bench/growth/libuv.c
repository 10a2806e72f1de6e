/* libuv: uv_poll, its interface for descriptors that are not its own. */
#include "growth.h"

#include <stdlib.h>
#include <uv.h>

const char mechanism_name[] = "libuv";
static uv_loop_t *loop;

bool mechanism_open(void)
{
    loop = uv_default_loop();
    return loop != NULL;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    growth_must(status == 0 && (events & UV_READABLE) != 0, "uv_poll");
    growth_ready((int)(intptr_t)poll->data);
}

void mechanism_add(int fd)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);
    growth_must(poll != NULL && uv_poll_init(loop, poll, fd) == 0, "uv_poll_init");
    poll->data = (void *)(intptr_t)fd;
    growth_must(uv_poll_start(poll, UV_READABLE, on_ready) == 0, "uv_poll_start");
}

void mechanism_wait(void)
{
    (void)uv_run(loop, UV_RUN_ONCE); /* tells whether something is still watched: it is */
}
