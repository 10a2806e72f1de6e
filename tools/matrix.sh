#!/bin/sh
# matrix: the contract's rows against the steps of one chapter (or of all), as a Markdown table.
#
#     tools/matrix.sh [CHAPTER] [FILE]       tools/matrix.sh 01
#
# FILE is what a whole run of test_contract has written (build/tests/contract.tsv): a line per pair,
# step TAB row TAB verdict TAB words TAB the second line of the step, if it has one ("kqueue: native").
# Verdicts: holds, by design (broken, and why), not shown here (by an emulation), skipped, RED.
# Nothing in the table is typed by hand.
set -eu

chapter=${1:-}
file=${2:-${BUILD:-build}/tests/contract.tsv}

case $chapter in
    [1-9]) chapter=0$chapter ;;
    '' | all) chapter= ;;
    [0-9][0-9]) ;;
    *) echo "matrix: '$chapter' is no chapter (give 01, 02 ... or nothing for all)" >&2; exit 2 ;;
esac
if [ ! -r "$file" ]; then
    echo "matrix: there is no $file yet; a whole run of 'make test' writes it" >&2
    exit 1
fi

awk -F '\t' -v chapter="$chapter" '
    chapter != "" && index($1, chapter "/") != 1 { next }
    !($1 in step_seen) { step_seen[$1] = 1; step[++steps] = $1 }
    !($2 in row_seen)  { row_seen[$2] = 1;  row[++rows] = $2 }
    { verdict[$1, $2] = $3; words[$1, $2] = $4 }
    $5 != "" && !($5 in banner_seen) { banner_seen[$5] = 1; banner[++banners] = $5 }
    $5 != "" && !(($5, $1) in who_seen) {
        who_seen[$5, $1] = 1
        who[$5] = who[$5] (who[$5] == "" ? "" : ", ") title($1)
    }

    # A reason that several cells share is one note.
    function note(text) {
        if (!(text in number)) { number[text] = ++notes; reason[notes] = text }
        return number[text]
    }
    function cell(s, r,    v) {
        v = verdict[s, r]
        if (v == "by design" || v == "skipped" || v == "not shown here" || v == "RED")
            return v " (" note(words[s, r]) ")"
        return v == "" ? "not run" : v
    }
    function title(s) {
        return "`" (chapter == "" ? s : substr(s, index(s, "/") + 1)) "`"
    }
    END {
        if (steps == 0) {
            print "matrix: the run has no step of chapter " chapter > "/dev/stderr"
            exit 1
        }
        line = "| |"; rule = "|---|"
        for (s = 1; s <= steps; s++) { line = line " " title(step[s]) " |"; rule = rule "---|" }
        print line "\n" rule
        for (r = 1; r <= rows; r++) {
            line = "| " row[r] " |"
            for (s = 1; s <= steps; s++) line = line " " cell(step[s], row[r]) " |"
            print line
        }
        if (notes > 0) print ""
        for (n = 1; n <= notes; n++) print n ". " reason[n]
        for (n = 1; n <= banners; n++) print "\nSecond line of " who[banner[n]] ": `" banner[n] "`"
    }' "$file"
