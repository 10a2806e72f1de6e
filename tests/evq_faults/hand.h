/*
 * hand: for tests that need less than the scenario: a queue, sockets and operations in hand.
 *
 * What a test leaves is closed after it; then the queue must let itself be destroyed, and no
 * descriptor and no memory may be left.
 */
#ifndef EVQ_FAULTS_HAND_H
#define EVQ_FAULTS_HAND_H

#include "faults_case.h"

#include <evq.h>

enum { HAND_OPS = 2048, HAND_SOCKS = 1024, HAND_PATIENCE_MS = 10000, NS_PER_MS = 1000000 };

extern evq *queue;
extern evq_op ops[HAND_OPS];       /* all zero at the beginning of a test */
extern evq_sock socks[HAND_SOCKS]; /* attached by the functions below     */

int hand_open(void **state);
int hand_close(void **state);
#define TEST(test) cmocka_unit_test_setup_teardown(test, hand_open, hand_close)

/** Closed after the test. */
int hand_keep(int fd);
/** Attached: the next of `socks`; closed after the test. */
evq_sock *hand_attach(int fd);
/** The same, where it may fail: what evq_attach() said. */
int hand_try_to_attach(int fd, evq_sock **s);
/** One end of a pair is attached, the other one is returned; both are closed after the test. */
int hand_pair(evq_sock **s);
/** Both ends are attached, as two sockets one after the other. */
evq_sock *hand_both(void);
/** A listener, attached, and a client that has connected to it. */
evq_sock *hand_listener_with_a_client(void);

/** Waits for the next op that is finished; the test fails when there is none. */
evq_op *hand_take(void);
/** The next one must be this, and must have ended so. */
void hand_take_with(evq_op *op, int err);

/** Lets this call fail from now on, the next one first. */
void hand_fail(enum call call, int err, int times);

#endif
