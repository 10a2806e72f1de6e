#!/usr/bin/env python3
"""handout: packs the course for students, without the solutions.

usage: handout.py [CHAPTERS [SEED]]   make handout [CHAPTERS=01-04] [SEED=ann]
                                      CHAPTERS is 01-04, or 01,03, or nothing: all

Writes build/handout/event-queues/ (event-queues-01-04/ with CHAPTERS) and the same as .tar.gz. What is packed builds
and works on its own: `make exercise EX=01.1` grades there as it does here. Left out are

    - each exercise's solution.c, looks_right.c and looks_right.md, and the test that needs them
    - what is for teachers: docs/teaching.md, docs/slides/, the targets in the Makefile between the lines
      `teach a course` and `house`, and their scripts
    - with CHAPTERS the other chapters, the bench, and those tests that are about them

With SEED, the name of a student, some exercises ask for another word or number, in their pages, sources and rows: a
neighbour's answer is red there. No other choice is left in it, so in that handout nobody has to give a seed. It goes to
build/handout/event-queues-for-ann/.

A link to something that was left out becomes plain text. Nothing of git's history comes along.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pagelib

OUT = 'build/handout'
FOR_TEACHERS = re.compile(r'^(chapters/[^/]+/exercises/[^/]+/(solution\.c|looks_right\.(c|md))'
                          r'|tests/test_(exercises\.c|teaching\.sh)|docs/(teaching\.md|slides/.*)'
                          r'|tools/(handout\.py|grade(_rehearsal)?\.py|confine/.*|rehearse\.sh|slides\.sh)|\.github/.*|\.ci/.*)$')
TEACHERS_TARGETS = re.compile(r'^# ---- teach a course -+\n.*?(?=^# ---- house -+\n)', re.M | re.S)
# With some chapters only: what is needed to grade, to check and to test these.
TESTS_OF_ALL = re.compile(r'^tests/(test_(?!contract\.c$).*|suite_.*|(kqueue|evq|evq_examples|evq_faults|evq_install|labs'
                          r'|servers|clients)/.*|windows_smoke\.sh|pages_tests\.py|kqueue_case\.h)$')


class WrongWords(Exception):
    """One line for whoever has typed it."""


def chapters_of(files):
    return sorted({f.split('/')[1] for f in files if f.startswith('chapters/')})


def chosen(words, chapters):
    """The folders that CHAPTERS names: 01-04, or 01,03."""
    numbers = [c[:2] for c in chapters]
    wanted = set()
    for part in re.split(r'[\s,]+', words.strip()):
        match = re.fullmatch(r'(\d{1,2})(?:-(\d{1,2}))?', part)
        first = match[1].zfill(2) if match else ''
        last = match[2].zfill(2) if match and match[2] else first
        if first not in numbers or last not in numbers or first > last:
            raise WrongWords('CHAPTERS=%s: give a range such as 01-04, or a list such as 01,03; there are %s'
                             % (words, ', '.join(numbers)))
        wanted |= {c for c in chapters if first <= c[:2] <= last}
    return sorted(wanted)


def is_packed(name, folders, everything):
    if FOR_TEACHERS.match(name):
        return False
    if name.startswith('chapters/'):
        return name.split('/')[1] in folders
    if name.startswith('tests/evq/') and '07_crossplatform' in folders:
        return True  # they judge the exercise 07.4
    return everything or not (TESTS_OF_ALL.match(name) or name.startswith('bench/'))


def without_dead_links(page, text, packed):
    """Links to what was left out become their text. Blocks of code stay as they are."""
    lines = text.split('\n')
    code = {i for f in pagelib.fences(lines) if f.last is not None for i in range(f.first, f.last + 1)}
    folders = {os.path.dirname(f) for f in packed}
    folders |= {os.path.dirname(f) for f in folders} | {''}

    def replaced(match):
        target = match[3].partition('#')[0]
        goal = os.path.normpath(os.path.join(os.path.dirname(page), target)) if target else page
        alive = goal in packed or goal in folders or goal == '.' or re.match(r'[a-z][a-z0-9+.-]*:', match[3])
        return match[0] if alive or text.count('\n', 0, match.start()) in code else match[2]
    return pagelib.LINK.sub(replaced, text)


def twist(top, goal, packed, seed):
    """Each exercise that has a twist, as this student gets it."""
    script = ['sh', os.path.join(top, 'tools', 'exercise.sh')]
    for rows in [name for name in packed if name.endswith('/rows')]:
        folder, text = os.path.dirname(rows), pagelib.read(os.path.join(top, rows))
        number = '%s.%s' % (folder.split('/')[1][:2], re.match(r'ex(\d+)', os.path.basename(folder))[1])
        match = re.search(r'^(twist \S+) .*\n', text, re.M)
        if not match:
            continue
        for name in [n for n in packed if os.path.dirname(n) == folder and n != rows]:
            path = os.path.join(goal, name)
            said = subprocess.run(script + ['twisted', number, seed, path], check=True, stdout=subprocess.PIPE)
            pagelib.write(path, said.stdout.decode('utf-8'))
        said = subprocess.run(script + ['twist', number, seed], check=True, stdout=subprocess.PIPE)
        alone = '%s %s\n' % (match[1], said.stdout.decode().strip())
        pagelib.write(os.path.join(goal, rows), re.sub(r'^twisted .*\n', '', text.replace(match[0], alone), flags=re.M))


def write_all(top, goal, packed):
    shutil.rmtree(goal, ignore_errors=True)
    for name in sorted(packed):
        path = os.path.join(goal, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy2(os.path.join(top, name), path)
        if name.endswith('.md'):
            pagelib.write(path, without_dead_links(name, pagelib.read(path), packed))
    makefile = os.path.join(goal, 'Makefile')
    text, cut = TEACHERS_TARGETS.subn('', pagelib.read(makefile))
    if cut != 1:
        raise WrongWords('Makefile: there is no part "teach a course" before "house"')
    pagelib.write(makefile, text)


def pack(top, words, seed):
    if seed and not re.fullmatch(r'\w[\w.-]*', seed, re.A):
        raise WrongWords('SEED=%s: give a word of letters, digits, and . _ -' % seed)
    files = set(pagelib.own_files(top))
    chapters = chapters_of(files)
    folders = chosen(words, chapters) if words.strip() else chapters
    everything = folders == chapters
    name = 'event-queues' + ('' if everything else '-' + re.sub(r'[\s,]+', '-', words.strip()))
    name += '-for-' + seed if seed else ''
    goal = os.path.join(top, OUT, name)
    packed = {f for f in files if is_packed(f, folders, everything)}
    write_all(top, goal, packed)
    if seed:
        twist(top, goal, packed, seed)
    with tarfile.open(goal + '.tar.gz', 'w:gz') as archive:
        archive.add(goal, arcname=name)
    exercises = sum(f.endswith('/start.c') for f in packed)
    print('%s/%s.tar.gz: %d chapters, %d exercises, no solutions' % (OUT, name, len(folders), exercises))


def main(words):
    if len(words) > 2 or words[:1] in (['-h'], ['--help']):
        print(__doc__)
        return 2
    try:
        pack(pagelib.root(), words[0] if words else '', words[1] if words[1:] else '')
    except WrongWords as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
