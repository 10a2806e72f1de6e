/*
 * counter: see counter.h.
 */
#include "counter.h"

#include "../contract/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool counter_open(struct contract_run *run, struct counter *counter)
{
    const char *folder = getenv("TMPDIR");
    (void)snprintf(counter->path, sizeof counter->path, "%s/count_calls_XXXXXX",
                   folder != NULL ? folder : "/tmp");
    counter->counts = MAP_FAILED;
    int fd = mkstemp(counter->path);
    if (fd >= 0 && ftruncate(fd, (off_t)sizeof *counter->counts) == 0)
        counter->counts =
            mmap(NULL, sizeof *counter->counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int err = errno;
    if (fd >= 0)
        close(fd);
    if (counter->counts == MAP_FAILED)
        return skip_row(run, "no file to count calls in: %s", strerror(err));
    (void)setenv("COUNT_CALLS", counter->path, 1);
    return true;
}

void counter_close(struct counter *counter)
{
    (void)unsetenv("COUNT_CALLS");
    (void)unlink(counter->path);
    if (counter->counts != MAP_FAILED)
        (void)munmap(counter->counts, sizeof *counter->counts);
}

unsigned long calls_of(const struct counter *counter, enum counted_call call)
{
    return atomic_load(&counter->counts->of[call]);
}

unsigned long all_calls(const struct counter *counter)
{
    unsigned long sum = 0;
    for (int call = 0; call < COUNTED_CALLS; call++)
        sum += calls_of(counter, (enum counted_call)call);
    return sum;
}
