/*
 * Lab: a non-blocking connect(). When is it connected?
 *
 * A non-blocking connect() starts the handshake and returns -1 with EINPROGRESS. When the handshake
 * is over the socket becomes *writable*, and that is all the socket shows: it becomes writable when
 * the connection stands, and also when it has failed. getsockopt(SO_ERROR) tells which: 0 or the
 * error, and it clears the error, so it is asked once (man 2 connect, EINPROGRESS; man 7 socket).
 *
 *                                       writable?     SO_ERROR
 *     1. somebody listens               yes           0
 *     2. nobody listens                 yes           ECONNREFUSED, then 0
 *     3. the listener's queue is full   no            0
 *
 * So SO_ERROR alone says nothing either: in the third case it is 0, and nothing is connected.
 *
 * The third case is made on this machine: a listener with the shortest queue that never
 * accepts. When its queue is full Linux drops the request, the client repeats it after 1, 3, 7
 * ... seconds, and from outside it looks like a far machine that does not answer. The program
 * decides how long it waits; here it is PATIENCE_MS. A system may also refuse when the queue
 * is full; the lab then says so.
 *
 * poll() waits until a descriptor is ready; chapter 03 is about it.
 */
#include <fcntl.h>
#include <poll.h>

#include "lab.h"

enum { PATIENCE_MS = 1000, FILL_MS = 200, FILL_MOST = 64 };

/* ---- one attempt ----------------------------------------------------------------------------- */

/* What the program sees of one connect(). The caller closes fd. */
struct attempt {
    int fd;
    int at_once;    /* errno of connect() itself: EINPROGRESS; 0 if it succeeded at once  */
    bool writable;  /* within the time that it was given                                  */
    int so_error;   /* SO_ERROR after that                                                */
    int so_error_2; /* SO_ERROR, asked once more                                          */
    int64_t took_ns;
};

static int ask_so_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof err;
    (void)lab_must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), "getsockopt");
    return err;
}

static bool wait_writable(int fd, int timeout_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int ready;
    while ((ready = poll(&one, 1, timeout_ms)) == -1 && errno == EINTR)
        continue; /* it would wait the full time again; no signal is expected in this lab */
    return lab_must(ready, "poll") == 1; /* POLLERR and POLLHUP count too: it is decided */
}

static struct attempt try_connect(const struct sockaddr_in *addr, int timeout_ms)
{
    struct attempt attempt = {.fd = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket")};
    (void)lab_must(fcntl(attempt.fd, F_SETFL, O_NONBLOCK), "fcntl");
    int64_t start_ns = lab_now_ns();
    int result = connect(attempt.fd, (const struct sockaddr *)addr, sizeof *addr);
    attempt.at_once = result == -1 ? errno : 0;
    if (attempt.at_once != 0 && attempt.at_once != EINPROGRESS) {
        attempt.so_error = attempt.at_once; /* some systems refuse at once on loopback */
        attempt.writable = true;
        return attempt;
    }
    attempt.writable = wait_writable(attempt.fd, timeout_ms);
    attempt.took_ns = lab_now_ns() - start_ns;
    attempt.so_error = ask_so_error(attempt.fd);
    attempt.so_error_2 = ask_so_error(attempt.fd);
    return attempt;
}

static const char *name_of(int err)
{
    if (err == 0)
        return "0";
    if (err == EINPROGRESS)
        return "EINPROGRESS";
    return err == ECONNREFUSED ? "ECONNREFUSED" : strerror(err);
}

static void show(const char *scene, const struct attempt *attempt)
{
    const char *const labels[] = {"connect", "writable", "so_error", "so_error_again"};
    const char *const values[] = {name_of(attempt->at_once), attempt->writable ? "yes" : "no",
                                  name_of(attempt->so_error), name_of(attempt->so_error_2)};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        char name[LAB_COLUMNS];
        (void)snprintf(name, sizeof name, "%s_%s", scene, labels[i]);
        lab_word(name, values[i]);
    }
}

/* ---- the three scenes ------------------------------------------------------------------------ */

static void somebody_listens(void)
{
    struct sockaddr_in addr;
    int listener = lab_listen(1, &addr);
    lab_say("1. Somebody listens.");
    struct attempt attempt = try_connect(&addr, lab_patience_ms(PATIENCE_MS));
    show("works", &attempt);
    lab_expect(attempt.writable && attempt.so_error == 0, "writable, and SO_ERROR is 0: connected");
    (void)close(attempt.fd);
    (void)close(listener);
}

/* A port that is bound but not listened on refuses, and nobody else can take it meanwhile. */
static void nobody_listens(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int silent = lab_must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)lab_must(bind(silent, (struct sockaddr *)&addr, len), "bind");
    (void)lab_must(getsockname(silent, (struct sockaddr *)&addr, &len), "getsockname");

    lab_say("2. Nobody listens.");
    struct attempt attempt = try_connect(&addr, lab_patience_ms(PATIENCE_MS));
    show("refused", &attempt);
    lab_expect(attempt.writable, "writable, although nothing is connected");
    lab_expect(attempt.so_error == ECONNREFUSED, "SO_ERROR tells that it was refused");
    lab_expect(attempt.so_error_2 == 0, "asking has cleared it: the second answer is 0");
    (void)close(attempt.fd);
    (void)close(silent);
}

/* Connects until one connection is not made any more; returns how many there are. */
static int fill_queue(const struct sockaddr_in *addr, int fds[FILL_MOST])
{
    int count = 0;
    while (count < FILL_MOST) {
        struct attempt attempt = try_connect(addr, lab_patience_ms(FILL_MS));
        fds[count++] = attempt.fd;
        if (!attempt.writable || attempt.so_error != 0)
            break;
    }
    return count;
}

static void queue_is_full(void)
{
    struct sockaddr_in addr;
    int fds[FILL_MOST], listener = lab_listen(1, &addr); /* not 0: on macOS that means the most */
    lab_say("3. Somebody listens, but never accepts, and the queue is full.");
    int count = fill_queue(&addr, fds);
    struct attempt attempt = try_connect(&addr, PATIENCE_MS);
    show("full", &attempt);
    lab_figure("full_waited_ms", (double)attempt.took_ns / 1e6, "ms");
    if (attempt.so_error != 0) {
        lab_say("This system refuses when the queue is full; on Linux the client would wait.");
    } else {
        lab_expect(!attempt.writable, "not writable: the handshake is still going on");
        lab_expect(attempt.so_error == 0, "SO_ERROR is 0, although nothing is connected");
    }
    (void)close(attempt.fd);
    while (count > 0)
        (void)close(fds[--count]);
    (void)close(listener);
}

int main(void)
{
    lab_question("A non-blocking connect() has returned EINPROGRESS, then the socket has become "
                 "writable. Is it connected?",
                 "Yes: one can only write to a connection that stands.",
                 "No: a read must succeed first.",
                 "Perhaps: it may also have failed. SO_ERROR tells.", 'c',
                 "Is there a firewall on the loopback interface, which drops or refuses?");
    somebody_listens();
    nobody_listens();
    queue_is_full();
    return lab_finding("writable is not connected: SO_ERROR tells, once, if it failed");
}
