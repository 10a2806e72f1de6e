/*
 * output: see output.h.
 */
#include "output.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_LEN = 128, PIECE = 16384, PIECES_PER_TURN = 64 };

/** One stream: its beginning, its last line, and how much there was in all. */
struct said {
    int fd;
    bool over; /* nobody can write here any more */
    uint64_t bytes;
    size_t kept;
    char text[SERVER_TEXT];
    size_t line_len;
    bool line_is_over;
    char line[LINE_LEN];
};

struct output {
    struct said out, err;
    pthread_mutex_t lock; /* guards both while the thread runs */
    pthread_t thread;
    bool watched;
    int wake[2]; /* a byte in this pipe tells the thread to end */
};

/* ---- One stream -------------------------------------------------------------------------- */

/** A line stays "the last one" until the first byte of the next. "\r\n" counts as an end too. */
static void follow_lines(struct said *s, const char *piece, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (piece[i] == '\r') {
            continue;
        }
        if (s->line_is_over) {
            s->line_len = 0;
        }
        s->line_is_over = piece[i] == '\n';
        if (!s->line_is_over && s->line_len < LINE_LEN - 1) {
            s->line[s->line_len++] = piece[i];
        }
    }
    s->line[s->line_len] = '\0';
}

static void keep(struct said *s, const char *piece, size_t len)
{
    size_t room = SERVER_TEXT - 1 - s->kept;
    size_t n = len < room ? len : room;
    memcpy(s->text + s->kept, piece, n);
    s->kept += n;
    s->text[s->kept] = '\0';
    s->bytes += len;
}

/** Reads what is there, a bounded number of pieces, so that a babbler cannot hold us. */
static void said_read(struct said *s, bool follow)
{
    char piece[PIECE];
    for (int i = 0; i < PIECES_PER_TURN && !s->over; i++) {
        ssize_t n = read(s->fd, piece, sizeof piece);
        if (n > 0) {
            keep(s, piece, (size_t)n);
            if (follow) {
                follow_lines(s, piece, (size_t)n);
            }
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else {
            s->over = true; /* closed only by output_free(): another thread may be polling it */
        }
    }
}

static void read_both(struct output *o)
{
    (void)pthread_mutex_lock(&o->lock);
    said_read(&o->out, true);
    said_read(&o->err, false);
    (void)pthread_mutex_unlock(&o->lock);
}

/** What poll() is to wait for. It passes over a descriptor of -1. */
static void fill_poll(struct output *o, struct pollfd fds[2])
{
    (void)pthread_mutex_lock(&o->lock);
    fds[0] = (struct pollfd){.fd = o->out.over ? -1 : o->out.fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = o->err.over ? -1 : o->err.fd, .events = POLLIN};
    (void)pthread_mutex_unlock(&o->lock);
}

/* ---- Life -------------------------------------------------------------------------------- */

struct output *output_new(int out_fd, int err_fd)
{
    struct output *o = calloc(1, sizeof *o);
    if (o == NULL) {
        (void)close(out_fd);
        (void)close(err_fd);
        return NULL;
    }
    o->out.fd = out_fd;
    o->err.fd = err_fd;
    (void)pthread_mutex_init(&o->lock, NULL); /* cannot fail with usual attributes */
    return o;
}

void output_free(struct output *o)
{
    if (o == NULL) {
        return;
    }
    output_unwatch(o);
    (void)close(o->out.fd);
    (void)close(o->err.fd);
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
}

void output_read(struct output *o, int ms)
{
    assert(!o->watched);
    struct pollfd fds[2];
    fill_poll(o, fds);
    /* EINTR: nothing is lost, the caller comes again. */
    (void)poll(fds, 2, ms);
    read_both(o);
}

/* ---- The thread -------------------------------------------------------------------------- */

static void *watch_main(void *arg)
{
    struct output *o = arg;
    struct pollfd fds[3] = {{.fd = -1}, {.fd = -1}, {.fd = o->wake[0], .events = POLLIN}};
    do {
        read_both(o);
        fill_poll(o, fds);
    } while ((poll(fds, 3, -1) >= 0 || errno == EINTR) && fds[2].revents == 0);
    return NULL;
}

/** The test's signals are the main thread's business. */
static int start_without_signals(struct output *o)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&o->thread, NULL, watch_main, o);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

int output_watch(struct output *o)
{
    if (pipe(o->wake) != 0) {
        return errno;
    }
    (void)fcntl(o->wake[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(o->wake[1], F_SETFD, FD_CLOEXEC);
    int err = start_without_signals(o);
    o->watched = err == 0;
    if (err != 0) {
        (void)close(o->wake[0]);
        (void)close(o->wake[1]);
    }
    return err;
}

void output_unwatch(struct output *o)
{
    if (!o->watched) {
        return;
    }
    /* A byte, not a close: some fork of this process may hold a copy of this end. */
    while (write(o->wake[1], "", 1) < 0 && errno == EINTR) {
    }
    (void)pthread_join(o->thread, NULL);
    (void)close(o->wake[0]);
    (void)close(o->wake[1]);
    o->watched = false;
}

/* ---- Looking ----------------------------------------------------------------------------- */

void output_copy(struct output *o, struct server *s)
{
    if (o->watched) {
        read_both(o); /* what was said just now counts, even if the thread has not woken yet */
    }
    (void)pthread_mutex_lock(&o->lock);
    memcpy(s->out, o->out.text, sizeof s->out);
    memcpy(s->err, o->err.text, sizeof s->err);
    s->out_bytes = o->out.bytes;
    s->err_bytes = o->err.bytes;
    (void)pthread_mutex_unlock(&o->lock);
}

void output_last_line(struct output *o, char *line, size_t len)
{
    assert(len >= LINE_LEN);
    (void)pthread_mutex_lock(&o->lock);
    memcpy(line, o->out.line, LINE_LEN);
    (void)pthread_mutex_unlock(&o->lock);
    line[len - 1] = '\0';
}
