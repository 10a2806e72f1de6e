# check: does the bench show what it must, and does evq keep its targets? One line for each: held,
# missed, or not measured.
#
#   awk -f bench/check.awk OUT/bench/figures.csv        status 1 if one was missed
#
# Ratios are medians over the rounds, each of two servers in the same round. The noise of a case is the
# median distance from 1 of raw_epoll against itself; beside raw_poll it is that of raw_poll against
# itself: with 10,000 idle clients poll() walks through more memory than a cache holds, so its time
# depends on where that lies, and on who else uses the cache. A median itself is not sure either: with
# other rounds it would be a little different. The rounds tell how far below it the true one may lie, and
# where that is more, it is the noise of the line. A limit for a ratio may be passed by the noise, and
# not by more; counts need no such tolerance. With a noise of more than NOISE_MAX nothing can be said of
# ratios on this machine at this time, and that is what the line says. Why something else could not be
# measured stands in the file `skipped` beside the rows.
#
# The first lines are about the bench itself. select and poll ask every idle descriptor, epoll and the
# libraries that are built on it do not: a bench that does not show this is wrong, and so is one in
# which the same program twice does not come out the same.

BEGIN { FS = ","; NOISE_MAX = 0.10 }
/^#/ { print substr($0, 3); next }
$1 == "round" { next }
{ value[$2, $3, $4, $1] = $5; if ($1 > rounds) rounds = $1 }

function median_of(list, n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# Sets ratio, the median of a figure by another, round by round, and how much less it may really be; false
# if there is none.
function compare(case, server, figure, case2, server2, figure2,    r, n, list) {
    n = 0
    for (r = 1; r <= rounds; r++)
        if (((case, server, figure, r) in value) && value[case2, server2, figure2, r] > 0)
            list[++n] = value[case, server, figure, r] / value[case2, server2, figure2, r]
    if (n == 0) return 0
    ratio = median_of(list, n)
    less = ratio - list[surely_below(n)]
    return n
}

# Which one of n ordered values lies below the median that endlessly many rounds would give: of 40 such
# statements 39 are right (binomial distribution with 1/2, by its normal approximation).
function surely_below(n,    rank) {
    rank = int(n / 2 - 0.98 * sqrt(n) + 0.5)
    return rank > 1 ? rank : 1
}

# Of the reference `of`, which stands twice in each round; without a name of raw_epoll.
function noise_of(case, of,    again, r, n, list, x) {
    of = of == "raw_poll" ? of : "raw_epoll"
    again = of "_again"
    n = 0
    for (r = 1; r <= rounds; r++)
        if (value[case, of, "cpu_ns_per_trip", r] > 0 && value[case, again, "cpu_ns_per_trip", r] > 0) {
            x = value[case, again, "cpu_ns_per_trip", r] / value[case, of, "cpu_ns_per_trip", r] - 1
            list[++n] = x < 0 ? -x : x
        }
    return n ? median_of(list, n) : 0
}

function tell(verdict, text) {
    printf "%-12s %s\n", verdict, text
    tally[verdict]++
}

function unmeasured(text) { tell("not measured", text) }

# The ratio that was compared last.
function judge(limit, noise, text) {
    if (less > noise) noise = less
    text = sprintf("%s: %.3f, target %.2f (noise %.3f)", text, ratio, limit, noise)
    if (noise > NOISE_MAX) unmeasured(text ": the machine is too busy")
    else tell(ratio <= limit + noise ? "held" : "missed", text)
}

# A ratio of CPU times within one case.
function at_most(case, server, other, limit, text,    noise) {
    if (!compare(case, server, "cpu_ns_per_trip", case, other, "cpu_ns_per_trip")) { unmeasured(text); return }
    noise = noise_of(case, other)
    judge(limit, noise, text)
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
    judge(1.03, noise, text)
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

function timers(server,    text) {
    text = server ", timers, all of it, by libuv's"
    if (!(("timers", "libuv", "all_ns", 0) in value) || value["timers", server, "all_ns", 0] == 0) { unmeasured(text); return }
    ratio = value["timers", server, "all_ns", 0] / value["timers", "libuv", "all_ns", 0]
    tell(ratio < 1 ? "held" : "missed", sprintf("%s: %.2f, target 1.00", text, ratio))
}

# One descriptor is ready, 9,900 are idle.
function dearer_than_epoll(server,    text) {
    text = server ", one of 9,901 ready, by epoll"
    if (!compare("growth_1", server, "wake_ns_at_9900", "growth_1", "epoll", "wake_ns_at_9900")) { unmeasured(text); return }
    tell(ratio > 100 ? "held" : "missed", sprintf("%s: %.0f, target over 100", text, ratio))
}

# The dearest of the sizes by the cheapest, round by round; all sizes up to 9,900, or nothing is said.
function flat(server,    text, r, i, n, x, least, most, sizes, list, k) {
    text = server ", one ready, 10 to 9,900 idle, dearest by cheapest"
    k = split("10 100 1000 9900", sizes, " ")
    for (r = 1; r <= rounds; r++) {
        for (i = 1; i <= k; i++) {
            x = value["growth_1", server, "wake_ns_at_" sizes[i], r] + 0
            if (x <= 0) break
            if (i == 1 || x < least) least = x
            if (i == 1 || x > most) most = x
        }
        if (i > k) list[++n] = most / least
    }
    if (n == 0) { unmeasured(text); return }
    x = median_of(list, n)
    tell(x <= 1.3 ? "held" : "missed", sprintf("%s: %.2f, target 1.30", text, x))
}

# The figure of a server is the median of its ratios: so how far is that from 1, if it is the same one?
function same_twice(case,    text, x) {
    text = "the same program twice, case " case
    if (!compare(case, "raw_epoll_again", "cpu_ns_per_trip", case, "raw_epoll", "cpu_ns_per_trip")) { unmeasured(text); return }
    x = ratio < 1 ? 1 - ratio : ratio - 1
    text = sprintf("%s: %.3f from 1, target 0.030", text, x)
    if (noise_of(case) > NOISE_MAX) unmeasured(text ": the machine is too busy")
    else tell(x <= 0.03 ? "held" : "missed", text)
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
    dearer_than_epoll("select")
    dearer_than_epoll("poll")
    for (i = split("evq:epoll libuv libevent libev epoll", family, " "); i > 0; i--) flat(family[i])
    for (i = split("idle pipeline deep many", same, " "); i > 0; i--) same_twice(same[i])
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
    counted("idle", "evq_poll_buffer", "calls_per_trip", 2.1, "poll, idle clients beside 64 busy ones, system calls")
    starvation("evq_epoll")
    starvation("evq_io_uring")
    starvation("evq_poll")
    counted("memory", "evq_epoll", "bytes_per_idle", 512, "epoll, bytes for an idle client")
    counted("used", "evq_epoll", "bytes_per_idle", 512, "epoll, bytes for an idle client that was busy")
    counted("memory", "evq_io_uring", "bytes_per_idle", 512, "io_uring, bytes for an idle client")
    counted("used", "evq_io_uring", "bytes_per_idle", 512, "io_uring, bytes for an idle client that was busy")
    timers("evq:epoll")
    timers("evq:io_uring")
    printf "%d held, %d missed, %d not measured\n", tally["held"], tally["missed"], tally["not measured"]
    exit tally["missed"] > 0 || tally["held"] == 0
}
