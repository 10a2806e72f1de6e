#!/usr/bin/env python3
"""timeline: runs a server under strace beside a few clients, and draws what happened.

usage: timeline.py TITLE PROGRAM PICTURE      (make timeline CH=04 STEP=1, tools/timeline.sh)

PROGRAM may bring words of its own: './mine -x'. It is called with -p 0 behind them.

    timeline_scene.py   the clients: the same ones at the same moments for every step
    timeline_trace.py   strace's lines as waits and work, thread by thread
    timeline_draw.py    the picture, and the same in words

Prints a table, and where the picture is; with PLAIN=1 one sentence for each client and thread instead.
strace stops a thread twice at every call, so what works looks slower than it is; what waits, waits as long
as it does without strace. TEST_SLOWDOWN=3 makes the scene three times as long, for a slow machine.

Where the machine has other things to do, the clients come late, and the picture says so. With RECORD=1, for
a picture that is kept, such a scene is played again, up to six times; the one with the least delay counts.

Status: 0; 1 when the server did not start, or did not end well; 2 for wrong words.
"""
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile

import timeline_draw
import timeline_scene
import timeline_trace

STRACE = ['strace', '-ff', '-qq', '-ttt', '-T', '-s', '16', '-e', 'signal=none', '-o']
GRACE = 20  # seconds for a traced server to end after SIGTERM
LATE = 0.02  # seconds that a client comes after its time: then the machine was busy
TRIES = 6


class Trouble(Exception):
    """Ends the tool with one line."""


def pace():
    """How many times slower the scene is played: TEST_SLOWDOWN, at least 1."""
    try:
        return max(1.0, float(os.environ.get('TEST_SLOWDOWN', '1')))
    except ValueError:
        return 1.0


def port_of(server, errors):
    """From its first line. The pipe has no buffer on our side: so the lines behind it are left to stop()."""
    first = server.stdout.readline().decode('utf-8', 'replace').strip()
    if not first.startswith('listening on '):
        server.wait(GRACE * pace())
        errors.seek(0)
        words = [first] + errors.read().decode('utf-8', 'replace').strip().split('\n')[-1:]
        raise Trouble('the server did not start: it said "%s"' % ' '.join(filter(None, words)))
    return int(first.rsplit(':', 1)[1])


def stop(server, prefix):
    """SIGTERM to the program itself; strace ends with it. The lines that it printed after its first one."""
    pid = timeline_trace.started_program(prefix)
    if pid is None or server.poll() is not None:
        raise Trouble('the server ended before the clients had gone')
    os.kill(pid, signal.SIGTERM)
    try:
        said, _ = server.communicate(timeout=GRACE * pace())
    except subprocess.TimeoutExpired:
        os.kill(pid, signal.SIGKILL)
        raise Trouble('the server did not end after SIGTERM') from None
    if server.returncode != 0:
        raise Trouble('the server ended with status %d' % server.returncode)
    return said.decode('utf-8', 'replace').splitlines()


def clean_up(server, prefix):
    """Whatever happened: neither strace nor the program stays behind."""
    pid = timeline_trace.started_program(prefix)
    if server.poll() is None:
        if pid:
            os.kill(pid, signal.SIGKILL)
        server.kill()
        server.wait()


def run(title, program):
    with tempfile.TemporaryDirectory(prefix='timeline ') as folder, tempfile.TemporaryFile() as errors:
        prefix = os.path.join(folder, 'trace')
        server = subprocess.Popen(STRACE + [prefix] + shlex.split(program) + ['-p', '0'], bufsize=0,
                                  stdout=subprocess.PIPE, stderr=errors)
        try:
            scene = timeline_scene.Scene(port_of(server, errors), pace())
            scene.play()
            said = stop(server, prefix)
        finally:
            clean_up(server, prefix)
        came = sorted((client.came, client.name) for client in scene.clients if client.came)
        threads = timeline_trace.read_threads(prefix, came, scene.start, scene.end())
    return timeline_draw.Run(title, banner(said), where(scene), scene, threads)


def banner(said):
    """The second line of a server that has one: "kqueue: emulated over epoll". The totals are the last."""
    return said[0] if len(said) > 1 and re.match(r'\w+: emulated ', said[0]) else ''


def where(scene):
    """On which machine, in words; and whether it had time."""
    late = scene.latest()
    return '%s %s, %d processors, under strace%s' % (
        platform.system(), '.'.join(platform.release().split('.')[:2]), os.cpu_count() or 1,
        '; a busy machine: clients came up to %.0f ms late' % (late * 1000) if late > LATE else '')


def run_calmly(title, program):
    """Of several runs the one whose clients came nearest to their times."""
    best = None
    for _ in range(TRIES if is_on('RECORD') else 1):
        result = run(title, program)
        if best is None or result.scene.latest() < best.scene.latest():
            best = result
        if best.scene.latest() < LATE / 2:
            break
    return best


def is_on(name):
    return os.environ.get(name, '') not in ('', '0')


def say(*lines):
    """Prints them. Whoever has read enough (| head) is no error."""
    try:
        print('\n'.join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's end tells of it


def main(words):
    if len(words) != 3:
        print(__doc__)
        return 2
    title, program, picture = words
    try:
        result = run_calmly(title, program)
    except (Trouble, OSError) as trouble:
        print('timeline: %s' % trouble, file=sys.stderr)
        return 1
    os.makedirs(os.path.dirname(picture) or '.', exist_ok=True)
    with open(picture, 'w', encoding='utf-8') as file:
        file.write(result.svg())
    say(title, '(%s)' % '; '.join(filter(None, [result.banner, result.note])))
    say(*(result.sentences() if is_on('PLAIN') else ['', *result.table(), '']))
    say('The picture, for a browser: %s' % picture)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
