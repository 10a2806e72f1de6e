#!/bin/sh
# run: starts a step that is built.   run.sh BUILD CH STEP [ARGUMENT...]   (make run CH=01 STEP=1)
#
# BUILD is the build folder, here and inside each chapter. What the step prints passes through;
# build/last_port holds its port while it runs, for `make peer` and `make talk`.
# A Windows program is run by chapter 06's wine.sh. A step of chapter 07's mini may be several programs,
# one for each queue: then it is the first of them that this system has.

set -eu
cd "$(dirname "$0")/.."

build=$1
source=$(sh tools/find.sh step "$2" "$3")
shift 3
folder=${source%/*}
name=${source##*/}
program=$folder/$build/${name%.c}
wine=chapters/06_iocp/wine.sh
case $folder in
*/mini)
    of_mini=${folder%/mini}/$build/mini/
    for program in "$of_mini${name%.c}" "$of_mini${name%%_*}"_epoll "$of_mini${name%%_*}"_kqueue "$of_mini${name%.c}"; do
        [ ! -e "$program" ] || break
    done
    ;;
esac
mkdir -p build
if [ ! -e "$program" ] && { [ "$folder" = "${wine%/*}" ] || [ -e "$program.exe" ]; }; then
    [ -e "$program.exe" ] || sh tools/need.sh x86_64-w64-mingw32-gcc || exit 1
    exec "$build/tools/launch" build/last_port sh "$wine" "$program.exe" "$@"
fi
exec "$build/tools/launch" build/last_port "$program" "$@"
