#!/bin/sh
# draw: the rows of a run as one page with pictures.
#
#   bench/draw.sh OUT          called by `make bench`; reads OUT/bench/figures.csv
#
# The page, OUT/bench/index.html, holds everything in itself: no other file, no script, no network. It
# goes from what holds everywhere to what holds here: counts, ratios, times. Each picture has its
# caption as its name, and below it the same as a table, for those who do not see it.
#
# The pictures are SVG by gnuplot. Two colours of theirs, those of lines and words and of the grid, are
# replaced by variables of the page, which has a light and a dark theme. Without gnuplot the page has
# its tables only, and says so. What the run has not measured has no picture.
#
# Status: 0; 1 when there are no rows; 2 for wrong words.

set -u
cd "$(dirname "$0")/.." || exit 1
out=${1:?usage: bench/draw.sh OUT}
here=$out/bench
rows=$here/figures.csv
page=$here/index.html
[ -s "$rows" ] || { echo "bench: no rows in $rows: make bench makes them" >&2; exit 1; }

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- data for gnuplot -----------------------------------------------------------------------------

# awk's: the median of the list x[1..n], which is sorted then.
median='function median(x, n,    i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && x[j - 1] > x[j]; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
    return n % 2 ? x[(n + 1) / 2] : (x[n / 2] + x[n / 2 + 1]) / 2
}'

# Median, least and most of a figure $2 of case $1, by that of raw_epoll in the same round, if $3 says so:
# "name median least most". The rounds count from 1; where there are none, the one count (round 0) does.
medians() {
    awk -F , -v case="$1" -v figure="$2" -v by="${3:-}" "$median"'
        $2 == case && $4 == figure { value[$3, $1] = $5; if (!seen[$3]++) name[++n] = $3; if ($1 > rounds) rounds = $1 }
        END {
            for (i = 1; i <= n; i++) {
                k = 0
                for (r = 1; r <= rounds; r++) {
                    if (!((name[i], r) in value) || (by != "" && value[by, r] + 0 == 0)) continue
                    x[++k] = value[name[i], r] / (by != "" ? value[by, r] : 1)
                }
                if (k == 0 && by == "" && (name[i], 0) in value) x[++k] = value[name[i], 0] + 0
                if (k) { m = median(x, k); print name[i], m, x[1], x[k] }
            }
        }' "$rows"
}

# The noise of case $1 by figure $2: the median distance from 1 of the same program.
noise() {
    awk -F , -v case="$1" -v figure="$2" "$median"'
        $1 > 0 && $2 == case && $4 == figure { value[$3, $1] = $5; if ($1 > rounds) rounds = $1 }
        END {
            for (r = 1; r <= rounds; r++) if (value["raw_epoll", r] > 0 && value["raw_epoll_again", r] > 0) {
                d = value["raw_epoll_again", r] / value["raw_epoll", r] - 1
                x[++k] = d < 0 ? -d : d
            }
            if (k) printf "%.3f\n", median(x, k)
        }' "$rows"
}

# Lines "name value ..." get their place in front: the largest is lowest.
placed() { sort -k 2 -n -r | awk '{ print NR, $0 }'; }

# "x value" of server $2 in growth case $1.
growth() {
    awk -F , -v case="$1" -v server="$2" "$median"'
        $2 == case && $3 == server && $4 ~ /^wake_ns_at_/ { at = substr($4, 12); value[at, ++n[at]] = $5 }
        END {
            for (at in n) {
                for (i = 1; i <= n[at]; i++) x[i] = value[at, i]
                m = median(x, n[at])
                if (m > 0) print at, m / 1000
            }
        }' "$rows" | sort -n
}

# "clients us" of server $1: where do the lines cross?
clients() {
    for pair in one:1 few:8 many:64 hundreds:512; do
        medians "${pair%:*}" cpu_ns_per_trip |
            awk -v x="${pair#*:}" -v server="$1" '$1 == server && $2 > 0 { print x, $2 / 1000 }'
    done
}

servers_of() { awk -F , -v case="$1" '$2 == case && !seen[$3]++ { print $3 }' "$rows"; }

# ---- pictures -------------------------------------------------------------------------------------

# The colours #111111 and #cccccc stand for the theme's; the page puts its own there.
style="set border lc rgb '#111111'; set tics textcolor rgb '#111111'; set key textcolor rgb '#111111'
set title textcolor rgb '#111111'; set xlabel textcolor rgb '#111111'; set ylabel textcolor rgb '#111111'
set grid lc rgb '#cccccc'; set xtics nomirror; set ytics nomirror
set linetype 1 lc rgb '#d1495b' lw 2; set linetype 2 lc rgb '#2a78b8' lw 2; set linetype 3 lc rgb '#3c9a5f' lw 2
set linetype 4 lc rgb '#b8860b' lw 2; set linetype 5 lc rgb '#8e5bb5' lw 2; set linetype 6 lc rgb '#4f8f8f' lw 2
set linetype 7 lc rgb '#c96a2b' lw 2; set linetype 8 lc rgb '#7a7a7a' lw 2; set linetype 9 lc rgb '#bf4f91' lw 2
set linetype 10 lc rgb '#5b6fd1' lw 2; set linetype 11 lc rgb '#7f8f2f' lw 2; set linetype cycle 11"
terminal="dynamic noenhanced font 'sans-serif,13' background rgb 'white'"

# Bars of "place name value [least most]" in file $1; title $2, name of the value $3, its format $4, and
# $5, how far from 1 is noise. What is longer than five times the median bar is cut; the number at its
# end tells how long it is.
bars() {
    count=$(wc -l <"$1")
    longest=$(awk "$median"'{ x[NR] = $3; if ($3 + 0 > most) most = $3 + 0; if ($5 + 0 > most) most = $5 + 0 }
        END { m = 5 * median(x, NR); if (m <= 0 || m > most) m = most; print (m > 0 ? m : 1) }' "$1")
    echo "set terminal svg size 760,$((130 + 19 * count)) $terminal
$style
unset key; set title \"$2\"; set xlabel \"$3\"; set yrange [0.4:$count.6]; set xrange [0:1.3 * $longest]; unset grid
set grid xtics; set ytics scale 0; set style fill solid 0.8 noborder; cut(x) = x > $longest ? $longest : x"
    [ -z "${5:-}" ] || echo "set object rectangle from 1 - $5, graph 0 to 1 + $5, graph 1 behind fillcolor rgb '#cccccc' fillstyle solid 1 noborder"
    printf '%s' "plot '$1' using (cut(\$3)/2):1:(cut(\$3)/2):(0.35):ytic(2) with boxxyerror lt 2"
    label="(sprintf('$4', \$3) . (\$3 > $longest ? ' (bar cut)' : ''))"
    if [ "$(awk '{ print NF; exit }' "$1")" -ge 5 ] && awk '$4 != $5 { any = 1 } END { exit !any }' "$1"; then
        echo ", '$1' using (cut(\$3)):1:(cut(\$4)):(cut(\$5)) with xerrorbars lc rgb '#111111' pt 0 lw 1, '$1' using (cut(\$5)):1:$label with labels left offset 0.6,0 textcolor rgb '#111111'"
    else
        echo ", '$1' using (cut(\$3)):1:$label with labels left offset 0.6,0 textcolor rgb '#111111'"
    fi
}

# Lines of all files $4...; title $1, names of the axes $2 and $3. A file's name is its line's.
lines() {
    echo "set terminal svg size 760,440 $terminal
$style
set key outside right; set title \"$1\"; set xlabel \"$2\"; set ylabel \"$3\"; set logscale xy"
    shift 3
    printf 'plot '
    for file; do
        printf "%s'%s' with linespoints title \"%s\"" "${comma:-}" "$file" "$(basename "$file" | sed 's/_/ /g')"
        comma=', '
    done
    comma=
    echo
}

# The bars of "place name insert cancel fire all" in file $1 are of three parts.
parts() {
    count=$(wc -l <"$1")
    echo "set terminal svg size 760,$((140 + 28 * count)) $terminal
$style
set key below; set title \"$2\"; set xlabel \"$3\"; set yrange [0.4:$count.6]; set xrange [0:*]; unset grid; set grid xtics
set ytics scale 0; set style fill solid 0.8 noborder
plot '$1' using (\$3/2):1:(\$3/2):(0.35):ytic(2) with boxxyerror lt 2 title 'insert', \\
    '' using (\$3+\$4/2):1:(\$4/2):(0.35) with boxxyerror lt 4 title 'cancel', \\
    '' using (\$3+\$4+\$5/2):1:(\$5/2):(0.35) with boxxyerror lt 3 title 'fire'"
}

# ---- a picture in the page ------------------------------------------------------------------------

as_text() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'; }

# gnuplot's words in $work/plot become one SVG for the page: without its XML head, with the theme's
# colours, with ids of its own, and with the caption as its name.
svg() {
    gnuplot "$work/plot" 2>"$work/why" >"$work/svg" || { cat "$work/why" >&2; return 1; }
    sed -e '/^<?xml/d' -e '/^<!DOCTYPE/,/>$/d' -e '/<title>/d' -e '/<desc>/d' \
        -e "s/<svg\$/<svg role='img' aria-labelledby='caption$number'/; s/<svg /<svg role='img' aria-labelledby='caption$number' /" \
        -e 's/#111111/var(--ink)/g' -e 's/rgb( *17, *17, *17)/var(--ink)/g' \
        -e 's/#cccccc/var(--grid)/g' -e 's/rgb(204, *204, *204)/var(--grid)/g' \
        -e 's/fill="#ffffff"/fill="none"/g' -e "s/stroke='\(var([^)]*)\)'/style='stroke:\1'/g" \
        -e "s/fill *= *[\"']\(var([^)]*)\)[\"']/style=\"fill:\1\"/g" \
        -e "s/ id=\([\"']\)/ id=\1p$number/g; s/xlink:href='#/xlink:href='#p$number/g; s/url(#/url(#p$number/g" "$work/svg"
}
number=1

# picture CAPTION: what gnuplot shall do is in $work/plot, the same as a table in $work/words: a line of
# names, then a line for each row, with tabs between.
picture() {
    echo '<figure>'
    if [ $can_draw = yes ]; then svg; fi
    printf '<figcaption id="caption%s">%s</figcaption>\n<details><summary>The same as a table</summary><table>\n' "$number" "$1"
    as_text <"$work/words" | awk -F '\t' '{
        cell = NR == 1 ? "th" : "td"
        printf "<tr>"
        for (i = 1; i <= NF; i++) printf "<%s>%s</%s>", cell, $i, cell
        print "</tr>"
    }'
    echo '</table></details></figure>'
    number=$((number + 1))
}

# picture_of_bars TITLE VALUE FORMAT CAPTION [NOISE]: of "name value [least most]" on stdin.
picture_of_bars() {
    placed >"$work/bars"
    [ -s "$work/bars" ] || return
    bars "$work/bars" "$1" "$2" "$3" "${5:-}" >"$work/plot"
    awk -v value="$2" -v format="$3" 'BEGIN { OFS = "\t" }
        { row[NR] = $2 OFS sprintf(format, $3) ($5 != $4 ? OFS sprintf(format, $4) OFS sprintf(format, $5) : ""); if ($5 != $4) spread = 1 }
        END { print "", value (spread ? OFS "least" OFS "most" : ""); for (i = NR; i > 0; i--) print row[i] }' "$work/bars" >"$work/words"
    picture "$4"
}

# picture_of_lines TITLE X Y CAPTION FOLDER: a line for each file in it.
picture_of_lines() {
    for line in "$5"/*; do [ -s "$line" ] || rm -f "$line"; done
    [ -n "$(ls "$5")" ] || return
    lines "$1" "$2" "$3" "$5"/* >"$work/plot"
    for line in "$5"/*; do awk -v name="$(basename "$line")" 'BEGIN { OFS = "\t" } { print name, $1, $2 }' "$line"; done |
        awk -F '\t' -v x="$2" '
            { if (!seen[$2]++) at[++n] = $2; if (!known[$1]++) name[++k] = $1; value[$1, $2] = $3 }
            END {
                for (i = 2; i <= n; i++) for (j = i; j > 1 && at[j - 1] + 0 > at[j] + 0; j--) { t = at[j]; at[j] = at[j - 1]; at[j - 1] = t }
                printf "%s", x; for (i = 1; i <= n; i++) printf "\t%s", at[i]; print ""
                for (j = 1; j <= k; j++) {
                    printf "%s", name[j]
                    for (i = 1; i <= n; i++) printf "\t%s", (name[j], at[i]) in value ? sprintf("%.2f", value[name[j], at[i]]) : "-"
                    print ""
                }
            }' >"$work/words"
    picture "$4"
}

# ---- which pictures -------------------------------------------------------------------------------

# once CASE FIGURE TITLE VALUE FORMAT CAPTION: bars of a count.
once() {
    medians "$1" "$2" >"$work/these"
    picture_of_bars "$3" "$4" "$5" "$6" <"$work/these"
}

ratio_of() { # CASE FIGURE TITLE WHAT
    far=$(noise "$1" "$2")
    medians "$1" "$2" raw_epoll >"$work/these"
    picture_of_bars "$3" "CPU time of the server, by that of raw_epoll" "%.2f" \
        "CPU time of the server for one $4, by that of raw_epoll in the same round. The bar is the median, the line goes from the least to the most. Noise: ${far:-not known}, the grey band: so far from 1 was raw_epoll_again, which is the same program." \
        "$far" <"$work/these"
}

picture_of_growth() { # CASE TITLE
    mkdir -p "$work/$1"
    for server in $(servers_of "$1"); do growth "$1" "$server" >"$work/$1/$(echo "$server" | tr ':' ' ')"; done
    picture_of_lines "$2" "idle descriptors" "microseconds for one wake-up" \
        "$2: what one wake-up costs, in microseconds of this machine, the read not counted. A line that grows asks every descriptor at each call; a flat one asks those that are ready." \
        "$work/$1"
}

picture_of_clients() {
    mkdir -p "$work/clients"
    for server in raw_epoll floor 01_thread_per_client 03_select 03_poll 04_level evq_epoll evq_io_uring evq_poll; do
        clients "$server" >"$work/clients/$server"
        [ "$(wc -l <"$work/clients/$server")" -ge 2 ] || rm "$work/clients/$server"
    done
    picture_of_lines "Few clients and many" "clients, all of them busy" "CPU microseconds for one round trip" \
        "Where do the lines cross? CPU microseconds of the server for one round trip on this machine, the median of the rounds, with 1, 8, 64 and 512 clients that all talk." \
        "$work/clients"
}

picture_of_timers() {
    awk -F , '$2 == "timers" { value[$3, $4] = $5; if (!seen[$3]++) name[++n] = $3 }
        END { for (i = 1; i <= n; i++) print name[i], value[name[i], "all_ns"], value[name[i], "insert_ns"], value[name[i], "cancel_ns"], value[name[i], "fire_ns"] }' "$rows" |
        placed | awk '{ print $1, $2, $4, $5, $6, $3 }' >"$work/timers"
    [ -s "$work/timers" ] || return
    parts "$work/timers" "Timers: inserted, half of them cancelled, the rest fired" "CPU nanoseconds for each timer that was inserted" >"$work/plot"
    awk 'BEGIN { OFS = "\t"; print "", "insert", "cancel", "fire", "all" } { print $2, $3, $4, $5, $6 }' "$work/timers" >"$work/words"
    picture "CPU nanoseconds of this machine for each timer that was inserted: inserting all, cancelling every second one, firing the others."
}

# ---- the page -------------------------------------------------------------------------------------

head_of_page() {
    cat <<'END'
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Event queues, measured</title>
<style>
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --grid: #ddd; --link: #1a5fb4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #16181b; --grid: #3a3d42; --link: #8ab4f8; } }
body { color: var(--ink); background: var(--paper); font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
a { color: var(--link); } svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); }
figure { margin: 2em 0; } figcaption, details { font-size: .9em; }
table { border-collapse: collapse; } th, td { padding: 0 .7em; text-align: right; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; font-size: 12px; line-height: 1.35; }
</style></head><body>
<h1>Event queues, measured</h1>
<p>Made by <code>make bench</code> on the machine named below. <code>bench/README.md</code> says how it is measured, and what
it does not show. <a href="#counts">Counts</a> hold everywhere, for the same versions. <a href="#ratios">Ratios</a> hold for
machines like this one. <a href="#times">Times</a> hold for this machine at that time; the line that grows and the one that
does not is the first picture there.</p>
END
}

counts_of_page() {
    once many calls_per_trip "System calls for one round trip, 64 clients" "calls" "%.2f" \
        "System calls of the server for one round trip, with 64 clients that all talk. Each wait brings many of them."
    once one calls_per_trip "System calls for one round trip, one client" "calls" "%.2f" \
        "System calls of the server for one round trip, with one client: each message needs a wait of its own."
    once one switches_per_trip "Context switches for one round trip, one client" "switches" "%.3f" \
        "How often the server's threads left the processor, for one round trip with one client. Client and server share one core, so one switch is the least that a server can do that waits for one client."
    once many switches_per_trip "Context switches for one round trip, 64 clients" "switches" "%.3f" \
        "How often the server's threads left the processor, for one round trip, with 64 clients. One loop sleeps once for all who have spoken; a thread for each client sleeps for each message."
    once many instructions_per_trip "Instructions of user code for one round trip, 64 clients" "instructions" "%.0f" \
        "Instructions of the program and its libraries, counted by callgrind; the kernel's are not in it. valgrind cannot run io_uring."
    once one windows_calls_per_trip "Windows programs: calls for one round trip, one client" "calls of functions of Windows" "%.2f" \
        "What the source of the Windows programs of chapter 06 calls. Wine has run them; the count is the source's."
    once many windows_calls_per_trip "Windows programs: calls for one round trip, 64 clients" "calls of functions of Windows" "%.2f" \
        "What the source of the Windows programs of chapter 06 calls, with 64 clients. Wine has run them; how many packets one call brings may differ on Windows."
    once memory bytes_per_idle "Memory of the server for an idle client" "bytes" "%.0f" \
        "Memory of the server's process for one client that is connected and never said anything; the kernel's own memory is not in it."
    once used bytes_per_idle "Memory of the server for an idle client that was busy" "bytes" "%.0f" \
        "Memory of the server's process for one client that is silent now and has had a message echoed before: what the server keeps for it."
}

ratios_of_page() {
    ratio_of many cpu_ns_per_trip "64 clients, 64 bytes" "round trip"
    ratio_of one cpu_ns_per_trip "One client, 64 bytes" "round trip"
    ratio_of few cpu_ns_per_trip "8 clients, 64 bytes" "round trip"
    ratio_of hundreds cpu_ns_per_trip "512 clients, 64 bytes" "round trip"
    ratio_of bulk cpu_ns_per_trip "64 clients, 16 KiB" "round trip"
    ratio_of deep cpu_ns_per_trip "64 clients, 16 KiB, four messages on the way" "round trip"
    ratio_of pipeline cpu_ns_per_trip "64 clients, 64 bytes, four messages on the way" "round trip"
    ratio_of burst cpu_ns_per_trip "64 clients, 64 bytes, four messages at once" "round trip"
    ratio_of idle cpu_ns_per_trip "64 busy clients beside many idle ones" "round trip"
    ratio_of accept cpu_ns_per_visit "A visit: connect, one byte, leave" "visit"
}

times_of_page() {
    picture_of_growth growth_1 "One descriptor is ready, many are idle"
    picture_of_growth growth_100 "A hundred are ready, many are idle"
    picture_of_growth growth_1_eventfd "Eventfds: one is ready, many are idle"
    picture_of_growth growth_100_eventfd "Eventfds: a hundred are ready, many are idle"
    medians growth_1 add_ns >"$work/these"
    picture_of_bars "Registration: one descriptor more" "CPU nanoseconds" "%.0f" \
        "CPU nanoseconds of this machine to have one more descriptor watched, until the kernel knows of it: one wait belongs to it, shared by all that were added. select and poll only write it into a list of their own; the kernel is told at each call." <"$work/these"
    picture_of_clients
    medians accept cpu_ns_per_visit | awk '$2 > 0 { print $1, 1e9 / $2, 1e9 / $4, 1e9 / $3 }' >"$work/these"
    picture_of_bars "Accept rate" "visits for one second of CPU time of the server" "%.0f" \
        "How many visits (connect, one byte, leave) one second of the server's CPU time is enough for, on this machine." <"$work/these"
    picture_of_timers
}

section() { # ID TITLE FUNCTION
    "$3" >"$work/section"
    [ -s "$work/section" ] || return
    printf '<h2 id="%s">%s</h2>\n' "$1" "$2"
    cat "$work/section"
}

write_page() {
    head_of_page
    echo '<pre>' && sed -n 's/^# //p' "$rows" | as_text && echo '</pre>'
    [ $can_draw = yes ] || echo '<p>There are no pictures: gnuplot is not installed (<code>sh tools/setup.sh --for bench</code>).</p>'
    section counts "Counts: they hold everywhere, for the same versions" counts_of_page
    section ratios "Ratios: they hold for machines like this one" ratios_of_page
    section times "Absolute times: they hold for this machine at that time" times_of_page
    echo '<h2 id="tables">Every table</h2><pre>' && awk -f bench/table.awk "$rows" | as_text && echo '</pre>'
    if [ -s "$here/skipped" ]; then
        echo '<h2 id="skipped">Not measured, and why</h2><pre>' && as_text <"$here/skipped" && echo '</pre>'
    fi
    echo '</body></html>'
}

if command -v gnuplot >/dev/null; then can_draw=yes; else can_draw=no; fi
write_page >"$work/page" && mv "$work/page" "$page" || exit 1
echo "bench: the page is $page"
