#!/bin/sh
# zoo: puts known bugs back in, one after the other, and sees whether the tests notice.
#
#   zoo.sh                   every patch of tests/zoo
#   zoo.sh NAME...           only these: zoo.sh 04_one_turn_per_edge
#   zoo.sh --table           writes the table of tests/zoo/README.md anew, from the heads of the patches
#   zoo.sh --check           does each patch apply, are the heads and that table in order? Builds and runs
#                            nothing, and takes seconds
#
# ZOO_PART=1/3 runs the first third of them only: neighbours, since they share what has to be built.
# ZOO_PART=commit/6 lets the commit that is checked out choose one of six parts: another commit brings
# another part, and the same commit the same one again. With ZOO_LIMIT_S=300 no patch is begun when so many
# seconds have gone; how many were left is said.
#
# A patch has a head (tests/zoo/README.md tells what stands in it) and changes a few lines. Each is applied
# to a copy of the tree, what it needs is built there, the tests that its head names are run, and it is
# taken back; so the checkout itself is never changed. A patch is *killed* when each of its Red: tests has
# gone red and its Holds: test has not. Else the zoo fails:
#
#   SURVIVED          a test that must go red stayed green, three times
#   PROVES NOTHING    what must hold went red too: the patch breaks everything
#   NO LONGER APPLIES, DOES NOT BUILD, NO SUCH TEST
#
# That a machine is slow is no reason to fail. A bug that is a race may hide, so a test that stays green is
# run three times. What must hold and does not is run once more with five times the time; if it is red
# again, then once more without the patch: when it is red even there, the patch was not judged, in words.
#
# What cannot run here is skipped in words, and what only Windows shows (Needs: Windows) is listed. The
# table is printed, and written to build/zoo/kills.md. A test program may take TEST_LIMIT_S seconds (120);
# TEST_SLOWDOWN scales that and all other deadlines.

set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
zoo=$root/tests/zoo
tree=$root/build/zoo/tree
logs=$root/build/zoo/log

die() {
    echo "zoo.sh: $*" >&2
    exit 2
}

# ---- heads --------------------------------------------------------------------------------------

# head_of PATCH KEY: the values of its lines "KEY: value".
head_of() {
    sed -n -e '/^--- /q' -e "s/^$2: *//p" "$zoo/$1.patch"
}

names() {
    for patch in "$zoo"/*.patch; do
        [ ! -f "$patch" ] || basename "$patch" .patch
    done
}

# A head is whole when it tells the story, and when what must hold is of what goes red.
check_heads() {
    awk -f "$root/tools/zoo.awk" "$@" >"$work/said"
    [ ! -s "$work/said" ]
}

changed_by() {
    sed -n 's|^+++ b/\([^[:blank:]]*\).*|\1|p' "$zoo/$1.patch"
}

# apply_to FOLDER PATCH: not a line may stand elsewhere than the patch says, except for its number.
apply_to() {
    (cd "$1" && patch -p1 -F0 -s -f <"$zoo/$2.patch" 2>&1)
}

# All patches at once: each is only tried, on the checkout itself.
check_applies() {
    for patch in "$zoo"/*.patch; do
        said=$(patch -p1 -F0 -s -f --dry-run <"$patch" 2>&1) ||
            { echo "tests/zoo/${patch##*/}: no longer applies: $(echo "$said" | sed 1q)" && status=1; }
    done
}

# ---- the table of the page ----------------------------------------------------------------------

make_table() {
    echo '| patch | the bug | must go red | must hold |'
    echo '|---|---|---|---|'
    awk -v table=1 -f "$root/tools/zoo.awk" "$zoo"/*.patch
}

# The page with a fresh table between its two marks.
page_anew() {
    make_table >"$work/table"
    awk -v table="$work/table" '
        /^<!-- end of table -->$/ { inside = 0 }
        !inside { print }
        /^<!-- table -->$/ { inside = 1; print ""; while ((getline line < table) > 0) print line; print "" }' \
        "$zoo/README.md"
}

check_all() {
    status=0
    check_heads "$zoo"/*.patch || { cat "$work/said" && status=1; }
    check_applies
    page_anew >"$work/page"
    cmp -s "$work/page" "$zoo/README.md" ||
        { echo "tests/zoo/README.md: its table is old; run: sh tools/zoo.sh --table" && status=1; }
    return $status
}

# ---- the copy -----------------------------------------------------------------------------------

# Of each file: a checksum, its size, its name.
sums_of() {
    (cd "$1" && find . \( -name .git -o -name build -o -name mine \) -prune -o -type f -exec cksum {} +) | sort
}

# Brings the copy up to date. What has not changed keeps its time, so that little is built again.
copy_tree() {
    mkdir -p "$tree" "$logs"
    sums_of "$root" >"$work/new"
    sums_of "$tree" >"$work/old"
    comm -13 "$work/new" "$work/old" | while read -r _ _ file; do rm -f "$tree/$file"; done
    comm -23 "$work/new" "$work/old" >"$work/changed"
    while read -r _ _ file; do
        mkdir -p "$tree/${file%/*}"
        cp "$root/$file" "$tree/$file" || exit 1
    done <"$work/changed"
}

take_back() {
    changed_by "$1" | while IFS= read -r file; do
        rm -f "$tree/$file.rej" "$tree/$file.orig"
        [ -f "$root/$file" ] || { rm -f "$tree/$file" && continue; }
        cp "$root/$file" "$tree/$file" # with a new time: what was built of the bug is built again
    done
}

# ---- building -----------------------------------------------------------------------------------

make=${MAKE:-make}
cflags='-O2 -g'
usual_patience=${TEST_SLOWDOWN:-1}
patience=$usual_patience

in_tree() {
    # shellcheck disable=SC2086 # a name, perhaps with options
    (cd "$tree" && MAKEFLAGS='' MFLAGS='' MAKELEVEL='' $make -s "$@") >>"$log" 2>&1
}

# A spec, as heads have it: words VAR=value, and PROGRAM:test or the word "build".
read_spec() {
    CH='' STEP='' ROW='' SAN='' NDEBUG='' program=test_contract only='' environment=''
    for word in $1; do
        case $word in
        CH=*) CH=${word#CH=} ;;
        STEP=*) STEP=${word#STEP=} ;;
        ROW=*) ROW=${word#ROW=} ;;
        SAN=*) SAN=${word#SAN=} ;;
        NDEBUG=*) NDEBUG=${word#NDEBUG=} ;;
        *=*) environment="$environment $word" ;;
        *:*) program=${word%%:*} only=${word#*:} ;;
        build) program=build ;;
        *) die "$name: '$word' is no word of a test" ;;
        esac
    done
    variant=build flags=$cflags
    if [ -n "$SAN" ]; then
        variant=build/san-$(echo "$SAN" | tr , -)
        flags="$flags -fsanitize=$SAN -fno-sanitize-recover=all -fno-omit-frame-pointer"
    fi
    [ -z "$NDEBUG" ] || { variant=$variant/ndebug && flags="$flags -DNDEBUG"; }
    # The contract looks at a program from the outside, and is itself built as always.
    tests=build/tests tests_flags=$cflags
    [ "$program" = test_contract ] || { tests=$variant/tests && tests_flags=$flags; }
}

# A chapter's targets, in a variant: build_chapter FOLDER VARIANT FLAGS TARGET...
build_chapter() {
    folder=$1 into=$2 with=$3
    shift 3
    in_tree -C "$folder" BUILD="$into" CFLAGS="$with" "$@"
}

# The one step that the spec names; what Windows runs ends in .exe. Chapter 07's are several programs.
build_step() {
    source=$(cd "$tree" && sh tools/find.sh step "$CH" "$STEP") || return 1
    folder=$(cd "$tree" && sh tools/find.sh chapter "$CH")
    target=$(basename "$source" .c)
    case $source in */mini/*) target=steps ;; esac
    for each in "$variant" $([ "$ROW" != ndebug_still_serves ] || echo build/ndebug); do
        with=$flags
        [ "$each" = "$variant" ] || with="$cflags -DNDEBUG"
        case $source in
        */mini/*) build_chapter "$folder" "$each" "$with" steps || return ;;
        */06_iocp/step1_*) build_chapter "$folder" "$each" "$with" "$each/$target" || return ;;
        */06_iocp/*) build_chapter "$folder" "$each" "$with" "$each/$target.exe" || return ;;
        *) build_chapter "$folder" "$each" "$with" "$each/$target" || return ;;
        esac
    done
}

# What a test program runs, beside itself: of each chapter that the patch has changed.
build_for_program() {
    changed_by "$name" | sed -n 's|^\(chapters/[^/]*\)/.*|\1|p' | sort -u >"$work/chapters"
    while IFS= read -r folder; do
        case $program in
        test_conn | test_kqueue | test_evq | test_evq_faults | wine_suite) ;;
        test_labs) build_chapter "$folder" "$variant" "$flags" all || return ;;
        test_evq_examples) build_chapter "$folder" "$variant" "$flags" examples || return ;;
        *) build_chapter "$folder" "$variant" "$flags" steps || return ;;
        esac
    done <"$work/chapters"
}

build_program() {
    mkdir -p "$tree/$tests"
    only_flags="$tests_flags -D_cmocka_run_group_tests=only_run_group_tests"
    # The steps that it runs are built by the same Makefile: as always, and before.
    case $program in
    test_chapter_faults)
        set -- "$tree/$tests/$program" "$tree/$tests/obj/$program.o" # made anew, without and with the filter
        rm -f "$@"
        in_tree -C tests BUILD="../$tests" CFLAGS="$tests_flags" "../$tests/$program" || return
        rm -f "$@" ;;
    esac
    # shellcheck disable=SC2086 # options
    (cd "$tree/tests" && ${CC:-cc} -std=c11 $tests_flags -c -o "../$tests/only.o" zoo/only.c) >>"$log" 2>&1 || return
    in_tree -C tests BUILD="../$tests" CFLAGS="$only_flags" LDFLAGS="../$tests/only.o" "../$tests/$program" || return
    case $program in
    test_runner | test_harness) in_tree -C tests BUILD="../$tests" CFLAGS="$tests_flags" wrong ;;
    esac
}

# The suite of evq for Windows: a script of its own builds it, and what runs it is made here.
build_wine_suite() {
    mkdir -p "$tree/build/wine_suite" "$tree/build/tests"
    (cd "$tree" && x86_64-w64-mingw32-gcc --version && sh tests/evq/mingw_cmocka.sh build/wine_suite/cmocka &&
        x86_64-w64-mingw32-gcc -std=c11 -O2 -g -isystem build/wine_suite/cmocka/include \
            -c -o build/wine_suite/only.obj tests/zoo/only.c &&
        CFLAGS="$flags -D_cmocka_run_group_tests=only_run_group_tests" LDFLAGS=build/wine_suite/only.obj \
            sh tests/evq/wine_suite.sh build/wine_suite --build) >>"$log" 2>&1 || return
    # Windows ends its lines in two bytes, which the runner would not know as a plan.
    cat >"$tree/build/tests/wine_suite" <<'END'
#!/bin/sh
{
    sh chapters/06_iocp/wine.sh build/wine_suite/test_evq.exe
    echo $? >build/wine_suite/status
} | tr -d '\r'
exit "$(cat build/wine_suite/status)"
END
    chmod +x "$tree/build/tests/wine_suite"
}

build_spec() {
    echo "==== build: $1" >>"$log"
    case $program in
    build) build_step ;;
    test_contract) build_step && build_program ;;
    wine_suite) build_wine_suite ;;
    *) build_for_program && build_program ;;
    esac
}

# ---- running ------------------------------------------------------------------------------------

# Why a spec cannot be run here; nothing when it can.
why_not() {
    case $program:$CH$STEP$only in
    wine_suite:* | test_chapter_faults:06/[2-6]* | *:062 | *:063 | *:064 | *:065 | *:066)
        sh tools/need.sh x86_64-w64-mingw32-gcc 2>&1 || return 0
        said=$(sh chapters/06_iocp/wine.sh --check 2>&1) || { echo "$said" && return; }
        [ "$said" = wine ] || echo "the program would run on the Windows kernel, where signals do not reach it" ;;
    esac
    case $program:$(uname -s) in
    *:Linux) ;;
    test_contract:*) [ "$CH" != 04 ] || echo "epoll is of Linux alone" ;;
    test_kqueue:*) echo "the kqueue is the system's own here" ;;
    esac
    [ "$program" = build ] || [ ! -e "$tree/$tests/no_cmocka" ] || cat "$tree/$tests/no_cmocka"
}

# Runs it with the runner of the checkout, not of the copy, since a patch may have changed that one.
# The verdict: red, green, none (no such test), or skipped: REASON. $patience scales its deadlines.
run_spec() {
    echo "==== run: $1" >>"$log"
    said=$logs/$name.run
    (
        cd "$tree" || exit 1
        # Empty values: nothing of what `make zoo` was called with shall choose.
        # shellcheck disable=SC2086 # words without blanks
        env CH="$CH" STEP="$STEP" ROW="$ROW" TEST_ONLY="$only" STEPS_BUILD="$variant" PLAIN=1 \
            TEST_LIMIT_S="${TEST_LIMIT_S:-120}" TEST_SLOWDOWN="$patience" WINEPREFIX_OF_PROJECT="$root/build/wine" \
            ASAN_OPTIONS=halt_on_error=1:exitcode=99 UBSAN_OPTIONS=halt_on_error=1:exitcode=99 \
            TSAN_OPTIONS=halt_on_error=1:exitcode=99 LSAN_OPTIONS=exitcode=99 $environment \
            sh "$root/tests/run.sh" "$tests" "$tests/$program"
    ) </dev/null >"$said" 2>&1
    cat "$said" >>"$log"
    if [ -n "$only" ] && ! grep -q '^# only: ' "$tree/$tests/log/$program.log"; then
        verdict=none
        return
    fi
    tail -n 1 "$said" | grep -q -v ' 0 failed' && verdict=red && return
    tail -n 1 "$said" | grep -q -v '^0 passed' && verdict=green && return
    verdict="skipped: $(sed -n '/^Skipped, and why:$/{n;s/^ *//;p;q;}' "$said")"
}

# judge SPEC: builds and runs it; sets verdict.
judge() {
    read_spec "$1"
    reason=$(why_not)
    [ -z "$reason" ] || { verdict="skipped: $reason" && return; }
    if build_spec "$1"; then
        if [ "$program" = build ]; then verdict=green; else run_spec "$1"; fi
    elif [ "$program" = build ]; then
        verdict=red
    elif [ "$program" = wine_suite ] && grep -q '^cmocka for Windows: ' "$log"; then
        verdict="skipped: $(grep '^cmocka for Windows: ' "$log" | tail -n 1)"
    else
        verdict=broken
    fi
}

# A bug that is a race is not always seen: what stays green is run twice more.
judge_red() {
    judge "$1"
    for again in 2 3; do
        [ "$verdict" = green ] && [ "$program" != build ] || return 0
        echo "==== time $again" >>"$log"
        run_spec "$1"
    done
}

# What is red with the patch may be so because the machine is busy: see above. Then the verdict is busy.
judge_holds() {
    judge "$1"
    [ "$verdict" = red ] && [ "$program" != build ] || return 0
    patience=$(awk -v f="$patience" 'BEGIN { f += 0; print 5 * (f > 0 ? f : 1) }')
    run_spec "$1"
    if [ "$verdict" = red ]; then
        take_back "$name"
        echo "==== without the patch" >>"$log"
        judge "$1"
        case $verdict in red) verdict=busy ;; *) verdict=red ;; esac
    fi
    patience=$usual_patience
}

# The fate of the patch $name, which has been applied.
fate_of() {
    head_of "$name" Red >"$work/reds"
    while IFS= read -r spec; do
        judge_red "$spec" </dev/null
        case $verdict in
        red) ;;
        green) fate="SURVIVED: $spec stayed green" && return ;;
        none) fate="NO SUCH TEST: $spec" && return ;;
        broken) fate="DOES NOT BUILD: see $log" && return ;;
        *) fate=$verdict && return ;;
        esac
    done <"$work/reds"
    spec=$(head_of "$name" Holds)
    judge_holds "$spec" </dev/null
    case $verdict in
    green) fate=killed ;;
    busy) fate="not judged: $spec is red without the patch, too" ;;
    none) fate="NO SUCH TEST: $spec" ;;
    broken) fate="DOES NOT BUILD: see $log" ;;
    *) fate="PROVES NOTHING: $spec does not hold either ($verdict)" ;;
    esac
}

# One patch: sets fate.
try() {
    name=$1
    log=$logs/$name.log
    : >"$log"
    check_heads "$zoo/$name.patch" || { fate="ITS HEAD IS WRONG: $(sed 1q "$work/said")" && return; }
    if ! said=$(apply_to "$tree" "$name"); then
        fate="NO LONGER APPLIES: $(echo "$said" | sed 1q)"
    elif [ "$(head_of "$name" Needs)" = Windows ]; then
        fate="not run: needs Windows"
    else
        applied=$name
        fate_of
    fi
    take_back "$name"
    applied=
}

# ---- all or some --------------------------------------------------------------------------------

# The first digits of the commit's name, as a number; 0 outside of git.
commit_number() {
    hash=$(git rev-parse --short=7 HEAD 2>/dev/null | cut -c1-7)
    echo $((0x${hash:-0}))
}

# ZOO_PART=2/3: the second third. Of 80 patches 12/12 has as many as 1/12, give or take one.
part_of_names() {
    part=${ZOO_PART:-1/1}
    n=${part#*/}
    case $n in '' | 0* | *[!0-9]*) die "ZOO_PART=$part: give a part such as 1/3, or commit/3" ;; esac
    case $part in
    commit/*) i=$(($(commit_number) % n + 1)) ;;
    [1-9]/* | [1-9][0-9]/*) i=${part%/*} ;;
    *) i=0 ;;
    esac
    if [ "$i" -lt 1 ] || [ "$i" -gt "$n" ]; then die "ZOO_PART=$part: give a part such as 1/3, or commit/3"; fi
    [ "$n" -eq 1 ] || echo "zoo: part $i of $n" >&2
    names | awk -v i="$i" -v n="$n" '{ name[NR] = $0 }
        END { for (at = int((i - 1) * NR / n) + 1; at <= int(i * NR / n); at++) print name[at] }'
}

tell() {
    seconds=$(($(date +%s) - began))
    case $fate in killed) word='  killed  ' ;; skipped:* | 'not '*:*) word='  --      ' ;; *) word='  FAILED  ' ;; esac
    case $fate in killed) printf '%s%s (%d s)\n' "$word" "$name" "$seconds" ;; *) printf '%s%s: %s\n' "$word" "$name" "$fate" ;; esac
    printf '%s\t%s\t%s\t%s\n' "$name" "$(head_of "$name" Red | paste -s -d ';' - | sed 's/;/; /g')" "$fate" "$seconds" >>"$work/fates"
}

write_kills() {
    {
        echo '| patch | what noticed it | came of it | seconds |'
        echo '|---|---|---|---|'
        awk -F '\t' '{ printf "| %s | `%s` | %s | %d |\n", $1, $2, $3, $4 }' "$work/fates"
    } >"$root/build/zoo/kills.md"
}

main() {
    sh tools/need.sh patch "${CC:-cc}" || exit 1
    for name; do [ -f "$zoo/$name.patch" ] || die "there is no patch '$name'; there are: $(names | paste -s -d ' ' -)"; done
    start=$(date +%s) left=0
    copy_tree
    : >"$work/fates"
    for name; do
        began=$(date +%s)
        [ "${ZOO_LIMIT_S:-0}" -eq 0 ] || [ $((began - start)) -lt "$ZOO_LIMIT_S" ] || { left=$((left + 1)) && continue; }
        try "$name"
        tell
    done
    write_kills
    [ $left -eq 0 ] || echo "zoo: time is up after $ZOO_LIMIT_S s: $left of $# not begun"
    awk -F '\t' '
        $3 == "killed" { killed++; next }
        $3 ~ /^(skipped|not run|not judged):/ { skipped++; next }
        { failed++ }
        END { printf "zoo: %d killed, %d failed, %d not run\n", killed, failed, skipped; exit failed > 0 }' "$work/fates"
}

work=$(mktemp -d) || exit 1
applied=
trap '[ -z "$applied" ] || take_back "$applied"; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

case ${1-} in
--table) page_anew >"$work/page" && cp "$work/page" "$zoo/README.md" ;;
--check) sh tools/need.sh patch && check_all ;;
-*) die "'$1' is no word of zoo.sh: --table, --check or names of patches" ;;
'')
    chosen=$(part_of_names) || exit 2
    # shellcheck disable=SC2086 # names have no blanks
    main $chosen
    ;;
*) main "$@" ;;
esac
