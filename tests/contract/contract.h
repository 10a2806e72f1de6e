/*
 * contract: what an echo server must do when its clients are not nice.
 *
 * Sixteen rows, one table. A row starts a fresh server, is a peer (or a thousand) of one temper,
 * and says what came of it: the rows are independent of each other, and a server that a row has
 * hurt is never used again. The rows know nothing of a test framework, so that the tests of the
 * steps (test_contract.c), `make check` (check.c) and the demo run the very same code.
 *
 * Life of a run: the caller fills in the first group of fields, contract_run_row() does the rest,
 * and the caller reads the last group. Nothing is left running, whatever happened.
 *
 * How a verdict is found
 *   - the first thing that goes wrong is told; what follows from it is not;
 *   - a server that has died is told as SERVER_DIED, because that explains everything else;
 *   - so is one that a sanitizer has complained about on stderr;
 *   - what the system does not tell (say, the number of descriptors) is left out, in words.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include "../harness/server.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Bounds, and why they are what they are. Deadlines are scaled by TEST_SLOWDOWN, the rest is not.
 */
enum {
    /* An answer that takes five seconds on one machine is no answer. */
    PATIENCE_MS = 5000,
    /* The same for a row that a step breaks by design: prompt servers need a few milliseconds, and
     * nobody wants to wait five seconds for what will not come. */
    PATIENCE_BROKEN_MS = 500,

    /* Kernel buffers of both sides hold about 16 MiB at most; whoever takes in 64 MiB from a client
     * that reads nothing keeps them in memory of its own. */
    STALL_MIB = 64,
    /* One bounded buffer is 64 KiB or so. 16 MiB allow for allocators and interpreters. */
    SLOW_READER_KIB = 16 * 1024,

    /* A fair server gives a ping its turn after a few buffers of each fast peer, some 100 KiB. The
     * bound must not flake where the ping's client itself waits for a processor: 64 MiB are a
     * tenth of a second of the fastest echo. Nine pings in ten must keep it. */
    FAST_PEERS = 3,
    FAST_PINGS = 50,
    FAST_PINGS_LATE = 5,
    FAST_SHARE_MIB = 64,

    /* A round trip on loopback takes 20 to 100 microseconds; the control beside it tells what it
     * takes here and now. A server that naps between two looks adds a whole nap, 10 ms or more.
     * What it waited for a processor that others had is not its own delay, and is taken off. */
    PROMPT_TRIPS = 100,
    PROMPT_TRIPS_LEAST = 20,
    PROMPT_EXTRA_US = 4000,
    PROMPT_FACTOR = 3,

    /* More than FD_SETSIZE (1,024), so that select() without a bound is found. */
    MANY_CLIENTS = 1100,

    LEAK_CONNECTS = 1000,
    LEAK_AT_ONCE = 100,
    /* Where the number of descriptors is not told: so few for the server, and more connects. */
    LEAK_BLIND_FDS = 64,
    LEAK_BLIND_CONNECTS = 200,

    /* Room for a few clients above what the program has open when it starts. */
    EMFILE_SPARE_FDS = 12,
    EMFILE_BLIND_FDS = 32,
    EMFILE_CLIENTS = 40,
    EMFILE_WINDOW_MS = 300,
    /* Percent of one processor, above its own idle share. A retry every 100 ms costs 0.1 %. */
    EMFILE_CPU_PERCENT = 30,
    /* A server that burns more than this while idle cannot be judged by its processor time. Even
     * with four busy programs per processor, a loop that never sleeps gets 20 %. */
    NEVER_IDLE_PERCENT = 20,

    /* Processor time is judged by the calmest of so many windows. */
    CPU_WINDOWS = 4,

    IDLE_CLIENTS = 100,
    IDLE_WINDOW_MS = 400,
    IDLE_CPU_PERCENT = 10,

    SILENT_PEERS = 16
};

/** How a row came out. */
enum symptom {
    HOLDS,
    SKIPPED,     /* this machine cannot tell, or not show; came_back says why */
    NOT_STARTED, /* it never said "listening on ADDRESS:PORT" */
    NOT_SERVED,  /* no connection, or no answer, within the patience */
    WRONG_BYTES,
    LOST_BYTES,   /* the answer began, and never became whole */
    CLOSED_EARLY, /* closed or reset before everything was echoed */
    NEVER_CLOSED, /* the client has finished, the server keeps the connection */
    SERVER_DIED,  /* exit, signal, or a sanitizer's report */
    BURNS_CPU,
    TOO_SLOW,
    UNBOUNDED_MEMORY,
    LEAKS_DESCRIPTORS,
    BAD_STATUS, /* of the exit */
    BAD_WORDS,  /* the totals, or what it says about a bad argument */
    SYMPTOMS
};

/** "NOT_SERVED", as the tables print it. */
const char *symptom_name(enum symptom s);
/** "serves nobody meanwhile", for people. */
const char *symptom_in_words(enum symptom s);

enum { CONTRACT_TEXT = 512 };

/** The reason of a row that is skipped because an emulation cannot show it begins with this. */
#define CONTRACT_NOT_SHOWN "not shown here: "

/** One run of one row against one program. */
struct contract_run {
    /* Filled in by the caller. Only argv is needed; zero means "as usual". */
    const char *const *argv;        /* the program and its first words; the row appends its own */
    const char *const *ndebug_argv; /* the same program built with -DNDEBUG, NULL: there is none */
    int patience_ms;                /* how long an answer may take; 0: PATIENCE_MS */
    int start_ms;                   /* how long the first line may take; 0: as the harness has it */
    int stop_signal;                /* what asks it to stop; 0: as the harness has it */
    bool by_wine;                   /* a Windows program, run by Wine, also where nobody tells */
    bool sanitized;                 /* its memory figures mean nothing */
    bool blind;                     /* pretend that this system tells nothing about a process */

    /* Used while it runs. */
    struct server server;
    bool started; /* there is a server that must be ended */
    bool cut_off; /* a client lost its connection: the server may be dying */

    /* Read by the caller. */
    enum symptom symptom;
    char peer_did[CONTRACT_TEXT];  /* in plain words */
    char came_back[CONTRACT_TEXT]; /* in plain words, with figures */
    char note[CONTRACT_TEXT];      /* what was left out, and why; "" when nothing was */
    double seconds;
};

/** One row of the contract. */
struct contract_row {
    const char *name;
    const char *peer_does;   /* one sentence */
    const char *server_must; /* one sentence */
    const char *repeat;      /* one command that shows it by hand, against a server that runs */
    void (*run)(struct contract_run *run);
};

extern const struct contract_row contract_rows[];
extern const size_t contract_row_count;

/** The row of that name, or NULL. */
const struct contract_row *contract_find(const char *name);

/** Runs one row, from a fresh server to its end. The answer is in *run. Blocks while it runs. */
void contract_run_row(const struct contract_row *row, struct contract_run *run);

#endif
