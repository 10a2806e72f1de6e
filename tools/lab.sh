#!/bin/sh
# lab: runs experiments.
#
#   lab.sh BUILD CH/NAME    one of them; it may ask for a prediction       (make lab L=01/name)
#   lab.sh BUILD            all of them, nobody is asked; then the sums    (make labs)
#
# BUILD is the build folder inside each chapter. A lab's status: 0 its claim is reproduced, 1 it
# is not, 77 this machine cannot run it; it says so itself, so 77 is no failure here. What an emulation
# shows is counted apart: a real kernel may do something else. A lab that is a Windows program is run
# by chapter 06's wine.sh: it includes iocp_lab.h.

set -eu
cd "$(dirname "$0")/.."
build=$1

# Runs the lab whose source is $1. Without what builds or runs Windows programs it says what is missing.
run_lab() {
    folder=${1%/labs/*}
    name=${1##*/}
    program=$folder/$build/labs/${name%.c}
    wine=chapters/06_iocp/wine.sh
    if [ -e "$program" ] || ! grep -qs '#include "iocp_lab.h"' "$1"; then
        "$program"
    elif [ -e "$program.exe" ]; then
        sh "$wine" "$program.exe" && return
        status=$?
        [ $status != 77 ] || sh tools/need.sh wine || :
        return $status
    else
        why=$(sh tools/need.sh x86_64-w64-mingw32-gcc 2>&1) || :
        echo "skipped: ${why:-$program.exe is not built}"
        return 77
    fi
}

if [ $# -gt 1 ]; then
    source=$(sh tools/find.sh lab "$2")
    status=0
    run_lab "$source" || status=$?
    [ $status != 77 ] || status=0
    exit $status
fi

# What a lab says is shown while it runs. Its last line tells whether it met a real kernel.
said=$(mktemp)
trap 'rm -f "$said" "$said.status"' EXIT

reproduced=0
emulated=0
not=0
cannot=0
for source in $(sh tools/find.sh labs); do
    echo "== $source"
    {
        status=0
        run_lab "$source" </dev/null || status=$?
        echo $status >"$said.status"
    } | tee "$said"
    status=$(cat "$said.status")
    case $status:$(tail -n 1 "$said") in
    "0:finding (emulated)"*) emulated=$((emulated + 1)) ;;
    0:*) reproduced=$((reproduced + 1)) ;;
    77:*) cannot=$((cannot + 1)) ;;
    *) not=$((not + 1)) && echo "status $status: $source did not reproduce its claim" ;;
    esac
    echo
done
echo "labs: $reproduced reproduced, $emulated emulated, $not not reproduced, $cannot cannot run on this machine"
[ $not = 0 ]
