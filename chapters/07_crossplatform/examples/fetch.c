/*
 * fetch: many connects at once, each with a deadline: a client on a completion queue.
 *
 *     fetch -n 1000 -j 100 -t 2000 http://127.0.0.1:8000/index.html
 *
 * fetches each URL -n times, at most -j of them at the same time, and gives each one -t
 * milliseconds for everything: connecting, asking, reading the answer to its end. A fetch walks
 * through its states with one operation; beside it runs one timer.
 *
 *      IDLE -> CONNECTING -> ASKING -> HEAD -> BODY -> CLOSING -> IDLE
 *                  |           |        |       |         ^
 *                  +-----------+--------+-------+---------+   an error, or the deadline
 *
 * The deadline does nothing special: it closes the socket, at whatever state. The operation that
 * was pending comes back cancelled, then the close; when the timer is home as well the slot is free
 * for the next fetch. That is all there is to a time-out, and to cancelling something half done.
 *
 * It asks in HTTP/1.0, so the answer is never cut into chunks, and ends with the connection.
 */
#include "app.h"
#include "deadline.h"
#include "host.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, BUF_SIZE = 16384, HOST_MOST = 80, REQUEST_MOST = 2048, WHY_MOST = 80 };

enum state { IDLE, CONNECTING, ASKING, HEAD, BODY, CLOSING };

static const char *const during[] = {"",
                                     "while connecting",
                                     "while asking",
                                     "while waiting for the answer",
                                     "while reading the answer",
                                     ""};

struct url {
    const char *text, *path;
    char host[HOST_MOST]; /* "127.0.0.1:8000" */
    struct sockaddr_storage address;
    socklen_t len;
};

struct fetch {
    enum state state;
    const struct url *url;
    evq_sock sock;
    evq_op op, close;
    struct deadline deadline;
    bool is_closed; /* the close is home */
    uint64_t start_ns;
    char why[WHY_MOST]; /* the reason why it failed; "" as long as it has not */
    int status;         /* of the answer: 200                                 */
    bool has_length;
    uint64_t body_len, body_got; /* what was announced, if so / what has come */
    size_t len;                  /* bytes in buf                              */
    char buf[BUF_SIZE];          /* the request, then the head of the answer, then pieces of it */
};

struct loop {
    const struct app *app;
    evq *queue;
    struct url *urls;
    uint64_t next, count; /* fetch number i is of urls[i % app->words_count] */
    uint64_t patience_ms;
    size_t active;
    uint64_t fetched, failed, bytes;
};

/* ---- URLs ---- */

//! [url]
static bool url_parse(struct url *url, const char *text)
{
    static const char scheme[] = "http://";
    const char *host = text + sizeof scheme - 1;
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    size_t len = strcspn(host, "/?#");
    if (len == 0 || len + sizeof ":80" > HOST_MOST || strlen(text) > REQUEST_MOST / 2)
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at == 127) /* a space or a line's end would make another request of it */
            return false;
    memcpy(url->host, host, len);
    url->host[len] = '\0';
    const char *colon = strrchr(url->host, ':');
    if (colon == NULL || strchr(colon, ']') != NULL)
        strcat(url->host, ":80");
    url->text = text;
    url->path = host[len] == '/' ? host + len : "/";
    return host_address(url->host, &url->address, &url->len) == 0;
}
//! [url]

/* ---- the end of a fetch ---- */

/* Well, when why is "". */
static void fetch_end(struct loop *loop, struct fetch *fetch, const char *why)
{
    if (fetch->state == CLOSING)
        return;
    (void)snprintf(fetch->why, sizeof fetch->why, "%s", why);
    fetch->state = CLOSING;
    deadline_clear(&fetch->deadline, loop->queue);
    evq_close(&fetch->sock, &fetch->close);
}

/* Badly, and what it was doing tells more than the reason alone. */
static void fetch_fail(struct loop *loop, struct fetch *fetch, const char *what)
{
    char why[WHY_MOST];
    (void)snprintf(why, sizeof why, "%s %s", what, during[fetch->state]);
    fetch_end(loop, fetch, why);
}

static void fetch_report(struct loop *loop, struct fetch *fetch)
{
    double ms = (double)(evq_now(loop->queue) - fetch->start_ns) / 1e6;
    bool is_good = fetch->why[0] == '\0' && fetch->status < 400;
    if (fetch->why[0] != '\0')
        printf("failed  %8.1f ms  %s: %s\n", ms, fetch->url->text, fetch->why);
    else
        printf("%6d  %8.1f ms  %s: %" PRIu64 " bytes\n", fetch->status, ms, fetch->url->text,
               fetch->body_got);
    loop->fetched += is_good;
    loop->failed += !is_good;
    loop->bytes += fetch->body_got;
}

/* ---- the answer ---- */

/* The value of a field in a head that ends with "\r\n\r\n" and a NUL; NULL: it is not there. */
static const char *find_field(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        size_t i = 0;
        while (i < len && (line[i] | 0x20) == name[i]) /* names are letters and '-', which stays */
            i++;
        if (i == len && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " \t");
    }
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

//! [head]
/* Reads the head, which is whole. NULL, or what is wrong with it. */
static const char *read_head(struct fetch *fetch)
{
    const char *head = fetch->buf;
    if (strncmp(head, "HTTP/1.", 7) != 0 || !is_digit(head[7]) || head[8] != ' ' ||
        !is_digit(head[9]) || !is_digit(head[10]) || !is_digit(head[11]))
        return "the answer is not HTTP";
    fetch->status = (int)strtol(head + 9, NULL, 10);
    const char *length = find_field(head, "content-length");
    fetch->has_length = fetch->status == 204 || fetch->status == 304;
    if (length != NULL && !fetch->has_length) {
        if (!is_digit(*length) || strspn(length, "0123456789") > 18)
            return "its length is no number";
        fetch->has_length = true;
        fetch->body_len = strtoull(length, NULL, 10);
    }
    return NULL;
}
//! [head]

static void receive(struct fetch *fetch)
{
    size_t at = fetch->state == HEAD ? fetch->len : 0; /* of the body nothing is kept */
    evq_recv(&fetch->sock, &fetch->op, fetch->buf + at, BUF_SIZE - 1 - at);
}

static void took_body(struct loop *loop, struct fetch *fetch, size_t n)
{
    fetch->body_got += n;
    if (fetch->has_length && fetch->body_got > fetch->body_len)
        fetch_end(loop, fetch, "more bytes than announced");
    else if (fetch->has_length && fetch->body_got == fetch->body_len)
        fetch_end(loop, fetch, "");
    else
        receive(fetch);
}

static void took_head(struct loop *loop, struct fetch *fetch, size_t n)
{
    fetch->len += n;
    fetch->buf[fetch->len] = '\0';
    char *end = strstr(fetch->buf, "\r\n\r\n"); /* a zero in a head is wrong, and ends it here */
    if (end == NULL) {
        if (fetch->len == BUF_SIZE - 1)
            fetch_end(loop, fetch, "the answer's head is too long");
        else
            receive(fetch);
        return;
    }
    size_t behind = fetch->len - (size_t)(end + 4 - fetch->buf);
    end[2] = '\0';
    const char *wrong = read_head(fetch);
    if (wrong != NULL) {
        fetch_end(loop, fetch, wrong);
        return;
    }
    fetch->state = BODY;
    took_body(loop, fetch, behind);
}

static void took_end(struct loop *loop, struct fetch *fetch)
{
    if (fetch->state == HEAD)
        fetch_fail(loop, fetch, "the connection ended");
    else
        fetch_end(loop, fetch, fetch->has_length ? "it was cut short" : "");
}

/* ---- what has come back ---- */

static void ask(struct fetch *fetch)
{
    int len = snprintf(fetch->buf, BUF_SIZE,
                       "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: evq-fetch\r\n\r\n",
                       fetch->url->path, fetch->url->host);
    evq_send(&fetch->sock, &fetch->op, fetch->buf, (size_t)len);
}

//! [step]
static void on_op(struct loop *loop, struct fetch *fetch)
{
    const evq_op *op = &fetch->op;
    if (fetch->state == CLOSING)
        return;
    if (op->err != EVQ_OK) {
        fetch_fail(loop, fetch, evq_strerror(op->err));
    } else if (op->kind == EVQ_CONNECT) {
        fetch->state = ASKING;
        ask(fetch);
    } else if (op->kind == EVQ_SEND) {
        fetch->state = HEAD;
        receive(fetch);
    } else if (op->nbytes == 0) {
        took_end(loop, fetch);
    } else if (fetch->state == HEAD) {
        took_head(loop, fetch, op->nbytes);
    } else {
        took_body(loop, fetch, op->nbytes);
    }
}
//! [step]

/* ---- the life of a fetch ---- */

/* False: no socket could be had, so there is nothing to wait for. */
static bool fetch_start(struct loop *loop, struct fetch *fetch, const struct url *url)
{
    evq_fd fd = EVQ_NO_FD;
    memset(fetch, 0, offsetof(struct fetch, buf)); /* all ops are idle */
    fetch->url = url;
    fetch->start_ns = evq_now(loop->queue);
    int err = evq_tcp_socket(&fd, url->address.ss_family);
    if (err == EVQ_OK && (err = evq_attach(loop->queue, &fetch->sock, fd)) != EVQ_OK)
        evq_tcp_close(fd);
    if (err != EVQ_OK) {
        (void)snprintf(fetch->why, sizeof fetch->why, "no socket: %s", evq_strerror(err));
        fetch_report(loop, fetch);
        return false;
    }
    fetch->op.user = fetch->close.user = fetch->deadline.timer.user = fetch;
    fetch->state = CONNECTING;
    loop->active++;
    deadline_set_ms(&fetch->deadline, loop->queue, loop->patience_ms);
    evq_connect(&fetch->sock, &fetch->op, (const struct sockaddr *)&url->address, url->len);
    return true;
}

/* Fills a slot with the next fetch that can be started. */
static void start_next(struct loop *loop, struct fetch *slot)
{
    while (loop->next < loop->count && !host_is_stopping()) {
        uint64_t i = loop->next++;
        if (fetch_start(loop, slot, &loop->urls[i % (uint64_t)loop->app->words_count]))
            return;
    }
}

static void free_if_home(struct loop *loop, struct fetch *fetch)
{
    if (!fetch->is_closed || fetch->deadline.is_pending)
        return;
    fetch->state = IDLE;
    loop->active--;
    fetch_report(loop, fetch);
    start_next(loop, fetch);
}

/* ---- the loop ---- */

static void loop_done(struct loop *loop, evq_op *op)
{
    struct fetch *fetch = op->user;
    if (op == &fetch->op) {
        on_op(loop, fetch);
        return; /* more will follow: at least the close */
    }
    if (op == &fetch->close)
        fetch->is_closed = true;
    else if (deadline_done(&fetch->deadline, loop->queue))
        fetch_fail(loop, fetch, "time is over");
    free_if_home(loop, fetch);
}

static void loop_round(struct loop *loop)
{
    evq_op *done[BATCH];
    int n = evq_wait(loop->queue, done, BATCH, EVQ_FOREVER);
    if (n < 0)
        app_die(loop->app, "evq_wait: %s", evq_strerror(n));
    for (int i = 0; i < n; i++)
        loop_done(loop, done[i]);
}

static void loop_run(struct loop *loop, struct fetch *slots, size_t slots_count)
{
    for (size_t i = 0; i < slots_count; i++)
        start_next(loop, &slots[i]);
    while (loop->active > 0 && !host_is_stopping())
        loop_round(loop);
    host_stop_close();
    for (size_t i = 0; i < slots_count; i++)
        if (slots[i].state != IDLE)
            fetch_fail(loop, &slots[i], "stopped");
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

/* ---- start and end ---- */

static struct url *parse_urls(const struct app *app)
{
    struct url *urls = calloc((size_t)app->words_count, sizeof *urls);
    if (urls == NULL)
        app_die(app, "no memory for %d URLs", app->words_count);
    for (int i = 0; i < app->words_count; i++)
        if (!url_parse(&urls[i], app->words[i])) {
            app_log(app, "'%s': give http://ADDRESS:PORT/PATH, the address numeric", app->words[i]);
            exit(APP_STATUS_USAGE);
        }
    return urls;
}

int main(int argc, char **argv)
{
    long times = 1, at_once = 100, patience_ms = 10000;
    const struct app_option options[] = {
        {'n', "TIMES", "fetch each URL so often", 1, 10000000, &times, NULL},
        {'j', "FETCHES", "at most so many at the same time", 1, 50000, &at_once, NULL},
        {'t', "MS", "milliseconds that one fetch may take", 1, 3600000, &patience_ms, NULL},
        {0, NULL, NULL, 0, 0, NULL, NULL},
    };
    const struct app_about about = {.what = "Fetches many URLs at once, each with a deadline.",
                                    .words = "URL...",
                                    .options = options};
    struct app app = app_start(argc, argv, &about);
    struct loop loop = {.app = &app, .patience_ms = (uint64_t)patience_ms};
    loop.queue = app_queue(&app);
    loop.urls = parse_urls(&app);
    loop.count = (uint64_t)times * (uint64_t)app.words_count;
    size_t slots_count = loop.count < (uint64_t)at_once ? (size_t)loop.count : (size_t)at_once;
    struct fetch *slots = calloc(slots_count, sizeof *slots);
    if (slots == NULL)
        app_die(&app, "no memory for %zu fetches at once", slots_count);
    loop_run(&loop, slots, slots_count);
    printf("totals: fetched %" PRIu64 ", failed %" PRIu64 ", bytes %" PRIu64 "\n", loop.fetched,
           loop.failed, loop.bytes);
    free(slots);
    free(loop.urls);
    return fflush(stdout) == 0 && loop.fetched == loop.count ? 0 : APP_STATUS_RUNTIME;
}
