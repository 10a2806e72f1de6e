#!/bin/sh
# windows_smoke: each Windows server of chapter 06 is started, asked once, and ended.
#
#   windows_smoke.sh BUILD      sh tests/windows_smoke.sh chapters/06_iocp/build
#
# The suite of the course is for POSIX systems. This is for Windows itself (MSYS2): a client that is
# there already, curl, sends some bytes to each server by telnet:// and reads them back. It works under
# Wine as well (chapters/06_iocp/wine.sh). Status 0 when all have served.
set -u

build=${1:?usage: windows_smoke.sh BUILD}
wine=$(dirname "$0")/../chapters/06_iocp/wine.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0

fails() {
    echo "FAILED  $name: $*"
    cat "$work/out" "$work/err"
    bad=$((bad + 1))
}

# Starts $1 and waits, 30 s at most, until it listens; $port is empty when it does not.
start() {
    : >"$work/out"
    sh "$wine" "$1" -p 0 >"$work/out" 2>"$work/err" </dev/null &
    server=$!
    tries=0 port=
    while [ -z "$port" ] && [ $tries -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
        port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/out")
    done
}

# What comes back for "hello". The pause keeps curl's stdin open until the answer is there.
answer() {
    { printf 'hello\n'; sleep 2; } | curl -s --max-time 10 "telnet://127.0.0.1:$port"
}

# A second server with the same port ends at once, with status 1.
is_refused() {
    timeout 20 sh "$wine" "$1" -p "$port" >"$work/second" 2>&1 </dev/null
    [ $? -eq 1 ]
}

for program in "$build"/step[2-6]_*.exe; do
    name=${program##*/}
    start "$program"
    if [ -z "$port" ]; then
        fails "it does not listen"
    elif [ "$(answer)" != hello ]; then
        fails "the answer to 'hello' was another one"
    elif ! is_refused "$program"; then
        fails "a second server got the same port"
    else
        echo "serves  $name: $(sed -n 2p "$work/out")"
    fi
    kill -INT "$server" 2>/dev/null
    sleep 1
    kill -9 "$server" 2>/dev/null # where signals do not reach a Windows program
    wait "$server" 2>/dev/null
done
[ "$bad" -eq 0 ]
