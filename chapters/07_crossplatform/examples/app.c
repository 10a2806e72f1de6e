/*
 * app: see app.h.
 */
#include "app.h"

#include "host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG = 4096 }; /* the system takes less where it allows less */

/* ---- words ---- */

static void log_line(const struct app *app, const char *format, va_list args)
{
    char line[512];
    (void)vsnprintf(line, sizeof line, format, args); /* a longer line is cut, and that is fine */
    fprintf(stderr, "%s: %s\n", app->program, line);  /* one call: lines of threads do not mix */
}

void app_log(const struct app *app, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(app, format, args);
    va_end(args);
}

void app_die(const struct app *app, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(app, format, args);
    va_end(args);
    exit(APP_STATUS_RUNTIME);
}

static void die_of_usage(const struct app *app, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(app, format, args);
    va_end(args);
    exit(APP_STATUS_USAGE);
}

static void print_usage(const struct app *app, const struct app_about *about)
{
    const struct app_option *o;
    printf("usage: %s%s", app->program, about->words == NULL ? " [-p PORT] [-a ADDRESS]" : "");
    for (o = about->options; o != NULL && o->letter; o++)
        printf(o->text != NULL && *o->text == NULL ? " -%c %s" : " [-%c %s]", o->letter, o->name);
    printf("%s%s\n%s\n\n", about->words ? " " : "", about->words ? about->words : "", about->what);
    if (about->words == NULL) {
        printf("  -p PORT     listen on this port; 0, the default, picks a free one\n");
        printf("  -a ADDRESS  listen on this numeric address; the default is %s\n", app->address);
    }
    for (o = about->options; o != NULL && o->letter; o++) {
        printf("  -%c %-8s %s", o->letter, o->name, o->help);
        if (o->number != NULL)
            printf("; the default is %ld", *o->number);
        else if (*o->text != NULL)
            printf("; the default is %s", *o->text);
        printf("\n");
    }
    printf("  -h          print this and stop\n\n");
    printf("EVQ_BACKEND in the environment picks the backend; this program has:");
    for (const char *const *name = evq_backends(); *name != NULL; name++)
        printf(" %s", *name);
    printf("\nCtrl-C or SIGTERM ends it with a line of totals.\n");
}

/* ---- the command line ---- */

/* Digits only: strtol() alone would also take " 1", "+1" and "1x". */
static long number_of(const struct app *app, char letter, const char *text, long min, long max)
{
    errno = 0;
    long number = strtol(text, NULL, 10);
    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0' || errno != 0 || number < min ||
        number > max)
        die_of_usage(app, "-%c '%s': give a number from %ld to %ld", letter, text, min, max);
    return number;
}

static const struct app_option *find_option(const struct app_about *about, char letter)
{
    const struct app_option *o = about->options;
    while (o != NULL && o->letter && o->letter != letter)
        o++;
    return o != NULL && o->letter ? o : NULL;
}

static void take_option(struct app *app, const struct app_about *about, char letter,
                        const char *value)
{
    const struct app_option *o = find_option(about, letter);
    bool is_server = about->words == NULL;
    if (!(is_server && (letter == 'p' || letter == 'a')) && o == NULL)
        die_of_usage(app, "there is no option -%c (try -h)", letter);
    if (value == NULL)
        die_of_usage(app, "option -%c needs a value (try -h)", letter);
    if (o != NULL && o->number != NULL)
        *o->number = number_of(app, letter, value, o->min, o->max);
    else if (o != NULL)
        *o->text = value;
    else if (letter == 'p')
        app->port = (unsigned)number_of(app, letter, value, 0, 65535);
    else
        app->address = value;
}

/* "-p 80" and "-p80"; "--" ends the options, and so does the first word that is none. */
static int take_options(struct app *app, int argc, char **argv, const struct app_about *about)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
        char letter = argv[i][1];
        if (letter == '-' && argv[i][2] == '\0')
            return i + 1;
        if (letter == 'h') {
            print_usage(app, about);
            exit(fflush(stdout) == 0 ? 0 : APP_STATUS_RUNTIME);
        }
        bool is_glued = argv[i][2] != '\0';
        take_option(app, about, letter, is_glued ? argv[i] + 2 : i + 1 < argc ? argv[i + 1] : NULL);
        i += is_glued ? 1 : 2;
    }
    return i;
}

static const char *without_folders(const char *path)
{
    const char *name = path;
    for (; *path != '\0'; path++)
        if (*path == '/' || *path == '\\')
            name = path + 1;
    return name;
}

struct app app_start(int argc, char **argv, const struct app_about *about)
{
    struct app app = {.program = without_folders(argv[0]), .address = "127.0.0.1"};
    host_start();
    int i = take_options(&app, argc, argv, about);
    app.words = argv + i;
    app.words_count = argc - i;
    if (app.words_count > 0 && about->words == NULL)
        die_of_usage(&app, "'%s' is one word too many (try -h)", argv[i]);
    if (app.words_count == 0 && about->words != NULL)
        die_of_usage(&app, "%s is missing (try -h)", about->words);
    for (const struct app_option *o = about->options; o != NULL && o->letter; o++)
        if (o->text != NULL && *o->text == NULL)
            die_of_usage(&app, "-%c %s is missing (try -h)", o->letter, o->name);
    return app;
}

/* ---- the queue and the listener ---- */

evq *app_queue(const struct app *app)
{
    evq *queue = NULL;
    int err = evq_open(&queue, NULL);
    const char *wanted = getenv("EVQ_BACKEND");
    if (err < 0 && wanted != NULL)
        app_die(app, "no queue with EVQ_BACKEND=%s: %s", wanted, evq_strerror(err));
    if (err < 0)
        app_die(app, "no queue: %s", evq_strerror(err));
    host_stop_open(queue);
    return queue;
}

evq_fd app_listen(const struct app *app)
{
    evq_fd fd = EVQ_NO_FD;
    int err = evq_tcp_listen(&fd, app->address, (uint16_t)app->port, BACKLOG);
    if (err == EVQ_EINVAL)
        die_of_usage(app, "-a '%s': give a numeric address such as 127.0.0.1 or ::1", app->address);
    if (err < 0)
        app_die(app, "cannot listen on %s port %u: %s", app->address, app->port, evq_strerror(err));
    return fd;
}

void app_announce(const struct app *app, const evq *queue, evq_fd listener)
{
    uint16_t port = 0;
    int err = evq_tcp_port(listener, &port);
    if (err < 0)
        app_die(app, "cannot tell its own port: %s", evq_strerror(err));
    printf(strchr(app->address, ':') ? "listening on [%s]:%u\n" : "listening on %s:%u\n",
           app->address, (unsigned)port);
    printf("evq: %s\n", evq_backend_name(queue));
    if (fflush(stdout) != 0)
        app_die(app, "cannot write to stdout");
}

//! [reset]
/* A linger time of 0. The option is the same everywhere; Windows wants it as a char *. */
void app_reset_on_close(evq_fd fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, (const char *)&at_once,
                     sizeof at_once); /* fails where the connection is gone already */
}
//! [reset]

int app_totals(uint64_t clients, uint64_t bytes, uint64_t refused)
{
    printf("totals: clients %llu, bytes %llu", (unsigned long long)clients,
           (unsigned long long)bytes);
    if (refused > 0)
        printf(", refused %llu", (unsigned long long)refused);
    printf("\n");
    return fflush(stdout) == 0 ? 0 : APP_STATUS_RUNTIME;
}
