/*
 * fakes: what the tests of the harness share: servers that are no servers, and clients for them.
 *
 * Servers are started by start_fake() and kept in a list, so that a test which fails in its middle
 * leaves none behind: leave_nothing() runs after each. Include after cmocka.h.
 */
#ifndef TESTS_FAKES_H
#define TESTS_FAKES_H

#include "harness/client.h"
#include "harness/clock.h"
#include "harness/server.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { PATH_LEN = 1024, WHY_LEN = 512, PATIENCE_MS = 10000, A_MOMENT_MS = 200 };
enum { KIB = 1024, MIB = 1024 * 1024 };

static char fake[PATH_LEN]; /* the path of harness_fake: beside this program */

/* ---- Servers and clients ----------------------------------------------------------------- */

static inline int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

static inline void assert_outcome(enum outcome is, enum outcome wanted)
{
    if (is != wanted)
        fail_msg("wanted: %s; but: %s", outcome_in_words(wanted), outcome_in_words(is));
}

static inline void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

enum { SERVERS_MAX = 32 };
static struct server servers[SERVERS_MAX]; /* of the test that runs                    */
static int servers_used;

static inline struct server *new_server(void)
{
    assert_int_not_equal(servers_used, SERVERS_MAX);
    servers[servers_used] = (struct server){.pid = 0};
    return &servers[servers_used++];
}

/** After each test, however it went: no server is left, and no child of another kind. */
static inline int leave_nothing(void **state)
{
    (void)state;
    while (servers_used > 0)
        server_kill(&servers[--servers_used]);
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : -1;
}

/** Starts harness_fake with a habit and, unless NULL, its number. */
static inline struct server *start_fake(const char *habit, const char *number)
{
    const char *argv[] = {fake, habit, number, NULL};
    struct server_spec spec = {.argv = argv};
    struct server *s = new_server();
    char why[WHY_LEN] = "";
    if (server_start(s, &spec, why, sizeof why) != 0)
        fail_msg("%s", why);
    return s;
}

static inline struct client connected_to(const struct server *s, uint32_t seed)
{
    struct client c = {.seed = seed};
    assert_outcome(client_connect(&c, s, soon()), CLIENT_OK);
    return c;
}

/* ---- Signals ----------------------------------------------------------------------------- */

static inline void on_alarm(int sig)
{
    (void)sig;
}

/** A signal every millisecond, whose handler interrupts whatever waits. */
static inline void interrupt_everything(bool on)
{
    struct sigaction action = {.sa_handler = on ? on_alarm : SIG_DFL};
    struct itimerval each = {.it_interval = {.tv_usec = on ? 1000 : 0},
                             .it_value = {.tv_usec = on ? 1000 : 0}};
    if (on)
        assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &each, NULL), 0);
    if (!on)
        assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
}

/* ---- Beginning and end ------------------------------------------------------------------- */

/** A test that must leave nothing behind. */
#define TEST(name) cmocka_unit_test_teardown(name, leave_nothing)

/** Finds harness_fake, which stands beside this program. */
static inline void find_fake(const char *argv0)
{
    char self[PATH_LEN];
    (void)snprintf(self, sizeof self, "%s", argv0);
    (void)snprintf(fake, sizeof fake, "%s/wrong/harness_fake", dirname(self));
}

#endif
