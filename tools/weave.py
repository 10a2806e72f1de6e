#!/usr/bin/env python3
"""weave: writes code, tables and diffs that come from somewhere else into the Markdown pages.

usage: weave.py [--check] [PAGE...]          (default: every page of the tree)

    <!-- code: step1_sequential.c accept_loop -->     the ```c block below it becomes the lines of
                                                      that file between two lines //! [accept_loop]
    <!-- matrix: 01 --> ... <!-- end -->              the lines between become: sh tools/matrix.sh 01
    <!-- diff: 01/2 -->  or  <!-- diff: 01/2 90 -->   the ```diff block below it becomes:
                                                      sh tools/diff.sh 01 2, without hunks that only
                                                      touch comments, at most 60 (or 90) lines

With --check nothing is written: each block that differs is named with its page and line, and the
status is 1. The status is also 1, with one line for each, when a page or a source is malformed.
"""
import os
import re
import subprocess
import sys

import pagelib

CODE_LINES_MAX = 60    # a longer block is not read but scrolled past: split it
DIFF_LINES = 60
COMMAND = re.compile(r'^( *)<!--\s*(code|matrix|diff)\s*:\s*(.*?)\s*-->\s*$')
END = re.compile(r'^ *<!--\s*end\s*-->\s*$')


class Problem(Exception):
    """Something to tell about one place of a page; with `note` set it does not make weave fail."""

    def __init__(self, words, note=False):
        super().__init__(words)
        self.note = note


# ---- what goes in -------------------------------------------------------------------------------

def marked_pieces(path):
    """{name: lines} of a source: what stands between its pairs of marker lines, without any marker."""
    pieces, opened = {}, {}
    for number, line in enumerate(pagelib.read(path).splitlines(), 1):
        marker = pagelib.MARKER.match(line)
        if not marker:
            for name in opened:
                pieces[name].append(line)
            continue
        name = marker[1]
        if not re.fullmatch(r'[a-z0-9_]+', name):
            raise Problem('line %d: a marker is //! [name], name of a-z, 0-9 and _' % number)
        if name in opened:
            if next(reversed(opened)) != name:
                raise Problem('line %d: marker [%s] closes before [%s] inside it is closed'
                              % (number, name, next(reversed(opened))))
            del opened[name]
        elif name in pieces:
            raise Problem('line %d: a second pair of markers [%s]' % (number, name))
        else:
            opened[name] = number
            pieces[name] = []
    for name, number in opened.items():
        raise Problem('line %d: marker [%s] is never closed' % (number, name))
    return pieces


def dedented(lines):
    """The lines without the indentation that they share and without blank lines at both ends."""
    while lines and not lines[0].strip():
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    shared = min((len(line) - len(line.lstrip(' ')) for line in lines if line.strip()), default=0)
    return [line[shared:].rstrip() for line in lines]


def code(top, page, words):
    if len(words) != 2:
        raise Problem('write <!-- code: FILE NAME -->')
    source = os.path.normpath(os.path.join(os.path.dirname(page), words[0]))
    if not os.path.isfile(os.path.join(top, source)):
        raise Problem('no file %s' % source)
    try:
        pieces = marked_pieces(os.path.join(top, source))
    except Problem as problem:
        raise Problem('%s: %s' % (source, problem)) from None
    if words[1] not in pieces:
        raise Problem('%s has no marker //! [%s]' % (source, words[1]))
    lines = dedented(pieces[words[1]])
    if len(lines) > CODE_LINES_MAX:
        raise Problem('[%s] has %d lines, more than %d: split it' % (words[1], len(lines), CODE_LINES_MAX))
    return lines


def output_of(top, script, *words):
    """The lines that a script of tools/ prints; a note when it cannot tell."""
    if not os.path.isfile(os.path.join(top, 'tools', script)):
        raise Problem('left as it is: there is no tools/%s' % script, note=True)
    run = subprocess.run(['sh', 'tools/' + script] + list(words), cwd=top, stdin=subprocess.DEVNULL,
                         capture_output=True, check=False)
    if run.returncode != 0:
        said = run.stderr.decode('utf-8', 'replace').strip().split('\n')[-1]
        raise Problem('left as it is: %s (tools/%s: status %d)' % (said, script, run.returncode), note=True)
    return [line.rstrip() for line in run.stdout.decode('utf-8').splitlines()]


def matrix(top, words):
    if len(words) != 1:
        raise Problem('write <!-- matrix: 01 -->')
    if not os.path.isfile(os.path.join(top, 'build', 'tests', 'contract.tsv')):
        raise Problem('left as it is: no results yet (run: make test)', note=True)
    return [''] + dedented(output_of(top, 'matrix.sh', words[0])) + ['']


def is_talk(line):
    """True for a line of a diff that changes only a comment or nothing that can be seen."""
    text = line[1:].strip()
    return not text or text.startswith(('//', '/*', '*')) or text.endswith('*/') and '/*' not in text


def diff(top, words):
    if not 1 <= len(words) <= 2 or not re.fullmatch(r'\d\d/\d', words[0]):
        raise Problem('write <!-- diff: 01/2 --> or <!-- diff: 01/2 90 -->')
    chapter, step = words[0].split('/')
    most = int(words[1]) if len(words) == 2 else DIFF_LINES
    head, hunks = [], []
    for line in output_of(top, 'diff.sh', chapter, step):
        if line.startswith('@@'):
            hunks.append([line])
        elif not pagelib.MARKER.match(line[1:]):
            (hunks[-1] if hunks else head).append(line)
    kept = [h for h in hunks if any(l[:1] in '+-' and not is_talk(l) for l in h[1:] if l)]
    lines = head + [line for hunk in kept for line in hunk]
    if len(lines) > most:
        lines = lines[:most] + ['... %d more lines: make diff CH=%s STEP=%s'
                                % (len(lines) - most, chapter, step)]
    return lines


# ---- into the page ------------------------------------------------------------------------------

def block_below(blocks, index, lines, language):
    """The fenced block that starts on the next line that is not blank."""
    below = index + 1
    while below < len(lines) and not lines[below].strip():
        below += 1
    for block in blocks:
        if block.first == below and block.words()[:1] == [language]:
            if block.last is None:
                raise Problem('the block below is never closed')
            return block
    raise Problem('a block ```%s must stand directly below' % language)


def end_of_table(index, lines):
    for below in range(index + 1, len(lines)):
        if END.match(lines[below]):
            return below
        if COMMAND.match(lines[below]):
            break
    raise Problem('no <!-- end --> below')


def weave_one(top, page, index, lines, blocks):
    """(first, last, new): lines[first:last] should be new."""
    match = COMMAND.match(lines[index])
    indent, kind, words = match[1], match[2], match[3].split()
    if kind == 'matrix':
        first, last = index + 1, end_of_table(index, lines)
        new = matrix(top, words)
    else:
        block = block_below(blocks, index, lines, {'code': 'c', 'diff': 'diff'}[kind])
        first, last = block.first + 1, block.last
        new = code(top, page, words) if kind == 'code' else diff(top, words)
        if any(line.lstrip().startswith(block.ticks) for line in new):
            raise Problem('the text itself holds %s: open the block with more of them' % block.ticks)
    return first, last, [(indent + line).rstrip() for line in new]


def weave_page(top, page, check):
    """Weaves one page; returns how many problems it told."""
    lines = pagelib.read(os.path.join(top, page)).split('\n')
    blocks = pagelib.fences(lines)
    inside = {i for b in blocks for i in range(b.first, (b.last or len(lines)) + 1)}
    edits, problems = [], 0
    for index, line in enumerate(lines):
        if index in inside or not COMMAND.match(line):
            continue
        try:
            first, last, new = weave_one(top, page, index, lines, blocks)
        except Problem as problem:
            print('%s:%d: %s%s' % (page, index + 1, 'note: ' if problem.note else '', problem))
            problems += 0 if problem.note else 1
            continue
        if lines[first:last] != new:
            edits.append((first, last, new))
            if check:
                print('%s:%d: differs from its source (%s); run: make weave'
                      % (page, first + 1, COMMAND.match(line)[3]))
    if check:
        return problems + len(edits)
    for first, last, new in reversed(edits):
        lines[first:last] = new
    if edits:
        pagelib.write(os.path.join(top, page), '\n'.join(lines))
        print('%s: %d block%s woven' % (page, len(edits), '' if len(edits) == 1 else 's'))
    return problems


def main(words):
    if '-h' in words or '--help' in words:
        print(__doc__)
        return 0
    check = '--check' in words
    names = [w for w in words if w != '--check']
    if any(n.startswith('-') for n in names):
        print('weave: usage: weave.py [--check] [PAGE...]', file=sys.stderr)
        return 2
    top = pagelib.root()
    problems = sum(weave_page(top, page, check) for page in pagelib.chosen_pages(top, names))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
