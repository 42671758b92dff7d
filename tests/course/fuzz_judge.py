"""Throws hostile answers at the judge: a fuzz target for hypothesis and for the command line.

    python tests/course/fuzz_judge.py --seconds 60

It prints what it did, and ends with code 1 at the first answer that is not judged: one that raises, or takes too long.
"""

import argparse
import base64
import json
import random
import sys
import time

from hypothesis import strategies as st

from fedlearn_edu.course.checks.checking import CaseResult, Exercise
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.marks import judge_frames
from fedlearn_edu.course.grading.sandbox import Outcome

MAX_SECONDS = 10.0  # of processor time for one exercise, as the judge itself has
COLLIDING = 2**61 - 1  # multiples of it hash alike
_NUMBERS = [
    0,
    1,
    -1,
    0.5,
    2**31,
    2**63,
    -(2**200),
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    None,
]
_DTYPES = ["<f8", "<f4", "<f2", "<f16", ">f8", "<i8", "|i1", "|u1", "<u8", "|b1", "<U1", "<U7", "|O8", "<c16", "V8"]

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
arrays = st.builds(
    lambda dtype, shape, raw: {"array": [dtype, shape, raw]},
    st.sampled_from(_DTYPES),
    st.lists(st.integers(-1, 2**41), max_size=33),
    st.text(alphabet="AB+/=9", max_size=64),
)
nodes = st.recursive(
    plain | arrays,
    lambda inner: st.builds(
        lambda kind, items: {kind: items}, st.sampled_from(["list", "tuple", "dict"]), st.lists(inner, max_size=5)
    ),
    max_leaves=20,
)


def judged(exercise: Exercise, cases, received: bytes) -> list[CaseResult]:
    """The target: judges what a learner's process sent, in this process.

    Raises:
        AssertionError: The results are not what the caller may rely on, or took too long.
    """
    sent, started = [], time.process_time()
    judge_frames(exercise, cases, Outcome(True, received, "ended", 0), sent.append)
    seconds = time.process_time() - started
    assert seconds < MAX_SECONDS, f"{seconds:.1f} s for {received[:200]!r}"
    answered, notes, missing, where = sent[0]
    assert all(isinstance(text, str) for text in [*notes, missing, where])
    results = {number: CaseResult(**fields) for number, fields in json.loads(json.dumps(sent[1:]))}
    assert sorted(results) == answered, "each answer has one verdict"
    return list(results.values())


def _value(random_source: random.Random, right, depth=0):
    """A node of the wire: near a right answer, or far from any."""
    kind = random_source.randrange(9 if depth < 3 else 4)
    match kind:
        case 0:
            return right
        case 1:
            return random_source.choice(_NUMBERS)
        case 2:
            dtype, count = random_source.choice(_DTYPES), random_source.randrange(1, 9)
            size = int("".join(c for c in dtype[1:] if c.isdigit()) or 8) * (4 if "U" in dtype else 1)
            raw = random_source.randbytes(count * size)
            shape = random_source.choice([[count], [count, 1], [1] * 20 + [count], [0, 2**39], []])
            return {"array": [dtype, shape, base64.b64encode(raw).decode()]}
        case 3:
            return random_source.choice(["", "x" * 10_000, "\ud800", "0", "nan", "\x00"])
        case 4 | 5:
            items = [_value(random_source, right, depth + 1) for _ in range(random_source.randrange(5))]
            return {random_source.choice(["list", "tuple"]): items}
        case 6:
            many = random_source.choice([3, 900, 5000])
            return {"dict": [[i * random_source.choice([1, COLLIDING]), 0] for i in range(many)]}
        case 7:
            return {"list": [float(i * COLLIDING) for i in range(random_source.choice([5, 2000]))]}
        case _:
            return {
                "dict": [[random_source.choice(["a", 1, None, "client_0"]), _value(random_source, right, depth + 1)]]
            }


def main() -> int:
    from fedlearn_edu.course.checks.registry import all_exercises

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    source, started = random.Random(options.seed), time.monotonic()
    exercises = list(all_exercises().values())
    count = passed = 0
    slowest = (0.0, "")
    while time.monotonic() - started < options.seconds:
        exercise = exercises[count % len(exercises)]
        cases = exercise.cases(source.randrange(1, 2**31))
        known = [wire.encode(value) for case in cases for value in case.arguments]
        frames = [{"case": n, "value": _value(source, source.choice([*known, 0]))} for n in range(len(cases))]
        received = b"".join(json.dumps(frame).encode() + b"\n" for frame in frames)
        before = time.monotonic()
        try:
            results = judged(exercise, cases, received)
        except Exception as error:
            print(f"{exercise.id}, number {count}, seed {options.seed}: {type(error).__name__}: {error}")
            print(received[:2000])
            return 1
        slowest = max(slowest, (time.monotonic() - before, exercise.id))
        count, passed = count + 1, passed + sum(result.passed for result in results)
    print(
        f"{count} submissions to {len(exercises)} exercises in {time.monotonic() - started:.0f} s: none raised; "
        f"{passed} cases passed; the slowest took {slowest[0]:.2f} s ({slowest[1]})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
