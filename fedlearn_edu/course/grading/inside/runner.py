"""Runs one learner's function on inputs, inside the guard: reads a job, sends back plain data, judges nothing.

The learner's code shares this process and may take it over. All it can then forge is what its function returns,
which it may choose anyway: expected values, marks and other submissions are not here.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import linecache
import os
import resource
import signal
import site
import sys

from fedlearn_edu.course.checks import data as plain_data
from fedlearn_edu.course.grading.inside import jupyter, slicing, wire
from fedlearn_edu.course.grading.inside.statements import Statement, read_statements, syntax_error_around

# Loaded before the learner's clock starts: a slow disk should not cost anyone marks. Nothing else is: whatever a cell
# names is the learner's, and may do anything while it loads.
PRELOADED = {
    "numpy", "pandas", "scipy", "scipy.optimize", "scipy.special", "scipy.stats", "tensorflow", "tensorflow_federated",
    "tensorflow_hub", "fedlearn_edu", "matplotlib", "matplotlib.pyplot", "sklearn", "sklearn.decomposition",
    "sklearn.linear_model", "sklearn.metrics", "IPython", "IPython.display", "tqdm", "tqdm.auto",
}  # fmt: skip
_NO_SITE = sys.stdlib_module_names | {"numpy"}
_SCOUT_SECONDS = 10
_COROUTINE = 128  # inspect.CO_COROUTINE
LACKING = 3  # the exit code by which the runner asks for all cells: more than the slice may be needed
# Errors of a function to which another cell may have given what it lacks, in a way that no slice shows.
_LACKING_ERRORS = (NameError, ImportError, AttributeError, KeyError, OSError, RecursionError)
MAX_TEXT = 300
_LATE = 0.9  # of the learner's time: when to tell where the code is, should it not end


def main() -> None:
    """Runs the learner's cells and calls his function once a case; each result is one frame."""
    with open(0, "rb", closefd=False) as stream:
        job = json.load(stream)
    send = _sender(int(sys.argv[1]))
    arguments = [json.dumps(case) for case in job["arguments"]]
    modules = _scout(job)
    # From here on `fedlearn_edu` is the real package, as far as the learner may see it.
    del sys.path[0]
    for name in [name for name in sys.modules if name.split(".")[0] == "fedlearn_edu"]:
        del sys.modules[name]
    if modules - {"numpy"}:
        site.main()
    for module in modules & PRELOADED:
        with contextlib.suppress(BaseException):  # the learner's own import will say what is wrong
            importlib.import_module(module)
    sys.path.insert(0, "")  # as in Jupyter: a module beside the notebook
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _limit(resource.RLIMIT_CPU, int(used) + job["cpu_seconds"])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.modules["__main__"].__dict__.clear()  # __main__ is the notebook's, as in Jupyter
    send({"started": True})  # all that follows takes the learner's time
    _tell_where(job, send)
    lacking = _learner(job, arguments, send)
    send({"ended": True})
    os._exit(LACKING if lacking else 0)  # threads that still run are the learner's


def _needed(job: dict) -> tuple[list[Statement], list[Statement], list[str]]:
    """All statements, those that are run, and notes on the cells that were left out."""
    found, notes = read_statements(job["cells"])
    return found, found if job.get("whole") else slicing.needed_for(job["function"], found), notes


def _scout(job: dict) -> set[str]:
    """What will be imported, found out in a child: a text can hold up the compiler for hours."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(min(_SCOUT_SECONDS, job["cpu_seconds"]))  # the walls let nobody end another process
        with contextlib.suppress(BaseException):
            modules = {module for statement in _needed(job)[1] for module in statement.modules}
            packages = {module.split(".")[0] for module in modules}
            found = [*PRELOADED & (modules | packages), *(["another"] if packages - _NO_SITE else [])]
            os.write(writer, " ".join(found).encode())
        os._exit(0)
    os.close(writer)
    found = os.read(reader, 4096).decode().split()
    os.close(reader)
    os.waitpid(child, 0)
    return set(found)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _sender(descriptor: int):
    write, dumps = os.write, json.dumps
    sending = False

    def send(frame: dict, *, may_wait: bool = True) -> None:
        nonlocal sending
        if sending and not may_wait:
            return  # an alarm in the midst of a line: it would be written into it
        content = dumps(frame).encode("ascii") + b"\n"
        sending = True
        try:
            while content:
                content = content[write(descriptor, content) :]
        finally:
            sending = False

    return send


def _tell_where(job: dict, send) -> None:
    """Says shortly before the time is over in which function and line the code is: a hint, should it not end."""
    parent = os.getpid()

    def alarm(_number, frame) -> None:
        places = []
        while frame is not None and len(places) < 10_000:
            places.append(frame)
            frame = frame.f_back
        for place in places:
            code = place.f_code
            if code.co_filename.startswith("<cell ") and os.getpid() == parent:
                function = "" if code.co_name == "<module>" else f"{code.co_name}, "
                where = f"{function}code {code.co_filename.strip('<>')}, line {place.f_lineno}"
                with contextlib.suppress(BaseException):  # no error of ours in the midst of the learner's code
                    send({"where": where}, may_wait=False)
                return

    signal.signal(signal.SIGALRM, alarm)
    signal.siginterrupt(signal.SIGALRM, False)  # no call of the system ends early for it
    signal.setitimer(signal.ITIMER_REAL, _LATE * job["timeout"])


def _learner(job: dict, arguments: list[str], send) -> bool:
    """Defines the function and calls it on each case; an answer leaves at once, so a later hang does not cost it.

    Returns whether statements that were left out may be what is lacking.
    """
    name = job["function"]
    statements, needed, notes = _needed(job)
    if not needed and (broken := syntax_error_around(name, job["cells"])):
        send({"missing": [], "syntax": broken})
        return False
    if not needed:
        names = sorted({bound for s in statements for bound in s.binds - s.imports.keys()})
        send({"problems": notes[:1]})
        send({"missing": difflib.get_close_matches(name, names, n=3, cutoff=0.4)})
        return False
    for number, source in enumerate(job["cells"], start=1):  # AutoGraph and `inspect` read a function's source
        file = f"<cell {number}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = sys.modules["__main__"].__dict__
    jupyter.furnish(namespace)
    problems = _run(needed, namespace)
    # What the statements left out would have changed, no one can know without running them.
    lacking = bool(problems) or slicing.may_lack(needed, statements)
    send({"problems": problems[:5]})
    function = namespace.get(name)
    if not callable(function):
        send({"missing": [], "kind": type(function).__name__ if name in namespace else "nothing"})
        return lacking
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
            lacking |= issubclass(type(error), _LACKING_ERRORS)  # isinstance would ask the learner's class
        try:
            send(frame)
        except (ValueError, TypeError, MemoryError):  # such as a whole number of a million digits
            send({"case": number, "not_data": "a value that is too large to send"})
    return lacking


def _run(statements: list[Statement], namespace: dict) -> list[str]:
    """Runs the statements, each whatever becomes of the others; returns one line on each that failed."""
    problems: list[str] = []

    async def run():
        for statement in statements:
            try:
                result = eval(statement.code, namespace)
                if statement.code.co_flags & _COROUTINE:
                    await result
            except BaseException as error:
                problems.append(f"code cell {statement.cell} {_describe(error)}")

    try:
        if any(statement.code.co_flags & _COROUTINE for statement in statements):
            import asyncio  # here, as few notebooks need it

            asyncio.new_event_loop().run_until_complete(run())  # as in Jupyter: one for all cells
        else:
            run().send(None)
    except StopIteration:
        pass
    except BaseException as error:  # of a task that nobody waited for
        problems.append(_describe(error))
    return problems


_NO_INPUT = "EOF when reading a line"  # what Python says of input() where there is no keyboard


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
    if type(error) is EOFError and message == _NO_INPUT:
        return "asks for keyboard input; nobody can type here" + where
    kind = type(error).__name__
    return _short(f"raised {kind}: {message}" if message else f"raised {kind}") + where


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
