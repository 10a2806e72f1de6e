/*
 * Lab: can epoll watch a file on disk?
 *
 * "Ready" means: the call would not have to wait for somebody else. A pipe waits for its writer,
 * a socket for its peer. A regular file waits for nobody: its bytes are there, and read() takes
 * as long as the disk takes. POSIX therefore lets select() and poll() say that a regular file is
 * always ready, for reading and for writing, even at its end.
 *
 * That answer is true and useless, and epoll does not give it. epoll_ctl() refuses with EPERM every
 * file that has no way of telling when it becomes ready (man 2 epoll_ctl): regular files, folders,
 * and devices such as /dev/null.
 *
 * The regular file here is the lab's own program, opened for reading.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "lab.h"

/* ---- three ways to ask ----------------------------------------------------------------------- */

static const char *by_select(int fd)
{
    struct timeval now = {0, 0};
    fd_set readable;
    FD_ZERO(&readable);
    if (fd >= FD_SETSIZE)
        lab_skip("too many descriptors are open for select()");
    FD_SET(fd, &readable);
    int n = lab_must(select(fd + 1, &readable, NULL, NULL, &now), "select");
    return n == 1 ? "ready" : "not ready";
}

static const char *by_poll(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int n = lab_must(poll(&entry, 1, 0), "poll");
    return n == 1 && entry.revents == POLLIN ? "ready" : "not ready";
}

static const char *by_epoll(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    const char *answer;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == -1)
        answer = errno == EPERM ? "EPERM" : "another error";
    else
        answer =
            lab_must(epoll_wait(epoll, &event, 1, 0), "epoll_wait") == 1 ? "ready" : "not ready";
    (void)close(epoll);
    return answer;
}

static void ask_all(const char *what, int fd, const char *word, const char *from_epoll)
{
    char name[LAB_NAME_COLUMNS];
    const char *answers[] = {by_select(fd), by_poll(fd), by_epoll(fd)};
    static const char *const calls[] = {"select", "poll", "epoll"};
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s_%s", what, calls[i]);
        lab_word(name, answers[i]);
    }
    bool alike = strcmp(answers[0], word) == 0 && strcmp(answers[1], word) == 0;
    lab_expect(alike && strcmp(answers[2], from_epoll) == 0,
               strcmp(word, from_epoll) == 0 ? "all three say the same"
                                             : "select and poll say ready, epoll refuses");
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void files_and_devices(void)
{
    char byte;
    int file = lab_must(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open the lab's program");
    int folder = lab_must(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open /");
    int null = lab_must(open("/dev/null", O_RDONLY | O_CLOEXEC), "open /dev/null");

    lab_say("1. A regular file, at its beginning.");
    ask_all("file", file, "ready", "EPERM");
    lab_say("2. The same file, at its end.");
    (void)lab_must((int)(lseek(file, 0, SEEK_END) > 0 ? 0 : -1), "lseek");
    ask_all("file_end", file, "ready", "EPERM");
    ssize_t n = read(file, &byte, 1);
    lab_figure("file_end_read", (double)n, "");
    lab_expect(n == 0, "it was ready, and read() gave nothing: ready means only `does not wait`");
    lab_say("3. A folder, and a device that never has to wait.");
    ask_all("folder", folder, "ready", "EPERM");
    ask_all("dev_null", null, "ready", "EPERM");
    (void)close(file);
    (void)close(folder);
    (void)close(null);
}

static void a_pipe_for_comparison(void)
{
    int ends[2];
    lab_say("4. For comparison a pipe, empty and then with one byte.");
    (void)lab_must(pipe(ends), "pipe");
    ask_all("pipe_empty", ends[0], "not ready", "not ready");
    (void)lab_must((int)write(ends[1], "x", 1), "write");
    ask_all("pipe_filled", ends[0], "ready", "ready");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    lab_question("A program adds a regular file to an epoll, to be told when the disk has the next "
                 "bytes. What happens?",
                 "It is told when the bytes have been read from the disk.",
                 "The file is always reported as ready.", "epoll_ctl() refuses with EPERM.", 'c',
                 "Is /proc there, and is the file system behind it an ordinary one?");
    files_and_devices();
    a_pipe_for_comparison();
    lab_say(
        "So `server < file` works with poll() and ends with EPERM on epoll. For files there are "
        "threads, or interfaces that complete: io_uring, IOCP.");
    return lab_finding("epoll refuses regular files; select and poll call them always ready");
}
