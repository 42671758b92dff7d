"""Two small exercises that only the tests know, and a solutions notebook for them."""

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from fedlearn_edu.course.checks.compare import near
from fedlearn_edu.course.checks.exercise import Case, Exercise


def mean_cases(seed):
    rng = np.random.default_rng(seed)
    deltas = [rng.normal(size=[3, 2]) for _ in range(4 + seed)]
    sizes = [int(n) for n in rng.integers(1, 50, size=len(deltas))]
    expected = np.einsum("cij,c->ij", np.stack(deltas), np.asarray(sizes) / sum(sizes))
    return [
        Case(
            "one client", ([deltas[0]], [7]), near(deltas[0]), "the client's own delta", "What is the sum of weights?"
        ),
        Case("clients of different sizes", (deltas, sizes), near(expected), "shape (3, 2)", "Who counts for more?"),
        Case("no client", ([], []), near(None), "None", "Is there anything to average?"),
    ]


def bytes_cases(seed):
    shape = (4 + seed, 3)
    return [Case("float32", ([np.zeros(shape, np.float32)],), near(shape[0] * 12), f"{shape[0] * 12}", "4 bytes each")]


WEIGHTED_MEAN = Exercise(
    "98.weighted_mean",
    5,
    "The weighted mean of deltas",
    mean_cases,
    {
        "unweighted": "def weighted_mean(deltas, sizes):\n    return np.mean(deltas, axis=0) if deltas else None",
        "flipped sign": "def weighted_mean(deltas, sizes):\n"
        "    return -np.average(deltas, axis=0, weights=sizes) if deltas else None",
    },
)
UPLOAD_BYTES = Exercise(
    "98.upload_bytes",
    2,
    "Bytes of one upload",
    bytes_cases,
    {
        "counts entries": "def upload_bytes(arrays):\n    return sum(a.size for a in arrays)",
        "eight bytes": "def upload_bytes(arrays):\n    return sum(8 * a.size for a in arrays)",
    },
)
EXERCISES = {exercise.id: exercise for exercise in (WEIGHTED_MEAN, UPLOAD_BYTES)}


def weighted_mean(deltas, sizes):
    """The solution."""
    return np.average(deltas, axis=0, weights=sizes) if len(deltas) else None


def upload_bytes(arrays):
    """The solution."""
    return sum(array.nbytes for array in arrays)


MEAN_SOLUTION = '''\
def weighted_mean(deltas, sizes):
    """Returns the mean of `deltas`, each weighted by its client's size."""
    ### BEGIN SOLUTION
    secret = np.average(deltas, axis=0, weights=sizes) if len(deltas) else None
    return secret
    ### END SOLUTION
'''
BYTES_SOLUTION = '''\
def upload_bytes(arrays: list, *, scale=1) -> int:
    """Returns how many bytes a client uploads."""
    total = 0
    for array in arrays:
        ### BEGIN SOLUTION
        total += array.nbytes  # secret
        ### END SOLUTION
    return total
'''


def tagged(cell, tag, **fedlearn):
    cell.metadata["tags"] = [tag]
    if fedlearn:
        cell.metadata["fedlearn"] = fedlearn
    return cell


def solution_cells():
    """The cells of a good solutions notebook; tests break one at a time."""
    return [
        new_markdown_cell("# A toy lesson"),
        new_code_cell("import numpy as np\n\nfrom fedlearn_edu.course.checks import check"),
        tagged(new_markdown_cell("## The mean"), "exercise", id="98.weighted_mean", points=5),
        tagged(new_code_cell(MEAN_SOLUTION), "solution"),
        tagged(new_code_cell('check("98.weighted_mean", weighted_mean)'), "check"),
        tagged(
            new_code_cell('assert check("98.weighted_mean", weighted_mean, seed=1).passed  # secret'), "hidden-check"
        ),
        tagged(new_markdown_cell("## Bytes"), "exercise", id="98.upload_bytes", points=2),
        tagged(new_code_cell("my_guess = 48  # secret"), "answer"),
        tagged(new_code_cell(BYTES_SOLUTION), "solution"),
        tagged(new_code_cell('check("98.upload_bytes", upload_bytes)'), "check"),
        tagged(new_markdown_cell("Because of the secret."), "answer"),
        new_code_cell('print("the end", my_guess)'),
    ]


def write_solution(folder, name="98_toy.ipynb", *, cells=None, **metadata):
    """Writes a solutions notebook into `folder` and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook = new_notebook(cells=solution_cells() if cells is None else cells, metadata=metadata)
    path = folder / name
    nbformat.write(notebook, path)
    return path


def use_toy_registry(monkeypatch):
    """Makes the two exercises lesson 98 for the length of a test, with nothing checked yet."""
    from fedlearn_edu.course.checks import learner, registry

    real_lessons, real_exercises = registry.lessons, registry.lesson_exercises
    monkeypatch.setattr(registry, "lessons", lambda: (*real_lessons(), "98"))
    monkeypatch.setattr(
        registry, "lesson_exercises", lambda lesson: EXERCISES if lesson == "98" else real_exercises(lesson)
    )
    monkeypatch.setattr(learner, "_LATEST", {})
