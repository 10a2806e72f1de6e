/*
 * app: a program outside of the repository that uses evq: a timer, and one echo over loopback.
 *
 * test_evq_install copies it elsewhere and builds it against what was installed. It is C11 and
 * C++17 alike, and knows no platform. Its one line on stdout tells the version and the backend.
 */
#include <evq.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 8, SOCKETS = 3, SOON_NS = 2000000 };

static const char text[] = "there and back";

static evq *queue;
static evq_sock listener, server, client;
static evq_op accepting, connecting, timing, server_op, client_op, closing;
static char server_buf[sizeof text], client_buf[sizeof text];
static struct sockaddr_in server_addr;
static size_t received;
static int fired, echoed, closed;

/* ---- what comes back ------------------------------------------------------------------------ */

static int accept_done(evq_op *op)
{
    int err = evq_attach(queue, &server, op->accepted);
    if (err == EVQ_OK)
        evq_recv(&server, &server_op, server_buf, sizeof server_buf);
    return err;
}

/* The server sends back what it got, and closes at the end of the stream. */
static void server_done(void)
{
    if (server_op.kind == EVQ_RECV && server_op.nbytes > 0)
        evq_send(&server, &server_op, server_buf, server_op.nbytes);
    else if (server_op.kind == EVQ_SEND)
        evq_recv(&server, &server_op, server_buf, sizeof server_buf);
    else
        evq_close(&server, &server_op);
}

/* The client has sent; or a part of the echo is there, or all of it. */
static void client_done(void)
{
    if (client_op.kind == EVQ_RECV)
        received += client_op.nbytes;
    if (received < sizeof text) {
        evq_recv(&client, &client_op, client_buf + received, sizeof text - received);
        return;
    }
    echoed = memcmp(client_buf, text, sizeof text) == 0;
    evq_close(&client, &client_op);
    evq_close(&listener, &closing);
}

static int op_done(evq_op *op)
{
    if (op->err != EVQ_OK)
        return op->err;
    if (op->kind == EVQ_CLOSE)
        closed++;
    else if (op->kind == EVQ_TIMER)
        fired = 1;
    else if (op->kind == EVQ_ACCEPT)
        return accept_done(op);
    else if (op->kind == EVQ_CONNECT)
        evq_send(&client, &client_op, text, sizeof text);
    else if (op == &client_op)
        client_done();
    else
        server_done();
    return EVQ_OK;
}

/* ---- the program ---------------------------------------------------------------------------- */

static int start_server(void)
{
    evq_fd fd;
    uint16_t port = 0;
    int err = evq_tcp_listen(&fd, "127.0.0.1", 0, 0);
    if (err == EVQ_OK)
        err = evq_tcp_port(fd, &port);
    if (err == EVQ_OK)
        err = evq_attach(queue, &listener, fd);
    server_addr.sin_family = AF_INET;
    server_addr.sin_port = htons(port);
    server_addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (err == EVQ_OK)
        evq_accept(&listener, &accepting);
    return err;
}

static int start_client(void)
{
    evq_fd fd;
    int err = evq_tcp_socket(&fd, AF_INET);
    if (err == EVQ_OK)
        err = evq_attach(queue, &client, fd);
    if (err == EVQ_OK)
        evq_connect(&client, &connecting, (const struct sockaddr *)&server_addr,
                    (socklen_t)sizeof server_addr);
    return err;
}

static int run(void)
{
    int err = EVQ_OK;
    evq_timer(queue, &timing, evq_now(queue) + SOON_NS);
    while (err == EVQ_OK && (closed < SOCKETS || !fired)) {
        evq_op *done[BATCH];
        int n = evq_wait(queue, done, BATCH, EVQ_FOREVER);
        for (int i = 0; i < n && err == EVQ_OK; i++)
            err = op_done(done[i]);
        if (n < 0)
            err = n;
    }
    return err;
}

int main(void)
{
    int err = evq_open(&queue, NULL);
    if (err == EVQ_OK)
        err = start_server();
    if (err == EVQ_OK)
        err = start_client();
    if (err == EVQ_OK)
        err = run();
    if (err == EVQ_OK && echoed)
        (void)printf("evq %s over %s: the timer and the echo came\n", evq_version(),
                     evq_backend_name(queue));
    if (err == EVQ_OK)
        err = evq_destroy(queue);
    if (err != EVQ_OK || !echoed)
        (void)fprintf(stderr, "app: %s\n", evq_strerror(err));
    return err != EVQ_OK || !echoed;
}
