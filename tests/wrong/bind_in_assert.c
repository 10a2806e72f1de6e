/*
 * bind_in_assert: does its work inside assert(). All is well, until it is built with -DNDEBUG: then
 * assert() is nothing, and neither bind() nor listen() is ever called. The other half of this
 * pair, bind_in_assert_ndebug.c, is this file with NDEBUG.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void serve(int fd)
{
    char buf[16384];
    for (ssize_t got; (got = recv(fd, buf, sizeof buf, 0)) > 0;)
        for (ssize_t at = 0, sent; at < got; at += sent)
            if ((sent = send(fd, buf + at, (size_t)(got - at), MSG_NOSIGNAL)) < 0)
                return;
}

int main(int argc, char **argv)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof name;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    name.sin_port = htons((in_port_t)(argc > 2 ? atoi(argv[2]) : 0)); /* -p PORT */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert(bind(fd, (struct sockaddr *)&name, len) == 0); /* the bug: work inside assert() */
    assert(listen(fd, 100) == 0);
    if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
        return 1;
    (void)printf("listening on 127.0.0.1:%u\n", ntohs(name.sin_port));
    (void)fflush(stdout);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0)
            continue;
        serve(client);
        (void)close(client);
    }
}
