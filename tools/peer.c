/*
 * peer: a client of any temper, for any server that echoes.
 *
 *   peer KIND [-p PORT] [-a ADDRESS] [-n COUNT] [-s SECONDS] [-q]
 *
 * The contract of our servers says what a silent, a rude or a fast client may and may not do to the
 * others. This program is those clients. It says in plain words what it does and what came back,
 * and checks every byte of the echo. Without -p it takes the port of "the last server", which
 * `make run` has written to build/last_port.
 *
 *   peer.c        this file: the words on the command line
 *   peer_kinds.c  the tempers, each in two short functions
 *   peer_crowd.c  many peers of one temper at once, and their totals
 *   peer_talk.c   the client for the keyboard
 *
 * Status: 0 all went as it should; 1 it did not (nobody listens, no answer, wrong bytes); 2 usage.
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAST_PORT "build/last_port"

enum { PORT_MOST = 65535, SECONDS_MOST = 86400, USAGE = 2 };

static int usage(void)
{
    fprintf(stderr, "usage: peer KIND [-p PORT] [-a ADDRESS] [-n COUNT] [-s SECONDS] [-q]\n");
    kinds_print();
    return USAGE;
}

/* Reads a number from 1 to most. Says what is wrong and returns false. */
static bool parse_number(const char *what, const char *text, unsigned most, unsigned *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < 1 || value > most) {
        fprintf(stderr, "peer: '%s' is no %s: give a number from 1 to %u\n", text, what, most);
        return false;
    }
    *number = (unsigned)value;
    return true;
}

static bool parse_options(int argc, char *argv[], struct options *o)
{
    int letter;
    while ((letter = getopt(argc, argv, "p:a:n:s:q")) != -1) {
        bool good = true;
        switch (letter) {
        case 'p':
            good = parse_number("port", optarg, PORT_MOST, &o->port);
            break;
        case 'n':
            good = parse_number("count", optarg, PEERS_MOST, &o->count);
            break;
        case 's':
            good = parse_number("time in seconds", optarg, SECONDS_MOST, &o->seconds);
            break;
        case 'a':
            o->address = optarg;
            break;
        case 'q':
            o->quiet = true;
            break;
        default:
            return false; /* getopt() has said why */
        }
        if (!good)
            return false;
    }
    if (optind < argc)
        fprintf(stderr, "peer: '%s' is one word too many\n", argv[optind]);
    return optind == argc;
}

/* The port of the last server, as `make run` has noted it. */
static bool find_port(struct options *o)
{
    FILE *file = fopen(LAST_PORT, "r");
    bool found = file != NULL && fscanf(file, "%5u", &o->port) == 1 && o->port <= PORT_MOST;
    if (file != NULL)
        fclose(file);
    if (!found)
        fprintf(stderr,
                "No server runs that `make run` has started. Start one: make run CH=01 STEP=1\n"
                "Or say where yours listens: PORT=4242 (peer: -p 4242).\n");
    return found;
}

int main(int argc, char *argv[])
{
    struct options o = {.address = "127.0.0.1", .count = 1};
    if (argc < 2)
        return usage();
    o.kind = argv[1];
    bool talks = strcmp(o.kind, "talk") == 0;
    const struct kind *kind = kind_find(o.kind);
    if (kind == NULL && !talks) {
        if (o.kind[0] == '\0')
            fprintf(stderr, "peer: KIND is not given. There are:\n");
        else
            fprintf(stderr, "peer: there is no kind '%s'. There are:\n", o.kind);
        kinds_print();
        return USAGE;
    }
    if (!parse_options(argc - 1, argv + 1, &o))
        return USAGE;
    if (o.port == 0 && !find_port(&o))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, also into a pipe */
    return talks ? talk_run(&o) : crowd_run(&o, kind);
}
