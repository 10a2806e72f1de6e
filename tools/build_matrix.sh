#!/bin/sh
#
# build_matrix: everything, by every compiler, at every level of optimization, with and without
# assertions: no warning, and each server still serves.
#
#     tools/build_matrix.sh                            gcc and clang, -O0 to -O3: 16 builds
#     COMPILERS=gcc LEVELS='0 2' tools/build_matrix.sh
#     MATRIX_PART=2/4 tools/build_matrix.sh            four of them, in which each level is there once, and
#                                                      each compiler with and without assertions
#     MATRIX_PART=commit/4 tools/build_matrix.sh       the commit that is checked out chooses which four
#
# Each build has a folder of its own, build/matrix/NAME, here and in the chapters. Status 0: all is
# well; 1: something is not, and the report says what; 77: no compiler is here.
# The Windows programs of chapter 06 are built beside gcc only, by mingw-w64, which is a gcc, and at the
# two ends, -O0 and -O3, since each takes long; they are started where Wine can run them.

set -u
cd "$(dirname "$0")/.." || exit 1
unset MAKEFLAGS MAKELEVEL MFLAGS

COMPILERS=${COMPILERS:-gcc clang}
LEVELS=${LEVELS:-0 1 2 3}
MAKE=${MAKE:-make}
SERVE_LIMIT_S=30 # for one server: start, echo, stop
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
matrix=build/matrix

# The part that is asked for, 0 to 3; nothing: all of them.
which_part() {
    case ${MATRIX_PART:-} in
    '') ;;
    [1-4]/4) echo $((${MATRIX_PART%/4} - 1)) ;;
    commit/4)
        hash=$(git rev-parse --short=7 HEAD 2>/dev/null | cut -c1-7)
        echo $((0x${hash:-0} % 4))
        ;;
    *) return 1 ;;
    esac
}

part=$(which_part) || { echo "build_matrix: MATRIX_PART=$MATRIX_PART: give 1/4 to 4/4, or commit/4" >&2; exit 2; }
mkdir -p $matrix || exit 1
fifo=$matrix/said
trap 'rm -f $fifo' EXIT

make_in() {
    # No compiler for Windows programs: then the chapter leaves them out.
    case $compiler$level in gcc0 | gcc3) no_windows='' ;; *) no_windows=FIND_W=w=false ;; esac
    "$MAKE" -s ${no_windows:+"$no_windows"} -j"$jobs" -C "$1" "$2" BUILD="$3" CC="$compiler" CFLAGS="$flags" WERROR=1
}

# Along the levels the parts take turns; a build's compiler and its assertions shift the turn.
is_asked_for() {
    turn=$level
    [ "$compiler" = gcc ] || turn=$((turn + 1))
    [ -z "$assertions" ] || turn=$((turn + 2))
    [ -z "$part" ] || [ $((turn % 4)) -eq "$part" ]
}

build() {
    for chapter in chapters/*/; do
        make_in "$chapter" all "$matrix/$name" || return
    done
    make_in tests all "../$matrix/$name/tests" && make_in tools all "../$matrix/$name/tools"
}

# A peer that wants an answer: an echo, or from a server for lines a line in upper case.
asks() {
    server_name=$1
    shift
    case $server_name in
    *_lines)
        answer=$(echo "a line" | "$matrix/$name/tools/peer" talk "$@" 2>/dev/null)
        echo "the answer to 'a line' was '$answer'"
        [ "$answer" = "A LINE" ]
        ;;
    *) "$matrix/$name/tools/peer" ping "$@" ;;
    esac
}

# Starts a server, lets a peer send and check some bytes, stops it: right is status 0 and a last
# line of totals. The server says its number first, for the signal: timeout(1) of coreutils 9.1 ends
# without its child when a signal comes before its fork() has told it who that is.
serves() {
    rm -f $fifo
    mkfifo $fifo || return 1
    case $1 in
    *.exe) program="sh ${1%%/"$matrix"*}/wine.sh" stop_signal=INT ;;
    *) program='' stop_signal=TERM ;;
    esac
    # shellcheck disable=SC2086 # words
    $limit sh -c 'echo $$ && exec "$@"' sh $program "$1" -p 0 >$fifo 2>"$matrix/stderr" &
    limited=$!
    exec 3<$fifo
    read -r server <&3
    read -r first <&3
    asks "$1" -p "${first##*:}" >"$matrix/peer" 2>&1
    peer_status=$?
    kill -$stop_signal "$server" 2>/dev/null
    last=$(cat <&3)
    exec 3<&-
    wait $limited
    case $?:$1 in
    0:*) ;;
    137:*.exe) ;; # Wine's server was faster (tools/launch.c); what counts is its last line
    *) return 1 ;;
    esac
    [ $peer_status = 0 ] && case $last in *"totals: clients"*) ;; *) false ;; esac
}

limit=
if command -v timeout >/dev/null 2>&1; then
    limit="timeout -k 5 $SERVE_LIMIT_S"
fi

# "wine" where it can run Windows programs.
windows=$(sh chapters/06_iocp/wine.sh --check 2>/dev/null) || windows=nothing
[ "$windows" != wine ] || sh chapters/06_iocp/wine.sh --start
end_wine() { [ "$windows" != wine ] || sh chapters/06_iocp/wine.sh --end; }
trap 'rm -f $fifo; end_wine' EXIT

builds=0 bad=0
for compiler in $COMPILERS; do
    if ! command -v "$compiler" >/dev/null 2>&1; then
        echo "build_matrix: no $compiler here, its builds are skipped"
        continue
    fi
    for level in $LEVELS; do
        for assertions in '' -DNDEBUG; do
            is_asked_for || continue
            name=$compiler-O$level${assertions:+-ndebug}
            flags="-O$level${assertions:+ $assertions}"
            builds=$((builds + 1))
            served=0 verdict=
            if ! build >"$matrix/$name.log" 2>&1; then
                verdict="FAILED to build:"
            fi
            for step in chapters/*/"$matrix/$name"/step*; do
                [ -z "$verdict" ] || break
                case $step in
                *.exe) [ "$windows" = wine ] || continue ;;
                *) [ -x "$step" ] || continue ;;
                esac
                if serves "$step"; then
                    served=$((served + 1))
                else
                    verdict="FAILED: $step does not serve:"
                    cat "$matrix/peer" "$matrix/stderr" >"$matrix/$name.log"
                fi
            done
            [ -n "$verdict" ] || [ "$served" -gt 0 ] || verdict="FAILED: no step was built"
            printf '%-18s %s\n' "$name" "${verdict:-no warning, $served steps serve}"
            if [ -n "$verdict" ]; then
                bad=$((bad + 1))
                tail -n 20 "$matrix/$name.log" | sed 's/^/    /'
            fi
        done
    done
done

if [ $builds -eq 0 ]; then
    echo "build_matrix: no compiler of '$COMPILERS' is here"
    exit 77
fi
echo "build_matrix: $builds builds, $bad of them bad"
[ $bad -eq 0 ]
