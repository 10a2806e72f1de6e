/*
 * rows_bytes: what one client sends comes back to it, whole, in order, and to nobody else.
 */
#include "rows.h"

#include "../harness/clock.h"

#include <inttypes.h>
#include <string.h>

/* --- echoes_bytes_in_order -------------------------------------------------------------------- */

/** A client that only reads when nothing more can be sent: the server must hold back, not drop. */
static bool echoes_to_one_who_reads_late(struct contract_run *run)
{
    struct client c = new_client(77);
    bool ok = connects(run, &c) && floods(run, &c, 8 * MIB) &&
              gets_back(run, &c, (size_t)(c.sent - c.received));
    if (!ok)
        did(run, "sent %" PRIu64 " bytes, as many as fitted, and read only then", c.sent);
    client_close(&c);
    return ok;
}

static bool echoes_to_one_who_reads_meanwhile(struct contract_run *run, size_t size, size_t piece)
{
    struct client c = new_client((uint32_t)size);
    did(run, "sent %zu bytes in pieces of up to %zu, reading at the same time", size, piece);
    bool ok = connects(run, &c) && exchanges(run, &c, size, piece);
    client_close(&c);
    return ok;
}

/* The one who reads late comes before the long exchange: whoever forgets what had no room fails
 * there each time, and in the exchange only when its reader happens to fall behind. */
void echoes_bytes_in_order(struct contract_run *run)
{
    if (!starts(run))
        return;
    (void)(echoes_to_one_who_reads_meanwhile(run, 1, 1) &&
           echoes_to_one_who_reads_meanwhile(run, 1000, 300) &&
           echoes_to_one_who_reads_meanwhile(run, 64 * KIB, 10000) &&
           echoes_to_one_who_reads_late(run) &&
           echoes_to_one_who_reads_meanwhile(run, 8 * MIB, 200000));
}

/* --- binary_safe ------------------------------------------------------------------------------ */

static bool returns_raw(struct contract_run *run, const unsigned char *sent, size_t len)
{
    unsigned char back[1024];
    struct client c = new_client(1);
    bool ok = connects(run, &c) && sends_raw(run, &c, sent, len);
    if (ok) {
        enum outcome o = client_expect_raw(&c, back, len, patience(run));
        if (o == CLIENT_TIMEOUT)
            ok = red(run, LOST_BYTES, "fewer than %zu bytes came back", len);
        else
            ok = went_well(run, o, "while reading the bytes back");
    }
    for (size_t i = 0; ok && i < len; i++)
        if (back[i] != sent[i])
            ok = red(run, WRONG_BYTES, "byte %zu was sent as %u and came back as %u", i,
                     (unsigned)sent[i], (unsigned)back[i]);
    client_close(&c);
    return ok;
}

void binary_safe(struct contract_run *run)
{
    unsigned char zeros[1000] = {0}, all[512],
                  mixed[] = {'a', 'b', 0, 'c', '\r', '\n', 0, 4, 26, 255};
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    if (!starts(run))
        return;
    did(run, "sent 10 bytes with zeros and control characters between letters");
    if (!returns_raw(run, mixed, sizeof mixed))
        return;
    did(run, "sent 1,000 zeros");
    if (!returns_raw(run, zeros, sizeof zeros))
        return;
    did(run, "sent all 256 values, twice");
    (void)returns_raw(run, all, sizeof all);
}

/* --- no_cross_talk ---------------------------------------------------------------------------- */

//! [one_batch]
/** Both clients send while the server is stopped, so it wakes up and finds two clients ready. */
static bool one_batch(struct contract_run *run, struct client *a, struct client *b, size_t n_a,
                      size_t n_b)
{
    did(run, "two served clients sent %zu and %zu bytes while the server was stopped", n_a, n_b);
    bool ok = freezes(run) && sends(run, a, n_a) && sends(run, b, n_b) && arrives(run, a) &&
              arrives(run, b);
    thaws(run);
    return ok && gets_back(run, a, n_a) && gets_back(run, b, n_b);
}
//! [one_batch]

void no_cross_talk(struct contract_run *run)
{
    static const size_t sizes[][2] = {{100, 100}, {1, 1000}, {1000, 1}, {4000, 4000}, {5000, 64}};
    struct client a = new_client(0xa), b = new_client(0xb);
    if (!starts(run))
        return;
    did(run, "two clients connected, and each wanted to be served once");
    bool ok = connects(run, &a) && connects(run, &b) && pings(run, &a) && pings(run, &b);
    for (size_t i = 0; ok && i < sizeof sizes / sizeof sizes[0]; i++)
        ok = one_batch(run, &a, &b, sizes[i][0], sizes[i][1]);
    client_close(&a);
    client_close(&b);
}

/* --- half_close_is_answered ------------------------------------------------------------------- */

/** Sends up to n bytes (a server with a bounded buffer need not take all), shuts, and then reads.
 *  In one batch means: while the server is stopped, so that it finds data and end together. */
static bool shuts_then_reads(struct contract_run *run, size_t n, bool in_one_batch)
{
    struct client c = new_client(5);
    bool ok = connects(run, &c) && (!in_one_batch || (pings(run, &c) && freezes(run))) &&
              floods(run, &c, n) && shuts_writing(run, &c) && (!in_one_batch || arrives(run, &c));
    thaws(run);
    did(run, "sent %" PRIu64 " bytes, shut down its writing side, then began to read%s", c.sent,
        in_one_batch ? "; the server found the bytes and the end at once" : "");
    ok = ok && gets_back(run, &c, (size_t)(c.sent - c.received)) && sees_the_end(run, &c);
    client_close(&c);
    return ok;
}

void half_close_is_answered(struct contract_run *run)
{
    if (starts(run) && shuts_then_reads(run, MIB, false) && shuts_then_reads(run, 5, false) &&
        shuts_then_reads(run, 5000, true))
        (void)shuts_then_reads(run, 0, false);
}
