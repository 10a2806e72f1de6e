/* epoll: level-triggered; the list is in the kernel, and only the ready ones come back. */
#include "growth.h"

#include <sys/epoll.h>

enum { BATCH = 256 };

const char mechanism_name[] = "epoll";
static int epoll;

bool mechanism_open(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll >= 0;
}

void mechanism_add(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    growth_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

void mechanism_wait(void)
{
    struct epoll_event events[BATCH];
    int n = epoll_wait(epoll, events, BATCH, -1);
    growth_must(n > 0, "epoll_wait");
    for (int i = 0; i < n; i++)
        growth_ready(events[i].data.fd);
}
