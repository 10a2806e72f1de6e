/*
 * iocp_lab: what the labs about completion ports have in common, beside lab.h.
 *
 *     iocp_start()     first call of every lab: Winsock, and output without carriage returns
 *     iocp_pair()      two ends of a TCP connection
 *     iocp_port()      a completion port; iocp_add() adds a socket or a file to it
 *     iocp_recv()      submits a receive; iocp_send() a send: 0, WSA_IO_PENDING or an error
 *     iocp_next()      takes one packet out of the port, and says in one struct what it is
 *     iocp_finding()   the last line: a finding of Windows, or of an emulation of it
 *
 * Who owns what: the OVERLAPPED and the buffer of an operation belong to the lab, and are lent to
 * the system from iocp_recv() or iocp_send() until iocp_next() has brought the packet.
 *
 * Whether it runs on Wine is seen at a function that only Wine's ntdll.dll exports. The labs use
 * only what Microsoft documents; where Wine does something else, the lab says so.
 */
#ifndef IOCP_LAB_H
#define IOCP_LAB_H

#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0601 /* Windows 7: it has CancelIoEx and GetQueuedCompletionStatusEx */
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>
#include <fcntl.h>
#include <io.h>
#include <process.h>

#include "lab.h"

/* How long a packet that should come may take, and how long nothing is waited for. */
enum { IOCP_PATIENCE_MS = 10000, IOCP_QUIET_MS = 100 };

/* ---- the beginning and the end --------------------------------------------------------------- */

/** True on Wine: its ntdll.dll exports a function that Windows does not have. */
static inline bool iocp_is_emulated(void)
{
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
}

/**
 * The last line of a lab, like lab_finding(). On Wine it says that it is emulated.
 *
 * @param real  what Windows does, and where Microsoft says so; NULL: nobody has seen it yet
 */
#define iocp_finding(real, ...) \
    (iocp_is_emulated() ? lab_finding_emulated((real), __VA_ARGS__) : lab_finding(__VA_ARGS__))

/** The name of an error, as the headers have it. */
static inline const char *iocp_word(DWORD err)
{
    static const struct {
        DWORD err;
        const char *word;
    } names[] = {
        {ERROR_SUCCESS, "success"},
        {ERROR_INVALID_HANDLE, "ERROR_INVALID_HANDLE"},
        {ERROR_HANDLE_EOF, "ERROR_HANDLE_EOF"},
        {ERROR_INVALID_PARAMETER, "ERROR_INVALID_PARAMETER"},
        {ERROR_NETNAME_DELETED, "ERROR_NETNAME_DELETED"},
        {ERROR_OPERATION_ABORTED, "ERROR_OPERATION_ABORTED"},
        {WSA_IO_PENDING, "pending"},
        {ERROR_NOT_FOUND, "ERROR_NOT_FOUND"},
        {ERROR_CONNECTION_REFUSED, "ERROR_CONNECTION_REFUSED"},
        {WAIT_TIMEOUT, "WAIT_TIMEOUT"},
        {WSAEINVAL, "WSAEINVAL"},
        {WSAECONNRESET, "WSAECONNRESET"},
        {WSAENOTCONN, "WSAENOTCONN"},
        {WSAECONNREFUSED, "WSAECONNREFUSED"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].err == err)
            return names[i].word;
    return "another error";
}

/** The word for a figure that is yes or no. */
static inline const char *iocp_yes(bool is_so)
{
    return is_so ? "yes" : "no";
}

/** A call that has to succeed; else the lab ends in words. */
static inline void iocp_must(bool succeeded, const char *call)
{
    DWORD err = GetLastError(); /* WSAGetLastError() is the same number, for every thread */
    if (succeeded)
        return;
    (void)printf("not reproduced: %s: error %lu, %s\n", call, err, iocp_word(err));
    exit(LAB_NOT_REPRODUCED);
}

/** The first call in main(). What it opens stays open until the process ends. */
static inline void iocp_start(void)
{
    WSADATA about;
    (void)_setmode(_fileno(stdout), _O_BINARY); /* a line ends in \n, as on every other system */
    (void)_setmode(_fileno(stderr), _O_BINARY);
    SetLastError((DWORD)WSAStartup(MAKEWORD(2, 2), &about));
    iocp_must(GetLastError() == 0, "WSAStartup");
}

/* ---- time and threads ------------------------------------------------------------------------ */

/** How long to wait for a packet that should come, in milliseconds. */
static inline DWORD iocp_patience(void)
{
    return (DWORD)lab_patience_ms(IOCP_PATIENCE_MS);
}

static inline HANDLE iocp_event(void)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL); /* stays set until somebody resets it */
    iocp_must(event != NULL, "CreateEvent");
    return event;
}

/** True when the handle, an event or a thread, was signalled in time. */
static inline bool iocp_wait(HANDLE handle)
{
    return WaitForSingleObject(handle, iocp_patience()) == WAIT_OBJECT_0;
}

static inline HANDLE iocp_thread(unsigned(__stdcall *run)(void *), void *argument)
{
    HANDLE thread = (HANDLE)_beginthreadex(NULL, 0, run, argument, 0, NULL);
    iocp_must(thread != NULL, "_beginthreadex");
    return thread;
}

/** Waits until the thread has ended. */
static inline void iocp_join(HANDLE thread)
{
    iocp_must(iocp_wait(thread), "a thread that should end");
    (void)CloseHandle(thread);
}

/* ---- sockets --------------------------------------------------------------------------------- */

/** A TCP socket for overlapped operations; unbound. The caller closes it: closesocket(). */
static inline SOCKET iocp_socket(void)
{
    SOCKET s = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);
    iocp_must(s != INVALID_SOCKET, "WSASocket");
    return s;
}

/** Binds it to a free port of 127.0.0.1; *addr tells which. */
static inline void iocp_bind(SOCKET s, struct sockaddr_in *addr)
{
    int len = (int)sizeof *addr;
    memset(addr, 0, sizeof *addr);
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    iocp_must(bind(s, (struct sockaddr *)addr, len) == 0, "bind");
    iocp_must(getsockname(s, (struct sockaddr *)addr, &len) == 0, "getsockname");
}

static inline SOCKET iocp_listener(struct sockaddr_in *addr)
{
    SOCKET s = iocp_socket();
    iocp_bind(s, addr);
    iocp_must(listen(s, SOMAXCONN) == 0, "listen");
    return s;
}

/** Two ends of one TCP connection. The caller closes them. */
static inline void iocp_pair(SOCKET ends[2])
{
    struct sockaddr_in addr;
    SOCKET listener = iocp_listener(&addr);
    ends[0] = iocp_socket();
    iocp_must(connect(ends[0], (struct sockaddr *)&addr, (int)sizeof addr) == 0, "connect");
    ends[1] = accept(listener, NULL, NULL);
    iocp_must(ends[1] != INVALID_SOCKET, "accept");
    (void)closesocket(listener);
}

/** The peer sends; few bytes, so this does not block. */
static inline void iocp_say(SOCKET peer, const char *text)
{
    int len = (int)strlen(text);
    iocp_must(send(peer, text, len, 0) == len, "send");
}

/** Waits until there is something to read. select() of Winsock does not look at the 0. */
static inline void iocp_until_readable(SOCKET s)
{
    int patience_ms = lab_patience_ms(IOCP_PATIENCE_MS);
    struct timeval patience = {patience_ms / 1000, patience_ms % 1000 * 1000};
    fd_set one;
    FD_ZERO(&one);
    FD_SET(s, &one);
    iocp_must(select(0, &one, NULL, NULL, &patience) == 1, "select");
}

/** Gets the pointer of a function that is not exported, for instance AcceptEx, by its GUID. */
static inline void iocp_function(SOCKET s, GUID *id, void *pointer, size_t len)
{
    DWORD bytes;
    iocp_must(WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, id, sizeof *id, pointer, (DWORD)len,
                       &bytes, NULL, NULL) == 0,
              "SIO_GET_EXTENSION_FUNCTION_POINTER");
}

/* ---- operations and packets ------------------------------------------------------------------ */

/** A completion port, for `running` threads at a time. */
static inline HANDLE iocp_port(DWORD running)
{
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, running);
    iocp_must(port != NULL, "CreateIoCompletionPort");
    return port;
}

/** From now on every operation of the handle ends in a packet in this port, with this key. */
static inline void iocp_add(HANDLE port, HANDLE handle, ULONG_PTR key)
{
    iocp_must(CreateIoCompletionPort(handle, port, key, 0) == port, "CreateIoCompletionPort");
}

/**
 * Submits a receive: it never blocks. 0: finished already; WSA_IO_PENDING: a packet will come;
 * another error: nothing was submitted, and no packet comes.
 */
static inline DWORD iocp_recv(SOCKET s, char *buf, size_t len, OVERLAPPED *overlapped)
{
    WSABUF room = {.len = (ULONG)len, .buf = buf}; /* the call reads it; only buf is lent */
    DWORD flags = 0;
    return WSARecv(s, &room, 1, NULL, &flags, overlapped, NULL) == 0 ? 0 : (DWORD)WSAGetLastError();
}

/** The same for sending. */
static inline DWORD iocp_send(SOCKET s, char *buf, size_t len, OVERLAPPED *overlapped)
{
    WSABUF data = {.len = (ULONG)len, .buf = buf};
    return WSASend(s, &data, 1, NULL, 0, overlapped, NULL) == 0 ? 0 : (DWORD)WSAGetLastError();
}

/** True when an operation was submitted, so that a packet will tell its end. */
static inline bool iocp_submitted(DWORD err)
{
    return err == 0 || err == WSA_IO_PENDING;
}

/** One packet, or none. */
struct iocp_packet {
    bool came;              /* false: the time is over, nothing came                        */
    DWORD err;              /* how the operation ended: 0, or its error                     */
    DWORD bytes;            /* how many it has moved                                        */
    ULONG_PTR key;          /* of the handle                                                */
    OVERLAPPED *overlapped; /* of the operation; NULL: posted by a program, without one     */
};

/** The next packet. It waits for `wait_ms` at most. */
static inline struct iocp_packet iocp_next(HANDLE port, DWORD wait_ms)
{
    struct iocp_packet packet = {0};
    BOOL ok =
        GetQueuedCompletionStatus(port, &packet.bytes, &packet.key, &packet.overlapped, wait_ms);
    packet.err = ok ? 0 : GetLastError();
    packet.came = ok || packet.overlapped != NULL; /* FALSE with an OVERLAPPED is a failed one */
    iocp_must(packet.came || packet.err == WAIT_TIMEOUT, "GetQueuedCompletionStatus");
    return packet;
}

#endif
