/*
 * shim.c: see shim.h.
 *
 * What it needs is read at the first call that is made, so the step's main() is left as it is. A
 * signal handler of a step may call, too: by then it has been read.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

int __real_close(int fd);
int __real_nanosleep(const struct timespec *time, struct timespec *left);

enum { TELLERS_MAX = 2, LATE_MS = 5 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct board nowhere, *board = &nowhere;
static _Thread_local int alone;
static void (*tellers[TELLERS_MAX])(int fd);

/* ---- orders ---------------------------------------------------------------------------------- */

static void read_environment(void)
{
    const char *orders = getenv(FAULTS_VARIABLE), *path = getenv(BOARD_VARIABLE);
    int fd = path != NULL ? open(path, O_RDWR) : -1;
    if (fd >= 0) {
        void *place = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (place != MAP_FAILED)
            board = place;
        (void)__real_close(fd);
    }
    orders_read(orders);
}

static void begin(void)
{
    int saved = errno;
    (void)pthread_once(&once, read_environment);
    errno = saved;
}

/* ---- for the wrappers ------------------------------------------------------------------------ */

struct verdict shim_judge(enum call call)
{
    if (alone > 0)
        return (struct verdict){.hit = false};
    begin();
    return orders_judge(board, call);
}

bool shim_refuses(struct verdict verdict)
{
    bool refuses = verdict.hit && verdict.manner != LATE;
    if (refuses)
        errno = verdict.err;
    return refuses;
}

void shim_goes_on(struct verdict verdict)
{
    const struct timespec late = {.tv_nsec = LATE_MS * 1000000L};
    int saved = errno;
    if (verdict.hit && verdict.manner == LATE)
        (void)__real_nanosleep(&late, NULL);
    errno = saved;
}

bool shim_fails(enum call call)
{
    return shim_refuses(shim_judge(call));
}

void shim_leave_alone(bool on)
{
    alone += on ? 1 : -1;
}

void shim_note_block(int change)
{
    if (alone > 0)
        return;
    begin();
    atomic_fetch_add(&board->blocks, change);
}

/* ---- telling again --------------------------------------------------------------------------- */

void shim_teller(void (*tell)(int fd))
{
    for (int i = 0; i < TELLERS_MAX; i++) {
        if (tellers[i] == tell)
            return;
        if (tellers[i] == NULL) {
            tellers[i] = tell;
            return;
        }
    }
}

void shim_tell_again(int fd)
{
    int saved = errno;
    for (int i = 0; i < TELLERS_MAX && tellers[i] != NULL; i++)
        tellers[i](fd);
    errno = saved;
}
