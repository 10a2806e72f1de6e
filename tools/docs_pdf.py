#!/usr/bin/env python3
"""docs_pdf: makes one PDF of the site, together with Chromium and qpdf (tools/docs_pdf.sh calls all three).

    docs_pdf.py sheets SITE FOLDER   what is to be printed: a sheet for each page of the site, a cover, the contents
    docs_pdf.py bind FOLDER PDF      the printed sheets become one PDF, with links and bookmarks
    docs_pdf.py check FOLDER PDF     is each title, number and figure where a reader looks for it? (by pdftotext)

SITE is the folder that `make docs` has filled. Its pages follow one another as the links to the next page do, then
come the steps as what they change, and the reference of evq's header. What is folded on the screen, as the answers
of a quiz are, stands open on paper.

Chromium keeps the links inside of one document alone. So a link to a page of the book is printed as the address
book:PAGE#ANCHOR, and bind, which knows where all pages lie, makes it a jump. A link to a page that is on the
site alone becomes plain text. So that Chromium tells where an anchor lies, a hidden link on its own sheet leads to it.

A PDF is a list of numbered objects. qpdf writes it as text (--qdf); bind reads that, and appends what it changes as
the next revision of the same file, which is how the format means it: nothing in front of it moves.
"""
import html
import json
import os
import re
import subprocess
import sys
from urllib.parse import quote, unquote

DIFFS, REFERENCE = 'p_diffs.html', 'evq_8h.html'
TITLES = {'index.html': 'About this book', REFERENCE: 'Reference: evq.h'}
CHAPTER = re.compile(r'<div class="title">Chapter \d\d')

NEXT = re.compile(r'<a rel="next" href="([^"]+)"')
DIFF = re.compile(r'href="(p_diff_\d\d_\d\.html)"')
BODY = re.compile(r'<div class="contents">\n?(.*)</div><!-- contents -->', re.S)
TITLE = re.compile(r'<div class="title">(.*?)</div>', re.S)
LEFT_OUT = re.compile(r'<nav class="way".*?</nav>|<div class="children">.*?</div>|</?object\b[^>]*>', re.S)
ANCHOR = re.compile(r'<a\b([^>]*?) href="([^"]*)"([^>]*)>(.*?)</a>', re.S)
SOURCE = re.compile(r'(<img\b[^>]*? src=")([^"/:]+)(")')
IDS = re.compile(r'\b(?:id|name)="([^"]+)"')
FROM_ELSEWHERE = re.compile(r'[a-z]+:')
COLUMNS = 6  # a table of so many is printed smaller

SHEET = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>%(title)s</title>
<link rel="stylesheet" href="../../../docs/print.css">
<style>@page { size: A4; margin: 15mm 15mm 20mm; %(footer)s }</style></head>
<body class="%(kind)s">%(hidden)s%(body)s</body></html>
"""
FOOTER = ('@bottom-left { content: "%s"; font: 8pt sans-serif; color: #57606a; } '
          '@bottom-right { content: counter(page); font: 9pt sans-serif; color: #57606a; }')
COVER = """<div class="cover"><h1>Event queues in C</h1>
<p>step by step: from a blocking echo server to select, poll, epoll, kqueue and I/O completion ports</p>
<img class="figure" src="../html/docs_figures_path.svg" alt="The path through the chapters">
<p class="licence">Code under the MIT license, text under CC BY 4.0. The programs, tests and labs that this book
speaks of come with it: each block of commands is to be typed in the folder that they lie in.</p></div>
"""


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def write(text, *path):
    with open(os.path.join(*path), 'w', encoding='utf-8') as file:
        file.write(text)


# ---- sheets ----------------------------------------------------------------------------------------


def in_order(site):
    """The front page, then always the next one, then what has no place on this way."""
    pages, page = [], 'index.html'
    while page and page not in pages:
        pages.append(page)
        found = NEXT.search(read(site, page))
        page = found and html.unescape(found[1])
    if os.path.exists(os.path.join(site, DIFFS)):
        pages.append(DIFFS)
        pages += dict.fromkeys(DIFF.findall(BODY.search(read(site, DIFFS))[1]))
    return pages + [REFERENCE] * os.path.exists(os.path.join(site, REFERENCE))


def address(href, page, pages):
    """Where a link leads: (page, anchor) of the book; None for one that has no place in it."""
    target, _, anchor = html.unescape(href).partition('#')
    target = target or page
    return (target, unquote(anchor)) if target in pages else None


def text_of_image(site, name):
    """What an image in SVG says; one of another kind says nothing."""
    path = os.path.join(site, name)
    return read(path) if name.endswith('.svg') and os.path.exists(path) else ''


class Page:
    """A page of the site on its way to paper."""

    def __init__(self, site, name):
        text = read(site, name)
        body, title = BODY.search(text), TITLE.search(text)
        if not body or not title:
            sys.exit('docs-pdf: %s is not as Doxygen makes its pages' % name)
        self.name = name
        self.title = TITLES.get(name) or html.unescape(re.sub(r'<[^>]*>', '', title[1])).strip()
        self.body = LEFT_OUT.sub('', body[1]).replace('<details', '<details open')
        self.is_part = bool(CHAPTER.search(text)) or not re.match(r'p_\d\d_|p_diff_', name)
        self.ids = set(IDS.findall(self.body))
        self.images = [name for _, name, _ in SOURCE.findall(self.body)]
        self.hatched = [image for image in self.images if '<pattern' in text_of_image(site, image)]
        rows = re.findall(r'<tr\b.*?</tr>', self.body, re.S)
        self.has_wide_table = any(len(re.findall(r'<t[hd]\b', row)) >= COLUMNS for row in rows)

    def printed(self, pages, wanted):
        def link(match):
            before, href, behind, text = match.groups()
            if FROM_ELSEWHERE.match(href):
                return match[0]
            to = address(href, self.name, pages)
            if not to:
                return '<span%s>%s</span>' % (before, text)
            return '<a%s href="book:%s#%s"%s>%s</a>' % (before, to[0], quote(to[1]), behind, text)
        hidden = ''.join('<a href="#%s" hidden></a>' % html.escape(quote(name)) for name in sorted(wanted & self.ids))
        body = SOURCE.sub(r'\1../html/\2\3', ANCHOR.sub(link, self.body))
        return SHEET % {'title': html.escape(self.title), 'footer': footer(self.title), 'hidden': hidden,
                        'kind': 'many-columns' * self.has_wide_table,
                        'body': '<h1 class="title">%s</h1>\n%s' % (html.escape(self.title), body)}


def footer(title):
    return FOOTER % title.replace('\\', '').replace('"', r'\"').replace('<', r'\3c ')


def make_sheets(site, folder):
    names = in_order(site)
    pages = {name: Page(site, name) for name in names}
    wanted = {name: set() for name in names}
    for page in pages.values():
        for _, href, _, _ in ANCHOR.findall(page.body):
            to = None if FROM_ELSEWHERE.match(href) else address(href, page.name, pages)
            if to:
                wanted[to[0]].add(to[1])
    sheets = [{'name': '000', 'page': 'cover', 'title': 'Cover', 'is_part': True},
              {'name': '001', 'page': 'contents', 'title': 'Contents', 'is_part': True}]
    plain = {'kind': '', 'hidden': ''}
    write(SHEET % {**plain, 'title': 'Event queues in C', 'footer': '', 'body': COVER}, folder, '000.html')
    rows = []
    for number, page in enumerate(pages.values(), len(sheets)):
        name = '%03d' % number
        write(page.printed(pages, wanted[page.name]), folder, name + '.html')
        sheets.append({'name': name, 'page': page.name, 'title': page.title, 'is_part': page.is_part,
                       'images': page.images, 'hatched': page.hatched})
        rows.append('<tr class="%s"><td><a href="book:%s#">%s</a></td><td data-sheet="%s">000</td></tr>' % (
            'part' if page.is_part else 'within', page.name, html.escape(page.title), name))
    write(SHEET % {**plain, 'title': 'Contents', 'footer': footer('Contents'), 'body':
          '<h1 class="title">Contents</h1><table class="contents-of-book">%s</table>' % '\n'.join(rows)},
          folder, '001.html')
    write(json.dumps(sheets, indent=1), folder, 'sheets.json')


# ---- bind ------------------------------------------------------------------------------------------

# As Chromium writes it, which is plain text but for the streams, in the order of the pages ...
PRINTED_PAGE = re.compile(rb'^(\d+) 0 obj\s*<<\s*/Type /Page\s', re.M)
PRINTED_PLACE = re.compile(rb'/([^\s/\[\]<>()]+) \[(\d+) 0 R /XYZ \S+ (\S+) \S+\]')
# ... and as qpdf does.
BOUND_PAGE = re.compile(rb'^%% Page (\d+)\n(?:%% .*\n)*(\d+) 0 obj', re.M)
OBJECT = re.compile(rb'^(\d+) 0 obj\n(<<\n.*?>>)\nendobj', re.M | re.S)
BOOK_LINK = re.compile(rb'  /A <<\n(?:    .*\n)*?    /URI \(book:([^)]*)\)\n  >>\n')


def bound(files):
    """All of them as one, as text but for the streams. Status 3 of qpdf is a warning."""
    run = subprocess.run(['qpdf', '--empty', '--pages', *files, '--', '--qdf', '--stream-data=preserve',
                          '--object-streams=disable', '-'], capture_output=True)
    if run.returncode not in (0, 3):
        sys.exit('docs-pdf: qpdf: ' + run.stderr.decode('utf-8', 'replace').strip())
    return run.stdout


def name_of(word):
    """A name as PDF writes it: #20 is a blank."""
    return unquote(re.sub(r'#([0-9a-fA-F]{2})', lambda match: chr(int(match[1], 16)), word.decode('latin1')))


def string(text):
    """A string of PDF, in UTF-16, which holds every character."""
    return b'<' + ('\ufeff' + text).encode('utf-16-be').hex().encode() + b'>'


class Book:
    """The bound PDF: where its pages lie, and what is appended."""

    def __init__(self, folder):
        self.sheets = json.loads(read(folder, 'pages.json'))
        files = [os.path.join(folder, sheet['name'] + '.pdf') for sheet in self.sheets]
        self.text = bound(files)
        pages = [(int(page), int(number)) for page, number in BOUND_PAGE.findall(self.text)]
        self.objects = [number for _, number in sorted(pages)]
        self.last = max(int(number) for number in re.findall(rb'^(\d+) 0 obj$', self.text, re.M))
        self.changed, self.places, self.lost = {}, {}, []
        for sheet, file in zip(self.sheets, files):
            self.find_places(sheet, file)

    def find_places(self, sheet, path):
        with open(path, 'rb') as file:
            text = file.read()
        own = PRINTED_PAGE.findall(text)
        if len(own) != sheet['count']:
            sys.exit('docs-pdf: %s has %d pages, not %d' % (sheet['page'], len(own), sheet['count']))
        self.places[sheet['page'], ''] = b'[%d 0 R /Fit]' % self.objects[sheet['first'] - 1]
        for name, page, top in PRINTED_PLACE.findall(text):
            index = sheet['first'] - 1 + own.index(page)
            self.places[sheet['page'], name_of(name)] = b'[%d 0 R /XYZ null %s null]' % (self.objects[index], top)

    def make_links(self):
        for number, body in OBJECT.findall(self.text):
            link = BOOK_LINK.search(body)
            if link:
                page, _, anchor = link[1].decode('latin1').partition('#')
                place = self.places.get((page, unquote(anchor)))
                if not place:
                    self.lost.append('%s#%s' % (page, anchor))
                else:
                    self.changed[int(number)] = BOOK_LINK.sub(b'  /Dest ' + place + b'\n', body)

    def add(self, body):
        self.last += 1
        self.changed[self.last] = body
        return self.last

    def make_outline(self):
        """Parts, and within them their pages: each entry knows its neighbours, its parent, its first and last child."""
        entries, parents = [(None, b'/Type /Outlines')], [0]
        for sheet in self.sheets:
            place = self.places[sheet['page'], '']
            parents.append(0 if sheet['is_part'] else max(i for i, p in enumerate(parents) if p == 0))
            entries.append((sheet['title'], b'/Title %s /Dest %s' % (string(sheet['title']), place)))
        first = self.last + 1
        for index, (_, body) in enumerate(entries):
            children = [i for i, parent in enumerate(parents) if parent == index and i != 0]
            family = [i for i, parent in enumerate(parents) if parent == parents[index] and i != 0]
            if index:
                at = family.index(index)
                body += b' /Parent %d 0 R' % (first + parents[index])
                body += b' /Prev %d 0 R' % (first + family[at - 1]) if at else b''
                body += b' /Next %d 0 R' % (first + family[at + 1]) if at + 1 < len(family) else b''
            if children:  # a negative count: folded
                body += b' /First %d 0 R /Last %d 0 R /Count %d' % (
                    first + children[0], first + children[-1], -len(children) if index else len(children))
            self.add(b'<< ' + body + b' >>')
        return first

    def revision(self):
        """The same file, with the changed objects, and a table of where they are, behind its end."""
        number, body = next(found for found in OBJECT.findall(self.text) if b'  /Type /Catalog\n' in found[1])
        outline = self.make_outline()
        self.changed[int(number)] = (body[:-2] + b'  /Outlines %d 0 R /PageMode /UseOutlines /Lang (en)\n'
                                     b'  /ViewerPreferences << /DisplayDocTitle true >>\n>>' % outline)
        info = self.add(b'<< /Title %s >>' % string('Event queues in C, step by step'))
        before = int(re.findall(rb'startxref\n(\d+)\n', self.text)[-1])
        out, table = [self.text], []
        at = len(self.text)
        for key, content in sorted(self.changed.items()):
            piece = b'%d 0 obj\n%s\nendobj\n' % (key, content)
            table.append(b'%d 1\n%010d 00000 n \n' % (key, at))
            out.append(piece)
            at += len(piece)
        out.append(b'xref\n' + b''.join(table) + b'trailer << /Size %d /Root %s 0 R /Info %d 0 R /Prev %d >>\n'
                   b'startxref\n%d\n%%%%EOF\n' % (self.last + 1, number, info, before, at))
        return b''.join(out)


def bind(folder, pdf):
    book = Book(folder)
    book.make_links()
    raw = os.path.join(folder, 'book.pdf')
    with open(raw, 'wb') as file:
        file.write(book.revision())
    run = subprocess.run(['qpdf', raw, '--object-streams=generate', '--compress-streams=y', pdf])
    for lost in sorted(set(book.lost)):
        print('docs-pdf: no place was found for the link to ' + lost)
    return 1 if run.returncode or book.lost else 0


# ---- check -----------------------------------------------------------------------------------------


def plain(text):
    """Only letters and digits: the lines of a title may be broken anywhere."""
    return re.sub(r'\W+', '', text)


def is_drawn(folder, name, text):
    """Is most of what a figure says among the text? Not all: pdftotext takes one or the other line apart."""
    said = re.findall(r'<text\b[^>]*>([^<]+)<', text_of_image(os.path.join(folder, '..', 'html'), name))
    said = [plain(html.unescape(words)) for words in said]
    return 2 * sum(words in text for words in said) >= len(said)


def pictures(pdf, sheet):
    """How many pictures made of dots are on the pages of a sheet."""
    words = ['pdfimages', '-list', '-f', str(sheet['first']), '-l', str(sheet['first'] + sheet['count'] - 1), pdf]
    lines = subprocess.run(words, capture_output=True, check=True).stdout.decode('utf-8').splitlines()
    return sum(line.split()[2] == 'image' for line in lines[2:])


def check(folder, pdf):
    run = subprocess.run(['pdftotext', '-raw', pdf, '-'], capture_output=True, check=True)
    papers = [plain(page) for page in run.stdout.decode('utf-8').split('\f')[:-1]]
    sheets, faults, figures = json.loads(read(folder, 'pages.json')), [], 0
    contents = ''.join(papers[sheets[1]['first'] - 1:sheets[2]['first'] - 1])
    for sheet in sheets[1:]:
        here = papers[sheet['first'] - 1:sheet['first'] - 1 + sheet['count']]
        title = plain(sheet['title'])
        first = here[0] if here else ''
        if first.count(title) < 2:  # the heading, and the foot of the page
            faults.append('"%s" does not begin on page %d' % (sheet['title'], sheet['first']))
        elif not re.search(r'^%(first)d|%(first)d$' % sheet, first):
            faults.append('page %d does not bear its number' % sheet['first'])
        if sheet is not sheets[1] and title + str(sheet['first']) not in contents:
            faults.append('the contents do not send to page %d for "%s"' % (sheet['first'], sheet['title']))
        hatched = sheet.get('hatched', [])
        figures += len(sheet.get('images', []))
        for name in set(sheet.get('images', [])) - set(hatched):
            if not is_drawn(folder, name, ''.join(here)):
                faults.append('%s is not on the pages of "%s"' % (name, sheet['title']))
        if hatched and pictures(pdf, sheet) < len(hatched):
            faults.append('"%s" has not all of its %d hatched figures' % (sheet['title'], len(hatched)))
    if len(papers) != sum(sheet['count'] for sheet in sheets):
        faults.append('it has %d pages' % len(papers))
    for fault in faults:
        print('docs-pdf: ' + fault)
    print('%d pages, %d titles, %d figures, %d faults' % (len(papers), len(sheets) - 1, figures, len(faults)))
    return 1 if faults else 0


def main(words):
    if len(words) != 3 or words[0] not in ('sheets', 'bind', 'check'):
        print(__doc__)
        return 2
    return {'sheets': make_sheets, 'bind': bind, 'check': check}[words[0]](*words[1:]) or 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
