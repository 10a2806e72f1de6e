#!/bin/sh
# count: how large mini and evq are, and how much of each the two models share. Lines of code are
# counted: without blank ones, comments and markers.
#
#   sh chapters/07_crossplatform/mini/count.sh          mini at its end, step 6, and evq
#
# In mini the model is chosen by #ifdef _WIN32 ... #else ... #endif, and the engine inside of that;
# in evq both are chosen by the file.

set -eu
cd "$(dirname "$0")/.."

# The lines of code of the files, on stdout.
code() {
    cat "$@" | awk '
        { gsub(/\/\*.*\*\//, "") }
        /\/\*/ { comment = 1; sub(/\/\*.*/, ""); if ($0 ~ /[^ \t]/) print; next }
        comment { if (/\*\//) comment = 0; next }
        /^[ \t]*\/\// || /^[ \t]*$/ { next }
        { print }'
}

lines() {
    code "$@" | wc -l | tr -d ' '
}

# part WHAT FILE...: the lines that are for completion, for readiness, or for both.
part() {
    want=$1
    shift
    code "$@" | awk -v want="$want" '
        BEGIN { part[0] = "both" }
        /^#if/ {
            depth++
            part[depth] = /_WIN32/ ? "completion" : part[depth - 1]
            next
        }
        /^#else/ { if (part[depth] == "completion") part[depth] = "readiness"; next }
        /^#endif/ { depth--; next }
        part[depth] == want { n++ }
        END { print n + 0 }'
}

# built QUEUE FILE...: the lines that a program on this queue is made of: what the preprocessor leaves,
# as far as it is asked for the system here.
built() {
    want=$1
    shift
    code "$@" | awk -v want="$want" '
        function is_true(condition) {
            if (condition ~ /_WIN32/) return want == "iocp"
            if (condition ~ /__linux__|EPOLLIN/) return want == "epoll"
            return condition !~ /__cplusplus/
        }
        BEGIN { on[0] = 1 }
        /^#if/ { depth++; chosen[depth] = is_true($0); on[depth] = on[depth - 1] && chosen[depth]; next }
        /^#else/ { on[depth] = on[depth - 1] && !chosen[depth]; next }
        /^#endif/ { depth--; next }
        on[depth] { n++ }
        END { print n + 0 }'
}

row() {
    printf '%-34s %6s\n' "$@"
}

queue="mini/step6_iocp.c mini/queue.h mini/timers.c"
mini="$queue mini/echo.c"
# shellcheck disable=SC2086 # these are several words on purpose
{
    echo "mini, step 6, the queue alone"
    row "  with all three engines" "$(lines $queue)"
    for name in epoll kqueue iocp; do row "  as a program on $name has it" "$(built $name $queue)"; done
    echo "mini, step 6 (queue, timers, server)"
    row "  both models" "$(part both $mini)"
    row "  readiness only (epoll, kqueue)" "$(part readiness $mini)"
    row "  completion only (IOCP)" "$(part completion $mini)"
}
src=evq/src
if [ -d $src ]; then
    echo "evq"
    row "  both models" "$(lines evq/include/evq.h $src/evq.c $src/evq_sockets.c $src/evq_timers.c $src/evq_errors.c $src/evq_backends.c)"
    row "  readiness: the reactor" "$(lines $src/evq_reactor.c)"
    for name in epoll kqueue poll; do row "  readiness: $name" "$(lines $src/evq_$name.c)"; done
    for name in uring iocp; do row "  completion: $name" "$(lines $src/evq_$name.c)"; done
fi
