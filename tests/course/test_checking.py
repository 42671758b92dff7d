"""Checks: the verdict on right, wrong, missing and hostile functions; what a learner sees of it."""

import dataclasses
import functools
import html.parser
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_exercises import EXERCISES, WEIGHTED_MEAN, upload_bytes, use_toy_registry, weighted_mean

from fedlearn_edu.course.checks import check, learner, progress, registry
from fedlearn_edu.course.checks.checking import Case, Exercise, check_function, judge, score
from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.data import NotDataError, as_array, describe, to_data
from fedlearn_edu.course.checks.exercise import weighted
from fedlearn_edu.course.checks.slips import slip
from fedlearn_edu.errors import UsageError


@pytest.fixture(autouse=True)
def toy_registry(monkeypatch):
    use_toy_registry(monkeypatch)


def stub(deltas, sizes):
    raise NotImplementedError


# The verdict


def test_solution_passes_with_all_points():
    result = check("98.weighted_mean", weighted_mean)
    assert (result.status, result.points, result.possible, result.passed) == ("passed", 5.0, 5, True)
    assert [case.passed for case in result.cases] == [True, True, True]
    assert all(case.hint == case.problem == "" for case in result.cases)


@pytest.mark.parametrize("function", [stub, None, ...], ids=["stub", "none", "ellipsis"])
def test_what_is_not_written_yet_is_todo(function):
    result = check("98.weighted_mean", function)
    assert (result.status, result.points, result.message) == ("todo", 0.0, "")


def test_check_without_a_function_is_todo():
    assert check("98.weighted_mean").status == "todo"


def test_half_written_is_failed_not_todo():
    def half(deltas, sizes):
        if len(deltas) == 1:
            return deltas[0]
        raise NotImplementedError

    result = check("98.weighted_mean", half)
    assert (result.status, result.points) == ("failed", 0.0)  # one right answer alone
    assert "points begin with two different right answers" in result.message
    assert [case.todo for case in result.cases] == [False, True, True]


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", list(WEIGHTED_MEAN.wrong_answers))
def test_wrong_answers_fail_on_every_seed(name, seed):
    namespace = {"np": np}
    exec(WEIGHTED_MEAN.wrong_answers[name], namespace)
    result = check("98.weighted_mean", namespace["weighted_mean"], seed=seed)
    assert result.status == "failed"
    assert result.points < 5


def test_failed_case_tells_input_expected_got_problem_and_hint():
    result = check("98.weighted_mean", lambda deltas, sizes: np.mean(deltas, axis=0) if deltas else None)
    case = result.cases[1]
    assert not case.passed
    assert case.given.startswith("deltas=[array(")
    assert "sizes=[" in case.given
    assert case.expected == "shape (3, 2)"
    assert case.got.startswith("array(")
    assert case.problem == "6 of 6 entries are wrong"
    assert case.hint == "Who counts for more?"
    text = str(result)
    for part in ("98.weighted_mean", "failed", "0.83 of 5 points", case.given, case.got, case.problem, case.hint):
        assert part in text


def test_missing_return_is_named():
    result = check("98.upload_bytes", lambda arrays: None)
    assert result.cases[0].problem == "the function returned None: is a `return` missing?"


def test_error_names_the_learners_own_line():
    def broken(arrays):
        return max(item.no_such_thing for item in arrays)

    problem = check("98.upload_bytes", broken).cases[0].problem
    assert problem.startswith("raised AttributeError: 'numpy.ndarray' object has no attribute 'no_such_thing'")
    assert "return max(item.no_such_thing" in problem

    def helper(array):
        return array.no_such_thing

    problem = check("98.upload_bytes", lambda arrays: helper(arrays[0])).cases[0].problem
    line = helper.__code__.co_firstlineno + 1
    assert problem.endswith(f"(in helper, line {line}: return array.no_such_thing)")


class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


MODEL = [np.ones((2, 3)), np.ones(3)]
RAISING = {
    "list - list": (lambda: MODEL - MODEL, "a model is a *list* of arrays"),
    "-list": (lambda: -MODEL, "a model is a *list* of arrays"),
    "number * list": (lambda: 0.5 * MODEL, "a model is a *list* of arrays"),
    "list + tuple": (lambda: MODEL + (1,), "a model is a *list* of arrays"),
    "list[i, j]": (lambda: MODEL[0, 1], "a model is a *list* of arrays"),
    "list.shape": (lambda: MODEL.shape, "a model is a *list* of arrays"),
    "mean of a model": (lambda: np.mean(MODEL), "keep them in a list"),
    "difference of models": (lambda: np.subtract(MODEL, MODEL), "keep them in a list"),
    "shapes": (lambda: np.ones(3) - np.ones(4), "the shapes do not fit"),
    "matrix product": (lambda: np.ones((2, 3)) @ np.ones((2, 3)), "the shapes do not fit"),
    "concatenate": (lambda: np.concatenate(MODEL), "the shapes do not fit"),
    "axis": (lambda: np.ones(3).sum(axis=1), "the shapes do not fit"),
    "too many": (lambda: [0 for a, b in [(1, 2, 3)]], "names on the left"),
    "too few": (lambda: [0 for a, b in [(1,)]], "names on the left"),
    "a number unpacked": (lambda: [0 for a, b in [1]], "names on the left"),
    "list index": (lambda: MODEL[2], "there is no such place"),
    "array index": (lambda: MODEL[1][3], "there is no such place"),
    "index of a vector": (lambda: MODEL[1][0, 0], "fewer axes"),
    "for over a number": (lambda: [0 for _ in 3], "a single value is used like a list"),
    "len of a number": (lambda: len(3), "a single value is used like a list"),
    "None": (lambda: None + 1, "something is None here"),
    "strict zip": (lambda: list(zip(MODEL, [1], strict=True)), "different lengths"),
    "if array": (lambda: 0 if MODEL[1] > 0 else 1, "`.all()` or `.any()`"),
    "float of array": (lambda: float(MODEL[1]), "one number is wanted"),
    "in place": (lambda: np.add(1, 0.5, out=np.ones(1, int)), "takes no fractions"),
    "call": (lambda: weighted_mean(1), "compare the call"),
    "round brackets": (lambda: MODEL(0), "round brackets"),
    "key": (lambda: {}["a"], "no such key"),
    "name": (lambda: no_such_name, "is the name spelled"),  # noqa: F821
    "set": (lambda: {MODEL: 1}, "another type than it needs"),
}


@pytest.mark.parametrize("name", list(RAISING))
def test_the_hint_after_an_error_is_about_the_error(name):
    function, hint = RAISING[name]
    case = check("98.weighted_mean", lambda deltas, sizes: function()).cases[1]
    assert case.problem.startswith("raised ")
    assert hint in case.hint


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), ValueError("no clients"), BadText()])
def test_after_an_error_that_may_be_about_the_case_its_own_hint_stays(error):
    assert check("98.weighted_mean", lambda deltas, sizes: _raise(error)).cases[1].hint == "Who counts for more?"


def test_a_function_may_spoil_its_input_and_harms_nobody():
    def spoils(deltas, sizes):
        answer = weighted_mean(deltas, sizes)
        for delta in deltas:
            delta[...] = np.nan
        deltas.clear()
        sizes[:] = [0]
        return answer

    cases = WEIGHTED_MEAN.cases(0)
    exercise = dataclasses.replace(WEIGHTED_MEAN, cases=lambda seed: cases)
    assert check_function(exercise, spoils).passed
    assert check_function(exercise, weighted_mean).passed, "the cases themselves were spoilt"


def test_stop_goes_through():
    def endless(arrays):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("98.upload_bytes", endless)


class Imitation(list):
    """Claims to be equal to everything."""

    def __eq__(self, other):
        return True

    __hash__ = None

    def __repr__(self):
        raise RuntimeError("no repr")


class LyingNumber(float):
    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return 0.0

    def __float__(self):
        raise RuntimeError("no float")

    __hash__ = float.__hash__


def _raise(error):
    raise error


def _holds_itself():
    value = []
    value.append(value)
    return value


def _recursive(n=0):
    return _recursive(n + 1)


async def _coroutine():
    return 48


HOSTILE = {
    "exit": (lambda _: sys.exit(0), "raised SystemExit: 0"),
    "recursion": (lambda _: _recursive(), "raised RecursionError"),
    "memory": (lambda _: _raise(MemoryError()), "raised MemoryError"),
    "generator exit": (lambda _: _raise(GeneratorExit()), "raised GeneratorExit"),
    "error without text": (lambda _: _raise(BadText()), "raised BadText"),
    "error of many lines": (lambda _: _raise(ValueError("a\nb" * 500)), "raised ValueError: a ba ba b"),
    "no argument": (lambda: 48, "raised TypeError"),
    "too many arguments": (lambda a, b: 48, "raised TypeError"),
    "generator": (lambda _: (n for n in [48]), "returned a generator; return numbers"),
    "set": (lambda _: {48}, "returned a set; return numbers"),
    "function": (lambda _: print, "returned a builtin_function_or_method"),
    "complex": (lambda _: np.complex128(48), "returned a NumPy complex128 number"),
    "array of objects": (lambda _: np.array([48, None]), "returned an array of dtype object"),
    "holds itself": (lambda _: _holds_itself(), "returned lists within lists"),
    "strange key": (lambda _: {(1, 2): 3}, "returned a dict with a key of type tuple"),
    "imitation": (lambda _: Imitation([48]), "the result is a list of 1; expected a single number"),
    "lying number": (lambda _: LyingNumber(7), "the number is wrong"),
    "true": (lambda _: True, "the result is True or False; expected a single number"),
    "nan": (lambda _: float("nan"), "the result is NaN or infinite"),
    "huge": (lambda _: 10**400, "the number is wrong"),
    "text": (lambda _: "48", "the result is text; expected a single number"),
    "inside": (lambda _: [{"a": {1}}], "returned a set at [0]['a']"),
    "type": (dict, "raised ValueError"),
    "partial": (functools.partial(pow, 2), "raised TypeError"),
    "builtin without signature": (max, "the result is an array of shape (4, 3)"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_check_never_raises(name):
    function, problem = HOSTILE[name]
    result = check("98.upload_bytes", function)
    assert (result.status, result.points) == ("failed", 0.0)
    assert problem in result.cases[0].problem
    assert "\n" not in result.cases[0].problem
    assert len(result.cases[0].problem) < 500
    assert str(result)
    assert result._repr_html_()


@pytest.mark.parametrize(
    ("function", "message"),
    [(48, "expected the function itself, got 48"), ("upload_bytes", "got 'upload_bytes'"), (np.ones(3), "got array(")],
)
def test_a_value_instead_of_the_function(function, message):
    result = check("98.upload_bytes", function)
    assert result.status == "failed"
    assert message in result.message
    assert 'write check("98.upload_bytes", upload_bytes) without calling it' in result.message


@pytest.mark.parametrize(
    ("exercise_id", "message"),
    [
        ("98.wieghted_mean", "did you mean '98.weighted_mean'?"),
        ("8.weighted_mean", "did you mean '98.weighted_mean'?"),
        ("", "exercise '' does not exist"),
        (weighted_mean, 'expected an id first, as in check("03.weighted_mean", weighted_mean), got <function'),
        (None, "got None"),
        ([], "got []"),
    ],
)
def test_unknown_ids_are_one_clear_line(exercise_id, message):
    result = check(exercise_id, weighted_mean)
    assert (result.status, result.possible) == ("failed", 0)
    assert message in result.message
    assert "\n" not in result.message
    assert result._repr_html_()


def test_a_broken_check_says_so(monkeypatch):
    broken = dataclasses.replace(WEIGHTED_MEAN, cases=lambda seed: 1 / 0)
    monkeypatch.setitem(EXERCISES, "98.weighted_mean", broken)
    result = check("98.weighted_mean", weighted_mean)
    assert result.message == "this check is broken, not your answer (ZeroDivisionError: division by zero)"


def test_a_verify_that_stumbles_means_wrong():
    case = Case("shapes", (), lambda got: None if got["kernel"].shape == (3,) else "wrong shape", "shape (3,)", "Look.")
    assert judge(case, {"kernel": np.zeros(3)}).passed
    result = judge(case, [1, 2])
    assert not result.passed
    assert "could not be compared with what was expected (TypeError" in result.problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "weighted_mean"}, "expected '03.function_name', got 'weighted_mean'"),
        ({"points": 0}, "98.weighted_mean points: expected a whole number above 0, got 0"),
        ({"points": True}, "got True"),
        ({"wrong_answers": {"one": "pass"}}, "wrong_answers: expected at least 2, got 1"),
    ],
)
def test_malformed_exercises_are_refused(change, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        dataclasses.replace(WEIGHTED_MEAN, **change)


NUMBERED = [Case(str(i), (i,), equal(i), "", "", weight) for i, weight in enumerate([1.0, 1.0, 2.0, 0.0])]
FOUR = Exercise("98.four", 8, "", lambda seed: NUMBERED, {"a": "", "b": ""})


@pytest.mark.parametrize(
    ("right", "points", "said"),
    [
        ("0123", {"cases": 8, "half": 8, "none": 8}, ""),
        ("012", {"cases": 2, "half": 4, "none": 0}, "3 of 4 cases right"),  # wrong where nothing is to be earned
        ("02", {"cases": 1.5, "half": 4, "none": 0}, "at most a quarter of the points until all are"),
        ("01", {"cases": 1, "half": 4, "none": 0}, "2 of 4 cases right"),
        ("13", {"cases": 0, "half": 0, "none": 0}, "points begin with two different right answers"),
        (
            "3",
            {"cases": 0, "half": 0, "none": 0},
            "1 of 4 cases right, which nearly any function gets right: no points yet",
        ),
        ("", {"cases": 0, "half": 0, "none": 0}, ""),
    ],
)
def test_points_for_answers_that_are_not_all_right(right, points, said):
    results = [judge(case, case.arguments[0] if case.name in right else -1) for case in NUMBERED]
    for partial, expected in points.items():
        result = score(FOUR, results, partial=partial)
        assert result.points == expected, partial
        assert result.status == ("passed" if right == "0123" else "failed")
    assert said in score(FOUR, results).message
    assert check_function(FOUR, lambda i: i if str(i) in right else -1).points == points["cases"]


def test_half_of_the_points_wants_half_of_the_weight():
    cases = [dataclasses.replace(case, weight=1.0) for case in NUMBERED]
    results = [judge(case, case.arguments[0] if case.name in "01" else -1) for case in cases]
    assert score(FOUR, results, partial="half").points == 4
    cases[3] = dataclasses.replace(cases[3], weight=1.5)
    results = [judge(case, case.arguments[0] if case.name in "01" else -1) for case in cases]
    result = score(FOUR, results, partial="half")
    assert (result.points, result.message) == (0, "2 of 4 cases right: points begin with half of them")
    assert score(FOUR, results, partial="none").message == "2 of 4 cases right: points come when all are"


def test_an_unknown_rule_for_points_is_refused():
    with pytest.raises(UsageError, match="partial: did you mean 'cases'"):
        score(FOUR, [], partial="case")


def test_weights_are_given_by_the_names_of_cases():
    cases = weighted(WEIGHTED_MEAN.cases, {"no client": 0})(1)
    assert [case.weight for case in cases] == [1, 1, 0]
    with pytest.raises(UsageError, match="weights: expected names of cases, got no clients"):
        weighted(WEIGHTED_MEAN.cases, {"no clients": 0})(1)
    for weight in (-0.5, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=f"Case 'no client' weight: expected a number of at least 0, got {weight}"):
            weighted(WEIGHTED_MEAN.cases, {"no client": weight})(1)


def test_right_answers_of_another_type_are_the_same_answer():
    cases = [Case(str(i), (i,), equal(0.0), "", "") for i in range(4)] + [Case("4", (4,), equal(4), "", "")]
    exercise = Exercise("98.same", 10, "", lambda seed: cases, {"a": "", "b": ""})
    zeros = [0, 0.0, np.float32(0), np.zeros([])]
    assert check_function(exercise, lambda i: zeros[i] if i < 4 else 5).points == 0
    assert check_function(exercise, lambda i: zeros[i] if i in (1, 2) else i).points > 0


def test_noise_within_the_tolerance_is_no_second_answer_whatever_a_trivial_case_wants():
    cases = [Case(str(i), (i,), near(0.5), "", "") for i in range(2)]
    cases += [Case("2", (2,), equal(None), "", "", 0.0), Case("3", (3,), near(7.5), "", "")]
    exercise = Exercise("98.noise", 8, "", lambda seed: cases, {"a": "", "b": ""})
    noisy = [0.50000049, 0.50000051, None, 0.5]  # on both sides of what is rounded up
    result = check_function(exercise, lambda i: noisy[i])
    assert ([case.passed for case in result.cases], result.points) == ([True, True, True, False], 0)
    assert check_function(exercise, lambda i: [*noisy[:3], 7.5][i]).passed


# The registry


def test_a_lesson_with_a_foreign_or_double_id_is_refused(monkeypatch):
    module = type(sys)("lesson_97")
    monkeypatch.setitem(sys.modules, "fedlearn_edu.course.checks.lesson_97", module)
    load = _real_lesson_exercises
    for exercises in ([WEIGHTED_MEAN], [_renamed("97.a"), _renamed("97.a")]):
        module.EXERCISES = exercises
        with pytest.raises(UsageError, match="expected unique ids that start with 97"):
            load("97")
    module.EXERCISES = [_renamed("97.a"), _renamed("97.b")]
    assert list(load("97")) == ["97.a", "97.b"]


_real_lesson_exercises = registry.lesson_exercises.__wrapped__


def _renamed(id):
    return dataclasses.replace(WEIGHTED_MEAN, id=id)


# Progress


def test_progress_is_the_latest_of_each_exercise():
    assert [result.status for result in progress("98").results] == ["todo", "todo"]
    check("98.weighted_mean", weighted_mean)
    check("98.upload_bytes", lambda arrays: 0)
    check("98.upload_bytes", upload_bytes, seed=1)  # hidden variants are not recorded
    table = progress()
    assert [(r.exercise_id, r.status) for r in table.results] == [
        ("98.weighted_mean", "passed"),
        ("98.upload_bytes", "failed"),
    ]
    assert (table.points, table.possible) == (5.0, 7)
    check("98.weighted_mean", stub)
    assert [r.status for r in progress().results] == ["todo", "failed"]


def test_progress_as_frame_text_and_html():
    check("98.upload_bytes", upload_bytes)
    table = progress()
    frame = table.to_frame()
    assert list(frame.columns) == ["exercise", "title", "status", "points", "possible"]
    assert frame.set_index("exercise").loc["98.upload_bytes", "status"] == "passed"
    assert frame.points.sum() == 2
    assert str(table).splitlines()[-1] == "2 of 7 points"
    assert "2 of 7 points" in table._repr_html_()
    assert "98.weighted_mean" in table._repr_html_()


def test_progress_of_an_unknown_lesson():
    with pytest.raises(UsageError, match=r"lesson: expected one of .*98, got '77'"):
        progress("77")
    assert progress(98).possible == 7


def test_forget():
    check("98.upload_bytes", upload_bytes)
    learner.forget()
    assert progress("98").points == 0


# A function that uses another one's exercise


def test_what_to_mend_first_is_said():
    namespace = {}
    exec(
        "def helper(arrays):\n    return upload_bytes(arrays)\n"
        "def weighted_mean(deltas, sizes):\n    return [helper([delta]) for delta in deltas]",
        namespace,
    )
    function = namespace["weighted_mean"]
    first = check("98.weighted_mean", function)
    assert first.message == "uses upload_bytes of exercise 98.upload_bytes, which is not there: run its cell first"
    namespace["upload_bytes"] = lambda arrays: 0
    assert check("98.weighted_mean", function).message == "", "nothing is known of it yet"
    check("98.upload_bytes", namespace["upload_bytes"])
    mend = "uses your upload_bytes (98.upload_bytes), which is not right yet: mend that first"
    assert check("98.weighted_mean", function).message == mend
    assert check("98.weighted_mean", lambda deltas, sizes: sizes.upload_bytes).message == "", "only an attribute"
    check("98.upload_bytes", upload_bytes)
    assert check("98.weighted_mean", function).message == ""


# What a learner sees


class _Balanced(html.parser.HTMLParser):
    """Collects the text, and fails on a tag that is not ours or not closed."""

    def __init__(self, source):
        super().__init__()
        self.open, self.text, self.folds = [], "", []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in ("div", "span", "b", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"), tag
        assert {name for name, _ in attrs} <= {"class", "style", "scope", "data-exercise", "data-status", "open"}
        self.folds += [("open", None) in attrs] if tag == "details" else []
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"


@pytest.mark.parametrize(
    "function",
    [lambda _: EVIL, lambda _: {EVIL: 1}, lambda _: _raise(ValueError(EVIL)), type(EVIL, (), {}), EVIL],
    ids=["text", "key", "error", "class", "not a function"],
)
def test_html_escapes_what_the_learner_wrote(function):
    page = _Balanced(check("98.upload_bytes", function)._repr_html_())
    assert "<script>alert(" in page.text, "shown as text, not run"


def test_html_escapes_names_and_ids(monkeypatch):
    evil_case = Case(EVIL, (EVIL,), lambda got: EVIL, EVIL, EVIL)
    evil = dataclasses.replace(WEIGHTED_MEAN, title=EVIL, cases=lambda seed: [evil_case])
    monkeypatch.setitem(EXERCISES, "98.weighted_mean", evil)
    page = _Balanced(check("98.weighted_mean", lambda x: x)._repr_html_())
    assert page.text.count("<script>") == 7  # title, case, given, expected, got, problem, hint
    assert "<script>" in _Balanced(progress()._repr_html_()).text
    assert _Balanced(check(EVIL, None)._repr_html_())


def test_html_opens_the_first_wrong_case_and_folds_the_rest():
    cases = [dataclasses.replace(case, name=f"case {case.name}") for case in [NUMBERED[3], *NUMBERED[:3]]]
    exercise = dataclasses.replace(FOUR, cases=lambda seed: cases)
    result = check_function(exercise, lambda i: i if i in (0, 3) else -1)
    page = _Balanced(result._repr_html_())
    assert page.folds == [True, False], "two are wrong"
    for text in ("1 and 3", "2 of 4 cases right: points begin with two", "case 3 (no points: nearly any function"):
        assert (text in page.text) == (text in str(result)) == (text != "1 and 3")
    whole = check_function(exercise, lambda i: i)
    assert _Balanced(whole._repr_html_()).folds == []
    assert "no points" not in str(whole), "nobody counts where all is right"


def test_html_says_the_status_in_words_too():
    for function, status in [(upload_bytes, "passed"), (None, "todo"), (lambda _: 0, "failed")]:
        page = check("98.upload_bytes", function)._repr_html_()
        assert status in _Balanced(page).text
        assert f'data-status="{status}"' in page


def test_output_of_gigabytes_stays_short():
    result = check("98.upload_bytes", lambda _: ["x" * 10**6] * 1000)
    assert len(str(result)) < 2500
    assert len(check("98.upload_bytes", lambda _: np.zeros([300, 300, 30]))._repr_html_()) < 6000


# Plain data

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(DATA)
def test_plain_data_comes_through_unchanged(value):
    copied = to_data(value)
    assert copied == value
    assert repr(copied) == repr(value)
    assert equal(value)(copied) is None
    assert isinstance(describe(value), str)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([0.5, 1.0]), "array([0.5, 1.0])"),
        (np.array([1, -2], np.int32), "array([1, -2], dtype=int32)"),
        (np.array([True, False]), "array([True, False])"),
        ([np.array([[1 / 3], [np.nan]]), np.array("a")], "[array([[0.333333], [nan]]), array('a')]"),
        ({"w": np.float32([1e-9, 1e9])}, "{'w': array([1e-09, 1e+09], dtype=float32)}"),
        (np.arange(13) / 2, "array of shape (13,): [0.0, 0.5, 1.0, 1.5, ...]"),
        (np.zeros([5, 4, 3], int), "array of shape (5, 4, 3): [[[0, 0, 0], ...], ...]"),
        (np.zeros([1, 20], np.float32), "array of shape (1, 20) and dtype float32: [[0.0, 0.0, 0.0, 0.0, ...]]"),
        (np.array([]), "array([])"),
        (np.zeros([12] * 9 + [0]), f"array of shape ({'12, ' * 9}0)"),
        (np.array(["x" * 90] * 4), "array of shape (4,): [" + ", ".join(["'" + "x" * 35 + "...'"] * 4) + "]"),
    ],
)  # fmt: skip
def test_short_arrays_are_shown_by_their_values_and_long_ones_by_their_shape(value, text):
    assert describe(value) == text


def test_arrays_and_scalars():
    array = np.arange(6).reshape(2, 3)
    copied = to_data([array])[0]
    assert copied is not array
    assert not np.shares_memory(copied, array)
    for value, plain in [(np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (np.str_("a"), "a")]:
        assert type(to_data(value)) is type(plain)
        assert to_data(value) == plain
    assert type(to_data(np.longdouble(0.5))) is float
    assert type(to_data(np.ones(2).view(np.recarray))) is np.ndarray
    assert to_data(np.array(["a"])).dtype.kind == "U"


def test_whole_numbers_have_no_largest_one():
    assert equal(10**400)(10**400) is None
    assert equal(10**400)(10**400 + 1)
    assert near(0.5)(10**400)
    assert near(10**400)(0.5)
    assert near(float("nan"))(float("nan")) is None


def test_tensors_become_arrays():
    import tensorflow as tf

    assert to_data(tf.constant(0.5)) == 0.5
    np.testing.assert_array_equal(to_data({"w": tf.Variable([1.0, 2.0])})["w"], [1.0, 2.0])
    with pytest.raises(NotDataError, match=r"array of dtype object|return numbers"):
        to_data(tf.constant(["a"]))
    with tf.Graph().as_default(), pytest.raises(NotDataError, match="tensor without a value"):
        to_data(tf.constant(1.0))


def test_pandas_says_how_to_convert():
    import pandas as pd

    with pytest.raises(NotDataError, match=r"a pandas Series \(use .to_numpy\(\) or .to_dict\(\)\)"):
        to_data(pd.Series([1]))


# Comparisons


@pytest.mark.parametrize(
    ("expected", "right", "wrong", "problem"),
    [
        (0.25, 0.25 + 1e-8, 0.26, "the number is wrong"),
        (0.25, np.array(0.25), [0.25], "the result is a list of 1; expected a single number"),
        (3, 3.0, 4, "the number is wrong"),
        (1e9, 1e9 + 1, 1.1e9, "the number is wrong"),
        (np.ones(3), [1, 1, 1], np.ones([3, 1]), "an array of shape (3, 1); expected an array of shape (3,)"),
        (np.ones(3), (1.0, 1, 1), [1, 1, np.inf], "the result holds NaN or infinity"),
        (np.ones(3), np.ones(3, np.float32), [[1], [1, 2]], "a list of 2; expected an array of shape (3,)"),
        (np.array([np.nan]), [np.nan], [0.0], "1 of 1 entries is wrong"),
        (np.array([True, False]), [True, False], [1, 0], "the result holds numbers; expected True and False"),
        ([np.ones(2), np.ones(3)], (np.ones(2), [1, 1, 1]), [np.ones(2), np.zeros(3)], "item 1 of the result: 3 of 3"),
        ([1, 2], np.array([1, 2]), [1], "the result has 1 item; expected 2"),
        (["a", "b"], ("a", "b"), ["a", "c"], "item 1 of the result is wrong"),
        (["a"], np.array(["a"]), "a", "the result is text; expected a list of 1"),
        ({"a": 1.0}, {"a": 1}, {"b": 1}, "the result lacks keys: 'a'"),
        ({"a": [1, 2]}, {"a": (1, 2)}, {"a": [1, 3]}, "item 1 of 'a' of the result is wrong"),
        (True, np.array(True), 1, "the result is a single number; expected True or False"),
        (None, None, 0, "the result is a single number; expected None"),
        ("a", "a", "b", "the result is wrong"),
    ],
)
def test_near(expected, right, wrong, problem):
    assert near(expected)(to_data(right)) is None
    assert problem in near(expected)(to_data(wrong))


def test_near_tells_no_expected_number():
    problem = near(np.array([0.123456, 7.654321]))(np.zeros(2))
    assert "0.12" not in problem
    assert "7.65" not in problem


def test_tolerance_is_relative_above_one():
    assert near(1000.0, tolerance=1e-3)(1000.9) is None
    assert near(1000.0, tolerance=1e-3)(1001.1)
    assert near(0.001, tolerance=1e-3)(0.0019) is None


def test_equal_is_exact_for_large_whole_numbers():
    assert equal(2**60)(2**60) is None
    assert equal(2**60)(2**60 + 1)
    assert as_array("text") is None


# Hints that fit the mistake

ROWS = np.array([[1.5, -2.0, 4.0], [0.0, 3.0, -7.25]])
SLIPS = {
    "every number has the opposite sign": (ROWS, -ROWS),
    "not all have the right sign": (ROWS, np.abs(ROWS)),
    "is something counted the wrong way round?": (np.array([0.25, 0.5, 0.125]), [0.75, 0.5, 0.875]),
    "is a root missing?": (np.array([1.5, 2.0]), [2.25, 4.0]),
    "is there a root too many?": (np.array([2.25, 4.0]), [1.5, 2.0]),
    "every number is 2 times too large": (ROWS, 2 * ROWS),
    "every number is 10 times too small": (ROWS, ROWS / 10),
    "every number is 3 times too large, and has the opposite sign": (ROWS, -3 * ROWS),
    "every number is too small by one and the same factor": (ROWS, ROWS * 0.37),
    "every number is too large by the same amount": (ROWS, ROWS + 1),
    "rows and columns are swapped": (ROWS, ROWS.T),
    "rows and columns are swapped ": (ROWS[:, :2], ROWS[:, :2].T),
    "the numbers are right, the shape is not": (ROWS, ROWS.ravel()),
    "the right numbers, but in another order": (np.array([3.0, 1.0, 2.5]), [1.0, 2.5, 3.0]),
    "the numbers are whole, and should not be": (np.array([0.5, 1.75]), np.array([0, 1])),
    "rounded: give back all digits": (np.array([0.123456, 2.345678]), [0.12, 2.35]),
    "rounded: give back all digits ": (0.123456, 0.12),
    "very close, but not exact": (0.123456, 0.123458),
    "look at the sign": (0.25, -0.25),
    "True and False are the wrong way round": (np.array([True, False]), [False, True]),
    "the right names, but in another order": (["b", "a"], ["a", "b"]),
    "part 2 of 2: every number has the opposite sign": ((0.5, ROWS), [0.5, -ROWS]),
    "in what is wrong, every number has the opposite sign": ([ROWS, ROWS[0], 7], [-ROWS, -ROWS[0], 7]),
    "every number has the opposite sign ": ({"a": ROWS, "b": [1.0, 2.0]}, {"a": -ROWS, "b": (-1, -2)}),
}


@pytest.mark.parametrize("said", list(SLIPS))
def test_a_hint_names_the_slip(said):
    expected, got = SLIPS[said]
    result = judge(Case("c", (), near(expected), "", "the case's own hint"), got)
    assert said.strip() in result.hint
    assert not result.passed


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (0.25, 0.5),  # of a single number any factor and any offset would be the answer itself
        (3, 4),
        (1, -1),  # a row number and "there is none"
        ((0.02, 0.0141421), (0.07, 0.01)),  # nothing rounded to one digit
        (np.array([2.0, 2.0]), [6.0, 6.0]),  # no factor to be told from an offset
        (ROWS, np.zeros([2, 3])),
        (ROWS, [[1, 2], [3]]),
        (np.array([1.25, 2.5]), [2.5, 1.25]),  # two in another order are the answer itself
        (np.array([1, 0, 1, 0]), [0, 1, 1, 0]),  # labels: as many of each by chance
        (ROWS, np.full([2, 3], np.nan)),
        (ROWS, None),
        (["a", "b"], ["a", "c"]),
        (10**400, -(10**400)),
        ({"a": 1.0}, {"b": -1.0}),
    ],
)
def test_where_no_slip_is_known_the_hint_is_the_cases_own(expected, got):
    hint = judge(Case("c", (), near(expected), "", "the case's own hint"), got).hint
    assert hint == "the case's own hint"


def test_a_wrong_structure_has_a_hint_of_its_own_if_there_is_one():
    case = Case("c", (), near([ROWS, ROWS[0]], structure="one array for each"), "", "about the numbers")
    assert judge(case, [ROWS]).hint == judge(case, [ROWS[0], ROWS]).hint == "one array for each"
    assert judge(case, [ROWS, ROWS[1]]).hint == "about the numbers"
    assert judge(case, [-ROWS, -ROWS[0]]).hint == "every number has the opposite sign"
    zeros = Case("c", (), near([ROWS, np.zeros(2)]), "", "")
    assert judge(zeros, [-ROWS, [0, 0]]).hint == "every number has the opposite sign", "a flipped 0 is right as well"


def test_an_argument_that_comes_back_is_recognised():
    case = Case("c", ([1.0, 2.0], ROWS, 3), near(ROWS[0]), "", "own")
    assert judge(case, ROWS.tolist()).hint == "what came back equals the second argument; own"
    assert judge(case, 3).hint == "own", "a single number may be the same by chance"


def test_a_flipped_sign_is_named_in_every_case_of_the_first_exercise():
    exercise = _real_lesson_exercises("00")["00.model_delta"]
    for seed in (0, 1, 77):
        result = check_function(
            exercise, lambda received, trained: list(map(np.subtract, trained, received)), seed=seed
        )
        assert [case.hint for case in result.cases] == ["every number has the opposite sign"] * 2 + [""]
        result = check_function(exercise, lambda received, trained: [received[0] - trained[0]], seed=seed)
        assert result.cases[1].hint.startswith("one array for each array you got")


NUMBERS = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3) | st.lists(NUMBERS, max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(ANY, ANY, st.booleans())
def test_a_hint_never_fails_and_never_makes_right_wrong(expected, got, as_array_too):
    if as_array_too and as_array(expected) is not None:
        expected = as_array(expected)
    assert isinstance(slip(got, expected), str)
    assert slip(expected, expected) == "" or _is_text(expected), "there is no slip in what is right"
    result = judge(Case("c", (expected,), near(expected), "", "own"), got)
    assert result.passed or result.hint
    assert judge(Case("c", (expected,), near(expected), "", "own"), expected).passed


def _is_text(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@given(st.lists(st.floats(0.1, 90), min_size=2, max_size=6, unique=True), st.sampled_from([-2.0, 0.5, 7.3]))
def test_any_factor_is_seen_but_a_hint_holds_no_number_of_the_answer(expected, factor):
    expected = np.array(expected)
    hint = slip(factor * expected, expected)
    if np.ptp(expected) > 0.01:
        assert "times too" in hint or "factor" in hint or "root" in hint, hint
    assert not [n for n in expected if len(f"{n:.4g}") > 2 and f"{n:.4g}" in hint]


# Speed and weight


def test_answers_within_a_tenth_of_a_second():
    times = []
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        check("98.weighted_mean", weighted_mean)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_importing_and_checking_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from fedlearn_edu.course.checks import check, progress\n"
        "print(check('00.none', None))\n"
        "for name in ('tensorflow', 'ipywidgets', 'pandas', 'matplotlib', 'tensorflow_federated'):\n"
        "    assert name not in sys.modules, name\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "exercise '00.none' does not exist" in result.stdout
