"""timeline_draw: one run as a picture (SVG) and in words.

The picture holds everything in itself: no script, no font, no other file. It has a light and a dark theme,
the colours are those of Okabe and Ito, and each kind of wait has a pattern of its own, so colour alone says
nothing. All pictures have the same width, the same scale, and the same clients in the same rows.
"""
import html

import timeline_trace as trace

WIDTH, LEFT, CHART, ROW, TOP = 760, 92, 580, 20, 62
LETTER = 6.6  # pixels, of the small font

KINDS = [  # class, word in the legend
    (trace.FOR_ONE, 'blocked: one client must move'),
    (trace.FOR_NEW, 'blocked: a new client must come'),
    (trace.FOR_ANY, 'blocked: anybody may move'),
    (trace.FOR_THREAD, 'blocked: another thread must'),
    (trace.NAPS, 'sleeps for a fixed time'),
    ('work', 'works: calls that do not wait'),
]
CLIENT_KINDS = [('waits', 'client: waits for its echo'), ('floods', 'client: sends, reads nothing'),
                ('here', 'client: connected')]

STYLE = '''
    svg { color-scheme: light dark; }
    .paper { fill: #ffffff; stroke: #d0d7de; } text { fill: #1f2328; }
    .quiet { fill: #59636e; } .small { font-size: 11px; } .head { font-weight: 600; font-size: 14px; }
    .end { text-anchor: end; } .mid { text-anchor: middle; } .grid { stroke: #d0d7de; } .life { stroke: #8c959f; }
    .on { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-linejoin: round; }
    .work { fill: #1f2328; } .inside { fill: #ffffff; } .here, .reads { fill: none; } .here { stroke: #8c959f; }
    .one, .waits { stroke: #d55e00; } .new { stroke: #009e73; } .any { stroke: #0072b2; }
    .thread { stroke: #a6478a; } .nap { stroke: #8f6a00; } .floods, .reads { stroke: #0072b2; }
    .p-one { stroke: #d55e00; } .p-new { stroke: #009e73; } .p-any { stroke: #0072b2; fill: #0072b2; fill-opacity: .12; }
    .p-thread { fill: #a6478a; } .p-nap { stroke: #8f6a00; }
    g:hover > rect { stroke-width: 2.5; } g:hover > .work { fill: #d55e00; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #3d444d; } text { fill: #e6edf3; } .quiet { fill: #9ea7b3; }
      .grid { stroke: #2a3037; } .life, .here { stroke: #6e7781; } .on { stroke: #0d1117; } .work { fill: #e6edf3; } .inside { fill: #0d1117; }
      .one, .waits, .p-one { stroke: #ff8c3a; } .new, .p-new { stroke: #2ec79b; } .any, .floods, .reads, .p-any { stroke: #56b4e9; }
      .p-any { fill: #56b4e9; } .thread { stroke: #cc79a7; } .p-thread { fill: #cc79a7; } .nap, .p-nap { stroke: #e69f00; }
      g:hover > .work { fill: #ff8c3a; }
    }
'''

# The pattern of each kind; what is drawn has class p-KIND.
PATTERNS = {
    'one': '<path class="p-one" stroke-width="2" d="M-2,2 2,-2 M0,8 8,0 M6,10 10,6"/>',
    'new': '<path class="p-new" stroke-width="1" d="M2,0 V8 M6,0 V8"/>',
    'any': '<rect class="p-any" stroke="none" style="stroke:none" width="8" height="8"/>',
    'thread': '<circle class="p-thread" cx="2" cy="2" r="1.1"/><circle class="p-thread" cx="6" cy="6" r="1.1"/>',
    'nap': '<path class="p-nap" stroke-width="1" d="M0,2 H8 M0,6 H8"/>',
}
AS_MEANT = ('served', 'said nothing', 'got all back', 'ended it by RST')
FILLS = {'one': 'one', 'waits': 'one', 'new': 'new', 'any': 'any', 'thread': 'thread', 'nap': 'nap', 'floods': 'any'}


def in_ms(seconds):
    return '%.0f ms' % (seconds * 1000) if seconds >= 0.01 else '%.1f ms' % (seconds * 1000)


def share(part, whole):
    return '%.0f %%' % (100 * part / whole) if whole > 0 else '-'


def calls_in_words(calls, most=99):
    words = ['%s %s%s' % (name, f'{many:,}', f' ({again:,} EAGAIN)' if again else '')
             for name, many, again in trace.count(calls)]
    return ', '.join(words[:most]) + (', ...' if len(words) > most else '')


def whom(calls):
    """The clients that the calls are about, in the order in which they come up."""
    return list(dict.fromkeys(c.who for c in calls if c.who))


class Run:
    """All that is known of one run: what the picture and the words are made of."""

    def __init__(self, title, banner, note, scene, threads):
        self.title, self.banner, self.note, self.scene, self.threads = title, banner, note, scene, threads
        self.length = scene.end() - scene.start

    def since(self, moment):
        return moment - self.scene.start

    # ---- in words -----------------------------------------------------------------------------------

    def client_figures(self, client):
        wait = in_ms(client.longest_wait()) if client.kind == 'visitor' else '-'
        came = in_ms(self.since(client.came)) if client.came else '-'
        return client.name, came, wait, client.ended

    def thread_figures(self, thread):
        lived = thread.end - thread.start
        longest = max(thread.waits, key=lambda c: c.end - c.start, default=None)
        words = '-' if longest is None else '%s, %s' % (in_ms(longest.end - longest.start), call_in_words(longest))
        return thread.name, in_ms(lived), share(thread.blocked(), lived), words

    def sentences(self):
        """One for each client and each thread."""
        for client in self.scene.clients:
            name, came, wait, ended = self.client_figures(client)
            waited = '' if wait == '-' else ', waited at most %s' % wait
            yield '%s came at %s%s: %s.' % (name, came, waited, ended)
        for thread in self.threads:
            name, lived, part, longest = self.thread_figures(thread)
            wait = '' if longest == '-' else ' The longest wait was %s.' % longest
            yield '%s lived %s, %s of it blocked.%s Its calls: %s.' % (name, lived, part, wait, calls_in_words(thread.calls))

    def table(self):
        yield '%-10s %8s %12s  %s' % ('client', 'came at', 'longest wait', 'how it ended')
        for client in self.scene.clients:
            yield '%-10s %8s %12s  %s' % self.client_figures(client)
        yield ''
        yield '%-10s %8s %8s  %s' % ('thread', 'lived', 'blocked', 'longest wait, and all its calls')
        for thread in self.threads:
            yield '%-10s %8s %8s  %s' % self.thread_figures(thread)
            yield from wrapped(calls_in_words(thread.calls), 30, 50)

    # ---- the picture --------------------------------------------------------------------------------

    def x(self, moment):
        return LEFT + CHART * min(max(self.since(moment) / self.length, 0), 1)

    def bar(self, row, kind, since, until, title, label=''):
        """A rectangle that tells its title when the mouse is over it, with a label where it fits."""
        x, width = self.x(since), max(self.x(until) - self.x(since), 1.5)
        y, height = row + (5 if kind == 'here' else 3), 10 if kind == 'here' else 14
        fill = ' fill="url(#%s)"' % FILLS[kind] if kind in FILLS else ''
        text = ''
        if label and len(label) * LETTER + 6 < width:
            text = '<text class="small mid %s" x="%.1f" y="%d">%s</text>' % (
                'inside' if kind == 'work' else 'on', x + width / 2, row + 14, html.escape(label))
        return '<g><title>%s</title><rect class="%s"%s x="%.1f" y="%d" width="%.1f" height="%d"/>%s</g>' % (
            html.escape(title), kind, fill, x, y, width, height, text)

    def name_row(self, row, name, figure):
        yield '<text class="small end" x="%d" y="%d">%s</text>' % (LEFT - 6, row + 14, html.escape(name))
        if figure:
            yield '<text class="small end" x="%d" y="%d">%s</text>' % (WIDTH - 8, row + 14, html.escape(figure))

    def client_row(self, client, row):
        _, came, wait, ended = self.client_figures(client)
        yield from self.name_row(row, client.name, '' if wait == '-' else wait)
        if not client.came:
            return
        label = {'silent': 'says nothing', 'rst': ''}.get(client.kind, '')
        yield self.bar(row, 'here', client.came, client.left, '%s: %s' % (client.name, ended), label)
        for since, until, kind, words in client.spans:
            title = '%s %s: %s' % (client.name, words, in_ms(until - since))
            last = (since, until) == client.spans[-1][:2] and ended not in AS_MEANT
            label = ended if last else {'waits': 'waits', 'floods': 'reads nothing', 'reads': ''}[kind]
            yield self.bar(row, kind, since, until, title, label)

    def thread_row(self, thread, row):
        _, _, part, _ = self.thread_figures(thread)
        yield from self.name_row(row, thread.name, part)
        yield '<path class="life" d="M%.1f,%d H%.1f"/>' % (self.x(thread.start), row + 10, self.x(thread.end))
        for call in thread.waits:
            title = '%s, blocked for %s from %s on' % (call_in_words(call), in_ms(call.end - call.start), in_ms(self.since(call.start)))
            yield self.bar(row, call.waits, call.start, call.end, title, call_in_words(call))
        for calls in thread.work:
            many = '%s call%s in %s' % (f'{len(calls):,}', 's' if len(calls) > 1 else '', in_ms(calls[-1].end - calls[0].start))
            about = ' for ' + ', '.join(whom(calls)) if whom(calls) else ''
            title = '%s%s, from %s on: %s' % (many, about, in_ms(self.since(calls[0].start)), calls_in_words(calls))
            yield self.bar(row, 'work', calls[0].start, calls[-1].end, title, busy_label(calls))

    def axis(self, bottom):
        for tenth in range(0, 11):
            x = LEFT + CHART * tenth / 10
            yield '<path class="grid" d="M%.1f,%d V%d"/>' % (x, TOP - 6, bottom)
            words = '%.1f s' % (self.length * tenth / 10)
            yield '<text class="small quiet mid" x="%.1f" y="%d">%s</text>' % (x, TOP - 10, words)

    def section(self, row, words, figure):
        yield '<text class="small quiet" x="8" y="%d">%s</text>' % (row + 14, words)
        yield '<text class="small quiet end" x="%d" y="%d">%s</text>' % (WIDTH - 8, row + 14, figure)

    def legend(self, row):
        for index, (kind, words) in enumerate(KINDS + CLIENT_KINDS):
            x, y = 12 + index % 3 * 250, row + index // 3 * 18
            fill = ' fill="url(#%s)"' % FILLS[kind] if kind in FILLS else ''
            yield '<rect class="%s"%s x="%d" y="%d" width="24" height="12"/>' % (kind, fill, x, y)
            yield '<text class="small" x="%d" y="%d">%s</text>' % (x + 30, y + 10, words)

    def rows(self):
        """All rows, and the y below the last one."""
        parts, row = list(self.section(TOP, 'the clients', 'longest wait')), TOP + ROW
        for client in self.scene.clients:
            parts += self.client_row(client, row)
            row += ROW
        parts += self.section(row + 6, 'the server', 'blocked')
        row += ROW + 6
        for thread in self.threads:
            parts += self.thread_row(thread, row)
            row += ROW
        return parts, row

    def svg(self):
        parts, bottom = self.rows()
        height = bottom + 8 + 3 * 18 + 24
        head = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img"'
                % (WIDTH, height, WIDTH, height),
                '     aria-labelledby="title desc" font-size="12" font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace">',
                '<title id="title">%s</title>' % html.escape(self.title),
                '<desc id="desc">%s</desc>' % html.escape(' '.join(filter(None, [self.banner and self.banner + '.', *self.sentences()]))),
                '<style>%s</style>' % STYLE, '<defs>']
        head += ['<pattern id="%s" width="8" height="8" patternUnits="userSpaceOnUse">%s</pattern>' % p for p in PATTERNS.items()]
        head += ['</defs>', '<rect class="paper" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>' % (WIDTH - 1, height - 1),
                 '<text class="head" x="8" y="24">%s</text>' % html.escape(self.title),
                 '<text class="small end" x="%d" y="24">%s</text>' % (WIDTH - 8, html.escape(self.banner))]
        foot = ['<text class="small quiet" x="8" y="%d">%s</text>' % (height - 10, html.escape(self.note))]
        return '\n'.join(head + list(self.axis(bottom)) + parts + list(self.legend(bottom + 10)) + foot + ['</svg>', ''])


def call_in_words(call):
    return call.name + (' ' + call.who if call.who else '')


def busy_label(calls):
    again = sum(c.again() for c in calls)
    return f'{len(calls):,} calls, {again:,} EAGAIN' if again else f'{len(calls):,} calls'


def wrapped(words, indent, width):
    """The words in lines of at most width, broken at commas."""
    line = ''
    for word in words.split(', '):
        if line and len(line) + len(word) + 3 > width:
            yield ' ' * indent + line + ','
            line = word
        else:
            line += (', ' if line else '') + word
    yield ' ' * indent + line
