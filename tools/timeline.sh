#!/bin/sh
# timeline: a server, run under strace beside a few clients, as a picture and in words.
#
#   timeline.sh BUILD CH STEP         this step                    (make timeline CH=04 STEP=1)
#   timeline.sh BUILD --server WORDS  any program that keeps the command line of ours
#   timeline.sh BUILD                 every step that can be shown, and the echo example of evq
#
# BUILD is the build folder, here and inside each chapter; the pictures go into BUILD/timeline. With
# RECORD=1 they go into docs/timelines, where the book's page shows them. The clients are the same
# for every server, and so is the scale: laid side by side, the pictures say why each chapter exists.
# PLAIN=1 prints sentences instead of a table.
#
# strace is of Linux alone, and a system may forbid it. A Windows program cannot be shown: Wine makes
# other calls out of those that the program makes, and part of them in a process of its own.
#
# Status: 0; 1 when it cannot be shown, with one line that says why; 2 for a wrong name.

set -eu
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

die() {
    echo "timeline: $*" >&2
    exit 1
}

# strace may be here and yet not be allowed to trace: in some containers, for instance.
may_trace() {
    [ "$(uname -s)" = Linux ] || die "strace is a program for Linux, and this is $(uname -s). Elsewhere: in a container."
    sh tools/need.sh strace python3 || exit 1
    strace -qq -o /dev/null true 2>/dev/null ||
        die "strace is here, but may not trace. In a container: docker run --cap-add=SYS_PTRACE ..."
}

# "04/1 epoll: level triggered"
title_of() {
    name=${1##*/} folder=${1#chapters/*_}
    name=${name#step[0-9]*_}
    case $1 in */mini/*) folder=mini ;; esac
    echo "$2/$3 $(echo "${folder%%/*}: ${name%.c}" | tr _ ' ')"
}

# Chapter 06's own programs, but for the first.
is_for_windows() {
    case $1 in
    chapters/06_iocp/step1_*) false ;;
    chapters/06_iocp/*) true ;;
    *) false ;;
    esac
}

# draw TITLE PROGRAM NAME
draw() {
    python3 tools/timeline.py "$1" "$2" "$pictures/$3.svg"
}

# draw_step CH STEP
draw_step() {
    source=$(sh tools/find.sh step "$1" "$2") || exit 2
    program=$(sh tools/find.sh program "$build" "$1" "$2")
    number=$(sh tools/find.sh number "$1")
    ! is_for_windows "$source" ||
        die "$number/$2 is a Windows program: strace would show the calls of Wine, and none of the port's."
    [ -e "$program" ] || die "$number/$2 is not built: there is no $program"
    draw "$(title_of "$source" "$number" "$2")" "$program" "${number}_$2"
}

# What is an earlier step again, byte for byte, is shown once.
draw_all() {
    status=0
    for source in $(sh tools/find.sh steps); do
        chapter=${source#chapters/} step=${source##*/step}
        chapter=${chapter%%_*} step=${step%%_*}
        before=$(sh tools/find.sh before "$chapter" "$step")
        if is_for_windows "$source" || cmp -s "$source" "${before:-/dev/null}"; then continue; fi
        (draw_step "$chapter" "$step") || status=1
        echo
    done
    echo=chapters/07_crossplatform/$build/examples/echo
    [ ! -e "$echo" ] || draw "07 evq: the echo example" "$echo" 07_echo || status=1
    return $status
}

build=$1
shift
pictures=$build/timeline
case ${RECORD-} in '' | 0) ;; *) pictures=docs/timelines ;; esac
may_trace
case ${1-} in
'') draw_all ;;
--server) draw "$2" "$2" server ;;
*) draw_step "$1" "${2-}" ;;
esac
