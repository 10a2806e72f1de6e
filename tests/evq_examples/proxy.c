/* proxy: bytes, ends and resets are handed on, both ways. */
#include "example_case.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server target; /* the echo example */
static int listener = -1;    /* or a socket of the test */

static void start_before(unsigned port)
{
    char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    START("proxy", "-t", "1", "-c", text);
}

static void start_before_echo(void)
{
    char path[EXAMPLE_PATH], why[256] = "";
    const char *argv[] = {example_path("echo", path, sizeof path), NULL};
    if (server_start(&target, &(struct server_spec){.argv = argv}, why, sizeof why) < 0)
        fail_msg("%s", why);
    start_before(target.port);
}

static void start_before_test(void)
{
    unsigned port;
    listener = listens(&port);
    start_before(port);
}

static int stop(void **state)
{
    int err = example_stop(state);
    server_kill(&target);
    memset(&target, 0, sizeof target);
    if (listener >= 0)
        close(listener);
    listener = -1;
    return err;
}

static void is_served(void)
{
    struct client c = connected();
    assert_int_equal(client_ping(&c, 100, soon(), NULL), CLIENT_OK);
    client_close(&c);
}

static void every_byte_goes_both_ways(void **state)
{
    (void)state;
    enum { CLIENTS = 20 };
    struct client c[CLIENTS];
    start_before_echo();
    for (int i = 0; i < CLIENTS; i++)
        c[i] = connected();
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(client_exchange(&c[i], 1 << 19, 30000, soon()), CLIENT_OK);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i]);
}

static void half_close_goes_there_and_back(void **state)
{
    (void)state;
    start_before_echo();
    struct client c = connected();
    assert_int_equal(client_send(&c, 100000, soon()), CLIENT_OK);
    assert_int_equal(client_shut_writing(&c), 0);
    assert_int_equal(client_expect(&c, 100000, soon()), CLIENT_OK);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
}

/* The target ends first: the client may go on sending, and the target hears it. */
static void the_other_direction_goes_on_after_an_end(void **state)
{
    (void)state;
    char buf[8] = "";
    start_before_test();
    struct client c = connected();
    int fd = accepts(listener);
    assert_int_equal(send(fd, "bye", 3, 0), 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    HEARS(&c, "bye");
    SAYS(&c, "one more");
    assert_int_equal(recv(fd, buf, 8, MSG_WAITALL), 8);
    assert_memory_equal(buf, "one more", 8);
    assert_int_equal(client_shut_writing(&c), 0);
    assert_int_equal(recv(fd, buf, 8, 0), 0);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    close(fd);
    client_close(&c);
}

static void a_reset_of_the_target_is_no_clean_end(void **state)
{
    (void)state;
    start_before_test();
    struct client c = connected();
    int fd = accepts(listener);
    assert_int_equal(send(fd, "half an ans", 11, 0), 11);
    HEARS(&c, "half an ans");
    resets(fd);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_RESET);
    client_close(&c);
}

static void a_reset_of_the_client_reaches_the_target(void **state)
{
    (void)state;
    char buf[8];
    start_before_test();
    struct client c = connected();
    int fd = accepts(listener);
    SAYS(&c, "x");
    assert_int_equal(recv(fd, buf, 1, MSG_WAITALL), 1);
    client_abort(&c);
    assert_int_equal(recv(fd, buf, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
}

static void a_target_that_is_not_there_costs_that_client_only(void **state)
{
    (void)state;
    start_before_test();
    close(listener); /* from here on its port refuses */
    listener = -1;
    for (int i = 0; i < 3; i++) {
        struct client c = {.fd = -1};
        enum outcome o = client_connect(&c, &server, soon());
        assert_true(o == CLIENT_OK || o == CLIENT_RESET);
        if (o == CLIENT_OK)
            is_ended(&c);
        client_close(&c);
    }
}

/* Linux drops the SYN where the backlog is full, so a connect waits: -t 1 ends it. */
static void a_connect_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    enum { FILLERS = 8 };
    int filler[FILLERS];
    unsigned port;
    bool is_full = false;
    listener = listens(&port);
    assert_int_equal(listen(listener, 0), 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    for (int i = 0; i < FILLERS; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(fcntl(filler[i], F_SETFL, O_NONBLOCK), 0);
        (void)connect(filler[i], (struct sockaddr *)&at, sizeof at);
        struct pollfd wait = {.fd = filler[i], .events = POLLOUT};
        is_full = is_full || poll(&wait, 1, 50) == 0;
    }
    if (is_full) {
        start_before(port);
        struct client c = connected();
        int64_t begin_ns = clock_now_ns();
        is_ended(&c);
        assert_true(clock_now_ns() - begin_ns >= INT64_C(900000000)); /* not early */
        client_close(&c);
    }
    for (int i = 0; i < FILLERS; i++)
        close(filler[i]);
    if (!is_full)
        skip_because("this system connects however full the backlog is");
}

/* The kernel holds far more than the proxy: on the way there and back lie four receive buffers, and
 * each may grow to 32 MiB (tcp_rmem). */
static void a_client_that_does_not_read_holds_bounded_memory(void **state)
{
    (void)state;
    enum { MOST = 512 << 20, QUIET_MS = 100, MEMORY_KIB = 4096 };
    start_before_echo();
    is_served();
    struct client slow = connected();
    int64_t memory_kib = process_resident_kib(server.pid);
    assert_int_equal(client_flood(&slow, MOST, QUIET_MS, soon()), CLIENT_OK);
    assert_true(slow.sent < MOST);
    is_served();
    if (memory_kib >= 0 && !example_is_sanitized())
        assert_true(process_resident_kib(server.pid) - memory_kib < MEMORY_KIB);
    assert_int_equal(client_expect(&slow, (size_t)slow.sent, soon()), CLIENT_OK);
    client_close(&slow);
}

static void a_wrong_target_is_refused_in_words(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "nonsense",        "127.0.0.1",    "127.0.0.1:", "127.0.0.1:x", "::1:80",
        "127.0.0.1:70000", "localhost:80", "",           NULL};
    for (size_t i = 0; wrong[i] != NULL; i++) {
        char path[EXAMPLE_PATH];
        const char *argv[] = {example_path("proxy", path, sizeof path), "-c", wrong[i], NULL};
        struct server s;
        struct server_end end = {0};
        assert_int_equal(
            server_run_to_end(&s, &(struct server_spec){.argv = argv, .bare = true}, &end), 0);
        assert_int_equal(end.status, 2);
        assert_non_null(strstr(s.err, "-c '"));
        server_kill(&s);
    }
}

int run_proxy(void)
{
#define PROXY_TEST(test) cmocka_unit_test_teardown(test, stop)
    const struct CMUnitTest tests[] = {
        PROXY_TEST(every_byte_goes_both_ways),
        PROXY_TEST(half_close_goes_there_and_back),
        PROXY_TEST(the_other_direction_goes_on_after_an_end),
        PROXY_TEST(a_reset_of_the_target_is_no_clean_end),
        PROXY_TEST(a_reset_of_the_client_reaches_the_target),
        PROXY_TEST(a_target_that_is_not_there_costs_that_client_only),
        PROXY_TEST(a_connect_that_takes_too_long_is_given_up),
        PROXY_TEST(a_client_that_does_not_read_holds_bounded_memory),
        PROXY_TEST(a_wrong_target_is_refused_in_words),
    };
    return RUN("proxy", tests);
}
