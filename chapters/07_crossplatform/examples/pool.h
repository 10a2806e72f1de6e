/*
 * pool: buffers of one size, lent to those clients that are just now doing something.
 *
 * A completion queue borrows the buffer of a recv until the bytes have come. With a buffer for each
 * client ten thousand silent ones would hold ten thousand buffers. So a silent client waits with
 * evq_readable(), which borrows nothing, and takes a buffer from here when there is something to
 * read.
 *
 * Those that come back are kept for the next one, up to a bound; the rest are freed.
 */
#ifndef POOL_H
#define POOL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pool {
    size_t size;      /* of each buffer            */
    size_t kept;      /* how many lie in the list  */
    size_t most_kept; /* its bound                 */
    void *first;      /* a free buffer begins with a pointer to the next one */
};

/** @param size  of a buffer, at least that of a pointer. Allocates nothing yet. */
void pool_init(struct pool *pool, size_t size, size_t most_kept);

/** A buffer, whose contents are anything; NULL when there is no memory. Thread: one per pool. */
void *pool_take(struct pool *pool);

/** Gives one back. NULL is allowed. */
void pool_give(struct pool *pool, void *buf);

/** Frees those that lie in the pool. */
void pool_free(struct pool *pool);

#ifdef __cplusplus
}
#endif

#endif
