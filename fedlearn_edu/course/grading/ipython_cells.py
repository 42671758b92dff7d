"""Turns a notebook's cells into plain Python, as IPython itself would read them. Only rewrites text; runs nothing."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

from IPython.core.inputtransformer2 import TransformerManager

from fedlearn_edu.course.grading.inside.statements import MAX_CELL

# IPython reads a cell again after each magic in it: this many characters for all of a notebook, some seconds' work.
_MAX_READ = 1_000_000
_MAX_DEPTH = 5  # `%%capture` around `%%time` is two
# Cell magics whose body is no Python, or Python for another process; any other's body is the notebook's own code.
_FOREIGN = {
    "!", "HTML", "R", "SVG", "bash", "cmd", "cython", "html", "javascript", "js", "julia", "latex", "markdown", "perl",
    "pypy", "python", "python2", "python3", "ruby", "script", "sh", "shell", "sql", "svg", "sx", "system",
}  # fmt: skip
_SETTING = re.compile(r"(\w+)(?:\s*=\s*|\s+)(\S.*)")
_PYLAB = (
    "import numpy; import matplotlib; from matplotlib import pylab, mlab, pyplot; np = numpy; plt = pyplot"
    "; from matplotlib.pylab import *; from numpy import *"
)


class _TooMuch(ValueError):
    """Longer, or more IPython syntax, than in any lesson."""


def plain_python(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Translates magics, shell commands, prompts and indented cells; never raises, whatever the cells hold.

    What `%time` and its kind run stays, and so does the body of a cell magic that runs Python. Statements that only ask
    something of the shell become `pass`; where its answer is used, `get_ipython()` stays for whoever runs the cell.

    Args:
        cells: Source of the code cells, in the notebook's order.

    Returns:
        As many cells, in the same order; those that IPython could not read either are as they were, those of another
        language empty. And a note if a cell was given up.

    Example:
        >>> plain_python(["%%time\\n!ls\\nx = %time max(2, 3)", "numpy?"])
        (['\\npass\\nx = (max(2, 3))\\n', 'pass\\n'], [])
    """
    reader, plain, notes = _Reader(), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the learner's code
        for number, source in enumerate(cells, start=1):
            try:
                plain.append(reader.read(source))
            except _TooMuch:
                plain.append("")
                notes = notes or [f"code cell {number} is too long or has too many magics: left out, as others may be"]
            except Exception:  # a cell that Python's own tokenizer stumbles over; running it will say what is wrong
                plain.append(source)
    return plain, notes


class _Reader(TransformerManager):
    """IPython's own reader, with an end to its patience."""

    def __init__(self):
        super().__init__()
        self._left = _MAX_READ

    def do_one_token_transform(self, lines):
        # Its search for `name?` is quadratic in the length of a word.
        words = max((len(word) for line in lines if "?" in line for word in line.split()), default=0)
        self._left -= sum(len(line) + 20 for line in lines) + words**2 // 1000
        if self._left < 0:
            raise _TooMuch
        return super().do_one_token_transform(lines)

    def read(self, source: str, depth: int = 0) -> str:
        if depth > _MAX_DEPTH or len(source) > MAX_CELL:
            raise _TooMuch
        text = source.lstrip("\n")
        above = source[: len(source) - len(text)]  # IPython takes empty lines away; messages name lines
        lines = text.splitlines(keepends=True)
        for transform in self.cleanup_transforms:  # a cell behind a prompt may be Python too: `In [1]: x = 2`
            lines = transform(lines)
        source = above + "".join(lines)
        tree = _parsed(source)
        if tree is None:
            source = above + self.transform_cell(text)
            tree = _parsed(source)
        if tree is None or "get_ipython" not in source:
            return source
        match tree.body:
            case [ast.Expr(value=ast.Call() as call)] if (magic := _magic(call)) and magic[0] == "run_cell_magic":
                return above + self._cell(*magic[1:], depth)
        changed = _replaced(source, self._edits(tree, depth))
        return source if _parsed(changed) is None else changed

    def _edits(self, tree: ast.Module, depth: int) -> list[tuple[ast.AST, str]]:
        edits, nodes = [], [tree]
        while nodes:
            node = nodes.pop()
            value = node.value if isinstance(node, ast.Expr) else node
            magic = _magic(value) if isinstance(value, ast.Call) else None
            if isinstance(node, ast.Expr) and _asks_shell(value):
                edits.append((node, self._statement(magic, depth)))
            elif magic and magic[:2] == ("run_line_magic", "time") and (code := self._line(magic[2], "eval", depth)):
                edits.append((node, f"({code})"))
            else:
                nodes += ast.iter_child_nodes(node)
        return edits

    def _statement(self, magic: tuple[str, ...] | None, depth: int) -> str:
        match magic:
            case "run_cell_magic", name, line, body:
                return self._cell(name, line, body, depth)
            case "run_line_magic", "time" | "prun", line:
                return self._line(line, "exec", depth) or "pass"
            case "run_line_magic", "pylab", _:
                return _PYLAB
            case "run_line_magic", "env" | "set_env", line if setting := _SETTING.fullmatch(line.strip()):
                return f"import os; os.environ[{setting[1]!r}] = {setting[2]!r}"
        return "pass"

    def _line(self, line: str, mode: str, depth: int) -> str:
        code = self.read(line, depth + 1).strip()
        return code if "\n" not in code and _parsed(code, mode) else ""

    def _cell(self, name: str, line: str, body: str, depth: int) -> str:
        """The body, with an empty line in the magic's place: messages name lines."""
        if name in ("writefile", "file"):
            *options, path = line.split() or [""]
            mode = "a" if "-a" in options else "w"
            return f"open({path!r}, {mode!r}, encoding='utf-8').write({body!r})\n"
        if name in _FOREIGN:
            return ""
        code = "\n" + self.read(body, depth + 1)
        if name == "capture":
            binds = [word for word in line.split() if word.isidentifier()]
            return code + "".join(f"\n{word} = get_ipython()\n" for word in binds[:1])
        if name == "timeit" and (tree := _parsed(code)):
            # It runs its body in a function of its own. Who defines something there had run the cell without it before.
            keep = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
            return _replaced(code, [(node, "pass") for node in tree.body if not isinstance(node, keep)])
        return code


def _parsed(source: str, mode: str = "exec") -> ast.AST | None:
    try:
        return ast.parse(source, mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _magic(call: ast.Call) -> tuple[str, ...] | None:
    """The method and its arguments, if it is `get_ipython().method("text", ...)`."""
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method), args=arguments):
            texts = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
            if len(texts) == len(arguments) and all(isinstance(text, str) for text in texts):
                if method == "magic" and texts:  # as older versions wrote it
                    method, texts = "run_line_magic", texts[0].lstrip("%").partition(" ")[::2]
                expected = {"run_line_magic": 2, "run_cell_magic": 3}.get(method)
                return (method, *texts) if len(texts) == expected else None
    return None


def _asks_shell(node: ast.expr) -> bool:
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id == "get_ipython"
        node = node.func if isinstance(node, ast.Call) else node.value
    return False


def _replaced(source: str, edits: list[tuple[ast.AST, str]]) -> str:
    """Puts each text in the place of its node; the compiler counts bytes, and lines by their newlines."""
    content = source.encode()
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", content))]
    for node, text in sorted(edits, key=lambda edit: (edit[0].lineno, edit[0].col_offset), reverse=True):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        content = content[:start] + text.encode() + content[end:]
    return content.decode()
