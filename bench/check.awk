# check: does evq keep its targets? One line for each: held, missed, or not measured.
#
#   awk -f bench/check.awk OUT/bench/figures.csv        status 1 if one was missed
#
# Ratios are medians over the rounds, each of two servers in the same round. The noise of a case is the
# median distance from 1 of raw_epoll against itself. A limit for a ratio may be passed by the noise,
# and not by more; counts need no such tolerance. With a noise of more than NOISE_MAX nothing can be
# said of ratios on this machine at this time, and that is what the line says. Why something else could
# not be measured stands in the file `skipped` beside the rows.

BEGIN { FS = ","; NOISE_MAX = 0.10 }
/^#/ { print substr($0, 3); next }
$1 == "round" { next }
{ value[$2, $3, $4, $1] = $5; if ($1 > rounds) rounds = $1 }

function median_of(list, n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# Sets ratio, the median of a figure by another, round by round; false if there is none.
function compare(case, server, figure, case2, server2, figure2,    r, n, list) {
    n = 0
    for (r = 1; r <= rounds; r++)
        if (((case, server, figure, r) in value) && value[case2, server2, figure2, r] > 0)
            list[++n] = value[case, server, figure, r] / value[case2, server2, figure2, r]
    if (n > 0) ratio = median_of(list, n)
    return n
}

function noise_of(case,    r, n, list, x) {
    n = 0
    for (r = 1; r <= rounds; r++)
        if (value[case, "raw_epoll", "cpu_ns_per_trip", r] > 0 && value[case, "raw_epoll_again", "cpu_ns_per_trip", r] > 0) {
            x = value[case, "raw_epoll_again", "cpu_ns_per_trip", r] / value[case, "raw_epoll", "cpu_ns_per_trip", r] - 1
            list[++n] = x < 0 ? -x : x
        }
    return n ? median_of(list, n) : 0
}

function tell(verdict, text) {
    printf "%-12s %s\n", verdict, text
    tally[verdict]++
}

function unmeasured(text) { tell("not measured", text) }

# A ratio of CPU times within one case.
function at_most(case, server, other, limit, text,    noise) {
    if (!compare(case, server, "cpu_ns_per_trip", case, other, "cpu_ns_per_trip")) { unmeasured(text); return }
    noise = noise_of(case)
    text = sprintf("%s: %.2f, target %.2f (noise %.2f)", text, ratio, limit, noise)
    if (noise > NOISE_MAX) unmeasured(text ": the machine is too busy")
    else tell(ratio <= limit + noise ? "held" : "missed", text)
}

# A count. The first and the last moment of a measurement may fall between a recv and its send.
function counted(case, server, figure, limit, text,    x) {
    if (!((case, server, figure, 0) in value)) { unmeasured(text); return }
    x = value[case, server, figure, 0]
    tell(x <= limit * 1.005 + 0.001 ? "held" : "missed", sprintf("%s: %.4g, target %.4g", text, x, limit))
}

function idle_beside(    noise, text) {
    text = "epoll, idle clients beside 64 busy ones, by none idle"
    if (!compare("idle", "evq_epoll", "cpu_ns_per_trip", "many", "evq_epoll", "cpu_ns_per_trip")) { unmeasured(text); return }
    noise = noise_of("idle") > noise_of("many") ? noise_of("idle") : noise_of("many")
    text = sprintf("%s: %.2f, target 1.03 (noise %.2f)", text, ratio, noise)
    if (noise > NOISE_MAX) unmeasured(text ": the machine is too busy")
    else tell(ratio <= 1.03 + noise ? "held" : "missed", text)
}

function starvation(server,    text) {
    text = server ", depth 4: p99 by the median"
    if (!compare("pipeline", server, "p99_us", "pipeline", server, "p50_us")) { unmeasured(text); return }
    text = sprintf("%s: %.2f, target 2.00", text, ratio)
    if (compare("pipeline", "raw_epoll", "p99_us", "pipeline", "raw_epoll", "p50_us")) text = text sprintf(" (raw_epoll's is %.2f)", ratio)
    compare("pipeline", server, "p99_us", "pipeline", server, "p50_us")
    if (noise_of("pipeline") > NOISE_MAX) unmeasured(text ": the machine is too busy")
    else tell(ratio <= 2 ? "held" : "missed", text)
}

function timers(    text) {
    text = "timers, all of it, by libuv's"
    if (!(("timers", "libuv", "all_ns", 0) in value) || value["timers", "evq", "all_ns", 0] == 0) { unmeasured(text); return }
    ratio = value["timers", "evq", "all_ns", 0] / value["timers", "libuv", "all_ns", 0]
    tell(ratio < 1 ? "held" : "missed", sprintf("%s: %.2f, target 1.00", text, ratio))
}

# What is told without a verdict: the echo example beside the form that is judged.
function told(case, server, figure, text) {
    if ((case, server, figure, 0) in value) tell("told", sprintf("%s: %.4g", text, value[case, server, figure, 0]))
}

function told_ratio(case, server, other, text) {
    if (compare(case, server, "cpu_ns_per_trip", case, other, "cpu_ns_per_trip"))
        tell("told", sprintf("%s: %.2f (noise %.2f)", text, ratio, noise_of(case)))
}

# Speed is judged where evq does what its peers do: a buffer for each client. Memory is judged on the echo
# example, which has none for those who are idle.
END {
    at_most("many", "evq_epoll_buffer", "raw_epoll", 1.03, "epoll, 64 clients, by raw_epoll")
    for (i = split("libev libevent_event libevent_event_fast libuv libuv_fast", peer, " "); i > 0; i--)
        at_most("many", "evq_epoll_buffer", peer[i], 1.00, "epoll, 64 clients, by " peer[i])
    told_ratio("many", "evq_epoll", "raw_epoll", "epoll, 64 clients, the echo example, by raw_epoll")
    counted("many", "evq_epoll", "calls_per_trip", 2.1, "epoll, 64 clients, system calls")
    counted("one", "evq_epoll", "calls_per_trip", 3, "epoll, one client, system calls")
    counted("bulk", "evq_epoll_buffer", "calls_per_trip", 8.1, "epoll, 16 KiB through 4 KiB buffers, system calls")
    counted("many", "evq_epoll", "epoll_ctl_per_trip", 0, "epoll, 64 clients, calls of epoll_ctl")
    counted("many", "evq_epoll", "failed_calls_per_trip", 0, "epoll, 64 clients, failed calls")
    counted("many", "evq_epoll_buffer", "instructions_per_trip", 450, "epoll, 64 clients, instructions")
    counted("one", "evq_epoll_buffer", "instructions_per_trip", 600, "epoll, one client, instructions")
    told("many", "evq_epoll", "instructions_per_trip", "epoll, 64 clients, the echo example, instructions")
    told("one", "evq_epoll", "instructions_per_trip", "epoll, one client, the echo example, instructions")
    at_most("many", "evq_io_uring_buffer", "raw_epoll", 0.85, "io_uring, 64 clients, by raw_epoll")
    told_ratio("many", "evq_io_uring", "raw_epoll", "io_uring, 64 clients, the echo example, by raw_epoll")
    at_most("deep", "evq_io_uring_buffer", "raw_epoll", 0.80, "io_uring, 16 KiB at depth 4, both with 4 KiB buffers, by raw_epoll")
    counted("many", "evq_io_uring", "calls_per_trip", 1, "io_uring, 64 clients, system calls")
    idle_beside()
    at_most("many", "evq_poll_buffer", "raw_poll", 1.05, "poll, 64 clients, by raw_poll")
    at_most("idle", "evq_poll_buffer", "raw_poll", 1.05, "poll, idle clients beside 64 busy ones, by raw_poll")
    starvation("evq_epoll")
    starvation("evq_io_uring")
    starvation("evq_poll")
    counted("memory", "evq_epoll", "bytes_per_idle", 512, "epoll, bytes for an idle client")
    counted("used", "evq_epoll", "bytes_per_idle", 512, "epoll, bytes for an idle client that was busy")
    counted("memory", "evq_io_uring", "bytes_per_idle", 512, "io_uring, bytes for an idle client")
    counted("used", "evq_io_uring", "bytes_per_idle", 512, "io_uring, bytes for an idle client that was busy")
    timers()
    printf "%d held, %d missed, %d not measured\n", tally["held"], tally["missed"], tally["not measured"]
    exit tally["missed"] > 0 || tally["held"] == 0
}
