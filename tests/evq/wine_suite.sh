#!/bin/sh
# wine_suite.sh: the suite of evq on the backend of Windows: cross-built, and run by Windows itself or by
# Wine (chapters/06_iocp/wine.sh).
#
#   wine_suite.sh DIR              builds and runs it; what is built goes to DIR
#   wine_suite.sh DIR --build      builds only: DIR/test_evq.exe
#
# Says what the tests say (TAP, with CMOCKA_MESSAGE_OUTPUT=TAP). Where the compiler, cmocka or Wine is
# missing it says so in one line, and ends with status 77.
set -eu

dir=${1:?usage: wine_suite.sh DIR [--build]}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
cd "$(dirname "$0")/../.." # from here on no name of a source has a blank; $dir may have some
evq=chapters/07_crossplatform/evq
wine=${WINE_RUN:-chapters/06_iocp/wine.sh}
cc=${MINGW_CC:-x86_64-w64-mingw32-gcc}
std="-std=c11 -D_WIN32_WINNT=0x0602 -DWIN32_LEAN_AND_MEAN"
warn="-Wall -Wextra -Wpedantic -Wshadow -Wconversion"
[ "${WERROR:-0}" = 0 ] || warn="$warn -Werror"

# Nothing to do where the program is newer than all that it is made of.
is_up_to_date() {
    [ -f "$dir/test_evq.exe" ] && [ -z "$(find $evq/src $evq/include tests/evq tests/harness tests/test_evq.c \
        -name '*.[ch]' -newer "$dir/test_evq.exe")" ]
}

command -v "$cc" >/dev/null || {
    echo "wine_suite.sh: no compiler for Windows here ($cc)" >&2
    exit 77
}

# Options first, and then each source becomes an object named after it.
compile() {
    for source in $sources; do
        # shellcheck disable=SC2086 # lists of options
        "$cc" $std $warn ${CFLAGS:--O2 -g} "$@" -c -o "$dir/$(basename "$source" .c).o" "$source"
    done
}

build() {
    tests/evq/mingw_cmocka.sh "$dir/cmocka"
    rm -f "$dir"/*.o
    sources=
    for name in evq evq_backends evq_errors evq_iocp evq_sockets evq_timers evq_windows; do
        sources="$sources $evq/src/$name.c"
    done
    compile -I$evq/include
    sources="tests/harness/clock.c tests/test_evq.c"
    for source in tests/evq/*.c; do
        case $source in *_posix.c) ;; *) sources="$sources $source" ;; esac
    done
    compile -Itests -Itests/evq -I$evq/include -I$evq/src -isystem "$dir/cmocka/include"
    # shellcheck disable=SC2086
    "$cc" -static ${CFLAGS:--O2 -g} -o "$dir/test_evq.exe" "$dir"/*.o "$dir/cmocka/libcmocka.a" \
        -Wl,--wrap=__imp_WSAIoctl ${LDFLAGS-} -lws2_32 -pthread
}

is_up_to_date || build
[ "${2-}" != --build ] || exit 0
sh "$wine" --check >/dev/null || exit
exec sh "$wine" "$dir/test_evq.exe"
