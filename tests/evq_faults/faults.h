/*
 * faults: a kernel that fails on order.
 *
 * The linker gives the files wrap_*.c each system call that the library makes (ld --wrap). They
 * count the calls, and let the one that a test has named fail. What the tests themselves do for
 * the other end of a connection goes around that, by the names __real_...
 *
 * A fault keeps the kernel's promises, or else the library could not be blamed:
 *
 *   INSTEAD   nothing was done, and the call says so. For most errors.
 *   AFTER     it was done, and still it fails: a close() that fails has closed, a connect() that
 *             was interrupted goes on, a write that finds an eventfd full leaves it readable.
 *   SHORT     the call moves 1 byte, however much it is asked for.
 *
 * After EAGAIN, or less bytes than asked for, a kernel that tells of edges owes one. It does not
 * know that somebody lied in its name, so it is asked to tell again (faults_tell_again()).
 */
#ifndef EVQ_FAULTS_H
#define EVQ_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

/** What can fail. A call that means several things stands here once for each. */
enum call {
    CALL_CALLOC,
    CALL_REALLOC,
    CALL_SOCKET,
    CALL_BIND,
    CALL_LISTEN,
    CALL_CONNECT,
    CALL_ACCEPT,
    CALL_RECV,
    CALL_RECVMSG,
    CALL_PEEK,
    CALL_SEND,
    CALL_SHUTDOWN,
    CALL_CLOSE,
    CALL_GETSOCKNAME,
    CALL_GETPEERNAME,
    CALL_GET_TYPE,
    CALL_GET_LISTENS,
    CALL_GET_ERROR,
    CALL_GET_LINGER,
    CALL_SET_REUSE,
    CALL_SET_V6ONLY,
    CALL_SET_NODELAY,
    CALL_SET_INQ,
    CALL_SET_LINGER,
    CALL_GET_STATUS,
    CALL_GET_FLAGS,
    CALL_SET_STATUS,
    CALL_SET_FLAGS,
    CALL_PIPE,
    CALL_READ,
    CALL_WRITE,
    CALL_LOOK,
    CALL_POLL,
    CALL_EVENTFD,
    CALL_EPOLL_CREATE,
    CALL_EPOLL_ADD,
    CALL_EPOLL_DEL,
    CALL_EPOLL_WAIT,
    CALL_EPOLL_PWAIT2,
    CALL_KQUEUE,
    CALL_KEVENT_ADD,
    CALL_KEVENT_DELETE,
    CALL_KEVENT_WAIT,
    CALL_RING_SETUP,
    CALL_RING_REGISTER,
    CALL_RING_SUBMIT,
    CALL_RING_LOOK,
    CALL_RING_WAIT,
    CALL_CQE_ACCEPT,
    CALL_CQE_CONNECT,
    CALL_CQE_RECV,
    CALL_CQE_SEND,
    CALL_CQE_POLL,
    CALL_CQE_WAKE,
    CALL_CQE_CANCEL,
    CALLS
};

enum manner { INSTEAD, AFTER, SHORT };

enum { FOR_EVER = 1 << 30 };

/** The calls number `nth` to `nth + times - 1` of this kind (the first is 0) fail. */
struct fault {
    enum call call;
    int nth, times;
    int err; /* errno; not for SHORT */
    enum manner manner;
};

/** Forgets all faults, and begins to count at 0. */
void faults_reset(void);
void faults_add(struct fault fault);

/** Something happens once, just before the next call of this kind: what another thread or a signal
 *  handler might do there. NULL: nothing does. */
void faults_in_between(enum call call, void (*happens)(void));

/** How often a call was made since the reset; how often a fault has hit; all calls together. */
int faults_count(enum call call);
int faults_hits(void);
long faults_calls(void);

/** Blocks of memory that the library holds just now. */
long faults_blocks(void);

/** How many bytes the last call of this kind asked for: recv, recvmsg, a ring's entries. */
size_t faults_asked(enum call call);

/** Has descriptors that are watched for edges told of once more. */
void faults_tell_again(int fd);

/** A ring completes a cancel and its op, often in one batch: which of the two is to come first. And
 *  how often the two were found together since then. */
enum order { ORDER_AS_IT_IS, ORDER_CANCEL_FIRST, ORDER_OP_FIRST };
void faults_order(enum order order);
int faults_pairs(void);

/* ---- for the files wrap_*.c ------------------------------------------------------------------ */

/** What is to become of the call that is made just now. */
struct verdict {
    bool hit;
    enum manner manner;
    int err;
};
struct verdict faults_judge(enum call call);

/** The same for calls that fail INSTEAD or not at all: true, and errno is set. */
bool faults_fails(enum call call);

/** Between these nothing is counted and nothing fails: calls of another library. */
void faults_leave_alone(bool on);

void faults_note_block(int change);
void faults_note_asked(enum call call, size_t len);

/** Whether such a pair is to be swapped. */
bool faults_swaps(bool cancel_is_first);

/** A file that knows how to tell again names its function. */
void faults_teller(void (*tell)(int fd));

#endif
