/*
 * table: see table.h.
 */
#include "table.h"

#include "figures.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDTH_NAME = 23, WIDTH_SERVED = 13, WIDTH_CPU = -6, WIDTH_ANSWER = -11, WIDTH_COST = -13 };
enum { LINE = 256, WIDTH_GAP = 1, WIDTH_CURE = 12, SUMMARY_MS = 3000, BUSY_PERCENT = 80 };

/* ---- the cures: a line per step -------------------------------------------------------------- */

/* In a few words; for a step that is missing here, the words of tests/steps.c, cut to fit. */
static const struct {
    const char *chapter;
    int number;
    const char *cure;
} cures[] = {
    {"01", 1, "01/2 threads"}, {"01", 2, "01/3 a pool"},  {"01", 3, "02/2 no wait"},
    {"02", 1, "02/2 ask all"}, {"02", 2, "02/3 a nap"},   {"02", 3, "03/1 select"},
    {"03", 1, "03/2 poll"},    {"03", 2, "04/1 epoll"},   {"04", 1, "04/2 edges"},
    {"04", 2, "04/3 threads"}, {"04", 3, "04/4 no lock"}, {"04", 4, "05 kqueue"},
    {"05", 1, "05/2 edges"},   {"05", 2, "05/3 threads"}, {"05", 3, "05/4 all"},
    {"05", 4, "06 completed"}, {"06", 1, "06/4 a port"},  {"06", 4, "06/5 accept"},
    {"06", 5, "06/6 threads"}, {"06", 6, "07 one queue"},
};

static void add_cure(char *line, size_t len, const struct step *step)
{
    const char *cure = step->cure;
    for (size_t i = 0; i < sizeof cures / sizeof cures[0]; i++)
        if (step_find(cures[i].chapter, cures[i].number) == step)
            cure = cures[i].cure;
    words_add(line, len, "%.*s", WIDTH_CURE, cure);
}

/* ---- the rows -------------------------------------------------------------------------------- */

/* The crowd of those who could hold one. */
static int idle_of(const struct play *play)
{
    int most = 0;
    for (size_t i = 0; i < play->count; i++) {
        const struct record *r = &play->records[i];
        if (r->act[ACT_SILENT].starved_by == 0 && r->act[ACT_IDLE].idle > most)
            most = r->act[ACT_IDLE].idle;
    }
    return most;
}

static const char *served_in_words(const struct record *r, char buf[FIGURE])
{
    int by = r->act[ACT_SILENT].starved_by;
    if (by == 0)
        (void)snprintf(buf, FIGURE, "serves");
    else
        (void)snprintf(buf, FIGURE, "starves at %d", by);
    return buf;
}

static const char *answer_in_words(const struct record *r, char buf[FIGURE])
{
    const struct news *news = &r->act[ACT_IDLE];
    if (news->not_served)
        return "not served";
    return r->emulation != NULL ? "emulated" : ns_in_words(news->answer_ns, buf);
}

static const char *cost_in_words(const struct record *r, int idle, char buf[FIGURE])
{
    char cost[FIGURE], own_idle[FIGURE];
    const struct news *news = &r->act[ACT_IDLE];
    if (r->emulation != NULL)
        return r->emulation;
    if (news->cpu_per_answer_ns < 0)
        return "-";
    (void)count_in_words((news->cpu_per_answer_ns + 500) / 1000, cost);
    if (news->idle == idle)
        (void)snprintf(buf, FIGURE, "%s", cost);
    else /* it could not hold so many */
        (void)snprintf(buf, FIGURE, "%.8s at %.8s", cost, count_in_words(news->idle, own_idle));
    return buf;
}

static void print_row(const struct record *r, int idle)
{
    char line[LINE] = "", cell[FIGURE], name[LINE];
    screen_cell(line, sizeof line, lane_name(r->step, name, sizeof name), WIDTH_NAME);
    screen_cell(line, sizeof line, served_in_words(r, cell), WIDTH_SERVED);
    screen_cell(line, sizeof line, percent_in_words(r->act[ACT_IDLE].idle_percent, cell),
                WIDTH_CPU);
    screen_cell(line, sizeof line, answer_in_words(r, cell), WIDTH_ANSWER);
    screen_cell(line, sizeof line, cost_in_words(r, idle, cell), WIDTH_COST);
    screen_cell(line, sizeof line, "", WIDTH_GAP);
    add_cure(line, sizeof line, r->step);
    screen_line("%s", line);
}

static void print_header_line(const char *const cells[6])
{
    static const int widths[] = {WIDTH_NAME, WIDTH_SERVED, WIDTH_CPU, WIDTH_ANSWER, WIDTH_COST};
    char line[LINE] = "";
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        screen_cell(line, sizeof line, cells[i], widths[i]);
    screen_cell(line, sizeof line, "", WIDTH_GAP);
    screen_line("%s%s", line, cells[5]);
}

static void print_header(int idle)
{
    char count[FIGURE], crowd[FIGURE];
    (void)snprintf(crowd, sizeof crowd, "%.12s idle", count_in_words(idle, count));
    print_header_line((const char *const[]){"", "beside", "CPU", "answer", "µs each,", "what"});
    print_header_line(
        (const char *const[]){"step", "silent ones", "idle", "after", crowd, "cures it"});
}

static uint64_t bytes_of(const struct play *play)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < play->count; i++)
        for (int act = 0; act < ACTS; act++)
            bytes += play->records[i].act[act].bytes;
    return bytes;
}

/* The second line of a step whose queue is emulated, and what it means; once for each queue. */
static void print_emulations(const struct play *play)
{
    const char *told = NULL;
    for (size_t i = 0; i < play->count; i++) {
        const struct record *r = &play->records[i];
        if (r->emulation == NULL || (told != NULL && strcmp(told, r->step->queue) == 0))
            continue;
        told = r->step->queue;
        screen_say("%s: emulated %s. What it does is seen here; how long it takes, only a system "
                   "whose kernel has it can tell, so no times are shown.",
                   told, r->emulation);
    }
}

/* What a reader has to know who finds "-", or a server that burns without using 100 %. */
static void print_reservations(const struct play *play)
{
    bool is_told = true, is_busy = false;
    for (size_t i = 0; i < play->count; i++) {
        double percent = play->records[i].act[ACT_IDLE].idle_percent;
        is_told = is_told && percent >= 0;
        is_busy = is_busy || (percent >= (double)BURNS_PERCENT && percent < (double)BUSY_PERCENT);
    }
    if (!is_told)
        screen_say("-: this system does not tell the processor time of another process.");
    if (is_busy)
        screen_say("This machine is busy: a server that burns gets only what others leave.");
}

void table_print(const struct play *play)
{
    char text[FIGURE];
    int idle = idle_of(play);
    screen_say("%s", "");
    screen_title("What the three acts have shown");
    print_header(idle);
    for (size_t i = 0; i < play->count; i++)
        print_row(&play->records[i], idle);
    screen_say(
        "%s came back in all, and every byte was right. \"starves at 4\": four silent clients "
        "stop everybody else. \"each\": the server's processor time for one answer.",
        bytes_in_words(bytes_of(play), text));
    print_emulations(play);
    print_reservations(play);
}

/* ---- what comes next ------------------------------------------------------------------------- */

/* Reads up to the end of the stream, or for SUMMARY_MS at most. */
static void read_summary(int fd, char *text, size_t size)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    size_t len = 0;
    while (len < size - 1 && poll(&one, 1, SUMMARY_MS) > 0) {
        ssize_t n = read(fd, text + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
}

static _Noreturn void become_setup(int out)
{
    int nothing = open("/dev/null", O_RDWR);
    if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(nothing, STDERR_FILENO) >= 0 &&
        dup2(out, STDOUT_FILENO) >= 0)
        (void)execl("/bin/sh", "sh", "tools/setup.sh", "--summary", "--for", "test", (char *)NULL);
    _exit(127);
}

/* One sentence when something is missing, "" when nothing is (or nobody can tell). */
static void ask_setup(char *text, size_t size)
{
    int ends[2];
    text[0] = '\0';
    if (pipe(ends) != 0)
        return;
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    pid_t setup = fork();
    if (setup == 0)
        become_setup(ends[1]);
    (void)close(ends[1]);
    if (setup > 0) {
        read_summary(ends[0], text, size);
        (void)kill(setup, SIGKILL); /* most often it has ended by itself */
        while (waitpid(setup, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    (void)close(ends[0]);
    text[strcspn(text, "\n")] = '\0';
}

void table_print_next(void)
{
    char missing[LINE];
    ask_setup(missing, sizeof missing);
    screen_say("%s", "");
    screen_say("Next: make compare has all figures. make test proves every step against sixteen "
               "kinds of bad clients%s%s",
               missing[0] != '\0' ? "; " : ".", missing);
}
