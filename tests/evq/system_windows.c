/*
 * system_windows.c: see system.h. There are no forks, no signals and no limit of descriptors here.
 */
#include "system.h"

#include <evq_platform.h>
#include <process.h>
#include <stdlib.h>
#include <windows.h>

/* Wine's ntdll has a function that Windows' does not have. */
const char *system_emulates(const char *backend)
{
    (void)backend;
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL ? "by Wine" : NULL;
}

int system_descriptors(void)
{
    DWORD count;
    return GetProcessHandleCount(GetCurrentProcess(), &count) ? (int)count : -1;
}

/* ---- limits ---------------------------------------------------------------------------------- */

bool system_wants_descriptors(int n)
{
    (void)n;
    return true;
}

bool system_leaves_descriptors(int n)
{
    (void)n;
    return false;
}

bool system_counts_what_was_sent(void)
{
    return false;
}

static int64_t filetime_ns(FILETIME time)
{
    return (int64_t)((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) * 100;
}

int64_t system_cpu_ns(void)
{
    FILETIME created, ended, in_kernel, in_user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &in_kernel, &in_user))
        return 0;
    return filetime_ns(in_kernel) + filetime_ns(in_user);
}

/* ---- children ------------------------------------------------------------------------------- */

bool system_asserts(void (*run)(void), bool *able)
{
    (void)run;
    *able = false;
    return false;
}

int system_child(int (*run)(void), bool *able)
{
    (void)run;
    *able = false;
    return -1;
}

/* ---- signals -------------------------------------------------------------------------------- */

bool system_signal_every_ms(int ms, void (*run)(void))
{
    (void)ms;
    (void)run;
    return false;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

int system_is_nonblocking(evq_fd fd)
{
    (void)fd;
    return -1;
}

int system_is_close_on_exec(evq_fd fd)
{
    DWORD flags;
    if (!GetHandleInformation((HANDLE)fd, &flags))
        return -1;
    return (flags & HANDLE_FLAG_INHERIT) == 0;
}

bool system_is_open(evq_fd fd)
{
    int type, len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, (char *)&type, &len) == 0;
}

bool system_dup(evq_fd fd, evq_fd *copy)
{
    WSAPROTOCOL_INFOW info;
    if (WSADuplicateSocketW(fd, GetCurrentProcessId(), &info) != 0)
        return false;
    *copy = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                       WSA_FLAG_OVERLAPPED);
    return *copy != INVALID_SOCKET;
}

bool system_no_socket(evq_fd *fd)
{
    HANDLE null = CreateFileW(L"NUL", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    *fd = (evq_fd)null;
    return null != INVALID_HANDLE_VALUE;
}

void system_setenv(const char *name, const char *value)
{
    (void)_putenv_s(name, value != NULL ? value : "");
}

/* ---- errors ---------------------------------------------------------------------------------- */

static const struct evq_os_error expected_errors[] = {
    {WSA_OPERATION_ABORTED, EVQ_ECANCELED},
    {WSAESHUTDOWN, EVQ_ECLOSED},
    {WSAECONNRESET, EVQ_ECONNRESET},
    {WSAECONNABORTED, EVQ_ECONNRESET},
    {WSAENETRESET, EVQ_ECONNRESET},
    {WSAEDISCON, EVQ_ECONNRESET},
    {ERROR_NETNAME_DELETED, EVQ_ECONNRESET},
    {ERROR_CONNECTION_ABORTED, EVQ_ECONNRESET},
    {WSAECONNREFUSED, EVQ_ECONNREFUSED},
    {ERROR_CONNECTION_REFUSED, EVQ_ECONNREFUSED},
    {WSAETIMEDOUT, EVQ_ETIMEDOUT},
    {ERROR_SEM_TIMEOUT, EVQ_ETIMEDOUT},
    {WSAENETUNREACH, EVQ_EUNREACH},
    {WSAEHOSTUNREACH, EVQ_EUNREACH},
    {WSAENETDOWN, EVQ_EUNREACH},
    {WSAEHOSTDOWN, EVQ_EUNREACH},
    {ERROR_NETWORK_UNREACHABLE, EVQ_EUNREACH},
    {ERROR_HOST_UNREACHABLE, EVQ_EUNREACH},
    {WSAENOTCONN, EVQ_ENOTCONN},
    {WSAEADDRINUSE, EVQ_EADDR},
    {WSAEADDRNOTAVAIL, EVQ_EADDR},
    {WSAEMFILE, EVQ_EMFILE},
    {ERROR_TOO_MANY_OPEN_FILES, EVQ_EMFILE},
    {WSAENOBUFS, EVQ_ENOMEM},
    {WSA_NOT_ENOUGH_MEMORY, EVQ_ENOMEM},
    {ERROR_OUTOFMEMORY, EVQ_ENOMEM},
    {ERROR_NO_SYSTEM_RESOURCES, EVQ_ENOMEM},
    {ERROR_WORKING_SET_QUOTA, EVQ_ENOMEM},
    {WSAEWOULDBLOCK, EVQ_ENOMEM},
    {WSAEACCES, EVQ_EACCES},
    {ERROR_ACCESS_DENIED, EVQ_EACCES},
    {WSAEINVAL, EVQ_EINVAL},
    {WSAEBADF, EVQ_EINVAL},
    {WSAEFAULT, EVQ_EINVAL},
    {WSAEISCONN, EVQ_EINVAL},
    {WSAEALREADY, EVQ_EINVAL},
    {WSAEDESTADDRREQ, EVQ_EINVAL},
    {WSA_INVALID_PARAMETER, EVQ_EINVAL},
    {WSA_INVALID_HANDLE, EVQ_EINVAL},
    {WSAENOTSOCK, EVQ_ENOTSUP},
    {WSAEOPNOTSUPP, EVQ_ENOTSUP},
    {WSAEAFNOSUPPORT, EVQ_ENOTSUP},
    {WSAEPROTONOSUPPORT, EVQ_ENOTSUP},
    {WSAESOCKTNOSUPPORT, EVQ_ENOTSUP},
    {WSAEPROTOTYPE, EVQ_ENOTSUP},
    {WSAENOPROTOOPT, EVQ_ENOTSUP},
    {WSASYSNOTREADY, EVQ_ENOTSUP},
    {WSAVERNOTSUPPORTED, EVQ_ENOTSUP},
};

const struct evq_os_error *system_expected_errors(size_t *count)
{
    *count = sizeof expected_errors / sizeof expected_errors[0];
    return expected_errors;
}

/* ---- threads -------------------------------------------------------------------------------- */

static unsigned __stdcall thread__main(void *argument)
{
    const struct system_thread *thread = argument;
    thread->run(thread->argument);
    return 0;
}

void system_thread_start(struct system_thread *thread, void (*run)(void *), void *argument)
{
    thread->run = run;
    thread->argument = argument;
    thread->handle = _beginthreadex(NULL, 0, thread__main, thread, 0, NULL);
    if (thread->handle == 0)
        abort();
}

void system_thread_join(struct system_thread *thread)
{
    (void)WaitForSingleObject((HANDLE)thread->handle, INFINITE);
    (void)CloseHandle((HANDLE)thread->handle);
}
