# table: the rows of a run as tables for the terminal.
#
#   awk -f bench/table.awk OUT/bench/figures.csv
#
# First the counts, then the ratios, then the times. A ratio is the CPU time of a server by that of
# raw_epoll in the same round: the median of all rounds, the least and the most. Beside each stands the
# noise of its case: the median distance from 1 of raw_epoll_again, which is the same program. A
# difference that is not larger than that is none.

BEGIN { FS = ","; reference = "raw_epoll" }
/^#/ { print substr($0, 3); next }
$1 == "round" { next }
{
    value[$2, $3, $4, $1] = $5
    if (!(($2, $3) in seen)) { seen[$2, $3]; if (!($2 in servers)) cases[++case_count] = $2; servers[$2] = servers[$2] " " $3 }
    if ($1 > rounds) rounds = $1
    if (!($3 in known)) { known[$3]; names[++name_count] = $3 }
}

function median_of(list, n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n == 0 ? "" : n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

# The figures of all rounds (0 was slowed by the counting); sets middle, least, most. `other` divides, if it is a server.
function collect(case, server, figure, other,    r, n, list, x) {
    n = 0
    for (r = 1; r <= rounds; r++) {
        if (!((case, server, figure, r) in value)) continue
        x = value[case, server, figure, r]
        if (other != "") {
            if (!((case, other, figure, r) in value) || value[case, other, figure, r] == 0) continue
            x /= value[case, other, figure, r]
        }
        list[++n] = x + 0
    }
    middle = median_of(list, n)
    least = n ? list[1] : ""
    most = n ? list[n] : ""
    return n
}

function count(case, server, figure, format) {
    return (case, server, figure, 0) in value ? sprintf(format, value[case, server, figure, 0]) : "-"
}

# A count that needs no counting apart: the rounds have it, or else the one that was slowed has.
function often(case, server, figure, format) {
    return collect(case, server, figure, "") ? sprintf(format, middle) : count(case, server, figure, format)
}

# The median distance from 1 of the same program.
function noise_of(case, figure,    r, n, list, x) {
    n = 0
    for (r = 1; r <= rounds; r++)
        if (value[case, reference, figure, r] > 0 && value[case, reference "_again", figure, r] > 0) {
            x = value[case, reference "_again", figure, r] / value[case, reference, figure, r] - 1
            list[++n] = x < 0 ? -x : x
        }
    return n ? sprintf("%.2f", median_of(list, n)) : "?"
}

# ---- counts --------------------------------------------------------------------------------------

function counts_table(    i, server, line, begun) {
    for (i = 1; i <= name_count; i++) {
        server = names[i]
        line = sprintf(" %6s %6s %6s %6s %6s %8s %8s %7s %7s %8s %8s", count("many", server, "calls_per_trip", "%.2f"),
            count("many", server, "failed_calls_per_trip", "%.2f"), count("many", server, "epoll_ctl_per_trip", "%.2f"),
            count("one", server, "calls_per_trip", "%.2f"), count("bulk", server, "calls_per_trip", "%.2f"),
            often("many", server, "switches_per_trip", "%.3f"), often("one", server, "switches_per_trip", "%.3f"),
            count("many", server, "instructions_per_trip", "%d"), count("one", server, "instructions_per_trip", "%d"),
            count("memory", server, "bytes_per_idle", "%d"), count("used", server, "bytes_per_idle", "%d"))
        if (line !~ /[0-9]/) continue
        if (!begun++) {
            print "\nCounts: for one round trip, with 64 clients, with 1, or 64 with 16 KiB; and memory of the process"
            printf "  %-21s %34s %17s %15s %17s\n", "", "system calls", "context switches", "instructions", "bytes/idle client"
            printf "  %-21s %6s %6s %6s %6s %6s %8s %8s %7s %7s %8s %8s\n", "", "64", "failed", "ctl", "1", "16 KiB", "64", "1", "64", "1", "fresh", "used"
        }
        printf "  %-21s%s\n", server, line
    }
}

function windows_table(    i, line, begun) {
    for (i = 1; i <= name_count; i++) {
        line = sprintf(" %9s %9s", count("one", names[i], "windows_calls_per_trip", "%.2f"), count("many", names[i], "windows_calls_per_trip", "%.2f"))
        if (line !~ /[0-9]/) continue
        if (!begun++) printf "\nCounts of Windows programs, run by Wine: calls of Windows' functions for one round trip\n  %-21s %9s %9s\n", "", "1", "64"
        printf "  %-21s%s\n", names[i], line
    }
}

# ---- ratios --------------------------------------------------------------------------------------

function ratio_table(case, figure, what,    i, noise) {
    if (!collect(case, reference, figure, "")) return
    noise = noise_of(case, figure)
    printf "\nRatios, %s: CPU time of the server for one %s by that of %s\n", case, what, reference
    printf "  %-21s %8s %8s %8s %8s\n", "", "median", "noise", "least", "most"
    for (i = 1; i <= name_count; i++)
        if (collect(case, names[i], figure, reference))
            printf "  %-21s %8.2f %8s %8.2f %8.2f\n", names[i], middle, noise, least, most
}

# ---- times ---------------------------------------------------------------------------------------

# A figure of all cases, a column for each.
function times_table(figure, scale, format, what,    i, c, line, shown, columns) {
    for (c = 1; c <= case_count; c++)
        if (collect(cases[c], reference, figure, "")) shown[++columns] = cases[c]
    if (!columns) return
    printf "\nTimes of this machine: %s\n  %-21s", what, ""
    for (c = 1; c <= columns; c++) printf " %8s", shown[c]
    print ""
    for (i = 1; i <= name_count; i++) {
        line = ""
        for (c = 1; c <= columns; c++)
            line = line sprintf(" %8s", collect(shown[c], names[i], figure, "") ? sprintf(format, middle / scale) : "-")
        if (line ~ /[0-9]/) printf "  %-21s%s\n", names[i], line
    }
}

function growth_table(case,    sizes, n, i, j, key, part, seen_size, below) {
    n = 0
    for (key in value) {
        split(key, part, SUBSEP)
        if (part[1] == case && part[3] ~ /^wake_ns_at_/ && !(part[3] in seen_size)) { seen_size[part[3]]; sizes[++n] = substr(part[3], 12) + 0 }
    }
    if (n == 0) return
    median_of(sizes, n) # sorts
    printf "\nTimes of this machine, %s: one wake-up in us, with so many idle descriptors; the last column: CPU us to add one\n  %-21s", case, ""
    for (i = 1; i <= n; i++) printf " %9d", sizes[i]
    printf " %9s\n", "add"
    for (i = 1; i <= name_count; i++) {
        if (!collect(case, names[i], "add_ns", "") && !collect(case, names[i], "wake_ns_at_" sizes[1], "")) continue
        printf "  %-21s", names[i]
        for (j = 1; j <= n; j++) {
            printf " %9s", collect(case, names[i], "wake_ns_at_" sizes[j], "") ? sprintf("%.2f", middle / 1000) : "-"
            if (middle < 0) below = 1
        }
        printf " %9s\n", collect(case, names[i], "add_ns", "") ? sprintf("%.2f", middle / 1000) : "-"
    }
    if (below) print "  (Below 0: it takes many bytes with one call, and a read for each was subtracted.)"
}

function accept_table(    i, cpu, begun) {
    for (i = 1; i <= name_count; i++) {
        if (!collect("accept", names[i], "cpu_ns_per_visit", "") || middle == 0) continue
        cpu = middle
        if (!begun++) {
            print "\nTimes of this machine, accept rate: visits (connect, one byte, leave) in a second, of a server that does nothing else,"
            printf "by its CPU time; and as they came here, where the client has the same core\n  %-21s %9s %9s %9s\n", "", "a second", "here", "CPU us"
        }
        collect("accept", names[i], "wall_ns_per_visit", "")
        printf "  %-21s %9.0f %9s %9.2f\n", names[i], 1e9 / cpu, (middle > 0 ? sprintf("%.0f", 1e9 / middle) : "-"), cpu / 1000
    }
}

function timers_table(    i, begun) {
    for (i = 1; i <= name_count; i++) {
        if (!(("timers", names[i], "all_ns", 0) in value)) continue
        if (!begun++) {
            print "\nTimes of this machine, timers: inserted, half of them cancelled, the rest fired; CPU ns for each that was inserted"
            printf "  %-21s %9s %9s %9s %9s\n", "", "insert", "cancel", "fire", "all"
        }
        printf "  %-21s %9.0f %9.0f %9.0f %9.0f\n", names[i], value["timers", names[i], "insert_ns", 0],
            value["timers", names[i], "cancel_ns", 0], value["timers", names[i], "fire_ns", 0], value["timers", names[i], "all_ns", 0]
    }
}

END {
    counts_table()
    windows_table()
    for (c = 1; c <= case_count; c++) ratio_table(cases[c], "cpu_ns_per_trip", "round trip")
    ratio_table("accept", "cpu_ns_per_visit", "visit")
    times_table("cpu_ns_per_trip", 1000, "%.2f", "CPU us of the server for one round trip")
    times_table("p50_us", 1, "%.0f", "us from a message to its echo, the median of a round (closed loop, one core for both)")
    times_table("p99_us", 1, "%.0f", "the same, the 99th percentile")
    for (c = 1; c <= case_count; c++) if (cases[c] ~ /^growth/) growth_table(cases[c])
    accept_table()
    timers_table()
}
