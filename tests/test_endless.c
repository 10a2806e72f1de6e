/*
 * test_endless: a peer that is always faster than the server (endless/endless.c) starves nobody,
 * and keeps a server awake that naps when nothing moves.
 *
 * The row fast_peer_starves_nobody has real peers, which let the server catch up now and then; a
 * server without a budget may pass it. Here it cannot. The steps are built for this test, with the
 * calls of the peer in between. Linux only, and not where the linker has no --wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/skip.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, PINGS = 10, PATH_LEN = 512 };

static struct server server;
static char folder[PATH_LEN - 64]; /* where this program is */

static int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static void start(const char *name)
{
    char path[PATH_LEN], why[256] = "";
    (void)snprintf(path, sizeof path, "%s/endless/%s", folder, name);
    const char *argv[] = {path, NULL};
    struct server_spec spec = {.argv = argv};
    if (access(path, X_OK) != 0)
        skip_because("%s is not built for this test on this system", name);
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

/* From the last byte of the echo on it never stops. */
static void becomes_endless(struct client *c)
{
    static const char word[] = "endless";
    char echo[sizeof word];
    struct pollfd ready;
    assert_int_equal(client_connect(c, &server, soon()), CLIENT_OK);
    assert_int_equal(send(c->fd, word, sizeof word - 1, MSG_NOSIGNAL), sizeof word - 1);
    ready = (struct pollfd){.fd = c->fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, (int)deadline_left_ms(soon())), 1);
    assert_int_equal(recv(c->fd, echo, sizeof echo, 0), sizeof word - 1);
    assert_memory_equal(echo, word, sizeof word - 1);
}

static void an_endless_peer_starves_nobody(void **state)
{
    struct client endless = {.fd = -1}, other = {.fd = -1, .seed = 2};
    struct server_end end;
    start(*state);
    becomes_endless(&endless);
    assert_int_equal(client_connect(&other, &server, soon()), CLIENT_OK);
    for (int i = 0; i < PINGS; i++)
        assert_int_equal(client_ping(&other, 10, soon(), NULL), CLIENT_OK);
    server_stop(&server, soon(), &end);
    assert_true(end.in_time);
    assert_int_equal(end.status, 0);
    client_close(&endless);
    client_close(&other);
}

/* Whoever was asked last has nothing to say: that is no reason to nap (endless.c ends a server that
 * does). */
static void a_silent_client_sends_nobody_to_sleep(void **state)
{
    enum { ROUNDS = 20 };
    struct client endless = {.fd = -1}, silent = {.fd = -1, .seed = 2}, other = {.fd = -1};
    struct server_end end;
    start(*state);
    becomes_endless(&endless);
    assert_int_equal(client_connect(&silent, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&silent, 10, soon(), NULL), CLIENT_OK);
    for (uint32_t i = 0; i < ROUNDS; i++) { /* meanwhile the server is asked for something */
        other = (struct client){.fd = -1, .seed = i};
        assert_int_equal(client_connect(&other, &server, soon()), CLIENT_OK);
        assert_int_equal(client_ping(&other, 10, soon(), NULL), CLIENT_OK);
        client_close(&other);
    }
    server_stop(&server, soon(), &end);
    assert_true(end.in_time);
    assert_int_equal(end.status, 0);
    client_close(&endless);
    client_close(&silent);
}

static void without_such_a_peer_it_serves_as_always(void **state)
{
    struct client other = {.fd = -1, .seed = 2};
    start(*state);
    assert_int_equal(client_connect(&other, &server, soon()), CLIENT_OK);
    assert_int_equal(client_ping(&other, 1000, soon(), NULL), CLIENT_OK);
    client_close(&other);
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *slash = strrchr(argv[0], '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - argv[0]) : 1,
                   slash != NULL ? argv[0] : ".");
    const struct CMUnitTest tests[] = {
        {"an_endless_peer_starves_nobody", an_endless_peer_starves_nobody, NULL, kill_server,
         "step2_edge_triggered"},
        {"without_such_a_peer_it_serves_as_always", without_such_a_peer_it_serves_as_always, NULL,
         kill_server, "step2_edge_triggered"},
        {"a_silent_client_sends_nobody_to_sleep", a_silent_client_sends_nobody_to_sleep, NULL,
         kill_server, "step3_nap"},
    };
    return cmocka_run_group_tests_name("an endless peer", tests, NULL, NULL);
}
