/*
 * suite: the main() of an exercise that is a backend of evq: it is linked with the learner's file,
 * in the place of the library's evq_poll.c, and with the library's own test suite.
 *
 *     PROGRAM [-t MS] GROUP...        receiving sending accepting ...
 *
 * Each group of tests runs in a child, which ends with the first test that fails. What came of it
 * is told in one line: "GROUP holds", or "red TEST: what was said". A test that says nothing for MS
 * milliseconds hangs; the child is killed then. Status: 0, or 1 when one is red.
 */
#include "evq_case.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SILENT_MS = 10000, TEXT = 400, LINE = 512 };

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"owning", run_owning},         {"waiting", run_waiting}, {"waking", run_waking},
    {"receiving", run_receiving},   {"sending", run_sending}, {"accepting", run_accepting},
    {"connecting", run_connecting}, {"timers", run_timers},   {"cancelling", run_cancelling},
    {"closing", run_closing},       {"corners", run_corners}, {"model", run_model},
};

/** How many random programs: the learner waits for them. */
#define PROGRAMS "200"

/** What the child has said so far. */
struct story {
    char test[LINE]; /* the one that runs, or the first one that failed */
    char said[TEXT]; /* since it began */
    bool failed;
};

/* ---- reading ---- */

static void read_word(char *to, const char *line)
{
    while (*line == ' ')
        line++;
    (void)snprintf(to, LINE, "%.*s", (int)strcspn(line, " \n"), line);
}

/** One line of cmocka's. The rest of a failed test's story is kept, that of others forgotten. */
static void read_line(struct story *story, const char *line)
{
    size_t len = strlen(story->said);
    const char *rest = strchr(line, ']') != NULL ? strchr(line, ']') + 1 : line;
    if (story->failed || strncmp(line, "[=", 2) == 0 || strncmp(line, "# ", 2) == 0)
        return;
    if (strncmp(line, "[ RUN ", 6) == 0) {
        read_word(story->test, rest);
        story->said[0] = '\0';
    } else if (strncmp(line, "[  FAILED", 9) == 0) {
        story->failed = true;
    } else if (strncmp(line, "[       OK", 10) != 0) {
        (void)snprintf(story->said + len, TEXT - len, "%s%.*s", len > 0 ? " " : "",
                       (int)strcspn(rest, "\n"), rest + strspn(rest, " -"));
    }
}

/** Until the child is at its end: true; or until it has been silent for too long. */
static bool read_child(FILE *from, struct story *story, int silent_ms)
{
    char line[LINE];
    struct pollfd wait = {.fd = fileno(from), .events = POLLIN};
    for (;;) {
        int n = poll(&wait, 1, silent_ms); /* nothing is left in the FILE: it has no buffer */
        if (n == 0)
            return false;
        if (fgets(line, sizeof line, from) == NULL)
            return true;
        read_line(story, line);
    }
}

/* ---- running ---- */

static void run_in_child(int to, int (*run)(void))
{
    (void)setenv("CMOCKA_TEST_ABORT", "1", 1); /* cmocka: abort() where a test fails */
    (void)setenv("CMOCKA_MESSAGE_OUTPUT", "STDOUT", 1);
    (void)setenv("EVQ_MODEL_PROGRAMS", PROGRAMS, 0);
    (void)dup2(to, STDOUT_FILENO);
    (void)dup2(to, STDERR_FILENO);
    (void)close(to);
    _exit(run() == 0 ? 0 : 1);
}

static bool tell(const char *group, const struct story *story, bool in_time, int status)
{
    if (in_time && status == 0) {
        printf("%s holds\n", group);
    } else if (!in_time) {
        printf("red %s: it hangs, since an operation does not come back\n", story->test);
    } else if (story->said[0] != '\0') {
        const char *noise = strstr(story->said, ": error: Failure!");
        int len = (int)(noise != NULL ? (size_t)(noise - story->said) : strlen(story->said));
        printf("red %s: %.*s\n", story->test, len, story->said);
    } else {
        printf("red %s: it ended with the status %d\n", story->test, status);
    }
    (void)fflush(stdout);
    return in_time && status == 0;
}

static bool run_group(const char *name, int (*run)(void), int silent_ms)
{
    int fds[2], status = 0;
    struct story story = {.test = "", .said = ""};
    if (pipe(fds) < 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        (void)close(fds[0]);
        run_in_child(fds[1], run);
    }
    (void)close(fds[1]);
    FILE *from = fdopen(fds[0], "r");
    if (child < 0 || from == NULL)
        return false;
    setvbuf(from, NULL, _IONBF, 0);
    bool in_time = read_child(from, &story, silent_ms);
    (void)kill(child, SIGKILL); /* the one that hangs; another one is dead already */
    (void)waitpid(child, &status, 0);
    (void)fclose(from);
    return tell(name, &story, in_time, in_time ? status : 0);
}

int main(int argc, char **argv)
{
    int i = 1, silent_ms = SILENT_MS, red = 0;
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        silent_ms = atoi(argv[2]);
        i = 3;
    }
    backend = "poll";
    for (; i < argc && red == 0; i++)
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
            if (strcmp(groups[g].name, argv[i]) == 0)
                red += !run_group(groups[g].name, groups[g].run, silent_ms);
    return red > 0;
}
