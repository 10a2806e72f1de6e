/*
 * host: what the examples need of the system, and evq does not have: a clean stop, threads, files.
 *
 * An example includes no header of a system and has no #ifdef. What differs stands here, once for
 * POSIX systems (host_posix.c) and once for Windows (host_windows.c): the same functions, in the
 * same order. The Makefile picks one of the two.
 */
#ifndef HOST_H
#define HOST_H

#include "evq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- start and stop ------------------------------------------------------------------------- */

/** The first call of every program: makes a line end with "\n" on every system, and raises the
 *  limit of descriptors as far as this user may. */
void host_start(void);

/**
 * From now on Ctrl-C and SIGTERM (on Windows also the closing of the console) set a flag and call
 * evq_wake(queue), so that the loop comes round and looks at the flag.
 *
 * evq_wake() is the one function of evq that a signal handler or another thread may call. No wake
 * is lost: one that comes before the wait ends that wait. Thread: the queue's; call it once.
 */
void host_stop_open(evq *queue);

/** True once the program shall stop. Any thread. */
bool host_is_stopping(void);

/** No wakes any more: call it before the queue is destroyed. What comes later is ignored. */
void host_stop_close(void);

/* ---- addresses ------------------------------------------------------------------------------ */

/** "127.0.0.1:80" or "[::1]:80" as an address to connect to. Numeric only: to look up a name may
 *  block, and evq does not do it. Once a queue is open (Winsock has to be started). 0, or -1. */
int host_address(const char *text, struct sockaddr_storage *address, socklen_t *len);

/* ---- threads -------------------------------------------------------------------------------- */

struct host_thread {
    void (*run)(void *);
    void *arg;
    uintptr_t handle[2]; /* the system's */
};

/** Starts run(arg) in a thread. `thread` must stay where it is until the join. 0 or -1. */
int host_thread_start(struct host_thread *thread, void (*run)(void *), void *arg);

/** Waits for the end of a thread that was started. Call it once. */
void host_thread_join(struct host_thread *thread);

/** What one thread at a time may hold. */
struct host_lock {
    void *native;
};

/** 0, or -1 when there is no memory. */
int host_lock_open(struct host_lock *lock);
void host_lock_take(struct host_lock *lock);
void host_lock_give(struct host_lock *lock);
void host_lock_close(struct host_lock *lock);

/** How many processors this program may use; at least 1. */
int host_processors(void);

/* ---- files ---------------------------------------------------------------------------------- */

/*
 * Readiness and completion are for sockets: a regular file is "always ready", and then the read
 * sleeps until the disk has answered (lab 04/regular_file). Small files that are often asked for
 * lie in the system's cache, and the examples live with that. A server for slow disks reads in
 * threads.
 */

/** What was found under a name. */
enum host_found {
    HOST_FILE,        /* open now: the caller closes it                          */
    HOST_FOLDER,      /* a folder: nothing is open                               */
    HOST_NOTHING,     /* no such thing, or one that may not be seen              */
    HOST_OUT_OF_FILES /* this process has no descriptor left: try again later    */
};

struct host_folder {
    intptr_t handle; /* POSIX: a descriptor       */
    void *path;      /* Windows: its whole name   */
};

struct host_file {
    intptr_t handle;
    uint64_t size;
    int64_t modified_s; /* seconds since 1970 */
};

/** Opens the folder that files are taken from. 0, or -1 with one clear reason in *why. */
int host_folder_open(struct host_folder *folder, const char *path, const char **why);

/**
 * Opens a regular file for reading.
 *
 * @param name  relative, its parts divided by '/', UTF-8. Empty: the folder itself.
 *
 * Never leaves the folder: a part "." or "..", an empty one, and on Windows whatever means more
 * than a plain name there (':', '\', "NUL" ...), is HOST_NOTHING. Symbolic links are not followed,
 * since they may lead anywhere. What is no regular file (a pipe, a device) is HOST_NOTHING too.
 */
enum host_found host_file_open(struct host_file *file, const struct host_folder *folder,
                               const char *name);

/** Reads up to len bytes from `offset` on. How many; 0 at the end of the file; -1: it failed. */
int64_t host_file_read(const struct host_file *file, uint64_t offset, void *buf, size_t len);

void host_file_close(struct host_file *file);
void host_folder_close(struct host_folder *folder);

#ifdef __cplusplus
}
#endif

#endif
