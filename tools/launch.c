/*
 * launch: runs a server and remembers its port, so that nobody has to type it.
 *
 *   launch PORTFILE PROGRAM [ARGUMENT...]
 *
 * The server's stdout passes through here, unchanged and at once; its first line "listening on
 * 127.0.0.1:45321" tells the port, which goes into PORTFILE while the server lives. There
 * `make peer` and `make talk` look for "the last server". stdin and stderr stay the server's own.
 *
 * Who gets which signal. Ctrl-C at a terminal reaches the launcher *and* the server, since both are
 * in the foreground group: the server stops politely, and the launcher only waits for its last
 * words. A signal that a process has sent (kill, make) reaches the launcher alone: it hands it on.
 *
 * Wine ends a Windows program at SIGTERM without a word, and hands it SIGINT as Ctrl-C: so what is
 * handed on to PROGRAM.exe is always SIGINT. And Wine's server kills a program that has taken its
 * leave and is still there half a second later (Wine, server/process.c, process_sigkill()). On a
 * busy machine that hits one which has said its totals and is only being taken apart: it has ended
 * well.
 *
 * make, which waits for us, gets Ctrl-C as well. GNU make stumbles ("wait: No child processes")
 * when its child ends before its own handler runs, so after a signal the launcher ends a bit later.
 *
 * The launcher's status is the server's: its exit status, or 128 + the signal that ended it; 0 for
 * a Windows program that was killed behind its totals.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256, CANNOT_RUN = 127, SIGNALLED = 128, LINGER_MS = 100 };

/* The server, as the signal handler sees it; 0 before it runs and when it is gone. */
static volatile sig_atomic_t server;
static volatile sig_atomic_t interrupted;
static bool is_for_windows; /* set before the handler is */

/* What its stdout has told so far. */
struct told {
    const char *port_file;
    unsigned port; /* 0: its first line named none */
    bool first;    /* no line has ended yet        */
    bool totals;   /* the last one was the totals  */
    char line[LINE_MAX_BYTES];
    size_t len;
};

/* ---- signals --------------------------------------------------------------------------------- */

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    interrupted = 1;
    if (server > 0 && info->si_code == SI_USER) /* from kill(2); the terminal's has another code */
        (void)kill((pid_t)server, is_for_windows ? SIGINT : signo); /* fails where it is gone */
    errno = saved;
}

static void catch_signals(sigset_t *all)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigemptyset(all);
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        sigaddset(all, caught[i]);
        sigaction(caught[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN); /* nobody reads our stdout any more: see pass_on() */
}

/* True where one of the words is a Windows program; it need not be the first: sh wine.sh x.exe */
static bool names_windows_program(char *const argv[])
{
    for (; *argv != NULL; argv++) {
        size_t len = strlen(*argv);
        if (len > 4 && strcmp(*argv + len - 4, ".exe") == 0)
            return true;
    }
    return false;
}

/* ---- the port file --------------------------------------------------------------------------- */

/* The port in "listening on ADDRESS:PORT", 0 when the line is another one. */
static unsigned port_in(const char *line)
{
    const char *colon = strrchr(line, ':');
    if (strncmp(line, "listening on ", strlen("listening on ")) != 0 || colon == NULL)
        return 0;
    return (unsigned)strtoul(colon + 1, NULL, 10);
}

static void write_port(const char *path, unsigned port)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fprintf(stderr, "launch: cannot write %s: %s\n", path, strerror(errno));
        return; /* the server runs all the same; peers will need PORT= */
    }
    fprintf(file, "%u\n", port);
    fclose(file);
}

/* Removes the file, unless a server that was started later has written its own port there. */
static void forget_port(const char *path, unsigned port)
{
    unsigned written = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    if (fscanf(file, "%u", &written) == 1 && written == port)
        (void)remove(path); /* gone already is as good */
    fclose(file);
}

/* ---- the output ------------------------------------------------------------------------------ */

/* Writes all of it. When nobody reads any more it is dropped, so that the server never waits. */
static void pass_on(const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        buf += n;
        len -= (size_t)n;
    }
}

/* Called at the end of each line. What a line has too much is not kept. */
static void learn_line(struct told *told)
{
    told->line[told->len] = '\0';
    told->len = 0;
    told->totals = strncmp(told->line, "totals: clients ", strlen("totals: clients ")) == 0;
    if (told->first && (told->port = port_in(told->line)) != 0)
        write_port(told->port_file, told->port);
    told->first = false;
}

static void learn(struct told *told, const char *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] == '\n')
            learn_line(told);
        else if (told->len < sizeof told->line - 1)
            told->line[told->len++] = buf[i];
}

/* Reads until the server has closed its stdout. */
static void watch_output(int fd, struct told *told)
{
    char buf[4096];
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue; /* a signal: the server has it too, and its last words are still to come */
        if (n <= 0)
            return;
        learn(told, buf, (size_t)n); /* first the file: who sees the line may look for the port */
        pass_on(buf, (size_t)n);
    }
}

/* ---- the server ------------------------------------------------------------------------------ */

/* Starts it with its stdout in a pipe. Returns the end to read from, or -1. */
static int start_server(char *const argv[])
{
    int ends[2];
    sigset_t all, before;
    catch_signals(&all);
    if (pipe(ends) < 0)
        return -1;
    sigprocmask(SIG_BLOCK, &all, &before); /* no signal between fork() and the note of its pid */
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        signal(SIGPIPE, SIG_DFL); /* an ignored signal would stay ignored across exec */
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(argv[0], argv);
        fprintf(stderr, "launch: cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(CANNOT_RUN);
    }
    server = (sig_atomic_t)pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    return pid < 0 ? -1 : ends[0];
}

static int wait_for_server(void)
{
    pid_t pid = (pid_t)server;
    siginfo_t info;
    int status = 0;
    /* First only look (WNOWAIT): its number stays taken until the handler has forgotten it. */
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    server = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char *argv[])
{
    if (argc < 3) {
        fprintf(stderr, "launch: say where to note the port, and what to run\n");
        return 2;
    }
    is_for_windows = names_windows_program(argv + 2);
    int fd = start_server(argv + 2);
    if (fd < 0) {
        fprintf(stderr, "launch: cannot start %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    struct told told = {.port_file = argv[1], .first = true};
    watch_output(fd, &told);
    int status = wait_for_server();
    forget_port(argv[1], told.port);
    if (is_for_windows && told.totals && status == SIGNALLED + SIGKILL)
        status = 0;
    if (interrupted) {
        struct timespec linger = {.tv_nsec = LINGER_MS * 1000000L};
        (void)nanosleep(&linger, NULL); /* cut short by another signal: as good */
    }
    return status;
}
