/*
 * chat: whoever says a line says it to all others.
 *
 *     nc 127.0.0.1 7000
 *     * welcome, guest1. /name NAME, /who, /quit
 *
 * One member writes, all others read: so one slow reader must not hold up the rest, nor fill our
 * memory.
 *
 * - A message exists once, however many members wait for it: it counts who still needs it.
 * - Each member has a queue of messages; its head is lent to a send, the others wait behind it.
 * - The queue is bounded, and this is the rule: **who has QUEUE_MOST messages waiting when one more
 *   comes is too slow, and is dropped.** All others learn of it.
 * - So that a talker cannot get everybody else dropped, each member may say -r lines per second.
 *   Who has said more is not read from for a while, and soon its own send finds no room.
 *
 * To send to everybody while members come and go is where callbacks bite: the one that tells of an
 * error frees a member, and the loop over the members holds it still. Here nothing comes back
 * inside evq_send() (evq.h, line 3). Who is dropped is only marked; it is freed when its ops are
 * home.
 *
 *      TALKING --- the end of the stream, /quit ---> LEAVING --- its queue is empty ---> CLOSING
 *         |                                                      or LEAVE_MS are over       ^
 *         +------------------------ too slow, an error -------------------------------------+
 */
#include "app.h"
#include "deadline.h"
#include "host.h"
#include "listener.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 256,
    LINE_MOST = 512,           /* a longer line is passed on in pieces                        */
    NAME_SIZE = 21,            /* with its NUL                                                */
    QUEUE_MOST = 64,           /* messages                                                    */
    KERNEL_QUEUE_SIZE = 16384, /* bytes in the kernel: what lies there is nobody's news       */
    BURST = 20,                /* lines that may be said at once, before the rate counts      */
    LEAVE_MS = 2000            /* how long one who leaves may take to read the last messages  */
};

struct message {
    size_t readers; /* whose queues it stands in, and one for who is writing it */
    size_t len;
    char text[NAME_SIZE + LINE_MOST + 64];
};

enum state { TALKING, LEAVING, CLOSING };

struct member {
    enum state state;
    evq_sock sock;
    evq_op recv, send, close;
    struct deadline deadline; /* TALKING: may go on talking then; LEAVING: is closed then */
    bool is_closed;
    uint64_t talked_until_ns; /* each line moves it on by its share of a second */
    struct message *queue[QUEUE_MOST];
    size_t first, count; /* queue[first] is being sent, if count > 0 */
    size_t in_len;
    char name[NAME_SIZE], in[LINE_MOST];
    struct member *next, *prev;
    struct member *next_dropped;
};

struct loop {
    const struct app *app;
    evq *queue;
    uint64_t line_ns; /* what a line costs its talker; 0: nothing */
    struct listener listener;
    struct member *first;
    struct member *dropped; /* too slow, and the others do not know it yet */
    uint64_t clients, bytes, refused;
};

/* ---- messages ---- */

/* The writer's: give it back. NULL when there is no memory. */
static struct message *message_new(const char *format, ...)
{
    struct message *message = malloc(sizeof *message);
    if (message == NULL)
        return NULL;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message->text, sizeof message->text, format, args);
    va_end(args);
    message->readers = 1;
    message->len = len < 0 ? 0 : (size_t)len;
    if (message->len >= sizeof message->text)
        message->len = sizeof message->text - 1;
    return message;
}

static void message_give(struct message *message)
{
    if (message != NULL && --message->readers == 0)
        free(message);
}

/* ---- the queue of a member ---- */

static void member_close(struct loop *loop, struct member *member)
{
    if (member->state == CLOSING)
        return;
    member->state = CLOSING;
    deadline_clear(&member->deadline, loop->queue);
    evq_close(&member->sock, &member->close);
}

static void send_head(struct member *member)
{
    struct message *message = member->queue[member->first];
    evq_send(&member->sock, &member->send, message->text, message->len);
}

//! [put]
static void queue_put(struct loop *loop, struct member *member, struct message *message)
{
    if (member->state != TALKING || message == NULL)
        return;
    if (member->count == QUEUE_MOST) { /* the rule */
        member_close(loop, member);
        member->next_dropped = loop->dropped;
        loop->dropped = member;
        return;
    }
    message->readers++;
    member->queue[(member->first + member->count++) % QUEUE_MOST] = message;
    if (member->count == 1)
        send_head(member);
}
//! [put]

/* Only when no send is pending: the head may be lent. */
static void queue_take(struct member *member)
{
    message_give(member->queue[member->first]);
    member->first = (member->first + 1) % QUEUE_MOST;
    member->count--;
}

//! [tell]
static void tell(struct loop *loop, struct member *member, struct message *message)
{
    queue_put(loop, member, message);
    message_give(message);
}

static void tell_others(struct loop *loop, const struct member *but, struct message *message)
{
    for (struct member *member = loop->first; member != NULL; member = member->next)
        if (member != but)
            queue_put(loop, member, message);
    message_give(message);
}

/* Telling it may be one message too many for the next one. Each is dropped once, so it ends. */
static void tell_of_dropped(struct loop *loop)
{
    while (loop->dropped != NULL) {
        struct member *member = loop->dropped;
        loop->dropped = member->next_dropped;
        app_log(loop->app, "%s dropped: %d messages unread", member->name, QUEUE_MOST);
        tell_others(loop, member, message_new("* %s was too slow, and is gone\n", member->name));
    }
}
//! [tell]

/* ---- what a member says ---- */

static bool is_name_free(const struct loop *loop, const char *name)
{
    for (const struct member *member = loop->first; member != NULL; member = member->next)
        if (strcmp(member->name, name) == 0)
            return false;
    return true;
}

static void say_name(struct loop *loop, struct member *member, const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = strlen(name);
    if (len == 0 || len >= NAME_SIZE || name[strspn(name, allowed)] != '\0')
        tell(loop, member, message_new("* a name has 1 to 20 letters, digits, - and _\n"));
    else if (!is_name_free(loop, name))
        tell(loop, member, message_new("* somebody is called %s already\n", name));
    else {
        tell_others(loop, NULL, message_new("* %s is now %s\n", member->name, name));
        memcpy(member->name, name, len + 1);
    }
}

static void say_who(struct loop *loop, struct member *member)
{
    char names[LINE_MOST];
    size_t len = 0;
    names[0] = '\0';
    for (const struct member *one = loop->first; one != NULL; one = one->next) {
        if (one->state != TALKING)
            continue;
        if (len + NAME_SIZE + sizeof " ..." > sizeof names) {
            (void)snprintf(names + len, sizeof names - len, " ...");
            break;
        }
        len += (size_t)snprintf(names + len, sizeof names - len, " %s", one->name);
    }
    tell(loop, member, message_new("* here:%s\n", names));
}

static void member_leave(struct loop *loop, struct member *member)
{
    if (member->state != TALKING)
        return;
    member->state = LEAVING;
    tell_others(loop, member, message_new("* %s left\n", member->name));
    if (member->count == 0)
        member_close(loop, member);
    else
        deadline_set_ms(&member->deadline, loop->queue, LEAVE_MS);
}

/* What a terminal would obey (ESC and its like) is not passed on. */
static void make_harmless(char *line)
{
    for (; *line != '\0'; line++)
        if (((unsigned char)*line < 0x20 && *line != '\t') || *line == 0x7f)
            *line = '?';
}

static void say(struct loop *loop, struct member *member, char *line)
{
    make_harmless(line);
    if (line[0] != '/')
        tell_others(loop, member, message_new("%s: %s\n", member->name, line));
    else if (strncmp(line, "/name ", 6) == 0)
        say_name(loop, member, line + 6);
    else if (strcmp(line, "/who") == 0)
        say_who(loop, member);
    else if (strcmp(line, "/quit") == 0)
        member_leave(loop, member);
    else
        tell(loop, member, message_new("* there are /name NAME, /who, /quit\n"));
}

//! [pace]
/* A line is paid for with time. True: this member has to wait before it may say the next one. */
static bool must_wait(struct loop *loop, struct member *member)
{
    uint64_t now_ns = evq_now(loop->queue), burst_ns = BURST * loop->line_ns;
    if (member->talked_until_ns < now_ns)
        member->talked_until_ns = now_ns;
    if (member->talked_until_ns + loop->line_ns <= now_ns + burst_ns) {
        member->talked_until_ns += loop->line_ns;
        return false;
    }
    deadline_set(&member->deadline, loop->queue,
                 member->talked_until_ns + loop->line_ns - burst_ns);
    return true;
}
//! [pace]

/* The first line in `in`, without its end; how many bytes it took, 0: it is not whole yet. */
static size_t take_line(const struct member *member, char line[LINE_MOST + 1])
{
    const char *newline = memchr(member->in, '\n', member->in_len);
    size_t len = newline != NULL ? (size_t)(newline - member->in) : member->in_len;
    size_t took = newline != NULL ? len + 1 : len;
    if (newline == NULL && len < LINE_MOST)
        return 0;
    memcpy(line, member->in, len);
    if (len > 0 && line[len - 1] == '\r') /* telnet ends a line with "\r\n" */
        len--;
    line[len] = '\0';
    for (size_t i = 0; i < len; i++) /* a zero would end it too early */
        if (line[i] == '\0')
            line[i] = '?';
    return took;
}

//! [listen]
/* Says what has come, as far as its rate allows; then receives more. */
static void listen_to(struct loop *loop, struct member *member)
{
    char line[LINE_MOST + 1];
    size_t took;
    while (member->state == TALKING && (took = take_line(member, line)) > 0) {
        if (must_wait(loop, member))
            return; /* the deadline comes back, and then we are here again */
        member->in_len -= took;
        memmove(member->in, member->in + took, member->in_len);
        if (line[0] != '\0')
            say(loop, member, line);
    }
    if (member->state == TALKING)
        evq_recv(&member->sock, &member->recv, member->in + member->in_len,
                 LINE_MOST - member->in_len);
}
//! [listen]

/* ---- what has come back ---- */

static void on_received(struct loop *loop, struct member *member)
{
    if (member->state != TALKING)
        return;
    if (member->recv.err != EVQ_OK || member->recv.nbytes == 0) {
        bool is_end = member->recv.err == EVQ_OK;
        member_leave(loop, member);
        if (!is_end)
            member_close(loop, member); /* EVQ_ECONNRESET ...: it will not read any more */
        return;
    }
    member->in_len += member->recv.nbytes;
    listen_to(loop, member);
}

static void on_sent(struct loop *loop, struct member *member)
{
    loop->bytes += member->send.nbytes;
    queue_take(member);
    if (member->state == CLOSING)
        return;
    if (member->send.err != EVQ_OK) {
        member_leave(loop, member);
        member_close(loop, member);
    } else if (member->count > 0) {
        send_head(member);
    } else if (member->state == LEAVING) {
        member_close(loop, member);
    }
}

static void on_deadline(struct loop *loop, struct member *member)
{
    if (!deadline_done(&member->deadline, loop->queue))
        return;
    if (member->state == TALKING)
        listen_to(loop, member);
    else
        member_close(loop, member);
}

/* ---- the life of a member ---- */

static void member_add(struct loop *loop, evq_fd fd)
{
    static uint64_t guests;
    const int size = KERNEL_QUEUE_SIZE;
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL || evq_attach(loop->queue, &member->sock, fd) != EVQ_OK) {
        app_log(loop->app, "one more member refused: no memory for it");
        free(member);
        evq_tcp_close(fd);
        loop->refused++;
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, (const char *)&size,
                     sizeof size); /* or the usual */
    member->recv.user = member->send.user = member->close.user = member;
    member->deadline.timer.user = member;
    do /* somebody may have taken that name */
        (void)snprintf(member->name, sizeof member->name, "guest%llu",
                       (unsigned long long)++guests);
    while (!is_name_free(loop, member->name));
    tell_others(loop, NULL, message_new("* %s joined\n", member->name));
    tell(loop, member, message_new("* welcome, %s. /name NAME, /who, /quit\n", member->name));
    member->next = loop->first;
    if (loop->first != NULL)
        loop->first->prev = member;
    loop->first = member;
    loop->clients++;
    listen_to(loop, member);
}

static void member_free_if_home(struct loop *loop, struct member *member)
{
    if (!member->is_closed || member->deadline.is_pending)
        return;
    if (member->next != NULL)
        member->next->prev = member->prev;
    if (member->prev != NULL)
        member->prev->next = member->next;
    else
        loop->first = member->next;
    while (member->count > 0)
        queue_take(member);
    free(member);
}

/* ---- the loop ---- */

//! [done]
static void on_member(struct loop *loop, struct member *member, const evq_op *op)
{
    if (op == &member->recv) {
        on_received(loop, member);
    } else if (op == &member->send) {
        on_sent(loop, member);
    } else if (op == &member->close) {
        member->is_closed = true;
        listener_go_on(&loop->listener); /* a descriptor is free again */
    } else {
        on_deadline(loop, member);
    }
    tell_of_dropped(loop);
    member_free_if_home(loop, member);
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
                member_add(loop, fd);
            tell_of_dropped(loop);
        } else {
            on_member(loop, done[i]->user, done[i]);
        }
    }
}

static void loop_run(struct loop *loop)
{
    while (!host_is_stopping())
        loop_round(loop);
    host_stop_close();
    listener_close(&loop->listener);
    for (struct member *member = loop->first; member != NULL; member = member->next)
        member_close(loop, member);
    while (evq_destroy(loop->queue) == EVQ_EBUSY)
        loop_round(loop);
}

int main(int argc, char **argv)
{
    long rate = 10;
    const struct app_option options[] = {
        {'r', "LINES", "lines that a member may say per second; 0: any", 0, 1000000, &rate, NULL},
        {0, NULL, NULL, 0, 0, NULL, NULL},
    };
    const struct app_about about = {.what = "A chat: each line goes to everybody else.",
                                    .options = options};
    struct app app = app_start(argc, argv, &about);
    struct loop loop = {.app = &app};
    loop.line_ns = rate > 0 ? UINT64_C(1000000000) / (uint64_t)rate : 0;
    loop.queue = app_queue(&app);
    evq_fd fd = app_listen(&app);
    int err = listener_open(&loop.listener, loop.queue, fd);
    if (err < 0)
        app_die(&app, "cannot accept: %s", evq_strerror(err));
    app_announce(&app, loop.queue, fd);
    loop_run(&loop);
    return app_totals(loop.clients, loop.bytes, loop.refused);
}
