/*
 * step1_sequential: an echo server that serves one client at a time, in calls that block. While it
 * waits in one of them it can do nothing else, so one silent client keeps everybody waiting.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_ullong clients, bytes; /* atomic, because the signal handler reads them */
//! [stop]
static char *prepend(char *at, const char *text, unsigned long long number)
{
    for (*--at = (char)('0' + number % 10); number /= 10;)
        *--at = (char)('0' + number % 10);
    return memcpy(at - strlen(text), text, strlen(text));
}

static void on_stop(int signo) /* printf() is not safe in a handler (man 7 signal-safety) */
{
    char line[80], *end = line + sizeof line, *at = end;
    *--at = '\n';
    at = prepend(prepend(at, ", bytes ", bytes), "totals: clients ", clients);
    _exit(signo && write(STDOUT_FILENO, at, (size_t)(end - at)) == end - at ? 0 : 1);
}
//! [stop]
//! [listen]
static int listen_on(const char *address, const char *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    socklen_t len = sizeof name;
    if (!*port || strspn(port, "0123456789") != strlen(port) || strtol(port, NULL, 10) > 65535)
        errx(2, "'%s' is no port: give a number from 0 to 65535", port);
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1)
        errx(2, "'%s' is no IPv4 address: give one such as 127.0.0.1", address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&name, len) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&name, &len) < 0) /* 0 became which port? */
        err(1, "cannot listen on %s:%s", address, port);
    if (printf("listening on %s:%u\n", address, ntohs(name.sin_port)) < 0 || fflush(stdout) != 0)
        err(1, "cannot write to stdout"); /* perhaps a pipe, whose reader waits for this line */
    return listener;
}
//! [listen]
//! [serve]
static void serve(int fd)
{
    char buf[65536];
    for (ssize_t got, sent; (got = recv(fd, buf, sizeof buf, 0)) != 0;) { /* 0: no more comes */
        if (got < 0 && errno != EINTR)
            return; /* ECONNRESET, ETIMEDOUT: this client is gone, and only this one */
        for (ssize_t at = 0; at < got; at += sent, bytes += (unsigned long long)sent)
            if ((sent = send(fd, buf + at, (size_t)(got - at), 0)) < 0) { /* may take fewer */
                if (errno != EINTR)
                    return; /* EPIPE, ECONNRESET: gone before it had its echo */
                sent = 0;
            }
    }
}
//! [serve]
int main(int argc, char **argv)
{
    const char *address = "127.0.0.1", *port = "0";
    for (int option; (option = getopt(argc, argv, "p:a:h")) != -1;)
        if (option == 'p' || option == 'a')
            *(option == 'p' ? &port : &address) = optarg;
        else /* getopt() has said what is wrong */
            return option == 'h' ? puts("usage: step1_sequential [-p PORT] [-a ADDRESS]") < 0 : 2;
    if (optind < argc)
        errx(2, "'%s' is one word too many (try -h)", argv[optind]);
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
    sigfillset(&stop.sa_mask);
    sigaction(SIGINT, &stop, NULL), sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* a peer that is gone: send() says EPIPE, no signal kills */
    //! [accept]
    int listener = listen_on(address, port), on = 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            sleep(1); /* EMFILE, ENOMEM: the client stays queued; trying at once would spin */
        if (fd < 0)
            continue;
        clients++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* an echo waits for nobody */
        serve(fd);
        close(fd);
    }
    //! [accept]
}
