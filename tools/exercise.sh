#!/bin/sh
# exercise: graded exercises: a learner's copy in mine/, the grader's answer in words.
#
#   exercise.sh list                        all exercises and how far the learner is  (make exercises)
#   exercise.sh do BUILD EX                 grade the copy; the first time, make it   (make exercise EX=01.1)
#   exercise.sh programs BUILD [CFLAGS [EX]]    build the three programs of each exercise, for the tests
#   exercise.sh can_build EX                can it be built here? (status)
#   exercise.sh build EX SOURCE PROGRAM     build SOURCE, in all the ways in which it is graded
#   exercise.sh twist EX SEED               print what SEED chooses for it, if it has a twist
#   exercise.sh twisted EX SEED FILE        print FILE of that exercise as the student with SEED has it
#   exercise.sh command EX SOURCE PROGRAM   print the one command that builds SOURCE
#
# SEED=ann: some exercises have a twist, a word or a number that each student gets anew. The same seed gets the same, on
# every machine; without a seed it is what stands in the files.
#
# HINT=1 or HINT=2 shows a hint instead of grading, SOLUTION=1 the solution. The copy is one file,
# mine/01.1_all_of_it.c; what was reached stands in mine/.progress/01.1 ("6 10": 6 of 10 points).
# BUILD is the folder with tests/grade; an exercise's programs go to BUILD/exercises/01.1/.
#
# A Windows program ("links windows" in rows) is built by mingw-w64, or by MSYS2's own compiler. It lies as
# NAME.exe beside a script NAME that runs it, so whoever starts NAME need not know what it is.

set -eu
cd "$(dirname "$0")/.."

CC=${CC:-cc}
CFLAGS=${CFLAGS:--O2 -g}

die() {
    echo "$*" >&2
    exit 2
}

# ---- which exercises there are -------------------------------------------------------------------

# chapters/01_blocking/exercises/ex1_all_of_it ...
folders() {
    for rows in chapters/*/exercises/ex[0-9]*_*/rows; do
        [ ! -f "$rows" ] || echo "${rows%/rows}"
    done
}

# The number of the exercise in folder $1: 01.1
number_of() {
    chapter=${1#chapters/} exercise=${1##*/ex}
    echo "${chapter%%_*}.${exercise%%_*}"
}

title_of() {
    sed -n 's/^title //p' "$1/rows"
}

# The folder of exercise $1, or one line that lists what there is.
folder_of() {
    for folder in $(folders); do
        number=$(number_of "$folder")
        case $1 in "$number" | "${number#0}") echo "$folder" && return ;; esac
    done
    all=$(for folder in $(folders); do number_of "$folder"; done | awk '{ printf "%s%s", comma, $0; comma = ", " }')
    [ -n "$1" ] || die "EX is not given. The exercises are: $all"
    die "EX=$1: there is no such exercise. There are: $all"
}

# The learner's file for the exercise in folder $1.
mine_of() {
    echo "mine/$(number_of "$1")_$(echo "${1##*/}" | sed 's/^ex[0-9]*_//').c"
}

points_of() {
    awk '$1 ~ /^(row|tsan|asan|counted)$/ { sum += $3 } END { print sum + 0 }' "$1/rows"
}

# ---- the twist -----------------------------------------------------------------------------------

# choices_of FOLDER: one a line, the first one is what stands in the files.
choices_of() {
    sed -n 's/^twist [^ ]* //p' "$1/rows" | tr ' ' '\n'
}

# twist_of FOLDER SEED: what the seed chooses; nothing without a seed or a twist. cksum is the same everywhere (POSIX).
twist_of() {
    choices=$(choices_of "$1")
    [ -n "$2" ] && [ -n "$choices" ] || return 0
    count=$(echo "$choices" | wc -l)
    number=$(printf %s "$2 $(number_of "$1")" | cksum | awk -v count="$count" '{ print $1 % count + 1 }')
    echo "$choices" | sed -n "${number}p"
}

# twisted FOLDER TWIST FILE
twisted() {
    if [ -n "$2" ]; then
        awk -v from="$(choices_of "$1" | head -n 1)" -v to="$2" -f tools/twist.awk "$1/rows" "$3"
    else
        cat "$3"
    fi
}

# show FILE: what is shown and copied is what this student has to do.
show() {
    twisted "${1%/*}" "$TWIST" "$1"
}

# ---- building ------------------------------------------------------------------------------------

# Programs are built in up to four ways: plainly (""), with a sanitizer (tsan, asan), and so that their
# calls are counted or watched on their way to the kernel (counted: the linker's --wrap). What they share is compiled
# once for each way, into BUILD; where BUILD is not set, sources stand in the command instead.
BUILD=""
emulation=chapters/05_kqueue/linux
evq=chapters/07_crossplatform/evq
wine=chapters/06_iocp/wine.sh

flags_for() {
    case $1 in
    tsan) echo "-fsanitize=thread" ;;
    asan) echo "-fsanitize=address" ;;
    counted) echo "-U_FORTIFY_SOURCE" ;;
    esac
}

is_for_windows() {
    grep -q '^links windows$' "$1/rows"
}

# mingw-w64: $CC itself under MSYS2, else the cross compiler. It has no sanitizers.
windows_cc() {
    case $($CC -dumpmachine 2>/dev/null) in
    *mingw* | *-windows-*) echo "$CC" ;;
    *) echo x86_64-w64-mingw32-gcc ;;
    esac
}

without_sanitizers() {
    for flag in $CFLAGS; do case $flag in -f*) ;; *) printf '%s ' "$flag" ;; esac done
}

# Watched: a function that is part of its caller, or takes its place, would have no stack of its own.
windows_flags_for() {
    [ "$1" != counted ] || echo "-fno-inline -fno-optimize-sibling-calls"
}

# The compiler for the exercise in folder $1, built in way $2.
compiler_for() {
    home=${1%/exercises/*}
    if is_for_windows "$1"; then
        echo "$(windows_cc) -std=c11 -D_WIN32_WINNT=0x0601 -DWIN32_LEAN_AND_MEAN -Wall -Wextra -Wpedantic -Wshadow" \
            "-Wconversion $(without_sanitizers) $(windows_flags_for "$2") -I$home/carried -I$home/windows"
        return
    fi
    echo "$CC -std=c11 -D_GNU_SOURCE -D_NETBSD_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion" \
        "$CFLAGS $(flags_for "$2") -pthread -I$home -I$home/carried $(includes_of "$1")"
}

# A chapter may bring a library that its programs are linked with: "links kqueue" or "links evq" in rows.
# "links evq_suite": with evq, and with the test suite of evq, which is then the program's main().
links_of() {
    echo "$(sed -n 's/^links //p' "$1/rows"):$(uname -s)"
}

includes_of() {
    case $(links_of "$1") in
    kqueue:Linux) echo "-I$emulation" ;;
    evq:*) echo "-I$evq/include -I$evq/../examples $(backends_of "$1")" ;;
    evq_suite:*) echo "-I$evq/include -I$evq/src -Itests -Itests/harness -Itests/evq $(cmocka cflags)" ;;
    esac
}

# On Linux evq gets one more backend, for trying out: kqueue, over the emulation of chapter 05.
backends_of() {
    case $(links_of "$1") in evq:Linux) [ -d $emulation ] || return 0 ;; *) return 0 ;; esac
    echo "-I$emulation -DEVQ_WITH_KQUEUE $(! has_uring || echo -DEVQ_WITH_URING)"
}

has_uring() {
    echo '#include <liburing.h>' | $CC -E -xc - >/dev/null 2>&1
}

cmocka() {
    pkg-config "--$1" cmocka 2>/dev/null || { [ "$1" = cflags ] || echo -lcmocka; }
}

# The library of chapter 07, as that chapter builds it, and what it needs beside it.
library_of() {
    case $(links_of "$1") in
    evq:* | evq_suite:*) ;;
    windows:*) echo "-static -lws2_32" && return ;;
    *) return 0 ;;
    esac
    echo "chapters/07_crossplatform/${BUILD:-build}/libevq.a"
    ! has_uring || echo "-luring"
    case $(links_of "$1") in evq_suite:*) cmocka libs ;; esac
}

build_library() {
    case $(links_of "$1") in evq:* | evq_suite:*) ;; *) return 0 ;; esac
    ${MAKE:-make} -s -C chapters/07_crossplatform lib BUILD="$BUILD" CFLAGS="$CFLAGS" CC="$CC"
}

# The files of the chapter that the exercise in folder $1 is built with.
used_by() {
    home=${1%/exercises/*}
    # shellcheck disable=SC2013 # words without blanks
    for name in $(sed -n 's/^uses //p' "$1/rows"); do
        for source in "$home/$name.c" "$home/windows/$name.c" "$home/carried/$name.c"; do
            [ ! -f "$source" ] || { echo "$source" && break; }
        done
    done
    case $(links_of "$1") in
    kqueue:Linux) ls $emulation/*.c ;;
    evq:Linux) [ ! -d $emulation ] || ls $evq/src/evq_backends.c $evq/src/evq_kqueue.c $emulation/*.c ;;
    evq_suite:*) printf "%s\n" tests/exercises/suite/*.c tests/evq/*.c tests/harness/clock.c | grep -v _windows ;;
    esac
}

headers_of() {
    for source in $(used_by "$1"); do headers_beside "$source"; done | sort -u
}

headers_beside() {
    for header in "${1%/*}"/*.h; do [ ! -e "$header" ] || echo "$header"; done
}

# chapters/05_kqueue/kq.c, way $2: BUILD/exercises/parts/chapters_05_kqueue_kq.o
part_of() {
    echo "$BUILD/exercises/parts$2/$(echo "${1%c}o" | tr / _)"
}

# What is shared in way $2, as far as it has changed since the stamp.
build_parts() {
    stamp=$BUILD/exercises/parts$2/made_for_$(number_of "$1")
    # shellcheck disable=SC2046 # names without blanks
    [ ! -e "$stamp" ] || [ -n "$(find $(used_by "$1") $(headers_of "$1") "$1/rows" -newer "$stamp")" ] || return 0
    mkdir -p "$BUILD/exercises/parts$2"
    for source in $(used_by "$1"); do
        part=$(part_of "$source" "$2")
        # shellcheck disable=SC2046 # names without blanks
        [ ! -e "$part" ] || [ -n "$(find "$source" $(headers_beside "$source") -newer "$part")" ] || continue
        sh -c "$(compiler_for "$1" "$2") -c -o $part $source" || return 1
    done
    echo >"$stamp"
}

parts_of() {
    for source in $(used_by "$1"); do
        if [ -n "$BUILD" ]; then part_of "$source" "$2"; else echo "$source"; fi
    done
}

# The command that builds source $2 of the exercise in folder $1 as program $3, in way $4.
command_for() {
    # shellcheck disable=SC2046 # names without blanks
    echo "$(compiler_for "$1" "$4")" -o "$3" "$2" $([ "$4" != counted ] || counting "$1") $(parts_of "$1" "$4") $(library_of "$1")
}

counter_of() {
    case $(links_of "$1") in
    kqueue:*) echo tests/exercises/counted/count_kevent.c ;;
    windows:*) echo tests/exercises/counted/watch_windows.c ;;
    *) echo tests/exercises/counted/count_calls.c ;;
    esac
}

# The counter, and the calls that the linker gives to it.
counting() {
    counter=$(counter_of "$1")
    echo "$counter"
    sed -n 's/^[a-z_]* __real_\([a-z]*\)(.*$/\1/p; s/^COUNTED([A-Z_]*, [a-z_]*, \([a-z_]*\),.*/\1/p
        s/^extern .* \*__real_\(__imp_[A-Za-z]*\);$/\1/p' "$counter" |
        sed 's/^/-Wl,--wrap=/'
}

# The ways beside the plain one that the rows of the exercise in folder $1 ask for. A build with
# sanitizers needs no second one with another.
ways_of() {
    for way in tsan asan counted; do
        ! grep -q "^$way " "$1/rows" || case $way:$CFLAGS in *san:*-fsanitize*) ;; *) echo $way ;; esac
    done
}

# What start, looks_right, solution and the learner's file have in common. Where the compiler does not
# know one of the ways, its rows skip.
build_shared() {
    build_library "$1"
    build_parts "$1" ""
    for way in $(ways_of "$1"); do
        build_parts "$1" "$way" 2>/dev/null || :
    done
}

# Program $3.exe of the exercise in folder $1, in way $4, and $3, which runs it from the root of the repository.
build_for_windows() {
    sh -c "$(command_for "$1" "$2" "$3.exe" "$4")" || return 1
    # shellcheck disable=SC2016 # the script expands it
    printf '#!/bin/sh\nexec sh %s "$0.exe" "$@"\n' "$wine" >"$3.new"
    chmod +x "$3.new"
    mv "$3.new" "$3"
}

# The plain one gets its name last: if that is there, the others have been made, too.
build_program() {
    if is_for_windows "$1"; then
        rm -f "$3" "$3.counted"
        [ -z "$(ways_of "$1")" ] || build_for_windows "$1" "$2" "$3.counted" counted 2>/dev/null || :
        build_for_windows "$1" "$2" "$3" ""
        return
    fi
    rm -f "$3" "$3.tsan" "$3.asan" "$3.counted"
    sh -c "$(command_for "$1" "$2" "$3.new" "")" || return 1
    for way in $(ways_of "$1"); do
        sh -c "$(command_for "$1" "$2" "$3.$way" "$way")" 2>/dev/null || :
    done
    mv "$3.new" "$3"
}

# Can the exercise in folder $1 be built here? Some are about a call that only some systems have.
can_build() {
    header=$(sed -n 's/^needs //p' "$1/rows")
    compiler=$CC
    ! is_for_windows "$1" || compiler=$(windows_cc)
    # shellcheck disable=SC2046 # one word, or none
    [ -z "$header" ] || echo "#include <$header>" | $compiler -E $(includes_of "$1") -xc - >/dev/null 2>&1
}

# Ends, in one line, where the exercise in folder $1 cannot be built and run. Makes Wine ready where it runs it.
must_run_here() {
    if ! is_for_windows "$1"; then
        can_build "$1" || die "This exercise needs $header, which this system does not have. \
The README of the chapter says where it runs."
        return
    fi
    can_build "$1" || die "skipped: this exercise is a Windows program; mingw-w64, which builds it, is not here (make setup)"
    sh $wine --check >/dev/null 2>&1 ||
        die "skipped: this exercise is a Windows program; Wine, which runs it, is not here (make setup)"
    sh $wine --start
}

# For the tests: start, looks_right and solution of each exercise; only what has changed.
programs() {
    BUILD=$1
    for folder in ${2:-$(folders)}; do
        can_build "$folder" || continue
        out=$1/exercises/$(number_of "$folder")
        mkdir -p "$out"
        build_shared "$folder"
        for name in start looks_right solution; do
            program=$out/$name source=$folder/$name.c
            [ -f "$source" ] || continue # a handout for students has start.c only
            # shellcheck disable=SC2046 # names without blanks
            [ ! -e "$program" ] || [ -n "$(find "$source" "$folder/rows" "$(counter_of "$folder")" $(used_by "$folder") -newer "$program")" ] || continue
            echo "CC $source"
            build_program "$folder" "$source" "$program"
        done
    done
}

# ---- the learner ---------------------------------------------------------------------------------

list() {
    for folder in $(folders); do
        number=$(number_of "$folder")
        state="not begun"
        [ ! -f "$(mine_of "$folder")" ] || state="begun"
        if [ -f "mine/.progress/$number" ]; then
            read -r reached all <"mine/.progress/$number"
            state="$reached of $all points"
            [ "$reached" != "$all" ] || state="done, $state"
        fi
        printf '%s  %-28s %2d points  %s\n' "$number" "$(title_of "$folder")" "$(points_of "$folder")" "$state"
    done
    echo
    echo "make exercise EX=01.1 begins one, and grades it. HINT=1, HINT=2 and SOLUTION=1 help."
}

# The first time: the learner's copy, and the task.
begin() {
    mkdir -p mine
    show "$1/start.c" >"$2"
    show "$1/README.md"
    echo
    echo "$2 is yours now: change it. Then \`make exercise EX=$3\` tells how it does."
}

explain_success() {
    echo
    # A handout for students has neither solutions nor their pages (tools/handout.py).
    [ -f "$1/looks_right.md" ] || { echo "All of it holds. \`make exercises\` lists what there is to do next." && return; }
    echo "All of it holds. Here is why the obvious answer does not:"
    echo
    show "$1/looks_right.md"
    echo
    echo "Compare your file with $1/solution.c. \`make exercises\` lists what there is to do next."
}

# Grades the learner's file $2 of exercise $3 in folder $1. Programs are in folder $4.
grade() {
    program=$4/exercises/$3/mine BUILD=$4
    mkdir -p "$4/exercises/$3" mine/.progress
    must_run_here "$1"
    echo "CC $2"
    build_shared "$1"
    build_program "$1" "$2" "$program" || die "It does not compile yet. The first error above is the one to mend."
    said=$4/exercises/$3/said
    { "$4/tests/grade" "$1" "$3" "$program" || echo "status $?"; } | tee "$said.all" | grep -v '^status '
    sed -n 's/^points: \([0-9]*\) of \([0-9]*\)$/\1 \2/p' "$said.all" >"mine/.progress/$3"
    ! grep -q '^status ' "$said.all" || return 1
    explain_success "$1"
}

do_exercise() {
    folder=$(folder_of "$2")
    number=$(number_of "$folder")
    mine=$(mine_of "$folder")
    TWIST=$(twist_of "$folder" "${SEED-}")
    export TWIST # tests/grade asks for it
    case ${HINT-}:${SOLUTION-} in
    1: | 2: | 1:0 | 2:0) show "$folder/hint$HINT.md" ;;
    : | :0)
        if [ -f "$mine" ]; then grade "$folder" "$mine" "$number" "$1"; else begin "$folder" "$mine" "$number"; fi
        ;;
    :1) [ -f "$folder/solution.c" ] || die "There are no solutions in a handout: ask your teacher, or HINT=2."
        show "$folder/solution.c" ;;
    *) die "HINT is 1 or 2, SOLUTION is 1, and only one of them is given" ;;
    esac
}

case ${1-} in
list) list ;;
do) do_exercise "$2" "${3-}" ;;
programs)
    [ $# -lt 3 ] || CFLAGS=$3
    only=""
    [ $# -lt 4 ] || only=$(folder_of "$4")
    programs "$2" "$only"
    ;;
twist) folder=$(folder_of "${2-}") && twist_of "$folder" "${3-}" ;;
twisted) folder=$(folder_of "${2-}") && twisted "$folder" "$(twist_of "$folder" "$3")" "$4" ;;
can_build) folder=$(folder_of "${2-}") && can_build "$folder" ;;
command) folder=$(folder_of "${2-}") && command_for "$folder" "$3" "$4" "" ;;
build)
    folder=$(folder_of "${2-}")
    BUILD="" # from the sources alone: whoever builds here may write nowhere else
    build_program "$folder" "$3" "$4"
    ;;
*) die "exercise.sh: say list, do, programs, twist, twisted, can_build, build or command" ;;
esac
