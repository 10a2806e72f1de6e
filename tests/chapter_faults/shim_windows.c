/*
 * shim_windows.c: see shim.h and shim_windows.h.
 */
#define WIN32_NO_STATUS /* all of them are in ntstatus.h */
#include "shim_windows.h"
#undef WIN32_NO_STATUS

#include "windows_errors.h"

#include <winternl.h>

#include <ntstatus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LENT_MAX = 256, PATH_LEN = 300 };

#define IS_SAME(name, number) _Static_assert((int64_t)(name) == (number), #name);
WINDOWS_ERRORS(IS_SAME)
#define IS_SAME_STATUS(name, number) _Static_assert((uint32_t)(name) == (number), #name);
WINDOWS_STATUSES(IS_SAME_STATUS)

static struct board nowhere, *board = &nowhere;
static bool is_open; /* before main() has called WSAStartup(), nothing is the step's */

static struct lent {
    OVERLAPPED *overlapped;
    enum call call;
    struct verdict verdict; /* of a send: it is known from the beginning */
} lent[LENT_MAX];
static size_t lent_count;
static SRWLOCK lent_lock = SRWLOCK_INIT; /* for both */

/* ---- orders ---------------------------------------------------------------------------------- */

/* The test maps the same file: Wine's drive Z: is the root of the system below. */
static void map_board(const char *path)
{
    char name[PATH_LEN];
    (void)snprintf(name, sizeof name, "Z:%s", path);
    HANDLE file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE map = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    void *place = map != NULL ? MapViewOfFile(map, FILE_MAP_WRITE, 0, 0, sizeof *board) : NULL;
    if (place == NULL) {
        (void)fprintf(stderr, "shim: no board: error %lu\n", GetLastError());
        exit(99);
    }
    board = place;
}

void shim_open(void)
{
    const char *path = getenv(BOARD_VARIABLE);
    if (path != NULL)
        map_board(path);
    orders_read(getenv(FAULTS_VARIABLE));
    is_open = true;
}

/* ---- for the calls --------------------------------------------------------------------------- */

struct verdict shim_judge(enum call call)
{
    if (!is_open)
        return (struct verdict){.hit = false};
    return orders_judge(board, call);
}

bool shim_fails(enum call call)
{
    struct verdict verdict = shim_judge(call);
    if (verdict.hit)
        SetLastError((DWORD)verdict.err);
    return verdict.hit;
}

void shim_note_block(int change)
{
    if (is_open)
        atomic_fetch_add(&board->blocks, change);
}

void shim_note_handle(int change)
{
    if (is_open)
        atomic_fetch_add(&board->handles, change);
}

void shim_note_early(void)
{
    atomic_fetch_add(&board->early, 1);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Its call is CALLS when it is none of ours. */
static struct lent take_back(const OVERLAPPED *overlapped)
{
    struct lent found = {.call = CALLS};
    AcquireSRWLockExclusive(&lent_lock);
    for (size_t i = 0; i < lent_count; i++)
        if (lent[i].overlapped == overlapped) {
            found = lent[i];
            lent[i] = lent[--lent_count];
            break;
        }
    ReleaseSRWLockExclusive(&lent_lock);
    return found;
}

bool ops_lend(OVERLAPPED *overlapped, enum call call)
{
    struct lent new = {.overlapped = overlapped, .call = call};
    if (call == WIN_SEND_ENDS)
        new.verdict = shim_judge(call);
    (void)take_back(overlapped); /* of an operation whose end nobody has asked for */
    AcquireSRWLockExclusive(&lent_lock);
    if (lent_count < LENT_MAX)
        lent[lent_count++] = new;
    ReleaseSRWLockExclusive(&lent_lock);
    return new.verdict.hit;
}

void ops_forget(const OVERLAPPED *overlapped)
{
    (void)take_back(overlapped);
}

//! [come_back]
bool ops_come_back(OVERLAPPED *overlapped)
{
    struct lent back = take_back(overlapped);
    if (back.call == CALLS || windows_status_is_failure((int)overlapped->Internal))
        return false;
    if (back.call != WIN_SEND_ENDS)
        back.verdict = shim_judge(back.call);
    if (back.verdict.hit) {
        overlapped->Internal = (DWORD)back.verdict.err; /* an NTSTATUS */
        overlapped->InternalHigh = 0;                   /* bytes       */
    }
    return back.verdict.hit;
}
//! [come_back]
