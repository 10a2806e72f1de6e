#!/bin/sh
# run: starts a step that is built.   run.sh BUILD CH STEP [ARGUMENT...]   (make run CH=01 STEP=1)
#
# BUILD is the build folder, here and inside each chapter. What the step prints passes through;
# build/last_port holds its port while it runs, for `make peer` and `make talk`.
# A Windows program is run by chapter 06's wine.sh.

set -eu
cd "$(dirname "$0")/.."

build=$1
program=$(sh tools/find.sh program "$build" "$2" "$3")
shift 3
wine=chapters/06_iocp/wine.sh
mkdir -p build
if [ ! -e "$program" ] && [ "${program%%/build*}" = "${wine%/*}" ]; then
    sh tools/need.sh x86_64-w64-mingw32-gcc || exit 1
fi
case $program in
*.exe) exec "$build/tools/launch" build/last_port sh "$wine" "$program" "$@" ;;
esac
exec "$build/tools/launch" build/last_port "$program" "$@"
