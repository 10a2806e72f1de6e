/*
 * locals: UNIX sockets are stream sockets as well: connected at once, with a name and no port.
 * locals_windows.c stands in where there are none.
 */
#include "evq_case.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static evq_sock listener, client, server;
static struct sockaddr_un name;
static char folder[64];

/* A new folder, so that nobody else has a socket of this name. */
static void choose_name(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/evq_local.XXXXXX");
    assert_non_null(mkdtemp(folder));
    name.sun_family = AF_UNIX;
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", folder);
}

static void remove_name(void)
{
    (void)unlink(name.sun_path); /* in one test there is none */
    assert_int_equal(rmdir(folder), 0);
}

static evq_fd open_socket(void)
{
    evq_fd fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    return fd;
}

static void open_local_listener(void)
{
    evq_fd fd = open_socket();
    choose_name();
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 1), 0);
    attach(&listener, fd);
}

static void a_unix_socket_connects_and_carries_bytes(void **state)
{
    char got[8];
    (void)state;
    open_local_listener();
    attach(&client, open_socket());
    evq_accept(&listener, &ops[0]);
    evq_connect(&client, &ops[1], (const struct sockaddr *)&name, sizeof name);
    evq_send(&client, &ops[2], "abc", 3);
    for (int i = 0; i < 3; i++)
        (void)take_any();
    remove_name();
    for (int i = 0; i < 3; i++)
        assert_int_equal(ops[i].err, EVQ_OK);
    attach(&server, ops[0].accepted);
    evq_recv(&server, &ops[3], got, sizeof got);
    take_with(&ops[3], EVQ_OK);
    assert_int_equal(ops[3].nbytes, 3);
    assert_memory_equal(got, "abc", 3);
}

/* No event tells of that connect: it is over when connect() returns. So whoever waits for it must
 * be let go at once, and what the system had said of the socket before counts no more. */
static void a_connect_that_is_over_at_once_lets_both_directions_go(void **state)
{
    char up[8], down[8];
    (void)state;
    open_local_listener();
    attach(&client, open_socket());
    expect_nothing_now(); /* the events of a socket without a peer have been taken */
    evq_connect(&client, &ops[0], (const struct sockaddr *)&name, sizeof name);
    evq_recv(&client, &ops[1], down, sizeof down);
    take_with(&ops[0], EVQ_OK);
    remove_name();
    evq_send(&client, &ops[2], "abc", 3);
    take_with(&ops[2], EVQ_OK);
    evq_accept(&listener, &ops[3]);
    take_with(&ops[3], EVQ_OK);
    attach(&server, ops[3].accepted);
    evq_recv(&server, &ops[4], up, sizeof up);
    take_with(&ops[4], EVQ_OK);
    assert_int_equal(ops[4].nbytes, 3);
    assert_memory_equal(up, "abc", 3);
    evq_send(&server, &ops[5], "de", 2);
    for (int i = 0; i < 2; i++)
        (void)take_any();
    assert_int_equal(ops[5].err, EVQ_OK);
    assert_int_equal(ops[1].err, EVQ_OK);
    assert_int_equal(ops[1].nbytes, 2);
    assert_memory_equal(down, "de", 2);
}

/* Where the system does not tell how many bytes are left, that number stays unknown. */
static void bytes_that_are_read_one_by_one_leave_none_behind(void **state)
{
    enum { BYTES = 8 };
    evq_fd ends[2];
    char byte;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    attach(&client, ends[0]);
    peer_put(keep(ends[1]), "01234567", BYTES);
    evq_readable(&client, &ops[0]);
    take_with(&ops[0], EVQ_OK);
    expect_nothing_now(); /* the event has been taken, and there is no other one */
    for (int i = 0; i < BYTES; i++) {
        evq_recv(&client, &ops[1], &byte, 1);
        take_with(&ops[1], EVQ_OK);
        assert_int_equal(byte, '0' + i);
    }
}

/* A process whose standard input is closed gets it for its next client. */
static void descriptor_zero_is_a_client_like_any_other(void **state)
{
    (void)state;
    open_local_listener();
    attach(&client, open_socket());
    evq_connect(&client, &ops[0], (const struct sockaddr *)&name, sizeof name);
    take_with(&ops[0], EVQ_OK);
    remove_name();
    int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)close(STDIN_FILENO);
    evq_accept(&listener, &ops[1]);
    evq_op *accepted = take_any();
    evq_fd fd = accepted->accepted;
    if (fd == STDIN_FILENO)
        (void)close(fd);
    if (input >= 0) {
        (void)dup2(input, STDIN_FILENO);
        (void)close(input);
    }
    assert_int_equal(accepted->err, EVQ_OK);
    assert_int_equal(fd, STDIN_FILENO);
}

/* It is the caller's mistake, but no reason to spin. Only poll() tells of it: POLLNVAL. */
static void poll_ends_the_send_of_a_descriptor_that_was_closed(void **state)
{
    static char much[4 * 1024 * 1024];
    evq_fd ends[2];
    (void)state;
    if (strcmp(backend, "poll") != 0)
        skip_because("only poll() tells of a descriptor that is none");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    attach(&client, ends[0]);
    (void)keep(ends[1]);
    evq_send(&client, &ops[0], much, sizeof much);
    expect_nothing_now();
    assert_int_equal(close(ends[0]), 0);
    evq_op *op = take_any();
    assert_ptr_equal(op, &ops[0]);
    assert_int_not_equal(op->err, EVQ_OK);
    assert_int_equal(op->os_err, EBADF);
    assert_int_equal(dup2(ends[1], ends[0]), ends[0]); /* for the close that follows */
}

static void a_unix_socket_has_no_port(void **state)
{
    uint16_t port = 7;
    (void)state;
    open_local_listener();
    remove_name();
    assert_int_equal(evq_tcp_port(listener.fd, &port), EVQ_ENOTSUP);
    assert_int_equal(port, 7);
}

static void a_name_where_no_socket_is_refuses(void **state)
{
    (void)state;
    choose_name();
    attach(&client, open_socket());
    evq_connect(&client, &ops[0], (const struct sockaddr *)&name, sizeof name);
    take_with(&ops[0], EVQ_ECONNREFUSED);
    assert_int_equal(ops[0].os_err, ENOENT);
    remove_name();
}

int run_locals(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_unix_socket_connects_and_carries_bytes),
        TEST(a_connect_that_is_over_at_once_lets_both_directions_go),
        TEST(bytes_that_are_read_one_by_one_leave_none_behind),
        TEST(descriptor_zero_is_a_client_like_any_other),
        TEST(poll_ends_the_send_of_a_descriptor_that_was_closed),
        TEST(a_unix_socket_has_no_port),
        TEST(a_name_where_no_socket_is_refuses),
    };
    return RUN("local sockets", tests);
}
