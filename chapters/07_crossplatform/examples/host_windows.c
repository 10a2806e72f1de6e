/*
 * host_windows.c: see host.h. For Windows 7 and later, and for Wine.
 */
#include "host.h"

#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

enum { HOST_LEN = 64 }; /* the longest IPv6 address has 45 characters */

/* ---- start and stop ---- */

/* There is no limit of descriptors to be raised: sockets are handles, as many as memory allows. */
void host_start(void)
{
    (void)_setmode(_fileno(stdout), _O_BINARY); /* fails for a stream that is closed only */
    (void)_setmode(_fileno(stderr), _O_BINARY);
}

enum { CLOSE_PATIENCE_MS = 4500 }; /* the system's own is 5,000 ms (HandlerRoutine) */

static atomic_bool stopping;
static SRWLOCK stop_lock = SRWLOCK_INIT; /* around stop_queue, and around its use */
static evq *stop_queue;                  /* NULL: nobody to be woken              */

/* Windows has no signals: the system starts a thread that calls this (HandlerRoutine). So it may
 * run at any time beside ours, and the queue must not go while it is being woken. */
//! [handler]
static BOOL WINAPI on_console_event(DWORD event)
{
    atomic_store(&stopping, true);
    AcquireSRWLockExclusive(&stop_lock);
    if (stop_queue != NULL)
        evq_wake(stop_queue);
    ReleaseSRWLockExclusive(&stop_lock);
    /* A console that is closed: the process ends as soon as this returns. main() is faster. */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT)
        (void)WaitForSingleObject(GetCurrentProcess(), CLOSE_PATIENCE_MS);
    return TRUE;
}
//! [handler]

static void set_stop_queue(evq *queue)
{
    AcquireSRWLockExclusive(&stop_lock);
    stop_queue = queue;
    ReleaseSRWLockExclusive(&stop_lock);
}

void host_stop_open(evq *queue)
{
    set_stop_queue(queue);
    (void)SetConsoleCtrlHandler(on_console_event, TRUE); /* without it Ctrl-C ends us, too */
}

bool host_is_stopping(void)
{
    return atomic_load(&stopping);
}

void host_stop_close(void)
{
    set_stop_queue(NULL);
}

/* ---- addresses ---- */

/* "[::1]:80" and "127.0.0.1:80" into their two parts. An IPv6 address needs its brackets. */
static int split(const char *text, char host[HOST_LEN], const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL)
        return -1;
    if (len == 0 || len >= HOST_LEN)
        return -1;
    memcpy(host, text, len);
    host[len] = '\0';
    *port = colon + 1;
    size_t digits = strspn(*port, "0123456789");
    return digits > 0 && digits <= 5 && (*port)[digits] == '\0' && atol(*port) <= 65535 ? 0 : -1;
}

int host_address(const char *text, struct sockaddr_storage *address, socklen_t *len)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    char host[HOST_LEN];
    const char *port;
    if (split(text, host, &port) < 0 || getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    memcpy(address, found->ai_addr, found->ai_addrlen);
    *len = (socklen_t)found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* ---- threads ---- */

static unsigned __stdcall run_thread(void *arg)
{
    struct host_thread *thread = arg;
    thread->run(thread->arg);
    return 0;
}

/* _beginthreadex() and not CreateThread(): the threads use the C library. */
int host_thread_start(struct host_thread *thread, void (*run)(void *), void *arg)
{
    thread->run = run;
    thread->arg = arg;
    thread->handle[0] = _beginthreadex(NULL, 0, run_thread, thread, 0, NULL);
    return thread->handle[0] == 0 ? -1 : 0;
}

void host_thread_join(struct host_thread *thread)
{
    HANDLE handle = (HANDLE)thread->handle[0];
    (void)WaitForSingleObject(handle, INFINITE);
    (void)CloseHandle(handle);
}

int host_lock_open(struct host_lock *lock)
{
    SRWLOCK *native = malloc(sizeof *native);
    lock->native = native;
    if (native == NULL)
        return -1;
    InitializeSRWLock(native);
    return 0;
}

void host_lock_take(struct host_lock *lock)
{
    AcquireSRWLockExclusive(lock->native);
}

void host_lock_give(struct host_lock *lock)
{
    ReleaseSRWLockExclusive(lock->native);
}

void host_lock_close(struct host_lock *lock)
{
    free(lock->native);
}

int host_processors(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors < 1 ? 1 : (int)info.dwNumberOfProcessors;
}

/* ---- files ---- */

enum { PATH_MOST = 2048 };

/* UTF-8 to the system's UTF-16. False: it is not UTF-8, or too long. */
static bool to_wide(const char *text, wchar_t *wide, int size)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, size) > 0;
}

/* FILE_FLAG_BACKUP_SEMANTICS lets it open folders, too. Others may write, rename and delete. */
static HANDLE open_path(const wchar_t *path)
{
    return CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

static bool is_folder(HANDLE handle)
{
    BY_HANDLE_FILE_INFORMATION info;
    return GetFileInformationByHandle(handle, &info) &&
           (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

/* The name that is left when every link was followed. False: too long. */
static bool final_name(HANDLE handle, wchar_t path[PATH_MOST])
{
    DWORD len = GetFinalPathNameByHandleW(handle, path, PATH_MOST, FILE_NAME_NORMALIZED);
    return len > 0 && len < PATH_MOST;
}

int host_folder_open(struct host_folder *folder, const char *path, const char **why)
{
    static wchar_t wide[PATH_MOST], whole[PATH_MOST];
    folder->handle = (intptr_t)INVALID_HANDLE_VALUE;
    folder->path = NULL;
    *why = "there is no such folder";
    HANDLE handle = to_wide(path, wide, PATH_MOST) ? open_path(wide) : INVALID_HANDLE_VALUE;
    if (handle == INVALID_HANDLE_VALUE)
        return -1;
    if (is_folder(handle) && final_name(handle, whole))
        folder->path = _wcsdup(whole);
    (void)CloseHandle(handle); /* it was only read */
    if (folder->path == NULL)
        return -1;
    size_t len = wcslen(folder->path);
    if (((wchar_t *)folder->path)[len - 1] == L'\\')
        ((wchar_t *)folder->path)[len - 1] = L'\0'; /* of "C:\" */
    return 0;
}

/* "NUL", "com1.txt" and their like are devices, in every folder (Naming Files, Paths, and
 * Namespaces). */
static bool is_device(const char *part, size_t len)
{
    static const char *const names[] = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
    size_t stem = strcspn(part, ". ");
    stem = stem < len ? stem : len;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (stem == strlen(names[i]) && _strnicmp(part, names[i], stem) == 0)
            return true;
    /* COM0 to COM9, and with superscript digits, which are two bytes. */
    return stem >= 4 && stem <= 5 &&
           (_strnicmp(part, "COM", 3) == 0 || _strnicmp(part, "LPT", 3) == 0);
}

static bool is_plain_part(const char *part, size_t len)
{
    if (len == 0 || part[len - 1] == '.' || part[len - 1] == ' ') /* the system would drop them */
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)part[i] < 0x20 || strchr("\\:*?\"<>|", part[i]) != NULL)
            return false;
    return !is_device(part, len);
}

static bool is_plain(const char *name)
{
    if (*name == '\0')
        return true;
    for (;; name++) {
        size_t len = strcspn(name, "/");
        if (!is_plain_part(name, len))
            return false;
        name += len;
        if (*name == '\0')
            return true;
    }
}

/* The folder's path, '\', and the name with '\' for '/'. False: not UTF-8, or too long. */
static bool join(const struct host_folder *folder, const char *name, wchar_t path[PATH_MOST])
{
    size_t len = wcslen(folder->path);
    if (len + 2 > PATH_MOST)
        return false;
    wmemcpy(path, folder->path, len + 1);
    if (*name == '\0')
        return true;
    path[len++] = L'\\';
    if (!to_wide(name, path + len, (int)(PATH_MOST - len)))
        return false;
    for (; path[len] != L'\0'; len++)
        if (path[len] == L'/')
            path[len] = L'\\';
    return true;
}

/* Opened under this very name, with no link on the way to it. */
static bool is_where_it_seems(HANDLE handle, const wchar_t *path)
{
    static wchar_t real[PATH_MOST];
    return final_name(handle, real) && CompareStringOrdinal(real, -1, path, -1, TRUE) == CSTR_EQUAL;
}

static bool describe(HANDLE handle, struct host_file *file)
{
    const uint64_t from_1601_to_1970_s = 11644473600, ticks = 10000000;
    BY_HANDLE_FILE_INFORMATION info;
    if (GetFileType(handle) != FILE_TYPE_DISK || !GetFileInformationByHandle(handle, &info))
        return false;
    uint64_t written =
        (uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 | info.ftLastWriteTime.dwLowDateTime;
    file->handle = (intptr_t)handle;
    file->size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    file->modified_s = (int64_t)(written / ticks) - (int64_t)from_1601_to_1970_s;
    return true;
}

enum host_found host_file_open(struct host_file *file, const struct host_folder *folder,
                               const char *name)
{
    static wchar_t path[PATH_MOST];
    if (!is_plain(name) || !join(folder, name, path))
        return HOST_NOTHING;
    HANDLE handle = open_path(path);
    if (handle == INVALID_HANDLE_VALUE)
        return GetLastError() == ERROR_TOO_MANY_OPEN_FILES ? HOST_OUT_OF_FILES : HOST_NOTHING;
    enum host_found found = HOST_NOTHING;
    if (is_where_it_seems(handle, path))
        found = is_folder(handle) ? HOST_FOLDER : describe(handle, file) ? HOST_FILE : HOST_NOTHING;
    if (found != HOST_FILE)
        (void)CloseHandle(handle);
    return found;
}

int64_t host_file_read(const struct host_file *file, uint64_t offset, void *buf, size_t len)
{
    OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    DWORD got = 0;
    DWORD most = len < 0x40000000 ? (DWORD)len : 0x40000000;
    if (ReadFile((HANDLE)file->handle, buf, most, &got,
                 &at)) /* it waits: opened without OVERLAPPED */
        return got;
    return GetLastError() == ERROR_HANDLE_EOF ? 0 : -1;
}

void host_file_close(struct host_file *file)
{
    (void)CloseHandle((HANDLE)file->handle);
}

void host_folder_close(struct host_folder *folder)
{
    free(folder->path);
    folder->path = NULL;
}
