"""Picks from a notebook the statements that one function needs; everything else in it is never run.

A cell that does not parse, loops for ever or prints gigabytes therefore costs only the exercises that depend on it. The
compiler itself says which names a statement reads and binds, so scopes are right by construction. Which objects it
changes only running it would tell: whatever it calls with a name, or on one, counts as a change.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import collections
import dataclasses
import dis
import types
import warnings
from collections.abc import Iterator, Sequence

MAX_CELL = 200_000  # characters; the longest cell of a lesson has a few thousand
_NAMED = frozenset(dis.hasname)
_IMPORT_STAR = dis.opmap["IMPORT_STAR"]
_NO_SETTINGS = {"fedlearn_edu", "matplotlib"}  # what is called there without a name shows something
# Builtins that change what they are given, or may; all others only look, and so does Jupyter's `display`.
_CHANGING = {"anext", "delattr", "eval", "exec", "next", "setattr"}
_LOOKING = {*dir(builtins), "display"} - _CHANGING


@dataclasses.dataclass
class Statement:
    """One top-level statement: its code, and what it has to do with names.

    Attributes:
        cell: Number of its code cell, from 1.
        code: Compiled; a coroutine's if it awaits something.
        binds: Names that it binds, also as globals of its functions.
        reads: Names that it reads, also in its functions.
        changes: Names whose object it changes in place: `table[k] = v`, `del table[0]`, `table.append(v)`.
        passes: Names of what it hands to something that it calls, which may change it: `shuffle(table)`.
        settles: The name on which it calls something, if that is all it does: `np.random.seed(0)`.
        imports: Names among `binds` that it imports, and from which package.
        modules: What it imports, also inside functions.
        is_star: Whether it binds whatever a module holds.
        is_definition: Whether it only makes a function, a class or a constant, or imports.
        keeps_state: Whether what it makes may be changed by calls in other statements.
    """

    cell: int
    code: types.CodeType
    binds: set[str]
    reads: set[str]
    changes: set[str]
    passes: set[str]
    settles: str | None
    imports: dict[str, str]
    modules: tuple[str, ...]
    is_star: bool
    is_definition: bool
    keeps_state: bool


def read_statements(cells: Sequence[str]) -> tuple[list[Statement], list[str]]:
    """Parses each cell; never runs one.

    Args:
        cells: Plain Python (see `grading.ipython_cells`), in the notebook's order.

    Returns:
        The statements of the cells that parse, and a note on each cell that does not.
    """
    statements, notes = [], []
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for number, source in enumerate(cells, start=1):
        try:
            if len(source) > MAX_CELL:
                raise ValueError("cell too long")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for node in ast.parse(source).body:
                    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                        flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
                    statements.append(_statement(node, number, flags))
        except (SyntaxError, ValueError, RecursionError, MemoryError, AttributeError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            notes.append(f"code cell {number} is not valid Python{line} and was left out")
    return statements, notes


def _statement(node: ast.stmt, cell: int, flags: int) -> Statement:
    module = ast.Module(body=[node], type_ignores=[])
    code = compile(module, f"<cell {cell}>", "exec", flags=flags, dont_inherit=True)
    binds, reads, is_star = set(), set(), False
    scopes = [code]
    while scopes:
        scope = scopes.pop()
        scopes += [constant for constant in scope.co_consts if isinstance(constant, types.CodeType)]
        for operation, name in _operations(scope):
            if operation == "STORE_GLOBAL" or (operation == "STORE_NAME" and scope is code):
                binds.add(name)
            elif operation in ("LOAD_NAME", "LOAD_GLOBAL"):
                reads.add(name)
            is_star |= operation == "IMPORT_STAR"
    imports, modules = {}, set()
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            modules |= {alias.name for alias in part.names}
            imports |= {alias.asname or _package(alias.name): _package(alias.name) for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and not part.level:
            modules.add(part.module)
            imports |= {alias.asname or alias.name: _package(part.module) for alias in part.names}
    imports = {name: package for name, package in imports.items() if name in binds}
    changes, passes = _touches(node)
    return Statement(
        cell, code, binds, reads, changes, passes, _settles(node), imports, tuple(sorted(modules)), is_star,
        _is_definition(node), not (binds and binds <= imports.keys()) and _keeps_state(node),
    )  # fmt: skip


def _package(module: str) -> str:
    return module.split(".")[0]


def _operations(code: types.CodeType) -> Iterator[tuple[str, str]]:
    """Its operations with the names that they use; `dis` itself would take ten times as long."""
    extended = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument |= extended
        extended = argument << 8 if operation == dis.EXTENDED_ARG else 0
        if operation in _NAMED:
            name = dis.opname[operation]  # in LOAD_GLOBAL's argument the lowest bit says something else
            yield name, code.co_names[argument >> 1 if name == "LOAD_GLOBAL" else argument]
        elif operation == _IMPORT_STAR:
            yield "IMPORT_STAR", ""


def _is_definition(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(value=value) | ast.AnnAssign(value=value):
            return isinstance(value, ast.Constant | ast.Lambda)
    return False


def _keeps_state(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return bool(
            node.decorator_list
            or any(isinstance(part, ast.Global) for part in ast.walk(node))
            or not all(isinstance(default, ast.Constant | ast.Name) for default in _defaults(node))
        )
    return isinstance(node, ast.ClassDef) or not _is_definition(node)


def _touches(node: ast.stmt) -> tuple[set[str | None], set[str | None]]:
    """The names whose objects it changes, and hands to others; None among them means nothing."""
    changes, passes = set(), set()
    for part in _executed(node):
        match part:
            case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                changes.add(_root(part))
            case ast.withitem(context_expr=context):
                changes.add(_root(context))
            case ast.FunctionDef(decorator_list=decorators) | ast.ClassDef(decorator_list=decorators):
                changes |= {_root(decorator) for decorator in decorators if not isinstance(decorator, ast.Name)}
            case ast.Call(func=ast.Name(id=name)) if name in ("setattr", "delattr"):
                changes |= {_root(value) for value in part.args[:1]}
            case ast.Call(func=function):
                if not isinstance(function, ast.Name):
                    changes.add(_root(function))
                elif function.id in _LOOKING:
                    continue
                else:
                    passes.add(function.id)  # a counter made by a function, a bound method
                passes |= _handed([*part.args, *(keyword.value for keyword in part.keywords)])
    return changes, passes


def _settles(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(value=ast.Call(func=function, args=arguments, keywords=keywords)):
            parts = [part for argument in [*arguments, *keywords] for part in ast.walk(argument)]
            if not any(isinstance(part, ast.Call | ast.Lambda) for part in parts):
                return _root(function, called=True)
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute(value=ast.Attribute() | ast.Call()) as target]):
            return _root(
                target, called=True
            )  # os.environ["x"] = "1", decimal.getcontext().prec = 50; but not np.mean = None
    return None


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    return [*node.args.defaults, *filter(None, node.args.kw_defaults)]


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """What of it runs when the statement runs: of a function not its body, but its decorators and defaults."""
    nodes = [node]
    while nodes:
        part = nodes.pop()
        yield part
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += [*part.decorator_list, *_defaults(part)]
        else:
            nodes += ast.iter_child_nodes(part)


def _handed(values: list[ast.expr]) -> set[str | None]:
    """The names of values, also of those in a list, tuple, set or dict."""
    names = set()
    while values:
        value = values.pop()
        match value:
            case ast.List(elts=inner) | ast.Tuple(elts=inner) | ast.Set(elts=inner) | ast.Dict(values=inner):
                values += inner
            case _:
                names.add(_root(value))
    return names


def _root(node: ast.expr, *, called: bool = False) -> str | None:
    """The `table` of `table.rows[0].get("x").y`; of `get("x").y` None, or `get` if `called`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not called:
            return None
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def needed_for(name: str, statements: Sequence[Statement]) -> list[Statement]:
    """Returns, in order, the statements on which the function called `name` depends; none if nothing binds it.

    What a name means is what it meant in the last cell that mentions the function: its check has passed there, and
    `helper` may be another one for the next exercise.

    Example:
        >>> cells = ["import math", "import os", "def area(r):\\n    return math.pi * r**2", "while True: pass"]
        >>> [s.cell for s in needed_for("area", read_statements(cells)[0])]
        [1, 3]
    """
    # Changing what an import gave (np.mean = ...) would reach every other cell: such a statement is no definition.
    imported = {bound for s in statements for bound in s.imports}
    # Handing a function to another one changes neither.
    variable = {bound for s in statements if not s.is_definition for bound in s.binds - s.imports.keys()} - {name}
    touching = collections.defaultdict(list)
    for index, statement in enumerate(statements):
        for touched in statement.binds | (statement.changes - imported) | (statement.passes & variable):
            touching[touched].append(index)
    bound = {bound for statement in statements for bound in statement.binds}
    stars = {index for index, statement in enumerate(statements) if statement.is_star}
    if name not in bound and not stars:
        return []
    last = max((s.cell for s in statements if name in s.binds or name in s.reads), default=0)
    settings = _settings(statements, variable | {name})
    chosen, wanted, names = set(), {name}, [name]
    while True:
        found = set()
        while names:
            indices = touching[names.pop()]
            found |= {index for index in indices if statements[index].cell <= last} or set(indices)
        if not found - chosen and wanted - bound:
            found = stars
        if not found - chosen:
            packages = {_package(module) for index in chosen for module in statements[index].modules} | {"sys"}
            found = {index for package in packages for index in settings[package]}
        if not found - chosen:
            return [statements[index] for index in sorted(chosen)]
        new = {read for index in found - chosen for read in statements[index].reads} - wanted
        chosen |= found
        wanted |= new
        names = list(new)


def may_lack(needed: Sequence[Statement], statements: Sequence[Statement]) -> bool:
    """Whether statements beside the needed ones may have changed, unseen, what the needed ones made."""
    chosen, reads = set(map(id, needed)), {name for statement in needed for name in statement.reads}
    return any(s.keeps_state for s in needed) or any(s.binds & reads for s in statements if id(s) not in chosen)


def _settings(statements: Sequence[Statement], variable: set[str]) -> dict[str, set[int]]:
    """By package, the statements that set it up for all who use it: seeds, limits, how numbers are printed."""
    packages = collections.defaultdict(set)
    for statement in statements:
        for imported, package in statement.imports.items():
            packages[imported] |= {package} - _NO_SETTINGS
    found = collections.defaultdict(set)
    for index, statement in enumerate(statements):
        if not statement.reads & variable:
            for package in packages.get(statement.settles, ()):
                found[package].add(index)
    return found
