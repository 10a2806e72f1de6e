/*
 * test_check: `check` judges programs that are not ours, and says so in words and in JSON.
 *
 * The programs are written in Python (servers/): a right one, and wrong ones. Run it from the root
 * of the repository; `check` and the folder wrong/ are beside this program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/skip.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 64 * 1024, COMMAND = 4096, PATH_LEN = 512 };

static char folder[PATH_LEN]; /* where this program is */
static char python[PATH_LEN]; /* the interpreter itself, not a wrapper; or "" */
static char text[TEXT];       /* what the last command said */

/** Runs a command of the shell, both outputs into text. Its status. */
static int say(const char *format, ...)
{
    char command[COMMAND];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(text, 1, sizeof text - 1, pipe);
    text[len] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void find_python(void)
{
    if (say("python3 -c 'import sys; print(sys.executable)' 2>/dev/null") == 0) {
        text[strcspn(text, "\n")] = '\0';
        (void)snprintf(python, sizeof python, "%.*s", (int)sizeof python - 1, text);
    }
}

#define need_python()                                                                \
    do {                                                                             \
        if (python[0] == '\0')                                                       \
            skip_because("python3 is not installed (make setup names the package)"); \
    } while (0)

static void mentions(const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is missing in: %s", words, text);
}

static void is_one_line(void)
{
    const char *end = strchr(text, '\n');
    if (end == NULL || end == text || end[1] != '\0')
        fail_msg("not one line: %s", text);
}

/** The text of the last command is JSON; else the test says where it is not. */
static void is_json(void)
{
    char path[PATH_LEN + 32];
    (void)snprintf(path, sizeof path, "%s/test_check.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    if (say("'%s' -m json.tool '%s' 2>&1 >/dev/null", python, path) != 0)
        fail_msg("not JSON: %s(it is kept in %s)", text, path);
    (void)remove(path);
}

/* --- programs in another language ------------------------------------------------------------- */

static void a_right_server_in_python_holds_every_row(void **state)
{
    (void)state;
    need_python();
    int status = say("'%s/check' --json -- '%s' tests/servers/right.py", folder, python);
    mentions("\"red\": 0");
    assert_int_equal(status, 0);
    mentions("\"row\": \"survives_rst\", \"verdict\": \"holds\"");
    mentions("build your program with -DNDEBUG"); /* the one row that it cannot run, in words */
    is_json();
}

/** A wrong server, the row that must go red, and the symptom, or the other one, where it depends on
 *  timing: one that forgets is taken for one that keeps, until what it forgot is missed. */
static const struct wrong {
    const char *bug, *row, *symptom, *or_this;
} wrongs[] = {
    {"dies_at_rst", "survives_rst", "SERVER_DIED", "SERVER_DIED"},
    {"forgets_the_rest", "slow_reader_is_isolated", "UNBOUNDED_MEMORY", "WRONG_BYTES"},
    {"strings", "binary_safe", "WRONG_BYTES", "WRONG_BYTES"},
    {"one_at_a_time", "silent_peer_blocks_nobody", "NOT_SERVED", "NOT_SERVED"},
    {"counts_wrong", "stops_cleanly", "BAD_WORDS", "BAD_WORDS"},
};

static bool says_red(const char *row, const char *symptom)
{
    char expected[160];
    (void)snprintf(expected, sizeof expected,
                   "\"row\": \"%s\", \"verdict\": \"red\", \"symptom\": \"%s\"", row, symptom);
    return strstr(text, expected) != NULL;
}

static void wrong_servers_in_python_are_red_in_their_rows(void **state)
{
    (void)state;
    need_python();
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        int status =
            say("'%s/check' --json --patience 1000 --row %s -- '%s' tests/servers/wrong.py %s",
                folder, wrongs[i].row, python, wrongs[i].bug);
        if (!says_red(wrongs[i].row, wrongs[i].symptom) &&
            !says_red(wrongs[i].row, wrongs[i].or_this))
            fail_msg("%s is not red as it must be: %s", wrongs[i].bug, text);
        assert_int_equal(status, 1);
        is_json();
    }
}

static void any_command_gives_valid_json(void **state)
{
    (void)state;
    need_python();
    (void)say("'%s/check' --json --server 'sh -c \"exit 3\" \\\\ \t \"\xc3\xa4 \xff\"'", folder);
    mentions("\"error\"");
    is_json();
}

/* --- words ------------------------------------------------------------------------------------ */

static void a_red_row_says_what_happened_and_how_to_repeat_it(void **state)
{
    (void)state;
    int status = say("'%s/check' --row survives_rst --patience 1000 --server "
                     "\"'%s/wrong/wrong' --bug=dies_at_rst\"",
                     folder, folder);
    assert_int_equal(status, 1);
    mentions("RED     survives_rst");
    mentions("the peer ");
    mentions("came back ");
    mentions("it must ");
    mentions("repeat ");
    mentions("ROW=survives_rst");
    mentions("make peer KIND=rst");
    mentions("rows: 0 hold, 1 red, 0 skipped");
    assert_null(strchr(text, '\033')); /* no colour where there is no terminal */
}

static void a_command_may_have_words_and_spaces_in_its_path(void **state)
{
    (void)state;
    char with_space[PATH_LEN + 32];
    (void)snprintf(with_space, sizeof with_space, "%s/a folder", folder);
    (void)mkdir(with_space, 0777); /* may be there from last time */
    int status = say("ln -sf ../wrong/wrong '%s/wrong' && '%s/check' --row binary_safe --server "
                     "\"'%s/wrong' --bug=none\"",
                     with_space, folder, with_space);
    assert_int_equal(status, 0);
    status = say("'%s/check' --row binary_safe -- '%s/wrong' --bug=none", folder, with_space);
    assert_int_equal(status, 0);
    (void)say("rm -r '%s'", with_space);
}

static void a_program_that_does_not_start_is_one_line_not_sixteen(void **state)
{
    (void)state;
    assert_int_equal(say("'%s/check' --server ./no_such_program 2>&1", folder), 1);
    is_one_line();
    mentions("no_such_program");
}

static void wrong_words_are_one_line_and_status_2(void **state)
{
    (void)state;
    static const char *const words[] = {
        "--row",
        "--row nonsense -- x",
        "--patience soon -- x",
        "--patience -1 -- x",
        "--nonsense",
        "--server ''",
        "",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        assert_int_equal(say("'%s/check' %s 2>&1", folder, words[i]), 2);
        is_one_line();
    }
}

static void the_list_names_every_row(void **state)
{
    (void)state;
    assert_int_equal(say("'%s/check' --list | wc -l", folder), 0);
    assert_int_equal(atoi(text), 16);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argc > 0 ? argv[0] : "", '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - argv[0]) : 1,
                   slash != NULL ? argv[0] : ".");
    find_python();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_server_in_python_holds_every_row),
        cmocka_unit_test(wrong_servers_in_python_are_red_in_their_rows),
        cmocka_unit_test(any_command_gives_valid_json),
        cmocka_unit_test(a_red_row_says_what_happened_and_how_to_repeat_it),
        cmocka_unit_test(a_command_may_have_words_and_spaces_in_its_path),
        cmocka_unit_test(a_program_that_does_not_start_is_one_line_not_sixteen),
        cmocka_unit_test(wrong_words_are_one_line_and_status_2),
        cmocka_unit_test(the_list_names_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
