#!/bin/sh
# run: starts a step that is built.   run.sh BUILD CH STEP [ARGUMENT...]   (make run CH=01 STEP=1)
#
# BUILD is the build folder, here and inside each chapter. What the step prints passes through;
# build/last_port holds its port while it runs, for `make peer` and `make talk`.
# A Windows program is run by its chapter's wine.sh.

set -eu
cd "$(dirname "$0")/.."

build=$1
source=$(sh tools/find.sh step "$2" "$3")
shift 3
folder=${source%/*}
name=${source##*/}
program=$folder/$build/${name%.c}
mkdir -p build
if [ ! -e "$program" ] && [ -e "$folder/wine.sh" ]; then
    [ -e "$program.exe" ] || sh tools/need.sh x86_64-w64-mingw32-gcc || exit 1
    set -- "$program.exe" "$@"
    program=$folder/wine.sh
    exec "$build/tools/launch" build/last_port sh "$program" "$@"
fi
exec "$build/tools/launch" build/last_port "$program" "$@"
