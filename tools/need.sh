#!/bin/sh
# need: is a tool here?   need.sh TOOL...
#
# Says nothing when it is. Else one line names the tool and the command that installs it on this
# system, and the status is 1. A TOOL may have options behind it ("cc -m32"): the first word counts.

set -u

# The name of the package that holds tool $1, for the package manager $2.
package() {
    case $1:$2 in
    cc:apt-get | gcc:apt-get) echo build-essential ;;
    clang:pkg | clang:pkgin | clang:pkg_add) echo llvm ;;
    cc:* | c99:* | c11:*) echo gcc ;;
    clang-format:dnf) echo clang-tools-extra ;;
    clang-format:pacman) echo clang ;;
    clang-format:pkg | clang-format:pkgin | clang-format:pkg_add) echo llvm ;;
    python3:pacman) echo python ;;
    pandoc:pacman) echo pandoc-cli ;;
    pandoc:pkg) echo hs-pandoc ;;
    x86_64-w64-mingw32-gcc:apt-get) echo gcc-mingw-w64-x86-64-win32 ;;
    x86_64-w64-mingw32-gcc:dnf) echo mingw64-gcc ;;
    x86_64-w64-mingw32-gcc:pacman) echo mingw-w64-gcc ;;
    x86_64-w64-mingw32-gcc:zypper) echo mingw64-cross-gcc ;;
    x86_64-w64-mingw32-gcc:apk) echo mingw-w64-gcc ;;
    x86_64-w64-mingw32-gcc:*) echo mingw-w64 ;;
    wine:apt-get) echo "wine wine64" ;;
    gmake:apt-get | gmake:dnf | gmake:pacman | gmake:brew) echo make ;;
    node:apt-get | node:dnf | node:pacman | node:zypper | node:apk) echo nodejs ;;
    npm:brew) echo node ;;
    chromium:brew) echo "--cask chromium" ;;
    pdftotext:pacman | pdftotext:brew) echo poppler ;;
    pdftotext:zypper) echo poppler-tools ;;
    pdftotext:*) echo poppler-utils ;;
    *) echo "$1" ;;
    esac
}

has() {
    command -v "$1" >/dev/null 2>&1
}

how_to_install() {
    case $1:$(uname -s) in
    x86_64-w64-mingw32-gcc:*BSD | wine:Darwin) echo "no package is known here" && return ;;
    cc:Darwin | gcc:Darwin | clang:Darwin | git:Darwin) echo "xcode-select --install" && return ;;
    esac
    if has apt-get; then echo "sudo apt-get install $(package "$1" apt-get)"
    elif has dnf; then echo "sudo dnf install $(package "$1" dnf)"
    elif has pacman; then echo "sudo pacman -S $(package "$1" pacman)"
    elif has zypper; then echo "sudo zypper install $(package "$1" zypper)"
    elif has apk; then echo "sudo apk add $(package "$1" apk)"
    elif has brew; then echo "brew install $(package "$1" brew)"
    elif has pkg; then echo "pkg install $(package "$1" pkg)"
    elif has pkgin; then echo "pkgin install $(package "$1" pkgin)"
    elif has pkg_add; then echo "pkg_add $(package "$1" pkg_add)"
    else echo "the package manager of your system"
    fi
}

status=0
for tool; do
    tool=${tool%% *}
    if ! has "$tool"; then
        echo "This needs $tool, which is not here. To install it: $(how_to_install "$tool")" >&2
        status=1
    fi
done
exit $status
