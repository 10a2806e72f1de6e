#include "totals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Many threads count, and a signal handler reads: an atomic that needs no lock serves both. */
static atomic_ullong clients;
static atomic_ullong bytes;
static atomic_ullong refused;

void totals_add_client(void)
{
    atomic_fetch_add(&clients, 1);
}

void totals_add_bytes(size_t n)
{
    atomic_fetch_add(&bytes, n);
}

void totals_add_refused(void)
{
    atomic_fetch_add(&refused, 1);
}

/* ---- the last line, built without printf(), which is not safe in a signal handler ---- */

static char *append_text(char *at, const char *text)
{
    size_t len = strlen(text);
    return (char *)memcpy(at, text, len) + len;
}

static char *append_number(char *at, unsigned long long number)
{
    char digits[20]; /* the longest 64-bit number */
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    size_t len = sizeof digits - first;
    return (char *)memcpy(at, digits + first, len) + len;
}

static int write_all(int fd, const char *text, unsigned len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        len -= (unsigned)n;
    }
    return 0;
}

int totals_write(void)
{
    char line[128], *at = line;
    unsigned long long turned_away = atomic_load(&refused);
    at = append_text(at, "totals: clients ");
    at = append_number(at, atomic_load(&clients));
    at = append_text(at, ", bytes ");
    at = append_number(at, atomic_load(&bytes));
    if (turned_away > 0)
        at = append_number(append_text(at, ", refused "), turned_away);
    at = append_text(at, "\n");
    return write_all(STDOUT_FILENO, line, (unsigned)(at - line));
}

/* ---- the end of the process ---- */

#ifndef _WIN32 /* which has no signals: chapter 06 stops in a way of its own */
//! [stop]
static void on_stop_signal(int signo)
{
    /* Two signals may run this in two threads at once: one line is enough, one exit too. */
    static atomic_flag stopping = ATOMIC_FLAG_INIT;
    (void)signo;
    if (atomic_flag_test_and_set(&stopping))
        return;
    _exit(totals_write() == 0 ? 0 : 1);
}
//! [stop]

void totals_exit_on_signal(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal};
    sigfillset(&action.sa_mask); /* no second signal interrupts the line */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
#endif
