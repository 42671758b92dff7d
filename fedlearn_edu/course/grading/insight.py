"""Tells of a notebook's functions, in a limited child, which names each needs and how it looks without names."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import hashlib
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence

from fedlearn_edu.course.grading.inside.slicing import needed_for
from fedlearn_edu.course.grading.inside.statements import MAX_CELL, read_statements

STUB = "NotImplementedError"
_MAX_FUNCTIONS, _MAX_NAMES, _MAX_NAME = 100, 300, 64
_MAX_ALL_NAMES = 20_000  # of a student: what the grader keeps of everybody stays small
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_END, _END_OF_SCOPE = ">", object()
_MATCHED = (ast.MatchAs, ast.MatchStar)
# Of a node these say nothing of what it does, or are names, which stand elsewhere.
_SKIPPED = {"annotation", "returns", "type_comment", "kind", "decorator_list", "ctx", "type_params"}


@dataclasses.dataclass(frozen=True)
class Insight:
    """What is known of a notebook's functions beside their text.

    Attributes:
        uses: By function, the names on which it depends, directly or by way of others; of Python's own none but
            `STUB`, where it stands in the function itself.
        shapes: By function, a hash of it without names, comments, docstring and layout, and how many parts it has.
    """

    uses: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    shapes: Mapping[str, tuple[str, int]] = dataclasses.field(default_factory=dict)


def look_into(notebooks: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Iterator[list]:
    """Yields, in plain JSON data, [number, uses, shapes] of all notebooks of a student; call it in a limited child.

    Args:
        notebooks: The cells of each, as plain Python, and the names of its functions.
    """
    left = _MAX_ALL_NAMES
    for number, (cells, functions) in reversed(list(enumerate(notebooks))):  # the last of several counts
        uses = _uses(cells, functions)
        left -= sum(map(len, uses.values()))
        yield [number, uses if left >= 0 else {}, _shapes(cells, functions)]


def insight_of(uses: Mapping[str, Sequence[str]], shapes: Mapping[str, Sequence]) -> Insight:
    """Makes one from what `look_into` told."""
    return Insight(
        {name: frozenset(used) for name, used in uses.items()},
        {name: (digest, size) for name, (digest, size) in shapes.items()},
    )


def _uses(cells: Sequence[str], functions: Sequence[str]) -> dict[str, list[str]]:
    statements, _ = read_statements(cells)
    found = {}
    for name in sorted(functions)[:_MAX_FUNCTIONS]:
        read = {used for statement in needed_for(name, statements) for used in statement.reads} - {name}
        named = sorted(used for used in read if len(used) <= _MAX_NAME and not hasattr(builtins, used))
        is_stub = any(name in statement.binds and STUB in statement.reads for statement in statements)
        found[name] = named[:_MAX_NAMES] + [STUB] * is_stub
    return found


def _shapes(cells: Sequence[str], functions: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Of the last definition of each function, which is the one that is graded."""
    nodes, own = {}, set()
    for source in cells:
        try:
            if len(source) > MAX_CELL:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                body = ast.parse(source).body
            for node in body:
                if not isinstance(node, ast.Import | ast.ImportFrom):
                    own |= set(_bound(node, inside=False))
                if isinstance(node, _FUNCTION):
                    nodes[node.name] = node
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return {name: _shape(nodes[name], own) for name in sorted(nodes.keys() & set(functions))[:_MAX_FUNCTIONS]}


def _shape(function: ast.AST, own: set[str]) -> tuple[str, int]:
    """A hash of all but the names that are the learner's choice, and the number of parts.

    Names that stand for what was imported, attributes and keywords stay: `np.mean` and `np.sum` are two things.
    """
    scopes = [dict.fromkeys(own | set(_bound(function, inside=True)), "")]
    told, size, numbers, left = hashlib.sha256(), 0, itertools.count(), [function]
    while left:
        part = left.pop()
        if isinstance(part, ast.AST):
            size += 1
            told.update(f"<{'Assign' if _is_annotated(part) else type(part).__name__}".encode())
            left.append(_END)
            if isinstance(part, _SCOPES):
                scopes.append(dict.fromkeys(_bound_in_scope(part), ""))
                left.append(_END_OF_SCOPE)
            left += reversed(list(_fields(part)))
        elif isinstance(part, _Named):
            scope = next((scope for scope in reversed(scopes) if part.name in scope), {part.name: part.name})
            scope[part.name] = scope[part.name] or f"#{next(numbers)}"
            told.update(f" {scope[part.name]}".encode("utf-8", "replace"))
        elif part is _END_OF_SCOPE:
            scopes.pop()
        else:
            told.update(f" {part!r}".encode("utf-8", "replace"))
    return told.hexdigest(), size


def _bound_in_scope(node: ast.AST) -> Iterator[str]:
    """What a lambda or a comprehension calls as it likes, whatever is called so around it."""
    parts = [node.args] if isinstance(node, ast.Lambda) else [generator.target for generator in node.generators]
    return itertools.chain.from_iterable(_bound(part, inside=True) for part in parts)


@dataclasses.dataclass(frozen=True)
class _Named:
    name: str


def _fields(node: ast.AST) -> Iterator:
    if _is_annotated(node):
        yield from ("targets1", node.target, "value", node.value)
        return
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED:
            continue
        if field == "body" and isinstance(node, _FUNCTION) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        values = value if isinstance(value, list) else [value]
        if isinstance(value, str) and _is_name(node, field):
            values = [_Named(value)]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            values = [_Named(name) for name in value]
        yield f"{field}{len(values)}" if isinstance(value, list) else field
        yield from values


def _is_annotated(node: ast.AST) -> bool:
    """Whether it is `x: int = 1`, which does what `x = 1` does."""
    return isinstance(node, ast.AnnAssign) and node.value is not None


def _is_name(node: ast.AST, field: str) -> bool:
    return (field in ("id", "arg") and not isinstance(node, ast.keyword)) or (
        field == "name" and isinstance(node, (*_FUNCTION, ast.ClassDef, ast.ExceptHandler, *_MATCHED))
    )


def _bound(node: ast.AST, *, inside: bool) -> Iterator[str]:
    """Names that a statement binds; those that it binds in functions and classes only if `inside`."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.arg):
            yield part.arg
        elif isinstance(part, (*_FUNCTION, ast.ClassDef, ast.ExceptHandler, *_MATCHED)) and part.name:
            yield part.name
        if inside or not isinstance(part, (*_FUNCTION, ast.ClassDef, ast.Lambda)):
            left += ast.iter_child_nodes(part)
