"""timeline_trace: what strace has written, as waits and stretches of work, thread by thread.

strace -ff writes one file for each thread, and one line for each call:

    1700000000.123456 recvfrom(4, "visitor 1, word "..., 16384, 0, NULL, NULL) = 64 <0.000021>

The time is when the call began, <...> how long it lasted; a call that never returned has no <...>.

Which client is behind a descriptor? Its first bytes say it: all clients but the silent ones send their name.
Who has sent nothing is, of those who had come by then, the first that is nobody else: a listener hands out
its clients in the order in which they came. strace could ask the kernel for the client's port (-yy); where
there are many connections, the server then stands still for a tenth of a second at each new one.

A call counts as blocked when it may wait, and lasted a millisecond or more. It may not wait on a descriptor
that is non-blocking, with a time-out of 0, or when its answer was EAGAIN. All other calls are work; those
that follow each other closely are one stretch.
"""
import collections
import glob
import os
import re

BLOCKED = 0.001  # seconds
CLOSE = 0.005    # a stretch of work goes on when the next call comes within this time

LINE = re.compile(r'(\d+\.\d+) (\w+)\((.*)$')
LASTED = re.compile(r' <(\d+\.\d+)>$')
RESULT = re.compile(r'\)\s+= (-?\d+|0x[0-9a-f]+|\?)(.*)$')
DESCRIPTOR = re.compile(r'(\d+)')
SAID = re.compile(r'"([a-z]+(?: \d)?)\b', re.IGNORECASE)
NEW_TASK = ('clone', 'clone3', 'fork', 'vfork')

# As the sources call them; the C library's name for a call is not always the kernel's.
NAMES = {'recvfrom': 'recv', 'sendto': 'send', 'accept4': 'accept', 'pselect6': 'select', 'ppoll': 'poll',
         'epoll_pwait': 'epoll_wait', 'epoll_pwait2': 'epoll_wait', 'clock_nanosleep': 'nanosleep'}

# For what may a call wait?
FOR_ONE, FOR_NEW, FOR_ANY, FOR_THREAD, NAPS = 'one', 'new', 'any', 'thread', 'nap'
WAITS = {'accept': FOR_NEW, 'nanosleep': NAPS, 'futex': FOR_THREAD, 'wait4': FOR_THREAD, 'waitid': FOR_THREAD}
WAITS.update(dict.fromkeys(['recv', 'read', 'readv', 'recvmsg', 'send', 'write', 'writev', 'sendmsg'], FOR_ONE))
WAITS.update(dict.fromkeys(['select', 'poll', 'epoll_wait', 'io_uring_enter'], FOR_ANY))


class Call:
    """One line."""

    def __init__(self, line, end):
        match = LINE.match(line)
        self.start = float(match[1])
        self.name = NAMES.get(match[2], match[2])
        rest = match[3]
        lasted = LASTED.search(rest)
        ends = self.name.startswith('exit')  # it does not return either, but nothing waits in it
        self.end = self.start + float(lasted[1]) if lasted else self.start if ends else max(end, self.start)
        result = RESULT.search(rest)
        self.args = rest[:result.start()] if result else rest
        self.result = result[1] if result else '?'
        self.error = (re.match(r'\s+(E[A-Z0-9]+)', result[2]) or [None, ''])[1] if result else ''
        fd = DESCRIPTOR.match(self.args)
        self.fd = fd[1] if fd else None
        self.made = self.result if self.name in ('accept', 'socket') and self.result.isdigit() else None
        self.visit = None     # the client's connection, if it is about one
        self.waits = None     # FOR_ONE ..., if it blocked

    @property
    def who(self):
        return self.visit.name if self.visit else ''

    def again(self):
        return self.error in ('EAGAIN', 'EINPROGRESS')


class Visit:
    """One connection, from accept() to close()."""

    def __init__(self, accepted):
        self.accepted, self.name = accepted, ''


class Thread:
    """What one thread (or child) did: the waits, and the stretches of work between them."""

    def __init__(self, number, calls, is_child):
        self.name = ('process %d' if is_child else 'thread %d') % number
        self.calls = calls
        self.start, self.end = calls[0].start, max(c.end for c in calls)
        self.waits = [c for c in calls if c.waits]
        self.work = []
        for before, call in zip([None] + calls, calls):
            if call.waits:
                continue
            if before and not before.waits and call.start - before.end < CLOSE:
                self.work[-1].append(call)
            else:
                self.work.append([call])

    def blocked(self):
        return sum(c.end - c.start for c in self.waits)


def read_lines(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return [line.rstrip('\n') for line in file if LINE.match(line)]


def read_threads(prefix, clients, start, end):
    """All threads whose files begin with prefix, in the order of their birth, between the two times.
    clients: (when it came, its name) of each, in that order."""
    lines = {int(path.rsplit('.', 1)[1]): read_lines(path) for path in glob.glob(glob.escape(prefix) + '.*')}
    order = sorted((task for task in lines if lines[task]), key=lambda task: (float(lines[task][0].split()[0]), task))
    calls = {task: [Call(line, end) for line in lines[task]] for task in order}
    every = [c for task in order for c in calls[task]]
    children = {int(c.result) for c in every if c.name in NEW_TASK and c.result.isdigit() and 'CLONE_THREAD' not in c.args}
    children |= {task for task in order[1:] if calls[task][0].name == 'execve'}
    name_clients([c for task in order if task not in children for c in calls[task]], clients)
    threads = []
    for number, task in enumerate(order, 1):
        inside = [c for c in calls[task] if c.end > start and c.start < end]
        for call in inside:
            call.start, call.end = max(call.start, start), min(call.end, end)
        if inside:
            threads.append(Thread(number, inside, task in children))
    return threads


def name_clients(calls, clients):
    """Walks through all calls in their order: who is behind a descriptor, and may a call on it wait?"""
    visits, open_now, patient = [], {}, {}
    # An accept() counts from its end on, all others from their beginning: so a close() comes before the
    # accept() that gets the same number.
    for call in sorted(calls, key=lambda c: c.end if c.made else c.start):
        if call.made:
            patient[call.made] = 'NONBLOCK' not in call.args
            if call.name == 'accept':
                call.visit = open_now[call.made] = Visit(call.end)
                visits.append(call.visit)
        elif call.fd and is_about_descriptor(call):
            call.visit = open_now.get(call.fd)
            said = SAID.search(call.args)
            if call.visit and not call.visit.name and said:
                call.visit.name = said[1].lower()
        if call.name == 'fcntl' and 'F_SETFL' in call.args:
            patient[call.fd] = 'O_NONBLOCK' not in call.args
        if call.name == 'ioctl' and 'FIONBIO' in call.args:
            patient[call.fd] = '[0]' in call.args
        call.waits = what_for(call, patient.get(call.fd, True))
        if call.name == 'close':
            open_now.pop(call.fd, None), patient.pop(call.fd, None)
    name_the_silent(visits, clients)


def name_the_silent(visits, clients):
    known = {visit.name for visit in visits}
    left = [(came, name) for came, name in clients if name not in known]
    for visit in sorted((v for v in visits if not v.name), key=lambda v: v.accepted):
        if left and left[0][0] <= visit.accepted:
            visit.name = left.pop(0)[1]


def is_about_descriptor(call):
    return call.name in ('close', 'shutdown', 'setsockopt', 'getsockopt', 'fcntl') or WAITS.get(call.name) == FOR_ONE


def what_for(call, patient):
    """For what it blocked, or None."""
    kind = WAITS.get(call.name)
    if kind is None or call.again() or call.end - call.start < BLOCKED:
        return None
    if kind == FOR_ONE and not (call.visit and patient and 'MSG_DONTWAIT' not in call.args):
        return None
    if kind == FOR_NEW and not patient:
        return None
    if kind == FOR_THREAD and call.name == 'futex' and 'WAIT' not in call.args and 'LOCK' not in call.args:
        return None
    if call.name in ('poll', 'epoll_wait') and re.search(r', (0|\{tv_sec=0, tv_nsec=0\})(, NULL, \d+)?$', call.args):
        return None
    return kind


def count(calls):
    """The calls by name, most frequent first: [(name, how many, how many of them said EAGAIN)]."""
    names = collections.Counter(c.name for c in calls)
    again = collections.Counter(c.name for c in calls if c.again())
    return [(name, many, again[name]) for name, many in names.most_common()]


def started_program(prefix):
    """The pid of the program that strace has started: its file is the one that begins with execve."""
    for path in glob.glob(glob.escape(prefix) + '.*'):
        with open(path, encoding='utf-8', errors='replace') as file:
            if ' execve(' in file.readline():
                return int(os.path.basename(path).rsplit('.', 1)[1])
    return None
