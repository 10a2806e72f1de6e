/*
 * Lab: a closed descriptor that still reports.
 *
 * A descriptor is a number; behind it stands what the kernel calls an open file description.
 * dup() and fork() make a second number for the same description. epoll remembers the pair of
 * both (man 7 epoll, Q1), but it forgets the pair only when the *description* goes, that is with
 * the last number that leads to it (Q6).
 *
 *     epoll --- (5, description) ---> description <--- 5   closed
 *                                                 <--- 6   the copy: keeps it alive
 *
 * So close(5) is not enough while the copy lives, perhaps in a library, perhaps in a child. The
 * events of 5 go on. And there is no way left to stop them by that name: EPOLL_CTL_DEL wants a
 * number that is open. Worse, the number 5 is soon given to a new connection, and then two
 * registrations answer to the same data.fd.
 *
 * The lab's second scene is the cure, one line: EPOLL_CTL_DEL before close().
 */
#include <sys/epoll.h>

#include "lab.h"

enum { LOOKS = 5, QUIET_MS = 50, PATIENCE_MS = 2000, BATCH = 4 };

struct scene {
    int epoll, peer, fd, copy;
};

static int control(const struct scene *scene, int what, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(scene->epoll, what, fd, &event);
}

static struct scene scene_open(void)
{
    int ends[2];
    lab_tcp_pair(ends);
    struct scene scene = {.peer = ends[0], .fd = ends[1]};
    scene.epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    (void)lab_must(control(&scene, EPOLL_CTL_ADD, scene.fd), "epoll_ctl");
    scene.copy = lab_must(dup(scene.fd), "dup");
    return scene;
}

/* Looks at most LOOKS times; how many of them reported something. Nobody reads, so a registration
 * that is left reports at every look. */
static int times_reported(const struct scene *scene, int first_wait_ms)
{
    struct epoll_event events[BATCH];
    int times = 0, wait_ms = first_wait_ms;
    for (int i = 0; i < LOOKS; i++) {
        int n;
        while ((n = epoll_wait(scene->epoll, events, BATCH, wait_ms)) == -1 && errno == EINTR)
            continue;
        times += lab_must(n, "epoll_wait") > 0 ? 1 : 0;
        wait_ms = 0;
    }
    return times;
}

static const char *outcome(int result)
{
    if (result != -1)
        return "done";
    switch (errno) {
    case EBADF:
        return "EBADF";
    case ENOENT:
        return "ENOENT";
    case EEXIST:
        return "EEXIST";
    default:
        return "another error";
    }
}

static bool tells(const char *name, const char *word, const char *expected)
{
    lab_word(name, word);
    return strcmp(word, expected) == 0;
}

/* ---- the number is given to somebody else ---------------------------------------------------- */

/* A pipe with a byte in it takes the old number, and is added too: both report under it. */
static void reuse_the_number(const struct scene *scene)
{
    struct epoll_event events[BATCH];
    int ends[2];
    lab_say("A new descriptor gets the number, and is added to the same epoll.");
    (void)lab_must(pipe(ends), "pipe");
    (void)lab_must((int)write(ends[1], "x", 1), "write");
    /* pipe() has taken the lowest free numbers, perhaps this one itself */
    int number = ends[0] == scene->fd ? ends[0] : dup2(ends[0], scene->fd);
    bool added = tells("add_under_the_same_number",
                       outcome(control(scene, EPOLL_CTL_ADD, lab_must(number, "dup2"))), "done");
    int n = lab_must(epoll_wait(scene->epoll, events, BATCH, 0), "epoll_wait"), same = 0;
    for (int i = 0; i < n; i++)
        same += events[i].data.fd == scene->fd ? 1 : 0;
    lab_figure("events_with_that_number", same, "");
    lab_expect(added && same == 2, "two registrations, one number: nobody can tell them apart");
    (void)control(scene, EPOLL_CTL_DEL, scene->fd);
    (void)close(ends[1]);
    if (ends[0] != scene->fd)
        (void)close(ends[0]);
    (void)close(scene->fd);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void close_alone(void)
{
    char byte;
    lab_say("1. A watched connection has a copy by dup(). close() of the watched number; then the "
            "peer sends a byte. The program looks %d times.",
            LOOKS);
    struct scene scene = scene_open();
    (void)close(scene.fd);
    (void)lab_must((int)send(scene.peer, "x", 1, 0), "send");
    int times = times_reported(&scene, lab_patience_ms(PATIENCE_MS));
    lab_figure("closed_reported", times, "times");
    lab_expect(times == LOOKS, "the closed number is reported, every time: the loop spins");

    bool told = tells("recv_from_it", outcome((int)recv(scene.fd, &byte, 1, 0)), "EBADF");
    told &= tells("del_by_its_number", outcome(control(&scene, EPOLL_CTL_DEL, scene.fd)), "EBADF");
    told &= tells("del_by_the_copy", outcome(control(&scene, EPOLL_CTL_DEL, scene.copy)), "ENOENT");
    lab_expect(told, "it can be neither read nor taken out of the epoll");

    reuse_the_number(&scene);
    (void)close(scene.copy);
    times = times_reported(&scene, QUIET_MS);
    lab_figure("after_last_close_reported", times, "times");
    lab_expect(times == 0, "when the copy is closed too, the registration is gone");
    (void)close(scene.peer);
    (void)close(scene.epoll);
}

static void delete_and_close(void)
{
    char byte;
    lab_say("2. The same, with EPOLL_CTL_DEL before close().");
    struct scene scene = scene_open();
    (void)lab_must(control(&scene, EPOLL_CTL_DEL, scene.fd), "EPOLL_CTL_DEL");
    (void)close(scene.fd);
    (void)lab_must((int)send(scene.peer, "x", 1, 0), "send");
    (void)lab_must((int)recv(scene.copy, &byte, 1, MSG_PEEK), "recv"); /* blocks: it has arrived */
    int times = times_reported(&scene, QUIET_MS);
    lab_figure("deleted_reported", times, "times");
    lab_expect(times == 0, "nothing is reported, though the copy has a byte to read");
    (void)close(scene.copy);
    (void)close(scene.peer);
    (void)close(scene.epoll);
}

int main(void)
{
    lab_question("A connection is in an epoll. Somewhere a dup() of it exists. The program closes "
                 "its own number. What does epoll do when bytes arrive?",
                 "Nothing: close() has taken it out of the epoll.",
                 "It reports the closed number, and EPOLL_CTL_DEL fails with EBADF.",
                 "epoll_wait() fails with EBADF.", 'b',
                 "Does a tool intercept dup() or close() here?");
    close_alone();
    delete_and_close();
    lab_say("A child made by fork() is such a copy as well, until it ends or calls exec with "
            "descriptors that are close-on-exec.");
    return lab_finding("close() does not end a registration while a copy lives: DEL, then close");
}
