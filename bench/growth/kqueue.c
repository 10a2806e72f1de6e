/*
 * kqueue: the list is in the kernel, and only the ready ones come back. On macOS and the BSDs this
 * is the system's own. On Linux the same source is built as growth_kqueue_emulated, over the kqueue
 * of chapter 05, which is our code over epoll: its figures say nothing about kqueue.
 */
#include "growth.h"

#include <sys/types.h>

#include <sys/event.h>
#include <sys/time.h>

#include <stddef.h>
#include <stdint.h>

enum { BATCH = 256 };

const char mechanism_name[] = "kqueue";
static int kq;

bool mechanism_open(void)
{
    kq = kqueue();
    growth_must(kq >= 0, "kqueue");
    return true;
}

void mechanism_add(int fd)
{
    struct kevent change;
    EV_SET(&change, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, 0);
    growth_must(kevent(kq, &change, 1, NULL, 0, NULL) == 0, "kevent");
}

void mechanism_wait(void)
{
    struct kevent events[BATCH];
    int n = kevent(kq, NULL, 0, events, BATCH, NULL);
    growth_must(n > 0, "kevent");
    for (int i = 0; i < n; i++)
        growth_ready((int)events[i].ident);
}
