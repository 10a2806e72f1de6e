"""docs_diffs: the steps as what they change, for docs_pages: a page for each, and one that lists them all.

A step is compared as `make diff` does it (tools/diff.sh says with which one), but whole. Why it changes what
it changes says its own page, in the first paragraph of the part *The diff*:

    **What changes, and why:** the list of clients moves into the kernel, so a wake-up costs ...

A line that is new begins with +, one that is gone with -; colour only repeats that. A long line is broken, so
that nobody has to push the page aside.
"""
import html
import os
import re
import subprocess

import pagelib

WHY = re.compile(r'\n## The diff\n\n\*\*What changes, and why:\*\* ((?:.+\n)+)')
STEP = re.compile(r'^chapters/(\d\d)_[^/]+/(?:mini/)?step(\d+)_[^/]+\.c$')
KINDS = {'+': ('added', 'ins'), '-': ('removed', 'del'), '@': ('place', None)}


def said_by(top, *words):
    run = subprocess.run(['sh'] + list(words), cwd=top, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return run.stdout.decode('utf-8').splitlines()


def without_markers(lines):
    """The hunks without the lines //! [name]; one in which nothing else differs is left out."""
    hunks = []
    for line in lines:
        if line.startswith('@@'):
            hunks.append([line])
        elif hunks and not pagelib.MARKER.match(line[1:]):
            hunks[-1].append(line)
    return [line for hunk in hunks if any(l[:1] in ('+', '-') for l in hunk) for line in hunk]


class Diff:
    """A step against the one that it grows out of."""

    def __init__(self, top, source):
        match = STEP.match(source)
        self.chapter, self.number = match[1], match[2]
        self.name = '%s/%s' % match.groups()
        self.page = source[:-2] + '.md'
        said = said_by(top, 'tools/diff.sh', self.chapter, self.number)
        compared = re.fullmatch(r'from (\S+) to (\S+)', said[0])
        self.old, self.new = compared.groups() if compared else (None, source)
        self.lines = without_markers(said[1:])
        why = WHY.search(pagelib.read(os.path.join(top, self.page)))
        self.why = why[1].strip() if why else ''

    @property
    def id(self):
        return 'p_diff_%s_%s' % (self.chapter, self.number)

    @property
    def old_name(self):
        return '%s/%s' % STEP.match(self.old).groups()

    def counts(self):
        return 'new lines: %d, gone: %d' % tuple(sum(l[:1] == sign for l in self.lines) for sign in '+-')


def all_diffs(top):
    """All steps with a page, in the order in which one reads them, but for the very first."""
    if not os.path.isfile(os.path.join(top, 'tools', 'diff.sh')):
        return []
    steps = [s for s in said_by(top, 'tools/find.sh', 'steps')
             if STEP.match(s) and os.path.isfile(os.path.join(top, s[:-2] + '.md'))]
    return [d for d in (Diff(top, s) for s in steps) if d.old]


def shown(line):
    kind, element = KINDS.get(line[:1], ('same', None))
    text = html.escape(line).replace('*/', '*&#47;') or ' '  # Doxygen takes it for a comment's end
    return '<div class="%s">%s</div>' % (kind, '<%s>%s</%s>' % (element, text, element) if element else text)


def page(diff, site, before, after):
    """What Doxygen reads; site.prose() makes links of the links in the sentence."""
    near = ['<a href="%s.html">%s %s</a>' % (other.id, words, other.name)
            for other, words in ((before, 'before:'), (after, 'next:')) if other]
    lines = ['# %s against %s {#%s}' % (diff.name, diff.old_name, diff.id), '',
             '<em>What changes, and why:</em>'] + site.prose(diff.page, diff.why.split('\n')) + ['']
    lines += site.prose(diff.page, ['[The page of this step](%s). From `%s` to `%s`; %s. A line that is new begins with +, '
                                    'one that is gone with -. In the terminal: `make diff CH=%s STEP=%s`.'
                                    % (os.path.basename(diff.page), diff.old, diff.new, diff.counts(), diff.chapter, diff.number)])
    lines += ['', '\\htmlonly[block]<p>%s</p><div class="stepdiff">' % ' · '.join(near)]
    lines += [shown(line) for line in diff.lines] or ['<div class="same">Not a byte differs.</div>']
    return lines + ['</div>\\endhtmlonly', '']


def overview(diffs, site):
    lines = ['# The steps as what they change {#p_diffs}', '',
             'Each step against the one that it grows out of, across the chapters, too: what changes, and why. A name leads to '
             'the whole difference.', '']
    for diff in diffs:
        lines += ['<a href="%s.html"><b>%s</b> against %s</a>: ' % (diff.id, diff.name, diff.old_name)]
        lines += site.prose(diff.page, diff.why.split('\n')) + ['<em>(%s)</em>' % diff.counts(), '']
    lines += ['\\htmlonly[block]<div class="children">\\endhtmlonly', '']
    return lines + ['- \\subpage %s' % diff.id for diff in diffs] + ['', '\\htmlonly[block]</div>\\endhtmlonly']


def link(diff):
    """For the page of the step, behind its part The diff; one line, which stands in place of a blank one."""
    return '\\htmlonly[block]<p class="whole"><a href="%s.html">The whole difference between %s and %s</a></p>\\endhtmlonly' % (
        diff.id, diff.old_name, diff.name)
