#!/bin/sh
# test_zoo: tools/zoo.sh itself, on a tree of a few lines. tests/run.sh runs this like any test program.
#
# The tree has one file that patches can spoil, code.sh, and one program of tests, a script that reads
# it. Nothing is compiled. The names of the tests tell what they do: `good` and `other` look at code.sh,
# `race` is red at its third run only, `patient` needs five times the usual time, `never` is always red.
#
# Run it from the root of the repository.
set -u

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
tree="$work/a tree"
count=0
failures=0

# ---- the tree -----------------------------------------------------------------------------------

make_tree() {
    mkdir -p "$tree/tools" "$tree/tests/zoo"
    cp tools/zoo.sh tools/zoo.awk tools/need.sh "$tree/tools" && cp tests/run.sh "$tree/tests" || exit 1
    printf 'good=yes\n# a line between\nother=yes\n' >"$tree/code.sh"
    : >"$tree/tests/zoo/only.c"
    printf '# The zoo\n\n<!-- table -->\n\n<!-- end of table -->\n' >"$tree/tests/zoo/README.md"
    # shellcheck disable=SC2016 # make expands it
    printf '$(BUILD)/test_fake: test_fake.sh\n\t@mkdir -p $(@D) && cp test_fake.sh $@ && chmod +x $@\n' >"$tree/tests/Makefile"
    cat >"$tree/tests/test_fake.sh" <<'END'
#!/bin/sh
. ./code.sh
echo run >>"build/runs.$TEST_ONLY"
verdict=ok
case $TEST_ONLY in
good) [ "$good" = yes ] || verdict='not ok' ;;
other) [ "$other" = yes ] || verdict='not ok' ;;
race) [ "$(wc -l <build/runs.race)" -lt 3 ] || verdict='not ok' ;;
patient) [ "${TEST_SLOWDOWN:-1}" -ge 5 ] || verdict='not ok' ;;
never) verdict='not ok' ;;
*) echo 1..0 && exit 0 ;;
esac
printf '# only: 1\n1..1\n%s 1 - %s\n# %s - fake\n' "$verdict" "$TEST_ONLY" "$verdict"
[ "$verdict" = ok ]
END
}

# patch_of NAME LINE INSTEAD RED HOLDS [MORE]: line LINE of code.sh becomes INSTEAD.
patch_of() {
    {
        printf 'Bug:   a bug\nSeen:  here\nHurts: nobody\nRed:   test_fake:%s\nHolds: test_fake:%s\n' "$4" "$5"
        [ $# -lt 6 ] || echo "$6"
        printf '\n--- a/code.sh\n+++ b/code.sh\n@@ -1,3 +1,3 @@\n'
        awk -v at="$2" -v instead="$3" '
            NR == at { print "-" $0; print "+" instead; next }
            { print " " $0 }' "$tree/code.sh"
    } >"$tree/tests/zoo/$1.patch"
}

make_patches() {
    patch_of a_noticed 1 good=no good other
    patch_of b_unseen 2 '# nothing' good other
    patch_of c_everything 1 good=no good nothing
    sed -e 's/nothing/other/' -e 's/^ other=yes/-other=yes/' "$tree/tests/zoo/c_everything.patch" >"$work/patch"
    { cat "$work/patch" && echo '+other=no'; } >"$tree/tests/zoo/c_everything.patch"
    patch_of d_nameless 1 good=no no_such_test other
    patch_of e_windows 1 good=no good other 'Needs: Windows'
    patch_of f_race 2 '# nothing' race other
    patch_of g_slow 1 good=no good patient
    patch_of h_busy 1 good=no good never
}

# ---- asking -------------------------------------------------------------------------------------

# zoo WORD...: what it says goes to $work/said, its status to $status.
zoo() {
    # shellcheck disable=SC2086 # words without blanks
    (cd "$tree" && env TEST_SLOWDOWN='' ZOO_PART='' ZOO_LIMIT_S='' CC=true $with sh tools/zoo.sh "$@") \
        </dev/null >"$work/said" 2>&1
    status=$?
}
with=

# claim NAME COMMAND...: a test. It holds when the command succeeds; else what the zoo said is shown.
claim() {
    name=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $name"
    else
        failures=$((failures + 1))
        sed 's/^/    /' "$work/said"
        echo "not ok $count - $name"
    fi
}

says() { grep -q -e "$1" "$work/said"; }

# fate NAME WORDS STATUS: of this patch alone.
fate() {
    zoo "$1"
    says "$2" && [ "$status" -eq "$3" ]
}

# ---- the claims ---------------------------------------------------------------------------------

its_files_stay_as_they_are() {
    zoo a_noticed c_everything
    [ "$(cksum <"$tree/code.sh")" = "$code" ] && [ "$(cksum <"$tree/build/zoo/tree/code.sh")" = "$code" ] &&
        [ -z "$(find "$tree" -name '*.orig' -o -name '*.rej')" ]
}

# Three parts of the names of the tree: each name once, and the order kept. None is run, which is quicker.
parts_are_a_whole() {
    for patch in "$tree"/tests/zoo/*.patch; do
        awk '!/^Needs:/ { print } /^Holds:/ { print "Needs: Windows" }' "$patch" >"$work/patch"
        cp "$work/patch" "$patch"
    done
    : >"$work/all"
    for part in 1/3 2/3 3/3; do
        with="ZOO_PART=$part" && zoo && with=
        sed -n 's/^  [a-zA-Z-]*  *\([a-h]_[a-z]*\).*/\1/p' "$work/said" >>"$work/all"
    done
    (cd "$tree/tests/zoo" && ls -- *.patch) | sed 's/\.patch$//' | cmp -s - "$work/all"
}

# A clock that goes 100 s further each time that somebody looks.
a_limit_lets_no_more_begin() {
    mkdir -p "$work/bin"
    # shellcheck disable=SC2016 # the clock expands it
    printf '#!/bin/sh\necho >>"%s"\necho $(($(wc -l <"%s") * 100))\n' "$work/ticks" "$work/ticks" >"$work/bin/date"
    chmod +x "$work/bin/date"
    with="PATH=$work/bin:$PATH ZOO_LIMIT_S=150" && zoo a_noticed g_slow h_busy && with=
    says '^  killed  a_noticed' && says '2 of 3 not begun' && [ "$status" -eq 0 ]
}

check_is_content() {
    zoo --table
    zoo --check
    [ "$status" -eq 0 ]
}

# check_sees FILE SED_SCRIPT WORDS: with this change --check fails, and says so.
check_sees() {
    cp "$tree/$1" "$work/kept"
    sed "$2" "$work/kept" >"$tree/$1"
    zoo --check
    cp "$work/kept" "$tree/$1"
    says "$3" && [ "$status" -eq 1 ]
}

main() {
    sh tools/need.sh patch make >"$work/said" 2>&1 || {
        printf '1..1\n# skip: zoo: %s\nok 1 - zoo # SKIP\n# ok - the zoo itself\n' "$(cat "$work/said")"
        exit 0
    }
    echo 1..16
    make_tree
    make_patches
    code=$(cksum <"$tree/code.sh")
    claim a_bug_that_is_noticed_is_killed fate a_noticed '^  killed  a_noticed' 0
    claim a_bug_that_nobody_notices_fails fate b_unseen '^  FAILED .*SURVIVED: test_fake:good' 1
    claim where_all_goes_red_nothing_is_proven fate c_everything '^  FAILED .*PROVES NOTHING' 1
    claim a_test_that_does_not_exist_fails fate d_nameless '^  FAILED .*NO SUCH TEST' 1
    claim what_needs_windows_is_listed fate e_windows '^  -- .*needs Windows' 0
    claim a_race_has_three_chances fate f_race '^  killed  f_race' 0
    claim a_slow_machine_gets_more_time fate g_slow '^  killed  g_slow' 0
    claim a_busy_machine_is_no_reason_to_fail fate h_busy '^  -- .*not judged: test_fake:never' 0
    claim the_files_stay_as_they_are its_files_stay_as_they_are
    claim a_limit_lets_no_more_begin a_limit_lets_no_more_begin
    claim check_is_content_with_a_tree_in_order check_is_content
    claim check_sees_a_patch_that_no_longer_applies check_sees code.sh 's/between/betwixt/' 'no longer applies'
    claim check_sees_a_head_with_a_gap check_sees tests/zoo/a_noticed.patch '/^Hurts/d' 'there is no line Hurts:'
    claim check_sees_an_old_table check_sees tests/zoo/README.md '/a_noticed/d' 'its table is old'
    claim a_wrong_name_is_refused fate no_such_patch 'there is no patch' 2
    claim the_parts_are_the_whole parts_are_a_whole
    if [ $failures -eq 0 ]; then echo '# ok - the zoo itself'; else echo '# not ok - the zoo itself'; fi
    [ $failures -eq 0 ]
}

main
