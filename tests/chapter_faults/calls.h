/*
 * calls: what a step of the chapters asks of its system, and what can fail.
 *
 * The steps are programs of their own, so the faults are injected inside of them: the linker gives
 * the files wrap_*.c each call that a step makes (ld --wrap), as in test_conn and test_evq_faults.
 * That, and not a library for LD_PRELOAD, because it meets exactly the calls of the chapter's own
 * sources, none of those that the C library makes for itself, and works beside the sanitizers.
 *
 * Windows programs are met in the same way: there a call into a DLL goes through a pointer, and
 * that is what the linker replaces (--wrap=__imp_NAME). They run by Wine; the board is mapped, too.
 *
 * The test says by the environment what is to fail, and reads in a file that both map what came of
 * it (the board). So it learns the counts, too, when the step has crashed.
 */
#ifndef CHAPTER_FAULTS_CALLS_H
#define CHAPTER_FAULTS_CALLS_H

#include <stdatomic.h>

/** A call that means several things stands here once for each. */
enum call {
    CALL_SOCKET,
    CALL_SET_REUSEADDR,
    CALL_SET_REUSEPORT,
    CALL_BIND,
    CALL_LISTEN,
    CALL_GETSOCKNAME,
    CALL_SET_CLOEXEC,
    CALL_GET_FLAGS,
    CALL_SET_FLAGS,
    CALL_FFLUSH,
    CALL_PIPE,
    CALL_ACCEPT,
    CALL_SET_NODELAY,
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_THREAD,
    CALL_MUTEX,
    CALL_RECV,
    CALL_SEND,
    CALL_SHUTDOWN,
    CALL_CLOSE,
    CALL_SELECT,
    CALL_POLL,
    CALL_EPOLL_CREATE,
    CALL_EPOLL_ADD,
    CALL_EPOLL_MOD,
    CALL_EPOLL_WAIT,
    CALL_EVENTFD,
    CALL_EVENTFD_WRITE,
    CALL_KQUEUE,
    CALL_KEVENT_NOW,
    CALL_KEVENT_CHANGE,
    CALL_KEVENT_WAIT,
    CALL_FORK,
    CALL_WAITPID,
    CALL_MKSTEMP,
    CALL_UNLINK,
    CALL_NANOSLEEP,
    CALL_SLEEP,
    CALL_READ,
    CALL_WRITE,
    CALL_TOTALS,

    /* Windows. What an operation comes to is a call of its own: its packet, or what
     * WSAGetOverlappedResult() says of one that has an event. */
    WIN_STARTUP,
    WIN_CONSOLE,
    WIN_GETADDRINFO,
    WIN_SOCKET,
    WIN_SET_EXCLUSIVE,
    WIN_BIND,
    WIN_LISTEN,
    WIN_GETSOCKNAME,
    WIN_GETNAMEINFO,
    WIN_ACCEPT,
    WIN_SET_NODELAY,
    WIN_SET_CONTEXT,
    WIN_RECV,
    WIN_SEND,
    WIN_CLOSE,
    WIN_SLEEP,
    WIN_EVENT,
    WIN_EVENT_CREATE,
    WIN_EVENT_RESET,
    WIN_EVENT_SET,
    WIN_EVENT_SELECT,
    WIN_EVENT_WAIT,
    WIN_RECV_SUBMIT,
    WIN_SEND_SUBMIT,
    WIN_ACCEPT_SUBMIT,
    WIN_RECV_ENDS,
    WIN_SEND_ENDS,
    WIN_ACCEPT_ENDS,
    WIN_RESULT,
    WIN_CANCEL,
    WIN_IOCTL,
    WIN_PORT,
    WIN_PORT_ATTACH,
    WIN_POST,
    WIN_GET,
    WIN_GET_MANY,
    WIN_WAIT,
    WIN_THREAD,
    WIN_TOTALS,
    CALLS
};

/** A fault keeps the kernel's promises, or else the step could not be blamed. */
enum manner {
    INSTEAD, /* nothing was done, and the call says so                              */
    AFTER,   /* it was done, and still it fails: a close() that fails has closed    */
    BY_ONE,  /* it moves 1 byte (takes 1 packet), however much it is asked for      */
    LATE     /* it was done, and does not fail; but its caller goes on much later   */
};

enum { FOR_EVER = 1 << 30, FAULTS_MAX = 4 };

/** The calls number `nth` to `nth + times - 1` of this kind (the first is 0) fail. */
struct fault {
    enum call call;
    int nth, times;
    enum manner manner;
    int err; /* not for BY_ONE and LATE: errno; on Windows what the call has: windows_errors.h */
};

/* What the step finds in its environment: numbers, "call:nth:times:manner:err", and commas between
 * several faults; and the path of the board. */
#define FAULTS_VARIABLE "FAULTS"
#define BOARD_VARIABLE  "FAULTS_BOARD"

/** What the step writes down while it runs. Types that are as large on every system. */
struct board {
    atomic_int counts[CALLS]; /* how often each call was made                       */
    atomic_int hits;          /* how often the first of the faults has had its turn */
    atomic_llong all;         /* all calls together                                 */
    atomic_llong blocks;      /* blocks of memory that its own code holds           */
    atomic_int handles;       /* Windows: those that its own code holds             */
    atomic_int early;         /* Windows: accept() had to say WSAEWOULDBLOCK        */
};

/** The name of a call, as it stands in the table. */
const char *call_name(enum call call);

#endif
