/*
 * everybodys_server: wrong on purpose. Look for the bugs, and do not copy it.
 *
 * Some version of this program stands in many tutorials: short, edge-triggered, convincing. With
 * one terminal and `nc` it works. It has (at least) eight bugs; each is marked with a letter, and
 * the page everybodys_server.md lets you find them with `make check` before it explains and heals
 * them.
 */
#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 64, BUF_SIZE = 1024 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

//! [watch]
static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}
//! [watch]

//! [accept]
static void on_listener(int epoll, int listener)
{
    int fd = tcp_accept(listener); /* A: one accept per edge; the others stay in the backlog */
    if (fd < 0)
        die("accept"); /* B: EMFILE, and even EAGAIN, end the server */
    (void)nonblocking_set(fd);
    watch(epoll, fd);
    totals_add_client();
}
//! [accept]

//! [client]
static void on_client(int fd)
{
    static char buf[BUF_SIZE];
    ssize_t n = recv(fd, buf, BUF_SIZE, 0); /* C: one read per edge; the rest is never read */
    if (n < 0)
        die("recv"); /* D: a reset of one client ends the server for all */
    if (n == 0) {
        close(fd);
        return;
    }
    buf[n] = '\0';               /* E: one byte past the end when the buffer is full */
    write(fd, buf, strlen(buf)); /* F: zeros end the text; G: a short count is lost, and so is
                                      EAGAIN; H: SIGPIPE ends the server */
    totals_add_bytes((size_t)n);
}
//! [client]

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "Everybody's epoll server: wrong on purpose.", NULL);
    struct epoll_event events[MAX_EVENTS];
    totals_exit_on_signal();
    int epoll = epoll_create1(0), listener = cli_listen(&cli);
    (void)nonblocking_set(listener);
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                on_listener(epoll, listener);
            else
                on_client(events[i].data.fd);
        }
    }
}
