#!/usr/bin/env python3
"""lint_source: the shape of the sources.

usage: lint_source.py        (one line for each problem; status 1 if there is any)

Functions fit a screen (60 lines), steps stay under 300 lines (the very first under 90), chapter
Makefiles under 30; C has no tab and no line over 100 columns, begins with an essay, and its marker
lines pair up; no text names a folder that exists on one machine only.
"""
import os
import re
import sys

import pagelib
import weave

FUNCTION_LINES, STEP_LINES, FIRST_STEP_LINES, MAKEFILE_LINES, COLUMNS = 60, 300, 90, 30, 100
TEXT = ('.c', '.h', '.md', '.sh', '.py', '.txt', '.yml', '.yaml', '.json', '.awk', '.css', '.svg', '.html',
        'Makefile', 'Dockerfile', 'Doxyfile', '.ci/run')
ONE_MACHINE = re.compile(r'(?<![\w./])/(home|Users|root|work)/\w')


def functions(lines):
    """(index, name, count of lines) of each function: its braces stand alone at the left edge."""
    opened = None
    for index, line in enumerate(lines):
        if line == '{':
            first = index
            while first > 0 and lines[first - 1].strip() and not re.match(r'[}#/*]|.*[;}]$|\s*\*', lines[first - 1]):
                first -= 1
            name = re.search(r'(\w+)\(', ' '.join(lines[first:index]))
            opened = (first, name[1] if name else '?')
        elif line.startswith('}') and opened:
            yield opened[0], opened[1], index - opened[0] + 1
            opened = None


def check_c(top, name, lines):
    for index, line in enumerate(lines):
        where = '%s:%d: ' % (name, index + 1)
        if '\t' in line:
            yield where + 'a tab'
        if len(line) > COLUMNS:
            yield where + 'more than %d columns' % COLUMNS
        if line != line.rstrip():
            yield where + 'blanks at the end of the line'
    for index, function, count in functions(lines):
        if count > FUNCTION_LINES:
            yield '%s:%d: %s() has %d lines, more than %d' % (name, index + 1, function, count, FUNCTION_LINES)
    if not lines[0].startswith("/*") and not os.path.isfile(os.path.join(top, name[:-2] + ".h")):
        yield name + ':1: does not begin with an essay (/* ... */)'
    try:
        weave.marked_pieces(os.path.join(top, name))
    except weave.Problem as problem:
        yield '%s: %s' % (name, problem)


def limit_of(name):
    if re.match(r'chapters/01_blocking/step1_\w+\.c$', name):
        return FIRST_STEP_LINES
    if re.match(r'chapters/[^/]+/step\d+_\w+\.c$', name):
        return STEP_LINES
    if re.match(r'chapters/[^/]+/Makefile$', name):
        return MAKEFILE_LINES
    return None


def check(top):
    for name in pagelib.own_files(top):
        if not name.endswith(TEXT):
            continue
        text = pagelib.read(os.path.join(top, name))
        lines = text.split('\n')
        if text and not text.endswith('\n'):
            yield name + ': its last line has no end'
        if '\r' in text:
            yield name + ': has carriage returns'
        limit, count = limit_of(name), sum(1 for l in lines[:-1] if not pagelib.MARKER.match(l))
        if limit and count > limit:
            yield '%s: %d lines without its markers, more than %d' % (name, count, limit)
        if name.endswith(('.c', '.h')):
            yield from check_c(top, name, lines)
        if not name.startswith(('.devcontainer/', 'Dockerfile', 'tools/lint_source.py')):
            for index, line in enumerate(lines):
                if ONE_MACHINE.search(line):
                    yield '%s:%d: names a folder of one machine' % (name, index + 1)


def main():
    problems = list(check(pagelib.root()))
    print('\n'.join(problems), end='\n' if problems else '')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
