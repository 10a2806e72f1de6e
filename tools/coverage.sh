#!/bin/sh
# coverage: which lines and branches of evq do its tests reach, and why not the others?
#
#   coverage.sh [FOLDER]      everything is built in FOLDER, build/coverage if it is not named
#
# The suite of evq, and the tests with failing system calls, are built by gcc with --coverage, without
# optimization, and run; gcov counts. tools/coverage.py sums up, and holds the lines that were not
# reached against tests/evq/uncovered.txt, where the reason stands for each. What it says is kept in
# FOLDER/report.txt.
#
# Status: 0; 1 when a test failed, a line that was not reached has no reason, or a reason has no line.

set -u
cd "$(dirname "$0")/.." || exit 1
out=${1:-build/coverage}
export PYTHONDONTWRITEBYTECODE=1

sh tools/need.sh gcc gcov python3 || exit

programs=test_evq
[ ! -f tests/test_evq_faults.c ] || programs="$programs test_evq_faults"

# Counters are atomic: some tests have threads.
build() {
    for program in $programs; do
        "${MAKE:-make}" -s -C tests BUILD="../$out/tests" CC=gcc \
            CFLAGS='-O0 -g --coverage -fprofile-update=atomic' "../$out/tests/$program" || return
    done
}

mkdir -p "$out" || exit
build || exit

# Counts of an earlier run are not those of these sources.
find "$out/tests" -name '*.gcda' -exec rm -f {} +
status=0
for program in $programs; do
    echo "running $program"
    if ! "$out/tests/$program" >"$out/$program.log" 2>&1 </dev/null; then
        echo "coverage: $program failed; what it said is in $out/$program.log"
        status=1
    fi
done

python3 tools/coverage.py "$out" >"$out/report.txt" || status=1
cat "$out/report.txt"
exit $status
