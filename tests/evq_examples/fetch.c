/* fetch: what comes, what does not come in time, and what comes in pieces. */
#include "example_case.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/evq_fetchXXXXXX";

static int make_folder(void **state)
{
    (void)state;
    char command[128];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command, "head -c 100000 /dev/urandom >%s/file", folder);
    return system(command);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    int err = system(command);
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    return err;
}

/* Runs fetch to its end. The last words of url are the port and the path. */
static struct server fetched; /* after the run: what it said */

static struct server_end fetches(const char *times, const char *at_once, const char *ms,
                                 unsigned port, const char *path)
{
    char program[EXAMPLE_PATH], url[128];
    struct server_end end = {0};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    const char *argv[] = {example_path("fetch", program, sizeof program),
                          "-n",
                          times,
                          "-j",
                          at_once,
                          "-t",
                          ms,
                          url,
                          NULL};
    struct server_spec spec = {.argv = argv, .bare = true, .start_ms = 20000};
    assert_int_equal(server_run_to_end(&fetched, &spec, &end), 0);
    server_kill(&fetched);
    assert_true(end.in_time);
    return end;
}

static void hundreds_are_fetched_whole(void **state)
{
    (void)state;
    START("http", "-d", folder);
    struct server_end end = fetches("300", "40", "20000", server.port, "/file");
    assert_int_equal(end.status, 0);
    assert_string_equal(end.totals, "totals: fetched 300, failed 0, bytes 30000000");
}

static void a_page_that_is_not_there_is_a_failure(void **state)
{
    (void)state;
    START("http", "-d", folder);
    struct server_end end = fetches("2", "1", "20000", server.port, "/nothing");
    assert_int_equal(end.status, 1);
    assert_non_null(strstr(fetched.out, "   404 "));
    assert_non_null(strstr(end.totals, "fetched 0, failed 2"));
}

static void nobody_listening_is_said_at_once(void **state)
{
    (void)state;
    unsigned port;
    close(listens(&port));
    struct server_end end = fetches("3", "3", "20000", port, "/");
    assert_int_equal(end.status, 1);
    assert_non_null(strstr(fetched.out, "while connecting"));
    assert_string_equal(end.totals, "totals: fetched 0, failed 3, bytes 0");
}

/* The backlog connects, and nobody ever answers: 60 deadlines, 20 at a time, never early. */
static void each_fetch_has_its_own_deadline(void **state)
{
    (void)state;
    enum { PATIENCE = 150, ROUNDS = 3 };
    unsigned port;
    int listener = listens(&port);
    int64_t begin_ns = clock_now_ns();
    struct server_end end = fetches("60", "20", "150", port, "/");
    int64_t took_ms = (clock_now_ns() - begin_ns) / 1000000;
    close(listener);
    assert_int_equal(end.status, 1);
    assert_non_null(strstr(fetched.out, "time is over while waiting for the answer"));
    assert_string_equal(end.totals, "totals: fetched 0, failed 60, bytes 0");
    assert_true(took_ms >= ROUNDS * PATIENCE);
}

/* A child answers one request with these bytes, one by one or at once, and closes. */
static pid_t answers(int listener, const char *bytes, bool one_by_one)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    char request[2048];
    int fd = accept(listener, NULL, NULL);
    ssize_t n = recv(fd, request, sizeof request, 0);
    size_t len = strlen(bytes), step = one_by_one ? 1 : len;
    for (size_t at = 0; n > 0 && at < len; at += step) {
        n = send(fd, bytes + at, step, 0);
        clock_pause_ms(one_by_one ? 1 : 0);
    }
    close(fd);
    _exit(0);
}

static void is_answered(const char *bytes, bool one_by_one, int status, const char *words)
{
    unsigned port;
    int listener = listens(&port);
    pid_t child = answers(listener, bytes, one_by_one);
    assert_true(child > 0);
    struct server_end end = fetches("1", "1", "5000", port, "/");
    close(listener);
    (void)waitpid(child, NULL, 0);
    if (end.status != status || strstr(fetched.out, words) == NULL)
        fail_msg("status %d, right is %d; not \"%s\" but: %s", end.status, status, words,
                 fetched.out);
}

static void an_answer_is_whole_or_called_otherwise(void **state)
{
    (void)state;
    is_answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, 0, ": 5 bytes");
    is_answered("HTTP/1.0 200 OK\r\n\r\nuntil the end", false, 0, ": 13 bytes");
    is_answered("HTTP/1.1 204 No Content\r\n\r\n", false, 0, ": 0 bytes");
    is_answered("HTTP/1.1 200 OK\r\ncontent-length:  9\r\n\r\nhello", false, 1, "cut short");
    is_answered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello", false, 1, "more bytes than");
    is_answered("HTTP/1.1 200 OK\r\nContent-Len", false, 1, "the connection ended while waiting");
    is_answered("SSH-2.0-something\r\n\r\n", false, 1, "not HTTP");
    is_answered("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", false, 1, "no number");
}

int run_fetch(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(hundreds_are_fetched_whole, example_stop),
        cmocka_unit_test_teardown(a_page_that_is_not_there_is_a_failure, example_stop),
        cmocka_unit_test(nobody_listening_is_said_at_once),
        cmocka_unit_test(each_fetch_has_its_own_deadline),
        cmocka_unit_test(an_answer_is_whole_or_called_otherwise),
    };
    return example_run("fetch", tests, sizeof tests / sizeof tests[0], make_folder, remove_folder);
}
