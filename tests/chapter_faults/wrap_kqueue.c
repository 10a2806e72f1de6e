/*
 * wrap_kqueue.c: kqueue() and kevent(), of the kernel or of chapter 05.
 *
 * What chapter 05 does behind them is not the step's doing: meanwhile nothing fails. A change that
 * is handed over together with a wait fails as kqueue(2) has it: it comes back as an event with
 * EV_ERROR, and the others are made. After EINTR all of them have been made.
 */
#include "shim.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/time.h>

#ifdef __NetBSD__
typedef size_t kq_count;
#else
typedef int kq_count;
#endif

int __real_kqueue(void);
int __real_kevent(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                  kq_count room, const struct timespec *timeout);
int __wrap_kqueue(void);
int __wrap_kevent(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                  kq_count room, const struct timespec *timeout);

enum { WATCHED_MAX = 256, FILTERS = 2 };

static struct {
    bool is;
    int kq;
    struct kevent change;
} watched[WATCHED_MAX][FILTERS]; /* only of the steps with edges, which have one thread */

static int kevent_alone(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                        kq_count room, const struct timespec *timeout)
{
    shim_leave_alone(true);
    int result = __real_kevent(kq, changes, n, events, room, timeout);
    shim_leave_alone(false);
    return result;
}

/* A knote that is added again looks at the socket as it is. */
static void tell(int fd)
{
    if (fd < 0 || fd >= WATCHED_MAX)
        return;
    for (int i = 0; i < FILTERS; i++)
        if (watched[fd][i].is)
            (void)kevent_alone(watched[fd][i].kq, &watched[fd][i].change, 1, NULL, 0, NULL);
}

static void remember(int kq, const struct kevent *changes, kq_count n)
{
    for (kq_count i = 0; i < n; i++) {
        const struct kevent *change = &changes[i];
        bool is_socket = change->filter == EVFILT_READ || change->filter == EVFILT_WRITE;
        if (!is_socket || (change->flags & EV_CLEAR) == 0 || change->ident >= WATCHED_MAX)
            continue;
        int which = change->filter == EVFILT_READ ? 0 : 1;
        if (which == 0) /* the first of a socket: what its number was before is over */
            watched[change->ident][1].is = false;
        watched[change->ident][which].is = true;
        watched[change->ident][which].kq = kq;
        watched[change->ident][which].change = *change;
        shim_teller(tell);
    }
}

int __wrap_kqueue(void)
{
    if (shim_fails(CALL_KQUEUE))
        return -1;
    shim_leave_alone(true);
    int result = __real_kqueue();
    shim_leave_alone(false);
    return result;
}

/* The first change fails, and the rest goes its way. */
static int with_an_error(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                         kq_count room, int err)
{
    const struct timespec at_once = {0};
    int result = kevent_alone(kq, changes + 1, n - 1, events, room - 1, &at_once);
    if (result < 0)
        return result;
    events[result] = changes[0];
    events[result].flags = EV_ERROR;
    events[result].data = err;
    remember(kq, changes + 1, n - 1);
    return result + 1;
}

/* Its knote was made when the step started: to switch it on again takes no memory. */
static bool is_of_a_listener(const struct kevent *change)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    return getsockopt((int)change->ident, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
           listens != 0;
}

static int wait_for_events(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                           kq_count room, const struct timespec *timeout)
{
    struct verdict verdict = {.hit = false};
    if (n > 0 && (changes->flags & EV_ADD) != 0 && !is_of_a_listener(changes))
        verdict = shim_judge(CALL_KEVENT_CHANGE);
    if (verdict.hit)
        return with_an_error(kq, changes, n, events, room, verdict.err);
    verdict = shim_judge(CALL_KEVENT_WAIT);
    if (verdict.hit && n > 0)
        (void)kevent_alone(kq, changes, n, NULL, 0, NULL);
    int result = verdict.hit ? -1 : kevent_alone(kq, changes, n, events, room, timeout);
    remember(kq, changes, n);
    if (verdict.hit)
        errno = verdict.err;
    return result;
}

int __wrap_kevent(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                  kq_count room, const struct timespec *timeout)
{
    if (room > 0)
        return wait_for_events(kq, changes, n, events, room, timeout);
    struct verdict verdict = shim_judge(CALL_KEVENT_NOW);
    if (shim_refuses(verdict))
        return -1;
    int result = kevent_alone(kq, changes, n, events, room, timeout);
    if (result == 0)
        remember(kq, changes, n);
    shim_goes_on(verdict);
    return result;
}
