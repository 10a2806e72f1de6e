#!/bin/sh
# find: from the short names that people type to the files of this repository.
#
#   find.sh chapter CH          01            ->  chapters/01_blocking
#   find.sh number CH           1             ->  01
#   find.sh step CH STEP        01 2          ->  chapters/01_blocking/step2_thread_per_client.c
#   find.sh before CH STEP      02 1          ->  the step before it, nothing for the very first one
#   find.sh program BUILD CH STEP             ->  its program in the build folder BUILD, built or not
#   find.sh lab CH/NAME         01/threads    ->  chapters/01_blocking/labs/threads.c
#   find.sh row ROW             survives_rst  ->  survives_rst
#   find.sh steps | labs | rows               ->  all of them, in reading order
#
# A name that does not exist is one line on stderr that lists what does, and status 2.

set -eu
cd "$(dirname "$0")/.."

die() {
    echo "$*" >&2
    exit 2
}

# The lines of stdin as one: "01, 02".
in_a_row() {
    awk '{ printf "%s%s", comma, $0; comma = ", " } END { print "" }'
}

chapters() {
    for makefile in chapters/*/Makefile; do
        [ ! -f "$makefile" ] || echo "${makefile%/Makefile}"
    done
}

chapter_number() {
    name=${1##*/}
    echo "${name%%_*}"
}

chapter() {
    for folder in $(chapters); do
        number=$(chapter_number "$folder")
        case $1 in
        "$number" | "${number#0}" | "${folder#chapters/}") echo "$folder" && return ;;
        esac
    done
    [ -n "$1" ] || die "CH is not given. The chapters are: $(numbers | in_a_row)"
    die "CH=$1: there is no such chapter. There are: $(numbers | in_a_row)"
}

numbers() {
    for folder in $(chapters); do chapter_number "$folder"; done
}

# Chapter 07 has its steps in mini/.
steps_of() {
    for source in "$1"/step[0-9]*_*.c "$1"/mini/step[0-9]*_*.c; do
        [ ! -f "$source" ] || echo "$source"
    done
}

step_names_of() {
    steps_of "$1" | sed 's|.*/step\([0-9]*\)_\(.*\)\.c|\1 (\2)|' | in_a_row
}

step() {
    folder=$(chapter "$1")
    for source in "$folder"/step"$2"_*.c "$folder"/mini/step"$2"_*.c; do
        case $2 in *[!0-9]* | '') break ;; esac
        [ -f "$source" ] && echo "$source" && return
    done
    number=$(chapter_number "$folder")
    [ -n "$2" ] || die "STEP is not given. Chapter $number has: $(step_names_of "$folder")"
    die "STEP=$2: chapter $number has no such step. It has: $(step_names_of "$folder")"
}

steps() {
    for folder in $(chapters); do steps_of "$folder"; done
}

# A server with a protocol of its own is a side road: the next chapter goes on from the echo server
# before it.
# A step whose essay says "It grows out of step N" is compared with that one of its chapter, or with
# one of another chapter: "It grows out of chapter NN, step N".
# And a step that is one of an earlier chapter again, byte for byte, is compared with that.
before() {
    this=$(step "$1" "$2")
    for source in $(steps); do
        [ "$source" != "$this" ] || break
        cmp -s "$source" "$this" && echo "$source" && return
    done
    origin=$(sed -n -e "s/.*It grows out of step \([0-9]\).*/$1 \1/p" \
        -e 's/.*It grows out of chapter \([0-9]*\), step \([0-9]\).*/\1 \2/p' "$this" | head -n 1)
    [ -z "$origin" ] || { step "${origin% *}" "${origin#* }" && return; }
    last=
    for source in $(steps); do
        [ "$source" != "$this" ] || break
        case $source in
        *_lines.c) [ "${source%/*}" != "${this%/*}" ] || last=$source ;;
        *) last=$source ;;
        esac
    done
    echo "$last"
}

# Chapter 07's mini may be several programs, one for each queue: then the first that this system has.
program() {
    build=$1 source=$(step "$2" "$3")
    folder=${source%/*} name=${source##*/}
    name=${name%.c}
    case $folder in
    */mini)
        name=mini/$name folder=${folder%/mini}
        for queue in epoll kqueue; do
            other=$folder/$build/${name%%_*}_$queue
            [ -e "$folder/$build/$name" ] || [ ! -e "$other" ] || { echo "$other" && return; }
        done
        ;;
    esac
    if [ -e "$folder/$build/$name.exe" ] && [ ! -e "$folder/$build/$name" ]; then name=$name.exe; fi
    echo "$folder/$build/$name"
}

labs() {
    for folder in $(chapters); do
        for source in "$folder"/labs/*.c; do
            [ ! -f "$source" ] || echo "$source"
        done
    done
}

lab_names() {
    labs | sed 's|chapters/\([0-9]*\)_[^/]*/labs/\(.*\)\.c|\1/\2|' | in_a_row
}

lab() {
    case $1 in
    ?*/?*)
        for source in $(labs); do
            number=$(chapter_number "${source%/labs/*}")
            name=${source##*/}
            case $1 in
            "$number/${name%.c}" | "${number#0}/${name%.c}") echo "$source" && return ;;
            esac
        done
        ;;
    '') die "L is not given. The labs are: $(lab_names)" ;;
    esac
    die "L=$1: there is no such lab. There are: $(lab_names)"
}

# The rows stand in one table: the first string of each entry.
rows() {
    sed -n '/contract_rows\[\] = {/,/^};/s/^    {"\([a-z0-9_]*\)",.*/\1/p' tests/contract/contract.c
}

row() {
    rows | grep -x -e "$1" || die "ROW=$1: there is no such row. There are: $(rows | in_a_row)"
}

case ${1-} in
chapter) chapter "${2-}" ;;
number) folder=$(chapter "${2-}") && chapter_number "$folder" ;;
step) step "${2-}" "${3-}" ;;
before) before "${2-}" "${3-}" ;;
program) program "${2-}" "${3-}" "${4-}" ;;
lab) lab "${2-}" ;;
steps) steps ;;
labs) labs ;;
row) row "${2-}" ;;
rows) rows ;;
*) die "find.sh: say chapter, number, step, before, program, lab, row, steps, labs or rows" ;;
esac
