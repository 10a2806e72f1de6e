/*
 * Lab: what does FD_SET() do with a descriptor that is too high?
 *
 * A set of select() is an array of FD_SETSIZE bits, one for each descriptor from 0 on. FD_SET(fd,
 * &set) turns on bit fd and does not look where the array ends: from FD_SETSIZE on the behaviour
 * is undefined (man 2 select). Undefined behaviour is nothing to run and look at, so the lab goes
 * around it:
 * 1. It looks which byte FD_SET() changes for every descriptor that is allowed. That gives the
 *    rule, and the rule tells the byte for the next one. It stands behind the set.
 * 2. It changes that byte by hand, in a struct where something else stands behind the set.
 * 3. A child process calls the FD_SET() that a C library with _FORTIFY_SOURCE has. That one looks
 *    first, and ends the program instead.
 * 4. It gives select() a longer row of bits: several sets, one behind the other. Each FD_SET()
 *    stays within its own set. The kernel takes the row.
 */
#if defined(__OPTIMIZE__) && !defined(_FORTIFY_SOURCE)
#define _FORTIFY_SOURCE 2 /* glibc checks FD_SET() only with this, and only with -O */
#endif
#define _DARWIN_UNLIMITED_SELECT /* macOS: without it select() refuses more than FD_SETSIZE */

#include "lab.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/select.h>
#include <sys/wait.h>

#if defined(__GLIBC__) && __USE_FORTIFY_LEVEL > 0
#define FD_SET_IS_CHECKED true
#else
#define FD_SET_IS_CHECKED false
#endif

enum { WORD_BITS = 64, SETS = 2, HIGH_FD = FD_SETSIZE + FD_SETSIZE / 2 };

/* ---- 1. which byte --------------------------------------------------------------------------- */

/* Where the bit of a descriptor stands, counted from the start of the set. */
struct place {
    size_t byte;
    unsigned char bit;
};

/* Calls FD_SET() and looks. Only for fd < FD_SETSIZE. */
static struct place place_seen(int fd)
{
    fd_set set;
    unsigned char bytes[sizeof set];
    struct place place = {0};
    FD_ZERO(&set);
    FD_SET(fd, &set);
    memcpy(bytes, &set, sizeof bytes);
    while (bytes[place.byte] == 0)
        place.byte++;
    place.bit = bytes[place.byte];
    return place;
}

/* The rule: every 64 descriptors the pattern repeats, 8 bytes further on. True for any fd. */
static struct place place_by_rule(int fd)
{
    struct place place = place_seen(fd % WORD_BITS);
    place.byte += (size_t)(fd / WORD_BITS) * (WORD_BITS / 8);
    return place;
}

static bool rule_is_right(void)
{
    for (int fd = 0; fd < FD_SETSIZE; fd++) {
        struct place seen = place_seen(fd), ruled = place_by_rule(fd);
        if (seen.byte != ruled.byte || seen.bit != ruled.bit)
            return false;
    }
    return true;
}

static void find_the_byte(void)
{
    lab_say("1. The byte that FD_SET() changes, counted from the start of the set.");
    lab_figure("fd_setsize", FD_SETSIZE, "bits");
    lab_figure("set_is_bytes", sizeof(fd_set), "bytes");
    lab_figure("fd_setsize_minus_1_is_byte", (double)place_by_rule(FD_SETSIZE - 1).byte, "");
    lab_figure("fd_setsize_is_byte", (double)place_by_rule(FD_SETSIZE).byte, "");
    lab_expect(rule_is_right(), "the rule is right for all descriptors below FD_SETSIZE");
    lab_expect(place_by_rule(FD_SETSIZE - 1).byte < sizeof(fd_set),
               "the bit of FD_SETSIZE - 1 is in the set");
    lab_expect(place_by_rule(FD_SETSIZE).byte >= sizeof(fd_set),
               "the bit of FD_SETSIZE is behind it: the test is fd >= FD_SETSIZE, not >");
}

/* ---- 2. what stands there -------------------------------------------------------------------- */

struct server {
    fd_set watched;
    unsigned char is_admin[WORD_BITS / 8]; /* one for each user */
};

static void change_the_neighbour(void)
{
    union {
        struct server server;
        unsigned char bytes[sizeof(struct server)];
    } memory;
    struct place place = place_by_rule(FD_SETSIZE);
    int admins = 0;

    lab_say("2. That byte changed by hand, in a struct with something behind the set.");
    memset(&memory, 0, sizeof memory);
    memory.bytes[place.byte] |= place.bit; /* all that FD_SET() does */
    for (size_t i = 0; i < sizeof memory.server.is_admin; i++)
        admins += memory.server.is_admin[i];
    lab_figure("admins_after", admins, "");
    lab_expect(offsetof(struct server, is_admin) == sizeof(fd_set) && admins == 1,
               "watching one descriptor too many has made a user an admin");
}

/* ---- 3. the checked FD_SET() ----------------------------------------------------------------- */

/* Watches a descriptor that is too high, but only where FD_SET() checks that. */
static _Noreturn void watch_too_high(void)
{
    struct rlimit no_core = {0, 0};
    volatile int fd = FD_SETSIZE; /* volatile: else the compiler sees it and warns */
    fd_set set;
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)close(STDERR_FILENO); /* the library has something to say; we look at how it ends */
    FD_ZERO(&set);
    if (FD_SET_IS_CHECKED)
        FD_SET(fd, &set); /* aborts before it writes */
    _exit(EXIT_SUCCESS);
}

static void call_the_checked_one(void)
{
    int status = 0;
    if (!FD_SET_IS_CHECKED) {
        lab_say("3. Left out: the FD_SET() of this build looks at nothing, or is not known to.");
        return;
    }
    lab_say("3. A child process calls the FD_SET() of -D_FORTIFY_SOURCE=2.");
    pid_t child = lab_must(fork(), "fork"); /* stdout is flushed: lab_say() does that */
    if (child == 0)
        watch_too_high();
    (void)lab_must(waitpid(child, &status, 0), "waitpid");
    bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    lab_word("child_ended_by", aborted ? "SIGABRT" : "something else");
    lab_expect(aborted, "it ended the program before it wrote");
}

/* ---- 4. the kernel --------------------------------------------------------------------------- */

/* An array of sets is one long row of bits. Returns what select() returns, without waiting. */
static int select_high(int fd)
{
    static fd_set row[SETS];
    struct timeval at_once = {0, 0};
    memset(row, 0, sizeof row);
    FD_SET(fd % FD_SETSIZE, &row[fd / FD_SETSIZE]);
    return select(fd + 1, row, NULL, NULL, &at_once);
}

static void ask_the_kernel(void)
{
    int ends[2], high = -1;
    lab_say("4. select() with a row of %d sets, and a descriptor beyond the first.", SETS);
    (void)lab_must(pipe(ends), "pipe");
    if (lab_raise_fd_limit(HIGH_FD + 1) > HIGH_FD)
        high = fcntl(ends[0], F_DUPFD, HIGH_FD);
    if (high == -1) {
        lab_say("This process may not have such a descriptor (ulimit -n).");
    } else {
        int before = select_high(high);
        (void)lab_must((int)write(ends[1], "x", 1), "write");
        int after = select_high(high);
        lab_figure("high_fd", high, "");
        lab_figure("high_fd_ready_without_data", before, "");
        lab_figure("high_fd_ready_with_data", after, "");
        lab_expect(before == 0 && after == 1, "the kernel watches it: the limit is the type's");
        (void)close(high);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    lab_question("An fd_set has room for the descriptors below FD_SETSIZE. A server with many "
                 "clients calls FD_SET() for descriptor FD_SETSIZE. What happens?",
                 "FD_SET() does nothing, or select() fails with EINVAL.",
                 "A bit is turned on in whatever stands behind the set.",
                 "The set grows: it is only the header's default size.", 'b',
                 "Is fd_set not a plain row of bits on this system?");
    find_the_byte();
    change_the_neighbour();
    call_the_checked_one();
    ask_the_kernel();
    return lab_finding("FD_SET() past the end changes what stands behind the set");
}
