/*
 * confine: runs a command that one does not trust, and lets it harm nobody. Linux only.
 *
 *     confine [-f FOLDER] [-x PATH]... [-e FOLDER] [-t SECONDS] [-c SECONDS] [-m MIB]
 *             [-n PROCESSES] [-o KIB] [-l] COMMAND
 *
 *     -f  the one folder where it may write, and where it starts (.)
 *     -x  a file or a folder that looks empty to it; loose, it sees it all the same
 *     -e  a folder that is empty for it, and its own: it may write there, too, and what it writes
 *         is gone afterwards. Loose, it sees the one that is there
 *     -t  how long it may run (60)             -c  processor time of all its processes (30)
 *     -m  memory of all its processes (1024)   -n  processes and threads at a time (256)
 *     -o  what it may print (256)              -l  loose: also where no namespaces are (box.c)
 *
 * Its stdout and stderr go to our stdout. Status: that of the command, 128 + signal if one did it;
 * 124 when it was stopped, with one line on stderr that says at which limit; 125 when it could not
 * be confined, and so was not started.
 *
 * Life of a command: STARTED in its box; WATCHED ten times a second; it ENDS by itself, or is
 * STOPPED at a limit. Then everything that it has started is ended, too: by the kernel, with the
 * first process of the namespace; or, loose, by us, until the tree is empty. If we die, it dies.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STOPPED = 124, LOOK_MS = 100, PIECE = 65536, HUNTS_MAX = 1000 };

static long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* it cannot fail with this clock */
    return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the words ------------------------------------------------------------------------------- */

static _Noreturn void usage(void)
{
    (void)fprintf(stderr, "usage: confine [-f FOLDER] [-x PATH]... [-e FOLDER] [-t SECONDS] "
                          "[-c SECONDS] [-m MIB] [-n PROCESSES] [-o KIB] [-l] COMMAND...\n");
    exit(2);
}

static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1 || value > 1000000)
        usage();
    return value;
}

static void hide(struct limits *limits, const char *path)
{
    if (limits->hidden_count == HIDDEN_MAX)
        usage();
    limits->hidden[limits->hidden_count++] = path;
}

static char *const *parse(struct limits *limits, int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "+f:x:e:t:c:m:n:o:l")) != -1;)
        switch (option) {
        case 'f':
            limits->folder = optarg;
            break;
        case 'x':
            hide(limits, optarg);
            break;
        case 'e':
            limits->fresh = optarg;
            break;
        case 't':
            limits->seconds = number(optarg);
            break;
        case 'c':
            limits->cpu_seconds = number(optarg);
            break;
        case 'm':
            limits->memory_mib = number(optarg);
            break;
        case 'n':
            limits->processes = number(optarg);
            break;
        case 'o':
            limits->output_kib = number(optarg);
            break;
        case 'l':
            limits->loose = true;
            break;
        default:
            usage();
        }
    if (optind == argc)
        usage();
    limits->folder = realpath(limits->folder, NULL); /* as long as we live */
    if (limits->folder == NULL) {
        perror("confine: the folder");
        exit(BOX_FAILED);
    }
    return argv + optind;
}

/* ---- the watch ------------------------------------------------------------------------------- */

struct watch {
    const struct limits *limits;
    int out; /* what the command prints; -1 after its end */
    long printed, end_ms;
};

/** Passes on what was printed, up to the limit. False when it is above it. */
static bool pass_on(struct watch *watch)
{
    static char piece[PIECE];
    ssize_t got = read(watch->out, piece, sizeof piece);
    if (got < 0)
        return true; /* EINTR, EAGAIN: there will be another look */
    if (got == 0) {
        (void)close(watch->out); /* nobody is left who could print */
        watch->out = -1;
        return true;
    }
    long room = watch->limits->output_kib * 1024 - watch->printed;
    size_t taken = got < room ? (size_t)got : (size_t)room;
    watch->printed += (long)taken;
    if (write(STDOUT_FILENO, piece, taken) != (ssize_t)taken)
        return true; /* nobody wants to know */
    return got <= room;
}

/** Which limit was reached: words, or NULL. */
static const char *reached(const struct watch *watch)
{
    static struct tree tree;
    const struct limits *limits = watch->limits;
    if (now_ms() >= watch->end_ms)
        return "time: it ran too long";
    if (tree_look(&tree, getpid()) != 0)
        return NULL; /* the other limits hold without /proc */
    if (tree.threads >= limits->processes)
        return "processes: too many at a time";
    if (tree.cpu_ticks / sysconf(_SC_CLK_TCK) >= limits->cpu_seconds)
        return "cpu: too much processor time";
    if (tree.pages / 256 * (sysconf(_SC_PAGESIZE) / 4096) >= limits->memory_mib)
        return "memory: too much at a time";
    return NULL;
}

/** Watches until the child has ended, or a limit is reached. Words, or NULL and its status. */
static const char *watch_until_end(struct watch *watch, pid_t child, int *status)
{
    for (long next = now_ms(); waitpid(child, status, WNOHANG) == 0;) {
        struct pollfd out = {.fd = watch->out, .events = POLLIN};
        long wait = next - now_ms();
        if (poll(&out, 1, wait < 0 ? 0 : (int)wait) > 0 && !pass_on(watch))
            return "output: it printed too much";
        if (now_ms() < next)
            continue;
        const char *limit = reached(watch);
        if (limit != NULL)
            return limit;
        next = now_ms() + LOOK_MS;
    }
    return NULL;
}

/** Ends the child, and all that descends from it. */
static void end_all(pid_t child)
{
    static struct tree tree;
    (void)kill(child, SIGKILL); /* it may have ended */
    for (int hunt = 0; hunt < HUNTS_MAX && tree_look(&tree, getpid()) == 0 && tree.count > 0;
         hunt++) {
        for (int i = 0; i < tree.count; i++)
            (void)kill(tree.pids[i], SIGKILL); /* it may have ended */
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}

static void pass_on_the_rest(struct watch *watch)
{
    while (watch->out >= 0) {
        struct pollfd out = {.fd = watch->out, .events = POLLIN};
        if (poll(&out, 1, 0) <= 0 || !pass_on(watch))
            return;
    }
}

int main(int argc, char **argv)
{
    struct limits limits = {.folder = ".", .seconds = 60, .cpu_seconds = 30, .memory_mib = 1024};
    limits.processes = 256, limits.output_kib = 256, limits.file_mib = 256;
    char *const *command = parse(&limits, argc, argv);
    int out[2], status = 0;
    if (pipe2(out, O_CLOEXEC) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        perror("confine");
        return BOX_FAILED;
    }
    pid_t child = fork();
    if (child == 0)
        box_run(&limits, command, out[1]);
    (void)close(out[1]); /* the child has it */
    if (child < 0) {
        perror("confine: fork");
        return BOX_FAILED;
    }
    struct watch watch = {&limits, out[0], 0, now_ms() + limits.seconds * 1000};
    const char *limit = watch_until_end(&watch, child, &status);
    end_all(child);
    pass_on_the_rest(&watch);
    if (limit != NULL)
        (void)fprintf(stderr, "confine: stopped at its limit of %s\n", limit);
    if (limit != NULL)
        return STOPPED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
