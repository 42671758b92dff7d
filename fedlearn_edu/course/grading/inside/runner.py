"""Runs one learner's function on inputs, inside the guard: reads a job, sends back plain data, judges nothing.

The learner's code shares this process and may take it over. All it can then forge is what its function returns,
which it may choose anyway: expected values, marks and other submissions are not here.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import os
import resource
import site
import sys

from fedlearn_edu.course.checks import data as plain_data
from fedlearn_edu.course.grading.inside import slicing, wire

# Loaded before the learner's clock starts: a slow disk should not cost anyone marks.
PRELOADED = ("numpy", "pandas", "scipy", "tensorflow", "tensorflow_federated", "fedlearn_edu", "matplotlib", "sklearn")
_NO_SITE = sys.stdlib_module_names | {"numpy"}
MAX_TEXT = 300


def main() -> None:
    with open(0, "rb", closefd=False) as stream:
        job = json.load(stream)
    send = _sender(int(sys.argv[1]))
    statements, notes = slicing.read_statements(job["cells"])
    needed = slicing.needed_for(job["function"], statements)
    arguments = [json.dumps(case) for case in job["arguments"]]
    # From here on `fedlearn_edu` is the real package, as far as the learner may see it.
    del sys.path[0]
    for name in [name for name in sys.modules if name.split(".")[0] == "fedlearn_edu"]:
        del sys.modules[name]
    modules = {module for statement in needed for module in statement.modules}
    if {module.split(".")[0] for module in modules} - _NO_SITE:
        site.main()
    for module in modules:
        if module.split(".")[0] in PRELOADED:
            with contextlib.suppress(Exception):  # the learner's own import will say what is wrong
                importlib.import_module(module)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _limit(resource.RLIMIT_CPU, int(used) + job["cpu_seconds"])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.modules["__main__"].__dict__.clear()  # __main__ is the notebook's, as in Jupyter
    send({"started": notes[:20]})
    _learner(job["function"], needed, statements, arguments, send)
    send({"ended": True})
    os._exit(0)  # threads that still run are the learner's


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _sender(descriptor: int):
    write, dumps = os.write, json.dumps

    def send(frame: dict) -> None:
        content = dumps(frame).encode("ascii") + b"\n"
        while content:
            content = content[write(descriptor, content) :]

    return send


def _learner(name, needed, statements, arguments, send) -> None:
    """Defines the function and calls it on each case; an answer leaves at once, so a later hang does not cost it."""
    if not needed:
        names = sorted({bound for s in statements for bound in s.binds if not s.is_import})
        send({"missing": difflib.get_close_matches(name, names, n=3, cutoff=0.4)})
        return
    namespace = sys.modules["__main__"].__dict__
    namespace.update(__name__="__main__", __builtins__=__builtins__)
    problems = []
    for statement in needed:
        try:
            exec(statement.code, namespace)
        except BaseException as error:
            problems.append(f"code cell {statement.cell} {_describe(error)}")
    send({"problems": problems[:5]})
    function = namespace.get(name)
    if not callable(function):
        send({"missing": [], "kind": type(function).__name__ if name in namespace else "nothing"})
        return
    for number, text in enumerate(arguments):
        frame = {"case": number}
        try:
            returned = function(*(wire.decode(node) for node in json.loads(text)))
            frame["value"] = wire.encode(plain_data.to_data(returned))
        except NotImplementedError:
            frame["todo"] = True
        except plain_data.NotDataError as error:
            frame["not_data"] = _short(str(error))
        except BaseException as error:
            frame["error"] = _describe(error)
        try:
            send(frame)
        except (ValueError, TypeError, MemoryError):  # such as a whole number of a million digits
            send({"case": number, "not_data": "a value that is too large to send"})


def _describe(error: BaseException) -> str:
    try:
        message = " ".join(str(error).split())
    except BaseException:
        message = ""
    where, trace = "", error.__traceback__
    for _ in range(10_000):
        if trace is None:
            break
        if trace.tb_frame.f_code.co_filename.startswith("<cell "):
            cell = trace.tb_frame.f_code.co_filename.strip("<>")
            where = f" (in {trace.tb_frame.f_code.co_name}, code {cell}, line {trace.tb_lineno})"
        trace = trace.tb_next
    kind = type(error).__name__
    return _short(f"raised {kind}: {message}" if message else f"raised {kind}") + where


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
