#!/bin/sh
# mingw_cmocka.sh: makes cmocka for Windows, which no distribution packages, from the source package that
# this distribution builds its own cmocka from.
#
#   mingw_cmocka.sh DIR       afterwards: DIR/libcmocka.a and DIR/include/cmocka.h
#
# It is fetched with apt-get, with a list of sources and a state folder of its own inside DIR: nothing
# outside DIR is written, and no rights are needed. apt-get checks the signature as always. Where that
# does not work (another system, no network) it says why, and ends with status 77.
set -eu

dir=${1:?usage: mingw_cmocka.sh DIR}
cc=${MINGW_CC:-x86_64-w64-mingw32-gcc}

cannot() {
    echo "cmocka for Windows: $*" >&2
    exit 77
}

# The system's own sources, asked for source packages: both forms that apt knows.
write_sources() {
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"apt/parts/${file##*/}"
    done
    : >apt/sources.list
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >>apt/sources.list
    done
}

apt() {
    apt-get -qq -o Dir::Etc::SourceList="$PWD/apt/sources.list" \
        -o Dir::Etc::SourceParts="$PWD/apt/parts" -o Dir::State::Lists="$PWD/apt/lists" \
        -o Dir::Cache="$PWD/apt/cache" -o Debug::NoLocking=1 "$@" >>apt/log 2>&1
}

fetch() {
    write_sources
    apt update && apt source --download-only cmocka
}

build() {
    mkdir -p source include object
    tar -xf cmocka_*.orig.tar.?z -C source --strip-components=1
    cp source/include/*.h include
    "$cc" -std=gnu11 -O2 -w -Iinclude -DHAVE_INTTYPES_H -DHAVE_MALLOC_H -DHAVE_SIGNAL_H \
        -DHAVE_STRINGS_H -DHAVE_STRUCT_TIMESPEC -DHAVE_GCC_THREAD_LOCAL_STORAGE \
        -c -o object/cmocka.o source/src/cmocka.c
    ar rc libcmocka.a.new object/cmocka.o
}

mkdir -p "$dir"
cd "$dir"
[ ! -f libcmocka.a ] || exit 0
command -v "$cc" >/dev/null || cannot "there is no $cc"
command -v apt-get >/dev/null || cannot "there is no apt-get to fetch its sources with"
ls cmocka_*.orig.tar.?z >/dev/null 2>&1 || fetch || cannot "its sources cannot be fetched: $dir/apt/log"
build
mv libcmocka.a.new libcmocka.a
