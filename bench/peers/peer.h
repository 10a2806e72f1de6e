/*
 * peer: what the servers of this folder share, so that each of them is its mechanism and little
 * else.
 *
 * They are measured, not taken home: a client that floods and never reads is not held back, an
 * accept out of descriptors ends the program, and SIGTERM ends it at once. What a server must do
 * there is in the chapters. What is the same in all of them: non-blocking sockets, TCP_NODELAY,
 * buffers of 4 KiB, every short count handled.
 *
 * echo_turn() is one recv and one send from one buffer for all: the bytes are gone when it returns.
 * Only what the kernel did not take is kept, and until it is gone nothing more is read.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>

enum { PEER_PIECE = 4096, PEER_BATCH = 256, PEER_ACCEPTS = 64 };

struct echo {
    int fd;
    bool whole; /* the last recv has filled the buffer: there may be more       */
    char *rest; /* what the kernel has not taken yet, or NULL; `left` from `at` */
    size_t at, left;
};

/** What a connection waits for after a turn. */
enum echo_state {
    ECHO_GOES_ON, /* moved something; reads next                   */
    ECHO_READS,   /* nothing to read                               */
    ECHO_WRITES,  /* the kernel takes no more                      */
    ECHO_OVER     /* the end of the stream, or an error: let it go */
};

/**
 * Reads the command line, listens (non-blocking), says so; SIGTERM will end the program.
 * @param fast  NULL, or where "-f 1" is put: the fastest form instead of the usual one
 */
int peer_start(int argc, char **argv, const char *what, long *fast);

/** The next client, non-blocking; -1 when nobody waits. */
int peer_accept(int listener);

/** For a client that was accepted in another way: no delay for small pieces (TCP_NODELAY). */
void peer_nodelay(int fd);

/** A zeroed block, or the end of the program with a line. */
void *peer_memory(size_t size);

/** Ends the program with a line, unless `ok`. */
void peer_must(bool ok, const char *what);

/** One recv and one send. */
enum echo_state echo_turn(struct echo *echo);

/** Closes the socket, frees the rest. */
void echo_end(struct echo *echo);

#endif
