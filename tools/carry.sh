#!/bin/sh
# carry: keeps the copies in chapters/*/carried equal to the files that were born before.
#
#   carry.sh            copies each born file forward into every later carried/ that holds it
#   carry.sh --check    copies nothing; fails where a copy differs, and names both files
#
# A file is born in the first chapter that holds it as its own (in its folder, in labs/ or windows/). Work
# is always done there. A copy that differs and was edited by hand is never overwritten: the
# edit would be lost.

set -eu
cd "$(dirname "$0")/.."

check=no
case ${1-} in
--check) check=yes ;;
'') ;;
*) echo "carry.sh: '$1' is no option; there is only --check" >&2 && exit 2 ;;
esac

# Where the file behind the copy $1 was born: in a chapter before its own. Nothing when nowhere.
birthplace() {
    for folder in chapters/*/; do
        case $1 in "$folder"*) return ;; esac
        for born in "$folder${1##*/}" "${folder}labs/${1##*/}" "${folder}windows/${1##*/}"; do
            [ ! -f "$born" ] || { echo "$born" && return; }
        done
    done
}

# Has this copy been changed since the last commit? Outside a git checkout nobody can know: no.
is_edited() {
    [ -n "$(git status --porcelain -- "$1" 2>/dev/null)" ]
}

failed=0
copied=0
for copy in chapters/*/carried/*; do
    [ -f "$copy" ] || continue
    born=$(birthplace "$copy")
    if [ -z "$born" ]; then
        echo "$copy: no earlier chapter has this file, so it is not carried; give it a home" >&2
        failed=1
    elif cmp -s "$born" "$copy"; then
        continue
    elif [ $check = yes ]; then
        echo "$copy differs from $born: edit only the latter, then run: make carry" >&2
        failed=1
    elif is_edited "$copy"; then
        echo "$copy has uncommitted changes, which would be lost: move them to $born first" >&2
        failed=1
    else
        cp "$born" "$copy"
        echo "$born -> $copy"
        copied=$((copied + 1))
    fi
done
[ $check = yes ] || [ $failed = 1 ] || [ $copied -gt 0 ] || echo "Every carried file is up to date."
exit $failed
