#include "example_case.h"

#include "../steps.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

const char *backend;
bool backend_is_best;
struct server server;

enum { MAX_TESTS = 64, NAME_LEN = 96 };

/* ---- programs ---- */

static const char *build(void)
{
    const char *variant = getenv("STEPS_BUILD");
    return variant != NULL && *variant != '\0' ? variant : "build";
}

const char *example_path(const char *name, char *buf, size_t len)
{
    (void)snprintf(buf, len, "chapters/07_crossplatform/%s/examples/%s", build(), name);
    return buf;
}

bool example_is_sanitized(void)
{
    return strstr(build(), "san-") != NULL;
}

void example_start(const char *name, const char *const *words)
{
    enum { WORDS = 12 };
    char path[EXAMPLE_PATH], banner[64], why[256] = "";
    const char *argv[WORDS + 2] = {example_path(name, path, sizeof path)};
    for (size_t i = 0; i < WORDS && words[i] != NULL; i++)
        argv[i + 1] = words[i];
    struct server_spec spec = {.argv = argv};
    if (server_start(&server, &spec, why, sizeof why) < 0)
        fail_msg("%s", why);
    (void)snprintf(banner, sizeof banner, "evq: %s", backend);
    int64_t end_ns = soon();
    for (server_read_output(&server); server.banner[0] == '\0' && deadline_left_ms(end_ns) > 0;) {
        clock_pause_ms(1);
        server_read_output(&server);
    }
    assert_string_equal(server.banner, banner); /* it runs on what it was told to */
}

void example_ends(struct server_end *end)
{
    if (example_is_sanitized())
        server_ask_until_it_ends(&server, SIGTERM, soon());
    server_stop(&server, soon(), end);
}

int example_stop(void **state)
{
    (void)state;
    struct server_end end = {0};
    if (server.pid == 0)
        return 0; /* the test has not started one */
    if (server.ended) {
        memset(&server, 0, sizeof server);
        return 0; /* the test has stopped it, and has looked how it ended */
    }
    example_ends(&end);
    bool well = end.in_time && end.status == 0 && strstr(end.totals, "totals: clients ") != NULL;
    if (!well)
        print_error("it ended with status %d, last line \"%s\", stderr: %s\n", end.status,
                    end.totals, server.err);
    server_kill(&server);
    memset(&server, 0, sizeof server);
    return well ? 0 : -1;
}

int64_t soon(void)
{
    return deadline_in_ms(PATIENCE_MS);
}

/* ---- clients ---- */

struct client connected(void)
{
    struct client c = {.fd = -1};
    assert_int_equal(client_connect(&c, &server, soon()), CLIENT_OK);
    return c;
}

void says_bytes(struct client *c, const char *bytes, size_t len)
{
    assert_int_equal(client_send_raw(c, bytes, len, soon()), CLIENT_OK);
}

void hears_bytes(struct client *c, const char *bytes, size_t len)
{
    char *buf = calloc(1, len + 1);
    assert_non_null(buf);
    enum outcome o = client_expect_raw(c, buf, len, soon());
    bool is_right = o == CLIENT_OK && memcmp(buf, bytes, len) == 0;
    if (!is_right)
        print_error("expected \"%.200s\", came \"%.200s\"\n", bytes, buf);
    free(buf);
    if (!is_right)
        fail_msg("the answer of %zu bytes did not come, or is another one: %s", len,
                 outcome_in_words(o));
}

const char *hears_line(struct client *c, char *line, size_t size)
{
    size_t len = 0;
    for (;;) {
        enum outcome o = client_expect_raw(c, line + len, 1, soon());
        if (o != CLIENT_OK)
            fail_msg("no line but \"%.*s\": %s", (int)len, line, outcome_in_words(o));
        if (line[len] == '\n')
            break;
        assert_true(++len < size);
    }
    line[len] = '\0';
    return line;
}

void is_ended(struct client *c)
{
    enum outcome o = client_expect_end(c, soon());
    if (o != CLIENT_OK && o != CLIENT_RESET)
        fail_msg("it did not end: %s", outcome_in_words(o));
}

/* ---- sockets of the test itself ---- */

int listens(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

int accepts(int listener)
{
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, deadline_left_ms(soon())), 1);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

void resets(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

/* ---- groups ---- */

static CMFixtureFunction group_setup; /* what the group itself begins with */

bool example_is_emulated(void)
{
    struct utsname about; /* on Linux kqueue is that of chapter 05 */
    return strcmp(backend, "kqueue") == 0 && uname(&about) >= 0 &&
           strcmp(about.sysname, "Linux") == 0;
}

/* The table of `make test` tells what has met a real kernel. */
static int begin(void **state)
{
    if (strcmp(backend, "iocp") == 0)
        (void)printf("# emulated: by Wine\n");
    else if (example_is_emulated())
        (void)printf("# emulated: over epoll\n");
    (void)fflush(stdout);
    return group_setup != NULL ? group_setup(state) : 0;
}

/* The name needs not outlive the call: cmocka prints it and forgets it. */
int example_run(const char *words, const struct CMUnitTest *tests, size_t count,
                CMFixtureFunction setup, CMFixtureFunction teardown)
{
    char name[2 * NAME_LEN];
    struct CMUnitTest some[MAX_TESTS];
    assert_true(count <= MAX_TESTS);
    memcpy(some, tests, count * sizeof *tests);
    (void)snprintf(name, sizeof name, "%s over %s", words, backend);
    group_setup = setup;
    return _cmocka_run_group_tests(name, some, count, begin, teardown);
}

/* ---- the contract ---- */

/* A Windows program starts in half a second, but everything of Wine may have to wake up first. */
enum { WINDOWS_START_MS = 20000 };

/* The rows of one group are about this. */
static struct {
    const char *name;
    const char *argv[4], *ndebug_argv[4];
    bool by_wine;
} subject;

/* What `make all` leaves out is made here. Where that fails the tests say what is not there. */
static void make_example(const char *folder, const char *cflags, const char *end)
{
    char command[EXAMPLE_PATH];
    (void)snprintf(command, sizeof command,
                   "unset MAKEFLAGS MFLAGS MAKELEVEL; make -s -C chapters/07_crossplatform/examples"
                   " BUILD='../%s' CFLAGS='%s' '../%s/examples/%s%s' >&2",
                   folder, cflags, folder, subject.name, end);
    (void)system(command); /* if it fails, the row says that the program is not there */
}

static int make_ndebug(void **state)
{
    (void)state;
    make_example("build/ndebug", "-O2 -g -DNDEBUG", "");
    return 0;
}

static int make_exe(void **state)
{
    (void)state;
    make_example("build", "-O2 -g", ".exe");
    return 0;
}

static void keeps_the_row(void **state)
{
    const struct contract_row *row = *state;
    struct contract_run run = {.argv = subject.argv,
                               .ndebug_argv = subject.by_wine ? NULL : subject.ndebug_argv,
                               .start_ms = subject.by_wine ? WINDOWS_START_MS : 0,
                               .stop_signal = subject.by_wine ? SIGINT : 0,
                               .by_wine = subject.by_wine,
                               .sanitized = example_is_sanitized()};
    contract_run_row(row, &run);
    if (run.symptom == SKIPPED)
        skip_because("%s", run.came_back);
    if (run.symptom != HOLDS)
        fail_msg("%s: %s. The peer: %s. Came back: %s. By hand: %s", row->name,
                 symptom_in_words(run.symptom), run.peer_did, run.came_back, row->repeat);
}

static int run_rows(CMFixtureFunction make_it)
{
    struct CMUnitTest tests[MAX_TESTS] = {{.name = NULL}};
    char group[NAME_LEN];
    size_t count = 0;
    for (; count < contract_row_count && count < MAX_TESTS; count++)
        tests[count] = (struct CMUnitTest){.name = contract_rows[count].name,
                                           .test_func = keeps_the_row,
                                           .initial_state = (void *)&contract_rows[count]};
    (void)snprintf(group, sizeof group, "%s's contract", subject.name);
    return example_run(group, tests, count, make_it, NULL);
}

int example_run_contract(const char *name, const char *first, const char *second)
{
    static char path[EXAMPLE_PATH], ndebug_path[EXAMPLE_PATH];
    (void)snprintf(ndebug_path, sizeof ndebug_path,
                   "chapters/07_crossplatform/build/ndebug/examples/%s", name);
    memset(&subject, 0, sizeof subject);
    subject.name = name;
    subject.argv[0] = example_path(name, path, sizeof path);
    subject.ndebug_argv[0] = ndebug_path;
    subject.argv[1] = subject.ndebug_argv[1] = first;
    subject.argv[2] = subject.ndebug_argv[2] = second;
    return run_rows(make_ndebug);
}

/* ---- the contract, for the backend of Windows ---- */

static const char *why_not_by_wine(void)
{
    static const struct step windows_program = {.windows = true};
    if (example_is_sanitized())
        return "the compiler for Windows programs has no sanitizers; they are tested without";
    return step_why_not(&windows_program);
}

static void windows_programs_run_here(void **state)
{
    (void)state;
    skip_because("%s", why_not_by_wine());
}

int example_run_contract_by_wine(const char *name)
{
    static char path[EXAMPLE_PATH];
    const struct CMUnitTest skipped[] = {cmocka_unit_test(windows_programs_run_here)};
    if (why_not_by_wine() != NULL)
        return RUN("nothing", skipped);
    (void)snprintf(path, sizeof path, "chapters/07_crossplatform/build/examples/%s.exe", name);
    memset(&subject, 0, sizeof subject);
    subject.name = name;
    subject.by_wine = true;
    subject.argv[0] = "sh";
    subject.argv[1] = "chapters/06_iocp/wine.sh";
    subject.argv[2] = path;
    return run_rows(make_exe);
}
