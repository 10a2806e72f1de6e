/*
 * The labs prove what they claim.
 *
 * Every experiment of every chapter is run, with nobody at a terminal. It must end with status
 * 0 and a finding; 77 means that this machine cannot run it, and is a skip with the lab's own
 * reason. Then its figures are compared once more, here, as relations: never as absolute
 * times. A lab without a row in tests/labs/ is an error, so none is forgotten.
 *
 * A lab that this machine runs over an emulation must say so in its last line, and all such labs
 * are groups of their own: the summary never shows them as reproduced on the real thing.
 *
 * The second half is about lab.h itself: the prediction, the statuses, the words.
 *
 * Programs are looked for from the root of the repository; STEPS_BUILD says which build of them is
 * meant ("build", or a variant such as "build/san-thread").
 */
#include "../chapters/01_blocking/labs/lab.h"

#include "harness/server.h"
#include "harness/skip.h"
#include "labs/lab_case.h"
#include "steps.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { LAB_RUN_MS = 60000, MOST_LABS = 64, LAB_NOT_BUILT = -1 };

/* ---- Reading what a lab says ----------------------------------------------------------------- */

static void says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("it should say \"%s\", but says:\n%s", words, text);
}

/* The last line, without its newline. */
static const char *last_line(const char *text, char *line, size_t len)
{
    size_t end = strlen(text);
    while (end > 0 && text[end - 1] == '\n')
        end--;
    size_t begin = end;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    (void)snprintf(line, len, "%.*s", (int)(end - begin), text + begin);
    return line;
}

static void fits_80_columns(const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (len > LAB_COLUMNS)
            fail_msg("more than 80 columns: %.*s", (int)len, text);
        text += len + (text[len] == '\n' ? 1 : 0);
    }
}

/* ---- All labs -------------------------------------------------------------------------------- */

static struct lab_case lab_cases[MOST_LABS];
static size_t lab_count;

static void collect_labs(void)
{
    const struct lab_case *const chapters[] = {labs_01, labs_02, labs_03, labs_04,
                                               labs_05, labs_06, labs_07};
    for (size_t i = 0; i < sizeof chapters / sizeof chapters[0]; i++)
        for (const struct lab_case *l = chapters[i]; l->name != NULL && lab_count < MOST_LABS; l++)
            lab_cases[lab_count++] = *l;
}

/* ---- Running a lab --------------------------------------------------------------------------- */

static struct server ran; /* one at a time; it holds what the lab has said */

/* Which build of the labs is meant. */
static const char *labs_build(void)
{
    const char *build = getenv("STEPS_BUILD");
    return build != NULL && *build != '\0' ? build : "build";
}

static bool is_windows_program(const struct lab_case *lab_case)
{
    return strncmp(lab_case->name, "06/", 3) == 0 || strncmp(lab_case->name, "07/", 3) == 0;
}

/* Where its program is, from the root. Returns path. */
static const char *lab_path(const struct lab_case *lab_case, char path[TEXT_LEN])
{
    (void)snprintf(path, TEXT_LEN, "chapters/%s/%s/labs/%s%s", lab_case->folder, labs_build(),
                   strchr(lab_case->name, '/') + 1, is_windows_program(lab_case) ? ".exe" : "");
    return path;
}

/* Runs it to its end; the status. It has no terminal, since the harness gives it none. */
static int run_lab(const struct lab_case *lab_case, const char *guess)
{
    char path[TEXT_LEN], wine[TEXT_LEN];
    const char *native[] = {path, NULL}, *windows[] = {"sh", wine, path, NULL};
    struct server_spec spec = {.bare = true, .start_ms = LAB_RUN_MS};
    struct server_end end;

    spec.argv = is_windows_program(lab_case) ? windows : native;
    (void)snprintf(wine, sizeof wine, "chapters/06_iocp/wine.sh");
    (void)lab_path(lab_case, path);
    (void)unsetenv("PLAIN");
    if (guess != NULL)
        (void)setenv("GUESS", guess, 1);
    else
        (void)unsetenv("GUESS");
    if (access(path, X_OK) != 0)
        return LAB_NOT_BUILT;
    if (server_run_to_end(&ran, &spec, &end) != 0)
        fail_msg("%s", ran.err);
    if (!end.in_time)
        fail_msg("%s did not end in time; so far it said:\n%s", lab_case->name, ran.out);
    return end.status;
}

static bool is_linux(void)
{
    struct utsname system;
    return uname(&system) >= 0 && strcmp(system.sysname, "Linux") == 0;
}

/* Why it does not run here; NULL when it does. epoll is of Linux alone; IOCP wants some tools. */
static const char *why_not(const struct lab_case *lab_case)
{
    char path[TEXT_LEN];
    if (strncmp(lab_case->name, "04/", 3) == 0 && !is_linux() &&
        access(lab_path(lab_case, path), X_OK) != 0)
        return "chapter 04 is for Linux only";
    if (!is_windows_program(lab_case))
        return NULL;
    if (strstr(labs_build(), "san-") != NULL)
        return "the compiler for Windows programs has no sanitizers; they are tested without";
    return step_why_not(step_find("06", 4));
}

/*
 * How it is emulated here; NULL when it meets the real thing. macOS and the BSDs have kqueue; Linux
 * has chapter 05's emulation of it. Windows has IOCP, and this harness does not run there.
 */
static const char *emulation(const struct lab_case *lab_case)
{
    if (is_windows_program(lab_case))
        return "by Wine";
    return strncmp(lab_case->name, "05/", 3) == 0 && is_linux() ? "over epoll" : NULL;
}

static void the_lab_reproduces_its_claim(void **state)
{
    const struct lab_case *lab_case = *state;
    char line[TEXT_LEN];
    const char *why = why_not(lab_case);
    if (why != NULL) {
        print_message("# skip: %s: %s\n", lab_case->name, why);
        skip();
    }
    int status = run_lab(lab_case, NULL);
    (void)last_line(ran.out, line, sizeof line);
    fits_80_columns(ran.out);
    if (status == LAB_SKIPPED) {
        assert_true(strncmp(line, "skipped: ", 9) == 0);
        print_message("# skip: %s: %s\n", lab_case->name, line + 9);
        skip();
    }
    bool emulated = emulation(lab_case) != NULL;
    const char *begins = emulated ? "finding (emulated): " : "finding: ";
    if (status != LAB_REPRODUCED || strncmp(line, begins, strlen(begins)) != 0)
        fail_msg("status %d, not \"%s\"; it said:\n%s%s", status, begins, ran.out, ran.err);
    if (emulated)
        says(ran.out, "\nOn a real kernel: ");
    assert_string_equal(ran.err, "");
    lab_case->judge(ran.out);
}

/* ---- All labs alike -------------------------------------------------------------------------- */

static bool is_in_the_table(const char *source)
{
    char known[TEXT_LEN];
    for (size_t i = 0; i < lab_count; i++) {
        (void)snprintf(known, sizeof known, "chapters/%s/labs/%s.c", lab_cases[i].folder,
                       strchr(lab_cases[i].name, '/') + 1);
        if (strcmp(known, source) == 0)
            return true;
    }
    return false;
}

static void every_lab_has_its_relations_here(void **state)
{
    (void)state;
    glob_t sources;
    assert_int_equal(glob("chapters/*/labs/*.c", 0, NULL, &sources), 0);
    for (size_t i = 0; i < sources.gl_pathc; i++)
        if (!is_in_the_table(sources.gl_pathv[i]))
            fail_msg("%s: add it to tests/labs/", sources.gl_pathv[i]);
    assert_int_equal(sources.gl_pathc, lab_count);
    globfree(&sources);
}

static void a_bad_guess_is_one_clear_line_and_status_2(void **state)
{
    (void)state;
    static const char *const bad[] = {"d", "ab", " ", "1", "b "};
    for (size_t i = 0; i < lab_count; i++) {
        const char *guess = bad[i % (sizeof bad / sizeof bad[0])];
        if (why_not(&lab_cases[i]) != NULL)
            continue;
        assert_int_equal(run_lab(&lab_cases[i], guess), LAB_BAD_GUESS);
        assert_string_equal(ran.out, "");
        says(ran.err, "GUESS must be a, b or c, not '");
        assert_ptr_equal(strchr(ran.err, '\n'), ran.err + strlen(ran.err) - 1);
    }
}

/* ---- lab.h: a little lab in a child ---------------------------------------------------------- */

enum { READ_END = 0, WRITE_END = 1 };

static char said[SERVER_TEXT]; /* what the little lab said, stdout and stderr together */

/* Reads until the end; a terminal whose other side has closed ends with EIO on Linux. */
static void read_all(int fd)
{
    size_t len = 0;
    ssize_t n;
    while (len < sizeof said - 1 &&
           ((n = read(fd, said + len, sizeof said - 1 - len)) > 0 || (n == -1 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    said[len] = '\0';
}

static int status_of(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Becomes the little lab: stdin, stdout and stderr are `in` and `out`. */
static _Noreturn void become(int (*story)(void), int in, int out)
{
    if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1 ||
        dup2(out, STDERR_FILENO) == -1)
        _exit(127);
    int status = story();
    (void)fflush(stdout);
    _exit(status);
}

/* Without a terminal. */
static int tell(int (*story)(void))
{
    int out[2], nobody = open("/dev/null", O_RDONLY);
    assert_true(nobody >= 0);
    assert_int_equal(pipe(out), 0);
    (void)fflush(NULL); /* or the child would print our buffered words, too */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become(story, nobody, out[WRITE_END]);
    (void)close(out[WRITE_END]);
    (void)close(nobody);
    read_all(out[READ_END]);
    (void)close(out[READ_END]);
    return status_of(pid);
}

/* At a terminal, where somebody has typed `answer` already. */
static int tell_at_terminal(int (*story)(void), const char *answer)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    int inside = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(inside >= 0);
    assert_int_equal(write(terminal, answer, strlen(answer)), (ssize_t)strlen(answer));
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(terminal);
        become(story, inside, inside);
    }
    (void)close(inside);
    read_all(terminal);
    (void)close(terminal);
    return status_of(pid);
}

static void ask(void)
{
    memset(&lab, 0, sizeof lab);
    lab_question("Is water wet?", "Yes.", "No.", "At times.", 'a', "the tap");
}

static int holds(void)
{
    ask();
    lab_figure("drops_count", 3, "drops");
    lab_figure("width_mm", 0.123, "mm");
    (void)lab_expect(true, "it is wet");
    return lab_finding("water is wet, %d times", 3);
}

static int fails(void)
{
    ask();
    (void)lab_expect(false, "it is wet");
    return lab_finding("water is wet");
}

static int cannot(void)
{
    ask();
    lab_skip("there is no water");
}

static int breaks(void)
{
    ask();
    return lab_must(close(-1), "close");
}

static int emulates(void)
{
    ask();
    (void)lab_expect(true, "it is wet");
    return lab_finding_emulated(NULL, "water is wet");
}

static void no_guess(void)
{
    (void)unsetenv("GUESS");
    (void)unsetenv("PLAIN");
    (void)setenv("NO_COLOR", "1", 1);
}

static void without_a_terminal_nobody_is_asked(void **state)
{
    (void)state;
    no_guess();
    assert_int_equal(tell(holds), LAB_REPRODUCED);
    assert_null(strstr(said, "Your guess"));
    assert_true(figure(said, "drops_count") == 3);
    word_is(said, "width_mm", "0.12 mm");
    says(said, "\nAnswer: a.\nfinding: water is wet, 3 times\n");
}

static void guess_answers_beforehand_and_is_judged(void **state)
{
    (void)state;
    no_guess();
    (void)setenv("GUESS", "A", 1);
    assert_int_equal(tell(holds), LAB_REPRODUCED);
    says(said, "Your guess: a\n");
    says(said, "Answer: a. Your guess was right.\nfinding: ");
    (void)setenv("GUESS", "b", 1);
    assert_int_equal(tell(holds), LAB_REPRODUCED);
    says(said, "Answer: a. Your guess was b.\nfinding: ");
    (void)setenv("GUESS", "", 1);
    assert_int_equal(tell(holds), LAB_REPRODUCED);
    no_guess();
}

static void at_a_terminal_the_guess_is_asked_for(void **state)
{
    (void)state;
    no_guess();
    assert_int_equal(tell_at_terminal(holds, "c\n"), LAB_REPRODUCED);
    says(said, "Your guess (a, b or c; Enter to go on without): ");
    says(said, "Your guess was c.");
    assert_int_equal(tell_at_terminal(holds, "what?\na\n"), LAB_REPRODUCED);
    says(said, "Your guess was right.");
    assert_int_equal(tell_at_terminal(holds, "\n"), LAB_REPRODUCED);
    says(said, "Answer: a.\r\n");
    assert_int_equal(tell_at_terminal(holds, "\004"), LAB_REPRODUCED); /* Ctrl-D */
    says(said, "Answer: a.\r\n");
    assert_null(strchr(said, '\033')); /* NO_COLOR */
}

static void a_missed_expectation_is_not_reproduced_and_says_what_to_check(void **state)
{
    (void)state;
    no_guess();
    assert_int_equal(tell(fails), LAB_NOT_REPRODUCED);
    says(said, "DOES NOT HOLD: it is wet\n");
    says(said, "What to check: the tap\n");
    assert_null(strstr(said, "Answer"));
    assert_null(strstr(said, "finding"));
}

static void a_failed_call_is_one_line_in_words(void **state)
{
    (void)state;
    no_guess();
    assert_int_equal(tell(breaks), LAB_NOT_REPRODUCED);
    says(said, "not reproduced: close: ");
}

static void a_lab_that_cannot_run_says_why(void **state)
{
    (void)state;
    no_guess();
    assert_int_equal(tell(cannot), LAB_SKIPPED);
    says(said, "\nskipped: there is no water\n");
}

static void an_emulation_never_claims_the_real_thing(void **state)
{
    (void)state;
    no_guess();
    assert_int_equal(tell(emulates), LAB_REPRODUCED);
    says(said, "On a real kernel: not yet seen on a real kernel\n");
    says(said, "\nfinding (emulated): water is wet\n");
    assert_null(strstr(said, "\nfinding: "));
}

static void plain_leaves_out_the_dots(void **state)
{
    (void)state;
    no_guess();
    (void)setenv("PLAIN", "1", 1);
    assert_int_equal(tell(holds), LAB_REPRODUCED);
    says(said, "\n  drops_count: 3 drops\n");
    assert_null(strstr(said, ".."));
    no_guess();
}

/* ---- All of it ------------------------------------------------------------------------------- */

static const char *how_emulated; /* the labs of the group that runs */

static int say_what_is_emulated(void **state)
{
    (void)state;
    print_message("# emulated: %s\n", how_emulated);
    return 0;
}

static bool is_same(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

/* cmocka hands the entry to the test as its state. Returns how many there are. */
static size_t collect_tests(struct CMUnitTest *tests, const char *how)
{
    size_t count = 0;
    for (size_t i = 0; i < lab_count; i++)
        if (is_same(emulation(&lab_cases[i]), how))
            tests[count++] = (struct CMUnitTest){.name = lab_cases[i].name,
                                                 .test_func = the_lab_reproduces_its_claim,
                                                 .initial_state = &lab_cases[i]};
    return count;
}

int main(void)
{
    static const struct CMUnitTest about_all[] = {
        cmocka_unit_test(every_lab_has_its_relations_here),
        cmocka_unit_test(a_bad_guess_is_one_clear_line_and_status_2),
        cmocka_unit_test(without_a_terminal_nobody_is_asked),
        cmocka_unit_test(guess_answers_beforehand_and_is_judged),
        cmocka_unit_test(at_a_terminal_the_guess_is_asked_for),
        cmocka_unit_test(a_missed_expectation_is_not_reproduced_and_says_what_to_check),
        cmocka_unit_test(a_failed_call_is_one_line_in_words),
        cmocka_unit_test(a_lab_that_cannot_run_says_why),
        cmocka_unit_test(an_emulation_never_claims_the_real_thing),
        cmocka_unit_test(plain_leaves_out_the_dots),
    };
    enum { ABOUT_ALL = sizeof about_all / sizeof about_all[0] };
    static const char *const emulations[] = {"over epoll", "by Wine"};
    static struct CMUnitTest native[MOST_LABS + ABOUT_ALL], emulated[MOST_LABS];

    collect_labs();
    size_t count = collect_tests(native, NULL);
    memcpy(native + count, about_all, sizeof about_all);
    int failed = _cmocka_run_group_tests("labs", native, count + ABOUT_ALL, NULL, NULL);
    for (size_t i = 0; i < sizeof emulations / sizeof emulations[0]; i++) {
        char name[TEXT_LEN];
        how_emulated = emulations[i];
        (void)snprintf(name, sizeof name, "labs %s", how_emulated);
        count = collect_tests(emulated, how_emulated);
        if (count > 0)
            failed += _cmocka_run_group_tests(name, emulated, count, say_what_is_emulated, NULL);
    }
    return failed > 0;
}
