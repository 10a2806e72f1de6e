/*
 * count_kevent: stands between a program and kevent(), and counts. It can also let one change fail,
 * in the way in which the kernel does (man 2 kqueue): the others are made all the same, the error
 * comes back as an entry with EV_ERROR, and no event comes with it; where there is no room for it,
 * the call says -1 and makes no change behind it.
 *
 *     KEVENT_FAILS=N      the N-th time that a connected socket is added to EVFILT_READ: ENOMEM
 *     CHILD_IS_FASTER=1   a process that is watched has ended, and its number is gone: ESRCH
 */
#include "count_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>

#include <sys/event.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct call_counts nobody_reads, *counts = &nobody_reads;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static long fails_at; /* counts down to 0 */
static bool child_is_faster;

int __real_kevent(int queue, const struct kevent *changes, int count, struct kevent *events,
                  int room, const struct timespec *timeout);
int __wrap_kevent(int queue, const struct kevent *changes, int count, struct kevent *events,
                  int room, const struct timespec *timeout);

static void begin(void)
{
    const char *path = getenv("COUNT_CALLS"), *fails = getenv("KEVENT_FAILS");
    fails_at = fails == NULL ? 0 : strtol(fails, NULL, 10);
    child_is_faster = getenv("CHILD_IS_FASTER") != NULL;
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED)
        counts = shared;
    (void)close(fd);
}

static bool is_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

/* What the kernel shall say to this change; 0: what it says by itself. */
static int error_for(const struct kevent *change)
{
    if ((change->flags & EV_ADD) == 0)
        return 0;
    if (change->filter == EVFILT_READ && fails_at > 0 && is_connected((int)change->ident))
        return --fails_at == 0 ? ENOMEM : 0;
    if (change->filter != EVFILT_PROC || !child_is_faster)
        return 0;
    siginfo_t info; /* a child that has not ended cannot be gone */
    while (waitid(P_PID, (id_t)change->ident, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    return ESRCH;
}

/* The changes one by one, each with a receipt, so that this one can fail alone. */
static int make_changes(int queue, const struct kevent *changes, int count, int failing, int err,
                        struct kevent *events, int room)
{
    int told = 0;
    for (int i = 0; i < count; i++) {
        struct kevent change = changes[i], answer = changes[i];
        answer.flags |= EV_ERROR;
        answer.data = err;
        change.flags |= EV_RECEIPT;
        if (i != failing && __real_kevent(queue, &change, 1, &answer, 1, NULL) != 1)
            return -1;
        if (answer.data == 0 && (changes[i].flags & EV_RECEIPT) == 0)
            continue;
        if (told == room) {
            errno = (int)answer.data;
            return -1;
        }
        events[told++] = answer;
    }
    return told;
}

int __wrap_kevent(int queue, const struct kevent *changes, int count, struct kevent *events,
                  int room, const struct timespec *timeout)
{
    (void)pthread_once(&once, begin);
    atomic_fetch_add(&counts->of[CALLS_KEVENT], 1);
    for (int i = 0; i < count; i++) {
        int err = error_for(&changes[i]);
        if (err != 0)
            return make_changes(queue, changes, count, i, err, events, room);
    }
    return __real_kevent(queue, changes, count, events, room, timeout);
}
