#!/bin/sh
# run.sh: runs the test programs, shows how it goes, and ends in a table and one line of totals.
#
#   tests/run.sh BUILD_DIR [PROGRAM...]      without names: every test_*.c, test_*.sh and suite_*.c that is here
#
# A program speaks TAP (cmocka's, see CMOCKA_MESSAGE_OUTPUT), may print other lines in between, and may say
#   # skip: TEST: reason                     before it skips a test (harness/skip.h)
#   # emulated: how                          once in a group of tests that did not meet the real kernel;
#                                            "by Wine": what Wine has left running is ended with this run
# Its whole output is kept in BUILD_DIR/log/PROGRAM.log. A program that crashes, hangs, or ends before it
# has run all that it planned counts as one failure more. The status is 0 when something ran and nothing
# failed. TEST_SLOWDOWN scales the time that a program may take (TEST_LIMIT_S, usually 1,200 seconds).
# TEST_JOBS programs run at a time (two, where there are two processors), since most of them mostly wait.
# PLAIN=1, or no terminal: one line for each event, and nothing is ever overwritten.
set -u

here=$(dirname "$0")
build=${1:?usage: tests/run.sh BUILD_DIR [PROGRAM...]}
shift
log=$build/log
case ${TEST_JOBS:-1} in
*[!0-9]* | 0*) echo "run.sh: TEST_JOBS is how many programs run at a time, not '$TEST_JOBS'" >&2; exit 2 ;;
esac
mkdir -p "$log" || exit 1
work=$(mktemp -d) || exit 1
last_lane=1

# Three files grow during the run, a whole line at a time, their fields separated by tabs:
groups=$work/groups   # program, group, natively or how emulated, passed, failed, skipped
skips=$work/skips     # program, test, reason
fails=$work/fails     # program, test
touch "$groups" "$skips" "$fails"
tab=$(printf '\t')

live=no
if [ -t 1 ] && [ -z "${PLAIN:-}" ]; then live=yes; fi

# Wine's server would stay a while, for the next Windows program: with this run it ends, too.
clean_up() {
    if [ -e "$work/wine" ]; then
        for wine in "$here"/../chapters/*/wine.sh; do
            if [ -e "$wine" ]; then end_wine_of_each_lane; fi
        done
    fi
    rm -rf "$work"
}

end_wine_of_each_lane() {
    lane=1
    while [ $lane -le "$last_lane" ]; do
        (in_lane $lane && exec sh "$wine" --end) </dev/null >/dev/null 2>&1
        lane=$((lane + 1))
    done
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- showing ---------------------------------------------------------------------------------------

wipe() { if [ $live = yes ]; then printf '\r%78s\r' ''; fi; }

say() { wipe; printf '%s\n' "$*"; }

# The line that is overwritten, for those who watch.
show_progress() {
    if [ $live = yes ]; then
        printf '\r%-78.78s' "  ...   $program: $done of $plan"
    fi
}

# ---- reading one program's output ------------------------------------------------------------------

group_begins() {
    plan=$1 done=0 passed=0 failed=0 skipped=0 setup_failed=no how=natively began=$(date +%s)
}

# Closes the books of a group, named $1. A program may die in the middle of one.
group_ends() {
    printf '%s\t%s\t%s\t%d\t%d\t%d\n' "$program" "$1" "$how" "$passed" "$failed" "$skipped" >>"$groups"
    words="$passed passed"
    if [ "$failed" -gt 0 ]; then words="$words, $failed FAILED"; fi
    if [ "$skipped" -gt 0 ]; then words="$words, $skipped skipped"; fi
    verdict='  ok    '
    if [ "$failed" -gt 0 ]; then verdict='  FAILED  '; fi
    say "$verdict$program: $1: $words ($(($(date +%s) - began)) s)"
    plan=none
}

# $1 is the test; the lines that it printed since the result before are its story.
test_fails() {
    failed=$((failed + 1))
    printf '%s\t%s\n' "$program" "$1" >>"$fails"
    say "  FAILED  $program: $1"
    sed -e '/^$/d' -e 's/^/          /' "$story" | tail -n 25
}

test_is_skipped() {
    skipped=$((skipped + 1))
    name=$(printf '%s\n' "$1" | sed -e 's/^\(not \)\{0,1\}ok [0-9]* *-* *//' -e 's/# [Ss][Kk][Ii][Pp] *//' -e 's/ *$//')
    reason=$(sed -n "s/^# skip: //p" "$story" | tail -n 1)
    case $reason in
    "$name: "*) reason=${reason#"$name: "} ;;
    '') reason='no reason given' ;;
    esac
    printf '%s\t%s\t%s\n' "$program" "$name" "$reason" >>"$skips"
}

# One result line. "not ok 0" is how cmocka says that the preparation of a whole group failed.
result() {
    story_goes_on=no
    done=$((done + 1))
    case $1 in
    *'# SKIP'* | *'# skip'*) test_is_skipped "$1" ;;
    'not ok 0 '*) setup_failed=yes; test_fails "${1#not ok 0 - }" ;;
    'not ok '*) test_fails "${1#not ok * - }"; story_goes_on=yes ;;
    *) passed=$((passed + 1)) ;;
    esac
    : >"$story"
    show_progress
}

# The program has ended with status $1: did it do what it had planned?
program_ends() {
    case $1 in
    0) ending='ended with status 0' ;;
    1[3-9][0-9] | 12[89]) ending="was killed by signal $(($1 - 128))" ;;
    *) ending="ended with status $1" ;;
    esac
    if [ -e "$running.out_of_time" ]; then ending="was stopped after $limit s"; fi

    any_failure=$(grep -c "^$program$tab" "$fails")
    if [ "$plan" != none ] && [ "$setup_failed" = no ] && [ "$done" -lt "$plan" ]; then
        test_fails "$ending when $done of $plan tests had run"
    elif [ "$planned" = no ]; then
        group_begins 0
        test_fails "$ending and ran no test"
    elif [ "$1" -ne 0 ] && [ "$any_failure" -eq 0 ]; then
        if [ "$plan" = none ]; then group_begins 0; fi
        test_fails "$ending, though no test failed"
    fi
    if [ "$plan" != none ]; then group_ends '(its end)'; fi
}

read_program() {
    plan=none planned=no story_goes_on=no done=0
    : >"$story"
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        1..*[!0-9]*) ;;
        1..*)
            if [ "$plan" != none ]; then group_ends '(not named)'; fi
            group_begins "${line#1..}"
            planned=yes story_goes_on=no
            : >"$story"
            continue ;;
        'ok '[0-9]* | 'not ok '[0-9]*)
            if [ "$plan" != none ]; then result "$line"; continue; fi ;;
        *"not ok $((done + 1)) - "*) # behind words without an end, as cmocka cuts long ones
            if [ "$plan" != none ]; then
                printf '%s\n' "${line%"not ok $((done + 1)) - "*}" >>"$story"
                result "not ok $((done + 1)) - ${line##*"not ok $((done + 1)) - "}"
                continue
            fi ;;
        '# emulated: '*)
            how="emulated: ${line#\# emulated: }"
            case $how in *' by Wine') : >"$work/wine" ;; esac ;;
        '# ok - '* | '# not ok - '*)
            if [ "$plan" != none ] && { [ "$done" -ge "$plan" ] || [ "$setup_failed" = yes ]; }; then
                group_ends "${line#*ok - }"
                story_goes_on=no
                continue
            fi ;;
        '@status '*) program_ends "${line#@status }"; return ;;
        esac
        case $line in '# skip: '* | [!#]*) story_goes_on=no ;; esac
        if [ $story_goes_on = yes ]; then # cmocka tells the place of a failure after it
            wipe
            printf '          %s\n' "$line"
        else
            printf '%s\n' "$line" >>"$story"
        fi
    done
}

# ---- running ---------------------------------------------------------------------------------------

limit=$(awk -v s="${TEST_LIMIT_S:-1200}" -v f="${TEST_SLOWDOWN:-1}" 'BEGIN { f += 0; print int(s * (f > 0 ? f : 1) + 0.5) }')

# Ends the program when its time is over. Its pid stands in the file $running, and the watchdog leaves
# when that file does: no signal has to reach it, so none can be lost. It leaves a second late; who cares.
start_watchdog() {
    : >"$running"
    (
        seconds=0
        while sleep 1 && [ -e "$running" ]; do
            seconds=$((seconds + 1))
            if [ $seconds -eq "$limit" ]; then
                : >"$running.out_of_time"
                kill "$(cat "$running")"
            elif [ $seconds -eq $((limit + 5)) ]; then
                kill -9 "$(cat "$running")"
            fi
        done
    ) >/dev/null 2>&1 </dev/null &
}

run_program() {
    program=$(basename "$1")
    story=$work/$program.story
    running=$work/$program.running
    start_watchdog
    {
        CMOCKA_MESSAGE_OUTPUT=TAP sh -c 'echo $$ >"$1"; exec "$0"' "$1" "$running"
        printf '\n@status %d\n' $?
    } </dev/null 2>&1 | tee "$log/$program.log" | read_program
    rm -f "$running"
}

# Called with the name of one that could not even start, and the reason.
not_run() {
    printf '%s\t%s\t%s\n' "$1" '(the whole program)' "$2" >>"$skips"
    printf '%s\t%s\t%s\t0\t0\t1\n' "$1" '(the whole program)' "not at all" >>"$groups"
    say "  skipped $1: $2"
}

# These build what they run by themselves, or run scripts: no sanitizer is in it but where they ask for it.
as_ever='test_exercises test_runner test_setup test_teaching test_timeline test_zoo'

# The thread sanitizer finds nothing in what has no threads: these programs test tools, or servers that
# the contract tests there. They take minutes, and run in the usual build and in the one with addresses.
without_threads='suite_goes_red test_bench test_check test_demo test_evq_install test_foreign_clients'
without_threads="$without_threads test_idle test_lines"

run_here() {
    case "/$build/ $as_ever  - $without_threads " in
    */san-*" $1 "*" - "*) not_run "$1" "what it runs is built as ever: see the usual build" ;;
    */san-*thread*/*" $1 "*) not_run "$1" "what it tests has no threads: see the other builds" ;;
    *) run_one "$1" ;;
    esac
}

run_one() {
    case $1 in */*) path=$1 ;; *) path=$build/$1 ;; esac
    if [ -x "$path" ]; then
        case $path in */*) ;; *) path=./$path ;; esac
        run_program "$path"
    elif [ -e "$build/no_cmocka" ]; then
        not_run "$1" "$(cat "$build/no_cmocka")"
    else
        printf '%s\t%s\t%s\t0\t1\t0\n' "$1" '(the whole program)' 'not at all' >>"$groups"
        printf '%s\t%s\n' "$1" 'it was not built' >>"$fails"
        say "  FAILED  $1: it was not built"
    fi
}

# ---- lanes -----------------------------------------------------------------------------------------

# Those that take longest begin first, so that the lanes end together.
in_order() {
    for one in test_contract test_tools test_exercises test_evq_examples test_iocp_steps test_demo; do
        if [ -e "$here/$one.c" ]; then echo $one; fi
    done
    for source in "$here"/test_*.[cs]* "$here"/suite_*.c; do
        if [ -e "$source" ]; then basename "${source%.*}"; fi
    done
}

lanes_here() {
    if [ "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" -gt 1 ]; then echo 2; else echo 1; fi
}

# Some tests end all that Wine has running, so each lane but the first has a Wine of its own.
in_lane() {
    if [ "$1" -gt 1 ]; then
        prefix=${WINEPREFIX_OF_PROJECT:-$(cd "$here/.." && pwd)/build/wine}
        WINEPREFIX_OF_PROJECT=${prefix}_$1
        export WINEPREFIX_OF_PROJECT
    fi
}

# A lane runs what no other one has taken. mkdir is the lock: only one of several can make a folder.
run_lane() {
    in_lane "$1"
    for one in $(in_order); do
        if mkdir "$work/$one.taken" 2>/dev/null; then run_here "$one"; fi
    done
}

# Lane $1 and those after it, side by side. In a pipeline, since what a shell starts with & ignores SIGINT,
# and so would every program that is tested. Nothing goes through the pipe.
run_lanes() {
    if [ "$1" -lt "$last_lane" ]; then
        (run_lane "$1") >&3 3>&- | run_lanes $(($1 + 1))
    else
        (run_lane "$1") >&3 3>&-
    fi
}

if [ $# -eq 0 ]; then
    last_lane=${TEST_JOBS:-$(lanes_here)}
    run_lanes 1 3>&1
else
    for one in "$@"; do run_one "$one"; done
fi

# ---- the summary -----------------------------------------------------------------------------------

if [ -s "$skips" ]; then
    printf '\nSkipped, and why:\n'
    awk -F '\t' '{ printf "  %s: %s: %s\n", $1, $2, $3 }' "$skips"
fi
if [ -s "$fails" ]; then
    printf '\nFailed (all that was said stands in %s/):\n' "$log"
    awk -F '\t' '{ printf "  %s: %s\n", $1, $2 }' "$fails"
fi
# Where cmocka cannot be had, everything is skipped, in words; on CI that is a failure all the same.
sort -s -t "$tab" -k 1,1 "$groups" >"$groups.in_order"
forgiven=$([ -e "$build/no_cmocka" ] && [ -z "${CI:-}" ] && echo yes || echo no)
awk -F '\t' -v forgiven="$forgiven" '
    BEGIN { printf "\n%-44s %6s %6s %7s  %s\n", "what", "passed", "failed", "skipped", "ran" }
    {
        passed += $4; failed += $5; skipped += $6
        printf "%-44s %6d %6d %7d  %s\n", $1 ": " $2, $4, $5, $6, $3
    }
    END {
        printf "\n"
        if (passed + failed == 0) print "nothing ran, so nothing is proven"
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0 || (passed == 0 && forgiven == "no")
    }' "$groups.in_order"
