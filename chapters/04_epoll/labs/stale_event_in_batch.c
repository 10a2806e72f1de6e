/*
 * Lab: one event of a batch removes the client that a later event of the same batch is about.
 *
 * A proxy has clients in pairs: what one sends goes to the other, and when one of them leaves, the
 * other one is closed too. Here both leave at the same time, so one call of epoll_wait() returns an
 * event for each. The handler of the first closes both. Then it serves somebody who has waited for
 * a free place: the new client gets the partner's slot, and by chance its descriptor's number. Now
 * comes the second event. It was about the partner, but what stands there now is the new client.
 *
 * EPOLL_CTL_DEL does not help: the batch has been copied to us already.
 *
 * With malloc() and free() this would be use after free. Here the slots are a static array, so a
 * stale event is only wrong, not undefined. Each slot counts its lives. Each registration carries
 * slot and life in data.u64, and the lab looks at the life to know what truly happened; the first
 * server does not look, as many servers do not.
 *
 *     trust       takes slot for the client                                       wrong
 *     life        compares the life in the event with the slot's                  cure 1
 *     defer       takes out of epoll at once, closes and frees after the batch    cure 2
 *     one         takes one event per call, so there is no batch                  cure 3
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lab.h"

enum { SLOTS = 4, BATCH = 8 };
enum cure { TRUST, LIFE, DEFER, ONE, CURES };

/* Who lives in a slot now. */
struct slot {
    int fd;        /* -1: nobody                                         */
    uint32_t life; /* grows whenever somebody moves out                  */
    bool leaving;  /* DEFER: out of epoll, to be closed after the batch  */
};

struct server {
    enum cure cure;
    int epoll;
    struct slot slots[SLOTS];
    int newcomer;      /* waits for a free slot; -1: nobody waits            */
    int newcomer_slot; /* where it lives then                                */
    int stale;         /* events that were about somebody else, and believed */
    int refused;       /* events that were about somebody else, and noticed  */
};

/* ---- moving in and out ----------------------------------------------------------------------- */

static void move_in(struct server *server, size_t place, int fd)
{
    struct slot *slot = &server->slots[place];
    uint64_t name = (uint64_t)slot->life << 32 | place;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = name};
    slot->fd = fd;
    (void)lab_must(epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void move_out(struct slot *slot)
{
    (void)close(slot->fd);
    slot->fd = -1;
    slot->leaving = false;
    slot->life++;
}

/* After DEL the kernel reports this registration no more; what it has reported, we still hold. */
static void remove_client(struct server *server, size_t place)
{
    struct slot *slot = &server->slots[place];
    if (slot->fd == -1 || slot->leaving)
        return;
    (void)lab_must(epoll_ctl(server->epoll, EPOLL_CTL_DEL, slot->fd, NULL), "epoll_ctl");
    if (server->cure == DEFER)
        slot->leaving = true;
    else
        move_out(slot);
}

static void serve_newcomer(struct server *server, size_t place)
{
    if (server->newcomer == -1 || server->slots[place].fd != -1)
        return;
    move_in(server, place, server->newcomer);
    server->newcomer = -1;
    server->newcomer_slot = (int)place;
}

/* ---- one batch ------------------------------------------------------------------------------- */

/* Clients 0 and 1 are partners. The event says that this one has left. */
static void on_left(struct server *server, size_t place)
{
    size_t partner = place ^ 1;
    remove_client(server, place);
    remove_client(server, partner);
    serve_newcomer(server, partner);
}

static void on_event(struct server *server, const struct epoll_event *event)
{
    size_t place = (uint32_t)event->data.u64;
    bool is_stale = event->data.u64 >> 32 != server->slots[place].life;
    if (is_stale && server->cure == LIFE) {
        server->refused++;
        return;
    }
    server->stale += is_stale ? 1 : 0;
    on_left(server, place);
}

/* Returns how many events the largest batch had. */
static int serve(struct server *server)
{
    struct epoll_event events[BATCH];
    int n, largest = 0;
    while ((n = epoll_wait(server->epoll, events, server->cure == ONE ? 1 : BATCH, 0)) > 0) {
        largest = n > largest ? n : largest;
        for (int i = 0; i < n; i++)
            on_event(server, &events[i]);
        for (size_t place = 0; place < SLOTS; place++) /* DEFER: now nobody can mean them */
            if (server->slots[place].leaving)
                move_out(&server->slots[place]);
        serve_newcomer(server, 0);
    }
    (void)lab_must(n, "epoll_wait"); /* it never sleeps, so it is never interrupted */
    return largest;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void try_cure(enum cure cure, const char *name, const char *says)
{
    char figure[LAB_NAME_COLUMNS];
    int first[2], second[2], third[2];
    struct server server = {.cure = cure, .newcomer_slot = -1};
    server.epoll = lab_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 0; i < SLOTS; i++)
        server.slots[i].fd = -1;
    (void)lab_must(socketpair(AF_UNIX, SOCK_STREAM, 0, first), "socketpair");
    (void)lab_must(socketpair(AF_UNIX, SOCK_STREAM, 0, second), "socketpair");
    (void)lab_must(socketpair(AF_UNIX, SOCK_STREAM, 0, third), "socketpair");
    move_in(&server, 0, first[0]);
    move_in(&server, 1, second[0]);
    server.newcomer = third[0];
    (void)close(first[1]); /* both partners leave, before the server looks */
    (void)close(second[1]);

    int largest = serve(&server);
    bool lives = server.newcomer_slot != -1 && server.slots[server.newcomer_slot].fd != -1;
    (void)snprintf(figure, sizeof figure, "%s_largest_batch", name);
    lab_figure(figure, largest, "events");
    (void)snprintf(figure, sizeof figure, "%s_stale_events_believed", name);
    lab_figure(figure, server.stale, "");
    (void)snprintf(figure, sizeof figure, "%s_stale_events_refused", name);
    lab_figure(figure, server.refused, "");
    (void)snprintf(figure, sizeof figure, "%s_new_client", name);
    lab_word(figure, lives ? "is served" : "was closed");
    bool wrong = cure == TRUST;
    lab_expect(largest == (cure == ONE ? 1 : 2) && server.stale == (wrong ? 1 : 0) &&
                   server.refused == (cure == LIFE ? 1 : 0) && lives == !wrong,
               says);
    for (size_t place = 0; place < SLOTS; place++)
        remove_client(&server, place);
    (void)close(third[1]);
    (void)close(server.epoll);
}

int main(void)
{
    lab_question("A batch has two events. The handler of the first closes the client of the second "
                 "and takes it out of the epoll. What happens to the second event?",
                 "EPOLL_CTL_DEL has removed it from the batch.",
                 "It is handled, for whoever lives in that slot now.",
                 "epoll_wait() returns it again later, with EBADF.", 'b',
                 "Is the batch larger than one event? Only then something in it can be stale.");
    lab_say("1. The server trusts the slot that the event names.");
    try_cure(TRUST, "trust", "the new client was closed by an event about somebody else");
    lab_say("2. Cure: a generation number in data.u64 (here: the slot's life).");
    try_cure(LIFE, "life", "the stale event is noticed and dropped");
    lab_say("3. Cure: take out of epoll at once, close and free after the batch.");
    try_cure(DEFER, "defer", "the slot was still the partner's when its event came");
    lab_say("4. Cure: one event per call, with EPOLL_CTL_DEL before close().");
    try_cure(ONE, "one", "the event of the partner was never handed out");
    return lab_finding("an event may be stale already: count lives, free later, or take one");
}
