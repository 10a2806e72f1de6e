/*
 * Lab: does a queue hear of a signal that the program ignores?
 *
 * EVFILT_SIGNAL does not take a signal away from anybody. It stands beside signal() and
 * sigaction(), and records every attempt to deliver the signal to the process (man 2 kqueue), also
 * when it is ignored. That is the usual way to use it: SIG_IGN, so that nothing is interrupted and
 * nobody dies of it, and then the event.
 *
 * (One exception, by FreeBSD's page: SIGCHLD, if ignored, is not recorded. And macOS records what
 * is sent to the process, not to one of its threads: so the lab calls kill(), not raise().)
 *
 * `data` counts the attempts since the program last asked. An emulation may know only that there
 * were some, so the lab expects at least one.
 */
#include <signal.h>

#include "kq_lab.h"

enum { TIMES = 5, ROOM = 8, QUIET_MS = 50, PATIENCE_MS = 2000 };

static volatile sig_atomic_t handled;

static void count(int signo)
{
    (void)signo;
    handled = handled + 1;
}

static void set_action(int signo, void (*action)(int))
{
    struct sigaction how;
    memset(&how, 0, sizeof how);
    how.sa_handler = action;
    how.sa_flags = SA_RESTART;
    (void)sigemptyset(&how.sa_mask);
    (void)lab_must(sigaction(signo, &how, NULL), "sigaction");
}

static void watch_signal(int kq, int signo, kq_flags flags)
{
    kq_must(kq, kq_change((uintptr_t)signo, EVFILT_SIGNAL, flags, 0, 0));
}

/* Sends the signal so often, then takes what is there; *data is what the first event says. */
static int send_and_look(int kq, int signo, int times, int64_t *data)
{
    struct kevent events[ROOM];
    for (int i = 0; i < times; i++)
        (void)lab_must(kill(getpid(), signo), "kill");
    int n = kq_wait(kq, events, ROOM, lab_patience_ms(PATIENCE_MS));
    bool right = n > 0 && events[0].filter == EVFILT_SIGNAL && events[0].ident == (uintptr_t)signo;
    *data = right ? (int64_t)events[0].data : -1;
    return n;
}

int main(void)
{
    int64_t data;
    struct kevent event;
    lab_question("A program ignores SIGUSR1 (SIG_IGN), and has an EVFILT_SIGNAL event for it. The "
                 "signal is sent. What happens?",
                 "Nothing: what is ignored is thrown away.",
                 "The event comes, and the program goes on as if nothing had happened.",
                 "The event comes, and kevent() fails with EINTR.", 'b',
                 "Did the signal reach another thread, or was it blocked from the start?");
    int kq = kq_queue();
    set_action(SIGUSR1, SIG_IGN);
    set_action(SIGUSR2, count);
    watch_signal(kq, SIGUSR1, EV_ADD);

    lab_say("1. SIGUSR1 is ignored, and sent once.");
    int n = send_and_look(kq, SIGUSR1, 1, &data);
    lab_figure("ignored_events", n, "");
    lab_figure("ignored_times", (double)data, "in data");
    lab_expect(n == 1 && data >= 1, "an ignored signal is an event");
    bool again = kq_next(kq, &event, QUIET_MS);
    lab_word("ignored_reported_again", kq_yes(again));
    lab_expect(!again, "once told, it is told no more: the filter has EV_CLEAR by itself");

    lab_say("2. It is sent %d times before the program looks.", TIMES);
    n = send_and_look(kq, SIGUSR1, TIMES, &data);
    lab_figure("many_events", n, "");
    lab_figure("many_times", (double)data, "in data");
    lab_expect(n == 1 && data >= 1 && data <= TIMES, "many signals are one event; look at data");

    lab_say("3. SIGUSR2 has a handler, and an event too.");
    watch_signal(kq, SIGUSR2, EV_ADD);
    n = send_and_look(kq, SIGUSR2, 1, &data);
    lab_figure("handled_events", n, "");
    lab_figure("handler_calls", (double)handled, "");
    lab_expect(n == 1 && handled == 1, "both are told: the event takes nothing from the handler");

    watch_signal(kq, SIGUSR1, EV_DELETE);
    watch_signal(kq, SIGUSR2, EV_DELETE);
    (void)close(kq);
    return kq_finding(NULL, "a queue hears of each signal, also of an ignored one");
}
