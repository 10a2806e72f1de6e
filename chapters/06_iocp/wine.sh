#!/bin/sh
# wine.sh: runs a Windows program, whatever this machine is.
#
#   wine.sh PROGRAM.exe [ARGS...]   runs it
#   wine.sh --check                 can it be done here? Prints "windows" or "wine", the way
#   wine.sh --start                 makes Wine ready, so that the first program need not wait for it
#   wine.sh --end                   ends what Wine has left running for this course
#
# On Windows (MSYS2) and in WSL the Windows kernel runs it. Everywhere else Wine does, and in a
# prefix (Wine's world of files and settings) of this course's own, made once: the user's is never
# touched. The prefix is $WINEPREFIX_OF_PROJECT, or build/wine of the checkout, or of this folder
# where it stands alone.
#
# Everything ends in exec, so the process that was started becomes the program: a signal sent to
# it arrives there, SIGINT as Ctrl-C. Without Wine: one line on stderr, and status 77.

set -eu

# ---- the Windows kernel ----

is_windows() {
    case $(uname -s) in
    MINGW* | MSYS* | UCRT* | CLANG* | CYGWIN*) return 0 ;;
    esac
    # WSL, where it may start Windows programs at all: Linux then has a handler for them.
    grep -qi microsoft /proc/version 2>/dev/null || return 1
    [ -e /proc/sys/fs/binfmt_misc/WSLInterop ] || [ -e /proc/sys/fs/binfmt_misc/WSLInterop-late ]
}

# ---- Wine ----

# The first of these names that is a program, with its folder; nothing where none is.
first_of() {
    for name in "$@"; do
        command -v "$name" 2>/dev/null && return
    done
    :
}

# The 64-bit program itself where it can be found: Debian's script `wine` complains on stderr when
# there is no 32-bit one, which nobody needs here.
find_wine() {
    wine=$(first_of wine64 /usr/lib/wine/wine64 wine)
    server=$(first_of wineserver "$(dirname "${wine:-/}")/wineserver" /usr/lib/wine/wineserver)
    [ -n "$wine" ] && [ -n "$server" ]
}

# Wine must map a page at 0x7ffe0000, where Windows programs read the time. Debian's wine64 stands
# at a fixed address below it, and the kernel begins its heap up to 1 GiB further up, at random. Once
# in some thousand starts the heap lies on that page, and Wine ends with status 1, without a word
# (virtual_alloc_first_teb: c0000018). So: no random addresses, where this system lets us choose.
find_steady() {
    steady=
    ! setarch -R true 2>/dev/null || steady='setarch -R'
}

use_prefix_of_project() {
    here=$(cd "$(dirname "$0")" && pwd)
    root=$here
    [ ! -f "$here/../../tools/find.sh" ] || root=$(cd "$here/../.." && pwd)
    WINEPREFIX=${WINEPREFIX_OF_PROJECT:-$root/build/wine}
    WINEDEBUG=-all # its complaints are about Wine, not about the program
    WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe=d' # no .NET, no browser, no menus
    WINEARCH=win64
    export WINEPREFIX WINEDEBUG WINEDLLOVERRIDES WINEARCH
}

# Wine's own programs are started by the first program, and stay when that has ended: with whatever it
# had open. Whoever reads such a pipe would wait for their end. A Windows program gets three of ours.
close_the_callers() {
    exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
}

# For what stays when the first program has ended: nothing of that one's environment stays with it.
in_clean_world() {
    env -i PATH="$PATH" HOME="${HOME:-/}" ${TMPDIR+"TMPDIR=$TMPDIR"} WINEPREFIX="$WINEPREFIX" \
        WINEDEBUG="$WINEDEBUG" WINEDLLOVERRIDES="$WINEDLLOVERRIDES" WINEARCH="$WINEARCH" "$@"
}

# The server holds the sockets of all programs, so it needs the descriptors. Were it started by the
# first program, it would also keep that one's stdout open, and whoever reads it would wait. It
# leaves by itself, some time after the last program.
start_server() {
    "$server" -k0 2>/dev/null && return
    (
        # shellcheck disable=SC3045 # where a shell has no such limit, it stays as it is
        ulimit -n "$(ulimit -Hn)" || :
        in_clean_world "$server" -p20
    ) </dev/null >/dev/null 2>&1 || : # another one was faster; and without any, Wine starts it
}

# A server that does not end in time, as on a busy machine, is killed by its own -k; and helpers of Wine
# (winedevice.exe) that wait for its answer then wait for ever. /proc, where there is one, tells whose
# they are.
end_orphans() {
    grep -lzxF "WINEPREFIX=$WINEPREFIX" /proc/[0-9]*/environ 2>/dev/null | while read -r environment; do
        process=${environment%/environ}
        program=$(readlink "$process/exe" 2>/dev/null || :)
        case ${program##*/} in
        wine*) kill -KILL "${process#/proc/}" 2>/dev/null || : ;;
        esac
    done
}

end_server() {
    [ -d "$WINEPREFIX" ] || return 0
    if "$server" -k 2>/dev/null; then "$server" -w 2>/dev/null || :; fi
    end_orphans
}

# mkdir is the lock: only one of several can make a folder. Whoever finds it locked waits; the lock
# of an owner who has died is taken away.
lock_prefix() {
    lock=$WINEPREFIX.lock
    mkdir -p "$(dirname "$WINEPREFIX")"
    until mkdir "$lock" 2>/dev/null; do
        owner=$(cat "$lock/owner" 2>/dev/null || :)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -rf "$lock"
        else
            sleep 1
        fi
    done
    trap 'rm -rf "$lock"' EXIT
    trap 'end_server; exit 1' HUP INT TERM # the next one finds it half made, and begins anew
    echo $$ >"$lock/owner"
}

make_prefix() {
    lock_prefix
    if [ ! -f "$WINEPREFIX/made" ]; then
        echo "wine.sh: Wine makes its files for this course, once; that takes some ten seconds" >&2
        end_server
        rm -rf "$WINEPREFIX"
        mkdir -p "$WINEPREFIX"
        start_server
        $steady "$wine" wineboot -i </dev/null >/dev/null 2>&1 || {
            echo "wine.sh: Wine could not make its prefix in $WINEPREFIX" >&2
            exit 1
        }
        end_server # which writes the registry into its files
        : >"$WINEPREFIX/made"
    fi
    rm -rf "$lock"
    trap - EXIT HUP INT TERM
}

# ---- what is asked for ----

case ${1-} in
--end)
    is_windows || ! find_wine || { use_prefix_of_project && end_server; }
    exit 0
    ;;
--check | --start) ;;
'' | -*)
    echo "usage: wine.sh PROGRAM.exe [ARGS...], or --check, --start or --end" >&2
    exit 2
    ;;
esac

if is_windows; then
    [ "$1" != --check ] || { echo windows && exit 0; }
    [ "$1" != --start ] || exit 0
    exec "$@"
fi
if ! find_wine; then
    echo "wine.sh: Windows programs need Wine here, and it is not installed" >&2
    exit 77
fi
[ "$1" != --check ] || { echo wine && exit 0; }
close_the_callers
use_prefix_of_project
find_steady
[ -f "$WINEPREFIX/made" ] || make_prefix
start_server
if [ "$1" = --start ]; then
    # Any program brings up Wine's own ones.
    # shellcheck disable=SC2086 # $steady is two words or none
    in_clean_world $steady "$wine" hostname </dev/null >/dev/null 2>&1 || :
    exit 0
fi
exec $steady "$wine" "$@"
