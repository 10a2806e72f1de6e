/*
 * exercise: reads the list of rows, and runs one of them.
 */
#include "exercise.h"

#include "checks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOWS_START_MS = 20000 };

/* --- reading ---------------------------------------------------------------------------------- */

static const struct contract_row *find_any(const char *name)
{
    const struct contract_row *row = contract_find(name);
    return row != NULL ? row : check_find(name);
}

static const char *const variants[] = {"row", "tsan", "asan", "counted"};

static const char *variant_of(const char *word)
{
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (strcmp(word, variants[i]) == 0)
            return variants[i];
    return NULL;
}

/** One line of the list; NULL, or what is wrong with it. */
static const char *read_line(struct exercise *e, const char *line)
{
    char word[8] = "", name[EXERCISE_NAME] = "", second[EXERCISE_NAME] = "";
    int points = 0, hint = 0;
    if (strcmp(line, "links windows") == 0)
        e->windows = true;
    if (line[0] == '#' || line[0] == '\0' || strncmp(line, "uses ", 5) == 0 ||
        strncmp(line, "links ", 6) == 0 || strncmp(line, "twisted ", 8) == 0)
        return NULL;
    if (sscanf(line, "twist %63s %63s", second, e->twist) == 2)
        return exercise_find(e, second) != NULL ? NULL : "names a row that does not stand above it";
    if (sscanf(line, "title %63[^\n]", e->title) == 1 || sscanf(line, "needs %63s", e->needs) == 1)
        return NULL;
    if (sscanf(line, "red %63s %63s", name, second) == 2) {
        if (e->red_count == EXERCISE_REDS)
            return "too many lines that begin with red";
        struct exercise_red *red = &e->reds[e->red_count++];
        (void)snprintf(red->file, sizeof red->file, "%s", name);
        (void)snprintf(red->row, sizeof red->row, "%s", second);
        return exercise_find(e, second) != NULL ? NULL : "names a row that does not stand above it";
    }
    if (sscanf(line, "%7s %63s %d %d", word, name, &points, &hint) != 4 || points < 0 || hint < 1 ||
        hint > 2 || variant_of(word) == NULL)
        return "is no line of such a list (tests/exercises/exercise.h tells what may stand there)";
    if (find_any(name) == NULL)
        return "names neither a row of the contract nor a check";
    if (e->row_count == EXERCISE_ROWS)
        return "is one row too many";
    e->rows[e->row_count++] =
        (struct exercise_row){find_any(name), points, hint, variant_of(word), e->windows};
    e->points += points;
    return NULL;
}

int exercise_read(struct exercise *e, const char *folder, char *why, size_t why_len)
{
    char path[EXERCISE_PATH], line[256];
    memset(e, 0, sizeof *e);
    (void)snprintf(path, sizeof path, "%s/rows", folder);
    FILE *file = fopen(path, "r");
    const char *wrong = file == NULL ? "cannot be read" : NULL;
    (void)snprintf(why, why_len, "%s cannot be read", path);
    while (wrong == NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        wrong = read_line(e, line);
        if (wrong != NULL)
            (void)snprintf(why, why_len, "%s: \"%s\" %s", path, line, wrong);
    }
    if (file != NULL)
        (void)fclose(file);
    return wrong == NULL ? 0 : -1;
}

const struct exercise_row *exercise_find(const struct exercise *e, const char *name)
{
    for (size_t i = 0; i < e->row_count; i++)
        if (strcmp(e->rows[i].row->name, name) == 0)
            return &e->rows[i];
    return NULL;
}

/* --- running ---------------------------------------------------------------------------------- */

/** Why there is no program of this kind here; NULL when that is an error of ours. */
static const char *excuse(const char *variant, bool sanitized)
{
    bool tsan = strcmp(variant, "tsan") == 0;
    if ((tsan || strcmp(variant, "asan") == 0) && sanitized)
        return "looked at where no other sanitizer is in the way";
    if (tsan)
        return "this compiler does not build programs with ThreadSanitizer";
    if (strcmp(variant, "asan") == 0)
        return "this compiler does not build programs with AddressSanitizer";
    return strcmp(variant, "counted") == 0 ? "calls are not counted on this system" : NULL;
}

/** Windows, WSL and Wine can run a Windows program; asked once. */
static bool runs_windows_programs(void)
{
    static int status = -1;
    if (status == -1) /* of this project, with words of its own: nothing to quote */
        status = system("sh chapters/06_iocp/wine.sh --check >/dev/null 2>&1");
    return status == 0;
}

static void skip(struct contract_run *run, const char *why)
{
    run->symptom = SKIPPED;
    (void)snprintf(run->came_back, sizeof run->came_back, "%s", why);
}

void exercise_run(const struct exercise_row *row, const char *program, bool sanitized,
                  int patience_ms, struct contract_run *run)
{
    char path[EXERCISE_PATH];
    bool other = strcmp(row->variant, "row") != 0, san = strstr(row->variant, "san") != NULL;
    (void)snprintf(path, sizeof path, "%s%s%s", program, other ? "." : "",
                   other ? row->variant : "");
    const char *argv[] = {path, NULL}, *why = excuse(row->variant, sanitized);
    *run = (struct contract_run){
        .argv = argv, .sanitized = sanitized || san, .patience_ms = patience_ms};
    if (row->windows) { /* Wine needs longer to start; SIGINT arrives as Ctrl-C */
        run->start_ms = WINDOWS_START_MS;
        run->stop_signal = SIGINT;
        run->by_wine = true;
    }
    if (row->windows && !runs_windows_programs()) {
        skip(run, "a Windows program, and Wine is not here (make setup)");
        return;
    }
    if (why != NULL && access(path, X_OK) != 0) {
        skip(run, why);
        return;
    }
    contract_run_row(row->row, run);
    run->argv = NULL; /* it stands on this function's stack */
}
