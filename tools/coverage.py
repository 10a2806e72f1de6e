#!/usr/bin/env python3
"""coverage: sums up what gcov counted of evq, and asks of each line that was not reached: why?

usage: coverage.py FOLDER     (tools/coverage.sh has built and run the tests in FOLDER)
       coverage.py --test     (its own tests)

tests/evq/uncovered.txt holds the reasons: "Why:" and words, below it, indented, the lines that it
explains, each as `file function: text of the line`. "Sometimes:" in the place of "Why:" is for lines
that are reached in some runs and not in others. A line without a reason is an error, and so is a
reason for a line that is reached, or no more there: so the list cannot grow old.

Branches are what gcov calls so, without those of assert(): a test that takes them ends the program.
"""
import json
import os
import re
import subprocess
import sys
from collections import defaultdict

import pagelib

SOURCES = 'chapters/07_crossplatform/evq/src'
REASONS = 'tests/evq/uncovered.txt'
SKIPPED = re.compile(r'# skip: the_backend_works_here: (\S+) is in this build')
ENTRY = re.compile(r'    (\S+) (\w+): (.*\S)\s*$')


class Line:
    def __init__(self):
        self.count, self.function, self.branches = 0, '?', []

    def add(self, count, function, branches):
        self.count += count
        self.function = function
        if len(self.branches) < len(branches):
            self.branches += [0] * (len(branches) - len(self.branches))
        for index, taken in enumerate(branches):
            self.branches[index] += taken


# ---- what gcov says ----------------------------------------------------------------------------

def counts(top, folder):
    """{file: {line number: Line}} of the sources of evq, over all programs that were run."""
    files = defaultdict(lambda: defaultdict(Line))
    for place, _, names in os.walk(os.path.join(top, folder, 'tests')):
        for name in sorted(names):
            if not name.startswith('evq') or not name.endswith('.gcda'):
                continue
            said = subprocess.run(['gcov', '--json-format', '--stdout', '--branch-probabilities',
                                   os.path.join(os.path.abspath(place), name)],
                                  cwd=os.path.join(top, 'tests'), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=True).stdout
            add_counts(files, top, json.loads(said))
    return files


def add_counts(files, top, said):
    sources = os.path.realpath(os.path.join(top, SOURCES))
    for file in said['files']:
        path = os.path.realpath(os.path.join(top, 'tests', file['file']))
        if os.path.dirname(path) != sources:
            continue
        for line in file['lines']:
            files[os.path.basename(path)][line['line_number']].add(
                line['count'], line.get('function_name', '?'), [b['count'] for b in line['branches']])


def skipped_files(texts):
    """The sources of backends that the tests found not to work here."""
    return {'evq_%s.c' % name.replace('io_', '') for text in texts for name in SKIPPED.findall(text)}


# ---- the reasons -------------------------------------------------------------------------------

def read_reasons(text, name=REASONS):
    """{(file, function, text of the line): is it only sometimes unreached}"""
    reasons, sometimes = {}, None
    for number, line in enumerate(text.split('\n')):
        entry = ENTRY.match(line)
        if line.startswith(('Why: ', 'Sometimes: ')):
            sometimes = line.startswith('Sometimes: ')
        elif entry and sometimes is not None:
            reasons[entry.groups()] = sometimes
        elif line.startswith(' ') and line.strip():
            raise ValueError('%s:%d: neither a reason nor "    file function: text"' % (name, number + 1))
    return reasons


def judge(unreached, reasons, not_judged):
    """What is wrong: lines without a reason, reasons without a line. unreached: {key: place}."""
    for key, place in unreached.items():
        if key not in reasons:
            yield '%s: not reached, and no reason is given: %s: %s' % (place, key[1], key[2])
    for key, sometimes in reasons.items():
        if key not in unreached and not sometimes and key[0] not in not_judged:
            yield '%s: no such line, or it is reached: %s %s: %s' % ((REASONS,) + key)


# ---- the report --------------------------------------------------------------------------------

def percent(part, whole):
    return '%5.1f %%' % (100.0 * part / whole) if whole else '      -'


def row(name, lines, texts):
    branches = [taken for number, line in lines.items() if 'assert(' not in texts[number - 1] for taken in line.branches]
    reached, taken = sum(1 for line in lines.values() if line.count), sum(1 for b in branches if b)
    return (name, len(lines), reached, len(branches), taken)


def say(one):
    name, lines, reached, branches, taken = one
    print('%-20s %5d lines %5d reached %s   %5d branches %5d taken %s' % (
        name, lines, reached, percent(reached, lines), branches, taken, percent(taken, branches)))


def report(top, folder):
    files = counts(top, folder)
    logs = [pagelib.read(os.path.join(top, folder, name)) for name in sorted(os.listdir(os.path.join(top, folder)))
            if name.endswith('.log')]
    built = {name[:-5] + '.c' for _, _, names in os.walk(os.path.join(top, folder, 'tests')) for name in names
             if name.endswith('.gcno')}
    not_judged, rows, unreached = skipped_files(logs), [], {}
    for name in sorted(files):
        texts = pagelib.read(os.path.join(top, SOURCES, name)).split('\n')
        rows.append(row(name, files[name], texts))
        for number, line in sorted(files[name].items()):
            if line.count == 0 and name not in not_judged:
                unreached.setdefault((name, line.function, texts[number - 1].strip()), '%s:%d' % (name, number))
    for one in rows:
        say(one)
    say(('all',) + tuple(sum(column) for column in list(zip(*rows))[1:]))
    for name in sorted(os.listdir(os.path.join(top, SOURCES))):
        if name in built and name not in files:
            print('%-20s has no code, only data' % name)
        elif name.endswith('.c') and name not in files:
            print('%-20s is for another system, and not counted here' % name)
            not_judged.add(name)
        elif name in not_judged:
            print('%-20s does not work on this system, and is not judged' % name)
    reasons = read_reasons(pagelib.read(os.path.join(top, REASONS)))
    problems = list(judge(unreached, reasons, not_judged))
    print('\n'.join(problems) if problems else 'each line that was not reached has its reason in %s' % REASONS)
    return 1 if problems else 0


# ---- its own tests -----------------------------------------------------------------------------

def test():
    text = '# a list\n\nWhy: it is so\n    a.c f: return -1;\n\nSometimes: a race\n    a.c g: x++;\n'
    reasons = read_reasons(text)
    assert reasons == {('a.c', 'f', 'return -1;'): False, ('a.c', 'g', 'x++;'): True}
    all_right = {('a.c', 'f', 'return -1;'): 'a.c:3'}
    assert not list(judge(all_right, reasons, set()))
    assert 'a.c:9: not reached' in list(judge({**all_right, ('a.c', 'h', 'y'): 'a.c:9'}, reasons, set()))[0]
    assert 'no such line' in list(judge({}, reasons, set()))[0]
    assert not list(judge({}, reasons, {'a.c'}))
    try:
        read_reasons('    a.c f: without a reason above it')
        assert False, 'a line before the first reason is an error'
    except ValueError:
        pass
    assert skipped_files(['# skip: the_backend_works_here: io_uring is in this build, but']) == {'evq_uring.c'}
    line = Line()
    line.add(0, 'f', [0, 1])
    line.add(2, 'f', [1, 0])
    assert (line.count, line.branches) == (2, [1, 1])
    print('coverage.py: its own tests pass')
    return 0


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    return test() if sys.argv[1] == '--test' else report(pagelib.root(), sys.argv[1])


if __name__ == '__main__':
    sys.exit(main())
