/*
 * evq_case: what the tests of evq share: one queue for each test, a pair of ends, and words for
 * asking.
 *
 * The suite runs on each backend of the build, one after the other; a test never knows on which.
 * What it may rely on is what evq.h promises, and nothing else. Operations are static objects;
 * sockets are closed at the end of each test, and then the queue must be free of all: evq_destroy()
 * says so.
 */
#ifndef EVQ_CASE_H
#define EVQ_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/clock.h"
#include "harness/skip.h"

#include "peer.h"
#include "system.h"

#include <evq.h>
#include <stdbool.h>
#include <string.h>

enum { NS_PER_MS = 1000000, MANY = 600, OPS = 4096 };

/** The queue of the test: opened before it, destroyed after it. */
extern evq *queue;
/** The backend that it is the turn of. */
extern const char *backend;

/** Operations, all zero at the beginning of a test; take(), done() and the rest go by their
 *  addresses. */
extern evq_op ops[OPS];

int open_queue(void **state);
int close_queue(void **state);
int announce(void **state);

#define TEST(test)      cmocka_unit_test_setup_teardown(test, open_queue, close_queue)
#define RUN(name, list) cmocka_run_group_tests_name(group_title(name), list, announce, NULL)
const char *group_title(const char *name);

/* ---- asking ---------------------------------------------------------------------------------- */

/** Waits until one op is finished, and returns it; fails the test when patience ends. */
evq_op *take_any(void);
/** Waits for the next one that is finished, which must be this one. */
void take(evq_op *op);
/** The same, and it must have ended with this error. */
void take_with(evq_op *op, int err);
/** Waits until this op came back, whatever else comes before it. */
void take_among(evq_op *op);
/** How often op came back since the test began. */
int returns_of(const evq_op *op);
/** Fails the test if anything is finished now, or in the next ms milliseconds. */
void expect_nothing_now(void);
void expect_nothing_for(int ms);
/** The same, and fails the test if the wait burns CPU: a third of what a busy loop gets here. */
void expect_a_quiet_wait(int ms);
/** CPU time that a busy loop of ms milliseconds gets, beside all others on the machine. */
int64_t spin_ns(int ms);

/* ---- sockets --------------------------------------------------------------------------------- */

/** Attaches; the end of the test closes it. */
void attach(evq_sock *s, evq_fd fd);
/** A connection: one end attached to the queue, the other one the peer's; closed at the end. */
void open_pair(evq_sock *s, evq_fd *peer);
/** The same with so small buffers that a send of BIG bytes does not fit. */
void open_narrow_pair(evq_sock *s, evq_fd *peer);
enum { BIG = 8 * 1024 * 1024 };
/** A listener, attached. */
void open_listener(evq_sock *s, uint16_t *port);
/** Closed at the end of the test, unless let_go() was called; the peer's and accepted ones. */
evq_fd keep(evq_fd fd);
void let_go(evq_fd fd);
/** Closes, and waits until all of its ops and the close op came back. */
void close_now(evq_sock *s);
/** It has been closed by the test itself. */
void forget(evq_sock *s);

/** Bytes that differ from place to place: the byte at this position of a stream. */
unsigned char pattern_at(uint64_t position);
void pattern_fill(void *bytes, size_t len, uint64_t position);
void pattern_check(const void *bytes, size_t len, uint64_t position);

/** A buffer of BIG bytes. */
extern unsigned char big[BIG];

/* ---- groups ---------------------------------------------------------------------------------- */

int run_owning(void);
int run_waiting(void);
int run_waking(void);
int run_receiving(void);
int run_sending(void);
int run_accepting(void);
int run_connecting(void);
int run_timers(void);
int run_cancelling(void);
int run_closing(void);
int run_corners(void);
int run_locals(void);
int run_accept_ex(void); /* Windows: part of run_locals() */
int run_model(void);
/** These know no backend at all. */
int run_words(void);

#endif
