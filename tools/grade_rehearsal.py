#!/usr/bin/env python3
"""grade_rehearsal: does grading keep what docs/teaching.md promises, whatever is handed in?

usage: grade_rehearsal.py BUILD [COPIES]      make grade-rehearsal [COPIES=60]

Makes a folder of COPIES (60) students who have handed in a copy each: solutions, beginnings and answers that look right,
of all exercises that can be built here; and those who mean harm or had bad luck, one of each kind below. Grades the folder
as a teacher does, and looks at all that came of it:

    - each copy has the verdict and the points that it deserves, row by row, in the JSON
    - the table has a line for each student, and the same points
    - nothing that an answer has started still runs, and nothing outside its folder was changed
    - it took 30 minutes at most, for 60 copies; times TEST_SLOWDOWN, as all limits here

With fewer than 60 the cheap ones are taken, the bombs are small, and two exercises have to do: that is what the tests run. A
row may come out by luck, where two things must meet and the machine is busy: of the rows that an answer must break one is
enough, and what surprises is told, and graded alone, twice at most. Status: 0 when all of it is right.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import grade

ALL, MOST_MINUTES, CHANCES = 60, 30, 3
MARK = str(1000000 + os.getpid())  # nobody else sleeps as long as that
CHEAP = ('02.4', '05.3')  # programs that end by themselves: seconds, not a minute


class Copy:
    """What a student hands in, and what must come of it."""

    def __init__(self, name, number, text=None, points=None, verdict=('graded',), red=(), make=None):
        self.name, self.number, self.text, self.make = name, number, text, make
        self.points, self.verdict, self.red = points, verdict, red  # points None: whatever the rows say


# ---- those who mean well --------------------------------------------------------------------------

def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def reds_of(folder, file):
    return re.findall(r'^red %s (\S+)$' % re.escape(file), read(folder, 'rows'), re.M)


def can_be_built(build, number):
    return os.path.exists(os.path.join(build, 'tests', 'grade')) and subprocess.run(
        ['sh', 'tools/exercise.sh', 'can_build', number], check=False).returncode == 0


def honest(numbers, folders, count):
    """Solutions, beginnings, answers that look right, by turns, of one exercise after the other."""
    files, found = ('solution.c', 'start.c', 'looks_right.c'), []
    for turn in range(len(files)):
        for place, number in enumerate(numbers):
            file = files[(turn + place) % len(files)]
            text = read(folders[number], file)
            if grade.is_for_windows(folders[number]) and grade.why_no_windows():
                found.append(Copy('%s %s' % (number, file[:-2]), number, text, 0, ('not graded',)))
                continue
            found.append(Copy('%s %s' % (number, file[:-2]), number, text,
                              grade.points_of(folders[number]) if file == 'solution.c' else None,
                              red=reds_of(folders[number], file)))
    return found[:count]


# ---- the others -----------------------------------------------------------------------------------

INCLUDES = '''#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
'''
STOPPED, NOT_BUILT, NO_SOURCE = ('stopped',), ('does not compile',), ('no source',)


def program(body):
    return INCLUDES + 'int main(void)\n{\n' + body + '\n}\n'


def before(text, body):
    """A right answer that does something else before its main()."""
    return INCLUDES + '__attribute__((constructor)) static void first(void)\n{\n' + body + '\n}\n' + text


def bomb(small):
    """Never more than twenty in the tests: they must be harmless when the box is broken."""
    if small:
        return program('    for (int i = 0; i < 20; i++)\n        if (fork() == 0)\n            pause();\n    pause();')
    return program('    for (;;)\n        (void)fork();')


def deep_folders():
    return program('    for (int i = 0; i < 3000 && mkdir("x", 0700) == 0 && chdir("x") == 0; i++)\n        ;\n'
                   '    (void)chmod(".", 0);')


def writes(paths):
    return program(''.join('    (void)!write(open("%s", O_WRONLY | O_CREAT | O_APPEND, 0666), "x", 1);\n'
                           '    (void)unlink("%s");\n' % (p, p) for p in paths))


def hostile(top, where, solution, number, small):
    """One of each kind; first those that the tests run, then the cheap ones."""
    mine = os.path.basename(mine_of(number))
    neighbour = os.path.join(where, 'ann', mine)
    kinds = [
        Copy('bomb', number, bomb(small), 0, STOPPED if small else ('graded', 'stopped')),
        Copy('kills its group', number, program('    kill(-1, SIGKILL);\n    kill(getppid(), SIGKILL);\n'
                                                '    kill(0, SIGKILL);'), 0, STOPPED),
        Copy('reads the solution', number, '#include "%s/%s/solution.c"\n' % (top, grade.exercises()[number]), 0, NOT_BUILT),
        Copy('reads the next one', number, '#include "%s"\n' % neighbour, 0, NOT_BUILT),
        Copy('link', number, None, 0, NO_SOURCE, make=lambda path: os.symlink(neighbour, path)),
        Copy('line\nbreak \x1b[2J', number, solution, grade.points_of(grade.exercises()[number])),
        Copy('no C', number, 'int main(void) { return x; }\n', 0, NOT_BUILT),
        Copy('folder for a file', number, None, 0, NO_SOURCE, make=os.mkdir),
        Copy('writes outside', number, writes([os.path.join(top, 'README.md'), neighbour, '/tmp/grade_rehearsal']), 0),
        Copy('colours', number, '#error "\x1b[2J\x1b[31m"\n', 0, NOT_BUILT),
        Copy('empty', number, '', 0, NOT_BUILT),
        Copy('leaves somebody', number, before(solution, '    if (fork() == 0 && setsid() >= 0 && fork() == 0)\n        '
                                               'execlp("sleep", "sleep", "%s", (char *)NULL);' % MARK)),
    ]
    kinds += [] if small else [
        Copy('endless loop', '01.1', program('    for (;;)\n        ;'), 0, ('graded', 'stopped')),
        Copy('floods stdout', '01.1', program('    for (;;)\n        puts("flood");'), 0, ('graded', 'stopped')),
        Copy('floods beside serving', '01.1', before(read(grade.exercises()['01.1'], 'solution.c'), flooder()),
             verdict=('graded', 'stopped')),
        Copy('eats memory', number, program('    for (char *p; (p = malloc(1 << 20)) != NULL;)\n'
                                            '        memset(p, 1, 1 << 20);'), 0, ('graded', 'stopped')),
        Copy('deep folders', number, deep_folders(), 0),
        Copy('includes without end', number, '#include "/dev/zero"\n', 0, ('does not compile', 'stopped')),
        Copy('includes itself', number, '#include __FILE__\n#include __FILE__\n', 0, ('does not compile', 'stopped')),
        Copy('pipe for a file', number, None, 0, NO_SOURCE, make=os.mkfifo),
        Copy('two files', number, None, 0, NO_SOURCE, make=lambda path: [
            shutil.copy(neighbour, os.path.join(os.path.dirname(path), number + '_%s.c' % word)) for word in 'ab']),
        Copy('too long', number, '/' * ((1 << 20) + 1), 0, NO_SOURCE),
        Copy('name with blanks', number, None, None, (), make=lambda path: shutil.copy(
            neighbour, os.path.join(os.path.dirname(path), number + '_all of\nit.c'))),
    ]
    return kinds


def flooder():
    """A thread that prints for ever, begun a moment after the first line."""
    return ('    if (fork() != 0)\n        return; /* the server */\n    for (;;)\n        (void)!write(1, "flood\\n", 6);')


# ---- the folder -----------------------------------------------------------------------------------

def mine_of(number):
    return 'mine/%s_%s.c' % (number, re.sub(r'^ex\d+_', '', os.path.basename(grade.exercises()[number])))


def write_all(where, copies):
    shutil.rmtree(where, ignore_errors=True)
    for copy in copies:
        folder = os.path.join(where, copy.name)
        path = os.path.join(folder, os.path.basename(mine_of(copy.number)))
        os.makedirs(folder)
        if copy.make is not None:
            copy.make(path)
            continue
        with open(path, 'w', encoding='utf-8') as file:
            file.write(copy.text)


def copies_of(build, top, where, count):
    folders, small = grade.exercises(), count < ALL
    numbers = [n for n in sorted(folders) if (not small or n in CHEAP) and can_be_built(build, n)]
    number = numbers[0] if small else '02.4'
    solution = read(folders[number], 'solution.c')
    ann = Copy('ann', number, solution, grade.points_of(folders[number]))
    bad = hostile(top, where, solution, number, small)
    good = honest(numbers, folders, max(0, count - len(bad) - 1))
    return ([ann] + bad + good)[:max(count, 2)]


# ---- judging --------------------------------------------------------------------------------------

def wrong_with(copy, result):
    """What is not as it must be, in words; '' when all is right."""
    if result is None:
        return '' if not copy.verdict else 'was not graded'
    if result['verdict'] not in copy.verdict:
        return 'is "%s", and must be "%s": %s' % (result['verdict'], '" or "'.join(copy.verdict), result.get('said', ''))
    if result['points'] != sum(row['points'] for row in result.get('rows', [])):
        return 'the points are not the sum of the rows'
    if copy.points is not None and result['points'] != copy.points:
        red = ['%s (%s)' % (row['row'], row['came_back']) for row in result.get('rows', []) if row['verdict'] == 'red']
        return 'has %d points, and must have %d: %s' % (result['points'], copy.points, ', '.join(red))
    about = [row for row in result.get('rows', []) if row['row'] in copy.red and row['verdict'] != 'skipped']
    held = [row['row'] for row in about if row['verdict'] == 'holds']
    return 'holds %s, and must not' % ', '.join(held) if about and len(held) == len(about) else ''


def graded(build, where, out):
    """What make grade runs: its table in lines, and its JSON."""
    run = subprocess.run([sys.executable, 'tools/grade.py', build, where, out], check=False, stdout=subprocess.PIPE)
    if run.returncode != 0:
        sys.exit('grade_rehearsal: grading ended with status %d' % run.returncode)
    with open(out, encoding='utf-8') as file:
        return run.stdout.decode('utf-8').split('\n'), json.load(file)


def result_of(student):
    return student['exercises'][0] if student['exercises'] else None


def wrong_in_the_table(lines, grades):
    """Each student has one line in it, with the same cells as the JSON."""
    head = [i for i, line in enumerate(lines) if line.startswith('student ')]
    if len(head) != 1:
        return ['there is no table']
    numbers = lines[head[0]].split()[1:-1]
    rows, wrong = [line for line in lines[head[0] + 1:] if line], []
    for student, line in zip(grades, rows):
        result = result_of(student)
        cells = [grade.cell(result if result and result['exercise'] == n else None) for n in numbers]
        want = grade.plain(student['student']).split() + cells + [str(student['points'])]
        if line.split() != want:
            wrong.append('the table says: %s; and should say: %s' % (line, ' '.join(want)))
    return wrong if len(rows) == len(grades) else wrong + ['%d lines for %d students' % (len(rows), len(grades))]


def left_behind(build):
    """The answers that still run, and what they have started."""
    found, answers = [], os.path.abspath(os.path.join(build, 'grading')) + os.sep
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            program = os.readlink('/proc/%s/exe' % pid)
            with open('/proc/%s/cmdline' % pid, 'rb') as file:
                words = file.read().decode('utf-8', 'replace').split('\0')
        except OSError:
            continue  # a part of the kernel, or it has just ended
        if words[1:2] == [MARK] or program.startswith(answers):
            found.append(' '.join(words).strip())
    return found


def wrong_again(build, alone, copy):
    """The same, graded alone, as often as it is wrong: three CHANCES in all, as in tests/test_exercises.c."""
    for _ in range(CHANCES - 1):
        write_all(alone, [copy])
        why = wrong_with(copy, result_of(graded(build, alone, os.path.join(build, 'grade_again.json'))[1][0]))
        shutil.rmtree(alone, ignore_errors=True)
        if not why:
            break
    return why


def judge(build, where, copies, grades):
    """All that is wrong; what surprises is graded alone once more."""
    by_name, wrong, surprises = {g['student']: g for g in grades}, [], []
    if sorted(by_name) != sorted(copy.name for copy in copies):
        return ['the students are not those who have handed in']
    for copy in copies:
        why = wrong_with(copy, result_of(by_name[copy.name]))
        if why and result_of(by_name[copy.name]) is not None:
            print('# once more: %s: %s' % (grade.plain(copy.name), grade.plain(why)))
            surprises.append(copy)
        elif why:
            wrong.append('%s %s' % (copy.name, why))
    for copy in surprises:
        why = wrong_again(build, where + '_again', copy)
        wrong += ['%s %s' % (copy.name, why)] if why else []
    return wrong


def slowdown():
    return float(os.environ.get('TEST_SLOWDOWN') or 1)


def main(words):
    if not 1 <= len(words) <= 2 or words[0].startswith('-'):
        print(__doc__)
        return 2
    os.chdir(grade.ROOT)
    build, count = words[0], int(words[1]) if words[1:] and words[1].isdigit() else ALL
    where = os.path.abspath(os.path.join(build, 'grade_rehearsal'))
    copies = copies_of(build, grade.ROOT, where, count)
    os.environ.setdefault('SECONDS', str(round(180 * slowdown())))
    os.environ.setdefault('CPU', str(round(60 * slowdown())))
    if count < ALL:
        os.environ['PROCESSES'] = '20'
    write_all(where, copies)
    unharmed = read('README.md'), read(where, 'ann', os.path.basename(mine_of(copies[0].number)))
    began = time.monotonic()
    lines, grades = graded(build, where, os.path.join(build, 'grade_rehearsal.json'))
    minutes = (time.monotonic() - began) / 60
    print('\n'.join(lines))
    wrong = ['%s is left' % one for one in left_behind(build)] + wrong_in_the_table(lines, grades)
    if (read('README.md'), read(where, 'ann', os.path.basename(mine_of(copies[0].number)))) != unharmed:
        wrong.append('a file outside of the box was changed')
    wrong += judge(build, where, copies, grades)
    if minutes > MOST_MINUTES * slowdown():
        wrong.append('it took %.0f minutes, and %d is what it may take' % (minutes, MOST_MINUTES))
    for one in wrong:
        print('WRONG: %s' % grade.plain(one))
    print('%d copies in %.1f minutes, %d wrong' % (len(copies), minutes, len(wrong)))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
