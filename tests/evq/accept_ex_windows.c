/*
 * accept_ex: connections that are gone before AcceptEx takes them: as many as evq.h says are passed
 * over, in each accept anew. No client can be as rude as often at the right moment, so a function
 * that stands before the system's AcceptEx says it.
 *
 * AcceptEx has no name in a library: a program asks WSAIoctl() for it, and WSAIoctl() is called
 * through a pointer. The linker takes ours instead (--wrap=__imp_WSAIoctl, see wine_suite.sh).
 */
#include "evq_case.h"

#include <mswsock.h>

/** The system's, and ours. */
extern int(WSAAPI *__real___imp_WSAIoctl)(SOCKET, DWORD, LPVOID, DWORD, LPVOID, DWORD, LPDWORD,
                                          LPWSAOVERLAPPED, LPWSAOVERLAPPED_COMPLETION_ROUTINE);
extern int(WSAAPI *__wrap___imp_WSAIoctl)(SOCKET, DWORD, LPVOID, DWORD, LPVOID, DWORD, LPDWORD,
                                          LPWSAOVERLAPPED, LPWSAOVERLAPPED_COMPLETION_ROUTINE);

static LPFN_ACCEPTEX real_accept_ex;
static int gone; /* so many of the next calls find a connection that is gone */

static BOOL PASCAL our_accept_ex(SOCKET listens, SOCKET accepts, PVOID out, DWORD len,
                                 DWORD local_len, DWORD remote_len, LPDWORD got,
                                 LPOVERLAPPED overlapped)
{
    if (gone == 0)
        return real_accept_ex(listens, accepts, out, len, local_len, remote_len, got, overlapped);
    gone--;
    WSASetLastError(WSAECONNRESET);
    return FALSE;
}

static int WSAAPI our_ioctl(SOCKET fd, DWORD what, LPVOID in, DWORD in_len, LPVOID out,
                            DWORD out_len, LPDWORD got, LPWSAOVERLAPPED overlapped,
                            LPWSAOVERLAPPED_COMPLETION_ROUTINE completed)
{
    static const GUID accept_ex = WSAID_ACCEPTEX;
    LPFN_ACCEPTEX ours = our_accept_ex;
    int failed =
        __real___imp_WSAIoctl(fd, what, in, in_len, out, out_len, got, overlapped, completed);
    if (failed == 0 && what == SIO_GET_EXTENSION_FUNCTION_POINTER && in_len == sizeof accept_ex &&
        memcmp(in, &accept_ex, sizeof accept_ex) == 0) {
        memcpy(&real_accept_ex, out, sizeof real_accept_ex);
        memcpy(out, &ours, sizeof ours);
    }
    return failed;
}

int(WSAAPI *__wrap___imp_WSAIoctl)(SOCKET, DWORD, LPVOID, DWORD, LPVOID, DWORD, LPDWORD,
                                   LPWSAOVERLAPPED, LPWSAOVERLAPPED_COMPLETION_ROUTINE) = our_ioctl;

static evq_sock listener;
static uint16_t port;

static void accepts_one_behind(int gone_before)
{
    evq_fd client;
    gone = gone_before;
    evq_accept(&listener, &ops[0]);
    assert_true(peer_connect(&client, port));
    (void)keep(client);
    take_with(&ops[0], EVQ_OK);
    (void)keep(ops[0].accepted);
    assert_int_equal(gone, 0);
}

static void each_accept_passes_over_as_many_as_the_limit_says(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    for (int i = 0; i < 3; i++)
        accepts_one_behind(EVQ_ACCEPT_RETRIES);
}

static void one_gone_connection_more_and_accept_says_so(void **state)
{
    (void)state;
    open_listener(&listener, &port);
    gone = EVQ_ACCEPT_RETRIES + 1;
    evq_accept(&listener, &ops[0]);
    take_with(&ops[0], EVQ_ECONNRESET);
    assert_int_equal(ops[0].os_err, WSAECONNRESET);
    assert_int_equal(ops[0].accepted, EVQ_NO_FD);
    accepts_one_behind(EVQ_ACCEPT_RETRIES); /* and the next one begins to count anew */
}

int run_accept_ex(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_accept_passes_over_as_many_as_the_limit_says),
        TEST(one_gone_connection_more_and_accept_says_so),
    };
    return RUN("AcceptEx", tests);
}
