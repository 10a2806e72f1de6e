/*
 * test_tools: what people type. The peer, the launcher, the Makefile and the scripts behind it.
 *
 * Commands are run by the shell, as in a terminal; the names that they use are in the environment:
 * $PEER and $LAUNCH are the programs, $ECHO is a server (01, step 2), $ECHO_PORT is the port of one
 * that runs all the time, $NOBODY is a port where nobody listens. What would change this tree is
 * done in $COPY, a copy of it whose name has a space.
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

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 32768, NAME = 1024, WATCHDOG_S = 480, ENOUGH_MS = 20000, CLOSED_FD = -1 };

static char said[TEXT]; /* what the last command has said, both streams   */
static int said_status;
static struct server echo;
static int nobody_fd; /* bound and not listening: its port is refused    */

/* ---- commands -------------------------------------------------------------------------------- */

/* Runs a command and waits for its end. A test that hangs is ended by the alarm. */
static void shell(const char *command)
{
    char line[2 * NAME];
    size_t len = 0, n;
    (void)snprintf(line, sizeof line, "exec 2>&1; %s", command);
    (void)fflush(NULL);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    while ((n = fread(said + len, 1, sizeof said - 1 - len, pipe)) > 0)
        len += n;
    said[len] = '\0';
    int status = pclose(pipe);
    said_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect(const char *command, int status, const char *words)
{
    shell(command);
    if (said_status != status || strstr(said, words) == NULL)
        fail_msg("%s\n  should end with %d and say \"%s\"; it ended with %d and said:\n%s", command,
                 status, words, said_status, said);
}

static void expect_exactly(const char *command, const char *words)
{
    shell(command);
    if (said_status != 0 || strcmp(said, words) != 0)
        fail_msg("%s\n  should say \"%s\"; it ended with %d and said:\n%s", command, words,
                 said_status, said);
}

static size_t lines_said(void)
{
    size_t lines = 0;
    for (const char *c = said; *c != '\0'; c++)
        lines += *c == '\n';
    return lines;
}

/* A program that runs beside the test, its stdout in a pipe. */
struct beside {
    pid_t pid;
    int out;
    char text[TEXT];
    size_t len;
};

static void start_beside(struct beside *b, const char *command)
{
    char line[2 * NAME];
    int ends[2];
    (void)snprintf(line, sizeof line, "exec %s", command);
    *b = (struct beside){.out = CLOSED_FD};
    assert_int_equal(pipe(ends), 0);
    b->pid = fork();
    assert_true(b->pid >= 0);
    if (b->pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    b->out = ends[0];
}

/* Reads until the words have come (or, without words, until the end). */
static bool hears(struct beside *b, const char *words)
{
    int64_t deadline = deadline_in_ms(ENOUGH_MS);
    while (words == NULL || strstr(b->text, words) == NULL) {
        struct pollfd p = {.fd = b->out, .events = POLLIN};
        int n = poll(&p, 1, deadline_left_ms(deadline));
        if (n < 0 && errno == EINTR)
            continue;
        ssize_t got = n > 0 ? read(b->out, b->text + b->len, sizeof b->text - 1 - b->len) : -1;
        if (got <= 0)
            return words == NULL && got == 0;
        b->len += (size_t)got;
    }
    return true;
}

/* Sends the signal, reads the last words, returns the status. */
static int end_beside(struct beside *b, int signo)
{
    int status = 0;
    if (signo != 0)
        (void)kill(b->pid, signo);
    if (!hears(b, NULL))
        (void)kill(b->pid, SIGKILL);
    (void)close(b->out);
    while (waitpid(b->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- peer: against a good server ------------------------------------------------------------- */

static void peer_ping_prints_the_round_trips(void **state)
{
    (void)state;
    expect("\"$PEER\" ping -p $ECHO_PORT", 0, "10 round trips of 64 bytes: min ");
    assert_non_null(strstr(said, "totals: 1 connected, sent 640 bytes, got 640 bytes back\n"));
}

static void peer_pings_with_many_at_once(void **state)
{
    (void)state;
    expect("\"$PEER\" ping -p $ECHO_PORT -n 20", 0, "200 round trips of 64 bytes: min ");
}

static void peer_half_gets_all_of_it_and_a_clean_end(void **state)
{
    (void)state;
    expect("\"$PEER\" half -p $ECHO_PORT -n 3", 0, "3 of 3 got all of it back");
    assert_non_null(strstr(said, "sent 192.0 KiB, got 192.0 KiB back\n"));
}

static void peer_rst_finds_the_server_alive(void **state)
{
    (void)state;
    expect("\"$PEER\" rst -p $ECHO_PORT -n 5", 0, "the server lives");
}

static void peer_drip_waits_for_each_byte(void **state)
{
    (void)state;
    expect("\"$PEER\" drip -p $ECHO_PORT -s 1", 0, "byte 1 came back after ");
}

static void peer_fast_finds_every_byte_right(void **state)
{
    (void)state;
    expect("\"$PEER\" fast -q -p $ECHO_PORT -n 2 -s 1", 0, "totals: 2 connected, sent ");
    assert_null(strstr(said, "WRONG"));
    assert_int_equal(lines_said(), 1); /* -q: only the totals */
}

static void peer_flood_reads_nothing(void **state)
{
    (void)state;
    expect("\"$PEER\" flood -p $ECHO_PORT -s 1", 0, ", got 0 bytes back\n");
}

static void peer_silent_ends_with_its_totals_at_ctrl_c(void **state)
{
    (void)state;
    struct beside b;
    start_beside(&b, "\"$PEER\" silent -p $ECHO_PORT -n 16");
    bool began = hears(&b, "16 connected to ");
    int status = end_beside(&b, SIGINT);
    assert_true(began);
    assert_int_equal(status, 0);
    assert_non_null(strstr(b.text, "totals: 16 connected, sent 0 bytes, got 0 bytes back\n"));
}

static void peer_says_how_many_it_could_connect(void **state)
{
    (void)state;
    expect("ulimit -n 20; \"$PEER\" silent -p $ECHO_PORT -n 100 -s 1", 0, " of 100 are connected");
    assert_non_null(strstr(said, "ulimit -n"));
}

static void talk_copies_a_pipe_and_nothing_else(void **state)
{
    (void)state;
    expect_exactly("printf hello | \"$PEER\" talk -p $ECHO_PORT", "hello");
    expect_exactly("\"$PEER\" talk -p $ECHO_PORT </dev/null", "");
    /* More than the kernel's buffers hold: it has to send and to receive at the same time. */
    expect_exactly(
        "awk 'BEGIN { for (i = 0; i < 300000; i++) print \"0123456789abcdefghijklmnopqrstuv\" }'"
        " | \"$PEER\" talk -p $ECHO_PORT | cksum | cut -d ' ' -f 2",
        "9900000\n");
}

/* ---- peer: bad words, and servers that are not good ------------------------------------------ */

static const char *const kinds[] = {"silent", "flood", "fast", "rst",
                                    "half",   "drip",  "ping", "talk"};

static void every_peer_says_in_one_line_that_nobody_listens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char command[NAME];
        (void)snprintf(command, sizeof command, "\"$PEER\" %s -p $NOBODY </dev/null", kinds[i]);
        expect(command, 1, "Nobody listens on 127.0.0.1 port ");
        assert_non_null(strstr(said, "make run CH=01 STEP=1\n"));
        assert_int_equal(lines_said(), 1);
    }
}

static void peer_refuses_bad_words(void **state)
{
    (void)state;
    expect("\"$PEER\"", 2, "usage: peer KIND");
    expect("\"$PEER\" ''", 2, "KIND is not given");
    expect("\"$PEER\" foo", 2, "there is no kind 'foo'");
    assert_non_null(strstr(said, "silent"));
    expect("\"$PEER\" ping -p abc", 2, "'abc' is no port");
    expect("\"$PEER\" ping -p 70000", 2, "'70000' is no port");
    expect("\"$PEER\" ping -p ''", 2, "'' is no port");
    expect("\"$PEER\" ping -n 0", 2, "'0' is no count");
    expect("\"$PEER\" ping -s -1", 2, "'-1' is no time");
    expect("\"$PEER\" ping -p 4242 again", 2, "'again' is one word too many");
    expect("\"$PEER\" ping -x", 2, "x");
}

static void peer_knows_where_to_look_for_the_last_server(void **state)
{
    (void)state;
    expect("cd \"$COPY\" && rm -f build/last_port && \"$PEER\" ping", 1, "No server runs");
    assert_non_null(strstr(said, "make run CH=01 STEP=1"));
    expect("cd \"$COPY\" && mkdir -p build && echo $ECHO_PORT >build/last_port && \"$PEER\" ping",
           0, "10 round trips");
    expect("cd \"$COPY\" && echo nonsense >build/last_port && \"$PEER\" ping", 1, "No server runs");
    expect("cd \"$COPY\" && rm build/last_port", 0, "");
}

/* A server that is wrong on purpose, for one client. */
struct wrong {
    pthread_t thread;
    int listener;
    void (*serve)(int fd);
};

static void flip_every_byte(int fd)
{
    unsigned char buf[4096];
    ssize_t n;
    while ((n = recv(fd, buf, sizeof buf, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            buf[i] ^= 1;
        if (send(fd, buf, (size_t)n, 0) < 0)
            return;
    }
}

static void close_early(int fd)
{
    unsigned char buf[16];
    (void)recv(fd, buf, sizeof buf,
               0); /* and the rest is never read: the peer sees a reset or an end */
}

static void say_too_much(int fd)
{
    (void)send(fd, "hello", 5, 0);
    unsigned char buf[4096];
    while (recv(fd, buf, sizeof buf, 0) > 0) {
    }
}

static void *serve_one(void *arg)
{
    struct wrong *w = arg;
    int fd = accept(w->listener, NULL, NULL);
    if (fd >= 0) {
        w->serve(fd);
        (void)close(fd);
    }
    return NULL;
}

/* A socket on a free port of 127.0.0.1; the port goes into the environment. */
static int bind_somewhere(const char *variable)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof name;
    char port[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    (void)snprintf(port, sizeof port, "%u", ntohs(name.sin_port));
    (void)setenv(variable, port, 1);
    return fd;
}

static void against(void (*serve)(int fd), const char *command, int status, const char *words)
{
    struct wrong w = {.listener = bind_somewhere("WRONG_PORT"), .serve = serve};
    assert_int_equal(listen(w.listener, 1), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, serve_one, &w), 0);
    shell(command);
    (void)pthread_join(w.thread, NULL);
    (void)close(w.listener);
    if (said_status != status || strstr(said, words) == NULL)
        fail_msg("%s\n  ended with %d and said:\n%s", command, said_status, said);
}

static void peer_notices_wrong_bytes(void **state)
{
    (void)state;
    against(flip_every_byte, "\"$PEER\" ping -p $WRONG_PORT", 1, "1 got WRONG BYTES");
    against(flip_every_byte, "\"$PEER\" half -p $WRONG_PORT", 1, "1 got WRONG BYTES");
    against(say_too_much, "\"$PEER\" silent -p $WRONG_PORT -s 5", 1, "1 got WRONG BYTES");
}

static void peer_notices_a_connection_that_ends_early(void **state)
{
    (void)state;
    against(close_early, "\"$PEER\" half -p $WRONG_PORT", 1, "0 of 1 got all of it back");
    against(close_early, "\"$PEER\" fast -p $WRONG_PORT", 1, " by the server");
    against(close_early, "\"$PEER\" flood -p $WRONG_PORT", 0, ", 1 reset by the server");
    against(close_early, "printf hello | \"$PEER\" talk -p $WRONG_PORT", 1, "after 0 of 5 bytes");
}

/* ---- launch ---------------------------------------------------------------------------------- */

static void launch_notes_the_port_and_passes_the_totals_on(void **state)
{
    (void)state;
    struct beside b;
    start_beside(&b, "\"$LAUNCH\" \"$COPY/port\" \"$ECHO\" -p 0");
    bool began = hears(&b, "\n");
    shell("echo listening on 127.0.0.1:$(cat \"$COPY/port\")");
    int status = end_beside(&b, SIGINT);
    assert_true(began);
    assert_int_equal(status, 0);
    assert_memory_equal(b.text, said, strlen(said));
    assert_string_equal(b.text + strlen(said), "totals: clients 0, bytes 0\n");
    expect("test ! -e \"$COPY/port\"", 0, "");
}

static void launch_hands_sigterm_on(void **state)
{
    (void)state;
    struct beside b;
    start_beside(&b, "\"$LAUNCH\" \"$COPY/port\" \"$ECHO\" -p 0");
    bool began = hears(&b, "\n");
    int status = end_beside(&b, SIGTERM);
    assert_true(began);
    assert_int_equal(status, 0);
    assert_non_null(strstr(b.text, "totals: "));
}

static void launch_keeps_the_status_of_the_server(void **state)
{
    (void)state;
    expect("\"$LAUNCH\" \"$COPY/port\" sh -c 'exit 7'", 7, "");
    expect("\"$LAUNCH\" \"$COPY/port\" sh -c 'kill -9 $$'", 128 + SIGKILL, "");
    expect("\"$LAUNCH\" \"$COPY/port\" \"$ECHO\" -p abc", 2, "abc");
    expect("\"$LAUNCH\" \"$COPY/port\" ./no_such_program", 127, "cannot run ./no_such_program");
    expect("test ! -e \"$COPY/port\"", 0, "");
}

/* The words behind `sh -c ...` are its own; one of them makes the launcher think of Windows. */
static void launch_forgives_what_wine_kills_behind_its_totals(void **state)
{
    (void)state;
    static const char says[] = "totals: clients 1, bytes 2";
    expect("\"$LAUNCH\" \"$COPY/port\" sh -c 'echo totals: clients 1, bytes 2; kill -9 $$' x.exe",
           0, says);
    expect("\"$LAUNCH\" \"$COPY/port\" sh -c 'echo totals: clients 1, bytes 2; kill -9 $$' x",
           128 + SIGKILL, says);
    expect("\"$LAUNCH\" \"$COPY/port\" sh -c 'echo of it; kill -9 $$' x.exe", 128 + SIGKILL,
           "of it");
}

static void launch_leaves_the_port_of_a_later_server(void **state)
{
    (void)state;
    struct beside b;
    start_beside(&b, "\"$LAUNCH\" \"$COPY/port\" \"$ECHO\" -p 0");
    bool began = hears(&b, "\n");
    shell("echo 1 >\"$COPY/port\"");
    (void)end_beside(&b, SIGTERM);
    assert_true(began);
    expect_exactly("cat \"$COPY/port\" && rm \"$COPY/port\"", "1\n");
}

/* ---- make ------------------------------------------------------------------------------------ */

static void bare_make_says_what_is_next(void **state)
{
    (void)state;
    expect("\"$MAKE\"", 0, "make demo");
    assert_non_null(strstr(said, "make test"));
    assert_non_null(strstr(said, "make help"));
    assert_null(strstr(said, "CC "));
    assert_true(lines_said() <= 6);
}

static void help_fits_a_terminal_and_lists_what_exists(void **state)
{
    (void)state;
    expect("\"$MAKE\" help", 0, "check mine");
    assert_null(strchr(said, '\t'));
    expect_exactly("\"$MAKE\" help | awk 'length > 80'", "");
    expect_exactly("for target in $(\"$MAKE\" help | awk '/^  / { print $1 }'); do"
                   " grep -q \"^$target:\" Makefile || echo \"$target\"; done",
                   "");
    expect_exactly("for group in learn 'check mine' teach house; do"
                   " \"$MAKE\" help | grep -qx \"$group\" || echo \"$group\"; done",
                   "");
}

static void wrong_values_are_one_line_that_lists_the_right_ones(void **state)
{
    (void)state;
    expect("\"$MAKE\" diff CH=9 STEP=1", 2, "CH=9: there is no such chapter. There are: 01, ");
    expect("\"$MAKE\" diff CH=01 STEP=x", 2, "STEP=x: chapter 01 has no such step. It has: 1 (seq");
    expect("\"$MAKE\" diff CH=01 STEP=9", 2, "STEP=9: chapter 01 has no such step. It has: 1 (seq");
    expect("\"$MAKE\" diff", 2, "CH is not given. The chapters are: 01, ");
    expect("\"$MAKE\" new CH=01", 2, "STEP is not given. Chapter 01 has: 1 (seq");
    expect("\"$MAKE\" lab L=nonsense", 2, "L=nonsense: there is no such lab. There are: 01/");
    expect("\"$MAKE\" lab", 2, "L is not given. The labs are: 01/");
    expect("\"$MAKE\" test CH=9", 2, "CH=9: there is no such chapter. There are: 01, ");
    expect("\"$MAKE\" test ROW=foo", 2, "ROW=foo: there is no such row. There are: echoes_bytes");
    expect("\"$MAKE\" test STEP=1", 2, "CH is not given");
    expect("\"$MAKE\" all SAN=foo", 2, "SAN=foo: there is no 'foo', only address, undefined");
    expect("\"$MAKE\" all SAN=address,thread", 2, "thread cannot be combined");
}

static void a_missing_tool_is_named_with_what_installs_it(void **state)
{
    (void)state;
    expect("sh tools/need.sh sh no_such_tool", 1, "This needs no_such_tool, which is not here.");
    assert_int_equal(lines_said(), 1);
    expect("\"$MAKE\" chapters CC=no_such_compiler", 2, "This needs no_such_compiler");
    expect_exactly("sh tools/need.sh 'sh -x'", "");
}

static void bsd_make_hands_over(void **state)
{
    (void)state;
    shell("command -v bmake && command -v gmake");
    if (said_status != 0)
        skip_because("bmake or gmake is not installed");
    expect("bmake -f BSDmakefile help", 0, "check mine");
    expect("bmake -f BSDmakefile diff CH=01 'STEP=2'", 0, "step2_thread_per_client.c");
    expect("bmake help || :", 0, "Type gmake instead of make");
}

/* ---- scripts --------------------------------------------------------------------------------- */

static void diff_says_which_files_it_compares(void **state)
{
    (void)state;
    expect("sh tools/diff.sh 01 2", 0,
           "from chapters/01_blocking/step1_sequential.c to "
           "chapters/01_blocking/step2_thread_per_client.c\n@@ ");
    assert_null(strchr(said, '\033')); /* no terminal, no colour */
    expect("sh tools/diff.sh 2 1", 0,
           "from chapters/01_blocking/step3_thread_pool.c to "
           "chapters/02_nonblocking/step1_would_block.c\n@@ ");
    expect("sh tools/diff.sh 05 1", 0, /* its essay names a step of another chapter */
           "from chapters/04_epoll/step1_level_triggered.c to "
           "chapters/05_kqueue/step1_level_triggered.c\n@@ ");
    expect("sh tools/diff.sh 5 4", 0, /* ... and here one of its own */
           "from chapters/05_kqueue/step1_level_triggered.c to "
           "chapters/05_kqueue/step4_everything.c\n@@ ");
    expect("sh tools/diff.sh 7 2", 0, /* in a folder of the chapter */
           "from chapters/07_crossplatform/mini/step1_completion.c to "
           "chapters/07_crossplatform/mini/step2_both_directions.c\n@@ ");
    expect_exactly("sh tools/diff.sh 7 1", /* an earlier one again, byte for byte */
                   "from chapters/06_iocp/step1_completion.c to "
                   "chapters/07_crossplatform/mini/step1_completion.c\n");
    expect("sh tools/diff.sh 01 1", 0, "is the very first step: there is none before it");
}

static void a_second_make_does_nothing(void **state)
{
    (void)state;
    expect("cd \"$COPY\" && \"$MAKE\" -j2 chapters tools CFLAGS=-O0", 0, "CC ");
    expect_exactly("cd \"$COPY\" && \"$MAKE\" chapters tools CFLAGS=-O0", "");
}

static void run_peer_and_talk_find_each_other(void **state)
{
    (void)state;
    struct beside b;
    expect("cd \"$COPY\" && \"$MAKE\" -j2 chapters tools CFLAGS=-O0 && rm -f build/last_port", 0,
           "");
    start_beside(&b, "sh \"$COPY/tools/run.sh\" build 1 2");
    bool began = hears(&b, "listening on ");
    shell("cd \"$COPY\" && printf hi | \"$MAKE\" -s talk CFLAGS=-O0");
    bool echoed = strcmp(said, "hi") == 0;
    shell("cd \"$COPY\" && \"$MAKE\" peer KIND=ping N=2 CFLAGS=-O0");
    bool pinged = strstr(said, "20 round trips") != NULL;
    int status = end_beside(&b, SIGINT);
    assert_true(began && echoed && pinged);
    assert_int_equal(status, 0);
    assert_non_null(strstr(b.text, "totals: clients 3, bytes 1282\n"));
    expect("cd \"$COPY\" && test ! -e build/last_port", 0, "");
}

/* A step of mini, made for several queues: what runs is the program of one that is here. */
static void run_finds_a_step_that_is_several_programs(void **state)
{
    (void)state;
    struct beside b;
    expect("cd \"$COPY\" && \"$MAKE\" -j2 chapters tools CFLAGS=-O0", 0, "");
    start_beside(&b, "sh \"$COPY/tools/run.sh\" build 7 5");
    bool began = hears(&b, "listening on ");
    int status = end_beside(&b, SIGINT);
    assert_true(began);
    assert_int_equal(status, 0);
    assert_non_null(strstr(b.text, "totals: clients 0, bytes 0\n"));
}

/* Starts a program in $COPY, and has it echo 100 bytes. */
static void expect_it_serves(const char *name)
{
    char program[NAME], why[NAME];
    struct client c = {.fd = CLOSED_FD, .seed = 1};
    (void)snprintf(program, sizeof program, "%s/%s", getenv("COPY"), name);
    const char *const argv[] = {program, NULL};
    struct server s;
    struct server_end end;
    if (server_start(&s, &(struct server_spec){.argv = argv}, why, sizeof why) != 0)
        fail_msg("%s", why);
    int64_t deadline = deadline_in_ms(ENOUGH_MS);
    enum outcome how = client_connect(&c, &s, deadline);
    if (how == CLIENT_OK)
        how = client_ping(&c, 100, deadline, NULL);
    client_close(&c);
    server_stop(&s, deadline, &end);
    assert_int_equal(how, CLIENT_OK);
    assert_string_equal(end.totals, "totals: clients 1, bytes 100");
}

/* Each step that can be copied builds alone and serves. */
static void new_makes_a_step_that_builds_and_serves(void **state)
{
    (void)state;
    expect("cd \"$COPY\" && \"$MAKE\" new CH=02 STEP=2", 0, "mine/02_step2 is yours now");
    expect("cd \"$COPY\" && \"$MAKE\" -C mine/02_step2 CFLAGS=-O0", 0, "CC step2_spin.c");
    expect("cd \"$COPY\" && \"$MAKE\" new CH=02 STEP=2", 2, "nothing was copied");
    expect_it_serves("mine/02_step2/build/step2_spin");
}

/* A reader takes one chapter home: no other folder is needed, and the make may be that of the
 * BSDs. */
static void a_chapter_copied_out_alone_builds_and_serves(void **state)
{
    (void)state;
    expect("cp -R \"$COPY/chapters/02_nonblocking\" \"$COPY/just one\" && cd \"$COPY/just one\" &&"
           " rm -rf build && \"$MAKE\" CFLAGS=-O0 WERROR=1",
           0, "build/step2_spin");
    expect_it_serves("just one/build/step2_spin");
    expect_exactly("cd \"$COPY/just one\" && \"$MAKE\" -s", "");
    shell("command -v bmake");
    if (said_status != 0)
        skip_because("bmake is not installed");
    expect("cd \"$COPY/just one\" && rm -rf build && bmake CFLAGS=-O0 WERROR=1", 0,
           "build/step2_spin");
    expect_it_serves("just one/build/step2_spin");
    shell("cd \"$COPY/just one\" && bmake CFLAGS=-O0 WERROR=1"); /* again: nothing is to be done */
    assert_int_equal(said_status, 0);
    assert_null(strstr(said, "CC "));
}

/* Where the system has no such queue, the chapter brings one along, and so does a copied step. */
static void a_chapter_with_a_queue_of_its_own_builds_alone_too(void **state)
{
    (void)state;
    expect("cp -R \"$COPY/chapters/05_kqueue\" \"$COPY/a queue\" && cd \"$COPY/a queue\" &&"
           " rm -rf build && \"$MAKE\" steps CFLAGS=-O0 WERROR=1",
           0, "build/step1_level_triggered");
    expect_it_serves("a queue/build/step1_level_triggered");
    expect("cd \"$COPY\" && \"$MAKE\" new CH=05 STEP=4", 0, "mine/05_step4 is yours now");
    expect("cd \"$COPY\" && \"$MAKE\" -C mine/05_step4 CFLAGS=-O0", 0, "CC step4_everything.c");
    expect_it_serves("mine/05_step4/build/step4_everything");
}

/* Without chapter 05 beside it there is no kqueue on Linux; everything else is there. */
static void the_chapter_of_the_library_builds_alone_too(void **state)
{
    (void)state;
    expect(
        "cp -R \"$COPY/chapters/07_crossplatform\" \"$COPY/a library\" && cd \"$COPY/a library\" &&"
        " rm -rf build && \"$MAKE\" lib steps CFLAGS=-O0 WERROR=1 && test -f build/libevq.a",
        0, "build/mini/step4_cancel_and_close");
    expect_it_serves("a library/build/mini/step4_cancel_and_close");
    expect("cd \"$COPY\" && \"$MAKE\" new CH=07 STEP=3", 0, "mine/07_step3 is yours now");
    expect("cd \"$COPY\" && \"$MAKE\" -C mine/07_step3 CFLAGS=-O0", 0, "step3_timers_and_wake");
    expect_it_serves("mine/07_step3/build/mini/step3_timers_and_wake");
}

static void every_chapter_builds_under_the_make_of_the_bsds(void **state)
{
    (void)state;
    shell("command -v bmake");
    if (said_status != 0)
        skip_because("bmake is not installed");
    expect("cd \"$COPY\" && for makefile in $(\"$MAKE\" -s chapter-makefiles); do"
           "  (cd \"${makefile%/Makefile}\" && bmake -j2 BUILD=build/bmake CFLAGS=-O0) || exit 1;"
           " done",
           0, "build/bmake/step1_sequential");
}

static void new_copies_every_step_so_that_it_builds(void **state)
{
    (void)state;
    expect("cd \"$COPY\" && for step in $(sh tools/find.sh steps); do"
           "  ch=${step#chapters/} ch=${ch%%_*} n=${step##*/step} n=${n%%_*};"
           "  case $(uname -s)-$ch in Linux-*) ;; *-04) continue ;; esac;" /* epoll: Linux only */
           "  case $ch$n in 06[2-9]) command -v x86_64-w64-mingw32-gcc || continue ;; esac;"
           "  test -d mine/${ch}_step$n || sh tools/new.sh $ch $n >/dev/null || exit 1;"
           "  \"$MAKE\" -s -j2 -C mine/${ch}_step$n CFLAGS=-O0 || exit 1; done",
           0, "CC step1_sequential.c");
}

/* 1 byte in front of the last carried file; its name is what the commands print. */
#define SPOIL "cd \"$COPY\" && f=$(ls chapters/*/carried/tcp.c | tail -n 1) && echo >>\"$f\""

/* A tree of four labs that only say how they end. */
static void labs_count_what_an_emulation_shows_apart(void **state)
{
    (void)state;
    expect("mkdir -p \"$COPY/four labs/tools\" \"$COPY/four labs/c/b/labs\" &&"
           " cp tools/lab.sh \"$COPY/four labs/tools\" && cd \"$COPY/four labs\" &&"
           " printf 'for l in a b c d; do echo c/labs/$l.c; done\\n' >tools/find.sh &&"
           " printf '#!/bin/sh\\necho finding: it is\\n' >c/b/labs/a &&"
           " printf '#!/bin/sh\\necho \"finding (emulated): it is\"\\n' >c/b/labs/b &&"
           " printf '#!/bin/sh\\necho skipped: no; exit 77\\n' >c/b/labs/c &&"
           " printf '#!/bin/sh\\necho no; exit 1\\n' >c/b/labs/d && chmod +x c/b/labs/*",
           0, "");
    expect("cd \"$COPY/four labs\" && sh tools/lab.sh b", 1,
           "labs: 1 reproduced, 1 emulated, 1 not reproduced, 1 cannot run on this machine\n");
}

static void carry_finds_a_changed_byte_and_repairs_it(void **state)
{
    (void)state;
    expect("cd \"$COPY\" && sh tools/carry.sh", 0,
           ""); /* the reader may have changed a born file */
    expect_exactly("cd \"$COPY\" && sh tools/carry.sh --check", "");
    expect(SPOIL " && sh tools/carry.sh --check", 1,
           "carried/tcp.c differs from chapters/01_blocking/tcp.c");
    expect("cd \"$COPY\" && sh tools/carry.sh", 0, "chapters/01_blocking/tcp.c -> chapters/");
    expect("cd \"$COPY\" && sh tools/carry.sh", 0, "up to date");
    expect_exactly("cd \"$COPY\" && sh tools/carry.sh --check", "");
    expect("sh tools/carry.sh --foo", 2, "--foo");
}

static void carry_never_overwrites_what_is_not_committed(void **state)
{
    (void)state;
    shell("command -v git");
    if (said_status != 0)
        skip_because("git is not installed");
    expect("cd \"$COPY\" && sh tools/carry.sh && git init -q . && git add chapters &&"
           " git -c user.name=a -c user.email=a@b.c"
           " -c commit.gpgsign=false commit -q -m copy chapters",
           0, "");
    expect(SPOIL " && sh tools/carry.sh", 1, "carried/tcp.c has uncommitted changes");
    expect("cd \"$COPY\" && sh tools/carry.sh --check", 1, "differs");
    expect("cd \"$COPY\" && git checkout -q . && sh tools/carry.sh --check", 0, "");
    expect("cd \"$COPY\" && rm -rf .git", 0, "");
}

/* ---- setting up ------------------------------------------------------------------------------ */

/* The full name of a program that is given from the root. */
static int set_program(const char *variable, const char *format, const char *build)
{
    char path[NAME], full[PATH_MAX];
    (void)snprintf(path, sizeof path, format, build);
    if (realpath(path, full) == NULL) {
        print_error("%s is not built: %s\n", path, strerror(errno));
        return -1;
    }
    return setenv(variable, full, 1);
}

static int make_copy(void)
{
    char folder[] = "/tmp/a copyXXXXXX";
    if (mkdtemp(folder) == NULL || setenv("COPY", folder, 1) != 0)
        return -1;
    shell("tar cf - --exclude=build Makefile BSDmakefile tools tests chapters |"
          " tar xf - -C \"$COPY\" && cd \"$COPY\" && rm -f tests/test_*.c");
    return said_status == 0 ? 0 : -1;
}

/* The make that runs these tests must not talk to the makes that they run. */
static void forget_outer_make(void)
{
    static const char *const names[] = {
        "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CH", "STEP", "ROW", "SAN",
        "NDEBUG",    "N",      "SERVER",    "PORT",          "L",  "KIND", "ARGS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    shell("command -v gmake >/dev/null");
    (void)setenv("MAKE", said_status == 0 ? "gmake" : "make", 1);
}

static int set_up(void **state)
{
    (void)state;
    char why[NAME], port[16];
    const char *build = getenv("STEPS_BUILD") != NULL ? getenv("STEPS_BUILD") : "build";
    forget_outer_make();
    (void)signal(SIGPIPE, SIG_IGN); /* for the wrong servers: send() says it as well */
    if (set_program("PEER", "%s/tools/peer", build) != 0 ||
        set_program("LAUNCH", "%s/tools/launch", build) != 0 ||
        set_program("ECHO", "chapters/01_blocking/%s/step2_thread_per_client", build) != 0 ||
        make_copy() != 0)
        return -1;
    const char *const argv[] = {getenv("ECHO"), NULL};
    if (server_start(&echo, &(struct server_spec){.argv = argv}, why, sizeof why) != 0) {
        print_error("%s\n", why);
        return -1;
    }
    (void)snprintf(port, sizeof port, "%u", echo.port);
    (void)setenv("ECHO_PORT", port, 1);
    nobody_fd = bind_somewhere("NOBODY");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_kill(&echo);
    (void)close(nobody_fd);
    shell("rm -rf \"$COPY\"");
    return 0;
}

static int start_watchdog(void **state)
{
    (void)state;
    (void)alarm((unsigned)((double)WATCHDOG_S * clock_slowdown()));
    return 0;
}

static bool is_sanitized(void)
{
    const char *build = getenv("STEPS_BUILD");
    return build != NULL && strstr(build, "san-") != NULL;
}

static void the_commands_build_without_sanitizers(void **state)
{
    (void)state;
    skip_because("they build copies of their own, always the same: the usual run has tested them");
}

#define claim(test) cmocka_unit_test_setup(test, start_watchdog)

int main(void)
{
    const struct CMUnitTest peers[] = {
        claim(peer_ping_prints_the_round_trips),
        claim(peer_pings_with_many_at_once),
        claim(peer_half_gets_all_of_it_and_a_clean_end),
        claim(peer_rst_finds_the_server_alive),
        claim(peer_drip_waits_for_each_byte),
        claim(peer_fast_finds_every_byte_right),
        claim(peer_flood_reads_nothing),
        claim(peer_silent_ends_with_its_totals_at_ctrl_c),
        claim(peer_says_how_many_it_could_connect),
        claim(talk_copies_a_pipe_and_nothing_else),
        claim(every_peer_says_in_one_line_that_nobody_listens),
        claim(peer_refuses_bad_words),
        claim(peer_knows_where_to_look_for_the_last_server),
        claim(peer_notices_wrong_bytes),
        claim(peer_notices_a_connection_that_ends_early),
    };
    const struct CMUnitTest launcher[] = {
        claim(launch_notes_the_port_and_passes_the_totals_on),
        claim(launch_hands_sigterm_on),
        claim(launch_keeps_the_status_of_the_server),
        claim(launch_forgives_what_wine_kills_behind_its_totals),
        claim(launch_leaves_the_port_of_a_later_server),
    };
    const struct CMUnitTest commands[] = {
        claim(bare_make_says_what_is_next),
        claim(help_fits_a_terminal_and_lists_what_exists),
        claim(wrong_values_are_one_line_that_lists_the_right_ones),
        claim(a_missing_tool_is_named_with_what_installs_it),
        claim(bsd_make_hands_over),
        claim(diff_says_which_files_it_compares),
        claim(a_second_make_does_nothing),
        claim(run_peer_and_talk_find_each_other),
        claim(run_finds_a_step_that_is_several_programs),
        claim(new_makes_a_step_that_builds_and_serves),
        claim(a_chapter_copied_out_alone_builds_and_serves),
        claim(a_chapter_with_a_queue_of_its_own_builds_alone_too),
        claim(the_chapter_of_the_library_builds_alone_too),
        claim(every_chapter_builds_under_the_make_of_the_bsds),
        claim(new_copies_every_step_so_that_it_builds),
        claim(labs_count_what_an_emulation_shows_apart),
        claim(carry_finds_a_changed_byte_and_repairs_it),
        claim(carry_never_overwrites_what_is_not_committed),
    };
    const struct CMUnitTest not_again[] = {cmocka_unit_test(the_commands_build_without_sanitizers)};
    int failed = cmocka_run_group_tests(peers, set_up, tear_down) +
                 cmocka_run_group_tests(launcher, set_up, tear_down);
    if (is_sanitized())
        return failed + cmocka_run_group_tests_name("commands", not_again, NULL, NULL) > 0;
    return failed + cmocka_run_group_tests(commands, set_up, tear_down) > 0;
}
