/*
 * cli: the command line and the first line that all servers of this course share.
 *
 *     step2_thread_per_client [-p PORT] [-a ADDRESS] [-h]
 *     listening on 127.0.0.1:45321
 *
 * Born in chapter 01, step 2; later chapters carry this file unchanged.
 */
#ifndef CLI_H
#define CLI_H

#ifdef __cplusplus
extern "C" {
#endif

/** A numeric option of one program alone, such as the pool's "-w WORKERS". */
struct cli_option {
    char letter;
    const char *name; /**< what the number is, in capitals: "WORKERS" */
    const char *help;
    long min, max;
    long *value; /**< holds the default, takes what the user gives */
};

/** What the command line said. The strings are the program's own argv; nothing is to be freed. */
struct cli {
    const char *program; /**< its name without folders, for messages */
    const char *address; /**< numeric; "127.0.0.1" by default */
    unsigned port;       /**< 0, the default: the kernel picks a free one */
};

/**
 * Reads the command line, or ends the program: after -h with the usage and status 0, after anything
 * wrong with one line on stderr and status 2.
 *
 * @param what   one sentence that says what the program does, for -h
 * @param extra  options of this program alone, ended by one whose letter is 0; NULL for none
 */
struct cli cli_parse(int argc, char **argv, const char *what, const struct cli_option *extra);

/**
 * Opens the listening socket that the command line asks for, and announces it.
 *
 * @return the listening socket; the program ends where there is none, see cli_announce()
 */
int cli_listen(const struct cli *cli);

/**
 * Prints "listening on ADDRESS:PORT", flushed: whoever started the server through a pipe is waiting
 * for this line. Or, when listener is -1, ends the program with one line on stderr that says what
 * errno means here: status 2 for an address that is not numeric (EINVAL), status 1 for one that
 * cannot be had (in use, privileged, not of this machine).
 *
 * @param listener  as a function that opens one has returned it
 * @return listener
 */
int cli_announce(const struct cli *cli, int listener);

/** Prints one line "program: ..." on stderr. Keeps errno. Thread: any. */
void cli_log(const struct cli *cli, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
