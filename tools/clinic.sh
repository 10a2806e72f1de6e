#!/bin/sh
# clinic: a server with one bug, chosen by a name, for a student to examine.
#
#   clinic.sh NAME [-p PORT ...]     be that server: make check SERVER='sh tools/clinic.sh ann'
#   clinic.sh --bug NAME             for the teacher: which bug NAME has been given (make clinic NAME=ann)
#
# The bugs are those of tests/wrong/wrong.c, which published servers really had. The same name gets the
# same bug, on every machine. BUILD is the folder with tests/wrong/wrong (make tests), usually build.

set -eu
cd "$(dirname "$0")/.."

tell=no
[ "${1-}" != --bug ] || { tell=yes && shift; }
name=${1-}
[ -n "$name" ] || { echo "clinic: whose server? Give a name: NAME=ann" >&2 && exit 2; }
shift

# The table of the source, without the server that has none. cksum is the same everywhere (POSIX).
bugs=$(sed -n 's/^    X(\([a-z0-9_]*\)).*/\1/p' tests/wrong/wrong.c | grep -v '^none$')
count=$(echo "$bugs" | wc -l)
number=$(printf %s "$name" | cksum | awk -v count="$count" '{ print $1 % count + 1 }')
bug=$(echo "$bugs" | sed -n "${number}p")

if [ $tell = yes ]; then
    echo "$bug"
else
    exec "${BUILD:-build}/tests/wrong/wrong" "--bug=$bug" "$@"
fi
