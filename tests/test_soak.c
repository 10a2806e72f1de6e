/*
 * test_soak: the soak holds for right servers, and goes red for wrong ones.
 *
 * `make soak` takes hours over everything. Here it takes seconds over a few steps of different
 * kinds, and over servers that are wrong on purpose (wrong/): one for each thing that it watches.
 * They all run at the same time, since they mostly wait, and the tests look at what each has said.
 *
 * STEPS_BUILD says which build of the steps. Run it from the root of the repository; `soak` and the
 * folder wrong/ are beside this program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/skip.h"

#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { TEXT = 16384, COMMAND = 2048, PATH_LEN = 512, RUNS = 15 };

static char folder[PATH_LEN]; /* where this program is */

/* ---- runs ------------------------------------------------------------------------------------ */

struct run {
    const char *name;  /* of the test, its claim        */
    const char *words; /* what soak is given            */
    int status;        /* what must come of it ...      */
    const char *says;  /* ... and what it must say: an extended regular expression */
    FILE *pipe;
};

#define WRONG(bug) "-m 0.04 -n 300 \"$WRONG\" --bug=" bug

static struct run runs[RUNS] = {
    {"one_client_at_a_time_holds_with_one_guest", "-m 0.03 -c 1 -s 1", 0, "so few since", NULL},
    {"lines_hold", "-m 0.03 -n 200 -c 3 -s 3", 0, "1 hold, 0 fail, 0 skipped", NULL},
    {"edges_hold", "-m 0.03 -n 400 -c 4 -s 2", 0, "1 hold, 0 fail, 0 skipped", NULL},
    {"workers_hold", "-m 0.03 -n 400 -c 5 -s 3", 0, "1 hold, 0 fail, 0 skipped", NULL},
    {"evq_holds", "-m 0.03 -n 400 -b poll", 0, "1 hold, 0 fail, 0 skipped", NULL},
    {"a_right_server_of_any_kind_holds", WRONG("none"), 0, "1 hold, 0 fail", NULL},
    {"descriptors_that_leak_are_seen", WRONG("leaks"), 1, "descriptors", NULL},
    {"memory_that_leaks_is_seen", WRONG("hoards"), 1, "memory grows", NULL},
    /* Where the last bytes are the forgotten ones, no wrong one follows: it waits in vain. */
    {"bytes_that_are_forgotten_are_seen", WRONG("cut"), 1, "does not belong there|no byte for",
     NULL},
    {"a_half_close_that_loses_answers_is_seen", WRONG("drops_at_eof"), 1, "closed", NULL},
    {"a_death_is_seen", WRONG("dies_at_rst"), 1, "the server died, with status 1", NULL},
    {"a_server_that_never_rests_is_seen", WRONG("busy"), 1, "it never rests", NULL},
    {"a_bad_status_is_seen", WRONG("status_1"), 1, "ended with status 1", NULL},
    {"totals_that_are_missing_are_seen", WRONG("no_totals"), 1, "no totals", NULL},
    {"too_few_descriptors_are_told_in_words", NULL, 1, "want a limit of", NULL},
};

static FILE *soak(const char *words)
{
    char command[COMMAND];
    (void)snprintf(command, sizeof command, "WRONG='%s/wrong/wrong'; exec 2>&1; %s '%s/soak' %s",
                   folder, words == NULL ? "ulimit -n 100 &&" : "exec", folder,
                   words == NULL ? "-n 5000 -c 4 -s 1" : words);
    return popen(command, "r");
}

static int begin_all(void **state)
{
    (void)state;
    (void)fflush(NULL);
    for (size_t i = 0; i < RUNS; i++)
        if ((runs[i].pipe = soak(runs[i].words)) == NULL)
            return -1;
    return 0;
}

/* Its memory figures mean nothing. */
static bool is_sanitized(void)
{
    const char *build = getenv("STEPS_BUILD");
    return build != NULL && strstr(build, "san-") != NULL;
}

static bool is_in(const char *pattern, const char *text)
{
    regex_t compiled;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static void comes_out_as_it_must(void **state)
{
    struct run *run = *state;
    static char said[TEXT];
    size_t len = fread(said, 1, sizeof said - 1, run->pipe);
    said[len] = '\0';
    int status = pclose(run->pipe);
    if (strcmp(run->says, "memory grows") == 0 && is_sanitized()) {
        (void)printf("# skip: %s: a sanitizer's memory is not the server's\n", run->name);
        skip();
    }
    if (strstr(said, ", 0 fail, 1 skipped") != NULL) {
        (void)printf("# skip: %s: the system that it is for is another one\n", run->name);
        skip();
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != run->status || !is_in(run->says, said))
        fail_msg("soak %s\n  should end with %d and say \"%s\"; it said:\n%s",
                 run->words != NULL ? run->words : "(few descriptors)", run->status, run->says,
                 said);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[RUNS];
    const char *slash = strrchr(argc > 0 ? argv[0] : "", '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - argv[0]) : 1,
                   slash != NULL ? argv[0] : ".");
    for (size_t i = 0; i < RUNS; i++)
        tests[i] = (struct CMUnitTest){
            .name = runs[i].name, .test_func = comes_out_as_it_must, .initial_state = &runs[i]};
    return _cmocka_run_group_tests("the soak", tests, RUNS, begin_all, NULL);
}
