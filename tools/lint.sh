#!/bin/sh
# lint: is the house in order? Behaviour is not judged here (make test), only drift and form.
#
#   lint.sh                  all checks (make lint); PAGES=0 leaves out the commands of the pages
#   lint.sh CHECK...         only these: lint.sh format links
#
# Each check is one line, ok, FAIL or skip, in words; what it found stands below, and the line says
# what to do. All of them run; the status is 1 when one has failed. A tool that is missing is named
# with the command that installs it, and its check is skipped.

set -u
cd "$(dirname "$0")/.." || exit 1
export PYTHONDONTWRITEBYTECODE=1

CHECKS="format carried code_in_pages links parts targets shape spelling shell zoo headers windows_headers analysis windows_analysis cppcheck fanalyzer tools pages"

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=0
passed=0
skipped=0

# ---- how a check tells --------------------------------------------------------------------------

# check NAME CURE COMMAND...: runs it; when its status is not 0, shows what it said.
check() {
    name=$1 cure=$2
    shift 2
    if "$@" >"$scratch/said" 2>&1; then
        printf 'ok    %s\n' "$name"
        passed=$((passed + 1))
    else
        printf 'FAIL  %s: %s\n' "$name" "$cure"
        show "$scratch/said"
        failed=$((failed + 1))
    fi
}

# Shows what was found; not more than a screen of it when all checks run.
show() {
    sed "s/^/      /; ${most}q" "$1"
    lines=$(wc -l <"$1")
    [ "$lines" -le "$most" ] || printf '      ... %d lines in all: sh tools/lint.sh %s\n' "$lines" "$name"
}

skip() {
    printf 'skip  %s: %s\n' "$1" "$2"
    skipped=$((skipped + 1))
}

# needs NAME TOOL: true when it is here; else the check is skipped, in words.
needs() {
    said=$(sh tools/need.sh "$2" 2>&1) && return 0
    skip "$1" "$said"
    return 1
}

# ---- what belongs to the project ----------------------------------------------------------------

# Names the project's files, as pagelib.own_files() does: git's list, or a walk outside of git.
own_files() {
    if [ "$(git rev-parse --show-prefix 2>/dev/null || echo none)" = "" ]; then
        git ls-files -co --exclude-standard
    else
        find . \( -name .git -o -name build -o -name mine \) -prune -o \
            -type f ! -name compile_commands.json -print | sed 's|^\./||'
    fi | sort | while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done
}

own_files >"$scratch/files"

# each PATTERN COMMAND...: calls the command once, with all files whose names match the grep pattern.
# The project's own names have no blanks; the folder that it lies in may have some.
each() {
    pattern=$1
    shift
    # shellcheck disable=SC2046 # split into names on purpose
    "$@" $(grep -E "$pattern" "$scratch/files")
}

# ---- the checks ---------------------------------------------------------------------------------

# clang-format tells each place; the files are enough.
unformatted() {
    each '\.[ch]$' clang-format --dry-run -Werror 2>"$scratch/places" && return
    grep -E ' (error|warning): ' "$scratch/places" | cut -d: -f1 | sort | uniq -c |
        awk '{ print $2 ": " $1 " places" }'
    return 1
}

check_format() {
    needs format clang-format || return
    check format "run: make format" unformatted
}

check_carried() {
    check carried "run: make carry" sh tools/carry.sh --check
}

check_code_in_pages() {
    needs code_in_pages python3 || return
    check code_in_pages "run: make weave" python3 tools/weave.py --check
}

check_links() {
    needs links python3 || return
    check links "mend the links" python3 tools/lint_pages.py links
}

check_parts() {
    needs parts python3 || return
    check parts "add what is missing (CONTRIBUTING.md tells what a page has)" \
        python3 tools/lint_pages.py parts
}

check_targets() {
    needs targets python3 || return
    check targets "name targets that \`make help\` lists" python3 tools/lint_pages.py targets
}

check_shape() {
    needs shape python3 || return
    check shape "split, shorten or tidy what is named" python3 tools/lint_source.py
}

check_spelling() {
    needs spelling codespell || return
    check spelling "mend it, or add the word to docs/words.txt" \
        each '\.(md|c|h|sh|py|yml|svg|txt)$|Makefile$|^\.ci/run$' codespell --ignore-words docs/words.txt
}

check_shell() {
    needs shell shellcheck || return
    check shell "mend what shellcheck names" each '\.sh$|^\.ci/run$' shellcheck
}

# Applies, and nothing more: whether the tests still notice is for `make zoo` to say, in minutes.
check_zoo() {
    needs zoo patch || return
    check zoo "look at the bug again, and make its patch anew (tests/zoo/README.md tells how)" \
        sh tools/zoo.sh --check
}

# Where the file $1 finds its headers: those of its chapter, and of the library that it tests or uses.
folders_of() {
    case $1 in
    tests/evq*/*) chapter=$evq ;;
    *) chapter=$(echo "$1" | sed -n 's|^\(chapters/[^/]*\)/.*|\1|p') ;;
    esac
    [ -n "$chapter" ] || return 0
    echo "-I$chapter -I$chapter/carried -I$chapter/windows $(queue_of "$chapter")"
    [ "$chapter" != $evq ] || echo "-I$evq/evq/include -I$evq/evq/src -I$evq/examples -Itests -Itests/evq $(queue_of chapters/05_kqueue)"
}
evq=chapters/07_crossplatform

# A chapter whose queue Linux does not have brings one along, in linux/. Elsewhere it is the system's.
queue_of() {
    [ ! -d "$1/linux" ] || [ "$(uname -s)" != Linux ] || echo "-isystem $1/linux"
}

# A chapter with Windows programs has windows/. For Windows are what lies there, the labs, and the steps and
# exercises that include the system's headers or one of those. In the library's chapter and its tests the names
# say it, and the first line of a header of Windows in what was carried.
is_for_windows() {
    case $1 in
    *_windows.[ch] | */evq_iocp.c) return 0 ;;
    "$evq"/labs/* | "$evq"/carried/*) grep -q -e '^#include <winsock2.h>' -e '^#include "iocp_lab.h"' "$1"; return ;;
    esac
    home=${1%/*} home=${home%/labs} home=${home%/windows} home=${home%%/exercises/*}
    [ -d "$home/windows" ] || return 1
    case $1 in */windows/* | */labs/*) return 0 ;; esac
    # shellcheck disable=SC2013 # words without blanks
    for header in $(sed -n 's/^#include ["<]\(.*\)[">]$/\1/p' "$1"); do
        [ "$header" != winsock2.h ] && [ ! -f "$home/windows/$header" ] || return 0
    done
    return 1
}

# What is for another system than this one, and is compiled there alone.
is_for_elsewhere() {
    case $1 in
    */evq_calls_darwin.c) [ "$(uname -s)" != Darwin ] ;;
    */evq_epoll.c | */evq_uring.c) [ "$(uname -s)" != Linux ] ;;
    *) false ;;
    esac
}

# The files that are named on stdin: those for Windows, or with "others" the others.
for_windows() {
    while IFS= read -r file; do
        if is_for_elsewhere "$file"; then :
        elif is_for_windows "$file"; then [ "${1-}" = others ] || echo "$file"
        else [ "${1-}" != others ] || echo "$file"
        fi
    done
}

# A header stands alone in C11, and in C++17 for those who call it from there. What lies in tests/
# itself belongs to one test program and may rely on it.
headers_alone() {
    status=0
    grep '\.h$' "$scratch/files" | grep -v '^tests/[^/]*$' | for_windows others >"$scratch/headers"
    while IFS= read -r header; do
        include=$(folders_of "$header") shadow=-Wshadow
        [ -n "$include" ] || include=$(for chapter in chapters/*; do queue_of "$chapter"; done)
        # A struct kevent and a kevent(): that is how every kqueue is. C++ takes the first for hidden.
        case $header in */linux/*) shadow= ;; esac
        for compiler in $compilers; do
            for language in "c -std=c11" "c++ -std=c++17"; do
                # Private to a library or a test in C: atomics are other types in C++.
                case $header:$language in
                "$evq"/evq/src/*:c++* | tests/chapter_faults/*:c++* | tests/exercises/count*:c++*) continue ;;
                esac
                # shellcheck disable=SC2086 # words without blanks
                printf '#include "%s"\n' "$header" |
                    "$compiler" -x $language -D_GNU_SOURCE -D_NETBSD_SOURCE -I. -Itests -Itests/harness \
                        $include -fsyntax-only \
                        -Wall -Wextra -Wpedantic $shadow -Werror - || {
                    echo "$header does not compile alone: $compiler -x $language"
                    status=1
                }
            done
        done
    done <"$scratch/headers"
    return $status
}

check_headers() {
    compilers=
    for compiler in gcc clang; do
        ! command -v "$compiler" >/dev/null 2>&1 || compilers="$compilers $compiler"
    done
    [ -n "$compilers" ] || { skip headers "neither gcc nor clang is here" && return; }
    check headers "include what the header uses" headers_alone
}

# The same for Windows, and for evq.h, which is for all: mingw-w64's compilers, C++ where it is here.
windows_headers_alone() {
    status=0
    { grep '\.h$' "$scratch/files" | for_windows && echo $evq/evq/include/evq.h; } >"$scratch/headers"
    while IFS= read -r header; do
        for language in "gcc -x c -std=c11" "g++ -x c++ -std=c++17"; do
            case $header:$language in tests/chapter_faults/*:g++*) continue ;; esac # as above
            command -v "x86_64-w64-mingw32-${language%% *}" >/dev/null 2>&1 || continue
            # shellcheck disable=SC2046,SC2086 # words without blanks
            printf '#include "%s"\n' "$header" |
                x86_64-w64-mingw32-$language -D_WIN32_WINNT=0x0601 -DWIN32_LEAN_AND_MEAN -I. $(folders_of "$header") \
                    -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror - || {
                echo "$header does not compile alone: x86_64-w64-mingw32-$language"
                status=1
            }
        done
    done <"$scratch/headers"
    return $status
}

check_windows_headers() {
    needs windows_headers x86_64-w64-mingw32-gcc || return
    check windows_headers "include what the header uses" windows_headers_alone
}

# What clang-tidy looks for, and what it is not asked, with the reason:
#   analyzer, core           takes errno after a call that failed for 0, getenv() twice for two answers
#   swappable parameters     (buf, len) and (client, server) are everybody's order
#   narrowing, widening      the compilers' -Wconversion is the judge
#   not-null-terminated      lines are built from pieces, on purpose without a NUL
#   err33, err34             printf to a terminal is not checked; sscanf reads what a kernel wrote
#   reserved-identifier      feature macros such as _GNU_SOURCE
#   signal to a thread       labs do it to show it
#   integer-division         ns[n / 2] is the median, on purpose
#   branch-clone             two reasons that lead to the same end stay two lines
#   msc30, msc50, env33      random numbers and system() are good enough for tests
TIDY="-*,bugprone-*,cert-*,clang-analyzer-unix.*,clang-analyzer-deadcode.*\
,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions\
,-bugprone-implicit-widening-of-multiplication-result,-bugprone-not-null-terminated-result\
,-cert-err33-c,-cert-err34-c,-bugprone-reserved-identifier,-cert-dcl37-c,-cert-dcl51-cpp\
,-bugprone-bad-signal-to-kill-thread,-cert-pos44-c,-bugprone-signal-handler,-cert-sig30-c\
,-bugprone-integer-division,-bugprone-branch-clone,-bugprone-switch-missing-default-case\
,-bugprone-assignment-in-if-condition,-bugprone-multi-level-implicit-pointer-conversion\
,-cert-msc30-c,-cert-msc50-cpp,-cert-int09-c,-cert-env33-c"

all_chapters() { for chapter in chapters/*; do echo "-I$chapter $(queue_of "$chapter")"; done; }

# The sources of this system: not those that were made to be wrong, and each one once, where it was born.
own_sources() { grep '\.c$' "$scratch/files" | grep -v -e '^tests/wrong/' -e '/carried/' | for_windows others; }

# What a source in the folder $1 is compiled with.
flags_of() {
    include=$(folders_of "$1/")
    [ -n "$include" ] || include="-Itests/evq -I$evq/evq/include -I$evq/evq/src $(all_chapters)"
    echo "-D_GNU_SOURCE -D_NETBSD_SOURCE -I. -Itests -Itests/harness -Itests/contract $include"
}

tidy() {
    status=0 processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
    own_sources >"$scratch/sources"
    sed 's|/[^/]*$||' "$scratch/sources" | sort -u >"$scratch/folders"
    while IFS= read -r folder; do
        # shellcheck disable=SC2016 # the inner shell expands it
        grep "^$folder/[^/]*\.c\$" "$scratch/sources" |
            checks=$TIDY flags="-std=c11 -pthread $(flags_of "$folder")" xargs -n 4 -P "$processors" sh -c \
                'clang-tidy --quiet --warnings-as-errors="*" --checks="$checks" "$@" -- $flags' sh \
                >"$scratch/tidy" 2>"$scratch/noise" || { grep -E ' error: ' "$scratch/tidy" && status=1; }
    done <"$scratch/folders"
    return $status
}

check_analysis() {
    needs analysis clang-tidy || return
    check analysis "mend it; where it is wrong, say so: // NOLINT(check): reason" tidy
}

# cppcheck keeps what it knows of each file under build/lint, and looks again only at what has changed. It is
# not asked for "style" and "performance": the house has its own taste. What it says and is not so stands, with
# the reason, in tools/cppcheck.txt.
cppcheck_all() {
    status=0 processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
    own_sources >"$scratch/sources"
    sed 's|/[^/]*$||' "$scratch/sources" | sort -u >"$scratch/folders"
    while IFS= read -r folder; do
        kept=build/lint/cppcheck/$folder
        mkdir -p "$kept" || return
        # shellcheck disable=SC2046 # words without blanks
        cppcheck --quiet --std=c11 --enable=warning,portability --error-exitcode=1 --template=gcc --inline-suppr \
            --suppressions-list=tools/cppcheck.txt --cppcheck-build-dir="$kept" -j "$processors" \
            $(flags_of "$folder" | sed 's/-isystem /-I/g') \
            $(grep "^$folder/[^/]*\.c\$" "$scratch/sources") 2>&1 </dev/null || status=1
    done <"$scratch/folders"
    return $status
}

check_cppcheck() {
    needs cppcheck cppcheck || return
    check cppcheck "mend it; where it is wrong: // cppcheck-suppress NAME, and why, or a line in tools/cppcheck.txt" \
        cppcheck_all
}

# gcc's own analyzer follows each path through one source: memory that is used after free(), a descriptor that is
# closed twice. -O1, as it wants to see small functions inside their callers. What it is not asked, with the reason:
#   too-complex              it gave up; that is no finding
#   malloc-leak, fd-leak     a test that fails leaves by longjmp(), and the process ends soon after: valgrind
#                            and the sanitizers judge what is lost by those that pass
# What it says of a single source and is not so stands, with the reason, in tools/fanalyzer.txt.
FANALYZER="-std=c11 -pthread -O1 -Werror -fanalyzer -Wno-analyzer-too-complex -Wno-analyzer-malloc-leak -Wno-analyzer-fd-leak"

# fanalyze_one COMPILER FLAGS SOURCE, as xargs calls it: the compiler's own words, or nothing. What was found clean is
# not looked at again: build/lint/fanalyzer holds a file for each text, as the preprocessor has it, and its flags.
# shellcheck disable=SC2016 # the inner shell expands it
fanalyze_one='
    not=$(awk -v source="$3" "\$1 == source { printf \" -Wno-analyzer-%s\", \$2 }" tools/fanalyzer.txt)
    text=$("$1" -std=c11 $2 -E "$3" | cksum) || exit
    known=build/lint/fanalyzer/$(echo "$1 $("$1" -dumpfullversion) $2 $FANALYZER $not $text" | cksum | tr " " _)
    [ ! -f "$known" ] || exit 0
    said=$("$1" $2 $FANALYZER $not -c -o /dev/null "$3" 2>&1) && : >"$known" && exit
    printf "%s\n" "$said" | grep -e " error: " || printf "%s\n" "$said"
    exit 1'

# fanalyze COMPILER: all that $scratch/sources names; each folder has flags of its own.
fanalyze() {
    status=0 processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
    export FANALYZER
    mkdir -p build/lint/fanalyzer || return
    sed 's|/[^/]*$||' "$scratch/sources" | sort -u >"$scratch/folders"
    while IFS= read -r folder; do
        grep "^$folder/[^/]*\.c\$" "$scratch/sources" | xargs -n 1 -P "$processors" \
            sh -c "$fanalyze_one" sh "$1" "$(flags_of "$folder" | tr '\n' ' ')" || status=1
    done <"$scratch/folders"
    return $status
}

own_fanalyzed() { own_sources >"$scratch/sources" && fanalyze gcc; }

has_fanalyzer() {
    needs "$1" "$2" || return
    echo 'int one;' | "$2" -fanalyzer -xc -c -o /dev/null - 2>/dev/null && return
    skip "$1" "this $2 has no -fanalyzer (gcc 10 and later have)"
    return 1
}

check_fanalyzer() {
    has_fanalyzer fanalyzer gcc || return
    check fanalyzer "mend it; where it is wrong: a line in tools/fanalyzer.txt, with the reason" own_fanalyzed
}

check_tools() {
    needs tools python3 || return
    check tools "the tools themselves are broken" \
        sh -c 'python3 tests/pages_tests.py && python3 tests/timeline_tests.py &&
            python3 tools/coverage.py --test && python3 tools/mutants.py --test'
}

# clang finds the headers of mingw-w64 by itself. INVALID_SOCKET and HANDLEs are numbers made pointers.
windows_tidy() {
    status=0
    grep '\.c$' "$scratch/files" | grep -v '/carried/' | for_windows >"$scratch/sources"
    while IFS= read -r source; do
        # shellcheck disable=SC2046 # words without blanks
        clang-tidy --quiet --warnings-as-errors='*' --checks="$TIDY,-performance-no-int-to-ptr" "$source" -- \
            --target=x86_64-w64-mingw32 -std=c11 -D_WIN32_WINNT=0x0601 -DWIN32_LEAN_AND_MEAN $(folders_of "$source") \
            >"$scratch/tidy" 2>"$scratch/noise" || { grep -E ' error: ' "$scratch/tidy" && status=1; }
    done <"$scratch/sources"
    return $status
}

check_windows_analysis() {
    needs windows_analysis clang-tidy && needs windows_analysis x86_64-w64-mingw32-gcc || return
    check windows_analysis "mend it; where it is wrong, say so: // NOLINT(check): reason" windows_tidy
}

# Last, because it is the longest: a minute or more.
check_pages() {
    if [ "${PAGES-1}" = 0 ]; then
        skip pages "not run, as PAGES=0 asks"
        return
    fi
    needs pages python3 || return
    name=pages
    if python3 tools/run_pages.py >"$scratch/pages" 2>&1; then
        printf 'ok    pages: %s\n' "$(tail -n 1 "$scratch/pages")"
        passed=$((passed + 1))
    else
        printf 'FAIL  pages: what the commands print has changed\n'
        grep -v '^ok ' "$scratch/pages" >"$scratch/said"
        show "$scratch/said"
        failed=$((failed + 1))
    fi
}

# ---- all or some --------------------------------------------------------------------------------

most=1000
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || { most=25 && set -- $CHECKS; }
for name; do
    case " $CHECKS " in
    *" $name "*) "check_$name" ;;
    *) echo "lint.sh: there is no check '$name'; there are: $CHECKS" >&2 && exit 2 ;;
    esac
done
printf 'lint: %d ok, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
