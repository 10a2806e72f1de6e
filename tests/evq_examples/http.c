/* http: what is served, what is not, and where a request ends. */
#include "example_case.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BIG = 3000000, HEAD = 4096, MUCH = 20000 };

static char folder[] = "/tmp/evq_httpXXXXXX"; /* what is served is folder/site */
static char *big;                             /* the contents of site/big.bin  */

static void put(const char *name, const char *bytes, size_t len)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int run_command(const char *format)
{
    char command[256];
    (void)snprintf(command, sizeof command, format, folder);
    return system(command);
}

static int make_site(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(run_command("mkdir -p %s/site/sub/.git"), 0);
    big = malloc(BIG);
    assert_non_null(big);
    for (uint32_t i = 0, x = 1; i < BIG; i++, x = x * 1103515245 + 12345)
        big[i] = (char)(x >> 16);
    put("site/big.bin", big, BIG);
    put("site/index.html", "<p>index</p>\n", 13);
    put("site/sub/index.html", "sub\n", 4);
    put("site/sub/.git/config", "secret\n", 7);
    put("site/.env", "secret\n", 7);
    put("site/two words.txt", "two\n", 4);
    put("site/empty", "", 0);
    put("outside.txt", "secret\n", 7);
    return run_command("cd %s/site && ln -s ../outside.txt link.txt && ln -s / top && mkfifo pipe");
}

static int remove_site(void **state)
{
    (void)state;
    int err = run_command("rm -r %s");
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    free(big);
    return err;
}

static int start(void **state)
{
    (void)state;
    char site[64];
    (void)snprintf(site, sizeof site, "%s/site", folder);
    START("http", "-d", site, "-t", "20");
    return 0;
}

/* ---- an answer ---- */

struct answer {
    int status;
    long length; /* of the body, as announced; -1: not announced */
    char head[HEAD];
    char *body; /* static: the last one's only */
};

static void hears_head(struct client *c, struct answer *a)
{
    size_t len = 0;
    do {
        enum outcome o = client_expect_raw(c, a->head + len, 1, soon());
        if (o != CLIENT_OK)
            fail_msg("no answer but \"%.*s\": %s", (int)len, a->head, outcome_in_words(o));
        a->head[++len] = '\0';
        assert_true(len + 1 < HEAD);
    } while (len < 4 || strcmp(a->head + len - 4, "\r\n\r\n") != 0);
    assert_int_equal(sscanf(a->head, "HTTP/1.1 %3d ", &a->status), 1);
    const char *length = strstr(a->head, "\r\nContent-Length: ");
    a->length = length != NULL ? strtol(length + 18, NULL, 10) : -1;
}

static void hears_body(struct client *c, struct answer *a)
{
    static char body[BIG + 1];
    assert_true(a->length >= 0 && a->length <= BIG);
    assert_int_equal(client_expect_raw(c, body, (size_t)a->length, soon()), CLIENT_OK);
    body[a->length] = '\0';
    a->body = body;
}

static struct answer hears_answer(struct client *c)
{
    struct answer a = {.length = -1};
    hears_head(c, &a);
    hears_body(c, &a);
    return a;
}

static bool says_close(const struct answer *a)
{
    return strstr(a->head, "\r\nConnection: close\r\n") != NULL;
}

/* "GET /path HTTP/1.1", on a connection that may go on. */
static struct answer gets(struct client *c, const char *path, const char *fields)
{
    char request[2 * MUCH + 64];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path,
                   fields);
    SAYS(c, request);
    return hears_answer(c);
}

static void is_served(void)
{
    struct client c = connected();
    struct answer a = gets(&c, "/", "");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "<p>index</p>\n");
    client_close(&c);
}

/* ---- what is served ---- */

static void many_requests_share_a_connection(void **state)
{
    (void)state;
    struct client c = connected();
    for (int i = 0; i < 20; i++) {
        struct answer a = gets(&c, i % 2 ? "/sub/" : "/", "");
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, i % 2 ? "sub\n" : "<p>index</p>\n");
        assert_false(says_close(&a));
        assert_non_null(strstr(a.head, "\r\nContent-Type: text/html"));
        assert_non_null(strstr(a.head, "\r\nDate: "));
    }
    assert_int_equal(gets(&c, "/nothing", "").status, 404); /* which is no reason to leave */
    assert_int_equal(gets(&c, "/two%20words.txt?a=b", "").status, 200);
    assert_int_equal(gets(&c, "/empty", "").length, 0);
    assert_int_equal(gets(&c, "http://test/sub/", "").status, 200);
    struct answer last = gets(&c, "/", "Connection: upgrade , CLOSE\r\n");
    assert_true(says_close(&last));
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
}

static void requests_in_one_segment_are_answered_in_order(void **state)
{
    (void)state;
    enum { TIMES = 50 };
    struct client c = connected();
    static const char both[] =
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /sub/ HTTP/1.1\r\nHost: a\r\n\r\n";
    char *all = calloc(TIMES, sizeof both);
    assert_non_null(all);
    for (int i = 0; i < TIMES; i++)
        strcat(all, both);
    SAYS(&c, all);
    for (int i = 0; i < TIMES; i++) {
        assert_string_equal(hears_answer(&c).body, "<p>index</p>\n");
        assert_string_equal(hears_answer(&c).body, "sub\n");
    }
    free(all);
    client_close(&c);
}

static void a_request_byte_by_byte_is_answered_once(void **state)
{
    (void)state;
    struct client c = connected();
    static const char request[] = "\r\nGET /sub/ HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof request; i++)
        says_bytes(&c, request + i, 1);
    assert_string_equal(hears_answer(&c).body, "sub\n");
    assert_int_equal(gets(&c, "/", "").status, 200);
    client_close(&c);
}

static void head_tells_all_but_the_body(void **state)
{
    (void)state;
    struct client c = connected();
    struct answer a;
    SAYS(&c, "HEAD /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n");
    hears_head(&c, &a);
    assert_int_equal(a.status, 200); /* a range is for GET only */
    assert_int_equal(a.length, BIG);
    SAYS(&c, "HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    hears_head(&c, &a);
    assert_int_equal(a.status, 404);
    assert_int_equal(gets(&c, "/", "").status, 200); /* right behind it: no body was there */
    client_close(&c);
}

static void old_clients_are_served_and_closed(void **state)
{
    (void)state;
    struct client c = connected();
    SAYS(&c, "GET / HTTP/1.0\r\n\r\n");
    assert_string_equal(hears_answer(&c).body, "<p>index</p>\n");
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
    c = connected();
    for (int i = 0; i < 2; i++) {
        SAYS(&c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        struct answer a = hears_answer(&c);
        assert_non_null(strstr(a.head, "\r\nConnection: keep-alive\r\n"));
    }
    client_close(&c);
}

static void a_big_file_comes_whole_to_many_at_once(void **state)
{
    (void)state;
    enum { CLIENTS = 8 };
    struct client c[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = connected();
        SAYS(&c[i], "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct answer a = hears_answer(&c[i]);
        assert_int_equal(a.length, BIG);
        assert_memory_equal(a.body, big, BIG);
        client_close(&c[i]);
    }
}

static void a_range_is_a_part_of_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        int status;
        long first, length;
    } cases[] = {
        {"bytes=0-0", 206, 0, 1},
        {"bytes=10-1009", 206, 10, 1000},
        {"BYTES=2999999-", 206, BIG - 1, 1},
        {"bytes=2999990-99999999999999999999999", 206, BIG - 10, 10},
        {"bytes=2999995-3000000", 206, BIG - 5, 5},
        {"bytes=-7", 206, BIG - 7, 7},
        {"bytes=-99999999999999999999999", 206, 0, BIG},
        {"bytes=0-", 206, 0, BIG},
        {"bytes=3000000-", 416, 0, 0},
        {"bytes=99999999999999999999999-", 416, 0, 0},
        {"bytes=-0", 416, 0, 0},
        {"bytes=9-1", 200, 0, BIG}, /* these are no ranges: as if they were not there */
        {"bytes=0-1,5-6", 200, 0, BIG},
        {"bytes=-", 200, 0, BIG},
        {"bytes=a-b", 200, 0, BIG},
        {"bytes=", 200, 0, BIG},
        {"lines=1-2", 200, 0, BIG},
        {"-bytes=1", 200, 0, BIG},
    };
    struct client c = connected();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char fields[128], wanted[128];
        (void)snprintf(fields, sizeof fields, "Range: %s\r\n", cases[i].range);
        struct answer a = gets(&c, "/big.bin", fields);
        if (a.status != cases[i].status)
            fail_msg("%s: %d, right is %d", cases[i].range, a.status, cases[i].status);
        if (a.status == 416) {
            assert_non_null(strstr(a.head, "\r\nContent-Range: bytes */3000000\r\n"));
            continue;
        }
        assert_int_equal(a.length, cases[i].length);
        assert_memory_equal(a.body, big + cases[i].first, (size_t)a.length);
        (void)snprintf(wanted, sizeof wanted, "\r\nContent-Range: bytes %ld-%ld/3000000\r\n",
                       cases[i].first, cases[i].first + cases[i].length - 1);
        assert_int_equal(strstr(a.head, wanted) != NULL, a.status == 206);
    }
    assert_int_equal(gets(&c, "/empty", "Range: bytes=0-0\r\n").status, 416);
    client_close(&c);
}

static void a_client_that_knows_the_file_need_not_get_it(void **state)
{
    (void)state;
    struct client c = connected();
    struct answer a = gets(&c, "/big.bin", "");
    char etag[64], fields[256];
    assert_int_equal(sscanf(strstr(a.head, "\r\nETag: "), "\r\nETag: %63[^\r]", etag), 1);
    (void)snprintf(fields, sizeof fields, "If-None-Match: \"old\", %s\r\n", etag);
    char request[512];
    (void)snprintf(request, sizeof request, "GET /big.bin HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    SAYS(&c, request);
    hears_head(&c, &a);
    assert_int_equal(a.status, 304);
    (void)snprintf(fields, sizeof fields, "Range: bytes=5-6\r\nIf-Range: %s\r\n", etag);
    assert_int_equal(gets(&c, "/big.bin", fields).status, 206);
    a = gets(&c, "/big.bin", "Range: bytes=5-6\r\nIf-Range: \"old\"\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.length, BIG);
    client_close(&c);
}

static void a_folder_wants_its_slash(void **state)
{
    (void)state;
    struct client c = connected();
    struct answer a = gets(&c, "/sub?x", "");
    assert_int_equal(a.status, 301);
    assert_non_null(strstr(a.head, "\r\nLocation: /sub/\r\n"));
    client_close(&c);
}

/* ---- what is not served ---- */

static void nothing_outside_the_folder_is_served(void **state)
{
    (void)state;
    static const char *const paths[] = {"/../outside.txt",
                                        "/sub/../../outside.txt",
                                        "/%2e%2e/outside.txt",
                                        "/.%2e/outside.txt",
                                        "/..%2foutside.txt",
                                        "/sub/..%2F..%2Foutside.txt",
                                        "/link.txt",
                                        "/top/etc/passwd",
                                        "/top",
                                        "//etc/passwd",
                                        "/./index.html",
                                        "/sub//index.html",
                                        "/.env",
                                        "/sub/.git/config",
                                        "/%2eenv",
                                        "/pipe",
                                        "/index.html/",
                                        "/index.html/x",
                                        "/..\\outside.txt",
                                        "/%5c..%5coutside.txt",
                                        "http://test/../outside.txt",
                                        "/sub%2Findex.html",
                                        "/big.bin%00.html",
                                        "/%c0%ae%c0%ae/outside.txt",
                                        "/sub/%2e%2e/%2e%2e/outside.txt",
                                        NULL};
    for (size_t i = 0; paths[i] != NULL; i++) {
        struct client c = connected();
        struct answer a = gets(&c, paths[i], "");
        if (a.status != 404 && a.status != 400)
            fail_msg("%s: %d", paths[i], a.status);
        assert_null(strstr(a.body, "secret"));
        client_close(&c);
    }
    is_served();
}

#define HOST "Host: a\r\n"

/* Each is wrong; a second request stands behind it, and must never be taken for one. */
static const struct {
    int status;
    const char *request;
} framings[] = {
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"},
    {400,
     "GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, "GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {411, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {411, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST " Content-Length: 5\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "X: a\rContent-Length: 5\r\n\r\nhello"},
    {400, "GET / HTTP/1.1\r\n" HOST "nonsense\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST ": nothing\r\n\r\n"},
    {400, "GET / HTTP/1.1\n" HOST "\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\n\n"},
    {400, "GET / HTTP/1.1\r\nHost: aa\nX: y\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
    {400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
    {400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET / http/1.1\r\n" HOST "\r\n"},
    {400, "GET / HTTP/1.10\r\n" HOST "\r\n"},
    {400, "GET /\r\n" HOST "\r\n"},
    {400, " GET / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "G(T / HTTP/1.1\r\n" HOST "\r\n"},
    {400, "GET index.html HTTP/1.1\r\n" HOST "\r\n"},
    {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
    {413, "GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n"},
    {405, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"},
    {405, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {200, "GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"}, /* the end all the same */
};

static void where_a_request_ends_is_never_guessed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++) {
        struct client c = connected();
        char request[1024];
        (void)snprintf(request, sizeof request, "%sGET /sub/ HTTP/1.1\r\n" HOST "\r\n",
                       framings[i].request);
        SAYS(&c, request);
        struct answer a = hears_answer(&c);
        if (a.status != framings[i].status || !says_close(&a))
            fail_msg("%d, right is %d and the end: %s", a.status, framings[i].status,
                     framings[i].request);
        enum outcome o = client_expect_end(&c, soon()); /* and nothing more */
        if (o != CLIENT_OK)
            fail_msg("more than an answer and the end (%s): %s", outcome_in_words(o),
                     framings[i].request);
        client_close(&c);
    }
    is_served();
}

static void other_methods_are_refused_and_the_connection_goes_on(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "get", "FETCH", NULL};
    struct client c = connected();
    for (size_t i = 0; methods[i] != NULL; i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "%s / HTTP/1.1\r\n" HOST "\r\n", methods[i]);
        SAYS(&c, request);
        struct answer a = hears_answer(&c);
        assert_int_equal(a.status, 405);
        assert_non_null(strstr(a.head, "\r\nAllow: GET, HEAD\r\n"));
    }
    assert_int_equal(gets(&c, "/", "").status, 200);
    client_close(&c);
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[MUCH];
    struct client c = connected();
    memset(text, 'x', 9000);
    memcpy(text, "GET /", 5);
    SAYS(&c, text);
    assert_int_equal(hears_answer(&c).status, 414);
    client_close(&c);
    c = connected();
    text[1200] = '\0';
    assert_int_equal(gets(&c, text + 4, "").status, 414); /* a path of 1,195 bytes */
    client_close(&c);
    c = connected();
    memset(text, 'x', 9000);
    SAYS(&c, "GET / HTTP/1.1\r\nX: ");
    SAYS(&c, text);
    assert_int_equal(hears_answer(&c).status, 431);
    client_close(&c);
    c = connected();
    text[0] = '\0';
    for (int i = 0; i < 101; i++)
        strcat(text, "X: y\r\n");
    assert_int_equal(gets(&c, "/", text).status, 431);
    client_close(&c);
    is_served();
}

/* The refusal must arrive although the client goes on sending its body. */
static void the_refusal_arrives_though_the_body_goes_on(void **state)
{
    (void)state;
    static char body[600000];
    struct client c = connected();
    SAYS(&c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 600000\r\n\r\n");
    says_bytes(&c, body, sizeof body);
    assert_int_equal(hears_answer(&c).status, 413);
    assert_int_equal(client_expect_end(&c, soon()), CLIENT_OK);
    client_close(&c);
}

/* ---- rude peers ---- */

static void a_slow_or_silent_client_is_closed_in_the_end(void **state)
{
    (void)state;
    char site[64];
    (void)snprintf(site, sizeof site, "%s/site", folder);
    START("http", "-d", site, "-t", "1");
    struct client silent = connected(), slow = connected(),
                  lazy = {.fd = -1, .receive_buffer = 4096};
    int64_t begin_ns = clock_now_ns(), end_ns = soon();
    assert_int_equal(client_connect(&lazy, &server, soon()), CLIENT_OK);
    for (int i = 0; i < 4; i++) /* far more than the kernel's buffers take; it never reads */
        SAYS(&lazy, "GET /big.bin HTTP/1.1\r\n" HOST "\r\n");
    SAYS(&slow, "GET / HTTP/1.1\r\n" HOST);
    enum outcome o = CLIENT_TIMEOUT;
    while (o == CLIENT_TIMEOUT && deadline_left_ms(end_ns) > 0) {
        if (client_send_raw(&slow, "X: y\r\n", 6, soon()) != CLIENT_OK)
            break; /* it drips for ever, and has been closed meanwhile */
        o = client_expect_end(&slow, clock_now_ns() + 50 * INT64_C(1000000));
    }
    assert_int_not_equal(o, CLIENT_TIMEOUT);
    assert_true(clock_now_ns() - begin_ns >= INT64_C(900000000)); /* not early */
    is_ended(&silent);
    struct pollfd gone = {.fd = lazy.fd, .events = POLLRDHUP};
    assert_int_equal(poll(&gone, 1, deadline_left_ms(soon())), 1);
    client_close(&silent);
    client_close(&slow);
    client_close(&lazy);
}

static void who_does_not_read_holds_bounded_memory(void **state)
{
    (void)state;
    enum { SLOW = 30, MEMORY_KIB = 6144 };
    struct client c[SLOW];
    is_served();
    int64_t before_kib = process_resident_kib(server.pid);
    for (int i = 0; i < SLOW; i++) {
        c[i] = (struct client){.fd = -1, .receive_buffer = 4096};
        assert_int_equal(client_connect(&c[i], &server, soon()), CLIENT_OK);
        SAYS(&c[i], "GET /big.bin HTTP/1.1\r\n" HOST "\r\n");
    }
    is_served();
    if (before_kib >= 0 && !example_is_sanitized())
        assert_true(process_resident_kib(server.pid) - before_kib < MEMORY_KIB);
    for (int i = 0; i < SLOW; i++)
        client_abort(&c[i]);
    is_served();
}

static void no_file_stays_open(void **state)
{
    (void)state;
    is_served();
    struct client control = connected();
    assert_int_equal(gets(&control, "/", "").status, 200);
    int before = process_fds(server.pid);
    if (before < 0)
        skip_because("this system does not tell how many descriptors a process has");
    for (int i = 0; i < 60; i++) {
        struct client c = connected();
        SAYS(&c, i % 3 == 0   ? "GET /big.bin HTTP/1.1\r\n" HOST "\r\n"
                 : i % 3 == 1 ? "GET /sub HTTP/1.1\r\n" HOST "\r\n"
                              : "HEAD /big.bin HTTP/1.1\r\n" HOST "\r\n");
        char byte;
        assert_int_equal(client_expect_raw(&c, &byte, 1, soon()), CLIENT_OK);
        client_abort(&c);
    }
    int64_t end_ns = soon();
    while (process_fds(server.pid) > before && deadline_left_ms(end_ns) > 0)
        clock_pause_ms(5);
    assert_true(process_fds(server.pid) <= before);
    client_close(&control);
}

/* ---- other people's clients ---- */

static void succeeds(const char *program, const char *command)
{
    char port[16], text[600];
    (void)snprintf(text, sizeof text, "command -v %s >/dev/null", program);
    if (system(text) != 0)
        skip_because("%s is not installed", program);
    (void)snprintf(port, sizeof port, "%u", server.port);
    (void)setenv("PORT", port, 1);
    (void)setenv("SITE", folder, 1);
    int status = system(command);
    if (status != 0)
        fail_msg("`%s` ended with status %d", command, WEXITSTATUS(status));
}

static void curl_is_content(void **state)
{
    (void)state;
    succeeds("curl",
             "curl -sSf --max-time 20 http://127.0.0.1:$PORT/big.bin | cmp - $SITE/site/big.bin");
    succeeds("curl", "curl -sSf --max-time 20 -C 1000000 http://127.0.0.1:$PORT/big.bin | "
                     "cmp --ignore-initial=0:1000000 - $SITE/site/big.bin");
    succeeds("curl", "test $(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' "
                     "-X POST -d @$SITE/site/big.bin http://127.0.0.1:$PORT/) = 413");
}

static void wrk_is_content(void **state)
{
    (void)state;
    succeeds("wrk", "wrk -t1 -c20 -d1s http://127.0.0.1:$PORT/ >$SITE/wrk && ! grep -q "
                    "-e Non-2xx -e Socket $SITE/wrk && grep -q Requests/sec $SITE/wrk");
}

int run_http(void)
{
#define HTTP_TEST(test) cmocka_unit_test_setup_teardown(test, start, example_stop)
    const struct CMUnitTest tests[] = {
        HTTP_TEST(many_requests_share_a_connection),
        HTTP_TEST(requests_in_one_segment_are_answered_in_order),
        HTTP_TEST(a_request_byte_by_byte_is_answered_once),
        HTTP_TEST(head_tells_all_but_the_body),
        HTTP_TEST(old_clients_are_served_and_closed),
        HTTP_TEST(a_big_file_comes_whole_to_many_at_once),
        HTTP_TEST(a_range_is_a_part_of_the_file),
        HTTP_TEST(a_client_that_knows_the_file_need_not_get_it),
        HTTP_TEST(a_folder_wants_its_slash),
        HTTP_TEST(nothing_outside_the_folder_is_served),
        HTTP_TEST(where_a_request_ends_is_never_guessed),
        HTTP_TEST(other_methods_are_refused_and_the_connection_goes_on),
        HTTP_TEST(what_is_too_long_is_refused),
        HTTP_TEST(the_refusal_arrives_though_the_body_goes_on),
        cmocka_unit_test_teardown(a_slow_or_silent_client_is_closed_in_the_end, example_stop),
        HTTP_TEST(who_does_not_read_holds_bounded_memory),
        HTTP_TEST(no_file_stays_open),
        HTTP_TEST(curl_is_content),
        HTTP_TEST(wrk_is_content),
    };
    return example_run("http", tests, sizeof tests / sizeof tests[0], make_site, remove_site);
}
