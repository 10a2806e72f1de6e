/*
 * wrong: a server that is wrong on purpose, in the way that it is told.
 *
 *     wrong --bug=dies_at_rst [-p PORT] [-a ADDRESS] [-h]
 *
 * It is one small poll() server, and right with --bug=none. Each bug below is one that published
 * servers really have, and it stands at the place where they have it: look for `bug ==`.
 * suite_goes_red.c proves that the contract sees every one of them. Not to be learned from!
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- the bugs --------------------------------------------------------------------------------- */

/* clang-format off */
#define BUGS(X)                                                                                   \
    X(none)                                                                                       \
    X(one_buffer)           /* all clients share it: the last one who spoke wins */               \
    X(strlen)               /* takes bytes for a string: a zero ends them */                      \
    X(cut)                  /* what send() does not take at once is forgotten */                  \
    X(first_1024)           /* a fixed buffer, never emptied: no answer beyond it */              \
    X(dies_at_rst)          /* an error of one connection ends the program */                     \
    X(sigpipe)              /* nobody told the kernel not to send SIGPIPE */                      \
    X(leaks)                /* the path of the error forgets to close */                          \
    X(hoards)               /* what a client had of memory is never freed */                      \
    X(never_closes)         /* so does the path of the end of the stream */                       \
    X(drops_at_eof)         /* closes at the end of the stream, with answers still to be sent */  \
    X(unbounded)            /* reads always, and keeps what it cannot send, however much */       \
    X(greedy)               /* stays with one client as long as that one has something to say */  \
    X(waits_for_first_byte) /* greets each client by a read that blocks */                        \
    X(sixty_four)           /* has room for so many clients, and throws the others out */         \
    X(emfile_spins)         /* asks accept() again at once, and again, and again */               \
    X(emfile_dies)          /* takes EMFILE for the end of the world */                           \
    X(busy)                 /* polls with a time-out of zero */                                   \
    X(late)                 /* holds small answers back, as Nagle's algorithm may */              \
    X(status_1)             /* ends with status 1 when asked to stop */                           \
    X(no_totals)            /* says nothing when it ends */                                       \
    X(atoi)                 /* takes any word for the port 0 */

/* clang-format on */

#define AS_ENUM(name) bug_##name,
#define AS_TEXT(name) #name,
static enum bug { BUGS(AS_ENUM) bug_count } bug;
static const char *const bug_names[] = {BUGS(AS_TEXT)};

/* --- clients ---------------------------------------------------------------------------------- */

enum { MAX_CLIENTS = 4000, BUFFER = 16384, SHORT_SEND = 12000, LATE_MS = 40, REST_MS = 100 };

struct client {
    int fd;
    char *buf; /* `size` bytes of room; those from `at` to `held` wait to be sent */
    size_t size, at, held;
    unsigned long long total; /* received so far */
    bool end;                 /* the client will send no more */
};

static struct client clients[MAX_CLIENTS];
/* The clients, then the listener, then the stop pipe. */
static struct pollfd watched[MAX_CLIENTS + 2];
static int count;
static unsigned long long total_clients, total_bytes;
static char shared[BUFFER];

static void drop(struct client *c, bool after_error)
{
    if (!(after_error && bug == bug_leaks) && !(!after_error && bug == bug_never_closes))
        close(c->fd);
    if (c->buf != shared && bug != bug_hoards)
        free(c->buf);
    c->fd = -1; /* tidy() takes it out of the table */
}

static void on_error(struct client *c)
{
    if (bug == bug_dies_at_rst) {
        perror("wrong: recv");
        exit(1);
    }
    drop(c, true);
}

static void nap(int ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&t, NULL);
}

/** Sends what waits, as far as it goes. False when the client is gone. */
static bool flush_client(struct client *c)
{
    size_t len = c->held - c->at;
    if (bug == bug_strlen && len > 0)
        len = strnlen(c->buf + c->at, len);
    if (bug == bug_cut && len > SHORT_SEND)
        len = SHORT_SEND; /* as a kernel that is short of room: on a busy machine none may be */
    if (bug == bug_late && len < 100 && len > 0)
        nap(LATE_MS);
    int flags = bug == bug_sigpipe ? 0 : MSG_NOSIGNAL;
    ssize_t sent = len == 0 ? 0 : send(c->fd, c->buf + c->at, len, flags);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        on_error(c);
        return false;
    }
    c->at += sent > 0 ? (size_t)sent : 0;
    total_bytes += sent > 0 ? (size_t)sent : 0;
    if (c->at == c->held || bug == bug_cut || bug == bug_strlen)
        c->at = c->held = 0;
    if (c->end && c->held == 0)
        drop(c, false);
    return c->fd >= 0;
}

/** Room for more; NULL when there is none and the server must hold back. */
static char *room(struct client *c, size_t *len)
{
    if (bug == bug_unbounded && c->held == c->size) {
        char *more = realloc(c->buf, c->size * 2);
        c->size *= more != NULL ? 2 : 1;
        c->buf = more != NULL ? more : c->buf;
    }
    *len = c->size - c->held;
    return *len > 0 ? c->buf + c->held : NULL;
}

/** One recv(). True when something came. */
static bool fill_client(struct client *c)
{
    size_t len;
    char *to = room(c, &len);
    ssize_t got = to != NULL ? recv(c->fd, to, len, 0) : 0;
    if (to == NULL || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)))
        return false;
    if (got < 0) {
        on_error(c);
        return false;
    }
    c->end = got == 0;
    if (c->end && (bug == bug_drops_at_eof || c->held == 0))
        drop(c, false);
    if (bug == bug_first_1024 && c->total + (size_t)got > 1024)
        got = c->total < 1024 ? (ssize_t)(1024 - c->total) : 0;
    c->total += (size_t)got;
    c->held += (size_t)got;
    return got > 0;
}

/** Stays with a client until that one pauses: also where the client is slower than this server. */
static bool says_more(const struct client *c)
{
    enum { PAUSE_MS = 100 };
    struct pollfd one = {.fd = c->fd, .events = POLLIN};
    return poll(&one, 1, PAUSE_MS) > 0;
}

/** What poll() has found out about a client. */
static void serve(struct client *c, short found)
{
    bool more = (found & (POLLIN | POLLHUP | POLLERR)) != 0 && !c->end &&
                (c->held == 0 || bug == bug_unbounded || bug == bug_drops_at_eof);
    if (bug == bug_drops_at_eof)
        while (more && c->fd >= 0 && fill_client(c))
            ;
    else if (more)
        more = fill_client(c);
    if (bug == bug_one_buffer && more)
        return; /* receives from everybody first; the answers are sent in the next round */
    while (c->fd >= 0 && c->held > 0 && flush_client(c) && bug == bug_greedy && c->held == 0 &&
           says_more(c))
        (void)fill_client(c);
}

/* --- the listener ----------------------------------------------------------------------------- */

static void set_nonblocking(int fd)
{
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void take_in(int fd)
{
    int on = 1;
    char first;
    if (count == MAX_CLIENTS || (bug == bug_sixty_four && count >= 64)) {
        close(fd);
        return;
    }
    if (bug == bug_waits_for_first_byte)
        (void)recv(fd, &first, 1, MSG_PEEK);
    set_nonblocking(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char *buf = bug == bug_one_buffer ? shared : malloc(BUFFER);
    if (buf == NULL) {
        close(fd);
        return;
    }
    clients[count++] = (struct client){.fd = fd, .buf = buf, .size = BUFFER};
    total_clients++;
}

/** True when accepting should rest for a while. */
static bool accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        take_in(fd);
    else if (errno == EMFILE && bug == bug_emfile_dies) {
        perror("wrong: accept");
        exit(1);
    } else
        return errno == EMFILE && bug != bug_emfile_spins;
    return false;
}

/* --- the loop --------------------------------------------------------------------------------- */

static int stop_pipe[2];

static void on_stop(int signo)
{
    (void)signo;
    (void)!write(stop_pipe[1], "", 1); /* if the pipe is full, it has been told often enough */
}

static void tidy(void)
{
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (clients[i].fd >= 0)
            clients[kept++] = clients[i];
    count = kept;
}

static short wanted(const struct client *c)
{
    short events = c->held > 0 ? POLLOUT : POLLIN;
    if ((bug == bug_unbounded || bug == bug_drops_at_eof) && !c->end)
        events |= POLLIN;
    return events;
}

static void loop(int listener)
{
    bool rests = false;
    for (;;) {
        for (int i = 0; i < count; i++)
            watched[i] = (struct pollfd){.fd = clients[i].fd, .events = wanted(&clients[i])};
        int at = count;
        watched[at] = (struct pollfd){.fd = rests ? -1 : listener, .events = POLLIN};
        watched[at + 1] = (struct pollfd){.fd = stop_pipe[0], .events = POLLIN};
        int ready = poll(watched, (nfds_t)at + 2, bug == bug_busy ? 0 : rests ? REST_MS : -1);
        if (ready < 0)
            continue; /* EINTR: the stop pipe tells the rest */
        rests = rests && ready > 0;
        if (watched[at + 1].revents != 0)
            return;
        for (int i = 0; i < at; i++)
            if (watched[i].revents != 0)
                serve(&clients[i], watched[i].revents);
        if (watched[at].revents != 0)
            rests = accept_one(listener);
        tidy();
    }
}

/* --- beginning and end ------------------------------------------------------------------------ */

static int refuse(const char *what, const char *word, int status)
{
    (void)fprintf(stderr, "wrong: %s '%s'%s%s\n", what, word, status == 1 ? ": " : "",
                  status == 1 ? strerror(errno) : "");
    exit(status);
}

static int listen_on(const char *address, const char *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    size_t digits = strspn(port, "0123456789");
    if ((digits == 0 || digits > 5 || port[digits] != '\0' || atoi(port) > 65535) &&
        bug != bug_atoi)
        return refuse("no port:", port, 2);
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1)
        return refuse("no IPv4 address:", address, 2);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) < 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s:%s", address, port);
        return refuse("cannot listen on", text, 1);
    }
    set_nonblocking(fd);
    (void)printf("listening on %s:%u\n", address, ntohs(name.sin_port));
    (void)fflush(stdout);
    return fd;
}

static void choose_bug(const char *word)
{
    for (int i = 0; i < bug_count; i++)
        if (word != NULL && strncmp(word, "--bug=", 6) == 0 &&
            strcmp(word + 6, bug_names[i]) == 0) {
            bug = (enum bug)i;
            return;
        }
    (void)fprintf(stderr, "wrong: the first word must be --bug= and one of:");
    for (int i = 0; i < bug_count; i++)
        (void)fprintf(stderr, " %s", bug_names[i]);
    (void)fprintf(stderr, "\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const char *port = "0", *address = "127.0.0.1";
    choose_bug(argc > 1 ? argv[1] : NULL);
    argv[1] = argv[0];
    for (int option; (option = getopt(argc - 1, argv + 1, "p:a:h")) != -1;)
        switch (option) {
        case 'p':
            port = optarg;
            break;
        case 'a':
            address = optarg;
            break;
        case 'h':
            return printf("usage: wrong --bug=NAME [-p PORT] [-a ADDRESS]\n") < 0;
        default:
            return 2; /* getopt() has said it */
        }
    if (optind < argc - 1)
        return refuse("one word too many:", argv[optind + 1], 2);
    if (pipe(stop_pipe) < 0)
        return 1;
    set_nonblocking(stop_pipe[1]);
    struct sigaction stop = {.sa_handler = on_stop};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    loop(listen_on(address, port));
    if (bug != bug_no_totals)
        (void)printf("totals: clients %llu, bytes %llu\n", total_clients, total_bytes);
    return bug == bug_status_1;
}
