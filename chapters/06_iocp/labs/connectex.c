/*
 * Lab: ConnectEx, and the two things that connect() does by itself.
 *
 * ConnectEx() connects without waiting; the packet tells how it went. But it wants a socket that is
 * bound already, to any address and port 0; connect() would bind it. And afterwards the socket does
 * not know that it is connected, until the program says
 *
 *     setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0)
 *
 * Microsoft, "LPFN_CONNECTEX callback function": an unbound socket gives WSAEINVAL; after a success
 * the socket may be passed to reading, writing and closing functions only, until the option is set.
 * On Windows shutdown() and getpeername() are known to fail with WSAENOTCONN before that.
 *
 * Wine 8 lets both work without the option. So on Wine the lab shows it, does not judge it, and
 * says that it has not been shown.
 */
#include "iocp_lab.h"

enum { OWN = 0, PEER = 1 };

static HANDLE port;
static SOCKET listener;
static struct sockaddr_in listener_addr;
static LPFN_CONNECTEX connect_ex;
static OVERLAPPED overlapped;

/* Submits: 0, WSA_IO_PENDING, or another error; then no packet comes. */
static DWORD submit(SOCKET s, const struct sockaddr_in *addr)
{
    memset(&overlapped, 0, sizeof overlapped);
    BOOL at_once =
        connect_ex(s, (const struct sockaddr *)addr, (int)sizeof *addr, NULL, 0, NULL, &overlapped);
    return at_once ? 0 : (DWORD)WSAGetLastError();
}

static SOCKET bound_socket(void)
{
    struct sockaddr_in any;
    SOCKET s = iocp_socket();
    iocp_bind(s, &any);
    iocp_add(port, (HANDLE)s, 0);
    return s;
}

static DWORD name_of_peer(SOCKET s)
{
    struct sockaddr_in addr;
    int len = (int)sizeof addr;
    return getpeername(s, (struct sockaddr *)&addr, &len) == 0 ? 0 : (DWORD)WSAGetLastError();
}

static DWORD end_of_sending(SOCKET s)
{
    return shutdown(s, SD_SEND) == 0 ? 0 : (DWORD)WSAGetLastError();
}

/* Two ends, the own one connected by ConnectEx. */
static struct iocp_packet connect_pair(SOCKET ends[2])
{
    ends[OWN] = bound_socket();
    iocp_must(iocp_submitted(submit(ends[OWN], &listener_addr)), "ConnectEx");
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    iocp_must(packet.came && packet.err == 0, "the packet of ConnectEx");
    ends[PEER] = accept(listener, NULL, NULL);
    iocp_must(ends[PEER] != INVALID_SOCKET, "accept");
    return packet;
}

static void close_pair(SOCKET ends[2])
{
    (void)closesocket(ends[OWN]);
    (void)closesocket(ends[PEER]);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void an_unbound_socket(void)
{
    SOCKET s = iocp_socket();
    lab_say("1. A fresh socket, not bound.");
    iocp_add(port, (HANDLE)s, 0);
    DWORD err = submit(s, &listener_addr);
    struct iocp_packet packet = iocp_next(port, IOCP_QUIET_MS);
    lab_word("unbound_connectex", iocp_word(err));
    lab_word("unbound_packet", packet.came ? iocp_word(packet.err) : "none");
    lab_expect(err == WSAEINVAL && !packet.came, "it is refused at once, and no packet comes");
    (void)closesocket(s);
}

static void without_the_option(void)
{
    SOCKET ends[2];
    lab_say("2. A socket that is bound to port 0. The option is not set afterwards.");
    struct iocp_packet packet = connect_pair(ends);
    lab_word("bound_packet", packet.came ? iocp_word(packet.err) : "none");
    lab_expect(packet.came && packet.err == 0, "its packet says that it is connected");
    DWORD peer = name_of_peer(ends[OWN]), ended = end_of_sending(ends[OWN]);
    lab_word("without_getpeername", iocp_word(peer));
    lab_word("without_shutdown", iocp_word(ended));
    if (iocp_is_emulated() && (peer == 0 || ended == 0))
        lab_say("not shown here: Wine does without SO_UPDATE_CONNECT_CONTEXT");
    else
        lab_expect(peer == WSAENOTCONN && ended == WSAENOTCONN,
                   "the socket is not connected for getpeername() and shutdown()");
    close_pair(ends);
}

static void with_the_option(void)
{
    SOCKET ends[2];
    char byte;
    lab_say("3. The same, then SO_UPDATE_CONNECT_CONTEXT.");
    (void)connect_pair(ends);
    iocp_must(setsockopt(ends[OWN], SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0,
              "SO_UPDATE_CONNECT_CONTEXT");
    DWORD peer = name_of_peer(ends[OWN]), ended = end_of_sending(ends[OWN]);
    bool told = recv(ends[PEER], &byte, 1, 0) == 0;
    lab_word("with_getpeername", iocp_word(peer));
    lab_word("with_shutdown", iocp_word(ended));
    lab_word("with_end_told_to_the_peer", iocp_yes(told));
    lab_expect(peer == 0 && ended == 0 && told, "both work, and the peer sees the end");
    close_pair(ends);
}

static void refused(void)
{
    struct sockaddr_in nobody;
    SOCKET silent = iocp_socket(), s = bound_socket();
    lab_say("4. At the other address nobody listens.");
    iocp_bind(silent, &nobody);
    DWORD err = submit(s, &nobody);
    struct iocp_packet packet = {0};
    if (iocp_submitted(err))
        packet = iocp_next(port, iocp_patience());
    lab_word("refused_connectex", iocp_word(err));
    lab_word("refused_packet", packet.came ? iocp_word(packet.err) : "none");
    lab_expect(err == WSA_IO_PENDING && packet.came && packet.err != 0,
               "the call goes well, its packet brings the error");
    (void)closesocket(s);
    (void)closesocket(silent);
}

int main(void)
{
    GUID id = WSAID_CONNECTEX;
    iocp_start();
    lab_question("A program gives a fresh socket to ConnectEx. What happens?",
                 "ConnectEx fails with WSAEINVAL, since the socket is not bound.",
                 "It is bound and connected, as connect() would do.",
                 "ConnectEx succeeds, and its packet brings an error.", 'a',
                 "Is there a firewall, even on 127.0.0.1?");
    port = iocp_port(1);
    listener = iocp_listener(&listener_addr);
    iocp_function(listener, &id, &connect_ex, sizeof connect_ex);
    an_unbound_socket();
    without_the_option();
    with_the_option();
    refused();
    (void)closesocket(listener);
    (void)CloseHandle(port);
    return iocp_finding("by Microsoft's documentation (LPFN_CONNECTEX callback function): the "
                        "socket must be bound before; SO_UPDATE_CONNECT_CONTEXT comes after",
                        "bind, ConnectEx, packet, SO_UPDATE_CONNECT_CONTEXT");
}
