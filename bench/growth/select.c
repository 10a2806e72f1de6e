/*
 * select: the row of bits is copied for each call, since the call overwrites it. FD_SETSIZE is
 * libc's limit, not the kernel's: this row of bits is longer than an fd_set, and the call is made
 * without libc's check (chapter 03, lab fd_set_past_the_end).
 */
#define _DARWIN_UNLIMITED_SELECT /* macOS: without it select() refuses more than FD_SETSIZE */

#include "growth.h"

#include <string.h>
#include <sys/select.h>

enum { WORD_BITS = 8 * sizeof(unsigned long), WORDS = GROWTH_FDS_MAX / WORD_BITS };

const char mechanism_name[] = "select";
static unsigned long watched[WORDS], asked[WORDS];
static int highest;

bool mechanism_open(void)
{
    return true;
}

void mechanism_add(int fd)
{
    watched[fd / WORD_BITS] |= 1UL << (fd % WORD_BITS);
    highest = fd > highest ? fd : highest;
}

void mechanism_wait(void)
{
    const size_t words = (size_t)highest / WORD_BITS + 1;
    memcpy(asked, watched, words * sizeof *asked);
    int left = select(highest + 1, (fd_set *)(void *)asked, NULL, NULL, NULL);
    growth_must(left > 0, "select");
    for (int fd = 0; fd <= highest && left > 0; fd++) {
        if ((asked[fd / WORD_BITS] >> (fd % WORD_BITS) & 1) == 0)
            continue;
        growth_ready(fd);
        left--;
    }
}
