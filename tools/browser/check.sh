#!/bin/sh
# check.sh: opens the built site in a real browser and says what is wrong with it (see pages.js).
#
#   check.sh [PAGE...]      without names: every page of the book (make docs has built it)
#
# Needs Chromium, Node.js and npm; here.sh finds them, and gets by npm what drives the browser.
# Where one of these cannot be had it says so and ends with status 77: nothing was checked.

set -eu
cd "$(dirname "$0")/../.."
site=build/docs/html

not_here() {
    echo "browser: $*; nothing was checked"
    exit 77
}

[ -f $site/index.html ] || { echo "browser: there is no $site: make docs builds it" >&2; exit 1; }
. tools/browser/here.sh
exec node tools/browser/pages.js $site "$chromium" "$@"
