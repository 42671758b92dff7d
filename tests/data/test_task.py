import numpy as np
import pytest

from fedlearn_edu.data.metrics import METRICS, auc_of_counts
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError

FILMS = [f"film {n}" for n in range(12)]


@pytest.mark.parametrize(
    ("task", "outputs", "primary", "higher"),
    [
        (Task.classification(["a", "b"]), 2, "accuracy", True),
        (Task.binary("b"), 1, "auc", True),
        (Task.regression(), 1, "rmse", False),
        (Task.ranking(FILMS), 12, "hit_at_10", True),
    ],
)
def test_what_a_task_says(task, outputs, primary, higher):
    assert (task.num_outputs, task.primary.name, task.primary.higher_is_better) == (outputs, primary, higher)
    assert Task.from_dict(task.to_dict()) == task


@pytest.mark.parametrize(
    ("task", "targets", "expected"),
    [
        (Task.classification(["a", "b", "c"]), [2, 2, 0, 1], 0.5),
        (Task.binary("b"), [0, 1, 1, 1, 1], 0.5),
        (Task.binary("b"), [1, 1], None),
        (Task.regression(), np.float32([1, 3]), 1.0),
        (Task.ranking(FILMS), [*range(12), 11, 11, 11, 11], 14 / 16),
        (Task.classification(["a"]), np.zeros(0, int), None),
    ],
)
def test_the_same_answer_for_every_example(task, targets, expected):
    assert task.baseline(np.asarray(targets)) == expected


def test_a_task_that_does_not_suit_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^Dirichlet: works for a classification task only, got a regression task$"):
        Task.regression().require("classification", what="Dirichlet")
    with pytest.raises(UsageError, match="class_names: expected more than 10 items"):
        Task.ranking(["one"])
    with pytest.raises(UsageError, match="class_names: expected one name per label, got 'abc'"):
        Task.classification("abc")


def test_auc_counts_pairs_and_halves_ties():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    targets, scores = rng.integers(2, size=200), rng.integers(7, size=200)
    counts = np.array([np.bincount(scores[targets == side], minlength=7) for side in (0, 1)])
    assert auc_of_counts(counts) == pytest.approx(roc_auc_score(targets, scores), abs=1e-12)
    assert auc_of_counts(counts * [[1], [0]]) is None


def test_values_as_text():
    assert METRICS["auc"].format(0.5) == "50.0 %"
    assert Task.regression(unit="EUR").primary.format(0.01234) == "0.01234 EUR"
    assert [metric.unit for metric in Task.regression(unit="EUR").metrics] == ["EUR", ""]  # the loss is squared
    assert Task.regression().primary.format(5) == "5"
