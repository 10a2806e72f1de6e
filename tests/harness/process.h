/*
 * process: what the system knows about a process.
 *
 * Each figure is -1 where this system does not tell it; a test then skips in words. Linux reads
 * /proc and the process' CPU clock; other systems tell what they can.
 */
#ifndef HARNESS_PROCESS_H
#define HARNESS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

int64_t process_cpu_ns(pid_t pid);    /* user + system time of all its threads so far */
int64_t process_waited_ns(pid_t pid); /* how long its threads were ready to run, and others ran */
int64_t process_resident_kib(pid_t pid); /* memory in RAM */
int64_t process_virtual_kib(pid_t pid);  /* address space */
int process_threads(pid_t pid);
int process_fds(pid_t pid);         /* open descriptors */
bool process_is_stopped(pid_t pid); /* true once a SIGSTOP has taken effect (every thread) */
bool process_exists(pid_t pid);

/** The process that holds the listening TCP socket on `port`; -1 when unknown. Under Wine, or
 *  behind a wrapper script, it is not the child that was started. */
pid_t process_listening_on(unsigned port);
/** The same among the members of one process group, its leader first. */
pid_t process_listening_in_group(unsigned port, pid_t group);

/**
 * The process that does a part of a Windows program's work: Wine's server, which holds its sockets
 * and its ports, for all programs of one WINEPREFIX. 0: pid is no program that Wine runs, or this
 * system does not tell.
 */
pid_t process_wineserver_of(pid_t pid);

/** This process and what it starts from now on run on one processor, the first that they may, or
 *  (on = false) where they might before: then a thread that wakes another one may have to wait for
 *  it. Nothing happens where the system has no such call. */
void process_share_one_processor(bool on);

/** Closes every descriptor of this process from `first` on, but one: for a fork that must keep
 *  nothing of its parent's alive. */
void process_close_from(int first, int keep);

#endif
