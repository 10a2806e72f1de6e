#!/bin/sh
# run: measures every server and every mechanism in turn, and writes one row per figure.
#
#   bench/run.sh OUT quick|full|check        called by `make bench` and `make bench-check`
#
# OUT is where the programs were built: "build". The rows go to OUT/bench/figures.csv (check.csv):
#     round,case,server,figure,value
# after a head that tells machine, kernel, compiler and commit. Every run is kept in OUT/bench/runs. What
# could not be measured is a line in OUT/bench/skipped, with the reason in words; the run goes on.
#
# First a plan is made, a line for each measurement. Times come in rounds: in each round every server
# is measured once for each case, each in a fresh process, and each round begins with another server.
# So what the machine does meanwhile hits all of them alike. raw_epoll, the reference, stands twice in
# each round, and so does raw_poll: what the two differ by is the noise. Counts do not have moods; they
# are taken once.
# A round that would not end in time (limit_s) is left out, and so are those behind it; and when the
# time is over before that, the rest is.
#
# On macOS and the BSDs only the mechanisms alone are measured: the load generator needs epoll.
#
# For a look at a few: SERVERS="raw_epoll evq_epoll" CASES="many" ROUNDS=3 bench/run.sh build quick
# With ROUNDS given, time is no limit, unless LIMIT_S gives one.
# Status: 0, also when some could not be measured; 1 when nothing could; 2 for wrong words.

set -u
cd "$(dirname "$0")/.." || exit 1
out=${1:?usage: bench/run.sh OUT quick|full|check}
size=${2:?usage: bench/run.sh OUT quick|full|check}
here=$out/bench
rows=$here/runs/$(date -u +%Y%m%d-%H%M%S)-$size.csv
skipped=$here/skipped

# How long one measurement of a time takes at most, how many rounds, how many idle clients, timers; when
# the last round must have ended, and how many idle descriptors the mechanisms get if the limit allows.
case $size in
quick) rounds=2 trial_ms=150 idle=2000 timers=100000 limit_s=105 growth_most=2000 ;;
full) rounds=9 trial_ms=300 idle=10000 timers=1000000 limit_s=1740 growth_most=99000 ;;
check) rounds=9 trial_ms=400 idle=10000 timers=1000000 limit_s=1020 growth_most=9900 ;;
*) echo "bench: quick, full or check, not '$size'" >&2; exit 2 ;;
esac
case $size in check) close_rounds=27 ;; *) close_rounds=0 ;; esac
if [ -n "${ROUNDS:-}" ]; then rounds=$ROUNDS close_rounds=0 limit_s=86400; fi
limit_s=${LIMIT_S:-$limit_s}

# Each idle client takes a descriptor here and one in the server, and each needs a few others.
# shellcheck disable=SC3045 # dash, bash, ksh, busybox and zsh all have -H
limit=$(ulimit -H -n)
if [ "$limit" != unlimited ] && [ "$idle" -gt $((limit - 300)) ]; then idle=$((limit - 300)); fi

# ---- who takes part -------------------------------------------------------------------------------

# Name, how many clients it can serve, and its command; KIND is where its binary lies.
#   peer: OUT/bench/peers; a chapter: its build folder; evq: the echo example of chapter 07 on this
#   backend; evq_buffer: the peer of that name. 03_lines answers lines in upper case, so load speaks in
#   lines to it.
servers() {
    cat <<'END'
raw_epoll             99999 peer raw_epoll
raw_epoll_again       99999 peer raw_epoll
floor                 64    peer floor -c CLIENTS
raw_epoll_edge        99999 peer raw_epoll_edge
raw_epoll_edge_fast   99999 peer raw_epoll_edge -f 1
raw_poll              60000 peer raw_poll
raw_poll_again        60000 peer raw_poll
raw_uring             99999 peer raw_uring
raw_uring_multishot   99999 peer raw_uring_multishot
libuv                 99999 peer libuv
libuv_fast            99999 peer libuv -f 1
libevent_event        99999 peer libevent_event
libevent_event_fast   99999 peer libevent_event -f 1
libevent_bufferevent  99999 peer libevent_bufferevent
libev                 99999 peer libev
evq_epoll             99999 evq epoll
evq_io_uring          99999 evq io_uring
evq_poll              60000 evq poll
evq_kqueue            99999 evq kqueue
evq_epoll_buffer      99999 evq_buffer epoll
evq_io_uring_buffer   99999 evq_buffer io_uring
evq_poll_buffer       60000 evq_buffer poll
01_sequential         1     01_blocking step1_sequential
01_thread_per_client  600   01_blocking step2_thread_per_client
01_thread_pool        64    01_blocking step3_thread_pool -w 64
02_would_block        1     02_nonblocking step1_would_block
02_spin               600   02_nonblocking step2_spin
02_nap                600   02_nonblocking step3_nap
03_select             1000  03_select_poll step1_select
03_poll               60000 03_select_poll step2_poll
03_lines              16000 03_select_poll step3_lines
04_level              60000 04_epoll step1_level_triggered
04_edge               60000 04_epoll step2_edge_triggered
04_oneshot_workers    60000 04_epoll step3_oneshot_workers
04_epoll_per_thread   60000 04_epoll step4_epoll_per_thread
05_level              10000 05_kqueue step1_level_triggered
05_edge               10000 05_kqueue step2_edge_ev_clear
05_dispatch_workers   10000 05_kqueue step3_dispatch_workers
05_everything         10000 05_kqueue step4_everything
06_completion         10000 06_iocp step1_completion
END
}

# The Windows programs of chapter 06, which Wine runs: for counts only. The first two serve one client.
windows_servers() {
    cat <<'END'
06_winsock            1     windows step2_winsock
06_overlapped         1     windows step3_overlapped
06_completion_port    64    windows step4_completion_port
06_acceptex           64    windows step5_acceptex
06_workers            64    windows step6_workers
END
}

# Those that the targets are about.
checked="raw_epoll raw_epoll_again raw_poll raw_poll_again libuv libuv_fast libevent_event libevent_event_fast
    libevent_bufferevent libev evq_epoll evq_io_uring evq_poll evq_epoll_buffer evq_io_uring_buffer evq_poll_buffer"

# Those of them that differ by no more than a few percent in the cases "many" and "idle". A median of few
# rounds is not as sure as that, so there they get more.
close_in_many="raw_epoll raw_epoll_again raw_poll raw_poll_again libuv libuv_fast libevent_event
    libevent_event_fast libev evq_epoll evq_epoll_buffer evq_poll_buffer"
close_in_idle="raw_epoll raw_epoll_again raw_poll raw_poll_again evq_epoll evq_poll_buffer"

# Sets $command and $EVQ_BACKEND for server $1, with $2 clients that talk. False if it is not built.
choose() {
    line=$({ servers; windows_servers; } | awk -v name="$1" '$1 == name')
    clients=$2
    # shellcheck disable=SC2086 # the line is words
    set -- $line
    kind=$3 program=$4
    words=$(printf '%s\n' "$line" | awk '{ $1 = $2 = $3 = $4 = ""; print }' | sed "s/CLIENTS/$clients/")
    unset EVQ_BACKEND
    case $kind in
    peer) command=$here/peers/$program ;;
    evq) command=chapters/07_crossplatform/$out/examples/echo EVQ_BACKEND=$program && export EVQ_BACKEND ;;
    evq_buffer) command=$here/peers/evq EVQ_BACKEND=$program && export EVQ_BACKEND ;;
    windows) command=$here/windows/$program.exe ;;
    *) command=chapters/$kind/$out/$program ;;
    esac
    [ -x "$command" ]
}

# ---- what is measured -----------------------------------------------------------------------------

# Each case: its clients (talking and idle), and the options of load.
cases() {
    cat <<END
one      1     -c 1 -s 64
few      8     -c 8 -s 64
many     64    -c 64 -s 64
hundreds 512   -c 512 -s 64
bulk     64    -c 64 -s 16384
deep     64    -c 64 -s 16384 -d 4
pipeline 64    -c 64 -s 64 -d 4
burst    64    -c 64 -s 64 -d 4 -m burst
idle     $((64 + idle)) -c 64 -s 64 -i $idle
accept   1     -m accept -n 1000
memory   $idle -m memory -i $idle
used     $idle -m used -i $idle
END
}

case $size in
quick) timed="one many" once="memory" counted="many" ;;
full) timed="one few many hundreds bulk deep pipeline burst idle accept" once="memory used" counted="one many bulk" ;;
check) timed="many deep pipeline idle" once="memory used" counted="one many bulk idle" ;;
esac
# Callgrind is slow: a hundred times slower than the program.
case $size in
quick) ground="raw_epoll libev evq_epoll evq_epoll_buffer" ;;
full) ground= ;;
check) ground="evq_epoll evq_epoll_buffer" ;;
esac
timed=${CASES-$timed}
once=${ONCE-$once} counted=${COUNTED-$counted}
linux=$(uname -s | sed -n 's/^Linux$/yes/p')
# evq is never asked without the name of a backend: which one it would take is its own choice.
if [ -n "$linux" ]; then
    own="epoll kqueue_emulated io_uring" evq="evq:epoll evq:io_uring evq:poll" evq_timers="evq:epoll evq:io_uring"
else
    own=kqueue evq=evq:kqueue evq_timers=
fi
mechanisms=${MECHANISMS-"select poll $own libuv libevent libev $evq"}
timer_libraries=${TIMERS-"$evq_timers libuv libevent libev"}
case $size in
quick) growths="growth_1" windows=many ;;
full) growths="growth_1 growth_100 growth_1_eventfd growth_100_eventfd" windows="one many memory" ;;
check) growths="growth_1" windows= ;;
esac
growths=${GROWTHS-$growths} windows=${WINDOWS-$windows}
# A growth line is drawn from one round; a verdict is not.
case $size in check) growth_rounds="1 2 3" ;; *) growth_rounds=1 ;; esac

# All, or those that were asked for, each between two blanks.
if [ "$size" = check ]; then wanted=$checked; else wanted=; fi
wanted=" $(printf '%s' "${SERVERS-$wanted}" | tr -s ' \n' '  ') "

# bench-check times beside idle clients only who is judged there.
case $size in check) judged_idle=" $close_in_idle " ;; *) judged_idle='  ' ;; esac

# Who can serve case $1, in order. With poll, each message of each of 10,000 clients would search all
# of them: what a used one holds does not need so long a wait.
able() {
    [ -n "$linux" ] || return 0
    needed=$(cases | awk -v name="$1" '$1 == name { print $2 }')
    servers | awk -v needed="$needed" -v name="$1" -v wanted="$wanted" -v judged="$judged_idle" '
        $2 >= needed && !(name == "used" && $1 ~ /_poll|03_lines/) && !($1 == "floor" && name ~ /accept|memory|used|hundreds|deep|burst/) &&
        !($1 == "03_lines" && name ~ /bulk|deep/) && # longer than its longest line
        !(name == "idle" && judged != "  " && !index(judged, " " $1 " ")) &&
        (wanted == "  " || index(wanted, " " $1 " ")) { print $1 }'
}

# The same for the Windows programs. How many idle clients they get is not the usual number.
able_windows() {
    needed=$(cases | awk -v name="$1" '$1 == name { print name == "memory" ? 2 : $2 }')
    windows_servers | awk -v needed="$needed" -v wanted="$wanted" '
        $2 >= needed && (wanted == "  " || index(wanted, " " $1 " ")) { print $1 }'
}

# Of the servers on stdin those that $1 names; all, if it names none.
only() { awk -v names=" $(echo "$1" | tr -s '\n ' '  ') " 'names == "  " || index(names, " " $1 " ")'; }

# The servers of case $1 in round $2: another one comes first each time, and each second time they come
# in the other direction, so that nobody always follows the same one.
turned() {
    able "$1" | awk -v round="$2" '
        { line[NR - 1] = $0 }
        END { for (i = 0; i < NR; i++) print line[((round % 2 ? i : NR - 1 - i) + round * 5) % NR] }'
}

growth_lines() {
    for case in $growths; do
        for name in $mechanisms; do echo "growth $1 $case $name"; done
    done
}

# A line for each measurement: what, round, case, server. What must not be missing when time is short,
# the lines that grow and those that do not, comes first.
plan() {
    for round in $growth_rounds; do growth_lines "$round"; done
    for case in $counted; do able "$case" | sed "s/^/counts 0 $case /"; done
    for case in $once; do able "$case" | sed "s/^/times 0 $case /"; done
    if [ -n "$linux" ]; then
        for name in $timer_libraries; do echo "timers 0 timers $name"; done
        for case in $windows; do able_windows "$case" | sed "s/^/windows 0 $case /"; done
    fi
    for case in $counted; do
        case $case in one | many) able "$case" | only "$ground" | sed "s/^/instructions 0 $case /" ;; esac
    done
    round=1
    while [ "$round" -le "$rounds" ]; do
        for case in $timed; do turned "$case" "$round" | sed "s/^/times $round $case /"; done
        round=$((round + 1))
    done
    while [ "$round" -le "$close_rounds" ]; do
        case " $timed " in *" many "*) turned many "$round" | only "$close_in_many" | sed "s/^/times $round many /" ;; esac
        case " $timed " in *" idle "*) turned idle "$round" | only "$close_in_idle" | sed "s/^/times $round idle /" ;; esac
        round=$((round + 1))
    done
}

# ---- one line of the plan -------------------------------------------------------------------------

said=$here/said
why=$here/why

# Figures that load and the others print become rows.
keep() {
    awk -v before="$round,$case,$server" 'NF == 2 { print before "," $1 "," $2 }' "$said" >>"$rows"
}

skip() { printf '%s, %s: %s\n' "$server" "$case" "$*" >>"$skipped"; }

not_built() { skip "not built here"; }

# The reason that the program gave, or else its status.
failed() { skip "$(tail -n 1 "$why" 2>/dev/null | grep . || echo "ended with status $1")"; }

# Words of the case, and of the server.
load() {
    case $server in 03_lines) set -- -l "$@" ;; esac
    # shellcheck disable=SC2046,SC2086 # options are words
    "$here/load" "$@" $(cases | awk -v name="$case" '$1 == name { $1 = $2 = ""; print }') \
        $more $wrapper "$command" $words >"$said" 2>"$why" </dev/null
}
more=

talking() { cases | awk -v name="$case" '$1 == name { for (i = 3; i < NF; i++) if ($i == "-c") print $(i + 1) }'; }

measure_times() {
    choose "$server" "$(talking)" || { not_built; return; }
    wrapper=''
    load -w 2000 -n 1000000000 -t "$trial_ms" || { failed $?; return; }
    keep
}

# The kernel's tracepoints; where we may not use them, strace counts, with the same words at the end.
measure_counts() {
    choose "$server" "$(talking)" || { not_built; return; }
    wrapper=''
    if load -k -w 2000 -n 4000 -t 2000; then
        keep
    elif grep -q 'cannot be counted' "$why"; then
        by_difference strace calls_per_trip
        [ -n "${told_of_strace:-}" ] || echo "every server, counts: no tracepoints may be used here; strace has counted system calls, and nothing else" >>"$skipped"
        told_of_strace=yes
    else
        failed $?
    fi
}

# What a Windows program calls for a round trip (windows/counted.h), and its memory. Wine runs it, so
# no time is kept, and no system call: those are Wine's.
measure_windows() {
    choose "$server" "$(talking)" || { not_built; return; }
    sh chapters/06_iocp/wine.sh --start >"$why" 2>&1 || { failed $?; return; }
    if [ "$case" != memory ]; then by_difference windows windows_calls_per_trip; return; fi
    wrapper="sh chapters/06_iocp/wine.sh" more="-i 500"
    if load; then keep; else failed $?; fi
    more=
}

# User instructions, by callgrind.
measure_instructions() {
    case $server in
    *uring*) skip "valgrind cannot run io_uring"; return ;;
    02_* | 01_* | *workers | *_per_thread) skip "instructions depend on the order of its threads, or on its waiting"; return ;;
    esac
    choose "$server" "$(talking)" || { not_built; return; }
    if ! command -v valgrind >/dev/null; then skip "instructions: valgrind is not installed"; return; fi
    by_difference callgrind instructions_per_trip
}

# Two lengths of the same; what the longer one took more, for each of its trips more. What starting
# and ending take falls out.
by_difference() {
    command -v "$(tool_of "$1")" >/dev/null || { skip "neither tracepoints nor strace may be used"; return; }
    short=$(total_of "$1" 1500) || { failed 1; return; }
    long=$(total_of "$1" 3500) || { failed 1; return; }
    case "$short $long" in " "* | *"  "*) skip "$1 has counted nothing"; return ;; esac
    awk -v name="$2" -v a="$short" -v b="$long" 'BEGIN {
        split(a, s); split(b, l); printf "%s %.6g\n", name, (l[1] - s[1]) / (l[2] - s[2]) }' >"$said"
    keep
}

tool_of() {
    case $1 in
    strace) echo strace ;;
    callgrind) echo valgrind ;;
    windows) echo sh ;;
    esac
}

# What the tool counted in a run of $2 trips, and how many trips it was.
total_of() {
    rm -f "$here/counted"
    case $1 in
    strace) wrapper="strace -f -c -o $here/counted" ;;
    callgrind) wrapper="valgrind --quiet --tool=callgrind --callgrind-out-file=$here/counted" ;;
    windows) wrapper="sh chapters/06_iocp/wine.sh" BENCH_CALLS=$here/counted && export BENCH_CALLS ;;
    esac
    load -w 500 -n "$2" -t 60000 || return
    trips=$(awk '$1 == "trips" { print $2 }' "$said")
    case $1 in
    strace) awk -v trips="$trips" '$NF == "total" { print $(NF > 5 ? NF - 2 : NF - 1), trips }' "$here/counted" ;;
    callgrind) awk -v trips="$trips" '$1 == "totals:" || $1 == "summary:" { sum = $2 } END { print sum, trips }' "$here/counted" ;;
    windows) echo "$(od -An -t d8 -N 8 "$here/counted" 2>/dev/null | tr -d ' ') $trips" ;;
    esac
}

# "evq:poll" is the program evq with the backend poll.
choose_backend() {
    program=${server%%:*}
    unset EVQ_BACKEND
    case $server in *:*) EVQ_BACKEND=${server#*:} && export EVQ_BACKEND ;; esac
}

measure_growth() {
    choose_backend
    [ -x "$here/growth_$program" ] || { not_built; return; }
    many=${case#growth_} of=
    case $case in *_eventfd) many=${many%_eventfd} of=-e ;; esac
    # shellcheck disable=SC2086 # an option, or nothing
    "$here/growth_$program" -a "$many" $of -n "$growth_most" >"$said" 2>"$why" </dev/null || failed $?
    keep # also what it had measured before it failed
    most=$(sed -n 's/^wake_ns_at_\([0-9]*\) .*/\1/p' "$said" | tail -n 1)
    if grep -q '^add_ns ' "$said" && [ "$most" -lt "$growth_most" ] && [ -z "${told_of_limit:-}" ]; then
        echo "every mechanism, growth: ulimit -n allows $most idle descriptors, not $growth_most" >>"$skipped"
        told_of_limit=yes
    fi
}

measure_timers() {
    choose_backend
    [ -x "$here/timers_$program" ] || { not_built; return; }
    "$here/timers_$program" "$timers" >"$said" 2>"$why" </dev/null || { failed $?; return; }
    keep
}

# ---- the machine ----------------------------------------------------------------------------------

version_of() { pkg-config --modversion "$1" 2>/dev/null || echo 'not known'; }

# It has no file for pkg-config.
version_of_libev() {
    printf '#include <ev.h>\nEV_VERSION_MAJOR EV_VERSION_MINOR\n' | ${CC:-cc} -E -P - 2>/dev/null |
        awk 'END { print NF == 2 ? $1 "." $2 : "not known" }'
}

head_of_rows() {
    model=$({ sed -n 's/^model name[^:]*: //p' /proc/cpuinfo || sysctl -n machdep.cpu.brand_string || sysctl -n hw.model; } 2>/dev/null | head -n 1)
    echo "# machine: ${model:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores$(grep -q '^flags.* hypervisor' /proc/cpuinfo 2>/dev/null && echo ', a virtual machine')"
    echo "# kernel: $(uname -s) $(uname -r) $(uname -m)"
    echo "# compiler: $(${CC:-cc} --version | head -n 1)"
    echo "# libraries: libuv $(version_of libuv), libevent $(version_of libevent), libev $(version_of_libev), liburing $(version_of liburing)"
    echo "# commit: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)$(git diff --quiet HEAD 2>/dev/null || echo ', with changes')"
    echo "# date: $(date -u '+%Y-%m-%d %H:%M UTC')"
    echo "# load: $(cut -d ' ' -f 1-3 /proc/loadavg 2>/dev/null) at the beginning"
    echo "# size: $size, $rounds rounds, at most $trial_ms ms each; $idle idle, $timers timers"
    echo "round,case,server,figure,value"
}

# ---- the run --------------------------------------------------------------------------------------

live=no
if [ -t 1 ] && [ -z "${PLAIN:-}" ]; then live=yes; fi

progress() {
    left=$(((now - began) * (total - done) / (done > 0 ? done : 1)))
    text="bench: $done of $total, $left s left, $what $case $server"
    if [ $live = yes ]; then
        printf '\r%-78.78s' "$text"
    elif [ "$now" -ge $((told + 10)) ]; then
        printf '%s\n' "$text"
        told=$now
    fi
}

# Is there time for the next measurement? If a round begins with it: for the whole round? The rounds
# before it took as long as it will.
is_time() {
    now=$(date +%s) needed_s=0
    if [ "$round" != "$last_round" ]; then
        if [ "$round" -gt 1 ]; then needed_s=$(((now - first_round) / (round - 1))); else first_round=$now; fi
        last_round=$round
    fi
    [ $((now - began + needed_s)) -gt "$limit_s" ] || return 0
    echo "every server, $((total - done)) of $total measurements, from $what, round $round, $case, $server on: no time left of $limit_s s" >>"$skipped"
    return 1
}

mkdir -p "$here/runs" || exit 1
: >"$skipped"
[ -n "$linux" ] || echo "every server, and the timers: the load generator needs epoll, so only the mechanisms are measured here" >>"$skipped"
head_of_rows >"$rows"
plan >"$here/plan"
total=$(wc -l <"$here/plan")
done=0 began=$(date +%s) told=0 last_round=0
: >"$here/spent"
# The reader of the plan is 3, so that no program can read it away.
while read -r what round case server <&3; do
    is_time || break
    progress
    "measure_$what"
    done=$((done + 1))
    echo "$what $(($(date +%s) - now))" >>"$here/spent"
done 3<"$here/plan"
if [ $live = yes ]; then printf '\r%78s\r' ''; fi
spent=$(awk '{ s[$1] += $2 } END { for (what in s) printf "%s%s %d s", n++ ? ", " : "", what, s[what] }' "$here/spent")
rm -f "$said" "$why" "$here/counted" "$here/plan" "$here/spent"
if [ "$size" = check ]; then newest=$here/check.csv; else newest=$here/figures.csv; fi
cp "$rows" "$newest" || exit 1
echo "bench: $done measurements in $(($(date +%s) - began)) s ($spent); every row is in $rows"
grep -q '^[0-9]' "$rows"
