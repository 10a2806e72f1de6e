/*
 * wrap_kernel_windows.c: what the steps call beside Winsock: ports, events, threads, the console,
 * and the C library.
 *
 * A packet that tells of a failure has really been dequeued. GetQueuedCompletionStatus() returns
 * FALSE with it; GetQueuedCompletionStatusEx() returns TRUE, and only the OVERLAPPED knows.
 *
 * Sleep() is shortened: with what it waits for, a run of a part of a second would take seconds.
 */
#include "shim_windows.h"

#include <winternl.h>

#include <errno.h>
#include <io.h>
#include <process.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLEEP_PART_MS = 50 };

/* ---- ports ----------------------------------------------------------------------------------- */

OURS(HANDLE, CreateIoCompletionPort, HANDLE, HANDLE, ULONG_PTR, DWORD);
OURS(BOOL, PostQueuedCompletionStatus, HANDLE, DWORD, ULONG_PTR, OVERLAPPED *);
OURS(BOOL, GetQueuedCompletionStatus, HANDLE, DWORD *, ULONG_PTR *, OVERLAPPED **, DWORD);
OURS(BOOL, GetQueuedCompletionStatusEx, HANDLE, OVERLAPPED_ENTRY *, ULONG, ULONG *, DWORD, BOOL);
OURS(BOOL, CancelIoEx, HANDLE, OVERLAPPED *);

static HANDLE WINAPI our_CreateIoCompletionPort(HANDLE file, HANDLE port, ULONG_PTR key,
                                                DWORD threads)
{
    if (shim_fails(port == NULL ? WIN_PORT : WIN_PORT_ATTACH))
        return NULL;
    HANDLE result = REAL(CreateIoCompletionPort)(file, port, key, threads);
    shim_note_handle(port == NULL && result != NULL);
    return result;
}

static BOOL WINAPI our_PostQueuedCompletionStatus(HANDLE port, DWORD bytes, ULONG_PTR key,
                                                  OVERLAPPED *overlapped)
{
    if (shim_fails(WIN_POST))
        return FALSE;
    return REAL(PostQueuedCompletionStatus)(port, bytes, key, overlapped);
}

static BOOL WINAPI our_GetQueuedCompletionStatus(HANDLE port, DWORD *bytes, ULONG_PTR *key,
                                                 OVERLAPPED **overlapped, DWORD timeout_ms)
{
    (void)shim_judge(WIN_GET);
    BOOL ok = REAL(GetQueuedCompletionStatus)(port, bytes, key, overlapped, timeout_ms);
    DWORD err = GetLastError();
    if (*overlapped != NULL && ops_come_back(*overlapped)) {
        ok = FALSE;
        *bytes = 0;
        err = RtlNtStatusToDosError((NTSTATUS)(*overlapped)->Internal);
    }
    SetLastError(err);
    return ok;
}

static BOOL WINAPI our_GetQueuedCompletionStatusEx(HANDLE port, OVERLAPPED_ENTRY *entries,
                                                   ULONG room, ULONG *count, DWORD timeout_ms,
                                                   BOOL alertable)
{
    if (shim_judge(WIN_GET_MANY).hit)
        room = 1;
    BOOL ok = REAL(GetQueuedCompletionStatusEx)(port, entries, room, count, timeout_ms, alertable);
    DWORD err = GetLastError();
    for (ULONG i = 0; ok && i < *count; i++) {
        OVERLAPPED *overlapped = entries[i].lpOverlapped;
        if (overlapped != NULL && ops_come_back(overlapped)) {
            entries[i].dwNumberOfBytesTransferred = 0;
            entries[i].Internal = overlapped->Internal;
        }
    }
    SetLastError(err);
    return ok;
}

/* Cancelled it is, and says that it was not found: so it looks when the operation ends by itself in
 * this moment. Its packet comes in either case. */
static BOOL WINAPI our_CancelIoEx(HANDLE file, OVERLAPPED *overlapped)
{
    struct verdict verdict = shim_judge(WIN_CANCEL);
    BOOL ok = REAL(CancelIoEx)(file, overlapped);
    if (!verdict.hit)
        return ok;
    SetLastError((DWORD)verdict.err);
    return FALSE;
}

/* ---- events, threads, the console ------------------------------------------------------------ */

OURS(HANDLE, CreateEventA, SECURITY_ATTRIBUTES *, BOOL, BOOL, LPCSTR);
OURS(DWORD, WaitForSingleObject, HANDLE, DWORD);
OURS(BOOL, SetConsoleCtrlHandler, PHANDLER_ROUTINE, BOOL);
OURS(BOOL, CloseHandle, HANDLE);
OURS(void, Sleep, DWORD);
OURS(uintptr_t, _beginthreadex, void *, unsigned, _beginthreadex_proc_type, void *, unsigned,
     unsigned *);

static HANDLE WINAPI our_CreateEventA(SECURITY_ATTRIBUTES *security, BOOL manual, BOOL set,
                                      LPCSTR name)
{
    HANDLE made = shim_fails(WIN_EVENT) ? NULL : REAL(CreateEventA)(security, manual, set, name);
    shim_note_handle(made != NULL);
    return made;
}

static DWORD WINAPI our_WaitForSingleObject(HANDLE handle, DWORD timeout_ms)
{
    (void)shim_judge(WIN_WAIT);
    return REAL(WaitForSingleObject)(handle, timeout_ms);
}

static BOOL WINAPI our_SetConsoleCtrlHandler(PHANDLER_ROUTINE handler, BOOL add)
{
    return shim_fails(WIN_CONSOLE) ? FALSE : REAL(SetConsoleCtrlHandler)(handler, add);
}

static void WINAPI our_Sleep(DWORD time_ms)
{
    (void)shim_judge(WIN_SLEEP);
    REAL(Sleep)(time_ms < SLEEP_PART_MS ? time_ms : SLEEP_PART_MS);
}

static uintptr_t our__beginthreadex(void *security, unsigned stack, _beginthreadex_proc_type run,
                                    void *arg, unsigned flags, unsigned *id)
{
    struct verdict verdict = shim_judge(WIN_THREAD);
    uintptr_t made = 0;
    if (verdict.hit) { /* it sets both (Microsoft, "_beginthreadex") */
        errno = verdict.err;
        _doserrno = verdict.err == EACCES ? ERROR_ACCESS_DENIED : ERROR_NOT_ENOUGH_MEMORY;
    } else
        made = REAL(_beginthreadex)(security, stack, run, arg, flags, id);
    shim_note_handle(made != 0);
    return made;
}

/* Not judged: it fails for wrong handles only. */
static BOOL WINAPI our_CloseHandle(HANDLE handle)
{
    BOOL ok = REAL(CloseHandle)(handle);
    shim_note_handle(ok ? -1 : 0);
    return ok;
}

/* ---- the C library --------------------------------------------------------------------------- */

OURS(int, _write, int, const void *, unsigned);

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
int __real_fflush(FILE *stream);
int __real_write(int fd, const void *buf, unsigned len);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);
int __wrap_fflush(FILE *stream);
int __wrap_write(int fd, const void *buf, unsigned len);

void *__wrap_malloc(size_t size)
{
    void *block = shim_judge(CALL_MALLOC).hit ? NULL : __real_malloc(size);
    shim_note_block(block != NULL);
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = shim_judge(CALL_CALLOC).hit ? NULL : __real_calloc(count, size);
    shim_note_block(block != NULL);
    return block;
}

void __wrap_free(void *block)
{
    shim_note_block(block != NULL ? -1 : 0);
    __real_free(block);
}

int __wrap_fflush(FILE *stream)
{
    struct verdict verdict = shim_judge(CALL_FFLUSH);
    if (!verdict.hit)
        return __real_fflush(stream);
    errno = verdict.err;
    return EOF;
}

/* The totals, by either name of the call. */
static bool write_fails(unsigned *len)
{
    struct verdict verdict = shim_judge(WIN_TOTALS);
    if (verdict.hit && verdict.manner == BY_ONE && *len > 1)
        *len = 1;
    if (!verdict.hit || verdict.manner == BY_ONE)
        return false;
    errno = verdict.err;
    return true;
}

static int our__write(int fd, const void *buf, unsigned len)
{
    return write_fails(&len) ? -1 : REAL(_write)(fd, buf, len);
}

int __wrap_write(int fd, const void *buf, unsigned len)
{
    return write_fails(&len) ? -1 : __real_write(fd, buf, len);
}
