"""The attacks: what a hostile learner hands in, and the marks it must get. Every one was written before its defence."""

import itertools
import json
import textwrap

from grading_problems import SETUP, WEIGHTED_MEAN, cell, notebook

# Each replaces the function `weighted_mean(values, weights)`; the status is what that exercise must get. The other two
# exercises of the same notebook must keep all their points. {right} = the right answer.
RIGHT = "float((np.asarray(values) * np.asarray(weights)).sum() / np.sum(weights))"
FUNCTIONS = {
    "infinite_loop": ("timeout", "while True: pass"),
    "sleeps": ("timeout", "import time; time.sleep(1e6)"),
    "ignores_signals": (
        "timeout",
        """
        import signal
        for number in set(signal.Signals) - {9, 19}:
            signal.signal(number, signal.SIG_IGN)
        while True: pass
        """,
    ),
    "stops_itself": ("timeout", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"),
    "error_that_never_prints": (
        "timeout",
        """
        class Slow(Exception):
            def __str__(self):
                while True: pass
        raise Slow()
        """,
    ),
    "prints_gigabytes": ("timeout", "while True: print('x' * 10_000_000)"),
    "becomes_another_program": ("timeout", "import os; os.execv('/bin/sleep', ['sleep', '1000'])"),
    "memory_bomb_numpy": ("memory", "return np.ones(10**12).mean()"),
    "memory_bomb_slow": (
        "memory",
        """
        held = []
        while True: held.append(np.empty(50_000_000))
        """,
    ),
    "memory_bomb_crowd": (
        "memory",
        """
        import os, time
        for _ in range(6):
            if os.fork() == 0:
                held = bytearray(b"x") * 400_000_000
                time.sleep(1000)
        time.sleep(1000)
        """,
    ),
    "fork_bomb": (
        "processes",
        """
        import os
        while True:
            try: os.fork()
            except OSError: pass
        """,
    ),
    "fork_bomb_detached": (
        "processes",
        """
        import os
        while True:
            try:
                if os.fork() == 0: os.setsid()
            except OSError: pass
        """,
    ),
    "thread_bomb": (
        "failed",
        """
        import threading, time
        while True: threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
        """,
    ),
    "sys_exit": ("failed", "import sys; sys.exit(0)"),
    "os_exit": ("crashed", "import os; os._exit(0)"),
    "abort": ("crashed", "import os; os.abort()"),
    "segmentation_fault": ("crashed", "import ctypes; ctypes.string_at(0)"),
    "deep_recursion": ("failed", "return weighted_mean(values, weights)"),
    "deep_recursion_unlimited": (
        "crashed",
        """
        import sys
        sys.setrecursionlimit(10**9)
        class Deep:
            def __repr__(self): return repr([self])
        return repr(Deep())
        """,
    ),
    "lying_object": (
        "failed",
        """
        class Liar:
            def __eq__(self, other): return True
            def __array__(self, *a): return np.zeros(())
        return Liar()
        """,
    ),
    "lying_float": (
        "failed",
        """
        class Liar(float):
            def __eq__(self, other): return True
            def __sub__(self, other): return 0.0
            __rsub__ = __sub__
            def __abs__(self): return 0.0
        return Liar(1e9)
        """,
    ),
    "lying_array": (
        "failed",
        """
        class Liar(np.ndarray):
            def __array_function__(self, *a): return True
            def __array_ufunc__(self, *a, **k): return True
        return np.zeros(()).view(Liar)
        """,
    ),
    "pickle": (
        "failed",
        """
        class Bomb:
            def __reduce__(self): return (open, ("/tmp/escaped", "w"))
        return np.array([Bomb()], dtype=object)
        """,
    ),
    "patches_builtins": (
        "crashed",
        """
        import builtins
        builtins.abs = builtins.max = builtins.sum = lambda *a, **k: 0
        builtins.isinstance = lambda *a: True
        return 1e9
        """,
    ),
    "patches_numpy": ("failed", "np.allclose = np.isclose = lambda *a, **k: True; return 1e9"),
    "patches_checks": (
        "failed",
        """
        from fedlearn_edu.course.checks import checking
        checking.judge = lambda case, *a, **k: checking.CaseResult(case.name, True, "", "", "")
        return 1e9
        """,
    ),
    "looks_for_answers": (
        "failed",
        """
        import gc, pathlib, sys
        found = [o for o in gc.get_objects() if type(o).__name__ in ("Case", "Exercise", "CaseResult")]
        found += [p for p in map(pathlib.Path, sys.path) for p in p.glob("fedlearn_edu/course/*")]
        found += [name for name in sys.modules if name.startswith("fedlearn_edu")]
        return float(len(found)) if found else "nothing"
        """,
    ),
    "forges_the_channel": (
        "failed",
        """
        import json, os
        forged = [{"case": i, "value": 1.0, "passed": True, "points": 1000, "status": "passed"} for i in range(9)]
        forged += [{"ended": True}, {"status": "passed", "points": 1000}, ["started"], "\\x00", 7, {"case": [1]}]
        text = "".join(json.dumps(frame) + "\\n" for frame in forged) + "\\xff{{{{\\n" + "[" * 100_000 + "\\n"
        for descriptor in range(3, 1024):
            try: os.write(descriptor, text.encode("latin-1"))
            except OSError: pass
        os._exit(0)
        """,
    ),
    "breaks_the_channel": ("crashed", "import os; os.closerange(0, 4096); return {right}"),
    "breaks_the_runner": ("crashed", "import os, json; os.write = json.dumps = None; exit = os.kill(os.getpid(), 9)"),
    "floods_the_channel": (
        "failed",
        """
        import os
        while True:
            for descriptor in range(3, 1024):
                try: os.write(descriptor, b"x" * 1_000_000)
                except OSError: pass
        """,
    ),
    "huge_answer": ("failed", "return np.zeros(8_000_000)"),
    "huge_whole_number": ("failed", "return 10 ** 1_000_000"),
    "huge_text": ("failed", "return 'x' * 5_000_000"),
    "endless_list": (
        "failed",
        """
        held = []
        held.append(held)
        return held
        """,
    ),
    "floods_with_empty_lines": (
        "failed",
        """
        import os
        while True:
            for descriptor in range(3, 1024):
                try: os.write(descriptor, b"\\n" * 1_000_000)
                except OSError: pass
        """,
    ),
    "keys_that_hash_alike": (
        "failed",
        """
        import json, os
        pairs = [[i * (2**61 - 1), 0] for i in range(100_000)]
        for number in range(6):
            frame = json.dumps({"case": number, "value": {"dict": pairs}}).encode() + b"\\n"
            for descriptor in range(3, 1024):
                left = frame
                try:
                    while left: left = left[os.write(descriptor, left):]
                except OSError: pass
        os._exit(0)
        """,
    ),
    "kills_itself_each_time": ("crashed", "import os; os.kill(os.getpid(), 9)"),
    "sleeps_between_bursts": (
        "timeout",
        """
        import time
        while True:
            until = time.monotonic() + 0.02
            while time.monotonic() < until: pass
            time.sleep(0.08)
        """,
    ),
    "reads_input": ("failed", "return float(input())"),
    "coroutine": ("failed", "async def later(): return 1\nreturn later()"),
    "returns_nothing": ("failed", "{right}"),
    "not_a_number": ("failed", "return float('nan')"),
    "poisonous_message": (
        "failed",
        """
        raise ValueError("=HYPERLINK(1)<script>alert(1)</script>\\ud800\\x1b[2J\\u202e\\r\\n=1+1")
        """,
    ),
    "hard_coded": (
        "failed",
        """
        seen = {3: 0.1, 4: -0.2, 7: 0.05}
        return seen[len(values)]
        """,
    ),
    # Harm first, then the right answer: the answer counts, and the tests see that there was no harm.
    "deletes_files": (
        "passed",
        """
        import os, shutil
        for folder in ("{outside}", "/grader", os.environ["HOME"], os.path.dirname(np.__file__) + "/random"):
            shutil.rmtree(folder, ignore_errors=True)
        return {right}
        """,
    ),
    "overwrites_files": (
        "passed",
        """
        import glob, sys
        targets = glob.glob("{outside}/**", recursive=True) + glob.glob("/grader/**", recursive=True)
        targets += ["{outside}/escaped", "/tmp/escaped", np.__file__, sys.executable, "/escaped"]
        for target in targets:
            try: open(target, "w").write("escaped")
            except OSError: pass
        return {right}
        """,
    ),
    "fills_the_disk": (
        "passed",
        """
        for number in range(10_000):
            try:
                with open(f"file{number}", "wb") as stream:
                    for _ in range(100): stream.write(bytes(1_000_000))
            except OSError: break
        return {right}
        """,
    ),
    "hides_memory": (
        "passed",
        """
        import ctypes, mmap, os, socket
        held = []
        for size in (2**30, 2**22):
            for flags in (0x21, 0x40022, 0x40021):
                try: held.append(mmap.mmap(-1, size, flags=flags))
                except (OSError, ValueError): pass
        for path in ("/dev/zero",):
            try: held.append(mmap.mmap(os.open(path, os.O_RDWR), 2**30))
            except (OSError, ValueError): pass
        libc = ctypes.CDLL(None)
        found = [libc.syscall(319, b"x", 0), libc.syscall(29, 0, 2**30, 0o600), libc.syscall(447, 0)]
        if held or max(found) >= 0: return "held"
        return {right}
        """,
    ),
    "digs_deep": (
        "passed",
        """
        import os
        os.chdir(os.environ["HOME"])
        try:
            for _ in range(1500):
                os.mkdir("d")
                os.chdir("d")
        except OSError: pass  # it is there from the case before
        return {right}
        """,
    ),
    "writes_files_without_names": (
        "passed",
        """
        import os
        held = []
        try:
            for number in range(200):
                held.append(open("file", "wb"))
                os.unlink("file")
                for _ in range(30): held[-1].write(bytes(1_000_000))
        except OSError: pass
        for stream in held:
            try: stream.close()
            except OSError: pass
        return {right}
        """,
    ),
    "speaks_through_locks": (
        "passed",
        """
        import fcntl, os
        first, second = (os.open(np.__file__, os.O_RDONLY) for _ in range(2))
        try:
            fcntl.flock(first, fcntl.LOCK_EX)
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)  # somebody else's lock would be seen here
        except OSError: return "a message"
        return {right}
        """,
    ),
    "leaves_a_daemon": (
        "passed",
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
        return {right}
        """,
    ),
    "leaves_threads": (
        "passed",
        """
        import atexit, threading
        def spin():
            while True: pass
        threading.Thread(target=spin).start()
        atexit.register(spin)
        return {right}
        """,
    ),
    "kills_everybody": (
        "passed",
        """
        import os, signal
        for target in [-1, os.getppid(), 1, *range(2, 2000)]:
            if target != os.getpid():
                try: os.kill(target, signal.SIGKILL)
                except OSError: pass
        return {right}
        """,
    ),
    "calls_home": (
        "passed",
        """
        import socket
        for family, address in ((socket.AF_INET, ("127.0.0.1", {port})), (socket.AF_UNIX, "\\0fedlearn-test-{port}")):
            try:
                with socket.socket(family) as line:
                    line.settimeout(0.2)
                    line.connect(address)
                    line.send(b"answers please")
            except OSError: pass
        return {right}
        """,
    ),
    "reads_other_processes": (
        "passed",
        """
        import glob
        for name in glob.glob("/proc/[0-9]*/mem") + glob.glob("/proc/[0-9]*/fd/*"):
            try: open(name, "r+b").write(b"passed")
            except OSError: pass
        return {right}
        """,
    ),
    "lifts_its_limits": (
        "passed",
        """
        import os, resource
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):
            try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            except (OSError, ValueError): continue
            return "lifted"
        try:
            os.setuid(0)
            return "root"
        except OSError: pass
        return {right}
        """,
    ),
    "changes_its_input": (
        "passed",
        """
        result = {right}
        values[:] = 0
        weights[:] = 0
        return result
        """,
    ),
}

# A cell beside three honest functions: nobody's marks may change.
CELLS = {
    "cell_that_loops": "while True: pass",
    "cell_with_a_syntax_error": "def broken(:\n    return",
    "cell_that_exits": "import os, sys\nos._exit(1)\nsys.exit(1)",
    "cell_that_patches": "import builtins\nnp.mean = np.asarray = np.sum = None\nbuiltins.zip = builtins.max = None",
    "cell_that_prints": "for _ in range(10**9): print('x' * 10**6)",
    "cell_too_deep_to_parse": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "cell_of_minus_signs": "x = " + "-" * 100_000 + "1",
    "cell_with_a_null_byte": "x = 1\0",
    "cell_with_no_such_module": "import no_such_module\nfrom no_such_package import *",
    "cell_that_raises": "raise SystemExit",
    "cell_that_calls_the_check_again": "check = None\nfl = None\ncheck('90.weighted_mean', None)",
}


def _function(signature: str, name: str, right: str, outside: str, port: int) -> str:
    body = textwrap.indent(textwrap.dedent(FUNCTIONS[name][1]).strip("\n"), "    ")
    for word, value in (("{right}", right), ("{outside}", outside), ("{port}", str(port))):
        body = body.replace(word, value)
    return f"def {signature}:\n{body}\n"


def attacks(*, outside: str, port: int) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Name -> (notebook, status of each exercise).

    Args:
        outside: A folder of the teacher's that the attacks try to reach.
        port: Of a server on this machine that they try to reach.
    """
    passed = dict.fromkeys(("weighted_mean", "model_delta", "largest_client"), "passed")
    made = {}
    with_inputs = {name for name, (_, body) in FUNCTIONS.items() if "values" in body or "weighted_mean" in body}
    firsts = sorted(with_inputs) + [name for name in FUNCTIONS if name not in with_inputs]
    # Two attacks a notebook where the inputs do not matter; an honest function always stands between them.
    half = max(len(with_inputs), (len(firsts) + 1) // 2)
    for first, second in itertools.zip_longest(firsts[:half], firsts[half:]):
        sources = {"weighted_mean": _function("weighted_mean(values, weights)", first, RIGHT, outside, port)}
        statuses = passed | {"weighted_mean": FUNCTIONS[first][0]}
        if second:
            right = "max(sizes, key=sizes.get)"
            sources["largest_client"] = _function("largest_client(sizes)", second, right, outside, port)
            statuses["largest_client"] = FUNCTIONS[second][0]
        made[f"{first}-{second}"] = (notebook(**sources), statuses)
    for name, source in CELLS.items():
        made[name] = (notebook(before=[source], after=[source]), passed)
    made["stub"] = (
        notebook(weighted_mean="def weighted_mean(values, weights):\n    raise NotImplementedError"),
        passed | {"weighted_mean": "todo"},
    )
    made["renamed"] = (
        notebook(weighted_mean=WEIGHTED_MEAN.replace("weighted_mean", "weigthed_mean")),
        passed | {"weighted_mean": "missing"},
    )
    made["syntax_error"] = (
        notebook(weighted_mean=WEIGHTED_MEAN.replace("):", ")")),
        passed | {"weighted_mean": "failed"},
    )
    made["number_for_function"] = (notebook(weighted_mean="weighted_mean = 3"), passed | {"weighted_mean": "missing"})
    made["defined_twice"] = (notebook(weighted_mean=f"weighted_mean = None\n{WEIGHTED_MEAN}"), passed)
    made["helper_loops"] = (
        notebook(
            model_delta="def model_delta(a, b):\n    return subtract(a, b)\ndef subtract(a, b):\n    while True: pass"
        ),
        passed | {"model_delta": "timeout"},
    )
    made["shape_bomb"] = (
        notebook(model_delta="def model_delta(a, b):\n    return [np.zeros([3_000_000] + [1] * 20, np.int8)]"),
        passed | {"model_delta": "failed"},
    )
    return made


def files(name: str) -> bytes:
    """Notebook files that other tools or accidents made; the honest answers are in all but the broken."""
    honest = json.loads(notebook())
    match name:
        case "utf16":
            return json.dumps(honest).encode("utf-16")
        case "windows1252":
            honest["cells"].insert(0, cell("# Größe der Übung"))
            return json.dumps(honest, ensure_ascii=False).encode("cp1252")
        case "byte_order_mark":
            return b"\xef\xbb\xbf" + json.dumps(honest).encode()
        case "old_version":
            cells = [
                {"cell_type": "code", "input": c["source"], "outputs": [], "language": "python"} for c in _code(honest)
            ]
            return json.dumps(
                {"worksheets": [{"cells": cells}], "nbformat": 3, "nbformat_minor": 0, "metadata": {}}
            ).encode()
        case "no_metadata":
            return json.dumps(
                {"cells": [{"cell_type": "code", "source": [c["source"]]} for c in _code(honest)]}
            ).encode()
        case "colab":
            for c in honest["cells"]:
                c["metadata"] = {
                    "id": "aB3",
                    "colab": {"base_uri": "https://localhost"},
                    "executionInfo": {"user": None},
                }
            honest["metadata"] = {"colab": {"provenance": []}, "accelerator": "GPU"}
            return json.dumps(honest | {"nbformat_minor": 0}).encode()
        case "huge_outputs":
            honest["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 5_000_000}]
            return json.dumps(honest).encode()
        case "windows_lines":
            for c in honest["cells"]:
                c["source"] = c["source"].replace("\n", "\r\n")
            return json.dumps(honest).encode()
        case "wrong_types":
            odd = [None, 3, {"cell_type": 7, "source": {}}, {"cell_type": "code", "source": 5, "metadata": []}]
            return json.dumps(honest | {"cells": odd + honest["cells"], "metadata": [], "nbformat": "x"}).encode()
        case "empty":
            return b""
        case "not_json":
            return b"\x89PNG\r\n\x1a\n" + bytes(range(256))
        case "too_deep":
            return b"[" * 1_000_000
        case "a_list":
            return b"[1, 2]"
        case "no_cells":
            return b'{"nbformat": 4, "metadata": {}}'
        case "a_script":
            return (SETUP + WEIGHTED_MEAN).encode()
    raise ValueError(name)


def _code(data):
    return [c for c in data["cells"] if c["cell_type"] == "code"]


READABLE = (
    "utf16", "windows1252", "byte_order_mark", "old_version", "no_metadata", "colab", "huge_outputs", "windows_lines",
    "wrong_types",
)  # fmt: skip
UNREADABLE = ("empty", "not_json", "too_deep", "a_list", "no_cells", "a_script")
