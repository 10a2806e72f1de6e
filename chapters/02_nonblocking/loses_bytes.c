/*
 * loses_bytes: a server that is wrong on purpose. Look, and do not copy it.
 *
 * It is the first idea that comes to mind for step 2: make the sockets non-blocking, ask everybody
 * in turn, and echo what comes with one send(). It even seems to work. But on a non-blocking socket
 * send() takes what fits and leaves the rest to the caller, and this caller throws the rest away.
 * A client that reads more slowly than it sends gets its stream back with holes.
 */
#include "cli.h"
#include "nonblocking.h"
#include "tcp.h"
#include "totals.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, BUF_SIZE = 16 * 1024 };

//! [echo]
/* False when the client is gone. */
static bool echo_once(int fd)
{
    static char buf[BUF_SIZE];
    ssize_t got = recv(fd, buf, sizeof buf, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    ssize_t sent = tcp_send(fd, buf, (size_t)got);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR; /* the bug: all of buf is lost */
    totals_add_bytes((size_t)sent);               /* the bug: buf[sent..got) is lost */
    return true;
}
//! [echo]

int main(int argc, char **argv)
{
    struct cli cli = cli_parse(argc, argv, "A server that loses bytes, on purpose.", NULL);
    int clients[MAX_CLIENTS], count = 0;
    totals_exit_on_signal();
    int listener = cli_listen(&cli);
    (void)nonblocking_set(listener);
    for (;;) {
        int fd = count < MAX_CLIENTS ? tcp_accept(listener) : -1;
        if (fd >= 0) {
            (void)nonblocking_set(fd);
            clients[count++] = fd;
            totals_add_client();
        }
        for (int i = 0; i < count;) {
            if (echo_once(clients[i])) {
                i++;
            } else {
                close(clients[i]);
                clients[i] = clients[--count];
            }
        }
    }
}
