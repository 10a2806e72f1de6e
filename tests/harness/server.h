/*
 * server: starts the program under test, reads where it listens, stops it, and leaves nothing
 * behind.
 *
 * Life of a server: STARTED by server_start(), which returns when the first line has been read;
 * it may be FROZEN by SIGSTOP and THAWED; it ENDS by server_stop() (politely, with its status and
 * its last words) or by server_kill(). The program runs in a process group of its own. A guard
 * process kills that group when the test itself dies, however it dies, so that nothing outlives it.
 *
 * The process that listens need not be the child: under Wine, or behind a shell script, it is
 * somebody else. `pid` is always the one that listens; figures and signals go to it. Under Wine it
 * is the Windows program, although its sockets lie in another process, `wine`.
 */
#ifndef HARNESS_SERVER_H
#define HARNESS_SERVER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { SERVER_TEXT = 4096 };

/** How to start it. Zero means "as usual" for every field but argv. */
struct server_spec {
    /* The program and its words. "-p 0" is appended unless bare is set. */
    const char *const *argv;
    bool bare;

    /* What it may use: descriptors (soft and hard limit) and address space in bytes. */
    rlim_t max_fds;
    rlim_t max_address_space;

    int stop_signal; /* what asks it to stop: 0 means SIGTERM, or SIGINT for a program that
                        Wine runs: there it arrives as Ctrl-C, and SIGTERM would kill   */
    int start_ms;    /* how long the first line may take: 0 means 5,000 ms; it is scaled */
};

struct server {
    /* Its processes. */
    pid_t pid;    /* the one that listens                                 */
    pid_t child;  /* the one that was forked; its group is the server's   */
    pid_t wine;   /* Wine's server, where it does a part of the work; or 0 */
    pid_t guard;  /* kills the group when this test dies                  */
    int guard_fd; /* the guard waits at the other end of this pipe        */

    /* From its first line, the address without brackets; and the second line where it is a banner
     * such as "IOCP: emulated by Wine", else "". */
    char address[64];
    unsigned port;
    char banner[128];

    /* Its life. */
    int stop_signal;
    bool frozen;
    bool ended; /* waited for: nothing of it is left   */
    int status; /* once ended: as in server_end        */

    /* What it says is read all the time, so that it never blocks on us. Here is the beginning of
     * it, NUL-terminated, as of the last server_read_output(); the rest is only counted. */
    struct output *output;
    char out[SERVER_TEXT];
    char err[SERVER_TEXT];
    uint64_t out_bytes, err_bytes;
};

/** How a server ended. */
struct server_end {
    bool in_time;     /* false: it had to be killed                                           */
    bool unseen;      /* Wine let nobody see its exit status, which is told as 0              */
    int status;       /* exit status, or 128 + signal                                         */
    char totals[128]; /* its last line on stdout, "" when there was none                      */
};

/** Starts it and reads "listening on ADDRESS:PORT". 0, or -1 with the reason, in words, in why. */
int server_start(struct server *s, const struct server_spec *spec, char *why, size_t why_len);

/** Runs a program that should end by itself (bad arguments, -h) within start_ms: collects both
 *  outputs and the status. 0, or -1 when it could not be started; then s->err says why. */
int server_run_to_end(struct server *s, const struct server_spec *spec, struct server_end *end);

/** For builds with ThreadSanitizer, before server_stop(). It keeps a signal until the thread that
 *  got it makes its next call. One that sleeps in accept() makes none; nor does one in a ring,
 *  whose call the sanitizer does not know. A further signal ends its waiting. */
void server_ask_until_it_ends(struct server *s, int signo, int64_t deadline_ns);

/** Sends the stop signal, waits for the end until deadline_ns, then kills. Afterwards s->out and
 *  s->err hold what it has said. Stopping one that has ended already tells how it ended. */
void server_stop(struct server *s, int64_t deadline_ns, struct server_end *end);

/** Ends it by force; may be called on a server in any state, also twice, or never started ({0}). */
void server_kill(struct server *s);

/** True while it runs. When it is gone, *status is as in server_end (status may be NULL). */
bool server_is_alive(struct server *s, int *status);

/** Brings out, err and banner up to date with what it has said, without waiting. */
void server_read_output(struct server *s);

/**
 * What it uses, as in process.h; of a program that Wine runs it is the sum of its own and of Wine's
 * server, which holds its sockets. -1 where this system does not tell.
 */
int64_t server_cpu_ns(const struct server *s);
int64_t server_waited_ns(const struct server *s);
int64_t server_resident_kib(const struct server *s);
int server_fds(const struct server *s);

/** SIGSTOP to the whole group, and wait until it has taken effect. 0, or -1 at the deadline. */
int server_freeze(struct server *s, int64_t deadline_ns);
void server_thaw(struct server *s);

#endif
