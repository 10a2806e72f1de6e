#include "wintcp.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_RUNTIME = 1, STATUS_USAGE = 2 };

/* ---- words ---- */

const char *wintcp_error_text(int err, char buf[WINTCP_TEXT_LEN])
{
    /* MAX_WIDTH_MASK: in one line. The text has the user's language. */
    DWORD len = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
                                   FORMAT_MESSAGE_MAX_WIDTH_MASK,
                               NULL, (DWORD)err, 0, buf, WINTCP_TEXT_LEN, NULL);
    while (len > 0 && strchr(" .\r\n", buf[len - 1]) != NULL)
        buf[--len] = '\0';
    if (len == 0)
        (void)snprintf(buf, WINTCP_TEXT_LEN, "error %d", err);
    return buf;
}

void wintcp_die(const struct cli *cli, const char *what, int err)
{
    char text[WINTCP_TEXT_LEN];
    cli_log(cli, "%s: %s", what, wintcp_error_text(err, text));
    exit(STATUS_RUNTIME);
}

//! [banner]
/* Wine tells who it is by one more function in ntdll.dll, which Windows has not. */
const char *wintcp_banner(void)
{
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    bool is_wine = ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
    return is_wine ? "IOCP: emulated by Wine" : "IOCP: native";
}
//! [banner]

/* ---- start ---- */

void wintcp_start(void)
{
    WSADATA data;
    (void)_setmode(_fileno(stdout), _O_BINARY); /* fails only for a stream that is closed */
    (void)_setmode(_fileno(stderr), _O_BINARY);
    int err = WSAStartup(MAKEWORD(2, 2), &data); /* it returns its error, unlike all the others */
    if (err != 0) {
        fprintf(stderr, "Winsock 2.2 does not start: error %d\n", err);
        exit(STATUS_RUNTIME);
    }
}

/* ---- listening ---- */

//! [exclusive]
static int bind_and_listen(SOCKET listener, const struct addrinfo *where)
{
    BOOL on = TRUE;
    if (setsockopt(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on) != 0)
        return -1;
    if (bind(listener, where->ai_addr, (int)where->ai_addrlen) != 0)
        return -1;
    return listen(listener, SOMAXCONN);
}
//! [exclusive]

static struct addrinfo *resolve_or_die(const struct cli *cli)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *where;
    char service[8];
    (void)snprintf(service, sizeof service, "%u", cli->port);
    int err = getaddrinfo(cli->address, service, &hints, &where);
    if (err == EAI_NONAME) { /* with AI_NUMERICHOST: it is not numeric */
        cli_log(cli, "-a '%s': give a numeric address such as 127.0.0.1 or ::1", cli->address);
        exit(STATUS_USAGE);
    }
    if (err != 0) /* WSA_NOT_ENOUGH_MEMORY ...: no fault of the user's */
        wintcp_die(cli, "getaddrinfo", err);
    return where;
}

static void announce(const struct cli *cli, SOCKET listener)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        wintcp_die(cli, "cannot tell its own address", WSAGetLastError());
    printf(strchr(host, ':') ? "listening on [%s]:%s\n" : "listening on %s:%s\n", host, port);
    printf("%s\n", wintcp_banner());
    if (fflush(stdout) != 0) {
        cli_log(cli, "cannot write to stdout");
        exit(STATUS_RUNTIME);
    }
}

SOCKET wintcp_listen(const struct cli *cli)
{
    struct addrinfo *where = resolve_or_die(cli);
    SOCKET listener =
        socket(where->ai_family, SOCK_STREAM, 0); /* overlapped, as socket() makes it */
    if (listener == INVALID_SOCKET || bind_and_listen(listener, where) != 0) {
        char text[WINTCP_TEXT_LEN];
        cli_log(cli, "cannot listen on %s port %u: %s", cli->address, cli->port,
                wintcp_error_text(WSAGetLastError(), text));
        exit(STATUS_RUNTIME);
    }
    freeaddrinfo(where);
    announce(cli, listener);
    return listener;
}

/* ---- connections ---- */

void wintcp_make_ready(SOCKET socket)
{
    BOOL on = TRUE;
    (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on);
}

bool wintcp_is_out_of_resources(int err)
{
    switch (err) {
    case WSAEMFILE:
    case WSAENOBUFS:
    case WSA_NOT_ENOUGH_MEMORY: /* the same number as ERROR_NOT_ENOUGH_MEMORY */
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_WORKING_SET_QUOTA:
        return true;
    default:
        return false;
    }
}
