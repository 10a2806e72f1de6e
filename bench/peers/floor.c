/*
 * floor: what no event queue can do without. It knows in advance who speaks next, so it asks
 * nobody: accept -c clients, then recv and send, around and around, and nothing else.
 *
 * No server can be built like that. The difference between another server and this one is what
 * finding out who is ready costs. It serves one measurement: clients that all talk all the time.
 */
#include "cli.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CLIENTS_MAX = 65536, PIECE = 4096 };

/* All of them block, so a send is whole unless the peer is gone. */
static bool echo_piece(int fd)
{
    static char piece[PIECE];
    ssize_t n = recv(fd, piece, sizeof piece, 0);
    return n > 0 && tcp_send(fd, piece, (size_t)n) == n;
}

int main(int argc, char **argv)
{
    static int clients[CLIENTS_MAX];
    long count = 1;
    const struct cli_option options[] = {{.letter = 'c',
                                          .name = "CLIENTS",
                                          .help = "how many there will be",
                                          .min = 1,
                                          .max = CLIENTS_MAX,
                                          .value = &count},
                                         {.letter = 0}};
    struct cli cli = cli_parse(argc, argv, "An echo server for clients who take turns.", options);
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    for (long i = 0; i < count; i++) {
        clients[i] = tcp_accept(listener);
        if (clients[i] < 0) {
            cli_log(&cli, "accept: %s", strerror(errno));
            return 1;
        }
    }
    for (long i = 0; echo_piece(clients[i]); i = (i + 1) % count)
        continue;
    return totals_write() == 0 ? 0 : 1; /* the first client that leaves ends the measurement */
}
