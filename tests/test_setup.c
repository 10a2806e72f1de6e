/*
 * test_setup: tools/setup.sh in sandboxes, with package managers that only pretend.
 *
 * A sandbox is a folder with a copy of the script and a folder bin/, which is all of the script's
 * PATH. In it stand links to the few real tools that a shell script needs, and stand-ins for the
 * rest: uname and id say what the test wants, a package manager writes down how it was called, and
 * "installs" by creating the tools. So nothing is ever installed, on whatever system this runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LEN = 512, TEXT_LEN = 8192, WATCHDOG_S = 60, FOLDERS_AT_ONCE = 8 };

/* ---- A sandbox ------------------------------------------------------------------------------- */

struct sandbox {
    char folder[PATH_LEN];
    char says[TEXT_LEN];  /* all that the script said in its last run     */
    char calls[TEXT_LEN]; /* all calls of the package manager up to now   */
};

static struct sandbox *open_box; /* the one in use: teardown removes it, also after a failure */

/* Installs, by creating what the script looks for; fails while bin/no_network is there. */
static const char MANAGER[] =
    "#!/bin/sh\n"
    "case \"$*\" in *--print-uris*)\n"
    "    echo 'Need to get 1,234 kB of archives.'\n"
    "    echo 'After this operation, 5,678 kB of additional disk space will be used.'\n"
    "    exit 0 ;;\n"
    "esac\n"
    "case \"$*\" in *--dry-run* | *--assumeno* | *-Sp* | '-n '*) exit 1 ;; esac\n"
    "bin=${0%/*}\n"
    "echo \"${0##*/} $*\" >>\"$bin/calls\"\n"
    "[ ! -e \"$bin/no_network\" ] || { echo 'E: no network, long story'; exit 100; }\n"
    "case \"$*\" in *install* | -S* | -I*) ;; *) exit 0 ;; esac\n"
    "for tool in pkg-config bmake python3 x86_64-w64-mingw32-gcc wine strace; do\n"
    "    { echo '#!/bin/sh'; echo exit 0; } >\"$bin/$tool\"; chmod +x \"$bin/$tool\"\n"
    "done\n";

static void write_program(const struct sandbox *box, const char *name, const char *text)
{
    char path[PATH_LEN + 64];
    (void)snprintf(path, sizeof path, "%s/bin/%s", box->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static void write_answer(const struct sandbox *box, const char *name, const char *answer)
{
    char text[128];
    (void)snprintf(text, sizeof text, "#!/bin/sh\necho %s\n", answer);
    write_program(box, name, text);
}

static void link_real_tool(const struct sandbox *box, const char *name)
{
    static const char *const folders[] = {"/bin", "/usr/bin"};
    char from[64], to[PATH_LEN + 64];
    (void)snprintf(to, sizeof to, "%s/bin/%s", box->folder, name);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", folders[i], name);
        if (access(from, X_OK) == 0) {
            assert_int_equal(symlink(from, to), 0);
            return;
        }
    }
    fail_msg("this system has no %s", name);
}

static void make_folder(const struct sandbox *box, const char *name)
{
    char path[PATH_LEN + 64];
    (void)snprintf(path, sizeof path, "%s/%s", box->folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void copy_script(const struct sandbox *box)
{
    FILE *from = fopen("tools/setup.sh", "r");
    if (from == NULL) {
        from = fopen("../tools/setup.sh", "r");
    }
    assert_non_null(from);
    char to_path[PATH_LEN + 64], buf[4096];
    (void)snprintf(to_path, sizeof to_path, "%s/tools/setup.sh", box->folder);
    FILE *to = fopen(to_path, "w");
    assert_non_null(to);
    size_t len;
    while ((len = fread(buf, 1, sizeof buf, from)) > 0) {
        assert_int_equal(fwrite(buf, 1, len, to), len);
    }
    assert_int_equal(fclose(from), 0);
    assert_int_equal(fclose(to), 0);
}

/* A bare machine: compiler, make, no cmocka, an ordinary user. Its folder's name has a space. */
static struct sandbox *sandbox_new(const char *system, const char *manager)
{
    static const char *const real[] = {"awk", "cat",   "chmod", "dirname",
                                       "env", "mkdir", "rm",    "sh"};
    struct sandbox *box = calloc(1, sizeof *box);
    assert_non_null(box);
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(box->folder, sizeof box->folder, "%s/setup of XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(box->folder));
    open_box = box;
    make_folder(box, "bin");
    make_folder(box, "tools");
    copy_script(box);
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        link_real_tool(box, real[i]);
    }
    write_answer(box, "uname", system);
    write_answer(box, "id", "1000");
    write_program(box, "cc", "#!/bin/sh\nexit 1\n");
    write_program(box, "make", "#!/bin/sh\n");
    write_program(box, "gmake", "#!/bin/sh\n");
    write_program(box, manager, MANAGER);
    return box;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

static int remove_sandbox(void **state)
{
    (void)state;
    if (open_box != NULL) {
        (void)nftw(open_box->folder, remove_entry, FOLDERS_AT_ONCE, FTW_DEPTH | FTW_PHYS);
        free(open_box);
        open_box = NULL;
    }
    return 0;
}

/* ---- Running the script in it ---------------------------------------------------------------- */

/* Becomes the script; `environment` is a variable besides PATH, or NULL. */
static void become_script(const struct sandbox *box, const char *words, const char *environment)
{
    char path[PATH_LEN + 64], script[] = "tools/setup.sh", copy[128], *argv[10] = {NULL};
    char *env[] = {path, environment != NULL ? strdup(environment) : NULL, NULL};
    (void)snprintf(path, sizeof path, "PATH=%s/bin", box->folder);
    (void)snprintf(copy, sizeof copy, "%s", words);
    size_t count = 0;
    argv[count++] = "sh";
    argv[count++] = script;
    for (char *word = strtok(copy, " "); word != NULL && count < 9; word = strtok(NULL, " ")) {
        argv[count++] = word;
    }
    if (chdir(box->folder) == 0) {
        (void)alarm(WATCHDOG_S); /* survives execve: a script that hangs is killed */
        execve("/bin/sh", argv, env);
    }
    _exit(127);
}

/* Everything that comes out of fd until the writers are gone. A terminal says so by EIO. */
static void read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    for (;;) {
        ssize_t got = read(fd, text + len, size - 1 - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || (len += (size_t)got) == size - 1) {
            break;
        }
    }
    text[len] = '\0';
}

static void read_calls(struct sandbox *box)
{
    char path[PATH_LEN + 64];
    (void)snprintf(path, sizeof path, "%s/bin/calls", box->folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    box->calls[0] = '\0';
    if (fd >= 0) {
        read_all(fd, box->calls, sizeof box->calls);
        (void)close(fd);
    }
}

static int status_of(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Runs it without a terminal. Returns its status; what it said and called stands in the box. */
static int run(struct sandbox *box, const char *words, const char *environment)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int nothing = open("/dev/null", O_RDONLY);
        if (nothing >= 0 && dup2(nothing, 0) == 0 && dup2(ends[1], 1) == 1 &&
            dup2(ends[1], 2) == 2) {
            (void)close(ends[0]);
            become_script(box, words, environment);
        }
        _exit(127);
    }
    (void)close(ends[1]);
    read_all(ends[0], box->says, sizeof box->says);
    (void)close(ends[0]);
    int status = status_of(pid);
    read_calls(box);
    return status;
}

/* Runs it at a terminal, where somebody has typed `answer` already. */
static int run_at_terminal(struct sandbox *box, const char *words, const char *answer)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    int inside = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(inside >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(terminal);
        if (dup2(inside, 0) == 0 && dup2(inside, 1) == 1 && dup2(inside, 2) == 2) {
            (void)close(inside);
            become_script(box, words, NULL);
        }
        _exit(127);
    }
    (void)close(inside);
    assert_int_equal(write(terminal, answer, strlen(answer)), (ssize_t)strlen(answer));
    read_all(terminal, box->says, sizeof box->says);
    (void)close(terminal);
    int status = status_of(pid);
    read_calls(box);
    return status;
}

static void says(const struct sandbox *box, const char *words)
{
    if (strstr(box->says, words) == NULL) {
        fail_msg("it should say \"%s\", but says:\n%s", words, box->says);
    }
}

static void called(const struct sandbox *box, const char *words)
{
    if (strstr(box->calls, words) == NULL) {
        fail_msg("it should call \"%s\", but calls:\n%s", words, box->calls);
    }
}

static int lines(const char *text)
{
    int count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static void missing_tools_are_named_with_package_and_size(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    assert_int_equal(run(box, "--for test", NULL), 0);
    says(box, "missing: cmocka, pkg-config, liburing, bmake, python3, mingw, wine, strace");
    says(box, "libcmocka-dev pkg-config liburing-dev bmake python3 "
              "gcc-mingw-w64-x86-64-win32 wine wine64 strace");
    says(box, "1,234 kB to download, 5,678 kB on disk");
    assert_int_equal(run(box, "--summary --for test", NULL), 0);
    says(box,
         "make setup would add cmocka, pkg-config, liburing, bmake, python3, mingw, wine, strace "
         "(1,234 kB");
    assert_int_equal(run(box, "--check --for test", NULL), 0);
    says(box, "make\tpresent\tmake\n");
    says(box, "cmocka\tmissing\tlibcmocka-dev\n");
}

static void nothing_is_installed_without_root_terminal_or_ci(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    assert_int_equal(run(box, "--for test", NULL), 0);
    says(box, "this does it: apt-get install");
    says(box, "(as root)");
    write_program(box, "sudo", "#!/bin/sh\nexec \"$@\"\n");
    assert_int_equal(run(box, "--for test", NULL), 0);
    says(box, "this does it: sudo apt-get install");
    says(box, "skipped");
    assert_string_equal(box->calls, "");
}

static void ci_installs_unasked_and_asks_for_no_password(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    write_program(box, "sudo", "#!/bin/sh\n[ \"$1\" = -n ] && shift && exec \"$@\"\n");
    assert_int_equal(run(box, "--for test", "CI=true"), 0);
    called(box,
           "apt-get install --yes --no-install-recommends libcmocka-dev pkg-config liburing-dev");
    says(box, "setup: installed");
    assert_int_equal(run(box, "--for test --go-on", "CI=true"), 0);
    assert_string_equal(box->says, "");
    assert_int_equal(lines(box->calls), 1);
}

static void root_installs_unasked(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    write_answer(box, "id", "0");
    assert_int_equal(run(box, "--for test", NULL), 0);
    called(box, "apt-get install");
}

static void a_person_is_asked_and_the_answer_is_kept(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    write_program(box, "sudo", "#!/bin/sh\nexec \"$@\"\n");
    assert_int_equal(run_at_terminal(box, "--for test --go-on", "n\n"), 0);
    says(box, "install them now? [y/N]");
    assert_string_equal(box->calls, "");
    assert_int_equal(run_at_terminal(box, "--for test --go-on", "\n"), 0);
    assert_null(strstr(box->says, "[y/N]"));
    says(box, "still without cmocka");
    assert_int_equal(run_at_terminal(box, "--for test", "y\n"), 0);
    called(box, "apt-get install");
}

static void a_failing_manager_is_one_clear_line(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    write_answer(box, "id", "0");
    write_program(box, "no_network", "");
    assert_int_equal(run(box, "--for test", NULL), 1);
    says(box,
         "apt-get did not bring cmocka, pkg-config, liburing, bmake, python3, mingw, wine, strace "
         "(no network?)");
    assert_null(strstr(box->says, "long story"));
    assert_int_equal(lines(box->calls), 2); /* install, update: then it gives up */
    assert_int_equal(run(box, "--for test --go-on", NULL), 0);
    assert_int_equal(lines(box->calls), 2); /* and does not try again by itself */
}

static void every_manager_gets_its_own_words(void **state)
{
    (void)state;
    static const struct {
        const char *system, *manager, *call;
    } cases[] = {
        {"Linux", "dnf", "dnf install --assumeyes libcmocka-devel"},
        {"Linux", "pacman", "pacman -S --needed --noconfirm cmocka"},
        {"Darwin", "brew", "brew install cmocka"},
        {"FreeBSD", "pkg", "pkg install --yes cmocka"},
        {"NetBSD", "pkgin", "pkgin -y install"},
        {"OpenBSD", "pkg_add", "pkg_add -I cmocka"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sandbox *box = sandbox_new(cases[i].system, cases[i].manager);
        write_program(box, "sudo", "#!/bin/sh\n[ \"$1\" = -n ] && shift && exec \"$@\"\n");
        assert_int_equal(run(box, "--for test", "CI=true"), 0);
        called(box, cases[i].call);
        remove_sandbox(NULL);
    }
}

static void a_machine_without_a_known_manager_hears_what_to_install(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "zypper");
    assert_int_equal(run(box, "--for test", "CI=true"), 0);
    says(box, "by hand, no package known here: cmocka, pkg-config, liburing, bmake, python3");
    assert_string_equal(box->calls, "");
}

static void a_wrong_option_is_refused(void **state)
{
    (void)state;
    struct sandbox *box = sandbox_new("Linux", "apt-get");
    assert_int_equal(run(box, "--for lunch", NULL), 2);
    assert_int_equal(run(box, "--for", NULL), 2);
    assert_int_equal(run(box, "--fast", NULL), 2);
    assert_string_equal(box->calls, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(missing_tools_are_named_with_package_and_size, remove_sandbox),
        cmocka_unit_test_teardown(nothing_is_installed_without_root_terminal_or_ci, remove_sandbox),
        cmocka_unit_test_teardown(ci_installs_unasked_and_asks_for_no_password, remove_sandbox),
        cmocka_unit_test_teardown(root_installs_unasked, remove_sandbox),
        cmocka_unit_test_teardown(a_person_is_asked_and_the_answer_is_kept, remove_sandbox),
        cmocka_unit_test_teardown(a_failing_manager_is_one_clear_line, remove_sandbox),
        cmocka_unit_test_teardown(every_manager_gets_its_own_words, remove_sandbox),
        cmocka_unit_test_teardown(a_machine_without_a_known_manager_hears_what_to_install,
                                  remove_sandbox),
        cmocka_unit_test_teardown(a_wrong_option_is_refused, remove_sandbox),
    };
    return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
