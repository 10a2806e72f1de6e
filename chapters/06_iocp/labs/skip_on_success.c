/*
 * Lab: WSARecv returns 0. Does a packet come too?
 *
 * The data was there, the call has finished, its bytes are in the buffer. It is tempting to handle
 * them at once, without a way through the port. But by default a packet is queued all the same,
 * and who handles both handles the same bytes twice. There are two ways to be right:
 *
 *     by default                      0 and WSA_IO_PENDING are the same: wait for the packet
 *     FILE_SKIP_COMPLETION_PORT_...   0: handle it now, no packet comes
 *     ..._ON_SUCCESS                  WSA_IO_PENDING: wait for the packet, as ever
 *
 * Any other error means that nothing was submitted: no packet comes, in either mode (Microsoft,
 * "WSARecv function", "SetFileCompletionNotificationModes function"). The mode is set once for a
 * handle and cannot be taken back. For a socket it is right only if its provider hands out handles
 * of the system itself, XP1_IFS_HANDLES; the lab asks for that first.
 */
#include "iocp_lab.h"

enum { TEXT = 5, KEY = 1 };
enum { OWN = 0, PEER = 1 };

static struct conn {
    SOCKET ends[2];
    OVERLAPPED overlapped;
    char buf[TEXT];
} conn;

static HANDLE port;

static void begin(bool skip)
{
    iocp_pair(conn.ends);
    iocp_add(port, (HANDLE)conn.ends[OWN], KEY);
    if (skip)
        iocp_must(SetFileCompletionNotificationModes((HANDLE)conn.ends[OWN],
                                                     FILE_SKIP_COMPLETION_PORT_ON_SUCCESS),
                  "SetFileCompletionNotificationModes");
}

static void end(void)
{
    (void)closesocket(conn.ends[OWN]);
    (void)closesocket(conn.ends[PEER]);
}

static DWORD submit(void)
{
    memset(&conn.overlapped, 0, sizeof conn.overlapped);
    return iocp_recv(conn.ends[OWN], conn.buf, TEXT, &conn.overlapped);
}

/* A receive that finds its bytes waiting. */
static DWORD submit_with_data_there(void)
{
    iocp_say(conn.ends[PEER], "hello");
    iocp_until_readable(conn.ends[OWN]);
    return submit();
}

/* Does the provider of the socket hand out handles of the system itself? */
static bool has_ifs_handles(SOCKET s)
{
    WSAPROTOCOL_INFOW provider = {0};
    int len = (int)sizeof provider;
    iocp_must(getsockopt(s, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&provider, &len) == 0,
              "SO_PROTOCOL_INFO");
    return (provider.dwServiceFlags1 & XP1_IFS_HANDLES) != 0;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void by_default(void)
{
    lab_say("1. By default. The program handles the bytes when WSARecv returns 0, and the packet.");
    begin(false);
    DWORD err = submit_with_data_there();
    DWORD handled = err == 0 ? TEXT : 0;
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    handled += packet.bytes;
    lab_word("default_wsarecv", iocp_word(err));
    lab_figure("default_packets", packet.came ? 1 : 0, "");
    lab_figure("default_bytes_sent", TEXT, "bytes");
    lab_figure("default_bytes_handled", handled, "bytes");
    lab_expect(err == 0 && packet.came && packet.overlapped == &conn.overlapped,
               "it has succeeded at once, and a packet comes as well");
    lab_expect(handled == 2 * TEXT, "who handles both handles the same bytes twice");
    end();
}

static void with_the_mode(void)
{
    lab_say("2. With FILE_SKIP_COMPLETION_PORT_ON_SUCCESS.");
    begin(true);
    DWORD err = submit_with_data_there();
    struct iocp_packet packet = iocp_next(port, IOCP_QUIET_MS);
    lab_word("skip_wsarecv", iocp_word(err));
    lab_figure("skip_packets", packet.came ? 1 : 0, "");
    lab_word("skip_buffer", memcmp(conn.buf, "hello", TEXT) == 0 ? "hello" : "something else");
    lab_expect(err == 0 && !packet.came, "success at once, and no packet");
    err = submit();
    iocp_say(conn.ends[PEER], "HELLO");
    packet = iocp_next(port, iocp_patience());
    lab_word("skip_pending_wsarecv", iocp_word(err));
    lab_figure("skip_pending_packets", packet.came ? 1 : 0, "");
    lab_expect(err == WSA_IO_PENDING && packet.came && packet.bytes == TEXT,
               "what was pending has its packet, as ever");
    end();
}

static void refused_at_once(void)
{
    lab_say("3. A receive that fails at once: the socket is not connected.");
    conn.ends[OWN] = iocp_socket();
    conn.ends[PEER] = INVALID_SOCKET;
    iocp_add(port, (HANDLE)conn.ends[OWN], KEY);
    DWORD err = submit();
    struct iocp_packet packet = iocp_next(port, IOCP_QUIET_MS);
    lab_word("refused_wsarecv", iocp_word(err));
    lab_figure("refused_packets", packet.came ? 1 : 0, "");
    lab_expect(!iocp_submitted(err) && !packet.came, "nothing was submitted, so no packet comes");
    (void)closesocket(conn.ends[OWN]);
}

int main(void)
{
    iocp_start();
    lab_question("The bytes are there already, so WSARecv returns 0: success. Does a packet come "
                 "too?",
                 "Yes, unless FILE_SKIP_COMPLETION_PORT_ON_SUCCESS has been set.",
                 "No: the operation is over.", "Only if the buffer is not full.", 'a',
                 "Does skip_wsarecv or default_wsarecv say `pending`? Then run it once more.");
    port = iocp_port(1);
    SOCKET s = iocp_socket();
    bool ifs_handles = has_ifs_handles(s);
    (void)closesocket(s);
    lab_word("provider_has_ifs_handles", iocp_yes(ifs_handles));
    if (!ifs_handles)
        lab_skip("the provider of sockets has no XP1_IFS_HANDLES: the mode is not for it");
    by_default();
    with_the_mode();
    refused_at_once();
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (SetFileCompletionNotificationModes "
                        "function): with this mode no entry is queued for immediate success",
                        "handle an operation in one place: by its packet");
}
