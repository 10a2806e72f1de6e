/*
 * lab: what every experiment has in common.
 *
 * A lab is one small program that asks one question. It lives like this:
 *
 *     lab_question(...)    asks for a prediction, before anything is measured
 *     lab_say(...)         says what is done now
 *     lab_figure(...)      prints what was measured
 *     lab_expect(...)      compares: holds, or does not hold
 *     return lab_finding(...)   the last line, and the exit status
 *
 * A prediction is asked for at a terminal. GUESS=b in the environment answers beforehand; without
 * a terminal and without GUESS the lab goes on and asks nobody. The exit status is 0 when the claim
 * reproduced, 1 when it did not, 2 for a bad GUESS, and 77 when this machine cannot run the lab.
 *
 * Times and memory differ from machine to machine, so a lab never expects an absolute figure. It
 * expects a relation between two figures, with a margin. All words are the same in every run;
 * only the numbers change, so that a recorded run can be compared with a new one.
 *
 * PLAIN=1 leaves out what a screen reader would spell dot by dot. NO_COLOR is respected. Lines have
 * 80 columns at most. The header needs no other file; the part for sockets is for POSIX systems.
 * Born in chapter 01; later chapters carry this file unchanged.
 */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
#define LAB_NORETURN [[noreturn]]
#else
#define LAB_NORETURN _Noreturn
#endif

/** The exit statuses of a lab. */
enum lab_status { LAB_REPRODUCED = 0, LAB_NOT_REPRODUCED = 1, LAB_BAD_GUESS = 2, LAB_SKIPPED = 77 };

enum { LAB_COLUMNS = 80, LAB_NAME_COLUMNS = 34, LAB_LINE = 1024, LAB_ASK_TIMES = 3 };

/** What the lab remembers between its first line and its last. */
static struct {
    char guess;          /* 'a', 'b', 'c'; 0 while nobody has guessed   */
    char right;          /* the right one of the three                  */
    int missed;          /* expectations that did not hold              */
    int unjudged;        /* expectations that a sanitizer distorts      */
    const char *check;   /* what to look at when the claim fails        */
    char line[LAB_LINE]; /* the line that is being made                 */
} lab;

/* ---- words on the screen --------------------------------------------------------------------- */

static inline bool lab__plain(void)
{
    const char *plain = getenv("PLAIN");
    return plain != NULL && strcmp(plain, "1") == 0;
}

/* Bold type is decoration only: no meaning is lost without it. */
static inline void lab__bold(bool on)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool wanted = !lab__plain() && (no_color == NULL || *no_color == '\0');
    bool able = isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    if (wanted && able)
        (void)fputs(on ? "\033[1m" : "\033[0m", stdout);
}

/* Prints first and text, and breaks the line between words; later lines begin below the text. */
static inline void lab__wrap(const char *first, const char *text)
{
    size_t indent = strlen(first), column = indent;
    (void)fputs(first, stdout);
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + word > LAB_COLUMNS) {
            (void)printf("\n%*s", (int)indent, "");
            column = indent;
        }
        (void)printf("%s%.*s", column > indent ? " " : "", (int)word, text);
        column += word + (column > indent ? 1 : 0);
        text += word + strspn(text + word, " ");
    }
    (void)putchar('\n');
    (void)fflush(stdout); /* a killed lab has then shown all; fork() copies nothing */
}

/**
 * Says one thing, in words, as printf() would. It is broken at 80 columns by itself.
 * A macro, so that the compiler compares the format with its arguments.
 */
#define lab_say(...) \
    ((void)snprintf(lab.line, sizeof lab.line, __VA_ARGS__), lab__wrap("  ", lab.line))

/* The left part of a figure's line: `  name ............ `, or `  name: `. */
static inline void lab__name(const char *name)
{
    static const char dots[] = "..................................";
    int dotted = LAB_NAME_COLUMNS - (int)strlen(name);
    if (lab__plain())
        (void)printf("  %s: ", name);
    else
        (void)printf("  %s %.*s ", name, dotted < 3 ? 3 : dotted, dots);
}

/**
 * Prints one figure: `  name ............ 9.8 KiB`.
 *
 * @param name  lower case with underscores, the unit last; tests find the figure by it
 * @param unit  for people, the same in every run; "" where the name says it all
 */
static inline void lab_figure(const char *name, double value, const char *unit)
{
    double size = value < 0 ? -value : value;
    bool whole = size >= 100 || (double)(long long)value == value;
    int decimals = whole ? 0 : size >= 10 ? 1 : 2;
    lab__name(name);
    (void)printf("%.*f%s%s\n", decimals, value, *unit != '\0' ? " " : "", unit);
    (void)fflush(stdout);
}

/** Prints a figure that is a word, for instance the state of a thread. */
static inline void lab_word(const char *name, const char *word)
{
    lab__name(name);
    (void)puts(word);
    (void)fflush(stdout);
}

/* ---- the prediction -------------------------------------------------------------------------- */

static inline bool lab__is_choice(const char *text)
{
    size_t len = strcspn(text, "\r\n");
    return len == 1 && strchr("abcABC", text[0]) != NULL;
}

static inline char lab__ask(void)
{
    char answer[LAB_COLUMNS];
    for (int i = 0; i < LAB_ASK_TIMES; i++) {
        (void)printf("Your guess (a, b or c; Enter to go on without): ");
        (void)fflush(stdout);
        if (fgets(answer, sizeof answer, stdin) == NULL)
            (void)putchar('\n'); /* end of input: nobody there after all */
        else if (lab__is_choice(answer))
            return (char)(answer[0] | 0x20); /* lower case, in ASCII */
        else if (answer[strspn(answer, " \r\n")] != '\0')
            continue;
        break;
    }
    return 0;
}

/* The guess that GUESS gives; 0 where it is not set. */
static inline char lab__given(void)
{
    const char *guess = getenv("GUESS");
    if (guess == NULL || *guess == '\0')
        return 0;
    if (!lab__is_choice(guess)) {
        (void)fprintf(stderr, "lab: GUESS must be a, b or c, not '%.40s'\n", guess);
        exit(LAB_BAD_GUESS);
    }
    return (char)(guess[0] | 0x20);
}

/**
 * The first call of every lab: shows the question and three answers, takes a prediction.
 *
 * @param right  'a', 'b' or 'c'; told at the end, if the claim reproduces
 * @param check  what to look at if it does not
 */
static inline void lab_question(const char *question, const char *a, const char *b, const char *c,
                                char right, const char *check)
{
    lab.right = right;
    lab.check = check;
    lab.guess = lab__given();
    lab__bold(true);
    lab__wrap("Question: ", question);
    lab__bold(false);
    lab__wrap("  a) ", a);
    lab__wrap("  b) ", b);
    lab__wrap("  c) ", c);
    if (lab.guess != 0)
        (void)printf("Your guess: %c\n", lab.guess);
    else if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        lab.guess = lab__ask();
    (void)putchar('\n');
}

/* ---- what is expected, and how it ends ------------------------------------------------------- */

/** True when AddressSanitizer or ThreadSanitizer is built in: they change times and memory. */
static inline bool lab_is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

/** Compares: `words` says the relation, in the same words whether it holds or not. */
static inline bool lab_expect(bool holds, const char *words)
{
    lab__wrap(holds ? "  holds: " : "  DOES NOT HOLD: ", words);
    lab.missed += holds ? 0 : 1;
    return holds;
}

/**
 * The same for a relation of times or memory, which a sanitizer distorts: then it is not
 * judged, and the lab ends as skipped, for it has found nothing.
 */
static inline bool lab_expect_measured(bool holds, const char *words)
{
    if (!lab_is_sanitized())
        return lab_expect(holds, words);
    lab__wrap("  not judged: ", words);
    lab.unjudged++;
    return true;
}

/** Ends a lab that cannot run here, with the reason. */
LAB_NORETURN static inline void lab_skip(const char *why)
{
    (void)printf("skipped: %s\n", why);
    exit(LAB_SKIPPED);
}

/** Ends a lab whose claim did not show: `return lab_not_reproduced("what to check");` in main(). */
static inline int lab_not_reproduced(const char *check)
{
    (void)putchar('\n');
    lab__wrap("What to check: ", check);
    (void)puts("not reproduced: see the lines above");
    return LAB_NOT_REPRODUCED;
}

static inline int lab__end(const char *kind)
{
    if (lab.missed > 0)
        return lab_not_reproduced(lab.check);
    if (lab.unjudged > 0)
        lab_skip("a sanitizer is built in, which distorts times and memory");
    if (lab.guess == 0)
        (void)printf("\nAnswer: %c.\n", lab.right);
    else if (lab.guess == lab.right)
        (void)printf("\nAnswer: %c. Your guess was right.\n", lab.right);
    else
        (void)printf("\nAnswer: %c. Your guess was %c.\n", lab.right, lab.guess);
    lab__bold(true);
    (void)printf("%s: %s", kind, lab.line);
    lab__bold(false);
    (void)putchar('\n');
    return LAB_REPRODUCED;
}

/**
 * Ends a lab: `return lab_finding("...");` in main(). The finding is one sentence of one line, as
 * in printf(). Where an expectation was missed it says so instead, and what to check.
 */
#define lab_finding(...) \
    ((void)snprintf(lab.line, sizeof lab.line, __VA_ARGS__), lab__end("finding"))

/**
 * The same for a lab that ran on an emulation. The status is 0 here too; the last line, which
 * begins with "finding (emulated)", tells whoever counts that nothing was reproduced on the
 * real thing.
 *
 * @param real  what a real kernel showed, with system and version; NULL: nobody has seen it yet
 */
#define lab_finding_emulated(real, ...)                                              \
    (lab__real_kernel(real), (void)snprintf(lab.line, sizeof lab.line, __VA_ARGS__), \
     lab__end("finding (emulated)"))

static inline void lab__real_kernel(const char *real)
{
    lab__wrap("On a real kernel: ", real != NULL ? real : "not yet seen on a real kernel");
}

/** Passes on the result of a call that returns -1 for an error; an error ends the lab in words. */
static inline int lab_must(int result, const char *call)
{
    if (result < 0) {
        (void)printf("not reproduced: %s: %s\n", call, strerror(errno));
        exit(LAB_NOT_REPRODUCED);
    }
    return result;
}

/** The same for the pthread_ family, which returns the error itself. */
static inline void lab_must_zero(int err, const char *call)
{
    errno = err;
    (void)lab_must(err == 0 ? 0 : -1, call);
}

/* ---- time ------------------------------------------------------------------------------------ */

static inline int64_t lab__clock(clockid_t clock)
{
    struct timespec t;
    (void)lab_must(clock_gettime(clock, &t), "clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/** Monotonic time in nanoseconds. */
static inline int64_t lab_now_ns(void)
{
    return lab__clock(CLOCK_MONOTONIC);
}

/** The processor time that this process has used, all its threads together, in nanoseconds. */
static inline int64_t lab_cpu_ns(void)
{
    return lab__clock(CLOCK_PROCESS_CPUTIME_ID);
}

/** Lets `ms` milliseconds pass, whatever signals come. */
static inline void lab_pause_ms(int ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        continue;
}

/** How long to wait for something that should come: `ms`, times TEST_SLOWDOWN if that is set. */
static inline int lab_patience_ms(int ms)
{
    const char *slowdown = getenv("TEST_SLOWDOWN");
    double factor = slowdown != NULL ? strtod(slowdown, NULL) : 1;
    return factor > 1 && factor < 1000 ? (int)(ms * factor) : ms;
}

static inline int lab__compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/** The middle one of n measurements (it sorts them): a few disturbed ones do not move it. */
static inline double lab_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, lab__compare);
    return values[n / 2];
}

/** The least of n measurements: the one that other programs have disturbed least. */
static inline double lab_least(const double *values, size_t n)
{
    double least = values[0];
    for (size_t i = 1; i < n; i++)
        least = values[i] < least ? values[i] : least;
    return least;
}

/* ---- sockets on this machine (POSIX) --------------------------------------------------------- */

#ifndef _WIN32
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

/** A listening TCP socket on a free port of 127.0.0.1; *addr tells which. The caller closes it. */
static inline int lab_listen(int backlog, struct sockaddr_in *addr)
{
    socklen_t len = sizeof *addr;
    int fd = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    memset(addr, 0, sizeof *addr);
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)lab_must(bind(fd, (struct sockaddr *)addr, len), "bind");
    (void)lab_must(getsockname(fd, (struct sockaddr *)addr, &len), "getsockname");
    (void)lab_must(listen(fd, backlog), "listen");
    return fd;
}

/** Two ends of one TCP connection, both blocking. The caller closes them. */
static inline void lab_tcp_pair(int ends[2])
{
    struct sockaddr_in addr;
    int listener = lab_listen(1, &addr);
    ends[0] = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    (void)lab_must(connect(ends[0], (struct sockaddr *)&addr, sizeof addr), "connect");
    ends[1] = lab_must(accept(listener, NULL, NULL), "accept");
    (void)close(listener);
}

/** Raises the limit of descriptors towards `wanted`; returns how many this process may now have. */
static inline long lab_raise_fd_limit(long wanted)
{
    struct rlimit limit;
    (void)lab_must(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= (rlim_t)wanted)
        return wanted;
    rlim_t before = limit.rlim_cur;
    bool enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= (rlim_t)wanted;
    limit.rlim_cur = enough ? (rlim_t)wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? (long)limit.rlim_cur : (long)before;
}
#endif

#endif
