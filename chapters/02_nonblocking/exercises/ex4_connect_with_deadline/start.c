/*
 * Exercise 02.4, Connect, with deadline: where you begin.
 *
 *     start PORT...      tries 127.0.0.1:PORT, one after the other, as long as connect() takes
 *
 * connect() blocks until the other side has answered. When nobody answers, the kernel asks again
 * and again, for two minutes on Linux. Give all of them together DEADLINE_MS.
 */
#include "nonblocking.h" /* you will need it */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 8, DEADLINE_MS = 1000 };

struct attempt {
    unsigned port;
    int fd;
    int result; /* 0: connected; else an errno */
};

/* ---- one attempt ---- */

static void begin(struct attempt *attempt)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)attempt->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    attempt->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (attempt->fd < 0 || connect(attempt->fd, (struct sockaddr *)&name, sizeof name) < 0)
        attempt->result = errno;
    else
        attempt->result = 0;
}

static void tell(const struct attempt *attempt)
{
    const char *word = strerror(attempt->result);
    if (attempt->result == 0)
        word = "connected";
    else if (attempt->result == ECONNREFUSED)
        word = "refused";
    else if (attempt->result == ETIMEDOUT)
        word = "timed out";
    printf("%u %s\n", attempt->port, word);
}

/* ---- all of them ---- */

int main(int argc, char **argv)
{
    struct attempt attempts[MOST];
    int count = argc - 1;
    if (count < 1 || count > MOST) {
        (void)fprintf(stderr, "usage: %s PORT... (%d at most)\n", argv[0], MOST);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        attempts[i].port = (unsigned)strtoul(argv[i + 1], NULL, 10);
        begin(&attempts[i]);
    }
    for (int i = 0; i < count; i++) {
        tell(&attempts[i]);
        if (attempts[i].fd >= 0)
            close(attempts[i].fd);
    }
}
