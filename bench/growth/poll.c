/* poll: the list is kept; the kernel asks each descriptor of it, and so does the search behind. */
#include "growth.h"

#include <poll.h>

const char mechanism_name[] = "poll";
static struct pollfd list[GROWTH_FDS_MAX];
static nfds_t count;

bool mechanism_open(void)
{
    return true;
}

void mechanism_add(int fd)
{
    list[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

void mechanism_wait(void)
{
    int left = poll(list, count, -1);
    growth_must(left > 0, "poll");
    for (nfds_t i = 0; i < count && left > 0; i++) {
        if (list[i].revents == 0)
            continue;
        growth_ready(list[i].fd);
        left--;
    }
}
