/*
 * guests: many connections of mixed temper, for as long as one likes, in one thread over poll().
 *
 * There are always `count` places. In each of them a guest lives: it connects, talks, and leaves in
 * its own manner; then the next one takes the place, with bytes of its own. A guest is
 *     steady    a short message now and then, and waits for each answer
 *     bursty    silent, then up to 64 KiB at once
 *     slow      sends 512 KiB through small buffers, and reads nothing until nothing goes out any
 *               more: the server's send() takes a part, then nothing. Then it reads in small pieces
 *     reset     steady, then a burst, and a reset (RST) right behind it
 *     half      a burst, and half-close: all of it and the end of the stream must come back
 *     vanish    sends, reads nothing, says nothing for long; then it is gone, answers unread.
 *               (Nobody can leave without FIN or RST here: the kernel speaks for those who die.
 *               What a server has of one whose cable was cut is silence, and silence it gets.)
 *
 * Every eighth place is for the slow and the vanishing ones, so the bytes that they make a server
 * hold are bounded (fewer than eight places have guests of each kind).
 *
 * Life of a guest:
 *
 *     AWAY -> TALKING <-> RESTING        a message and its answer; a pause
 *               |  |
 *               |  +--> LEAVING -> AWAY  has half-closed, waits for the rest and the end
 *               |  +--> SILENT  -> AWAY  vanishes later
 *               +-----> AWAY             closed when nothing was owed, or reset
 *
 * Each byte that comes back is compared with what belongs at its place (harness/pattern.h), of the
 * rude ones, too. Who does not leave rudely leaves with as many bytes as it has sent, or it is an
 * error, and the first error ends it all.
 */
#ifndef SOAK_GUESTS_H
#define SOAK_GUESTS_H

#include "harness/client.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum temper { STEADY, BURSTY, SLOW, RESET, HALF, VANISH, TEMPERS };
enum guest_phase { AWAY, TALKING, RESTING, LEAVING, SILENT };

struct guest {
    struct client client;
    enum temper temper;
    enum guest_phase phase;
    bool reads;      /* a slow one: has begun to read what came back      */
    int turns;       /* messages that are still to come, this one too     */
    uint64_t goal;   /* client.sent, when this message is out             */
    int64_t act_ns;  /* the next thing that it does by itself             */
    int64_t late_ns; /* by then a byte must have come back, or gone out   */
};

struct guests {
    /* Filled in by guests_open(). */
    const struct server *server;
    struct guest *all;
    struct pollfd *polled;
    int count;
    bool lines;      /* lines of capitals: step 3 of chapter 03 answers them unchanged */
    int64_t beat_ns; /* the unit of all pauses: fewer guests make shorter ones         */
    uint32_t random;
    bool gathering; /* all come, and nobody leaves yet */
    bool closing;   /* nobody comes any more; who is there finishes and leaves */

    /* As of now. */
    int present;
    uint64_t arrived;  /* connections made                                          */
    uint64_t whole;    /* who left with all its bytes                               */
    uint64_t put_off;  /* connections put off: no port, or no memory, on our side   */
    uint64_t sent;     /* bytes, of those who have left                             */
    uint64_t received; /* the same, come back and right                             */
    char why[256];     /* what went wrong, in words                                 */
};

/** Makes `count` places. 0, or -1 when there is no memory. */
int guests_open(struct guests *guests, const struct server *server, int count, bool lines);

/**
 * Lets as many come as there are places, each with a burst, and all stay until the last one has
 * its answer; the slow ones have not begun to read by then, and the server holds bytes for them:
 * so it has used all memory that so many can make it use for good reason.
 * 0, or -1 with the reason in guests->why.
 */
int guests_gather(struct guests *guests);

/**
 * Lets them live until then (as clock_now_ns()), and until so many have come: on a busy machine
 * time alone says little. 0, or -1 with the reason in guests->why.
 */
int guests_live(struct guests *guests, int64_t until_ns, uint64_t arrived);

/** Lets all leave, each in its manner. 0, or -1 with the reason in guests->why. */
int guests_leave(struct guests *guests);

/** Closes what is still open. */
void guests_close(struct guests *guests);

#endif
