/*
 * process_other: see process.h. For systems that tell little in a portable way.
 *
 * The functions are those of process_linux.c in the same order. A figure that is not known is -1,
 * and the test that wants it skips in words.
 */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Figures ----------------------------------------------------------------------------- */

int64_t process_cpu_ns(pid_t pid)
{
    (void)pid;
    return -1;
}

int64_t process_waited_ns(pid_t pid)
{
    (void)pid;
    return -1;
}

int64_t process_resident_kib(pid_t pid)
{
    (void)pid;
    return -1;
}

int64_t process_virtual_kib(pid_t pid)
{
    (void)pid;
    return -1;
}

int process_threads(pid_t pid)
{
    (void)pid;
    return -1;
}

int process_fds(pid_t pid)
{
    (void)pid;
    return -1;
}

/* ---- States ------------------------------------------------------------------------------ */

bool process_is_stopped(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) < 0) {
        return true; /* not our child: nobody can tell; a SIGSTOP takes effect soon */
    }
    return info.si_pid == pid;
}

bool process_exists(pid_t pid)
{
    return kill(pid, 0) == 0 || errno == EPERM; /* true for a dead child until it is waited for */
}

/* ---- Who listens on a port? -------------------------------------------------------------- */

pid_t process_listening_in_group(unsigned port, pid_t group)
{
    (void)port;
    (void)group;
    return -1;
}

pid_t process_listening_on(unsigned port)
{
    return process_listening_in_group(port, 0);
}

/* ---- Wine -------------------------------------------------------------------------------- */

pid_t process_wineserver_of(pid_t pid)
{
    (void)pid;
    return 0;
}

/* ---- Processors -------------------------------------------------------------------------- */

void process_share_one_processor(bool on)
{
    (void)on;
}

/* ---- Descriptors of this process --------------------------------------------------------- */

enum { DESCRIPTORS_MAX = 65536 };

void process_close_from(int first, int keep)
{
    long most = sysconf(_SC_OPEN_MAX);
    if (most < 0 || most > DESCRIPTORS_MAX) {
        most = DESCRIPTORS_MAX;
    }
    for (int fd = first; fd < (int)most; fd++) {
        if (fd != keep) {
            (void)close(fd);
        }
    }
}
