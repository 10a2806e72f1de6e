/*
 * The demo shows what is true, on every kind of screen, and leaves nothing behind.
 *
 * One short run of each command is read by most tests; others watch it at a pseudo-terminal, stop
 * it in the middle, or give it servers that are wrong on purpose. Its figures are compared as
 * relations only. Processes that it might leave behind are found by a variable in their
 * environment, which only Linux lets us read: elsewhere that part skips.
 */
#include "harness/clock.h"
#include "harness/skip.h"
#include "steps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT = 262144, PATH = 1024, RUN_MS = 120000, GONE_MS = 10000, COLUMNS = 80, ROWS = 24 };
enum { SECONDS = 7, SECONDS_MOST = 600, BURNS_PERCENT = 21, WORDS = 8 };

#define MARK        "TEST_DEMO_MARK"
#define CALLS       "System calls for each answer to one client"
#define TABLE       "What the three acts have shown\n"
#define CURSOR_HIDE "\033[?25l"
#define CURSOR_SHOW "\033[?25h"
#define CTRL_C      "\003"

static char demo_path[PATH], few_idle[] = "-n200";
static pid_t running; /* the demo that a failed test leaves: kill_it() ends it */

/* ---- a run of the demo ----------------------------------------------------------------------- */

struct run {
    pid_t pid;
    int fd;     /* what it says, both streams      */
    int status; /* exit status, or 128 + signal    */
    size_t len;
    char text[TEXT];
};

/* What a test chooses of it. Both lists end with NULL. */
struct how {
    const char *const *words;     /* on the command line; NULL: the usual ones */
    const char *const *variables; /* names and values of the environment       */
};
static const struct how usual = {NULL, NULL};
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HOW(...)  ((struct how){NULL, LIST(__VA_ARGS__)})
#define FEW(...)  ((struct how){chapter_01, LIST(__VA_ARGS__)})

static void set_environment(const char *const *variables)
{
    char mark[32], seconds[32];
    double scaled = (double)SECONDS * clock_slowdown();
    (void)snprintf(mark, sizeof mark, "%ld", (long)getppid());
    (void)snprintf(seconds, sizeof seconds, "%.0f",
                   scaled < 5                      ? 5
                   : scaled < (double)SECONDS_MOST ? scaled
                                                   : (double)SECONDS_MOST);
    (void)setenv(MARK, mark, 1);
    (void)unsetenv("PLAIN");
    (void)unsetenv("NO_COLOR");
    (void)setenv("TERM", "xterm", 1);
    (void)setenv("DEMO_SECONDS", seconds, 1);
    (void)unsetenv("DEMO_SYSTEM");
    for (; variables != NULL && *variables != NULL; variables += 2)
        (void)setenv(variables[0], variables[1], 1);
}

/* Where a test waits only until something has been said. */
static const char *const quickly[] = {"DEMO_SECONDS", "5", NULL};
static const struct how quick = {NULL, quickly};

/* The same with the three steps of one chapter, where the number of lanes makes no difference. */
enum { FEW_LANES = 3 };
static const char *const chapter_01[] = {"-c", "01", NULL};
static const struct how quick_few = {chapter_01, quickly};

static _Noreturn void become_demo(int out, struct how how)
{
    char *argv[WORDS + 2] = {demo_path, few_idle};
    for (int i = 0; how.words != NULL && how.words[i] != NULL && i < WORDS; i++)
        argv[i + 1] = (char *)(uintptr_t)how.words[i]; /* execv() changes nothing */
    set_environment(how.variables);
    if (dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
        (void)execv(demo_path, argv);
    _exit(127);
}

static void start(struct run *run, struct how how)
{
    int ends[2];
    memset(run, 0, sizeof *run);
    assert_int_equal(pipe(ends), 0);
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    run->pid = fork();
    assert_true(run->pid >= 0);
    if (run->pid == 0) {
        (void)setpgid(0, 0);
        become_demo(ends[1], how);
    }
    (void)close(ends[1]);
    run->fd = ends[0];
    running = run->pid;
}

/* In a session of its own, whose terminal is a pseudo-terminal of this size: Ctrl-C works there. */
static void start_at_terminal(struct run *run, struct how how, int columns, int rows)
{
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    memset(run, 0, sizeof *run);
    run->fd = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(run->fd >= 0);
    assert_int_equal(grantpt(run->fd), 0);
    assert_int_equal(unlockpt(run->fd), 0);
    const char *name = ptsname(run->fd);
    assert_non_null(name);
    (void)fcntl(run->fd, F_SETFD, FD_CLOEXEC);
    run->pid = fork();
    assert_true(run->pid >= 0);
    if (run->pid == 0) {
        (void)setsid();
        int terminal = open(name, O_RDWR);
        (void)ioctl(terminal, TIOCSCTTY, 0); /* on Linux it is ours already */
        (void)ioctl(terminal, TIOCSWINSZ, &size);
        (void)dup2(terminal, STDIN_FILENO);
        become_demo(terminal, how);
    }
    running = run->pid;
}

/* Reads what is there, or comes within a tenth of a second. False at the end of the stream. */
static bool read_some(struct run *run)
{
    struct pollfd one = {.fd = run->fd, .events = POLLIN};
    if (poll(&one, 1, 100) <= 0)
        return true;
    ssize_t n = read(run->fd, run->text + run->len, sizeof run->text - 1 - run->len);
    run->len += n > 0 ? (size_t)n : 0;
    run->text[run->len] = '\0';
    return n > 0 || (n < 0 && errno == EINTR); /* a terminal that nobody holds says EIO */
}

static int times_said(const struct run *run, const char *words)
{
    int count = 0;
    for (const char *at = strstr(run->text, words); at != NULL; at = strstr(at + 1, words))
        count++;
    return count;
}

static void wait_for_times(struct run *run, const char *words, int times)
{
    int64_t deadline_ns = deadline_in_ms(RUN_MS);
    while (times_said(run, words) < times) {
        bool goes_on = read_some(run);
        if ((!goes_on && times_said(run, words) < times) || deadline_left_ms(deadline_ns) == 0)
            fail_msg("it should say \"%s\" %d times, but says:\n%s", words, times, run->text);
    }
}

static void wait_for_words(struct run *run, const char *words)
{
    wait_for_times(run, words, 1);
}

static int wait_for_status(const struct run *run)
{
    int status;
    while (waitpid(run->pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    running = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void wait_for_end(struct run *run)
{
    int64_t deadline_ns = deadline_in_ms(RUN_MS);
    while (read_some(run))
        if (deadline_left_ms(deadline_ns) == 0)
            fail_msg("it does not end, and says:\n%s", run->text);
    (void)close(run->fd);
    run->status = wait_for_status(run);
}

static int kill_it(void **state)
{
    (void)state;
    if (running > 0) {
        (void)kill(running, SIGKILL); /* its servers and clients notice */
        (void)waitpid(running, NULL, 0);
    }
    running = 0;
    return 0;
}

static const char *build_folder(void)
{
    const char *build = getenv("STEPS_BUILD");
    return build != NULL && *build != '\0' ? build : "build";
}

/* ---- reading it ------------------------------------------------------------------------------ */

static void says(const struct run *run, const char *words)
{
    if (strstr(run->text, words) == NULL)
        fail_msg("it should say \"%s\", but says:\n%s", words, run->text);
}

static void says_not(const struct run *run, const char *words)
{
    if (strstr(run->text, words) != NULL)
        fail_msg("it should not say \"%s\", but says:\n%s", words, run->text);
}

/* The step's row in the table at the end. */
static const char *row_of(const struct run *run, const struct step *step, char *row, size_t len)
{
    char name[PATH];
    (void)snprintf(name, sizeof name, "\n%s/%d %s ", step->chapter, step->number, step->label);
    const char *table = strstr(run->text, TABLE);
    const char *found = table != NULL ? strstr(table, name) : NULL;
    if (found == NULL)
        fail_msg("the table has no row for %s:\n%s", step->name, run->text);
    (void)snprintf(row, len, "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
    return row;
}

static void row_says(const struct run *run, const char *chapter, int number, const char *words)
{
    char row[PATH];
    if (strstr(row_of(run, step_find(chapter, number), row, sizeof row), words) == NULL)
        fail_msg("the row should say \"%s\": %s", words, row);
}

/* Percent of a processor while idle; -1 where the system does not tell. */
static double idle_percent(const struct run *run, const char *chapter, int number)
{
    char row[PATH];
    const char *percent = strstr(row_of(run, step_find(chapter, number), row, sizeof row), " %");
    if (percent == NULL)
        return -1;
    while (percent > row && percent[-1] >= '0' && percent[-1] <= '9')
        percent--;
    return strtod(percent, NULL);
}

static int columns_of(const char *line, size_t len)
{
    int columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)line[i] & 0xC0) != 0x80; /* bytes that continue do not count */
    return columns;
}

static void no_line_is_wider_than(const struct run *run, int columns)
{
    for (const char *line = run->text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (columns_of(line, len) > columns)
            fail_msg("this line has more than %d columns: %.*s", columns, (int)len, line);
        line += len + (line[len] == '\n');
    }
}

/* A terminal breaks the line when its last column is written, so the demo leaves that one free. */
static void no_row_is_cut_at_a_terminal(const struct run *run)
{
    for (const char *line = run->text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        bool is_row = len > 3 && line[0] == '0' && line[2] == '/';
        if (is_row && columns_of(line, len) > COLUMNS - 1)
            fail_msg("a terminal of %d columns would cut it: %.*s", COLUMNS, (int)len, line);
        line += len + (line[len] == '\n');
    }
}

/* ---- who is left behind? --------------------------------------------------------------------- */

static bool has_mark(const char *pid, const char *mark)
{
    char path[PATH], *environment = calloc(1, TEXT);
    bool found = false;
    assert_non_null(environment);
    (void)snprintf(path, sizeof path, "/proc/%.20s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, environment, TEXT - 1) : 0;
    for (ssize_t at = 0; at < len && !found; at += (ssize_t)strlen(environment + at) + 1)
        found = strcmp(environment + at, mark) == 0;
    if (fd >= 0)
        (void)close(fd);
    free(environment);
    return found;
}

/* One of Wine's own helpers, which stay for some seconds after the last program. */
static bool is_of_wine(const char *pid)
{
    static const char system_folder[] = "C:\\windows\\system32\\";
    char path[PATH], command[sizeof system_folder] = "";
    (void)snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, command, sizeof command - 1) : 0;
    if (fd >= 0)
        (void)close(fd);
    return len > 0 && strcmp(command, system_folder) == 0;
}

/* How many processes have our mark; -1 where the system does not tell. Only what is read here
 * says who it was, so with_names prints them. */
static int count_marked(bool with_helpers, bool with_names)
{
    char mark[64], command[PATH];
    int count = 0;
    bool is_told = access("/proc/self/environ", R_OK) == 0;
    DIR *processes = is_told ? opendir("/proc") : NULL;
    (void)snprintf(mark, sizeof mark, MARK "=%ld", (long)getpid());
    if (processes == NULL)
        return -1;
    for (struct dirent *e = readdir(processes); e != NULL; e = readdir(processes)) {
        bool is_left = e->d_name[0] >= '0' && e->d_name[0] <= '9' && has_mark(e->d_name, mark) &&
                       (with_helpers || !is_of_wine(e->d_name));
        (void)snprintf(command, sizeof command,
                       "ps -o pid,ppid,stat,etime,args -p %.20s | sed 's/^/# left: /'", e->d_name);
        if (is_left && with_names)
            (void)system(command);
        count += is_left;
    }
    (void)closedir(processes);
    return count;
}

static void none_is_marked(bool with_helpers)
{
    int64_t deadline_ns = deadline_in_ms(GONE_MS);
    while (count_marked(with_helpers, false) > 0 && deadline_left_ms(deadline_ns) > 0)
        clock_pause_ms(20);
    assert_true(count_marked(with_helpers, true) <= 0);
}

/* A guard or a client that has just lost its display may need a moment. Wine's helpers may have got
 * our mark, too, from the program that was first; wine.sh ends those, and then nothing is left. */
static void nobody_is_left(void)
{
    none_is_marked(false);
    if (count_marked(true, false) > 0)
        (void)system("sh chapters/06_iocp/wine.sh --end </dev/null >/dev/null 2>&1");
    none_is_marked(true);
}

/* Windows programs that have one client at a time would only show again what 01/1 shows. */
static bool takes_part(const struct step *step)
{
    return step_runs_here(step) &&
           !(step->windows && step_breaks(step, "silent_peer_blocks_nobody") != NULL);
}

/* ---- one plain run, read by many tests ------------------------------------------------------- */

static struct run plain, figures; /* the demo; the comparison, where there is no strace */

/* Both at the same time: what the tests read in them is true beside other busy programs, too. */
static int run_it_once(void **state)
{
    (void)state;
    start(&figures,
          (struct how){LIST("compare", "-n20", "-s", "5", "-r", "1"), LIST("PATH", "/none")});
    start(&plain, usual);
    wait_for_end(&plain);
    wait_for_end(&figures);
    return 0;
}

static void it_ends_well(void **state)
{
    (void)state;
    if (plain.status != 0)
        fail_msg("status %d:\n%s", plain.status, plain.text);
    says(&plain, "every byte was right");
    nobody_is_left();
}

static void it_has_a_row_for_each_step_and_three_acts(void **state)
{
    (void)state;
    char row[PATH];
    says(&plain, "Act 1 of 3");
    says(&plain, "Act 2 of 3");
    says(&plain, "Act 3 of 3");
    assert_int_equal(times_said(&plain, "By hand: make run CH="), 3);
    says(&plain, TABLE);
    for (size_t i = 0; i < step_count; i++)
        if (takes_part(&all_steps[i]))
            (void)row_of(&plain, &all_steps[i], row, sizeof row);
}

static void it_says_who_starves_and_who_serves(void **state)
{
    (void)state;
    row_says(&plain, "01", 1, "starves at 1 ");
    row_says(&plain, "01", 2, "serves ");
    row_says(&plain, "01", 3, "starves at 4 ");
    row_says(&plain, "02", 1, "starves at 1 ");
    row_says(&plain, "02", 2, "serves ");
    row_says(&plain, "02", 3, "serves ");
}

static void it_shows_no_times_of_an_emulation(void **state)
{
    (void)state;
    if (step_emulation(step_find("05", 1)) == NULL)
        skip_because("the kernel of this system has kqueue");
    for (int number = 1; number <= 4; number++) {
        row_says(&plain, "05", number, "serves ");
        row_says(&plain, "05", number, " emulated   over epoll 0");
    }
    assert_int_equal(times_said(&plain, "kqueue: emulated over epoll."), 1);
    says(&plain, "05/1 kqueue, level: rests, and answers; emulated, so no times");
}

static void windows_programs_take_part_or_it_says_why_not(void **state)
{
    (void)state;
    row_says(&plain, "06", 1, "serves ");
    if (step_runs_here(step_find("06", 4))) {
        says(&plain, "Left out of chapter 06: 06/2, 06/3 (as 01/1).");
        for (int number = 4; number <= 6; number++) {
            row_says(&plain, "06", number, "serves ");
            row_says(&plain, "06", number, " emulated      by Wine 0");
        }
        assert_int_equal(times_said(&plain, "IOCP: emulated by Wine."), 1);
    } else
        says(&plain, "(no mingw-w64 or no Wine");
}

static void it_says_who_burns(void **state)
{
    (void)state;
    double spin = idle_percent(&plain, "02", 2), nap = idle_percent(&plain, "02", 3);
    if (spin < 0)
        skip_because("this system does not tell the processor time of another process");
    assert_true(spin > 0 && spin >= 5 * nap);
    assert_true(idle_percent(&plain, "02", 1) > 5 * idle_percent(&plain, "01", 1));
    if (spin >=
        (double)BURNS_PERCENT) /* among very many busy programs even a loop does not get so much */
        says(&plain, "02/2 spin: burns;");
    says(&plain, "01/2 thread per client: rests;");
}

static void without_a_terminal_it_is_plain_text_of_80_columns(void **state)
{
    (void)state;
    assert_null(strchr(plain.text, '\033'));
    assert_null(strchr(plain.text, '\r'));
    no_line_is_wider_than(&plain, COLUMNS);
    no_row_is_cut_at_a_terminal(&plain);
}

/* ---- at a terminal --------------------------------------------------------------------------- */

/* As many steps take part here. */
static int lanes(void)
{
    int count = 0;
    for (size_t i = 0; i < step_count; i++)
        count += takes_part(&all_steps[i]);
    return count;
}

/* The sequence that moves the cursor up over a picture of so many lanes and a header. */
static const char *redraw(int rows)
{
    static char up[16];
    (void)snprintf(up, sizeof up, "\033[%dA", rows + 1);
    return up;
}

static void ctrl_c_at_a_terminal_restores_the_cursor(void **state)
{
    (void)state;
    static struct run run;
    start_at_terminal(&run, quick, COLUMNS, ROWS);
    wait_for_times(&run, redraw(lanes()), 2);
    wait_for_words(&run, "starves");
    assert_int_equal(write(run.fd, CTRL_C, 1), 1);
    wait_for_end(&run);
    assert_int_equal(run.status, 128 + SIGINT);
    says(&run, "Stopped. All servers and clients are gone.");
    says(&run, "\033[1mAct 1"); /* bold */
    assert_int_equal(times_said(&run, CURSOR_HIDE), 1);
    assert_non_null(strstr(strstr(run.text, CURSOR_HIDE), CURSOR_SHOW));
    nobody_is_left();
}

static void without_colour_the_picture_still_moves(void **state)
{
    (void)state;
    static struct run run;
    start_at_terminal(&run, FEW("NO_COLOR", "1", "DEMO_SECONDS", "5"), COLUMNS, ROWS);
    wait_for_words(&run, "starves");
    assert_int_equal(write(run.fd, CTRL_C, 1), 1);
    wait_for_end(&run);
    says(&run, redraw(FEW_LANES));
    says_not(&run, "\033[1m");
    says_not(&run, "\033[3");
    says_not(&run, "\033[0m");
}

static void plain_words_are_kept_at_a_terminal(void **state)
{
    (void)state;
    static struct run run;
    start_at_terminal(&run, FEW("PLAIN", "1", "DEMO_SECONDS", "5"), COLUMNS, ROWS);
    wait_for_words(&run, "starves:");
    assert_int_equal(write(run.fd, CTRL_C, 1), 1);
    wait_for_end(&run);
    assert_int_equal(run.status, 128 + SIGINT);
    says_not(&run, "\033");
}

static void a_tiny_window_is_no_disaster(void **state)
{
    (void)state;
    static struct run run;
    start_at_terminal(&run, quick_few, 10, 4);
    wait_for_words(&run, "01/1");
    assert_int_equal(write(run.fd, CTRL_C, 1), 1);
    wait_for_end(&run);
    assert_int_equal(run.status, 128 + SIGINT);
    says_not(&run, "\033[");
}

/* ---- compare --------------------------------------------------------------------------------- */

/* The step's row below a header: what stands behind its name. */
static const char *table_row(const struct run *run, const char *header, const struct step *step)
{
    char name[PATH];
    const char *table = strstr(run->text, header);
    (void)snprintf(name, sizeof name, "\n%s/%d %s ", step->chapter, step->number, step->label);
    const char *row = table != NULL ? strstr(table, name) : NULL;
    if (row == NULL)
        fail_msg("no row for %s below \"%s\":\n%s", step->name, header, run->text);
    return row != NULL ? row + strlen(name) : "";
}

/* How many of the busy clients the step has served in its window. */
static int served_by(const struct run *run, const char *chapter, int number)
{
    return atoi(table_row(run, "trips/s     ratio", step_find(chapter, number)));
}

/* The words of the step's row below a header. */
static void table_says(const struct run *run, const char *header, const struct step *step,
                       const char *words)
{
    const char *row = table_row(run, header, step);
    size_t len = strcspn(row, "\n");
    const char *found = strstr(row - 1, words); /* the blank before the row may be among them */
    if (found == NULL || found > row + len)
        fail_msg("the row should say \"%s\": %.*s", words, (int)len, row);
}

static void compare_has_figures_for_each_step(void **state)
{
    (void)state;
    assert_int_equal(figures.status, 0);
    no_line_is_wider_than(&figures, COLUMNS);
    no_row_is_cut_at_a_terminal(&figures);
    assert_null(strchr(figures.text, '\033'));
    says(&figures, "processor"); /* which machine */
    for (size_t i = 0; i < step_count; i++)
        if (step_runs_here(&all_steps[i]) && step_emulation(&all_steps[i]) == NULL) {
            table_says(&figures, "p99  CPU each", &all_steps[i], "s "); /* µs, ms: a time */
            table_says(&figures, "trips/s     ratio", &all_steps[i], ".");
        }
    table_says(&figures, "trips/s     ratio", step_find("01", 1), " 1 ");
    table_says(&figures, "trips/s     ratio", step_find("01", 3), " 4 ");
    /* All 32 have a thread sooner or later; on a busy machine some come too late for the window. */
    assert_true(served_by(&figures, "01", 2) > served_by(&figures, "01", 3));
    /* Without strace it says at the beginning and at the end what is missing. */
    assert_int_equal(times_said(&figures, "are not counted: strace is not here"), 2);
    says_not(&figures, CALLS);
}

static void compare_leaves_out_what_is_emulated_in_words(void **state)
{
    (void)state;
    static struct run run;
    if (step_emulation(step_find("05", 1)) == NULL)
        skip_because("the kernel of this system has kqueue");
    says(&figures, "of the emulation: 05/1, 05/2, 05/3,\n05/4 (kqueue: emulated over epoll).");
    says(&figures, "of the emulation: 06/2, 06/3, 06/4,\n06/5, 06/6 (IOCP: emulated by Wine).");
    says_not(&figures, step_find("05", 1)->label);
    start(&run, (struct how){LIST("compare", "-c", "05"), NULL});
    wait_for_end(&run);
    assert_int_equal(run.status, 1);
    says(&run, "no step of chapter 05 runs natively on this system");
}

/* ---- compare: system calls ------------------------------------------------------------------- */

/* strace's own words for a server that has given no answer, and for one that has given fifty. One
 * is of an older strace, whose total has a column less, and before it the server has spoken. */
static const char few_calls[] =
    "step: a word of the server\n"
    "% time     seconds  usecs/call     calls    errors syscall\n"
    "------ ----------- ----------- --------- --------- ----------------\n"
    " 57.14    0.000004           4        10         1 epoll_wait\n"
    " 22.86    0.000002           3        12           recvfrom\n"
    " 20.00    0.000002           3         7           mmap\n"
    "------ ----------- ----------- --------- --------- ----------------\n"
    "100.00    0.000008                    29         1 total\n";
static const char many_calls[] =
    "% time     seconds  usecs/call     calls    errors syscall\n"
    "------ ----------- ----------- --------- --------- ----------------\n"
    " 57.14    0.000004           4        60         1 epoll_wait\n"
    " 22.86    0.000002           3       112        49 recvfrom\n"
    " 10.00    0.000001           3        50           sendto\n"
    " 10.00    0.000001           3         7           mmap\n"
    "------ ----------- ----------- --------- --------- ----------------\n"
    "100.00    0.000008           3       229        50 total\n";

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[PATH + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

/* A strace that traces nothing: it says what it was given, every second time the one or the other,
 * and becomes the program. The first time it is only asked whether it works. */
static const char fake_strace[] =
    "#!/bin/sh\n"
    "test \"$1 $2 $3\" = '-qq -f -c' || exit 1\n"
    "shift 3\n"
    "here=${0%/*}\n"
    "said=many; test -e \"$here/turn\" && said=few\n"
    "if test $said = few; then rm \"$here/turn\"; else : >\"$here/turn\"; fi\n"
    "cat \"$here/$said\" >&2\n"
    "exec \"$@\"\n";

static const char *fake_folder(const char *strace, char folder[PATH])
{
    (void)snprintf(folder, PATH, "%s/tests/demo strace %ld", build_folder(), (long)getpid());
    (void)mkdir(folder, 0755);
    write_text(folder, "few", few_calls);
    write_text(folder, "many", many_calls);
    write_text(folder, "strace", strace);
    return folder;
}

static void remove_fake(const char *folder)
{
    static const char *const names[] = {"few", "many", "strace", "turn"};
    char path[PATH + 64];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void compare_chapter(struct run *run, const char *chapter, const char *path)
{
    start(run, (struct how){LIST("compare", "-n20", "-s", "5", "-r", "1", "-c", chapter),
                            LIST("PATH", path)});
    wait_for_end(run);
    assert_int_equal(run->status, 0);
    no_line_is_wider_than(run, COLUMNS);
    nobody_is_left();
}

static void compare_shares_the_calls_that_strace_has_counted(void **state)
{
    (void)state;
    static struct run run;
    char folder[PATH], path[2 * PATH];
    (void)snprintf(path, sizeof path, "%s:/usr/bin:/bin", fake_folder(fake_strace, folder));
    compare_chapter(&run, "03", path);
    remove_fake(folder);
    table_says(&run, CALLS, step_find("03", 1), " 4.0  2 recvfrom, epoll_wait, sendto\n");
    table_says(&run, CALLS, step_find("03", 2), " 4.0  2 recvfrom, epoll_wait, sendto\n");
    says_not(&run, "are not counted");
}

static void compare_says_who_never_rests_and_counts_the_others(void **state)
{
    (void)state;
    static struct run run;
    compare_chapter(&run, "02", getenv("PATH"));
    if (strstr(run.text, "are not counted") != NULL)
        skip_because("strace is not here, or may not trace");
    table_says(&run, CALLS, step_find("02", 1), "  never rests");
    table_says(&run, CALLS, step_find("02", 2), "  never rests");
    table_says(&run, CALLS, step_find("02", 3), "recvfrom");
}

static void a_strace_that_may_not_trace_is_told_at_once(void **state)
{
    (void)state;
    static struct run run;
    char folder[PATH], path[2 * PATH];
    const char *strace = "#!/bin/sh\necho 'strace: Operation not permitted' >&2\nexit 1\n";
    (void)snprintf(path, sizeof path, "%s:/usr/bin:/bin", fake_folder(strace, folder));
    start(&run, (struct how){LIST("compare"), LIST("PATH", path)});
    wait_for_words(&run, "Round 1");
    assert_int_equal(kill(run.pid, SIGTERM), 0);
    wait_for_end(&run);
    remove_fake(folder);
    says(&run, "are not counted: strace is here, but may not trace.");
    nobody_is_left();
}

/* ---- a chosen few ---------------------------------------------------------------------------- */

static void steps_for_another_system_are_left_out_in_words(void **state)
{
    (void)state;
    static struct run run;
    start_at_terminal(&run, HOW("DEMO_SYSTEM", "another", "DEMO_SECONDS", "5"), COLUMNS, ROWS);
    wait_for_words(&run, "starves");
    assert_int_equal(write(run.fd, CTRL_C, 1), 1);
    wait_for_end(&run);
    says(&run, "Left out, as they are for other systems: 04/1, 04/2, 04/3, 04/4 (Linux).");
    says_not(&run, step_find("04", 1)->label);
    says(&run, step_find("03", 2)->label);
    says_not(&run, redraw(lanes()));
}

static void a_chapter_without_a_step_for_this_system_is_told_in_one_line(void **state)
{
    (void)state;
    static struct run run;
    start(&run, (struct how){LIST("-c", "4"), LIST("DEMO_SYSTEM", "another")});
    wait_for_end(&run);
    assert_int_equal(run.status, 1);
    assert_string_equal(run.text, "demo: no step of chapter 4 runs on this system\n");
}
/* ---- endings --------------------------------------------------------------------------------- */

static void ended_by(struct how how, int signo, bool whole_group, int status)
{
    static struct run run;
    if (count_marked(true, false) < 0)
        skip_because("this system does not tell the environment of a process");
    start(&run, how);
    wait_for_words(&run, "starves:");
    assert_true(count_marked(false, false) > FEW_LANES);
    assert_int_equal(kill(whole_group ? -run.pid : run.pid, signo), 0);
    wait_for_end(&run);
    assert_int_equal(run.status, status);
    nobody_is_left();
}

static void sigint_leaves_nothing_behind(void **state)
{
    (void)state;
    ended_by(quick_few, SIGINT, false, 128 + SIGINT);
}

static void sigterm_to_the_group_leaves_nothing_behind(void **state)
{
    (void)state;
    ended_by(quick_few, SIGTERM, true, 128 + SIGTERM);
}

static void even_sigkill_leaves_nothing_behind(void **state)
{
    (void)state;
    ended_by(quick, SIGKILL, false, 128 + SIGKILL);
}

static void a_reader_who_leaves_ends_it(void **state)
{
    (void)state;
    static struct run run;
    start(&run, usual);
    wait_for_words(&run, "Act 1");
    (void)close(run.fd);
    assert_int_equal(wait_for_status(&run), 1);
    nobody_is_left();
}

/* ---- servers that are wrong on purpose ------------------------------------------------------- */

/* A build folder of links: to the good servers, but in step `number` of chapter 02 to `other`. The
 * demo reaches it through chapters/NN_x/: "../../FOLDER". */
static void link_servers(const char *folder, const char *build, int number, const char *other)
{
    char to[PATH + 64], path[PATH];
    (void)mkdir(folder, 0755);
    for (size_t i = 0; i < step_count; i++) {
        const struct step *step = &all_steps[i];
        if (step->windows || !step_runs_here(step))
            continue; /* it is not built, or the demo does not take it */
        bool is_wrong = strcmp(step->chapter, "02") == 0 && step->number == number;
        (void)snprintf(to, sizeof to, "%s/%s", folder, step->name);
        (void)unlink(to);
        (void)step_path(step, build, path, sizeof path);
        char *from = realpath(is_wrong ? other : path, NULL); /* a link is read from where it is */
        assert_non_null(from);
        assert_int_equal(symlink(from, to), 0);
        free(from);
    }
}

static void unlink_servers(const char *folder)
{
    char path[PATH + 64];
    for (size_t i = 0; i < step_count; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, all_steps[i].name);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void run_with_wrong_step(struct run *run, int number, const char *other)
{
    char folder[PATH], seen[PATH + 16];
    (void)snprintf(folder, sizeof folder, "%s/tests/demo_%ld", build_folder(), (long)getpid());
    (void)snprintf(seen, sizeof seen, "../../%s", folder);
    link_servers(folder, build_folder(), number, other);
    start(run, (struct how){LIST("-n20", "-c", "02", "-s", "5"), LIST("STEPS_BUILD", seen)});
    wait_for_end(run);
    unlink_servers(folder);
    assert_int_equal(run->status, 1);
    says_not(run, TABLE);
    nobody_is_left();
}

static void lost_bytes_are_told_in_one_line(void **state)
{
    (void)state;
    static struct run run;
    char path[PATH];
    (void)snprintf(path, sizeof path, "chapters/02_nonblocking/%s/loses_bytes", build_folder());
    run_with_wrong_step(&run, 2, path);
    says(&run, "\ndemo: step2_spin: after a flood: ");
}

static void a_server_that_does_not_start_is_told_in_one_line(void **state)
{
    (void)state;
    static struct run run;
    const char *nothing = access("/bin/true", X_OK) == 0 ? "/bin/true" : "/usr/bin/true";
    run_with_wrong_step(&run, 3, nothing);
    says(&run, "\ndemo: ");
    says(&run, "step3_nap");
}

static void wrong_words_are_refused(void **state)
{
    (void)state;
    static struct run run;
    static const char *const wrong[] = {"abc", "4", "601", "-1", "1e3", " 9"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        start(&run, HOW("DEMO_SECONDS", wrong[i]));
        wait_for_end(&run);
        assert_int_equal(run.status, 2);
        assert_int_equal(times_said(&run, "\n"), 1);
        says(&run, "give a number from 5 to 600");
    }
    start(&run, (struct how){LIST("-c", "x"), NULL});
    wait_for_end(&run);
    assert_int_equal(run.status, 2);
    assert_string_equal(run.text, "demo: 'x' is no chapter with steps: give 01, 02, and so on\n");
}

/* ---- main ------------------------------------------------------------------------------------ */

/* This program is BUILD/tests/test_demo, the demo BUILD/tools/demo, and we are in the root. */
static bool find_demo(const char *self)
{
    static const char tail[] = "/tests/test_demo";
    size_t len = strlen(self);
    if (len < sizeof tail || strcmp(self + len - (sizeof tail - 1), tail) != 0)
        return false;
    (void)snprintf(demo_path, sizeof demo_path, "%.*s/tools/demo", (int)(len - (sizeof tail - 1)),
                   self);
    return access(demo_path, X_OK) == 0 && access("chapters", F_OK) == 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_ends_well, kill_it),
        cmocka_unit_test_teardown(it_has_a_row_for_each_step_and_three_acts, kill_it),
        cmocka_unit_test_teardown(it_says_who_starves_and_who_serves, kill_it),
        cmocka_unit_test_teardown(it_shows_no_times_of_an_emulation, kill_it),
        cmocka_unit_test_teardown(windows_programs_take_part_or_it_says_why_not, kill_it),
        cmocka_unit_test_teardown(it_says_who_burns, kill_it),
        cmocka_unit_test_teardown(without_a_terminal_it_is_plain_text_of_80_columns, kill_it),
        cmocka_unit_test_teardown(ctrl_c_at_a_terminal_restores_the_cursor, kill_it),
        cmocka_unit_test_teardown(without_colour_the_picture_still_moves, kill_it),
        cmocka_unit_test_teardown(plain_words_are_kept_at_a_terminal, kill_it),
        cmocka_unit_test_teardown(a_tiny_window_is_no_disaster, kill_it),
        cmocka_unit_test_teardown(compare_has_figures_for_each_step, kill_it),
        cmocka_unit_test_teardown(compare_leaves_out_what_is_emulated_in_words, kill_it),
        cmocka_unit_test_teardown(compare_shares_the_calls_that_strace_has_counted, kill_it),
        cmocka_unit_test_teardown(compare_says_who_never_rests_and_counts_the_others, kill_it),
        cmocka_unit_test_teardown(a_strace_that_may_not_trace_is_told_at_once, kill_it),
        cmocka_unit_test_teardown(steps_for_another_system_are_left_out_in_words, kill_it),
        cmocka_unit_test_teardown(a_chapter_without_a_step_for_this_system_is_told_in_one_line,
                                  kill_it),
        cmocka_unit_test_teardown(sigint_leaves_nothing_behind, kill_it),
        cmocka_unit_test_teardown(sigterm_to_the_group_leaves_nothing_behind, kill_it),
        cmocka_unit_test_teardown(even_sigkill_leaves_nothing_behind, kill_it),
        cmocka_unit_test_teardown(a_reader_who_leaves_ends_it, kill_it),
        cmocka_unit_test_teardown(lost_bytes_are_told_in_one_line, kill_it),
        cmocka_unit_test_teardown(a_server_that_does_not_start_is_told_in_one_line, kill_it),
        cmocka_unit_test_teardown(wrong_words_are_refused, kill_it),
    };
    (void)argc;
    if (!find_demo(argv[0])) {
        fprintf(stderr,
                "test_demo: start it in the root, as build/tests/test_demo, after make tools\n");
        return 1;
    }
    return cmocka_run_group_tests_name("demo", tests, run_it_once, NULL);
}
