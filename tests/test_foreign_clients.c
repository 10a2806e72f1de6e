/*
 * test_foreign_clients: every step serves clients that were not written here without losing a byte:
 * a crowd of Python's asyncio, socat and ncat. What is not installed is skipped, in words.
 *
 * STEPS_BUILD says which build of the steps. Run it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/server.h"
#include "harness/skip.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h> /* mkdtemp(), on macOS */

enum { STOP_MS = 5000, CROWD = 1000, FEW = 4, SPARE = 40, TEXT = 512 };

static struct server server;

/* Starts the step; false where it is for another system, not part of this build, or a program that
 * would not run natively. */
static bool starts(const struct step *step)
{
    char path[TEXT], why[256] = "";
    const char *build = getenv("STEPS_BUILD");
    build = build != NULL && *build != '\0' ? build : "build";
    if (step->windows || !step_runs_here(step) ||
        (strstr(build, "san-thread") != NULL && !step->threads))
        return false;
    const char *argv[] = {step_path(step, build, path, sizeof path), NULL};
    if (server_start(&server, &(struct server_spec){.argv = argv}, why, sizeof why) < 0)
        fail_msg("%s: %s", step->name, why);
    return true;
}

static void stops(const struct step *step)
{
    struct server_end end;
    server_stop(&server, deadline_in_ms(STOP_MS), &end);
    if (!end.in_time || end.status != 0)
        fail_msg("%s: ended with status %d: %s", step->name, end.status, server.err);
}

static int kill_server(void **state)
{
    (void)state;
    server_kill(&server);
    return 0;
}

static bool is_installed(const char *program)
{
    char command[TEXT];
    (void)snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

/* Runs a shell command with $PORT in its environment; it must end well. */
static void succeeds(const struct step *step, const char *command)
{
    char port[16];
    (void)snprintf(port, sizeof port, "%u", server.port);
    (void)setenv("PORT", port, 1);
    int status = system(command);
    if (status != 0)
        fail_msg("%s: `%s` ended with status %d", step->name, command, WEXITSTATUS(status));
}

/* A crowd for who can hold one; few, one after another, for who takes one client at a time. */
static int crowd_for(const struct step *step)
{
    return step_breaks(step, "many_clients") == NULL ? CROWD : FEW;
}

static void a_crowd_of_asyncio_gets_every_byte_back(void **state)
{
    (void)state;
    if (!is_installed("python3"))
        skip_because("python3 is not installed");
    if (client_raise_limit() < CROWD + SPARE)
        skip_because("this process may not open %d descriptors", (int)CROWD + SPARE);
    for (size_t i = 0; i < step_count; i++) {
        char command[TEXT];
        if (!starts(&all_steps[i]))
            continue;
        (void)snprintf(command, sizeof command, "python3 tests/clients/crowd.py $PORT %d >&2",
                       crowd_for(&all_steps[i]));
        succeeds(&all_steps[i], command);
        stops(&all_steps[i]);
    }
}

/* The program reads a file of 300,000 bytes with every value in it, and writes what comes back. */
static void get_it_all_back(const char *program, const char *client)
{
    char folder[] = "/tmp/foreignXXXXXX", command[2 * TEXT];
    if (!is_installed(program))
        skip_because("%s is not installed", program);
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < step_count; i++) {
        if (!starts(&all_steps[i]))
            continue;
        (void)snprintf(
            command, sizeof command,
            "head -c 300000 /dev/urandom >%s/in && %s <%s/in >%s/out && cmp %s/in %s/out", folder,
            client, folder, folder, folder, folder);
        succeeds(&all_steps[i], command);
        stops(&all_steps[i]);
    }
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void socat_gets_it_all_back(void **state)
{
    (void)state;
    get_it_all_back("socat", "socat -t 30 - TCP:127.0.0.1:$PORT");
}

static void ncat_gets_it_all_back(void **state)
{
    (void)state;
    get_it_all_back("ncat", "ncat 127.0.0.1 $PORT");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, kill_server)
    const struct CMUnitTest tests[] = {
        TEST(a_crowd_of_asyncio_gets_every_byte_back),
        TEST(socat_gets_it_all_back),
        TEST(ncat_gets_it_all_back),
    };
    return cmocka_run_group_tests_name("foreign clients", tests, NULL, NULL);
}
