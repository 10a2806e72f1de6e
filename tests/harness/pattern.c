/*
 * pattern: see pattern.h.
 *
 * Eight bytes are made at a time: the number of the eight, stirred together with the seed until
 * each bit of it has moved about half of the bits of the result (multiply by an odd number to
 * spread bits upwards, shift and xor to bring them down again). A counter modulo 256 would be
 * cheaper, but blind to a loss of exactly 256 bytes, or of 4,096: just the sizes of buffers.
 *
 * The order of the bytes inside the eight is the machine's own. Both ends of a test run on one
 * machine, so nobody can see it.
 */
#include "pattern.h"

#include <string.h>

enum { WORD = sizeof(uint64_t), CHUNK = 4096 };

static uint64_t stir(uint64_t number, uint64_t salt)
{
    uint64_t x = (number ^ salt) * 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xa0761d6478bd642fu;
    x ^= x >> 29;
    return x;
}

/** Seeds that are neighbours must not give streams that are neighbours. */
static uint64_t salt_of(uint32_t seed)
{
    return stir(seed + (uint64_t)1, 0x5851f42d4c957f2du);
}

void pattern_fill(void *buf, size_t len, uint64_t offset, uint32_t seed)
{
    unsigned char *to = buf;
    const uint64_t salt = salt_of(seed);
    uint64_t number = offset / WORD;
    size_t skip = (size_t)(offset % WORD);

    while (len > 0) {
        uint64_t word = stir(number++, salt);
        size_t n = len < WORD - skip ? len : WORD - skip;
        if (n == WORD) {
            memcpy(to, &word, WORD);
        } else { /* the ragged first or last piece */
            memcpy(to, (const unsigned char *)&word + skip, n);
        }
        to += n;
        len -= n;
        skip = 0;
    }
}

size_t pattern_mismatch(const void *buf, size_t len, uint64_t offset, uint32_t seed)
{
    const unsigned char *have = buf;
    unsigned char want[CHUNK];

    for (size_t at = 0; at < len;) {
        size_t n = len - at < CHUNK ? len - at : CHUNK;
        pattern_fill(want, n, offset + at, seed);
        if (memcmp(have + at, want, n) != 0) {
            while (have[at] == want[at % CHUNK]) {
                at++;
            }
            return at;
        }
        at += n;
    }
    return len;
}
