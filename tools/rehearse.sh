#!/bin/sh
# rehearse: does the plan of twelve weeks run in what students get?
#
#   rehearse.sh [BUILD]      BUILD is the folder of what was built here, usually build
#
# Packs a fresh handout, unpacks it elsewhere, and runs there what docs/teaching.md shows at the projector,
# week by week, with a guess in place of the audience; then an exercise is begun. Nobody looks at the figures
# (the tests do): a command must do what it says, end, and end well. A wrong server must be found wrong. A lab
# that cannot run here (no Wine, for instance) says so, and this is passed on. WEEKS="1 2" runs only these.
#
# Each command ends within LIMIT_S seconds (120), times TEST_SLOWDOWN. Status: 0 when all of it ran.

set -eu
cd "$(dirname "$0")/.."

build=${1:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
limit=$((${LIMIT_S:-120} * ${TEST_SLOWDOWN:-1}))
failed=0 ran=0

# "WEEK|COMMAND" for each line of the plan's first table; a command stands between backquotes.
# shellcheck disable=SC2016
commands() {
    sed -n '/^## Twelve weeks/,/^The labs, and their points/{
        s/^| \([0-9][0-9]*\) | [^|]* | `\(make [^`]*\)` |.*$/\1|\2/p
    }' docs/teaching.md
}

# in_handout WEEK COMMAND: runs it there, and tells in one line how it went.
in_handout() {
    ran=$((ran + 1)) began=$(date +%s) status=0 word=ok
    (cd "$handout" && GUESS=b timeout "$limit" sh -c "$2") >"$work/said" 2>&1 </dev/null || status=$?
    # make says 2 for each recipe that fails.
    case $2:$status in
    *tests/wrong/*:2) word="ok, found wrong" ;;
    *tests/wrong/*:* | *:[1-9]*) word=FAILED failed=$((failed + 1)) ;;
    *) ! grep -q '^skipped: ' "$work/said" || word=$(grep '^skipped: ' "$work/said" | tail -n 1) ;;
    esac
    printf 'week %2s  %4d s  %s: %s\n' "$1" $(($(date +%s) - began)) "$2" "$word"
    [ "$word" != FAILED ] || tail -n 15 "$work/said" | sed 's/^/    /'
}

# What was built here is up to date there, for the copies have the times of their sources.
bring_the_builds() {
    mkdir -p "$handout/$build"
    for one in tests tools exercises; do
        [ ! -d "$build/$one" ] || cp -Rp "$build/$one" "$handout/$build/"
    done
    for folder in chapters/*; do
        [ -d "$folder/$build" ] || continue
        mkdir -p "$handout/$folder/$build"
        cp -Rp "$folder/$build/." "$handout/$folder/$build/"
    done
}

archive=$(python3 tools/handout.py | sed -n 's/^\(.*\.tar\.gz\): .*/\1/p')
tar -xzf "$archive" -C "$work"
handout=$work/$(basename "$archive" .tar.gz)
bring_the_builds

commands >"$work/commands"
[ "$(wc -l <"$work/commands")" -eq 12 ] || { echo "docs/teaching.md: the plan has not twelve commands" >&2 && exit 1; }
while IFS='|' read -r week command <&3; do
    case " ${WEEKS-$week} " in *" $week "*) in_handout "$week" "$command" ;; esac
done 3<"$work/commands"
in_handout 1 "make -s exercise EX=01.1"

printf '%d commands, %d failed\n' $ran $failed
[ $failed -eq 0 ]
