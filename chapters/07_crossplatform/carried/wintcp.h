/*
 * wintcp: sockets of Windows made ready for use, and the first lines that a Windows server prints.
 * It does for SOCKET what `tcp` and a part of `cli` do for the descriptors of POSIX.
 *
 *     listening on 127.0.0.1:45321
 *     IOCP: emulated by Wine
 *
 * Born in chapter 06, step 3.
 */
#ifndef WINTCP_H
#define WINTCP_H

#include "cli.h"

#include <stdbool.h>
#include <stddef.h>
#include <winsock2.h>
#include <ws2tcpip.h> /* after winsock2.h, which it needs */

#ifdef __cplusplus
#define WINTCP_NORETURN [[noreturn]]
extern "C" {
#else
#define WINTCP_NORETURN _Noreturn
#endif

/**
 * The first call of every program: makes stdout and stderr binary, so that a line ends in "\n" as
 * on every other system, and starts Winsock (WSAStartup). Where that fails it ends the program,
 * with one line on stderr and status 1. Winsock ends with the process.
 */
void wintcp_start(void);

/**
 * Opens the listening socket that the command line asks for, and announces it: the line
 * "listening on ADDRESS:PORT", then the banner, flushed.
 *
 * The socket has SO_EXCLUSIVEADDRUSE: nobody else gets the port while we have it. SO_REUSEADDR,
 * good on POSIX systems, would here let a second server take it away (Microsoft, "Using
 * SO_REUSEADDR and SO_EXCLUSIVEADDRUSE").
 *
 * @return the socket, overlapped and blocking, which the caller closes. Where there is none the
 *         program ends with one line on stderr: status 2 for an address that is not numeric, status
 *         1 for one that cannot be had.
 */
SOCKET wintcp_listen(const struct cli *cli);

/** TCP_NODELAY for a connection: an echo waits for nobody. Errors can wait until the first recv. */
void wintcp_make_ready(SOCKET socket);

/** True for the errors that say that sockets, buffers or memory have run out. */
bool wintcp_is_out_of_resources(int err);

/** How long a server stops accepting when a resource has run out, in milliseconds. */
#define WINTCP_REST_MS 100

/** Room for what wintcp_error_text() writes. */
#define WINTCP_TEXT_LEN 256

/** Writes what an error of WSAGetLastError() or GetLastError() means. @return buf */
const char *wintcp_error_text(int err, char buf[WINTCP_TEXT_LEN]);

/** "IOCP: emulated by Wine", or "IOCP: native". */
const char *wintcp_banner(void);

/** Ends the program: "program: what: what err means" on stderr, and status 1. */
WINTCP_NORETURN void wintcp_die(const struct cli *cli, const char *what, int err);

#ifdef __cplusplus
}
#endif

#endif
