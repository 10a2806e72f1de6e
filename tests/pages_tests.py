#!/usr/bin/env python3
"""Tests of the tools that keep the pages true: weave, run_pages, lint_pages, lint_source, docs_pages, docs_pdf.

usage: python3 tests/pages_tests.py [-v] [NAME...]        (sh tools/lint.sh tools runs all)

Each test makes a small tree in a folder with a blank in its name, with the real tools in it, and
asks: is it green when all is well, and does it go red, in words that help, when one thing is wrong?
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = [f for f in os.listdir(os.path.join(TOP, 'tools')) if f.endswith(('.py', '.sh'))]

SOURCE = '''/* A source. */
//! [whole]
static int answer(void)
{
    //! [inside]
    if (1) {
        return 42;
    }
    //! [inside]
}
//! [whole]
'''

WOVEN = '''# A page

<!-- code: source.c inside -->
```c
if (1) {
    return 42;
}
```
'''

# A server as the pages know them; "deaf" does not hear SIGINT.
SERVER = '''import os, signal, sys, time
def stop(*_):
    print("totals: clients 3, bytes 1024", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, signal.SIG_IGN if "deaf" in sys.argv else stop)
open("../pid", "w").write(str(os.getpid()))
print("listening on 127.0.0.1:%d" % (os.getpid() % 60000 + 1), flush=True)
while True:
    time.sleep(60)
'''


class Tree(unittest.TestCase):
    """A test with a tree of its own."""

    def setUp(self):
        self.base = tempfile.mkdtemp(prefix='pages tests ')
        self.top = os.path.join(self.base, 'a tree')
        os.makedirs(os.path.join(self.top, 'tools'))
        for name in TOOLS:
            shutil.copy(os.path.join(TOP, 'tools', name), os.path.join(self.top, 'tools', name))

    def tearDown(self):
        shutil.rmtree(self.base)

    def write(self, name, text):
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    def read(self, name):
        with open(os.path.join(self.top, name), encoding='utf-8') as file:
            return file.read()

    def run_tool(self, tool, *words, **env):
        """(status, what it said)."""
        run = subprocess.run([sys.executable, 'tools/' + tool] + list(words), cwd=self.top, text=True,
                             env=dict(os.environ, PYTHONDONTWRITEBYTECODE='1', **env), timeout=60,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return run.returncode, run.stdout

    def expect(self, result, status, *words):
        for word in words:
            self.assertIn(word, result[1])
        self.assertEqual(status, result[0], result[1])


class Weave(Tree):
    def setUp(self):
        super().setUp()
        self.write('source.c', SOURCE)

    def test_fills_an_empty_block(self):
        self.write('page.md', '# A page\n\n<!-- code: source.c inside -->\n```c\n```\n')
        self.expect(self.run_tool('weave.py'), 0, 'page.md: 1 block woven')
        self.assertEqual(WOVEN, self.read('page.md'))
        self.expect(self.run_tool('weave.py', '--check'), 0)

    def test_leaves_out_the_markers_of_inner_pairs(self):
        self.write('page.md', '<!-- code: source.c whole -->\n```c\n```\n')
        self.run_tool('weave.py')
        self.assertNotIn('//!', self.read('page.md'))
        self.assertIn('    if (1) {', self.read('page.md'))

    def test_check_goes_red_when_one_byte_of_the_source_changes(self):
        self.write('page.md', WOVEN)
        self.expect(self.run_tool('weave.py', '--check'), 0)
        self.write('source.c', SOURCE.replace('42', '43'))
        self.expect(self.run_tool('weave.py', '--check'), 1, 'page.md:5:', 'make weave')
        self.assertEqual(WOVEN, self.read('page.md'))

    def test_check_goes_red_when_one_byte_of_the_page_changes(self):
        self.write('page.md', WOVEN.replace('42', '43'))
        self.expect(self.run_tool('weave.py', '--check'), 1, 'page.md:5:', 'make weave')

    def test_names_what_is_missing(self):
        self.write('page.md', '<!-- code: none.c inside -->\n```c\n```\n<!-- code: source.c none -->\n```c\n```\n'
                   '<!-- code: source.c whole -->\n')
        self.expect(self.run_tool('weave.py'), 1, 'page.md:1: no file none.c', 'page.md:4: source.c has no marker',
                    'page.md:7: a block ```c must stand directly below')

    def test_names_bad_markers(self):
        self.write('page.md', '<!-- code: source.c whole -->\n```c\n```\n')
        for bad, words in [('//! [whole]\n', 'never closed'),
                           (SOURCE + '//! [whole]\n//! [whole]\n', 'a second pair'),
                           ('//! [whole]\n//! [b]\n//! [whole]\n//! [b]\n', 'before [b] inside it is closed')]:
            self.write('source.c', bad)
            self.expect(self.run_tool('weave.py', '--check'), 1, words)

    def test_leaves_the_matrix_alone_without_results(self):
        page = '<!-- matrix: 01 -->\n| old |\n<!-- end -->\n'
        self.write('page.md', page)
        self.expect(self.run_tool('weave.py', '--check'), 0, 'no results yet')
        self.write('build/tests/contract.tsv', '')
        self.write('tools/matrix.sh', 'echo "not complete" >&2; exit 3\n')
        self.expect(self.run_tool('weave.py', '--check'), 0, 'not complete')
        self.write('tools/matrix.sh', 'echo "| new |"\n')
        self.expect(self.run_tool('weave.py', '--check'), 1, 'page.md:2:')
        self.run_tool('weave.py')
        self.assertIn('\n| new |\n', self.read('page.md'))

    def test_a_diff_loses_hunks_of_comments_and_says_where_it_is_cut(self):
        hunk = '@@ -1 +1 @@\n' + ''.join('+line %d\n' % i for i in range(9))
        self.write('tools/diff.sh', "cat <<'E'\nfrom a to b\n@@ -9 +9 @@\n-/* old */\n+/* new */\n%sE\n" % hunk)
        self.write('page.md', '<!-- diff: 01/2 6 -->\n```diff\n```\n')
        self.expect(self.run_tool('weave.py'), 0)
        text = self.read('page.md')
        self.assertNotIn('old', text)
        self.assertIn('... 5 more lines: make diff CH=01 STEP=2', text)


class RunPages(Tree):
    def page(self, text):
        self.write('page.md', text)
        return self.run_tool('run_pages.py', TEST_SLOWDOWN='0.3')

    def server(self, words=''):
        self.write('server.py', SERVER)
        return 'exec %s server.py %s' % (sys.executable, words)

    def assert_gone(self):
        """The server that wrote its number into `pid` does not exist any more."""
        pid = int(self.read('build/pages/pid'))
        for _ in range(100):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.02)
        self.fail('the server %d is still there' % pid)

    def test_compares_the_output(self):
        self.expect(self.page('```console\n$ echo one; echo two\none\ntwo\n```\n'), 0, '1 commands, 0 failed')

    def test_goes_red_on_another_output(self):
        self.expect(self.page('# A\n```console\n$ echo one\none\n$ echo two\ntwp\n```\n'), 1, 'FAIL  page.md:5: $ echo two',
                    '-twp', '+two')

    def test_goes_red_on_a_line_too_many_or_too_few(self):
        self.expect(self.page('```console\n$ echo one\none\ntwo\n```\n'), 1, '-two')
        self.expect(self.page('```console\n$ echo one; echo two\none\n```\n'), 1, '+two')
        self.expect(self.page('```console\n$ echo one\n```\n'), 1, '+one')

    def test_masks_what_differs_from_run_to_run(self):
        self.expect(self.page('```console\n$ echo "127.0.0.1:4242 [::1]:1, port 5 in  12.5 ms, pid 77, 8.1 MiB, 12%"\n'
                              '127.0.0.1:1 [::1]:65535, port 80 in 1 µs, pid 1, 12 kB, 99.5 %\n```\n'), 0)
        self.expect(self.page('```console\n$ echo clients 3, 1024 bytes\nclients 3, 1025 bytes\n```\n'), 1)
        self.expect(self.page('```console varies\n$ echo clients 3, 1,024 bytes\nclients 17, 7 bytes\n```\n'), 0)
        self.expect(self.page('```console varies\n$ echo clients 3\nservers 3\n```\n'), 1)
        self.expect(self.page('```console varies\n$ echo about 3; echo clients\nabout 1000000 clients\n```\n'), 0)

    def test_dots_stand_for_any_lines(self):
        self.expect(self.page('```console\n$ seq 9\n1\n...\n9\n$ echo\n...\n```\n'), 0)
        self.expect(self.page('```console\n$ seq 9\n1\n...\n8\n```\n'), 1)

    def test_directory_and_status_go_on_inside_a_block(self):
        self.write('sub/file', '')
        self.expect(self.page('```console\n$ cd sub\n$ ls\nfile\n$ false\n$ echo $?\n1\n```\n'
                              '```console\n$ ls sub\nfile\n```\n'), 0)

    def test_a_hung_command_is_killed_and_named(self):
        started = time.monotonic()
        self.expect(self.page('```console timeout=2\n$ echo begun; sleep 1000\nbegun\n```\n'), 1,
                    'page.md:2:', 'did not end within', 'begun')
        self.assertLess(time.monotonic() - started, 20)

    def test_a_server_runs_until_ctrl_c(self):
        self.expect(self.page('```console server\n$ %s\nlistening on 127.0.0.1:1\n^C\ntotals: clients 3, bytes 1024\n'
                              '```\n```console\n$ kill -0 $(cat ../pid) && echo lives\nlives\n```\n'
                              % self.server()), 0)
        self.assert_gone()

    def test_goes_red_when_the_last_words_differ(self):
        self.expect(self.page('```console server\n$ %s\nlistening on 127.0.0.1:1\n^C\ntotals: clients 4, bytes 1024\n```\n'
                              % self.server()), 1, '-totals: clients 4', '+totals: clients 3')

    def test_pgrep_finds_the_pages_own_programs_only(self):
        stranger = subprocess.Popen(['sleep', '987'], start_new_session=True)
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        self.expect(self.page('```console\n$ pgrep -xf "sleep 987" || echo none\nnone\n```\n'
                              '```console peer\n$ sleep 987\n```\n'
                              '```console\n$ pgrep -cxf "sleep 987"\n1\n```\n'), 0)

    def test_a_stop_block_ends_the_peer_and_not_the_server(self):
        server = self.server()
        self.expect(self.page('```console server\n$ %s\nlistening on 127.0.0.1:1\n```\n'
                              '```console\n$ cp ../pid ../server\n```\n'
                              '```console peer\n$ %s\nlistening on 127.0.0.1:1\n```\n'
                              '```console stop\n^C\ntotals: clients 3, bytes 1024\n```\n'
                              '```console\n$ kill -0 $(cat ../server) && echo lives\nlives\n```\n' % (server, server)), 0)
        self.assert_gone()

    def test_a_deaf_server_is_killed_and_named(self):
        self.expect(self.page('```console server\n$ %s\nlistening on 127.0.0.1:1\n^C\ntotals: clients 3\n```\n'
                              % self.server('deaf')), 1, 'after ^C; killed')
        self.assert_gone()

    def test_a_server_that_does_not_come_up_is_named(self):
        self.expect(self.page('```console server\n$ echo no luck\n```\n'), 1, 'said no "listening on"', 'no luck')

    def test_nothing_stays_behind_when_it_is_killed_itself(self):
        self.write('page.md', '```console server\n$ %s\n```\n```console\n$ sleep 1000\n```\n' % self.server())
        run = subprocess.Popen([sys.executable, 'tools/run_pages.py'], cwd=self.top, stdout=subprocess.DEVNULL)
        path = os.path.join(self.top, 'build', 'pages', 'pid')
        while not (os.path.isfile(path) and self.read('build/pages/pid')):
            self.assertIsNone(run.poll())
            time.sleep(0.02)
        run.terminate()
        run.wait(20)
        self.assert_gone()

    def test_update_records_and_keeps_the_dots(self):
        self.write('page.md', '1. A list\n   ```console\n   $ seq 5\n   9\n   ...\n   8\n   $ echo new\n   ```\n')
        self.expect(self.run_tool('run_pages.py', '--update'), 0, 'page.md: 1 block recorded')
        self.assertEqual('1. A list\n   ```console\n   $ seq 5\n   1\n   ...\n   5\n   $ echo new\n   new\n   ```\n',
                         self.read('page.md'))
        self.expect(self.run_tool('run_pages.py'), 0)

    def test_the_learners_files_stay_as_they_are(self):
        self.write('mine/server.c', 'mine')
        self.expect(self.page('```console\n$ ls mine 2>/dev/null || echo none; mkdir -p mine; echo x >mine/server.c\nnone\n'
                              '```\n'), 0)
        self.assertEqual('mine', self.read('mine/server.c'))

    def test_unknown_words_and_open_blocks_are_named(self):
        self.expect(self.page('```console sever\n$ true\n```\n'), 1, 'unknown word "sever"')
        self.expect(self.page('```console\n$ true\n'), 1, 'never closed')


class LintPages(Tree):
    def check(self, what, status, *words):
        self.expect(self.run_tool('lint_pages.py', what), status, *words)

    def test_dead_links_are_named(self):
        self.write('docs/b.md', '# B\n\n## Some *heading*, here!\n')
        self.write('a.md', '# A\n[b](docs/b.md) [h](docs/b.md#some-heading-here) [self](#a) [web](https://example.org)\n'
                   '`[no](link.md)`\n```text\n[no](link.md)\n```\n')
        self.check('links', 0)
        self.write('a.md', '# A\n\n[b](docs/c.md)\n[h](docs/b.md#nothing)\n![](docs/b.md)\n')
        self.check('links', 1, 'a.md:3: dead link: there is no docs/c.md', 'a.md:4: dead link: docs/b.md has no heading',
                   'a.md:5: the image docs/b.md has no alternative text')

    def test_a_step_page_without_a_part_is_named(self):
        parts = ['Feel the pain', 'The one new thing', 'Run it', 'The code, piece by piece', 'The diff', 'Labs',
                 'Which row turned green', 'What still hurts', 'Check yourself']
        text = '# Step\n\n20 minutes\n\n' + ''.join('## %s\n\n' % p for p in parts) + '<details>x</details>\n'
        text = text.replace('diff\n\n', 'diff\n\n**What changes, and why:** x\n\n')
        self.write('chapters/02_nonblocking/step1_x.c', '')
        self.write('chapters/02_nonblocking/step1_x.md', text)
        self.check('parts', 0)
        self.write('chapters/02_nonblocking/step1_x.md', text.replace('## Labs\n', '### Labs\n'))
        self.check('parts', 1, 'has no part "## Labs"')
        self.write('chapters/02_nonblocking/step1_x.md', text.replace('20 minutes', '').replace('<details>', ''))
        self.check('parts', 1, 'minutes', 'no folded answer')

    def test_a_quiz_that_nothing_settles_is_named(self):
        def quiz(answer):
            return '# Quiz\n\n' + ''.join('## Question %d\n\nWhat?\n\n<details><summary>Answer</summary>\n\n'
                                         'That. %s\n\n</details>\n\n' % (n + 1, answer) for n in range(10))
        page, whole = 'chapters/02_x/quiz.md', quiz('Settled by the [lab](labs.md): `some_figure`.')
        self.write('chapters/02_x/labs.md', '# Labs\n\nsome_figure ... 3\n')
        self.write(page, whole)
        self.check('parts', 0)
        self.write(page, whole.replace('## Question 4', '## Question 5', 1))
        self.check('parts', 1, 'its headings are not')
        self.write(page, whole.replace('Settled by', 'So says', 1))
        self.check('parts', 1, 'quiz.md:3: does not end in "Settled by"')
        self.write(page, whole.replace('<details>', '', 1))
        self.check('parts', 1, 'quiz.md:3: has no folded answer')
        self.write(page, whole.replace('`some_figure`', '`no_figure`', 1))
        self.check('parts', 1, 'quiz.md:3: nothing that it links to knows of `no_figure`')

    def test_code_that_nobody_compiles_is_named(self):
        self.write('chapters/02_x/a.md', '# A\n\nA sketch:\n\n```c\nint i;\n```\n')
        self.check('parts', 0)
        self.write('chapters/02_x/a.md', '# A\n\n```c\nint i;\n```\n')
        self.check('parts', 1, 'a.md:3: C that comes from no source')

    def test_a_make_target_that_does_not_exist_is_named(self):
        self.write('Makefile', 'demo test:\n\ttrue\n')
        self.write('a.md', '# A\n`make demo` make sense `make test ROW=x`\n```console\n$ make demo | sort\n```\n')
        self.check('targets', 0)
        self.write('a.md', '# A\n`make nothing`\n')
        self.check('targets', 1, 'a.md:2: "make nothing"')


class LintSource(Tree):
    def test_long_functions_tabs_and_open_markers_are_named(self):
        self.write('a.c', '/* a */\nint f(void)\n{\n' + '    ;\n' * 55 + '}\n')
        self.expect(self.run_tool('lint_source.py'), 0)
        self.write('a.c', '//\n//! [open]\nint f(void)\n{\n\t' + '    ;\n' * 65 + '}\n')
        self.expect(self.run_tool('lint_source.py'), 1, 'f() has 68 lines', 'a.c:5: a tab', 'never closed', 'essay')

    def test_long_steps_are_named(self):
        self.write('chapters/01_blocking/step1_sequential.c', '/* a */\n' + '\n' * 90)
        self.expect(self.run_tool('lint_source.py'), 1, '91 lines')


class Docs(Tree):
    def test_pages_are_prepared_line_for_line(self):
        self.write('README.md', '# Top\n\n[c](chapters/01_x/README.md#a-part)\n')
        self.write('chapters/01_x/README.md', '# C\n\n## A part\n\n```console\n$ a <b>\n```\n\n[s](s.c) [h](t.h)\n')
        self.write('chapters/01_x/s.c', '/* x */\n//! [m]\nint i;\n//! [m]\n')
        self.write('chapters/01_x/t.h', '/*\n * t: words.\n *\n *    a   b\n */\nstruct s {\n    int i; /* what */\n};\n')
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        page = self.read('out/00_chapters__01_x__README.md').split('\n')
        self.assertEqual('## A part {#p_01_x_a_part}', page[2])
        self.assertIn('$ a &lt;b&gt;', page[4] + page[5])
        self.assertIn('p_01_x_s_c.html', page[8])
        self.assertIn('@ref chapters/01_x/t.h "h"', page[8])
        self.assertIn('p_01_x.html#p_01_x_a_part', self.read('out/README.md'))
        self.assertNotIn('//!', self.read('out/chapters__01_x__s.c.md'))
        self.assertIn('/**< what */', self.read('out/chapters/01_x/t.h').split('\n')[6])

    def test_what_is_drawn_in_a_header_ends_without_a_star(self):
        self.write('README.md', '# Top\n\n[c](chapters/01_x/README.md)\n')
        self.write('chapters/01_x/README.md', '# C\n\n[h](t.h)\n')
        self.write('chapters/01_x/t.h', '/*\n * t: words.\n *\n *    a   b\n *\n * More words.\n */\nstruct s;\n')
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        self.assertRegex(self.read('out/chapters/01_x/t.h'), r'\n +a   b\n @endverbatim\n \* More words\.\n')

    def test_code_with_a_quote_in_it_stays_code(self):
        self.write('README.md', "# Top\n\nType `make run ARGS='-w 8'`, or `make`, or ``make S='a'``.\n")
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        self.assertIn("Type ``make run ARGS='-w 8'``, or `make`, or ``make S='a'``.", self.read('out/README.md'))

    def test_the_pages_stand_in_the_order_in_which_one_reads_them(self):
        pages = ['chapters/01_x/README.md', 'chapters/02_y/README.md', 'docs/which_one.md', 'docs/myths.md',
                 'docs/glossary.md', 'bench/README.md', 'docs/unknown.md', 'CONTRIBUTING.md']
        for page in ['README.md'] + pages[::-1]:
            self.write(page, '# %s\n' % page)
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        files = sorted(f for f in os.listdir(os.path.join(self.top, 'out')) if f[0].isdigit())
        self.assertEqual([p.replace('/', '__') for p in pages], [f[3:] for f in files])

    def test_next_leads_through_every_page_once(self):
        self.write('README.md', '# Top\n\n[one](chapters/01_a/README.md)\n')
        self.write('chapters/01_a/README.md', '# One\n\n[more](more.md) [labs](labs/README.md) [first](step1.md)\n')
        for name in ('labs/README', 'more', 'step1'):
            self.write('chapters/01_a/%s.md' % name, '# %s\n' % name)
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        next_of = {}
        for page in sorted(os.listdir(os.path.join(self.top, 'out'))):
            if page.endswith('.md'):
                found = re.search('rel="next" href="([^"]+)"', self.read('out/' + page))
                next_of[re.sub(r'^\d\d_', '', page)] = found and found[1]
        self.assertEqual(next_of, {'README.md': 'p_01_a.html', 'chapters__01_a__README.md': 'p_01_a_step1.html',
                                   'chapters__01_a__step1.md': 'p_01_a_more.html',
                                   'chapters__01_a__more.md': 'p_01_a_labs.html',
                                   'chapters__01_a__labs__README.md': None})
        chapter = next(f for f in os.listdir(os.path.join(self.top, 'out')) if f.endswith('chapters__01_a__README.md'))
        self.assertEqual(['p_01_a_step1', 'p_01_a_more', 'p_01_a_labs'],  # the tree at the side, too
                         re.findall(r'\\subpage (\S+)', self.read('out/' + chapter)))

    def test_slides_are_a_part_of_the_page_for_teachers(self):
        self.write('README.md', '# Top\n')
        self.write('docs/teaching.md', '# Teaching\n')
        self.write('docs/slides/week01.md', '# Week 1\n')
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        page = next(f for f in os.listdir(os.path.join(self.top, 'out')) if f.endswith('docs__teaching.md'))
        self.assertIn('\\subpage p_docs_slides_week01', self.read('out/' + page))

    def test_a_timeline_is_a_picture_that_answers_the_mouse(self):
        self.write('README.md', '# Top\n\n![A "bar"](docs/timelines/x.svg)\n\n![b](docs/figures/y.svg)\n')
        self.write('docs/timelines/x.svg', '<svg/>')
        self.write('docs/figures/y.svg', '<svg/>')
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        page = self.read('out/README.md')
        self.assertIn('class="figure" data="docs_timelines_x.svg" aria-label="A &quot;bar&quot;">', page)
        self.assertIn('<div class="wide" tabindex="0"', page)
        self.assertEqual(1, page.count('<object'))
        self.assertTrue(os.path.isfile(os.path.join(self.top, 'out', '.images', 'docs_timelines_x.svg')))

    def test_an_option_makes_no_folder_of_its_name(self):
        self.write('README.md', '# Top\n')
        self.expect(self.run_tool('docs_pages.py', '--help'), 2, 'docs_pages.py FOLDER')
        self.assertFalse(os.path.exists(os.path.join(self.top, '--help')))


class Diffs(Tree):
    """The pages that show what a step changes."""
    PAGE = ('# S\n\n## The diff\n\n**What changes, and why:** one call is new, see\n[the other](step1_x.md), so it waits.\n\n'
            'More.\n\n## Labs\n\nNone.\n')

    def setUp(self):
        super().setUp()
        self.write('README.md', '# Top\n')
        self.write('docs/timelines.md', '# T\n')
        self.write('chapters/01_a/Makefile', 'all:\n')
        self.write('chapters/02_b/Makefile', 'all:\n')
        old = ''.join('line %d\n' % i for i in range(40))
        self.write('chapters/01_a/step1_x.c', '/* x */\n' + old)
        self.write('chapters/01_a/step1_x.md', '# X\n')
        self.write('chapters/01_a/step2_y.c', '/* x */\n' + old.replace('line 3\n', 'line <3> */\n').replace(
            'line 30\n', '//! [m]\nline 30\n//! [m]\n'))
        self.write('chapters/01_a/step2_y.md', self.PAGE)
        self.write('chapters/02_b/step1_z.c', '/* x */\n' + old + 'a new one\n')
        self.write('chapters/02_b/step1_z.md', self.PAGE.replace('step1_x.md', '../01_a/step1_x.md'))

    def test_each_step_has_one_across_chapters_and_the_first_has_none(self):
        self.expect(self.run_tool('docs_pages.py', 'out'), 0)
        self.assertFalse(os.path.exists(os.path.join(self.top, 'out', 'diff_01_1.md')))
        page = self.read('out/diff_01_2.md')
        self.assertIn('# 01/2 against 01/1 {#p_diff_01_2}', page)
        self.assertIn('<div class="removed"><del>-line 3</del></div>', page)
        self.assertIn('<div class="added"><ins>+line &lt;3&gt; *&#47;</ins></div>', page)
        self.assertIn('new lines: 1, gone: 1', page)
        self.assertIn('one call is new, see\n<a href="p_01_a_step1_x.html">the other</a>, so it waits.', page)
        self.assertIn('next: 02/1', page)
        across = self.read('out/diff_02_1.md')
        self.assertIn('# 02/1 against 01/2 {#p_diff_02_1}', across)
        self.assertIn('<ins>+a new one</ins>', across)
        self.assertIn('before: 01/2', across)

    def test_markers_are_no_difference(self):
        self.run_tool('docs_pages.py', 'out')
        page = self.read('out/diff_01_2.md')
        self.assertNotIn('[m]', page)
        self.assertEqual(1, page.count('class="place"'))

    def test_they_are_listed_and_the_steps_page_leads_there_line_for_line(self):
        self.run_tool('docs_pages.py', 'out')
        lists = [f for f in os.listdir(os.path.join(self.top, 'out')) if f.endswith('_the_steps_as_diffs.md')]
        self.assertEqual(1, len(lists))
        words = self.read('out/' + lists[0])
        self.assertIn('<b>02/1</b> against 01/2</a>: \none call is new', words)
        self.assertIn('\\subpage p_diff_02_1', words)
        name, = [f for f in os.listdir(os.path.join(self.top, 'out')) if f.endswith('chapters__01_a__step2_y.md')]
        page = self.read('out/' + name).split('\n')
        self.assertIn('<a href="p_diff_01_2.html">The whole difference between 01/1 and 01/2</a>', page[8])
        self.assertTrue(page[9].startswith('## Labs'))

    def test_a_step_that_does_not_say_why_is_named(self):
        self.expect(self.run_tool('lint_pages.py', 'parts'), 1)
        self.assertNotIn('What changes', self.run_tool('lint_pages.py', 'parts')[1])
        self.write('chapters/01_a/mini/step3_w.md', self.PAGE.replace('**What changes, and why:** one', 'One'))
        self.expect(self.run_tool('lint_pages.py', 'parts'), 1, 'step3_w.md:3: "The diff" does not begin with')


class DocsPdf(Tree):
    HTML = ('<div class="title">%s</div><div class="contents">\n%s<nav class="way">%s</nav>'
            '</div><!-- contents -->')

    def page(self, name, title, body, after=None):
        way = '<a rel="next" href="%s">next</a>' % after if after else ''
        self.write('site/' + name, self.HTML % (title, body, way))

    def sheets(self):
        self.page('index.html', 'Top', '<a href="p_01_a.html#x_y">in</a> <a href="s_c.html">out</a>', 'p_01_a.html')
        self.page('p_01_a.html', 'Chapter 01: a', '<h2 id="x_y">X</h2><h2 id="z">Z</h2><img src="f.svg">'
                  '<details><summary>S</summary></details><a href="https://there/">t</a>', 'p_01_a_quiz.html')
        self.page('p_01_a_quiz.html', 'Quiz <b>&amp;</b> more', '<a href="#own">o</a><p id="own">')
        os.makedirs(os.path.join(self.top, 'out'))
        self.expect(self.run_tool('docs_pdf.py', 'sheets', 'site', 'out'), 0)

    def test_each_page_is_a_sheet_in_the_order_of_the_book(self):
        self.sheets()
        sheets = json.loads(self.read('out/sheets.json'))
        self.assertEqual(['Cover', 'Contents', 'About this book', 'Chapter 01: a', 'Quiz & more'],
                         [sheet['title'] for sheet in sheets])
        self.assertEqual([True, True, True, True, False], [sheet['is_part'] for sheet in sheets])
        self.assertEqual(['f.svg'], sheets[3]['images'])
        self.assertIn('<a href="book:p_01_a_quiz.html#">Quiz &amp; more</a></td><td data-sheet="004">',
                      self.read('out/001.html'))

    def test_links_lead_into_the_book_or_are_plain_text(self):
        self.sheets()
        self.assertIn('<a href="book:p_01_a.html#x_y">in</a> <span>out</span>', self.read('out/002.html'))
        chapter = self.read('out/003.html')
        self.assertIn('<a href="#x_y" hidden></a>', chapter)
        self.assertNotIn('<a href="#z" hidden>', chapter)
        self.assertIn('<a href="https://there/">t</a>', chapter)
        self.assertIn('<details open>', chapter)
        self.assertNotIn('rel="next"', chapter)
        self.assertIn('<a href="book:p_01_a_quiz.html#own">o</a>', self.read('out/004.html'))


if __name__ == '__main__':
    unittest.main()
