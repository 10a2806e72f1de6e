/*
 * visitors: see visitors.h.
 */
#include "visitors.h"

#include "clock.h"

#include <poll.h>

enum { CONNECT_MS = 2000 };

static const int64_t TELL_EVERY_NS = 100000000;

void visitors_open(struct visitors *v, int64_t every_ns)
{
    *v = (struct visitors){.every_ns = every_ns, .next_ns = clock_now_ns()};
    for (int i = 0; i < VISITORS_MOST; i++)
        v->guest[i].fd = -1;
}

void visitors_new_era(struct visitors *v)
{
    v->first_seed = v->seed + 1;
    v->served_in_era = 0;
}

static int count_waiting(const struct visitors *v)
{
    int waiting = 0;
    for (int i = 0; i < VISITORS_MOST; i++)
        waiting += v->guest[i].fd >= 0;
    return waiting;
}

/* ---- coming and being served ----------------------------------------------------------------- */

/* The kernel completes a connection without the server's help, so this does not wait for it. */
static bool visitor_comes(struct visitors *v, struct clients *c)
{
    int place = 0;
    while (place < VISITORS_MOST && v->guest[place].fd >= 0)
        place++;
    if (place == VISITORS_MOST)
        return true; /* the waiting room is full */
    struct client *guest = &v->guest[place];
    int64_t deadline_ns = deadline_in_ms(CONNECT_MS);
    *guest = (struct client){.fd = -1, .seed = ++v->seed};
    enum outcome how = client_connect_to(guest, c->orders.address, c->orders.port, deadline_ns);
    if (how == CLIENT_OK)
        how = client_send(guest, VISIT_BYTES, deadline_ns);
    return how == CLIENT_OK ||
           clients_trouble(c, "a polite client could not come: %s", outcome_in_words(how));
}

static bool visitor_gets(struct visitors *v, struct client *guest, struct clients *c)
{
    enum outcome how = client_expect(guest, VISIT_BYTES - (size_t)guest->received, clock_now_ns());
    if (how == CLIENT_TIMEOUT)
        return true; /* the rest is on its way */
    client_close(guest);
    if (how != CLIENT_OK)
        return clients_trouble(c, "a polite client: %s", outcome_in_words(how));
    v->served_in_era += guest->seed >= v->first_seed;
    c->news.served++;
    c->news.bytes += VISIT_BYTES;
    return true;
}

/* Waits until somebody gets an answer, but not beyond until_ns. */
static bool serve_some(struct visitors *v, struct clients *c, int64_t until_ns)
{
    struct pollfd fds[VISITORS_MOST];
    bool well = true;
    for (int i = 0; i < VISITORS_MOST; i++) /* poll() passes over a descriptor of -1 */
        fds[i] = (struct pollfd){.fd = v->guest[i].fd, .events = POLLIN};
    if (poll(fds, VISITORS_MOST, deadline_left_ms(until_ns)) <= 0)
        return true; /* the time is over; EINTR: it comes again */
    for (int i = 0; i < VISITORS_MOST; i++)
        if (fds[i].fd >= 0 && fds[i].revents != 0)
            well = visitor_gets(v, &v->guest[i], c) && well;
    return well;
}

/* ---- time passes ----------------------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool visitors_spend(struct visitors *v, struct clients *c, int64_t until_ns)
{
    bool well = true;
    int64_t tell_ns = clock_now_ns();
    for (int64_t now = clock_now_ns(); well && now < until_ns; now = clock_now_ns()) {
        if (now >= v->next_ns) {
            well = visitor_comes(v, c);
            v->next_ns = now + v->every_ns;
        }
        well = well && serve_some(v, c, earlier(until_ns, earlier(v->next_ns, tell_ns)));
        c->news.waiting = count_waiting(v);
        if (now >= tell_ns) {
            clients_tell(c);
            tell_ns = now + TELL_EVERY_NS;
        }
    }
    return well;
}

void visitors_close(struct visitors *v, struct clients *c, int64_t until_ns)
{
    v->next_ns = INT64_MAX;
    while (c->news.waiting > 0 && clock_now_ns() < until_ns) {
        if (!serve_some(v, c, until_ns))
            break;
        c->news.waiting = count_waiting(v);
    }
    for (int i = 0; i < VISITORS_MOST; i++)
        client_close(&v->guest[i]);
}
