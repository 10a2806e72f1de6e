#!/bin/sh
# test_evq_iocp: the suite of evq once more, on the backend of Windows: cross-built, and run by Windows
# itself or by Wine. tests/run.sh runs it like any other test program, and reads what the tests say.
#
# Run it from the root of the repository; STEPS_BUILD says which build the tests belong to.
set -u

build=${STEPS_BUILD:-build}
program=$build/tests/windows/test_evq.exe
said=$build/tests/windows/said
mkdir -p "$build/tests/windows" || exit 1

# skip REASON: in the words that the runner knows.
skip() {
    printf '1..1\n# skip: suite: %s\nok 1 - suite # SKIP\n# ok - evq over iocp\n' "$1"
    exit 0
}

case $build in
*san-*) skip "the compiler for Windows programs has no sanitizers; it is tested without" ;;
esac
sh tests/evq/wine_suite.sh "$build/tests/windows" --build >"$said" 2>&1
case $? in
0) ;;
77) skip "$(tail -n 1 "$said")" ;;
*)
    cat "$said"
    exit 1
    ;;
esac
sh chapters/06_iocp/wine.sh --check >"$said" 2>&1 || skip "$(cat "$said")"

# Under Wine a random program takes ten times as long as elsewhere. Windows ends its lines in two bytes;
# the status is that of the program all the same.
{
    EVQ_MODEL_PROGRAMS=${EVQ_MODEL_PROGRAMS:-250} sh chapters/06_iocp/wine.sh "$program"
    echo $? >"$said"
} | tr -d '\r'
exit "$(cat "$said")"
