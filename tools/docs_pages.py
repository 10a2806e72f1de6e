#!/usr/bin/env python3
"""docs_pages: prepares the pages for Doxygen.   docs_pages.py FOLDER

Writes into FOLDER what Doxygen is to read, line for line at the same place as in the source, so that
its warnings can be followed:

    *.md    every page. GitHub's anchors become labels, links between pages become @ref, HTML that
            not every Doxygen knows (<details>) and blocks that are not C go through as HTML
    *.h     the public headers: the essay on top becomes the description of the file
    *.c.md  a page with the whole source, for each .c file that a page links to
    images  under names of their own
    diff_*  a page for each step with all that it changes (docs_diffs.py)

README.md is the main page; its children are the chapters and the book's own pages, the chapters'
children their steps and labs, and theirs the sources.
"""
import html
import os
import re
import shutil
import sys

import docs_diffs
import pagelib

# The book's own pages in the order in which one reads them. One that is not named here stands behind them.
BOOK = ['docs/timelines.md', 'docs/queues_side_by_side.md', 'docs/which_one.md', 'docs/inside_the_kernel.md',
        'docs/c10k_to_c10m.md', 'docs/myths.md', 'docs/claims.md', 'docs/how_the_tests_were_made.md',
        'tests/zoo/README.md', 'tests/chapter_faults/README.md', 'docs/glossary.md', 'docs/read_on.md',
        'docs/teaching.md', 'bench/README.md']
TEACHING, SLIDES = 'docs/teaching.md', 'docs/slides'  # the slides are a part of that page
CODE_LANGUAGES = {'c', 'cpp', 'h'}
HEADER = re.compile(r'^(chapters/[^/]+/(windows/|evq/include/)?[^/]+|tests/harness/[^/]+|tests/contract/contract)\.h$')
HIDDEN = re.compile(r'/exercises/[^/]+/(?!README)')
DIFFS_BEHIND = 'docs/timelines.md'
POINTED_AT = 'docs/timelines/'  # pictures in which each bar tells what it is
HTML_LINE = re.compile(r'^\s*</?(details|summary|figure|figcaption|picture|source|kbd|sub|sup)\b.*$')


def page_id(path):
    """chapters/01_blocking/step1_sequential.md -> 01_blocking_step1_sequential; the top README -> mainpage."""
    if path == 'README.md':
        return 'mainpage'
    name = re.sub(r'^chapters/', '', path)
    name = re.sub(r'(/README)?\.md$', '', name)
    return 'p_' + re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_').lower()


def file_name(path):
    """The HTML file that Doxygen makes of a page."""
    return 'index.html' if path == 'README.md' else page_id(path) + '.html'


def label(path, anchor):
    return '%s_%s' % (page_id(path), re.sub(r'[^A-Za-z0-9]', '_', anchor))


def title_of(top, path):
    for _, level, text in pagelib.headings(pagelib.read(os.path.join(top, path)).split('\n')):
        if level == 1:
            return text.replace('`', '')
    return path


class Site:
    """All pages, who is whose child, and where a link leads."""

    def __init__(self, top, out):
        self.top, self.out = top, out
        self.files = set(pagelib.own_files(top))
        self.pages = [f for f in sorted(self.files) if f.endswith('.md')
                      and (f in BOOK or not f.startswith(('.github/', 'tests/')))]
        self.headers = [f for f in sorted(self.files) if HEADER.match(f)]
        self.listings, self.images = {}, {}
        self.diffs = docs_diffs.all_diffs(top)
        self.diff_of = {diff.page: diff for diff in self.diffs}
        for page in self.pages:
            for _, image, _, target in pagelib.links(pagelib.read(os.path.join(top, page)).split('\n')):
                goal = self.goal(page, target)
                if goal.endswith('.c') and goal in self.files and goal not in self.listings:
                    self.listings[goal] = page
                if image and goal in self.files:
                    self.images[goal] = re.sub(r'[^A-Za-z0-9.]+', '_', re.sub('^chapters/', '', goal))

    def goal(self, page, target):
        """The file that a link means; a carried copy means the file that was born before."""
        path = target.partition('#')[0]
        if not path:
            return page
        goal = os.path.normpath(os.path.join(os.path.dirname(page), path))
        born = [f for f in sorted(self.files) if '/carried/' in goal and '/carried/' not in f
                and f.startswith('chapters/') and os.path.basename(f) == os.path.basename(goal)]
        return born[0] if born else goal

    def parent(self, page):
        if page == 'README.md':
            return None
        if page in self.listings:
            return self.parent_of_listing(page)
        folder = os.path.dirname(page)
        if folder == SLIDES and TEACHING in self.pages:
            return TEACHING
        if os.path.basename(page) == 'README.md':
            folder = os.path.dirname(folder)
        while folder and folder + '/README.md' not in self.pages:  # chapters/01_.../exercises/ has none
            folder = os.path.dirname(folder)
        return folder + '/README.md' if folder else 'README.md'

    def parent_of_listing(self, source):
        """A step's source belongs to its page, a lab's to the labs, any other to its chapter or its link."""
        folder = os.path.dirname(source)
        for page in (source[:-2] + '.md', folder + '/README.md', os.path.dirname(folder) + '/README.md'):
            if page in self.pages:
                return page
        return self.listings[source]

    def children(self, page):
        everybody = self.pages + sorted(self.listings)
        mine = [p for p in everybody if self.parent(p) == page]
        return sorted(mine, key=lambda p: (p.endswith('.c'), not p.startswith('chapters/'), '/labs/' in p,
                                           '/exercises/' in p, p.endswith('/quiz.md'), p.startswith('CONTRIB'), BOOK.index(p) if p in BOOK else len(BOOK), p))

    # ---- the way through the book ---------------------------------------------------------------

    def reading_order(self, page='README.md'):
        """A page, then what belongs to it: steps, what it links to first, labs, exercises, and the quiz.

        What an exercise hides, hints and answers, is no stop on the way.
        """
        order = [page]
        for child in self.in_order(page):
            if child in self.pages and not HIDDEN.search(child):
                order += self.reading_order(child)
        return order

    def in_order(self, page):
        """The children of a page, as they are read."""
        linked = [self.goal(page, target) for _, _, _, target
                  in pagelib.links(pagelib.read(os.path.join(self.top, page)).split('\n'))]
        linked = [goal if goal in self.pages else goal + '/README.md' for goal in linked]

        def place(child):
            step = os.path.basename(child).startswith('step')
            in_order = page == 'README.md' or step or child not in linked
            late = next((n for n, part in enumerate(('/labs/', '/exercises/', '/quiz.md'), 1)
                         if part in child and part not in page), 0)
            return (child.endswith('.c'), late, not step, 0 if in_order else linked.index(child))
        return sorted(self.children(page), key=place)

    def way(self, page):
        """At the end of each page the one before and the one after it."""
        order = self.reading_order()
        if page not in order:
            return []
        here = order.index(page)
        links = ['<a rel="%s" href="%s">%s</a>' % (rel, file_name(order[i]), words % html.escape(title_of(self.top, order[i])))
                 for rel, i, words in (('prev', here - 1, '&#8592; %s'), ('next', here + 1, '%s &#8594;'))
                 if 0 <= i < len(order)]
        return ['', '\\htmlonly[block]<nav class="way" aria-label="The book">%s</nav>\\endhtmlonly' % ' '.join(links)]

    # ---- one page -------------------------------------------------------------------------------

    def link(self, page, text, target):
        """A link as Doxygen wants it; to what is not on the site, only its text."""
        if re.match(r'[a-z][a-z0-9+.-]*:', target):
            return '[%s](%s)' % (text, target)
        goal, anchor = self.goal(page, target), target.partition('#')[2]
        if goal + '/README.md' in self.pages:
            goal += '/README.md'
        if goal == '.':
            goal = 'README.md'
        if goal in self.pages:
            place = file_name(goal) + ('#' + label(goal, anchor) if anchor else '')
        elif goal in self.listings:
            place = page_id(goal) + '.html'
        elif goal in self.headers:
            place = '@ref ' + goal
        else:
            return text
        if place.startswith('@ref'):
            plain = text.replace('`', '')
            return '@ref %s "%s"' % (goal, plain)
        shown = html.escape(text, quote=False)
        shown = re.sub(r'`([^`]*)`', r'<code>\1</code>', shown)
        shown = re.sub(r'\*\*([^*]+)\*\*', r'<b>\1</b>', shown)
        shown = re.sub(r'\*([^*]+)\*', r'<em>\1</em>', shown)
        return '<a href="%s">%s</a>' % (place, shown)

    def image(self, page, text, target):
        """In a frame that can be pushed aside: never smaller than seven tenths, so that its words can be read."""
        goal = self.goal(page, target)
        name = self.images.get(goal, os.path.basename(target))
        if goal.startswith(POINTED_AT):
            return self.object(name, html.escape(text))
        width = re.search(r'<svg[^>]*\swidth="(\d+)"', pagelib.read(os.path.join(self.top, goal))) \
            if goal in self.files and goal.endswith('.svg') else None
        least = ' style="min-width: %dpx"' % (int(width[1]) * 7 // 10 + 1) if width else ''
        return '<span class="wide"><img src="%s" alt="%s" class="figure"%s/></span>' % (name, html.escape(text), least)

    @staticmethod
    def object(name, text):
        """A picture that answers the mouse. On a phone it is wider than the page, so the keyboard can push it."""
        return ('\\htmlonly<div class="wide" tabindex="0" role="group" aria-label="%s"><object type="image/svg+xml" '
                'class="figure" data="%s" aria-label="%s"><img src="%s" alt="%s"/></object></div>\\endhtmlonly'
                % (text, name, text, name, text))

    def prose(self, page, lines):
        """A paragraph: links, images, anchors, and the signs that only Doxygen takes for commands."""
        parts = pagelib.CODE_SPAN.split('\n'.join(lines))
        spans, text = [], ''
        for index in range(0, len(parts), 3):  # between two code spans; the span; its backticks
            text += re.sub(r'(\\(?=[A-Za-z0-9])|@)', r'\\\1', parts[index])
            if index + 1 < len(parts):
                span = parts[index + 1]  # Doxygen takes `it's` for a quotation, ``it's`` for code
                spans.append('`%s`' % span if parts[index + 2] == '`' and "'" in span else span)
                text += '\0%d\0' % (len(spans) - 1)

        def restored(piece):
            return re.sub('\0(\\d+)\0', lambda m: spans[int(m[1])], piece)

        def replaced(match):
            make = self.image if match[1] else self.link
            return make(page, restored(match[2]), match[3])
        text = pagelib.LINK.sub(replaced, text)
        text = re.sub(r'(?s)\*\*(\S(?:.*?\S)?)\*\*', r'<b>\1</b>', text)  # Doxygen's own stops at a link
        text = re.sub(r'(?s)(?<![\w*\\])\*(\S(?:.*?[^\s\\])?)\*(?![\w*])', r'<em>\1</em>', text)
        text = re.sub(r'<a\s+id="([^"]+)"\s*></a>', lambda m: '\\anchor ' + label(page, m[1]), text)
        text = re.sub(r'<img\s+[^>]*?src="([^"]+)"[^>]*>', lambda m: m[0].replace(
            m[1], self.images.get(self.goal(page, m[1]), m[1])), text)
        return restored(text).split('\n')

    def block(self, lines, fence):
        """A fenced block: C stays one, everything else becomes HTML with its commands marked."""
        body = [line[fence.indent:] if not line[:fence.indent].strip() else line
                for line in lines[fence.first + 1:fence.last]]
        language = (fence.words() or ['text'])[0]
        if language in CODE_LANGUAGES:
            return ['~~~~~~~{.c}'] + body + ['~~~~~~~']
        shown = []
        for line in body:
            text = html.escape(line).replace('*/', '*&#47;')  # doxygen takes it for a comment's end
            kind = None
            if language == 'console' and (line.startswith('$ ') or line == '^C'):
                kind = 'command'
            elif language == 'diff':
                kind = {'+': 'added', '-': 'removed', '@': 'place'}.get(line[:1])
            shown.append('<span class="%s">%s</span>' % (kind, text) if kind else text)
        if not shown:
            return ['', '']
        shown[0] = '\\htmlonly[block]<pre class="fragment %s">%s' % (language, shown[0])
        return shown + ['</pre>\\endhtmlonly', '']

    def page(self, path):
        lines = pagelib.read(os.path.join(self.top, path)).split('\n')
        blocks = {f.first: f for f in pagelib.fences(lines) if f.last is not None}
        self.join_summaries(lines)
        blanked, names = pagelib.prose(lines), {i: a for a, i in pagelib.anchors(lines).items()}
        out, paragraph, index, part = [], [], 0, ''
        while index < len(lines):
            line, heading = blanked[index], pagelib.HEADING.match(blanked[index])
            special = index in blocks or heading or HTML_LINE.match(line) or not line.strip()
            if not special:
                paragraph.append(line)
                index += 1
                continue
            out += self.prose(path, paragraph) if paragraph else []
            paragraph = []
            if index in blocks:
                out += self.block(lines, blocks[index])
                index = blocks[index].last
            elif heading and len(heading[1]) == 1:
                out.append('# %s {#%s}' % (heading[2].replace('`', ''), page_id(path)))
            elif heading:
                if part == 'The diff' and len(heading[1]) == 2 and path in self.diff_of and out[-1:] == ['']:
                    out[-1] = docs_diffs.link(self.diff_of[path])
                part = heading[2] if len(heading[1]) == 2 else part
                out.append('%s %s {#%s}' % (heading[1], heading[2].replace('`', ''), label(path, names[index])))
            else:
                out.append('\\htmlonly[block]%s\\endhtmlonly' % line.strip() if line.strip() else '')
            index += 1
        return out + (self.prose(path, paragraph) if paragraph else []) + self.subpages(path) + self.way(path)

    @staticmethod
    def join_summaries(lines):
        """<summary> ... </summary> over several lines becomes one line, and blank ones."""
        for index, line in enumerate(lines):
            below = index + 1
            while '<summary' in lines[index] and '</summary>' not in lines[index] and below < len(lines):
                lines[index] += ' ' + lines[below].strip()
                lines[below] = ''
                below += 1

    def subpages(self, path):
        children = self.in_order(path)
        if not children or path == 'README.md':  # pages without a parent are the main page's children
            return []
        return ['', '\\htmlonly[block]<div class="children">\\endhtmlonly', '',
                'In this part:', ''] + \
               ['- \\subpage %s' % page_id(child) for child in children] + \
               ['', '\\htmlonly[block]</div>\\endhtmlonly']

    def listing(self, path):
        lines = [l for l in pagelib.read(os.path.join(self.top, path)).split('\n')
                 if not pagelib.MARKER.match(l)]
        return ['# %s {#%s}' % (os.path.basename(path), page_id(path)), '',
                'The whole file, `%s`.' % path, '', '~~~~~~~{.c}'] + lines[:-1] + ['~~~~~~~']

    # ---- one header -----------------------------------------------------------------------------

    def header(self, path):
        """Its essay describes the file; comments behind the members of a struct describe these."""
        lines = ['' if pagelib.MARKER.match(l) else l
                 for l in pagelib.read(os.path.join(self.top, path)).split('\n')]
        if lines[0] == '/*':
            end = next(i for i, l in enumerate(lines) if l.strip() == '*/')
            lines[:end] = self.essay(lines[:end])
        depth = 0
        for index, line in enumerate(lines):
            if depth and re.search(r'[;,]?\s/\*[ ]', line) and re.match(r'\s+\w', line):
                lines[index] = re.sub(r'/\* ', '/**< ', line, count=1)
            depth += line.count('{') - line.count('}') if not line.startswith('extern') else 0
        return lines

    def essay(self, lines):
        """Prose stays prose; what is drawn, or set in columns, is shown as it stands."""
        text = [re.sub(r'^ \* ?', '', line) for line in lines[1:]]
        text[0] = re.sub(r'^[\w ]+: (\w)', lambda m: m[1].upper(), text[0])  # the name is there already
        out, index = ['/** @file'], 0
        while index < len(text):
            end = index
            while end < len(text) and text[end].strip():
                end += 1
            paragraph = text[index:end]
            if any(re.match(r'\s{2,}\S|.*\S\s{3,}\S', line) for line in paragraph):
                out[-1] += ' @verbatim'
                out += ['   ' + line for line in paragraph]  # a star would be shown
                ending = ' @endverbatim'
            else:
                out += [' * ' + re.sub(r'([\\@<>#%])', r'\\\1', line) for line in paragraph]
                ending = ''
            if end < len(text):
                out.append(ending or ' *')
            else:
                out[-1] += ending
            index = end + 1
        return out

    # ---- all ------------------------------------------------------------------------------------

    def write(self, name, lines):
        path = os.path.join(self.out, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pagelib.write(path, '\n'.join(lines) + '\n')

    def write_all(self):
        shutil.rmtree(self.out, ignore_errors=True)
        # Doxygen shows the pages without a parent in the order of its files: these begin with a number.
        order = {page: '%02d_' % number for number, page in enumerate(self.children('README.md'))}
        for page in self.pages:  # in one folder: those of the headers are shown as a tree
            self.write(order.get(page, '') + page.replace('/', '__'), self.page(page))
        for source in self.listings:
            self.write(source.replace('/', '__') + '.md', self.listing(source))
        for header in self.headers:
            self.write(header, self.header(header))
        self.write_diffs(order)
        for source, name in self.images.items():
            os.makedirs(os.path.join(self.out, '.images'), exist_ok=True)
            shutil.copyfile(os.path.join(self.top, source), os.path.join(self.out, '.images', name))

    def write_diffs(self, order):
        if not self.diffs:
            return
        self.write(order.get(DIFFS_BEHIND, '') + 'the_steps_as_diffs.md', docs_diffs.overview(self.diffs, self))
        for before, diff, after in zip([None] + self.diffs, self.diffs, self.diffs[1:] + [None]):
            self.write('diff_%s_%s.md' % (diff.chapter, diff.number), docs_diffs.page(diff, self, before, after))


def main(words):
    if len(words) != 1 or words[0].startswith('-'):  # -h, too: no folder is made of an option
        print(__doc__)
        return 2
    Site(pagelib.root(), words[0]).write_all()
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
