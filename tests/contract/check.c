/*
 * check: the contract, run on anybody's program, in any language.
 *
 *     check [--row NAME] [--json] [--patience MS] --server './mine --some option'
 *     check [--row NAME] [--json] [--patience MS] -- ./mine '--some option'
 *     check --list
 *
 * The first form takes the command as a shell understands it, the second one word by word. The
 * program must keep the course's command line (-p, -a, -h; "listening on ADDRESS:PORT" first). It
 * is started anew for each row. A red row says what the peer did, what came back, what the server
 * must do, and how to repeat it.
 *
 * Status: 0 when no row is red, 1 when one is or the program does not start, 2 for wrong words.
 */
#include "contract.h"

#include "../harness/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    START_MS = 10000, /* interpreters and virtual machines take their time */
    COLUMNS = 80,
    INDENT = 14,
    MAX_ROWS = 64,
    COMMAND_LEN = 2048
};

/* --- the command line ------------------------------------------------------------------------- */

struct options {
    const struct contract_row *rows[MAX_ROWS]; /* the chosen ones, in the contract's order */
    size_t row_count;
    bool json;
    int patience_ms;
    const char *const *argv;
    char shown[COMMAND_LEN];  /* the command as people write it */
    char script[COMMAND_LEN]; /* for the shell, when it was given as one string */
    const char *shell[5];
};

static const char usage[] =
    "usage: check [--row NAME] [--json] [--patience MS] --server 'COMMAND'\n"
    "       check [--row NAME] [--json] [--patience MS] -- PROGRAM [WORD...]\n"
    "       check --list\n";

static int refuse(const char *what, const char *word)
{
    (void)fprintf(stderr, "check: %s%s%s%s (check --help tells more)\n", what, *word ? " '" : "",
                  word, *word ? "'" : "");
    return 2;
}

static int choose_row(struct options *o, const char *name)
{
    const struct contract_row *row = contract_find(name);
    if (row == NULL)
        return refuse("there is no row", name);
    if (o->row_count < MAX_ROWS)
        o->rows[o->row_count++] = row;
    return 0;
}

static int choose_patience(struct options *o, const char *text)
{
    char *end = NULL;
    long ms = strtol(text, &end, 10);
    if (end == text || *end != '\0' || ms < 1 || ms > 600000)
        return refuse("--patience wants milliseconds from 1 to 600000, not", text);
    o->patience_ms = (int)ms;
    return 0;
}

/** The command as one string: a shell splits it, becomes it, and hands it the row's words. */
static int choose_command(struct options *o, const char *command)
{
    if (command[strspn(command, " \t")] == '\0')
        return refuse("--server is empty: it wants the command that starts your server", "");
    (void)snprintf(o->shown, sizeof o->shown, "%s", command);
    if (snprintf(o->script, sizeof o->script, "exec %s \"$@\"", command) >= (int)sizeof o->script)
        return refuse("the command is too long", "");
    o->shell[0] = "/bin/sh";
    o->shell[1] = "-c";
    o->shell[2] = o->script;
    o->shell[3] = "sh"; /* $0 */
    o->argv = o->shell;
    return 0;
}

static void choose_words(struct options *o, const char *const *words)
{
    size_t at = 0;
    for (size_t i = 0; words[i] != NULL && at < sizeof o->shown; i++) {
        int n = snprintf(o->shown + at, sizeof o->shown - at, "%s%s", i > 0 ? " " : "", words[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    o->argv = words;
}

static void list_rows(void)
{
    for (size_t i = 0; i < contract_row_count; i++)
        (void)printf("%-26s the peer %s; the server must %s\n", contract_rows[i].name,
                     contract_rows[i].peer_does, contract_rows[i].server_must);
}

/** 0: go on; -1: all is done; else the status to end with. */
static int parse(struct options *o, int argc, char **argv)
{
    int err = 0;
    for (int i = 1; i < argc && err == 0; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            return fputs(usage, stdout) < 0 ? 1 : -1;
        if (strcmp(word, "--list") == 0)
            return list_rows(), -1;
        if (strcmp(word, "--json") == 0)
            o->json = true;
        else if (strcmp(word, "--") == 0) {
            if (next != NULL)
                choose_words(o, (const char *const *)&argv[i + 1]);
            break;
        } else if (strcmp(word, "--row") != 0 && strcmp(word, "--patience") != 0 &&
                   strcmp(word, "--server") != 0)
            return refuse("there is no option", word);
        else if (next == NULL)
            return refuse("a value is missing after", word);
        else {
            err = word[2] == 'r'   ? choose_row(o, next)
                  : word[2] == 'p' ? choose_patience(o, next)
                                   : choose_command(o, next);
            i++;
        }
    }
    if (err == 0 && o->argv == NULL)
        return refuse("which program? Give --server 'COMMAND', or its words behind --", "");
    for (size_t i = 0; err == 0 && o->row_count == 0 && i < contract_row_count; i++)
        o->rows[i] = &contract_rows[i];
    if (o->row_count == 0)
        o->row_count = contract_row_count;
    return err;
}

/* --- for people ------------------------------------------------------------------------------- */

static bool colour; /* only at a terminal, and only where nobody asked for plain text */

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *plain = getenv("PLAIN"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no == NULL || *no == '\0') &&
           (plain == NULL || *plain == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/** One word; the third one as the reader wants it. */
static const char *verdict_in(const struct contract_run *run, const char *red)
{
    if (run->symptom == HOLDS)
        return "holds";
    return run->symptom == SKIPPED ? "skipped" : red;
}

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

static void show(const struct options *o, const struct contract_row *row,
                 const struct contract_run *run)
{
    static const char *const paint[] = {"\033[32m", "\033[33m", "\033[31m"};
    int shade = run->symptom == HOLDS ? 0 : run->symptom == SKIPPED ? 1 : 2;
    (void)printf("%s%-8s%s%-27s%5.1f s", colour ? paint[shade] : "", verdict_in(run, "RED"),
                 colour ? "\033[0m" : "", row->name, run->seconds);
    if (shade == 2)
        (void)printf("  %s", symptom_in_words(run->symptom));
    (void)printf("\n");
    if (shade == 1)
        say("because", run->came_back);
    if (run->note[0] != '\0')
        say("left out", run->note);
    if (shade == 2) {
        char again[COMMAND_LEN + 128];
        (void)snprintf(again, sizeof again, "make check SERVER='%s' ROW=%s", o->shown, row->name);
        say("the peer", run->peer_did);
        say("came back", run->came_back);
        say("it must", row->server_must);
        say("repeat", again);
        say("by hand", row->repeat);
    }
    (void)fflush(stdout);
}

/* --- for programs ----------------------------------------------------------------------------- */

/** A JSON string. Bytes above ASCII are passed on when they are UTF-8, else shown as '?'. */
static void json_text(const char *text)
{
    (void)putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        int more = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : *at >= 0xc2 ? 1 : 0, i = 1;
        while (i <= more && (at[i] & 0xc0) == 0x80)
            i++;
        if (*at == '"' || *at == '\\')
            (void)printf("\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            (void)printf("\\u%04x", *at);
        else if (*at < 0x80)
            (void)putchar(*at);
        else if (more == 0 || i <= more || *at > 0xf4)
            (void)putchar('?');
        else {
            (void)printf("%.*s", more + 1, (const char *)at);
            at += more;
        }
    }
    (void)putchar('"');
}

static void json_field(const char *name, const char *value)
{
    (void)printf(", \"%s\": ", name);
    json_text(value);
}

static void json_row(const struct contract_row *row, const struct contract_run *run, bool first)
{
    (void)printf("%s\n    {\"row\": \"%s\"", first ? "" : ",", row->name);
    json_field("verdict", verdict_in(run, "red"));
    json_field("symptom", symptom_name(run->symptom));
    json_field("peer_did", run->peer_did);
    json_field("came_back", run->came_back);
    json_field("left_out", run->note);
    json_field("server_must", row->server_must);
    json_field("by_hand", row->repeat);
    (void)printf(", \"seconds\": %.2f}", run->seconds);
}

/* --- checking --------------------------------------------------------------------------------- */

/** One clear line is better than sixteen repeated ones. */
static bool can_start(const struct options *o)
{
    struct server s;
    char why[256] = "";
    struct server_spec spec = {.argv = o->argv, .start_ms = START_MS};
    if (server_start(&s, &spec, why, sizeof why) == 0) {
        server_kill(&s);
        return true;
    }
    if (o->json) {
        (void)printf("{\"server\": ");
        json_text(o->shown);
        json_field("error", why);
        (void)printf(", \"rows\": [], \"hold\": 0, \"red\": 0, \"skipped\": 0}\n");
    } else
        (void)fprintf(stderr, "check: `%s` does not start as a server should: %s\n", o->shown, why);
    return false;
}

static int check_rows(const struct options *o)
{
    int hold = 0, red = 0, skipped = 0;
    for (size_t i = 0; i < o->row_count; i++) {
        struct contract_run run = {
            .argv = o->argv, .start_ms = START_MS, .patience_ms = o->patience_ms};
        contract_run_row(o->rows[i], &run);
        hold += run.symptom == HOLDS;
        skipped += run.symptom == SKIPPED;
        red += run.symptom != HOLDS && run.symptom != SKIPPED;
        if (o->json)
            json_row(o->rows[i], &run, i == 0);
        else
            show(o, o->rows[i], &run);
    }
    if (o->json)
        (void)printf("\n  ],\n  \"hold\": %d, \"red\": %d, \"skipped\": %d}\n", hold, red, skipped);
    else
        (void)printf("\nrows: %d hold, %d red, %d skipped\n", hold, red, skipped);
    return red > 0;
}

int main(int argc, char **argv)
{
    static struct options options; /* zero: static storage */
    int err = parse(&options, argc, argv);
    if (err != 0)
        return err < 0 ? 0 : err;
    colour = wants_colour();
    (void)client_raise_limit();
    if (!can_start(&options))
        return 1;
    if (options.json) {
        (void)printf("{\"server\": ");
        json_text(options.shown);
        (void)printf(",\n  \"rows\": [");
    } else
        (void)printf("checking %s\n\n", options.shown);
    return check_rows(&options);
}
