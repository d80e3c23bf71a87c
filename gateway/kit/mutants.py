"""Small changes to a module's code, one at a time: what a tired hand would do to a table, a comparison or a branch."""

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Final

#: Calls whose arguments are no rules of the connector: words for people, patterns, declarations.
_LEFT_ALONE: Final = frozenset(
    {
        "Connector",
        "Capabilities",
        "Limits",
        "MediaRule",
        "Window",
        "Meta",
        "TypeVar",
        "compile",
        "sub",
        "fullmatch",
        "match",
        "search",
        "NamedTuple",
    }
)
_OTHER: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_CHANGED: Final = "kit_mutant"


@dataclass(frozen=True, slots=True)
class _Change:
    """What is done to the node with this number."""

    node: int
    line: int
    words: str
    how: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed module."""

    module: str
    line: int
    #: In words, for the author.
    change: str
    #: The function or table that it is in.
    group: str
    #: The module as it is, and what is done to it.
    _before: ast.Module
    _change: _Change

    @property
    def tree(self) -> ast.Module:
        """The changed module; made only when it is asked for: few of a large connector's are."""
        copy = deepcopy(self._before)
        _apply(list(ast.walk(copy))[self._change.node], self._change.how)
        return ast.fix_missing_locations(copy)


def mutants_of(module: str, source: str, skipped: frozenset[str], used: frozenset[str]) -> list[Mutant]:
    """All changes of what is ``used`` in one module; classes called as in ``skipped`` are left alone."""
    tree = ast.parse(source)
    groups = {number: name for name, first, last in _spans(tree) for number in range(first, last + 1)}
    return [
        Mutant(module, change.line, change.words, groups.get(change.line, ""), tree, change) for change in _changes(tree, skipped, used)
    ]


def chosen(made: list[Mutant], most: int) -> list[Mutant]:
    """Up to ``most``, from each function and table as many as from the others: a long table must not hide the rest. Always the same."""
    piles: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in made:
        piles.setdefault((mutant.module, mutant.group), []).append(mutant)
    random = Random(4711)  # noqa: S311
    waiting = [random.sample(pile, len(pile)) for pile in piles.values()]
    taken: list[Mutant] = []
    while waiting and len(taken) < most:
        random.shuffle(waiting)
        taken += [pile.pop() for pile in waiting[: most - len(taken)]]
        waiting = [pile for pile in waiting if pile]
    return taken


def _spans(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of each statement of the module, and within it of each function, the outer ones first."""
    for statement in tree.body:
        yield f"line {statement.lineno}", statement.lineno, statement.end_lineno or statement.lineno
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef):
                yield f"{node.name} {node.lineno}", node.lineno, node.end_lineno or node.lineno


def used_names(sources: list[str], first: set[str]) -> frozenset[str]:
    """Names of what the functions ``first`` need, in any of the modules, and what that needs in turn."""
    needs: dict[str, set[str]] = {}
    for source in sources:
        for statement in ast.parse(source).body:
            words = {_name(node) for node in ast.walk(statement)} - {""}
            for name in _defined(statement):
                needs.setdefault(name, set()).update(words)
    found, waiting = set(first), list(first)
    while waiting:
        fresh = needs.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return frozenset(found)


def _defined(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.Assign(targets=targets):
            yield from (_name(inner) for target in targets for inner in ast.walk(target) if _name(inner))


def _changes(tree: ast.Module, skipped: frozenset[str], used: frozenset[str]) -> Iterator[_Change]:
    unused = [statement for statement in tree.body if not used & set(_defined(statement))]
    left = {id(inner) for node in [*_untouched(tree, skipped), *unused] for inner in ast.walk(node)}
    listed = {id(one) for node in ast.walk(tree) if _is_list(node) for one in ast.iter_child_nodes(node)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in left:
            line = getattr(node, "lineno", 0)
            # One that is missing in a list, and one that is spelt wrong, are the same mistake.
            yield from (_Change(number, line, words, how) for words, how in _of(node) if how != "text" or id(node) not in listed)


def _untouched(tree: ast.Module, skipped: frozenset[str]) -> Iterator[ast.AST]:
    """What a change would not make wrong: texts for people, types, declarations, endless loops."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise() | ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Slice() | ast.Expr(value=ast.Constant()):
                yield node
            case ast.While(test=inner) | ast.AnnAssign(annotation=inner) | ast.arg(annotation=ast.expr() as inner):
                yield inner
            case ast.FunctionDef(returns=ast.expr() as inner):
                yield inner
            case ast.ClassDef(name=name):
                yield from [node] if name in skipped else _declared(node)
            case ast.Call(func=function, keywords=keywords):
                yield from [node] if _name(function) in _LEFT_ALONE else []
                yield from (keyword.value for keyword in keywords if keyword.arg == "detail")
            case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.Subscript(value=ast.Name(id="Annotated")):
                yield node


def _declared(node: ast.ClassDef) -> Iterator[ast.AST]:
    """How a class is made, and what its fields are when nothing is said."""
    yield from (keyword.value for keyword in node.keywords)
    yield from (field.value for field in node.body if isinstance(field, ast.AnnAssign) and field.value is not None)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_list(node: ast.AST) -> bool:
    """A table of plain values?"""
    return (
        isinstance(node, ast.Set | ast.Tuple | ast.List) and len(node.elts) > 1 and all(isinstance(one, ast.Constant) for one in node.elts)
    )


def _of(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(in words, how) for each change of one node."""
    yield from _of_table(node)
    match node:
        case ast.Compare(ops=[op], comparators=[_]) if type(op) in _OTHER:
            yield f"{ast.unparse(node)[:60]} is turned round", "turn"
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare):
            yield f"if {ast.unparse(test)[:60]} is turned round", "not"
        case ast.MatchValue(value=value):
            yield f"case {ast.unparse(value)[:60]} never happens", "case"
        case ast.BoolOp(op=op):
            yield f"{ast.unparse(node)[:60]} with {'or' if isinstance(op, ast.And) else 'and'}", "bool"
        case ast.Constant(value=bool() as value):
            yield f"{value} is {not value}", "bool"
        case ast.Constant(value=int() | float() as number):
            yield f"{number} is {number + 1}", "more"
        case ast.Constant(value=str() as text) if text:
            yield f"{text[:40]!r} is {_CHANGED!r}", "text"


def _of_table(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Dict(keys=keys, values=values):
            for index, key in enumerate(keys):
                if key is not None and len(keys) > 1:
                    yield f"the entry {ast.unparse(key)[:40]} of a table is gone", f"drop {index}"
            if len({ast.dump(value) for value in values}) > 1:
                yield "the first two different values of a table are swapped", "swap"
        case ast.Set(elts=ones) | ast.Tuple(elts=ones) | ast.List(elts=ones) if _is_list(node):
            yield from ((f"{ast.unparse(one)[:40]} is not in its list", f"without {index}") for index, one in enumerate(ones))
        case ast.MatchOr(patterns=patterns):
            yield from ((f"{ast.unparse(one)[:40]} is not in its case", f"without {index}") for index, one in enumerate(patterns))


def _apply(node: ast.AST, how: str) -> None:
    what, _, index = how.partition(" ")
    if what in {"drop", "swap", "without"}:
        _apply_to_table(node, what, int(index or 0))
        return
    match what, node:
        case "turn", ast.Compare():
            node.ops = [_OTHER[type(node.ops[0])]()]
        case "not", ast.If() | ast.IfExp():
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        case "case", ast.MatchValue():
            node.value = ast.Constant(_CHANGED)
        case "bool", ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case "bool", ast.Constant():
            node.value = not node.value
        case "more", ast.Constant(value=int() | float() as number):
            node.value = number + 1
        case "text", ast.Constant():
            node.value = _CHANGED


def _apply_to_table(node: ast.AST, what: str, index: int) -> None:
    match what, node:
        case "drop", ast.Dict():
            del node.keys[index], node.values[index]
        case "swap", ast.Dict(values=values):
            other = next(place for place, value in enumerate(values) if ast.dump(value) != ast.dump(values[0]))
            values[0], values[other] = values[other], values[0]
        case "without", ast.Set() | ast.Tuple() | ast.List():
            del node.elts[index]
        case "without", ast.MatchOr():
            del node.patterns[index]
            # One alternative alone is no alternative; said twice it is.
            node.patterns += [deepcopy(node.patterns[0])] if len(node.patterns) == 1 else []
