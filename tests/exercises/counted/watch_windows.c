/*
 * watch_windows: stands between a Windows program and Winsock, and watches what is lent.
 *
 * A program that is linked with it, so that its calls go here first (the linker's --wrap), ends
 * with status 99 and one line "watch: ..." as soon as it breaks a rule that Windows has and that a
 * quiet run does not show:
 *
 *     an OVERLAPPED has one operation in flight, and no more
 *     a buffer that a receive has borrowed is lent to nobody else
 *     nothing that is in flight lies on the stack, in a function that has returned
 *     nothing that is in flight is freed; what is freed is painted, so that nobody reads it by luck
 *
 * An operation is in flight from its call until its packet has been dequeued, whatever CancelIoEx()
 * or closesocket() have been asked in between ("WSARecv function", "CancelIoEx function").
 *
 * The grader asks for more by the environment:
 *
 *     WATCH_ACCEPTS=N         never wait with fewer AcceptEx in flight; but until it stops
 *     WATCH_BOTH=1            say when a receive and a send of one socket are in flight
 *     WATCH_CANCEL=not_found  the first receive that is to be cancelled is not found: its packet is
 *                             about to come
 *     WATCH_CANCEL=too_late   the same, but it is found; its packet brings success all the same
 *
 * For both of the last ones the grader lets the peer send, so the packet does come. Of several
 * buffers of one call the first one is watched: the servers of this course use no more.
 */
#include <winsock2.h>

#include <mswsock.h>

#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LENT = 4096, STATUS_WATCH = 99, PAINT = 0xdd };

/* ---- the calls that are watched -------------------------------------------------------------- */

typedef int WSAAPI recv_call(SOCKET, WSABUF *, DWORD, DWORD *, DWORD *, OVERLAPPED *,
                             LPWSAOVERLAPPED_COMPLETION_ROUTINE);
typedef int WSAAPI send_call(SOCKET, WSABUF *, DWORD, DWORD *, DWORD, OVERLAPPED *,
                             LPWSAOVERLAPPED_COMPLETION_ROUTINE);
typedef int WSAAPI ioctl_call(SOCKET, DWORD, void *, DWORD, void *, DWORD, DWORD *, OVERLAPPED *,
                              LPWSAOVERLAPPED_COMPLETION_ROUTINE);
typedef BOOL WINAPI accept_call(SOCKET, SOCKET, void *, DWORD, DWORD, DWORD, DWORD *, OVERLAPPED *);
typedef BOOL WINAPI get_call(HANDLE, DWORD *, ULONG_PTR *, OVERLAPPED **, DWORD);
typedef BOOL WINAPI get_many_call(HANDLE, OVERLAPPED_ENTRY *, ULONG, ULONG *, DWORD, BOOL);
typedef BOOL WINAPI cancel_call(HANDLE, OVERLAPPED *);

/* A call into a DLL goes through a pointer: that is what the linker puts ours in the place of. */
extern recv_call *__real___imp_WSARecv;
extern send_call *__real___imp_WSASend;
extern ioctl_call *__real___imp_WSAIoctl;
extern get_call *__real___imp_GetQueuedCompletionStatus;
extern get_many_call *__real___imp_GetQueuedCompletionStatusEx;
extern cancel_call *__real___imp_CancelIoEx;
void __real_free(void *block);
void __wrap_free(void *block);

static accept_call *real_accept_ex;

/* ---- what is lent ---------------------------------------------------------------------------- */

struct lent {
    const char *call; /* one of the names below */
    SOCKET socket;
    OVERLAPPED *overlapped;
    const char *buf;
    size_t len;
    bool is_forced; /* CancelIoEx answers for it as WATCH_CANCEL says */
};

static const char RECV[] = "WSARecv", SEND[] = "WSASend", ACCEPT[] = "AcceptEx";

static SRWLOCK lock = SRWLOCK_INIT; /* for all that follows */
static struct lent table[MAX_LENT];
static size_t count;
static SOCKET listener = INVALID_SOCKET; /* once an AcceptEx was submitted */
static bool is_leaving, both_told, has_forced;

static void say(const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)fprintf(stderr, "watch: %s\n", line);
    (void)fflush(stderr);
}

static void ends(void)
{
    (void)TerminateProcess(GetCurrentProcess(), STATUS_WATCH);
}

static const char *a(const char *call)
{
    return call == ACCEPT ? "an AcceptEx" : call == RECV ? "a WSARecv" : "a WSASend";
}

static bool is_within(const void *address, const void *begin, size_t len)
{
    return (ULONG_PTR)address - (ULONG_PTR)begin < len;
}

static bool share_memory(const struct lent *one, const struct lent *other)
{
    if (one->len == 0 || other->len == 0)
        return false;
    return is_within(one->buf, other->buf, other->len) || is_within(other->buf, one->buf, one->len);
}

static void compare(const struct lent *new, const struct lent *old)
{
    if (new->overlapped == old->overlapped)
        say("an OVERLAPPED is given to %s, and %s is still in flight with it", a(new->call),
            a(old->call));
    else if (share_memory(new, old) && (new->call != SEND || old->call != SEND))
        say("memory is lent to %s, and %s that is in flight has it already", a(new->call),
            a(old->call));
    else
        return;
    ends();
}

static void tell_both(const struct lent *new, const struct lent *old)
{
    if (both_told || new->socket != old->socket || new->call == old->call ||
        getenv("WATCH_BOTH") == NULL)
        return;
    both_told = true;
    say("a receive and a send of one socket are in flight");
}

/* Before the call: from then on a packet may come at any time. */
static void lend(struct lent new)
{
    if (new.overlapped == NULL)
        return;
    AcquireSRWLockExclusive(&lock);
    for (size_t i = 0; i < count; i++) {
        compare(&new, &table[i]);
        tell_both(&new, &table[i]);
    }
    if (count < MAX_LENT)
        table[count++] = new;
    if (new.call == ACCEPT)
        listener = new.socket;
    ReleaseSRWLockExclusive(&lock);
}

static void comes_back(const OVERLAPPED *overlapped)
{
    AcquireSRWLockExclusive(&lock);
    for (size_t i = 0; i < count; i++)
        if (table[i].overlapped == overlapped) {
            table[i] = table[--count];
            break;
        }
    ReleaseSRWLockExclusive(&lock);
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* Any error but this one says that nothing was begun, and no packet comes ("WSARecv function"). */
static void unless_begun(bool done, const OVERLAPPED *overlapped)
{
    int err = WSAGetLastError();
    if (!done && err != WSA_IO_PENDING)
        comes_back(overlapped);
    WSASetLastError(err);
}

static int WSAAPI watched_recv(SOCKET socket, WSABUF *bufs, DWORD bufs_len, DWORD *bytes,
                               DWORD *flags, OVERLAPPED *overlapped,
                               LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    lend((struct lent){RECV, socket, overlapped, bufs[0].buf, bufs[0].len, false});
    int result = __real___imp_WSARecv(socket, bufs, bufs_len, bytes, flags, overlapped, routine);
    unless_begun(result == 0, overlapped);
    return result;
}

static int WSAAPI watched_send(SOCKET socket, WSABUF *bufs, DWORD bufs_len, DWORD *bytes,
                               DWORD flags, OVERLAPPED *overlapped,
                               LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    lend((struct lent){SEND, socket, overlapped, bufs[0].buf, bufs[0].len, false});
    int result = __real___imp_WSASend(socket, bufs, bufs_len, bytes, flags, overlapped, routine);
    unless_begun(result == 0, overlapped);
    return result;
}

static BOOL WINAPI watched_accept_ex(SOCKET from, SOCKET socket, void *buf, DWORD data_len,
                                     DWORD local_len, DWORD remote_len, DWORD *bytes,
                                     OVERLAPPED *overlapped)
{
    lend((struct lent){ACCEPT, from, overlapped, buf, data_len + local_len + remote_len, false});
    BOOL result =
        real_accept_ex(from, socket, buf, data_len, local_len, remote_len, bytes, overlapped);
    unless_begun(result, overlapped);
    return result;
}

/* AcceptEx is no function of a library: the program asks for its address, and gets ours. */
static int WSAAPI watched_ioctl(SOCKET socket, DWORD code, void *in, DWORD in_len, void *out,
                                DWORD out_len, DWORD *bytes, OVERLAPPED *overlapped,
                                LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    static const GUID accept_guid = WSAID_ACCEPTEX;
    accept_call *ours = watched_accept_ex;
    int result =
        __real___imp_WSAIoctl(socket, code, in, in_len, out, out_len, bytes, overlapped, routine);
    if (result != 0 || code != SIO_GET_EXTENSION_FUNCTION_POINTER || out_len < sizeof ours ||
        in_len != sizeof accept_guid || memcmp(in, &accept_guid, sizeof accept_guid) != 0)
        return result;
    memcpy(&real_accept_ex, out, sizeof real_accept_ex);
    memcpy(out, &ours, sizeof ours);
    return result;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Below the frame of the call that waits lies what functions have left that were called before. */
static void look_at_the_stack(const char *here)
{
    MEMORY_BASIC_INFORMATION stack;
    if (VirtualQuery(here, &stack, sizeof stack) == 0)
        return;
    const char *end = stack.AllocationBase;
    size_t left = (size_t)((ULONG_PTR)here - (ULONG_PTR)end);
    for (size_t i = 0; i < count; i++) {
        bool is_overlapped = is_within(table[i].overlapped, end, left);
        if (!is_overlapped && !is_within(table[i].buf, end, left))
            continue;
        say("the %s of %s in flight lies on the stack, in a function that has returned",
            is_overlapped ? "OVERLAPPED" : "buffer", a(table[i].call));
        ends();
    }
}

static void look_at_the_slots(void)
{
    const char *least = getenv("WATCH_ACCEPTS");
    long posted = 0;
    for (size_t i = 0; i < count; i++)
        posted += table[i].call == ACCEPT;
    if (least == NULL || listener == INVALID_SOCKET || is_leaving ||
        posted >= strtol(least, NULL, 10))
        return;
    say("it waits with %ld AcceptEx in flight, and not with %s", posted, least);
    ends();
}

static void before_it_waits(const char *here)
{
    AcquireSRWLockExclusive(&lock);
    look_at_the_stack(here);
    look_at_the_slots();
    ReleaseSRWLockExclusive(&lock);
}

static BOOL WINAPI watched_get(HANDLE port, DWORD *bytes, ULONG_PTR *key, OVERLAPPED **overlapped,
                               DWORD timeout_ms)
{
    char here = 0;
    before_it_waits(&here);
    BOOL result = __real___imp_GetQueuedCompletionStatus(port, bytes, key, overlapped, timeout_ms);
    DWORD err = GetLastError();
    if (*overlapped != NULL)
        comes_back(*overlapped);
    SetLastError(err);
    return result;
}

static BOOL WINAPI watched_get_many(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *got,
                                    DWORD timeout_ms, BOOL alertable)
{
    char here = 0;
    before_it_waits(&here);
    BOOL result =
        __real___imp_GetQueuedCompletionStatusEx(port, entries, room, got, timeout_ms, alertable);
    DWORD err = GetLastError();
    for (ULONG i = 0; result && i < *got; i++)
        comes_back(entries[i].lpOverlapped);
    SetLastError(err);
    return result;
}

/* ---- cancelling, and freeing ----------------------------------------------------------------- */

/* The receive of this socket whose cancelling comes out as the grader wants; or NULL. */
static const struct lent *forced_receive(SOCKET socket)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].call != RECV || table[i].socket != socket)
            continue;
        if (!has_forced && getenv("WATCH_CANCEL") != NULL)
            table[i].is_forced = has_forced = true;
        return table[i].is_forced ? &table[i] : NULL;
    }
    return NULL;
}

static BOOL WINAPI watched_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    AcquireSRWLockExclusive(&lock);
    is_leaving = is_leaving || (SOCKET)handle == listener;
    const struct lent *forced = forced_receive((SOCKET)handle);
    ReleaseSRWLockExclusive(&lock);
    if (forced == NULL)
        return __real___imp_CancelIoEx(handle, overlapped);
    bool is_found = strcmp(getenv("WATCH_CANCEL"), "too_late") == 0;
    say("CancelIoEx says %s", is_found ? "TRUE" : "FALSE, ERROR_NOT_FOUND");
    SetLastError(is_found ? 0 : ERROR_NOT_FOUND);
    return is_found;
}

void __wrap_free(void *block)
{
    size_t len = block == NULL ? 0 : _msize(block);
    AcquireSRWLockExclusive(&lock);
    for (size_t i = 0; i < count; i++)
        if (is_within(table[i].overlapped, block, len) || is_within(table[i].buf, block, len)) {
            say("memory is freed that %s in flight has borrowed", a(table[i].call));
            ends();
        }
    ReleaseSRWLockExclusive(&lock);
    if (block != NULL)
        memset(block, PAINT, len);
    __real_free(block);
}

/* ---- in the place of the pointers ------------------------------------------------------------ */

recv_call *__wrap___imp_WSARecv = watched_recv;
send_call *__wrap___imp_WSASend = watched_send;
ioctl_call *__wrap___imp_WSAIoctl = watched_ioctl;
get_call *__wrap___imp_GetQueuedCompletionStatus = watched_get;
get_many_call *__wrap___imp_GetQueuedCompletionStatusEx = watched_get_many;
cancel_call *__wrap___imp_CancelIoEx = watched_cancel;
