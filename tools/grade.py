#!/usr/bin/env python3
"""grade: grades a folder of submissions, each in a box of its own.

usage: grade.py BUILD DIR [JSON]          make grade DIR=submissions [JSON=grades.json] [SEEDS=1]

DIR holds a folder for each student, with what stands in their mine/: 01.1_all_of_it.c and so on. A file that is named
for no exercise is not looked at. Each answer is built and graded by tools/confine: it may write in one folder, has a network
of its own, sees neither DIR nor a solution, and runs for SECONDS (180) at most, with CPU (60) seconds of processor time,
MEMORY (2048) MiB and PROCESSES (600) at a time. What goes beyond is stopped, gets no points, and the next one is graded.
SEEDS=1: each student has had a handout of his own (make handout SEED=ann), and ann's answers stand in the folder ann.

Shows a table: a line for each student, a column for each exercise. `-` is not handed in, `!` was stopped, `x` does not
compile, `?` was not graded: a Windows program where Wine is not installed, or where this course lies below /tmp, which Wine
in the box must have for itself. JSON gets all of it, with each row's answer in words. Status: 0, whatever their points.

Names and what a compiler says come from strangers: they are shown without control characters.

The box protects the teacher's machine and the other students. It does not protect the grader inside the box from the
answer that it grades: whoever does harm there may cheat about his own points. So look at the sources, too.
"""
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXERCISE = re.compile(r'(\d\d\.\d+)_\w+\.c')
SOURCE_MAX = 1 << 20           # no answer is that long; and none is a link to somewhere else
STOPPED, NOT_CONFINED = 124, 125
# What an answer is told of the teacher's environment: no more than building and grading need.
PASSED_ON = ('PATH', 'LANG', 'LC_ALL', 'CC', 'CFLAGS', 'MAKE', 'TEST_SLOWDOWN')


def limit(name, usual):
    try:
        return str(max(1, int(os.environ.get(name) or usual)))
    except ValueError:
        sys.exit('grade: %s=%s is no number' % (name, os.environ[name]))


def exercises():
    """{number: folder}"""
    found = {}
    for chapter in sorted(os.listdir('chapters')):
        folder = os.path.join('chapters', chapter, 'exercises')
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if re.match(r'ex\d+_', name):
                found['%s.%s' % (chapter[:2], re.match(r'ex(\d+)_', name)[1])] = os.path.join(folder, name)
    return found


def points_of(folder):
    with open(os.path.join(folder, 'rows'), encoding='utf-8') as file:
        lines = [line.split() for line in file]
    return sum(int(w[2]) for w in lines if len(w) == 4 and w[2].isdigit() and w[3] in '12')


def is_for_windows(folder):
    with open(os.path.join(folder, 'rows'), encoding='utf-8') as file:
        return 'links windows\n' in file


def why_no_windows():
    """Why a Windows program cannot be graded here, or None. Wine's server has its socket in /tmp, so the box has an
    empty one; and whatever stands there outside cannot be seen in it."""
    if subprocess.run(['sh', 'chapters/06_iocp/wine.sh', '--check'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        return 'a Windows program, and Wine is not here (make setup)'
    if os.path.commonpath([os.path.realpath('/tmp'), os.path.realpath(ROOT)]) == os.path.realpath('/tmp'):
        return 'a Windows program: in the box Wine needs /tmp for itself, and this course lies there. Put it somewhere else'
    return None


def plain(text):
    """What a stranger has named or written, fit for a table: no control characters, no broken encoding."""
    return ''.join(c if c.isprintable() else '\\x%02x' % ord(c) for c in text)


def hidden(folder):
    """What no answer may see: the other answers, the solutions, and where these could be found again."""
    secret = [folder, '.git', 'mine', 'build/handout', 'build/exercises']
    secret += [os.path.join(exercise, 'solution.c') for exercise in exercises().values()]
    return [word for path in secret if os.path.exists(path) for word in ('-x', os.path.abspath(path))]


def remove(work):
    """Whatever has been made of it: a thousand folders in each other, and none of them open."""
    if os.path.isdir(work):
        subprocess.run(['chmod', '-R', 'u+rwx', work], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(['rm', '-rf', work], check=False)


def confined(build, work, command, seconds, unseen, twist='', windows=False):
    """(status, what it printed, why it was stopped). The command runs in ROOT and may write in `work`. For a Windows
    program Wine makes its files there, anew for each answer: an answer may change them."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    box = [os.path.join(build, 'tools', 'confine'), '-f', os.path.abspath(work), '-t', seconds, '-c', limit('CPU', 60),
           '-m', limit('MEMORY', 2048), '-n', limit('PROCESSES', 600), '-o', '256']
    box += unseen + (['-l'] if os.environ.get('LOOSE') == '1' else []) + (['-e', '/tmp'] if windows else [])
    told = dict(passed_on, TMPDIR=os.path.abspath(work), HOME=os.path.abspath(work), TWIST=twist,
                WINEPREFIX_OF_PROJECT=os.path.join(os.path.abspath(work), 'wine'))
    run = subprocess.run(box + ['sh', '-c', 'cd "$0" && exec "$@"', ROOT] + command, stdin=subprocess.DEVNULL, env=told,
                         check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    why = re.search(rb'limit of (\w+: .*)', run.stderr)
    return run.returncode, run.stdout.decode('utf-8', 'replace'), why[1].decode() if why else None


def must_be_confined(build, unseen):
    """Asked once, before any answer has run: what an answer ends with says nothing about the box."""
    work = os.path.join(build, 'grading', 'empty')
    os.makedirs(work, exist_ok=True)
    os.chmod(work, 0o777)  # inside the box root is somebody else
    status, said, _ = confined(build, work, ['true'], '60', unseen)
    remove(work)
    if status == NOT_CONFINED:
        sys.exit('grade: %s\nWhere there are no namespaces, LOOSE=1 grades with limits alone: only for answers that '
                 'you trust.' % said.strip())


def answer_of(said):
    """What the grader has said, or None when it is not whole."""
    try:
        answer = json.loads(said)
        return answer if isinstance(answer['points'], int) and isinstance(answer['rows'], list) else None
    except (ValueError, KeyError, TypeError):
        return None


def twist_of(number, student):
    """What is asked of this student alone, where SEEDS=1 says so; else ''."""
    if os.environ.get('SEEDS') != '1':
        return ''
    return subprocess.run(['sh', 'tools/exercise.sh', 'twist', number, student], check=True,
                          stdout=subprocess.PIPE).stdout.decode().strip()


def grade_one(build, work, source, number, folder, unseen, twist):
    """One answer to one exercise."""
    of = points_of(folder)
    result = {'exercise': number, 'points': 0, 'of': of, 'verdict': 'graded'}
    if twist:
        result['twist'] = twist
    remove(work)
    os.makedirs(work, exist_ok=True)
    os.chmod(work, 0o777)  # inside the box root is somebody else
    if os.path.islink(source) or not os.path.isfile(source) or os.path.getsize(source) > SOURCE_MAX:
        return dict(result, verdict='no source', said='it is no plain file of less than a mebibyte')
    windows = is_for_windows(folder)
    if windows and why_no_windows():
        return dict(result, verdict='not graded', said=why_no_windows())
    shutil.copyfile(source, os.path.join(work, 'answer.c'))
    program = os.path.join(work, 'answer')
    status, said, why = confined(build, work, ['sh', 'tools/exercise.sh', 'build', number, program + '.c', program],
                                 limit('SECONDS', 180), unseen)
    if status != 0:
        return dict(result, verdict='stopped' if why else 'does not compile', said=why or said[:2000])
    command = [os.path.join(build, 'tests', 'grade'), '--json', folder, number, program]
    if windows:
        command = ['sh', '-c', 'sh chapters/06_iocp/wine.sh --start >/dev/null 2>&1; exec "$@"', 'sh'] + command
    status, said, why = confined(build, work, command, limit('SECONDS', 180), unseen, twist, windows)
    answer = answer_of(said)
    if status == STOPPED or answer is None:
        return dict(result, verdict='stopped', said=why or 'the grader was ended: status %d' % status)
    return dict(result, points=max(0, min(of, answer['points'])), rows=answer['rows'])


def students_of(folder):
    return sorted(n for n in os.listdir(folder) if os.path.isdir(os.path.join(folder, n)) and not n.startswith('.'))


def answers_of(mine, known):
    """{number: [files]} of a student's folder. Of two files for an exercise, the one with the right name counts. A
    link to somebody else's folder is no folder of one's own: it hands in nothing. So does one that is shut."""
    found = {}
    for name in sorted(os.listdir(mine)) if not os.path.islink(mine) and os.access(mine, os.R_OK | os.X_OK) else []:
        match = EXERCISE.fullmatch(name)
        if match and match[1] in known:
            found.setdefault(match[1], []).append(name)
    for number, names in found.items():
        right = '%s_%s.c' % (number, re.sub(r'^ex\d+_', '', os.path.basename(known[number])))
        found[number] = [right] if right in names else names
    return found


def cell(result):
    if result is None:
        return '-'
    return {'graded': str(result['points']), 'does not compile': 'x', 'not graded': '?'}.get(result['verdict'], '!')


def table(grades, numbers):
    wide = max([len('student')] + [len(plain(g['student'])) for g in grades])
    print('\n%-*s  %s   sum' % (wide, 'student', ' '.join('%5s' % n for n in numbers)))
    for g in grades:
        by_number = {r['exercise']: r for r in g['exercises']}
        print('%-*s  %s %5d' % (wide, plain(g['student']), ' '.join('%5s' % cell(by_number.get(n)) for n in numbers), g['points']))


def tell(student, result):
    lines = result.get('said', '').strip().split('\n')
    said = next((line for line in lines if 'error: ' in line), lines[0])
    said = ': ' + plain(said) if said else ''
    print('%s  %s  %d of %d  %s%s' % (plain(student), result['exercise'], result['points'], result['of'],
                                      result['verdict'], said), flush=True)


def grade_student(build, folder, index, student, known, unseen):
    """The results of one student; he is the index-th."""
    results = []
    for number, names in sorted(answers_of(os.path.join(folder, student), known).items()):
        if len(names) > 1:
            result = {'exercise': number, 'points': 0, 'of': points_of(known[number]), 'verdict': 'no source',
                      'said': 'there is more than one: ' + ', '.join(names)}
        else:
            work = os.path.join(build, 'grading', '%04d' % index, number)
            result = grade_one(build, work, os.path.join(folder, student, names[0]), number, known[number], unseen,
                               twist_of(number, student))
            remove(work)
        results.append(result)
        tell(student, result)
    return {'student': student, 'points': sum(r['points'] for r in results), 'exercises': results}


def grade_all(build, folder):
    known, unseen = exercises(), hidden(folder)
    must_be_confined(build, unseen)
    return [grade_student(build, folder, index, student, known, unseen)
            for index, student in enumerate(students_of(folder))]


def main(words):
    if len(words) not in (2, 3) or words[0].startswith('-'):
        print(__doc__)
        return 2
    build, folder = words[0], os.path.abspath(words[1])
    out = os.path.abspath(words[2]) if len(words) == 3 and words[2] else None
    if not words[1] or not os.path.isdir(folder):
        print('grade: DIR=%s is no folder: give one that holds a folder for each student' % words[1], file=sys.stderr)
        return 2
    os.chdir(ROOT)
    if os.path.commonpath([ROOT, os.path.realpath(folder)]) == os.path.realpath(folder):
        print('grade: DIR=%s holds this course, too: give a folder of its own' % words[1], file=sys.stderr)
        return 2
    grades = grade_all(build, folder)
    table(grades, sorted({r['exercise'] for g in grades for r in g['exercises']}))
    if out:
        with open(out, 'w', encoding='utf-8') as file:
            json.dump(grades, file, indent=2)
            file.write('\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
