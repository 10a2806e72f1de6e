"""pagelib: what the page tools (weave, run_pages, lint_*, docs_pages) know about this tree and about Markdown.

Only the small part of Markdown that the pages use: fenced blocks, ATX headings, inline links.
Everything is read as UTF-8 and keeps its line ends; line numbers count from 1.
"""
import os
import re
import subprocess
import sys

# Folders that never hold sources of ours, wherever they stand.
SKIPPED_DIRS = {'.git', 'build', 'mine', '__pycache__', 'node_modules', '.cache', '.vscode', '.idea'}

FENCE = re.compile(r'^( *)(`{3,}|~{3,})\s*([^`]*?)\s*$')
HEADING = re.compile(r'^(#{1,6})\s+(.*?)\s*#*\s*$')
# A link may be broken over two lines, not over two paragraphs.
LINK = re.compile(r'(!?)\[((?:[^\[\]\n]|\n(?!\s*\n)|\[[^\[\]\n]*\])*)\]'
                  r'\(\s*<?([^()\s<>]*)>?(?:\s+"[^"]*")?\s*\)')
CODE_SPAN = re.compile(r'((`+)(?!`)(?:[^\n]|\n(?!\s*\n))+?(?<!`)\2(?!`))')
# Made by tools, in the folders of sources; only a walk without git meets them.
MADE = re.compile(r'(^|/)(compile_commands\.json|\.DS_Store|.*\.(o|d|swp|new)|.*~)$')
MARKER = re.compile(r'^\s*//!\s*\[([^\]]*)\]\s*$')


def root():
    """The top of the tree: the folder above the one of this file."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def own_files(top):
    """All files of the project, as sorted relative paths: git's list, or a walk without git."""
    try:
        run = subprocess.run(['git', '-C', top, 'ls-files', '-co', '--exclude-standard', '-z'],
                             capture_output=True, check=True)
        inside = subprocess.run(['git', '-C', top, 'rev-parse', '--show-prefix'],
                                capture_output=True, check=True)
        if not inside.stdout.strip():  # else top is a plain copy inside somebody else's checkout
            names = [n for n in run.stdout.decode('utf-8', 'replace').split('\0') if n]
            names = [n for n in names if not SKIPPED_DIRS & set(n.split('/')[:-1])]
            return sorted(n for n in set(names) if os.path.isfile(os.path.join(top, n)))
    except (OSError, subprocess.CalledProcessError):
        pass
    found = []
    for folder, dirs, files in os.walk(top):
        dirs[:] = [d for d in dirs if d not in SKIPPED_DIRS]
        found += [os.path.relpath(os.path.join(folder, f), top) for f in files]
    return sorted(f for f in found if not MADE.search(f))


def read(path):
    with open(path, encoding='utf-8', newline='') as file:
        return file.read()


def write(path, text):
    """Writes a page through a second file, so that an interrupted tool never leaves half a page."""
    fresh = path + '.new'
    with open(fresh, 'w', encoding='utf-8', newline='') as file:
        file.write(text)
    os.replace(fresh, path)


class Fence:
    """One fenced block: lines[first] opens it, lines[last] closes it (last is None: never closed)."""

    def __init__(self, first, indent, ticks, info):
        self.first, self.last, self.indent, self.ticks, self.info = first, None, indent, ticks, info

    def words(self):
        return self.info.split()


def fences(lines):
    """The fenced blocks of a page, in order."""
    found, open_one = [], None
    for index, line in enumerate(lines):
        match = FENCE.match(line.rstrip('\r\n'))
        if open_one is None:
            if match:
                open_one = Fence(index, len(match[1]), match[2], match[3])
                found.append(open_one)
        elif match and match[2].startswith(open_one.ticks) and not match[3]:
            open_one.last = index
            open_one = None
    return found


def prose(lines):
    """The page with the insides of fenced blocks and of HTML comments blanked: same count of lines."""
    out = [line.rstrip('\r\n') for line in lines]
    for block in fences(lines):
        end = len(lines) if block.last is None else block.last + 1
        out[block.first:end] = [''] * (end - block.first)
    text = re.sub(r'<!--.*?-->', lambda m: re.sub(r'[^\n]', ' ', m[0]), '\n'.join(out), flags=re.S)
    return text.split('\n')


def headings(lines):
    """(index, level, text) of each heading."""
    found = []
    for index, line in enumerate(prose(lines)):
        match = HEADING.match(line)
        if match:
            found.append((index, len(match[1]), match[2]))
    return found


def slug(text):
    """The anchor that GitHub gives to a heading."""
    text = LINK.sub(lambda m: m[2], text)
    text = re.sub(r'[`*]|</?[a-z]+>', '', text).strip().lower()
    return re.sub(r'[^\w\- ]', '', text).replace(' ', '-')


def anchors(lines):
    """All anchors of a page, index by index: {anchor: index of its line}."""
    found, seen = {}, {}
    for index, _, text in headings(lines):
        name = slug(text)
        count = seen.get(name, 0)
        seen[name] = count + 1
        found[name if count == 0 else '%s-%d' % (name, count)] = index
    for index, line in enumerate(prose(lines)):
        for match in re.finditer(r'<a\s+(?:id|name)="([^"]+)"', line):
            found.setdefault(match[1], index)
    return found


def links(lines):
    """(index, is_image, text, target) of each inline link; code spans do not count."""
    found = []
    text = CODE_SPAN.sub(lambda m: re.sub(r'[^\n]', 'x', m[0]), '\n'.join(prose(lines)))
    for match in LINK.finditer(text):
        found.append((text.count('\n', 0, match.start()), bool(match[1]), match[2], match[3]))
    for match in re.finditer(r'<img\s[^>]*>', text):
        src, alt = (re.search(r'\b%s="([^"]*)"' % a, match[0]) for a in ('src', 'alt'))
        found.append((text.count('\n', 0, match.start()), True, alt[1] if alt else '', src[1] if src else ''))
    return found


def chosen_pages(top, names):
    """The pages named on the command line (relative to here or to the top), or every page of the tree."""
    if not names:
        return [n for n in own_files(top) if n.endswith('.md')]
    pages = []
    for name in names:
        path = name if os.path.isfile(name) else os.path.join(top, name)
        if not os.path.isfile(path):
            sys.exit('%s: no such page' % name)
        pages.append(os.path.relpath(os.path.realpath(path), os.path.realpath(top)))
    return pages
