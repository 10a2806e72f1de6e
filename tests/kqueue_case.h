/*
 * kqueue_case: what the tests of kqueue(2) share: one queue for each test, and words for asking it.
 *
 * The tests rely on what the man pages of FreeBSD, NetBSD, OpenBSD and macOS promise and, where all
 * four are silent, on what the sources of all four kernels do. What only some of them have is
 * behind an #ifdef of its own name, or of the system's, and skips in words where it is missing.
 * Whatever can be made to happen at once happens on a socketpair or a pipe, so that "nothing comes"
 * can be asserted without waiting.
 */
#ifndef KQUEUE_CASE_H
#define KQUEUE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/clock.h"
#include "harness/skip.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/time.h>

#include <sys/event.h>

enum { PATIENCE_MS = 10000, ROOM = 64 };

/* What a pointer must be cast to: older versions of NetBSD keep udata as a number. */
#if defined(__NetBSD__) && __NetBSD_Version__ < 999001400
typedef intptr_t udata;
#else
typedef void *udata;
#endif

/* The type in which kevent() takes numbers of changes and of events. */
#ifdef __NetBSD__
typedef size_t kq_count;
#else
typedef int kq_count;
#endif

/** The queue of the test: opened before it, closed after it. */
extern int queue;

int open_queue(void **state);
int close_queue(void **state);
/** Setup of a group: says once what is behind kqueue, where it is no kernel. */
int announce(void **state);

#define TEST(test)      cmocka_unit_test_setup_teardown(test, open_queue, close_queue)
#define RUN(name, list) cmocka_run_group_tests_name("kqueue: " name, list, announce, NULL)

/* ---- asking ---------------------------------------------------------------------------------- */

/** Fills in a change; all casts are here. */
void fill(struct kevent *change, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
          int64_t data, const void *mark);
const void *mark_of(const struct kevent *event);
/** One change, no waiting: 0 or its errno. */
int change(uintptr_t ident, int filter, unsigned flags, unsigned fflags, int64_t data,
           const void *mark);
/** The same for an ident that is a descriptor, without fflags, data and mark. */
int change_fd(int fd, int filter, unsigned flags);
/** Fails the test unless there is no event of this closed descriptor. macOS looks for the event
 *  before it looks at the descriptor, and says ENOENT; the others say EBADF (kernel sources). */
void expect_gone(int fd, int filter);
/** Waits for events until patience ends: how many, 0 when there was none. EINTR goes on. */
int take(struct kevent *events, kq_count room);
/** What is there now. */
int take_now(struct kevent *events, kq_count room);
/** Waits for exactly one event, which must be this one. */
struct kevent take_one(uintptr_t ident, int filter);
/** Fails the test when the queue has something to report now. */
void expect_nothing(void);
/** Fails the test when a wait of a fifth of a second has something to report, or burns CPU. */
void expect_a_quiet_wait(void);

/* ---- descriptors ----------------------------------------------------------------------------- */

/** Non-blocking, close-on-exec, and closed at the end of the test unless let_go() was called. */
void open_sockets(int fds[2]);
void open_pipe(int fds[2]);
int open_file(char *path, size_t len); /* empty, for reading and writing; *path: its name */
int keep(int fd);                      /* closes it at the end of the test                */
void let_go(int fd);                   /* closes it now                                   */
/** TCP over loopback: a listener, and a pair that is connected through it. */
int open_listener(uint16_t *port);
int open_connecting(uint16_t port); /* the connect may still be in progress */
void open_tcp(int fds[2]);

/** write() of a short text, which must be taken whole. */
void put(int fd, const char *text);
/** read() of up to 4096 bytes; how many, or -1 with errno. */
int64_t get(int fd);
/** Reads until there is nothing left, at most `most` bytes. */
void drain(int fd);
/** Writes until there is no room left; how many bytes went in. */
int64_t stuff(int fd);

/** How many descriptors this process has open. */
int count_descriptors(void);

/* ---- groups ---------------------------------------------------------------------------------- */

int run_changes(void);
int run_flags(void);
int run_descriptors(void);
int run_closing(void);
int run_timers(void);
int run_happenings(void);
int run_threads(void);
int run_crowds(void);

#endif
