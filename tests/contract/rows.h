/*
 * rows: the words in which the rows of the contract are written. Private to this folder.
 *
 * Each verb does one thing with a client or the server and returns true when it went well. When it
 * did not, the verb has already put the verdict and the figures into the run, so a row is a chain:
 *
 *     connects(run, &c) && sends(run, &c, 1000) && gets_back(run, &c, 1000) &&
 *         sees_the_end(run, &c);
 *
 * The first failure stays; later ones do not overwrite it.
 */
#ifndef ROWS_H
#define ROWS_H

#include "../harness/client.h"
#include "contract.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

#if defined(__GNUC__)
#define WORDS_LIKE_PRINTF __attribute__((format(printf, 2, 3)))
#define RED_LIKE_PRINTF   __attribute__((format(printf, 3, 4)))
#else
#define WORDS_LIKE_PRINTF
#define RED_LIKE_PRINTF
#endif

/* --- verdicts --------------------------------------------------------------------------------- */

/** Says what the peer is about to do. */
void did(struct contract_run *run, const char *format, ...) WORDS_LIKE_PRINTF;
/** The verdict. Returns false, so that a verb can end with it. */
bool red(struct contract_run *run, enum symptom s, const char *format, ...) RED_LIKE_PRINTF;
/** This machine cannot tell. Returns false. */
bool skip_row(struct contract_run *run, const char *format, ...) WORDS_LIKE_PRINTF;
/** The same for what an emulation cannot show: the reason begins with "not shown here: ". */
bool not_shown_here(struct contract_run *run, const char *why);
/** A part of the row was left out, and why. */
void note(struct contract_run *run, const char *format, ...) WORDS_LIKE_PRINTF;

/* --- the server ------------------------------------------------------------------------------- */

/** The moment when the run's patience ends, counted from now. */
int64_t patience(const struct contract_run *run);
/** Ends the last server, if there is one, and starts a fresh one; max_fds 0: as it is here. */
bool starts_with_fds(struct contract_run *run, rlim_t max_fds);
bool starts(struct contract_run *run);
bool freezes(struct contract_run *run);
void thaws(struct contract_run *run);
/** False, with the verdict SERVER_DIED, when it is gone or a sanitizer has spoken. */
bool still_lives(struct contract_run *run);
/** True for a Windows program that Wine runs; once it has started. */
bool is_by_wine(const struct contract_run *run);
/** Ends the server, whatever state it is in. For rows that start many. */
void end_server(struct contract_run *run);

/** What a server says when it ends. */
struct totals {
    uint64_t clients, bytes;
};
/** Sends the signal, waits for the end, reads the totals: status 0 and the line, or a verdict. */
bool stops(struct contract_run *run, int signo, struct totals *t);
/** A listening socket on a free port of 127.0.0.1, which the caller closes; -1: there is none. */
int listen_anywhere(unsigned *port);

/* Figures of the server; -1 where the system does not tell (or the run is blind). */
int64_t resident_kib_of(const struct contract_run *run);
int fds_of(const struct contract_run *run);

/* --- clients ---------------------------------------------------------------------------------- */

/** A client that is not connected yet, with a pattern of its own. */
struct client new_client(uint32_t seed);

bool connects(struct contract_run *run, struct client *c);
bool sends(struct contract_run *run, struct client *c, size_t n);
bool sends_raw(struct contract_run *run, struct client *c, const void *buf, size_t len);
bool gets_back(struct contract_run *run, struct client *c, size_t n);
bool exchanges(struct contract_run *run, struct client *c, size_t n, size_t max_piece);
bool pings(struct contract_run *run, struct client *c);
/** Sends, reading nothing, until the server takes no more or `most` bytes are sent. */
bool floods(struct contract_run *run, struct client *c, uint64_t most);
/** A server that gets no processor for a moment stands still like one that has had enough. So the
 *  other client is served in between, and the flood goes on until that makes no difference. */
bool floods_until_it_stalls(struct contract_run *run, struct client *slow, struct client *other,
                            uint64_t most);
/** Waits until what was sent has reached the server's machine. */
bool arrives(struct contract_run *run, struct client *c);
bool shuts_writing(struct contract_run *run, struct client *c);
bool sees_the_end(struct contract_run *run, struct client *c);
/** An outcome in words, and its verdict; true for CLIENT_OK. `what` is what the client did. */
bool went_well(struct contract_run *run, enum outcome o, const char *what);

/** A fresh client connects, is served once and goes: the server is as good as new. */
bool serves_a_newcomer(struct contract_run *run, uint32_t seed);

/* --- the rows, as contract.c lists them ------------------------------------------------------- */

void echoes_bytes_in_order(struct contract_run *run);
void binary_safe(struct contract_run *run);
void no_cross_talk(struct contract_run *run);
void half_close_is_answered(struct contract_run *run);

void survives_rst(struct contract_run *run);
void slow_reader_is_isolated(struct contract_run *run);
void silent_peer_blocks_nobody(struct contract_run *run);
void fast_peer_starves_nobody(struct contract_run *run);
void answers_promptly(struct contract_run *run);

void many_clients(struct contract_run *run);
void no_fd_leak(struct contract_run *run);
void emfile_is_survived(struct contract_run *run);
void idle_costs_nothing(struct contract_run *run);

void stops_cleanly(struct contract_run *run);
void bad_arguments_are_refused(struct contract_run *run);
void ndebug_still_serves(struct contract_run *run);

#endif
