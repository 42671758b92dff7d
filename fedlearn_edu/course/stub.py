"""Takes the answer out of a cell: what a learner finds instead of a solution."""

from __future__ import annotations

import ast

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = ("# Your code here.", "raise NotImplementedError")
PROMPT = "*Write your answer here.*"


class MalformedCell(Exception):
    """Why a cell is refused; `solution_cells.read_solution` adds file and cell number."""


def without_values(source: str) -> str:
    """Returns a code answer with each `name = value` turned into `name = None`.

    Raises:
      MalformedCell: It holds anything else.

    Example:
        >>> without_values("my_guess = 0.82")
        'my_guess = None  # your answer'
    """
    tree = _parse(source)
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name()]):
                continue
        raise MalformedCell(f"a code answer holds lines `name = value` only, got {ast.unparse(statement)[:60]!r}")
    if not tree.body:
        raise MalformedCell("a code answer holds lines `name = value`; this one is empty")
    return "\n".join(f"{statement.targets[0].id} = None  # your answer" for statement in tree.body)


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise MalformedCell(f"not valid Python: {error.msg}, line {error.lineno}") from None


def without_solution(source: str, function_name: str) -> str:
    """Returns a solution with `raise NotImplementedError` in place of what stands between the markers.

    Signature, docstring and everything else outside the markers stay as they are.

    Args:
      source: A cell that defines `function_name`, with `### BEGIN SOLUTION` and `### END SOLUTION` in its body.
      function_name: What the exercise asks for.

    Raises:
      MalformedCell: There is no such function, it has no docstring, or a marker is missing or in the wrong place.
    """
    function = _function(_parse(source), function_name)
    lines = source.splitlines()
    regions = _regions(lines)
    functions = [node for node in ast.walk(_parse(source)) if isinstance(node, ast.FunctionDef)]
    for begin, end in regions:
        if not any(_inside(node, begin, end, lines) for node in functions):
            raise MalformedCell(f"line {begin}: {BEGIN} must stand inside a function, below its docstring")
    if not any(_inside(function, begin, end, lines) for begin, end in regions):
        raise MalformedCell(f"{function_name} has no {BEGIN} ... {END} in it")
    result = []
    answered = {number for begin, end in regions for number in range(begin, end + 1)}
    begins = {begin for begin, _ in regions}
    for number, line in enumerate(lines, start=1):
        if number in begins:
            indent = line[: len(line) - len(line.lstrip())]
            result += [indent + text for text in STUB]
        elif number not in answered:
            result.append(line)
    stub = "\n".join(result)
    kept = _function(_parse(stub), function_name)
    if (ast.dump(kept.args), ast.get_docstring(kept)) != (ast.dump(function.args), ast.get_docstring(function)):
        raise MalformedCell(f"the markers cut into the signature or docstring of {function_name}")
    return stub


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if len(found) != 1:
        raise MalformedCell(f"expected one `def {name}(...)`, named as in the exercise's id, got {len(found)}")
    if not ast.get_docstring(found[0]):
        raise MalformedCell(f"{name} has no docstring: it is what tells the learner what to write")
    return found[0]


def _regions(lines: list[str]) -> list[tuple[int, int]]:
    """The 1-based line numbers of each pair of markers."""
    regions, begin = [], None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text not in (BEGIN, END):
            # nbgrader looks for the words anywhere in a line; a line that only it understands would leak an answer.
            if "BEGIN SOLUTION" in line or "END SOLUTION" in line:
                raise MalformedCell(f"line {number}: expected {BEGIN} or {END} alone on its line, got {text[:60]!r}")
        elif (text == BEGIN) == (begin is not None):
            raise MalformedCell(f"line {number}: {text} without its {'end' if text == BEGIN else 'begin'}")
        elif text == BEGIN:
            begin = number
        else:
            regions.append((begin, number))
            begin = None
    if begin is not None:
        raise MalformedCell(f"line {begin}: {BEGIN} without {END}")
    if not regions:
        raise MalformedCell(f"has no {BEGIN} ... {END}")
    return regions


def _inside(function: ast.FunctionDef, begin: int, end: int, lines: list[str]) -> bool:
    """Whether a region lies in a function's body, below the docstring and indented as the body is."""
    if ast.get_docstring(function):
        top = function.body[0].end_lineno
    else:
        signature = [*ast.walk(function.args), *([function.returns] if function.returns else [])]
        top = max([function.lineno] + [node.end_lineno for node in signature if hasattr(node, "end_lineno")])
    below = [n for n in range(begin + 1, end) if lines[n - 1].strip() and not lines[n - 1].lstrip().startswith("#")]
    indent = len(lines[begin - 1]) - len(lines[begin - 1].lstrip())
    return top < begin and bool(below) and below[-1] <= function.end_lineno and indent > function.col_offset
