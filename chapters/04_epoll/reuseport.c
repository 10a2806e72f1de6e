#include "reuseport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

//! [open]
static int open_listener(const struct sockaddr *name, socklen_t name_len)
{
    int on = 1, fd = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ||
        bind(fd, name, name_len) < 0 || listen(fd, SOMAXCONN) < 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}
//! [open]

int reuseport_listen(const char *address, unsigned port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    if (port > 65535 || getaddrinfo(address, service, &hints, &found) != 0) {
        errno = EINVAL;
        return -1;
    }
    int fd = open_listener(found->ai_addr, found->ai_addrlen);
    int err = errno;
    freeaddrinfo(found);
    errno = err;
    return fd;
}

int reuseport_listen_again(int listener)
{
    struct sockaddr_storage name;
    socklen_t name_len = sizeof name;
    if (getsockname(listener, (struct sockaddr *)&name, &name_len) < 0)
        return -1;
    return open_listener((struct sockaddr *)&name, name_len);
}
