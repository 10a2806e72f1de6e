/*
 * Lab: a watched file gets another name, and is written to. Is the program told?
 *
 * EVFILT_VNODE watches a file by an open descriptor, so it watches the file itself and not its
 * name. What to be told of is asked for in fflags, and fflags of the event says what happened
 * (man 2 kqueue):
 *
 *     NOTE_WRITE     it was written to            NOTE_EXTEND   it has grown
 *     NOTE_ATTRIB    its attributes changed       NOTE_LINK     its count of names changed
 *     NOTE_RENAME    it was renamed               NOTE_DELETE   a name was removed by unlink()
 *
 * With EV_CLEAR each event tells what is new since the last one. No event says which bytes, or
 * what the new name is. Some systems add further bits (unlink() may give LINK or ATTRIB too), so
 * the lab looks for the bit that all of them promise, and shows the rest without judging it.
 * Not every file system tells: NFS and others may be silent.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "kq_lab.h"

enum { QUIET_MS = 50, PATIENCE_MS = 2000, PATH_LEN = 512, EVENTS_AT_MOST = 8 };

static char folder[PATH_LEN], name[PATH_LEN + 16], other[PATH_LEN + 16];
static int kq, file;

/* ---- what can happen to a file --------------------------------------------------------------- */

static void write_byte(void)
{
    (void)lab_must((int)write(file, "x", 1), "write");
}

static void write_three_times(void)
{
    for (int i = 0; i < 3; i++)
        write_byte();
}

static void change_mode(void)
{
    (void)lab_must(fchmod(file, 0640), "fchmod");
}

static void add_name(void)
{
    (void)lab_must(link(name, other), "link");
}

static void remove_added_name(void)
{
    (void)lab_must(unlink(other), "unlink");
}

static void give_new_name(void)
{
    (void)lab_must(rename(name, other), "rename");
}

static void remove_last_name(void)
{
    (void)lab_must(unlink(other), "unlink");
}

static const struct scene {
    const char *figure, *says;
    void (*act)(void);
    unsigned promised; /* 0: nothing is judged, what comes is only taken */
} scenes[] = {
    {"write", "the write is told", write_byte, NOTE_WRITE},
    {"three_writes", "three writes are told", write_three_times, NOTE_WRITE},
    {"chmod", "the attributes are told", change_mode, NOTE_ATTRIB},
    {"link", "a second name is told", add_name, NOTE_LINK},
    {"unlink_one_of_two", NULL, remove_added_name, 0},
    {"rename", "the renaming is told", give_new_name, NOTE_RENAME},
    {"write_after_rename", "it is still watched: the name did not matter", write_byte, NOTE_WRITE},
    {"unlink_the_last", "the removal is told", remove_last_name, NOTE_DELETE},
};
enum { SCENES = sizeof scenes / sizeof scenes[0] };

/* ---- looking --------------------------------------------------------------------------------- */

/* The names of the bits that are told, in a static buffer. */
static const char *in_words(unsigned told)
{
    static const struct {
        unsigned bit;
        const char *word;
    } bits[] = {{NOTE_DELETE, "DELETE"}, {NOTE_WRITE, "WRITE"}, {NOTE_EXTEND, "EXTEND"},
                {NOTE_ATTRIB, "ATTRIB"}, {NOTE_LINK, "LINK"},   {NOTE_RENAME, "RENAME"}};
    static char words[LAB_COLUMNS];
    size_t used = 0;
    words[0] = '\0';
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if ((told & bits[i].bit) != 0)
            used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", used > 0 ? " " : "",
                                     bits[i].word);
    return used > 0 ? words : "nothing";
}

/* Plays one scene; returns how many events it made. */
static int play(const struct scene *scene)
{
    struct kevent event = {0};
    unsigned told = 0;
    int events = 0;
    int wait_ms = lab_patience_ms(scene->promised != 0 ? PATIENCE_MS : QUIET_MS);
    scene->act();
    while (events < EVENTS_AT_MOST && kq_next(kq, &event, wait_ms)) {
        told |= (unsigned)event.fflags;
        events++;
        wait_ms = (told & scene->promised) == scene->promised ? 0 : wait_ms;
    }
    lab_word(scene->figure, in_words(told));
    if (scene->promised != 0)
        lab_expect((told & scene->promised) != 0, scene->says);
    return events;
}

static void open_file(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%s/lab.XXXXXX", tmp != NULL && *tmp ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL)
        lab_skip("no folder can be made in TMPDIR, or in /tmp");
    (void)snprintf(name, sizeof name, "%s/file", folder);
    (void)snprintf(other, sizeof other, "%s/other", folder);
    file = lab_must(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open");
}

int main(void)
{
    int events[SCENES];
    const unsigned all =
        NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME;
    lab_question("A program watches a file. Somebody renames the file, then writes to it under its "
                 "new name. What is the program told?",
                 "The renaming; of the new name it knows nothing.", "The renaming, and the write.",
                 "Nothing: the file that it watched is gone.", 'b',
                 "Does the file system of TMPDIR tell such things? Try another TMPDIR.");
    kq = kq_queue();
    open_file();
    int err = kq_try(kq, kq_change((uintptr_t)file, EVFILT_VNODE, EV_ADD | EV_CLEAR, all, 0));
    for (int i = 0; err == 0 && i < SCENES; i++)
        events[i] = play(&scenes[i]);
    (void)unlink(name); /* it is there only when something went wrong */
    (void)rmdir(folder);
    (void)close(file);
    (void)close(kq);
    if (err != 0)
        lab_skip("this file system does not tell of changes");
    lab_figure("events_for_three_writes", events[1], "");
    lab_expect(events[1] == 1, "what happens before the program looks is one event");
    return kq_finding(NULL, "a descriptor watches the file itself, whatever its name is");
}
