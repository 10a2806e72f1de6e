#!/bin/sh
# diff: what a step changes.   diff.sh CH STEP     (make diff CH=02 STEP=2)
#
# Compares a step's own file with the step before it, across chapters too. The first line says
# which two files these are. Colour only at a terminal, never with NO_COLOR or PLAIN.

set -eu
cd "$(dirname "$0")/.."

new=$(sh tools/find.sh step "${1-}" "${2-}")
old=$(sh tools/find.sh before "$1" "$2")
if [ -z "$old" ]; then
    echo "$new is the very first step: there is none before it."
    exit 0
fi

paint='{ print }'
if [ -t 1 ] && [ -z "${NO_COLOR-}" ] && [ -z "${PLAIN-}" ] && [ "${TERM-dumb}" != dumb ]; then
    # shellcheck disable=SC2016 # $0 is awk's
    paint='
        /^-/  { print "\033[31m" $0 "\033[0m"; next }
        /^\+/ { print "\033[32m" $0 "\033[0m"; next }
        /^@@/ { print "\033[36m" $0 "\033[0m"; next }
        { print }'
fi

echo "from $old to $new"
# diff says 1 where the files differ, which is no failure here; its two lines of names are ours.
{ diff -u "$old" "$new" || [ $? -eq 1 ]; } | sed '1,2d' | awk "$paint"
