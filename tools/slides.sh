#!/bin/sh
# slides: makes a deck of slides out of each docs/slides/weekNN.md, with pandoc.
#
#   slides.sh [WEEK...]      WEEK is 01, 12 ...; without one: all (make slides)
#
# A deck is one HTML file in build/slides/, with its figures in it: it needs a browser and no network. The look is
# docs/slides/deck.html; a heading begins a slide. Its links lead to the pages beside it, in this folder.

set -eu
cd "$(dirname "$0")/.."
sh tools/need.sh pandoc

mkdir -p build/slides
[ $# -gt 0 ] || set -- 01 02 03 04 05 06 07 08 09 10 11 12
for week; do
    page=docs/slides/week$week.md
    [ -f "$page" ] || { echo "slides: there is no week $week: say 01 to 12" >&2 && exit 2; }
    pandoc --from=gfm --to=html5 --standalone --self-contained --section-divs --template=docs/slides/deck.html \
        --lua-filter=docs/slides/links.lua --resource-path=docs/slides --no-highlight \
        --metadata=pagetitle="$(sed -n '1s/^# //p' "$page")" --output="build/slides/week$week.html" "$page"
done
echo "slides: open build/slides/week${week}.html; the arrows lead on"
