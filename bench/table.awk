# table: the rows of a run as tables for the terminal.
#
#   awk -f bench/table.awk OUT/bench/figures.csv
#
# A ratio is the CPU time of a server by that of raw_epoll in the same round: the median of all
# rounds, and in brackets the least and the most. raw_epoll_again is the same program: what it differs
# from 1 by is the noise, and a difference that is not larger than that is none.

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

function ratio_table(case,    i, server) {
    printf "\n%s: CPU time of the server by that of %s, then times of this machine alone\n", case, reference
    printf "  %-22s %6s %15s %10s %10s %10s %10s\n", "", "median", "least to most", "cpu us", "p50 us", "p99 us", "switches"
    for (i = 1; i <= name_count; i++) {
        server = names[i]
        if (!collect(case, server, "cpu_ns_per_trip", "")) continue
        cpu = middle / 1000
        if (collect(case, server, "cpu_ns_per_trip", reference)) printf "  %-22s %6.2f %7.2f %7.2f", server, middle, least, most
        else printf "  %-22s %6s %15s", server, "-", "-"
        collect(case, server, "p50_us", ""); p50 = middle
        collect(case, server, "p99_us", ""); p99 = middle
        collect(case, server, "switches_per_trip", "")
        printf " %10.2f %10.0f %10.0f %10.3f\n", cpu, p50, p99, middle
    }
}

function counts_table(    i, server, line) {
    printf "\nCounts: system calls per round trip (of them failed, epoll_ctl), instructions of user code, bytes per idle client\n"
    printf "  %-22s %7s %7s %7s %7s %7s %8s %8s %8s %8s\n", "", "64", "failed", "ctl", "1", "16 KiB", "instr.64", "instr.1", "B fresh", "B used"
    for (i = 1; i <= name_count; i++) {
        server = names[i]
        line = sprintf(" %7s %7s %7s %7s %7s %8s %8s %8s %8s", count("many", server, "calls_per_trip", "%.2f"),
            count("many", server, "failed_calls_per_trip", "%.2f"), count("many", server, "epoll_ctl_per_trip", "%.2f"),
            count("one", server, "calls_per_trip", "%.2f"), count("bulk", server, "calls_per_trip", "%.2f"),
            count("many", server, "instructions_per_trip", "%d"), count("one", server, "instructions_per_trip", "%d"),
            count("memory", server, "bytes_per_idle", "%d"), count("used", server, "bytes_per_idle", "%d"))
        if (line ~ /[0-9]/) printf "  %-22s%s\n", server, line
    }
}

function growth_table(case,    sizes, n, i, j, key, part) {
    n = 0
    for (key in value) {
        split(key, part, SUBSEP)
        if (part[1] == case && part[3] ~ /^wake_ns_at_/ && !(part[3] in seen_size)) { seen_size[part[3]]; sizes[++n] = substr(part[3], 12) + 0 }
    }
    for (key in seen_size) delete seen_size[key]
    median_of(sizes, n) # sorts
    printf "\n%s: one wake-up in us, with ever more idle descriptors; the last column: adding one\n  %-22s", case, ""
    for (i = 1; i <= n; i++) printf " %9d", sizes[i]
    printf " %9s\n", "add us"
    for (i = 1; i <= name_count; i++) {
        if (!((case, names[i], "add_ns", 0) in value)) continue
        printf "  %-22s", names[i]
        for (j = 1; j <= n; j++) printf " %9.2f", value[case, names[i], "wake_ns_at_" sizes[j], 0] / 1000
        printf " %9.2f\n", value[case, names[i], "add_ns", 0] / 1000
    }
}

function timers_table(    i) {
    printf "\ntimers: inserted, half of them cancelled, the rest fired; CPU ns for each that was inserted\n"
    printf "  %-22s %9s %9s %9s %9s\n", "", "insert", "cancel", "fire", "all"
    for (i = 1; i <= name_count; i++)
        if (("timers", names[i], "all_ns", 0) in value)
            printf "  %-22s %9.0f %9.0f %9.0f %9.0f\n", names[i], value["timers", names[i], "insert_ns", 0],
                value["timers", names[i], "cancel_ns", 0], value["timers", names[i], "fire_ns", 0], value["timers", names[i], "all_ns", 0]
}

function accept_table(    i) {
    printf "\naccept: one visit (connect, one byte, leave): CPU us of the server, and by that of %s\n", reference
    for (i = 1; i <= name_count; i++)
        if (collect("accept", names[i], "cpu_ns_per_visit", "")) {
            cpu = middle / 1000
            collect("accept", names[i], "cpu_ns_per_visit", reference)
            printf "  %-22s %9.2f %9.2f\n", names[i], cpu, middle
        }
}

END {
    counts_table()
    for (c = 1; c <= case_count; c++) {
        if (cases[c] ~ /^growth/) growth_table(cases[c])
        else if (cases[c] == "timers") timers_table()
        else if (cases[c] == "accept") accept_table()
        else if (cases[c] !~ /^(memory|used)$/ && collect(cases[c], reference, "cpu_ns_per_trip", "")) ratio_table(cases[c])
    }
}
