#!/bin/sh
# valgrind: does anything here read what nobody wrote, write where it must not, or lose memory?
#
#   valgrind.sh BUILD                all: steps, labs, tools, conn, evq          (make valgrind)
#   valgrind.sh BUILD quick          a sample of steps, tools and tests           (make valgrind QUICK=1)
#   valgrind.sh BUILD step CH STEP   one step                                     (make valgrind CH=02 STEP=2)
#
# memcheck runs a program on a processor of its own making and watches every byte. That is slow (twenty
# times and more), but it takes the programs as they are built, and sees what a sanitizer's build does not:
# the use of memory that was never written. What it finds is an error, and so is memory that is lost when the
# program ends. What each run said is kept in BUILD/valgrind.
#
#   steps    are servers: `check` asks them ROWS, each row of a fresh process. The server with a protocol of
#            its own is asked by test_lines.
#   labs     are run as they are. Their figures mean nothing here, so whether the claim was reproduced is not
#            looked at.
#   tools    peer, launch, demo and check are run on a server that is not watched.
#   tests    test_conn and test_evq, the latter on each backend.
#
# valgrind does not know each call of a new kernel. Where it says so of a run (pidfd_open), and for io_uring,
# whose two rings the kernel writes behind its back, the sanitizers alone have to do: `make test
# SAN=address,undefined`. These, and what else is left out, are named on the screen with their reason.
#
# Status: 0, also where valgrind is missing, which is said; 1 when it found something, a row was not held, or a
# program did not end in LIMIT_S seconds.

set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: valgrind.sh BUILD [quick | step CH STEP]}
shift
logs=$build/valgrind
passed=0 failed=0 skipped=0

# Rows that bring a server through its states; each ends it politely, and then memcheck counts what is lost. Rows with
# thousands of connections, or that judge the time, would only measure valgrind.
ROWS="binary_safe half_close_is_answered survives_rst"

if ! said=$(sh tools/need.sh valgrind 2>&1); then
    echo "skip  valgrind: $said"
    exit 0
fi

mkdir -p "$logs" || exit 1
# All deadlines are ten times as long as usual, and TEST_SLOWDOWN scales that.
TEST_SLOWDOWN=$(awk -v factor="${TEST_SLOWDOWN:-1}" 'BEGIN { print 10 * factor }')
export TEST_SLOWDOWN
LIMIT_S=$(awk -v factor="$TEST_SLOWDOWN" 'BEGIN { print 60 + int(18 * factor) }')

# A thread that still runs when the process ends owns its stack: that is what "possible" would count.
memcheck="valgrind --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect"

# ---- how a run is judged -------------------------------------------------------------------------

say() { printf '%-5s %-42s %s\n' "$1" "$2" "$3"; }

skip() {
    say skip "$1" "$2"
    skipped=$((skipped + 1))
}

# within COMMAND...: ends it when the time is over. timeout is of GNU and of the BSDs.
within() {
    began=$(date +%s)
    if command -v timeout >/dev/null 2>&1; then timeout "$LIMIT_S" "$@"; else "$@"; fi
    status=$?
    seconds=$(($(date +%s) - began))
    return $status
}

# new_log NAME: where memcheck writes, a file for each process, named by what was run.
new_log() {
    log=$logs/$(echo "$1" | tr '/ ' '__')
    rm -f "$log".*
}

# judge NAME STATUS HOW: a status of "any" may be all but that of a program that did not end in time. At its end memcheck
# sums up; a process without this sum was killed, and nobody knows what it had lost. HOW=all: there must be none but the
# one with which `check` looks whether the server starts at all.
judge() {
    unknown=$(said | sed -n 's/.*WARNING: unhandled .* syscall: *\([0-9]*\).*/\1/p' | sort -u | tr '\n' ' ')
    ended=$(said | grep -c 'ERROR SUMMARY: ')
    killed=$(for one in "$log".[0-9]*; do grep -L 'ERROR SUMMARY: ' "$one" 2>/dev/null; done | wc -l)
    if said | grep -q 'ERROR SUMMARY: [1-9]'; then bad "$1" "see $log.*"
    elif [ -n "$unknown" ]; then skip "$1" "valgrind does not know this kernel's call ${unknown% }: left to the sanitizers"
    elif [ "$2" = 124 ]; then bad "$1" "not done in $LIMIT_S s: TEST_SLOWDOWN gives it more"
    elif [ "$2" != 0 ] && [ "$2" != any ]; then bad "$1" "status $2, see $log.said"
    elif [ "$ended" -eq 0 ]; then bad "$1" "it did not run to its end: see $log.said"
    elif [ "$3" = all ] && [ "$killed" -gt 1 ]; then bad "$1" "$killed processes of $((killed + ended)) did not end by themselves"
    else
        say ok "$1" "$seconds s"
        passed=$((passed + 1))
    fi
}

said() { cat "$log".[0-9]* 2>/dev/null; }

# Says what memcheck has found: the kind, and where.
bad() {
    say FAIL "$1" "$2"
    said | grep -E '^==[0-9]+== +(at 0x|by 0x|Invalid|Conditional|Use of|Syscall|Mismatched|Source|Process|[0-9,]+ .*bytes in)' |
        head -n 16
    failed=$((failed + 1))
}

# ---- what is run ---------------------------------------------------------------------------------

# run NAME any|exact COMMAND...: the program itself is under memcheck; what it starts is not.
run() {
    name=$1 how=$2
    shift 2
    new_log "$name"
    # shellcheck disable=SC2086 # a list of words
    within $memcheck --log-file="$log.%p" "$@" </dev/null >"$log.said" 2>&1
    [ "$how" = exact ] || case $status in 124) ;; *) status=any ;; esac
    judge "$name" "$status" some
}

run_step() {
    [ -x "$1" ] || { skip "$(name_of "$1")" "it is not built here" && return; }
    new_log "$(name_of "$1")"
    rows=
    for row in $ROWS; do rows="$rows --row $row"; done
    # shellcheck disable=SC2086 # lists of words
    within "$build/tests/check" $rows --server "$memcheck --log-file=$log.%p $1" >"$log.said" 2>&1
    judge "$(name_of "$1")" $status all
}

name_of() { echo "$1" | sed "s|^chapters/||; s|/$build/|/|"; }

# test_lines starts chapters/03.../STEPS_BUILD/step3_lines: there stands a script that runs the server under
# memcheck. Some of its tests judge the time, so they are not looked at.
run_lines() {
    folder=chapters/03_select_poll/$build/valgrind
    new_log 03_select_poll/step3_lines
    mkdir -p "$folder" || exit 1
    # shellcheck disable=SC2016 # the script expands it
    printf '#!/bin/sh\nexec %s --log-file=%s.%%p %s "$@"\n' "$memcheck" "$log" "${folder%/valgrind}/step3_lines" \
        >"$folder/step3_lines"
    chmod +x "$folder/step3_lines"
    STEPS_BUILD=$build/valgrind within "$build/tests/test_lines" >"$log.said" 2>&1
    case $status in 124) ;; *) status=any ;; esac
    judge 03_select_poll/step3_lines $status some
}

run_test() { EVQ_BACKEND=${2-} run "$1${2:+ on $2}" exact "$build/tests/$1"; }

# A lab that is left out, and why; or nothing.
why_not() {
    case $1 in
    */fd_set_past_the_end) echo "it writes past an fd_set, to show it" ;;
    esac
}

run_lab() {
    why=$(why_not "$1")
    if [ -n "$why" ]; then skip "$(name_of "$1")" "$why"
    elif [ -x "$1" ]; then run "$(name_of "$1")" any "$1"
    fi
}

# Each works on a server of its own, which launch has started and which says its port in a file.
run_tools() {
    server=chapters/01_blocking/$build/step2_thread_per_client
    port_file=$logs/port
    rm -f "$port_file"
    "$build/tools/launch" "$port_file" "$server" -p 0 >"$logs/server.said" 2>&1 &
    launched=$!
    waited=0
    while [ ! -s "$port_file" ] && [ $waited -lt 100 ]; do sleep 0.1 && waited=$((waited + 1)); done
    for kind in ping fast rst half drip; do
        run "tools/peer $kind" exact "$build/tools/peer" $kind -p "$(cat "$port_file")" -n 2 -s 1 -q
    done
    kill "$launched" && wait "$launched"
    run "tools/launch" exact "$build/tools/launch" "$port_file" sh -c 'echo listening on 127.0.0.1:1; echo bye'
    run "tests/check" exact "$build/tests/check" --row binary_safe --server "$server"
    [ "$1" = quick ] || run "tools/demo" any "$build/tools/demo" -s 5 -n 20 -c 01
}

# ---- all or some ---------------------------------------------------------------------------------

all_steps() {
    for source in chapters/0[1-5]_*/step*.c chapters/06_iocp/step1_*.c; do
        program=$(echo "$source" | sed "s|/step|/$build/step|; s|\\.c\$||")
        case $source in
        */step3_lines.c) run_lines ;;
        *) run_step "$program" ;;
        esac
    done
    for program in chapters/07_crossplatform/"$build"/mini/step*; do
        case $program in *.exe) ;; *) run_step "$program" ;; esac
    done
}

all_labs() {
    for source in chapters/*/labs/*.c; do
        run_lab "$(echo "$source" | sed "s|/labs/|/$build/labs/|; s|\\.c\$||")"
    done
}

all_tests() {
    run_test test_conn
    for backend in epoll kqueue poll; do
        case $backend:$(uname -s) in epoll:Linux | kqueue:* | poll:*) run_test test_evq $backend ;; esac
    done
    [ "$(uname -s)" != Linux ] || skip "test_evq on io_uring" "the kernel writes its rings unseen: left to the sanitizers"
}

case ${1-} in
'')
    all_tests
    all_steps
    all_labs
    run_tools all
    skip "chapter 06, the rest" "programs for Windows: no valgrind, no sanitizer of mingw-w64's"
    ;;
quick)
    run_test test_conn
    run_step "chapters/04_epoll/$build/step3_oneshot_workers"
    run_step "chapters/07_crossplatform/$build/mini/step4_cancel_and_close"
    run_tools quick
    ;;
step) run_step "$(sh tools/find.sh program "$build" "$2" "$3")" ;;
*) echo "valgrind.sh: '$1' is neither quick nor step" >&2 && exit 2 ;;
esac
printf 'valgrind: %d clean, %d not, %d left out\n' $passed $failed $skipped
[ $failed -eq 0 ]
