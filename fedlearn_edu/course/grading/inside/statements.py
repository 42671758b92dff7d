"""Parses a notebook's cells and says of each statement what it has to do with names. Never runs one.

The compiler itself says which names a statement reads and binds, so scopes are right by construction. Which objects it
changes only running it would tell: whatever it calls on a name, or hands to something that it calls, may be changed.
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
from collections.abc import Iterator, Sequence

MAX_CELL = 200_000  # characters; the longest cell of a lesson has a few thousand
_MAX_LINE = 80  # characters that are quoted
_NAMED = frozenset(dis.hasname)
_IMPORT_STAR = dis.opmap["IMPORT_STAR"]
# What a call that sets something up is called; `os._exit(0)` and `time.sleep(9)` are no settings.
_SETTING = re.compile("set|seed|config|filter|enable|disable|eager|update|append|insert|mkdir|makedirs|^use$")
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
            line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
            notes.append(f"code cell {number} is not valid Python{line} and was left out")
    return statements, notes


def syntax_error_around(name: str, cells: Sequence[str]) -> str:
    """Where the last cell that should define a function is not valid Python: cell, line, the line's text, the error.

    Args:
        name: Of the function.
        cells: As for `read_statements`.

    Returns:
        One line; "" if every cell that seems to define it parses, or fails otherwise.
    """
    definition = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}(?!\w)", re.MULTILINE)
    for number, source in reversed(list(enumerate(cells, start=1))):
        if len(source) > MAX_CELL or not definition.search(source):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(source)
        except SyntaxError as error:
            lines = source.split("\n")
            line = min(max(error.lineno or 1, 1), len(lines))
            return f"code cell {number}, line {line}: {lines[line - 1].strip()[:_MAX_LINE]!r} ({error.msg})"
        except (ValueError, RecursionError, MemoryError):
            continue
    return ""


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
            imports |= {alias.asname or package_of(alias.name): package_of(alias.name) for alias in part.names}
        elif isinstance(part, ast.ImportFrom) and not part.level:
            modules.add(part.module)
            imports |= {alias.asname or alias.name: package_of(part.module) for alias in part.names}
    imports = {name: package for name, package in imports.items() if name in binds}
    changes, passes = _touches(node)
    return Statement(
        cell, code, binds, reads, changes, passes, _settles(node), imports, tuple(sorted(modules)), is_star,
        _is_definition(node), not (binds and binds <= imports.keys()) and _keeps_state(node),
    )  # fmt: skip


def package_of(module: str) -> str:
    """The package that a module belongs to."""
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
    """The `np` of `np.random.seed(0)`, if that is all it does; whether it is imported, other statements say."""
    match node:
        case ast.Expr(value=ast.Call(func=function, args=arguments, keywords=keywords)):
            parts = [part for argument in [*arguments, *keywords] for part in ast.walk(argument)]
            last = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if _SETTING.search(last.lower()) and not any(isinstance(part, ast.Call | ast.Lambda) for part in parts):
                return _root(function, called=True)
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute(value=ast.Attribute() | ast.Call()) as target]):
            # os.environ["x"] = "1" and getcontext().prec = 9, but not np.mean = None
            return _root(target, called=True)
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
