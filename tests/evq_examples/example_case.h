/*
 * example_case: what the tests of the examples of chapter 07 share.
 *
 * Every test runs once for each backend that the examples have; none knows which one. The programs
 * are looked for in chapters/07_crossplatform/$STEPS_BUILD/examples, so run it from the root of the
 * repository.
 */
#ifndef EXAMPLE_CASE_H
#define EXAMPLE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../contract/contract.h"
#include "../harness/client.h"
#include "../harness/clock.h"
#include "../harness/process.h"
#include "../harness/server.h"
#include "../harness/skip.h"

#include <stdio.h>
#include <string.h>

/** The backend of this round: the programs find it in their environment. */
extern const char *backend;
/** It is the one that the programs take by themselves. */
extern bool backend_is_best;

/** The server under test. The teardown stops it; it must end well. */
extern struct server server;

enum { EXAMPLE_PATH = 512 };

/** The path of an example. @return buf */
const char *example_path(const char *name, char *buf, size_t len);

/** True for a build with sanitizers: its memory figures mean nothing. */
bool example_is_sanitized(void);

/** True where this backend is an emulation: its time and memory are not the real one's. */
bool example_is_emulated(void);

/** Starts an example as `server`; words end with NULL. */
void example_start(const char *name, const char *const *words);
#define START(...)                                             \
    example_start((const char *const[]){__VA_ARGS__, NULL}[0], \
                  (const char *const[]){__VA_ARGS__, NULL} + 1)

/** Stops it, and says how it ended. */
void example_ends(struct server_end *end);

/** The teardown of every test: the server has survived, ends with status 0 and says its totals. */
int example_stop(void **state);

int64_t soon(void);

/* ---- a client who talks text; each of these fails the test when it goes wrong ---- */

struct client connected(void);
void says_bytes(struct client *c, const char *bytes, size_t len);
void hears_bytes(struct client *c, const char *bytes, size_t len);
#define SAYS(c, text)  says_bytes(c, text, strlen(text))
#define HEARS(c, text) hears_bytes(c, text, strlen(text))

/** Reads up to "\n". @return line, without it */
const char *hears_line(struct client *c, char *line, size_t size);

/** It is over: the server has closed, or has reset the connection. */
void is_ended(struct client *c);

/* ---- sockets of the test itself ---- */

/** A listening socket on 127.0.0.1. @return its descriptor */
int listens(unsigned *port);
/** Accepts one, or fails at the deadline. */
int accepts(int listener);
/** Closes with a reset. */
void resets(int fd);

/* ---- the tests, a group for each program ---- */

int run_echo(void);
int run_lines(void);
int run_proxy(void);
int run_fetch(void);
int run_http(void);
int run_chat(void);
int run_multicore(void);

/** Runs a group called "echo over epoll". */
#define RUN(words, tests) example_run(words, tests, sizeof(tests) / sizeof((tests)[0]), NULL, NULL)
int example_run(const char *words, const struct CMUnitTest *tests, size_t count,
                CMFixtureFunction setup, CMFixtureFunction teardown);

/** Every row of the contract as a test of this example. */
int example_run_contract(const char *name, const char *first, const char *second);

/** The same for NAME.exe, over iocp by Wine; skips in words where that cannot be. */
int example_run_contract_by_wine(const char *name);

#endif
