/* The examples that echo: the whole contract, and what an idle client may cost. */
#include "example_case.h"

#include <stdlib.h>

enum { CROWD = 10000, SPARE = 60, BYTES_MOST = 512, MESSAGE = 16384 };

static int64_t bytes_per_client(int64_t before_kib)
{
    return (process_resident_kib(server.pid) - before_kib) * 1024 / CROWD;
}

/* Before they have said anything, and after: no buffer may stay behind with a client. */
static void an_idle_client_costs_at_most_512_bytes_used_or_not(void **state)
{
    (void)state;
    static struct client c[CROWD];
    if (example_is_sanitized())
        skip_because("a sanitizer has memory of its own for each of them");
    if (example_is_emulated())
        skip_because("the emulation has memory of its own for each of them");
    if (client_raise_limit() < CROWD + SPARE)
        skip_because("this process may not open %d descriptors", (int)CROWD + SPARE);
    START("echo");
    int64_t before_kib = process_resident_kib(server.pid);
    if (before_kib < 0)
        skip_because("this system does not tell how much memory a process has");
    for (int i = 0; i < CROWD; i++)
        c[i] = connected();
    struct client last = connected(); /* it is served: so all before it have been accepted */
    assert_int_equal(client_ping(&last, 1, soon(), NULL), CLIENT_OK);
    int64_t unused = bytes_per_client(before_kib);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(client_send(&c[i], MESSAGE, soon()), CLIENT_OK);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(client_expect(&c[i], MESSAGE, soon()), CLIENT_OK);
    int64_t used = bytes_per_client(before_kib);
    print_message("# an idle client costs %d bytes, one that was served %d\n", (int)unused,
                  (int)used);
    for (int i = 0; i < CROWD; i++)
        client_abort(&c[i]);
    client_close(&last);
    assert_true(unused <= BYTES_MOST);
    assert_true(used <= BYTES_MOST);
}

int run_echo(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_idle_client_costs_at_most_512_bytes_used_or_not, example_stop),
    };
    return example_run_contract("echo", NULL, NULL) + RUN("echo", tests);
}

/* ---- multicore ---- */

static void each_worker_is_a_thread(void **state)
{
    (void)state;
    START("multicore", "-w", "5");
    if (process_threads(server.pid) < 0)
        skip_because("this system does not tell how many threads a process has");
    assert_true(process_threads(server.pid) >= 6);
}

/* No socket is lost between the threads, whoever served it: the sums of all workers are right. */
static void a_crowd_that_comes_and_goes_is_counted_whole(void **state)
{
    (void)state;
    enum { ROUNDS = 40, AT_ONCE = 25 };
    struct server_end end = {0};
    char totals[64];
    START("multicore", "-w", "3");
    for (int round = 0; round < ROUNDS; round++) {
        struct client c[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            c[i] = connected();
            assert_int_equal(client_send(&c[i], 10, soon()), CLIENT_OK);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            assert_int_equal(client_expect(&c[i], 10, soon()), CLIENT_OK);
            if (i % 2 == 0)
                client_abort(&c[i]);
            else
                client_close(&c[i]);
        }
    }
    example_ends(&end);
    assert_int_equal(end.status, 0);
    (void)snprintf(totals, sizeof totals, "totals: clients %d, bytes %d", ROUNDS * AT_ONCE,
                   ROUNDS * AT_ONCE * 10);
    assert_string_equal(end.totals, totals);
}

/* A worker that is woken before its mail is there looks, finds nothing and sleeps: on one processor
 * the wake itself may let it run at once. Each client is the only one, so nobody else wakes it. */
static void no_worker_is_woken_before_its_mail_is_there(void **state)
{
    (void)state;
    enum { CLIENTS = 1000 };
    process_share_one_processor(true);
    START("multicore", "-w", "3");
    process_share_one_processor(false);
    for (int i = 0; i < CLIENTS; i++) {
        struct client c = connected();
        assert_int_equal(client_ping(&c, 1, soon(), NULL), CLIENT_OK);
        client_close(&c);
    }
}

int run_multicore(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(each_worker_is_a_thread, example_stop),
        cmocka_unit_test_teardown(a_crowd_that_comes_and_goes_is_counted_whole, example_stop),
        cmocka_unit_test_teardown(no_worker_is_woken_before_its_mail_is_there, example_stop),
    };
    /* The whole contract on the best backend only: what differs on the others, echo has shown. */
    int failed = backend_is_best ? example_run_contract("multicore", "-w", "3") : 0;
    return failed + RUN("multicore", tests);
}
