/*
 * bind_in_assert_ndebug: bind_in_assert.c as a release build has it.
 */
#ifndef NDEBUG
#define NDEBUG
#endif
#include "bind_in_assert.c"
