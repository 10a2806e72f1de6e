/*
 * Exercise 03.3, Wake me: a solution.
 *
 *     solution early|sleepy|race COUNT
 *
 * A post puts the work into a list, under a lock, and then one byte into a pipe that the loop waits
 * for. Both ends of the pipe are non-blocking: when it is full, the loop has enough to wake up for,
 * and the byte is not needed. The loop empties the pipe first and takes the list afterwards, so
 * whatever is posted in between leaves a byte behind.
 */
#include "nonblocking.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POSTERS = 2, MOST = 10000000 };

struct work {
    struct work *next;
    uint64_t number;
};

struct mailbox {
    pthread_mutex_t lock; /* guards the list */
    struct work *first, **end;
    int wake[2]; /* a pipe: the loop waits for [0], who posts writes to [1] */
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the mailbox ---- */

static void mailbox_open(struct mailbox *box)
{
    pthread_mutex_init(&box->lock, NULL);
    box->first = NULL;
    box->end = &box->first;
    if (pipe(box->wake) < 0 || nonblocking_set(box->wake[0]) < 0 ||
        nonblocking_set(box->wake[1]) < 0)
        die("pipe");
}

/* Called by any thread. */
static void mailbox_post(struct mailbox *box, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&box->lock);
    *box->end = work;
    box->end = &work->next;
    pthread_mutex_unlock(&box->lock);
    while (write(box->wake[1], "", 1) < 0 && errno == EINTR) {
    } /* EAGAIN: the pipe is full, so the loop will wake up anyway */
}

/* Called by the loop: all that has been posted, oldest first; NULL when there is nothing. */
static struct work *mailbox_take(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct work *all = box->first;
    box->first = NULL;
    box->end = &box->first;
    pthread_mutex_unlock(&box->lock);
    return all;
}

/* Called by the loop: sleeps until something has been posted. */
static void mailbox_wait(struct mailbox *box)
{
    char bytes[4096];
    struct pollfd wait = {.fd = box->wake[0], .events = POLLIN};
    if (poll(&wait, 1, -1) < 0 && errno != EINTR)
        die("poll");
    while (read(box->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    } /* EAGAIN or a short count: empty. If not, poll() returns at once the next time */
}

/* ---- the loop ---- */

/* Handles `count` works. After each one it writes a byte to `handled`, unless that is -1. */
static uint64_t loop_run(struct mailbox *box, uint64_t count, int handled)
{
    uint64_t sum = 0;
    while (count > 0) {
        mailbox_wait(box);
        for (struct work *work = mailbox_take(box); work != NULL; work = work->next) {
            sum += work->number;
            count--;
            if (handled >= 0 && write(handled, "", 1) != 1)
                die("write");
        }
    }
    return sum;
}

/* ---- those who post (nothing to change below) ---- */

struct poster {
    pthread_t thread;
    struct mailbox *box;
    struct work *works;
    size_t count;
    int handled; /* waits here for a byte after each post; -1: does not wait */
};

static void *run_poster(void *arg)
{
    struct poster *poster = arg;
    char byte;
    for (size_t i = 0; i < poster->count; i++) {
        mailbox_post(poster->box, &poster->works[i]);
        if (poster->handled >= 0 && read(poster->handled, &byte, 1) != 1)
            die("read");
    }
    return NULL;
}

static void start(struct poster *poster)
{
    errno = pthread_create(&poster->thread, NULL, run_poster, poster);
    if (errno != 0)
        die("pthread_create");
}

/* early: all is posted before the loop begins to wait. sleepy: one after the other. race: two
 * threads post as fast as they can. */
static uint64_t run(const char *how, struct mailbox *box, struct work *works, size_t count)
{
    int handled[2] = {-1, -1};
    bool early = strcmp(how, "early") == 0, race = strcmp(how, "race") == 0;
    size_t half = race ? count / 2 : count;
    if (strcmp(how, "sleepy") == 0 && pipe(handled) < 0)
        die("pipe");
    struct poster posters[POSTERS] = {
        {.box = box, .works = works, .count = half, .handled = handled[0]},
        {.box = box, .works = works + half, .count = count - half, .handled = handled[0]}};
    size_t threads = race ? POSTERS : 1;
    for (size_t i = 0; i < threads; i++)
        start(&posters[i]);
    if (early)
        pthread_join(posters[0].thread, NULL);
    uint64_t sum = loop_run(box, count, handled[1]);
    for (size_t i = early ? 1 : 0; i < threads; i++)
        pthread_join(posters[i].thread, NULL);
    return sum;
}

int main(int argc, char **argv)
{
    unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (count < 1 || count > MOST) {
        (void)fprintf(stderr, "usage: %s early|sleepy|race COUNT\n", argv[0]);
        return 2;
    }
    struct mailbox box;
    struct work *works = calloc(count, sizeof *works);
    if (works == NULL)
        die("calloc");
    for (size_t i = 0; i < count; i++)
        works[i].number = i + 1;
    mailbox_open(&box);
    uint64_t sum = run(argv[1], &box, works, count);
    printf("handled %lu, sum %llu\n", count, (unsigned long long)sum);
    free(works);
}
