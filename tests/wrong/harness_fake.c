/*
 * harness_fake: a server with one odd habit, for the tests of the harness itself (test_harness.c).
 *
 *   harness_fake HABIT [NUMBER] [-p 0]
 *
 * Without a habit of its own it serves one client after the other, echoes, and ends by SIGTERM
 * with a line of totals. The table at the end lists the habits.
 */
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOISE = 4 * 1024 * 1024, BUF_SIZE = 65536 };

static long number; /* what NUMBER says */
static volatile sig_atomic_t clients;

/* ---- Usual parts ------------------------------------------------------------------------- */

static void on_term(int sig)
{
    (void)sig;
    char line[] = "totals: clients 0, bytes 0\n";
    line[strlen("totals: clients ")] = (char)('0' + clients % 10);
    _exit(write(STDOUT_FILENO, line, strlen(line)) > 0 ? 0 : 1);
}

static int announce(const char *address, unsigned port, int fd)
{
    printf(strchr(address, ':') != NULL ? "listening on [%s]:%u\n" : "listening on %s:%u\n",
           address, port);
    fflush(stdout);
    return fd;
}

static int listen_v6(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        perror("harness_fake");
        exit(1);
    }
    return announce("::1", ntohs(at.sin6_port), fd);
}

static int listen_quietly(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        perror("harness_fake");
        exit(1);
    }
    *port = ntohs(at.sin_port);
    return fd;
}

static int listen_v4(void)
{
    unsigned port;
    int fd = listen_quietly(&port);
    return announce("127.0.0.1", port, fd);
}

static void send_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, buf, len, 0);
        if (n <= 0) {
            return;
        }
        buf += n;
        len -= (size_t)n;
    }
}

/** Echoes up to `most` bytes; the byte at `spoil` is changed (-1: none). */
static void echo(int fd, long most, long spoil)
{
    static char buf[BUF_SIZE];
    for (long at = 0; at < most;) {
        size_t want = most - at < BUF_SIZE ? (size_t)(most - at) : BUF_SIZE;
        ssize_t n = recv(fd, buf, want, 0);
        if (n <= 0) {
            return;
        }
        if (spoil >= at && spoil < at + n) {
            buf[spoil - at] ^= 1;
        }
        send_all(fd, buf, (size_t)n);
        at += n;
    }
}

static int next_client(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) {
        exit(1);
    }
    clients++;
    return fd;
}

static void serve(int listener)
{
    for (;;) {
        int fd = next_client(listener);
        echo(fd, LONG_MAX, -1);
        (void)close(fd);
    }
}

static void wait_for_ever(void)
{
    for (;;) {
        (void)pause();
    }
}

/* ---- Habits ------------------------------------------------------------------------------ */

static void echoes(void)
{
    serve(listen_v4());
}

static void listens_on_v6(void)
{
    serve(listen_v6());
}

/** Listens, and never accepts: the kernel does that, up to the backlog. */
static void ignores_clients(void)
{
    (void)listen_v4();
    wait_for_ever();
}

static void says_nothing(void)
{
    unsigned port;
    (void)listen_quietly(&port);
    wait_for_ever();
}

static void ignores_sigterm(void)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)listen_v4();
    wait_for_ever();
}

static void burns(void)
{
    (void)listen_v4();
    for (volatile unsigned long turns = 0;; turns++) {
    }
}

static void *thread_main(void *arg)
{
    wait_for_ever();
    return arg;
}

static void has_threads(void)
{
    for (long i = 0; i < number; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_main, NULL) != 0) {
            exit(1);
        }
    }
    serve(listen_v4());
}

static void has_fds(void)
{
    for (long i = 0; i < number; i++) {
        if (dup(STDERR_FILENO) < 0) {
            exit(1);
        }
    }
    serve(listen_v4());
}

/** Writes megabytes on both streams before it serves. */
static void babbles(void)
{
    int listener = listen_v4();
    for (int written = 0; written < NOISE; written += 64) {
        static const char line[] =
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
        (void)fwrite(line, 1, 64, stdout);
        (void)fwrite(line, 1, 64, stderr);
    }
    (void)fflush(stdout);
    serve(listener);
}

static void spoils(void)
{
    int fd = next_client(listen_v4());
    echo(fd, LONG_MAX, number);
    wait_for_ever();
}

static void closes(void)
{
    int fd = next_client(listen_v4());
    echo(fd, number, -1);
    (void)close(fd);
    wait_for_ever();
}

static void resets(void)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd = next_client(listen_v4());
    echo(fd, number, -1);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(fd);
    wait_for_ever();
}

/** One byte too many, then the end. */
static void says_more(void)
{
    int fd = next_client(listen_v4());
    echo(fd, number, -1);
    send_all(fd, "!", 1);
    (void)close(fd);
    wait_for_ever();
}

/** Tells with which signals it was started. */
static void tells_signals(void)
{
    struct sigaction action;
    sigset_t blocked;
    (void)sigaction(SIGPIPE, NULL, &action);
    (void)sigprocmask(SIG_SETMASK, NULL, &blocked);
    printf("SIGPIPE %s, SIGTERM %s\n", action.sa_handler == SIG_DFL ? "default" : "ignored",
           sigismember(&blocked, SIGTERM) ? "blocked" : "open");
    exit(0);
}

/* ---- The table --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} habits[] = {
    {"echoes", echoes},
    {"listens_on_v6", listens_on_v6},
    {"ignores_clients", ignores_clients},
    {"says_nothing", says_nothing},
    {"ignores_sigterm", ignores_sigterm},
    {"burns", burns},
    {"has_threads", has_threads},
    {"has_fds", has_fds},
    {"babbles", babbles},
    {"spoils", spoils},
    {"closes", closes},
    {"resets", resets},
    {"says_more", says_more},
    {"tells_signals", tells_signals},
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "tells_signals") != 0) {
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGTERM, on_term);
    }
    number = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    for (size_t i = 0; argc > 1 && i < sizeof habits / sizeof habits[0]; i++) {
        if (strcmp(argv[1], habits[i].name) == 0) {
            habits[i].run();
        }
    }
    fprintf(stderr, "harness_fake: no such habit\n");
    return 2;
}
