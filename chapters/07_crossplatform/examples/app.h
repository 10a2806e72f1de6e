/*
 * app: the command line, the first lines and the last line that the examples share.
 *
 *     echo [-p PORT] [-a ADDRESS] [-h]
 *     listening on 127.0.0.1:45321
 *     evq: epoll
 *     ...
 *     totals: clients 3, bytes 1024
 *
 * Which backend works is for evq to say, and for EVQ_BACKEND in the environment to choose.
 */
#ifndef APP_H
#define APP_H

#include "evq.h"

#include <stdint.h>

#ifdef __cplusplus
#define APP_NORETURN [[noreturn]]
extern "C" {
#else
#define APP_NORETURN _Noreturn
#endif

enum { APP_STATUS_RUNTIME = 1, APP_STATUS_USAGE = 2 };

/** An option of one program alone: a number where `number` is set, else words as they are. */
struct app_option {
    char letter;
    const char *name; /* what it is, in capitals: "SECONDS" */
    const char *help;
    long min, max;
    long *number;      /* holds the default, takes what the user gives */
    const char **text; /* the same; NULL as default: it has to be given */
};

struct app_about {
    const char *what;  /* what the program does, one sentence                                  */
    const char *words; /* "URL...": it takes words, and is no server; NULL: it is one (-p, -a) */
    const struct app_option *options; /* ended by one whose letter is 0; NULL for none         */
};

/** What the command line said. The strings are the program's own argv; nothing is to be freed. */
struct app {
    const char *program; /* its name without folders, for messages          */
    const char *address; /* numeric; "127.0.0.1" by default                 */
    unsigned port;       /* 0, the default: the system picks a free one     */
    char **words;        /* of a program that takes words: at least one     */
    int words_count;
};

/** Reads the command line, or ends the program: after -h with the usage and status 0, after
 *  anything wrong with one line on stderr and status 2. Calls host_start(). */
struct app app_start(int argc, char **argv, const struct app_about *about);

/** Opens the queue, which Ctrl-C and SIGTERM will wake (host_is_stopping() is true then). Where
 *  there is none the program ends, with one line on stderr and status 1. */
evq *app_queue(const struct app *app);

/**
 * Opens the listening socket that the command line asks for.
 *
 * @return the socket, the caller's; the program ends where there is none: with status 2 for an
 *         address that is not numeric, with status 1 for one that cannot be had
 */
evq_fd app_listen(const struct app *app);

/** Prints "listening on ADDRESS:PORT" and the name of the backend, flushed: whoever started the
 *  server through a pipe is waiting for it. */
void app_announce(const struct app *app, const evq *queue, evq_fd listener);

/** From now on a close of this socket sends a reset: the peer sees an error and no end of the
 *  stream, and what the system still holds for it is thrown away. Any thread. */
void app_reset_on_close(evq_fd fd);

/** Prints the last line; refused is left out where it is 0. @return the status to end with */
int app_totals(uint64_t clients, uint64_t bytes, uint64_t refused);

/** One line "program: ..." on stderr. Any thread. */
void app_log(const struct app *app, const char *format, ...);

/** The same, and the end, with status 1. */
APP_NORETURN void app_die(const struct app *app, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
