/*
 * step2_winsock: one client at a time, in calls that block. It grows out of chapter 01, step 1, and
 * is the same server in the words of Windows: while it waits in one call it can do nothing else.
 */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <fcntl.h>
#include <getopt.h>
#include <io.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_ullong clients, bytes; /* atomic, because the console handler's thread reads them */
//! [words]
static void die(int status, const char *format, ...) /* Windows has no <err.h> */
{
    va_list args;
    va_start(args, format);
    fputs("step2_winsock: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(status);
}
//! [words]
//! [stop]
static char *prepend(char *at, const char *text, unsigned long long number)
{
    for (*--at = (char)('0' + number % 10); number /= 10;)
        *--at = (char)('0' + number % 10);
    return memcpy(at - strlen(text), text, strlen(text));
}

static BOOL WINAPI on_stop(DWORD event) /* no signal: a thread of its own (HandlerRoutine) */
{
    static atomic_flag stopping = ATOMIC_FLAG_INIT;
    char line[80], *end = line + sizeof line, *at = end;
    (void)event; /* Ctrl-C, Ctrl-Break, the console is closed, the user logs off: all the same */
    if (atomic_flag_test_and_set(&stopping))
        return TRUE; /* a second Ctrl-C is a second thread */
    *--at = '\n';
    at = prepend(prepend(at, ", bytes ", bytes), "totals: clients ", clients);
    _exit(_write(1, at, (unsigned)(end - at)) == end - at ? 0 : 1);
}
//! [stop]
//! [listen]
static SOCKET listen_on(const char *address, const char *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int len = sizeof name;
    if (!*port || strspn(port, "0123456789") != strlen(port) || strtol(port, NULL, 10) > 65535)
        die(2, "'%s' is no port: give a number from 0 to 65535", port);
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1)
        die(2, "'%s' is no IPv4 address: give one such as 127.0.0.1", address);
    SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
    BOOL on = TRUE;
    if (listener == INVALID_SOCKET ||
        setsockopt(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&on, sizeof on) != 0 ||
        bind(listener, (struct sockaddr *)&name, len) != 0 || listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&name, &len) != 0) /* 0 became which port? */
        die(1, "cannot listen on %s:%s: Winsock's error %d", address, port, WSAGetLastError());
    BOOL is_wine = GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != NULL;
    printf("listening on %s:%u\n", address, ntohs(name.sin_port));
    puts(is_wine ? "IOCP: emulated by Wine" : "IOCP: native"); /* which comes in step 4 */
    if (fflush(stdout) != 0) /* stdout may be a pipe, and its reader waits for this line */
        die(1, "cannot write to stdout");
    return listener;
}
//! [listen]
//! [serve]
static void serve(SOCKET s)
{
    static char buf[65536]; /* static: a stack of Windows is smaller, 1 MiB where Linux has 8 */
    for (int got, sent; (got = recv(s, buf, sizeof buf, 0)) != 0;) { /* 0: no more comes */
        if (got < 0)
            return; /* WSAECONNRESET, WSAETIMEDOUT: this client is gone, and only this one */
        for (int at = 0; at < got; at += sent, bytes += (unsigned long long)sent)
            if ((sent = send(s, buf + at, got - at, 0)) < 0) /* may take fewer */
                return; /* WSAECONNRESET, WSAECONNABORTED: gone before it had its echo */
    }
}
//! [serve]
int main(int argc, char **argv)
{
    const char *address = "127.0.0.1", *port = "0";
    //! [startup]
    WSADATA data;
    _setmode(1, _O_BINARY), _setmode(2, _O_BINARY); /* else "\n" becomes "\r\n" */
    if (WSAStartup(MAKEWORD(2, 2), &data) != 0)
        die(1, "Winsock 2.2 does not start");
    //! [startup]
    for (int option; (option = getopt(argc, argv, "p:a:h")) != -1;)
        if (option == 'p' || option == 'a')
            *(option == 'p' ? &port : &address) = optarg;
        else /* getopt() has said what is wrong */
            return option == 'h' ? puts("usage: step2_winsock [-p PORT] [-a ADDRESS]") < 0 : 2;
    if (optind < argc)
        die(2, "'%s' is one word too many (try -h)", argv[optind]);
    if (!SetConsoleCtrlHandler(on_stop, TRUE)) /* no SIGPIPE here: send() only returns an error */
        die(1, "Ctrl-C cannot be handled: error %lu", GetLastError());
    //! [accept]
    SOCKET listener = listen_on(address, port);
    BOOL on = TRUE;
    for (;;) {
        SOCKET s = accept(listener, NULL, NULL);
        if (s == INVALID_SOCKET && WSAGetLastError() != WSAECONNRESET)
            Sleep(1000); /* WSAEMFILE, WSAENOBUFS: the client stays queued; at once would spin */
        if (s == INVALID_SOCKET)
            continue;
        clients++;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (char *)&on, sizeof on); /* waits for nobody */
        serve(s);
        closesocket(s);
    }
    //! [accept]
}
