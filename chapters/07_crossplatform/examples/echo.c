/*
 * echo: the echo server of this course, on every queue there is.
 *
 * The loop asks one question: what has come back? No callbacks, no #ifdef, and for an idle client
 * no buffer: 10,000 of them cost some 300 bytes each. What a client does stands in conn.c, how a
 * server accepts in listener.c.
 */
#include "app.h"
#include "conn.h"
#include "host.h"
#include "listener.h"

enum { BATCH = 256 };

struct loop {
    const struct app *app;
    evq *queue;
    struct listener listener;
    struct conns conns;
};

//! [done]
static void loop_done(struct loop *loop, evq_op *op)
{
    if (listener_owns(&loop->listener, op)) {
        evq_fd fd = listener_done(&loop->listener, op);
        if (fd != EVQ_NO_FD && !conns_add(&loop->conns, fd))
            app_log(loop->app, "one more client refused: no memory for it");
    } else if (conns_done(&loop->conns, op)) {
        listener_go_on(&loop->listener); /* a descriptor is free again */
    }
}
//! [done]

//! [round]
static void loop_round(struct loop *loop)
{
    evq_op *done[BATCH];
    int n = evq_wait(loop->queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(loop->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++)
        loop_done(loop, done[i]);
}
//! [round]

//! [run]
static void loop_run(struct loop *loop)
{
    while (!host_is_stopping()) /* 0 ops may come back, too: for instance when a signal came */
        loop_round(loop);
    host_stop_close();
    listener_close(&loop->listener);
    conns_close(&loop->conns);
    while (evq_destroy(loop->queue) == EVQ_EBUSY) /* until the last op is home */
        loop_round(loop);
    conns_free(&loop->conns);
}
//! [run]

int main(int argc, char **argv)
{
    const struct app_about about = {.what = "An echo server on every event queue there is."};
    struct app app = app_start(argc, argv, &about);
    static struct loop loop;
    loop.app = &app;
    loop.queue = app_queue(&app);
    evq_fd fd = app_listen(&app);
    int err = listener_open(&loop.listener, loop.queue, fd);
    if (err < 0)
        app_die(&app, "cannot accept: %s", evq_strerror(err));
    conns_init(&loop.conns, loop.queue);
    app_announce(&app, loop.queue, fd);
    loop_run(&loop);
    return app_totals(loop.conns.clients, loop.conns.bytes, loop.conns.refused);
}
