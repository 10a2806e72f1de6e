#!/bin/sh
# docs: builds the site of all pages and of the public headers, with Doxygen, into build/docs/html.
#
# With the package doxygen-awesome-css it gets that theme, light and dark; without it, it is plain.
# Warnings are shown; with CI=true or WERROR=1 they are errors.

set -eu
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

sh tools/need.sh doxygen python3

out=build/docs
theme=/usr/share/doxygen-awesome-css
mkdir -p $out
python3 tools/docs_pages.py $out/pages
rm -rf $out/html

# What differs from one version of Doxygen to the next is set only where it is known.
knows() {
    doxygen -s -g - | grep -q "^$1 "
}

{
    echo "@INCLUDE = docs/Doxyfile"
    echo "HTML_EXTRA_STYLESHEET = docs/site.css"
    # A function's text may say what its parameters are without a list of them.
    ! knows WARN_IF_INCOMPLETE_DOC || echo "WARN_IF_INCOMPLETE_DOC = NO"
    case ${CI-}${WERROR-} in
    '' | 0) ;;
    *) echo "WARN_AS_ERROR = FAIL_ON_WARNINGS" ;;
    esac
    doxygen -w html $out/header.html $out/footer.html $out/unused.css docs/Doxyfile
    awk -v theme="$([ ! -f $theme/doxygen-awesome.css ] || echo yes)" '
        function script(name) { print "<script type=\"text/javascript\" src=\"$relpath^" name ".js\"></script>" }
        { sub(/<html /, "<html lang=\"en\" ") }
        /<\/head>/ {
            script("site")
            if (theme) {
                script("doxygen-awesome-darkmode-toggle")
                script("doxygen-awesome-fragment-copy-button")
                print "<script type=\"text/javascript\">DoxygenAwesomeDarkModeToggle.init();"
                print "DoxygenAwesomeFragmentCopyButton.init();</script>"
            }
        } { print }' $out/header.html >$out/header_of_site.html
    echo "HTML_HEADER = $out/header_of_site.html"
    echo "HTML_EXTRA_FILES = docs/site.js"
    if [ -f $theme/doxygen-awesome.css ]; then
        echo "HTML_EXTRA_STYLESHEET = $theme/doxygen-awesome.css \\"
        echo "    $theme/doxygen-awesome-sidebar-only.css \\"
        echo "    $theme/doxygen-awesome-sidebar-only-darkmode-toggle.css docs/site.css"
        echo "HTML_EXTRA_FILES += $theme/doxygen-awesome-darkmode-toggle.js \\"
        echo "    $theme/doxygen-awesome-fragment-copy-button.js"
        ! knows HTML_COLORSTYLE || echo "HTML_COLORSTYLE = LIGHT"
    fi
} >$out/Doxyfile

status=0
doxygen $out/Doxyfile || status=$?
for image in "$out"/pages/.images/*; do
    [ ! -f "$image" ] || cp "$image" $out/html/
done
if [ -s $out/warnings.txt ]; then
    cat $out/warnings.txt >&2
fi
[ $status -eq 0 ] || { echo "docs: doxygen ended with status $status" >&2 && exit 1; }
[ -f $theme/doxygen-awesome.css ] ||
    echo "docs: without a theme (Debian and Ubuntu have one: apt-get install doxygen-awesome-css)"
echo "docs: open $out/html/index.html"
