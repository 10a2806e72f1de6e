/*
 * clock: see clock.h.
 */
#include "clock.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

static const int64_t NS_PER_S = 1000000000;
static const int64_t NS_PER_MS = 1000000;

int64_t clock_now_ns(void)
{
    struct timespec now;
    /* Cannot fail: the clock exists everywhere and the address is good. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

double clock_slowdown(void)
{
    /* Read each time: it is cheap beside any wait, and a test may change the variable. */
    const char *text = getenv("TEST_SLOWDOWN");
    if (text == NULL) {
        return 1.0;
    }
    char *end;
    double factor = strtod(text, &end);
    /* The upper bound keeps "inf" and typing errors from making a deadline overflow. */
    bool usable =
        end != text && *end == '\0' && factor > 0.0 && factor <= (double)CLOCK_SLOWDOWN_MAX;
    return usable ? factor : 1.0;
}

int64_t deadline_in_ms(int ms)
{
    double scaled_ns = (double)ms * (double)NS_PER_MS * clock_slowdown();
    return clock_now_ns() + (int64_t)scaled_ns;
}

int deadline_left_ms(int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - clock_now_ns();
    if (left_ns <= 0) {
        return 0;
    }
    /* Rounded up: a wait of 0.4 ms that becomes poll(0) would spin. */
    int64_t left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

void clock_pause_ms(int ms)
{
    int64_t until = clock_now_ns() + ms * NS_PER_MS;
    for (int64_t left = until - clock_now_ns(); left > 0; left = until - clock_now_ns()) {
        struct timespec rest = {.tv_sec = (time_t)(left / NS_PER_S),
                                .tv_nsec = (long)(left % NS_PER_S)};
        /* EINTR is the only error that can happen here; then the loop sleeps what is left. */
        (void)nanosleep(&rest, NULL);
    }
}
