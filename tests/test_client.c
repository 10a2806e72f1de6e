/*
 * test_client: the harness' client.h, each outcome against a server that has earned it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes.h"
#include "harness/pattern.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Clients ----------------------------------------------------------------------------- */

/** A port on which nobody listens: bound, so that nobody else gets it, but not listening. */
static unsigned bound_port(int *fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(*fd >= 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static void client_is_refused(void **state)
{
    (void)state;
    int fd;
    struct client c = {.seed = 1};
    unsigned port = bound_port(&fd);
    assert_outcome(client_connect_to(&c, "127.0.0.1", port, soon()), CLIENT_REFUSED);
    assert_int_equal(c.fd, -1);
    client_close(&c);
    assert_outcome(client_connect_to(&c, "localhost", port, soon()), CLIENT_REFUSED);
    (void)close(fd);
}

static void client_knows_its_own_limit(void **state)
{
    (void)state;
    struct rlimit before;
    struct client c = {.seed = 1};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum outcome o = client_connect_to(&c, "127.0.0.1", 9, soon());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_outcome(o, CLIENT_LOCAL_LIMIT);
}

static void limit_is_raised(void **state)
{
    (void)state;
    struct rlimit before;
    struct rlimit after;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    long more = client_raise_limit();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_true(after.rlim_cur >= before.rlim_cur);
    assert_in_range(more, 100, after.rlim_cur);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void client_exchanges_exactly(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, 65536, 0};
    (void)state;
    struct server *s = start_fake("echoes", NULL);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct client c = connected_to(s, (uint32_t)i);
        size_t n = pieces[i] != 0 && pieces[i] < 100 ? 2000 * pieces[i] : MIB;
        assert_outcome(client_exchange(&c, n, pieces[i], soon()), CLIENT_OK);
        assert_outcome(client_exchange(&c, 0, pieces[i], soon()), CLIENT_OK);
        assert_int_equal(c.sent, n);
        assert_int_equal(c.received, n);
        assert_int_equal(client_shut_writing(&c), 0);
        assert_outcome(client_expect_end(&c, soon()), CLIENT_OK);
        client_close(&c);
    }
    server_kill(s);
}

static void client_times_out(void **state)
{
    (void)state;
    struct server *s = start_fake("ignores_clients", NULL);
    struct client c = connected_to(s, 1);
    int64_t ns = 0;
    assert_outcome(client_expect(&c, 1, deadline_in_ms(A_MOMENT_MS)), CLIENT_TIMEOUT);
    assert_outcome(client_ping(&c, 1, deadline_in_ms(A_MOMENT_MS), &ns), CLIENT_TIMEOUT);
    assert_true((double)ns >= A_MOMENT_MS * 1000000 * clock_slowdown());
    assert_outcome(client_expect_end(&c, deadline_in_ms(1)), CLIENT_TIMEOUT);
    char byte;
    assert_outcome(client_expect_raw(&c, &byte, 1, deadline_in_ms(1)), CLIENT_TIMEOUT);
    assert_outcome(client_send(&c, 256 * MIB, deadline_in_ms(A_MOMENT_MS)), CLIENT_TIMEOUT);
    client_abort(&c);
    server_kill(s);
}

static void client_finds_a_wrong_byte_at_its_place(void **state)
{
    (void)state;
    struct server *s = start_fake("spoils", "300000");
    struct client c = connected_to(s, 1);
    assert_outcome(client_exchange(&c, MIB, 0, soon()), CLIENT_WRONG_BYTES);
    assert_int_equal(c.received, 300000);
    client_abort(&c);
    server_kill(s);
}

static void client_sees_a_close(void **state)
{
    (void)state;
    struct server *s = start_fake("closes", "1000");
    struct client c = connected_to(s, 1);
    assert_outcome(client_send(&c, 1000, soon()), CLIENT_OK);
    assert_outcome(client_expect(&c, 1001, soon()), CLIENT_CLOSED);
    assert_int_equal(c.received, 1000);
    assert_outcome(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
    server_kill(s);
}

static void an_early_end_is_no_good_end(void **state)
{
    (void)state;
    struct server *s = start_fake("closes", "1000");
    struct client c = connected_to(s, 1);
    assert_outcome(client_send(&c, 1000, soon()), CLIENT_OK);
    c.sent++; /* as if one more byte were owed */
    assert_outcome(client_expect_end(&c, soon()), CLIENT_CLOSED);
    client_close(&c);
    server_kill(s);
}

static void a_byte_too_many_is_wrong(void **state)
{
    (void)state;
    struct server *s = start_fake("says_more", "1000");
    struct client c = connected_to(s, 1);
    assert_outcome(client_exchange(&c, 1000, 0, soon()), CLIENT_OK);
    assert_outcome(client_expect_end(&c, soon()), CLIENT_WRONG_BYTES);
    client_close(&c);
    server_kill(s);
}

static void a_right_byte_too_many_is_wrong_too(void **state)
{
    (void)state;
    struct server *s = start_fake("closes", "1001");
    struct client c = connected_to(s, 1);
    assert_outcome(client_send(&c, 1001, soon()), CLIENT_OK);
    c.sent--; /* as if the server had made the last one up, and guessed right */
    assert_outcome(client_expect_end(&c, soon()), CLIENT_WRONG_BYTES);
    client_close(&c);
    server_kill(s);
}

static void a_deadline_holds_while_bytes_flow(void **state)
{
    (void)state;
    enum { MUCH = 100000 }; /* more than a client reads at once */
    static unsigned char much[MUCH];
    const int room = 4 * MUCH;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    struct client c = {.fd = fds[1], .seed = 1};
    pattern_fill(much, MUCH, 0, 1);
    assert_int_equal(send(fds[0], much, MUCH, 0), MUCH);
    const int64_t passed = clock_now_ns();
    assert_outcome(client_expect(&c, MUCH, passed), CLIENT_TIMEOUT);
    assert_in_range(c.received, 1, MUCH - 1);
    client_close(&c);
    (void)close(fds[0]);
}

/** Waits until the reset is here, and with it all that came before. */
static void wait_for_reset(const struct client *c)
{
    struct pollfd one = {.fd = c->fd, .events = 0}; /* POLLERR and POLLHUP come unasked */
    int n;
    do
        n = poll(&one, 1, deadline_left_ms(soon()));
    while (n < 0 && errno == EINTR);
    assert_int_equal(n, 1);
}

static void client_reads_what_came_before_a_reset(void **state)
{
    (void)state;
    struct server *s = start_fake("resets", "5000");
    struct client c = connected_to(s, 1);
    assert_outcome(client_send(&c, 5000, soon()), CLIENT_OK);
    wait_for_reset(&c);
    assert_outcome(client_exchange(&c, MIB, 0, soon()), CLIENT_RESET);
    assert_int_equal(c.received, 5000);
    assert_outcome(client_send(&c, 1, soon()), CLIENT_RESET); /* EPIPE now, and no signal */
    client_close(&c);
    server_kill(s);
}

static void client_aborts(void **state)
{
    (void)state;
    int listener;
    char byte;
    struct client c = {.seed = 1};
    unsigned port = bound_port(&listener);
    assert_int_equal(listen(listener, 1), 0);
    assert_outcome(client_connect_to(&c, "127.0.0.1", port, soon()), CLIENT_OK);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    client_abort(&c);
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    (void)close(fd);
    (void)close(listener);
}

static void flood_ends_when_nothing_more_goes(void **state)
{
    (void)state;
    struct server *s = start_fake("echoes", NULL);
    struct client c = {.seed = 6, .receive_buffer = 4096};
    assert_outcome(client_connect(&c, s, soon()), CLIENT_OK);
    assert_int_equal(server_freeze(s, soon()), 0);
    assert_outcome(client_flood(&c, 256 * (uint64_t)MIB, 50, soon()), CLIENT_OK);
    assert_in_range(c.sent, 1, 256 * (uint64_t)MIB - 1);
    server_thaw(s);
    assert_outcome(client_expect(&c, (size_t)c.sent, soon()), CLIENT_OK); /* nothing is lost */
    assert_outcome(client_flood(&c, 10, 50, soon()), CLIENT_OK);
    assert_outcome(client_expect(&c, 10, soon()), CLIENT_OK);
    client_close(&c);
    server_kill(s);
}

static void pump_moves_without_waiting(void **state)
{
    (void)state;
    enum { IN_FLIGHT = 100000 };
    struct server *s = start_fake("echoes", NULL);
    struct client c = connected_to(s, 1);
    for (int64_t deadline = soon(); c.received < 4 * MIB;) {
        assert_outcome(client_pump(&c, IN_FLIGHT), CLIENT_OK);
        assert_in_range(c.sent - c.received, 0, IN_FLIGHT);
        assert_int_not_equal(deadline_left_ms(deadline), 0);
    }
    assert_int_equal(server_freeze(s, soon()), 0);
    for (int i = 0; i < 1000; i++) /* a frozen server does not hold it up */
        assert_outcome(client_pump(&c, IN_FLIGHT), CLIENT_OK);
    client_close(&c);
    server_kill(s);
}

static void raw_bytes_do_not_count(void **state)
{
    (void)state;
    char back[6];
    struct server *s = start_fake("echoes", NULL);
    struct client c = connected_to(s, 1);
    assert_outcome(client_send_raw(&c, "hello\n", 6, soon()), CLIENT_OK);
    assert_outcome(client_expect_raw(&c, back, sizeof back, soon()), CLIENT_OK);
    assert_memory_equal(back, "hello\n", 6);
    assert_int_equal(c.sent, 0);
    assert_int_equal(c.received, 0);
    assert_outcome(client_ping(&c, 10, soon(), NULL), CLIENT_OK);
    client_close(&c);
    server_kill(s);
}

static void signals_do_not_disturb(void **state)
{
    (void)state;
    interrupt_everything(true);
    struct server *s = start_fake("echoes", NULL);
    struct server_end end;
    struct client c = connected_to(s, 1);
    assert_outcome(client_exchange(&c, 4 * MIB, 0, soon()), CLIENT_OK);
    assert_outcome(client_expect(&c, 1, deadline_in_ms(A_MOMENT_MS)), CLIENT_TIMEOUT);
    client_close(&c);
    server_stop(s, soon(), &end);
    interrupt_everything(false);
    assert_int_equal(end.status, 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        TEST(client_is_refused),
        TEST(client_knows_its_own_limit),
        TEST(limit_is_raised),
        TEST(client_exchanges_exactly),
        TEST(client_times_out),
        TEST(client_finds_a_wrong_byte_at_its_place),
        TEST(client_sees_a_close),
        TEST(an_early_end_is_no_good_end),
        TEST(a_byte_too_many_is_wrong),
        TEST(a_right_byte_too_many_is_wrong_too),
        TEST(a_deadline_holds_while_bytes_flow),
        TEST(client_reads_what_came_before_a_reset),
        TEST(client_aborts),
        TEST(flood_ends_when_nothing_more_goes),
        TEST(pump_moves_without_waiting),
        TEST(raw_bytes_do_not_count),
        TEST(signals_do_not_disturb),
    };
    find_fake(argv[0]);
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
