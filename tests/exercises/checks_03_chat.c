/*
 * checks_03_chat: what exercise 03.4 asks for: who says a line says it to all others, and one who
 * does not read is nobody else's trouble.
 */
#include "checks.h"

#include "../contract/rows.h"
#include "../harness/clock.h"

#include <stdio.h>
#include <string.h>

enum { TALKER, READER, THIRD, MEMBERS };
enum { LINE = 512, LINES_PER_TURN = 32, TURNS = 768, QUIET_MS = 300, SMALL_WINDOW = 64 * 1024 };

/* --- words ------------------------------------------------------------------------------------ */

static bool hears(struct contract_run *run, struct client *c, const char *want, const char *who)
{
    char back[64];
    size_t len = strlen(want);
    enum outcome o = client_expect_raw(c, back, len, patience(run));
    if (!went_well(run, o, who))
        return false;
    return memcmp(back, want, len) == 0 ||
           red(run, WRONG_BYTES, "%s got \"%.*s\" and not \"%.*s\"", who,
               (int)strcspn(back, "\n") < (int)len ? (int)strcspn(back, "\n") : (int)len, back,
               (int)len - 1, want);
}

static bool says(struct contract_run *run, struct client *c, const char *words)
{
    return sends_raw(run, c, words, strlen(words));
}

/** Three members come, the last one with a small window. When the others hear it, all are in. */
static bool all_join(struct contract_run *run, struct client *c)
{
    bool ok = starts(run);
    for (int i = 0; i < MEMBERS; i++) {
        c[i] = new_client((uint32_t)(2401 + i));
        c[i].receive_buffer = i == THIRD ? SMALL_WINDOW : 0;
        ok = ok && connects(run, &c[i]);
    }
    return ok && says(run, &c[THIRD], "here\n") &&
           hears(run, &c[TALKER], "here\n", "the first member") &&
           hears(run, &c[READER], "here\n", "the second member");
}

static void all_leave(struct client *c)
{
    for (int i = 0; i < MEMBERS; i++)
        client_close(&c[i]);
}

void says_to_all_others(struct contract_run *run)
{
    struct client c[MEMBERS];
    did(run, "was three members; one said \"hello\", then another one said \"hi\"");
    (void)(all_join(run, c) && says(run, &c[TALKER], "hello\n") &&
           hears(run, &c[READER], "hello\n", "the second member") &&
           hears(run, &c[THIRD], "hello\n", "the third member") && says(run, &c[READER], "hi\n") &&
           hears(run, &c[TALKER], "hi\n", "the first talker") &&
           hears(run, &c[THIRD], "hi\n", "the third member"));
    all_leave(c);
}

void talkers_do_not_mix(struct contract_run *run)
{
    struct client c[MEMBERS];
    did(run, "said \"one \"; another member said \"two \"; then each said the rest of its line");
    (void)(all_join(run, c) && says(run, &c[TALKER], "one ") && says(run, &c[THIRD], "two ") &&
           says(run, &c[TALKER], "more\n") &&
           hears(run, &c[READER], "one more\n", "the second member") &&
           says(run, &c[THIRD], "end\nand one more\n") &&
           hears(run, &c[READER], "two end\nand one more\n", "the second member"));
    all_leave(c);
}

/* --- a slow member ---------------------------------------------------------------------------- */

/** Line number n, always LINE bytes. */
static void line_number(char *line, unsigned n)
{
    memset(line, 'a' + (int)(n % 26), LINE);
    (void)snprintf(line, 16, "line %07u", n);
    line[12] = ' ';
    line[LINE - 1] = '\n';
}

/** The talker says some lines, the reader gets them; never more than a queue may hold. */
static bool takes_a_turn(struct contract_run *run, struct client *c, unsigned turn)
{
    static char said[LINE * LINES_PER_TURN], heard[sizeof said];
    for (unsigned i = 0; i < LINES_PER_TURN; i++)
        line_number(said + i * LINE, turn * LINES_PER_TURN + i);
    if (!sends_raw(run, &c[TALKER], said, sizeof said))
        return false;
    enum outcome o = client_expect_raw(&c[READER], heard, sizeof heard, patience(run));
    return went_well(run, o, "the member who reads, while another one does not") &&
           (memcmp(said, heard, sizeof said) == 0 ||
            red(run, WRONG_BYTES, "the member who reads got other bytes than were said"));
}

static bool talks_past_the_slow_one(struct contract_run *run, struct client *c)
{
    bool ok = all_join(run, c);
    did(run, "said %d MiB to two members, of whom one read everything and one nothing",
        (int)(TURNS * LINES_PER_TURN * LINE / (int)MIB));
    for (unsigned turn = 0; ok && turn < TURNS; turn++)
        ok = takes_a_turn(run, c, turn);
    return ok;
}

void slow_member_delays_nobody(struct contract_run *run)
{
    struct client c[MEMBERS];
    (void)talks_past_the_slow_one(run, c);
    all_leave(c);
}

/** What has come to the slow one: the first lines, each whole, and then the end. */
static void got_the_first_lines(struct contract_run *run, struct client *slow)
{
    enum { ALL = TURNS * LINES_PER_TURN };
    char line[LINE], want[LINE];
    unsigned n = 0;
    enum outcome o = CLIENT_OK;
    for (; n < ALL; n++) {
        line_number(want, n);
        o = client_expect_raw(slow, line, LINE, deadline_in_ms(QUIET_MS));
        if (o != CLIENT_OK)
            break;
        if (memcmp(line, want, LINE) != 0) {
            (void)red(run, WRONG_BYTES,
                      "after %u whole lines the slow member got something that nobody has said", n);
            return;
        }
    }
    if (n == ALL)
        (void)red(run, UNBOUNDED_MEMORY, "all of it had been kept for the one who did not read");
    else if (o == CLIENT_TIMEOUT)
        (void)red(run, LOST_BYTES,
                  "the slow member got %u of %d lines and is a member still: it has missed the "
                  "rest, and cannot know",
                  n, (int)ALL);
    else if (o != CLIENT_CLOSED)
        (void)went_well(run, o, "the slow member, who read at last");
}

void slow_member_keeps_the_rule(struct contract_run *run)
{
    struct client c[MEMBERS];
    if (talks_past_the_slow_one(run, c)) {
        did(run, "said %d MiB; one member read nothing meanwhile, and then all that was there",
            (int)(TURNS * LINES_PER_TURN * LINE / (int)MIB));
        got_the_first_lines(run, &c[THIRD]);
    }
    all_leave(c);
}
