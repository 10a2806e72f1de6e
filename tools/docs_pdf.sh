#!/bin/sh
# docs_pdf: the whole book as one PDF, build/docs/book.pdf, from the site that make docs has built.
#
# Each page of the site becomes a sheet (tools/docs_pdf.py), Chromium prints the sheets one by one
# (tools/browser/print.js), and qpdf binds them. At the end it is looked at once more: each title on its page, each
# figure there. Where a tool is missing, one line names it, with the command that installs it, and the status is 77.

set -eu
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1
site=build/docs/html
sheets=build/docs/print
pdf=build/docs/book.pdf

not_here() {
    echo "docs-pdf: $*" >&2
    exit 77
}

not_whole() {
    echo "docs-pdf: $*" >&2
    exit 1
}

[ -f $site/index.html ] || not_whole "there is no $site: make docs builds it"
sh tools/need.sh python3 qpdf || exit 77
. tools/browser/here.sh

rm -rf $sheets $pdf
mkdir -p $sheets
python3 tools/docs_pdf.py sheets $site $sheets
status=0 # a fault is told, and there is a PDF all the same
node tools/browser/print.js $sheets "$chromium" || status=1
[ -f $sheets/pages.json ] || not_whole "the sheets could not be printed"
python3 tools/docs_pdf.py bind $sheets $pdf || status=1
[ -f $pdf ] || not_whole "the sheets could not be bound"
if command -v pdftotext >/dev/null; then
    python3 tools/docs_pdf.py check $sheets $pdf || status=1
else
    echo "docs-pdf: not checked: $(sh tools/need.sh pdftotext 2>&1)"
fi
echo "docs-pdf: open $pdf"
exit $status
