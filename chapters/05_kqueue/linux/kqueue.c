/*
 * kqueue: the queues of this process.
 *
 *       program's descriptor ---- outer epoll ---+--- readers, an epoll
 *                                                +--- writers, an epoll
 *                                                +--- bell, an eventfd
 *
 * The program owns the outer epoll: it closes it, polls it, duplicates it. We are told of none of
 * that. Whether a descriptor is a certain queue can be asked: epoll_ctl(ADD) of the bell gives
 * EEXIST there and nowhere else. A queue whose descriptor fails this question was closed; what
 * belongs to it is closed at the next kqueue().
 *
 * fork: epolls are shared with the child, and a change by one would hit both. kqueue(2) says that a
 * child does not inherit the queue, so the child closes its copies before fork() returns there.
 */
#include "emulation.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FIRST_OF_OURS = 1024 }; /* above what select() can watch */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct emu_queue *queues;

/*
 * A kernel's queue is one descriptor; ours has more. They must not lie where the program will look:
 * it may put one of its own at a number that it has just closed (dup2), or expect the lowest.
 */
int emu_out_of_the_way(int fd)
{
    int high = fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, (int)FIRST_OF_OURS);
    if (high == -1)
        return fd; /* the limit is lower: it stays where it is */
    (void)close(fd);
    return high;
}

/* ---- one queue ------------------------------------------------------------------------------- */

static bool is_queue(int fd, const struct emu_queue *queue)
{
    struct epoll_event question = {.events = 0};
    if (emu_epoll_ctl(fd, EPOLL_CTL_ADD, queue->bell, &question) == -1)
        return errno == EEXIST;
    (void)emu_epoll_ctl(fd, EPOLL_CTL_DEL, queue->bell, NULL); /* an epoll, but not this one */
    return false;
}

/* Closes and frees all but the program's descriptor; each member may be -1. */
static void queue_free(struct emu_queue *queue)
{
    emu_knotes_free(queue);
    int fds[] = {queue->sets[EMU_READERS], queue->sets[EMU_WRITERS], queue->bell, queue->inotify};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] != -1)
            (void)close(fds[i]);
    (void)pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static bool open_parts(struct emu_queue *queue)
{
    queue->fd = epoll_create1(EPOLL_CLOEXEC);
    queue->sets[EMU_READERS] = emu_out_of_the_way(epoll_create1(EPOLL_CLOEXEC));
    queue->sets[EMU_WRITERS] = emu_out_of_the_way(epoll_create1(EPOLL_CLOEXEC));
    queue->bell = emu_out_of_the_way(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    int parts[EMU_SOURCES] = {queue->sets[EMU_READERS], queue->sets[EMU_WRITERS], queue->bell};
    for (unsigned int source = 0; source < EMU_SOURCES; source++) {
        struct epoll_event item = {.events = EPOLLIN, .data.u64 = source};
        if (emu_epoll_ctl(queue->fd, EPOLL_CTL_ADD, parts[source], &item) == -1)
            return false;
    }
    return true;
}

static struct emu_queue *queue_new(void)
{
    struct emu_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return NULL;
    queue->inotify = -1;
    (void)pthread_mutex_init(&queue->lock, NULL); /* cannot fail with the usual attributes */
    errno = 0;
    if (open_parts(queue))
        return queue;
    int err = errno == EBADF ? EMFILE : errno;
    if (queue->fd != -1)
        (void)close(queue->fd);
    queue_free(queue);
    errno = err;
    return NULL;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
    for (struct emu_queue *queue = queues; queue != NULL; queue = queue->next)
        (void)pthread_mutex_lock(&queue->lock);
}

static void in_the_parent(void)
{
    for (struct emu_queue *queue = queues; queue != NULL; queue = queue->next)
        (void)pthread_mutex_unlock(&queue->lock);
    (void)pthread_mutex_unlock(&lock);
}

/* Only this thread lives on, and it holds all locks: everything is as no other thread left it. */
static void in_the_child(void)
{
    while (queues != NULL) {
        struct emu_queue *queue = queues;
        queues = queue->next;
        if (is_queue(queue->fd, queue))
            (void)close(queue->fd);
        (void)pthread_mutex_unlock(&queue->lock);
        queue_free(queue);
    }
    (void)pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, in_the_parent, in_the_child); /* ENOMEM: as if vforked */
}

/* ---- all queues ------------------------------------------------------------------------------ */

/* Frees the queues that the program has closed. A dup of one whose number is gone looks closed. */
static void sweep(void)
{
    struct emu_queue **link = &queues;
    while (*link != NULL) {
        struct emu_queue *queue = *link;
        if (queue->users > 0 || is_queue(queue->fd, queue)) {
            link = &queue->next;
        } else {
            *link = queue->next;
            queue_free(queue);
        }
    }
}

/* The number that it was known by is closed: from now on the dup is its name. */
static void rename_queue(struct emu_queue *queue, int fd)
{
    (void)pthread_mutex_lock(&queue->lock);
    if (!is_queue(queue->fd, queue))
        queue->fd = fd;
    (void)pthread_mutex_unlock(&queue->lock);
}

/* Usually by its number; else it may be a dup. */
static struct emu_queue *find(int fd)
{
    for (struct emu_queue *queue = queues; queue != NULL; queue = queue->next)
        if (queue->fd == fd && is_queue(fd, queue))
            return queue;
    for (struct emu_queue *queue = queues; queue != NULL; queue = queue->next) {
        if (queue->fd != fd && is_queue(fd, queue)) {
            rename_queue(queue, fd);
            return queue;
        }
    }
    return NULL;
}

struct emu_queue *emu_acquire(int fd)
{
    (void)pthread_mutex_lock(&lock);
    struct emu_queue *queue = find(fd);
    if (queue != NULL)
        queue->users++;
    (void)pthread_mutex_unlock(&lock);
    if (queue == NULL)
        errno = fcntl(fd, F_GETFD) == -1 ? EBADF : EINVAL;
    return queue;
}

void emu_release(struct emu_queue *queue)
{
    (void)pthread_mutex_lock(&lock);
    queue->users--;
    (void)pthread_mutex_unlock(&lock);
}

/* ---- public ---------------------------------------------------------------------------------- */

int kqueue(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    (void)pthread_mutex_lock(&lock);
    sweep();
    struct emu_queue *queue = queue_new();
    if (queue != NULL) {
        queue->next = queues;
        queues = queue;
    }
    (void)pthread_mutex_unlock(&lock);
    return queue != NULL ? queue->fd : -1;
}

int kqueue1(int flags)
{
    if ((flags & ~O_CLOEXEC) != 0) {
        errno = EINVAL;
        return -1;
    }
    return kqueue();
}

int kqueuex(unsigned int flags)
{
    if ((flags & ~KQUEUE_CLOEXEC) != 0) {
        errno = EINVAL;
        return -1;
    }
    return kqueue();
}
