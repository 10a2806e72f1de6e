/*
 * faults.c: see faults.h.
 *
 * Only the thread that runs the test is meant: the others, of the kqueue of chapter 05 or of a test
 * that wakes, would make counts that no run repeats.
 */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { FAULTS_MAX = 4, TELLERS_MAX = 2 };

static struct fault faults[FAULTS_MAX];
static size_t fault_count;
static int counts[CALLS];
static size_t asked[CALLS];
static int hits, alone;
static long all_calls;
static atomic_long blocks;
static pthread_t counted_thread;
static enum order wanted_order;
static int pairs;
static void (*tellers[TELLERS_MAX])(int fd);
static void (*happenings[CALLS])(void);

/* ---- orders ---------------------------------------------------------------------------------- */

void faults_reset(void)
{
    fault_count = 0;
    memset(counts, 0, sizeof counts);
    memset(asked, 0, sizeof asked);
    memset(happenings, 0, sizeof happenings);
    hits = 0;
    all_calls = 0;
    counted_thread = pthread_self();
}

void faults_add(struct fault fault)
{
    if (fault_count < FAULTS_MAX)
        faults[fault_count++] = fault;
}

void faults_in_between(enum call call, void (*happens)(void))
{
    happenings[call] = happens;
}

/* ---- what happened --------------------------------------------------------------------------- */

int faults_count(enum call call)
{
    return counts[call];
}

int faults_hits(void)
{
    return hits;
}

long faults_calls(void)
{
    return all_calls;
}

long faults_blocks(void)
{
    return blocks;
}

size_t faults_asked(enum call call)
{
    return asked[call];
}

/* ---- for the wrappers ------------------------------------------------------------------------ */

static bool fault_is_meant(const struct fault *fault, enum call call, int nth)
{
    return fault->call == call && nth >= fault->nth && nth - fault->nth < fault->times;
}

struct verdict faults_judge(enum call call)
{
    struct verdict verdict = {.hit = false};
    if (!pthread_equal(counted_thread, pthread_self()) || alone > 0)
        return verdict;
    void (*happens)(void) = happenings[call];
    happenings[call] = NULL;
    if (happens != NULL)
        happens();
    int nth = counts[call]++;
    all_calls++;
    for (size_t i = 0; i < fault_count; i++) {
        if (fault_is_meant(&faults[i], call, nth)) {
            hits++;
            return (struct verdict){true, faults[i].manner, faults[i].err};
        }
    }
    return verdict;
}

bool faults_fails(enum call call)
{
    struct verdict verdict = faults_judge(call);
    if (verdict.hit)
        errno = verdict.err;
    return verdict.hit;
}

void faults_leave_alone(bool on)
{
    if (pthread_equal(counted_thread, pthread_self()))
        alone += on ? 1 : -1;
}

void faults_note_block(int change)
{
    if (alone == 0)
        blocks += change;
}

void faults_note_asked(enum call call, size_t len)
{
    if (alone == 0)
        asked[call] = len;
}

/* ---- order ----------------------------------------------------------------------------------- */

void faults_order(enum order order)
{
    wanted_order = order;
    pairs = 0;
}

int faults_pairs(void)
{
    return pairs;
}

bool faults_swaps(bool cancel_is_first)
{
    pairs++;
    return wanted_order != ORDER_AS_IT_IS &&
           cancel_is_first != (wanted_order == ORDER_CANCEL_FIRST);
}

/* ---- telling again --------------------------------------------------------------------------- */

void faults_teller(void (*tell)(int fd))
{
    for (size_t i = 0; i < TELLERS_MAX; i++) {
        if (tellers[i] == tell)
            return;
        if (tellers[i] == NULL) {
            tellers[i] = tell;
            return;
        }
    }
}

void faults_tell_again(int fd)
{
    int saved = errno;
    for (size_t i = 0; i < TELLERS_MAX && tellers[i] != NULL; i++)
        tellers[i](fd);
    errno = saved;
}
