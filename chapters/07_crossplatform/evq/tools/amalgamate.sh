#!/bin/sh
# amalgamate.sh: makes two files of the library, to be dropped into a project: evq.c and evq.h.
#
#   amalgamate.sh FOLDER      writes FOLDER/evq.c and FOLDER/evq.h
#
# evq.h is the header as it is. evq.c is all sources, one behind the other, with the library's own
# headers where they are needed first. Which sources a system gets, the Makefile says elsewhere; here
# that must be written as #if. So this is the one place where the library has them, and they are made
# here. A macro of one source is undefined behind it: in a file of its own the next one would not see it.
set -eu

out=${1:?usage: amalgamate.sh FOLDER}
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$(dirname "$0")/.."

version_part() { sed -n "s/^#define EVQ_VERSION_$1 //p" include/evq.h; }
version=$(version_part MAJOR).$(version_part MINOR).$(version_part PATCH)

head_of_file() {
    cat <<END
/*
 * evq.c: evq $version in two files, this one and evq.h. Generated; change the sources instead.
 *
 *     cc -c evq.c                           Linux, macOS, the BSDs: link with -pthread
 *     x86_64-w64-mingw32-gcc -c evq.c       Windows: link with -lws2_32
 *
 * C11, no other option is needed. io_uring, of Linux, is in it where you ask for it, which needs the
 * headers of liburing:
 *
 *     cc -DEVQ_WITH_URING -c evq.c          link with -pthread -luring
 *
END
    # The license asks to be kept with each copy.
    license | sed 's/^/ * /; s/ *$//'
    cat <<'END'
 */
/* Before the first header: so that the systems declare what the sources need. */
#if defined(_WIN32)
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#else
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _NETBSD_SOURCE
#define _NETBSD_SOURCE
#endif
#endif

#include "evq.h"
END
}

license() { awk '/^MIT License/, /^SOFTWARE\.$/' $license; }
license=../../../LICENSE
[ -f $license ] || { echo "amalgamate.sh: the repository's LICENSE goes into evq.c, and is not here" >&2 && exit 1; }

banner() { printf '\n/* ======== %s ======== */\n\n' "$1"; }

# The library's own headers are in the file already; of its markers no page makes use.
inlined() { grep -v -e '^#include "' -e '^//! \[' "$1"; }

# header NAME...: in this order, so that each finds what it needs above itself.
headers() {
    for name; do
        banner "$name.h"
        inlined "src/$name.h"
    done
}

sources() {
    for name; do
        banner "$name.c"
        inlined "src/$name.c"
        sed -n 's/^#define \([A-Za-z_0-9]*\).*/#undef \1/p' "src/$name.c" | sort -u
    done
}

all_of_it() {
    head_of_file
    headers evq_backend evq_platform
    sources evq_errors evq_backends evq_timers evq_sockets evq
    printf '\n#if defined(_WIN32)\n'
    sources evq_windows evq_iocp
    printf '\n#else /* POSIX */\n'
    headers evq_calls evq_pipe evq_reactor
    printf '\n#if defined(__APPLE__)\n'
    sources evq_calls_darwin
    printf '\n#else\n'
    sources evq_calls
    printf '\n#endif\n'
    sources evq_posix evq_pipe evq_reactor evq_poll
    printf '\n#if defined(__linux__)\n'
    sources evq_epoll
    printf '\n#ifdef EVQ_WITH_URING\n'
    sources evq_uring
    printf '\n#endif\n#else /* macOS, the BSDs */\n'
    sources evq_kqueue
    printf '\n#endif\n#endif\n'
}

mkdir -p "$out"
cp include/evq.h "$out/evq.h"
all_of_it >"$out/evq.c"
echo "evq $version in two files: $out/evq.c, $out/evq.h"
