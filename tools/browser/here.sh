# here.sh: finds a Chromium, Node.js and what drives the one from the other. To be sourced, from the top of the
# tree, by scripts that have a function not_here WORDS; it is called when one of them cannot be had.
#
# Sets $chromium and exports NODE_PATH. playwright-core and axe-core come into build/browser, once, by npm.
# shellcheck shell=sh disable=SC2034 # who sources it uses $chromium

home=build/browser

first_of() {
    for name in "$@"; do command -v "$name" && return; done
    return 1
}

wants() {
    not_here "$(sh tools/need.sh "$1" 2>&1)"
}

chromium=$(first_of chromium chromium-browser google-chrome chrome) || wants chromium
first_of node >/dev/null || wants node
if [ ! -d $home/node_modules/axe-core ] || [ ! -d $home/node_modules/playwright-core ]; then
    first_of npm >/dev/null || wants npm
    npm install --silent --no-audit --no-fund --no-save --prefix $home playwright-core@1.65 axe-core@4.14 \
        >$home.log 2>&1 || not_here "npm could not get playwright-core and axe-core (see $home.log)"
fi
NODE_PATH=$PWD/$home/node_modules
export NODE_PATH
