"""mutate: small wrong versions of a C source, each with one change, found in clang's own syntax tree.

A *mutant* is the source with one mistake of the kind that people make:

    < becomes <=, == becomes != ...      a relation
    + becomes -, & becomes | ...         an operator, also in an assignment
    && becomes ||                        logic; and a ! or a - that is missing
    negated: n > 0                       the condition of an if, a loop or a ?:
    removed: s->left = 0                 a statement that is not there
    0 becomes 1, true becomes false      a constant that is off by one

Text alone does not tell a product from a pointer, so the compiler is asked. What comes out of a macro is left
alone: above all assert(), which is to fail, not to be wrong. Code outside of functions is left alone, too.
"""
import json
import re
import subprocess
from collections import Counter

SWAPS = {'<': '<=', '<=': '<', '>': '>=', '>=': '>', '==': '!=', '!=': '==', '&&': '||', '||': '&&',
         '+': '-', '-': '+', '*': '/', '/': '*', '%': '*', '<<': '>>', '>>': '<<', '&': '|', '|': '&', '^': '|',
         '+=': '-=', '-=': '+=', '*=': '/=', '/=': '*=', '|=': '&=', '&=': '|=', '++': '--', '--': '++',
         'true': 'false', 'false': 'true'}
REMOVABLE = ('CallExpr', 'CompoundAssignOperator', 'CStyleCastExpr', 'BreakStmt', 'ContinueStmt')
# Which of a node's parts are statements that may be removed, and which one is a condition.
STATEMENTS = {'CompoundStmt': slice(None), 'IfStmt': slice(1, None), 'ForStmt': slice(4, None),
              'WhileStmt': slice(-1, None), 'DoStmt': slice(0, 1), 'CaseStmt': slice(-1, None)}
CONDITION = {'IfStmt': 0, 'WhileStmt': 0, 'DoStmt': 1, 'ForStmt': 2, 'ConditionalOperator': 0}
NUMBER = re.compile(r'(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)$')


class Mutant:
    """The bytes from start to end replaced by `new`. Its function and its name tell people which one it is."""

    def __init__(self, source, function, start, end, new, change):
        self.start, self.end, self.new, self.function = start, end, new, function
        self.line = source.count('\n', 0, start) + 1
        text = re.sub(r'\s*/\*.*', '', source.split('\n')[self.line - 1].strip())
        # A removed statement and a condition say by themselves where they stood.
        self.name = change if ': ' in change else '%s: %s' % (change, text)

    def of(self, source):
        # The lines keep their numbers: assert() has them in the program.
        lines = source.count('\n', self.start, self.end) - self.new.count('\n')
        return source[:self.start] + self.new + '\n' * lines + source[self.end:]


def squeezed(text):
    return ' '.join(text.split())


# ---- where a node of the tree stands in the text -------------------------------------------------

def token(source, point):
    """(start, end, is it from a macro) of one end of a range; None when it is nowhere."""
    where = point.get('expansionLoc', point)
    if 'offset' not in where:
        return None
    start = where['offset']
    end = start + where['tokLen']
    from_macro = 'expansionLoc' in point
    if from_macro and re.match(r'\s*\(', source[end:]):  # a macro with arguments: up to its last bracket
        depth, end = 1, source.index('(', end) + 1
        while depth:
            depth += {'(': 1, ')': -1}.get(source[end], 0)
            end += 1
    return start, end, from_macro


def span(source, node):
    """(start, end, is all of it out of one macro), or None."""
    ends = node.get('range', {})
    first, last = token(source, ends.get('begin', {})), token(source, ends.get('end', {}))
    if first is None or last is None:
        return None
    return first[0], last[1], first[2] and last[2] and first[0] == last[0]


# ---- what can be wrong with one node -------------------------------------------------------------

def bare(node):
    """The node without brackets and what the compiler adds around it."""
    while node.get('kind') in ('ParenExpr', 'ImplicitCastExpr', 'ConstantExpr'):
        node = node['inner'][0]
    return node


def wrong_operator(source, node):
    left, right = (span(source, part) for part in node['inner'])
    if node['opcode'] not in SWAPS or left is None or right is None:
        return
    at = source.find(node['opcode'], left[1], right[0])
    if at >= 0:
        new = SWAPS[node['opcode']]
        yield at, at + len(node['opcode']), new, '%s becomes %s' % (node['opcode'], new)


def wrong_unary(source, node):
    start, end, _ = span(source, node)
    sign = node['opcode']
    if sign in ('++', '--'):
        at = end - 2 if node.get('isPostfix') else start
        yield at, at + 2, SWAPS[sign], '%s becomes %s' % (sign, SWAPS[sign])
    elif sign in ('!', '-', '~'):
        yield start, start + 1, '', '%s is missing' % sign


def wrong_constant(source, node):
    start, end, _ = span(source, node)
    text = source[start:end]
    number = NUMBER.match(text)
    if text in ('true', 'false'):
        yield start, end, SWAPS[text], '%s becomes %s' % (text, SWAPS[text])
    elif number:
        for value in [int(number[1], 0) + 1] + [0] * (int(number[1], 0) == 1):
            yield start, end, '%d%s' % (value, number[2]), '%s becomes %d%s' % (text, value, number[2])


def wrong_condition(source, node):
    """Negated, where the change of a single operator does not come to the same."""
    inner = bare(node)
    where = span(source, node)
    if not where or inner.get('opcode') in ('==', '!=', '!'):
        return
    text = source[where[0]:where[1]]
    yield where[0], where[1], '!(%s)' % text, 'negated: ' + squeezed(text)


def removed(source, node):
    kind, where = node.get('kind'), span(source, node)
    removable = kind in REMOVABLE or (kind == 'ReturnStmt' and not node.get('inner')) or \
        (kind == 'BinaryOperator' and node['opcode'] == '=') or \
        (kind == 'UnaryOperator' and node['opcode'] in ('++', '--'))
    if removable and where and not where[2]:
        yield where[0], where[1], '', 'removed: ' + squeezed(source[where[0]:where[1]])


OWN = {'BinaryOperator': wrong_operator, 'CompoundAssignOperator': wrong_operator,
       'UnaryOperator': wrong_unary, 'IntegerLiteral': wrong_constant}


def changes(source, node):
    """All of a function's, in the order of the tree."""
    kind, where, parts = node.get('kind'), span(source, node), node.get('inner', [])
    if where and where[2] and source[where[0]:where[1]] not in ('true', 'false'):
        return
    if kind in OWN and where:
        yield from OWN[kind](source, node)
    if kind in CONDITION and len(parts) > CONDITION[kind]:
        yield from wrong_condition(source, parts[CONDITION[kind]])
    for part in parts[STATEMENTS.get(kind, slice(0, 0))]:
        yield from removed(source, part)
    for part in parts:
        yield from changes(source, part)


# ---- a whole source ------------------------------------------------------------------------------

def mutants(path, flags, folder):
    """(the source's text, its mutants); `flags` are the compiler's, as they count in `folder`."""
    with open(path, encoding='latin-1', newline='') as file:  # the tree counts bytes
        source = file.read()
    said = subprocess.run(['clang', '-fsyntax-only', '-w', '-Xclang', '-ast-dump=json', *flags, path],
                          cwd=folder, stdout=subprocess.PIPE, check=True).stdout
    found, seen, named = [], set(), Counter()
    for declaration in json.loads(said)['inner']:
        if declaration['kind'] != 'FunctionDecl' or 'offset' not in declaration['loc'] or \
                'includedFrom' in declaration['loc']:
            continue
        for start, end, new, change in changes(source, declaration):
            if (start, end, new) not in seen:
                seen.add((start, end, new))
                mutant = Mutant(source, declaration['name'], start, end, new, change)
                named[mutant.function, mutant.name] += 1
                if named[mutant.function, mutant.name] > 1:  # the same once more in one line
                    mutant.name += ' (%d)' % named[mutant.function, mutant.name]
                found.append(mutant)
    return source, found
