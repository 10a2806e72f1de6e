#!/usr/bin/env python3
"""run_pages: runs the commands of the pages and compares what they print with what the pages say.

usage: run_pages.py [--update] [PAGE...]        (default: every page of the tree)

A fenced block whose first word is `console` holds lines `$ command` and the output of each. It runs
with bash in a private copy of the tree (build/pages/tree), so the learner's own files stay as they
are. More words may follow, in any order:

    server     one command that keeps running until the next server block or the end of the page;
               then it gets SIGINT, and if the block has a line ^C, the lines below that are compared
    peer       the same for a program beside the server; several may run; stopped before the server
    stop       no command; ^C for the peer started last (else for the server), and what it then says
    varies     all numbers are masked, and where lines are wrapped does not matter
    linux      runs on Linux only
    wine       runs where Windows programs can be built and are run by Wine (chapters/06_iocp/wine.sh)
    timeout=N  seconds for each command (120)

Ports, pids, durations, sizes and percentages are masked on both sides, and so is whether a queue
is native or emulated, and which backend evq has. A line `...` stands for any
number of lines. With --update the outputs that differ are written into the pages.

Life of a program: STARTED in a session of its own; READ by a thread while it runs; then it ENDS by
itself, by SIGINT where the page says ^C, or by SIGKILL to its whole group, which is sent in any case
when this tool leaves, so nothing stays behind. Every wait has a deadline, scaled by TEST_SLOWDOWN.
"""
import atexit
import difflib
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

import pagelib

COMMAND_S = 120.0      # for a command that should end by itself, and for a server to listen
ANSWER_S = 10.0        # for lines that a running program should have printed by now
QUIET_S = 0.3          # no new output for so long: it has said what it has to say (only --update)
WORDS = {'console', 'server', 'peer', 'stop', 'varies', 'linux', 'wine'}

# What only tells that something was built before, or where: it depends on the past, not on the page.
BUILD_LINE = re.compile(r"^\s*(CC|CXX|LD|AR|LINK|RANLIB|GEN)\s+\S+\s*$"
                        r"|^g?make(\[\d+\])?: ((Entering|Leaving) directory|Nothing to be done|.* is up to date)")

MASKS = [
    (re.compile(r'((?:\b\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\]|\blocalhost):)\d+'), r'\1<port>'),
    (re.compile(r'(\bport[ =]|\bPORT=)\d+', re.I), r'\1<port>'),
    (re.compile(r'(\b(?:pid|process)[ :=]+)\d+', re.I), r'\1<pid>'),
    (re.compile(r'(?<![\w.])\d[\d,]*(?:\.\d+)?\s*(?:ns|us|µs|μs|ms|s|sec|seconds?|min|minutes?)(?!\w)'),
     '<time>'),
    (re.compile(r'(?<![\w.])\d[\d,]*(?:\.\d+)?\s*[kKMGT]i?B(?!\w)'), '<size>'),
    (re.compile(r'(?<![\w.])\d[\d,]*(?:\.\d+)?\s*%'), '<percent>'),
    (re.compile(r'^(kqueue: )(?:native|emulated .*)$'), r'\1<native or emulated>'),
    (re.compile(r'^(evq(?: [\d.]+ over|:) )(?:epoll|io_uring|poll|kqueue)\b'), r'\1<backend>'),
    (re.compile(r'^(IOCP: )(?:native|emulated .*)$'), r'\1<native or emulated>'),
    (re.compile(r'^g?make(?:\[\d+\])?: \*\*\* \[(?:[^:\]]*:\d+: )?'), 'make: *** ['),
]
VARYING = [(re.compile(r'-?\d(?:[\d.,]*\d)?'), '<n>'), (re.compile(r'([-#=─█])\1+'), r'\1\1'),
           (re.compile(r'(?<!\S)\.{2,}(?!\S)'), '..')]


def slowdown():
    try:
        return max(0.1, float(os.environ.get('TEST_SLOWDOWN') or 1))
    except ValueError:
        return 1.0


# ---- masking and comparing ----------------------------------------------------------------------

def masked(line, varies):
    line = line.rstrip()
    before = line
    if line.strip() == '...':
        return '...'
    for pattern, instead in MASKS + (VARYING if varies else []):
        line = pattern.sub(instead, line)
    return line if line == before else re.sub(r'\s+', ' ', line).strip()


def cleaned(lines):
    """Without the lines that tell of building, and without blank lines at the end."""
    lines = [line.rstrip() for line in lines if not BUILD_LINE.match(line)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def matches(expected, actual, varies):
    """True when the lines agree under the masks; "..." in expected stands for any lines.

    Where all numbers vary, words are compared and not lines: a longer number may wrap a text elsewhere.
    """
    want = [masked(line, varies) for line in cleaned(expected)]
    have = [masked(line, varies) for line in cleaned(actual)]
    if varies:
        want, have = ' '.join(want).split(), ' '.join(have).split()
    w = h = 0
    star, resume = None, 0
    while h < len(have):
        if w < len(want) and want[w] == '...':
            star, resume, w = w, h, w + 1
        elif w < len(want) and want[w] == have[h]:
            w, h = w + 1, h + 1
        elif star is not None:
            w, resume = star + 1, resume + 1
            h = resume
        else:
            return False
    return all(line == '...' for line in want[w:])


def recorded(expected, actual):
    """What --update writes: the output, with the "..." of the page kept where the page has one."""
    actual = cleaned(actual)
    if '...' not in expected:
        return actual
    head = expected.index('...')
    tail = len(expected) - 1 - (len(expected) - 1 - expected[::-1].index('...'))
    if head + tail >= len(actual):
        return actual
    return actual[:head] + ['...'] + (actual[-tail:] if tail else [])


# ---- programs -----------------------------------------------------------------------------------

# A page looks for its server by name. The machine may run others of that name, which are not meant.
OWN_PGREP = 'pgrep() { command pgrep -s "$PAGE_SESSIONS" "$@"; }\n'


class Program:
    """A command that runs in a session of its own, and what it has printed so far."""
    running = []

    def __init__(self, command, folder, env, state=None):
        """With a state file, its directory and $? are where it starts and what it leaves to the next."""
        script = 'eval %s\n' % shlex.quote(command)
        if state:
            script = '(exit $PAGE_STATUS)\n%ss=$?; pwd >%s; exit $s\n' % (script, shlex.quote(state.path))
            env = dict(env, PAGE_STATUS=str(state.status))
        sessions = ['0'] + [str(program.process.pid) for program in Program.running]
        env = dict(env, PAGE_SESSIONS=','.join(sessions))
        self.said, self.changed = b'', time.monotonic()
        self.news = threading.Condition()
        self.command = command
        self.process = subprocess.Popen(
            [shutil.which('bash') or 'sh', '-c', OWN_PGREP + script], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        Program.running.append(self)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        fd = self.process.stdout.fileno()
        while True:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                piece = b''
            with self.news:
                self.said += piece
                self.changed = time.monotonic()
                self.news.notify_all()
            if not piece:
                return

    def lines(self, start=0, end=None):
        with self.news:
            text = self.said[start:end].decode('utf-8', 'replace')
        return text.replace('\r\n', '\n').split('\n')

    def wait_until(self, done, seconds):
        """Waits until done() or the deadline; returns whether done() holds."""
        deadline = time.monotonic() + seconds * slowdown()
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self.news:
                self.news.wait(min(left, 0.05))
        return True

    def has_exited(self):
        return self.process.poll() is not None

    def is_quiet(self, seconds):
        return self.has_exited() or time.monotonic() - self.changed > seconds

    def signal_group(self, signo):
        try:
            os.killpg(self.process.pid, signo)
        except (ProcessLookupError, PermissionError):
            pass

    def interrupt(self):
        """Ctrl-C. Returns whether it ended in time."""
        self.signal_group(signal.SIGINT)
        in_time = self.wait_until(self.has_exited, ANSWER_S)
        self.finish()
        return in_time

    def finish(self):
        """Ends what is left of it, and reads its output to the end."""
        self.signal_group(signal.SIGKILL)
        self.process.wait()
        self.reader.join(2.0)
        if self in Program.running:
            Program.running.remove(self)


class State:
    """What one command of a block leaves to the next: the directory and $?."""

    def __init__(self, tree):
        self.path, self.folder, self.status = os.path.join(tree, '..', 'folder'), tree, 0

    def take(self, program):
        self.status = program.process.returncode & 255
        if os.path.isfile(self.path):
            self.folder = pagelib.read(self.path).rstrip('\n') or self.folder
            os.remove(self.path)


def finish_all():
    for program in list(Program.running):
        program.finish()


# ---- pages --------------------------------------------------------------------------------------

class Command:
    """`$ text` on line `line`; what the page says it prints, before and after ^C (after: None without)."""

    def __init__(self, text, line, shown):
        self.text, self.line, self.shown = text, line, shown
        self.before, self.after = [], None
        self.now = None  # (before, after) that --update should write

    def expected(self):
        return self.before + ([] if self.after is None else self.after)


class Block:
    def __init__(self, fence, lines):
        words = fence.words()
        self.first, self.last, self.indent = fence.first, fence.last, fence.indent
        self.kind = next((k for k in ('server', 'peer', 'stop') if k in words), 'plain')
        self.varies, self.seconds = 'varies' in words, COMMAND_S
        self.linux, self.wine = 'linux' in words, 'wine' in words
        self.trouble = None if fence.last is not None else 'this block is never closed'
        self.commands = []
        for word in words:
            limit = re.fullmatch(r'timeout=(\d+)', word)
            if limit:
                self.seconds = float(limit[1])
            elif word not in WORDS:
                self.trouble = 'unknown word "%s" after console' % word
        if not self.trouble:
            self.parse([line[self.indent:] if not line[:self.indent].strip() else line
                        for line in lines[fence.first + 1:fence.last]])

    def parse(self, lines):
        if self.kind == 'stop':
            self.commands.append(Command('', self.first, []))
        index = 0
        while index < len(lines):
            line, shown = lines[index], [lines[index]]
            if line.startswith('$ '):
                while shown[-1].endswith('\\') and index + 1 < len(lines):
                    index += 1
                    shown.append(lines[index])
                text = '\n'.join([line[2:]] + [l[2:] if l.startswith('> ') else l for l in shown[1:]])
                self.commands.append(Command(text, self.first + 1 + index - len(shown) + 1, shown))
            elif not self.commands:
                self.trouble = 'output before the first line "$ command"'
            elif line == '^C':
                self.commands[-1].after = []
            elif self.commands[-1].after is None:
                self.commands[-1].before.append(line)
            else:
                self.commands[-1].after.append(line)
            index += 1
        if not self.commands:
            self.trouble = 'no line "$ command"'
        elif self.kind != 'plain' and len(self.commands) != 1:
            self.trouble = 'a %s block has one command' % self.kind
        elif self.kind == 'stop' and (self.commands[0].after is None or self.commands[0].before):
            self.trouble = 'a stop block is a line ^C and what is printed after it'

    def text(self):
        """The block's lines with what --update recorded."""
        lines = []
        for command in self.commands:
            before, after = command.now or (command.before, command.after)
            lines += command.shown + before + ([] if after is None else ['^C'] + after)
        return [(' ' * self.indent + line).rstrip() for line in lines]


class Wine:
    """What runs Windows programs, for all pages: asked once, and made ready before its first program."""
    answer = None

    @classmethod
    def is_here(cls, tree, env):
        if cls.answer is None:
            cls.answer = cls.ask(tree, env, 'tools/need.sh', 'x86_64-w64-mingw32-gcc') == '' and \
                cls.ask(tree, env, cls.script(), '--check') == 'wine' and \
                cls.ask(tree, env, cls.script(), '--start') == ''
        return cls.answer

    @classmethod
    def end(cls, tree, env):
        if cls.answer:
            cls.ask(tree, env, cls.script(), '--end')

    @staticmethod
    def script():
        return 'chapters/06_iocp/wine.sh'

    @staticmethod
    def ask(tree, env, script, word):
        """What the script says on stdout; None when it fails."""
        run = subprocess.run(['sh', script, word], cwd=tree, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return run.stdout.decode('utf-8', 'replace').strip() if run.returncode == 0 else None


class Runner:
    """Runs one page."""

    def __init__(self, page, tree, env, update):
        self.page, self.tree, self.env, self.update = page, tree, env, update
        self.kept = []          # (program, block, command): the server first, then the peers
        self.failures = self.count = 0
        self.skipped = {}       # why: how many commands

    def fail(self, line, words, diff=()):
        self.failures += 1
        print('FAIL  %s:%d: %s' % (self.page, line + 1, words))
        for text in diff:
            print('      ' + text)
        sys.stdout.flush()

    def skip(self, block, why):
        self.skipped[why] = self.skipped.get(why, 0) + len(block.commands)

    def compare(self, block, command, before, after):
        """Compares one command's output with the page; under --update, notes what to write instead."""
        same = matches(command.before, before, block.varies)
        if command.after is not None:
            same = same and matches(command.after, after, block.varies)
        if same:
            return
        if self.update:
            command.now = (recorded(command.before, before),
                           None if command.after is None else recorded(command.after, after))
            return
        caret = [] if command.after is None else ['^C']
        want = command.before + caret + (command.after or [])
        have = cleaned(before) + caret + (cleaned(after) if caret else [])
        diff = difflib.unified_diff([masked(line, block.varies) for line in want],
                                    [masked(line, block.varies) for line in have],
                                    'the page says', 'it prints now', lineterm='', n=3)
        self.fail(command.line, '$ %s' % command.text.split('\n')[0] if command.text else '^C', diff)

    def run_plain(self, block):
        state = State(self.tree)
        for command in block.commands:
            self.count += 1
            program = Program(command.text, state.folder, self.env, state)
            if command.after is not None:
                self.run_until_caret(block, command, program)
                continue
            in_time = program.wait_until(program.has_exited, block.seconds)
            program.finish()
            if not in_time:
                self.fail(command.line, '$ %s: did not end within %.0f s; killed. It had printed:'
                          % (command.text, block.seconds * slowdown()), program.lines()[-12:])
                return
            state.take(program)
            self.compare(block, command, program.lines(), [])

    def run_until_caret(self, block, command, program):
        """A command of a plain block that the page ends by ^C."""
        self.await_output(block, command, program, block.seconds)
        self.stop(program, block, command)

    def await_output(self, block, command, program, seconds):
        """Waits for what the page says it prints; while recording, until it has been quiet for a while."""
        if self.update:
            program.wait_until(lambda: program.said or program.has_exited(), seconds)
            program.wait_until(lambda: program.is_quiet(QUIET_S), ANSWER_S)
        elif command.before:
            program.wait_until(lambda: program.has_exited() or program.said and
                               matches(command.before, program.lines(), block.varies), seconds)

    def stop(self, program, block, command):
        """Ctrl-C, and the comparison of everything that it printed."""
        gone = program.has_exited()
        mark = len(program.said)
        in_time = program.interrupt()
        before = program.lines(0, None if gone else mark)
        after = [] if gone else program.lines(mark)
        if gone and command.after is not None:
            self.fail(command.line, '$ %s: ended by itself before ^C' % command.text, before[-12:])
        elif not in_time:
            self.fail(command.line, '$ %s: did not end within %.0f s after ^C; killed'
                      % (command.text, ANSWER_S * slowdown()))
        elif command.after is not None:
            self.compare(block, command, before, after)

    def start(self, block):
        """Starts a server or a peer; returns False when it did not come up."""
        command = block.commands[0]
        self.count += 1
        if block.kind == 'server':
            self.stop_all()
        program = Program(command.text, self.tree, self.env)
        self.kept.append((program, block, command))
        if block.kind == 'server':
            program.wait_until(lambda: program.has_exited() or
                               re.search(rb'^listening on \S+\n', program.said, re.M), block.seconds)
            if b'listening on ' not in program.said:
                self.fail(command.line, '$ %s: said no "listening on"; the rest of the page is not run. '
                          'It printed:' % command.text, program.lines()[-12:])
                return False
            self.await_last_port(program)
        if command.after is None or block.kind == 'peer':
            self.await_output(block, command, program, ANSWER_S)
        if command.after is None:
            self.compare(block, command, program.lines(), [])
        return True

    def await_last_port(self, program):
        """`make peer` and `make talk` find the server by build/last_port: wait until it is written."""
        port = re.search(rb'listening on \S+:(\d+)', program.said)[1].decode()
        path = os.path.join(self.tree, 'build', 'last_port')

        def is_written():
            try:
                return pagelib.read(path).strip() == port
            except OSError:
                return False
        if 'make run' in program.command:
            program.wait_until(is_written, 2.0)

    def stop_one(self, block):
        """A stop block: Ctrl-C for the program that was started last."""
        command = block.commands[0]
        if not self.kept:
            self.fail(block.first, 'nothing runs that ^C could stop')
            return
        program, owner, started = self.kept.pop()
        program.wait_until(lambda: program.is_quiet(QUIET_S), ANSWER_S)
        gone, mark = program.has_exited(), len(program.said)
        in_time = program.interrupt()
        if started.after is not None:
            self.fail(owner.first, 'this block has its own ^C, but line %d stops it' % (block.first + 1))
        elif gone or not in_time:
            self.fail(block.first, '$ %s: %s' % (started.text, 'ended by itself before this ^C' if gone
                                                 else 'did not end after ^C; killed'), program.lines()[-12:])
        else:
            self.compare(block, command, [], program.lines(mark))

    def stop_all(self):
        """Peers first, in reverse order, then the server."""
        while self.kept:
            program, block, command = self.kept.pop()
            if command.after is None:
                program.interrupt()
                continue
            if self.update:
                program.wait_until(lambda p=program: p.is_quiet(QUIET_S), ANSWER_S)
            else:
                program.wait_until(lambda p=program, b=block, c=command: p.has_exited() or
                                   matches(c.before, p.lines(), b.varies), ANSWER_S)
            self.stop(program, block, command)

    def run(self, top):
        path = os.path.join(top, self.page)
        lines = pagelib.read(path).split('\n')
        blocks = [Block(f, lines) for f in pagelib.fences(lines) if f.words()[:1] == ['console']]
        try:
            self.run_blocks(blocks)
            self.stop_all()
        finally:
            finish_all()
        changed = [b for b in blocks if any(c.now for c in b.commands)]
        for block in reversed(changed):
            lines[block.first + 1:block.last] = block.text()
        if changed:
            pagelib.write(path, '\n'.join(lines))
            print('%s: %d block%s recorded' % (self.page, len(changed), '' if len(changed) == 1 else 's'))

    def run_blocks(self, blocks):
        for block in blocks:
            if block.trouble:
                self.fail(block.first, block.trouble)
            elif block.linux and not sys.platform.startswith('linux'):
                self.skip(block, 'Linux only')
            elif block.wine and not Wine.is_here(self.tree, self.env):
                self.skip(block, 'no Windows programs here')
            elif block.kind == 'plain':
                self.run_plain(block)
            elif block.kind == 'stop':
                self.stop_one(block)
            elif not self.start(block):
                return


# ---- the private copy ---------------------------------------------------------------------------

def copy_tree(top, tree):
    """Makes `tree` hold the project's files as they are now; what was built there before stays."""
    files = pagelib.own_files(top)
    listing = os.path.join(tree, '..', 'files')
    before = pagelib.read(listing).split('\n') if os.path.isfile(listing) else []
    os.makedirs(tree, exist_ok=True)
    for name in set(before) - set(files) - {''}:
        if os.path.lexists(os.path.join(tree, name)):
            os.remove(os.path.join(tree, name))
    shutil.rmtree(os.path.join(tree, 'mine'), ignore_errors=True)
    for name in files:
        source, copy = os.path.join(top, name), os.path.join(tree, name)
        fresh = os.stat(source)
        if os.path.isfile(copy):
            old = os.stat(copy)
            if (old.st_size, old.st_mtime_ns) == (fresh.st_size, fresh.st_mtime_ns):
                continue
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy2(source, copy)
    pagelib.write(listing, '\n'.join(files))


def take_turns(top):
    """Two runs at a time would mix up their servers: the second waits here. Keep what it returns."""
    os.makedirs(os.path.join(top, 'build', 'pages'), exist_ok=True)
    lock = open(os.path.join(top, 'build', 'pages', 'lock'), 'w', encoding='utf-8')
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print('waiting until another run of the pages is over ...', flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def build(tree, env):
    """Builds what the pages start: a reader who has come so far has built it too. False when it fails."""
    if not os.path.isfile(os.path.join(tree, 'Makefile')):
        return True
    run = subprocess.run(['make', 'chapters', 'tools'], cwd=tree, env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if run.returncode != 0:
        print('FAIL  make chapters tools, before the first page:')
        print(run.stdout.decode('utf-8', 'replace'))
    return run.returncode == 0


def environment():
    """The caller's, without what would make the outputs depend on the caller."""
    env = {k: v for k, v in os.environ.items()
           if k not in ('GUESS', 'PLAIN', 'MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES', 'MAKE_TERMERR',
                        'MAKE_TERMOUT', 'PORT', 'CH', 'STEP', 'ROW', 'SAN', 'COLUMNS', 'CLICOLOR_FORCE',
                        'PAGES', 'BASH_ENV', 'ENV', 'CDPATH', 'OLDPWD', 'GIT_DIR', 'GIT_WORK_TREE')}
    # The copy's Windows programs share the world of files that Wine has made for the tree itself.
    env.setdefault('WINEPREFIX_OF_PROJECT', os.path.join(pagelib.root(), 'build', 'wine'))
    env.update(NO_COLOR='1', TERM='dumb', TZ='UTC', LC_ALL='C.UTF-8' if sys.platform.startswith('linux') else 'C')
    return env


def main(words):
    if '-h' in words or '--help' in words:
        print(__doc__)
        return 0
    update = '--update' in words
    names = [w for w in words if w != '--update']
    if any(n.startswith('-') for n in names):
        print('run_pages: usage: run_pages.py [--update] [PAGE...]', file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here: a job in background
    signal.signal(signal.SIGTERM, lambda signo, frame: sys.exit(143))
    atexit.register(finish_all)
    top = pagelib.root()
    tree = os.path.join(top, 'build', 'pages', 'tree')
    atexit.register(lambda: Wine.end(tree, environment()))
    turn = take_turns(top)
    copy_tree(top, tree)
    if not build(tree, environment()):
        return 1
    started, failures, count, pages = time.monotonic(), 0, 0, 0
    for page in pagelib.chosen_pages(top, names):
        runner, since = Runner(page, tree, environment(), update), time.monotonic()
        runner.run(top)
        if runner.count or runner.failures or runner.skipped:
            pages += 1
            print('%-5s %s: %d command%s, %.1f s%s' % (
                'FAIL' if runner.failures else 'ok', page, runner.count, '' if runner.count == 1 else 's',
                time.monotonic() - since,
                ''.join(', %d skipped (%s)' % (n, why) for why, n in runner.skipped.items())), flush=True)
        failures += runner.failures
        count += runner.count
    print('pages: %d pages, %d commands, %d failed, %.0f s' % (pages, count, failures,
                                                              time.monotonic() - started))
    if failures and not update:
        print('If the new output is right, record it: python3 tools/run_pages.py --update PAGE')
    turn.close()
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
