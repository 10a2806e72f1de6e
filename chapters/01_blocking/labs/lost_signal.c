/*
 * Lab: a signal that arrives between the test of a flag and accept() is lost.
 *
 * Many servers are told to stop like this: the handler of SIGTERM sets a flag, the loop tests it.
 *
 *     while (!stop) {            the test
 *                                <- the window: a signal here comes too late for the test
 *         accept(listener);          and too early for accept(), which sleeps as if nothing was
 *     }
 *
 * In a real server the window is less than a microsecond wide, so the bug shows once in a
 * year, at night. Here the lab raises the signal in the window on purpose; nothing is left to
 * chance. So that nobody waits for ever, a helper thread connects a client CLIENT_AFTER_MS
 * later: the "other event" that such a server needs before it notices that it should have
 * stopped.
 *
 * Two more scenes show a signal that comes while accept() sleeps already: without SA_RESTART
 * the call ends with EINTR; with SA_RESTART the handler runs and accept() goes on sleeping
 * (man 7 signal). The helper cannot see whether the thread has fallen asleep, so it sends the
 * signal again and again: one of them must find it asleep.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "lab.h"

enum { CLIENT_AFTER_MS = 300, SIGNAL_EVERY_MS = 10, SIGNALS = 30, SIGNALS_AT_MOST = 500 };

static volatile sig_atomic_t stop; /* what the handler sets and the loop tests */

static void on_term(int signo)
{
    (void)signo;
    stop = 1;
}

static void handle_term(int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_term;
    action.sa_flags = flags;
    (void)sigemptyset(&action.sa_mask);
    (void)lab_must(sigaction(SIGTERM, &action, NULL), "sigaction");
}

/* ---- the helper thread: signals, then a client ----------------------------------------------- */

struct helper {
    pthread_t thread, server;    /* itself; the thread that is in accept()          */
    struct sockaddr_in addr;     /* where to connect                                */
    int signals;                 /* so many times SIGTERM before the client comes   */
    atomic_bool accept_returned; /* the experiment is over: no more signals         */
    int client;
};

static void *help(void *arg)
{
    struct helper *helper = arg;
    for (int i = 0; i < helper->signals; i++) {
        lab_pause_ms(SIGNAL_EVERY_MS);
        if (atomic_load(&helper->accept_returned))
            return NULL;
        (void)pthread_kill(helper->server, SIGTERM); /* the thread lives: it joins this one */
    }
    if (helper->signals == 0)
        lab_pause_ms(CLIENT_AFTER_MS);
    (void)lab_must(connect(helper->client, (struct sockaddr *)&helper->addr, sizeof helper->addr),
                   "connect");
    return NULL;
}

/* The helper blocks SIGTERM, so that it is the server's thread that takes it. */
static void start_helper(struct helper *helper)
{
    sigset_t term, before;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    helper->client = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    helper->server = pthread_self();
    lab_must_zero(pthread_sigmask(SIG_BLOCK, &term, &before), "pthread_sigmask");
    lab_must_zero(pthread_create(&helper->thread, NULL, help, helper), "pthread_create");
    lab_must_zero(pthread_sigmask(SIG_SETMASK, &before, NULL), "pthread_sigmask");
}

/* ---- the three scenes ------------------------------------------------------------------------ */

/* How the call ended: with the client's connection, or with which error. */
struct outcome {
    int err; /* 0: a connection                    */
    int64_t slept_ns;
};

/*
 * The loop of such a server, once around. With signals == 0 it raises one itself at the worst
 * moment; else the helper sends so many while accept() sleeps.
 */
static struct outcome serve_once(int signals, int flags)
{
    struct helper helper = {.signals = signals};
    struct outcome outcome = {0};
    int listener = lab_listen(1, &helper.addr), conn = -1;

    stop = 0;
    handle_term(flags);
    if (signals > 0)
        start_helper(&helper);
    if (!stop) {
        if (signals == 0) {
            (void)raise(SIGTERM); /* the handler has run when raise() returns */
            start_helper(&helper);
        }
        outcome.slept_ns = lab_now_ns();
        conn = accept(listener, NULL, NULL);
        outcome.err = conn == -1 ? errno : 0;
        outcome.slept_ns = lab_now_ns() - outcome.slept_ns;
    }
    atomic_store(&helper.accept_returned, true);
    lab_must_zero(pthread_join(helper.thread, NULL), "pthread_join");
    if (conn != -1)
        (void)close(conn);
    (void)close(helper.client);
    (void)close(listener);
    return outcome;
}

static void signal_in_the_window(void)
{
    lab_say("1. SIGTERM between the test and accept(). A client comes %d ms later.",
            CLIENT_AFTER_MS);
    struct outcome outcome = serve_once(0, 0);
    lab_figure("window_flag_is_set", (double)stop, "");
    lab_figure("window_accept_slept_ms", (double)outcome.slept_ns / 1e6, "ms");
    lab_expect(stop == 1, "the handler has set the flag");
    lab_expect(outcome.err == 0, "accept() returned the client, not EINTR");
    lab_expect(outcome.slept_ns > CLIENT_AFTER_MS / 3 * INT64_C(1000000),
               "it slept, with the flag set, until the client came");
}

static void signal_while_asleep(void)
{
    lab_say("2. SIGTERM while accept() sleeps, handler installed without SA_RESTART.");
    struct outcome plain = serve_once(SIGNALS_AT_MOST, 0);
    lab_expect(plain.err == EINTR, "accept() returned -1 with EINTR: the loop can test the flag");

    lab_say("3. The same with SA_RESTART, up to %d times; then a client comes.", SIGNALS);
    struct outcome restarted = serve_once(SIGNALS, SA_RESTART);
    lab_figure("restart_accept_slept_ms", (double)restarted.slept_ns / 1e6, "ms");
    lab_expect(stop == 1, "the handler has set the flag");
    lab_expect(restarted.err == 0, "accept() went on sleeping and returned the client");
}

int main(void)
{
    lab_question("SIGTERM arrives just after the server has tested its stop flag, just before it "
                 "calls accept(). The handler sets the flag and returns. What does accept() do?",
                 "It returns at once with EINTR: a signal came.",
                 "It sleeps until a client comes, perhaps for ever.",
                 "It returns at once, since the flag is set.", 'b',
                 "Does something else send signals to the lab, or connect to its port?");
    signal_in_the_window();
    signal_while_asleep();
    lab_say("Cures: a handler that ends the process itself (chapter 01, step 1); a pipe that the "
            "handler writes to and the loop waits for (chapter 03); ppoll(), which unblocks the "
            "signal and waits in one step (chapter 03).");
    return lab_finding("a signal between the test of the flag and accept() wakes nobody");
}
