/*
 * host_posix: see host.h. For Linux, macOS and the BSDs.
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_t) <= sizeof(uintptr_t[2]), "a pthread_t fits into host_thread");

enum { HOST_LEN = 64 }; /* the longest IPv6 address has 45 characters */

/* ---- start and stop ---- */

enum { DESCRIPTORS_MOST = 1048576 };

/* Many systems begin with 256 or 1,024, and let the program ask for more. */
void host_start(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t most = limit.rlim_max < DESCRIPTORS_MOST ? limit.rlim_max : DESCRIPTORS_MOST;
    /* macOS says "unlimited" and refuses more than OPEN_MAX (man 2 setrlimit): less and less. */
    for (; most > limit.rlim_cur; most /= 2) {
        struct rlimit more = {.rlim_cur = most, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return;
    }
}

static atomic_bool stopping;
static evq *_Atomic stop_queue; /* NULL: nobody to be woken */

//! [handler]
static void on_stop_signal(int signo)
{
    evq *queue = atomic_load(&stop_queue);
    (void)signo;
    atomic_store(&stopping, true);
    if (queue != NULL)
        evq_wake(queue); /* safe here, and it keeps errno (evq.h, line 14) */
}
//! [handler]

static void on_stop_do(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL); /* fails for a wrong number only */
    (void)sigaction(SIGTERM, &action, NULL);
}

void host_stop_open(evq *queue)
{
    atomic_store(&stop_queue, queue);
    on_stop_do(on_stop_signal);
}

bool host_is_stopping(void)
{
    return atomic_load(&stopping);
}

/* The other threads have ended by now: so no handler is running when the queue goes. */
void host_stop_close(void)
{
    on_stop_do(SIG_IGN);
    atomic_store(&stop_queue, NULL);
}

/* ---- addresses ---- */

/* "[::1]:80" and "127.0.0.1:80" into their two parts. An IPv6 address needs its brackets. */
static int split(const char *text, char host[HOST_LEN], const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL)
        return -1;
    if (len == 0 || len >= HOST_LEN)
        return -1;
    memcpy(host, text, len);
    host[len] = '\0';
    *port = colon + 1;
    size_t digits = strspn(*port, "0123456789");
    return digits > 0 && digits <= 5 && (*port)[digits] == '\0' && atol(*port) <= 65535 ? 0 : -1;
}

int host_address(const char *text, struct sockaddr_storage *address, socklen_t *len)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    char host[HOST_LEN];
    const char *port;
    if (split(text, host, &port) < 0 || getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    memcpy(address, found->ai_addr, found->ai_addrlen);
    *len = (socklen_t)found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* ---- threads ---- */

static void *run_thread(void *arg)
{
    struct host_thread *thread = arg;
    thread->run(thread->arg);
    return NULL;
}

int host_thread_start(struct host_thread *thread, void (*run)(void *), void *arg)
{
    pthread_t id;
    thread->run = run;
    thread->arg = arg;
    if (pthread_create(&id, NULL, run_thread, thread) != 0)
        return -1;
    memcpy(thread->handle, &id, sizeof id);
    return 0;
}

void host_thread_join(struct host_thread *thread)
{
    pthread_t id;
    memcpy(&id, thread->handle, sizeof id);
    (void)pthread_join(id, NULL); /* fails for a thread that was never started only */
}

int host_lock_open(struct host_lock *lock)
{
    pthread_mutex_t *mutex = malloc(sizeof(pthread_mutex_t));
    lock->native = mutex;
    return mutex != NULL && pthread_mutex_init(mutex, NULL) == 0 ? 0 : -1;
}

/* A mutex of the usual kind fails for mistakes of the program only. */
void host_lock_take(struct host_lock *lock)
{
    (void)pthread_mutex_lock(lock->native);
}

void host_lock_give(struct host_lock *lock)
{
    (void)pthread_mutex_unlock(lock->native);
}

void host_lock_close(struct host_lock *lock)
{
    (void)pthread_mutex_destroy(lock->native);
    free(lock->native);
}

int host_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 1024 ? 1024 : (int)n;
}

/* ---- files ---- */

static int open_again(int folder, const char *name, int flags)
{
    int fd;
    do
        fd = openat(folder, name, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int host_folder_open(struct host_folder *folder, const char *path, const char **why)
{
    int fd = open_again(AT_FDCWD, path, O_DIRECTORY);
    *folder = (struct host_folder){.handle = fd};
    *why = fd < 0 ? strerror(errno) : NULL;
    return fd < 0 ? -1 : 0;
}

/* The next part of a name, into part; *name moves behind it. False: no plain part. */
static bool next_part(const char **name, char *part, size_t size)
{
    size_t len = strcspn(*name, "/");
    bool is_last = (*name)[len] == '\0';
    if (len == 0 || len >= size || (!is_last && (*name)[len + 1] == '\0'))
        return false;
    memcpy(part, *name, len);
    part[len] = '\0';
    *name += is_last ? len : len + 1;
    return strcmp(part, ".") != 0 && strcmp(part, "..") != 0;
}

//! [walk]
/* From part to part, each below the one before: so neither ".." nor a link leads out, whatever is
 * renamed meanwhile. O_NOFOLLOW makes a link fail (ELOOP; EMLINK on FreeBSD, EFTYPE on NetBSD).
 * With O_NONBLOCK a FIFO that nobody writes to does not hold us up (man 2 open); a file does not
 * care. */
static int walk(int folder, const char *name)
{
    char part[256]; /* NAME_MAX and its NUL */
    int fd = folder;
    if (*name == '\0')
        return open_again(folder, ".", 0);
    while (*name != '\0') {
        int next = -1;
        errno = ENOENT;
        if (next_part(&name, part, sizeof part))
            next = open_again(fd, part, O_NOFOLLOW);
        int err = errno;
        if (fd != folder)
            close(fd);
        errno = err;
        if (next < 0)
            return -1;
        fd = next;
    }
    return fd;
}
//! [walk]

enum host_found host_file_open(struct host_file *file, const struct host_folder *folder,
                               const char *name)
{
    struct stat about = {0};
    int fd = walk((int)folder->handle, name);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? HOST_OUT_OF_FILES : HOST_NOTHING;
    if (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode)) {
        bool is_folder = S_ISDIR(about.st_mode);
        close(fd);
        return is_folder ? HOST_FOLDER : HOST_NOTHING;
    }
    *file = (struct host_file){fd, (uint64_t)about.st_size, (int64_t)about.st_mtime};
    return HOST_FILE;
}

int64_t host_file_read(const struct host_file *file, uint64_t offset, void *buf, size_t len)
{
    ssize_t got;
    do
        got = pread((int)file->handle, buf, len, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got;
}

void host_file_close(struct host_file *file)
{
    close((int)file->handle);
}

void host_folder_close(struct host_folder *folder)
{
    close((int)folder->handle);
}
