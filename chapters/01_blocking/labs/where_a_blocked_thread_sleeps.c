/*
 * Lab: where does a blocked thread sleep, and what does it cost meanwhile?
 *
 * A reader thread calls recv() on a connection that says nothing. The kernel puts the thread on the
 * wait queue of that socket and takes it off the processor. It runs again when a byte arrives: the
 * kernel's receive path wakes whoever stands in the queue.
 *
 * The main thread sleeps for WINDOW_MS too, so the processor time of the whole process in that
 * window is what waiting costs. Then it sends WAKE_UPS bytes one by one and measures how long after
 * the send() the reader's recv() returned.
 *
 * Linux tells more about a thread, in /proc/PID/task/TID (man 5 proc): its state, the number of the
 * system call it is in, the kernel function where it waits, how often it was taken off a processor.
 * Where there is no such folder the processor time alone must do.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "lab.h"

enum { WINDOW_MS = 300, WAKE_UPS = 51, SETTLE_MS = 5, FACT_LEN = 64, PATH_LEN = 128 };

struct reader {
    int fd;
    char folder[FACT_LEN];     /* "PID/task/TID", or "" where the system has no such thing  */
    atomic_bool ready;         /* the folder is known; recv() comes next                    */
    double woken_us[WAKE_UPS]; /* how long after each send() its recv() returned            */
    int got;                   /* how many calls of recv() have returned                    */
    _Atomic int64_t sent_ns;   /* when the main thread called send()                        */
};

/* ---- the thread that blocks ------------------------------------------------------------------ */

static void *read_bytes(void *arg)
{
    struct reader *reader = arg;
    ssize_t len = readlink("/proc/thread-self", reader->folder, sizeof reader->folder - 1);
    reader->folder[len > 0 ? len : 0] = '\0';
    atomic_store(&reader->ready, true);

    char byte;
    while (reader->got < WAKE_UPS && recv(reader->fd, &byte, 1, 0) == 1) {
        int64_t now_ns = lab_now_ns();
        reader->woken_us[reader->got++] = (double)(now_ns - atomic_load(&reader->sent_ns)) / 1e3;
    }
    return NULL;
}

/* ---- what the system tells about it ---------------------------------------------------------- */

/* Opens one file of the thread's folder; NULL where there is none or it may not be read. */
static FILE *open_fact(const struct reader *reader, const char *name)
{
    char path[PATH_LEN];
    if (reader->folder[0] == '\0')
        return NULL;
    (void)snprintf(path, sizeof path, "/proc/%s/%s", reader->folder, name);
    return fopen(path, "r");
}

/* The state is one letter, behind the program's name in brackets. '?' where it is not told. */
static char thread_state(const struct reader *reader)
{
    char line[512] = "";
    FILE *stat = open_fact(reader, "stat");
    if (stat == NULL)
        return '?';
    if (fgets(line, sizeof line, stat) == NULL)
        line[0] = '\0';
    (void)fclose(stat);
    const char *bracket = strrchr(line, ')');
    return bracket != NULL && bracket[1] == ' ' ? bracket[2] : '?';
}

/* How often it was taken off a processor, by its own wish or not; -1 where it is not told. */
static long times_switched(const struct reader *reader)
{
    char line[FACT_LEN];
    long sum = -1, count;
    FILE *status = open_fact(reader, "status");
    if (status == NULL)
        return -1;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %ld", &count) == 1)
            sum = count + (sum < 0 ? 0 : sum);
    (void)fclose(status);
    return sum;
}

static void show_where(const struct reader *reader)
{
    char word[FACT_LEN] = "";
    int number = -1;
    FILE *wchan = open_fact(reader, "wchan"), *syscall_number = open_fact(reader, "syscall");
    if (syscall_number != NULL && fscanf(syscall_number, "%d", &number) == 1)
        lab_figure("in_system_call_number", number, "");
    if (wchan != NULL && fscanf(wchan, "%63s", word) == 1 && strcmp(word, "0") != 0)
        lab_word("waits_in_kernel_function", word);
    else
        lab_say("Where in the kernel it waits is not told here.");
    if (wchan != NULL)
        (void)fclose(wchan);
    if (syscall_number != NULL)
        (void)fclose(syscall_number);
}

/* ---- the experiment -------------------------------------------------------------------------- */

static void wait_until_blocked(const struct reader *reader)
{
    int64_t deadline_ns = lab_now_ns() + (int64_t)lab_patience_ms(2000) * 1000000;
    while (!atomic_load(&reader->ready) && lab_now_ns() < deadline_ns)
        lab_pause_ms(1);
    do
        lab_pause_ms(SETTLE_MS); /* also where the state is not told: time to enter recv() */
    while (strchr("S?", thread_state(reader)) == NULL && lab_now_ns() < deadline_ns);
}

static void watch_it_sleep(const struct reader *reader)
{
    lab_say("One thread waits in recv(). Nothing is sent for %d ms.", WINDOW_MS);
    long switched = times_switched(reader);
    int64_t cpu_ns = lab_cpu_ns();
    lab_pause_ms(WINDOW_MS);
    cpu_ns = lab_cpu_ns() - cpu_ns;
    switched = switched < 0 ? -1 : times_switched(reader) - switched;
    char state = thread_state(reader);

    lab_figure("window_ms", WINDOW_MS, "ms");
    lab_figure("processor_time_in_window_us", (double)cpu_ns / 1e3, "us");
    lab_expect((double)cpu_ns < (double)WINDOW_MS * 1e6 / 20,
               "processor time is under 5 % of the window");
    if (state == '?') {
        lab_say("This system does not tell what a single thread does.");
        return;
    }
    lab_word("thread_state", state == 'S' ? "S (sleeping)" : "not sleeping");
    show_where(reader);
    lab_figure("times_on_a_processor", (double)switched, "");
    lab_expect(state == 'S', "the thread is asleep, not ready to run");
    lab_expect(switched == 0, "it was never put on a processor in the window");
}

static void wake_it(struct reader *reader, int fd)
{
    lab_say("Now %d bytes, one by one, each when the thread is asleep.", WAKE_UPS);
    for (int i = 0; i < WAKE_UPS; i++) {
        wait_until_blocked(reader);
        atomic_store(&reader->sent_ns, lab_now_ns());
        (void)lab_must((int)send(fd, "x", 1, 0), "send"); /* one byte: cannot be short */
    }
}

int main(void)
{
    static struct reader reader;
    int ends[2];
    pthread_t thread;

    lab_question("A thread waits 300 ms in recv() for a byte. What does that cost the processor?",
                 "300 ms: it looks for the byte again and again.",
                 "A few ms: the kernel lets it look at every tick of the clock.",
                 "Next to nothing: the kernel does not run it until the byte is there.", 'c',
                 "Is a debugger or a tracer attached to the lab? Then it disturbs the thread.");
    lab_tcp_pair(ends);
    reader.fd = ends[0];
    lab_must_zero(pthread_create(&thread, NULL, read_bytes, &reader), "pthread_create");

    wait_until_blocked(&reader);
    watch_it_sleep(&reader);
    wake_it(&reader, ends[1]);
    lab_must_zero(pthread_join(thread, NULL), "pthread_join");
    lab_expect(reader.got == WAKE_UPS, "one call of recv() for each byte, none for nothing");
    lab_figure("send_to_recv_median_us", lab_median(reader.woken_us, WAKE_UPS), "us");

    (void)close(ends[0]);
    (void)close(ends[1]);
    return lab_finding("a blocked thread is off the processor until its byte wakes it");
}
