#!/usr/bin/env python3
"""lint_pages: are the Markdown pages whole?

usage: lint_pages.py links|parts|targets        (one line for each problem; status 1 if there is any)

    links     every relative link leads to a file of this tree, and to a heading that is there
    parts     every page has its title; step pages, chapter pages and quizzes have all their parts, in order;
              a step says what it changes, and why
    targets   every `make something` that a page shows is a target of the Makefile
"""
import os
import re
import sys

import docs_diffs
import pagelib

STEP_PAGE = re.compile(r'^chapters/(\d\d)_[a-z0-9_]+/step(\d+)_[a-z0-9_]+\.md$')
CHAPTER_PAGE = re.compile(r'^chapters/(\d\d)_[a-z0-9_]+/README\.md$')
PARTS = ['Feel the pain', 'The one new thing', 'Run it', 'The code, piece by piece', 'The diff', 'Labs',
         'Which row turned green', 'What still hurts', 'Check yourself']
QUIZ_PAGE = re.compile(r'^chapters/(\d\d)_[a-z0-9_]+/quiz\.md$')
QUESTIONS = 10
MAKE = re.compile(r'(?:^|[\s`(;&|])g?make((?:[ \t]+[^\s`;&|)]+)*)')


def pages(top):
    for page in pagelib.chosen_pages(top, []):
        yield page, pagelib.read(os.path.join(top, page)).split('\n')


# ---- links --------------------------------------------------------------------------------------

def check_links(top):
    files = set(pagelib.own_files(top))
    folders = {os.path.dirname(f) for f in files}
    folders |= {os.path.dirname(f) for f in folders} | {''}
    anchors = {}
    for page, lines in pages(top):
        for index, is_image, text, target in pagelib.links(lines):
            where = '%s:%d: ' % (page, index + 1)
            if re.match(r'[a-z][a-z0-9+.-]*:', target):
                continue
            if not target:
                yield where + 'a link without a target: [%s]' % text
                continue
            if is_image and not text.strip():
                yield where + 'the image %s has no alternative text' % target
            path, _, anchor = target.partition('#')
            if path.startswith('/'):
                yield where + 'the link %s is not relative' % target
                continue
            goal = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if goal == '.':
                goal = ''
            if goal not in files and goal not in folders:
                yield where + 'dead link: there is no %s' % goal
            elif anchor and goal.endswith('.md'):
                if goal not in anchors:
                    anchors[goal] = pagelib.anchors(pagelib.read(os.path.join(top, goal)).split('\n'))
                if anchor not in anchors[goal]:
                    yield where + 'dead link: %s has no heading #%s' % (goal, anchor)


# ---- parts --------------------------------------------------------------------------------------

def check_title(page, lines):
    titles = [i for i, level, _ in pagelib.headings(lines) if level == 1]
    if len(titles) != 1:
        yield '%s:1: has %d titles (# ...), not one' % (page, len(titles))


def check_step(page, lines, files):
    found = [(i, text) for i, level, text in pagelib.headings(lines) if level == 2]
    names = [text for _, text in found]
    wanted = [p for p in PARTS if p != 'The diff' or p in names or not page.startswith('chapters/01_blocking/step1_')]
    for part in wanted:
        if part not in names:
            yield '%s:1: has no part "## %s"' % (page, part)
    for index, text in found:
        if text not in PARTS:
            yield '%s:%d: "## %s" is no part of a step page: make it a ###' % (page, index + 1, text)
    ordered = [n for n in names if n in PARTS]
    if ordered != sorted(ordered, key=PARTS.index):
        yield '%s:1: its parts are not in the order: %s' % (page, ', '.join(PARTS))
    head = '\n'.join(lines[:found[0][0] if found else len(lines)])
    if 'minutes' not in head:
        yield '%s:1: says nowhere above its first part how many minutes it takes' % page
    if found and names[-1] == 'Check yourself' and '<details>' not in '\n'.join(lines[found[-1][0]:]):
        yield '%s:%d: "Check yourself" has no folded answer (<details>)' % (page, found[-1][0] + 1)
    if page[:-3] + '.c' not in files:
        yield '%s:1: there is no %s.c beside it' % (page, os.path.basename(page)[:-3])


def check_why(page, lines):
    """The site shows this sentence above the whole difference."""
    for index, level, text in pagelib.headings(lines):
        if level == 2 and text == 'The diff' and not docs_diffs.WHY.search('\n'.join(lines)):
            yield '%s:%d: "The diff" does not begin with a paragraph "**What changes, and why:** ..."' % (page, index + 1)


def check_chapter(page, lines, files):
    folder = os.path.dirname(page)
    goals = {os.path.normpath(os.path.join(folder, t.partition('#')[0])) for _, _, _, t in pagelib.links(lines)}
    for step in sorted(files):
        if os.path.dirname(step) == folder and re.search(r'/step\d+_[a-z0-9_]+\.c$', step):
            if step[:-2] + '.md' not in files:
                yield '%s:1: the step %s has no page beside it' % (page, step)
            elif step[:-2] + '.md' not in goals:
                yield '%s:1: has no link to %s.md' % (page, os.path.basename(step)[:-2])
    if any(f.startswith(folder + '/labs/') for f in files) and folder + '/labs/README.md' not in goals:
        yield '%s:1: has no link to labs/README.md' % page
    if not any(image for _, image, _, _ in pagelib.links(lines)):
        yield '%s:1: has no figure' % page
    text = '\n'.join(lines)
    number = CHAPTER_PAGE.match(page)[1]
    if 'minutes' not in text:
        yield '%s:1: gives no reading times (minutes)' % page
    has_steps = any(os.path.dirname(f) == folder and re.search(r'/step\d+_[a-z0-9_]+\.c$', f) for f in files)
    if has_steps and not re.search(r'<!--\s*matrix\s*:\s*%s\s*-->' % number, text):
        yield '%s:1: has no contract matrix (<!-- matrix: %s -->)' % (page, number)


def known_in_tests(top):
    """The names of the rows of the contract, and of the tests of the library."""
    sources = [f for f in pagelib.own_files(top) if re.match(r'tests/(contract|evq)/\w+\.c$', f)]
    return ' '.join(pagelib.read(os.path.join(top, f)) for f in sources)


def unsettled_names(top, page, settled):
    """Figures, rows and tests that are named, and stand neither in a page that is linked to nor in the tests."""
    names = set(re.findall(r'(?<![=\w.])`([a-z0-9]+(?:_[a-z0-9]+)+)`', settled))
    known = known_in_tests(top)
    for _, _, _, target in pagelib.links(settled.split('\n')):
        goal = os.path.join(top, os.path.dirname(page), target.partition('#')[0])
        if os.path.isfile(goal):
            known += pagelib.read(goal)
    return sorted(name for name in names if not re.search(r'\b%s\b' % name, known))


def check_quiz(top, page, lines):
    """Ten questions, each with a folded answer that says what settles it, by a link."""
    starts = [i for i, level, _ in pagelib.headings(lines) if level == 2]
    if [lines[i] for i in starts] != ['## Question %d' % (n + 1) for n in range(QUESTIONS)]:
        yield '%s:1: its headings are not ## Question 1 to ## Question %d' % (page, QUESTIONS)
        return
    for first, last in zip(starts, starts[1:] + [len(lines)]):
        where, answer = '%s:%d: ' % (page, first + 1), '\n'.join(lines[first:last])
        answer = answer.partition('<details><summary>Answer</summary>')[2].partition('</details>')[0]
        settled = answer[answer.rfind('Settled by'):] if 'Settled by' in answer else ''
        if not answer:
            yield where + 'has no folded answer (<details><summary>Answer</summary>)'
        elif not any(pagelib.links(settled.split('\n'))) and 'man ' not in settled:
            yield where + 'does not end in "Settled by", with a link to a lab or a page, or a man page'
        for name in unsettled_names(top, page, settled):
            yield where + 'nothing that it links to knows of `%s`' % name


def check_code(page, lines):
    """C that nobody compiles must be called what it is."""
    for block in pagelib.fences(lines):
        if block.words()[:1] != ['c']:
            continue
        above = ' '.join(lines[max(0, block.first - 4):block.first + 1])
        if not re.search(r'<!--\s*code\s*:', above) and not re.search(r'sketch|wrong', above, re.I):
            yield ('%s:%d: C that comes from no source: weave it (<!-- code: FILE NAME -->), or say "sketch" '
                   'or "wrong" above it' % (page, block.first + 1))


def check_parts(top):
    files = set(pagelib.own_files(top))
    for page, lines in pages(top):
        yield from check_title(page, lines)
        if page.startswith('chapters/'):
            yield from check_code(page, lines)
        if STEP_PAGE.match(page):
            yield from check_step(page, lines, files)
        elif CHAPTER_PAGE.match(page):
            yield from check_chapter(page, lines, files)
        elif QUIZ_PAGE.match(page):
            yield from check_quiz(top, page, lines)
        if page.startswith('chapters/'):
            yield from check_why(page, lines)
        for block in pagelib.fences(lines):
            if block.last is None:
                yield '%s:%d: this block is never closed' % (page, block.first + 1)
            elif not block.info:
                yield '%s:%d: this block does not say what it holds (```text if nothing else)' % (
                    page, block.first + 1)
    for folder in {os.path.dirname(f) for f in files if re.match(r'chapters/\d\d_[^/]+/Makefile$', f)}:
        if folder + '/README.md' not in files:
            yield '%s: has no README.md' % folder


# ---- targets ------------------------------------------------------------------------------------

def targets_of(makefile):
    """Names that stand before a colon at the start of a line."""
    names = set()
    for line in pagelib.read(makefile).replace('\\\n', ' ').split('\n'):
        match = re.match(r'^([\w./%() $-]+?)\s*::?(?!=)', line)
        if match:
            names |= set(match[1].split())
        match = re.match(r'^\.PHONY\s*:(.*)', line)
        if match:
            names |= set(match[1].split())
    return names


def commands_shown(lines):
    """(index, text) of what is shown as a command: code spans, and the $ lines and shell blocks."""
    for index, line in enumerate(pagelib.prose(lines)):
        for match in re.finditer(r'(`+)(?!`)(.+?)(?<!`)\1(?!`)', line):
            yield index, match[2].strip()
    for block in pagelib.fences(lines):
        shell = block.words()[:1] and block.words()[0] in ('sh', 'bash', 'shell')
        for index in range(block.first + 1, block.last or len(lines)):
            if block.words()[:1] in (['console'], ['text']) and lines[index].lstrip().startswith('$ '):
                yield index, lines[index].strip()[2:]
            elif shell:
                yield index, lines[index].strip()


def check_targets(top):
    makefile = os.path.join(top, 'Makefile')
    if not os.path.isfile(makefile):
        yield 'there is no Makefile'
        return
    targets = targets_of(makefile)
    for page, lines in pages(top):
        for index, command in commands_shown(lines):
            for match in MAKE.finditer(command):
                words = match[1].split()
                if any(w.startswith('-C') or w.startswith('-f') for w in words):
                    continue
                for word in words:
                    if re.fullmatch(r'[a-z][a-z0-9_-]*', word) and word not in targets:
                        yield '%s:%d: "make %s": the Makefile has no such target' % (page, index + 1, word)
                    if word == '#':
                        break


def main(words):
    checks = {'links': check_links, 'parts': check_parts, 'targets': check_targets}
    if len(words) != 1 or words[0] not in checks:
        print(__doc__)
        return 2
    problems = list(checks[words[0]](pagelib.root()))
    print('\n'.join(problems), end='\n' if problems else '')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
