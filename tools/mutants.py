#!/usr/bin/env python3
"""mutants: would the tests of conn and evq notice if the code were a little wrong?

usage: mutants.py FOLDER [FILE] [MAX] [SEED] [JOBS]     (make mutants)
       mutants.py --test                                (its own tests)

tools/mutate.py makes the mutants of the sources below, of FILE alone if it is named. Each is compiled, linked
with the tests that know this source, and these run, one after the other, until one fails: the mutant is
*killed*. One that no test kills *survives*. A mutant that the compiler makes the same code of as of the source
is equivalent to it, and is not run. A run that takes far longer than the right program's is ended, and counts
as killed: some mistakes are loops without an end.

On a busy machine a test may fail by itself, and that would look like a kill. So a mutant must be killed twice in
succession, and after every 24 mutants the right program is run in the same way. When it is not green, what was
found since the last time is forgotten.

At most MAX mutants are run (100 if not said, 0: all), drawn from all by SEED and judged in the order in which
they were drawn: what is known when it is stopped is a fair sample. JOBS of them run at a time (2), each with a
folder of its own. What was found is kept in FOLDER/results.tsv, so the next call goes on with others; those that
survived are run again, because a new test may kill them by now. A source that was changed begins anew, and so
does all when FOLDER is removed. The report says how many of how many were judged, and lists all survivors.

For every survivor tests/mutants/survivors.txt must say why it may live. A reason for a mutant that is killed,
or that does not exist any more, is an error, too. Status: 0, or 1 when there is one of these errors.
"""
import concurrent.futures
import hashlib
import os
import platform
import queue
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

import coverage
import mutate
import pagelib

EVQ = 'chapters/07_crossplatform/evq/src/'
LINUX = platform.system() == 'Linux'
# The programs that know a source, and the backends that they run on: what kills most for its time stands first.
RUNS_OF_EVQ = [('test_evq', 'epoll' if LINUX else 'kqueue')]
RUNS_OF_EVQ += [('test_evq_faults', None)] if LINUX else []
RUNS_OF_EVQ += [('test_evq', backend) for backend in (['poll', 'io_uring', 'kqueue'] if LINUX else ['poll'])]
RUNS = {'chapters/02_nonblocking/conn.c': [('test_conn', None)]}
RUNS.update({EVQ + name + '.c': RUNS_OF_EVQ
             for name in ('evq', 'evq_errors', 'evq_reactor', 'evq_sockets', 'evq_timers')})
REASONS = 'tests/mutants/survivors.txt'
SAME, UNBUILT, KILLED, LATE, SURVIVED = 'same code', 'does not build', 'killed', 'too late', 'survived'
BATCH = 24
# The first test that fails ends the program; and a mutant that loses something is not waited for so long.
SETTINGS = {'CMOCKA_TEST_ABORT': '1', 'CMOCKA_MESSAGE_OUTPUT': 'STDOUT',
            'TEST_SLOWDOWN': os.environ.get('TEST_SLOWDOWN') or '0.25'}


# ---- building ----------------------------------------------------------------------------------

def make(top, out, words):
    run = subprocess.run([os.environ.get('MAKE') or 'make', '-s', '-C', 'tests', 'BUILD=../%s/tests' % out,
                          'CFLAGS=-O2', *words], cwd=top, stdout=subprocess.PIPE, check=True)
    return run.stdout.decode()


class Builder:
    """Compiles one source and links one program as tests/Makefile does, but another text of the source.

    What it makes lies in the folder `work` of the one who calls, so several can do so at the same time.
    """

    def __init__(self, top, out, path, program):
        self.folder, self.name, self.program = os.path.join(top, 'tests'), os.path.basename(path), program
        target = '../%s/tests/%s' % (out, program)
        said = make(top, out, ['-n', '-W', '../' + path, target])
        lines = [shlex.split(line) for line in said.split('\n') if line and not line.startswith(('echo', 'mkdir'))]
        compiling = next(line for line in lines if line[-1] == '../' + path)
        self.linking = next(line for line in lines if target in line)
        self.compiler, self.target, self.own = compiling[0], target, compiling[compiling.index('-o') + 1]
        # The headers beside the source are not beside the mutant.
        self.flags = [word for word in compiling[1:-1] if word not in ('-c', '-o', '-MMD', '-MP', self.own)]
        self.flags += ['-I../' + os.path.dirname(path), '-w']

    def call(self, words):
        return subprocess.run(words, cwd=self.folder, stderr=subprocess.DEVNULL).returncode == 0

    def object_in(self, work):
        return os.path.join(work, self.program + '.o')

    def program_in(self, work):
        return os.path.join(work, self.program)

    def compile(self, text, work):
        """The object's bytes, or None."""
        os.makedirs(work, exist_ok=True)
        source = os.path.join(work, self.name)
        with open(source, 'w', encoding='latin-1', newline='') as file:
            file.write(text)
        if not self.call([self.compiler, *self.flags, '-c', '-o', self.object_in(work), source]):
            return None
        with open(self.object_in(work), 'rb') as file:
            return file.read()

    def link(self, work):
        places = {self.own: self.object_in(work), self.target: self.program_in(work)}
        return self.call([places.get(word, word) for word in self.linking])


# ---- running -----------------------------------------------------------------------------------

def run(program, backend, limit_s, cpu_s):
    """(status or None when it took too long, the test that was last begun)

    A loop without an end uses up cpu_s; the limit of what only waits must be larger, as others run beside it.
    """
    environment = dict(os.environ, **SETTINGS)
    if backend:
        environment['EVQ_BACKEND'] = backend
    child = subprocess.Popen(['sh', '-c', 'ulimit -t "$1" && exec "$0"', program, str(cpu_s)], env=environment,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             start_new_session=True)
    try:
        said, status = child.communicate(timeout=limit_s)[0], child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # its own children, too
        said, status = child.communicate()[0], None
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        status = None
    last = [line.split()[-1] for line in said.decode('utf-8', 'replace').split('\n') if line.startswith('[ RUN')]
    return status, last[-1] if last else program.split('/')[-1]


def timed(program, backend):
    """The same for the right program, and the seconds that it took: (on the wall, of the processor)."""
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    status, last = run(program, backend, 1800, 600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, last, (time.monotonic() - began, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)


# How long each run of the right program takes, which decides how long a mutant may: {(program, backend): seconds}
PACE = {}


class Subject:
    """One source, with the builders and the runs that judge its mutants."""

    def __init__(self, top, out, path):
        self.path = path
        self.builders = {program: Builder(top, out, path, program) for program, _ in RUNS[path]}
        first = self.builders[RUNS[path][0][0]]
        self.text, self.mutants = mutate.mutants(os.path.join(top, path), first.flags, first.folder)
        self.right = {}
        for program, backend in RUNS[path]:
            if (program, backend) not in PACE:
                self.measure(os.path.join(top, out, 'tests', program), program, backend)

    @staticmethod
    def measure(path, program, backend):
        status, last, PACE[program, backend] = timed(path, backend)
        if status != 0:
            raise SystemExit('mutants: %s fails without a mutant, in %s' % (program, last))

    def right_code(self, program, work):
        """The object of the right source, for which assert() puts the source's path into it."""
        if (program, work) not in self.right:
            self.right[program, work] = self.builders[program].compile(self.text, work)
        return self.right[program, work]

    def judge(self, text, work):
        """(verdict, by which test) of the source with this text"""
        built = None
        for program, backend in RUNS[self.path]:
            builder = self.builders[program]
            if built != program:
                right = self.right_code(program, work)
                code, built = builder.compile(text, work), program
                if code is None or not builder.link(work):
                    return UNBUILT, ''
                if code == right and text != self.text:
                    return SAME, ''
            seconds, cpu = PACE[program, backend]
            limits = (60 + int(4 * seconds), 2 + int(3 * cpu))
            status, last = run(builder.program_in(work), backend, *limits)
            if status != 0:
                status, last = run(builder.program_in(work), backend, *limits)
            if status != 0:
                return LATE if status is None else KILLED, '%s: %s' % (backend or program, last)
        return SURVIVED, ''


# ---- what is known -----------------------------------------------------------------------------

def stamp(text):
    return hashlib.sha256(text.encode('latin-1')).hexdigest()[:16]


def read_results(path):
    """{(file, function, name): (stamp of the source, verdict, by which test)}"""
    if not os.path.exists(path):
        return {}
    rows = [line.rstrip('\n').split('\t') for line in pagelib.read(path).split('\n') if line]
    return {(file, function, name): (mark, verdict, by) for file, function, name, mark, verdict, by in rows}


def write_results(path, results):
    with open(path, 'w', encoding='utf-8') as file:
        for key, value in sorted(results.items()):
            file.write('\t'.join(key + value) + '\n')


def draw(subjects, results, most, seed):
    """The mutants to run: those that were not judged yet, then the survivors; at most `most` of them."""
    new, again = [], []
    for subject in subjects:
        for mutant in subject.mutants:
            mark, verdict, _ = results.get(key_of(subject, mutant), ('', '', ''))
            if mark != stamp(subject.text):
                new.append((subject, mutant))
            elif verdict == SURVIVED:
                again.append((subject, mutant))
    random.Random(seed).shuffle(new)
    return (new[:most] if most else new) + again


def key_of(subject, mutant):
    return os.path.basename(subject.path), mutant.function, mutant.name


# ---- the report --------------------------------------------------------------------------------

def errors(known, reasons, files):
    """known: {key: verdict} of all mutants that there are, '' where it was not run."""
    for key, verdict in known.items():
        if verdict == SURVIVED and key not in reasons:
            yield 'survives, and no reason is given: %s %s: %s' % key
        if verdict in (KILLED, LATE) and reasons.get(key) is False:
            yield '%s: it is killed by now: %s %s: %s' % ((REASONS,) + key)
    for key in reasons:
        if key[0] in files and key not in known:
            yield '%s: there is no such mutant: %s %s: %s' % ((REASONS,) + key)


def percent(part, whole):
    return '%5.1f %%' % (100.0 * part / whole) if whole else '      -'


def score(name, verdicts):
    count = Counter(verdicts)
    killed = count[KILLED] + count[LATE]
    return '%-14s %4d of %4d judged: %3d do not build, %3d same code; %4d killed (%d too late), %3d survive: %s' % (
        name, len(verdicts) - count[''], len(verdicts), count[UNBUILT], count[SAME], killed, count[LATE],
        count[SURVIVED], percent(killed, killed + count[SURVIVED]))


def verdicts_of(subjects, results):
    """{key: verdict, '' where it was not run} of all mutants that there are."""
    known = {}
    for subject in subjects:
        for mutant in subject.mutants:
            mark, verdict, _ = results.get(key_of(subject, mutant), ('', '', ''))
            known[key_of(subject, mutant)] = verdict if mark == stamp(subject.text) else ''
    return known


def report(known, reasons, names):
    """(what to say, is something wrong)"""
    lines = [score(name, [verdict for key, verdict in known.items() if key[0] == name]) for name in names]
    if len(names) > 1:
        lines.append(score('all', list(known.values())))
    if '' in known.values():
        lines.append('That is a sample, drawn by chance. MAX=0 judges all.')
    explained = [key for key, verdict in known.items() if verdict == SURVIVED and key in reasons]
    lines.append('%d of those that survive have their reason in %s' % (len(explained), REASONS))
    wrong = list(errors(known, reasons, names))
    return lines + wrong, bool(wrong)


# ---- judging several at a time -----------------------------------------------------------------

def judge_all(drawn, folders):
    """[(subject, mutant, verdict, by which test)], in the order drawn; as many at a time as there are folders."""
    free = queue.Queue()
    for folder in folders:
        free.put(folder)

    def judge(one):
        subject, mutant = one
        folder = free.get()
        try:
            return (subject, mutant) + subject.judge(mutant.of(subject.text), os.path.join(folder, subject.path))
        finally:
            free.put(folder)

    with concurrent.futures.ThreadPoolExecutor(len(folders)) as pool:
        return list(pool.map(judge, drawn))


def right_is_green(subjects, folder):
    for subject in subjects:
        verdict, by = subject.judge(subject.text, os.path.join(folder, subject.path))
        if verdict != SURVIVED:
            print('the right %s was not green (%s): what was found since the last time is forgotten' % (
                os.path.basename(subject.path), by))
            return False
    return True


def judge_in_batches(drawn, results, kept, folders):
    for first in range(0, len(drawn), BATCH):
        judged = judge_all(drawn[first:first + BATCH], folders)
        if not right_is_green({tuple(RUNS[subject.path]): subject for subject, *_ in judged}.values(), folders[0]):
            continue
        for subject, mutant, verdict, by in judged:
            results[key_of(subject, mutant)] = (stamp(subject.text), verdict, by)
            print('%-14s %s:%d %s: %s%s' % (verdict, os.path.basename(subject.path), mutant.line, mutant.function,
                                            mutant.name, by and ' [%s]' % by))
        write_results(kept, results)


def search(top, out, paths, most, seed, jobs):
    sys.stdout.reconfigure(line_buffering=True)
    reasons = coverage.read_reasons(pagelib.read(os.path.join(top, REASONS)), REASONS)
    kept = os.path.join(top, out, 'results.tsv')
    make(top, out, ['../%s/tests/%s' % (out, program) for program in sorted({p for path in paths for p, _ in RUNS[path]})])
    subjects, results = [Subject(top, out, path) for path in paths], read_results(kept)
    folders = [os.path.join(top, out, 'work', str(job)) for job in range(jobs)]
    judge_in_batches(draw(subjects, results, most, seed), results, kept, folders)
    lines, wrong = report(verdicts_of(subjects, results), reasons, [os.path.basename(path) for path in paths])
    print('\n' + '\n'.join(lines))
    with open(os.path.join(top, out, 'report.txt'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')
    return 1 if wrong else 0


# ---- its own tests -----------------------------------------------------------------------------

SAMPLE = """#include <assert.h>
#define LIMIT 9
static int above(int n, int *to)
{
    assert(n < 1000);
    if (n > LIMIT && !to)
        return -1;
    *to = n + 1;
    return *to == n;
}
"""
EXPECTED = [
    'negated: n > LIMIT && !to', '&& becomes ||: if (n > LIMIT && !to)', '> becomes >=: if (n > LIMIT && !to)',
    '! is missing: if (n > LIMIT && !to)', '- is missing: return -1;', '1 becomes 2: return -1;',
    '1 becomes 0: return -1;', 'removed: *to = n + 1', '+ becomes -: *to = n + 1;', '1 becomes 2: *to = n + 1;',
    '1 becomes 0: *to = n + 1;', '== becomes !=: return *to == n;']


def test_tree():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'sample.c')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(SAMPLE)
        source, found = mutate.mutants(path, ['-std=c11'], folder)
    assert sorted(mutant.name for mutant in found) == sorted(EXPECTED), [mutant.name for mutant in found]
    assert {mutant.function for mutant in found} == {'above'}
    relation = next(mutant for mutant in found if mutant.name.startswith('> becomes'))
    assert relation.of(source) == source.replace('n > LIMIT', 'n >= LIMIT') and relation.line == 6


class FakeSubject:
    """Its mutant "good" survives, all others are killed; the right text is "right"."""
    path, text = next(iter(RUNS)), 'right'

    def __init__(self, right_verdict=SURVIVED):
        self.right_verdict, self.places = right_verdict, set()

    def judge(self, text, work):
        self.places.add(work)
        return self.right_verdict if text == self.text else SURVIVED if text == 'good' else KILLED, 'a test'


class FakeMutant:
    function, line = 'f', 1

    def __init__(self, name):
        self.name = name

    def of(self, _):
        return self.name


def test_judging():
    for right_verdict, expected in ((SURVIVED, [KILLED, SURVIVED, KILLED]), (KILLED, [])):
        subject, results = FakeSubject(right_verdict), {}
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, 'w', encoding='utf-8') as sys.stdout:
            judge_in_batches([(subject, FakeMutant(name)) for name in ('bad', 'good', 'worse')], results,
                             os.path.join(folder, 'results.tsv'), ['one', 'two'])
        sys.stdout = sys.__stdout__
        assert [verdict for _, verdict, _ in results.values()] == expected, results
        assert subject.places <= {os.path.join(work, subject.path) for work in ('one', 'two')}


def test():
    if shutil.which('clang'):
        test_tree()
    one, two = ('a.c', 'f', 'removed: x'), ('a.c', 'g', '< becomes <=: if (x < 1)')
    assert not list(errors({one: SURVIVED, two: KILLED}, {one: False}, ['a.c']))
    assert 'no reason' in list(errors({one: SURVIVED}, {}, ['a.c']))[0]
    assert 'killed by now' in list(errors({one: LATE}, {one: False}, ['a.c']))[0]
    assert not list(errors({one: KILLED}, {one: True}, ['a.c'])), 'only sometimes'
    assert not list(errors({one: ''}, {one: False}, ['a.c'])), 'it was not run'
    assert 'no such mutant' in list(errors({}, {two: False}, ['a.c']))[0]
    assert not list(errors({}, {two: False}, ['b.c']))
    assert '4 of    5 judged' in score('a.c', [KILLED, LATE, SURVIVED, UNBUILT, ''])
    assert '2 killed (1 too late),   1 survive:  66.7 %' in score('a.c', [KILLED, LATE, SURVIVED, UNBUILT, ''])
    assert any('a sample' in line for line in report({one: KILLED, two: ''}, {}, ['a.c'])[0])
    assert not any('a sample' in line for line in report({one: KILLED, two: SAME}, {}, ['a.c'])[0])
    test_judging()
    print('mutants.py: its own tests pass')
    return 0


def main():
    words = sys.argv[1:]
    if words == ['--test']:
        return test()
    if not 1 <= len(words) <= 5:
        print(__doc__, file=sys.stderr)
        return 2
    out, name, most, seed, jobs = words + ['', '', '', ''][len(words) - 1:]
    paths = [path for path in RUNS if not name or os.path.basename(name) == os.path.basename(path)]
    if not paths:
        print('mutants: FILE=%s: there are %s' % (name, ', '.join(map(os.path.basename, RUNS))), file=sys.stderr)
        return 2
    return search(pagelib.root(), out, paths, int(most or 100), int(seed or 1), int(jobs or 2))


if __name__ == '__main__':
    sys.exit(main())
