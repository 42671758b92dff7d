"""Picks from a notebook the statements that one function needs; everything else in it is never run.

A cell that does not parse, loops for ever or prints gigabytes therefore costs only the exercises that depend on it. The
compiler itself says which names a statement reads and binds, so scopes are right by construction.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import dataclasses
import dis
import re
import types
import warnings

MAX_CELL = 200_000  # characters; the longest cell of a lesson has a few thousand
_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|\S.*\?\s*)$")
_ASSIGNED_MAGIC = re.compile(r"^(\s*[\w.]+\s*=\s*)[%!].*$")


@dataclasses.dataclass
class Statement:
    """One top-level statement: its code, and what it has to do with names."""

    cell: int
    code: types.CodeType
    binds: set[str]
    reads: set[str]
    changes: set[str]  # names whose object it changes in place: `table[k] = v`, `table.append(v)`
    is_import: bool
    is_star: bool = False
    modules: tuple[str, ...] = ()  # that it imports, also inside functions


def read_statements(cells: list[str]) -> tuple[list[Statement], list[str]]:
    """Parses each cell; never runs one.

    Args:
        cells: Source of the code cells, in the notebook's order.

    Returns:
        The statements of the cells that parse, and a note on each cell that does not.
    """
    statements, notes, flags = [], [], 0
    for number, source in enumerate(cells, start=1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for node in _parse(source).body:
                    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                        flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
                    statements.append(_statement(node, number, flags))
        except (SyntaxError, ValueError, RecursionError, MemoryError, AttributeError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            notes.append(f"code cell {number} is not valid Python{line} and was left out")
    return statements, notes


def _parse(source: str) -> ast.Module:
    if len(source) > MAX_CELL:
        raise ValueError("cell too long")
    try:
        return ast.parse(source)
    except SyntaxError as error:
        # IPython's own translation would cost each child 0.3 s; what a magic does is never needed here.
        lines = [_ASSIGNED_MAGIC.sub(r"\1None", line) for line in source.split("\n")]
        plain = "\n".join(_MAGIC.sub(r"\1pass", line) for line in lines)
        if plain == source:
            raise
        try:
            return ast.parse(plain)
        except SyntaxError:
            raise error from None


def _statement(node: ast.stmt, cell: int, flags: int) -> Statement:
    module = ast.Module(body=[node], type_ignores=[])
    code = compile(module, f"<cell {cell}>", "exec", flags=flags, dont_inherit=True)
    binds, reads, is_star = set(), set(), False
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_NAME", "STORE_GLOBAL"):
            binds.add(instruction.argval)
        elif instruction.opname == "LOAD_NAME":
            reads.add(instruction.argval)
        is_star |= instruction.opname == "IMPORT_STAR"
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    while inner:
        scope = inner.pop()
        inner += [constant for constant in scope.co_consts if isinstance(constant, types.CodeType)]
        reads |= {i.argval for i in dis.get_instructions(scope) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    modules = []
    for part in ast.walk(node):
        match part:
            case ast.Import(names=names):
                modules += [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules.append(module)
    is_import = isinstance(node, ast.Import | ast.ImportFrom)
    return Statement(cell, code, binds, reads, _changes(node), is_import, is_star, tuple(modules))


def _changes(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set()
    roots = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript | ast.Attribute) and isinstance(part.ctx, ast.Store):
            roots.add(_root(part))
        match part:
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                roots.add(_root(method))
    return roots - {None}


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def needed_for(name: str, statements: list[Statement]) -> list[Statement]:
    """Returns, in order, the statements on which the function called `name` depends; none if nothing binds it.

    Example:
        >>> cells = ["import math", "import os", "def area(r):\\n    return math.pi * r**2", "while True: pass"]
        >>> [s.cell for s in needed_for("area", read_statements(cells)[0])]
        [1, 3]
    """
    if not any(name in statement.binds for statement in statements):
        return []
    # Changing what an import gave (np.mean = ...) would reach every other cell: such a statement is no definition.
    imported = {bound for s in statements if s.is_import for bound in s.binds}
    wanted, chosen = {name}, set()
    while True:
        more = {
            index
            for index, statement in enumerate(statements)
            if index not in chosen and (statement.binds | (statement.changes - imported)) & wanted
        }
        if not more:
            unknown = wanted - {b for s in statements for b in s.binds} - set(dir(builtins))
            more = {i for i, s in enumerate(statements) if s.is_star and unknown} - chosen
        if not more:
            return [statements[index] for index in sorted(chosen)]
        chosen |= more
        wanted |= {read for index in more for read in statements[index].reads}
