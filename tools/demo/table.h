/*
 * table: what the three acts have shown, in one table of at most 80 columns.
 */
#ifndef DEMO_TABLE_H
#define DEMO_TABLE_H

#include "acts.h"

/** Prints the table, and what it proves about the bytes. */
void table_print(const struct play *play);

/** Prints what `make test` and `make setup` would add. */
void table_print_next(void);

#endif
