/*
 * test_epoll: what only chapter 04 promises, beside the contract: ten thousand clients, a port that
 * is taken, no worker that blocks another one; and that everybody's server is as wrong as its page
 * says. Linux only: elsewhere it skips, in words.
 *
 * STEPS_BUILD says which build of the steps. Run it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/contract.h"
#include "harness/client.h"
#include "harness/clock.h"
#include "harness/process.h"
#include "harness/skip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server server;
static char path[512];

static int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static const char *build(void)
{
    const char *variant = getenv("STEPS_BUILD");
    return variant != NULL && *variant != '\0' ? variant : "build";
}

static const char *path_of(const char *name)
{
    (void)snprintf(path, sizeof path, "chapters/04_epoll/%s/%s", build(), name);
    return path;
}

static void start(const char *name, const char *first, const char *second)
{
    char why[256] = "";
    const char *argv[] = {path_of(name), first, second, NULL};
    struct server_spec spec = {.argv = argv};
    if (access(path, X_OK) != 0)
        skip_because("chapter 04 is not built here: it needs Linux");
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void stop(void)
{
    struct server_end end;
    server_stop(&server, soon(), &end);
    assert_true(end.in_time);
    assert_int_equal(end.status, 0);
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

/* ---- many ------------------------------------------------------------------------------------ */

static void ten_thousand_clients_are_served(void **state)
{
    (void)state;
    enum { CROWD = 10000, SPARE = 60 };
    if (client_raise_limit() < CROWD + SPARE)
        skip_because("this process may open %ld more descriptors, not %d", client_raise_limit(),
                     (int)CROWD + SPARE);
    struct client *c = calloc(CROWD, sizeof *c);
    assert_non_null(c);
    start("step1_level_triggered", NULL, NULL);
    for (int i = 0; i < CROWD; i++) {
        c[i] = (struct client){.fd = -1, .seed = (uint32_t)i};
        assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
        assert_int_equal(client_send(&c[i], 100, soon()), CLIENT_OK);
    }
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(client_expect(&c[i], 100, soon()), CLIENT_OK);
    stop();
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
    free(c);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void leaves(struct client *c)
{
    assert_int_equal(client_shut_writing(c), 0);
    assert_int_equal(client_expect_end(c, soon()), CLIENT_OK);
    client_close(c);
}

/* The last one moves to the place of the one who leaves, and must know of it: else it is taken out
 * of another place when it leaves itself, and at the end somebody is freed twice. */
static void who_has_moved_to_a_free_place_leaves_from_there(void **state)
{
    static const char *const steps[] = {"step1_level_triggered", "step2_edge_triggered",
                                        "step3_oneshot_workers", "step4_epoll_per_thread"};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct client c[3];
        start(steps[i], NULL, NULL);
        for (int who = 0; who < 3; who++) {
            c[who] = (struct client){.fd = -1, .seed = (uint32_t)who};
            assert_int_equal(client_connect(&c[who], &server, soon()), CLIENT_OK);
            assert_int_equal(client_ping(&c[who], 1, soon(), NULL), CLIENT_OK);
        }
        leaves(&c[0]);
        leaves(&c[2]);
        assert_int_equal(client_ping(&c[1], 1, soon(), NULL), CLIENT_OK);
        stop();
        client_abort(&c[1]);
    }
}

/* ---- a port that is taken -------------------------------------------------------------------- */

static int listen_without_reuseport(char *port, size_t len)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t name_len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&name, name_len) == 0 && listen(fd, 1) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &name_len), 0);
    (void)snprintf(port, len, "%u", ntohs(name.sin_port));
    return fd;
}

static void an_epoll_per_thread_refuses_a_port_whose_listener_does_not_share(void **state)
{
    (void)state;
    char port[16];
    struct server_end end;
    int taken = listen_without_reuseport(port, sizeof port);
    const char *argv[] = {path_of("step4_epoll_per_thread"), "-p", port, NULL};
    struct server_spec spec = {.argv = argv, .bare = true};
    if (access(path, X_OK) != 0)
        skip_because("chapter 04 is not built here: it needs Linux");
    assert_int_equal(server_run_to_end(&server, &spec, &end), 0);
    assert_true(end.in_time);
    assert_int_equal(end.status, 1);
    assert_non_null(strstr(server.err, port));
    assert_string_equal(server.out, "");
    (void)close(taken);
}

/* ---- workers --------------------------------------------------------------------------------- */

/* One worker is kept as busy as a client can; the others go on. */
static void a_busy_worker_blocks_no_other_client(void **state)
{
    (void)state;
    struct client busy = {.fd = -1, .seed = 1}, other = {.fd = -1, .seed = 2};
    start("step3_oneshot_workers", "-w", "2");
    assert_int_equal(client_connect(&busy, &server, soon()), CLIENT_OK);
    assert_int_equal(client_connect(&other, &server, soon()), CLIENT_OK);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(client_pump(&busy, 256 * 1024), CLIENT_OK);
        assert_int_equal(client_ping(&other, 1, soon(), NULL), CLIENT_OK);
    }
    client_abort(&busy);
    client_close(&other);
    stop();
}

/* While a client is busy, each free worker would take its event too, if epoll let it, and would
 * wait for its lock. Then the client is gone, and those who waited hold what is no client any
 * more. Each of them resets in the middle of its flood. */
static void a_busy_client_that_resets_is_freed_by_the_one_that_serves_it(void **state)
{
    (void)state;
    struct client other = {.fd = -1, .seed = 1};
    start("step3_oneshot_workers", "-w", "64");
    assert_int_equal(client_connect(&other, &server, soon()), CLIENT_OK);
    for (uint32_t i = 0; i < 300; i++) {
        struct client busy = {.fd = -1, .seed = 2 + i};
        assert_int_equal(client_connect(&busy, &server, soon()), CLIENT_OK);
        assert_int_equal(client_pump(&busy, 256 * 1024), CLIENT_OK);
        client_abort(&busy);
        assert_int_equal(client_ping(&other, 1, soon(), NULL), CLIENT_OK);
    }
    client_close(&other);
    stop();
}

/* Workers are started after the first line: waits until all are there, where the system tells. */
static void wait_for_threads(int threads)
{
    int64_t end_ns = soon();
    int now = process_threads(server.pid);
    for (; now >= 0 && now < threads && deadline_left_ms(end_ns) > 0; clock_pause_ms(1))
        now = process_threads(server.pid);
    assert_true(now < 0 || now >= threads);
}

/* Sleeping workers must all be woken by one SIGTERM, and joined. */
static void sixty_four_sleeping_workers_stop_at_once(void **state)
{
    (void)state;
    static const char *const names[] = {"step3_oneshot_workers", "step4_epoll_per_thread"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        start(names[i], "-w", "64");
        wait_for_threads(64);
        stop();
    }
}

/* ---- everybody's server ---------------------------------------------------------------------- */

/* The page says which rows are red, and how. Rows that hold prove that it is a server at all. */
static void everybodys_server_is_as_wrong_as_its_page_says(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        bool holds;
    } verdicts[] = {
        {"echoes_bytes_in_order", false},
        {"binary_safe", false},
        {"survives_rst", false},
        {"slow_reader_is_isolated", false},
        {"emfile_is_survived", false},
        {"answers_promptly", true},
        {"bad_arguments_are_refused", true},
    };
    const char *argv[] = {path_of("everybodys_server"), NULL};
    if (access(path, X_OK) != 0)
        skip_because("chapter 04 is not built here: it needs Linux");
    if (strcmp(build(), "build") != 0)
        skip_because("its bugs are for the usual build: a sanitizer ends it at the first one");
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        int patience_ms = verdicts[i].holds ? PATIENCE_MS : PATIENCE_BROKEN_MS;
        struct contract_run run = {.argv = argv, .patience_ms = patience_ms};
        contract_run_row(contract_find(verdicts[i].row), &run);
        if ((run.symptom == HOLDS) != verdicts[i].holds)
            fail_msg("%s: %s, %s", verdicts[i].row, symptom_name(run.symptom), run.came_back);
    }
}

/* Without one thread nobody would ever be served: it must not stay and pretend. */
static void without_a_single_worker_it_says_so_and_ends(void **state)
{
    (void)state;
    enum { NO_ROOM_FOR_A_STACK = 7 << 20 };
    static const char *const steps[] = {"step3_oneshot_workers", "step4_epoll_per_thread"};
    if (strstr(build(), "san-") != NULL)
        skip_because("a sanitizer needs more address space than this test allows");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct server_end end;
        const char *argv[] = {path_of(steps[i]), "-p", "0", NULL};
        struct server_spec spec = {
            .argv = argv, .bare = true, .max_address_space = NO_ROOM_FOR_A_STACK};
        if (access(path, X_OK) != 0)
            skip_because("chapter 04 is not built here: it needs Linux");
        assert_int_equal(server_run_to_end(&server, &spec, &end), 0);
        assert_true(end.in_time);
        assert_int_equal(end.status, 1);
        assert_non_null(strstr(server.err, "worker"));
        server_kill(&server);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, kill_server)
    const struct CMUnitTest tests[] = {
        TEST(ten_thousand_clients_are_served),
        TEST(who_has_moved_to_a_free_place_leaves_from_there),
        TEST(an_epoll_per_thread_refuses_a_port_whose_listener_does_not_share),
        TEST(a_busy_worker_blocks_no_other_client),
        TEST(a_busy_client_that_resets_is_freed_by_the_one_that_serves_it),
        TEST(sixty_four_sleeping_workers_stop_at_once),
        TEST(without_a_single_worker_it_says_so_and_ends),
        TEST(everybodys_server_is_as_wrong_as_its_page_says),
    };
    return cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
}
