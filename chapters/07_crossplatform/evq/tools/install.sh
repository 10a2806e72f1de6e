#!/bin/sh
# install.sh: links the shared library, puts evq where programs find it, and takes it away again.
#
#   install.sh link           the objects in $BUILD/evq/shared become the shared library
#   install.sh install        to $DESTDIR$PREFIX: libraries, header, pkg-config file, man pages
#   install.sh uninstall      removes the same files, and no folder
#
# The Makefile calls it, with CC, CFLAGS, LDFLAGS, BUILD, PREFIX, DESTDIR and PRIVATE (what a program
# needs beside the static library) in the environment. DESTDIR is for those who make packages: the files
# go below it, and are written as if it were not there.
#
# The shared library's name follows the version in evq.h, MAJOR.MINOR.PATCH:
#
#   libevq.so -> libevq.so.MAJOR -> libevq.so.MAJOR.MINOR.PATCH       Linux and the BSDs
#   libevq.dylib -> libevq.MAJOR.dylib -> libevq.MAJOR.MINOR.PATCH.dylib      macOS
#
# Programs are bound to the one in the middle, so a new MAJOR does not break those that are there. For
# Windows there is the static library only: it is enough, and no file has to lie beside a program.
set -eu

action=${1:?usage: install.sh link|install|uninstall}
: "${CC:?}" "${CFLAGS=}" "${LDFLAGS=}" "${BUILD:?}" "${PREFIX:?}" "${DESTDIR=}" "${PRIVATE=}"
header=include/evq.h
shared=$BUILD/evq/shared
man=$BUILD/evq/man

version_part() { sed -n "s/^#define EVQ_VERSION_$1 //p" $header; }
major=$(version_part MAJOR)
version=$major.$(version_part MINOR).$(version_part PATCH)

# The system that the compiler compiles for, and the names of the shared library there: the file, what
# programs are bound to, what the linker looks for.
machine=$($CC -dumpmachine) # CC may have options: bmake's is "cc -pipe"
case $machine in
*darwin*) file=libevq.$version.dylib bound=libevq.$major.dylib plain=libevq.dylib ;;
*mingw*) file='' bound='' plain='' ;;
*) file=libevq.so.$version bound=libevq.so.$major plain=libevq.so ;;
esac

# ---- the shared library ----------------------------------------------------------------------------

# The functions that evq.h declares. They, and nothing else, can be seen from outside.
functions() { sed -n 's/^[a-z].*[ *]\(evq_[a-z_]*\)(.*/\1/p' $header; }

link_shared() {
    case $machine in
    *mingw*) return ;;
    *darwin*)
        functions | sed 's/^/_/' >"$shared/exports"
        set -- -dynamiclib "-Wl,-install_name,$bound" "-Wl,-exported_symbols_list,$shared/exports"
        ;;
    *)
        { echo '{ global:' && functions | sed 's/$/;/' && echo 'local: *; };'; } >"$shared/exports"
        set -- -shared "-Wl,-soname,$bound" "-Wl,--version-script=$shared/exports"
        ;;
    esac
    echo "LD  $file"
    # shellcheck disable=SC2086 # lists of options
    $CC $CFLAGS "$@" -o "$shared/$file" "$shared"/*.o $LDFLAGS $PRIVATE
}

# ---- what is installed where -----------------------------------------------------------------------

lib=$PREFIX/lib
include=$PREFIX/include
man3=$PREFIX/share/man/man3
# FreeBSD's pkg-config looks there, and not beside the libraries.
case $machine in *freebsd* | *dragonfly*) pc=$PREFIX/libdata/pkgconfig ;; *) pc=$lib/pkgconfig ;; esac

# All files, the folder that they go to first. uninstall goes by this list, too.
files() {
    echo "$include/evq.h"
    echo "$lib/libevq.a"
    if [ -n "$file" ]; then printf '%s\n' "$lib/$file" "$lib/$bound" "$lib/$plain"; fi
    echo "$pc/evq.pc"
    awk -v list=1 -f tools/man.awk $header | sed "s|^|$man3/|"
}

# Where the static library is the only one, each program needs what it needs.
pkg_config_file() {
    if [ -n "$file" ]; then libs='' private=$PRIVATE; else libs=" $PRIVATE" private=''; fi
    prefix=$(printf '%s\n' "$PREFIX" | sed 's/[ \\]/\\&/g; s/[&|\\]/\\&/g')
    sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" -e "s|@LIBS@|$libs|" -e "s|@PRIVATE@|$private|" evq.pc.in
}

# Reads one file from stdin into place. It is made anew: a program that runs keeps the old library.
put() {
    mkdir -p "$DESTDIR${2%/*}"
    rm -f "$DESTDIR$2"
    cat >"$DESTDIR$2"
    chmod "$1" "$DESTDIR$2"
}

put_link() {
    rm -f "$DESTDIR$2"
    ln -s "$1" "$DESTDIR$2"
}

put_pages() {
    mkdir -p "$DESTDIR$man3"
    for page in "$man"/*.3; do set -- "$@" "$DESTDIR$man3/${page##*/}"; done
    rm -f "$@"
    cp "$man"/*.3 "$DESTDIR$man3"
    chmod 644 "$@"
}

install_all() {
    umask 022
    put 644 "$include/evq.h" <$header
    put 644 "$lib/libevq.a" <"$BUILD/libevq.a"
    if [ -n "$file" ]; then
        put 755 "$lib/$file" <"$shared/$file"
        put_link "$file" "$lib/$bound"
        put_link "$bound" "$lib/$plain"
        case $machine in *darwin*) install_name_tool -id "$lib/$bound" "$DESTDIR$lib/$file" ;; esac
    else
        echo "evq: for Windows there is the static library only"
    fi
    pkg_config_file | put 644 "$pc/evq.pc"
    put_pages
    echo "evq $version is installed in $DESTDIR$PREFIX"
    case $machine:$DESTDIR in
    *linux*:) echo "If a program does not find $bound: run ldconfig once, as root, or set LD_LIBRARY_PATH=$lib" ;;
    esac
}

uninstall_all() {
    files | (
        while IFS= read -r name; do set -- "$@" "$DESTDIR$name"; done
        rm -f "$@"
    )
    echo "evq is removed from $DESTDIR$PREFIX"
}

# ---- all of it -------------------------------------------------------------------------------------

for folder in "$PREFIX" "$DESTDIR"; do
    case $folder in
    /* | '') ;;
    *) echo "install.sh: '$folder' does not begin with /; PREFIX and DESTDIR must" >&2 && exit 2 ;;
    esac
done

case $action in
link) link_shared ;;
install) install_all ;;
uninstall) uninstall_all ;;
*) echo "install.sh: there is no '$action'" >&2 && exit 2 ;;
esac
