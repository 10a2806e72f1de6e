/*
 * stop: see stop.h.
 *
 * A handler that sets a flag is enough: no wait of this program is longer than a tenth of a second,
 * or else it is a call of the harness with a deadline of its own. So a signal that comes between
 * the test of the flag and the wait is seen a moment later.
 */
#include "stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t signal_seen;

static void on_signal(int signo)
{
    signal_seen = signo;
}

static void set_handler(int signo, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    (void)sigaction(signo, &action, NULL); /* can fail for a wrong number only */
}

void stop_catch(void)
{
    set_handler(SIGINT, on_signal);
    set_handler(SIGTERM, on_signal);
    set_handler(SIGHUP, on_signal);
    set_handler(SIGPIPE, SIG_IGN); /* `make demo | head`: the next write says EPIPE */
    /* Ctrl-Z would stop the display only. The servers have process groups of their own: they would
     * go on, and two of them burn a processor. */
    set_handler(SIGTSTP, SIG_IGN);
}

void stop_ignore(void)
{
    set_handler(SIGINT, SIG_IGN);
    set_handler(SIGTERM, SIG_IGN);
    set_handler(SIGHUP, SIG_IGN);
}

int stop_signal(void)
{
    return (int)signal_seen; /* the type is long on FreeBSD */
}
