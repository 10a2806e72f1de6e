/* libev: one watcher for each descriptor. */
#include "growth.h"

#include <ev.h>
#include <stdlib.h>

const char mechanism_name[] = "libev";
static struct ev_loop *loop;

bool mechanism_open(void)
{
    loop = ev_default_loop(0);
    return loop != NULL;
}

static void on_ready(struct ev_loop *which, ev_io *io, int events)
{
    (void)which, (void)events;
    growth_ready(io->fd);
}

void mechanism_add(int fd)
{
    ev_io *io = calloc(1, sizeof *io);
    growth_must(io != NULL, "calloc");
    ev_io_init(io, on_ready, fd, EV_READ);
    ev_io_start(loop, io);
}

void mechanism_wait(void)
{
    (void)ev_run(loop, EVRUN_ONCE); /* tells whether something is still watched: it is */
}
