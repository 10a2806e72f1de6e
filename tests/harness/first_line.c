/*
 * first_line: see first_line.h.
 */
#include "first_line.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { QUOTE_LEN = 200 };

static const char INTRO[] = "listening on ";

/* ---- Words ------------------------------------------------------------------------------- */

/**
 * The first line of text, or its beginning, fit for one line of a message; "" when there is none.
 */
static void quote(const char *text, char *out, size_t len)
{
    size_t n = 0;
    for (; n < len - 1 && text[n] != '\0' && text[n] != '\n' && text[n] != '\r'; n++) {
        out[n] = isprint((unsigned char)text[n]) ? text[n] : '?';
    }
    out[n] = '\0';
}

static void say_how_it_ended(const struct first_line *line, char *why, size_t why_len)
{
    char said[QUOTE_LEN];
    char how[64];
    quote(line->err[0] != '\0' ? line->err : line->out, said, sizeof said);
    if (line->status > 128) {
        (void)snprintf(how, sizeof how, "by signal %d", line->status - 128);
    } else {
        (void)snprintf(how, sizeof how, "with status %d", line->status);
    }
    if (said[0] != '\0') {
        (void)snprintf(why, why_len, "%s ended %s before it listened; it said \"%s\"",
                       line->program, how, said);
    } else {
        (void)snprintf(why, why_len, "%s ended %s before it listened, without a word",
                       line->program, how);
    }
}

/** For the cases where no first line came at all. */
static void say_what_is_missing(const struct first_line *line, char *why, size_t why_len)
{
    char said[QUOTE_LEN];
    quote(line->out, said, sizeof said);
    if (!line->alive) {
        say_how_it_ended(line, why, why_len);
    } else if (said[0] != '\0') {
        (void)snprintf(why, why_len, "%s said \"%s\", but did not end the line in time",
                       line->program, said);
    } else {
        (void)snprintf(why, why_len,
                       "%s did not say \"listening on ADDRESS:PORT\" on stdout in time"
                       " (is the line flushed?)",
                       line->program);
    }
}

/* ---- Numbers ----------------------------------------------------------------------------- */

/** Digits only, 1 to 65535. */
static bool parse_port(const char *text, unsigned *port)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') {
        return false;
    }
    *port = (unsigned)strtoul(text, NULL, 10);
    return *port >= 1 && *port <= 65535;
}

/** "127.0.0.1:4242" or "[::1]:4242"; text is changed. The address without brackets, or NULL. */
static const char *parse_endpoint(char *text, unsigned *port)
{
    unsigned char binary[sizeof(struct in6_addr)];
    char *colon = strrchr(text, ':');
    if (colon == NULL || !parse_port(colon + 1, port)) {
        return NULL;
    }
    *colon = '\0';
    if (text[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        return inet_pton(AF_INET6, text + 1, binary) == 1 ? text + 1 : NULL;
    }
    return inet_pton(AF_INET, text, binary) == 1 ? text : NULL;
}

int first_line_parse(const struct first_line *line, char *address, size_t len, unsigned *port,
                     char *why, size_t why_len)
{
    char first[QUOTE_LEN];
    char endpoint[QUOTE_LEN];
    if (strchr(line->out, '\n') == NULL) {
        say_what_is_missing(line, why, why_len);
        return -1;
    }
    quote(line->out, first, sizeof first);
    if (strncmp(first, INTRO, strlen(INTRO)) == 0) {
        memcpy(endpoint, first + strlen(INTRO), strlen(first + strlen(INTRO)) + 1);
        const char *found = parse_endpoint(endpoint, port);
        if (found != NULL && strlen(found) < len) {
            memcpy(address, found, strlen(found) + 1);
            return 0;
        }
    }
    (void)snprintf(why, why_len,
                   "the first line of %s was \"%s\", not \"listening on ADDRESS:PORT\"",
                   line->program, first);
    return -1;
}

void first_line_banner(const char *out, char *banner, size_t len)
{
    const char *first_end = strchr(out, '\n');
    if (banner[0] == '\0' && first_end != NULL && strchr(first_end + 1, '\n') != NULL &&
        strncmp(first_end + 1, "totals:", strlen("totals:")) != 0) {
        quote(first_end + 1, banner, len);
    }
}
