#!/bin/sh
# run: starts a step that is built.   run.sh BUILD CH STEP [ARGUMENT...]   (make run CH=01 STEP=1)
#
# BUILD is the build folder, here and inside each chapter. What the step prints passes through;
# build/last_port holds its port while it runs, for `make peer` and `make talk`.

set -eu
cd "$(dirname "$0")/.."

build=$1
source=$(sh tools/find.sh step "$2" "$3")
shift 3
program=${source##*/}
mkdir -p build
exec "$build/tools/launch" build/last_port "${source%/*}/$build/${program%.c}" "$@"
