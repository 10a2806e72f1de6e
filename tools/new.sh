#!/bin/sh
# new: a step of your own to change.   new.sh CH STEP     (make new CH=02 STEP=2)
#
# Copies a step and the files that it includes into mine/02_step2, with a small Makefile.
# The folder mine/ belongs to the reader: git does not track it and no test looks into it.

set -eu
cd "$(dirname "$0")/.."

source=$(sh tools/find.sh step "${1-}" "${2-}")
number=$(sh tools/find.sh number "$1")
chapter=${source%/*}
program=${source##*/}
program=${program%.c}
folder=mine/${number}_step$2

if [ -e "$folder" ]; then
    echo "$folder is there already, and it is yours: nothing was copied." >&2
    echo "To start afresh give it another name first, for instance: mv $folder $folder.old" >&2
    exit 1
fi

# The headers of our own that the file $1 includes.
headers_of() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$1"
}

# Copies the file $1 and whatever it includes: each name.h brings its name.c along.
copy_with_includes() {
    cp "$1" "$folder/"
    for header in $(headers_of "$1"); do
        for part in "${header##*/}" "$(basename "$header" .h).c"; do
            for home in "$chapter/$part" "$chapter/carried/$part" "$chapter/windows/$part"; do
                [ ! -f "$home" ] || [ -f "$folder/${home##*/}" ] || copy_with_includes "$home"
            done
        done
    done
}

# The steps of chapter 07's mini share files and a Makefile: the whole folder comes along. A step that is
# made for several queues is several programs; what a system cannot build its Makefile leaves out.
copy_mini() {
    cp -R "$chapter" "$chapter/../carried" "$folder/"
    case $program in
    step5_*) names="step5_epoll step5_kqueue" ;;
    step6_*) names="step6_epoll step6_kqueue step6_iocp.exe" ;;
    *) names=$program ;;
    esac
    {
        echo "CFLAGS = -O2 -g"
        echo "all:"
        for name in $names; do
            echo "	@\$(MAKE) -C mini CFLAGS='\$(CFLAGS)' KQUEUE=../../../chapters/05_kqueue/linux ../build/mini/$name"
        done
    } >"$folder/Makefile"
    echo "$folder is yours now: change mini/$program.c. Then"
    echo "  make -C $folder"
    for name in $names; do
        [ -z "${name##*_iocp.exe}" ] || echo "  make check SERVER=$folder/build/mini/$name"
    done
    echo "build it, and tell whether it still keeps the contract."
}

mkdir -p "$folder"
case $chapter in */mini) copy_mini && exit ;; esac
copy_with_includes "$source"

# A chapter whose queue Linux does not have brings one along, in linux/.
queue=
if [ -d "$chapter/linux" ]; then
    cp -R "$chapter/linux" "$folder/"
    queue=" \`case \$\$(uname -s) in Linux) echo -Ilinux linux/*.c ;; esac\`"
fi
# Windows programs: the cross compiler makes them on other systems, and under MSYS2 gcc itself.
compiler="\$(CC)" libraries="-pthread"
if grep -qE '^#include (<winsock2.h>|"wintcp.h")' "$source"; then
    compiler="\`command -v x86_64-w64-mingw32-gcc || echo gcc\`"
    libraries="-static -lws2_32"
    program=$program.exe
    rm -f "$folder"/tcp.c # others call it on POSIX systems only
fi
files=$(cd "$folder" && echo *.[ch])
cat >"$folder/Makefile" <<MAKEFILE
CFLAGS = -O2 -g
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion
FEATURES = -D_GNU_SOURCE -D_NETBSD_SOURCE

build/$program: $files
	@mkdir -p build
	@echo "CC ${program%.exe}.c"
	@$compiler -std=c11 \$(FEATURES) \$(WARN) \$(CFLAGS) -o build/$program *.c$queue $libraries
MAKEFILE

echo "$folder is yours now: change ${program%.exe}.c. Then"
echo "  make -C $folder"
echo "  make run SERVER=$folder/build/$program"
echo "  make check SERVER=$folder/build/$program"
echo "build it, run it, and tell whether it still keeps the contract."
