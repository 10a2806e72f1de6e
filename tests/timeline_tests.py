#!/usr/bin/env python3
"""Tests of the tools behind `make timeline`: are strace's lines read as what they say, and drawn so?

usage: python3 tests/timeline_tests.py [-v] [NAME...]        (sh tools/lint.sh tools runs all)

No server runs here, and no strace: the lines are written by hand. tests/test_timeline.c runs both.
"""
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tools'))

import timeline        # noqa: E402  (found by the line above)
import timeline_draw   # noqa: E402
import timeline_scene  # noqa: E402
import timeline_trace  # noqa: E402

SVG = '{http://www.w3.org/2000/svg}'
END = 2.0


class Traced(unittest.TestCase):
    """A test that writes a trace: {task: lines}. A line is "TIME call(...) = result <lasted>"."""

    def read(self, files, clients=()):
        with tempfile.TemporaryDirectory(prefix='timeline tests ') as folder:
            for task, lines in files.items():
                with open(os.path.join(folder, 'trace.%d' % task), 'w', encoding='utf-8') as file:
                    file.write('\n'.join(lines) + '\n')
            return timeline_trace.read_threads(os.path.join(folder, 'trace'), list(clients), 0.0, END)

    def waits(self, *lines, clients=()):
        thread, = self.read({7: lines}, clients)
        return [(c.name, c.who, c.waits, round(c.end - c.start, 3)) for c in thread.waits]


class Blocked(Traced):
    def test_a_call_that_lasts_is_a_wait_and_a_short_one_is_work(self):
        self.assertEqual([('accept', '', 'new', 0.5)], self.waits(
            '0.100000 accept(3, NULL, NULL) = 4 <0.500000>', '0.700000 accept(3, NULL, NULL) = 5 <0.000900>'))
        self.assertEqual([('epoll_wait', '', 'any', 0.3)], self.waits('0.100000 epoll_wait(5, [], 64, -1) = 1 <0.300000>'))
        self.assertEqual([('nanosleep', '', 'nap', 0.02)], self.waits(
            '0.1 clock_nanosleep(CLOCK_MONOTONIC, 0, {tv_sec=0, tv_nsec=20000000}, NULL) = 0 <0.020000>'))

    def test_what_may_not_wait_does_not_however_long_it_takes(self):
        self.assertEqual([], self.waits(
            '0.01 accept(3, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.080000>',
            '0.1 accept4(3, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = 4 <0.000020>',
            '0.2 recvfrom(4, "silent", 64, 0, NULL, NULL) = 6 <0.100000>',
            '0.4 recvfrom(4, 0x55, 64, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.100000>',
            '0.6 poll([{fd=4, events=POLLIN}], 1, 0) = 0 (Timeout) <0.100000>',
            '0.8 futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 1 <0.100000>',
            '0.9 openat(AT_FDCWD, "x", O_RDONLY) = 5 <0.100000>'))

    def test_a_descriptor_that_becomes_nonblocking_no_longer_waits(self):
        lines = ['0.1 accept(3, NULL, NULL) = 4 <0.000020>', '0.2 recvfrom(4, "silent", 64, 0, NULL, NULL) = 6 <0.100000>']
        self.assertEqual(1, len(self.waits(*lines)))
        lines.insert(1, '0.15 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0 <0.000020>')
        self.assertEqual([], self.waits(*lines))

    def test_a_call_that_never_returned_lasts_to_the_end_and_exit_does_not(self):
        self.assertEqual([('poll', '', 'any', 1.5)], self.waits('0.5 poll([{fd=4}], 1, -1 <unfinished ...>'))
        thread, = self.read({7: ['0.1 close(9) = 0 <0.000010>', '0.5 exit(0) = ?']})
        self.assertEqual(0.5, thread.end)

    def test_work_is_one_stretch_until_a_wait_or_a_pause(self):
        thread, = self.read({7: ['0.100 close(9) = 0 <0.0001>', '0.101 close(8) = 0 <0.0001>',
                                 '0.102 poll([], 0, -1) = 1 <0.0020>', '0.105 close(7) = 0 <0.0001>',
                                 '0.200 close(6) = 0 <0.0001>']})
        self.assertEqual([2, 1, 1], [len(calls) for calls in thread.work])


class Whom(Traced):
    CLIENTS = [(0.1, 'silent 1'), (0.2, 'visitor 1'), (0.3, 'silent 2')]

    def test_first_bytes_tell_who_it_is_and_the_silent_are_in_order(self):
        self.assertEqual(['silent 1', 'visitor 1', 'silent 2'], [w for _, w, _, _ in self.waits(
            '0.4 accept(3, NULL, NULL) = 4 <0.0001>', '0.5 recvfrom(4, "", 64, 0, NULL, NULL) = 0 <0.1>', '0.6 close(4) = 0 <0.0001>',
            '0.7 accept(3, NULL, NULL) = 4 <0.0001>', '0.8 recvfrom(4, "visitor 1, word "..., 64, 0, NULL, NULL) = 64 <0.1>',
            '0.9 close(4) = 0 <0.0001>',
            '1.0 accept(3, NULL, NULL) = 4 <0.0001>', '1.1 recvfrom(4, "", 64, 0, NULL, NULL) = 0 <0.1>', clients=self.CLIENTS)])

    def test_nobody_is_named_before_they_have_come(self):
        self.assertEqual([''], [w for _, w, _, _ in self.waits(
            '0.04 accept(3, NULL, NULL) = 4 <0.0001>', '0.05 recvfrom(4, "", 64, 0, NULL, NULL) = 0 <0.1>', clients=self.CLIENTS)])

    def test_a_number_that_is_closed_during_the_accept_is_the_new_clients(self):
        threads = self.read({7: ['0.1 accept(3, NULL, NULL) = 4 <0.001>', '0.35 accept(3, NULL, NULL) = 4 <0.1>'],
                             8: ['0.12 recvfrom(4, "silent 1", 64, 0, NULL, NULL) = 8 <0.2>', '0.36 close(4) = 0 <0.0001>',
                                 '0.5 recvfrom(4, "visitor 1", 64, 0, NULL, NULL) = 9 <0.1>']}, self.CLIENTS)
        self.assertEqual(['silent 1', 'visitor 1'], [c.who for c in threads[1].waits])

    def test_a_childs_descriptors_are_not_the_servers(self):
        threads = self.read({7: ['0.1 accept(3, NULL, NULL) = 4 <0.0001>', '0.11 clone(child_stack=NULL, flags=SIGCHLD) = 8 <0.0001>',
                                 '0.4 recvfrom(4, "visitor 1", 64, 0, NULL, NULL) = 9 <0.1>',
                                 '0.6 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 9 <0.0001>'],
                             8: ['0.2 close(4) = 0 <0.0001>'], 9: ['0.7 close(9) = 0 <0.0001>']}, self.CLIENTS)
        self.assertEqual(['thread 1', 'process 2', 'thread 3'], [t.name for t in threads])
        self.assertEqual('visitor 1', threads[0].waits[0].who)


class Picture(Traced):
    def setUp(self):
        scene = timeline_scene.Scene(1)
        scene.start = 0.0
        for client in scene.clients:
            client.came, client.left, client.ended = client.comes / 1000, 1.9, 'served'
            client.spans = [(client.came, 1.8, 'waits', 'waits for the echo of word 1')]
        lines = ['0.1 accept(3, NULL, NULL) = 4 <0.2>', '0.5 recvfrom(4, "visitor 1", 64, 0, NULL, NULL) = 9 <1.0>',
                 '1.6 recvfrom(4, 0x1, 64, 0, NULL, NULL) = -1 EAGAIN (x) <0.0001>']
        threads = self.read({7: lines}, [(0.1, 'visitor 1')])
        self.run_of = timeline_draw.Run('01/1: <sequential>', 'kqueue: emulated over epoll', 'a note', scene, threads)
        self.text = self.run_of.svg()
        self.svg = xml.etree.ElementTree.fromstring(self.text)

    def test_it_says_in_words_what_it_shows(self):
        self.assertEqual('img', self.svg.get('role'))
        self.assertEqual('01/1: <sequential>', self.svg.find(SVG + 'title').text)
        words = self.svg.find(SVG + 'desc').text
        for client in timeline_scene.cast():
            self.assertIn(client.name + ' came at', words)
        self.assertIn('The longest wait was 1000 ms, recv visitor 1.', words)

    def test_each_bar_tells_its_call_its_client_and_how_long(self):
        titles = [g.find(SVG + 'title').text for g in self.svg.iter(SVG + 'g')]
        self.assertIn('recv visitor 1, blocked for 1000 ms from 500 ms on', titles)
        self.assertIn('1 call in 0.1 ms for visitor 1, from 1600 ms on: recv 1 (1 EAGAIN)', titles)

    def test_a_bar_is_as_long_as_its_wait(self):
        bar, = [g.find(SVG + 'rect') for g in self.svg.iter(SVG + 'g') if 'blocked for 1000' in g.find(SVG + 'title').text]
        self.assertAlmostEqual(timeline_draw.CHART / 2, float(bar.get('width')), delta=0.2)
        self.assertAlmostEqual(timeline_draw.LEFT + timeline_draw.CHART / 4, float(bar.get('x')), delta=0.2)

    def test_it_is_whole_in_itself_and_has_two_themes(self):
        self.assertIn('prefers-color-scheme: dark', self.text)
        self.assertIn('color-scheme: light dark', self.text)  # else an <object> of it has white corners in the dark
        self.assertEqual(1, self.text.count('http'))
        self.assertNotIn('<script', self.text)

    def test_each_kind_of_wait_has_a_pattern_of_its_own(self):
        drawn = [timeline_draw.FILLS[kind] for kind, _ in timeline_draw.KINDS if kind != 'work']
        self.assertEqual(len(drawn), len(set(drawn)))
        self.assertEqual(set(drawn), {p.get('id') for p in self.svg.iter(SVG + 'pattern')})

    def test_no_label_is_wider_than_the_picture_and_no_line_than_a_terminal(self):
        for text in self.svg.iter(SVG + 'text'):
            x, wide = float(text.get('x')), len(text.text) * timeline_draw.LETTER
            after = {'end': 0, 'mid': wide / 2}.get(text.get('class').split()[1] if ' ' in text.get('class') else '', wide)
            self.assertLessEqual(x + (0 if 'end' in text.get('class') else after), timeline_draw.WIDTH, text.text)
        for line in self.run_of.table():
            self.assertLessEqual(len(line), 80)


class Book(unittest.TestCase):
    """docs/timelines.md and its pictures."""

    def setUp(self):
        self.folder = os.path.join(TOP, 'docs', 'timelines')
        with open(os.path.join(TOP, 'docs', 'timelines.md'), encoding='utf-8') as file:
            self.page = file.read()

    def pictures(self):
        for name in sorted(os.listdir(self.folder)):
            with open(os.path.join(self.folder, name), encoding='utf-8') as file:
                yield name, file.read()

    def test_each_picture_is_shown_once_and_is_small(self):
        for name, text in self.pictures():
            self.assertEqual(1, self.page.count('](timelines/%s)' % name), name)
            self.assertLess(len(text), 60000, name)

    def test_all_have_the_same_width_and_the_same_clients_at_the_same_height(self):
        for name, text in self.pictures():
            svg = xml.etree.ElementTree.fromstring(text)
            self.assertEqual(str(timeline_draw.WIDTH), svg.get('width'), name)
            rows = {t.text: float(t.get('y')) for t in svg.iter(SVG + 'text')}
            for number, client in enumerate(timeline_scene.cast(), 1):
                self.assertEqual(timeline_draw.TOP + timeline_draw.ROW * number + 14, rows[client.name], name)
            self.assertIn('2.0 s', rows, name)

    def test_an_emulation_is_called_so(self):
        for name, text in self.pictures():
            self.assertEqual(name.startswith('05_'), '>kqueue: emulated over epoll</text>' in text, name)


class Run(unittest.TestCase):
    """What stands around the trace: the server's lines, a busy machine, a reader that has gone."""

    def test_the_line_behind_the_first_is_not_lost(self):
        words = 'listening on 127.0.0.1:4242\nkqueue: emulated over epoll\ntotals: clients 0, bytes 0\n'
        server = subprocess.Popen(['printf', words], bufsize=0, stdout=subprocess.PIPE)
        self.assertEqual(4242, timeline.port_of(server, None))
        said, _ = server.communicate()
        self.assertEqual('kqueue: emulated over epoll', timeline.banner(said.decode().splitlines()))

    def test_what_is_no_banner_is_not_taken_for_one(self):
        self.assertEqual('', timeline.banner(['totals: clients 0, bytes 0']))
        self.assertEqual('', timeline.banner(['listener: the first client', 'totals: clients 1, bytes 0']))

    def scene(self, late):
        scene = timeline_scene.Scene(1)
        scene.start = 100.0
        for client in scene.clients:
            client.came = scene.at(client.comes) + 0.001
        scene.clients[2].came += late
        return scene

    def test_a_busy_machine_is_told(self):
        self.assertIn('; a busy machine: clients came up to 81 ms late', timeline.where(self.scene(0.080)))
        self.assertNotIn('busy', timeline.where(self.scene(0.002)))

    def test_what_is_recorded_is_played_again_until_nobody_is_late(self):
        delays, runs = [0.080, 0.030, 0.050, 0.002, 0.090], []

        def run(title, program):
            runs.append(timeline_draw.Run(title, '', program, self.scene(delays[len(runs)]), []))
            return runs[-1]
        self.addCleanup(setattr, timeline, 'run', timeline.run)
        self.addCleanup(os.environ.pop, 'RECORD', None)
        timeline.run = run
        self.assertIs(timeline.run_calmly('a', 'b'), runs[0])
        self.assertEqual(1, len(runs))
        os.environ['RECORD'] = '1'
        del runs[:]
        self.assertIs(timeline.run_calmly('a', 'b'), runs[3])
        delays[3] = delays[4] = 0.1
        delays.append(0.1)
        del runs[:]
        self.assertIs(timeline.run_calmly('a', 'b'), runs[1])

    def test_a_reader_that_has_gone_is_no_error(self):
        words = 'import timeline; [timeline.say("word " * 1000) for _ in range(99)]; raise SystemExit(3)'
        run = subprocess.Popen([sys.executable, '-c', words], cwd=os.path.join(TOP, 'tools'), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        run.stdout.readline()
        run.stdout.close()
        self.assertEqual('', run.stderr.read())
        run.stderr.close()
        self.assertEqual(3, run.wait(60))


if __name__ == '__main__':
    unittest.main()
