#!/bin/sh
# draw: the rows of a run as one page with pictures.
#
#   bench/draw.sh OUT          called by `make bench`; reads OUT/bench/figures.csv
#
# The page, OUT/bench/index.html, holds everything in itself: no other file, no script, no network. The
# pictures are SVG by gnuplot. Two colours of theirs, those of lines and words and of the grid, are
# replaced by variables of the page, which has a light and a dark theme. Without gnuplot the page has
# its tables only, and says so.
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

# Median, least and most of the ratios of case $1 to raw_epoll: "place name median least most".
ratios() {
    awk -F , -v case="$1" '
        $2 == case && $4 == "cpu_ns_per_trip" { value[$3, $1] = $5; if (!($3 in known)) { known[$3]; name[++n] = $3 } if ($1 > rounds) rounds = $1 }
        END {
            for (i = 1; i <= n; i++) {
                k = 0
                for (r = 1; r <= rounds; r++) if (value[name[i], r] > 0 && value["raw_epoll", r] > 0) {
                    x = value[name[i], r] / value["raw_epoll", r]
                    for (j = ++k; j > 1 && list[j - 1] > x; j--) list[j] = list[j - 1]
                    list[j] = x
                }
                if (k) print name[i], k % 2 ? list[(k + 1) / 2] : (list[k / 2] + list[k / 2 + 1]) / 2, list[1], list[k]
            }
        }' "$rows" | sort -k 2 -n -r | awk '{ print NR, $0 }'
}

# "x value" of server $2 in growth case $1.
growth() {
    awk -F , -v case="$1" -v server="$2" '
        $2 == case && $3 == server && $4 ~ /^wake_ns_at_/ { print substr($4, 12), ($5 > 10 ? $5 : 10) / 1000 }' "$rows" | sort -n
}

# "clients us" of server $1: where do the lines cross?
clients() {
    for pair in one:1 few:8 many:64 hundreds:512; do
        awk -F , -v case="${pair%:*}" -v x="${pair#*:}" -v server="$1" '
            $2 == case && $3 == server && $4 == "cpu_ns_per_trip" && $1 > 0 {
                for (j = ++k; j > 1 && list[j - 1] > $5 + 0; j--) list[j] = list[j - 1]
                list[j] = $5 + 0
            }
            END { if (k) print x, list[int((k + 1) / 2)] / 1000 }' "$rows"
    done
}

# "place name value" of a figure that was taken once.
once() {
    awk -F , -v case="$1" -v figure="$2" '$1 == 0 && $2 == case && $4 == figure { print $3, $5 }' "$rows" |
        sort -k 2 -n -r | awk '{ print NR, $0 }'
}

servers_of() { awk -F , -v case="$1" '$2 == case && !seen[$3]++ { print $3 }' "$rows"; }

# ---- pictures -------------------------------------------------------------------------------------

# The colours #111111 and #cccccc stand for the theme's; the page puts its own there.
style="set border lc rgb '#111111'; set tics textcolor rgb '#111111'; set key textcolor rgb '#111111'
set title textcolor rgb '#111111'; set xlabel textcolor rgb '#111111'; set ylabel textcolor rgb '#111111'
set grid lc rgb '#cccccc'
set linetype 1 lc rgb '#d1495b' lw 2; set linetype 2 lc rgb '#2a78b8' lw 2; set linetype 3 lc rgb '#3c9a5f' lw 2
set linetype 4 lc rgb '#b8860b' lw 2; set linetype 5 lc rgb '#8e5bb5' lw 2; set linetype 6 lc rgb '#4f8f8f' lw 2
set linetype 7 lc rgb '#c96a2b' lw 2; set linetype 8 lc rgb '#7a7a7a' lw 2; set linetype 9 lc rgb '#bf4f91' lw 2
set linetype 10 lc rgb '#5b6fd1' lw 2; set linetype cycle 10"

# Bars of "place name value [least most]" in file $1; title $2, name of the value $3.
bars() {
    count=$(wc -l <"$1")
    echo "set terminal svg size 760,$((90 + 22 * count)) dynamic noenhanced font 'sans-serif,13' background rgb 'white'
$style
unset key; set title \"$2\"; set xlabel \"$3\"; set yrange [0.4:$count.6]; set xrange [0:*]; set grid x; unset grid
set grid xtics; set style fill solid 0.8 noborder"
    if [ "$(awk '{ print NF; exit }' "$1")" -ge 5 ]; then
        echo "plot '$1' using (\$3/2):1:(\$3/2):(0.35):ytic(2) with boxxyerror lt 2, '$1' using 3:1:4:5 with xerrorbars lc rgb '#111111' pt 0 lw 1"
    else
        echo "plot '$1' using (\$3/2):1:(\$3/2):(0.35):ytic(2) with boxxyerror lt 2"
    fi
}

# Lines of all files $4...; title $1, names of the axes $2 and $3. A file's name is its line's.
lines() {
    echo "set terminal svg size 760,440 dynamic noenhanced font 'sans-serif,13' background rgb 'white'
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

# gnuplot's words on stdin become one SVG for the page: without its XML head, with the theme's colours.
svg() {
    { gnuplot 2>"$work/why" || { cat "$work/why" >&2; return 1; }; } |
        sed -e '/^<?xml/d' -e '/^<!DOCTYPE/,/>$/d' -e '/<title>/d' \
            -e 's/#111111/var(--ink)/g' -e 's/rgb( *17, *17, *17)/var(--ink)/g' \
            -e 's/#cccccc/var(--grid)/g' -e 's/rgb(204, *204, *204)/var(--grid)/g' \
            -e 's/fill="#ffffff"/fill="none"/g' -e "s/stroke='\(var([^)]*)\)'/style='stroke:\1'/g" \
            -e 's/fill="\(var([^)]*)\)"/style="fill:\1"/g' \
            -e "s/id=\"/id=\"p$number/g; s/xlink:href='#/xlink:href='#p$number/g; s/url(#/url(#p$number/g"
    number=$((number + 1))
}
number=1

# picture WORDS: a figure with its caption; what gnuplot shall do comes on stdin.
picture() {
    echo '<figure>'
    if [ $can_draw = yes ]; then svg; else cat >/dev/null; fi
    printf '<figcaption>%s</figcaption></figure>\n' "$1"
}

picture_of_case() {
    ratios "$1" >"$work/$1"
    [ -s "$work/$1" ] || return
    bars "$work/$1" "$2" "CPU time of the server, by that of raw epoll" |
        picture "CPU time of the server for one round trip, by that of raw_epoll in the same round. The bar is the median, the line goes from the least to the most. raw_epoll_again is the same program: so far from 1 is noise."
}

picture_of_growth() {
    set -- "$1" "$2"
    mkdir -p "$work/$1"
    for server in $(servers_of "$1"); do growth "$1" "$server" >"$work/$1/$(echo "$server" | tr ':' ' ')"; done
    servers=$(servers_of "$1")
    [ -n "$servers" ] || return
    lines "$2" "idle descriptors" "microseconds for one wake-up" "$work/$1"/* |
        picture "What one wake-up costs, the read of the byte not counted. A line that grows asks every descriptor at each call; a flat one asks those that are ready."
}

picture_of_clients() {
    mkdir -p "$work/clients"
    for server in raw_epoll floor 01_thread_per_client 03_select 03_poll 04_level evq_epoll evq_io_uring evq_poll; do
        clients "$server" >"$work/clients/$server"
        [ "$(wc -l <"$work/clients/$server")" -ge 2 ] || rm "$work/clients/$server"
    done
    [ -n "$(ls "$work/clients")" ] || return
    lines "Few clients and many" "clients, all of them busy" "CPU microseconds for one round trip" "$work/clients"/* |
        picture "Where do the lines cross? CPU time of the server for one round trip, median of the rounds, with 1, 8, 64 and 512 clients that all talk."
}

picture_of_memory() {
    once memory bytes_per_idle >"$work/memory"
    [ -s "$work/memory" ] || return
    bars "$work/memory" "Memory of the server for one idle client" "bytes" |
        picture "Memory of the server's process for one client that is connected and silent; the kernel's own memory is not in it."
}

picture_of_calls() {
    once many calls_per_trip >"$work/calls"
    [ -s "$work/calls" ] || return
    bars "$work/calls" "System calls for one round trip, 64 clients" "calls" |
        picture "A count: it does not depend on how fast or how busy the machine is."
}

# ---- the page -------------------------------------------------------------------------------------

head_of_page() {
    cat <<'END'
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Event queues, measured</title>
<style>
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --grid: #ddd; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #16181b; --grid: #3a3d42; } }
body { color: var(--ink); background: var(--paper); font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); }
figure { margin: 2em 0; } figcaption { font-size: .9em; }
pre { overflow-x: auto; font-size: 12px; line-height: 1.35; }
</style></head><body>
<h1>Event queues, measured</h1>
<p>Made by <code>make bench</code> on the machine named below. Counts hold everywhere. Ratios hold for machines like this one.
Times hold for this machine at that time. <code>bench/README.md</code> says how it is measured, and what it does not show.</p>
END
}

as_text() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'; }

write_page() {
    head_of_page
    echo '<pre>' && sed -n 's/^# //p' "$rows" | as_text && echo '</pre>'
    [ $can_draw = yes ] || echo '<p>There are no pictures: gnuplot is not installed (<code>sh tools/setup.sh --for bench</code>).</p>'
    picture_of_growth growth_1 "One descriptor is ready, many are idle"
    picture_of_growth growth_100 "A hundred are ready, many are idle"
    picture_of_case many "64 clients, 64 bytes"
    picture_of_case one "One client, 64 bytes"
    picture_of_case bulk "64 clients, 16 KiB"
    picture_of_case deep "64 clients, 16 KiB, four messages on the way"
    picture_of_case idle "64 busy clients beside many idle ones"
    picture_of_clients
    picture_of_calls
    picture_of_memory
    echo '<h2>Every table</h2><pre>' && awk -f bench/table.awk "$rows" | as_text && echo '</pre>'
    if [ -s "$here/skipped" ]; then
        echo '<h2>Not measured, and why</h2><pre>' && as_text <"$here/skipped" && echo '</pre>'
    fi
    echo '</body></html>'
}

if command -v gnuplot >/dev/null; then can_draw=yes; else can_draw=no; fi
write_page >"$work/page" && mv "$work/page" "$page" || exit 1
echo "bench: the page is $page"
