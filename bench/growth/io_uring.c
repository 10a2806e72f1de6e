/*
 * io_uring: one POLL_ADD for each descriptor, submitted again after it has completed, together with
 * the next wait: one system call for both. (A server would submit the recv itself.)
 */
#include "growth.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES = 1024, COMPLETIONS = 32768 };

const char mechanism_name[] = "io_uring";
static struct io_uring ring;

bool mechanism_open(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};
    int err = io_uring_queue_init_params(ENTRIES, &ring, &params);
    if (err == -EINVAL) /* an older kernel */
        err = io_uring_queue_init(ENTRIES, &ring, 0);
    if (err < 0)
        (void)fprintf(stderr, "io_uring does not work here: %s\n", strerror(-err));
    return err == 0;
}

void mechanism_add(int fd)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    if (entry == NULL) { /* full: hand over what is in it */
        growth_must(io_uring_submit(&ring) > 0, "io_uring_submit");
        entry = io_uring_get_sqe(&ring);
    }
    growth_must(entry != NULL, "io_uring_get_sqe");
    io_uring_prep_poll_add(entry, fd, POLLIN);
    io_uring_sqe_set_data(entry, (void *)(intptr_t)fd);
}

void mechanism_wait(void)
{
    struct io_uring_cqe *completion;
    unsigned head, seen = 0;
    growth_must(io_uring_submit_and_wait(&ring, 1) >= 0, "io_uring_enter");
    io_uring_for_each_cqe(&ring, head, completion)
    {
        int fd = (int)(intptr_t)io_uring_cqe_get_data(completion);
        growth_ready(fd);
        mechanism_add(fd);
        seen++;
    }
    io_uring_cq_advance(&ring, seen);
}
