/*
 * Lab: EV_ONESHOT and EV_DISPATCH both report once. What is left afterwards?
 *
 *     EV_ONESHOT     told once, then deleted:   ADD again, with everything
 *     EV_DISPATCH    told once, then disabled:  ENABLE is enough, or so it seems
 *
 * (man 2 kqueue.) EV_DISPATCH is the twin of EPOLLONESHOT: it is what threads around one queue
 * need, for nobody else gets this descriptor until the one who has it says so.
 *
 * But to say so has a trap. If bytes are still unread, does EV_ENABLE alone report them? FreeBSD
 * and the newer BSDs look again, NetBSD 7.99 did not. And EV_ADD alone leaves it disabled on some.
 * So two ways are right everywhere: to drain first, or to re-arm with all three,
 *
 *     EV_ADD | EV_ENABLE | EV_DISPATCH
 *
 * which makes the kernel look again. The lab shows what the other ways do here, and expects nothing
 * of them.
 */
#include "kq_lab.h"

enum { QUIET_MS = 50, PATIENCE_MS = 2000, ROOM = 16 };

struct scene {
    int kq, ends[2]; /* a pipe; [0] is watched */
};

static struct scene scene_open(kq_flags flags)
{
    struct scene scene;
    scene.kq = kq_queue();
    (void)lab_must(pipe(scene.ends), "pipe");
    kq_must(scene.kq, kq_change_fd(scene.ends[0], EVFILT_READ, (kq_flags)(EV_ADD | flags)));
    return scene;
}

static void scene_close(const struct scene *scene)
{
    (void)close(scene->kq);
    (void)close(scene->ends[0]);
    (void)close(scene->ends[1]);
}

static void send_byte(const struct scene *scene)
{
    (void)lab_must((int)write(scene->ends[1], "x", 1), "write");
}

static int change(const struct scene *scene, kq_flags flags)
{
    return kq_try(scene->kq, kq_change_fd(scene->ends[0], EVFILT_READ, flags));
}

static bool told(const char *name, const struct scene *scene, int wait_ms)
{
    struct kevent event = {0};
    bool is_told = kq_next(scene->kq, &event, wait_ms);
    lab_word(name, kq_yes(is_told));
    return is_told;
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void try_oneshot(void)
{
    struct scene scene = scene_open(EV_ONESHOT);
    lab_say("1. EV_ONESHOT. A byte comes, and nobody reads it; then another one.");
    send_byte(&scene);
    bool first = told("oneshot_first", &scene, lab_patience_ms(PATIENCE_MS));
    send_byte(&scene);
    bool second = told("oneshot_second", &scene, QUIET_MS);
    lab_expect(first && !second, "it is told once");
    int err = change(&scene, EV_ENABLE);
    lab_word("oneshot_enable", kq_word(err));
    lab_expect(err == ENOENT, "there is nothing to enable: it has been deleted");
    kq_must(scene.kq, kq_change_fd(scene.ends[0], EVFILT_READ, EV_ADD | EV_ONESHOT));
    bool again = told("oneshot_after_add", &scene, lab_patience_ms(PATIENCE_MS));
    lab_expect(again, "after EV_ADD it is told again");
    scene_close(&scene);
}

static void try_dispatch(void)
{
    struct scene scene = scene_open(EV_DISPATCH);
    char room[ROOM];
    lab_say("2. EV_DISPATCH, the same bytes.");
    send_byte(&scene);
    bool first = told("dispatch_first", &scene, lab_patience_ms(PATIENCE_MS));
    send_byte(&scene);
    bool second = told("dispatch_second", &scene, QUIET_MS);
    lab_expect(first && !second, "it is told once");
    lab_say("Two bytes are unread. Re-armed with EV_ADD | EV_ENABLE | EV_DISPATCH:");
    int err = change(&scene, EV_ADD | EV_ENABLE | EV_DISPATCH);
    bool again = told("dispatch_after_all_three", &scene, lab_patience_ms(PATIENCE_MS));
    bool twice = told("dispatch_after_that", &scene, QUIET_MS);
    lab_expect(err == 0 && again && !twice, "what is unread is told, and once again only once");
    lab_say("All is read, then EV_ENABLE alone; then a byte comes.");
    (void)lab_must((int)read(scene.ends[0], room, sizeof room), "read");
    err = change(&scene, EV_ENABLE | EV_DISPATCH);
    lab_word("dispatch_enable", kq_word(err));
    send_byte(&scene);
    bool drained = told("dispatch_after_draining", &scene, lab_patience_ms(PATIENCE_MS));
    lab_expect(err == 0 && drained, "it was only disabled; who drains first may enable it");
    scene_close(&scene);
}

/* What one change does to a disabled one while a byte is unread. */
static void try_rearming(const char *name, kq_flags flags)
{
    struct scene scene = scene_open(EV_DISPATCH);
    struct kevent event = {0};
    send_byte(&scene);
    bool first = kq_next(scene.kq, &event, lab_patience_ms(PATIENCE_MS));
    if (!first || change(&scene, flags) != 0)
        (void)lab_expect(false, "it is told once, and can be changed then");
    (void)told(name, &scene, QUIET_MS);
    scene_close(&scene);
}

int main(void)
{
    lab_question("Two events have been reported, one with EV_ONESHOT, one with EV_DISPATCH. Then "
                 "the program applies EV_ENABLE to both. What happens?",
                 "Both are enabled again.", "EV_DISPATCH is enabled; EV_ONESHOT fails with ENOENT.",
                 "Both fail with ENOENT.", 'b',
                 "Does this system know EV_DISPATCH? Old ones ignore it, and go on telling.");
    try_oneshot();
    try_dispatch();
    lab_say("3. Is an unread byte told after these? The systems differ, nothing is expected.");
    try_rearming("enable_alone", EV_ENABLE | EV_DISPATCH);
    try_rearming("add_alone", EV_ADD | EV_DISPATCH);
    return kq_finding("NetBSD 7.99: with bytes unread, EV_ENABLE alone did not report again, and "
                      "EV_ADD alone left it disabled",
                      "told once, EV_ONESHOT is deleted, EV_DISPATCH disabled");
}
