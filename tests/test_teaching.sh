#!/bin/sh
# test_teaching: what a teacher has: the handout without solutions, the clinic, the slides, and the grader's box.
#
# It speaks TAP, as cmocka does; tests/run.sh runs it. TESTS="one two" runs only these. Run it from the root of the repository. A handout
# is unpacked into a folder of its own, whose name has a blank. STEPS_BUILD says which build is tested.
set -u

build=${STEPS_BUILD:-build}
work=$(mktemp -d) || exit 1
here=$work/"hand out"
said=$work/said
trap 'rm -rf "$work"' EXIT
count=0 failed=0

# ---- telling --------------------------------------------------------------------------------------

tests=${TESTS:-"a_handout_holds_no_solutions a_handout_has_no_dead_links a_handout_of_some_chapters_holds_only_these
    a_chapter_that_is_not_there_is_one_line a_handout_builds_and_grades_by_itself
    a_handout_has_no_solution_to_show a_twist_is_the_same_for_the_same_seed a_neighbours_answer_is_red
    a_handout_for_one_student_asks_for_one_twist each_student_is_graded_by_his_seed the_clinic_gives_the_same_bug_to_the_same_name
    the_clinic_serves_until_its_bug_shows each_week_has_its_deck a_deck_needs_no_network
    the_box_hands_the_status_on the_box_can_be_written_in_one_folder_only the_box_stops_an_endless_loop
    the_box_stops_a_bomb the_box_bounds_what_is_printed the_box_bounds_memory the_box_leaves_nobody_behind
    the_box_hides_what_it_is_told_to the_box_has_a_fresh_folder_where_it_is_told_to loose_the_box_leaves_nobody_behind the_box_without_a_command_is_usage
    bad_answers_harm_no_other a_windows_program_is_not_taken_for_a_wrong_one
    a_folder_that_holds_the_course_is_not_graded"}

fail() {
    echo "# $*"
    return 1
}

# Why a test cannot run here, in words; nothing if it can.
why_not() {
    case $1 in
    a_deck*) command -v pandoc >/dev/null 2>&1 || echo "pandoc is missing (make setup installs it)" ;;
    *box* | bad_answers* | each_student*)
        [ -x "$build/tools/confine" ] || { echo "the box is for Linux" && return; }
        case $1 in loose*) return ;; esac
        "$build/tools/confine" true 2>&1 | grep '^confine: ' | head -n 1
        ;;
    esac
}

run_test() {
    count=$((count + 1))
    why=${skip_all:-$(why_not "$1")}
    if [ -n "$why" ]; then
        printf '# skip: %s: %s\nok %d - %s # SKIP\n' "$1" "$why" $count "$1"
    elif "$1"; then
        printf 'ok %d - %s\n' $count "$1"
    else
        sed 's/^/# /' "$said" | tail -n 15
        printf 'not ok %d - %s\n' $count "$1"
        failed=$((failed + 1))
    fi
}

expect() { # expect STATUS WORDS: of the last command, whose words stand in $said
    [ "$status" -eq "$1" ] || { fail "ended with $status, not $1"; return; }
    [ -z "$2" ] || grep -q -- "$2" "$said" || fail "did not say: $2"
}

run() {
    "$@" >"$said" 2>&1
    status=$?
}

# ---- the handout ----------------------------------------------------------------------------------

pack() { # pack CHAPTERS: unpacks what make handout has packed, into $here/NAME
    run python3 tools/handout.py "$1"
    archive=$(sed -n 's/^\(.*\.tar\.gz\): .*/\1/p' "$said")
    mkdir -p "$here"
    tar -xzf "$archive" -C "$here"
}

a_handout_holds_no_solutions() {
    pack "" && expect 0 "no solutions" || return
    find "$here/event-queues" \( -name 'solution*' -o -name 'looks_right*' -o -name 'teaching*' -o -name .git \) >"$said"
    [ ! -s "$said" ] || fail "these should not be in it" || return
    [ "$(find "$here/event-queues" -name start.c | wc -l)" -eq "$(find chapters -name start.c | wc -l)" ] ||
        fail "an exercise is missing" || return
    ! grep -n 'handout.py\|^clinic:' "$here/event-queues/Makefile" | grep -v '^[0-9]*:#' >"$said" || fail "its Makefile has targets for teachers"
}

a_handout_has_no_dead_links() {
    [ -d "$here/event-queues-01-02" ] || pack 01-02 || return
    for one in event-queues event-queues-01-02; do
        run python3 "$here/$one/tools/lint_pages.py" links
        [ "$status" -eq 0 ] || fail "$one" || return
    done
}

a_handout_of_some_chapters_holds_only_these() {
    pack 01-02 && expect 0 "2 chapters" || return
    (cd "$here/event-queues-01-02" && ls chapters) >"$said"
    [ "$(tr '\n' ' ' <"$said")" = "01_blocking 02_nonblocking " ] || fail "has other chapters"
}

a_chapter_that_is_not_there_is_one_line() {
    run python3 tools/handout.py 01-99
    expect 2 "CHAPTERS=01-99: give a range" && [ "$(wc -l <"$said")" -eq 1 ]
}

# What was built here is up to date there: the copies have the times of their sources. So this costs the
# exercise alone. The answer is the solution, which we have and students have not.
a_handout_builds_and_grades_by_itself() {
    cd "$here/event-queues-01-02" || return
    mkdir -p build && cp -Rp "$OLDPWD/$build/tests" build/tests && rm -f build/tests/grade
    run make -s exercise EX=01.1
    expect 0 "is yours now" || { cd "$OLDPWD" || exit; return 1; }
    cp "$OLDPWD"/chapters/01_blocking/exercises/ex1_*/solution.c mine/01.1_all_of_it.c
    run make -s exercise EX=01.1
    cd "$OLDPWD" || exit
    expect 0 "points: 10 of 10" && expect 0 "All of it holds"
}

a_handout_has_no_solution_to_show() {
    run env SOLUTION=1 HINT= sh "$here/event-queues-01-02/tools/exercise.sh" "do" build 01.1
    expect 2 "no solutions in a handout"
}

# ---- the twist ------------------------------------------------------------------------------------

seeds="ann ben cem"
twist() { sh tools/exercise.sh twist "$1" "$2"; }

exercises_with_a_twist() {
    grep -l '^twist ' chapters/*/exercises/*/rows | sed 's|chapters/\(..\)_[^/]*/exercises/ex\([0-9]*\)_.*|\1.\2|'
}

folder_of() { echo chapters/"${1%.*}"_*/exercises/ex"${1#*.}"_*; }

a_twist_is_the_same_for_the_same_seed() {
    for ex in $(exercises_with_a_twist); do
        for seed in a b c d e f g h i j; do twist "$ex" $seed; done | sort -u >"$said"
        [ "$(wc -l <"$said")" -ge 3 ] || fail "$ex: ten seeds, and so few twists" || return
        [ "$(twist "$ex" ann)" = "$(twist "$ex" ann)" ] && [ -z "$(twist "$ex" "")" ] || fail "$ex" || return
    done
    [ -z "$(twist 01.1 ann)" ] || fail "an exercise without a twist has one"
}

# The first seed after $2, in a circle, that has another twist in exercise $1.
neighbour_of() {
    for other in ${seeds#*"$2"} $seeds; do
        [ "$(twist "$1" "$other")" = "$(twist "$1" "$2")" ] || { echo "$other" && return; }
    done
}

solution_of() { # solution_of EX SEED: the program
    program=$work/$1.$2
    [ -x "$program" ] || {
        sh tools/exercise.sh twisted "$1" "$2" "$(folder_of "$1")/solution.c" >"$program.c"
        sh -c "$(CFLAGS=-O0 sh tools/exercise.sh command "$1" "'$program.c'" "'$program'")" >"$said" 2>&1 || return
    }
    echo "$program"
}

# The row of the twist, of the exercise with this number and folder, for the one answer.
row_of_twist() { # row_of_twist EX FOLDER TWIST PROGRAM
    run env TWIST="$3" "$build/tests/grade" --row "$(sed -n 's/^twist \([^ ]*\) .*/\1/p' "$2/rows")" "$2" "$1" "$4"
}

a_neighbours_answer_is_red() {
    for ex in $(exercises_with_a_twist); do
        sh tools/exercise.sh can_build "$ex" || continue
        for seed in $seeds; do
            row_of_twist "$ex" "$(folder_of "$ex")" "$(twist "$ex" "$seed")" "$(solution_of "$ex" "$seed")"
            expect 0 holds || fail "$ex: $seed's own answer" || return
            other=$(neighbour_of "$ex" "$seed")
            row_of_twist "$ex" "$(folder_of "$ex")" "$(twist "$ex" "$seed")" "$(solution_of "$ex" "$other")"
            expect 1 RED || fail "$ex: what $other did counts for $seed" || return
        done
    done
}

# Nobody has to say a seed there: no other choice is left.
a_handout_for_one_student_asks_for_one_twist() {
    run python3 tools/handout.py 02 ben
    expect 0 'event-queues-02-for-ben.tar.gz' || return
    there=$(echo build/handout/event-queues-02-for-ben/chapters/02_*/exercises/ex3_lines)
    limit=$(twist 02.3 ben)
    [ "$(grep '^twist' "$there/rows")" = "twist long_line_is_refused $limit" ] || fail "its rows" || return
    grep -q "at most $limit bytes" "$there/README.md" && grep -q "at most $limit bytes" "$there/start.c" &&
        ! grep -q '1,024' "$there/README.md" "$there/hint2.md" || fail "its pages" || return
    row_of_twist 02.3 "$there" "" "$(solution_of 02.3 ben)"
    expect 0 holds || return
    row_of_twist 02.3 "$there" "" "$(solution_of 02.3 cem)"
    expect 1 RED || return
    run python3 tools/handout.py 02 ../ben
    expect 2 'SEED=../ben: give a word'
}

# Both hand in ann's.
each_student_is_graded_by_his_seed() {
    mkdir -p "$work/class/ann" "$work/class/cem"
    program=$(solution_of 02.3 ann)
    cp "$program.c" "$work/class/ann/02.3_lines.c" && cp "$program.c" "$work/class/cem/02.3_lines.c"
    run env SEEDS=1 python3 tools/grade.py "$build" "$work/class"
    expect 0 '^ann  02.3  10 of 10' && expect 0 '^cem  02.3  8 of 10'
}

# ---- the clinic -----------------------------------------------------------------------------------

the_clinic_gives_the_same_bug_to_the_same_name() {
    run sh tools/clinic.sh --bug dora
    expect 0 '^[a-z0-9_]*$' || return
    [ "$(cat "$said")" = "$(sh tools/clinic.sh --bug dora)" ] || fail "another one" || return
    for name in a b c d e f g h; do sh tools/clinic.sh --bug $name; done | sort -u >"$said"
    [ "$(wc -l <"$said")" -ge 4 ] || fail "eight names, and so few bugs" || return
    run sh tools/clinic.sh ""
    expect 2 "Give a name"
}

# Looks for a name whose bug a quick row catches.
the_clinic_serves_until_its_bug_shows() {
    for name in a b c d e f g h i j k l m n o p q r s t u v w x y z; do
        [ "$(sh tools/clinic.sh --bug $name)" != dies_at_rst ] || break
    done
    run env BUILD="$build" "$build/tests/check" --row survives_rst --server "sh tools/clinic.sh $name"
    expect 1 "red" || return
    run env BUILD="$build" "$build/tests/check" --row stops_cleanly --server "sh tools/clinic.sh $name"
    expect 0 "holds"
}

# ---- the slides -----------------------------------------------------------------------------------

# The plan's row for week $1: its title, and the command for the projector.
# shellcheck disable=SC2016 # the backquotes are the page's
of_the_plan() {
    sed -n '/^## Twelve weeks/,/^The labs, and/s/^| '"$1"' | \([^|]*\) | `\([^`]*\)` |.*/\1\n\2/p' docs/teaching.md
}

each_week_has_its_deck() {
    parts="At the projector,The picture,In the code,What many believe,A question for the room,In the lab,"
    for week in 1 2 3 4 5 6 7 8 9 10 11 12; do
        deck=docs/slides/week$(printf %02d $week).md
        of_the_plan $week | tr '[:upper:]' '[:lower:]' >"$work/plan"
        { sed -n '1s/^# Week [0-9]*: //p' "$deck"; sed -n '/^```sh/{n;p;}' "$deck"; } |
            tr '[:upper:]' '[:lower:]' | diff "$work/plan" - >"$said" || fail "$deck differs from the plan" || return
        [ "$(sed -n 's/^## //p' "$deck" | tr '\n' ,)" = "$parts" ] || fail "$deck: its slides are others" || return
    done
}

a_deck_needs_no_network() {
    run sh tools/slides.sh 08
    expect 0 'open build/slides/week08.html' || return
    deck=build/slides/week08.html
    [ "$(grep -c '<section' $deck)" -eq 7 ] && grep -q 'src="data:image/svg' $deck || fail "its slides, its figure" || return
    ! grep -n 'src="[^d]\|<link\|@import' $deck >"$said" || fail "it loads something" || return
    run sh tools/slides.sh 13
    expect 2 'there is no week 13'
}

# ---- the box --------------------------------------------------------------------------------------

# in_box OPTION... COMMAND...: with a folder of its own. Skips what needs namespaces where there are none.
in_box() {
    mkdir -p "$work/box" && chmod 755 "$work" && chmod 777 "$work/box"
    run "$build/tools/confine" -f "$work/box" "$@"
}

# The longest of the waits below; nothing waits that long unless it is broken.
is_alive() {
    pgrep -f "^sleep $1\$" >/dev/null
}

the_box_hands_the_status_on() {
    in_box sh -c 'echo hello; exit 7'
    expect 7 '^hello$' || return
    in_box sh -c 'kill -9 $$'
    [ "$status" -eq 137 ] || fail "a signal became $status"
}

the_box_can_be_written_in_one_folder_only() {
    in_box sh -c "echo here >inside && ! (echo there >'$work/outside') && ! (echo x >/tmp/confine_test) && cat inside"
    expect 0 '^here$' || return
    for file in "$work/outside" /tmp/confine_test; do
        [ ! -e "$file" ] || fail "it has written $file" || return
    done
}

the_box_stops_an_endless_loop() {
    in_box -t 2 sh -c 'while :; do :; done'
    expect 124 'limit of time' || return
    in_box -c 1 -t 60 sh -c 'while :; do :; done'
    expect 124 'limit of cpu'
}

# Never more than twenty: the test must be harmless when the box is broken.
the_box_stops_a_bomb() {
    in_box -n 10 -t 20 sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 7171 & done; echo all; wait'
    [ "$status" -ne 0 ] && ! grep -q '^all$' "$said" || fail "it could start twenty" || return
    ! is_alive 7171 || fail "some of them are left"
}

the_box_bounds_what_is_printed() {
    in_box -o 4 sh -c 'while :; do echo flood; done'
    expect 124 'limit of output' || return
    [ "$(wc -c <"$said")" -lt 5000 ] || fail "it printed $(wc -c <"$said") bytes"
}

the_box_bounds_memory() {
    in_box -m 64 dd if=/dev/zero of=/dev/null bs=256M count=100
    expect 124 'limit of memory'
}

the_box_leaves_nobody_behind() {
    in_box sh -c 'setsid sleep 7272 & sleep 7272 & exit 0'
    expect 0 '' || return
    ! is_alive 7272 || fail "an orphan is left"
}

loose_the_box_leaves_nobody_behind() {
    in_box -l sh -c 'setsid sleep 7373 & (sleep 7373 &) ; exit 3'
    expect 3 '' || return
    ! is_alive 7373 || fail "an orphan is left"
}

the_box_without_a_command_is_usage() {
    in_box -t 5
    expect 2 'usage: confine'
}

the_box_hides_what_it_is_told_to() {
    mkdir -p "$work/secret" && echo secret >"$work/secret/file" && echo secret >"$work/single"
    in_box -x "$work/secret" -x "$work/single" sh -c "ls -A '$work/secret'; cat '$work/single' && echo nothing"
    expect 0 '^nothing$' || return
    ! grep -q secret "$said" || fail "it saw what was hidden"
}

the_box_has_a_fresh_folder_where_it_is_told_to() {
    mkdir -p "$work/fresh"
    echo old >"$work/fresh/old"
    in_box -e "$work/fresh" sh -c "ls '$work/fresh' && echo new >'$work/fresh/new' && cat '$work/fresh/new'"
    expect 0 '^new$' && ! grep -q old "$said" || fail "it saw what lies there outside" || return
    [ ! -e "$work/fresh/new" ] || fail "it wrote into what lies there outside"
}

# Bombs, thieves and killers, small ones; and among them answers that are right. make grade-rehearsal has more of them.
bad_answers_harm_no_other() {
    run python3 tools/grade_rehearsal.py "$build" 8
    expect 0 '^8 copies in .* 0 wrong$'
}

# It got no points, as if it were wrong: Wine found no place for its files in the box.
a_windows_program_is_not_taken_for_a_wrong_one() {
    mkdir -p "$work/submissions/ann" "$work/submissions/ben"
    cp chapters/06_iocp/exercises/ex2_false_is_an_answer/solution.c "$work/submissions/ann/06.2_false_is_an_answer.c"
    cp chapters/06_iocp/exercises/ex2_false_is_an_answer/looks_right.c "$work/submissions/ben/06.2_false_is_an_answer.c"
    run python3 tools/grade.py "$build" "$work/submissions"
    if sh chapters/06_iocp/wine.sh --check >/dev/null 2>&1 && ! pwd -P | grep -q '^/tmp/'; then
        expect 0 '^ann *10 *10$' && expect 0 '^ben *[0-9] *[0-9]$'
    else
        expect 0 '06.2  0 of 10  not graded: a Windows program' && expect 0 '^ann *? *0$'
    fi
}

a_folder_that_holds_the_course_is_not_graded() {
    run python3 tools/grade.py "$build" ..
    expect 2 'holds this course, too'
}

# ---- all ------------------------------------------------------------------------------------------

skip_all=
command -v python3 >/dev/null 2>&1 || skip_all="python3 is missing (make setup installs it)"
case $build in
*san-*) skip_all="it tests scripts, which no sanitizer sees: see the other builds" ;;
esac
echo "1..$(echo "$tests" | wc -w)"
for one in $tests; do run_test "$one"; done
[ $failed -eq 0 ] || { echo "# not ok - teaching" && exit 1; }
echo "# ok - teaching"
