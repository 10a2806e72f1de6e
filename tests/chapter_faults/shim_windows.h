/*
 * shim_windows: what the two files of calls share on Windows.
 *
 * A call into a DLL goes through a pointer, __imp_NAME. The linker is told to take another one
 * (--wrap=__imp_NAME): that of the shim, __wrap___imp_NAME; the system's is __real___imp_NAME.
 */
#ifndef CHAPTER_FAULTS_SHIM_WINDOWS_H
#define CHAPTER_FAULTS_SHIM_WINDOWS_H

#include "shim.h"

#include <winsock2.h>

/** OURS(int, listen, SOCKET, int): listen() is our_listen() from here on, and REAL(listen) is the
 *  system's. tests/Makefile finds the names by this word. */
#define REAL(name) __real___imp_##name
#define OURS(result, name, ...)                              \
    extern result(WSAAPI *__real___imp_##name)(__VA_ARGS__); \
    extern result(WSAAPI *__wrap___imp_##name)(__VA_ARGS__); \
    static result WSAAPI our_##name(__VA_ARGS__);            \
    result(WSAAPI *__wrap___imp_##name)(__VA_ARGS__) = our_##name

/** One handle more, or one fewer: sockets, events, threads, ports. Counted here, so that only those
 *  of the step itself count, and because not every Wine has GetProcessHandleCount(). */
void shim_note_handle(int change);

/** accept() was called although no event had told of a client. */
void shim_note_early(void);

/**
 * An operation is lent to the kernel under its OVERLAPPED, from just before its submission (a
 * packet may come at any time) until it has come back.
 *
 * @param call  which of WIN_RECV_ENDS, WIN_SEND_ENDS, WIN_ACCEPT_ENDS its end is
 * @return true: it is a send, and will have failed. So it is to move one byte: were it to move all,
 *         its client would miss nothing.
 */
bool ops_lend(OVERLAPPED *overlapped, enum call call);

/** It was not submitted after all. */
void ops_forget(const OVERLAPPED *overlapped);

/** It has come back. True when it is to have failed; then it says so, as the kernel would have it.
 *  What has failed by itself is left as it is, and so are packets that were posted. */
bool ops_come_back(OVERLAPPED *overlapped);

#endif
