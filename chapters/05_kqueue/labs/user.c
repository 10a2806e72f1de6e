/*
 * Lab: three threads trigger one user event before anybody looks. How many events are that?
 *
 * EVFILT_USER belongs to the program alone: no descriptor, no kernel object, only an ident of its
 * own choice and 24 bits in fflags. Any thread may trigger it, and whoever sleeps in kevent() wakes
 * up. It is what a self-pipe or an eventfd is elsewhere, without the descriptors.
 *
 *     NOTE_TRIGGER              makes it happen
 *     NOTE_FFOR | bits          adds bits to what is told
 *     EV_CLEAR                  told once; without it, told until it is deleted
 *
 * Old NetBSD and OpenBSD have no such filter; there a pipe does the same (see kq.c).
 */
#include <pthread.h>

#include "kq_lab.h"

enum { IDENT = 1, THREADS = 3, ROOM = 8, QUIET_MS = 50, PATIENCE_MS = 2000 };

static int queue;

static struct kevent user_event(kq_flags flags, unsigned fflags)
{
    return kq_change(IDENT, EVFILT_USER, flags, fflags, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *sleep_in_kevent(void *woken)
{
    struct kevent event;
    *(bool *)woken = kq_next(queue, &event, lab_patience_ms(PATIENCE_MS));
    return NULL;
}

static void *trigger_one_bit(void *number)
{
    unsigned bit = 1U << *(const int *)number;
    kq_must(queue, user_event(0, NOTE_TRIGGER | NOTE_FFOR | bit));
    return NULL;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void wake_a_sleeper(void)
{
    pthread_t sleeper;
    bool woken = false;
    lab_say("1. A thread sleeps in kevent(); another one triggers.");
    kq_must(queue, user_event(EV_ADD | EV_CLEAR, 0));
    lab_must_zero(pthread_create(&sleeper, NULL, sleep_in_kevent, &woken), "pthread_create");
    kq_must(queue, user_event(0, NOTE_TRIGGER));
    lab_must_zero(pthread_join(sleeper, NULL), "pthread_join");
    lab_word("sleeper_woken", kq_yes(woken));
    lab_expect(woken, "it wakes who sleeps");
    kq_must(queue, user_event(EV_DELETE, 0));
}

static void trigger_three_times(void)
{
    struct kevent events[ROOM];
    pthread_t threads[THREADS];
    int numbers[THREADS];
    lab_say("2. %d threads trigger, each with a bit of its own; then somebody looks.", THREADS);
    kq_must(queue, user_event(EV_ADD | EV_CLEAR, 0));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        lab_must_zero(pthread_create(&threads[i], NULL, trigger_one_bit, &numbers[i]),
                      "pthread_create");
    }
    for (int i = 0; i < THREADS; i++)
        lab_must_zero(pthread_join(threads[i], NULL), "pthread_join");
    int n = kq_wait(queue, events, ROOM, lab_patience_ms(PATIENCE_MS));
    unsigned bits = n > 0 ? (unsigned)events[0].fflags & NOTE_FFLAGSMASK : 0;
    lab_figure("three_triggers_events", n, "");
    lab_figure("three_triggers_bits", bits, "= 1 + 2 + 4");
    lab_expect(n == 1 && bits == 7, "one event, and all bits are in it");
    n = kq_wait(queue, events, ROOM, QUIET_MS);
    lab_figure("clear_told_again", n, "times");
    lab_expect(n == 0, "with EV_CLEAR it is told once");
    kq_must(queue, user_event(EV_DELETE, 0));
}

static void trigger_without_clear(void)
{
    struct kevent event;
    int times = 0;
    lab_say("3. The same without EV_CLEAR; the program looks three times.");
    kq_must(queue, user_event(EV_ADD, 0));
    kq_must(queue, user_event(0, NOTE_TRIGGER));
    for (int i = 0; i < 3; i++)
        times += kq_next(queue, &event, 0) ? 1 : 0;
    lab_figure("level_told", times, "times");
    lab_expect(times == 3, "it is told at every look: a loop that forgets EV_CLEAR spins");
}

int main(void)
{
    lab_question("Three threads trigger the same user event, each with another bit and NOTE_FFOR. "
                 "Then the loop looks. What does it get?",
                 "Three events, each with its own bit.", "One event, with all three bits.",
                 "One event, with the bit of the last thread.", 'b',
                 "Does another program or library use the same ident in this queue?");
    if (!KQ_HAS_USER)
        lab_skip("this system has no EVFILT_USER");
    queue = kq_queue();
    wake_a_sleeper();
    trigger_three_times();
    trigger_without_clear();
    (void)close(queue);
    return kq_finding(NULL, "triggers add up to one event: `look`, never `how many`");
}
