/*
 * pattern: bytes whose value depends on their place in the stream.
 *
 * A byte that is lost, doubled, moved or taken from another client's stream no longer fits its
 * place, so one comparison finds every kind of damage, and says where it began.
 */
#ifndef HARNESS_PATTERN_H
#define HARNESS_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/**
 * Fills buf with bytes offset .. offset+len-1 of the stream `seed`. All 256 values occur, zero
 * too.
 */
void pattern_fill(void *buf, size_t len, uint64_t offset, uint32_t seed);

/** The index of the first byte of buf that does not fit its place; len when all fit. */
size_t pattern_mismatch(const void *buf, size_t len, uint64_t offset, uint32_t seed);

#endif
