/*
 * http: serves the files of a folder by HTTP/1.1. curl, wrk and a browser are content with it.
 *
 *     http -p 8000 -d ./site
 *
 * What a request is stands in http_request.c, what a file is in host.h. Here is the life of a
 * connection:
 *
 *                 something to read            a whole head
 *      WAITING ---------------------> READING -------------> ANSWERING ---+
 *        ^   no buffer                   ^                      |  |  ^   | the next piece
 *        |                               | one more request     |  |  +---+ of the file
 *        |                               | is here already      |  |
 *        |                               +----------------------+  | the last answer
 *        +--------------- all is sent --------------------------+  v
 *                                                               DRAINING ---> CLOSING
 *
 * WAITING    between two requests: evq_readable() lends no buffer, an idle connection holds none.
 * READING    the head of a request becomes whole, in a buffer of its own.
 * ANSWERING  a piece of the answer is lent to a send. While it is pending nothing else is read, not
 *            from the socket and not from the file: who reads slowly is served slowly
 *            (*back-pressure*).
 * DRAINING   after the last answer: our writing side is shut, what still comes is thrown away. A
 *            close with bytes unread would send a reset, and that may destroy the answer
 *            (RFC 9112, 9.6).
 * CLOSING    the close is under way.
 *
 * Each state but the last two may take -t seconds: a timer closes who is slower. So neither a head
 * that comes byte by byte for hours nor an answer that nobody reads holds a connection for ever.
 *
 * A file is read where the loop stands, see host.h. Names that begin with a dot are not served, and
 * there is no list of a folder: its index.html or nothing.
 */
#include "app.h"
#include "deadline.h"
#include "host.h"
#include "http_request.h"
#include "listener.h"
#include "pool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BATCH = 256,
    OUT_SIZE = 32768, /* a piece of an answer; its head fits in, with a name of HTTP_HEAD_MOST */
    BUFFERS_KEPT = 64,
    DRAIN_MS = 2000,       /* how long one that is done may take to leave ... */
    DRAIN_MOST = 1048576,  /* ... and how much it may still send              */
    BODY_SIZE = 128,       /* of an answer that is no file                    */
    ETAG_SIZE = 2 * 16 + 4 /* two numbers in hexadecimal, "-", quotes, NUL    */
};

enum state { WAITING, READING, ANSWERING, DRAINING, CLOSING };

struct conn {
    enum state state;
    evq_sock sock;
    evq_op io, close;
    struct deadline deadline;
    bool is_closed; /* the close is home */

    char *in, *out;  /* from the pools, while a request is being served; else NULL */
    size_t in_len;   /* bytes in `in`, not served yet                              */
    size_t head_len; /* of these, the request that is being served                */
    size_t out_len;

    bool is_last; /* nothing is read behind this answer      */
    bool has_file;
    struct host_file file;
    uint64_t at, end; /* of the file: bytes that are still to be sent */
    size_t drained;
    struct conn *next, *prev;
};

struct loop {
    const struct app *app;
    evq *queue;
    struct host_folder folder;
    uint64_t patience_ms;
    struct listener listener;
    struct pool in_pool, out_pool;
    struct conn *first;
    uint64_t date_at_ns; /* until then `date` is right */
    char date[64];
    uint64_t clients, bytes, refused;
};

/* ---- the end of a connection ---- */

static void conn_drop_file(struct conn *conn)
{
    if (conn->has_file)
        host_file_close(&conn->file);
    conn->has_file = false;
}

/* The buffers may be lent to a pending op: they are given back when the connection is home. */
static void conn_close(struct loop *loop, struct conn *conn)
{
    if (conn->state == CLOSING)
        return;
    conn->state = CLOSING;
    conn_drop_file(conn);
    deadline_clear(&conn->deadline, loop->queue);
    evq_close(&conn->sock, &conn->close);
}

/* Only when no op is pending that has borrowed them. */
static void conn_give_buffers(struct loop *loop, struct conn *conn)
{
    pool_give(&loop->in_pool, conn->in);
    pool_give(&loop->out_pool, conn->out);
    conn->in = conn->out = NULL;
}

/* The client is too slow, or the file has become shorter than announced. A close would leave what
 * the system holds for a client that does not read to the system, for minutes: so it is a reset. */
static void conn_break(struct loop *loop, struct conn *conn)
{
    if (conn->state == ANSWERING)
        app_reset_on_close(conn->sock.fd);
    conn_close(loop, conn);
}

static void conn_patience(struct loop *loop, struct conn *conn)
{
    deadline_set_ms(&conn->deadline, loop->queue, loop->patience_ms);
}

/* ---- building an answer ---- */

/* "Sun, 06 Nov 1994 08:49:37 GMT"; made once per second. In English, whatever the locale. */
static const char *date_now(struct loop *loop)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (evq_now(loop->queue) < loop->date_at_ns)
        return loop->date;
    time_t seconds = time(NULL);
    const struct tm *t = gmtime(&seconds); /* one thread calls it */
    loop->date_at_ns = evq_now(loop->queue) + 1000000000;
    if (t == NULL)
        return loop->date;
    (void)snprintf(loop->date, sizeof loop->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   days + 3 * t->tm_wday, t->tm_mday, months + 3 * t->tm_mon, t->tm_year + 1900,
                   t->tm_hour, t->tm_min, t->tm_sec);
    return loop->date;
}

/* Appends; what is appended is bounded by HTTP_HEAD_MOST, and OUT_SIZE by far larger. */
static void out_print(struct conn *conn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(conn->out + conn->out_len, OUT_SIZE - conn->out_len, format, args);
    va_end(args);
    if (len > 0)
        conn->out_len += (size_t)len;
}

static void out_head(struct loop *loop, struct conn *conn, int status, uint64_t length)
{
    conn->out_len = 0;
    out_print(conn, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: evq-http\r\nConnection: %s\r\n", status,
              http_reason(status), date_now(loop), conn->is_last ? "close" : "keep-alive");
    if (status != 304)
        out_print(conn, "Content-Length: %" PRIu64 "\r\n", length);
}

/* An answer that is no file: a line of text. `field` is one more line of the head, or "". */
static void answer_text(struct loop *loop, struct conn *conn, const struct http_request *request,
                        int status, const char *field)
{
    char body[BODY_SIZE];
    int len = snprintf(body, sizeof body, "%d %s\n", status, http_reason(status));
    out_head(loop, conn, status, (uint64_t)len);
    out_print(conn, "Content-Type: text/plain; charset=utf-8\r\n%s\r\n%s", field,
              request->is_head ? "" : body);
}

/* ---- answering a request ---- */

/* The browser resolves "picture.png" in a page against the page's path: it needs the '/'. */
static void answer_moved(struct loop *loop, struct conn *conn, const struct http_request *request)
{
    char field[HTTP_HEAD_MOST + sizeof "Location: /\r\n"];
    (void)snprintf(field, sizeof field, "Location: %.*s/\r\n", (int)request->raw_len, request->raw);
    answer_text(loop, conn, request, 301, field);
}

static void make_etag(char etag[ETAG_SIZE], const struct host_file *file)
{
    (void)snprintf(etag, ETAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "\"", file->size,
                   (uint64_t)file->modified_s);
}

/* What of the file is wanted. A Range counts for GET only, and only if the file is still the one
 * that the client knows (If-Range; a date in it never is). */
static enum http_span wanted_span(struct conn *conn, const struct http_request *request,
                                  const char *etag)
{
    uint64_t last = 0;
    enum http_span span = HTTP_WHOLE;
    bool is_same = request->if_range[0] == '\0' || strcmp(request->if_range, etag) == 0;
    conn->at = 0;
    conn->end = conn->file.size;
    if (!request->is_head && is_same)
        span = http_range(request->range, conn->file.size, &conn->at, &last);
    if (span == HTTP_PART)
        conn->end = last + 1;
    else
        conn->at = 0;
    return span;
}

//! [file]
static void answer_file(struct loop *loop, struct conn *conn, const struct http_request *request,
                        const char *name)
{
    char etag[ETAG_SIZE], field[64];
    make_etag(etag, &conn->file);
    conn->has_file = true;
    enum http_span span = wanted_span(conn, request, etag);
    bool is_known =
        strstr(request->if_none_match, etag) || strcmp(request->if_none_match, "*") == 0;
    if (is_known) {
        out_head(loop, conn, 304, 0);
        out_print(conn, "ETag: %s\r\n\r\n", etag);
        conn_drop_file(conn);
        return;
    }
    if (span == HTTP_OUTSIDE) {
        (void)snprintf(field, sizeof field, "Content-Range: bytes */%" PRIu64 "\r\n",
                       conn->file.size);
        answer_text(loop, conn, request, 416, field);
        conn_drop_file(conn);
        return;
    }
    out_head(loop, conn, span == HTTP_PART ? 206 : 200, conn->end - conn->at);
    out_print(conn, "Content-Type: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n", http_type(name),
              etag);
    if (span == HTTP_PART)
        out_print(conn, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", conn->at,
                  conn->end - 1, conn->file.size);
    out_print(conn, "X-Content-Type-Options: nosniff\r\n\r\n");
    if (request->is_head)
        conn_drop_file(conn);
}
//! [file]

static void answer_path(struct loop *loop, struct conn *conn, const struct http_request *request)
{
    static const char index[] = "index.html";
    char name[HTTP_PATH_MOST + sizeof index];
    size_t len = strlen(request->path);
    bool is_folder = len == 0 || request->path[len - 1] == '/';
    (void)snprintf(name, sizeof name, "%s%s", request->path, is_folder ? index : "");
    switch (host_file_open(&conn->file, &loop->folder, name)) {
    case HOST_FILE:
        answer_file(loop, conn, request, name);
        break;
    case HOST_FOLDER:
        if (is_folder) /* a folder called index.html */
            answer_text(loop, conn, request, 404, "");
        else
            answer_moved(loop, conn, request);
        break;
    case HOST_NOTHING:
        answer_text(loop, conn, request, 404, "");
        break;
    case HOST_OUT_OF_FILES:
        answer_text(loop, conn, request, 503, "Retry-After: 1\r\n");
        break;
    }
}

static void answer(struct loop *loop, struct conn *conn, const struct http_request *request)
{
    conn->is_last = !request->keep_alive;
    if (request->status == 0)
        answer_path(loop, conn, request);
    else
        answer_text(loop, conn, request, request->status,
                    request->status == 405 ? "Allow: GET, HEAD\r\n" : "");
}

/* ---- what a connection does next ---- */

/* Fills the free room of `out` with the file. False: it has become shorter, or cannot be read. */
static bool fill_from_file(struct conn *conn)
{
    if (!conn->has_file || conn->at == conn->end)
        return true;
    uint64_t left = conn->end - conn->at;
    size_t room = OUT_SIZE - conn->out_len;
    int64_t got = host_file_read(&conn->file, conn->at, conn->out + conn->out_len,
                                 left < room ? (size_t)left : room);
    if (got <= 0)
        return false;
    conn->out_len += (size_t)got;
    conn->at += (uint64_t)got;
    return true;
}

/* What was announced cannot be delivered: then the connection breaks, and the client knows. */
static void conn_send(struct loop *loop, struct conn *conn)
{
    conn->state = ANSWERING;
    if (!fill_from_file(conn)) {
        conn_break(loop, conn);
        return;
    }
    conn_patience(loop, conn);
    evq_send(&conn->sock, &conn->io, conn->out, conn->out_len);
}

static void conn_wait(struct loop *loop, struct conn *conn)
{
    conn_give_buffers(loop, conn);
    conn->state = WAITING;
    conn_patience(loop, conn);
    evq_readable(&conn->sock, &conn->io);
}

static void conn_read(struct conn *conn)
{
    conn->state = READING;
    evq_recv(&conn->sock, &conn->io, conn->in + conn->in_len, HTTP_HEAD_MOST - conn->in_len);
}

static void in_consume(struct conn *conn, size_t len)
{
    conn->in_len -= len;
    memmove(conn->in, conn->in + len, conn->in_len);
}

/* An answer to something that is no request, and the end. */
static void conn_refuse(struct loop *loop, struct conn *conn, int status)
{
    const struct http_request none = {.status = status};
    conn->head_len = conn->in_len;
    answer(loop, conn, &none);
    conn_send(loop, conn);
}

//! [serve]
/* Serves the first request in `in`, if it is whole. seen: bytes that were looked at before. */
static void conn_serve(struct loop *loop, struct conn *conn, size_t seen)
{
    if (seen == 0 && conn->in_len >= 2 && memcmp(conn->in, "\r\n", 2) == 0)
        in_consume(conn, 2); /* one empty line before a request is forgiven (RFC 9112, 2.2) */
    int len = http_head_end(conn->in, conn->in_len, seen);
    if (len < 0) {
        conn_refuse(loop, conn, 400);
    } else if (len > 0) {
        struct http_request request;
        http_request_parse(&request, conn->in, (size_t)len);
        conn->head_len = (size_t)len;
        answer(loop, conn, &request);
        conn_send(loop, conn);
    } else if (conn->in_len == HTTP_HEAD_MOST) {
        conn_refuse(loop, conn, memchr(conn->in, '\n', conn->in_len) == NULL ? 414 : 431);
    } else {
        conn_read(conn);
    }
}
//! [serve]

/* ---- what has come back ---- */

static void on_readable(struct loop *loop, struct conn *conn)
{
    conn->in = pool_take(&loop->in_pool);
    conn->out = pool_take(&loop->out_pool);
    conn->in_len = 0;
    if (conn->in == NULL || conn->out == NULL) {
        conn_close(loop, conn); /* out of memory costs this client, and nobody else */
        return;
    }
    conn_patience(loop, conn); /* for the whole head: no byte makes it longer */
    conn_read(conn);
}

static void on_received(struct loop *loop, struct conn *conn)
{
    size_t seen = conn->in_len;
    if (conn->io.nbytes == 0) { /* between two requests, or in the middle of one */
        conn_close(loop, conn);
        return;
    }
    conn->in_len += conn->io.nbytes;
    conn_serve(loop, conn, seen >= 2 ? seen : 0);
}

//! [sent]
static void on_sent(struct loop *loop, struct conn *conn)
{
    conn->out_len = 0;
    if (conn->has_file && conn->at < conn->end) {
        conn_send(loop, conn);
        return;
    }
    conn_drop_file(conn);
    if (conn->is_last) {
        (void)evq_shutdown(&conn->sock); /* fails where the peer is gone: the recv will tell */
        conn->state = DRAINING;
        deadline_set_ms(&conn->deadline, loop->queue, DRAIN_MS);
        evq_recv(&conn->sock, &conn->io, conn->out, OUT_SIZE);
        return;
    }
    in_consume(conn, conn->head_len);
    if (conn->in_len == 0) {
        conn_wait(loop, conn);
    } else { /* *pipelining*: it has asked for more before it had the answer */
        conn_patience(loop, conn);
        conn_serve(loop, conn, 0);
    }
}
//! [sent]

static void on_drained(struct loop *loop, struct conn *conn)
{
    conn->drained += conn->io.nbytes;
    if (conn->io.nbytes == 0 || conn->drained > DRAIN_MOST)
        conn_close(loop, conn);
    else
        evq_recv(&conn->sock, &conn->io, conn->out, OUT_SIZE);
}

static void on_io(struct loop *loop, struct conn *conn)
{
    if (conn->io.kind == EVQ_SEND)
        loop->bytes += conn->io.nbytes;
    if (conn->io.err != EVQ_OK) {
        conn_close(loop, conn); /* EVQ_ECONNRESET, EVQ_ETIMEDOUT ...: this client only */
        return;
    }
    switch (conn->state) {
    case WAITING:
        on_readable(loop, conn);
        break;
    case READING:
        on_received(loop, conn);
        break;
    case ANSWERING:
        on_sent(loop, conn);
        break;
    case DRAINING:
        on_drained(loop, conn);
        break;
    case CLOSING:
        break; /* the close follows */
    }
}

/* ---- the life of a connection ---- */

static void conn_add(struct loop *loop, evq_fd fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || evq_attach(loop->queue, &conn->sock, fd) != EVQ_OK) {
        app_log(loop->app, "one more client refused: no memory for it");
        free(conn);
        evq_tcp_close(fd);
        loop->refused++;
        return;
    }
    conn->io.user = conn->close.user = conn->deadline.timer.user = conn;
    conn->next = loop->first;
    if (loop->first != NULL)
        loop->first->prev = conn;
    loop->first = conn;
    loop->clients++;
    conn_wait(loop, conn);
}

static void conn_free_if_home(struct loop *loop, struct conn *conn)
{
    if (!conn->is_closed || conn->deadline.is_pending)
        return;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        loop->first = conn->next;
    free(conn);
}

/* ---- the loop ---- */

//! [done]
static void on_conn(struct loop *loop, struct conn *conn, const evq_op *op)
{
    if (op == &conn->io) {
        on_io(loop, conn);
        return; /* more will follow: at least the close */
    }
    if (op == &conn->close) {
        conn->is_closed = true;
        conn_give_buffers(loop, conn);   /* io is home, too: it comes before the close */
        listener_go_on(&loop->listener); /* a descriptor is free again                 */
    } else if (deadline_done(&conn->deadline, loop->queue)) {
        conn_break(loop, conn);
    }
    conn_free_if_home(loop, conn);
}
//! [done]

static void loop_round(struct loop *loop)
{
    evq_op *done[BATCH];
    int n = evq_wait(loop->queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(loop->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++) {
        if (listener_owns(&loop->listener, done[i])) {
            evq_fd fd = listener_done(&loop->listener, done[i]);
            if (fd != EVQ_NO_FD)
                conn_add(loop, fd);
        } else {
            on_conn(loop, done[i]->user, done[i]);
        }
    }
}

static void loop_run(struct loop *loop)
{
    while (!host_is_stopping())
        loop_round(loop);
    host_stop_close();
    listener_close(&loop->listener);
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next)
        conn_close(loop, conn);
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
    pool_free(&loop->in_pool);
    pool_free(&loop->out_pool);
    host_folder_close(&loop->folder);
}

int main(int argc, char **argv)
{
    const char *folder = ".", *why = NULL;
    long seconds = 30;
    const struct app_option options[] = {
        {'d', "FOLDER", "serve the files in here", 0, 0, NULL, &folder},
        {'t', "SECONDS", "how long a client may be silent or slow", 1, 86400, &seconds, NULL},
        {0, NULL, NULL, 0, 0, NULL, NULL},
    };
    const struct app_about about = {.what = "Serves the files of a folder by HTTP/1.1.",
                                    .options = options};
    struct app app = app_start(argc, argv, &about);
    struct loop loop = {.app = &app, .patience_ms = (uint64_t)seconds * 1000};
    if (host_folder_open(&loop.folder, folder, &why) < 0) {
        app_log(&app, "-d '%s': %s", folder, why);
        return APP_STATUS_USAGE;
    }
    pool_init(&loop.in_pool, HTTP_HEAD_MOST, BUFFERS_KEPT);
    pool_init(&loop.out_pool, OUT_SIZE, BUFFERS_KEPT);
    loop.queue = app_queue(&app);
    evq_fd fd = app_listen(&app);
    int err = listener_open(&loop.listener, loop.queue, fd);
    if (err < 0)
        app_die(&app, "cannot accept: %s", evq_strerror(err));
    app_announce(&app, loop.queue, fd);
    loop_run(&loop);
    return app_totals(loop.clients, loop.bytes, loop.refused);
}
