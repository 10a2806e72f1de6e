/*
 * shim: the part that is linked into a step: it counts the calls, and lets the one fail that the
 * environment names. shim.c is for POSIX, shim_windows.c for Windows.
 */
#ifndef CHAPTER_FAULTS_SHIM_H
#define CHAPTER_FAULTS_SHIM_H

#include "shim_orders.h"

/** What is to become of the call that is made just now. Thread: any. */
struct verdict shim_judge(enum call call);

/** The same for calls that fail INSTEAD or not at all: true, and errno is set; on Windows, what
 *  GetLastError() and WSAGetLastError() say (which is one and the same). */
bool shim_fails(enum call call);

/** Between these nothing is counted and nothing fails in this thread: what chapter 05's kqueue for
 *  Linux calls is not the step's doing. errno stays as it is. */
void shim_leave_alone(bool on);

/** The two halves of a call that may be LATE, or fail INSTEAD: before it is made, true, and errno
 *  is set, when it is not to be made at all; and after it has been made. errno stays as it is. */
bool shim_refuses(struct verdict verdict);
void shim_goes_on(struct verdict verdict);

void shim_note_block(int change);

/** Windows: the orders are read when WSAStartup() is called. Before main() calls that, the C
 *  library makes calls that are none of the step's. */
void shim_open(void);

/** A kernel that tells of edges owes one after EAGAIN, or after less bytes than there are. It does
 *  not know that somebody lied in its name: so it is asked to tell again. */
void shim_tell_again(int fd);

/** A file that knows how to ask names its function. */
void shim_teller(void (*tell)(int fd));

#endif
