#include "cli.h"

#include "tcp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_RUNTIME = 1, STATUS_USAGE = 2 };
enum { MAX_LETTERS = 32 }; /* for getopt(): two characters per option, and a NUL */

/* ---- words ---- */

void cli_log(const struct cli *cli, const char *format, ...)
{
    int err = errno;
    char line[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args); /* a longer line is cut, and that is fine */
    va_end(args);
    fprintf(stderr, "%s: %s\n", cli->program, line); /* one call: lines of threads do not mix */
    errno = err;
}

static void print_usage(const struct cli *cli, const char *what, const struct cli_option *extra)
{
    printf("usage: %s [-p PORT] [-a ADDRESS]", cli->program);
    for (const struct cli_option *o = extra; o && o->letter; o++)
        printf(" [-%c %s]", o->letter, o->name);
    printf("\n%s\n\n", what);
    printf("  -p PORT     listen on this port; 0, the default, picks a free one\n");
    printf("  -a ADDRESS  listen on this numeric address; the default is %s\n", cli->address);
    for (const struct cli_option *o = extra; o && o->letter; o++)
        printf("  -%c %-8s %s; the default is %ld\n", o->letter, o->name, o->help, *o->value);
    printf("  -h          print this and stop\n\n");
    printf("Ctrl-C or SIGTERM ends it with a line of totals.\n");
}

/* ---- numbers ---- */

/* Digits only: strtol() alone would also take " 1", "+1" and "1x". */
static int parse_number(const char *text, long min, long max, long *number)
{
    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
        return -1;
    errno = 0;
    *number = strtol(text, NULL, 10);
    return errno == 0 && *number >= min && *number <= max ? 0 : -1;
}

static long number_or_die(const struct cli *cli, char letter, const char *text, long min, long max)
{
    long number;
    if (parse_number(text, min, max, &number) < 0) {
        cli_log(cli, "-%c '%s': give a number from %ld to %ld", letter, text, min, max);
        exit(STATUS_USAGE);
    }
    return number;
}

/* ---- the command line ---- */

static void letters_of(const struct cli_option *extra, char letters[MAX_LETTERS])
{
    strcpy(letters, ":p:a:h"); /* the first colon: getopt() itself stays silent */
    size_t len = strlen(letters);
    for (; extra && extra->letter && len + 3 <= MAX_LETTERS; extra++) {
        letters[len++] = extra->letter;
        letters[len++] = ':';
    }
    letters[len] = '\0';
}

static void take_extra(const struct cli *cli, const struct cli_option *extra, int letter)
{
    while (extra && extra->letter && extra->letter != letter)
        extra++;
    if (extra && extra->letter) {
        *extra->value = number_or_die(cli, extra->letter, optarg, extra->min, extra->max);
    } else {
        cli_log(cli, "there is no option -%c (try -h)", optopt);
        exit(STATUS_USAGE);
    }
}

/* Behind the last slash, or, on Windows, the last backslash. */
static const char *without_folders(const char *path)
{
    const char *name = path;
    for (; *path != '\0'; path++)
        if (*path == '/' || *path == '\\')
            name = path + 1;
    return name;
}

struct cli cli_parse(int argc, char **argv, const char *what, const struct cli_option *extra)
{
    struct cli cli = {without_folders(argv[0]), "127.0.0.1", 0};
    char letters[MAX_LETTERS];
    letters_of(extra, letters);
    for (int letter; (letter = getopt(argc, argv, letters)) != -1;)
        switch (letter) {
        case 'p':
            cli.port = (unsigned)number_or_die(&cli, 'p', optarg, 0, 65535);
            break;
        case 'a':
            cli.address = optarg;
            break;
        case 'h':
            print_usage(&cli, what, extra);
            exit(fflush(stdout) == 0 ? 0 : STATUS_RUNTIME);
        case ':':
            cli_log(&cli, "option -%c needs a value (try -h)", optopt);
            exit(STATUS_USAGE);
        default:
            take_extra(&cli, extra, letter);
        }
    if (optind < argc) {
        cli_log(&cli, "'%s' is one word too many (try -h)", argv[optind]);
        exit(STATUS_USAGE);
    }
    return cli;
}

/* ---- the first line ---- */

#ifndef _WIN32 /* there a socket is no int: chapter 06 has this part in a file of its own */
int cli_announce(const struct cli *cli, int listener)
{
    if (listener < 0 && errno == EINVAL) {
        cli_log(cli, "-a '%s': give a numeric address such as 127.0.0.1 or ::1", cli->address);
        exit(STATUS_USAGE);
    }
    char name[TCP_NAME_LEN];
    if (listener < 0 || tcp_local_name(listener, name, sizeof name) < 0) {
        cli_log(cli, "cannot listen on %s port %u: %s", cli->address, cli->port, strerror(errno));
        exit(STATUS_RUNTIME);
    }
    printf("listening on %s\n", name);
    if (fflush(stdout) != 0) {
        cli_log(cli, "cannot write to stdout: %s", strerror(errno));
        exit(STATUS_RUNTIME);
    }
    return listener;
}

int cli_listen(const struct cli *cli)
{
    return cli_announce(cli, tcp_listen(cli->address, cli->port));
}
#endif
