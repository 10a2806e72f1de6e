/*
 * test_kqueue: what kqueue(2) promises, each filter, each flag and each rule as a claim.
 *
 * It holds for every kernel that has a kqueue, and for the emulation of chapter 05, which is linked
 * in on Linux; it knows of no difference between the two. The tests stand in tests/kqueue/, one
 * file for each group.
 */
#include "kqueue_case.h"

int main(void)
{
    int failed = run_changes();
    failed += run_flags();
    failed += run_descriptors();
    failed += run_closing();
    failed += run_timers();
    failed += run_happenings();
    failed += run_threads();
    failed += run_crowds();
    return failed;
}
