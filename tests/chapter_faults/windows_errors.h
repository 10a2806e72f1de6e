/*
 * windows_errors: the errors of Windows that are told, with Microsoft's numbers: the test runs on a
 * system that does not have them. shim_windows.c, which is compiled for Windows, compares each.
 *
 * How an operation has ended, the kernel writes into its OVERLAPPED as an NTSTATUS, and each call
 * translates it into its own words: STATUS_CONNECTION_RESET is ERROR_NETNAME_DELETED to
 * GetQueuedCompletionStatus(), and WSAECONNRESET to WSAGetOverlappedResult(). So such a fault is a
 * status, and the calls do the rest.
 */
#ifndef CHAPTER_FAULTS_WINDOWS_ERRORS_H
#define CHAPTER_FAULTS_WINDOWS_ERRORS_H

#define WINDOWS_ERRORS(X)              \
    X(ERROR_NOT_ENOUGH_MEMORY, 8)      \
    X(WSA_NOT_ENOUGH_MEMORY, 8)        \
    X(ERROR_NOT_FOUND, 1168)           \
    X(ERROR_NO_SYSTEM_RESOURCES, 1450) \
    X(WSAEACCES, 10013)                \
    X(WSAEMFILE, 10024)                \
    X(WSAEWOULDBLOCK, 10035)           \
    X(WSAEPROTOTYPE, 10041)            \
    X(WSAENOPROTOOPT, 10042)           \
    X(WSAEPROTONOSUPPORT, 10043)       \
    X(WSAESOCKTNOSUPPORT, 10044)       \
    X(WSAEOPNOTSUPP, 10045)            \
    X(WSAEAFNOSUPPORT, 10047)          \
    X(WSAEADDRINUSE, 10048)            \
    X(WSAEADDRNOTAVAIL, 10049)         \
    X(WSAENETDOWN, 10050)              \
    X(WSAENETRESET, 10052)             \
    X(WSAECONNABORTED, 10053)          \
    X(WSAECONNRESET, 10054)            \
    X(WSAENOBUFS, 10055)               \
    X(WSAENOTCONN, 10057)              \
    X(WSAETIMEDOUT, 10060)             \
    X(WSAEHOSTUNREACH, 10065)          \
    X(WSAEPROCLIM, 10067)              \
    X(WSASYSNOTREADY, 10091)           \
    X(WSAVERNOTSUPPORTED, 10092)       \
    X(WSAEINVALIDPROCTABLE, 10104)     \
    X(WSAEINVALIDPROVIDER, 10105)      \
    X(WSAEPROVIDERFAILEDINIT, 10106)   \
    X(WSATRY_AGAIN, 11002)             \
    X(WSANO_RECOVERY, 11003)

#define WINDOWS_STATUSES(X)                      \
    X(STATUS_INSUFFICIENT_RESOURCES, 0xC000009A) \
    X(STATUS_IO_TIMEOUT, 0xC00000B5)             \
    X(STATUS_CANCELLED, 0xC0000120)              \
    X(STATUS_CONNECTION_RESET, 0xC000020D)       \
    X(STATUS_HOST_UNREACHABLE, 0xC000023D)       \
    X(STATUS_CONNECTION_ABORTED, 0xC0000241)

/** Whether an operation that ended with this NTSTATUS has failed. */
static inline int windows_status_is_failure(int status)
{
    return status < 0;
}

#endif
