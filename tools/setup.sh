#!/bin/sh
#
# setup: which tools does this machine lack, and how do they come here?
#
# A C compiler and make are enough to build the servers and to watch `make demo`. The tests, the
# lint and the pages want more. This script looks for each tool, says which package brings it and
# how large that is, and installs it
#     - after asking, when a person sits at the terminal;
#     - unasked, with --yes, with CI=true, or as root;
#     - else not at all: it prints the command, and what needs the tool is skipped in words.
#
# `make test` calls it each time. So it is quick and silent when nothing is missing, and does not
# nag: what was refused or failed stands in build/setup.declined, and --go-on does not try it again.
#
# Status: 0, also when something is missing; 1 when an installation failed, but not with --go-on;
# 2 for a wrong option.

set -u
cd "$(dirname "$0")/.." || exit 1

usage() {
    cat <<'END'
usage: tools/setup.sh [--for test|lint|docs|bench|house|all] [--check | --summary] [--yes] [--go-on]
  --for WHAT   look only at the tools that WHAT needs (default: all)
  --check      install nothing; a line per tool: name, present or missing, package (-: none known)
  --summary    install nothing; one sentence when something is missing, else nothing
  --yes        install without asking
  --go-on      for make: do not try again what was refused or failed, and never fail
END
}

say() { printf 'setup: %s\n' "$*" >&2; }

# ---- The tools ------------------------------------------------------------------------------------

# Each tool, who needs it, and its packages in the list of each manager (-: none known).
tools() {
    cat <<'END'
name          for             apt-get                     dnf                       pacman         brew          pkg            pkgin              pkg_add
cc            test            gcc,libc6-dev               gcc                       gcc            -             -              gcc12              -
make          test            make                        make                      make           -             gmake          gmake              gmake
cmocka        test            libcmocka-dev               libcmocka-devel           cmocka         cmocka        cmocka         cmocka             cmocka
pkg-config    test            pkg-config                  pkgconf-pkg-config        pkgconf        pkgconf       pkgconf        pkgconf            -
liburing      test            liburing-dev                liburing-devel            liburing       -             -              -                  -
bmake         test            bmake                       bmake                     bmake          bmake         -              -                  bmake
python3       test,lint,docs  python3                     python3                   python         python        python3        -                  python%3
mingw         test            gcc-mingw-w64-x86-64-win32  mingw64-gcc               mingw-w64-gcc  mingw-w64     -              -                  -
wine          test            wine,wine64                 wine-core                 wine           -             -              -                  -
c++           lint            g++                         gcc-c++                   gcc            -             -              gcc12              -
clang-format  lint            clang-format                clang-tools-extra         clang          clang-format  llvm           clang-tools-extra  clang-tools-extra
clang-tidy    lint            clang-tidy                  clang-tools-extra         clang          -             llvm           clang-tools-extra  clang-tools-extra
shellcheck    lint            shellcheck                  ShellCheck                shellcheck     shellcheck    hs-ShellCheck  shellcheck         shellcheck
cppcheck      lint            cppcheck                    cppcheck                  cppcheck       cppcheck      cppcheck       -                  -
codespell     lint            codespell                   codespell                 codespell      codespell     -              -                  -
pgrep         lint            procps                      procps-ng                 procps-ng      -             -              -                  -
patch         lint            patch                       patch                     patch          -             -              -                  -
strace        test,lint,bench strace                      strace                    strace         -             -              -                  -
doxygen       docs            doxygen                     doxygen                   doxygen        doxygen       doxygen        doxygen            doxygen
dot           docs            graphviz                    graphviz                  graphviz       graphviz      graphviz       graphviz           graphviz
docs-theme    docs            doxygen-awesome-css         -                         -              -             -              -                  -
qpdf          docs            qpdf                        qpdf                      qpdf           qpdf          qpdf           qpdf               qpdf
pdftotext     docs            poppler-utils               poppler-utils             poppler        poppler       poppler-utils  poppler-utils      -
libuv         bench           libuv1-dev                  libuv-devel               libuv          libuv         libuv          libuv              libuv
libevent      bench           libevent-dev                libevent-devel            libevent       libevent      libevent       libevent           libevent
libev         bench           libev-dev                   libev-devel               libev          libev         libev          libev              libev
gnuplot       bench           gnuplot-nox                 gnuplot-minimal           gnuplot        gnuplot       gnuplot        gnuplot            gnuplot
valgrind      bench,house     valgrind                    valgrind                  valgrind       -             valgrind       -                  -
clang         house           clang                       clang                     clang          -             -              clang              -
pandoc        house           pandoc                      pandoc                    pandoc-cli     pandoc        hs-pandoc      -                  -
bear          house           bear                        bear                      bear           bear          bear           -                  -
socat         house           socat                       socat                     socat          socat         socat          socat              socat
ncat          house           ncat                        nmap-ncat                 nmap           nmap          nmap           nmap               nmap
sanitizers    house           -                           libasan,libubsan,libtsan  -              -             -              -                  -
END
}

has() { command -v "$1" >/dev/null 2>&1; }

has_cmocka() {
    if has pkg-config && pkg-config --exists cmocka; then
        return
    fi
    printf '#include <%s.h>\n' stdarg stddef stdint setjmp cmocka |
        cc -E -I/usr/local/include -I/opt/homebrew/include - >/dev/null 2>&1
}

# Without it the library of chapter 07 is built without io_uring.
has_liburing() {
    { has pkg-config && pkg-config --exists liburing; } ||
        echo '#include <liburing.h>' | cc -E - >/dev/null 2>&1
}

# The libraries beside which the bench measures: has_header HEADER.
has_header() {
    printf '#include <%s>\n' "$1" |
        cc -E -I/usr/local/include -I/usr/pkg/include -I/opt/homebrew/include - >/dev/null 2>&1
}

# What runs Windows programs: in WSL the Windows kernel can, else Wine (chapters/06_iocp/wine.sh).
has_wine() {
    has wine || has wine64 || {
        grep -qi microsoft /proc/version && [ -e /proc/sys/fs/binfmt_misc/WSLInterop ]
    } 2>/dev/null
}

# Fedora packs the sanitizers' libraries apart; elsewhere they come with the compiler.
has_sanitizers() { [ "$manager" != dnf ] || [ -e "$(cc -print-file-name=libtsan.so 2>&1)" ]; }

is_present() {
    case $1:$system in
        cc:*) has cc || has gcc || has clang ;;
        make:*BSD) has gmake ;;
        bmake:FreeBSD | bmake:NetBSD) true ;; # their make is bmake
        pkg-config:*) has pkg-config || has pkgconf ;;
        cmocka:*) has_cmocka ;;
        liburing:Linux) has_liburing ;;
        liburing:*) true ;; # io_uring is of Linux alone
        libuv:*) has_header uv.h ;;
        libevent:*) has_header event2/event.h ;;
        libev:*) has_header ev.h ;;
        mingw:*) has x86_64-w64-mingw32-gcc ;;
        wine:*) has_wine ;;
        sanitizers:*) has_sanitizers ;;
        docs-theme:*) [ -f /usr/share/doxygen-awesome-css/doxygen-awesome.css ] ;;
        *) has "$1" ;;
    esac
}

# A line per tool that `$purpose` needs: name, present or missing, packages.
look() {
    tools | awk -v who="$purpose" -v manager="$manager" '
        NR == 1 { for (i = 3; i <= NF; i++) if ($i == manager) column = i; next }
        who == "all" || index("," $2 ",", "," who ",") { print $1, column ? $column : "-" }
    ' | while read -r name package; do
        if is_present "$name" </dev/null; then state=present; else state=missing; fi
        printf '%s\t%s\t%s\n' "$name" "$state" "$package"
    done
}

# ---- The package managers -------------------------------------------------------------------------

find_manager() {
    case $system in
        NetBSD) wanted=pkgin ;;
        OpenBSD) wanted=pkg_add ;;
        *BSD) wanted=pkg ;;
        Darwin) wanted=brew ;;
        *) wanted="apt-get dnf pacman brew" ;;
    esac
    for manager in $wanted; do
        has "$manager" && return
    done
    manager=none
}

# The words that come before the packages.
install_words() {
    case $manager in
        apt-get) echo "apt-get install --yes --no-install-recommends" ;;
        dnf) echo "dnf install --assumeyes" ;;
        pacman) echo "pacman -S --needed --noconfirm" ;;
        brew) echo "brew install" ;;
        pkg) echo "pkg install --yes" ;;
        pkgin) echo "pkgin -y install" ;;
        pkg_add) echo "pkg_add -I" ;;
    esac
}

# What fetches a fresh list of packages; nothing where an installation does that by itself.
refresh_words() {
    case $manager in
        apt-get) echo "apt-get update" ;;
        pacman) echo "pacman -Sy" ;;
        pkgin) echo "pkgin -y update" ;;
    esac
}

# What an installation of $packages would say of its size, without doing it.
rehearse() {
    # shellcheck disable=SC2086 # packages are words
    case $manager in
        apt-get) apt-get install --yes --no-install-recommends --print-uris $packages ;;
        dnf) dnf install --assumeno --cacheonly $packages ;;
        pacman) pacman -Sp --print-format '%s' $packages ;;
        pkg) pkg install --dry-run --no-repo-update $packages ;;
        pkgin) pkgin -n install $packages ;;
    esac
}

size_in_words() {
    LC_ALL=C rehearse 2>/dev/null </dev/null | awk '
        /^Need to get/          { get = $4 " " $5; sub("/.*", "", get) }
        /^After this operation/ { use = $4 " " $5 }
        /^Total download size:/ { get = $4 " " $5 }
        /^Installed size:/      { use = $3 " " $4 }
        /to be downloaded/      { get = $1 " " $2 }
        /to download/           { get = $0; sub(/ to download.*/, "", get); sub(/.*\(/, "", get) }
        /^[0-9]+$/              { sum += $1; get = sprintf("%.1f MB", sum / 1e6) }
        END {
            if (get) printf "%s to download", get
            if (get && use) printf ", "
            if (use) printf "%s on disk", use
            if (!get && !use) printf "the package manager does not tell their size yet"
        }'
}

# How to become root here, in $as_root: the command that does, or nothing where none is needed
# (Homebrew must not run as root). False where there is no way.
find_root() {
    as_root=
    if [ "$uid" -eq 0 ] || [ "$manager" = brew ]; then return 0; fi
    for as_root in sudo doas; do
        has $as_root && return
    done
    as_root=
    return 1
}

# ---- Asking and installing ------------------------------------------------------------------------

is_terminal() { [ -t 0 ] && [ -t 2 ]; }

may_install() {
    if [ "$yes" = 1 ] || [ "${CI:-}" = true ]; then return 0; fi
    if [ "$uid" -eq 0 ] && [ "$manager" != brew ]; then return 0; fi
    is_terminal || return 1
    printf 'setup: install them now? [y/N] ' >&2
    read -r answer || answer=no
    case $answer in [yY]*) return 0 ;; *) return 1 ;; esac
}

# Runs the package manager. Its words go to a log: they matter only where it fails. Where nobody
# can type a password, none is asked for (-n).
manage() {
    if [ -n "$as_root" ]; then
        is_terminal && no_password='' || no_password=-n
        # shellcheck disable=SC2086 # an empty $no_password is no word
        set -- "$as_root" $no_password env DEBIAN_FRONTEND=noninteractive "$@"
    fi
    DEBIAN_FRONTEND=noninteractive "$@" >>build/setup.log 2>&1 </dev/null
}

# Three rounds at most: as it is, with a fresh list of packages, and one package at a time, because
# one name that this release does not know makes the managers refuse all of them.
install_packages() {
    install=$(install_words)
    refresh=$(refresh_words)
    # shellcheck disable=SC2086 # commands and packages are words
    {
        manage $install $packages && return
        if [ -n "$refresh" ]; then
            manage $refresh || return
            manage $install $packages && return
        fi
        for package in $packages; do
            manage $install $package
        done
    }
}

# ---- The story ------------------------------------------------------------------------------------

purpose=all mode=install yes=0 go_on=0
while [ $# -gt 0 ]; do
    case $1 in
        --for)
            purpose=${2:-}
            case $purpose in
                test | lint | docs | bench | house | all) shift ;;
                *) say "--for wants test, lint, docs, bench, house or all, not '$purpose'"; exit 2 ;;
            esac
            ;;
        --check | --summary) mode=${1#--} ;;
        --yes) yes=1 ;;
        --go-on) go_on=1 ;;
        -h | --help) usage; exit 0 ;;
        *) say "no such option: $1"; usage >&2; exit 2 ;;
    esac
    shift
done

system=$(uname -s)
uid=$(id -u)
find_manager

found=$(look)
if [ "$mode" = check ]; then
    printf '%s\n' "$found"
    exit 0
fi

# Where nobody packages the theme of the pages, they do without; what builds and runs Windows programs
# is for one chapter, which says by itself what it lacks.
missing=$(printf '%s\n' "$found" | awk '
    $2 == "missing" && ($3 != "-" || $1 !~ /^(docs-theme|mingw|wine)$/)')
if [ -z "$missing" ]; then
    [ "$mode$go_on" = install0 ] && say "nothing is missing"
    exit 0
fi
names=$(printf '%s\n' "$missing" | awk '{ printf "%s%s", comma, $1; comma = ", " }')
packages=$(printf '%s\n' "$missing" | awk '
    $3 != "-" && !seen[$3]++ { gsub(",", " ", $3); printf "%s%s", space, $3; space = " " }')
by_hand=$(printf '%s\n' "$missing" | awk '$3 == "-" { printf "%s%s", comma, $1; comma = ", " }')

if [ "$mode" = summary ]; then
    echo "make setup would add $names${packages:+ ($(size_in_words))}"
    exit 0
fi

declined=build/setup.declined
if [ $go_on = 1 ] && [ "$(cat $declined 2>/dev/null)" = "$names" ]; then
    say "still without $names; make setup tries again"
    exit 0
fi

mkdir -p build || exit 1
printf '%s\n' "$names" >$declined
say "missing: $names"
[ -z "$by_hand" ] || say "to be installed by hand, no package known here: $by_hand"
[ -n "$packages" ] || exit 0

find_root && possible=1 || possible=0
how="${as_root:+$as_root }$(install_words) $packages"
[ "$possible" = 1 ] || how="$how   (as root)"
say "packages: $packages ($(size_in_words))"
if [ "$possible" = 0 ] || ! may_install; then
    say "nothing was installed; this does it: $how"
    say "until then, what needs them is skipped and says so"
    exit 0
fi

say "running: $how"
: >build/setup.log
install_packages

still=$(look | awk '$2 == "missing" && $3 != "-" { printf "%s%s", comma, $1; comma = ", " }')
if [ -z "$still" ]; then
    rm -f $declined
    say "installed"
    exit 0
fi
say "$manager did not bring $still (no network?); its words are in build/setup.log"
[ $go_on = 1 ]
