/*
 * wrap_kqueue.c: kqueue() and kevent(), of the kernel or of chapter 05.
 *
 * What chapter 05 does behind them is not the library's doing: meanwhile nothing fails.
 */
#include "faults.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/event.h>
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

enum { WATCHED_MAX = 1024, FILTERS = 2 };

static struct {
    bool is;
    int kq;
    struct kevent change;
} watched[WATCHED_MAX][FILTERS];

static int kevent_alone(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                        kq_count room, const struct timespec *timeout)
{
    faults_leave_alone(true);
    int result = __real_kevent(kq, changes, n, events, room, timeout);
    int saved = errno;
    faults_leave_alone(false);
    errno = saved;
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

static void remember(int kq, const struct kevent *change)
{
    if (change->ident >= WATCHED_MAX)
        return;
    int which = change->filter == EVFILT_READ ? 0 : 1;
    if (which == 0) /* the first of a socket: what is known of the number's last owner is over */
        watched[change->ident][1].is = false;
    watched[change->ident][which].is = (change->flags & EV_ADD) != 0;
    watched[change->ident][which].kq = kq;
    watched[change->ident][which].change = *change;
    faults_teller(tell);
}

int __wrap_kqueue(void)
{
    if (faults_fails(CALL_KQUEUE))
        return -1;
    faults_leave_alone(true);
    int result = __real_kqueue();
    int saved = errno;
    faults_leave_alone(false);
    errno = saved;
    return result;
}

static enum call meaning_of(const struct kevent *changes, kq_count n)
{
    if (n == 0)
        return CALL_KEVENT_WAIT;
    return (changes->flags & EV_ADD) != 0 ? CALL_KEVENT_ADD : CALL_KEVENT_DELETE;
}

int __wrap_kevent(int kq, const struct kevent *changes, kq_count n, struct kevent *events,
                  kq_count room, const struct timespec *timeout)
{
    struct verdict verdict = faults_judge(meaning_of(changes, n));
    if (verdict.hit && verdict.manner == INSTEAD) {
        errno = verdict.err;
        return -1;
    }
    int result = kevent_alone(kq, changes, n, events, room, timeout);
    if (result == 0 && n > 0)
        remember(kq, changes);
    if (!verdict.hit)
        return result;
    errno = verdict.err;
    return -1;
}
