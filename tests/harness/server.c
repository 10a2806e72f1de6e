/*
 * server: see server.h.
 *
 * The child is waited for (in the sense of waitpid) as the very last thing, after its group has
 * been killed: until then its number cannot be given to another process, so the signals can hit
 * nobody else. Before that, waitid() with WNOWAIT only looks.
 */
#include "server.h"

#include "clock.h"
#include "first_line.h"
#include "output.h"
#include "process.h"
#include "spawn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 5000, LOOK_MS = 2 };

/* ---- Looking at the child ---------------------------------------------------------------- */

/** True when the child has ended, with its status; it stays there to be waited for. */
static bool child_has_ended(pid_t child, int flags, int *status)
{
    siginfo_t info = {.si_pid = 0};
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT | flags) < 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    if (info.si_pid != child) {
        return false;
    }
    *status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return true;
}

bool server_is_alive(struct server *s, int *status)
{
    int found = s->status;
    if (!s->ended) {
        bool listener_runs = s->pid != s->child && process_exists(s->pid);
        if (!child_has_ended(s->child, WNOHANG, &found) || listener_runs) {
            return true;
        }
    }
    if (status != NULL) {
        *status = found;
    }
    return false;
}

void server_read_output(struct server *s)
{
    if (s->output != NULL) {
        output_copy(s->output, s);
        first_line_banner(s->out, s->banner, sizeof s->banner);
    }
}

/* ---- The end ----------------------------------------------------------------------------- */

/** Kills what is left of the group, waits for the child and reads the last words. */
static void finish(struct server *s)
{
    spawn_kill_group(s->child, s->guard, s->guard_fd);
    (void)child_has_ended(s->child, 0, &s->status); /* waits; it has ended or was killed just now */
    while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR) {
    }
    s->ended = true;
    s->frozen = false;
    s->guard_fd = -1;
    output_unwatch(s->output);
    output_read(s->output, 0);
    server_read_output(s);
}

/** Waits until nothing of the server runs. False at the deadline. */
static bool wait_for_end(struct server *s, int64_t deadline_ns)
{
    output_unwatch(s->output); /* from here on we read ourselves */
    while (server_is_alive(s, NULL)) {
        if (deadline_left_ms(deadline_ns) == 0) {
            return false;
        }
        /* The end sends us no event that poll() knows, so we look again soon. When both streams
         * are over this is a plain pause. */
        output_read(s->output, LOOK_MS);
    }
    return true;
}

/** Wine's server kills a program that has taken its leave and is still there half a second later
 *  (Wine, server/process.c, process_sigkill()). On a busy machine that hits one which has said its
 *  totals and only has to be taken apart. We have not killed this one: it ended in time. */
static bool is_killed_by_wine(const struct server *s, const struct server_end *end)
{
    return s->wine > 0 && end->in_time && end->status == 128 + SIGKILL &&
           strncmp(end->totals, "totals: clients ", 16) == 0;
}

static void end_and_tell(struct server *s, int64_t deadline_ns, struct server_end *end)
{
    end->in_time = wait_for_end(s, deadline_ns);
    finish(s);
    end->status = s->status;
    output_last_line(s->output, end->totals, sizeof end->totals);
    end->unseen = is_killed_by_wine(s, end);
    if (end->unseen)
        end->status = 0;
    output_free(s->output);
    s->output = NULL;
}

void server_ask_until_it_ends(struct server *s, int signo, int64_t deadline_ns)
{
    enum { AGAIN_MS = 100 };
    int64_t again_ns = clock_now_ns();
    while (server_is_alive(s, NULL) && deadline_left_ms(deadline_ns) > 0) {
        if (clock_now_ns() >= again_ns) {
            (void)kill(s->pid, signo);
            again_ns = deadline_in_ms(AGAIN_MS);
        }
        clock_pause_ms(1);
    }
}

void server_stop(struct server *s, int64_t deadline_ns, struct server_end *end)
{
    memset(end, 0, sizeof *end);
    if (s->child <= 0 || s->ended) {
        end->in_time = s->ended;
        end->status = s->status;
        return;
    }
    (void)kill(s->pid, s->stop_signal);
    server_thaw(s);
    end_and_tell(s, deadline_ns, end);
}

void server_kill(struct server *s)
{
    if (s->child > 0 && !s->ended) {
        finish(s);
        output_free(s->output);
        s->output = NULL;
    }
}

/* ---- The start --------------------------------------------------------------------------- */

/** Spawns it and begins to read. 0, or -1 with the reason in why. */
static int begin(struct server *s, const struct server_spec *spec, char *why, size_t why_len)
{
    struct spawned p;
    memset(s, 0, sizeof *s);
    s->guard_fd = -1;
    if (spawn(&p, spec, why, why_len) != 0) {
        return -1;
    }
    s->pid = s->child = p.child;
    s->guard = p.guard;
    s->guard_fd = p.guard_fd;
    s->stop_signal = spec->stop_signal;
    s->output = output_new(p.out_fd, p.err_fd);
    if (s->output == NULL) {
        (void)snprintf(why, why_len, "no memory to start %s", spec->argv[0]);
        spawn_kill_group(s->child, s->guard, s->guard_fd);
        (void)waitpid(s->child, NULL, 0);
        s->ended = true;
        return -1;
    }
    return 0;
}

/** Waits for the first line, whole, or for the end of the program or the deadline. */
static void wait_for_first_line(struct server *s, int64_t deadline_ns, struct first_line *line)
{
    for (;;) {
        bool alive = server_is_alive(s, &line->status); /* first this: last words are read below */
        output_read(s->output, alive ? LOOK_MS : 0);
        server_read_output(s);
        line->alive = alive;
        if (strchr(s->out, '\n') != NULL || !alive || deadline_left_ms(deadline_ns) == 0) {
            return;
        }
    }
}

int server_start(struct server *s, const struct server_spec *spec, char *why, size_t why_len)
{
    if (begin(s, spec, why, why_len) != 0) {
        return -1;
    }
    int start_ms = spec->start_ms != 0 ? spec->start_ms : START_MS;
    struct first_line line = {.program = spec->argv[0], .out = s->out, .err = s->err};
    wait_for_first_line(s, deadline_in_ms(start_ms), &line);

    if (first_line_parse(&line, s->address, sizeof s->address, &s->port, why, why_len) != 0) {
        server_kill(s);
        return -1;
    }
    int err = output_watch(s->output);
    if (err != 0) {
        (void)snprintf(why, why_len, "no thread to read what %s says: %s", spec->argv[0],
                       strerror(err));
        server_kill(s);
        return -1;
    }
    pid_t listener = process_listening_in_group(s->port, s->child);
    s->pid = listener > 0 ? listener : s->child;
    s->wine = process_wineserver_of(s->pid);
    if (s->stop_signal == 0) {
        s->stop_signal = s->wine > 0 ? SIGINT : SIGTERM;
    }
    return 0;
}

int server_run_to_end(struct server *s, const struct server_spec *spec, struct server_end *end)
{
    char why[256] = "";
    memset(end, 0, sizeof *end);
    if (begin(s, spec, why, sizeof why) != 0) {
        (void)snprintf(s->err, sizeof s->err, "%s", why);
        return -1;
    }
    end_and_tell(s, deadline_in_ms(spec->start_ms != 0 ? spec->start_ms : START_MS), end);
    return 0;
}

/* ---- Figures ----------------------------------------------------------------------------- */

/** The sum of both; -1 when one is not known. */
static int64_t sum(int64_t own, int64_t helper)
{
    return own < 0 || helper < 0 ? -1 : own + helper;
}

int64_t server_cpu_ns(const struct server *s)
{
    return sum(process_cpu_ns(s->pid), s->wine > 0 ? process_cpu_ns(s->wine) : 0);
}

int64_t server_waited_ns(const struct server *s)
{
    return sum(process_waited_ns(s->pid), s->wine > 0 ? process_waited_ns(s->wine) : 0);
}

int64_t server_resident_kib(const struct server *s)
{
    return sum(process_resident_kib(s->pid), s->wine > 0 ? process_resident_kib(s->wine) : 0);
}

int server_fds(const struct server *s)
{
    return (int)sum(process_fds(s->pid), s->wine > 0 ? process_fds(s->wine) : 0);
}

/* ---- Freezing ---------------------------------------------------------------------------- */

//! [freeze]
int server_freeze(struct server *s, int64_t deadline_ns)
{
    if (s->child <= 0 || s->ended || kill(-s->child, SIGSTOP) != 0) {
        return -1;
    }
    s->frozen = true;
    while (!process_is_stopped(s->pid) || !process_is_stopped(s->child)) {
        if (deadline_left_ms(deadline_ns) == 0) {
            return -1;
        }
        clock_pause_ms(1);
    }
    return 0;
}
//! [freeze]

void server_thaw(struct server *s)
{
    if (s->frozen) {
        (void)kill(-s->child, SIGCONT);
        s->frozen = false;
    }
}
