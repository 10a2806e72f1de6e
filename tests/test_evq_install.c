/*
 * test_evq_install: evq as its users get it: installed, or as two files to drop into a project.
 *
 * Everything happens in a folder of its own, $BOX: there the library is built, without
 * optimization, installed below $BOX/plain, and used by evq_install/app.c, which is copied out of
 * the repository first. Commands are run by the shell, as a user would type them. What needs a tool
 * that is not here skips in words. Run it from the root of the repository.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/clock.h"
#include "harness/skip.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT = 32768, LINE = 2048, WATCHDOG_S = 300 };

/* Builds where nothing else is built, and installs. */
#define MAKE    "\"$MAKE\" OUT=\"$BOX/out\" CFLAGS=-O0 "
#define STRICT  "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror "
#define PLAIN   "export PKG_CONFIG_PATH=\"$BOX/plain/lib/pkgconfig:$BOX/plain/libdata/pkgconfig\"; "
#define RUN     "LD_LIBRARY_PATH=\"$BOX/plain/lib\" DYLD_LIBRARY_PATH=\"$BOX/plain/lib\" "
#define IN_BOX  "cd \"$BOX\"; "
#define IT_RUNS "the timer and the echo came\n"
/* The functions that the installed header declares, by the preprocessor's word. */
#define DECLARED                                                                \
    "printf '#include <evq.h>\\n' | cc -E -P -I\"$BOX/plain/include\" -xc - | " \
    "grep -o 'evq_[a-z_]*(' | tr -d '(' | sort "

static char said[TEXT]; /* what the last command has said, both streams */
static int said_status;

/* ---- commands -------------------------------------------------------------------------------- */

static void shell(const char *command)
{
    char line[LINE];
    size_t len = 0, n;
    int needed = snprintf(line, sizeof line, "exec 2>&1; %s", command);
    assert_true(needed > 0 && (size_t)needed < sizeof line);
    (void)fflush(NULL);
    (void)alarm((unsigned)(WATCHDOG_S * clock_slowdown())); /* a test that hangs is ended */
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    while ((n = fread(said + len, 1, sizeof said - 1 - len, pipe)) > 0)
        len += n;
    said[len] = '\0';
    int status = pclose(pipe);
    said_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect(const char *command, int status, const char *words)
{
    shell(command);
    if (said_status != status || strstr(said, words) == NULL)
        fail_msg("%s\n  should end with %d and say \"%s\"; it ended with %d and said:\n%s", command,
                 status, words, said_status, said);
}

static void expect_exactly(const char *command, const char *words)
{
    shell(command);
    if (said_status != 0 || strcmp(said, words) != 0)
        fail_msg("%s\n  should say \"%s\"; it ended with %d and said:\n%s", command, words,
                 said_status, said);
}

static bool is_here(const char *tool)
{
    char line[LINE];
    (void)snprintf(line, sizeof line, "command -v %s", tool);
    shell(line);
    return said_status == 0;
}

#define needs(tool)                               \
    do {                                          \
        if (!is_here(tool))                       \
            skip_because("there is no %s", tool); \
    } while (0)

/* ---- the box --------------------------------------------------------------------------------- */

/* What a make above this test has set is not meant for the makes below it. */
static void forget_outer_make(void)
{
    static const char *const names[] = {"MAKEFLAGS", "MFLAGS",      "MAKELEVEL", "MAKEOVERRIDES",
                                        "CC",        "EVQ_BACKEND", "DESTDIR",   "PREFIX"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    (void)setenv("MAKE", is_here("gmake") ? "gmake" : "make", 1);
}

static int open_box(void **state)
{
    static char box[] = "/tmp/evq_install.XXXXXX";
    (void)state;
    forget_outer_make();
    if (mkdtemp(box) == NULL || setenv("BOX", box, 1) != 0)
        return -1;
    shell(MAKE "-j2 install PREFIX=\"$BOX/plain\" && cp tests/evq_install/app.c \"$BOX\"");
    if (said_status != 0)
        print_error("make install ended with %d:\n%s\n", said_status, said);
    return said_status == 0 ? 0 : -1;
}

static int remove_box(void **state)
{
    (void)state;
    shell("rm -rf \"$BOX\"");
    return said_status;
}

/* ---- a program outside ----------------------------------------------------------------------- */

static void a_program_outside_links_with_the_shared_library(void **state)
{
    (void)state;
    needs("pkg-config");
    expect_exactly(IN_BOX PLAIN "cc app.c $(pkg-config --cflags --libs evq) -o shared", "");
    expect(IN_BOX RUN "./shared", 0, IT_RUNS);
    expect(IN_BOX "nm -u shared", 0, "evq_open"); /* it does come from the library */
}

static void a_program_outside_links_with_the_static_library(void **state)
{
    (void)state;
    needs("pkg-config");
    expect(MAKE "install PREFIX=\"$BOX/static\"", 0, "is installed in");
    expect_exactly(IN_BOX "rm static/lib/libevq.*[!a]; ls static/lib/libevq*",
                   "static/lib/libevq.a\n");
    expect_exactly(IN_BOX "export PKG_CONFIG_PATH=\"$(dirname static/*/pkgconfig/evq.pc)\"; "
                          "cc app.c $(pkg-config --static --cflags --libs evq) -o static.app",
                   "");
    expect(IN_BOX "./static.app", 0, IT_RUNS);
    expect(IN_BOX "nm -u static.app | grep -c evq_", 1, "0\n");
}

static void a_program_in_cxx17_links_with_it(void **state)
{
    (void)state;
    needs("pkg-config");
    needs("c++");
    expect_exactly(IN_BOX PLAIN "c++ -x c++ -std=c++17 " STRICT
                                "app.c $(pkg-config --cflags --libs evq) -o cxx",
                   "");
    expect(IN_BOX RUN "./cxx", 0, IT_RUNS);
}

/* A package is put together under DESTDIR, and unpacked at the place that PREFIX names. */
static void a_package_with_blanks_in_its_prefix_works_where_it_is_unpacked(void **state)
{
    (void)state;
    expect(MAKE "install DESTDIR=\"$BOX/a place\" PREFIX=\"$BOX/else where\"", 0, "/a place/");
    expect_exactly(IN_BOX "ls -d 'else where' 2>/dev/null || grep -rl 'a place' 'a place' || :",
                   "");
    needs("pkg-config");
    expect_exactly(IN_BOX
                   "mv \"a place$BOX/else where\" . && "
                   "export PKG_CONFIG_PATH=\"$(dirname \"$BOX\"/else*/*/pkgconfig/evq.pc)\"; "
                   "eval \"cc app.c $(pkg-config --cflags --libs evq) -o blank\"",
                   "");
    expect(IN_BOX "LD_LIBRARY_PATH='else where/lib' ./blank", 0, IT_RUNS);
}

/* ---- what is installed ----------------------------------------------------------------------- */

static void the_shared_library_exports_what_evq_h_declares_and_nothing_else(void **state)
{
    (void)state;
    expect(DECLARED, 0, "evq_wait\n");
    expect_exactly(IN_BOX DECLARED ">declared; nm -D --defined-only plain/lib/libevq.so | "
                                   "awk '{ print $3 }' | sort | diff declared -",
                   "");
}

static void neither_library_holds_the_kqueue_of_chapter_05(void **state)
{
    (void)state;
    expect_exactly(IN_BOX "nm plain/lib/libevq.a 2>&1 | grep -E ' T _?(kqueue|kevent)$' || :", "");
    expect(IN_BOX "nm plain/lib/libevq.a", 0, "evq_open");
}

static void the_names_of_the_library_follow_its_version(void **state)
{
    (void)state;
    expect(IN_BOX PLAIN
           "v=$(awk '/define EVQ_VERSION_/ { printf \"%s%s\", dot, $3; dot = \".\" }' "
           "plain/include/evq.h); cd plain/lib; readlink libevq.so; readlink libevq.so.${v%%.*}; "
           "[ \"$(readlink libevq.so)\" = libevq.so.${v%%.*} ] && "
           "[ \"$(readlink libevq.so.${v%%.*})\" = libevq.so.$v ] && "
           "objdump -p libevq.so | grep -q \"SONAME  *libevq.so.${v%%.*}\\$\" && "
           "grep \"^Version: $v\\$\" \"$BOX\"/plain/*/pkgconfig/evq.pc",
           0, "Version: ");
}

static void every_function_has_a_man_page(void **state)
{
    (void)state;
    expect_exactly(IN_BOX DECLARED
                   "| while read -r name; do "
                   "grep -q \"^$name .- [a-z\\\"]\" plain/share/man/man3/$name.3 || "
                   "echo \"$name has no page\"; done",
                   "");
}

static void each_line_of_the_contract_is_in_a_man_page(void **state)
{
    (void)state;
    expect_exactly(IN_BOX "cd plain/share/man/man3; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 "
                          "16 17 18; do grep -q \"^.fBLine $n, \" evq*.3 || echo \"line $n\"; done",
                   "");
}

static void the_man_pages_are_what_roff_understands(void **state)
{
    (void)state;
    needs("groff");
    expect_exactly(IN_BOX "groff -man -Tutf8 -ww -z plain/share/man/man3/*.3", "");
}

/* ---- installing ------------------------------------------------------------------------------ */

static void uninstall_leaves_nothing_and_takes_nothing_else(void **state)
{
    (void)state;
    expect(MAKE "install PREFIX=\"$BOX/gone\" && : >\"$BOX/gone/lib/libother.so\"", 0,
           "is installed in");
    expect(MAKE "uninstall PREFIX=\"$BOX/gone\"", 0, "is removed from");
    expect_exactly(IN_BOX "find gone ! -type d", "gone/lib/libother.so\n");
}

static void a_second_install_builds_nothing(void **state)
{
    (void)state;
    shell(MAKE "install PREFIX=\"$BOX/plain\" | grep -E '^(CC|AR|LD) '");
    assert_string_equal(said, "");
}

/* A running program has the library mapped: it must keep the file that it has. */
static void a_library_in_use_is_replaced_and_not_written_over(void **state)
{
    (void)state;
    expect_exactly("cd \"$BOX/plain/lib\" && ln libevq.so.*.*.* old && cp old copy && "
                   "cd \"$OLDPWD\" && " MAKE "install PREFIX=\"$BOX/plain\" >/dev/null && "
                   "cd \"$BOX/plain/lib\" && cmp old copy && "
                   "{ [ old -ef libevq.so ] && echo 'the same file'; rm old copy; }",
                   "");
}

static void a_folder_that_is_not_absolute_is_refused_in_words(void **state)
{
    (void)state;
    expect(MAKE "install PREFIX=here", 2, "'here' does not begin with /");
    expect(MAKE "install DESTDIR=here PREFIX=/usr", 2, "'here' does not begin with /");
}

/* A compiler for Windows takes seconds for each file. So here the library is made of the one file
 * of the amalgamation, before make looks for it: what is asked is how it is installed. */
static void for_windows_there_is_a_static_library(void **state)
{
    (void)state;
    needs("x86_64-w64-mingw32-gcc");
    needs("pkg-config");
    expect(MAKE "amalgamation", 0, "/amalgamation/evq.c");
    expect_exactly(IN_BOX "mkdir windows && x86_64-w64-mingw32-gcc -std=c11 " STRICT
                          "-c out/amalgamation/evq.c -o windows/all.o && "
                          "ar rc windows/libevq.a windows/all.o",
                   "");
    expect(MAKE "OUT=\"$BOX/windows\" CC=x86_64-w64-mingw32-gcc install PREFIX=\"$BOX/win\"", 0,
           "for Windows there is the static library only");
    expect_exactly(IN_BOX "export PKG_CONFIG_PATH=win/lib/pkgconfig; "
                          "x86_64-w64-mingw32-gcc -std=c11 " STRICT
                          "app.c $(pkg-config --cflags --libs evq) -o app.exe",
                   "");
}

/* ---- the header and the amalgamation --------------------------------------------------------- */

/* For Windows that is checked by `make lint`. */
static void the_header_compiles_alone_as_c11_and_cxx17(void **state)
{
    (void)state;
    expect_exactly(IN_BOX "for cc in 'gcc -x c -std=c11' 'g++ -x c++ -std=c++17' "
                          "'clang -x c -std=c11' 'clang++ -x c++ -std=c++17'; do "
                          "command -v ${cc%% *} >/dev/null || continue; "
                          "$cc -fsyntax-only " STRICT "-include plain/include/evq.h /dev/null || "
                          "echo \"$cc\"; done",
                   "");
}

static void the_amalgamation_is_built_by_one_plain_command(void **state)
{
    (void)state;
    expect(MAKE "amalgamation", 0, "/amalgamation/evq.c");
    expect_exactly(IN_BOX "cmp plain/include/evq.h out/amalgamation/evq.h && "
                          "grep -c '^#include \"' out/amalgamation/evq.c",
                   "1\n");
    expect_exactly("for cc in gcc clang; do "
                   "command -v $cc >/dev/null || continue; "
                   "$cc -std=c11 " STRICT "-c \"$BOX/out/amalgamation/evq.c\" -o \"$BOX/$cc.o\" || "
                   "echo \"$cc\"; done",
                   "");
}

static void a_program_runs_on_the_amalgamation(void **state)
{
    (void)state;
    expect(MAKE "amalgamation", 0, "/amalgamation/evq.c");
    expect_exactly(IN_BOX "cd out/amalgamation && cc -c evq.c && "
                          "cc -I. \"$BOX/app.c\" evq.o -pthread -o dropped",
                   "");
    expect(IN_BOX "out/amalgamation/dropped", 0, IT_RUNS);
    expect(IN_BOX "EVQ_BACKEND=poll out/amalgamation/dropped", 0, "over poll");
}

static void the_amalgamation_has_io_uring_where_it_is_asked_for(void **state)
{
    (void)state;
    shell("echo '#include <liburing.h>' | cc -E -xc - >/dev/null");
    if (said_status != 0)
        skip_because("there is no liburing");
    expect(MAKE "amalgamation", 0, "/amalgamation/evq.c");
    expect_exactly(IN_BOX
                   "cd out/amalgamation && cc -DEVQ_WITH_URING -I. \"$BOX/app.c\" evq.c "
                   "-pthread -luring -o ring && cc -I. \"$BOX/app.c\" evq.c -pthread -o none",
                   "");
    expect(IN_BOX "EVQ_BACKEND=io_uring out/amalgamation/none", 1, "invalid argument");
    shell(IN_BOX "EVQ_BACKEND=io_uring out/amalgamation/ring");
    if (said_status != 0 && strstr(said, "not supported") != NULL)
        skip_because("io_uring is in it, but this system does not have it or forbids it");
    assert_non_null(strstr(said, "over io_uring"));
}

/* ---- all of them ----------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest programs[] = {
        cmocka_unit_test(a_program_outside_links_with_the_shared_library),
        cmocka_unit_test(a_program_outside_links_with_the_static_library),
        cmocka_unit_test(a_program_in_cxx17_links_with_it),
        cmocka_unit_test(a_package_with_blanks_in_its_prefix_works_where_it_is_unpacked),
        cmocka_unit_test(the_shared_library_exports_what_evq_h_declares_and_nothing_else),
        cmocka_unit_test(neither_library_holds_the_kqueue_of_chapter_05),
        cmocka_unit_test(the_names_of_the_library_follow_its_version),
        cmocka_unit_test(every_function_has_a_man_page),
        cmocka_unit_test(each_line_of_the_contract_is_in_a_man_page),
        cmocka_unit_test(the_man_pages_are_what_roff_understands),
        cmocka_unit_test(uninstall_leaves_nothing_and_takes_nothing_else),
        cmocka_unit_test(a_second_install_builds_nothing),
        cmocka_unit_test(a_library_in_use_is_replaced_and_not_written_over),
        cmocka_unit_test(a_folder_that_is_not_absolute_is_refused_in_words),
        cmocka_unit_test(for_windows_there_is_a_static_library),
        cmocka_unit_test(the_header_compiles_alone_as_c11_and_cxx17),
        cmocka_unit_test(the_amalgamation_is_built_by_one_plain_command),
        cmocka_unit_test(a_program_runs_on_the_amalgamation),
        cmocka_unit_test(the_amalgamation_has_io_uring_where_it_is_asked_for),
    };
    return cmocka_run_group_tests_name("evq: installed", programs, open_box, remove_box);
}
