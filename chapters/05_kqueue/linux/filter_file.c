/*
 * filter_file: EVFILT_VNODE, and EVFILT_READ of a regular file, over one inotify for each queue.
 *
 * inotify watches an inode, not a descriptor: /proc/self/fd leads from one to the other, also when
 * the name is gone. It tells of a file what vnode notes tell, in other words. What it does not say
 * is asked with fstat(): whether the size has grown, whether links came or went, whether the last
 * one is gone.
 *
 * What has happened is collected in the knote (`seen`), and the knote goes into the ready list.
 * Without EV_CLEAR it stays there, and each harvest reports it again.
 */
#include "emulation.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 4096, PATH_LEN = 32 };

/* Which words of inotify may mean a note. */
static const struct {
    unsigned int note;
    uint32_t of_file, of_folder;
} words[] = {
    {NOTE_DELETE, IN_ATTRIB | IN_DELETE_SELF, IN_ATTRIB | IN_DELETE_SELF},
    {NOTE_WRITE, IN_MODIFY, IN_CREATE | IN_DELETE | IN_MOVE},
    {NOTE_EXTEND, IN_MODIFY, IN_MOVE},
    {NOTE_ATTRIB, IN_ATTRIB, IN_ATTRIB},
    {NOTE_LINK, IN_ATTRIB, IN_ATTRIB | IN_CREATE | IN_DELETE},
    {NOTE_RENAME, IN_MOVE_SELF, IN_MOVE_SELF},
    {NOTE_REVOKE, IN_UNMOUNT, IN_UNMOUNT},
    {NOTE_OPEN, IN_OPEN, IN_OPEN},
    {NOTE_CLOSE, IN_CLOSE_NOWRITE, IN_CLOSE_NOWRITE},
    {NOTE_CLOSE_WRITE, IN_CLOSE_WRITE, IN_CLOSE_WRITE},
    {NOTE_READ, IN_ACCESS, IN_ACCESS},
};
enum { WORDS = sizeof words / sizeof words[0] };

/* ---- the watch ------------------------------------------------------------------------------- */

static uint32_t mask_of(const struct emu_knote *knote)
{
    uint32_t mask = knote->filter == EVFILT_READ ? IN_MODIFY : 0;
    for (size_t i = 0; i < WORDS && knote->filter == EVFILT_VNODE; i++)
        if ((knote->fflags & words[i].note) != 0)
            mask |= words[i].of_file | words[i].of_folder;
    return mask != 0 ? mask : IN_UNMOUNT; /* inotify wants something to watch for */
}

static int open_inotify(struct emu_queue *queue)
{
    struct epoll_event item = {.events = EPOLLIN, .data.u64 = EMU_TAG_INOTIFY};
    if (queue->inotify != -1)
        return 0;
    queue->inotify = emu_out_of_the_way(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (queue->inotify == -1)
        return emu_error_of_open();
    if (emu_epoll_ctl(queue->sets[EMU_READERS], EPOLL_CTL_ADD, queue->inotify, &item) == 0)
        return 0;
    int err = emu_error_of_open();
    (void)close(queue->inotify);
    queue->inotify = -1;
    return err;
}

/* Two knotes of one inode share its watch: a mask only grows until both are gone. */
static int watch(struct emu_queue *queue, struct emu_knote *knote)
{
    char path[PATH_LEN];
    int err = open_inotify(queue);
    if (err != 0)
        return err;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", (int)knote->ident);
    int wd = inotify_add_watch(queue->inotify, path, mask_of(knote) | IN_MASK_ADD);
    if (wd == -1)
        return emu_error_of_open();
    if (knote->watch == -1) {
        knote->sibling = queue->files;
        queue->files = knote;
    }
    knote->watch = wd;
    return 0;
}

void emu_file_detach(struct emu_queue *queue, struct emu_knote *knote)
{
    bool is_last = true;
    if (knote->watch == -1)
        return;
    for (struct emu_knote **link = &queue->files; *link != NULL;) {
        if (*link == knote) {
            *link = knote->sibling;
            continue;
        }
        is_last = is_last && (*link)->watch != knote->watch;
        link = &(*link)->sibling;
    }
    if (is_last)
        (void)inotify_rm_watch(queue->inotify, knote->watch); /* EINVAL: it went with the inode */
    knote->watch = -1;
}

static int attach(struct emu_queue *queue, struct emu_knote *knote)
{
    struct stat now;
    if (fstat((int)knote->ident, &now) == -1)
        return errno;
    if (!S_ISREG(now.st_mode) && !S_ISDIR(now.st_mode))
        return EINVAL;
    knote->device = now.st_dev;
    knote->inode = now.st_ino;
    knote->size = now.st_size;
    knote->links = now.st_nlink;
    knote->is_judged = true;
    int err = watch(queue, knote);
    if (err == 0)
        emu_ready_add(queue, knote);
    return err;
}

bool emu_file_is_same(const struct emu_knote *knote)
{
    struct stat now;
    return fstat((int)knote->ident, &now) == 0 && now.st_dev == knote->device &&
           now.st_ino == knote->inode;
}

/* ---- what happened --------------------------------------------------------------------------- */

/* The words are the same for many things; what the file is now tells which it was. */
static unsigned int notes_of(const struct emu_knote *knote, const struct inotify_event *said,
                             const struct stat *now)
{
    unsigned int notes = 0;
    bool is_folder = S_ISDIR(now->st_mode);
    for (size_t i = 0; i < WORDS; i++)
        if ((said->mask & (is_folder ? words[i].of_folder : words[i].of_file)) != 0)
            notes |= words[i].note;
    if (!is_folder && now->st_size <= knote->size)
        notes &= ~(unsigned int)NOTE_EXTEND;
    if ((said->mask & IN_ATTRIB) != 0) {
        bool is_deleted = now->st_nlink == 0, is_linked = now->st_nlink != knote->links;
        notes &= ~(unsigned int)(NOTE_DELETE | NOTE_LINK | NOTE_ATTRIB);
        notes |= is_deleted ? NOTE_DELETE : is_linked ? NOTE_LINK : NOTE_ATTRIB;
    } else if (is_folder && (said->mask & IN_ISDIR) == 0) {
        notes &= ~(unsigned int)NOTE_LINK; /* a file in a folder is no link to the folder */
    }
    return notes;
}

static void take_note(struct emu_queue *queue, struct emu_knote *knote,
                      const struct inotify_event *said)
{
    struct stat now;
    if (fstat((int)knote->ident, &now) == -1)
        return; /* closed: the harvest will find out */
    if (knote->filter == EVFILT_VNODE)
        knote->seen |= notes_of(knote, said, &now) & knote->fflags;
    knote->size = now.st_size;
    knote->links = now.st_nlink;
    if (knote->seen != 0 || knote->filter == EVFILT_READ)
        emu_ready_add(queue, knote);
}

/* IN_Q_OVERFLOW has watch -1, and so finds nobody: what was lost is lost, as inotify(7) says. */
void emu_files_collect(struct emu_queue *queue)
{
    union {
        struct inotify_event first; /* for its alignment */
        char bytes[BUFFER];
    } room;
    ssize_t len = read(queue->inotify, &room, sizeof room);
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *said = (const void *)(room.bytes + at);
        struct emu_knote *next;
        for (struct emu_knote *knote = queue->files; knote != NULL; knote = next) {
            next = knote->sibling;
            if (knote->watch == said->wd)
                take_note(queue, knote, said);
        }
        at += (ssize_t)(sizeof *said + said->len);
    }
}

/* ---- EVFILT_VNODE ---------------------------------------------------------------------------- */

static int change(struct emu_queue *queue, struct emu_knote *knote, const struct kevent *wanted)
{
    knote->fflags = wanted->fflags;
    knote->data = wanted->data;
    int err = watch(queue, knote);
    if (err == 0)
        emu_ready_add(queue, knote);
    return err;
}

static bool report(struct emu_queue *queue, struct emu_knote *knote, uint32_t bits,
                   struct kevent *event)
{
    (void)queue;
    (void)bits;
    event->fflags = knote->seen;
    if ((knote->seen & NOTE_REVOKE) != 0)
        event->flags |= EV_EOF;
    if ((knote->flags & EV_CLEAR) != 0)
        knote->seen = 0;
    return event->fflags != 0;
}

const struct emu_filter emu_filter_vnode = {.filter = EVFILT_VNODE,
                                            .is_descriptor = true,
                                            .attach = attach,
                                            .change = change,
                                            .report = report,
                                            .detach = emu_file_detach};

/* ---- EVFILT_READ of a regular file ----------------------------------------------------------- */

int emu_file_read_attach(struct emu_queue *queue, struct emu_knote *knote)
{
    knote->fd = -1; /* epoll said EPERM, so there is nothing for it to watch */
    return attach(queue, knote);
}

/* Ready while the position is not the end. Who reads on at the end is woken when the file grows. */
bool emu_file_read_report(struct emu_knote *knote, struct kevent *event)
{
    struct stat now;
    off_t at = lseek((int)knote->ident, 0, SEEK_CUR);
    if (at == -1 || fstat((int)knote->ident, &now) == -1)
        return false;
    event->data = now.st_size - at;
    return event->data != 0 || (knote->fflags & NOTE_FILE_POLL) != 0;
}
