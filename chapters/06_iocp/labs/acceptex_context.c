/*
 * Lab: AcceptEx has accepted a client. Is the socket like one of accept()?
 *
 * AcceptEx() is given a socket that exists already, and connects it. Until the program says
 *
 *     setsockopt(accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, &listener, sizeof listener)
 *
 * the socket does not know where it comes from. Microsoft, "AcceptEx function": it may be passed to
 * reading, writing and closing functions only, and has not inherited the listener's options. On
 * Windows getpeername() and shutdown() are known to fail then, with WSAENOTCONN. A server that
 * forgets the option echoes well, and cannot end a connection in order.
 *
 * The addresses themselves are in the buffer that AcceptEx was given: two places, each 16 bytes
 * larger than an address, which GetAcceptExSockaddrs() takes apart. With 0 bytes of room for data
 * AcceptEx ends when a client has connected, and does not wait for it to say something.
 *
 * Wine 8 lets getpeername() and shutdown() work without the option. Then this lab has nothing to
 * find, says so, and ends with status 77.
 */
#include "iocp_lab.h"

enum { ADDRESS = sizeof(struct sockaddr_in) + 16, KEY = 1 };

/* A client, and the socket that AcceptEx has made its partner. */
struct story {
    SOCKET client, accepted;
    struct sockaddr_in client_addr;
    char addresses[2 * ADDRESS];
    OVERLAPPED overlapped;
};

static HANDLE port;
static SOCKET listener;
static struct sockaddr_in listener_addr;
static LPFN_ACCEPTEX accept_ex;
static LPFN_GETACCEPTEXSOCKADDRS take_apart;

static void begin(struct story *story)
{
    DWORD bytes;
    int len = (int)sizeof story->client_addr;
    story->accepted = iocp_socket();
    BOOL at_once = accept_ex(listener, story->accepted, story->addresses, 0, ADDRESS, ADDRESS,
                             &bytes, &story->overlapped);
    iocp_must(at_once || WSAGetLastError() == ERROR_IO_PENDING, "AcceptEx");
    story->client = iocp_socket();
    iocp_must(
        connect(story->client, (struct sockaddr *)&listener_addr, (int)sizeof listener_addr) == 0,
        "connect");
    iocp_must(getsockname(story->client, (struct sockaddr *)&story->client_addr, &len) == 0,
              "getsockname");
    struct iocp_packet packet = iocp_next(port, iocp_patience());
    iocp_must(packet.came && packet.err == 0 && packet.overlapped == &story->overlapped,
              "the packet of AcceptEx");
}

static void end(struct story *story)
{
    (void)closesocket(story->accepted);
    (void)closesocket(story->client);
}

/* ---- what works ------------------------------------------------------------------------------ */

static bool echoes(const struct story *story)
{
    char byte = 0;
    iocp_say(story->client, "x");
    return recv(story->accepted, &byte, 1, 0) == 1 && send(story->accepted, &byte, 1, 0) == 1 &&
           recv(story->client, &byte, 1, 0) == 1 && byte == 'x';
}

static bool buffer_has_the_address(struct story *story)
{
    struct sockaddr *local, *remote;
    int local_len, remote_len;
    take_apart(story->addresses, 0, ADDRESS, ADDRESS, &local, &local_len, &remote, &remote_len);
    return ((struct sockaddr_in *)(void *)remote)->sin_port == story->client_addr.sin_port;
}

/* getpeername(): 0, or its error. */
static DWORD name_of_peer(const struct story *story)
{
    struct sockaddr_in addr;
    int len = (int)sizeof addr;
    return getpeername(story->accepted, (struct sockaddr *)&addr, &len) == 0
               ? 0
               : (DWORD)WSAGetLastError();
}

/* The option SO_KEEPALIVE, which the listener has. */
static bool has_inherited(const struct story *story)
{
    BOOL on = FALSE;
    int len = (int)sizeof on;
    return getsockopt(story->accepted, SOL_SOCKET, SO_KEEPALIVE, (char *)&on, &len) == 0 && on;
}

/* shutdown(): 0, or its error. */
static DWORD end_of_sending(const struct story *story)
{
    return shutdown(story->accepted, SD_SEND) == 0 ? 0 : (DWORD)WSAGetLastError();
}

/* ---- the experiment -------------------------------------------------------------------------- */

/* Returns false where the system does without the option: then there is nothing to find. */
static bool without_the_option(void)
{
    static struct story story;
    lab_say("1. AcceptEx, and nothing else.");
    begin(&story);
    bool works = echoes(&story), in_buffer = buffer_has_the_address(&story);
    bool inherited = has_inherited(&story);
    DWORD peer = name_of_peer(&story), ended = end_of_sending(&story);
    lab_word("without_echoes", iocp_yes(works));
    lab_word("without_address_in_the_buffer", iocp_yes(in_buffer));
    lab_word("without_getpeername", iocp_word(peer));
    lab_word("without_keepalive_inherited", iocp_yes(inherited));
    lab_word("without_shutdown", iocp_word(ended));
    lab_expect(works && in_buffer, "it echoes, and the address is in the buffer");
    end(&story);
    if (iocp_is_emulated() && (peer == 0 || ended == 0))
        return false;
    lab_expect(peer == WSAENOTCONN && ended == WSAENOTCONN,
               "the socket is not connected for getpeername() and shutdown()");
    lab_expect(!inherited, "it does not have the listener's options");
    return true;
}

static void with_the_option(void)
{
    static struct story story;
    char byte;
    lab_say("2. AcceptEx, then SO_UPDATE_ACCEPT_CONTEXT.");
    begin(&story);
    iocp_must(setsockopt(story.accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                         (const char *)&listener, (int)sizeof listener) == 0,
              "SO_UPDATE_ACCEPT_CONTEXT");
    bool works = echoes(&story), inherited = has_inherited(&story);
    DWORD peer = name_of_peer(&story), ended = end_of_sending(&story);
    bool told = recv(story.client, &byte, 1, 0) == 0;
    lab_word("with_echoes", iocp_yes(works));
    lab_word("with_getpeername", iocp_word(peer));
    lab_word("with_keepalive_inherited", iocp_yes(inherited));
    lab_word("with_shutdown", iocp_word(ended));
    lab_word("with_end_told_to_the_client", iocp_yes(told));
    lab_expect(works && peer == 0 && ended == 0 && told, "all of it works");
    lab_expect(inherited, "it has the listener's options");
    end(&story);
}

int main(void)
{
    BOOL on = TRUE;
    GUID accept_id = WSAID_ACCEPTEX, apart_id = WSAID_GETACCEPTEXSOCKADDRS;
    iocp_start();
    lab_question("AcceptEx has accepted a client. The program calls getpeername() and shutdown() "
                 "for the new socket. What happens?",
                 "Both work: the socket is connected.",
                 "Both fail with WSAENOTCONN, until SO_UPDATE_ACCEPT_CONTEXT has been set.",
                 "getpeername() works, since AcceptEx brings the addresses; shutdown() fails.", 'b',
                 "Which system is this? Since Windows XP the option is needed.");
    port = iocp_port(1);
    listener = iocp_listener(&listener_addr);
    iocp_must(setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, (const char *)&on, sizeof on) == 0,
              "SO_KEEPALIVE");
    iocp_add(port, (HANDLE)listener, KEY);
    iocp_function(listener, &accept_id, &accept_ex, sizeof accept_ex);
    iocp_function(listener, &apart_id, &take_apart, sizeof take_apart);
    bool can_be_shown = without_the_option();
    with_the_option();
    (void)closesocket(listener);
    (void)CloseHandle(port);
    if (!can_be_shown)
        lab_skip("not shown here: Wine does without SO_UPDATE_ACCEPT_CONTEXT");
    return iocp_finding("by Microsoft's documentation (AcceptEx function): until the option is set "
                        "the socket is for reading, writing and closing only",
                        "after AcceptEx comes SO_UPDATE_ACCEPT_CONTEXT");
}
