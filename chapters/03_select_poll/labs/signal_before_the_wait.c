/*
 * Lab: a signal that arrives just before poll() is lost, unless something remembers it.
 *
 *     while (!stop) {            the test
 *                                <- a signal here finds the test done and nobody asleep
 *         poll(...);
 *     }
 *
 * Lab 01/lost_signal showed that with accept(), which can wait for one thing only. poll() waits
 * for many, and that opens two ways out:
 *
 * - The self-pipe: the handler writes a byte, and the loop waits for the other end of the pipe
 *   beside its clients. A byte in a pipe is remembered until somebody reads it.
 * - A blocked signal: the kernel remembers it as pending. pselect() and ppoll() unblock it, sleep
 *   and block it again in one step, so no moment is left in between. pselect() is old and in POSIX;
 *   ppoll() came from Linux and is on the newer BSDs, but not on macOS.
 *
 * Nothing is left to chance: the lab raises the signal itself, at the worst moment. All waits
 * have a time-out of GIVE_UP_MS, the "other event" that wakes the loop at last.
 */
#include "lab.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/select.h>

#if defined(__linux__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
#define HAS_PPOLL
#endif

enum { GIVE_UP_MS = 300, READ_END = 0, WRITE_END = 1 };

static const struct timespec give_up = {0, GIVE_UP_MS * 1000000L}, at_once = {0, 0};

static volatile sig_atomic_t stop; /* what the handler sets and the loop tests */
static int self_pipe[2], quiet[2]; /* quiet: a client that says nothing        */

static void set_flag(int signo)
{
    (void)signo;
    stop = 1;
}

static void set_flag_and_write(int signo)
{
    int err = errno; /* the interrupted code may be about to look at it */
    set_flag(signo);
    ssize_t n = write(self_pipe[WRITE_END], "", 1); /* EAGAIN: full, so a byte is there anyway */
    (void)n;
    errno = err;
}

static void handle_term(void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    (void)sigemptyset(&action.sa_mask);
    (void)lab_must(sigaction(SIGTERM, &action, NULL), "sigaction");
    stop = 0;
}

/* Blocks SIGTERM; *before is the mask without it. */
static void block_term(sigset_t *before)
{
    sigset_t term;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)lab_must(sigprocmask(SIG_BLOCK, &term, before), "sigprocmask");
}

/* ---- how a wait ended ------------------------------------------------------------------------ */

struct outcome {
    int result, err;
    double slept_ms;
};

/* Called with the result at once, so errno is still the call's own. */
static struct outcome ended(int64_t start_ns, int result)
{
    struct outcome outcome = {.result = result, .err = result == -1 ? errno : 0};
    outcome.slept_ms = (double)(lab_now_ns() - start_ns) / 1e6;
    return outcome;
}

static bool at_once_with(struct outcome outcome, int result, int err)
{
    return outcome.result == result && outcome.err == err &&
           outcome.slept_ms < (double)GIVE_UP_MS / 2;
}

/* ---- the scenes ------------------------------------------------------------------------------ */

static void with_a_flag(void)
{
    struct pollfd fds[] = {{.fd = quiet[READ_END], .events = POLLIN}};
    lab_say("1. A flag. SIGTERM between the test and poll(), which gives up after %d ms.",
            GIVE_UP_MS);
    handle_term(set_flag);
    if (!stop) {
        (void)raise(SIGTERM); /* the handler has run when raise() returns */
        int64_t start_ns = lab_now_ns();
        struct outcome outcome = ended(start_ns, poll(fds, 1, GIVE_UP_MS));
        lab_figure("flag_poll_slept_ms", outcome.slept_ms, "ms");
        lab_expect(stop == 1 && outcome.result == 0 && outcome.slept_ms >= (double)GIVE_UP_MS / 2,
                   "the flag was set, and poll() slept to its time-out");
    }
}

static void with_a_self_pipe(void)
{
    struct pollfd fds[] = {{.fd = self_pipe[READ_END], .events = POLLIN},
                           {.fd = quiet[READ_END], .events = POLLIN}};
    lab_say("2. The self-pipe. The same moment; the handler writes a byte.");
    handle_term(set_flag_and_write);
    (void)raise(SIGTERM);
    int64_t start_ns = lab_now_ns();
    struct outcome outcome = ended(start_ns, poll(fds, 2, GIVE_UP_MS));
    lab_figure("self_pipe_poll_slept_ms", outcome.slept_ms, "ms");
    lab_expect(at_once_with(outcome, 1, 0) && (fds[0].revents & POLLIN) != 0,
               "poll() returned at once: the pipe is readable");
}

static struct outcome pselect_once(const struct timespec *timeout, const sigset_t *mask, int fd)
{
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable); /* a small number: this process has few descriptors */
    int64_t start_ns = lab_now_ns();
    return ended(start_ns, pselect(fd + 1, &readable, NULL, NULL, timeout, mask));
}

static void with_pselect(const sigset_t *unblocked)
{
    lab_say("3. SIGTERM is blocked, except inside pselect(). The same moment.");
    handle_term(set_flag);
    (void)raise(SIGTERM);
    lab_figure("pselect_flag_before", (double)stop, "");
    struct outcome outcome = pselect_once(&give_up, unblocked, quiet[READ_END]);
    lab_figure("pselect_slept_ms", outcome.slept_ms, "ms");
    lab_figure("pselect_flag_after", (double)stop, "");
    lab_expect(at_once_with(outcome, -1, EINTR) && stop == 1,
               "the signal had to wait for pselect(), which returned at once with EINTR");
}

static void with_ppoll(const sigset_t *unblocked)
{
#ifdef HAS_PPOLL
    struct pollfd fds[] = {{.fd = quiet[READ_END], .events = POLLIN}};
    lab_say("4. The same with ppoll().");
    handle_term(set_flag);
    (void)raise(SIGTERM);
    int64_t start_ns = lab_now_ns();
    struct outcome outcome = ended(start_ns, ppoll(fds, 1, &give_up, unblocked));
    lab_figure("ppoll_slept_ms", outcome.slept_ms, "ms");
    lab_expect(at_once_with(outcome, -1, EINTR) && stop == 1,
               "ppoll() returned at once with EINTR");
#else
    (void)unblocked;
    lab_say("4. Left out: this system has no ppoll(), or has it only in newer versions.");
#endif
}

/* The catch: what if a client has something, too? Not judged, because systems differ. */
static void with_a_busy_client(const sigset_t *unblocked)
{
    lab_say("5. pselect() once more. SIGTERM is pending, and a client has sent a byte.");
    handle_term(set_flag);
    (void)raise(SIGTERM);
    (void)lab_must((int)write(quiet[WRITE_END], "x", 1), "write");
    struct outcome outcome = pselect_once(&at_once, unblocked, quiet[READ_END]);
    lab_figure("busy_pselect_returned", outcome.result, "");
    lab_figure("busy_flag_after", (double)stop, "");
}

int main(void)
{
    sigset_t unblocked;
    lab_question("The handler of SIGTERM writes a byte into a pipe. The signal arrives just before "
                 "the loop calls poll(), which waits for the pipe, too. What does poll() do?",
                 "It sleeps: the signal came before it, and is over.",
                 "It returns at once with EINTR.", "It returns at once: the pipe is readable.", 'c',
                 "Does something else send signals to the lab? Is the machine very busy?");
    (void)lab_must(pipe(quiet), "pipe");
    (void)lab_must(pipe(self_pipe), "pipe");
    (void)lab_must(fcntl(self_pipe[WRITE_END], F_SETFL, O_NONBLOCK), "fcntl");
    with_a_flag();
    with_a_self_pipe();
    block_term(&unblocked);
    with_pselect(&unblocked);
    with_ppoll(&unblocked);
    with_a_busy_client(&unblocked);
    return lab_finding("poll() does not see a flag; a pipe and a pending signal wake it");
}
