/*
 * locals: what only one system has. On Windows evq promises nothing for UNIX sockets
 * (evq_tcp_socket() does not make them), and accepts with AcceptEx.
 */
#include "evq_case.h"

static void a_unix_socket_connects_and_carries_bytes(void **state)
{
    (void)state;
    skip_because("evq is for TCP on Windows");
}

int run_locals(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_unix_socket_connects_and_carries_bytes)};
    return RUN("local sockets", tests) + run_accept_ex();
}
