/*
 * evq_timers.c: the timers, in a pairing heap whose links lie in the operations.
 *
 * A heap keeps one thing cheap: to find what is due first. A *pairing heap* is a tree in which no
 * child is due before its parent, and nothing else is promised. To *meld* two such trees, the root
 * that is due later becomes the first child of the other. Everything is made of that:
 *
 *     add      meld the heap with the new one                                             O(1)
 *     take     the root goes; its children are melded in pairs, left to right, and the
 *              pairs into one, right to left                                  O(log n) amortized
 *     remove   cut the timer out, meld its children as above, meld the result
 *              with the rest                                                  O(log n) amortized
 *
 * An array would be a heap as well, but it would have to grow, and a submit allocates nothing. The
 * two passes of a take are what makes it fast in the long run (Fredman, Sedgewick, Sleator, Tarjan,
 * "The pairing heap", 1986). Both are loops: a million timers must not be a million stack frames.
 *
 *     child   the first of its children
 *     next    the next child of the same parent
 *     prev    the child before it, or for the first one the parent; NULL for the root
 */
#include "evq_backend.h"

#include <assert.h>

enum { LINK_CHILD, LINK_NEXT, LINK_PREV };

/* ---- links ---------------------------------------------------------------------------------- */

static inline evq_op *timer__get(const evq_op *op, int link)
{
    return op->priv.native.pointers[link];
}

static inline void timer__set(evq_op *op, int link, evq_op *other)
{
    op->priv.native.pointers[link] = other;
}

/* By deadline, then by submission. */
static inline bool timer__before(const evq_op *a, const evq_op *b)
{
    uint64_t a_ns = a->priv.arg.at.deadline_ns, b_ns = b->priv.arg.at.deadline_ns;
    return a_ns != b_ns ? a_ns < b_ns : a->priv.arg.at.number < b->priv.arg.at.number;
}

/* ---- the heap ------------------------------------------------------------------------------- */

/* Both are roots. The result is one, too: its next and prev mean nothing. */
static evq_op *heap__meld(evq_op *a, evq_op *b)
{
    if (timer__before(b, a)) {
        evq_op *earlier = b;
        b = a;
        a = earlier;
    }
    evq_op *child = timer__get(a, LINK_CHILD);
    timer__set(b, LINK_NEXT, child);
    timer__set(b, LINK_PREV, a);
    if (child != NULL)
        timer__set(child, LINK_PREV, b);
    timer__set(a, LINK_CHILD, b);
    return a;
}

/* First pass: pairs, left to right. They are chained by `next` in reverse, for the second pass. */
static evq_op *heap__pair_up(evq_op *first)
{
    evq_op *pairs = NULL;
    while (first != NULL) {
        evq_op *second = timer__get(first, LINK_NEXT);
        evq_op *rest = second != NULL ? timer__get(second, LINK_NEXT) : NULL;
        evq_op *pair = second != NULL ? heap__meld(first, second) : first;
        timer__set(pair, LINK_NEXT, pairs);
        pairs = pair;
        first = rest;
    }
    return pairs;
}

/* One tree of a list of siblings; NULL for none. */
static evq_op *heap__meld_all(evq_op *siblings)
{
    evq_op *root = heap__pair_up(siblings);
    if (root == NULL)
        return NULL;
    evq_op *rest = timer__get(root, LINK_NEXT);
    while (rest != NULL) {
        evq_op *next = timer__get(rest, LINK_NEXT);
        root = heap__meld(root, rest);
        rest = next;
    }
    return root;
}

/* Takes a timer that is not the root away from its parent and siblings; its children stay with it.
 * */
static void heap__cut(evq_op *op)
{
    evq_op *next = timer__get(op, LINK_NEXT), *prev = timer__get(op, LINK_PREV);
    if (timer__get(prev, LINK_CHILD) == op)
        timer__set(prev, LINK_CHILD, next);
    else
        timer__set(prev, LINK_NEXT, next);
    if (next != NULL)
        timer__set(next, LINK_PREV, prev);
}

/* ---- what the rest of the library calls ----------------------------------------------------- */

void evq_timers_add(evq *q, evq_op *op)
{
    op->priv.arg.at.number = ++q->timers_started;
    timer__set(op, LINK_CHILD, NULL);
    q->timers = q->timers != NULL ? heap__meld(q->timers, op) : op;
}

void evq_timers_remove(evq *q, evq_op *op)
{
    evq_op *children = heap__meld_all(timer__get(op, LINK_CHILD));
    if (op == q->timers) {
        q->timers = children;
        return;
    }
    assert(timer__get(op, LINK_PREV) != NULL);
    heap__cut(op);
    if (children != NULL)
        q->timers = heap__meld(q->timers, children);
}

void evq_timers_expire(evq *q)
{
    while (q->timers != NULL && q->timers->priv.arg.at.deadline_ns <= q->now_ns) {
        evq_op *op = q->timers;
        evq_timers_remove(q, op);
        evq_op_done(q, op);
    }
}
