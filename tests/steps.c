/*
 * steps: the table. What a step breaks by design is not a fault of its code: it is the limit of its
 * idea, the tests prove that the limit is there, and the step that cures it is named.
 */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

/* clang-format off */

/* The limits of a server that has one client at a time, in whatever way it waits for that one. */
#define ONE_AT_A_TIME                                                                             \
    {"no_cross_talk", NOT_SERVED,                                                                 \
     "two clients are never served at once: the second one waits until the first has gone"},      \
    {"slow_reader_is_isolated", NOT_SERVED,                                                       \
     "while it waits for one client to read, it does nothing for the others"},                    \
    {"silent_peer_blocks_nobody", NOT_SERVED,                                                     \
     "it waits for the first client to say something, and all others wait with it"},              \
    {"fast_peer_starves_nobody", NOT_SERVED,                                                      \
     "a client that never pauses is never finished, so nobody else gets a turn"},                 \
    {"many_clients", NOT_SERVED,                                                                  \
     "it serves one of them; the rest are connected by the kernel, and wait"}

/* macOS and the BSDs have kqueue, Linux has the one of the chapter's folder linux/. */
#define KQUEUE .queue = "kqueue", .lacks = "Linux", .instead = "over epoll"

/* Windows programs. Where these tests run they run by Wine: see step_why_not(). */
#define IOCP .queue = "IOCP", .windows = true, .instead = "by Wine"

/* What runs them, in the chapter that has such programs first. */
#define WINE "chapters/06_iocp/wine.sh"

const struct step all_steps[] = {
    {.chapter = "01", .folder = "01_blocking", .number = 1, .name = "step1_sequential",
     .label = "sequential", .threads = false,
     .idea = "one client after another, in calls that block",
     .hurts = "one silent client keeps everybody waiting",
     .cure = "01/2: a thread for each client",
     .breaks = {ONE_AT_A_TIME}},
    {.chapter = "01", .folder = "01_blocking", .number = 2, .name = "step2_thread_per_client",
     .label = "thread per client", .threads = true,
     .idea = "a thread for each client, so only that thread waits",
     .hurts = "every client, even a silent one, costs a thread and its stack",
     .cure = "01/3: a fixed number of threads",
     .breaks = {{.row = NULL}}},
    {.chapter = "01", .folder = "01_blocking", .number = 3, .name = "step3_thread_pool",
     .label = "thread pool", .threads = true,
     .idea = "a few threads share a bounded queue of clients",
     .hurts = "as many silent clients as there are threads, and nobody is served",
     .cure = "02/2: one thread that never waits for a single client",
     .breaks = {{"silent_peer_blocks_nobody", NOT_SERVED,
                 "each of its four threads waits for a silent client, and none is left"},
                {"many_clients", NOT_SERVED,
                 "four threads serve four clients; the rest wait until one of these has gone"}}},
    {.chapter = "02", .folder = "02_nonblocking", .number = 1, .name = "step1_would_block",
     .label = "would block", .threads = false,
     .idea = "calls that return at once and say EAGAIN, but still one client at a time",
     .hurts = "it asks the one client a million times a second, and nobody else at all",
     .cure = "02/2: ask every client in turn",
     .breaks = {ONE_AT_A_TIME,
                {"idle_costs_nothing", BURNS_CPU,
                 "it asks its client again and again, although nothing has happened"}}},
    {.chapter = "02", .folder = "02_nonblocking", .number = 2, .name = "step2_spin",
     .label = "spin", .threads = false,
     .idea = "one thread tries every client in turn, for ever",
     .hurts = "it uses a whole processor to find out that nobody has said anything",
     .cure = "02/3: sleep a little when nothing has happened",
     .breaks = {{"idle_costs_nothing", BURNS_CPU,
                 "it never waits: it asks every client again, although nothing has happened"}}},
    {.chapter = "02", .folder = "02_nonblocking", .number = 3, .name = "step3_nap",
     .label = "nap", .threads = false,
     .idea = "the same, but it sleeps for 20 ms when a round has found nothing to do",
     .hurts = "whoever speaks during the nap waits for its end",
     .cure = "03/1: a call that sleeps until somebody is ready",
     .breaks = {{"answers_promptly", TOO_SLOW,
                 "a byte that comes during the nap is answered after it, up to 20 ms later"}}},
    {.chapter = "03", .folder = "03_select_poll", .number = 1, .name = "step1_select",
     .label = "select", .threads = false,
     .idea = "one call sleeps until some of the clients are ready",
     .hurts = "it cannot watch a descriptor beyond FD_SETSIZE, 1,024 almost everywhere",
     .cure = "03/2: poll, which takes any descriptor",
     .breaks = {{"many_clients", CLOSED_EARLY,
                 "select() cannot watch a descriptor beyond FD_SETSIZE: that client is refused"}}},
    {.chapter = "03", .folder = "03_select_poll", .number = 2, .name = "step2_poll",
     .label = "poll", .threads = false,
     .idea = "the same with an array, without a limit on the descriptors",
     .hurts = "every wake-up looks at everybody, so idle clients cost time",
     .cure = "04/1: epoll, where the kernel keeps the list",
     .breaks = {{.row = NULL}}},
    {.chapter = "04", .folder = "04_epoll", .number = 1, .name = "step1_level_triggered",
     .label = "epoll, level", .needs = "Linux", .threads = false,
     .idea = "the kernel keeps the list, and hands out only who is ready",
     .hurts = "each change of mind about a client is a system call",
     .cure = "04/2: register once, and rely on edges",
     .breaks = {{.row = NULL}}},
    {.chapter = "04", .folder = "04_epoll", .number = 2, .name = "step2_edge_triggered",
     .label = "epoll, edge", .needs = "Linux", .threads = false,
     .idea = "the kernel reports changes, the program remembers the rest",
     .hurts = "it is still one thread on one core",
     .cure = "04/3: several threads share the epoll",
     .breaks = {{.row = NULL}}},
    {.chapter = "04", .folder = "04_epoll", .number = 3, .name = "step3_oneshot_workers",
     .label = "epoll, workers", .needs = "Linux", .threads = true,
     .idea = "several threads share one epoll, and each client has one owner at a time",
     .hurts = "every event is paid for with one more call that re-arms it",
     .cure = "04/4: an epoll for every thread",
     .breaks = {{.row = NULL}}},
    {.chapter = "04", .folder = "04_epoll", .number = 4, .name = "step4_epoll_per_thread",
     .label = "epoll per thread", .needs = "Linux", .threads = true,
     .idea = "every thread has its own listener, epoll and clients",
     .hurts = "epoll is of Linux alone",
     .cure = "05: kqueue",
     .breaks = {{.row = NULL}}},
    {.chapter = "05", .folder = "05_kqueue", .number = 1, .name = "step1_level_triggered",
     .label = "kqueue, level", KQUEUE, .threads = false,
     .idea = "one call hands over all changes of the list, and waits",
     .hurts = "whoever has to wait for another direction costs two changes",
     .cure = "05/2: register once, and rely on EV_CLEAR",
     .breaks = {{.row = NULL}}},
    {.chapter = "05", .folder = "05_kqueue", .number = 2, .name = "step2_edge_ev_clear",
     .label = "kqueue, edge", KQUEUE, .threads = false,
     .idea = "both directions are registered once, the kernel reports changes",
     .hurts = "it is still one thread on one core",
     .cure = "05/3: several threads share the kqueue",
     .breaks = {{.row = NULL}}},
    {.chapter = "05", .folder = "05_kqueue", .number = 3, .name = "step3_dispatch_workers",
     .label = "kqueue, workers", KQUEUE, .threads = true,
     .idea = "several threads share one kqueue, and re-arming costs no call of its own",
     .hurts = "it knows sockets, and a server waits for more than that",
     .cure = "05/4: every kind of event in one loop",
     .breaks = {{.row = NULL}}},
    {.chapter = "05", .folder = "05_kqueue", .number = 4, .name = "step4_everything",
     .label = "kqueue, all", KQUEUE, .threads = false,
     .idea = "sockets, a timer, signals, a child and a file in one loop",
     .hurts = "it is told when it may copy, and copies by itself: so did every step so far",
     .cure = "06: the kernel copies",
     .breaks = {{.row = NULL}}},
    {.chapter = "06", .folder = "06_iocp", .number = 1, .name = "step1_completion",
     .label = "completion, poll", .threads = false,
     .idea = "buffers are lent to a queue, and come back when the work is done; poll is inside",
     .hurts = "the queue is ours, so the copying is ours, too",
     .cure = "06/4: a kernel that has such a queue",
     .breaks = {{.row = NULL}}},
    {.chapter = "06", .folder = "06_iocp", .number = 2, .name = "step2_winsock",
     .label = "winsock", IOCP, .threads = false,
     .idea = "the first server of the course again, in the words of Windows",
     .hurts = "one silent client keeps everybody waiting, here as there",
     .cure = "06/3: an operation that is started, and waited for later",
     .breaks = {ONE_AT_A_TIME}},
    {.chapter = "06", .folder = "06_iocp", .number = 3, .name = "step3_overlapped",
     .label = "overlapped", IOCP, .threads = false,
     .idea = "one operation is started, and an event says when it is done",
     .hurts = "it still waits for one client: events do not scale to many",
     .cure = "06/4: a port, which collects what is done",
     .breaks = {ONE_AT_A_TIME}},
    {.chapter = "06", .folder = "06_iocp", .number = 4, .name = "step4_completion_port",
     .label = "port", IOCP, .threads = true,
     .idea = "every client's operations end in one port, and one thread takes them from there",
     .hurts = "a second thread is needed that only waits for new clients",
     .cure = "06/5: accept is an operation, too",
     .breaks = {{.row = NULL}}},
    {.chapter = "06", .folder = "06_iocp", .number = 5, .name = "step5_acceptex",
     .label = "port, AcceptEx", IOCP, .threads = false,
     .idea = "no call blocks but the one that waits, and that one takes many packets",
     .hurts = "it is still one thread on one core",
     .cure = "06/6: several threads wait on the port",
     .breaks = {{.row = NULL}}},
    {.chapter = "06", .folder = "06_iocp", .number = 6, .name = "step6_workers",
     .label = "port, workers", IOCP, .threads = true,
     .idea = "several threads share the port, which wakes only as many as there are cores",
     .hurts = "three systems, three queues, three programs",
     .cure = "07: one queue for all of them",
     .breaks = {{.row = NULL}}},
};

/* A step of mini that is made for several queues is as many programs. */
#define MINI                                                                                      \
    .chapter = "07", .folder = "07_crossplatform", .threads = false, .breaks = {{.row = NULL}}

const struct step mini_steps[] = {
    {MINI, .number = 1, .name = "mini/step1_completion", .label = "mini 1",
     .idea = "the seed: one operation for each client, over poll",
     .hurts = "a client is received from, or sent to, and never both",
     .cure = "07/2: a place for each direction"},
    {MINI, .number = 2, .name = "mini/step2_both_directions", .label = "mini 2",
     .idea = "each socket has a place for a recv and one for a send",
     .hurts = "the queue knows no time, and only a signal ends its wait",
     .cure = "07/3: timers and wake"},
    {MINI, .number = 3, .name = "mini/step3_timers_and_wake", .label = "mini 3",
     .idea = "a timer is an operation, and a wake ends the wait",
     .hurts = "nothing that was submitted can be taken back",
     .cure = "07/4: cancel and close"},
    {MINI, .number = 4, .name = "mini/step4_cancel_and_close", .label = "mini 4",
     .idea = "an operation can be taken back, and a socket ends by an operation",
     .hurts = "poll is inside, and looks at everybody",
     .cure = "07/5: the engines epoll and kqueue"},
    {MINI, .number = 5, .name = "mini/step5_epoll", .label = "mini 5, epoll", .needs = "Linux",
     .idea = "an engine below the queue tries, parks, and goes on at an edge",
     .hurts = "Windows has neither epoll nor kqueue",
     .cure = "07/6: an engine that is a port"},
    {MINI, .number = 5, .name = "mini/step5_kqueue", .label = "mini 5, kqueue", KQUEUE,
     .idea = "the same engine over kqueue",
     .hurts = "Windows has neither epoll nor kqueue",
     .cure = "07/6: an engine that is a port"},
    {MINI, .number = 6, .name = "mini/step6_epoll", .label = "mini 6, epoll", .needs = "Linux",
     .idea = "step 5 beside the engine for Windows",
     .hurts = "it is made for one server, and knows nothing of others",
     .cure = "07: evq"},
    {MINI, .number = 6, .name = "mini/step6_kqueue", .label = "mini 6, kqueue", KQUEUE,
     .idea = "step 5 beside the engine for Windows",
     .hurts = "it is made for one server, and knows nothing of others",
     .cure = "07: evq"},
    {MINI, .number = 6, .name = "mini/step6_iocp", .label = "mini 6, IOCP", IOCP,
     .idea = "the engine is a port: the kernel does the work",
     .hurts = "it is made for one server, and knows nothing of others",
     .cure = "07: evq"},
};
/* clang-format on */
const size_t step_count = sizeof all_steps / sizeof all_steps[0];
const size_t mini_count = sizeof mini_steps / sizeof mini_steps[0];

const struct step *step_find(const char *chapter, int number)
{
    long wanted = strtol(chapter, NULL, 10);
    for (size_t i = 0; i < step_count; i++)
        if (strtol(all_steps[i].chapter, NULL, 10) == wanted && all_steps[i].number == number)
            return &all_steps[i];
    return NULL;
}

const struct broken_row *step_breaks(const struct step *step, const char *row)
{
    for (const struct broken_row *b = step->breaks; b->row != NULL; b++)
        if (strcmp(b->row, row) == 0)
            return b;
    return NULL;
}

static bool is_this_system(const char *name)
{
    struct utsname system;
    return uname(&system) >= 0 && strcmp(system.sysname, name) == 0;
}

/* ---- Windows programs ------------------------------------------------------------------------ */

enum { WHY_LEN = 512 };

/** The last line that a command prints, without its end. Its status, or -1 when it did not run. */
static int ask(const char *command, char *line, size_t len)
{
    FILE *answer = popen(command, "r");
    line[0] = '\0';
    if (answer == NULL)
        return -1;
    while (fgets(line, (int)len, answer) != NULL) {
    }
    line[strcspn(line, "\n")] = '\0';
    int status = pclose(answer);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/**
 * Where Wine has never run here, it makes a world of files first: that takes longer than anybody
 * waits for a server. It keeps none of our descriptors, so nobody waits for it at the end.
 */
static void make_ready(void)
{
    char nothing[2]; /* if it fails, the first program says why */
    (void)ask("sh " WINE " --start </dev/null >/dev/null", nothing, sizeof nothing);
}

/**
 * Windows programs want a compiler for them and something that runs them. Where Windows itself runs
 * them (from WSL), our signals do not reach them, and its sockets are not ours.
 */
static const char *why_no_windows_program(void)
{
    static char why[WHY_LEN];
    static bool asked;
    if (asked)
        return why[0] != '\0' ? why : NULL;
    asked = true;
    if (ask("sh tools/need.sh x86_64-w64-mingw32-gcc 2>&1", why, sizeof why) != 0)
        return why;
    if (ask("sh " WINE " --check 2>&1 || { sh tools/need.sh wine 2>&1; exit 1; }", why,
            sizeof why) != 0)
        return why;
    if (strcmp(why, "windows") == 0)
        (void)snprintf(why, sizeof why,
                       "the program runs on the Windows kernel, where the signals "
                       "of this suite do not reach it");
    else {
        why[0] = '\0';
        make_ready();
    }
    return why[0] != '\0' ? why : NULL;
}

/* ---- what runs here, and how ----------------------------------------------------------------- */

const char *step_why_not(const struct step *step)
{
    if (step->needs != NULL && !is_this_system(step->needs))
        return "the step is for another system only";
    return step->windows ? why_no_windows_program() : NULL;
}

bool step_runs_here(const struct step *step)
{
    return step_why_not(step) == NULL;
}

const char *step_emulation(const struct step *step)
{
    bool emulated = step->windows || (step->lacks != NULL && is_this_system(step->lacks));
    return emulated ? step->instead : NULL;
}

const char *step_banner(const struct step *step, char *buf, size_t len)
{
    const char *emulation = step_emulation(step);
    if (step->queue == NULL)
        (void)snprintf(buf, len, "%s", "");
    else if (emulation != NULL)
        (void)snprintf(buf, len, "%s: emulated %s", step->queue, emulation);
    else
        (void)snprintf(buf, len, "%s: native", step->queue);
    return buf;
}

const char *step_path(const struct step *step, const char *build, char *buf, size_t len)
{
    (void)snprintf(buf, len, "chapters/%s/%s/%s%s", step->folder, build, step->name,
                   step->windows ? ".exe" : "");
    return buf;
}

const char *const *step_command(const struct step *step, const char *build,
                                struct step_start *command)
{
    size_t n = 0;
    memset(command, 0, sizeof *command);
    if (step->windows) {
        command->argv[n++] = "sh";
        command->argv[n++] = WINE;
    }
    command->argv[n++] = step_path(step, build, command->program, sizeof command->program);
    command->words = n;
    return command->argv;
}
