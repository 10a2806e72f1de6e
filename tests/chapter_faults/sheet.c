#include "sheet.h"

#include "scenario.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 1024, LABEL_LEN = 96 };

static const struct {
    int outcome;
    char letter;
    const char *words;
} letters[] = {
    {UNSEEN, '.', "nobody notices: every byte comes back, status 0"},
    {ONE_LOST, 'c', "one client loses its connection, all others are served"},
    {NO_START, 'r', "it refuses to start: one line, status 1"},
    {ENDS, 'e', "it ends while it serves: one line, status 1"},
    {TELLS, 't', "stopped, it ends with status 1, or Windows ends it: something is incomplete"},
};
enum { LETTERS = sizeof letters / sizeof letters[0] };

const char *sheet_letters(int outcomes, char *buf, size_t len)
{
    size_t n = 0;
    for (int i = 0; i < LETTERS; i++)
        if ((outcomes & letters[i].outcome) != 0 && n + 2 <= len)
            buf[n++] = letters[i].letter;
    buf[n] = '\0';
    return buf;
}

static int outcomes_of(const char *cell)
{
    int outcomes = 0;
    for (; *cell != '\0'; cell++)
        for (int i = 0; i < LETTERS; i++)
            if (*cell == letters[i].letter)
                outcomes |= letters[i].outcome;
    return outcomes;
}

static const char *row_label(const struct row *row, char *buf, size_t len)
{
    (void)snprintf(buf, len, "`%s`%s | %s", call_name(row->call),
                   row->needs == AFTER_EMFILE ? " after EMFILE" : "", row->name);
    return buf;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool row_has_cells(const struct sheet *sheet, size_t row, const char *chapter)
{
    for (size_t i = 0; i < sheet->subject_count; i++)
        if (strcmp(sheet->subjects[i].step->chapter, chapter) == 0 && sheet->cell[row][i] != 0)
            return true;
    return false;
}

static void write_head(const struct sheet *sheet, const char *chapter, FILE *to)
{
    (void)fprintf(to, "\n## %s\n\n| call | error |", chapter);
    for (size_t i = 0; i < sheet->subject_count; i++)
        if (strcmp(sheet->subjects[i].step->chapter, chapter) == 0)
            (void)fprintf(to, " %s |", strchr(sheet->subjects[i].name, '/') + 1);
    (void)fprintf(to, "\n|---|---|");
    for (size_t i = 0; i < sheet->subject_count; i++)
        if (strcmp(sheet->subjects[i].step->chapter, chapter) == 0)
            (void)fprintf(to, "---|");
    (void)fprintf(to, "\n");
}

static void write_row(const struct sheet *sheet, size_t row, const char *chapter, FILE *to)
{
    char label[LABEL_LEN], cell[LETTERS + 1];
    (void)fprintf(to, "| %s |", row_label(&table[row], label, sizeof label));
    for (size_t i = 0; i < sheet->subject_count; i++)
        if (strcmp(sheet->subjects[i].step->chapter, chapter) == 0)
            (void)fprintf(to, " %s |", sheet_letters(sheet->cell[row][i], cell, sizeof cell));
    (void)fprintf(to, "\n");
}

static void write_chapter(const struct sheet *sheet, const char *chapter, FILE *to)
{
    write_head(sheet, chapter, to);
    for (size_t row = 0; row < table_rows; row++)
        if (row_has_cells(sheet, row, chapter))
            write_row(sheet, row, chapter, to);
}

static const char essay[] =
    "# The steps on a kernel that fails\n"
    "\n"
    "Made by `make fault-table`, on Linux; nothing here is typed by hand. `make faults` runs it\n"
    "all again and compares; `make test` runs a part, and judges by [table.c](table.c) alone.\n"
    "\n"
    "Each call that a step makes fails once, with each error of its man page, at each of the\n"
    "first places where it is made: the linker gives it to us ([wrap_posix.c](wrap_posix.c)).\n"
    "The Windows programs of chapter 06 are run by Wine; their calls and errors are those\n"
    "of Microsoft's pages ([wrap_winsock_windows.c](wrap_winsock_windows.c)). *When it ends*\n"
    "means that the operation was submitted, and its packet tells of the failure.\n"
    "Meanwhile [five clients](scenario.h) talk to the step, and compare every byte. Whatever\n"
    "fails: no crash, no byte that is wrong, nobody who waits for ever, no spinning, no\n"
    "descriptor, handle or memory that is left. And then one of these comes of it:\n"
    "\n";

static const char rest_of_essay[] =
    "\n"
    "An empty cell: the step does not make the call. Several letters: it makes it at several\n"
    "places.\n"
    "`c` is right where the call belongs to one client, and `r` where a server cannot be what it\n"
    "should be; [table.c](table.c) says which letters are right in each line, and the tests fail\n"
    "where another one comes out. Errors that only a mistake in the program can bring (EBADF,\n"
    "EFAULT, WSAENOTSOCK) are not told. `after EMFILE`: the listener rests, because descriptors\n"
    "had run out.\n";

void sheet_write(const struct sheet *sheet, FILE *to)
{
    const char *chapter = "";
    (void)fputs(essay, to);
    (void)fputs("| | |\n|---|---|\n", to);
    for (int i = 0; i < LETTERS; i++)
        (void)fprintf(to, "| `%c` | %s |\n", letters[i].letter, letters[i].words);
    (void)fputs(rest_of_essay, to);
    for (size_t i = 0; i < sheet->subject_count; i++) {
        if (strcmp(sheet->subjects[i].step->chapter, chapter) != 0) {
            chapter = sheet->subjects[i].step->chapter;
            write_chapter(sheet, chapter, to);
        }
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_row(struct sheet *sheet, const char *chapter, char *line)
{
    char label[LABEL_LEN];
    for (size_t row = 0; row < table_rows; row++) {
        size_t len = strlen(row_label(&table[row], label, sizeof label));
        if (strncmp(line, label, len) != 0 || line[len] != ' ')
            continue;
        char *at = strchr(line + len, '|');
        for (size_t i = 0; i < sheet->subject_count && at != NULL; i++) {
            if (strcmp(sheet->subjects[i].step->chapter, chapter) != 0)
                continue;
            char *end = strchr(at + 1, '|');
            if (end != NULL)
                *end = '\0';
            sheet->cell[row][i] = outcomes_of(at + 1);
            at = end;
        }
        return;
    }
}

int sheet_read(struct sheet *sheet, const char *path)
{
    char line[LINE_MAX_LEN], chapter[8] = "";
    FILE *from = fopen(path, "r");
    if (from == NULL)
        return -1;
    while (fgets(line, sizeof line, from) != NULL) {
        if (strncmp(line, "## ", 3) == 0)
            (void)snprintf(chapter, sizeof chapter, "%.2s", line + 3);
        else if (strncmp(line, "| `", 3) == 0)
            read_row(sheet, chapter, line + 2);
    }
    (void)fclose(from);
    return 0;
}
