#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void pool_init(struct pool *pool, size_t size, size_t most_kept)
{
    assert(size >= sizeof(void *));
    *pool = (struct pool){.size = size, .most_kept = most_kept};
}

void *pool_take(struct pool *pool)
{
    void *buf = pool->first;
    if (buf == NULL)
        return malloc(pool->size);
    memcpy(&pool->first, buf, sizeof pool->first);
    pool->kept--;
    return buf;
}

void pool_give(struct pool *pool, void *buf)
{
    if (buf == NULL)
        return;
    if (pool->kept == pool->most_kept) {
        free(buf);
        return;
    }
    memcpy(buf, &pool->first, sizeof pool->first);
    pool->first = buf;
    pool->kept++;
}

void pool_free(struct pool *pool)
{
    while (pool->first != NULL) {
        void *buf = pool_take(pool);
        free(buf);
    }
}
