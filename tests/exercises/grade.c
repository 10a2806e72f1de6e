/*
 * grade: one exercise, one program, and an answer in words.
 *
 *     grade [--json] [--row NAME] FOLDER NUMBER PROGRAM
 *
 * FOLDER is the exercise's (its file `rows` says what is looked at), NUMBER what people type for it
 * (01.1), PROGRAM the answer, built; PROGRAM.tsan, .asan and .counted are the same, built in other
 * ways (exercise.h). Every row is run, or the one that is named. TWIST in the environment is what a
 * seed has chosen for this student, where the exercise has a twist.
 *
 * The first row that is red is told in full: what the peer did, what came back, which hint to open.
 * The others are one line each, because one trouble at a time is enough.
 *
 * The last line on stdout is "points: N of M". Status: 0 when no row is red, 1 when one is, 2 for
 * wrong words.
 */
#include "checks.h"
#include "exercise.h"

#include "../harness/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 80, INDENT = 14 };

/* --- for people ------------------------------------------------------------------------------- */

/** "  came back   words...", broken at spaces, continued below the first word. */
static void say(const char *label, const char *text)
{
    int column = printf("  %-*s", INDENT - 2, label);
    while (*(text += strspn(text, " ")) != '\0') {
        int word = (int)strcspn(text, " ");
        if (column > INDENT && column + 1 + word > COLUMNS)
            column = printf("\n%*s", INDENT, "") - 1;
        column += printf("%s%.*s", column > INDENT ? " " : "", word, text);
        text += word;
    }
    (void)printf("\n");
}

static bool is_red(const struct contract_run *run)
{
    return run->symptom != HOLDS && run->symptom != SKIPPED;
}

static void explain(const struct exercise_row *row, const struct contract_run *run,
                    const char *number)
{
    char next[96];
    (void)snprintf(next, sizeof next, "make exercise EX=%s HINT=%d", number, row->hint);
    say("the peer", run->peer_did);
    say("came back", run->came_back);
    say("it must", row->row->server_must);
    say("by hand", row->row->repeat);
    say("open next", next);
}

static void show(const struct exercise_row *row, const struct contract_run *run, const char *number,
                 bool in_full)
{
    const char *verdict = is_red(run) ? "RED" : run->symptom == HOLDS ? "holds" : "skipped";
    (void)printf("%-8s%-27s%2d of %2d%7.1f s", verdict, row->row->name,
                 is_red(run) ? 0 : row->points, row->points, run->seconds);
    if (is_red(run))
        (void)printf("  %s", symptom_in_words(run->symptom));
    (void)printf("\n");
    if (run->symptom == SKIPPED)
        say("because", run->came_back);
    if (run->note[0] != '\0')
        say("left out", run->note);
    if (in_full)
        explain(row, run, number);
    (void)fflush(stdout);
}

/* --- for programs ----------------------------------------------------------------------------- */

static void json_text(const char *text)
{
    (void)putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            (void)printf("\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            (void)printf("\\u%04x", byte < 0x80 ? byte : '?');
        else
            (void)putchar(byte);
    }
    (void)putchar('"');
}

static void json_row(const struct exercise_row *row, const struct contract_run *run, bool first)
{
    const char *verdict = is_red(run) ? "red" : run->symptom == HOLDS ? "holds" : "skipped";
    (void)printf("%s\n    {\"row\": \"%s\", \"verdict\": \"%s\", \"symptom\": \"%s\"",
                 first ? "" : ",", row->row->name, verdict, symptom_name(run->symptom));
    (void)printf(", \"points\": %d, \"of\": %d, \"hint\": %d, \"peer_did\": ",
                 is_red(run) ? 0 : row->points, row->points, row->hint);
    json_text(run->peer_did);
    (void)printf(", \"came_back\": ");
    json_text(run->came_back);
    (void)printf(", \"seconds\": %.2f}", run->seconds);
}

/* --- grading ---------------------------------------------------------------------------------- */

static int grade(const struct exercise *e, const char *number, const char *program, bool json)
{
    int points = 0, red = 0;
    if (json)
        (void)printf("{\"exercise\": \"%s\", \"rows\": [", number);
    else
        (void)printf("exercise %s: %s\n\n", number, e->title);
    for (size_t i = 0; i < e->row_count; i++) {
        struct contract_run run;
        exercise_run(&e->rows[i], program, false, 0, &run);
        points += is_red(&run) ? 0 : e->rows[i].points;
        red += is_red(&run);
        if (json)
            json_row(&e->rows[i], &run, i == 0);
        else
            show(&e->rows[i], &run, number, is_red(&run) && red == 1);
    }
    if (json)
        (void)printf("\n  ], \"points\": %d, \"of\": %d}\n", points, e->points);
    else
        (void)printf("\npoints: %d of %d\n", points, e->points);
    return red > 0;
}

/** Of all rows only the named one is left; false when there is none. */
static bool keep_one(struct exercise *e, const char *name)
{
    const struct exercise_row *row = exercise_find(e, name);
    if (row == NULL)
        return false;
    e->rows[0] = *row;
    e->row_count = 1;
    e->points = row->points;
    return true;
}

int main(int argc, char **argv)
{
    char why[512] = "usage: grade [--json] [--row NAME] FOLDER NUMBER PROGRAM";
    struct exercise e;
    char **words = argv + 1, **end = argv + argc;
    bool json = words < end && strcmp(*words, "--json") == 0;
    words += json ? 1 : 0;
    const char *row = end - words > 1 && strcmp(*words, "--row") == 0 ? words[1] : NULL;
    words += row != NULL ? 2 : 0;
    if (end - words != 3 || exercise_read(&e, words[0], why, sizeof why) != 0) {
        (void)fprintf(stderr, "grade: %s\n", why);
        return 2;
    }
    if (row != NULL && !keep_one(&e, row)) {
        (void)fprintf(stderr, "grade: %s is no row of this exercise\n", row);
        return 2;
    }
    const char *twist = getenv("TWIST");
    twist_set(twist != NULL && *twist != '\0' ? twist : e.twist);
    (void)client_raise_limit();
    /* Else each program under ThreadSanitizer sleeps for a second before it ends. */
    (void)setenv("TSAN_OPTIONS", "halt_on_error=1:exitcode=99:atexit_sleep_ms=0", 0);
    return grade(&e, words[1], words[2], json);
}
